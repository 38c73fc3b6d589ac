# SPDX-License-Identifier: Apache-2.0
"""The model that ignores its input: where training starts from, and what it has to beat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from object2vec.hyperparameters.checked import Hyperparameters


@dataclass(frozen=True, eq=False)
class Baseline:
    """Always the mean label, always the classes' frequencies, or one score for all pairs.

    Attributes
    ----------
    output : numpy.ndarray
        float32; the raw output of that model: ``(num_classes,)`` before softmax or the sigmoid,
        or ``(1,)``.
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
        Shape ``(n,)``, n at least 1; for multi_label ``(n, num_classes)``.
    hyperparameters : Hyperparameters
        Their output layer, number of classes and class_weights.
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
    if hyperparameters.is_multi_label:
        return _of_many_labels(labels, hyperparameters, weights)
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
    total = counts.sum()
    # one more of each class, so that an absent class starts as unlikely, not as impossible
    smoothed = (counts + 1) / (total + len(counts))
    if hyperparameters.class_weights is not None:
        factors = np.array(hyperparameters.class_weights)
        counts, smoothed = counts * factors, smoothed * factors / (smoothed @ factors)
    shares = counts[counts > 0] / counts.sum()
    return Baseline(
        np.log(smoothed).astype(np.float32),
        float(-np.sum(shares * np.log(shares)) * counts.sum() / total),
        "always predicting the classes' shares",
    )


def _of_many_labels(
    labels: np.ndarray, hyperparameters: Hyperparameters, weights: Optional[np.ndarray]
) -> Baseline:
    """The shares of the pairs that have each class, a label counting by its class's weight."""
    factors: Any = 1.0
    if hyperparameters.class_weights is not None:
        factors = np.array(hyperparameters.class_weights)
    total = len(labels) if weights is None else weights.sum(dtype=np.float64)
    sums = (np.ones(len(labels)) if weights is None else weights.astype(np.float64)) @ labels
    having, lacking = factors * sums / total, 1 - sums / total
    entropies = -_x_log(having, having + lacking) - _x_log(lacking, having + lacking)
    # one more pair with each class and one more without; see above
    odds = factors * (sums + 1) / (total - sums + 1)
    return Baseline(
        np.log(odds).astype(np.float32),
        float(entropies.mean()),
        "always predicting the classes' shares",
    )


def _x_log(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """Parts times the logarithm of their share of the wholes, 0 where a part is 0."""
    return parts * np.log(np.where(parts > 0, parts, wholes) / wholes)


def _total(values: np.ndarray, weights: Optional[np.ndarray]) -> float:
    return float(values.sum() if weights is None else values @ weights)
