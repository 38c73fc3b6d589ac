# SPDX-License-Identifier: Apache-2.0
"""How well classes are told: by the class that is predicted, by scores, by probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from object2vec.errors import CustomerError
from object2vec.evaluation.checked_arrays import class_numbers, numbers
from object2vec.evaluation.curves import ByScore


def accuracy(labels: Any, predicted: Any) -> float:
    """Share of the records whose class is predicted right.

    Parameters
    ----------
    labels, predicted : array of integers
        Numbers of classes, shape ``(n,)`` each.

    Raises
    ------
    CustomerError
        They are no numbers of classes, or differ in length.
    """
    first, second = _classes(labels, predicted, None)
    return float(np.mean(first == second))


def confusion_matrix(labels: Any, predicted: Any, num_classes: Optional[int] = None) -> np.ndarray:
    """How often each class is predicted for each.

    Parameters
    ----------
    labels, predicted : array of integers
        Numbers of classes, shape ``(n,)`` each.
    num_classes : int, optional
        By default one more than the largest number that occurs.

    Returns
    -------
    numpy.ndarray
        int64, shape ``(num_classes, num_classes)``: a row a label, a column a prediction.

    Raises
    ------
    CustomerError
        As `accuracy`, or a number is not below `num_classes`.
    """
    return _confusion(labels, predicted, num_classes)


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """What was predicted right and wrong of each class, and the measures that follow from it.

    Micro averages count over all classes together, macro averages are means over the classes that
    occur, in labels or in predictions. A share of nothing is 0, as in scikit-learn with
    ``zero_division=0``.

    Attributes
    ----------
    right : numpy.ndarray
        int64, or float64 where records have weights, shape ``(num_classes,)``: how often a class is
        both label and prediction.
    predicted, labelled : numpy.ndarray
        As right: how often it is a prediction, and how often a label.
    """

    right: np.ndarray
    predicted: np.ndarray
    labelled: np.ndarray

    @classmethod
    def of(
        cls,
        labels: Any,
        predicted: Any,
        num_classes: Optional[int] = None,
        weights: Optional[np.ndarray] = None,
    ) -> ClassCounts:
        """Count.

        Parameters
        ----------
        labels, predicted : array of integers or bools
            Numbers of classes, shape ``(n,)``; or bools, shape ``(n, num_classes)``, where a record
            may have several classes or none.
        num_classes : int, optional
            By default one more than the largest number that occurs.
        weights : numpy.ndarray, optional
            Shape ``(n,)``: how much each record counts.

        Raises
        ------
        CustomerError
            As `confusion_matrix`.
        """
        first, second = np.asarray(labels), np.asarray(predicted)
        if first.ndim == 2:
            if first.dtype != bool or second.dtype != bool or first.shape != second.shape:
                raise CustomerError(
                    "Labels and predictions of several classes a record must be bools of one "
                    f"shape (n, num_classes), found {first.dtype} {first.shape} and "
                    f"{second.dtype} {second.shape}."
                )
            of_each = first & second, second, first
            if weights is None:
                return cls(*(np.count_nonzero(found, axis=0) for found in of_each))
            return cls(*(weights.astype(np.float64) @ found for found in of_each))
        return cls.of_matrix(_confusion(labels, predicted, num_classes, weights))

    @classmethod
    def of_matrix(cls, matrix: np.ndarray) -> ClassCounts:
        """Count what stands in a `confusion_matrix`."""
        return cls(matrix.diagonal().copy(), matrix.sum(axis=0), matrix.sum(axis=1))

    @property
    def precision(self) -> np.ndarray:
        """Share of the predictions of each class that are right, float64 ``(num_classes,)``."""
        return _shares(self.right, self.predicted)

    @property
    def recall(self) -> np.ndarray:
        """Share of the labels of each class that are found, float64 ``(num_classes,)``."""
        return _shares(self.right, self.labelled)

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of precision and recall of each class, float64 ``(num_classes,)``."""
        return _shares(2 * self.right, self.predicted + self.labelled)

    @property
    def micro_precision(self) -> float:
        """Share of all predictions that are right."""
        return float(_shares(self.right.sum(), self.predicted.sum()))

    @property
    def micro_recall(self) -> float:
        """Share of all labels that are found."""
        return float(_shares(self.right.sum(), self.labelled.sum()))

    @property
    def micro_f1(self) -> float:
        """F1 over all classes together; with one class a record, the accuracy."""
        return float(_shares(2 * self.right.sum(), (self.predicted + self.labelled).sum()))

    @property
    def macro_precision(self) -> float:
        """Mean `precision` of the classes that occur."""
        return self._macro(self.precision)

    @property
    def macro_recall(self) -> float:
        """Mean `recall` of the classes that occur."""
        return self._macro(self.recall)

    @property
    def macro_f1(self) -> float:
        """Mean `f1` of the classes that occur."""
        return self._macro(self.f1)

    def _macro(self, values: np.ndarray) -> float:
        occurring = self.predicted + self.labelled > 0
        return float(values[occurring].mean()) if occurring.any() else 0.0


