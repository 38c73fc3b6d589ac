# SPDX-License-Identifier: Apache-2.0
"""What colours the objects of a map: columns of a table of these, as groups or as steps."""

from __future__ import annotations

import collections
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np

from object2vec.errors import CustomerError
from object2vec.raw_values.cell_values import canonical, number
from object2vec.raw_values.tokenizers import separator_of, tags
from object2vec.report.charts import number as shown_number
from object2vec.text import bounded, names, quoted

#: Columns that are offered without being asked for, and labels that such a one may have.
MOST_COLUMNS = 6
_MOST_LABELS = 60
_MOST_STEPS = 5  # colours of a scale
_FEW_NUMBERS = 8  # that are groups rather than a scale
_LONGEST_LABEL = 60
_SAMPLE = 1000


@dataclass(frozen=True, eq=False)
class ObjectColumn:
    """A column as the page's script takes it.

    Parameters
    ----------
    name : str
        Of the column.
    values : numpy.ndarray
        Shape ``(n,)``: float32 numbers, NaN where there is none; or int places in `cells`.
    labels : sequence of str
        Of groups, the most frequent one first; none of numbers.
    cells : sequence of list of int
        The combinations of labels that occur.
    edges, ranges : sequence of float, of str
        Where the steps of a scale meet, and what each is called.
    """

    name: str
    values: np.ndarray
    labels: Sequence[str] = ()
    cells: Sequence[Sequence[int]] = ()
    edges: Sequence[float] = ()
    ranges: Sequence[str] = field(default_factory=list)

    def header(self) -> dict[str, Any]:
        """What of it stands in JSON."""
        name = bounded(self.name, _LONGEST_LABEL)
        if self.ranges:
            ranges = list(self.ranges)
            return {"name": name, "kind": "number", "edges": list(self.edges), "ranges": ranges}
        labels = [bounded(label, _LONGEST_LABEL) for label in self.labels]
        return {"name": name, "kind": "groups", "labels": labels, "cells": list(self.cells)}


@dataclass(frozen=True, eq=False)
class ObjectTable:
    """A table of objects.

    Parameters
    ----------
    title : str
        Its name in sentences.
    key : str
        The column that names the objects.
    places : mapping of str to int
        Of each name the row, of several the first.
    columns : mapping of str to list
        The others, with a value for each row of `places`.
    """

    title: str
    key: str
    places: Mapping[str, int]
    columns: Mapping[str, list[Any]]

    def names_by(self, column: str, objects: Sequence[str]) -> list[str]:
        """What a column calls objects; those that it does not know keep their names.

        Raises
        ------
        CustomerError
            There is no such column.
        """
        self._check(column)
        cells = self.columns[column]
        found = (self.places.get(name) for name in objects)
        texts = (None if row is None else _text(cells[row]) for row in found)
        return [text or name for text, name in zip(texts, objects)]

    def colours(
        self, objects: Sequence[str], wanted: Optional[Sequence[str]]
    ) -> list[ObjectColumn]:
        """Columns for objects, those asked for, or those that make groups or a scale.

        Raises
        ------
        CustomerError
            There is no such column.
        """
        for name in wanted or ():
            self._check(name)
        rows = [self.places.get(name, -1) for name in objects]
        found = []
        for name in self.columns if wanted is None else wanted:
            cells = self.columns[name]
            column = column_of(name, [None if row < 0 else cells[row] for row in rows])
            if wanted is not None or _is_telling(column, len(objects)):
                found.append(column)
        return found if wanted is not None else found[:MOST_COLUMNS]

    def _check(self, column: str) -> None:
        if column not in self.columns:
            raise CustomerError(
                f"{self.title} has no column {quoted(column)} beside {quoted(self.key)}; it has "
                f"{names(self.columns) or 'none'}."
            )


