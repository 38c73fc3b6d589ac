# SPDX-License-Identifier: Apache-2.0
"""Trains a network: epochs, optimizer, validation, early stopping and the best model kept."""

from __future__ import annotations

import collections
import contextlib
import logging
import math
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
from tqdm.auto import tqdm

from object2vec.backend.engine import one_at_a_time, tuned_for
from object2vec.backend.kvstore import choose_contexts
from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Context, NDArray
from object2vec.data.arrays import PairDataset
from object2vec.data.augmentation import Augmentation, judged_parts
from object2vec.data.batching import TrainingBatches
from object2vec.data.in_batch import PairObjects
from object2vec.data.prefetch import prefetch
from object2vec.data.record_checks import check_positive
from object2vec.data.summary import summary
from object2vec.errors import UnsoundModelError
from object2vec.evaluation.baseline import baseline_of
from object2vec.evaluation.metrics import MetricAccumulator
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.inference.predictor import Predictor
from object2vec.logs import LOGGER_NAME
from object2vec.model import model_directory
from object2vec.model.costs import Costs
from object2vec.model.network import Object2VecNetwork
from object2vec.pretrained.auxiliary_channel import Auxiliary
from object2vec.raw_values.inputs import Inputs
from object2vec.text import counted
from object2vec.training.callbacks import Callback, checked_callbacks, who_stops
from object2vec.training.choose_way import build_way, choose_way
from object2vec.training.class_weights import with_class_weights
from object2vec.training.divergence import Divergence
from object2vec.training.early_stopping import EarlyStopping, EveryEpoch
from object2vec.training.hard_negatives import HardNegatives
from object2vec.training.judge import Judge
from object2vec.training.learning_rates import learning_rate_of
from object2vec.training.readable_log import ReadableLog
from object2vec.training.stopping_metric import check_channels, early_stopping_of
from object2vec.training.training_log import JobStart, TrainingLog
from object2vec.training.training_result import TrainingResult

_logger = logging.getLogger(LOGGER_NAME)

_REPORT_EVERY = 100  # batches between two lines of progress
_IN_FLIGHT = 2  # batches that MXNet's engine may have queued


