# SPDX-License-Identifier: Apache-2.0
"""What training tells: progress for people, lines for machines, a warning if it learns nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Optional

from object2vec.baseline import Baseline
from object2vec.batching import Bucket
from object2vec.hyperparameters import Hyperparameters
from object2vec.logs import LOGGER_NAME
from object2vec.metrics import (
    MetricAccumulator,
    RecordCounters,
    human_line,
    metrics_line,
    progress_metric_line,
    quality_metric_lines,
    score_lines,
    throughput_metric_line,
)

logger = logging.getLogger(LOGGER_NAME)

_BASELINE_SHARE = 0.99  # a loss above this share of the baseline's has learnt nothing


class TrainingLog:
    """Writes the log lines of one training.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        What is trained.
    host : str
        Name of this machine in the lines that machines read.
    """

    def __init__(self, hyperparameters: Hyperparameters, host: str) -> None:
        self._settings = hyperparameters
        self._host = host
        self._begun = time.time()
        self.counters = RecordCounters()

    def buckets(self, buckets: list[Bucket]) -> None:
        """Say how the train channel is cut into batches."""
        logger.info("use bucketing: %s", bool(self._settings.bucket_width))
        logger.info(
            "Total: %d samples in %d buckets",
            sum(bucket.samples for bucket in buckets),
            len(buckets),
        )
        for bucket in buckets:
            logger.info(
                "Bucket of %s : %d samples in %d batches of %d",
                bucket.widths if self._settings.bucket_width else "each batch's longest lists",
                bucket.samples,
                bucket.batches,
                self._settings.mini_batch_size,
            )
        rate = self._settings.negative_sampling_rate
        if rate:
            logger.info("Negative sampling enabled with sampling rate %d", rate)
            if self._settings.is_regression or self._settings.num_classes > 2:
                logger.warning(
                    "Negative sampling gives random pairs the label 0 and takes each given pair of "
                    "another label for a positive one: the model learns %s for unrelated pairs.",
                    "the number 0" if self._settings.is_regression else "class 0",
                )
        else:
            logger.info("Negative sampling not used")

    def initialized(self) -> None:
        """Mark the end of building the network."""
        self.milliseconds(self._begun, {"initialize.time": time.time() - self._begun})
        self._records("init_train_data_iter", self.counters, time.time())

    def running(self, epoch: int, begun: float, values: Mapping[str, float]) -> None:
        """Tell how far an epoch is."""
        seconds = max(time.time() - begun, 1e-9)
        records = self.counters.records_since_reset
        logger.info(
            "Epoch: %d, batches: %d, num_examples: %d, %.1f samples/sec, epoch time so far: %s",
            epoch,
            self.counters.batches_since_reset,
            records,
            records / seconds,
            timedelta(seconds=seconds),
        )
        logger.info("\tTraining metrics: %s", human_line(values))

    def epoch_metrics(
        self,
        epoch: int,
        begun: float,
        trained: MetricAccumulator,
        validated: Optional[MetricAccumulator],
    ) -> None:
        """Tell an epoch's training and validation metrics."""
        logger.info("**************")
        logger.info(
            "Completed Epoch: %d, time taken: %s", epoch, timedelta(seconds=time.time() - begun)
        )
        for split, title, accumulator in (
            ("train", "Training metrics:  ", trained),
            ("validation", "Validation metrics:", validated),
        ):
            if accumulator is not None:
                values = accumulator.values()
                logger.info("Epoch %d %s %s", epoch, title, human_line(values))
                for line in quality_metric_lines(self._host, split, values, epoch):
                    logger.info(line)
        logger.info("**************")

    def epoch_end(self, epoch: int, begun: float, judging: float, stopped_early: bool) -> None:
        """Tell an epoch's times, records and throughput, and the progress of the training.

        Parameters
        ----------
        epoch : int
            From 0.
        begun, judging : float
            When the epoch began, and when early stopping began to judge it, in seconds since 1970.
        stopped_early : bool
            Whether it is the last one by early stopping.
        """
        now, epochs = time.time(), self._settings.epochs
        if stopped_early:
            logger.info("Early stopping criterion met! Stopping training at epoch: %d", epoch)
        values = {"early_stop.time": 1000 * (now - judging), "update.time": 1000 * (now - begun)}
        if epoch == 0:
            values = {"epochs": epochs, **values}
        logger.info(metrics_line(self._host, begun, now, values))
        if stopped_early:
            logger.info("Early stop condition met. Stopping training.")
        finished = stopped_early or epoch + 1 == epochs
        logger.info(progress_metric_line(self._host, epoch + 1, epochs, finished=finished))
        self._records("training_data_iter", self.counters, begun, epoch)
        rate = self.counters.records_since_reset / max(now - begun, 1e-9)
        logger.info(throughput_metric_line(self._host, rate))

    def test_scores(self, begun: float, scored: MetricAccumulator) -> None:
        """Tell the test channel's metrics."""
        values = scored.values()
        logger.info("Finished scoring on %d examples.", scored.count)
        logger.info("Test Metrics: %s", human_line(values))
        counters = RecordCounters()
        counters.reset()
        counters.add(scored.count, -(-scored.count // self._settings.mini_batch_size))
        self._records("test_data_iter", counters, begun)
        for line in (
            *score_lines(self._host, values),
            *quality_metric_lines(self._host, "test", values),
        ):
            logger.info(line)
        self.milliseconds(begun, {"model.score.time": time.time() - begun})

    def milliseconds(self, begun: float, seconds: Mapping[str, float]) -> None:
        """Write durations, given in seconds, as one ``#metrics`` line."""
        values = {name: 1000 * value for name, value in seconds.items()}
        logger.info(metrics_line(self._host, begun, time.time(), values))

    def finished(self) -> None:
        """Tell how long it all took."""
        self.milliseconds(self._begun, {"totaltime": time.time() - self._begun})

    def warn_of_baseline(self, best_loss: float, baseline: Baseline) -> None:
        """Warn where the best loss is no better than that of a model that ignores its input."""
        if baseline.loss > 0 and best_loss > _BASELINE_SHARE * baseline.loss:
            settings = self._settings
            names = ["epochs", "optimizer", "learning_rate", "weight_decay", "dropout"]
            if settings.optimizer == "adadelta":
                names.remove("learning_rate")  # it has no use there
            logger.warning(
                "The best loss %.4f is not below %.0f %% of %.4f, that of %s: nothing was learnt "
                "with %s. Check these, and that the labels belong to their pairs.",
                best_loss,
                100 * _BASELINE_SHARE,
                baseline.loss,
                baseline.description,
                ", ".join(f"{name}={getattr(settings, name)}" for name in names),
            )

    def _records(
        self, meta: str, counters: RecordCounters, begun: float, epoch: Optional[int] = None
    ) -> None:
        logger.info(
            metrics_line(self._host, begun, time.time(), counters.values(), epoch=epoch, meta=meta)
        )
