# SPDX-License-Identifier: Apache-2.0
"""The passes over a table that find out vocabularies, bins, labels and splits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Optional, Union

import numpy as np

from object2vec.errors import CustomerError
from object2vec.interruption import checkpoint
from object2vec.prepare import count_values
from object2vec.prepare.columns import ColumnChoice, decided
from object2vec.prepare.labels import LabelFinder, has_label
from object2vec.prepare.recipes import AUTO, advised
from object2vec.prepare.splits import TRAIN, Splitter
from object2vec.prepare.table_batch import Batch, Read, Table, is_list, present
from object2vec.raw_values.inputs import (
    MOST_IDS,
    SIDES,
    Bins,
    Column,
    Inputs,
    Label,
    Side,
    TokenIds,
    Values,
    Vocabulary,
)
from object2vec.raw_values.option_names import option
from object2vec.raw_values.tokenizer_files import TokenizerFile
from object2vec.text import shown

Progress = Optional[Callable[[str, int], None]]
# None where a tokenizer has its ids already, or the other side counts the column
Counter = Union[None, count_values.ValueCounter, count_values.NumberCounter]


@dataclass(frozen=True)
class Request:
    """What is to be made of a table.

    Parameters
    ----------
    table : Table
        The rows.
    sides : tuple
        The chosen columns of in0 and in1.
    label, label_kind : str, optional
        The label's column, None for pairs that are all positive; see `LabelFinder`.
    weight : str, optional
        The column of the rows' weights.
    tied : bool
        Whether both sides share their vocabularies.
    splitter : Splitter, optional
        None where all rows are for training.
    progress : callable, optional
        Told the name of a pass and how many rows are done.
    preset : str
        See `recipes.recipe`.
    tokenizer : TokenizerFile, optional
        Of the text columns that name none of their own.
    """

    table: Table
    sides: tuple[tuple[ColumnChoice, ...], tuple[ColumnChoice, ...]]
    label: Optional[str] = None
    label_kind: str = "auto"
    tied: bool = False
    splitter: Optional[Splitter] = None
    progress: Progress = None
    preset: str = AUTO
    tokenizer: Optional[TokenizerFile] = None
    weight: Optional[str] = None

    @property
    def columns(self) -> list[str]:
        """All columns that are read."""
        used = [str(choice.name) for side in self.sides for choice in side]
        used += [name for name in (self.label, self.weight) if name is not None]
        return list(dict.fromkeys(used + (self.splitter.columns if self.splitter else [])))

    def batches(self, name: str) -> Iterator[tuple[Batch, int]]:
        """The batches with the number of each one's first row, for the pass of this name."""
        first = 0
        for batch in self.table.batches(self.columns):
            checkpoint()
            yield batch, first
            first += batch.rows
            if self.progress is not None:
                self.progress(name, first)


