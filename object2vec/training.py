# SPDX-License-Identifier: Apache-2.0
"""Trains a network: epochs, optimizer, validation, early stopping and the best model kept."""

from __future__ import annotations

import collections
import contextlib
import itertools
import logging
import math
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
from tqdm import tqdm

from object2vec import artifacts
from object2vec.arrays import PairDataset
from object2vec.baseline import baseline_of
from object2vec.batching import Batch, TrainingBatches
from object2vec.cpu_kernels import UsedRows, check_queued
from object2vec.device_arrays import to_device
from object2vec.early_stopping import EarlyStopping
from object2vec.encoder_inputs import EncoderInput, Gradient
from object2vec.engine import one_at_a_time, tuned_for
from object2vec.errors import CustomerError
from object2vec.hyperparameters import Hyperparameters
from object2vec.kvstore import choose_contexts
from object2vec.logs import LOGGER_NAME
from object2vec.metrics import MetricAccumulator
from object2vec.mxnet_import import mx
from object2vec.network import Object2VecNetwork
from object2vec.parameter_updates import ParameterUpdates
from object2vec.predictor import Predictor
from object2vec.prefetch import prefetch
from object2vec.pretrained import Auxiliary
from object2vec.training_log import TrainingLog

logger = logging.getLogger(LOGGER_NAME)

_REPORT_EVERY = 100  # batches between two lines of progress
_IN_FLIGHT = 2  # batches that MXNet's engine may have queued


@dataclass
class TrainingResult:
    """What training leaves behind.

    Attributes
    ----------
    predictor : Predictor
        With the best model.
    history : list of dict
        For each finished epoch ``epoch`` and the values ``train_…`` and ``validation_…``.
    best_epoch : int
        From 0; -1 if training was interrupted in the first epoch.
    best_loss : float
        Its validation loss, or its training loss without a validation channel.
    test_metrics : dict or None
        Values of the test channel by metric name.
    stopped_early, interrupted : bool
        Whether early stopping, or the caller, ended it before the last epoch.
    """

    predictor: Predictor
    history: list[dict[str, float]]
    best_epoch: int
    best_loss: float
    test_metrics: Optional[dict[str, float]] = None
    stopped_early: bool = False
    interrupted: bool = False


@dataclass(frozen=True)
class _Shard:
    """A device's part of a batch. A device without pairs takes one with the weight 0."""

    context: Any
    inputs: tuple[EncoderInput, ...]
    labels: Any
    weight: float


@dataclass(frozen=True)
class _Prepared:
    """A batch on its devices, and the rows of each trained table that it uses."""

    shards: list[_Shard]
    count: int
    used: list[UsedRows]


