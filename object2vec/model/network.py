# SPDX-License-Identifier: Apache-2.0
"""The whole network: token tables, two encoders, scorer and loss, and all their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, TypeVar

import numpy as np

from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Block, Context, NDArray, Parameter
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.model.encoders import BiLSTM, build_encoder
from object2vec.model.losses import build_loss
from object2vec.model.parameter_shapes import TABLES, encoder_prefixes, table_names
from object2vec.model.scorer import build_scorer
from object2vec.model.token_weights import TokenWeights
from object2vec.pretrained.auxiliary_channel import TokenVectors

_Item = TypeVar("_Item")
_TABLE_RANGE = 0.07  # token tables start uniform in ±0.07


def is_table(parameter: Parameter) -> bool:
    """Whether a parameter is a token table."""
    return parameter.name in TABLES


class _FirstColumns(mx.init.Initializer):
    """What a token table starts from: random numbers, and fixed ones in the first columns.

    Parameters
    ----------
    fixed : sequence of float
        The first columns', those of all rows.
    parts : int
        How many parts of equal width the columns have, each with such first ones.
    """

    def __init__(self, fixed: Sequence[float], parts: int = 1) -> None:
        super().__init__(fixed=fixed, parts=parts)
        self._fixed, self._parts = fixed, parts
        self._random = mx.init.Uniform(_TABLE_RANGE)

    def _init_weight(self, name: str, array: NDArray) -> None:
        self._random._init_weight(name, array)
        for column, value in enumerate(self._fixed):
            for start in range(0, array.shape[1], array.shape[1] // self._parts):
                array[:, start + column] = value


def _first_columns(hyperparameters: Hyperparameters, side: int) -> tuple[float, ...]:
    """What the first columns of a token table start from, so that objects can have biases.

    The product of [1, a, …] and [b, 1, …] is a + b + …: where pooled_embedding and the dot product
    meet, each object thus has a bias, which is learnt in the column where the other side has ones.
    """
    pooled = all(encoder.network == "pooled_embedding" for encoder in hyperparameters.encoders)
    if hyperparameters.scorer != "dot" or not pooled:
        return ()
    if hyperparameters.tied_token_embedding_weight:
        return (1.0,)  # (1 + a) (1 + b)
    return (0.0, 1.0) if side else (1.0, 0.0)


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
        ``embed_shared_weight``, ``source_*`` and ``target_*`` or ``shared_*``, ``mlp_fc*``,
        ``output_layer_*``.
    encoders : tuple of Encoder
        enc0 and enc1; one and the same where they are tied.
    scorer : Scorer or Similarity
        Comparator, MLP and output layer, or dot product or cosine.
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
        self.encoders = self._make_encoders()
        self.scorer: Block = build_scorer(hyperparameters)
        self.loss: Block = build_loss(hyperparameters, self.scorer)
        for block in self._blocks():
            self.params.update(block.collect_params())

    def _blocks(self) -> list[Block]:
        """All blocks, each once."""
        return list(dict.fromkeys((*self.encoders, self.scorer, self.loss)))

    def _make_encoders(self) -> tuple[Block, Block]:
        settings = self.hyperparameters
        made: dict[str, Block] = {}
        for prefix, encoder in zip(encoder_prefixes(settings), settings.encoders):
            if prefix not in made:
                made[prefix] = build_encoder(
                    prefix, encoder, settings.enc_dim, settings.dropout, settings.optimizer
                )
        first, *other = made.values()
        return first, (other or [first])[0]

    def _make_tables(self) -> tuple[Parameter, Parameter]:
        settings = self.hyperparameters
        tied = settings.tied_token_embedding_weight
        frozen = [encoder.frozen for encoder in settings.encoders]
        if tied:  # a file on either side serves both
            frozen = [any(frozen)]
        tables: list[Parameter] = [
            self.params.get(
                name,
                shape=(encoder.vocab_size, encoder.token_embedding_dim),
                init=_FirstColumns(_first_columns(settings, side), settings.ensemble_size),
                grad_req="null" if fixed else "write",
                grad_stype="default" if fixed else "row_sparse",
            )
            for side, (name, encoder, fixed) in enumerate(
                zip(table_names(settings), settings.encoders, frozen)
            )
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

    def start_from(self, output: np.ndarray, spread: float) -> None:
        """Start from the labels' mean or class frequencies, so that no epoch is spent on these.

        MovieLens 100K, the published rating job: best validation error 0.942 instead of 0.950.

        Parameters
        ----------
        output : numpy.ndarray
            float32, shape ``(num_classes,)``, or ``(1,)`` for mean_squared_error: the raw output
            of the model that ignores its input.
        spread : float
            The labels' standard deviation, for mean_squared_error.
        """
        self.scorer.start_from(output, spread)

    def hybridize(self) -> None:
        """Compile the blocks into graphs whose memory is kept from call to call.

        For bilstm, whose batches have few shapes, the memory of each shape is also planned once,
        which saves 5 % of a step; with the other encoders hardly a shape comes twice, and planning
        would cost as much as it saves.
        """
        for block in self._blocks():
            block.hybridize(static_alloc=True, static_shape=isinstance(block, BiLSTM))

    def is_pooled(self, side: int) -> bool:
        """Whether the encoder of in0 (0) or in1 (1) is pooled_embedding."""
        return self.hyperparameters.encoders[side].network == "pooled_embedding"

    def table(self, side: int) -> Parameter:
        """The token table of in0 (0) or in1 (1), a parameter."""
        return self._tables[side]

    def trained_of(self, table: Parameter) -> list[Parameter]:
        """What training updates of a token table: its rows, the weights of these, both, nothing."""
        rows = [table] if table.grad_req != "null" else []
        weights = self.token_weights.of(table)
        return rows if weights is None else [*rows, weights]

    def learning_tables(self) -> list[Parameter]:
        """The token tables of which training updates anything, each once."""
        return [table for table in dict.fromkeys(self._tables) if self.trained_of(table)]

    def trained_tables(self) -> list[Parameter]:
        """The token tables, and weights of their rows, that training updates, each once."""
        return [own for table in self.learning_tables() for own in self.trained_of(table)]

    def by_table(self, of_inputs: Sequence[_Item]) -> list[list[_Item]]:
        """Group by learning table what belongs to a batch's inputs, in0 and in1."""
        return [
            [item for item, own in zip(of_inputs, self._tables) if own is table]
            for table in self.learning_tables()
        ]

    def of_trained(self, of_tables: Sequence[_Item]) -> list[_Item]:
        """Of what there is for each learning table, for each of the trained ones its table's."""
        return [
            item
            for table, item in zip(self.learning_tables(), of_tables)
            for _ in self.trained_of(table)
        ]