def read_object_table(source: Any, keys: Sequence[str], layout: Any = None) -> ObjectTable:
    """Read a table that has a row for each object; of several rows the first one counts.

    Parameters
    ----------
    source : path-like, frame, table of Arrow, list of dicts, or an open table
        See `prepare.tables.open_table`.
    keys : sequence of str
        Columns that may name the objects: the first that it has does.
    layout : Layout, optional
        How files with separators are written.

    Raises
    ------
    CustomerError
        It cannot be read, or has none of these columns.
    """
    from object2vec.prepare.table_batch import Read
    from object2vec.prepare.tables import open_by_names

    table = open_by_names(source, list(keys), layout=layout)
    key = next((name for name in keys if name in table.names), None)
    if key is None:
        raise CustomerError(
            f"{table.title} has none of the columns {names(keys)}, by which its rows belong to "
            f"objects; it has {names(table.names)}."
        )
    others = [name for name in table.names if name != key]
    places: dict[str, int] = {}
    columns: dict[str, list[Any]] = {name: [] for name in others}
    for batch in table.batches([key, *others]):
        read = Read(batch)
        found = read.distinct(key)
        _, firsts = np.unique(found.codes, return_index=True)
        rows = []
        for row in sorted(firsts.tolist()):
            name = _text(found.values[found.codes[row]])
            if name and name not in places:
                places[name] = len(places)
                rows.append(row)
        for other, cells in columns.items():
            known = read.distinct(other)
            values = known.values
            cells.extend(values[code] for code in known.codes[rows].tolist())
    return ObjectTable(table.title, key, places, columns)


def column_of(name: str, cells: Sequence[Any]) -> ObjectColumn:
    """A column of groups, tags or numbers, as its cells are."""
    numbers = _numbers(cells)
    if numbers is not None and len(np.unique(numbers[np.isfinite(numbers)])) > _FEW_NUMBERS:
        return scale(name, numbers)
    texts = [cell for cell in cells[:_SAMPLE] if isinstance(cell, str) and cell]
    barred = sum("|" in text for text in texts)
    listed = sum(text[0] == "[" and text[-1] == "]" for text in texts)
    has_tags = max(5 * barred, 2 * listed) >= len(texts) > 0
    separator = separator_of(texts) if has_tags else None
    each = [_tags(cell, separator) for cell in cells]
    counts = collections.Counter(tag for own in each for tag in dict.fromkeys(own))
    labels = sorted(counts, key=lambda tag: (-counts[tag], tag))
    ranks = {tag: rank for rank, tag in enumerate(labels)}
    combinations: dict[tuple[int, ...], int] = {}
    values = [
        combinations.setdefault(tuple(ranks[tag] for tag in dict.fromkeys(own)), len(combinations))
        for own in each
    ]
    cells_of = [list(found) for found in combinations]
    return ObjectColumn(name, np.array(values, np.int64), labels=labels, cells=cells_of)


def scale(name: str, numbers: np.ndarray) -> ObjectColumn:
    """A column of numbers, float64 ``(n,)``, whose steps hold about equally many of them."""
    finite = numbers[np.isfinite(numbers)].astype(np.float32)
    shares = np.linspace(0, 1, _MOST_STEPS + 1)[1:-1]
    edges = np.unique(np.quantile(finite, shares, method="nearest"))
    edges = edges[edges > finite.min()]
    ends = [float(finite.min()), *edges.tolist(), float(finite.max())]
    # of whole numbers the steps are named by their first and last one
    whole = bool(np.all(finite == np.rint(finite)))
    ranges = []
    for place, (low, high) in enumerate(zip(ends, ends[1:])):
        last = high - 1 if whole and place < len(ends) - 2 else high
        told = (_plain(low), _plain(last))
        ranges.append(told[0] if told[0] == told[1] else f"{told[0]} – {told[1]}")
    return ObjectColumn(name, numbers.astype(np.float32), edges=edges.tolist(), ranges=ranges)


def _plain(value: float) -> str:
    # a year has no comma
    is_year = value == int(value) and abs(value) < 100_000
    return str(int(value)) if is_year else shown_number(value)


def _numbers(cells: Sequence[Any]) -> Optional[np.ndarray]:
    found = []
    for cell in cells:
        if isinstance(cell, (list, tuple, dict)) or hasattr(cell, "isoformat"):
            return None
        value = number(cell)
        if value is None:
            return None
        found.append(value)
    values = np.array(found, np.float64)
    return values if np.isfinite(values.astype(np.float32)).any() else None


def _is_telling(column: ObjectColumn, objects: int) -> bool:
    if column.ranges:
        return True
    return 1 < len(column.labels) <= min(_MOST_LABELS, max(2, objects // 2))


def _tags(cell: Any, separator: Optional[str]) -> list[str]:
    if isinstance(cell, (list, tuple)):
        return [text for value in cell if (text := _text(value))]
    text = _text(cell)
    if not text:
        return []
    return tags(text, separator) if separator is not None else [text]


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple, dict)):
        return ""
    if isinstance(value, float) and math.isnan(value):
        return ""
    return canonical(value) or ""
