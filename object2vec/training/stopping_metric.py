# SPDX-License-Identifier: Apache-2.0
"""What early stopping judges an epoch by: a measure of the validation pairs, or their loss."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Optional

import numpy as np

from object2vec.data.arrays import PairDataset
from object2vec.errors import CustomerError
from object2vec.evaluation.classification import ClassCounts, auc
from object2vec.evaluation.ranking import by_name
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.logs import LOGGER_NAME
from object2vec.training.early_stopping import LOSS, EarlyStopping
from object2vec.training.full_ranking import FullRanking

if TYPE_CHECKING:
    from object2vec.inference.predictor import Predictor

_logger = logging.getLogger(LOGGER_NAME)
_RANKING = ("hit_rate@10", "ndcg@10", "mrr")
_OF_PAIRS = ("auc", "macro_f1")
_OF_LABELS = ("micro_f1", "macro_f1")
#: Of these a study, too, wants the lowest value.
LOWER_IS_BETTER = (LOSS, "cross_entropy", "mean_squared_error", "mean_absolute_error")


def early_stopping_of(hyperparameters: Hyperparameters) -> EarlyStopping:
    """The rule of early stopping, by the metric that the hyperparameters name."""
    metric = hyperparameters.early_stopping_metric
    return EarlyStopping(
        hyperparameters.early_stopping_patience,
        hyperparameters.early_stopping_tolerance,
        metric,
        higher_is_better=metric not in LOWER_IS_BETTER,
    )


def check_channels(hyperparameters: Hyperparameters, channels: Collection[str]) -> None:
    """Refuse a measure of validation pairs where there are none.

    Raises
    ------
    CustomerError
        There is no channel ``validation``, which the metric needs.
    """
    metric = hyperparameters.early_stopping_metric
    if metric != LOSS and "validation" not in channels:
        raise CustomerError(
            f"'early_stopping_metric' is '{metric}', which is measured on validation pairs, but "
            f"there are none: give a validation channel, or leave it '{LOSS}'."
        )


def check_pairs(hyperparameters: Hyperparameters, validation: PairDataset) -> None:
    """Refuse a measure that is not defined for the validation pairs.

    Raises
    ------
    CustomerError
        Their labels are all equal, or all 0 where positive pairs are ranked, or none has a class.
    """
    metric, labels = hyperparameters.early_stopping_metric, validation.labels
    wrong = ""
    if hyperparameters.is_multi_label and metric in _OF_LABELS and not np.any(labels):
        wrong = "is measured on validation pairs that have classes, but none of the "
        wrong += f"{len(labels):,} has one"
    if metric == "auc" and np.all(labels == labels[0]):
        wrong = f"needs validation pairs of two classes, but all {len(labels):,} are of class "
        wrong += f"{int(labels[0])}"
    if metric in _RANKING and not np.any(labels):
        wrong = "ranks the validation pairs of another label than 0, but all "
        wrong += f"{len(labels):,} labels are 0"
    if wrong:
        raise CustomerError(f"'early_stopping_metric' is '{metric}', which {wrong}.")


def stopping_metric_of(
    hyperparameters: Hyperparameters, train: PairDataset, validation: PairDataset, seed: int
) -> Optional[StoppingMetric]:
    """What measures the epochs, None where their loss does; see `StoppingMetric`."""
    if hyperparameters.early_stopping_metric == LOSS:
        return None
    return StoppingMetric(hyperparameters, train, validation, seed)


class StoppingMetric:
    """Measures the validation pairs after each epoch.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        With an ``early_stopping_metric`` other than the loss.
    train, validation : PairDataset
        The pairs.
    seed : int
        Of what is drawn, where there are too many objects to rank.

    Attributes
    ----------
    name : str
        The metric.

    Raises
    ------
    CustomerError
        It is not defined for these pairs.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        train: PairDataset,
        validation: PairDataset,
        seed: int,
    ) -> None:
        check_pairs(hyperparameters, validation)
        self.name = hyperparameters.early_stopping_metric
        self._labels = validation.labels
        self._weights = validation.weights
        self._classes = hyperparameters.num_classes
        self._ranking = None
        if self.name in _RANKING:
            self._ranking = FullRanking(train, validation, seed)
            _logger.info("%s", self._ranking.line())

    def room(self) -> Optional[np.ndarray]:
        """Room for the raw outputs that `measure` takes, None where it takes none.

        float32, shape ``(n, num_classes)`` for n validation pairs.
        """
        if self.name not in _OF_PAIRS:
            return None
        return np.empty((len(self._labels), self._classes), np.float32)

    def measure(
        self,
        values: Mapping[str, float],
        predictor: Predictor,
        outputs: Optional[np.ndarray] = None,
    ) -> float:
        """Measure an epoch.

        Parameters
        ----------
        values : mapping
            What is known of the validation pairs, by name.
        predictor : Predictor
            With the epoch's model.
        outputs : numpy.ndarray, optional
            What `room` gave, with the raw outputs of the validation pairs.
        """
        if self._ranking is not None:
            return float(by_name(self.name, self._ranking.ranks(predictor)).mean())
        if outputs is None:
            return values[self.name]
        if self._labels.ndim == 2:
            has, predicted = self._labels > 0, outputs > 0
            return ClassCounts.of(has, predicted, weights=self._weights).macro_f1
        if self.name == "macro_f1":
            predicted = outputs.argmax(axis=1)
            return ClassCounts.of(self._labels, predicted, weights=self._weights).macro_f1
        return auc(self._labels, _scores(outputs), self._weights)


def _scores(outputs: np.ndarray) -> np.ndarray:
    """What records are ordered by, for two classes ``(n,)``, else for each class."""
    outputs = outputs.astype(np.float64)
    if outputs.shape[1] == 2:
        # differences tell apart what is near a probability of 1
        return outputs[:, 1] - outputs[:, 0]
    largest = outputs.max(axis=1, keepdims=True)
    sums = np.log(np.exp(outputs - largest).sum(axis=1, keepdims=True))
    return outputs - largest - sums
