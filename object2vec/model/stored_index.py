# SPDX-License-Identifier: Apache-2.0
"""An index of a side's objects in a model directory: names, vectors, and how they are searched."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Optional

import numpy as np

from object2vec.data.arrays import TokenLists
from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.raw_values.inputs import SIDES, Inputs
from object2vec.raw_values.lookups import are_known
from object2vec.text import shown

METRICS = ("cosine", "dot", "euclidean")
FLOAT, INTEGER = "<f4", "<i4"
#: Of a codebook: into how many parts vectors are cut at most, and what a part may become.
MOST_PARTS, CODES = 128, 16
_MOST_OBJECTS = 100_000_000
_MOST_TOKENS = 2**31 - 1

#: Stores an array under a stem and a type, and gives the name of its file.
AddArray = Callable[[str, np.ndarray, str], str]
#: Gives the array of a file, of a type and a shape; None where only its head is checked.
GetArray = Callable[[str, str, tuple[int, ...]], Optional[np.ndarray]]


@dataclass(frozen=True, eq=False)
class Cells:
    """How vectors are shared out among cells, of which a search looks into the nearest alone.

    Parameters
    ----------
    centroids : numpy.ndarray
        float32, shape ``(c, width)``.
    of_objects : numpy.ndarray
        int32, shape ``(n,)``: the cell of each object.
    probes : int
        How many cells a search looks into.
    recall : float, optional
        The share of the 10 nearest that were found, when this was measured.
    codebook : numpy.ndarray, optional
        float32, shape ``(parts, 16, part_width)``: by what each part of a vector's difference from
        its centroid is coded, so that few vectors have to be compared as they are.
    """

    centroids: np.ndarray
    of_objects: np.ndarray
    probes: int
    recall: Optional[float] = None
    codebook: Optional[np.ndarray] = None


class LeftOut(NamedTuple):
    """Objects that are not to be found.

    Attributes
    ----------
    lists : TokenLists
        Those of which the model knows something.
    places : numpy.ndarray
        int64: where the others stand whose names the index knows.
    """

    lists: TokenLists
    places: np.ndarray


@dataclass(frozen=True, eq=False)
class StoredIndex:
    """The objects among which the nearest are looked for.

    Parameters
    ----------
    side : str
        ``in0`` or ``in1``: whose objects they are.
    names : tuple of str
        n names.
    lists : TokenLists
        n token lists, by which an object is known.
    vectors : numpy.ndarray
        float32, shape ``(n, enc_dim)``: the embeddings.
    metric : str
        One of `METRICS`: how objects of one side are compared.
    cells : mapping of str to Cells
        By the side of the object that is asked about; where there are none, all vectors are
        compared.
    """

    side: str
    names: tuple[str, ...]
    lists: TokenLists
    vectors: np.ndarray
    metric: str = "cosine"
    cells: Mapping[str, Cells] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.lists) == len(self.vectors):
            raise ValueError(
                f"{len(self.names)} names, {len(self.lists)} lists and vectors of the shape "
                f"{self.vectors.shape}"
            )

    def __len__(self) -> int:
        return len(self.names)

    @functools.cached_property
    def places_by_name(self) -> dict[str, int]:
        """Where each name stands; the first place of one that stands twice."""
        return {self.names[place]: place for place in reversed(range(len(self)))}

    def called(
        self, values: Sequence[Any], lists: TokenLists, inputs: Optional[Inputs]
    ) -> TokenLists:
        """The token lists of objects, of which some may be called as the index calls them.

        Parameters
        ----------
        values : sequence
            What ``n`` objects of this side are called.
        lists : TokenLists
            What was made of that as of raw values, ``n``.
        inputs : Inputs, optional
            Of the model; None for one of ids alone, whose objects have no other names. Only a list
            without any known id gives way to the one of a name.
        """
        if inputs is None:
            return lists
        known = are_known(inputs, self.side, lists)
        # the names are looked into for unknown values alone: there may be millions
        places = {
            row: self.places_by_name[value]
            for row, value in enumerate(values)
            if not known[row] and isinstance(value, str) and value in self.places_by_name
        }
        if not places:
            return lists
        parts = [
            self.lists[places[row]] if row in places else lists[row] for row in range(len(lists))
        ]
        lengths = np.array([len(part) for part in parts], np.int32)
        return TokenLists.from_lengths(np.concatenate(parts), lengths)

    def left_out(
        self, values: Sequence[Any], lists: TokenLists, inputs: Optional[Inputs]
    ) -> LeftOut:
        """What is not to be found, of objects that may be called as in `called`.

        Parameters
        ----------
        values, lists, inputs
            As of `called`; without values no object is known by its name.
        """
        nowhere = np.zeros(0, np.int64)
        if inputs is None:
            return LeftOut(lists, nowhere)
        known = are_known(inputs, self.side, lists)
        if known.all():
            return LeftOut(lists, nowhere)
        asked = (value for value, is_known in zip(values, known) if not is_known)
        places = [
            self.places_by_name[value]
            for value in asked
            if isinstance(value, str) and value in self.places_by_name
        ]
        # all that training has not seen have one list, which would leave all of them out
        return LeftOut(lists.take(known), np.unique(np.array(places, np.int64)))


def index_bytes(index: StoredIndex, add: AddArray) -> bytes:
    """The JSON of an index whose arrays are stored by `add`."""
    number = index.side[-1]
    content = {
        "side": index.side,
        "metric": index.metric,
        "objects": len(index),
        "tokens": len(index.lists.tokens),
        "vectors_file": add(f"vectors{number}", index.vectors, FLOAT),
        "tokens_file": add(f"tokens{number}", index.lists.tokens, INTEGER),
        "lengths_file": add(f"lengths{number}", index.lists.lengths, INTEGER),
        "cells": {asked: _cells(cells, number, add) for asked, cells in index.cells.items()},
        "names": index.names,
    }
    return json.dumps(content, ensure_ascii=False).encode()


def _cells(cells: Cells, number: str, add: AddArray) -> dict[str, Any]:
    content = {
        "count": len(cells.centroids),
        "width": cells.centroids.shape[1],
        "probes": cells.probes,
        "recall": cells.recall,
        "centroids_file": add(f"centroids{number}", cells.centroids, FLOAT),
        "cells_file": add(f"cells{number}", cells.of_objects, INTEGER),
    }
    if cells.codebook is not None:
        content["parts"], _, content["part_width"] = cells.codebook.shape
        content["codebook_file"] = add(f"codebook{number}", cells.codebook, FLOAT)
    return content


def read_index(
    values: Any, side: str, hyperparameters: Hyperparameters, path: Path, get: GetArray
) -> Optional[StoredIndex]:
    """An index from its JSON.

    Parameters
    ----------
    values
        What the JSON holds.
    side : str
        ``in0`` or ``in1``: the side that it should be of.
    hyperparameters : Hyperparameters
        Of the model.
    path : Path
        Where it was read, for errors.
    get : callable
        See `GetArray`.

    Returns
    -------
    StoredIndex or None
        None where `get` gives nothing, as when only heads are checked.

    Raises
    ------
    CustomerError
        For the first thing that is not right.
    """
    return _Reader(values, path, get).index(side, hyperparameters)


class _Reader:
    """Takes the fields of an index one by one; each method refuses what is not right."""

    def __init__(self, values: Any, path: Path, get: GetArray) -> None:
        self._path, self._get = path, get
        self._values = self._object(values, "the index")

    def index(self, side: str, hyperparameters: Hyperparameters) -> Optional[StoredIndex]:
        values = self._values
        if values.get("side") != side:
            self._refuse("'side'", shown(values.get("side")), side)
        metric = values.get("metric")
        if not isinstance(metric, str) or metric not in METRICS:
            self._refuse("'metric'", shown(metric), f"one of {', '.join(METRICS)}")
        count = self._number(values, "objects", 1, _MOST_OBJECTS)
        total = self._number(values, "tokens", 0, _MOST_TOKENS)
        names = self._names(values.get("names"), count)
        encoder = hyperparameters.encoders[SIDES.index(side)]
        vectors = self._array(values, "vectors_file", FLOAT, (count, hyperparameters.enc_dim))
        tokens = self._array(values, "tokens_file", INTEGER, (total,))
        lengths = self._array(values, "lengths_file", INTEGER, (count,))
        cells = {
            asked: self._cells(given, f"'cells' of {asked}", count, hyperparameters.enc_dim)
            for asked, given in self._object(values.get("cells"), "'cells'").items()
            if asked in SIDES or self._refuse("a key of 'cells'", shown(asked), "in0 or in1")
        }
        if vectors is None or tokens is None or lengths is None:
            return None
        self._within(tokens, "the tokens", encoder.vocab_size)
        self._within(lengths, "the lengths", encoder.max_seq_len + 1)
        if int(lengths.sum(dtype=np.int64)) != total:
            self._refuse("the lengths", f"the sum {lengths.sum(dtype=np.int64)}", f"of {total}")
        lists = TokenLists.from_lengths(tokens, lengths)
        return StoredIndex(side, names, lists, vectors, metric, {
            asked: own for asked, own in cells.items() if own is not None
        })  # fmt: skip

    def _names(self, names: Any, count: int) -> tuple[str, ...]:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self._refuse("'names'", shown(names), "a list of texts")
        if len(names) != count:
            self._refuse("'names'", f"{len(names)} texts", f"{count}, one for each object")
        try:
            "".join(names).encode()
        except UnicodeEncodeError:
            self._refuse("'names'", "half a character", "texts that UTF-8 can write")
        return tuple(names)

    def _cells(self, given: Any, where: str, count: int, enc_dim: int) -> Optional[Cells]:
        values = self._object(given, where)
        number = self._number(values, "count", 1, count, where)
        # hadamard and concat take two columns more than an embedding has
        width = self._number(values, "width", 1, enc_dim + 2, where)
        probes = self._number(values, "probes", 1, number, where)
        recall = values.get("recall")
        if recall is not None and (type(recall) not in (int, float) or not 0 <= recall <= 1):
            self._refuse(f"'recall' in {where}", shown(recall), "a number from 0 to 1")
        centroids = self._array(values, "centroids_file", FLOAT, (number, width), where)
        of_objects = self._array(values, "cells_file", INTEGER, (count,), where)
        codebook = None
        if "codebook_file" in values:
            parts = self._number(values, "parts", 1, MOST_PARTS, where)
            least = -(-width // parts)
            part_width = self._number(values, "part_width", least, 2 * least, where)
            shape = (parts, CODES, part_width)
            codebook = self._array(values, "codebook_file", FLOAT, shape, where)
        if centroids is None or of_objects is None:
            return None
        self._within(of_objects, f"the cells of objects in {where}", number)
        return Cells(centroids, of_objects, probes, recall, codebook)

    def _array(
        self, values: dict[str, Any], key: str, dtype: str, shape: tuple[int, ...], where: str = ""
    ) -> Optional[np.ndarray]:
        name = values.get(key)
        if not isinstance(name, str):
            self._refuse(f"{key!r}{where and f' in {where}'}", shown(name), "the name of a file")
        return self._get(name, dtype, shape)

    def _within(self, array: np.ndarray, what: str, end: int) -> None:
        if len(array) and not 0 <= array.min() <= array.max() < end:
            found = f"{array.min()} to {array.max()}"
            self._refuse(what, found, f"from 0 to {end - 1}")

    def _number(
        self, values: dict[str, Any], key: str, least: int, most: int, where: str = ""
    ) -> int:
        value = values.get(key)
        if type(value) is not int or not least <= value <= most:
            wanted = f"a whole number from {least} to {most}"
            self._refuse(f"{key!r}{where and f' in {where}'}", shown(value), wanted)
        return value

    def _object(self, value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._refuse(where, shown(value), "an object")
        return value

    def _refuse(self, where: str, found: str, wanted: str) -> NoReturn:
        raise CustomerError(
            f"{self._path} gives {found} for {where}, but it should be {wanted}: build the index "
            "anew."
        )
