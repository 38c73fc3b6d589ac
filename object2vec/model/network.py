# SPDX-License-Identifier: Apache-2.0
"""The whole network: token tables, two encoders, comparator, MLP, output layer and loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from object2vec.backend.mxnet_import import mx
from object2vec.compiled.kernels import UsedRows, mean_of_rows, used_rows
from object2vec.data.arrays import TokenLists
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.hyperparameters.rules import LARGEST_ARRAY
from object2vec.model.encoder_inputs import EncoderInput, Gradient, prepare_input
from object2vec.model.encoders import BiLSTM, build_encoder, dropout
from object2vec.pretrained.auxiliary_channel import TokenVectors

INPUT_NAMES = (("source", "source_length"), ("target", "target_length"))
_TABLE_RANGE = 0.07  # token tables start uniform in ±0.07
# Reading a number of a table takes as long as so many operations.
_OF_A_READ = 20.0
_WIDTHS = {"hadamard": 1, "concat": 2, "abs_diff": 1}  # in multiples of enc_dim


def _numbers(block: Any) -> int:
    """Numbers in all parameters of a block."""
    return sum(math.prod(value.shape) for value in block.collect_params().values())


class Scorer(mx.gluon.HybridBlock):
    """Comparator, MLP and output layer: two vectors ``(n, enc_dim)`` to the raw output.

    The raw output is ``(n, num_classes)`` before softmax, or ``(n,)`` for mean_squared_error.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        Sizes, comparators, activation, dropout and the output layer's kind.
    """

    def __init__(self, hyperparameters: Hyperparameters) -> None:
        super().__init__(prefix="")
        self._hyperparameters = hyperparameters
        self._layers: list[tuple[Any, Any]] = []
        columns = hyperparameters.enc_dim * sum(
            _WIDTHS[name] for name in hyperparameters.comparator_list
        )
        for layer in range(hyperparameters.mlp_layers):
            self._add_layer(f"mlp_fc{layer}", columns, hyperparameters.mlp_dim)
            columns = hyperparameters.mlp_dim
        outputs = 1 if hyperparameters.is_regression else hyperparameters.num_classes
        self._add_layer("output_layer", columns, outputs)

    def _add_layer(self, name: str, columns: int, outputs: int) -> None:
        weight = self.params.get(f"{name}_weight", shape=(outputs, columns), init=mx.init.Xavier())
        bias = self.params.get(f"{name}_bias", shape=(outputs,), init="zeros", wd_mult=0.0)
        setattr(self, f"{name}_weight", weight)
        setattr(self, f"{name}_bias", bias)
        self._layers.append((weight, bias))

    def layers(self, context: Any) -> list[tuple[Any, Any]]:
        """Weight and bias of each layer on a device, the output layer's last."""
        return [(weight.data(context), bias.data(context)) for weight, bias in self._layers]

    def hybrid_forward(self, F: Any, vector0: Any, vector1: Any, **parameters: Any) -> Any:
        """Score; see the class."""
        settings = self._hyperparameters
        compared = []
        for name in settings.comparator_list:
            if name == "hadamard":
                compared.append(vector0 * vector1)
            elif name == "concat":
                compared += [vector0, vector1]
            else:
                compared.append(F.abs(vector0 - vector1))
        x = F.concat(*compared, dim=1) if len(compared) > 1 else compared[0]
        for layer in range(settings.mlp_layers):
            x = self._dense(F, x, f"mlp_fc{layer}", settings.mlp_dim, parameters)
            if settings.mlp_activation != "linear":
                x = F.Activation(x, act_type=settings.mlp_activation)
                x = dropout(F, x, settings.dropout)
        if settings.is_regression:
            return F.reshape(self._dense(F, x, "output_layer", 1, parameters), shape=(-1,))
        return self._dense(F, x, "output_layer", settings.num_classes, parameters)

    @staticmethod
    def _dense(F: Any, x: Any, name: str, outputs: int, parameters: Any) -> Any:
        weight, bias = parameters[f"{name}_weight"], parameters[f"{name}_bias"]
        return F.FullyConnected(x, weight, bias, num_hidden=outputs, flatten=False)


