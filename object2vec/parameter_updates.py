"""Moves the parameters: gradients added up over the devices, the optimizer, deferred table rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from object2vec.deferred_adam import DeferredRows, catch_up
from object2vec.hyperparameters import Hyperparameters
from object2vec.kvstore import choose_kvstore
from object2vec.mxnet_import import mx
from object2vec.network import Object2VecNetwork
from object2vec.optimizers import build_optimizer, defers, takes_rows

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
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        network: Object2VecNetwork,
        contexts: Sequence[Any],
    ) -> None:
        self._contexts = contexts
        self._tables = network.trained_tables()
        self.store = choose_kvstore(hyperparameters.kvstore, contexts)
        self._optimizer = build_optimizer(hyperparameters)
        self._trainer = mx.gluon.Trainer(
            network.params,
            self._optimizer,
            kvstore=mx.kv.create(self.store) if len(contexts) > 1 else None,
            update_on_kvstore=False,
        )
        self._steps = 0
        self._deferred: list[DeferredRows] = []
        if defers(hyperparameters):
            constants = self._optimizer.beta1, self._optimizer.beta2
            self._deferred = [DeferredRows(table.shape[0], *constants) for table in self._tables]
        self._indices = [self._trainer._param2idx[table.name] for table in self._tables]
        on_one_cpu = len(contexts) == 1 and contexts[0].device_type == "cpu"
        self._tells_rows = on_one_cpu and takes_rows(self._optimizer)

    @property
    def needs_rows(self) -> bool:
        """Whether a step must be told which rows of the tables it uses."""
        return self._tells_rows or bool(self._deferred)

    def bring_up_to_date(self, rows: Sequence[np.ndarray]) -> None:
        """Apply what some rows have missed.

        Parameters
        ----------
        rows : sequence of numpy.ndarray
            For each trained table the rows in use, integers ``(n,)``, none twice; may be empty
            where `needs_rows` is false.
        """
        for number, deferred in enumerate(self._deferred):
            self._catch_up(number, *deferred.missed(rows[number]))

    def step(self, count: int, rows: Sequence[np.ndarray]) -> None:
        """Take a step along the gradients, which are sums over `count` pairs.

        Parameters
        ----------
        count : int
            Pairs in the batch, over all devices.
        rows : sequence of numpy.ndarray
            Those that `bring_up_to_date` was given.
        """
        if self._tells_rows:
            self._optimizer.rows = dict(zip(self._indices, rows))
        self._trainer.step(count)
        self._steps += 1
        if not self._deferred:
            return
        rate = self._optimizer.rate_of_step(self._steps)
        for deferred, used in zip(self._deferred, rows):
            deferred.touch(used, rate)

    def settle(self) -> None:
        """Make every row of the tables current."""
        for number, deferred in enumerate(self._deferred):
            rows, factors = deferred.missed()
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                part = slice(start, start + _ROWS_AT_ONCE)
                self._catch_up(number, rows[part], factors[:, part])
            deferred.settled()

    def _catch_up(self, number: int, rows: np.ndarray, factors: np.ndarray) -> None:
        if not len(rows):
            return
        table = self._tables[number]
        index = self._indices[number]
        for context, updater in zip(self._contexts, self._trainer._updaters):
            mean, variance = updater.states[index]
            weight = table.data(context)
            catch_up(weight, mean, variance, rows, factors, self._optimizer.epsilon)
