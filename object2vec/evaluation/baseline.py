# SPDX-License-Identifier: Apache-2.0
"""The model that ignores its input: where training starts from, and what it has to beat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional

import numpy as np

from object2vec.hyperparameters.checked import Hyperparameters


@dataclass(frozen=True, eq=False)
class Baseline:
    """Always the mean label, always the classes' frequencies, or one score for all pairs.

    Attributes
    ----------
    output : numpy.ndarray
        float32; the raw output of that model: ``(num_classes,)`` before softmax, or ``(1,)``.
    loss : float
        Its squared error (the labels' variance) or cross-entropy (their entropy).
    description : str
        For a sentence: "that of …".
    spread : float
        The labels' standard deviation, where they are numbers.
    """

    output: np.ndarray
    loss: float
    description: str
    spread: float = 0.0


def baseline_of(
    labels: np.ndarray,
    hyperparameters: Hyperparameters,
    negatives: int = 0,
    candidates: int = 1,
    weights: Optional[np.ndarray] = None,
) -> Baseline:
    """Compute the baseline of some labels.

    Parameters
    ----------
    labels : numpy.ndarray
        Shape ``(n,)``, n at least 1.
    hyperparameters : Hyperparameters
        Their output layer and number of classes.
    negatives : int
        How many labels 0 come on top: those that were drawn, not those that were asked for.
    candidates : int
        For in_batch_softmax: among how many objects the right one is to be found.
    weights : numpy.ndarray, optional
        Shape ``(n,)``: how much each label counts; a negative counts as much as its pair.
    """
    if hyperparameters.is_contrastive:
        return Baseline(
            np.zeros(1, np.float32), math.log(candidates), "giving all objects the same score"
        )
    values = labels.astype(np.float64)
    drawn = float(negatives)
    if weights is not None:
        weights = weights / weights.mean(dtype=np.float64)
        drawn *= weights[values != 0].mean() if negatives else 0.0
    if hyperparameters.is_regression:
        total = len(values) + drawn
        mean = _total(values, weights) / total
        # around the mean, for the mean of squares minus the squared mean would cancel digits out
        squares = _total(np.square(values - mean), weights)
        variance = float((squares + drawn * mean**2) / total)
        start = np.array([mean], np.float32)
        return Baseline(start, variance, "always predicting the mean label", math.sqrt(variance))
    classes = values.astype(np.int64)
    counts = np.bincount(classes, weights, minlength=hyperparameters.num_classes).astype(float)
    counts[0] += drawn
    frequencies = counts[counts > 0] / counts.sum()
    # one more of each class, so that an absent class starts as unlikely, not as impossible
    smoothed = (counts + 1) / (counts.sum() + len(counts))
    return Baseline(
        np.log(smoothed).astype(np.float32),
        float(-np.sum(frequencies * np.log(frequencies))),
        "always predicting the classes' shares",
    )


def _total(values: np.ndarray, weights: Optional[np.ndarray]) -> float:
    return float(values.sum() if weights is None else values @ weights)
