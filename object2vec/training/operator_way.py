# SPDX-License-Identifier: Apache-2.0
"""Training by MXNet's operators: Gluon's Trainer, KVStore and any optimizer, on any devices."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from object2vec.backend.device_arrays import to_device
from object2vec.backend.kvstore import choose_kvstore
from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Context, NDArray
from object2vec.data.batching import Batch
from object2vec.data.layouts import distinct
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.model.encoder_inputs import PairInputs
from object2vec.model.network import Object2VecNetwork
from object2vec.training.deferred_adam import EPSILON, catch_up
from object2vec.training.optimizers import build_optimizer
from object2vec.training.training_way import Prepared, Shard, TrainingWay


class OperatorWay(TrainingWay[PairInputs]):
    """See the module.

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
        contexts: Sequence[Context],
    ) -> None:
        super().__init__(hyperparameters, network)
        self._contexts = contexts
        if len(contexts) > 1:
            self.store = choose_kvstore(hyperparameters.kvstore, contexts)
        self._parameters = [*network.params.values(), *network.token_weights.params.values()]
        self._trainer = mx.gluon.Trainer(
            self._parameters,
            build_optimizer(hyperparameters),
            kvstore=None if self.store is None else mx.kv.create(self.store),
            update_on_kvstore=False,
        )

    def prepare(self, batch: Batch) -> Prepared[PairInputs]:
        """Share a batch out over the devices; see `TrainingWay`."""
        shards = []
        for context, part in zip(self._contexts, batch.split(len(self._contexts))):
            weight = 1.0 if len(part) else 0.0
            if not weight:
                part = batch.split(len(batch))[0]
            inputs = PairInputs(self._network, part.sides, part.widths, context, in_training=True)
            targets = tuple(to_device(array, context) for array in part.targets)
            shards.append(Shard(inputs, targets, weight))
        rows = self._rows_of([shard.inputs for shard in shards]) if self._deferred else []
        return Prepared(shards, len(batch), rows)

    def _rows_of(self, devices: Sequence[PairInputs]) -> list[np.ndarray]:
        """The rows of each trained table that some devices look up."""
        ids = [self._network.by_table(inputs.ids) for inputs in devices]
        rows = [
            distinct(np.concatenate([part for of_device in of_table for part in of_device]))
            for of_table in zip(*ids)
        ]
        return self._network.of_trained(rows)

    def look_up(self, inputs: PairInputs) -> list[NDArray]:
        """See `TrainingWay`."""
        return inputs.look_up()

    def encode(self, inputs: PairInputs, vectors: list[NDArray]) -> list[NDArray]:
        """See `TrainingWay`."""
        return inputs.encode(vectors)

    def release(self) -> None:
        """See `TrainingWay`."""
        super().release()
        for parameter in self._parameters:
            parameter._set_trainer(None)
        del self._trainer

    def _update(
        self, prepared: Prepared[PairInputs], vectors: Sequence[list[NDArray]], rate: float
    ) -> None:
        if self.learning_rate != self._trainer.learning_rate:
            self._trainer.set_learning_rate(self.learning_rate)
        largest = self._settings.clip_gradient
        if not largest:
            self._trainer.step(prepared.count)
            return
        self._trainer.allreduce_grads()
        # the trainer divides by what it is told, and so shortens what is too long
        excess = self._gradient_norm() / prepared.count / largest
        self._trainer.update(prepared.count * max(1.0, excess))

    def _gradient_norm(self) -> float:
        """The L2 norm of all gradients together, sums over the batch's pairs and all devices."""
        trained = [parameter for parameter in self._parameters if parameter.grad_req != "null"]
        norms = [mx.nd.norm(parameter.list_grad()[0]) for parameter in trained]
        return math.hypot(*(norm.asscalar() for norm in norms))

    def _catch_up_rows(self, number: int, rows: np.ndarray, factors: np.ndarray) -> None:
        if not len(rows):
            return
        table = self._network.trained_tables()[number]
        index = self._trainer._param2idx[table.name]
        for context, updater in zip(self._contexts, self._trainer._updaters):
            mean, variance = updater.states[index]
            catch_up(table.data(context), mean, variance, rows, factors, EPSILON)