class Loss(mx.gluon.HybridBlock):
    """Two vectors and the labels to the sum to descend and the sums to report.

    The first answer, ``(1,)``, is the sum over the pairs of the cross-entropy, or of half the
    squared error: its gradients at the output are softmax - onehot and prediction - label, those of
    MXNet's SoftmaxOutput and LinearRegressionOutput. The second, ``(2,)``, holds the sums over the
    pairs of cross-entropy and of right answers, or of squared and of absolute error.

    Parameters
    ----------
    scorer : Scorer
        What gives the raw output.
    is_regression : bool
        Whether the output layer is mean_squared_error.
    """

    def __init__(self, scorer: Scorer, is_regression: bool) -> None:
        super().__init__(prefix="")
        self._is_regression = is_regression
        self.scorer = scorer

    def hybrid_forward(self, F: Any, vector0: Any, vector1: Any, labels: Any) -> Any:
        """Compute both sums; see the class."""
        output = self.scorer(vector0, vector1)
        if self._is_regression:
            difference = output - labels
            squares = F.sum(F.square(difference))
            reported = (squares, F.sum(F.abs(difference)))
            objective = 0.5 * squares
        else:
            entropies = -F.pick(F.log_softmax(output, axis=1), labels, axis=1)
            objective = F.sum(entropies)
            # rounding makes the logarithm of a probability of 1 a little positive
            reported = (F.sum(F.relu(entropies)), F.sum(F.argmax(output, axis=1) == labels))
        sums = [F.reshape(F.BlockGrad(value), shape=(1,)) for value in reported]
        return F.reshape(objective, shape=(1,)), F.concat(*sums, dim=0)