def train(
    hyperparameters: Hyperparameters,
    train: PairDataset,
    validation: Optional[PairDataset] = None,
    test: Optional[PairDataset] = None,
    *,
    auxiliary: Optional[Auxiliary] = None,
    inputs: Optional[Inputs] = None,
    contexts: Optional[list[Context]] = None,
    model_dir: Optional[Union[str, os.PathLike[str]]] = None,
    host: str = "algo-1",
    stop: Callable[[], bool] = lambda: False,
    progress: bool = False,
    start: Optional[JobStart] = None,
    callbacks: Sequence[Callback] = (),
    readable: Optional[ReadableLog] = None,
    fixed_epochs: Optional[int] = None,
) -> TrainingResult:
    """Train a model.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        All settings.
    train, validation, test : PairDataset
        Pairs that fit the hyperparameters; validation decides early stopping and the best epoch,
        test is scored once with the best model.
    auxiliary : Auxiliary, optional
        Pretrained vectors and vocabularies.
    inputs : Inputs, optional
        What the ids of the pairs stand for; the model keeps it.
    contexts : list of mxnet.Context, optional
        Devices; chosen by ``_num_gpus`` by default.
    model_dir : path, optional
        Receives the best model so far after each epoch that improves; nothing is kept by default.
    host : str
        Name in the lines that machines read.
    stop : callable
        Asked before each batch; once it says True the best model so far is kept and training ends.
        Before the first epoch's end that is the current one, marked as incomplete.
    progress : bool
        Show a progress bar on standard error instead of the lines every 100 batches.
    start : JobStart, optional
        The beginning of the job that this is part of; now by default.
    callbacks : sequence of Callback
        Told of each epoch.
    readable : ReadableLog, optional
        Is told what people want to know, besides the log.
    fixed_epochs : int, optional
        Train so many epochs and keep the last one's model, whatever the losses.

    Returns
    -------
    TrainingResult

    Raises
    ------
    CustomerError
        If the loss becomes NaN or infinite, if more GPUs are asked for than there are, if something
        is no callback, if there are negative pairs where none may be, or if validation pairs cannot
        be judged by the metric of early stopping.
    """
    callbacks = checked_callbacks(callbacks)
    hyperparameters = with_class_weights(hyperparameters, train)
    for channel, pairs in (("train", train), ("validation", validation), ("test", test)):
        if pairs is not None:
            check_positive(pairs, hyperparameters, channel)
    validation, test = (
        None if pairs is None else judged_parts(pairs, hyperparameters)
        for pairs in (validation, test)
    )
    if not fixed_epochs:
        check_channels(hyperparameters, () if validation is None else ("validation",))
        if hyperparameters.draws_hard_negatives and validation is None:
            # the harder the negatives of an epoch are, the higher is its loss
            fixed_epochs = hyperparameters.epochs
            why = (
                "Losses of epochs whose negatives differ in hardness cannot be compared, and there "
                "is no validation channel: training goes on to its last epoch, which is kept."
            )
            _logger.info("%s", why)
            if readable is not None:
                readable.say(why)
    with contextlib.ExitStack() as stack:
        folder = (
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="object2vec-")))
            if model_dir is None
            else Path(model_dir)
        )
        run = _Training(
            hyperparameters,
            auxiliary or Auxiliary((None, None), (None, None)),
            contexts or choose_contexts(hyperparameters.num_gpus),
            folder,
            TrainingLog(hyperparameters, host, start, fixed_epochs, readable),
            progress,
            callbacks,
            fixed_epochs,
            inputs,
            is_kept=model_dir is not None,
        )
        stack.enter_context(run.tuned_engine())
        return run.run(train, validation, test, stop)