def micro_f1_by_threshold(
    labels: np.ndarray,
    scores: np.ndarray,
    thresholds: np.ndarray,
    weights: Optional[np.ndarray] = None,
) -> np.ndarray:
    """Micro-averaged F1 where a record has the classes whose scores are above each threshold.

    Parameters
    ----------
    labels : numpy.ndarray
        bool, shape ``(n, num_classes)``.
    scores : numpy.ndarray
        Of the same shape; sorted once for all thresholds.
    thresholds : numpy.ndarray
        Shape ``(m,)``.
    weights : numpy.ndarray, optional
        Shape ``(n,)``: how much each record counts.

    Returns
    -------
    numpy.ndarray
        float64, shape ``(m,)``; see `ClassCounts.micro_f1`.
    """
    order = np.argsort(scores, axis=None)
    counts = np.ones(len(labels)) if weights is None else weights.astype(np.float64)
    counted = np.repeat(counts, labels.shape[1])[order]
    right = counted * labels.ravel()[order]
    places = np.searchsorted(scores.ravel()[order], thresholds, side="right")
    # what is above a place is all but what is below
    predicted, found = (
        each.sum() - np.append(0.0, np.cumsum(each))[places] for each in (counted, right)
    )
    return _shares(2 * found, predicted + right.sum())


def auc(labels: Any, scores: Any, weights: Optional[np.ndarray] = None) -> float:
    """Area under the ROC curve: how often a positive record has the higher score of a pair.

    By the ranks of the scores (Mann and Whitney, 1947); pairs of equal scores count half.

    Parameters
    ----------
    labels : array
        Shape ``(n,)``: 0 or False of negative records. With several columns of scores, numbers of
        classes.
    scores : array of numbers
        Shape ``(n,)``; or ``(n, num_classes)``, which gives the mean over the classes that occur
        of each one against the rest.
    weights : numpy.ndarray, optional
        Shape ``(n,)``, above 0: how much each record counts.

    Raises
    ------
    CustomerError
        A score is NaN, the two differ in length, or all records are of one class.
    """
    found = numbers(scores, "the scores", infinite=True)
    if found.ndim != 2:
        return _binary_auc(*_positive(labels, found), weights)
    classes = class_numbers(labels, "the labels", found.shape[1])
    _check_equally_many(classes, found)
    occurring = np.unique(classes)
    _check_both(len(occurring) > 1, len(classes), "The area under the ROC curve")
    return float(
        np.mean([_binary_auc(classes == one, found[:, one], weights) for one in occurring])
    )


