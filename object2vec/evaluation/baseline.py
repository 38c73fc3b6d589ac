# SPDX-License-Identifier: Apache-2.0
"""The model that ignores its input: where training starts from, and what it has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from object2vec.hyperparameters.checked import Hyperparameters


@dataclass(frozen=True, eq=False)
class Baseline:
    """Always the mean label, or always the classes' frequencies.

    Attributes
    ----------
    output : numpy.ndarray
        float32; the raw output of that model: ``(num_classes,)`` before softmax, or ``(1,)``.
    loss : float
        Its squared error (the labels' variance) or cross-entropy (their entropy).
    description : str
        For a sentence: "that of …".
    """

    output: np.ndarray
    loss: float
    description: str


def baseline_of(
    labels: np.ndarray, hyperparameters: Hyperparameters, negatives: int = 0
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
    """
    values = labels.astype(np.float64)
    if hyperparameters.is_regression:
        count = len(values) + negatives
        mean = values.sum() / count
        # around the mean, for the mean of squares minus the squared mean would cancel digits out
        variance = float((np.square(values - mean).sum() + negatives * mean**2) / count)
        return Baseline(np.array([mean], np.float32), variance, "always predicting the mean label")
    counts = np.bincount(values.astype(np.int64), minlength=hyperparameters.num_classes)
    counts[0] += negatives
    frequencies = counts[counts > 0] / counts.sum()
    # one more of each class, so that an absent class starts as unlikely, not as impossible
    smoothed = (counts + 1) / (counts.sum() + len(counts))
    return Baseline(
        np.log(smoothed).astype(np.float32),
        float(-np.sum(frequencies * np.log(frequencies))),
        "always predicting the classes' shares",
    )
