# SPDX-License-Identifier: Apache-2.0
"""What a contestant learns from, what it is asked, and how its answers are graded.

The test part stays in a `Sealed`, which asks the trained contestants itself, once for each seed:
nothing that chooses a setting holds it.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, Protocol

import numpy as np
import pandas as pd

from benchmarks.quality.clock import Clock, Spent

Answer = Callable[[Any], np.ndarray]


@dataclass(frozen=True)
class Lessons:
    """What may be learnt from.

    Attributes
    ----------
    train, validation : pandas.DataFrame or list
        Rows with their answers. The validation part may decide about settings and epochs.
    with_validation : bool
        Whether the setting is chosen, so that the validation part is learnt from as well.
    beside : dict
        What else is known to everyone, such as the features of all films.
    """

    train: Any
    validation: Any = None
    with_validation: bool = False
    beside: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> Any:
        """The train part, with the validation part behind it where that is to be learnt from."""
        if not self.with_validation:
            return self.train
        if isinstance(self.train, pd.DataFrame):
            return pd.concat([self.train, self.validation], ignore_index=True)
        return [*self.train, *self.validation]


@dataclass(frozen=True, eq=False)
class Grade:
    """What answers are worth.

    Attributes
    ----------
    measures : dict of str to float
        By name, in the order of the task.
    each : dict of str to numpy.ndarray
        The same for each question, of the measures that are their means.
    """

    measures: dict[str, float]
    each: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of_each(cls, each: dict[str, np.ndarray]) -> Grade:
        """The grade whose measures are all means over the questions."""
        return cls({name: float(np.mean(values)) for name, values in each.items()}, each)


class Exam(ABC):
    """Questions, whose right answers only the exam knows.

    Attributes
    ----------
    questions : object
        What a trained contestant is given.
    """

    questions: Any

    @abstractmethod
    def grade(self, answers: np.ndarray, decided: Optional[float] = None) -> Grade:
        """Compare answers with the right ones."""

    def decide(self, answers: np.ndarray) -> Optional[float]:
        """A number that turns answers of this kind into better ones, such as a threshold.

        It is taken from the validation part's exam and handed to `grade` of the test's.
        """
        return None


@dataclass(frozen=True, eq=False)
class Reading:
    """One way of answering the test part, after one training.

    Attributes
    ----------
    grade : Grade
        What the answers are worth.
    spent : Spent
        What it took to give them.
    """

    grade: Grade
    spent: Spent


class Sealed:
    """A test part that is read once for each seed.

    Parameters
    ----------
    exam : Exam
        That of the test part.
    """

    def __init__(self, exam: Exam) -> None:
        self._exam = exam
        self._seeds: set[int] = set()

    def read(
        self, seed: int, answers: Mapping[str, Answer], decided: Mapping[str, Optional[float]]
    ) -> dict[str, Reading]:
        """Ask a contestant that was trained with a seed, in all its ways of answering.

        Raises
        ------
        RuntimeError
            With this seed the test part was read before.
        """
        if seed in self._seeds:
            raise RuntimeError(f"the test part was read with the seed {seed} before")
        self._seeds.add(seed)
        found = {}
        for way, answer in answers.items():
            clock = Clock()
            given = answer(self._exam.questions)
            spent = clock.spent()
            found[way] = Reading(self._exam.grade(given, decided.get(way)), spent)
        return found


@dataclass(frozen=True, eq=False)
class Task:
    """A data set and what is wanted of it.

    Attributes
    ----------
    name, data : str
        In a few words.
    measures : tuple of str
        The first one decides among settings.
    lessons : Lessons
        What contestants learn from.
    validation : Exam, optional
        By which settings are chosen; None where nothing is.
    test : Sealed
        What the result is.
    smaller : tuple of str
        Those of the measures that are better if smaller.
    learns_validation : bool
        Whether the chosen setting is trained anew on both parts.
    """

    name: str
    data: str
    measures: tuple[str, ...]
    lessons: Lessons
    validation: Optional[Exam]
    test: Sealed
    smaller: tuple[str, ...] = ()
    learns_validation: bool = False

    def is_better(self, one: Grade, other: Grade) -> bool:
        """Whether the first measure of one grade is better than that of another."""
        values = one.measures[self.measures[0]], other.measures[self.measures[0]]
        return values[0] < values[1] if self.measures[0] in self.smaller else values[0] > values[1]


def combinations(**values: Iterable[Any]) -> list[dict[str, Any]]:
    """A grid: all combinations of values, the last name's changing fastest."""
    return [dict(zip(values, one)) for one in itertools.product(*values.values())]


class Contestant(Protocol):
    """Something that learns a task.

    Attributes
    ----------
    name : str
        As it stands in the table; ours begin with ``ours``.
    needs : tuple of str
        Modules without which it is left out.
    is_seeded : bool
        Whether a seed makes a difference.
    """

    name: str
    needs: tuple[str, ...]
    is_seeded: bool

    def grid(self) -> list[dict[str, Any]]:
        """The settings among which the validation part chooses."""

    def fit(self, lessons: Lessons, setting: dict[str, Any], seed: int) -> dict[str, Answer]:
        """Train; returns its ways of answering, the one that chooses settings first."""