def train(
    hyperparameters: Hyperparameters,
    train: PairDataset,
    validation: Optional[PairDataset] = None,
    test: Optional[PairDataset] = None,
    *,
    auxiliary: Optional[Auxiliary] = None,
    contexts: Optional[list[Any]] = None,
    model_dir: Optional[Union[str, os.PathLike[str]]] = None,
    host: str = "algo-1",
    stop: Callable[[], bool] = lambda: False,
    progress: bool = False,
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

    Returns
    -------
    TrainingResult

    Raises
    ------
    CustomerError
        If the loss becomes NaN or infinite, or if more GPUs are asked for than there are.
    """
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
            host,
            progress,
        )
        stack.enter_context(run.tuned_engine())
        return run.run(train, validation, test, stop)


class _Training:
    def __init__(
        self,
        hyperparameters: Hyperparameters,
        auxiliary: Auxiliary,
        contexts: list[Any],
        folder: Path,
        host: str,
        progress: bool,
    ) -> None:
        self._settings = hyperparameters
        self._auxiliary = auxiliary
        self._contexts = contexts
        self._folder = folder
        self._progress = progress
        self._log = TrainingLog(hyperparameters, host)
        self._stopping = EarlyStopping(
            hyperparameters.early_stopping_patience, hyperparameters.early_stopping_tolerance
        )
        self._history: list[dict[str, float]] = []
        self._largest_label = 0.0
        self._saved: Optional[str] = None  # the digest of the model in the folder
        if hyperparameters.seed is None:
            self._seed = secrets.randbits(31)
            logger.info("Drew the seed %d; set '_seed' to it to repeat this run.", self._seed)
        else:
            self._seed = hyperparameters.seed
        with one_at_a_time:
            self._build()

    def _build(self) -> None:
        settings, contexts = self._settings, self._contexts
        gpus = [context for context in contexts if context.device_type == "gpu"]
        logger.info("Number of GPUs being used: %d", len(gpus))
        logger.info("context %s", contexts)
        mx.random.seed(self._seed)
        self._network = Object2VecNetwork(settings)
        self._network.initialize(contexts, self._auxiliary.vectors)
        self._network.hybridize()
        self._updates = ParameterUpdates(settings, self._network, contexts)
        logger.info("Create Store: %s", self._updates.store)
        parameters = self._network.params
        logger.info(
            "fixed_param_names: %s",
            [name for name, value in parameters.items() if value.grad_req == "null"],
        )
        logger.info("all params: %s", {name: value.shape for name, value in parameters.items()})
        logger.info(
            "Total params: %d", sum(int(np.prod(value.shape)) for value in parameters.values())
        )
        self._predictor = Predictor(self._network, contexts[0], self._auxiliary.vocabularies)
        self._log.initialized()

    def tuned_engine(self) -> contextlib.AbstractContextManager[None]:
        """What `run` should run in to be fast."""
        operations = self._network.step_operations(self._settings.mini_batch_size)
        return tuned_for(operations, self._contexts)

    def run(
        self,
        train: PairDataset,
        validation: Optional[PairDataset],
        test: Optional[PairDataset],
        stop: Callable[[], bool],
    ) -> TrainingResult:
        settings = self._settings
        batches = TrainingBatches(
            train,
            settings.mini_batch_size,
            bucket_width=settings.bucket_width,
            negative_sampling_rate=settings.negative_sampling_rate,
            seed=self._seed,
        )
        self._log.buckets(batches.buckets())
        negatives = settings.negative_sampling_rate * int(np.count_nonzero(train.labels))
        self._largest_label = float(np.abs(train.labels).max())
        start = baseline_of(train.labels, settings, negatives)
        with one_at_a_time:
            self._network.set_output_bias(start.output)
        stopped_early = interrupted = False
        for epoch in range(settings.epochs):
            begun = time.time()
            trained = self._train_epoch(epoch, batches, stop)
            if trained is None:
                interrupted = True
                break
            loss = self._judge(epoch, begun, trained, validation)
            judging = time.time()
            is_best = self._stopping.add(loss)
            stopped_early = self._stopping.should_stop
            if is_best:
                self._save(complete=True)
            self._log.epoch_end(epoch, begun, judging, stopped_early)
            if stopped_early:
                break
        self._restore_best(interrupted)
        if self._history:
            if validation is not None:
                start = baseline_of(validation.labels, settings)
            self._log.warn_of_baseline(self._stopping.best_loss, start)
        test_metrics = None
        if test is not None and not interrupted:
            begun = time.time()
            scored = self._evaluate(test)
            self._log.test_scores(begun, scored)
            test_metrics = scored.values()
        self._log.finished()
        return TrainingResult(
            self._predictor,
            self._history,
            self._stopping.best_epoch,
            self._stopping.best_loss,
            test_metrics,
            stopped_early,
            interrupted,
        )

    def _train_epoch(
        self, epoch: int, batches: TrainingBatches, stop: Callable[[], bool]
    ) -> Optional[MetricAccumulator]:
        accumulator = MetricAccumulator(self._settings.is_regression)
        counters = self._log.counters
        counters.reset()
        begun = time.time()
        queued: collections.deque[tuple[list[Any], int]] = collections.deque()
        bar = tqdm(desc=f"Epoch {epoch}", unit=" pairs", disable=not self._progress, leave=False)
        ahead = contextlib.closing(prefetch(self._prepared(batches.epoch())))
        with bar, ahead as batches_ahead:
            for prepared in batches_ahead:
                if stop():
                    self._settle()
                    return None
                count = prepared.count
                with one_at_a_time:
                    queued.append((self._step(prepared), count))
                counters.add(count)
                if len(queued) > _IN_FLIGHT:
                    self._add_sums(accumulator, *queued.popleft(), epoch)
                bar.update(count)
                if counters.batches_since_reset % _REPORT_EVERY == 0 and not self._progress:
                    self._log.running(epoch, begun, accumulator.values())
        for totals, count in queued:
            self._add_sums(accumulator, totals, count, epoch)
        self._settle()
        return accumulator

    def _settle(self) -> None:
        with one_at_a_time:
            self._updates.settle()
            mx.nd.waitall()
        check_queued()

    def _prepared(self, batches: Iterator[Batch]) -> Iterator[_Prepared]:
        # runs in a thread of its own: it may copy to devices, but must run no other operators
        network, updates = self._network, self._updates
        for batch in batches:
            shards, parts = [], batch.split(len(self._contexts))
            for context, part in zip(self._contexts, parts):
                weight = 1.0 if len(part) else 0.0
                if not weight:
                    part = batch.split(len(batch))[0]
                inputs = network.prepare_pairs(part.sides, part.widths, context, updates.gradient)
                labels = to_device(part.labels, context)
                shards.append(_Shard(context, inputs, labels, weight))
            used: list[UsedRows] = []
            if updates.needs_rows:
                used = network.used_rows([shard.inputs for shard in shards if shard.weight])
            yield _Prepared(shards, len(batch), used)

    def _step(self, batch: _Prepared) -> list[Any]:
        network, updates = self._network, self._updates
        updates.bring_up_to_date(batch.used)
        objectives, totals, leaves = [], [], []
        with mx.autograd.record():
            for shard in batch.shards:
                vectors = network.look_up_pairs(shard.inputs, shard.context)
                if updates.gradient is Gradient.OF_VECTORS:
                    leaves = network.by_table(vectors)
                    for vector in itertools.chain(*leaves):
                        vector.attach_grad()
                embeddings = network.encode_pairs(shard.inputs, vectors)
                objective, reported = network.loss(*embeddings, shard.labels)
                if shard.weight:
                    totals.append(reported)
                else:
                    objective = objective * shard.weight
                objectives.append(objective)
        mx.autograd.backward(objectives)
        gradients = [[vector.grad for vector in of_table] for of_table in leaves]
        updates.step(batch.count, batch.used, gradients)
        return totals

    def _judge(
        self,
        epoch: int,
        begun: float,
        trained: MetricAccumulator,
        validation: Optional[PairDataset],
    ) -> float:
        validated = None if validation is None else self._evaluate(validation)
        loss = (validated or trained).loss
        if not math.isfinite(loss):
            raise self._diverged("validation", loss, epoch)
        self._log.epoch_metrics(epoch, begun, trained, validated)
        record: dict[str, float] = {"epoch": epoch}
        for split, accumulator in (("train", trained), ("validation", validated)):
            if accumulator is not None:
                record.update(
                    {f"{split}_{name}": value for name, value in accumulator.values().items()}
                )
        self._history.append(record)
        return loss

    def _evaluate(self, pairs: PairDataset) -> MetricAccumulator:
        accumulator = MetricAccumulator(self._settings.is_regression)
        loss, score = self._predictor.loss_sums(pairs)
        accumulator.update(loss, score, len(pairs))
        return accumulator

    def _save(self, complete: bool) -> None:
        begun = time.time()
        self._saved = artifacts.save_model(
            self._folder,
            self._network,
            metrics={
                "best_epoch": self._stopping.best_epoch,
                "best_loss": self._stopping.best_loss if complete else None,
                "history": self._history,
            },
            vocabularies=self._auxiliary.vocabularies,
            complete=complete,
        )
        self._log.milliseconds(begun, {"model.serialize.time": time.time() - begun})

    def _restore_best(self, interrupted: bool) -> None:
        begun = time.time()
        if interrupted and not self._history:
            logger.warning(
                "Training was asked to stop before its first epoch ended: the model holds the "
                "current weights and is marked as incomplete."
            )
            self._save(complete=False)
            return
        if interrupted:
            logger.warning("Training was asked to stop: the best model so far is kept.")
        best = self._stopping.best_epoch
        logger.info("Best model based on epoch %d. Best loss: %.3f", best, self._stopping.best_loss)
        if interrupted or best < len(self._history) - 1:
            artifacts.restore_parameters(self._folder, self._network, self._saved)
        self._log.milliseconds(begun, {"finalize.time": time.time() - begun})

    def _add_sums(
        self, accumulator: MetricAccumulator, totals: list[Any], count: int, epoch: int
    ) -> None:
        loss, score = np.sum([sums.asnumpy() for sums in totals], axis=0, dtype=np.float64)
        check_queued()
        if not math.isfinite(loss):
            raise self._diverged(
                "training", loss, epoch, has_moved=bool(epoch or accumulator.count)
            )
        accumulator.update(loss, score, count)

    def _diverged(
        self, which: str, loss: float, epoch: int, has_moved: bool = True
    ) -> CustomerError:
        became = "NaN" if math.isnan(loss) else "infinite"
        if not has_moved:
            return CustomerError(
                f"The loss of the first batch, before anything was learnt, is {became}: a label or "
                "a pretrained vector is too large for the squares of 32-bit numbers."
            )
        settings = self._settings
        if self._is_too_large(settings):
            return CustomerError(
                f"The {which} loss became {became} in epoch {epoch}: a label or a pretrained "
                "vector is too large for the squares of 32-bit numbers."
            )
        # finite until the parameters moved, and adadelta alone has no learning rate
        has_rate = settings.optimizer != "adadelta"
        advice = "; a lower 'learning_rate' usually mends this" if has_rate else ""
        return CustomerError(f"The {which} loss became {became} in epoch {epoch}{advice}.")

    def _is_too_large(self, settings: Hyperparameters) -> bool:
        """Whether a step may meet an infinite number whatever the learning rate."""
        vectors = [given.matrix[given.known] for given in self._auxiliary.vectors if given]
        largest = max((float(np.abs(matrix).max(initial=0.0)) for matrix in vectors), default=0.0)
        # vectors are multiplied with each other, and the product may be squared
        squares = [largest**4, self._largest_label**2 if settings.is_regression else 0.0]
        return settings.mini_batch_size * max(squares) > float(np.finfo(np.float32).max)
