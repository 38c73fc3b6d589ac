# SPDX-License-Identifier: Apache-2.0
"""Shares rows out among train, validation and test, the same way whenever the seed is the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import Any, Optional, Union

import numpy as np

from object2vec.errors import CustomerError
from object2vec.hyperparameters.table import SPLITS
from object2vec.prepare.count_values import NumberCounter
from object2vec.prepare.table_batch import Batch
from object2vec.raw_values.cell_values import canonical, number
from object2vec.text import quoted, shown

SPLIT_KINDS = ("random", "group", "time", "leave_one_out")
TRAIN, VALIDATION, TEST = range(len(SPLITS))
_MOST_SEED = 2**63


@dataclass(frozen=True)
class Split:
    """How rows are shared out.

    Parameters
    ----------
    kind : str
        ``random``: each row by itself. ``group``: all rows with the same value of the column `by`
        together, such as all of a user. ``time``: the latest rows by the column `time` are the
        test's, those before them the validation's; rows of the same time stay together.
        ``leave_one_out``: of each value of `by` the last row, by `time` or else a random one, is
        the test's, the one before it the validation's; who has too few rows keeps them in train.
    validation, test : float
        Shares of the rows, below 1 together; 0 for none. Of leave_one_out any share above 0 means
        one row.
    by, time : str or int, optional
        Columns: numbers or ISO dates for `time`.
    seed : int
        What decides the draws.
    """

    kind: str = "random"
    validation: float = 0.1
    test: float = 0.0
    by: Optional[Union[str, int]] = None
    time: Optional[Union[str, int]] = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in SPLIT_KINDS:
            raise CustomerError(
                f"split must be one of {', '.join(SPLIT_KINDS)}, found {shown(self.kind)}."
            )
        shares = (self.validation, self.test)
        sound = all(isinstance(share, (int, float)) and 0 <= share < 1 for share in shares)
        if not sound or not 0 < sum(shares) < 1:
            raise CustomerError(
                "The shares of validation and test must be between 0 and 1 and leave some for "
                f"train, found {shown(self.validation)} and {shown(self.test)}."
            )
        if type(self.seed) is not int or not 0 <= self.seed < _MOST_SEED:
            raise CustomerError(
                f"The seed of a split must be an integer from 0 on, found {shown(self.seed)}."
            )
        for option, kinds in (("by", ("group", "leave_one_out")), ("time", ("time",))):
            if self.kind in kinds and getattr(self, option) is None:
                raise CustomerError(f"The split {self.kind} needs the column {option!r}.")


class Splitter:
    """Shares out the rows of one table.

    Where `looks_first` is True, all batches are handed to `look`, and then `finish` is called,
    before the first `assign`.

    Parameters
    ----------
    split : Split
        How; its columns by name.
    """

    def __init__(self, split: Split) -> None:
        self._split = split
        self.looks_first = split.kind in ("time", "leave_one_out")
        self.columns = [str(name) for name in (split.by, split.time) if name is not None]
        self._times = NumberCounter()
        self._users: dict[Optional[str], int] = {}
        self._seen: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._held: dict[int, np.ndarray] = {}
        self._starts = (np.inf, np.inf)

    def look(self, batch: Batch, first: int, kept: np.ndarray) -> None:
        """Take note of a batch whose rows are numbered from `first` on, and are kept or not."""
        rows = first + np.flatnonzero(kept)
        if self._split.kind == "time":
            values, counts = np.unique(self._time(batch)[kept], return_counts=True)
            finite = np.isfinite(values)
            self._times.add(values[finite], counts[finite])
            return
        found = batch.distinct(str(self._split.by))
        numbers = [
            self._users.setdefault(canonical(value), len(self._users)) for value in found.values
        ]
        users = np.array(numbers, np.int32)[found.codes]
        key = self._draws(rows) if self._split.time is None else self._time(batch)[kept]
        self._seen.append((users[kept], key, rows))

    def finish(self) -> None:
        """Decide after the last `look`."""
        if self._split.kind == "time":
            if not self._times.total():
                raise CustomerError(f"The column {quoted(self._split.time)} holds no time.")
            later = 1 - self._split.test
            self._starts = (
                self._times.at_share(later - self._split.validation),
                self._times.at_share(later),
            )
            return
        if not self._seen:
            return
        users, keys, rows = (np.concatenate(parts) for parts in zip(*self._seen))
        self._seen = []
        order = np.lexsort((rows, keys, users))
        sizes = np.bincount(users)
        from_end = np.repeat(np.cumsum(sizes), sizes) - 1 - np.arange(len(users))
        wanted = [
            place
            for place, share in ((TEST, self._split.test), (VALIDATION, self._split.validation))
            if share
        ]
        enough = np.repeat(sizes, sizes) > len(wanted)
        for rank, place in enumerate(wanted):
            self._held[place] = np.sort(rows[order][enough & (from_end == rank)])

    def assign(self, batch: Batch, first: int) -> np.ndarray:
        """The split of each row, uint8 ``(rows,)``: the place in ``SPLITS``."""
        split = self._split
        if split.kind == "leave_one_out":
            found = np.zeros(batch.rows, np.uint8)
            for place, rows in self._held.items():
                low, high = np.searchsorted(rows, [first, first + batch.rows])
                found[rows[low:high] - first] = place
            return found
        if split.kind == "time":
            times = self._time(batch)
            late = (times > self._starts[0]).astype(np.uint8)
            return late + (times > self._starts[1]) if split.test else late
        if split.kind == "random":
            draws = self._draws(np.arange(first, first + batch.rows))
        else:
            values = batch.distinct(str(split.by))
            draws = np.array([self._draw(value) for value in values.values])[values.codes]
        is_test = draws < split.test
        is_validation = ~is_test & (draws < split.test + split.validation)
        return np.where(is_test, TEST, np.where(is_validation, VALIDATION, TRAIN)).astype(np.uint8)

    def _draws(self, rows: np.ndarray) -> np.ndarray:
        """A number from [0, 1) for each row, by its number and the seed alone (SplitMix64)."""
        with np.errstate(over="ignore"):
            mixed = (rows.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
            mixed += np.uint64(self._split.seed) * np.uint64(0xD1342543DE82EF95)
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed ^= mixed >> np.uint64(31)
        return (mixed >> np.uint64(11)) * 2.0**-53

    def _draw(self, value: Any) -> float:
        key = self._split.seed.to_bytes(8, "big")
        text = (canonical(value) or "").encode(errors="replace")
        number_of_it = hashlib.blake2b(text, digest_size=8, key=key).digest()
        return (int.from_bytes(number_of_it, "big") >> 11) * 2.0**-53

    def _time(self, batch: Batch) -> np.ndarray:
        """Seconds or whatever the numbers are, float64; a missing time is the earliest."""
        name = str(self._split.time)
        found = batch.distinct(name)
        values = np.empty(len(found.values))
        for place, value in enumerate(found.values):
            seconds = _seconds(value)
            if seconds is None:
                row = int(np.flatnonzero(found.codes == place)[0])
                raise CustomerError(
                    f"The column {quoted(name)} must hold times as numbers or ISO dates, found "
                    f"{quoted(value)} ({batch.place(row)})."
                )
            values[place] = seconds
        return values[found.codes]


def _seconds(value: Any) -> Optional[float]:
    if isinstance(value, str):
        found = number(value)
        if found is not None:
            return -np.inf if np.isnan(found) else found
        try:
            value = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
        except ValueError:
            return None
    if isinstance(value, date):
        if not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        zoned = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        return float(zoned.timestamp())
    found = number(value)
    return -np.inf if found is not None and np.isnan(found) else found
