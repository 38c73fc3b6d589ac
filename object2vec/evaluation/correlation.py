# SPDX-License-Identifier: Apache-2.0
"""Correlation of predicted numbers with labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from object2vec.errors import CustomerError
from object2vec.evaluation.checked_arrays import alike, mean_ranks


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
    return _correlation(*alike(labels, predictions), "Pearson's correlation")


def spearman(labels: Any, predictions: Any) -> float:
    """Spearman's correlation: that of the ranks, from -1 to 1; equal values share a mean rank.

    Takes and raises what `pearson` does.
    """
    first, second = alike(labels, predictions)
    return _correlation(mean_ranks(first), mean_ranks(second), "Spearman's correlation")


def _correlation(first: np.ndarray, second: np.ndarray, what: str) -> float:
    for name, values in (("labels", first), ("predictions", second)):
        if np.all(values == values[0]):
            raise CustomerError(
                f"{what} is not defined, because all {len(values)} {name} are equal."
            )
    # divided by the largest one first, so that no square overflows or vanishes
    parts = []
    for values in (first, second):
        centred = values / np.max(np.abs(values)) if np.any(values) else values
        centred = centred - centred.mean()
        centred /= np.max(np.abs(centred))
        parts.append(centred / np.linalg.norm(centred))
    return float(np.clip(parts[0] @ parts[1], -1.0, 1.0))
