# SPDX-License-Identifier: Apache-2.0
"""Moves the parameters: gradients added up over the devices, the optimizer, deferred table rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from object2vec.backend.kvstore import choose_kvstore
from object2vec.backend.mxnet_import import mx
from object2vec.compiled.kernels import AdamState, UsedRows
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.model.encoder_inputs import Gradient
from object2vec.model.network import Object2VecNetwork
from object2vec.training.deferred_adam import DeferredRows, catch_up
from object2vec.training.optimizers import build_optimizer, defers, takes_vectors

_ROWS_AT_ONCE = 1 << 14  # of a table that catch up together at an epoch's end


class ParameterUpdates:
    """The optimizer of a network on its devices.

    A training step is: `bring_up_to_date` with the rows of the token tables that the batch uses,
    forward and backward, `step` with the same rows. `settle` makes all rows current; between it and
    the next step the tables hold what plain training gives.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        The optimizer's settings.
    network : Object2VecNetwork
        Initialized on ``contexts``.
    contexts : sequence of mxnet.Context
        The devices; gradients of several are added up through a KVStore.

    Attributes
    ----------
    gradient : Gradient
        What a step needs: on one CPU adam moves the tables' rows without MXNet.
    store : str
        The KVStore's type.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        network: Object2VecNetwork,
        contexts: Sequence[Any],
    ) -> None:
        self.store = choose_kvstore(hyperparameters.kvstore, contexts)
        self._optimizer = build_optimizer(hyperparameters)
        on_one_cpu = len(contexts) == 1 and contexts[0].device_type == "cpu"
        by_vectors = on_one_cpu and takes_vectors(self._optimizer)
        self.gradient = Gradient.OF_VECTORS if by_vectors else Gradient.OF_TABLES
        tables = network.trained_tables()
        self._parameters = [
            one for one in network.params.values() if not (by_vectors and one in tables)
        ]
        self._trainer = mx.gluon.Trainer(
            self._parameters,
            self._optimizer,
            kvstore=mx.kv.create(self.store) if len(contexts) > 1 else None,
            update_on_kvstore=False,
        )
        if by_vectors:
            self._optimizer.tables = [self._moved(table, contexts[0]) for table in tables]
        self._tables = tables
        self._contexts = contexts
        self._steps = 0
        self._deferred: list[DeferredRows] = []
        if defers(hyperparameters):
            constants = self._optimizer.beta1, self._optimizer.beta2
            self._deferred = [DeferredRows(table.shape[0], *constants) for table in tables]

    def _moved(self, table: Any, context: Any) -> AdamState:
        weight = table.data(context)
        mean, variance = self._optimizer.create_state(None, weight)
        return AdamState(weight, mean, variance, self._optimizer.wd * table.wd_mult)

    @property
    def needs_rows(self) -> bool:
        """Whether a step must be told which rows of the tables it uses."""
        return self.gradient is Gradient.OF_VECTORS or bool(self._deferred)

    def bring_up_to_date(self, used: Sequence[UsedRows]) -> None:
        """Apply what some rows have missed.

        Parameters
        ----------
        used : sequence of UsedRows
            The rows in use of each trained table; may be empty where `needs_rows` is false.
        """
        for number, deferred in enumerate(self._deferred):
            self._catch_up(number, *deferred.missed(used[number].rows))

    def step(
        self,
        count: int,
        used: Sequence[UsedRows],
        vector_gradients: Sequence[Sequence[Any]] = (),
    ) -> None:
        """Take a step along the gradients, which are sums over `count` pairs.

        Parameters
        ----------
        count : int
            Pairs in the batch, over all devices.
        used : sequence of UsedRows
            Those that `bring_up_to_date` was given.
        vector_gradients : sequence of sequence of NDArray
            Where `gradient` is OF_VECTORS, for each trained table the gradients of the vectors that
            were looked up.
        """
        if self.gradient is Gradient.OF_VECTORS:
            self._optimizer.used = used
            self._optimizer.vector_gradients = vector_gradients
        self._trainer.step(count)
        self._steps += 1
        if not self._deferred:
            return
        rate = self._optimizer.rate_of_step(self._steps)
        for deferred, of_table in zip(self._deferred, used):
            deferred.touch(of_table.rows, rate)

    def settle(self) -> None:
        """Make every row of the tables current."""
        for number, deferred in enumerate(self._deferred):
            rows, factors = deferred.missed()
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                part = slice(start, start + _ROWS_AT_ONCE)
                self._catch_up(number, rows[part], factors[:, part])
            deferred.settled()

    def release(self) -> None:
        """Let go of the optimizer's moments; no step can follow."""
        for parameter in self._parameters:
            parameter._set_trainer(None)
        self._deferred = []
        del self._trainer, self._optimizer

    def _catch_up(self, number: int, rows: np.ndarray, factors: np.ndarray) -> None:
        if not len(rows):
            return
        for arrays in self._copies(number):
            catch_up(*arrays, rows, factors, self._optimizer.epsilon)

    def _copies(self, number: int) -> Iterator[tuple[Any, Any, Any]]:
        """Weight, mean and variance of a table on each device."""
        if self.gradient is Gradient.OF_VECTORS:
            moved = self._optimizer.tables[number]
            yield moved.weight, moved.mean, moved.variance
            return
        table = self._tables[number]
        index = self._trainer._param2idx[table.name]
        for context, updater in zip(self._contexts, self._trainer._updaters):
            yield (table.data(context), *updater.states[index])
