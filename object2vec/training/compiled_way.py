# SPDX-License-Identifier: Apache-2.0
"""Training on one CPU by the compiled part, whose adam and adamw update only the rows in use."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Union

import numpy as np

from object2vec.backend.device_arrays import to_device
from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Block, Context, NDArray, Parameter
from object2vec.compiled import kernels
from object2vec.compiled.kernels import (
    AdamState,
    AdamStep,
    TableState,
    UsedRows,
    mean_of_rows,
    used_rows,
)
from object2vec.compiled.lstm import BidirectionalLayer
from object2vec.data.arrays import TokenLists
from object2vec.data.batching import Batch
from object2vec.data.layouts import TimeSteps, pack, time_steps
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.model.encoder_inputs import Packing
from object2vec.model.encoders import BiLSTM, dropout
from object2vec.model.network import Object2VecNetwork
from object2vec.training.deferred_adam import BETA1, BETA2, EPSILON
from object2vec.training.training_way import Prepared, Shard, TrainingWay


class Input(Protocol):
    """One input of a batch.

    Attributes
    ----------
    lookup : TokenLists
        Lists of tokens: the means of their rows of the token table are the token vectors.
    """

    @property
    def lookup(self) -> TokenLists: ...

    def encode(self, encoder: Block, vectors: NDArray) -> NDArray:
        """Embeddings ``(n, enc_dim)`` of the token vectors."""


@dataclass(frozen=True)
class PooledLists:
    """For pooled_embedding: one vector for each list, its mean."""

    lookup: TokenLists

    def encode(self, encoder: Block, vectors: NDArray) -> NDArray:
        return encoder(vectors, None)


@dataclass(frozen=True)
class PackedRows:
    """For hcnn: one vector for each token, one list after the other."""

    lookup: TokenLists
    packing: Packing

    def encode(self, encoder: Block, vectors: NDArray) -> NDArray:
        return self.packing.encode(encoder, vectors)


@dataclass(frozen=True)
class StepRows:
    """For bilstm: one vector for each token, all lists time step by time step.

    Attributes
    ----------
    rate : float
        Dropout between layers.
    """

    lookup: TokenLists
    steps: TimeSteps
    rate: float

    def encode(self, encoder: BiLSTM, vectors: NDArray) -> NDArray:
        x, layers = vectors, encoder.layers(vectors.context)
        for layer, weights in enumerate(layers, 1):
            if layer > 1:
                x = dropout(mx.nd, x, self.rate)
            x = BidirectionalLayer(self.steps, is_maximum=layer == len(layers))(*weights, x)
        return x


def prepare_input(
    hyperparameters: Hyperparameters, side: int, lists: TokenLists, context: Context
) -> Union[PooledLists, PackedRows, StepRows]:
    """Bring one input of a batch into the form that its encoder takes.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        Of the network.
    side : int
        0 for in0, 1 for in1.
    lists : TokenLists
        ``n`` lists, n at least 1.
    context : mxnet.Context
        The CPU.
    """
    encoder = hyperparameters.encoders[side]
    if encoder.network == "hcnn":
        packed = pack(lists, encoder.cnn_filter_width)
        return PackedRows(TokenLists.of_each(packed.tokens), Packing(packed, context))
    if encoder.network == "bilstm":
        steps = time_steps(lists)
        # MXNet has no arrays without elements
        tokens = steps.tokens if steps.tokens.size else np.zeros(1, np.int32)
        return StepRows(TokenLists.of_each(tokens), steps, hyperparameters.dropout)
    return PooledLists(lists)


@dataclass(frozen=True)
class Inputs:
    """in0 and in1, and the rows of each trained table that they look up."""

    sides: list[Input]
    used: list[UsedRows]


class CompiledWay(TrainingWay[Inputs]):
    """See the module.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        Adam's settings; `row_updates.moves_used_rows_alone` holds of them.
    network : Object2VecNetwork
        Initialized on ``context``; it must not be initialized again.
    context : mxnet.Context
        A CPU.
    """

    def __init__(
        self, hyperparameters: Hyperparameters, network: Object2VecNetwork, context: Context
    ) -> None:
        super().__init__(hyperparameters, network)
        self._context = context
        tables = network.learning_tables()
        others = [
            parameter
            for parameter in network.params.values()
            if parameter.grad_req != "null" and parameter not in tables
        ]
        of_tables, of_others = hyperparameters.table_weight_decay, hyperparameters.weight_decay
        self._tables = [self._table_state(table, of_tables) for table in tables]
        self._trained = [state for table in self._tables for state in table.trained]
        self._adam = AdamStep(
            [self._adam_state(parameter, of_others) for parameter in others],
            [parameter.grad(context) for parameter in others],
            self._tables,
        )

    def _adam_state(self, parameter: Parameter, decay: float) -> AdamState:
        weight = parameter.data(self._context)
        mean, variance = (mx.nd.zeros(weight.shape, ctx=self._context) for _ in range(2))
        decay *= parameter.wd_mult  # 0 for biases
        if self._settings.optimizer == "adamw":
            return AdamState(weight, mean, variance, decoupled_decay=decay)
        return AdamState(weight, mean, variance, decay)

    def _table_state(self, table: Parameter, decay: float) -> TableState:
        rows = table.data(self._context)
        weights = self._network.token_weights.of(table)
        return TableState(
            rows if table.grad_req == "null" else self._adam_state(table, decay),
            None if weights is None else self._adam_state(weights, 0.0),
        )

    def prepare(self, batch: Batch) -> Prepared[Inputs]:
        """Also find the rows in use; see `TrainingWay`."""
        sides: list[Input] = [
            prepare_input(self._settings, side, lists, self._context)
            for side, lists in enumerate(batch.sides)
        ]
        lookups = self._network.by_table([given.lookup for given in sides])
        inputs = Inputs(sides, [used_rows(of_table) for of_table in lookups])
        targets = tuple(to_device(array, self._context) for array in batch.targets)
        shard = Shard(inputs, targets)
        rows = self._network.of_trained([used.rows for used in inputs.used])
        return Prepared([shard], len(batch), rows)

    def look_up(self, inputs: Inputs) -> list[NDArray]:
        """See `TrainingWay`; vectors of trained tables get a gradient."""
        vectors = []
        for side, given in enumerate(inputs.sides):
            table = self._network.table(side)
            weights = self._network.token_weights.of(table)
            of_tokens = None if weights is None else weights.data(self._context)
            vectors.append(mean_of_rows(table.data(self._context), given.lookup, of_tokens))
        for vector in itertools.chain(*self._network.by_table(vectors)):
            vector.attach_grad()
        return vectors

    def encode(self, inputs: Inputs, vectors: list[NDArray]) -> list[NDArray]:
        """See `TrainingWay`."""
        return [
            given.encode(encoder, each)
            for given, encoder, each in zip(inputs.sides, self._network.encoders, vectors)
        ]

    def check(self) -> None:
        """See `TrainingWay`."""
        kernels.check_queued()

    def release(self) -> None:
        """See `TrainingWay`."""
        super().release()
        del self._adam, self._tables, self._trained

    def _update(
        self, prepared: Prepared[Inputs], vectors: Sequence[list[NDArray]], rate: float
    ) -> None:
        (shard,), (looked_up,) = prepared.shards, vectors
        self._adam(
            shard.inputs.used,
            self._network.by_table([vector.grad for vector in looked_up]),
            rate=rate,
            beta1=BETA1,
            beta2=BETA2,
            epsilon=EPSILON,
            rescale=1.0 / prepared.count,
            plain_rate=self.learning_rate,
        )

    def _catch_up_rows(self, number: int, rows: np.ndarray, factors: np.ndarray) -> None:
        if len(rows):
            table = self._trained[number]
            kernels.catch_up(table.weight, table.mean, table.variance, rows, factors, EPSILON)
