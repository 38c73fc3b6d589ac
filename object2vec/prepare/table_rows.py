# SPDX-License-Identifier: Apache-2.0
"""Encodes every row of a table that a model is asked about, and gives such a table answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from object2vec.data.arrays import TokenLists
from object2vec.prepare.table_batch import Read
from object2vec.prepare.table_pairs import TableEncoder
from object2vec.prepare.tables import column_name, open_table
from object2vec.raw_values.inputs import SIDES, Inputs


def encode_rows(inputs: Inputs, source: Any, sides: Sequence[str] = SIDES) -> list[TokenLists]:
    """Encode sides of a table, each row of it, so that answers stand in the order of the rows.

    Unlike `encode_table` no row is left out: a value that is missing has the id of missing values,
    or else that of unknown ones.

    Parameters
    ----------
    inputs : Inputs
        What training kept; its columns are looked for by name.
    source : path-like, list of path-like, frame, table of Arrow, or list of dicts
        See `tables.open_table`.
    sides : sequence of str
        ``"in0"``, ``"in1"`` or both.

    Returns
    -------
    list of TokenLists
        For each of the sides n lists, not cut to its maximum length.

    Raises
    ------
    CustomerError
        If a column is missing, or a value is none of a cell.
    """
    table = open_table(source)
    columns = {side: [column.name for column in inputs.side(side).columns] for side in sides}
    for side in sides:
        for name in columns[side]:
            column_name(table, name, side)
    encoder = TableEncoder(inputs)
    found: list[list[TokenLists]] = [[TokenLists.of_each(np.zeros(0, np.int32))] for _ in sides]
    used = list(dict.fromkeys(name for side in sides for name in columns[side]))
    for batch in table.batches(used):
        read = Read(batch)
        for place, side in enumerate(sides):
            found[place].append(encoder.side_lists(read, SIDES.index(side)))
    return [TokenLists.concatenate(parts) for parts in found]
