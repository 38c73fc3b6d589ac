# SPDX-License-Identifier: Apache-2.0
"""What training tells: progress for people, lines for machines, a warning if it learns nothing."""

from __future__ import annotations

import collections
import contextlib
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Optional, Union

from object2vec.data.batching import Bucket
from object2vec.evaluation.baseline import Baseline
from object2vec.evaluation.metrics import REPORTED, MetricAccumulator
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.logs import LOGGER_NAME
from object2vec.text import counted
from object2vec.training.early_stopping import LOSS
from object2vec.training.metric_lines import (
    RecordCounters,
    human_line,
    metrics_line,
    progress_metric_line,
    quality_metric_lines,
    score_lines,
    throughput_metric_line,
)
from object2vec.training.readable_log import ReadableLog, readable_metrics

_logger = logging.getLogger(LOGGER_NAME)

# Times that the last line also gives, where they were taken.
_AT_THE_END = ("model.serialize.time", "model.score.time")
# How an epoch's metrics of a channel are headed, in the log and for people.
_TITLES = {
    "train": ("Training metrics:  ", "training"),
    "validation": ("Validation metrics:", "validation"),
}
_BASELINE_SHARE = 0.99  # with a loss above this part of the baseline's, little was learnt


@dataclass(frozen=True)
class JobStart:
    """When a job began, and what it did before it read its data.

    Attributes
    ----------
    begun : float
        In seconds since 1970.
    setup : float, optional
        Seconds until its configuration was read and checked.
    """

    begun: float = field(default_factory=time.time)
    setup: Optional[float] = None


