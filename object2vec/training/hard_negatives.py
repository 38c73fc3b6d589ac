# SPDX-License-Identifier: Apache-2.0
"""Hard negatives: objects of in1 that the model takes for partners of an in0, and that are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Optional

import numpy as np

from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.in_batch import MOST_CANDIDATES
from object2vec.data.negative_sampling import count_nearest, fingerprints
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.inference.every_pair import blocks_of
from object2vec.inference.predictor import Predictor

_TOKENS = 1 << 16  # that are encoded between two questions whether to stop, ...
_LISTS = 1 << 10  # ... and at most so many lists


class HardNegatives:
    """Finds the hard negatives of each in0, and draws a share of all negatives from them.

    Which in1 are near is asked of the model as it is, once an epoch (as from the index of Xiong et
    al. 2021, arXiv 2007.00808, section 4). Those of an in0's own positive pairs, with another label
    than 0, are left out.

    Parameters
    ----------
    pairs : PairDataset
        The train channel.
    hyperparameters : Hyperparameters
        With a scorer that is a product of embeddings.
    seed : int
        Of more than `MOST_CANDIDATES` objects of in1 so many are drawn by it, others in each epoch.
    """

    def __init__(self, pairs: PairDataset, hyperparameters: Hyperparameters, seed: int) -> None:
        self._pairs = pairs
        self._share = hyperparameters.hard_negative_share
        self._classes = None if hyperparameters.is_regression else (1,)
        self._rng = np.random.default_rng(seed)
        positive = np.flatnonzero(pairs.labels != 0)
        _, first, own0 = np.unique(
            fingerprints(pairs.in0)[positive], return_index=True, return_inverse=True
        )
        _, self._rows1, numbers1 = np.unique(
            fingerprints(pairs.in1), return_index=True, return_inverse=True
        )
        self._rows0 = positive[first]
        # of rows without a positive pair nothing is asked
        self._numbers0 = np.zeros(len(pairs), np.int64)
        self._numbers0[positive] = own0
        known = np.unique(own0 * len(self._rows1) + numbers1[positive])
        self._known0, self._known1 = np.divmod(known, len(self._rows1))
        self._is_found = False
        self._nearest = np.full((len(self._rows0), count_nearest(len(self._rows1))), -1, np.int32)

    def find(self, predictor: Predictor, stop: Callable[[], bool] = lambda: False) -> None:
        """Ask the model, before an epoch.

        Parameters
        ----------
        predictor : Predictor
            With the model as it is.
        stop : callable
            Asked every few seconds; once it says True, what was found before stays.

        Raises
        ------
        UnsoundModelError
            The model gives no finite numbers.
        """
        self._is_found = True
        candidates = self._candidates()
        places = np.full(len(self._rows1), -1)
        places[candidates] = np.arange(len(candidates))
        rows1 = self._rows1[candidates]
        vectors = self._embeddings(predictor, 1, rows1, stop)
        if vectors is None:
            return
        every_pair = predictor.every_pair(self._classes)
        count = self._nearest.shape[1]
        for block in blocks_of(len(self._rows0), len(candidates)):
            of_block = self._embeddings(predictor, 0, self._rows0[block], stop)
            if of_block is None:
                return
            scores = every_pair.scores(of_block, vectors)
            known0, known1 = self._known_of(block, places)
            scores[known0, known1] = -np.inf
            # a view would keep the order of all columns in memory
            nearest = np.argpartition(scores, -count, axis=1)[:, -count:].copy()
            is_left = np.take_along_axis(scores, nearest, axis=1) > -np.inf
            self._nearest[block] = np.where(is_left, rows1[nearest], -1)

    def draw(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw a hard negative for a share of some pairs' in0.

        Parameters
        ----------
        rows : numpy.ndarray
            Integers, shape ``(n,)``: rows of positive pairs.
        rng : numpy.random.Generator
            Source of the draws.

        Returns
        -------
        numpy.ndarray
            Integers, shape ``(n,)``: a row with the in1 of each; -1 for those that are to be drawn
            from all, which all are before `find`.
        """
        found = np.full(len(rows), -1)
        if not self._is_found:
            return found
        chosen = np.flatnonzero(rng.random(len(rows)) < self._share)
        columns = rng.integers(self._nearest.shape[1], size=len(chosen))
        found[chosen] = self._nearest[self._numbers0[rows[chosen]], columns]
        return found

    def _embeddings(
        self, predictor: Predictor, side: int, rows: np.ndarray, stop: Callable[[], bool]
    ) -> Optional[np.ndarray]:
        """The embeddings of a side of some rows, None where `stop` says True meanwhile."""
        lists = self._pairs.in1 if side else self._pairs.in0
        found = np.empty((len(rows), predictor.hyperparameters.enc_dim), np.float32)
        for part in _parts(lists, rows):
            if stop():
                return None
            found[part] = predictor.embeddings(side, lists.take(rows[part]))
        return found

    def _known_of(self, block: slice, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of a block of scores whose pairs are positive.

        Parameters
        ----------
        block : slice
            Of the distinct in0.
        places : numpy.ndarray
            The column of each distinct in1, -1 for those that are not searched.
        """
        first, last = np.searchsorted(self._known0, (block.start, block.stop))
        rows, columns = self._known0[first:last] - block.start, places[self._known1[first:last]]
        return rows[columns >= 0], columns[columns >= 0]

    def _candidates(self) -> np.ndarray:
        """The distinct in1 that are searched this time, sorted."""
        count = len(self._rows1)
        if count <= MOST_CANDIDATES:
            return np.arange(count)
        return np.sort(self._rng.choice(count, MOST_CANDIDATES, replace=False))


def _parts(lists: TokenLists, rows: np.ndarray) -> Iterator[slice]:
    """Cut rows of lists into parts of few tokens, or of one list.

    With all at once an encoder takes minutes, in which no stop is heard, and a copy of them takes
    several times the memory of the lists.
    """
    lengths = lists.offsets[rows + 1] - lists.offsets[rows]
    ends = np.cumsum(np.maximum(lengths, _TOKENS // _LISTS))
    first = before = 0
    while first < len(rows):
        last = max(first + 1, int(np.searchsorted(ends, before + _TOKENS, side="right")))
        yield slice(first, last)
        first, before = last, int(ends[last - 1])