class Fit:
    """Looks through a table and finds its inputs.

    Parameters
    ----------
    request : Request
        What is to be made of it.

    Raises
    ------
    CustomerError
        If the table holds no row that makes a pair, or its labels or columns are not right.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        batch = self._first_batch()
        self._sides = self._decide(batch)
        self._counters: list[list[Counter]] = [[_counter(c) for c in side] for side in self._sides]
        if request.tied:
            self._check_tied()
            # a column that is both sides of pairs occurs but once in the table
            self._counters[1] = [
                None if own.name == other.name else counter
                for own, other, counter in zip(*self._sides, self._counters[0])
            ]
        self._labels = (
            None if request.label is None else LabelFinder(request.label, request.label_kind, batch)
        )
        self._split()
        kept = sum(self._count(batch, first) for batch, first in request.batches("count"))
        if not kept:
            raise CustomerError(
                f"{request.table.title} holds no row for training in which in0, in1 and label all "
                "have a value."
            )

    def inputs(self) -> Inputs:
        """What was found; the sides' maximum lengths follow in the pass that encodes.

        Raises
        ------
        CustomerError
            If the preset does not fit what was found.
        """
        label = Label("none") if self._labels is None else self._labels.label()
        vocabularies: dict[str, Values] = {}
        sides = []
        for number_of_side, name in enumerate(SIDES):
            columns = []
            for place, choice in enumerate(self._sides[number_of_side]):
                key = f"{SIDES[0] if self._request.tied else name}.{place}"
                columns.append(_column(choice, key))
                if key not in vocabularies:
                    vocabularies[key] = self._vocabulary(number_of_side, place)
            _fit(vocabularies, [column.vocabulary for column in columns])
            sides.append(Side(tuple(columns)))
        inputs = Inputs(sides[0], sides[1], label, vocabularies, self._request.tied)
        given = [[choice.repeat is not None for choice in side] for side in self._sides]
        return advised(inputs, self._request.preset, given)

    def _first_batch(self) -> Batch:
        batch = next((batch for batch, _ in self._request.batches("look") if batch.rows), None)
        if batch is None:
            raise CustomerError(f"{self._request.table.title} holds no row below its header.")
        return batch

    def _decide(self, batch: Batch) -> list[list[ColumnChoice]]:
        sides = [
            [
                decided(
                    choice,
                    batch.distinct(str(choice.name)),
                    is_list(batch.columns[str(choice.name)]),
                    place > 0,
                )
                for place, choice in enumerate(side)
            ]
            for side in self._request.sides
        ]
        if self._request.tokenizer is not None:
            sides = self._with_tokenizer(sides)
        for choice in (choice for side in sides for choice in side):
            if choice.special_tokens and choice.tokenizer is None:
                raise CustomerError(
                    f"{option('special_tokens')} is given for the column {shown(choice.name)}, "
                    f"which is no text with a tokenizer ({option('tokenizer')})."
                )
        return sides

    def _with_tokenizer(self, sides: list[list[ColumnChoice]]) -> list[list[ColumnChoice]]:
        """The columns, of which the texts without a tokenizer get the one for all."""
        kinds = [choice.kind for side in sides for choice in side]
        if "text" not in kinds:
            raise CustomerError(
                f"{option('tokenizer')} splits texts, but in0 and in1 have none: their columns are "
                f"of the kinds {', '.join(dict.fromkeys(kinds))}."
            )
        file = self._request.tokenizer
        return [
            [
                replace(choice, tokenizer=file)
                if choice.kind == "text" and choice.tokenizer is None
                else choice
                for choice in side
            ]
            for side in sides
        ]

    def _check_tied(self) -> None:
        kinds = [[choice.kind for choice in side] for side in self._sides]
        if kinds[0] != kinds[1]:
            raise CustomerError(
                "Tied sides share vocabularies column by column, so their columns must be of the "
                f"same kinds, but in0 has {', '.join(kinds[0])} and in1 has {', '.join(kinds[1])}."
            )
        for a, b in zip(*self._sides):
            for field in (
                *("min_count", "max_size", "bins", "lower", "form", "stem"),
                *("tokenizer", "special_tokens"),
            ):
                if getattr(a, field) != getattr(b, field):
                    raise CustomerError(
                        f"Tied sides share vocabularies, but {option(field)} of {shown(a.name)} is "
                        f"{shown(getattr(a, field))} and of {shown(b.name)} "
                        f"{shown(getattr(b, field))}: give both the same."
                    )

    def _split(self) -> None:
        splitter = self._request.splitter
        if splitter is not None and splitter.looks_first:
            for batch, first in self._request.batches("split"):
                splitter.look(batch, first, self._kept(Read(batch)))
            splitter.finish()

    def _kept(self, read: Read) -> np.ndarray:
        sides = [[_column(choice, "") for choice in side] for side in self._sides]
        kept = present(read, sides[0]) & present(read, sides[1])
        if self._labels is not None:
            found = read.distinct(str(self._request.label))
            has = np.array(has_label(found.values, self._labels.are_tags), bool)
            kept &= has[found.codes]
        return kept

    def _count(self, batch: Batch, first: int) -> int:
        read = Read(batch)
        kept = self._kept(read)
        if self._labels is not None:
            self._labels.look(batch, kept)
        if self._request.splitter is not None:
            kept = kept & (self._request.splitter.assign(batch, first) == TRAIN)
        for side, counters in zip(self._sides, self._counters):
            for choice, counter in zip(side, counters):
                if counter is None:
                    continue
                found = read.distinct(str(choice.name))
                counts = np.bincount(found.codes[kept], minlength=len(found))
                if isinstance(counter, count_values.NumberCounter):
                    count_values.count_numbers(counter, found, counts)
                else:
                    with read.naming(str(choice.name)):
                        count_values.count_column(counter, _column(choice, ""), found, counts)
        return int(np.count_nonzero(kept))

    def _vocabulary(self, side: int, place: int) -> Values:
        choice, counter = self._sides[side][place], self._counters[side][place]
        counts_missing = len(self._sides[side]) > 1
        if isinstance(choice.tokenizer, TokenizerFile):
            return TokenIds(choice.tokenizer, counts_missing)
        name = str(choice.name)
        if isinstance(counter, count_values.ValueCounter):
            most = min(choice.max_size, MOST_IDS - 1 - counts_missing)
            return count_values.vocabulary(counter, name, choice.min_count, most, counts_missing)
        assert counter is not None
        if isinstance(choice.bins, int):
            return count_values.bins(counter, name, choice.bins, counts_missing)
        return Bins(tuple(float(edge) for edge in choice.bins), counts_missing)


def _counter(choice: ColumnChoice) -> Counter:
    if choice.tokenizer is not None:
        return None
    return count_values.NumberCounter() if choice.kind == "number" else count_values.ValueCounter()


def _column(choice: ColumnChoice, vocabulary: str) -> Column:
    column = Column(str(choice.name), choice.kind, vocabulary, choice.repeat or 1)
    if isinstance(choice.tokenizer, TokenizerFile):
        special = choice.special_tokens
        return replace(column, tokenizer=choice.tokenizer.name, special_tokens=special)
    if choice.kind == "text":
        return replace(column, lower=choice.lower, form=choice.form, stem=choice.stem)
    if choice.kind == "tags":
        return replace(column, separator=choice.separator or "|", explode=choice.explode)
    return column


def _fit(vocabularies: dict[str, Values], names: Sequence[str]) -> None:
    """Take rare values off the largest vocabularies of a side until it has no id too many."""
    while (excess := sum(len(vocabularies[name]) for name in names) - MOST_IDS) > 0:
        found = {name: vocabularies[name] for name in names}
        shortened = {name: v for name, v in found.items() if isinstance(v, Vocabulary) and v.values}
        if not shortened:
            raise CustomerError(
                f"The tokenizers of one side have {excess + MOST_IDS:,} ids together, but it can "
                f"have {MOST_IDS:,}."
            )
        name = max(shortened, key=lambda name: len(shortened[name]))
        largest = shortened[name]
        vocabularies[name] = Vocabulary(largest.values[:-excess], largest.counts_missing)
