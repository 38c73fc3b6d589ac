# SPDX-License-Identifier: Apache-2.0
"""The nearest of all vectors, by comparing every one in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from object2vec.inference.every_pair import BestSoFar, blocks_of
from object2vec.inference.similarities import comparable
from object2vec.model.similarity import EPSILON

#: Of these metrics the largest value is the nearest; of euclidean the smallest.
SIMILARITIES = ("cosine", "dot")
#: Candidates whose distances are computed anew, beyond those that are asked for.
SPARE = 16

#: Scores of some queries with some vectors, float32 ``(q, m)``, the nearest having the highest.
ScoreBlock = Callable[[slice, slice], np.ndarray]


class Found(NamedTuple):
    """The nearest objects of one that was asked about, the nearest first.

    Attributes
    ----------
    places : numpy.ndarray
        int64, shape ``(k,)``: where they stand among all; fewer than asked for where there are no
        more.
    scores : numpy.ndarray
        float32, shape ``(k,)``: cosines, dot products, distances, or a model's scores.
    """

    places: np.ndarray
    scores: np.ndarray


class Exact:
    """Compares vectors with all others.

    Parameters
    ----------
    vectors : numpy.ndarray
        float32, shape ``(n, width)``; no copy is made.
    metric : str
        ``cosine``, ``dot`` or ``euclidean``.
    """

    def __init__(self, vectors: np.ndarray, metric: str) -> None:
        self._vectors, self._metric = vectors, metric
        self._squares = np.einsum("nd,nd->n", vectors, vectors) if metric != "dot" else None

    def nearest(self, queries: np.ndarray, k: int, left_out: Sequence[np.ndarray]) -> list[Found]:
        """Find the nearest.

        Parameters
        ----------
        queries : numpy.ndarray
            float32, shape ``(q, width)``.
        k : int
            How many of each.
        left_out : sequence of numpy.ndarray
            For each query the places of those that are not to be found.
        """
        if self._metric == "cosine":
            queries = comparable(queries, "cosine")

        def scores(rows: slice, columns: slice) -> np.ndarray:
            return self._scores(queries[rows], columns)

        if self._metric in SIMILARITIES:
            return best(scores, len(queries), len(self._vectors), k, left_out)
        # near 0 a difference of squares is rounded to nothing: few are measured once more
        found = best(scores, len(queries), len(self._vectors), k + SPARE, left_out)
        return [self._measured(query, own.places, k) for query, own in zip(queries, found)]

    def _scores(self, queries: np.ndarray, columns: slice) -> np.ndarray:
        products = queries @ self._vectors[columns].T
        if self._squares is None:
            return products
        if self._metric == "cosine":
            # an object without a direction has the cosine 0 with all
            return products / np.sqrt(self._squares[columns] + np.float32(EPSILON))
        return 2 * products - self._squares[columns]

    def _measured(self, query: np.ndarray, places: np.ndarray, k: int) -> Found:
        distances = np.sqrt(np.square(self._vectors[places] - query).sum(axis=1))
        order = np.argsort(distances, kind="stable")[:k]
        return Found(places[order], distances[order])


def best(
    score_block: ScoreBlock, queries: int, count: int, k: int, left_out: Sequence[np.ndarray]
) -> list[Found]:
    """The objects with the highest scores, of equal ones the first.

    Parameters
    ----------
    score_block : callable
        See `ScoreBlock`; blocks are of bounded size.
    queries, count : int
        How many queries and objects there are.
    k : int
        How many of each query.
    left_out : sequence of numpy.ndarray
        For each query the places of those that are not to be found.
    """
    found = BestSoFar(queries, min(k, count))
    for rows in blocks_of(queries, min(count, 1 << 16)):
        of_rows = slice(rows.start, min(rows.stop, queries))
        for columns in blocks_of(count, of_rows.stop - of_rows.start):
            part = score_block(of_rows, columns)
            for row, places in zip(part, left_out[of_rows]):
                inside = places[(places >= columns.start) & (places < columns.stop)]
                row[inside - columns.start] = -np.inf
            found.add(of_rows, columns.start, part)
    indices, scores = found.top()
    return [
        Found(places[own > -np.inf], own[own > -np.inf]) for places, own in zip(indices, scores)
    ]
