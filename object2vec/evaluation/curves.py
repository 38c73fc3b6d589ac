# SPDX-License-Identifier: Apache-2.0
"""Areas under curves over all thresholds of a score, sorted once and measured with any weights."""

from __future__ import annotations

import math
from typing import Optional

import numpy as np


class ByScore:
    """Records sorted by their scores, the highest first.

    Parameters
    ----------
    positive : numpy.ndarray
        bool, shape ``(n,)``.
    scores : numpy.ndarray
        Numbers without NaN, shape ``(n,)``; records of equal scores are one step of a curve.
    """

    def __init__(self, positive: np.ndarray, scores: np.ndarray) -> None:
        self._order = np.argsort(-scores, kind="stable")
        self._positive = positive[self._order]
        self._ends = np.flatnonzero(
            np.append(scores[self._order][1:] != scores[self._order][:-1], True)
        )

    def auc(self, weights: Optional[np.ndarray] = None) -> float:
        """Area under the ROC curve; pairs of equal scores count half (Mann and Whitney, 1947).

        Parameters
        ----------
        weights : numpy.ndarray, optional
            Shape ``(n,)``, from 0 on: how much each record counts.

        Returns
        -------
        float
            NaN where all records that count are of one class.
        """
        right, wrong = self._sums(weights)
        total = right[-1] * wrong[-1]
        if not total:
            return math.nan
        heights = right - np.diff(right, prepend=0) / 2
        return float(np.diff(wrong, prepend=0) @ heights / total)

    def average_precision(self, weights: Optional[np.ndarray] = None) -> float:
        """The sum over the steps of the precision there times what recall gains.

        Takes what `auc` takes; NaN where no record that counts is positive.
        """
        right, wrong = self._sums(weights)
        if not right[-1]:
            return math.nan
        reached = right + wrong
        precision = np.divide(right, reached, out=np.zeros(len(right)), where=reached > 0)
        return float(np.diff(right, prepend=0) @ precision / right[-1])

    def _sums(self, weights: Optional[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """What counts of positive and of other records down to each step, float64."""
        own = np.ones(len(self._order)) if weights is None else weights[self._order]
        every = np.cumsum(own, dtype=np.float64)[self._ends]
        right = np.cumsum(np.where(self._positive, own, 0), dtype=np.float64)[self._ends]
        return right, every - right
