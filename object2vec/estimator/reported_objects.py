# SPDX-License-Identifier: Apache-2.0
"""The objects that a report maps: which, what they are called, what colours them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

import numpy as np

from object2vec.data.arrays import PairDataset
from object2vec.errors import CustomerError
from object2vec.estimator.asked_objects import columns_of
from object2vec.estimator.named_objects import NamedLists, given_objects, vocabulary_objects
from object2vec.raw_values.inputs import SIDES, Inputs
from object2vec.report.content import Content
from object2vec.report.neighbours import nearest_of_each
from object2vec.report.object_columns import (
    ObjectColumn,
    ObjectTable,
    read_object_table,
    scale,
)
from object2vec.report.page import MOST_POINTS
from object2vec.report.payloads import MapSide
from object2vec.report.projections import projections
from object2vec.text import names

if TYPE_CHECKING:
    from object2vec.inference.predictor import Predictor
    from object2vec.prepare.delimited import Layout

_NEIGHBOURS = 10


@dataclass(frozen=True, eq=False)
class MapRequest:
    """What is said of the map; see `Object2Vec.report`.

    Parameters
    ----------
    objects : list
        Tables of objects.
    sources : list
        Data whose objects are taken where no vocabulary holds them.
    colours : sequence of str, optional
        Columns.
    name : str, optional
        The column that names objects.
    projections : sequence of str
        Of `projections.PROJECTIONS`.
    layout : Layout, optional
        How files with separators are written.
    points : int
        How many objects the map shows at most.
    counted : PairDataset, optional
        Pairs in which objects are counted.
    """

    objects: Sequence[Any]
    sources: Sequence[Any]
    colours: Optional[Sequence[str]]
    name: Optional[str]
    projections: Sequence[str]
    layout: Optional[Layout] = None
    points: int = MOST_POINTS
    counted: Optional[PairDataset] = None


class Mapped(NamedTuple):
    """The sides of a map, and why another side has none."""

    sides: list[MapSide]
    unmapped: list[str]


def mapped(predictor: Predictor, request: MapRequest, title_of: Content) -> Mapped:
    """Embed the objects of both sides and lay them out.

    Raises
    ------
    CustomerError
        A table belongs to no side, or lacks a column.
    """
    tables = _tables(predictor.inputs, request)
    found: dict[str, NamedLists] = {}
    unmapped = []
    for side in _sides(predictor):
        try:
            found[side] = _objects(predictor, side, request, tables.get(side))
        except CustomerError as error:
            if side in tables:
                raise
            unmapped.append(f"There is no map of {title_of.called(side)}: {error.message}")
    shares = shared([len(objects.names) for objects in found.values()], request.points)
    sides = [
        _side(predictor, side, objects, most, request, tables.get(side), title_of.called(side))
        for (side, objects), most in zip(found.items(), shares)
        if most
    ]
    return Mapped(sides, unmapped)


def shared(counts: Sequence[int], most: int) -> list[int]:
    """How many of each are taken: all of the few, and of the others equally many.

    Examples
    --------
    >>> shared([943, 1682], 50_000), shared([100_000, 20_000], 50_000), shared([9, 9], 6)
    ([943, 1682], [30000, 20000], [3, 3])
    """
    taken = [0] * len(counts)
    for left, place in enumerate(sorted(range(len(counts)), key=lambda at: counts[at])):
        taken[place] = min(counts[place], (most - sum(taken)) // (len(counts) - left))
    return taken


def _sides(predictor: Predictor) -> list[str]:
    """What belongs together is found among in1, which comes first."""
    settings = predictor.hyperparameters
    are_alike = settings.tied_encoders and (predictor.inputs is None or predictor.inputs.tied)
    return [SIDES[1]] if are_alike else [SIDES[1], SIDES[0]]


def _tables(inputs: Optional[Inputs], request: MapRequest) -> dict[str, ObjectTable]:
    """The table of each side's objects, as the columns say whose it is."""
    found: dict[str, ObjectTable] = {}
    keys = {side: side if inputs is None else inputs.side(side).names[0] for side in SIDES}
    for source in request.objects:
        # in1 first: of tied sides the same column names both
        table = read_object_table(source, [keys["in1"], keys["in0"]], request.layout)
        found.update((side, table) for side, key in keys.items() if key == table.key)
    if request.name is not None or request.colours is not None:
        wanted = [*([request.name] if request.name else []), *(request.colours or ())]
        for column in wanted:
            known = [name for table in found.values() for name in table.columns]
            if column not in known and not _is_own(inputs, column):
                raise CustomerError(
                    f"No table of objects has the column {column!r}; they have "
                    f"{names(dict.fromkeys(known)) or 'none'}."
                )
    return found


