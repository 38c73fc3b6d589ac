# SPDX-License-Identifier: Apache-2.0
"""The distinct objects of a side, those of its vocabulary or given ones, and their names."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Optional

import numpy as np

from object2vec.data.arrays import TokenLists
from object2vec.data.record_checks import plain
from object2vec.errors import CustomerError
from object2vec.estimator.asked_objects import asked_objects, columns_of, tell_unseen
from object2vec.logs import LOGGER_NAME
from object2vec.raw_values.cell_values import canonical
from object2vec.raw_values.inputs import SIDES, Inputs, Vocabulary
from object2vec.raw_values.lookups import Lookups, lookups_in
from object2vec.text import counted, named, names, quoted

if TYPE_CHECKING:
    from object2vec.inference.predictor import Predictor
    from object2vec.prepare.delimited import Layout

_logger = logging.getLogger(LOGGER_NAME)
_instance = "instance {}, counting from 0".format
_BETWEEN_COLUMNS = " | "
_BETWEEN_TAGS = "|"
_GIVE = "give its objects, as a list, a file or a table"


class NamedLists(NamedTuple):
    """Names of n objects, each once, and the token list of each."""

    names: list[str]
    lists: TokenLists


def check_side(side: Any) -> None:
    """Raise a CustomerError unless this is a side."""
    if side not in SIDES:
        raise CustomerError(f"side must be in0 or in1, found {quoted(side)}.")


def vocabulary_objects(predictor: Predictor, side: str) -> NamedLists:
    """All objects that a side's vocabulary knows.

    Of a model that was trained on a table these are the values of the side's column, where it has
    a single one of the kind id, or exploded tags; of a model of ids whose lists hold one id each
    all ids, or those that have a word where there is a vocabulary file.

    Raises
    ------
    CustomerError
        The side has no vocabulary of whole objects, or an empty one.
    """
    inputs, encoder = predictor.inputs, predictor.hyperparameters.encoders[SIDES.index(side)]
    if inputs is not None:
        found = _of_column(inputs, side)
    else:
        if encoder.max_seq_len > 1:
            _refuse(side, f"lists of up to {encoder.max_seq_len:,} ids")
        ids = np.arange(encoder.vocab_size, dtype=np.int32)
        words = _words(predictor, side)
        if words is None:
            found = NamedLists([str(token) for token in range(len(ids))], TokenLists.of_each(ids))
        else:
            known = [token for token, word in enumerate(words) if word != f"<no word {token}>"]
            ids = np.array(known, np.int32)
            found = NamedLists([words[token] for token in known], TokenLists.of_each(ids))
    if not found.names:
        raise CustomerError(f"The vocabulary of {side} knows no object: {_GIVE}.")
    return found


def _of_column(inputs: Inputs, side: str) -> NamedLists:
    columns = inputs.side(side).columns
    if len(columns) > 1:
        _refuse(side, f"the columns {names(column.name for column in columns)} together")
    (column,) = columns
    vocabulary = inputs.vocabularies[column.vocabulary]
    if not isinstance(vocabulary, Vocabulary) or not (column.kind == "id" or column.explode):
        kinds = {"text": "texts", "tags": "several tags each", "number": "numbers"}
        _refuse(side, f"{kinds[column.kind]} (column {quoted(column.name)})")
    first = 1 + vocabulary.counts_missing
    ids = np.arange(first, len(vocabulary), dtype=np.int32)
    lengths = np.full(len(ids), column.repeat, np.int64)
    lists = TokenLists.from_lengths(np.repeat(ids, column.repeat), lengths)
    return NamedLists(list(vocabulary.values), lists)


def _refuse(side: str, objects: str) -> NoReturn:
    raise CustomerError(
        f"The objects of {side} are {objects}, of which no vocabulary holds all: {_GIVE}."
    )


def _words(predictor: Predictor, side: str) -> Optional[list[str]]:
    """The word of each id, of a model of ids that has a vocabulary file."""
    vocabulary = predictor.vocabularies[SIDES.index(side)]
    return None if vocabulary is None else list(vocabulary.idx_to_token)


def given_objects(
    predictor: Predictor,
    side: str,
    objects: Any,
    name: Optional[str] = None,
    layout: Optional[Layout] = None,
) -> NamedLists:
    """The distinct ones of given objects, in the order in which they come first.

    An object is called by its value; by the first of several columns where that tells all apart,
    else by the values of all, with `` | `` between them; by its ids, or their words, with blanks
    between them; or by a column of the given ones.

    Parameters
    ----------
    predictor : Predictor
        The model.
    side : str
        ``in0`` or ``in1``.
    objects : path-like, list of path-like, frame, table of Arrow, or iterable
        As `Object2Vec.embed` takes them, or files of them.
    name : str, optional
        The column, of the side or beside it, whose values are the names.
    layout : Layout, optional
        How files with separators are written.

    Raises
    ------
    CustomerError
        One sentence that names the first object that is not right; that two objects have one name;
        or that there is none at all.
    """
    inputs, settings = predictor.inputs, predictor.hyperparameters
    title = "the given objects"
    if _are_files(objects):
        title = named(objects)
        objects = objects_of_files(inputs, side, objects, layout)
    elif columns_of(objects) is None and isinstance(objects, Iterable):
        objects = objects if isinstance(objects, (str, bytes, Mapping)) else list(objects)
    if inputs is None and columns_of(objects) is not None:
        objects = _column(objects, side)
    collected = _Collected(side, name)
    if inputs is not None and columns_of(objects) is not None:
        _collect_rows(collected, inputs, side, objects, name)
    else:
        if inputs is None and name is not None:
            raise CustomerError(
                "A column names the objects of a table alone, but this model was trained on ids: "
                f"leave out {quoted(name)}."
            )
        lists = asked_objects(inputs, settings, side, _without_name(inputs, side, objects, name))
        words = None if inputs is not None else _words(predictor, side)
        cells = (_cells(inputs, side, plain(value), name, words) for value in objects)
        collected.add(cells, lists, _instance)
    return collected.result(title, settings.encoders[SIDES.index(side)].max_seq_len)


class _Collected:
    """Objects as they come, each taken once."""

    def __init__(self, side: str, name: Optional[str]) -> None:
        self._side, self._name = side, name
        self._known: dict[tuple[str, ...], Optional[bytes]] = {}
        self._parts: list[TokenLists] = []
        self._nameless = 0

    def add(self, cells: Iterable[tuple[str, ...]], lists: TokenLists, where: Any) -> None:
        """Take what is new of n objects, of which the texts of their columns are given."""
        rows = []
        for row, own in enumerate(cells):
            if not any(own):
                self._nameless += 1
            elif own not in self._known:
                # tokens follow from all cells, but not from a name
                self._known[own] = None if self._name is None else lists[row].tobytes()
                rows.append(row)
            elif self._name is not None and self._known[own] != lists[row].tobytes():
                raise CustomerError(
                    f"Two different objects of {self._side} have the name {quoted(own[0])} in the "
                    f"column {quoted(self._name)}, the second one in {where(row)}: name a column "
                    "that tells them apart, or none."
                )
        self._parts.append(lists.take(np.array(rows, np.int64)))

    def result(self, title: str, longest: int) -> NamedLists:
        """Names and lists, these cut to their longest length."""
        if self._nameless:
            _logger.warning(
                "Left out %s of %s without a value to be named by.",
                counted(self._nameless, "object"), title,
            )  # fmt: skip
        if not self._known:
            raise CustomerError(f"There is no object of {self._side} in {title}.")
        found = [cells[0] for cells in self._known]
        if not all(found) or len(set(found)) < len(found):
            found = [_BETWEEN_COLUMNS.join(filter(None, cells)) for cells in self._known]
        if len(set(found)) < len(found):
            # a value may hold what stands between two
            found = [_BETWEEN_COLUMNS.join(map(repr, cells)) for cells in self._known]
        return NamedLists(found, TokenLists.concatenate(self._parts).truncate(longest))


def _are_files(objects: Any) -> bool:
    """Whether objects are a path or a list of paths, of which texts are none: they may be names."""
    if isinstance(objects, (list, tuple)):
        return bool(objects) and all(isinstance(item, os.PathLike) for item in objects)
    return isinstance(objects, (str, os.PathLike))


def objects_of_files(
    inputs: Optional[Inputs], side: str, paths: Any, layout: Optional[Layout]
) -> Any:
    """The table that files hold, or the objects of the records of JSON Lines."""
    from object2vec.prepare.tables import json_records, open_by_names

    if inputs is not None:
        columns = [inputs.side(each).names for each in SIDES]
        table = open_by_names(paths, *columns, layout=layout)
        if side not in table.names or set(inputs.side(side).names) & set(table.names):
            return table
    each = paths if isinstance(paths, (list, tuple)) else [paths]
    found: list[Any] = []
    for record in (record for path in each for record in json_records(path)):
        if side not in record:
            raise CustomerError(
                f"{named(paths)} lacks {side} in {_instance(len(found))}; it holds {names(record)}."
            )
        found.append(record[side])
    return found


def _column(table: Any, side: str) -> list[Any]:
    """The lists of ids in the column of a frame or of a table of Arrow that is called as a side."""
    if side not in (known := columns_of(table) or []):
        raise CustomerError(
            f"The table has no column {side}, whose lists of ids are embedded; it has "
            f"{names(known)}."
        )
    column = table[side]
    return list(column.to_pylist() if hasattr(column, "to_pylist") else column)


def _collect_rows(
    collected: _Collected, inputs: Inputs, side: str, source: Any, name: Optional[str]
) -> None:
    from object2vec.prepare.row_lists import distinct_rows

    lookups = Lookups()
    for rows in distinct_rows(inputs, source, side, name):
        if name is None:
            cells = list(zip(*(map(_text, column) for column in rows.cells)))
        else:
            cells = [(_text(value),) for value in rows.cells[-1]]
        collected.add(cells, rows.lists, rows.place)
        lookups.add(lookups_in(inputs, side, rows.lists))
    tell_unseen({side: lookups})


def _without_name(inputs: Optional[Inputs], side: str, objects: Any, name: Optional[str]) -> Any:
    """Objects without a column that only names them."""
    if inputs is None or name is None or name in inputs.side(side).names:
        return objects
    return [
        {key: cell for key, cell in value.items() if key != name}
        if isinstance(value, Mapping)
        else value
        for value in objects
    ]


def _cells(
    inputs: Optional[Inputs],
    side: str,
    value: Any,
    name: Optional[str],
    words: Optional[Sequence[str]],
) -> tuple[str, ...]:
    """The texts by which an object is told from others and named."""
    if isinstance(value, Mapping):
        columns = [name] if name is not None or inputs is None else inputs.side(side).names
        return tuple(_text(value.get(column)) for column in columns)
    if name is not None and inputs is not None and name != inputs.side(side).names[0]:
        raise CustomerError(
            f"The object {quoted(value)} has no column {quoted(name)} to be named by: give dicts "
            "or a table."
        )
    if isinstance(value, list) and all(type(item) is int for item in value):
        if inputs is not None:
            # told from the raw value of the same digits
            return (str(value),)
        if words is not None:
            return (" ".join(words[item] if item < len(words) else str(item) for item in value),)
        return (" ".join(map(str, value)),)
    return (_text(value),)


def _text(value: Any) -> str:
    """A cell, or a list of tags, as a name; empty where it is missing."""
    if isinstance(value, (list, tuple)):
        return _BETWEEN_TAGS.join(_each(value))
    return canonical(value) or ""


def _each(values: Iterable[Any]) -> Iterator[str]:
    return (text for value in values if (text := canonical(value)))