class Object2VecNetwork:
    """All parameters and all graphs.

    Token tables stand outside the hybridized graphs. Looking tokens up is linear in the table: the
    mean of pooled_embedding is a matrix product, the vectors of a sequence are a gather, and either
    moves the touched rows alone, which makes the difference between a table of thousands and one of
    millions of rows. On a CPU, `cpu_kernels` looks up and, with adam, moves the rows by the
    gradients of the vectors; elsewhere MXNet's operators do both (see `Gradient`).

    Parameters
    ----------
    hyperparameters : Hyperparameters
        What decides every shape.

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
        What training descends.
    """

    def __init__(self, hyperparameters: Hyperparameters) -> None:
        self.hyperparameters = hyperparameters
        self.params = mx.gluon.ParameterDict()
        self._tables = self._make_tables()
        self.encoders: tuple[Any, ...] = tuple(
            build_encoder(prefix, encoder, hyperparameters.enc_dim, hyperparameters.dropout)
            for prefix, encoder in zip(("source_", "target_"), hyperparameters.encoders)
        )
        self.scorer: Any = Scorer(hyperparameters)
        self.loss: Any = Loss(self.scorer, hyperparameters.is_regression)
        for block in (*self.encoders, self.scorer):
            self.params.update(block.collect_params())
        # Counted once: each request asks for them.
        self._encoder_numbers = tuple(_numbers(encoder) for encoder in self.encoders)
        self._scorer_numbers = _numbers(self.scorer)

    def _make_tables(self) -> tuple[Any, Any]:
        settings = self.hyperparameters
        tied = settings.tied_token_embedding_weight
        names = ("embed_shared_weight",) if tied else ("embed_0_weight", "embed_1_weight")
        frozen = [encoder.frozen for encoder in settings.encoders]
        if tied:  # a file on either side serves both
            frozen = [any(frozen)]
        tables: list[Any] = [
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
        contexts: Sequence[Any],
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
        # the arrays that were drawn into are to be gone before adam's moments come
        mx.nd.waitall()
        for table, pretrained in zip(self._tables, vectors):
            if pretrained is not None:
                start = table.data(contexts[0]).asnumpy()
                known = pretrained.known[:, None]
                table.set_data(mx.nd.array(np.where(known, pretrained.matrix, start)))

    def set_output_bias(self, bias: np.ndarray) -> None:
        """Start from the labels' mean or shares, so that no epoch is spent on learning them.

        MovieLens 100K, the published rating job: best validation error 0.942 instead of 0.950.
        With hadamard alone nothing is done: products of small vectors hardly have a slope, and
        learning the mean is what moves them on (with weight decay they shrink to nothing else).

        Parameters
        ----------
        bias : numpy.ndarray
            float32, shape ``(num_classes,)``, or ``(1,)`` for mean_squared_error.
        """
        if self.hyperparameters.comparator_list != ("hadamard",):
            self.params["output_layer_bias"].set_data(mx.nd.array(bias))

    def hybridize(self) -> None:
        """Compile the blocks into graphs whose memory is kept from call to call.

        Only bilstm, whose batches have few shapes, also plans each shape once (5 % of a step);
        where hardly a shape comes twice, that costs as much.
        """
        for block in (*self.encoders, self.scorer, self.loss):
            block.hybridize(static_alloc=True, static_shape=isinstance(block, BiLSTM))

    def is_pooled(self, side: int) -> bool:
        """Whether the encoder of in0 (0) or in1 (1) is pooled_embedding."""
        return self.hyperparameters.encoders[side].network == "pooled_embedding"

    def table(self, side: int) -> Any:
        """The token table of in0 (0) or in1 (1), a parameter."""
        return self._tables[side]

    @property
    def has_sequences(self) -> bool:
        """Whether an encoder reads the tokens in their order."""
        return not (self.is_pooled(0) and self.is_pooled(1))

    def step_operations(self, pairs: int) -> float:
        """Floating point operations of a training step, infinite where it reads sequences."""
        return math.inf if self.has_sequences else 3 * self.scoring_operations(pairs)

    def scoring_operations(self, pairs: int) -> float:
        """Floating point operations of scoring embedded pairs."""
        return 2.0 * pairs * self._scorer_numbers

    def encoding_operations(self, side: int, tokens: int) -> float:
        """Floating point operations of embedding lists of so many tokens together."""
        # each token meets each weight of a convolution or an LSTM once
        width = self._tables[side].shape[1]
        return tokens * (2.0 * self._encoder_numbers[side] + _OF_A_READ * width)

    def trained_tables(self) -> list[Any]:
        """The token tables that training moves, each once."""
        return [table for table in dict.fromkeys(self._tables) if table.grad_req != "null"]

    def by_table(self, of_inputs: Sequence[Any]) -> list[list[Any]]:
        """Sort what belongs to the inputs of a batch, of one or two, by the trained tables."""
        return [
            [item for item, own in zip(of_inputs, self._tables) if own is table]
            for table in self.trained_tables()
        ]

    def used_rows(self, shards: Sequence[tuple[EncoderInput, ...]]) -> list[UsedRows]:
        """Which rows of each of `trained_tables` the inputs of some devices use."""
        shares = [self.by_table([given.lookup for given in inputs]) for inputs in shards]
        return [
            used_rows([lists for share in of_table for lists in share]) for of_table in zip(*shares)
        ]

    def prepare(
        self,
        side: int,
        lists: TokenLists,
        width: Optional[int],
        context: Any,
        gradient: Gradient = Gradient.OF_TABLES,
    ) -> EncoderInput:
        """Bring the lists of in0 (0) or in1 (1) to a device; see `encoder_inputs.prepare_input`."""
        encoder = self.hyperparameters.encoders[side]
        return prepare_input(encoder, lists, width, context, gradient)

    def prepare_pairs(
        self,
        sides: tuple[TokenLists, TokenLists],
        widths: tuple[Optional[int], Optional[int]],
        context: Any,
        gradient: Gradient = Gradient.OF_TABLES,
    ) -> tuple[EncoderInput, ...]:
        """Bring both inputs of a batch to a device, for `encode_pairs`.

        Parameters
        ----------
        sides : tuple of TokenLists
            ``n`` lists of in0 and ``n`` of in1, n at least 1.
        widths : tuple of int, optional
            As for `prepare`.
        context : mxnet.Context
            The device.
        gradient : Gradient
            As for `prepare`.
        """
        if gradient is Gradient.OF_TABLES and self._is_one_lookup(len(sides[0])):
            both = TokenLists.concatenate(sides)
            return (self.prepare(0, both, None, context, gradient),)
        return tuple(
            self.prepare(side, lists, width, context, gradient)
            for side, (lists, width) in enumerate(zip(sides, widths))
        )

    def _is_one_lookup(self, pairs: int) -> bool:
        # the gradients of two would have to be added up: an eighth of a step on a large table
        table, other = self._tables
        both_pooled = self.is_pooled(0) and self.is_pooled(1)
        return table is other and both_pooled and 2 * pairs * table.shape[0] <= LARGEST_ARRAY

    def look_up(self, side: int, inputs: EncoderInput, context: Any) -> Any:
        """Token vectors of one input.

        Returns
        -------
        NDArray
            For bilstm ``(length, n, width)``, or ``(rows, width)`` without padding, for hcnn
            ``(rows, width)``, for pooled_embedding the means, ``(n, enc_dim)``.
        """
        table, tokens = self._tables[side], inputs.tokens
        rows, width = table.shape
        if tokens is None:
            vectors = mean_of_rows(table.data(context), inputs.lookup)
        elif isinstance(tokens, list):
            means = [mx.nd.dot(weights, table.data(context)) for weights in tokens]
            vectors = means[0] if len(means) == 1 else mx.nd.concat(*means, dim=0)
        else:
            vectors = mx.nd.Embedding(
                tokens,
                table.data(context),
                input_dim=rows,
                output_dim=width,
                sparse_grad=table.grad_req != "null",
            )
        is_padded = self.hyperparameters.encoders[side].network == "bilstm" and inputs.places
        return vectors.reshape((-1, inputs.lengths.size, width)) if is_padded else vectors

    def look_up_pairs(self, inputs: tuple[EncoderInput, ...], context: Any) -> list[Any]:
        """Token vectors of each input of `prepare_pairs`."""
        return [self.look_up(side, given, context) for side, given in enumerate(inputs)]

    def encode(self, side: int, inputs: EncoderInput, vectors: Any) -> Any:
        """Embeddings ``(n, enc_dim)`` of one input, of its token vectors."""
        if inputs.steps is not None:
            return self.encoders[side].encode_steps(vectors, inputs.steps)
        return self.encoders[side](vectors, inputs.lengths, *inputs.places)

    def embed(self, side: int, inputs: EncoderInput, context: Any) -> Any:
        """Embeddings ``(n, enc_dim)`` of one input."""
        return self.encode(side, inputs, self.look_up(side, inputs, context))

    def encode_pairs(self, inputs: tuple[EncoderInput, ...], vectors: list[Any]) -> list[Any]:
        """Embeddings of in0 and of in1, ``(n, enc_dim)`` each, of the token vectors."""
        if len(inputs) == 1:
            halves = mx.nd.split(vectors[0], num_outputs=2, axis=0)
            return [encoder(half, None) for encoder, half in zip(self.encoders, halves)]
        return [self.encode(side, *both) for side, both in enumerate(zip(inputs, vectors))]

    def embed_pairs(self, inputs: tuple[EncoderInput, ...], context: Any) -> list[Any]:
        """Embeddings of in0 and of in1, ``(n, enc_dim)`` each."""
        return self.encode_pairs(inputs, self.look_up_pairs(inputs, context))

    def encoder_symbol(self, side: int) -> Any:
        """The graph from ``source`` and ``source_length`` (or ``target…``) to the embedding."""
        tokens, lengths = (mx.sym.var(name, dtype="float32") for name in INPUT_NAMES[side])
        table = self._tables[side].var()
        rows, columns = self._tables[side].shape
        vectors = mx.sym.Embedding(tokens, table, input_dim=rows, output_dim=columns)
        if self.is_pooled(side):
            masked = mx.sym.SequenceMask(vectors, lengths, use_sequence_length=True, axis=1)
            count = mx.sym.expand_dims(mx.sym.maximum(lengths, 1.0), axis=1)
            vectors = mx.sym.broadcast_div(mx.sym.sum(masked, axis=1), count)
        return self.encoders[side](vectors, lengths)

    def scoring_symbol(self) -> Any:
        """The graph from both inputs' tokens and lengths to ``out_layer``, the scores."""
        output = self.scorer(self.encoder_symbol(0), self.encoder_symbol(1))
        if self.hyperparameters.is_regression:
            return mx.sym.identity(output, name="out_layer")
        return mx.sym.softmax(output, axis=1, name="out_layer")
