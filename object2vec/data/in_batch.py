# SPDX-License-Identifier: Apache-2.0
"""Which objects of pairs are the same, and how frequent: what in-batch softmax has to know."""

from __future__ import annotations

import numpy as np

from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.negative_sampling import fingerprints

#: Objects among which a pair's in1 is to be found where a model is judged.
MOST_CANDIDATES = 10_000


class PairObjects:
    """The objects of a dataset's pairs, each known by its token list.

    Parameters
    ----------
    pairs : PairDataset
        The pairs.
    with_shares : bool
        Whether the loss asks how frequent they are.
    """

    def __init__(self, pairs: PairDataset, with_shares: bool) -> None:
        self._numbers, self._log_shares = [], []
        for lists in (pairs.in0, pairs.in1):
            _, numbers, counts = np.unique(
                fingerprints(lists), return_inverse=True, return_counts=True
            )
            self._numbers.append(numbers)
            if with_shares:
                self._log_shares.append(np.log(counts / len(pairs)).astype(np.float32)[numbers])

    def of(self, *rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """What the loss takes of some pairs.

        Parameters
        ----------
        *rows : numpy.ndarray
            Integers, shape ``(n,)``: whose in0, and whose in1, the pairs take.

        Returns
        -------
        tuple of numpy.ndarray
            float32, shape ``(n, 2)``: numbers of in0 and in1, equal for equal objects of these
            pairs and below n; and the logarithms of their shares of all pairs, if asked for.
        """
        # numbered anew, as float32 has no integers beyond 2**24
        numbers = [
            np.unique(of_side[index], return_inverse=True)[1]
            for of_side, index in zip(self._numbers, rows)
        ]
        found = [numbers]
        if self._log_shares:
            found.append([of_side[index] for of_side, index in zip(self._log_shares, rows)])
        return tuple(np.stack(sides, axis=1).astype(np.float32) for sides in found)


def candidates(lists: TokenLists, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The different objects among which each pair's own is to be found.

    Parameters
    ----------
    lists : TokenLists
        Those of the pairs, ``n``.
    seed : int
        Of the draw, where there are more than `MOST_CANDIDATES`.

    Returns
    -------
    rows : numpy.ndarray
        Integers, shape ``(m,)``: a pair of each candidate.
    own : numpy.ndarray
        Integers, shape ``(n,)``: the place in `rows` of each pair's own object; -1 where it was not
        drawn.
    """
    _, rows, numbers = np.unique(fingerprints(lists), return_index=True, return_inverse=True)
    if len(rows) <= MOST_CANDIDATES:
        return rows, numbers
    drawn = np.random.default_rng(seed).choice(len(rows), MOST_CANDIDATES, replace=False)
    places = np.full(len(rows), -1)
    places[drawn] = np.arange(MOST_CANDIDATES)
    return rows[drawn], places[numbers]


def count_candidates(lists: TokenLists) -> int:
    """How many `candidates` there are."""
    return min(len(np.unique(fingerprints(lists))), MOST_CANDIDATES)
