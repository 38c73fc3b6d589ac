# SPDX-License-Identifier: Apache-2.0
"""From a table to pairs in memory: finds the inputs in one pass and encodes in another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Optional, Union

import numpy as np

from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.errors import CustomerError
from object2vec.hyperparameters.table import SPLITS
from object2vec.interruption import checkpoint
from object2vec.prepare.arrow import arrow_module
from object2vec.prepare.columns import ColumnChoice, choices
from object2vec.prepare.delimited import Layout
from object2vec.prepare.find_inputs import Fit, Progress, Request
from object2vec.prepare.labels import encoded_labels
from object2vec.prepare.recipes import check_preset
from object2vec.prepare.splits import TRAIN, Split, Splitter
from object2vec.prepare.table_batch import Batch, Read, Table, present
from object2vec.prepare.table_choice import TableChoice
from object2vec.prepare.table_report import Report
from object2vec.prepare.tables import column_name, open_table
from object2vec.prepare.weights import encoded_weights
from object2vec.raw_values.encode_values import ColumnEncoder, joined
from object2vec.raw_values.inputs import (
    MOST_TOKENS,
    SIDES,
    UNKNOWN,
    Inputs,
    Values,
    Vocabulary,
)
from object2vec.raw_values.inputs_file import check_name
from object2vec.raw_values.option_names import option
from object2vec.raw_values.tokenizer_files import read_tokenizer
from object2vec.text import names, shown


class TablePairs(NamedTuple):
    """What `table_pairs` makes of a table.

    Attributes
    ----------
    pairs : dict of str to PairDataset
        By split: ``train``, and ``validation`` and ``test`` where they were asked for.
    inputs : Inputs
        What turns the same values into the same ids again.
    report : Report
        What became of the rows.
    """

    pairs: dict[str, PairDataset]
    inputs: Inputs
    report: Report


class Block(NamedTuple):
    """Pairs of some rows, and the split of each, uint8 ``(n,)``."""

    pairs: PairDataset
    splits: np.ndarray


def table_pairs(source: Any, choice: TableChoice, *, progress: Progress = None) -> TablePairs:
    """Make pairs in memory of a table.

    Parameters
    ----------
    source : path-like, list of path-like, frame, table of Arrow, or list of dicts
        See `tables.open_table`.
    choice : TableChoice
        How the table becomes pairs.
    progress : callable, optional
        ``progress(pass_name, rows_done)``.

    Raises
    ------
    CustomerError
        One sentence about the first thing that is not right, with its file and line.
    """
    request = make_request(source, choice, progress)
    encoder = TableEncoder(Fit(request).inputs(), choice.max_length, weight=request.weight)
    blocks: dict[str, list[PairDataset]] = {name: [] for name in SPLITS}
    for block in encoder.blocks(request):
        for number, name in enumerate(SPLITS):
            if request.splitter is None:
                blocks["train"].append(block.pairs)
                break
            if len(mask := np.flatnonzero(block.splits == number)):
                blocks[name].append(block.pairs.take(mask))
    check_splits(encoder.report, choice.split)
    wanted = [name for name in SPLITS if blocks[name]]
    pairs = {name: PairDataset.concatenate(_handed_over(blocks.pop(name))) for name in wanted}
    return TablePairs(pairs, encoder.inputs, encoder.report)


def encode_table(
    inputs: Inputs,
    source: Any,
    *,
    labels: bool = True,
    num_classes: Optional[int] = None,
    kept_lens: Optional[Sequence[int]] = None,
    weight: Optional[Union[str, int]] = None,
    layout: Optional[Layout] = None,
    progress: Progress = None,
) -> tuple[PairDataset, Report]:
    """Encode another table with inputs that exist, such as one for validation.

    Parameters
    ----------
    inputs : Inputs
        What training kept; its columns are looked for by name.
    source : path-like, list of path-like, frame, table of Arrow, or list of dicts
        See `tables.open_table`.
    labels : bool
        Whether to read labels; without, all are 1.
    num_classes : int, optional
        Labels that are numbers must be classes, below it.
    kept_lens : sequence of int, optional
        What lists of in0 and in1 are cut to; the sides' maximum lengths by default.
    weight : str or int, optional
        The column of the rows' weights.
    layout, progress
        As of `table_pairs`.

    Returns
    -------
    pairs : PairDataset
        With the cut lists.
    report : Report
        What became of the rows.

    Raises
    ------
    CustomerError
        One sentence about the first thing that is not right; also where no value at all of a side
        has an id.
    """
    table = open_table(source, layout)
    if not labels:
        inputs = replace(inputs, label=replace(inputs.label, kind="none", name=""))
    for side in SIDES:
        for column in inputs.side(side).columns:
            column_name(table, column.name, side)
    if inputs.label.kind != "none":
        column_name(table, inputs.label.name, "label")
    name = None if weight is None else column_name(table, weight, option("weight"))
    encoder = TableEncoder(inputs, num_classes=num_classes, kept_lens=kept_lens, weight=name)
    pairs = PairDataset.concatenate(block.pairs for block in encoder.blocks_of(table, progress))
    report = encoder.report
    for side in SIDES:
        if report.tokens[side] and report.unknown[side] == report.tokens[side]:
            columns = ", ".join(shown(column.name) for column in inputs.side(side).columns)
            raise CustomerError(
                f"No value of {columns} in {table.title} is known to {side}: all "
                f"{report.tokens[side]:,} are new; are these the columns that the model was "
                "trained on?"
            )
    if not len(pairs):
        raise CustomerError(
            f"{table.title} holds no row in which in0, in1 and label all have a value."
        )
    return pairs, report


def make_request(source: Any, choice: TableChoice, progress: Progress) -> Request:
    """Open a table and check what is asked of it; see `table_pairs`."""
    check_preset(choice.preset)
    table = open_table(source, choice.layout)
    sides = choices(choice.in0, "in0", table), choices(choice.in1, "in1", table)
    splitter, split = None, choice.split
    if split is not None:
        by, time = (
            None if given is None else column_name(table, given, option(field))
            for field, given in (("by", split.by), ("time", split.time))
        )
        splitter = Splitter(replace(split, by=by, time=time))
    name = None if choice.label is None else column_name(table, choice.label, option("label"))
    for side, columns in zip(SIDES, sides):
        for column in columns:
            check_name(str(column.name), option(side))
    _check_sides(sides)
    if name is not None:
        check_name(name, option("label"))
    _check_length(choice.max_length)
    tokenizer = None if choice.tokenizer is None else read_tokenizer(choice.tokenizer)
    return Request(
        table, sides, name, choice.label_kind, choice.tied, splitter, progress, choice.preset,
        tokenizer,
        None if choice.weight is None else column_name(table, choice.weight, option("weight")),
    )  # fmt: skip


def _check_sides(sides: tuple[tuple[ColumnChoice, ...], tuple[ColumnChoice, ...]]) -> None:
    """Refuse columns that are called in0 and in1 and belong to other sides than these."""
    known = [[str(column.name) for column in columns] for columns in sides]
    if set(known[0] + known[1]) <= set(SIDES) and known != [[side] for side in SIDES]:
        raise CustomerError(
            f"in0 names {names(known[0])} and in1 names {names(known[1])}, but these are also "
            "the names of the sides, so that a pair of in0 and in1 could be read in two ways: "
            "rename the columns, or let each side name the column of its own name."
        )


def _check_length(max_length: Any) -> None:
    """Raise a CustomerError unless a list may have so many tokens."""
    if type(max_length) is not int or not 1 <= max_length <= MOST_TOKENS:
        raise CustomerError(
            f"{option('max_length')} must be an integer from 1 to {MOST_TOKENS}, found "
            f"{shown(max_length)}."
        )


def asked_splits(split: Optional[Split]) -> list[str]:
    """Those of SPLITS that rows are shared out to."""
    return ["train", *(name for name in SPLITS[1:] if split is not None and getattr(split, name))]


def check_splits(report: Report, split: Optional[Split]) -> None:
    """Raise a CustomerError if a split that was asked for got no pair."""
    for name in asked_splits(split):
        if not report.pairs[name]:
            raise CustomerError(
                f"No row of the table's {report.rows:,} falls to {name}: take another share or "
                "another kind of split."
            )


class _IdsOfTexts:
    """The ids of single values in columns of Arrow, at a fifth of the time that Python needs."""

    def __init__(self, encoder: ColumnEncoder, vocabulary: Values) -> None:
        self._encoder = encoder
        self._vocabulary = vocabulary
        self._known: Any = None
        # a vocabulary of another kind may give ids to values that it does not hold yet
        self.is_usable = type(vocabulary) is Vocabulary and encoder.column.kind == "id"

    def of(self, texts: Any) -> np.ndarray:
        """int32, one for each text; null stands for a missing value."""
        arrow, compute = arrow_module(), arrow_module("compute")
        vocabulary = self._vocabulary
        assert isinstance(vocabulary, Vocabulary)
        if self._known is None:
            self._known = arrow.array(vocabulary.values, arrow.string())
        found = compute.index_in(texts, value_set=self._known)
        start = len(vocabulary) - len(vocabulary.values)
        places = found.fill_null(UNKNOWN - start).to_numpy(zero_copy_only=False) + np.int32(start)
        if texts.null_count and vocabulary.missing is not None:
            places[texts.is_null().to_numpy(zero_copy_only=False)] = vocabulary.missing
        return places + np.int32(self._encoder.first)


class TableEncoder:
    """Encodes the batches of a table.

    Parameters
    ----------
    inputs : Inputs
        Vocabularies and labels.
    max_length : int, optional
        Lists are cut to it, and the inputs' own maximum lengths become those of the longest lists
        that are found; None keeps these and cuts to them.
    num_classes : int, optional
        Labels that are numbers must be classes, below it.
    kept_lens : sequence of int, optional
        What lists are cut to in place of that.
    weight : str, optional
        The column of the rows' weights.

    Attributes
    ----------
    inputs : Inputs
        With the maximum lengths; complete after the last block.
    report : Report
        Of all blocks so far.
    """

    def __init__(
        self,
        inputs: Inputs,
        max_length: Optional[int] = None,
        num_classes: Optional[int] = None,
        kept_lens: Optional[Sequence[int]] = None,
        weight: Optional[str] = None,
    ) -> None:
        self._weight = weight
        self.inputs = inputs
        self.report = Report()
        self._num_classes = num_classes
        self._finds_length = max_length is not None
        self._limits = [
            max_length if max_length is not None else inputs.side(side).max_length for side in SIDES
        ]
        self._kept_lens = kept_lens or self._limits
        self._encoders = [
            [
                ColumnEncoder(column, inputs.vocabularies[column.vocabulary], first)
                for column, first in zip(inputs.side(side).columns, inputs.first_ids(side))
            ]
            for side in SIDES
        ]
        self._ids = [
            [
                _IdsOfTexts(encoder, inputs.vocabularies[encoder.column.vocabulary])
                for encoder in own
            ]
            for own in self._encoders
        ]

    def blocks(self, request: Request) -> Iterator[Block]:
        """The pairs of a table that the inputs were found in."""
        for batch, first in request.batches("encode"):
            splits = np.full(batch.rows, TRAIN, np.uint8)
            if request.splitter is not None:
                splits = request.splitter.assign(batch, first)
            yield self._block(batch, splits)

    def blocks_of(self, table: Table, progress: Progress) -> Iterator[Block]:
        """The pairs of another table, all of the split train."""
        columns = self.inputs.names
        if self.inputs.label.kind != "none":
            columns.append(self.inputs.label.name)
        columns += [] if self._weight is None else [self._weight]
        for batch in table.batches(list(dict.fromkeys(columns))):
            checkpoint()
            yield self._block(batch, np.full(batch.rows, TRAIN, np.uint8))
            if progress is not None:
                progress("encode", self.report.rows)

    def _block(self, batch: Batch, splits: np.ndarray) -> Block:
        read = Read(batch)
        kept = present(read, self.inputs.in0.columns) & present(read, self.inputs.in1.columns)
        labels = encoded_labels(self.inputs.label, batch, kept, self._num_classes)
        kept &= ~np.isnan(labels.reshape(len(labels), -1)).any(axis=1)
        weights = None
        if self._weight is not None:
            weights = encoded_weights(self._weight, batch, kept)
            kept &= ~np.isnan(weights)
        self._count_rows(batch, kept)
        sides = [self.side_lists(read, side) for side in range(len(SIDES))]
        if not kept.all():
            sides = [lists.take(kept) for lists in sides]
            labels, splits = labels[kept], splits[kept]
            weights = None if weights is None else weights[kept]
        for side, name in enumerate(SIDES):
            if any(column.explode for column in self.inputs.side(name).columns):
                times = sides[side].lengths
                labels, splits = np.repeat(labels, times, axis=0), np.repeat(splits, times)
                weights = None if weights is None else np.repeat(weights, times)
                sides[1 - side] = sides[1 - side].take(np.repeat(np.arange(len(times)), times))
                sides[side] = TokenLists.of_each(sides[side].tokens)
        truncated = self._count_tokens(sides)
        in0, in1 = (lists.truncate(most) for lists, most in zip(sides, self._kept_lens))
        for number, name in enumerate(SPLITS):
            self.report.pairs[name] += int(np.count_nonzero(splits == number))
        return Block(PairDataset(in0, in1, labels, truncated, weights), splits)

    def side_lists(self, read: Read, side: int) -> TokenLists:
        """The lists of a side (0 or 1) of all rows of a batch, not cut."""
        parts, repeats = [], []
        for place, encoder in enumerate(self._encoders[side]):
            found = read.distinct(encoder.column.name)
            ids = None
            if self._ids[side][place].is_usable and found.texts is not None:
                ids = self._ids[side][place].of(found.texts)
            else:
                with read.naming(encoder.column.name):
                    lists = encoder.encode(found.values)
                ids = lists.tokens if encoder.column.kind in ("id", "number") else None
            parts.append(
                lists.take(found.codes) if ids is None else TokenLists.of_each(ids[found.codes])
            )
            repeats.append(encoder.column.repeat)
        return joined(parts, repeats)

    def _count_rows(self, batch: Batch, kept: np.ndarray) -> None:
        left_out = batch.rows - int(np.count_nonzero(kept))
        if left_out and not self.report.left_out:
            self.report.first_left_out = batch.place(int(np.flatnonzero(~kept)[0]))
        self.report.rows += batch.rows
        self.report.left_out += left_out

    def _count_tokens(self, sides: list[TokenLists]) -> int:
        truncated = 0
        for side, lists, limit in zip(SIDES, sides, self._limits):
            self.report.tokens[side] += len(lists.tokens)
            self.report.unknown[side] += self.inputs.unseen(side, lists)
            longest = 1 if lists.are_single() else int(lists.lengths.max(initial=1))
            if longest > limit:
                truncated += int(np.count_nonzero(lists.lengths > limit))
            own = self.inputs.side(side)
            if self._finds_length and min(longest, limit) > own.max_length:
                own = replace(own, max_length=min(longest, limit))
                self.inputs = (
                    replace(self.inputs, in0=own)
                    if side == SIDES[0]
                    else replace(self.inputs, in1=own)
                )
        self.report.truncated += truncated
        return truncated


def _handed_over(blocks: list[PairDataset]) -> Iterator[PairDataset]:
    """The blocks one by one, so that each is freed once it was taken."""
    blocks.reverse()
    while blocks:
        yield blocks.pop()
