# SPDX-License-Identifier: Apache-2.0
"""Counts the values of columns in the first pass, and makes vocabularies and bins of the counts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from object2vec.errors import CustomerError
from object2vec.prepare.arrow import arrow_module
from object2vec.prepare.table_batch import Batch, Distinct
from object2vec.raw_values.cell_values import canonical_all, number
from object2vec.raw_values.encode_values import parts_of
from object2vec.raw_values.inputs import Bins, Column, Vocabulary
from object2vec.raw_values.option_names import option
from object2vec.text import quoted

_FEW_PARTS = 1 << 20  # values that wait to be added up
_MOST_NUMBERS = 1 << 20  # different numbers that are kept apart
_POINTS = 1 << 17  # and into how many they are drawn together


class ValueCounter:
    """Adds up how often each text occurs, in columns of Arrow: some bytes more than the texts."""

    def __init__(self) -> None:
        self._texts: list[Any] = []
        self._counts: list[np.ndarray] = []
        self._waiting = 0
        self._done = 0

    def add(self, values: Any, counts: np.ndarray) -> None:
        """Add texts, a list or an array of Arrow, which may repeat, with a count each."""
        arrow = arrow_module()
        large = arrow.large_string()
        self._texts.append(
            arrow.array(values, large) if isinstance(values, list) else values.cast(large)
        )
        self._counts.append(counts)
        self._waiting += len(values)
        if self._waiting > max(_FEW_PARTS, self._done):
            self._add_up()

    def _add_up(self) -> None:
        if len(self._texts) > 1:
            # half the time of Arrow's group_by
            found = arrow_module().concat_arrays(self._texts).dictionary_encode()
            places = found.indices.to_numpy(zero_copy_only=False)
            sums = np.bincount(places, np.concatenate(self._counts), len(found.dictionary))
            self._texts, self._counts = [found.dictionary], [sums.astype(np.int64)]
            self._done = len(found.dictionary)
        self._waiting = 0

    def most_frequent(self, min_count: int, most: int) -> tuple[str, ...]:
        """The texts that occur `min_count` times or more, the most frequent ones first.

        Equally frequent ones stand in the order of their code points.
        """
        arrow, compute = arrow_module(), arrow_module("compute")
        if not self._texts:
            return ()
        # a single part may hold a text twice
        self._texts.append(arrow.array([], arrow.large_string()))
        self._counts.append(np.zeros(0, np.int64))
        self._add_up()
        table = arrow.table({"value": self._texts[0], "count": arrow.array(self._counts[0])})
        table = table.filter(compute.greater_equal(table["count"], min_count))
        order = compute.sort_indices(
            table, sort_keys=[("count", "descending"), ("value", "ascending")]
        )
        values = table["value"].take(order.slice(0, most))
        assert isinstance(values, arrow.ChunkedArray)
        return tuple(values.to_pylist())


class NumberCounter:
    """Adds up how often each number occurs; of very many different ones their quantiles."""

    def __init__(self) -> None:
        self._values = np.zeros(0)
        self._counts = np.zeros(0, np.int64)

    def add(self, values: np.ndarray, counts: np.ndarray) -> None:
        """Add finite numbers, which may repeat, with a count each."""
        values = np.concatenate([self._values, values])
        self._values, places = np.unique(values, return_inverse=True)
        weights = np.concatenate([self._counts, counts])
        self._counts = np.bincount(places, weights, len(self._values)).astype(np.int64)
        if len(self._values) > _MOST_NUMBERS:
            self._draw_together()

    def _draw_together(self) -> None:
        ends = np.cumsum(self._counts)
        targets = (np.arange(1, _POINTS + 1) * ends[-1]) // _POINTS
        places = np.unique(np.searchsorted(ends, targets))
        self._values = self._values[places]
        self._counts = np.diff(ends[places], prepend=0)

    def total(self) -> int:
        """How many numbers were added."""
        return int(self._counts.sum())

    def at_share(self, share: float) -> float:
        """The smallest number that this share of all does not exceed."""
        ends = np.cumsum(self._counts)
        place = np.searchsorted(ends, share * ends[-1] * (1 - 1e-12))
        return float(self._values[min(int(place), len(ends) - 1)])

    def edges(self, bins: int) -> tuple[float, ...]:
        """Edges of at most so many bins that hold about equally many numbers each."""
        if len(self._values) <= bins:
            # a bin for each number
            return tuple(self._values[1:].tolist())
        found = {self.at_share(part / bins) for part in range(1, bins)}
        return tuple(sorted(found - {float(self._values[0])}))


def count_column(
    counter: ValueCounter, column: Column, found: Distinct, counts: np.ndarray
) -> None:
    """Add a column's values, words or tags, `counts` of each.

    Raises
    ------
    CustomerError
        If a value is none of a cell.
    """
    if column.kind == "id" and found.texts is not None:
        used = counts > 0
        texts = found.texts.filter(arrow_module().array(used))
        counter.add(
            texts.drop_null(), counts[used][texts.is_valid().to_numpy(zero_copy_only=False)]
        )
        return
    if column.kind == "id":
        texts = canonical_all(found.values)
        kept = np.array([text is not None for text in texts], bool) & (counts > 0)
        if not kept.all():
            texts = [text for text, keep in zip(texts, kept) if keep]
            counts = counts[kept]
        counter.add([text for text in texts if text is not None], counts)
        return
    words: Counter[str] = Counter()
    for value, times in zip(found.values, counts.tolist()):
        parts = parts_of(column, value) if times else None
        if parts and times == 1:
            words.update(parts)
        elif parts:
            for part in parts:
                words[part] += times
    counter.add(list(words), np.fromiter(words.values(), np.int64, len(words)))


def count_numbers(counter: NumberCounter, found: Distinct, counts: np.ndarray) -> None:
    """Add a column's numbers; what is missing or none is passed over."""
    values = numbers_of(found)
    kept = np.isfinite(values) & (counts > 0)
    counter.add(values[kept], counts[kept])


