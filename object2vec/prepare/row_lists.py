# SPDX-License-Identifier: Apache-2.0
"""Encodes the rows of a table that a model is asked about, each row, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Optional

import numpy as np

from object2vec.data.arrays import TokenLists
from object2vec.errors import CustomerError
from object2vec.prepare.delimited import Layout
from object2vec.prepare.table_batch import Batch, Read, Table
from object2vec.prepare.table_pairs import TableEncoder
from object2vec.prepare.tables import column_name, open_by_names
from object2vec.raw_values.encode_values import check_exploded
from object2vec.raw_values.inputs import SIDES, Inputs
from object2vec.text import names


class AskedTable(NamedTuple):
    """A table, and which sides of a model its columns are, one or both of `SIDES`."""

    table: Table
    sides: tuple[str, ...]


class RowLists(NamedTuple):
    """The token lists of some rows, None for a side that the table does not have; not cut."""

    in0: Optional[TokenLists]
    in1: Optional[TokenLists]


class DistinctRows(NamedTuple):
    """Rows of one side of which no two hold the same: `cells` of each column, token lists, not cut.

    ``place(i)`` says where row i stands.
    """

    cells: list[list[Any]]
    lists: TokenLists
    place: Callable[[int], str]


def open_asked_table(inputs: Inputs, source: Any, layout: Optional[Layout] = None) -> AskedTable:
    """Open a table that holds the columns of one side of a model, or of both.

    Parameters
    ----------
    inputs : Inputs
        What training kept; where its columns are positions and no header names them so, there is
        none.
    source : path-like, list of path-like, frame, table of Arrow, or list of dicts
        See `tables.open_table`.
    layout : Layout, optional
        How files with separators are written.

    Raises
    ------
    CustomerError
        If there is no table, or a column is missing in it.
    """
    columns = {side: inputs.side(side).names for side in SIDES}
    table = open_by_names(source, *columns.values(), layout=layout)
    held = tuple(side for side in SIDES if set(columns[side]) & set(table.names))
    if not held:
        wanted = "; ".join(f"{side} has {names(columns[side])}" for side in SIDES)
        raise CustomerError(
            f"{table.title} has none of the model's columns: {wanted}; it has {names(table.names)}."
        )
    for side in held:
        for name in columns[side]:
            column_name(table, name, side)
    return AskedTable(table, held)


def row_lists(inputs: Inputs, asked: AskedTable) -> Iterator[RowLists]:
    """Encode a table batch by batch.

    Unlike `encode_table` no row is left out, so that each can be answered: a missing value has the
    id of missing values, or else that of unknown ones.

    Raises
    ------
    CustomerError
        If a value is none of a cell, a row has several tags where each was a pair of its own, or a
        file cannot be read.
    """
    encoder = TableEncoder(inputs)
    used = [name for side in asked.sides for name in inputs.side(side).names]
    for batch in asked.table.batches(list(dict.fromkeys(used))):
        read = Read(batch)
        found: dict[str, Optional[TokenLists]] = dict.fromkeys(SIDES)
        for number, side in enumerate(SIDES):
            if side in asked.sides:
                found[side] = lists = encoder.side_lists(read, number)
                check_exploded(inputs, side, lists, batch.place)
        yield RowLists(**found)


def distinct_rows(
    inputs: Inputs, source: Any, side: str, beside: Optional[str] = None
) -> Iterator[DistinctRows]:
    """Encode one side of a table batch by batch, of equal rows of a batch the first one alone.

    Parameters
    ----------
    inputs, source
        As of `open_asked_table`.
    side : str
        ``in0`` or ``in1``.
    beside : str, optional
        A column whose cells follow on those of the side, and tell rows apart as these do.

    Raises
    ------
    CustomerError
        As `open_asked_table` and `row_lists`.
    """
    table, _ = open_asked_table(inputs, source)
    wanted = [*inputs.side(side).names, *([] if beside is None else [beside])]
    for name in wanted:
        column_name(table, name, side if name != beside else "name")
    encoder, number = TableEncoder(inputs), SIDES.index(side)
    for batch in table.batches(list(dict.fromkeys(wanted))):
        read = Read(batch)
        columns = [read.distinct(name) for name in wanted]
        rows = _first_rows([column.codes for column in columns])

        def place(row: int, batch: Batch = batch, rows: np.ndarray = rows) -> str:
            return batch.place(int(rows[row]))

        lists = encoder.side_lists(read, number).take(rows)
        check_exploded(inputs, side, lists, place)
        cells = [[column.values[code] for code in column.codes[rows]] for column in columns]
        yield DistinctRows(cells, lists, place)


def _first_rows(codes: list[np.ndarray]) -> np.ndarray:
    """Where each combination of codes comes first, ascending, int64."""
    combined = np.zeros(len(codes[0]), np.int64)
    for each in codes:
        # numbered anew after each column, so that no product is too large
        _, combined = np.unique(
            combined * (int(each.max(initial=0)) + 1) + each, return_inverse=True
        )
    _, first = np.unique(combined, return_index=True)
    return np.sort(first)
