# SPDX-License-Identifier: Apache-2.0
"""Correlation of predicted numbers with labels."""

from __future__ import annotations

import math
from typing import Any, Optional

import numpy as np

from object2vec.errors import CustomerError
from object2vec.evaluation.checked_arrays import alike


def pearson(labels: Any, predictions: Any) -> float:
    """Pearson's correlation: how near to a straight line they are, from -1 to 1.

    Parameters
    ----------
    labels, predictions : array of numbers
        Shape ``(n,)`` each, n at least 2; the order of the two does not matter.

    Raises
    ------
    CustomerError
        One of them is NaN or infinite, they differ in length, or all of one are equal, so that it
        is not defined.
    """
    return Paired(*_varying(labels, predictions, "Pearson's correlation")).pearson()


def spearman(labels: Any, predictions: Any) -> float:
    """Spearman's correlation: that of the ranks, from -1 to 1; equal values share a mean rank.

    Takes and raises what `pearson` does.
    """
    return Paired(*_varying(labels, predictions, "Spearman's correlation")).spearman()


class Paired:
    """Two numbers of each record, correlated with any weights.

    Parameters
    ----------
    first, second : numpy.ndarray
        float64, finite, shape ``(n,)`` each.
    """

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        self._values = first, second
        self._places = [np.unique(values, return_inverse=True)[1] for values in self._values]

    def pearson(self, weights: Optional[np.ndarray] = None) -> float:
        """Pearson's correlation.

        Parameters
        ----------
        weights : numpy.ndarray, optional
            Shape ``(n,)``, from 0 on: how much each record counts.

        Returns
        -------
        float
            NaN where all that count of one of the two are equal.
        """
        return _correlation(*self._values, weights)

    def spearman(self, weights: Optional[np.ndarray] = None) -> float:
        """Spearman's correlation; takes and gives what `pearson` does."""
        first, second = (self._ranks(places, weights) for places in self._places)
        return _correlation(first, second, weights)

    @staticmethod
    def _ranks(places: np.ndarray, weights: Optional[np.ndarray]) -> np.ndarray:
        """How much stands below each record and beside it, half of the latter: ranks."""
        beside = np.bincount(places, weights)
        return (np.cumsum(beside) - beside / 2)[places]


def _varying(labels: Any, predictions: Any, what: str) -> tuple[np.ndarray, np.ndarray]:
    found = alike(labels, predictions)
    for name, values in zip(("labels", "predictions"), found):
        if np.all(values == values[0]):
            raise CustomerError(
                f"{what} is not defined, because all {len(values)} {name} are equal."
            )
    return found


def _correlation(first: np.ndarray, second: np.ndarray, weights: Optional[np.ndarray]) -> float:
    # divided by the largest one first, so that no square overflows or vanishes
    parts = []
    for values in (first, second):
        counting = values if weights is None else values[weights > 0]
        if not counting.size or np.all(counting == counting[0]):
            return math.nan
        centred = values / np.max(np.abs(values)) if np.any(values) else values
        if weights is None:
            centred = centred - centred.mean()
        else:
            # what does not count is left out of all that follows
            centred = np.where(weights > 0, centred - np.average(centred, weights=weights), 0)
        centred = centred / np.max(np.abs(centred))
        if weights is not None:
            centred = centred * np.sqrt(weights)
        parts.append(centred / np.linalg.norm(centred))
    return float(np.clip(parts[0] @ parts[1], -1.0, 1.0))
