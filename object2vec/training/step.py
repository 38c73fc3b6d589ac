# SPDX-License-Identifier: Apache-2.0
"""One training step: a batch on its devices, forward, backward and the parameters' move."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from object2vec.backend.device_arrays import to_device
from object2vec.backend.engine import one_at_a_time
from object2vec.backend.mxnet_import import mx
from object2vec.compiled.kernels import UsedRows, check_queued
from object2vec.data.batching import Batch
from object2vec.model.encoder_inputs import EncoderInput, Gradient
from object2vec.model.network import Object2VecNetwork
from object2vec.training.parameter_updates import ParameterUpdates


@dataclass(frozen=True)
class _Shard:
    """A device's part of a batch. A device without pairs takes one with the weight 0."""

    context: Any
    inputs: tuple[EncoderInput, ...]
    labels: Any
    weight: float


@dataclass(frozen=True)
class Prepared:
    """A batch on its devices.

    Attributes
    ----------
    shards : list of _Shard
        Its part on each device.
    count : int
        Its pairs.
    used : list of UsedRows
        The rows of each trained table that it uses, where the updates need to know.
    """

    shards: list[_Shard]
    count: int
    used: list[UsedRows]


class TrainingStep:
    """Takes steps with a network.

    Parameters
    ----------
    network : Object2VecNetwork
        Initialized on ``contexts``.
    updates : ParameterUpdates
        Moves its parameters.
    contexts : sequence of mxnet.Context
        The devices.
    """

    def __init__(
        self, network: Object2VecNetwork, updates: ParameterUpdates, contexts: Sequence[Any]
    ) -> None:
        self._network = network
        self._updates = updates
        self._contexts = contexts

    def prepared(self, batches: Iterator[Batch]) -> Iterator[Prepared]:
        """Bring batches to the devices."""
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
            yield Prepared(shards, len(batch), used)

    def take(self, batch: Prepared) -> list[Any]:
        """Queue a step; the answers are what `network.Loss` reports, of each device with pairs."""
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

    def settle(self) -> None:
        """Wait for all steps; then every row of the tables is current."""
        with one_at_a_time:
            self._updates.settle()
            mx.nd.waitall()
        check_queued()