def _is_own(inputs: Optional[Inputs], column: str) -> bool:
    return inputs is not None and any(column in inputs.side(side).names[1:] for side in SIDES)


def _objects(
    predictor: Predictor, side: str, request: MapRequest, table: Optional[ObjectTable]
) -> NamedLists:
    """Those of the vocabulary, else of the table of objects, else of the data."""
    try:
        return vocabulary_objects(predictor, side)
    except CustomerError:
        sources = [*request.objects, *request.sources]
        for source in sources:
            try:
                return given_objects(predictor, side, source, layout=request.layout)
            except CustomerError:
                # perhaps a table of the other side
                if source is sources[-1]:
                    raise
        raise


def _side(
    predictor: Predictor, side: str, objects: NamedLists, most: int, request: MapRequest,
    table: Optional[ObjectTable], title: str,
) -> MapSide:  # fmt: skip
    note = ""
    if most < len(objects.names):
        note = f"Of {len(objects.names):,} objects the first {most:,} are shown"
        note += ", the most frequent ones." if _is_by_frequency(predictor, side) else "."
    keys, lists = objects.names[:most], objects.lists.take(slice(0, most))
    vectors = predictor.embeddings(int(side[-1]), lists)
    rows, cosines = nearest_of_each(vectors, _NEIGHBOURS)
    columns: list[ObjectColumn] = []
    called = list(keys)
    if table is not None:
        own = (
            None if request.colours is None else [c for c in request.colours if c in table.columns]
        )
        columns = table.colours(keys, own)
        if request.name is not None and request.name in table.columns:
            called = table.names_by(request.name, keys)
    else:
        columns = _own_columns(predictor.inputs, side, request, keys)
    if request.counted is not None and lists.are_single():
        columns.append(_counts(lists.tokens, getattr(request.counted, side).tokens))
    return MapSide(
        side, title, note, called, projections(vectors, request.projections), rows, cosines, columns
    )


def _is_by_frequency(predictor: Predictor, side: str) -> bool:
    return predictor.inputs is not None and len(predictor.inputs.side(side).columns) == 1


def _own_columns(
    inputs: Optional[Inputs], side: str, request: MapRequest, keys: Sequence[str]
) -> list[ObjectColumn]:
    """The side's further columns, as the data have them for each object."""
    further = [] if inputs is None else inputs.side(side).names[1:]
    if request.colours is not None:
        further = [name for name in further if name in request.colours]
    for source in request.sources if further else ():
        if not _may_be_table(source):
            continue
        try:
            table = read_object_table(source, inputs.side(side).names[:1], request.layout)  # type: ignore[union-attr]
            known = [name for name in further if name in table.columns]
            return table.colours(keys, known)
        except CustomerError:
            continue
    return []


def _may_be_table(source: Any) -> bool:
    return isinstance(source, (str, os.PathLike, list)) or columns_of(source) is not None


def _counts(ids: np.ndarray, tokens: np.ndarray) -> ObjectColumn:
    counts = np.bincount(tokens, minlength=int(ids.max(initial=0)) + 1)[ids]
    return scale("occurrences", counts.astype(np.float64))


def listed(given: Any) -> list[Any]:
    """One source or several as a list; a list of dicts is a single one, an empty list none."""
    if given is None or (isinstance(given, (list, tuple)) and not given):
        return []
    if isinstance(given, (list, tuple)) and not _are_rows(given):
        return list(given)
    return [given]


def _are_rows(given: Iterable[Any]) -> bool:
    return all(isinstance(row, dict) for row in given)
