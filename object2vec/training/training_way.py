# SPDX-License-Identifier: Apache-2.0
"""One training step, in the order that both ways of computing share."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Optional, TypeVar

import numpy as np

from object2vec.backend.engine import one_at_a_time, raise_failures
from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import NDArray
from object2vec.data.batching import Batch
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.model.network import Object2VecNetwork
from object2vec.training.deferred_adam import DeferredRows, adam_rate
from object2vec.training.row_updates import defers

Inputs = TypeVar("Inputs")


@dataclass(frozen=True)
class Shard(Generic[Inputs]):
    """A device's part of a batch.

    Attributes
    ----------
    inputs
        in0 and in1, in the form that the way takes.
    targets : tuple of NDArray
        What the loss takes beside the embeddings: labels, float32 ``(n,)``, or `Batch.objects`.
    weight : float
        0 for a device without pairs: it computes one of another device's pairs, which does not
        count.
    """

    inputs: Inputs
    targets: tuple[NDArray, ...]
    weight: float = 1.0


@dataclass(frozen=True)
class Prepared(Generic[Inputs]):
    """A batch on its devices.

    Attributes
    ----------
    shards : list of Shard
        Its part on each device.
    count : int
        Its pairs, over all devices.
    rows : list of numpy.ndarray
        Integers, none twice: the rows of each trained table that it looks up. It may be empty where
        no rows are deferred.
    """

    shards: list[Shard[Inputs]]
    count: int
    rows: list[np.ndarray] = field(default_factory=list)


class TrainingWay(abc.ABC, Generic[Inputs]):
    """Takes steps with a network.

    After `flush` and until the next step, the token tables hold what plain training gives, times
    the weights of tokens; at other times, rows that are deferred may lack some steps.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        The optimizer's settings.
    network : Object2VecNetwork
        Initialized on the devices; it must not be initialized again.

    Attributes
    ----------
    store : str or None
        Type of the KVStore that adds up the gradients of several devices; None where there is
        none.
    learning_rate : float
        That of the next step; the caller may change it from step to step.
    """

    store: Optional[str] = None

    def __init__(self, hyperparameters: Hyperparameters, network: Object2VecNetwork) -> None:
        self._settings, self._network = hyperparameters, network
        self.learning_rate = hyperparameters.learning_rate
        self._steps = 0
        self._deferred: list[DeferredRows] = []
        if defers(hyperparameters):
            tables = network.trained_tables()
            self._deferred = [DeferredRows(table.shape[0]) for table in tables]

    def prepared(self, batches: Iterable[Batch]) -> Iterator[Prepared[Inputs]]:
        """Bring batches to the devices, one at each call for the next; see `prepare`."""
        return map(self.prepare, batches)

    @abc.abstractmethod
    def prepare(self, batch: Batch) -> Prepared[Inputs]:
        """Bring a batch to the devices.

        It is called in a thread of its own, so it may copy to devices, but must run no other
        operators.
        """

    def step(self, prepared: Prepared[Inputs]) -> list[NDArray]:
        """Queue a step; returns what `losses.Loss` reports, for each device that has pairs."""
        self._network.token_weights.unfold()
        self.catch_up(prepared)
        vectors, objectives, sums = [], [], []
        with mx.autograd.record():
            for shard in prepared.shards:
                vectors.append(self.look_up(shard.inputs))
                embeddings = self.encode(shard.inputs, vectors[-1])
                objective, reported = self._network.loss(*embeddings, *shard.targets)
                if shard.weight:
                    sums.append(reported)
                else:
                    objective = objective * shard.weight
                objectives.append(objective)
        mx.autograd.backward(objectives)
        self.apply(prepared, vectors)
        return sums

    def catch_up(self, prepared: Prepared[Inputs]) -> None:
        """Apply the steps that they have missed to the rows that a batch looks up."""
        for number, (deferred, rows) in enumerate(zip(self._deferred, prepared.rows)):
            self._catch_up_rows(number, *deferred.missed(rows))

    @abc.abstractmethod
    def look_up(self, inputs: Inputs) -> list[NDArray]:
        """Token vectors of a device's inputs."""

    @abc.abstractmethod
    def encode(self, inputs: Inputs, vectors: list[NDArray]) -> list[NDArray]:
        """Embeddings of in0 and of in1, ``(n, enc_dim)`` each, of the token vectors."""

    def apply(self, prepared: Prepared[Inputs], vectors: Sequence[list[NDArray]]) -> None:
        """Update the parameters by their gradients, which are sums over the batch's pairs.

        Parameters
        ----------
        prepared : Prepared
            The batch.
        vectors : sequence of list of NDArray
            What `look_up` gave on each device.
        """
        self._steps += 1
        rate = adam_rate(self.learning_rate, self._steps)
        self._update(prepared, vectors, rate)
        is_decoupled = self._settings.optimizer == "adamw"
        decay = self._settings.table_weight_decay if is_decoupled else 0.0
        tables = self._network.trained_tables()
        for table, deferred, rows in zip(tables, self._deferred, prepared.rows):
            # the weights of tokens do not decay
            deferred.touch(rows, rate, self.learning_rate * decay * table.wd_mult)

    def flush(self) -> None:
        """Wait for all steps, and make every row of the token tables current."""
        with one_at_a_time:
            for number, deferred in enumerate(self._deferred):
                for rows, factors in deferred.all_missed():
                    self._catch_up_rows(number, rows, factors)
            self._network.token_weights.fold()
            mx.nd.waitall()
        self.check()

    def check(self) -> None:
        """Raise the error of a queued operation that failed.

        Raises
        ------
        AlgorithmError
        mxnet.MXNetError
        """
        raise_failures()

    def release(self) -> None:
        """Free the optimizer's moments; no step can follow."""
        self._deferred = []
        self._network.token_weights.forget()

    @abc.abstractmethod
    def _update(
        self, prepared: Prepared[Inputs], vectors: Sequence[list[NDArray]], rate: float
    ) -> None:
        """Update the parameters; see `apply`, which also notes the rows. `rate` is adam's."""

    @abc.abstractmethod
    def _catch_up_rows(self, number: int, rows: np.ndarray, factors: np.ndarray) -> None:
        """Apply missed steps to rows of a trained table; see `deferred_adam.catch_up`."""
