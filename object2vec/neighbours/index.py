# SPDX-License-Identifier: Apache-2.0
"""The objects of one side, and which of them are the nearest to an object of either side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple, Optional

import numpy as np

from object2vec.data.arrays import TokenLists
from object2vec.data.negative_sampling import fingerprints
from object2vec.errors import CustomerError
from object2vec.inference.every_pair import probabilities
from object2vec.inference.sound_answers import finite
from object2vec.model.stored_index import LeftOut, StoredIndex
from object2vec.neighbours.cell_search import MEASURED, CellSearch
from object2vec.neighbours.exact_search import Exact, Found, best
from object2vec.neighbours.searched_space import (
    Answering,
    SearchedSpace,
    default_classes,
    searched_space,
)
from object2vec.raw_values.inputs import SIDES


class Nearest(NamedTuple):
    """What was found.

    Attributes
    ----------
    found : list of Found
        For each object that was asked about.
    way : str
        How, in a sentence.
    seconds : float
        How long the search took, without embedding what was asked about.
    """

    found: list[Found]
    way: str
    seconds: float


class Index:
    """Finds the nearest objects of one side of a model.

    Objects of the same side are compared by the index's metric. Those of the other side are ranked
    by the model's own scores.

    Parameters
    ----------
    stored : StoredIndex
        The objects.
    model : Predictor
        What gives the scores.

    Attributes
    ----------
    stored : StoredIndex
        As it stands in the model directory.
    """

    def __init__(self, stored: StoredIndex, model: Answering) -> None:
        self.stored = stored
        self._model = model
        self._exact: Optional[Exact] = None
        self._searches: dict[str, tuple[SearchedSpace, CellSearch]] = {}
        known = fingerprints(stored.lists)
        self._order = np.argsort(known, kind="stable")
        self._known = known[self._order]

    def __len__(self) -> int:
        return len(self.stored)

    def __repr__(self) -> str:
        cells = {asked: len(cells.centroids) for asked, cells in self.stored.cells.items()}
        kind = f"cells {cells}" if cells else "exact"
        return f"<Index of {len(self):,} objects of {self.side}, {self.metric}, {kind}>"

    @property
    def side(self) -> str:
        """``in0`` or ``in1``: whose objects they are."""
        return self.stored.side

    @property
    def names(self) -> tuple[str, ...]:
        """What the objects are called."""
        return self.stored.names

    @property
    def metric(self) -> str:
        """How objects of one side are compared: ``cosine``, ``dot`` or ``euclidean``."""
        return self.stored.metric

    @property
    def recall(self) -> dict[str, float]:
        """The share of the 10 nearest that is found, by the side that is asked about.

        As it was measured against an exact search when the index was built; 1 for what is exact.
        """
        cells = self.stored.cells
        found = {asked: cells[asked].recall if asked in cells else 1.0 for asked in SIDES}
        return {asked: share for asked, share in found.items() if share is not None}

    def prepare(self) -> None:
        """Build now what the first searches would."""
        for asked in self.stored.cells:
            self.searched(asked)

    def places(self, left_out: LeftOut) -> np.ndarray:
        """Where the objects with these token lists or names stand, int64."""
        return np.concatenate([left_out.places, self._places_of(left_out.lists)])

    def _places_of(self, lists: TokenLists) -> np.ndarray:
        wanted = np.unique(fingerprints(lists.truncate(self._longest())))
        first = np.searchsorted(self._known, wanted, "left")
        last = np.searchsorted(self._known, wanted, "right")
        parts = [self._order[begin:end] for begin, end in zip(first, last)]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def nearest(
        self,
        asked: str,
        lists: TokenLists,
        k: int,
        left_out: Optional[Sequence[np.ndarray]] = None,
        classes: Optional[tuple[int, ...]] = None,
        max_seq_len: Optional[int] = None,
    ) -> Nearest:
        """Find the nearest objects of each of some objects.

        Parameters
        ----------
        asked : str
            ``in0`` or ``in1``: whose objects are asked about. Of the index's own side none is found
            for itself.
        lists : TokenLists
            Their ``q`` token lists.
        k : int
            How many of each.
        left_out : sequence of numpy.ndarray, optional
            For each the `places` of what is not to be found.
        classes : tuple of int, optional
            Of whose probability the scores are; see `Predictor.best_candidates`. Of two the second
            one by default.
        max_seq_len : int, optional
            See `Predictor.embeddings`.

        Raises
        ------
        CustomerError
            There are cells, and faiss is missing.
        UnsoundModelError
            A value is no finite number.
        """
        vectors = self._model.embeddings(SIDES.index(asked), lists, max_seq_len)
        default = default_classes(self._model.hyperparameters)
        classes = default if classes is None else classes
        excluded = [np.zeros(0, np.int64)] * len(lists) if left_out is None else list(left_out)
        if asked == self.side:
            excluded = [
                np.union1d(own, self._places_of(lists.take(slice(row, row + 1))))
                for row, own in enumerate(excluded)
            ]
        if asked in self.stored.cells and classes == default:
            return self._by_cells(asked, vectors, k, excluded, classes)
        start = time.perf_counter()
        if asked == self.side:
            found, done = self._compared(vectors, k, excluded), "compared"
        else:
            found, done = self._scored(asked, vectors, k, excluded, classes), "scored"
        seconds = time.perf_counter() - start
        return Nearest(found, f"{len(self):,} objects were {done}, all of them.", seconds)

    def _by_cells(
        self,
        asked: str,
        vectors: np.ndarray,
        k: int,
        left_out: Sequence[np.ndarray],
        classes: Optional[tuple[int, ...]],
    ) -> Nearest:
        # made before the clock runs, which tells how long a search takes
        space, search = self.searched(asked)
        cells = self.stored.cells[asked]
        start = time.perf_counter()
        found = search.nearest(space.queries(vectors), k, left_out)
        if asked != self.side:
            found = _as_scores([space.told(own) for own in found], classes)
        seconds = time.perf_counter() - start
        way = f"{cells.probes:,} of {len(cells.centroids):,} cells of {len(self):,} objects"
        told = "" if cells.recall is None else f", recall@{MEASURED} being {cells.recall:.3f}"
        return Nearest(found, f"{way} were searched{told}.", seconds)

    def _compared(self, vectors: np.ndarray, k: int, left_out: Sequence[np.ndarray]) -> list[Found]:
        if self._exact is None:
            self._exact = Exact(self.stored.vectors, self.metric)
        return self._exact.nearest(vectors, k, left_out)

    def _scored(
        self,
        asked: str,
        vectors: np.ndarray,
        k: int,
        left_out: Sequence[np.ndarray],
        classes: Optional[tuple[int, ...]],
    ) -> list[Found]:
        pairs = self._model.every_pair(classes)

        def scores(rows: slice, columns: slice) -> np.ndarray:
            own, others = vectors[rows], self.stored.vectors[columns]
            if asked == "in0":
                part = pairs.scores(own, others)
            else:
                part = np.ascontiguousarray(pairs.scores(others, own).T)
            return finite(part, "rows of scores")

        return _as_scores(best(scores, len(vectors), len(self), k, left_out), classes)

    def _space(self, asked: str) -> SearchedSpace:
        space = searched_space(self.stored, asked, self._model)
        if space is None:
            raise CustomerError(
                f"The index of {self.side} has cells for {asked}, but this model's scores have no "
                "space that can be searched: build the index anew."
            )
        return space

    def searched(self, asked: str) -> tuple[SearchedSpace, CellSearch]:
        """How objects of a side are compared by cells, and what searches these.

        Raises
        ------
        CustomerError
            There are none that could be searched, they are of another width, or faiss is missing.
        """
        if asked not in self._searches:
            space = self._space(asked)
            cells = self.stored.cells[asked]
            width, compared = cells.centroids.shape[1], space.objects(slice(0, 1)).shape[1]
            if width != compared:
                raise CustomerError(
                    f"The index of {self.side} has cells of {width} numbers each for {asked}, but "
                    f"this model compares {compared}: build the index anew."
                )
            self._searches[asked] = space, CellSearch(space.objects, cells, space.is_distance)
        return self._searches[asked]

    def _longest(self) -> int:
        return self._model.hyperparameters.encoders[SIDES.index(self.side)].max_seq_len


def _as_scores(found: list[Found], classes: Optional[tuple[int, ...]]) -> list[Found]:
    """What was found, with probabilities in the place of the logarithms of their odds."""
    if classes is None:
        return found
    return [Found(places, probabilities(scores)) for places, scores in found]
