# SPDX-License-Identifier: Apache-2.0
"""Vectors shared out among cells by faiss, so that a search looks into the nearest cells alone.

An inverted file (Jégou, Douze and Schmid 2011): k-means gives the centroids, each vector belongs to
the nearest one, and a query is compared with the vectors of its nearest `probes` centroids. Of many
vectors codes of four bits for each two numbers are compared (product quantization; André, Kermarrec
and Le Scouarnec 2015), and only the best `_CANDIDATES` as they are. faiss's reader of files is not
used: it trusts its file.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Optional

import numpy as np

from object2vec.data.arrays import Rows
from object2vec.extras import extra_module
from object2vec.model.stored_index import CODES, MOST_PARTS, Cells
from object2vec.neighbours.exact_search import SPARE, Found, best

#: So many nearest are looked for where recall is measured.
MEASURED = 10
_CELLS_PER_ROOT = 4  # cells for √n vectors
_SAMPLES = 64  # vectors for a cell, from which k-means learns
_ROUNDS = 10
_SEED = 1
_CODE_BITS = 4
_BLOCK = 1 << 17  # vectors that are made ready at a time
# Of the distance to the recall that is aimed at: other queries may fare a little worse.
_MARGIN = 0.2

# Fewer vectors are compared at once as they are.
_FEWEST_CODED = 20_000
_CODED_SAMPLE = 100_000  # vectors from which a codebook learns
_CANDIDATES = 400
_CANDIDATES_OF_EACH = 4  # where many are asked for

#: Vectors ``(m, width)`` of some objects as they are searched, float32.
Vectors = Callable[[Rows], np.ndarray]


def faiss_module() -> Any:
    """The module faiss.

    Raises
    ------
    CustomerError
        It is not installed, or cannot be loaded.
    """
    with warnings.catch_warnings():
        # of the classes that SWIG makes, on Python 3.12
        warnings.simplefilter("ignore", DeprecationWarning)
        return extra_module("faiss", "An index with cells needs faiss", "'object2vec[neighbours]'")


def shared_out(
    vectors: Vectors, count: int, is_distance: bool, seed: int, cells: Optional[int] = None
) -> Cells:
    """Find cells for vectors, and the cell of each.

    Parameters
    ----------
    vectors : callable
        See `Vectors`.
    count : int
        How many there are.
    is_distance : bool
        Whether the smallest distance is looked for, not the largest product.
    seed : int
        Of k-means and of the vectors that it learns from.
    cells : int, optional
        How many; four times the root of `count` by default.
    """
    faiss = faiss_module()
    number = min(cells or _CELLS_PER_ROOT * math.isqrt(count), count)
    sample = _sampled(vectors, count, number * _SAMPLES, seed)
    # objects of one direction are to come together, whatever their lengths
    kmeans = faiss.Kmeans(
        sample.shape[1], number, niter=_ROUNDS, seed=seed, spherical=not is_distance,
        min_points_per_centroid=1, max_points_per_centroid=_SAMPLES,
    )  # fmt: skip
    kmeans.train(sample)
    centroids = np.array(kmeans.centroids, np.float32)
    finder = _flat(faiss, centroids, is_distance)
    of_objects = np.empty(count, np.int32)
    for rows in _blocks(count):
        of_objects[rows] = finder.search(vectors(rows), 1)[1][:, 0]
    found = Cells(centroids, of_objects, probes=1)
    return found if count < _FEWEST_CODED else replace(found, codebook=_codebook(vectors, found))


def _codebook(vectors: Vectors, cells: Cells) -> np.ndarray:
    """The codes of parts of vectors, less their centroids; see `Cells.codebook`."""
    faiss = faiss_module()
    count, width = len(cells.of_objects), cells.centroids.shape[1]
    part_width = max(2, -(-width // MOST_PARTS))
    parts = -(-width // part_width)
    rows = np.random.default_rng(_SEED).permutation(count)[:_CODED_SAMPLE]
    differences = vectors(rows) - cells.centroids[cells.of_objects[rows]]
    quantizer = faiss.ProductQuantizer(parts * part_width, parts, _CODE_BITS)
    quantizer.train(_widened(differences, parts * part_width))
    centroids = faiss.vector_to_array(quantizer.centroids)
    return np.array(centroids, np.float32).reshape(parts, CODES, part_width)


def _widened(vectors: np.ndarray, width: int) -> np.ndarray:
    """Vectors with zeros behind them, which change no product and no distance."""
    if vectors.shape[1] == width:
        return np.ascontiguousarray(vectors, np.float32)
    found = np.zeros((len(vectors), width), np.float32)
    found[:, : vectors.shape[1]] = vectors
    return found


def _sampled(vectors: Vectors, count: int, most: int, seed: int) -> np.ndarray:
    if count <= most:
        return np.concatenate([vectors(rows) for rows in _blocks(count)])
    drawn = np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
    parts = []
    for rows in _blocks(count):
        first, last = np.searchsorted(drawn, (rows.start, rows.stop))
        parts.append(vectors(rows)[drawn[first:last] - rows.start])
    return np.concatenate(parts)


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, _BLOCK):
        yield slice(start, min(start + _BLOCK, count))


def _flat(faiss: Any, centroids: np.ndarray, is_distance: bool) -> Any:
    kind = faiss.IndexFlatL2 if is_distance else faiss.IndexFlatIP
    flat = kind(centroids.shape[1])
    flat.add(centroids)
    return flat


class CellSearch:
    """Searches vectors whose cells are known.

    Parameters
    ----------
    vectors : callable
        See `Vectors`; faiss holds a copy, or codes.
    cells : Cells
        Of these vectors.
    is_distance : bool
        See `shared_out`.
    """

    def __init__(self, vectors: Vectors, cells: Cells, is_distance: bool) -> None:
        faiss = faiss_module()
        self._faiss, self._is_distance, self._vectors = faiss, is_distance, vectors
        self.probes, self._most = cells.probes, len(cells.centroids)
        self._count = len(cells.of_objects)
        codebook, self._width = cells.codebook, cells.centroids.shape[1]
        self._is_coded = codebook is not None
        metric = faiss.METRIC_L2 if is_distance else faiss.METRIC_INNER_PRODUCT
        if codebook is None:
            self._flat = _flat(faiss, cells.centroids, is_distance)
            index = faiss.IndexIVFFlat(self._flat, self._width, self._most, metric)
        else:
            parts, _, part_width = codebook.shape
            self._width = parts * part_width
            self._flat = _flat(faiss, _widened(cells.centroids, self._width), is_distance)
            index = faiss.IndexIVFPQ(self._flat, self._width, self._most, parts, _CODE_BITS, metric)
            faiss.copy_array_to_vector(codebook.ravel(), index.pq.centroids)
        index.is_trained = True
        for rows in _blocks(self._count):
            part = _widened(vectors(rows), self._width)
            places = np.arange(rows.start, rows.stop, dtype=np.int64)
            own = cells.of_objects[rows].astype(np.int64)
            index.add_core(len(part), *map(faiss.swig_ptr, (part, places, own)))
        self._index = index if codebook is None else faiss.IndexIVFPQFastScan(index)

    def nearest(
        self,
        queries: np.ndarray,
        k: int,
        left_out: Sequence[np.ndarray],
        probes: Optional[int] = None,
    ) -> list[Found]:
        """Find the nearest; see `Exact.nearest`.

        Where the nearest cells of a query hold too few objects, four times as many are looked into,
        and at last all objects are compared: codes lose some, as those of equal distances.
        """
        probes = probes or self.probes
        found = self._searched(queries, k, left_out, probes)
        while lacking := self._lacking(found, k, left_out):
            others = [left_out[row] for row in lacking]
            is_last = probes == self._most
            if is_last:
                again = truly_nearest(
                    self._vectors, self._count, self._is_distance, queries[lacking], k, others
                )
            else:
                probes = min(4 * probes, self._most)
                again = self._searched(queries[lacking], k, others, probes)
            for row, own in zip(lacking, again):
                found[row] = own
            if is_last:
                break
        return found

    def _lacking(self, found: Sequence[Found], k: int, left_out: Sequence[np.ndarray]) -> list[int]:
        """The queries for which fewer objects were found than there are."""
        return [
            row
            for row, (own, excluded) in enumerate(zip(found, left_out))
            if len(own.places) < min(k, self._count - len(excluded))
        ]

    def _searched(
        self, queries: np.ndarray, k: int, left_out: Sequence[np.ndarray], probes: int
    ) -> list[Found]:
        wanted = fetched = min(self._count, k + max(map(len, left_out), default=0))
        if self._is_coded:
            fetched = min(self._count, max(_CANDIDATES, _CANDIDATES_OF_EACH * wanted))
        parameters = self._faiss.SearchParametersIVF(nprobe=probes)
        scores, places = self._index.search(
            _widened(queries, self._width), fetched, params=parameters
        )
        return [self._best(*row, k) for row in zip(queries, places, scores, left_out)]

    def _best(
        self,
        query: np.ndarray,
        places: np.ndarray,
        scores: np.ndarray,
        left_out: np.ndarray,
        k: int,
    ) -> Found:
        kept = places >= 0
        if len(left_out):
            kept &= ~np.isin(places, left_out)
        places, scores = places[kept], scores[kept]
        if self._is_coded:
            return _measured(self._vectors(places), self._is_distance, query, places, k)
        scores = np.sqrt(np.maximum(scores, 0)) if self._is_distance else scores
        return Found(places[:k], scores[:k])

    def recall(
        self,
        queries: np.ndarray,
        truth: Sequence[Found],
        left_out: Sequence[np.ndarray],
        probes: Optional[int] = None,
    ) -> float:
        """The share of the truly nearest that are found.

        What is found counts where it is as near as the last of the nearest, as of equal objects
        any may stand for another.

        Parameters
        ----------
        queries, left_out, probes
            As of `nearest`.
        truth : sequence of Found
            What an exact search finds.
        """
        k = max(len(own.places) for own in truth)
        hits = 0
        for own, found in zip(truth, self.nearest(queries, k, left_out, probes)):
            allowance = 1e-5 * np.abs(own.scores[-1:]) + 1e-7
            if self._is_distance:
                hits += np.count_nonzero(found.scores <= own.scores[-1:] + allowance)
            else:
                hits += np.count_nonzero(found.scores >= own.scores[-1:] - allowance)
        return float(hits / sum(len(own.places) for own in truth))


def fewest_probes(
    search: CellSearch,
    queries: np.ndarray,
    truth: Sequence[Found],
    left_out: Sequence[np.ndarray],
    recall: float,
    most: int,
) -> int:
    """How many cells have to be looked into, so that a share of the nearest is found.

    Parameters
    ----------
    search, queries, truth, left_out
        As of `CellSearch.recall`.
    recall : float
        The share, from 0 to 1; a little more is aimed at.
    most : int
        How many cells there are.
    """
    aim = recall + _MARGIN * (1 - recall)

    def is_enough(probes: int) -> bool:
        return search.recall(queries, truth, left_out, probes) >= aim

    high = 1
    while high < most and not is_enough(high):
        high = min(2 * high, most)
    low = high // 2
    while high - low > max(1, high // 16):
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def truly_nearest(
    vectors: Vectors,
    count: int,
    is_distance: bool,
    queries: np.ndarray,
    k: int,
    left_out: Sequence[np.ndarray],
) -> list[Found]:
    """The `k` nearest, by comparing all.

    Parameters
    ----------
    vectors, count, is_distance
        As of `shared_out`.
    queries, k, left_out
        As of `Exact.nearest`.
    """

    def nearness(rows: slice, columns: slice) -> np.ndarray:
        compared = vectors(columns)
        products = queries[rows] @ compared.T
        return 2 * products - np.square(compared).sum(axis=1) if is_distance else products

    found = best(nearness, len(queries), count, k + SPARE * is_distance, left_out)
    if not is_distance:
        return found
    # near 0 a difference of squares is rounded to nothing
    return [
        _measured(vectors(own.places), True, query, own.places, k)
        for query, own in zip(queries, found)
    ]


def _measured(
    vectors: np.ndarray, is_distance: bool, query: np.ndarray, places: np.ndarray, k: int
) -> Found:
    """The nearest of a few objects, by their vectors as they are."""
    scores = np.sqrt(np.square(vectors - query).sum(axis=1)) if is_distance else vectors @ query
    order = np.argsort(scores if is_distance else -scores, kind="stable")[:k]
    return Found(places[order], scores[order])
