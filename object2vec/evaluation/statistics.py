# SPDX-License-Identifier: Apache-2.0
"""The measures of classes, numbers and similarities by name, as functions of weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Optional

import numpy as np

from object2vec.evaluation.calibration import Calibration
from object2vec.evaluation.classification import ClassCounts
from object2vec.evaluation.correlation import Paired
from object2vec.evaluation.curves import ByScore
from object2vec.evaluation.intervals import Statistic, mean_of, root_of

Statistics = dict[str, Statistic]


def of_classes(labels: np.ndarray, log_probabilities: np.ndarray) -> Statistics:
    """The measures of predicted classes.

    Parameters
    ----------
    labels : numpy.ndarray
        Numbers of classes, int64 ``(n,)``.
    log_probabilities : numpy.ndarray
        float64, shape ``(n, num_classes)``: logarithms, which tell apart what is near 1.

    Returns
    -------
    dict of str to Statistic
        ``accuracy``, ``cross_entropy``, ``perplexity``, ``auc``, ``average_precision``,
        ``micro_f1``, ``macro_f1`` and ``calibration_error``. Of more than two classes the areas are
        means over the classes that occur, of each against the rest.
    """
    count = log_probabilities.shape[1]
    of_labels = np.take_along_axis(log_probabilities, labels[:, None], axis=1)[:, 0]
    predicted = log_probabilities.argmax(axis=1)
    entropy = mean_of(-of_labels)
    calibration = Calibration(
        np.minimum(np.exp(log_probabilities.max(axis=1)), 1), predicted == labels
    )
    cells = labels * count + predicted

    def counts(weights: Optional[np.ndarray]) -> ClassCounts:
        return ClassCounts.of_matrix(
            np.bincount(cells, weights, minlength=count * count).reshape(count, count)
        )

    return {
        "accuracy": mean_of(predicted == labels),
        "cross_entropy": entropy,
        "perplexity": lambda weights: _exp(entropy(weights)),
        **of_scores(*_one_against_rest(labels, log_probabilities)),
        "micro_f1": lambda weights: counts(weights).micro_f1,
        "macro_f1": lambda weights: counts(weights).macro_f1,
        "calibration_error": calibration.error,
    }


def of_label_sets(labels: np.ndarray, log_odds: np.ndarray, least: float = 0.0) -> Statistics:
    """The measures of predicted classes where a record may have several or none.

    Parameters
    ----------
    labels : numpy.ndarray
        bool, shape ``(n, num_classes)``.
    log_odds : numpy.ndarray
        float64, shape ``(n, num_classes)``.
    least : float
        A class is predicted where they are above this.

    Returns
    -------
    dict of str to Statistic
        ``micro_f1``, ``macro_f1``, ``cross_entropy`` and ``hamming_loss``, means over records and
        classes, ``exact_match``, the share of records without any mistake, and ``auc`` and
        ``average_precision``, means over the classes that occur.
    """
    predicted = log_odds > least
    entropies = np.logaddexp(0, log_odds) - np.where(labels, log_odds, 0)
    wrong = predicted != labels
    classes = [one for one in range(labels.shape[1]) if labels[:, one].any()]

    def counts(weights: Optional[np.ndarray]) -> ClassCounts:
        return ClassCounts.of(labels, predicted, weights=weights)

    return {
        "micro_f1": lambda weights: counts(weights).micro_f1,
        "macro_f1": lambda weights: counts(weights).macro_f1,
        "cross_entropy": mean_of(entropies.mean(axis=1)),
        "hamming_loss": mean_of(wrong.mean(axis=1)),
        "exact_match": mean_of(~wrong.any(axis=1)),
        **of_scores([labels[:, one] for one in classes], [log_odds[:, one] for one in classes]),
    }


def of_scores(positive: Sequence[np.ndarray], scores: Sequence[np.ndarray]) -> Statistics:
    """``auc`` and ``average_precision`` of one ordering of records, or means over several.

    Parameters
    ----------
    positive : sequence of numpy.ndarray
        bool ``(n,)`` each.
    scores : sequence of numpy.ndarray
        Shape ``(n,)`` each.
    """
    orders = [ByScore(own, by) for own, by in zip(positive, scores)]

    def mean(values: list[float]) -> float:
        defined = [value for value in values if not math.isnan(value)]
        return float(np.mean(defined)) if defined else math.nan

    return {
        "auc": lambda weights: mean([order.auc(weights) for order in orders]),
        "average_precision": lambda weights: mean(
            [order.average_precision(weights) for order in orders]
        ),
    }


def of_numbers(labels: np.ndarray, predictions: np.ndarray) -> Statistics:
    """The measures of predicted numbers, float64 ``(n,)``.

    Returns
    -------
    dict of str to Statistic
        ``mean_squared_error``, ``root_mean_squared_error``, ``mean_absolute_error``, ``pearson``
        and ``spearman``.
    """
    differences = predictions - labels
    squared = mean_of(np.square(differences))
    return {
        "mean_squared_error": squared,
        "root_mean_squared_error": root_of(squared),
        "mean_absolute_error": mean_of(np.abs(differences)),
        **of_similarities(labels, predictions),
    }


def of_similarities(labels: np.ndarray, scores: np.ndarray) -> Statistics:
    """``pearson`` and ``spearman`` of labels and scores, float64 ``(n,)``."""
    paired = Paired(labels, scores)
    return {"pearson": paired.pearson, "spearman": paired.spearman}


def _one_against_rest(
    labels: np.ndarray, log_probabilities: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Of two classes the second one; of more each that occurs."""
    count = log_probabilities.shape[1]
    if count == 2:
        # differences tell apart what is near a probability of 1
        return [labels == 1], [log_probabilities[:, 1] - log_probabilities[:, 0]]
    occurring = [one for one in range(count) if np.any(labels == one)]
    return [labels == one for one in occurring], [log_probabilities[:, one] for one in occurring]


def _exp(value: float) -> float:
    return math.exp(value) if value < math.log(np.finfo(np.float64).max) else math.inf
