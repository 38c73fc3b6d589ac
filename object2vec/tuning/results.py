# SPDX-License-Identifier: Apache-2.0
"""What a study found: plain values that print as a table and become JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from object2vec.text import in_columns

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"


@dataclass(frozen=True)
class Trial:
    """One training of a study.

    Attributes
    ----------
    number : int
        From 0.
    state : str
        ``complete``; ``pruned``, ended because others were better at its epoch; or ``failed``.
    value : float or None
        The best epoch's measure of validation, of a pruned one the last epoch's.
    setting : dict
        The searched hyperparameters that differ from the start's; empty for the start itself.
    epochs : int
        How many were trained.
    best_epoch : int or None
        From 0.
    seconds : float or None
        How long it took.
    error : str
        Why it failed.
    """

    number: int
    state: str
    value: Optional[float]
    setting: dict[str, Any] = field(default_factory=dict)
    epochs: int = 0
    best_epoch: Optional[int] = None
    seconds: Optional[float] = None
    error: str = ""

    def line(self) -> str:
        """It in a line."""
        told = "the start" if not self.setting else _setting(self.setting)
        value = "" if self.value is None else f" {self.value:.6g}"
        reason = f": {self.error}" if self.error else ""
        return f"trial {self.number} {self.state}{value}, {told}{reason}"


@dataclass(frozen=True)
class Tuning:
    """What a study found.

    Attributes
    ----------
    metric : str
        By what trainings were judged, such as ``validation_mean_squared_error``.
    direction : str
        ``minimize`` or ``maximize``.
    best : int
        The number of the best trial.
    trials : list of Trial
        All, by their numbers.
    space : dict of str to str
        What was searched, in words.
    start : dict
        The values of what was searched with which the first training was made.
    test : dict of str to float or None
        What the best model reaches on test pairs.
    model_dir : str
        Where it lies.
    refit : bool
        Whether it was trained anew on train and validation pairs.
    """

    metric: str
    direction: str
    best: int
    trials: list[Trial]
    space: dict[str, str] = field(default_factory=dict)
    start: dict[str, Any] = field(default_factory=dict)
    test: Optional[dict[str, float]] = None
    model_dir: str = ""
    refit: bool = False

    @property
    def best_trial(self) -> Trial:
        """The trial with the best value."""
        return self.trial(self.best)

    @property
    def best_value(self) -> Optional[float]:
        """Its measure of validation."""
        return self.best_trial.value

    @property
    def best_setting(self) -> dict[str, Any]:
        """The values of what was searched, for a training like it."""
        return {**self.start, **self.best_trial.setting}

    def trial(self, number: int) -> Trial:
        """A trial by its number."""
        return next(trial for trial in self.trials if trial.number == number)

    def to_dict(self) -> dict[str, Any]:
        """All of it as dicts, lists, texts and numbers."""
        return {**dataclasses.asdict(self), "best_setting": self.best_setting}

    def to_json(self, indent: Optional[int] = 2) -> str:
        """`to_dict` as a text of JSON."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Tuning:
        """Make one of what `to_dict` gave."""
        known = {one.name for one in dataclasses.fields(cls)}
        values = {name: value for name, value in found.items() if name in known}
        return cls(**{**values, "trials": [Trial(**trial) for trial in found["trials"]]})

    def table(self) -> str:
        """The trials, the best ones first, as text."""
        sign = 1 if self.direction == "minimize" else -1
        last = float("inf")
        ranks = {COMPLETE: 0, PRUNED: 1, FAILED: 2}
        order = sorted(
            self.trials,
            key=lambda one: (
                ranks[one.state], last if one.value is None else sign * one.value, one.number,
            ),
        )  # fmt: skip
        rows = [["trial", "state", self.metric, "epochs", "seconds", *self.space]]
        for trial in order:
            setting = {**self.start, **trial.setting}
            numbers = (trial.value, trial.epochs, trial.seconds)
            rows.append(
                [f"{trial.number}{'*' * (trial.number == self.best)}", trial.state]
                + [_number(number) for number in numbers]
                + [_number(setting.get(name)) for name in self.space]
            )
        return in_columns(rows)

    def __str__(self) -> str:
        lines = [
            self.table(), "",
            f"The best of {len(self.trials)} trials is {self.best}: {self.metric} "
            f"{_number(self.best_value)} with {_setting(self.best_setting)}.",
        ]  # fmt: skip
        first = next((one for one in self.trials if not one.setting), None)
        if first is not None and first.number != self.best and first.value is not None:
            lines.append(f"The start, trial {first.number}, has {_number(first.value)}.")
        if self.refit:
            lines.append("Its model was trained anew on train and validation pairs.")
        if self.test is not None:
            told = ", ".join(f"{name} {_number(value)}" for name, value in self.test.items())
            lines.append(f"On the test pairs it has {told}.")
        return "\n".join(lines)


def _setting(setting: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_number(value)}" for name, value in setting.items())


def _number(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.5g}"
    return (
        ",".join(map(str, value))
        if isinstance(value, Sequence) and not isinstance(value, str)
        else str(value)
    )
