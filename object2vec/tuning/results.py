# SPDX-License-Identifier: Apache-2.0
"""What a study found: plain values that print as a table and become JSON."""

from __future__ import annotations

import dataclasses
import errno
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from object2vec.errors import CustomerError
from object2vec.text import in_columns, named, shown
from object2vec.tuning.storage import is_database, read_study
from object2vec.tuning.trials import COMPLETE, FAILED, PRUNED, Trial, number_text, setting_text


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
        """Make one of what `to_dict` gave.

        Raises
        ------
        CustomerError
            It is something else.
        """
        fault = _fault(found)
        if fault is not None:
            raise CustomerError(f"This is not what Tuning.to_dict gives: {fault}.")
        known = {one.name for one in dataclasses.fields(cls)}
        values = {name: value for name, value in found.items() if name in known}
        return cls(**{**values, "trials": [Trial(**trial) for trial in found["trials"]]})

    @classmethod
    def load(cls, path: Union[str, Path]) -> Tuning:
        """Read what a study has found so far: its file, or the JSON that ``--output`` wrote.

        Parameters
        ----------
        path : path
            The file of ``--study``, also while the study goes on (needs Optuna), or JSON.

        Raises
        ------
        CustomerError
            It cannot be read, holds something else, or no complete trial.
        """
        if is_database(Path(path)):
            found = cls(**read_study(Path(path)))
        else:
            found = cls.from_dict(_read_json(Path(path)))
        if not any(t.number == found.best and t.state == COMPLETE for t in found.trials):
            raise CustomerError(
                f"The study {named(path)} has no complete trial yet, so that there is no best one."
            )
        return found

    def ranked(self) -> list[Trial]:
        """The trials, the best ones first: complete ones, then pruned ones, then failed ones."""
        sign = 1 if self.direction == "minimize" else -1
        last = float("inf")
        ranks = {COMPLETE: 0, PRUNED: 1, FAILED: 2}
        return sorted(
            self.trials,
            key=lambda one: (
                ranks[one.state], last if one.value is None else sign * one.value, one.number,
            ),
        )  # fmt: skip

    def table(self) -> str:
        """The trials, the best ones first, as text."""
        rows = [["trial", "state", self.metric, "epochs", "seconds", *self.space]]
        for trial in self.ranked():
            setting = {**self.start, **trial.setting}
            numbers = (trial.value, trial.epochs, trial.seconds)
            rows.append(
                [f"{trial.number}{'*' * (trial.number == self.best)}", trial.state]
                + [number_text(number) for number in numbers]
                + [number_text(setting.get(name)) for name in self.space]
            )
        return in_columns(rows)

    def __str__(self) -> str:
        lines = [
            self.table(), "",
            f"The best of {len(self.trials)} trials is number {self.best}: {self.metric} "
            f"{number_text(self.best_value)} with {setting_text(self.best_setting)}.",
        ]  # fmt: skip
        first = next((one for one in self.trials if not one.setting), None)
        if first is not None and first.number != self.best and first.value is not None:
            lines.append(f"The start, trial {first.number}, has {number_text(first.value)}.")
        if self.refit:
            lines.append("Its model was trained anew on train and validation pairs.")
        if self.test is not None:
            told = ", ".join(f"{name} {number_text(value)}" for name, value in self.test.items())
            lines.append(f"On the test pairs it has {told}.")
        return "\n".join(lines)


def _read_json(path: Path) -> Any:
    """What `Tuning.to_dict` gave, from a file."""
    what = "what object2vec tune --output writes, nor the file of a study"
    try:
        if path.is_fifo():
            raise OSError(errno.EINVAL, "it is a pipe, not a file")
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise CustomerError(f"{named(path)} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise CustomerError(f"{named(path)} is neither {what}: it is no JSON.") from None
    fault = _fault(found)
    if fault is not None:
        raise CustomerError(f"{named(path)} is neither {what}: {fault}.")
    return found


def _fault(found: Any) -> Optional[str]:
    """What `Tuning.to_dict` would not give, as the end of a sentence; None if all is right."""
    if not isinstance(found, Mapping):
        return "it is no object"
    for key, is_right in _FIELDS.items():
        if not is_right(found.get(key)):
            return f"its {key} is {shown(found.get(key))}"
    for key, is_right in _MORE_FIELDS.items():
        if key in found and not is_right(found[key]):
            return f"its {key} is {shown(found[key])}"
    for place, trial in enumerate(found["trials"]):
        if not _is_trial(trial):
            return f"its trial {place}, counting from 0, is {shown(trial)}"
    return None


def _is_trial(given: Any) -> bool:
    known = {one.name for one in dataclasses.fields(Trial)}
    if not isinstance(given, Mapping) or not {"number", "state", "value"} <= set(given) <= known:
        return False
    return (
        _is_whole(given["number"])
        and given["state"] in (COMPLETE, PRUNED, FAILED)
        and (given["value"] is None or _is_number(given["value"]))
        and (given["value"] is not None or given["state"] != COMPLETE)
        and _is_setting(given.get("setting", {}))
        and _is_whole(given.get("epochs", 0))
        and (given.get("best_epoch") is None or _is_whole(given["best_epoch"]))
        and (given.get("seconds") is None or _is_number(given["seconds"]))
        and isinstance(given.get("error", ""), str)
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or _is_whole(value)


def _is_setting(given: Any) -> bool:
    """Whether it holds values of hyperparameters by their names."""
    return isinstance(given, Mapping) and all(
        isinstance(name, str)
        and all(
            one is None or isinstance(one, (str, bool)) or _is_number(one)
            for one in (value if isinstance(value, (list, tuple)) else [value])
        )
        for name, value in given.items()
    )


def _are_texts(given: Any) -> bool:
    return isinstance(given, Mapping) and all(
        isinstance(text, str) for item in given.items() for text in item
    )


def _are_metrics(given: Any) -> bool:
    return given is None or (
        isinstance(given, Mapping)
        and all(isinstance(name, str) and _is_number(value) for name, value in given.items())
    )


# More than any count, and what a float holds.
_LARGEST = 2**63
_FIELDS: dict[str, Callable[[Any], bool]] = {
    "metric": lambda given: isinstance(given, str),
    "direction": lambda given: given in ("minimize", "maximize"),
    "best": _is_whole,
    "trials": lambda given: isinstance(given, list),
    "space": _are_texts,
    "start": _is_setting,
}
_MORE_FIELDS: dict[str, Callable[[Any], bool]] = {
    "test": _are_metrics,
    "model_dir": lambda given: isinstance(given, str),
    "refit": lambda given: isinstance(given, bool),
}