def numbers_of(found: Distinct) -> np.ndarray:
    """The different values as float64: NaN where one is missing, infinite where it is no number."""
    parsed = (number(value) for value in found.values)
    return np.array([np.inf if value is None else value for value in parsed], np.float64)


def check_numbers(found: Distinct, column: str, batch: Batch, kept: np.ndarray) -> np.ndarray:
    """The numbers of a column that must hold nothing else, float64 ``(rows,)``.

    Raises
    ------
    CustomerError
        One sentence that names the first other value and its place.
    """
    values = numbers_of(found)[found.codes]
    wrong = np.flatnonzero(np.isinf(values) & kept)
    if len(wrong):
        row = int(wrong[0])
        raise CustomerError(
            f"The column {quoted(column)} must hold numbers, found "
            f"{quoted(found.values[found.codes[row]])} ({batch.place(row)})."
        )
    return values


def vocabulary(
    counter: ValueCounter, column: str, min_count: int, most: int, counts_missing: bool
) -> Vocabulary:
    """The vocabulary of a column.

    Raises
    ------
    CustomerError
        If no value occurs `min_count` times.
    """
    values = counter.most_frequent(min_count, most)
    if not values:
        times = f" {min_count} times or more ({option('min_count')})" if min_count > 1 else ""
        raise CustomerError(f"No value of the column {quoted(column)} occurs{times}.")
    return Vocabulary(values, counts_missing)


def bins(counter: NumberCounter, column: str, number_of_bins: int, counts_missing: bool) -> Bins:
    """Quantile bins of a column of numbers.

    Raises
    ------
    CustomerError
        If it holds no number.
    """
    if not counter.total():
        raise CustomerError(f"The column {quoted(column)} holds no number to make bins of.")
    return Bins(counter.edges(number_of_bins), counts_missing)
