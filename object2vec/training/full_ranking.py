# SPDX-License-Identifier: Apache-2.0
"""Validation by ranking: each in0's positive pairs among all objects of in1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.in_batch import MOST_CANDIDATES
from object2vec.data.negative_sampling import fingerprints
from object2vec.evaluation.ranking import Ranks, ranks_of
from object2vec.text import counted

if TYPE_CHECKING:
    from object2vec.inference.predictor import Predictor

#: Objects of in0 that are ranked for at most; more are drawn.
MOST_QUERIES = 1_000
_ELEMENTS = 1 << 22  # scores of which ranks are found at once


class FullRanking:
    """Ranks the distinct in1 of train and validation for each distinct in0 of validation.

    The queries are the in0 of validation's positive pairs, those with another label than 0; the in1
    of these are what should stand first. The in1 of a query's positive pairs in train are no
    candidates for it, unless validation holds them too. Of more than `MOST_QUERIES` or
    `MOST_CANDIDATES` so many are drawn by the seed; what belongs to a query in validation is always
    among its candidates.

    Parameters
    ----------
    train, validation : PairDataset
        Validation holds one positive pair at least.
    seed : int
        Of the draws.
    """

    def __init__(self, train: PairDataset, validation: PairDataset, seed: int) -> None:
        rng = np.random.default_rng(seed)
        positive = np.flatnonzero(validation.labels != 0)
        own0, own1 = (fingerprints(lists) for lists in (validation.in0, validation.in1))
        queries, first = np.unique(own0[positive], return_index=True)
        kept = np.arange(len(queries))
        if len(queries) > MOST_QUERIES:
            kept = np.sort(rng.choice(len(queries), MOST_QUERIES, replace=False))
        self._drawn_of = [len(queries)]
        queries, first = queries[kept], positive[first[kept]]
        self._in0 = validation.in0.take(first)
        positive = positive[_places(queries, own0[positive]) >= 0]

        train0, train1 = (fingerprints(lists) for lists in (train.in0, train.in1))
        candidates, first = np.unique(np.concatenate([own1, train1]), return_index=True)
        self._drawn_of.append(len(candidates))
        if len(candidates) > MOST_CANDIDATES:
            needed = np.unique(_places(candidates, own1[positive]))
            others = np.delete(np.arange(len(candidates)), needed)
            count = min(len(others), max(0, MOST_CANDIDATES - len(needed)))
            kept = np.sort(np.append(needed, rng.choice(others, count, replace=False)))
            candidates, first = candidates[kept], first[kept]
        self._in1 = _objects(validation.in1, train.in1, first)

        seen = train.labels != 0
        self._relevant = _pairs(queries, candidates, own0[positive], own1[positive])
        self._seen = _pairs(queries, candidates, train0[seen], train1[seen])

    def ranks(self, predictor: Predictor) -> Ranks:
        """The ranks of validation's positive pairs; those of equal scores count as the worst one.

        Raises
        ------
        UnsoundModelError
            The model gives no finite numbers.
        """
        # what is not of class 0 is positive
        count = predictor.hyperparameters.classes
        classes = None if count is None else tuple(range(1, count))
        scores = predictor.candidate_scores(self._in0, self._in1, classes=classes, as_log_odds=True)
        step = max(1, _ELEMENTS // scores.shape[1])
        parts = []
        for start in range(0, len(scores), step):
            block = scores[start : start + step]
            relevant, seen = (
                _mask(pairs, start, *block.shape) for pairs in (self._relevant, self._seen)
            )
            parts.append(ranks_of(block, relevant, seen))
        return Ranks.concatenate(parts)

    def line(self) -> str:
        """What is ranked, in a sentence."""
        told = [
            f"{of:,} distinct objects of in{side}"
            if len(lists) == of
            else f"{counted(len(lists), 'object')} of in{side} drawn out of {of:,} distinct ones"
            for side, (lists, of) in enumerate(zip((self._in0, self._in1), self._drawn_of))
        ]
        return (
            f"Validation ranks, for {told[0]} with {counted(self._relevant.shape[1], 'pair')} of "
            f"another label than 0, {told[1]} of train and validation, without those of an in0's "
            "own pairs of such labels in train."
        )


def _places(keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where values stand among sorted keys, -1 for those that do not, int64 ``(n,)``."""
    found = np.minimum(np.searchsorted(keys, values), len(keys) - 1)
    return np.where(keys[found] == values, found, -1)


def _pairs(
    queries: np.ndarray, candidates: np.ndarray, in0: np.ndarray, in1: np.ndarray
) -> np.ndarray:
    """Queries and candidates of pairs, int64 ``(2, n)``, each pair once, sorted by the queries."""
    rows = _places(queries, in0)
    known = np.flatnonzero(rows >= 0)
    rows, columns = rows[known], _places(candidates, in1[known])
    numbers = np.unique((rows * len(candidates) + columns)[columns >= 0])
    return np.stack(np.divmod(numbers, len(candidates)))


def _mask(pairs: np.ndarray, start: int, rows: int, columns: int) -> np.ndarray:
    """The pairs of some queries, bool ``(rows, columns)``."""
    first, last = np.searchsorted(pairs[0], (start, start + rows))
    mask = np.zeros((rows, columns), bool)
    mask[pairs[0, first:last] - start, pairs[1, first:last]] = True
    return mask


def _objects(first: TokenLists, second: TokenLists, rows: np.ndarray) -> TokenLists:
    """Rows of two sets of lists, those of the second counted on, in the order of `rows`."""
    is_first = rows < len(first)
    order = np.concatenate([np.flatnonzero(is_first), np.flatnonzero(~is_first)])
    joined = TokenLists.concatenate(
        [first.take(rows[is_first]), second.take(rows[~is_first] - len(first))]
    )
    return joined.take(np.argsort(order))
