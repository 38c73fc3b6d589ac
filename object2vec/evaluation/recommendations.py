# SPDX-License-Identifier: Apache-2.0
"""How varied the candidates are that stand first: coverage, and the share of the popular ones."""

from __future__ import annotations

import math

import numpy as np

#: The share of the candidates that counts as popular.
HEAD = 0.1


class Recommended:
    """What stands among the first k for each query.

    Parameters
    ----------
    candidates : int
        How many there are.
    """

    def __init__(self, candidates: int) -> None:
        self._times = np.zeros(candidates, np.int64)

    def add(self, scores: np.ndarray, left_out: np.ndarray, k: int) -> None:
        """Take some queries.

        Parameters
        ----------
        scores : numpy.ndarray
            Shape ``(n, m)``.
        left_out : numpy.ndarray
            bool, shape ``(n, m)``: what is not recommended, such as what was seen.
        k : int
            So many, the highest scores, of equal ones those that come first; fewer where there are
            no more.
        """
        ordered = np.where(left_out, -np.inf, scores)
        k = min(k, ordered.shape[1])
        first = np.argsort(-ordered, axis=1, kind="stable")[:, :k]
        kept = ~np.take_along_axis(left_out, first, axis=1)
        self._times += np.bincount(first[kept], minlength=len(self._times))

    def coverage(self) -> float:
        """The share of all candidates that is recommended at all."""
        return float(np.count_nonzero(self._times) / len(self._times))

    def popularity_share(self, counts: np.ndarray) -> float:
        """The share of the recommendations that goes to the most popular candidates.

        Parameters
        ----------
        counts : numpy.ndarray
            Shape ``(m,)``: how often each candidate was chosen before; the tenth of the candidates
            with the highest counts, at least one, is popular.
        """
        total = int(self._times.sum())
        if not total:
            return math.nan
        head = math.ceil(HEAD * len(counts))
        popular = np.argsort(-counts, kind="stable")[:head]
        return float(self._times[popular].sum() / total)