class TrainingLog:
    """Writes the log lines of one training.

    The lines of times follow one another without a gap, as in the original: each span begins where
    that of the one before ended, the first one with the job.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        What is trained.
    host : str
        Name of this machine in the lines that machines read.
    start : JobStart, optional
        The job's beginning; now by default.
    epochs : int, optional
        The most that there will be; by default what the hyperparameters say.
    readable : ReadableLog, optional
        Is told as well.

    Attributes
    ----------
    readable : ReadableLog
        The given one, or one that writes nothing.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        host: str,
        start: Optional[JobStart] = None,
        epochs: Optional[int] = None,
        readable: Optional[ReadableLog] = None,
    ) -> None:
        self._settings = hyperparameters
        self._epochs = epochs or hyperparameters.epochs
        self.readable = readable or ReadableLog(lambda line: None)
        self._host = host
        self._building = time.time()
        self._start = start or JobStart(self._building)
        self._told = self._start.begun  # the end of the last span
        self._durations: dict[str, list[float]] = collections.defaultdict(list)
        self.counters = RecordCounters()

    def devices(self, contexts: Sequence[Any]) -> None:
        """Say where it computes."""
        gpus = [context for context in contexts if context.device_type == "gpu"]
        _logger.info("Number of GPUs being used: %d", len(gpus))
        _logger.info("context %s", contexts)

    def parameters(self, parameters: Mapping[str, Any]) -> None:
        """Say which parameters there are, and which of them stay fixed."""
        fixed = [name for name, value in parameters.items() if value.grad_req == "null"]
        _logger.info("fixed_param_names: %s", fixed)
        _logger.info("all params: %s", {name: value.shape for name, value in parameters.items()})
        _logger.info("Total params: %d", sum(math.prod(p.shape) for p in parameters.values()))

    def buckets(self, buckets: list[Bucket]) -> None:
        """Say how the train channel is cut into batches."""
        _logger.info("use bucketing: %s", bool(self._settings.bucket_width))
        _logger.info(
            "Total: %d samples in %d buckets",
            sum(bucket.samples for bucket in buckets),
            len(buckets),
        )
        for bucket in buckets:
            _logger.info(
                "Bucket of %s : %d samples in %d batches of %d",
                bucket.widths if self._settings.bucket_width else "each batch's longest lists",
                bucket.samples,
                bucket.batches,
                self._settings.mini_batch_size,
            )
        rate = self._settings.negative_sampling_rate
        if rate:
            _logger.info("Negative sampling enabled with sampling rate %d", rate)
            if self._settings.is_regression or self._settings.num_classes > 2:
                _logger.warning(
                    "Negative sampling gives random pairs the label 0 and takes each given pair of "
                    "another label for a positive one: the model learns %s for unrelated pairs.",
                    "the number 0" if self._settings.is_regression else "class 0",
                )
        else:
            _logger.info("Negative sampling not used")

    def initialized(self) -> None:
        """Mark the end of building the network."""
        now = time.time()
        self._times({"initialize.time": now - self._building}, now)
        self._records("init_train_data_iter", self.counters, now, time.time())

    def running(self, epoch: int, begun: float, values: Mapping[str, float]) -> None:
        """Tell how far an epoch is."""
        seconds = max(time.time() - begun, 1e-9)
        records = self.counters.records_since_reset
        _logger.info(
            "Epoch: %d, batches: %d, num_examples: %d, %.1f samples/sec, epoch time so far: %s",
            epoch,
            self.counters.batches_since_reset,
            records,
            records / seconds,
            timedelta(seconds=seconds),
        )
        _logger.info("\tTraining metrics: %s", human_line(values))

    def epoch_metrics(
        self, epoch: int, seconds: float, metrics: Mapping[str, Mapping[str, float]]
    ) -> None:
        """Tell an epoch's metrics, and the seconds of its training without the validation.

        Parameters
        ----------
        epoch : int
            From 0.
        seconds : float
            What it took.
        metrics : mapping
            Of ``train`` and, where there is one, ``validation``, each metric by its name.
        """
        self._told_metrics = {_TITLES[split][1]: values for split, values in metrics.items()}
        self._rate = self.counters.records_since_reset / max(seconds, 1e-9)
        _logger.info("**************")
        _logger.info("Completed Epoch: %d, time taken: %s", epoch, timedelta(seconds=seconds))
        for split, values in metrics.items():
            own = {name: value for name, value in values.items() if name in REPORTED}
            _logger.info("Epoch %d %s %s", epoch, _TITLES[split][0], human_line(own))
            for line in quality_metric_lines(self._host, split, values, epoch):
                _logger.info(line)
            for name in values.keys() - own.keys():
                _logger.info("Epoch %d %s %s: %.6g", epoch, split, name, values[name])
        _logger.info("**************")

    def epoch_end(
        self,
        epoch: int,
        begun: float,
        judging: float,
        ended: float,
        best: Optional[int],
        stopped_early: bool,
        stopped_by: Sequence[str] = (),
    ) -> None:
        """Tell an epoch's times, records and throughput, and the progress of the training.

        Parameters
        ----------
        epoch : int
            From 0.
        begun, judging, ended : float
            When the epoch began, when early stopping began to judge it and when it had done so, in
            seconds since 1970. What it costs to keep the model comes after that.
        best : int, optional
            The best epoch so far; None where the last one is kept.
        stopped_early : bool
            Whether it is the last one by early stopping.
        stopped_by : sequence of str
            Callbacks that made it the last one.
        """
        epochs = self._epochs
        if stopped_early:
            _logger.info("Early stopping criterion met! Stopping training at epoch: %d", epoch)
        values = {"early_stop.time": ended - judging, "update.time": ended - begun}
        self._times(values, ended, {"epochs": epochs} if epoch == 0 else {})
        if stopped_early:
            _logger.info("Early stop condition met. Stopping training.")
        if stopped_by:
            _logger.info(
                "Stopping training at epoch: %d, as %s asked.", epoch, _callbacks(stopped_by)
            )
        finished = stopped_early or bool(stopped_by) or epoch + 1 == epochs
        _logger.info(progress_metric_line(self._host, epoch + 1, epochs, finished=finished))
        self._records("training_data_iter", self.counters, begun, ended, epoch)
        rate = self.counters.records_since_reset / max(ended - begun, 1e-9)
        _logger.info(throughput_metric_line(self._host, rate))
        self._tell_people(epoch, best, stopped_early, stopped_by)

    def _tell_people(
        self, epoch: int, best: Optional[int], stopped_early: bool, stopped_by: Sequence[str]
    ) -> None:
        told = self.readable
        told.epoch_ends(epoch, self._told_metrics, self._rate, best)
        if stopped_by:
            told.say(f"stopped after epoch {epoch}, as {_callbacks(stopped_by)} asked")
        elif stopped_early:
            patience = counted(self._settings.early_stopping_patience, "epoch")
            metric = self._settings.early_stopping_metric
            told.say(
                f"stopped after epoch {epoch}: more than {patience} did not improve "
                f"{'the loss' if metric == LOSS else metric} by "
                f"{self._settings.early_stopping_tolerance:g}"
            )

    @contextlib.contextmanager
    def measured(self, name: str) -> Iterator[None]:
        """Take the time of something that the last line tells of."""
        begun = time.time()
        yield
        self._durations[name].append(time.time() - begun)

    def finalized(self, begun: float) -> None:
        """Tell how long it took to come back to the best model.

        Parameters
        ----------
        begun : float
            When it began, in seconds since 1970.
        """
        now = time.time()
        self._times({"finalize.time": now - begun}, now)

    def test_scores(
        self, begun: float, scored: MetricAccumulator, counters: RecordCounters
    ) -> None:
        """Tell the test channel's metrics.

        Parameters
        ----------
        begun : float
            When scoring began, in seconds since 1970.
        scored : MetricAccumulator
            Of all its pairs.
        counters : RecordCounters
            Has counted the batches in which they were scored.
        """
        now, values = time.time(), scored.values()
        _logger.info("Finished scoring on %d examples.", scored.count)
        _logger.info("Test Metrics: %s", human_line(values))
        self.readable.say(f"test: {readable_metrics(values)}")
        self._records("test_data_iter", counters, begun, now)
        for line in (
            *score_lines(self._host, values),
            *quality_metric_lines(self._host, "test", values),
        ):
            _logger.info(line)

    def finished(self) -> None:
        """Tell how long it all took."""
        now = time.time()
        times = {name: list(self._durations[name]) for name in _AT_THE_END}
        if self._start.setup is not None:
            times["setuptime"] = [self._start.setup]
        self._times({**times, "totaltime": now - self._start.begun}, now)

    def warn_of_baseline(self, best_loss: float, of: str, baseline: Baseline) -> None:
        """Warn where the best loss is hardly below that of a model that ignores its input.

        Parameters
        ----------
        best_loss : float
            Finite.
        of : str
            'validation' or 'training': what it and the baseline are of.
        baseline : Baseline
            That of the same pairs.
        """
        least = _BASELINE_SHARE * baseline.loss
        if baseline.loss <= 0 or best_loss < least:
            return
        settings = self._settings
        names = ["epochs", "optimizer", "learning_rate", "weight_decay", "dropout"]
        if settings.optimizer == "adadelta":
            names.remove("learning_rate")  # it has no use there
        # significant digits, so that rounding turns no order around and hides no small loss
        _logger.warning(
            "The best %s loss, %.5g, is not below %.5g, which is %.0f %% of the loss of %s, %.5g: "
            "little or nothing was learnt with %s. Check these, and that the labels belong to "
            "their pairs.",
            of,
            best_loss,
            least,
            100 * _BASELINE_SHARE,
            baseline.description,
            baseline.loss,
            ", ".join(f"{name}={getattr(settings, name)}" for name in names),
        )

    def _times(
        self,
        seconds: Mapping[str, Union[float, list[float]]],
        end: float,
        others: Optional[Mapping[str, int]] = None,
    ) -> None:
        """Write durations as one ``#metrics`` line, in milliseconds; `others` as they are."""
        values: dict[str, Union[float, list[float]]] = dict(others or {})
        for name, value in seconds.items():
            every = value if isinstance(value, list) else [value]
            values[name] = [1000 * one for one in every]
        _logger.info(metrics_line(self._host, self._told, end, values))
        self._told = end

    def _records(
        self,
        meta: str,
        counters: RecordCounters,
        begun: float,
        end: float,
        epoch: Optional[int] = None,
    ) -> None:
        _logger.info(
            metrics_line(self._host, begun, end, counters.values(), epoch=epoch, meta=meta)
        )


def _callbacks(names: Sequence[str]) -> str:
    return f"the {'callbacks' if len(names) > 1 else 'callback'} {' and '.join(names)}"
