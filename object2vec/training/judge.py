# SPDX-License-Identifier: Apache-2.0
"""Judges a model while it is trained and at the end: by validation, by test, by the baseline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple, Optional

import numpy as np

from object2vec.data.arrays import PairDataset
from object2vec.data.in_batch import count_candidates
from object2vec.evaluation.baseline import baseline_of
from object2vec.evaluation.metrics import MetricAccumulator
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.inference.predictor import Predictor
from object2vec.training.metric_lines import RecordCounters
from object2vec.training.stopping_metric import stopping_metric_of
from object2vec.training.training_log import TrainingLog


class Judgement(NamedTuple):
    """What an epoch is worth.

    Attributes
    ----------
    metrics : dict
        Of ``train`` and, with validation pairs, ``validation``, each metric by its name.
    loss : float
        That of validation, without it that of training.
    value : float
        What early stopping goes by: the loss, or the metric in its place.
    """

    metrics: dict[str, dict[str, float]]
    loss: float
    value: float

    def record(self, epoch: int) -> dict[str, float]:
        """The epoch's entry in the history."""
        found: dict[str, float] = {"epoch": epoch}
        for split, values in self.metrics.items():
            found.update({f"{split}_{name}": value for name, value in values.items()})
        return found


class Judge:
    """Judges one model.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        What is trained.
    predictor : Predictor
        With the model as it is at the time.
    train : PairDataset
        What it is trained on.
    validation : PairDataset, optional
        What it is judged by.
    seed : int
        Of what is drawn, where there are too many objects to rank.
    by_metric : bool
        Whether early stopping may go by another measure than the loss.

    Attributes
    ----------
    metric : str or None
        The measure by which early stopping goes in the place of the loss.
    split : str
        'validation', or 'training' without it: what the loss is of.

    Raises
    ------
    CustomerError
        The measure is not defined for the validation pairs.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        predictor: Predictor,
        train: PairDataset,
        validation: Optional[PairDataset],
        seed: int,
        *,
        by_metric: bool,
    ) -> None:
        self._settings, self._predictor = hyperparameters, predictor
        self._train, self._validation = train, validation
        self._metric = None
        if by_metric and validation is not None:
            self._metric = stopping_metric_of(hyperparameters, train, validation, seed)
        self.metric = None if self._metric is None else self._metric.name
        self.split = "training" if validation is None else "validation"

    def epoch(self, trained: MetricAccumulator) -> Judgement:
        """Judge an epoch, of whose training the metrics are known.

        A loss of validation that is no finite number is given back without further measures.
        """
        metrics = {"train": trained.values()}
        if self._validation is None:
            return Judgement(metrics, trained.loss, trained.loss)
        outputs = None if self._metric is None else self._metric.room()
        validated = self._evaluate(self._validation, outputs=outputs)
        metrics["validation"] = values = validated.values()
        if self._metric is None or not np.isfinite(validated.loss):
            return Judgement(metrics, validated.loss, validated.loss)
        value = self._metric.measure(values, self._predictor, outputs)
        values.setdefault(self._metric.name, value)
        return Judgement(metrics, validated.loss, value)

    def compare_with_baseline(self, log: TrainingLog, lowest_loss: float, negatives: int) -> None:
        """Warn where the lowest loss is hardly below that of a model that ignores its input.

        Of training with hard negatives nothing is said, as no loss is known to compare with.

        Parameters
        ----------
        log : TrainingLog
            Gets the warning.
        lowest_loss : float
            Of all epochs.
        negatives : int
            Drawn in its epoch, where that loss is of training.
        """
        settings = self._settings
        if self._validation is None:
            if settings.draws_hard_negatives:
                return
            candidates = min(settings.mini_batch_size, len(self._train))
            pairs = self._train
            baseline = baseline_of(pairs.labels, settings, negatives, candidates, pairs.weights)
        else:
            pairs = self._validation
            candidates = count_candidates(pairs.in1) if settings.is_contrastive else 0
            baseline = baseline_of(pairs.labels, settings, 0, candidates, pairs.weights)
        log.warn_of_baseline(lowest_loss, self.split, baseline)

    def test(self, pairs: PairDataset, log: TrainingLog) -> dict[str, float]:
        """Score test pairs and tell it; the metrics by name."""
        counters = RecordCounters()
        counters.reset()
        begun = time.time()
        with log.measured("model.score.time"):
            scored = self._evaluate(pairs, counters.add)
        log.test_scores(begun, scored, counters)
        return scored.values()

    def _evaluate(
        self,
        pairs: PairDataset,
        scored: Callable[[int], Any] = lambda count: None,
        outputs: Optional[np.ndarray] = None,
    ) -> MetricAccumulator:
        sums = self._predictor.loss_sums(pairs, scored, outputs)
        return MetricAccumulator.of(self._settings.output_layer, sums, len(pairs))
