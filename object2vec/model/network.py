# SPDX-License-Identifier: Apache-2.0
"""The whole network: token tables, two encoders, scorer and loss, and all their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, TypeVar

import numpy as np

from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Block, Context, Parameter
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.model.encoders import BiLSTM, build_encoder
from object2vec.model.losses import Loss
from object2vec.model.scorer import Scorer
from object2vec.model.token_weights import TokenWeights
from object2vec.pretrained.auxiliary_channel import TokenVectors

_Item = TypeVar("_Item")
_TABLE_RANGE = 0.07  # token tables start uniform in ±0.07


class Object2VecNetwork:
    """All parameters and all blocks.

    Token tables stand outside the hybridized graphs. Looking tokens up is linear in the table: the
    mean of pooled_embedding is a matrix product, the vectors of a sequence are a gather, and either
    updates the rows in use alone, so that a step of a table with millions of rows takes no longer
    than one with thousands. The caller decides who looks up: MXNet's operators (`encoder_inputs`),
    or the compiled part.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        They decide every shape.

    Attributes
    ----------
    params : mxnet.gluon.ParameterDict
        All parameters under their exported names: ``embed_0_weight`` and ``embed_1_weight`` or
        ``embed_shared_weight``, ``source_*``, ``target_*``, ``mlp_fc*``, ``output_layer_*``.
    encoders : tuple of Encoder
        enc0 and enc1.
    scorer : Scorer
        Comparator, MLP and output layer.
    loss : Loss
        What training minimizes.
    token_weights : TokenWeights
        What training multiplies token vectors by; no part of `params`.
    """

    def __init__(self, hyperparameters: Hyperparameters) -> None:
        self.hyperparameters = hyperparameters
        self.params = mx.gluon.ParameterDict()
        self._tables = self._make_tables()
        self.token_weights = TokenWeights(hyperparameters, self._tables)
        self.encoders: tuple[Block, ...] = tuple(
            build_encoder(prefix, encoder, hyperparameters.enc_dim, hyperparameters.dropout)
            for prefix, encoder in zip(("source_", "target_"), hyperparameters.encoders)
        )
        self.scorer: Block = Scorer(hyperparameters)
        self.loss: Block = Loss(self.scorer, hyperparameters.is_regression)
        for block in (*self.encoders, self.scorer):
            self.params.update(block.collect_params())

    def _make_tables(self) -> tuple[Parameter, Parameter]:
        settings = self.hyperparameters
        tied = settings.tied_token_embedding_weight
        names = ("embed_shared_weight",) if tied else ("embed_0_weight", "embed_1_weight")
        frozen = [encoder.frozen for encoder in settings.encoders]
        if tied:  # a file on either side serves both
            frozen = [any(frozen)]
        tables: list[Parameter] = [
            self.params.get(
                name,
                shape=(encoder.vocab_size, encoder.token_embedding_dim),
                init=mx.init.Uniform(_TABLE_RANGE),
                grad_req="null" if fixed else "write",
                grad_stype="default" if fixed else "row_sparse",
            )
            for name, encoder, fixed in zip(names, settings.encoders, frozen)
        ]
        return tables[0], tables[-1]

    def initialize(
        self,
        contexts: Sequence[Context],
        vectors: Sequence[Optional[TokenVectors]] = (None, None),
    ) -> None:
        """Give every parameter its first value.

        Parameters
        ----------
        contexts : sequence of mxnet.Context
            Devices that hold a copy each.
        vectors : sequence of TokenVectors
            Pretrained vectors of in0 and in1, None where there are none.
        """
        self.params.initialize(ctx=list(contexts))
        self.token_weights.params.initialize(ctx=list(contexts))
        # so that the arrays of random numbers are freed before adam's moments take memory
        mx.nd.waitall()
        for table, pretrained in zip(self._tables, vectors):
            if pretrained is not None:
                start = table.data(contexts[0]).asnumpy()
                known = pretrained.known[:, None]
                table.set_data(mx.nd.array(np.where(known, pretrained.matrix, start)))

    def set_output_bias(self, bias: np.ndarray) -> None:
        """Start from the labels' mean or class frequencies, so that no epoch is spent on these.

        MovieLens 100K, the published rating job: best validation error 0.942 instead of 0.950.
        With hadamard alone nothing is done: the products of small vectors have almost no gradient,
        and it is learning the mean that makes the vectors grow (else weight decay shrinks them to
        zero).

        Parameters
        ----------
        bias : numpy.ndarray
            float32, shape ``(num_classes,)``, or ``(1,)`` for mean_squared_error.
        """
        if self.hyperparameters.comparator_list != ("hadamard",):
            self.params["output_layer_bias"].set_data(mx.nd.array(bias))

    def hybridize(self) -> None:
        """Compile the blocks into graphs whose memory is kept from call to call.

        For bilstm, whose batches have few shapes, the memory of each shape is also planned once,
        which saves 5 % of a step; with the other encoders hardly a shape comes twice, and planning
        would cost as much as it saves.
        """
        for block in (*self.encoders, self.scorer, self.loss):
            block.hybridize(static_alloc=True, static_shape=isinstance(block, BiLSTM))

    def is_pooled(self, side: int) -> bool:
        """Whether the encoder of in0 (0) or in1 (1) is pooled_embedding."""
        return self.hyperparameters.encoders[side].network == "pooled_embedding"

    def table(self, side: int) -> Parameter:
        """The token table of in0 (0) or in1 (1), a parameter."""
        return self._tables[side]

    def looked_up(self, side: int) -> list[Parameter]:
        """What training looks up for in0 (0) or in1 (1): the token table, and its weights."""
        table = self._tables[side]
        weights = self.token_weights.of(table)
        return [table] if weights is None else [table, weights]

    def trained_tables(self) -> list[Parameter]:
        """The token tables, and their weights, that training updates, each once."""
        tables = dict.fromkeys((*self.looked_up(0), *self.looked_up(1)))
        return [table for table in tables if table.grad_req != "null"]

    def by_table(self, of_inputs: Sequence[Sequence[_Item]]) -> list[list[_Item]]:
        """Group by trained table what belongs to a batch's inputs: in0 and in1, or both in one.

        Parameters
        ----------
        of_inputs : sequence of sequences
            For each input an item for each of what is `looked_up` for it.
        """
        return [
            [
                item
                for side, items in enumerate(of_inputs)
                for item, own in zip(items, self.looked_up(side))
                if own is table
            ]
            for table in self.trained_tables()
        ]
