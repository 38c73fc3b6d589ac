# SPDX-License-Identifier: Apache-2.0
"""One contestant in one task: its setting is chosen on validation, and its test is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

import numpy as np

from benchmarks.quality.clock import Clock, Spent
from benchmarks.quality.exams import Contestant, Grade, Reading, Task

_NOTHING = Spent(0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Chosen:
    """What the validation part has decided.

    Attributes
    ----------
    setting : dict
        One of the contestant's grid.
    grades : dict of str to Grade
        What it reached on the validation part, by the way of answering.
    decided : dict of str to (float or None)
        What the exam decided for each way; see `Exam.decide`.
    tried : int
        Settings of the grid.
    spent : Spent
        What all of it took.
    """

    setting: dict[str, Any]
    grades: dict[str, Grade] = field(default_factory=dict)
    decided: dict[str, Optional[float]] = field(default_factory=dict)
    tried: int = 1
    spent: Spent = _NOTHING


@dataclass(frozen=True, eq=False)
class Trained:
    """One seed's training, and how the test part was answered after it."""

    seed: int
    spent: Spent
    readings: dict[str, Reading]


def choose(task: Task, contestant: Contestant, seed: int) -> Chosen:
    """Train with each setting of the grid, and keep the best on the validation part.

    Nothing is trained where there is one setting and no validation part.
    """
    clock, best = Clock(), None
    grid = contestant.grid()
    if task.validation is None:
        if len(grid) != 1:
            raise ValueError(f"{contestant.name}: nothing can choose among {len(grid)} settings")
        return Chosen(grid[0])
    for setting in grid:
        grades, decided = {}, {}
        for way, answer in contestant.fit(task.lessons, setting, seed).items():
            given = answer(task.validation.questions)
            decided[way] = task.validation.decide(given)
            grades[way] = task.validation.grade(given, decided[way])
        first = next(iter(grades))
        if best is None or task.is_better(grades[first], best.grades[first]):
            best = Chosen(setting, grades, decided)
    assert best is not None
    return replace(best, tried=len(grid), spent=clock.spent())


def train(task: Task, contestant: Contestant, chosen: Chosen, seed: int) -> Trained:
    """Train with the chosen setting, on the validation part as well if the task says so.

    The test part is read.
    """
    lessons = replace(task.lessons, with_validation=task.learns_validation)
    clock = Clock()
    answers = contestant.fit(lessons, chosen.setting, seed)
    spent = clock.spent()
    return Trained(seed, spent, task.test.read(seed, answers, chosen.decided))


def compare(
    one: Sequence[np.ndarray], other: Sequence[np.ndarray], draws: int = 10_000
) -> tuple[float, float, float]:
    """The difference of two contestants' means over the same questions, with its uncertainty.

    Parameters
    ----------
    one, other : sequence of numpy.ndarray
        The measure for each question, ``(questions,)``, one array a seed.
    draws : int
        Resamplings of the questions: a paired bootstrap, as each question is drawn with both
        contestants' values, which are means over the seeds.

    Returns
    -------
    tuple of float
        One minus other, and the ends of its interval of 95 %.
    """
    differences = np.mean(one, axis=0) - np.mean(other, axis=0)
    rng = np.random.default_rng(0)
    count = len(differences)
    # a draw of n questions is how often each of them is drawn
    means = [
        rng.multinomial(count, np.full(count, 1 / count)) @ differences / count
        for _ in range(draws)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(np.mean(differences)), float(low), float(high)
