# SPDX-License-Identifier: Apache-2.0
"""Whether predicted probabilities are as high as what they predict is frequent."""

from __future__ import annotations

from typing import Optional

import numpy as np

from object2vec.errors import CustomerError
from object2vec.evaluation.results import ReliabilityBin

#: Of equal width, as Guo et al. (2017) take them.
BINS = 15


class Calibration:
    """How often predictions are right, beside how sure they are.

    Parameters
    ----------
    confidences : array of numbers
        Shape ``(n,)``: the probability of the predicted class, from 0 to 1.
    right : array of bools
        Shape ``(n,)``: whether it is the right one.
    bins : int
        How many bins of equal width, at least 1; a value between two belongs to the lower one.

    Raises
    ------
    CustomerError
        A confidence is not from 0 to 1.
    """

    def __init__(self, confidences: np.ndarray, right: np.ndarray, bins: int = BINS) -> None:
        wrong = np.flatnonzero(~((confidences >= 0) & (confidences <= 1)))
        if wrong.size:
            raise CustomerError(
                f"Confidences must be from 0 to 1, found {confidences[wrong[0]]:g} at position "
                f"{wrong[0]}."
            )
        self._confidences = confidences.astype(np.float64)
        self._right = right.astype(np.float64)
        self._bins = bins
        places = np.ceil(self._confidences * bins).astype(np.int64) - 1
        self._places = np.clip(places, 0, bins - 1)

    def error(self, weights: Optional[np.ndarray] = None) -> float:
        """The expected calibration error (Naeini et al., 2015; Guo et al., 2017, equation 3).

        The mean over the bins of how far accuracy and mean confidence are apart, by how many
        records each bin holds.

        Parameters
        ----------
        weights : numpy.ndarray, optional
            Shape ``(n,)``, from 0 on: how much each record counts.
        """
        _, confident, right = self._sums(weights)
        total = len(self._right) if weights is None else weights.sum(dtype=np.float64)
        return float(np.abs(right - confident).sum() / total)

    def bins(self) -> list[ReliabilityBin]:
        """The bins of a reliability diagram."""
        counts, confident, right = self._sums(None)
        edges = np.arange(self._bins + 1) / self._bins
        return [
            ReliabilityBin(
                float(edges[at]),
                float(edges[at + 1]),
                int(count),
                float(confident[at] / count) if count else None,
                float(right[at] / count) if count else None,
            )
            for at, count in enumerate(counts)
        ]

    def _sums(self, weights: Optional[np.ndarray]) -> tuple[np.ndarray, ...]:
        own = np.ones(len(self._right)) if weights is None else weights
        return tuple(
            np.bincount(self._places, own * values, minlength=self._bins)
            for values in (1.0, self._confidences, self._right)
        )