class _Training:
    def __init__(
        self,
        hyperparameters: Hyperparameters,
        auxiliary: Auxiliary,
        contexts: list[Context],
        folder: Path,
        log: TrainingLog,
        progress: bool,
        callbacks: Sequence[Callback],
        fixed_epochs: Optional[int],
        inputs: Optional[Inputs],
        *,
        is_kept: bool,
    ) -> None:
        self._settings = hyperparameters
        self._auxiliary = auxiliary
        self._inputs, self._is_kept = inputs, is_kept
        self._contexts = contexts
        self._folder = folder
        self._progress = progress
        self._log = log
        self._callbacks = callbacks
        self._epochs, self._is_fixed = fixed_epochs or hyperparameters.epochs, bool(fixed_epochs)
        self._stopping: Union[EarlyStopping, EveryEpoch] = (
            EveryEpoch() if self._is_fixed else early_stopping_of(hyperparameters)
        )
        self._history: list[dict[str, float]] = []
        self._negatives_of_best = 0  # that the best epoch drew
        self._saved: Optional[str] = None  # the digest of the model in the folder
        if hyperparameters.seed is None:
            self._seed = secrets.randbits(31)
            _logger.info("Drew the seed %d; set '_seed' to it to repeat this run.", self._seed)
        else:
            self._seed = hyperparameters.seed
        with one_at_a_time:
            self._build()

    def _build(self) -> None:
        settings, contexts = self._settings, self._contexts
        self._log.devices(contexts)
        mx.random.seed(self._seed)
        self._network = Object2VecNetwork(settings)
        self._network.initialize(contexts, self._auxiliary.vectors)
        self._network.hybridize()
        choice = choose_way(settings, contexts)
        _logger.log(choice.level, "%s", choice.line)
        self._is_compiled = choice.is_compiled
        self._way = build_way(choice, settings, self._network, contexts)
        store = self._way.store or "none, for the gradients of one device need not be added up"
        _logger.info("Create Store: %s", store)
        self._log.parameters(self._network.params)
        self._predictor = Predictor(
            self._network, contexts[0], self._auxiliary.vocabularies, inputs=self._inputs
        )
        self._log.initialized()

    def tuned_engine(self) -> contextlib.AbstractContextManager[None]:
        """The context manager in which `run` is fast."""
        operations = Costs(self._settings).of_step(self._settings.mini_batch_size)
        return tuned_for(operations, self._contexts)

    def run(
        self,
        train: PairDataset,
        validation: Optional[PairDataset],
        test: Optional[PairDataset],
        stop: Callable[[], bool],
    ) -> TrainingResult:
        settings = self._settings
        self._data = summary({"train": train, "validation": validation}, settings.classes)
        hard = HardNegatives(train, settings, self._seed) if settings.draws_hard_negatives else None
        batches = TrainingBatches(
            train,
            settings.mini_batch_size,
            bucket_width=settings.bucket_width,
            negative_sampling_rate=settings.negative_sampling_rate,
            negative_sampling_power=settings.negative_sampling_power,
            harder=None if hard is None else hard.draw,
            augmentation=Augmentation.of(settings),
            seed=self._seed,
            objects=(
                PairObjects(train, settings.popularity_correction > 0)
                if settings.is_contrastive
                else None
            ),
        )
        self._log.buckets(batches.buckets())
        self._log.readable.begins(
            settings,
            train,
            validation,
            devices=self._contexts,
            is_compiled=self._is_compiled,
            seed=self._seed,
            epochs=("" if self._is_fixed else "at most ") + counted(self._epochs, "epoch"),
        )
        self._divergence = Divergence(settings, self._auxiliary, train.labels)
        # the sampler has drawn the first epoch's negatives, so their number is known
        start = baseline_of(train.labels, settings, batches.negatives, weights=train.weights)
        self._judge = judge = Judge(
            *(settings, self._predictor, train, validation, self._seed),
            by_metric=not self._is_fixed,
        )
        with one_at_a_time:
            self._network.start_from(start.output, start.spread)
            self._network.token_weights.start_from(train.in0, train.in1)
        stopped_early = interrupted = False
        stopped_by: list[str] = []
        for epoch in range(self._epochs):
            begun = time.time()
            if epoch and hard is not None:
                self._find(hard, epoch, stop)
            trained = self._train_epoch(epoch, batches, stop)
            if trained is None:
                interrupted = True
                break
            seconds = time.time() - begun
            judged = judge.epoch(trained)
            if not math.isfinite(judged.loss):
                raise self._divergence.error(judge.split, judged.loss, epoch)
            self._log.epoch_metrics(epoch, seconds, judged.metrics)
            self._history.append(judged.record(epoch))
            judging = time.time()
            is_best = self._stopping.add(judged.loss, judged.value)
            ended = time.time()
            stopped_early = self._stopping.should_stop
            if is_best:
                self._negatives_of_best = batches.negatives
                self._save(complete=True)
            stopped_by = who_stops(self._callbacks, self._history[-1])
            best = None if self._is_fixed else self._stopping.best_epoch
            self._log.epoch_end(epoch, begun, judging, ended, best, stopped_early, stopped_by)
            if stopped_early or stopped_by:
                break
        with one_at_a_time:
            self._way.release()
        self._restore_best(interrupted)
        if self._is_kept and self._stopping.best_epoch < len(self._history) - 1:
            # the model was saved when its epoch was the last one
            model_directory.rewrite_metrics(self._folder, self._metrics(), self._saved or "")
        if self._history:
            lowest = self._stopping.lowest_loss
            judge.compare_with_baseline(self._log, lowest, self._negatives_of_best)
        test_metrics = None if test is None or interrupted else judge.test(test, self._log)
        self._log.finished()
        return TrainingResult(
            self._predictor,
            self._history,
            self._stopping.best_epoch,
            self._stopping.best_loss,
            test_metrics,
            stopped_early,
            interrupted,
            stopped_by,
            data=self._data,
            is_last_kept=self._is_fixed,
        )

    def _find(self, hard: HardNegatives, epoch: int, stop: Callable[[], bool]) -> None:
        try:
            hard.find(self._predictor, stop)
        except UnsoundModelError as error:
            # the last step made it so, and the next one's loss would say so
            raise self._divergence.error("training", math.nan, epoch) from error

    def _train_epoch(
        self, epoch: int, batches: TrainingBatches, stop: Callable[[], bool]
    ) -> Optional[MetricAccumulator]:
        accumulator = MetricAccumulator(self._settings.output_layer)
        counters = self._log.counters
        counters.reset()
        begun = time.time()
        queued: collections.deque[tuple[list[NDArray], int]] = collections.deque()
        bar = tqdm(
            desc=f"Epoch {epoch}",
            total=batches.pairs,
            unit=" pairs",
            disable=not self._progress,
            leave=False,
        )
        ahead = contextlib.closing(prefetch(self._way.prepared(batches.epoch())))
        with bar, ahead as batches_ahead:
            for prepared in batches_ahead:
                if stop():
                    self._way.flush()
                    return None
                count, done = prepared.count, counters.records_since_reset
                self._way.learning_rate = learning_rate_of(
                    self._settings,
                    epoch + done / batches.pairs,
                    epoch + (done + count) / batches.pairs,
                )
                with one_at_a_time:
                    queued.append((self._way.step(prepared), count))
                counters.add(count)
                if len(queued) > _IN_FLIGHT:
                    self._add_sums(accumulator, *queued.popleft(), epoch)
                bar.update(count)
                if counters.batches_since_reset % _REPORT_EVERY == 0 and not self._progress:
                    self._log.running(epoch, begun, accumulator.values())
        for totals, count in queued:
            self._add_sums(accumulator, totals, count, epoch)
        self._way.flush()
        return accumulator

    def _save(self, complete: bool) -> None:
        with self._log.measured("model.serialize.time"):
            self._saved = model_directory.save_model(
                self._folder,
                self._network,
                metrics=self._metrics(complete),
                vocabularies=self._auxiliary.vocabularies,
                inputs=self._inputs,
                complete=complete,
            )

    def _metrics(self, complete: bool = True) -> dict[str, Any]:
        return {
            "best_epoch": self._stopping.best_epoch,
            "best_loss": self._stopping.best_loss if complete else None,
            "history": self._history,
            "data": self._data,
        }

    def _restore_best(self, interrupted: bool) -> None:
        begun = time.time()
        if interrupted and not self._history:
            _logger.warning(
                "Training was asked to stop before its first epoch ended: the model holds the "
                "current weights and is marked as incomplete."
            )
            self._save(complete=False)
            return
        if interrupted:
            _logger.warning("Training was asked to stop: the best model so far is kept.")
        best = self._stopping.best_epoch
        _logger.info(
            "Best model based on epoch %d. Best loss: %.3f", best, self._stopping.best_loss
        )
        if self._judge.metric is not None:
            value = self._stopping.best_value
            _logger.info("It has the best validation %s: %.6g", self._judge.metric, value)
        if interrupted or best < len(self._history) - 1:
            model_directory.restore_parameters(self._folder, self._network, self._saved)
        self._log.finalized(begun)

    def _add_sums(
        self, accumulator: MetricAccumulator, totals: list[NDArray], count: int, epoch: int
    ) -> None:
        sums = [of_device.asnumpy() for of_device in totals]
        loss, score, *possible = np.sum(sums, axis=0, dtype=np.float64)
        self._way.check()
        if not math.isfinite(loss):
            raise self._divergence.error(
                "training", loss, epoch, has_moved=bool(epoch or accumulator.count)
            )
        accumulator.update(loss, score, count, *possible)
