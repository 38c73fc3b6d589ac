# SPDX-License-Identifier: Apache-2.0
"""Errors of predicted numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from object2vec.evaluation.checked_arrays import alike


def mean_squared_error(labels: Any, predictions: Any) -> float:
    """Mean of the squared differences.

    Parameters
    ----------
    labels, predictions : array of numbers
        Shape ``(n,)`` each, n at least 1; the order of the two does not matter.

    Raises
    ------
    CustomerError
        One of them is NaN or infinite, or they differ in length.
    """
    first, second = alike(labels, predictions)
    return float(np.mean(np.square(first - second)))


def root_mean_squared_error(labels: Any, predictions: Any) -> float:
    """Root of `mean_squared_error`, in units of the labels."""
    return math.sqrt(mean_squared_error(labels, predictions))


def mean_absolute_error(labels: Any, predictions: Any) -> float:
    """Mean of the absolute differences, in units of the labels; see `mean_squared_error`."""
    first, second = alike(labels, predictions)
    return float(np.mean(np.abs(first - second)))