def average_precision(labels: Any, scores: Any) -> float:
    """Area under the curve of precision over recall, as a sum of steps.

    The sum over the scores, from the highest on, of the precision there times what recall gains;
    records of equal scores are one step (as in scikit-learn).

    Parameters
    ----------
    labels : array
        Shape ``(n,)``: 0 or False of negative records.
    scores : array of numbers
        Shape ``(n,)``.

    Raises
    ------
    CustomerError
        A score is NaN, the two differ in length, or no record is positive.
    """
    positive, found = _positive(labels, numbers(scores, "the scores", infinite=True))
    if not positive.any():
        raise CustomerError(
            f"The average precision is not defined, because none of {len(positive)} records is "
            "positive."
        )
    return ByScore(positive, found).average_precision()


def log_loss(labels: Any, probabilities: Any) -> float:
    """Mean cross-entropy in nats: minus the logarithm of the probability of the right class.

    A probability of 0 counts as the smallest difference from 1 that its type knows (as in
    scikit-learn), so that the loss stays finite.

    Parameters
    ----------
    labels : array of integers
        Numbers of classes, shape ``(n,)``.
    probabilities : array of numbers
        Shape ``(n, num_classes)``, each row with the sum 1; or ``(n,)``, those of class 1 of two.

    Raises
    ------
    CustomerError
        These are no probabilities, the labels are no classes, or the two differ in length.
    """
    found = numbers(probabilities, "the probabilities")
    if found.ndim == 1:
        found = np.stack([1 - found, found], axis=1)
    if found.ndim != 2:
        raise CustomerError(
            f"The probabilities must have one or two dimensions, found the shape {found.shape}."
        )
    classes = class_numbers(labels, "the labels", found.shape[1])
    _check_equally_many(classes, found)
    sums = found.sum(axis=1, dtype=np.float64)
    wrong = np.flatnonzero(
        (found < 0).any(axis=1) | (found > 1).any(axis=1) | (abs(sums - 1) > 1e-3)
    )
    if wrong.size:
        raise CustomerError(
            f"The probabilities of record {wrong[0]} must be from 0 to 1 and have the sum 1, found "
            f"the sum {sums[wrong[0]]:g}."
        )
    least = np.finfo(found.dtype).eps
    of_labels = np.take_along_axis(found, classes[:, None], axis=1)[:, 0].astype(np.float64)
    return float(-np.mean(np.log(np.clip(of_labels, least, 1 - least))))


def _confusion(
    labels: Any,
    predicted: Any,
    num_classes: Optional[int],
    weights: Optional[np.ndarray] = None,
) -> np.ndarray:
    first, second = _classes(labels, predicted, num_classes)
    size = num_classes or int(max(first.max(), second.max())) + 1
    cells = first * size + second
    return np.bincount(cells, weights, minlength=size * size).reshape(size, size)


def _classes(
    labels: Any, predicted: Any, num_classes: Optional[int]
) -> tuple[np.ndarray, np.ndarray]:
    first = class_numbers(labels, "the labels", num_classes)
    second = class_numbers(predicted, "the predictions", num_classes)
    _check_equally_many(first, second)
    return first, second


def _shares(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    return np.where(wholes > 0, parts / np.where(wholes > 0, wholes, 1), 0.0)


def _check_equally_many(labels: np.ndarray, others: np.ndarray) -> None:
    if len(labels) != len(others):
        raise CustomerError(
            f"There must be as many labels as what is measured by them, found {len(labels)} and "
            f"{len(others)}."
        )


def _check_both(are_there: bool, count: int, what: str) -> None:
    if not are_there:
        raise CustomerError(f"{what} is not defined, because all {count} records are of one class.")


def _positive(labels: Any, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = numbers(labels, "the labels")
    if found.ndim != 1 or scores.ndim != 1:
        raise CustomerError(
            "Labels and scores must be one-dimensional, found the shapes "
            f"{found.shape} and {scores.shape}."
        )
    _check_equally_many(found, scores)
    return found != 0, scores


def _binary_auc(
    positive: np.ndarray, scores: np.ndarray, weights: Optional[np.ndarray] = None
) -> float:
    is_both = bool(positive.any() and not positive.all())
    _check_both(is_both, len(positive), "The area under the ROC curve")
    return ByScore(positive, scores).auc(weights)
