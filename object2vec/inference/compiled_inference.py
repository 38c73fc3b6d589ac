# SPDX-License-Identifier: Apache-2.0
"""Embeddings and scores on a CPU by the compiled part alone, in the caller's thread.

For a request of one pair, queueing MXNet's operators and waiting for them would take longer than
computing it.
"""

from __future__ import annotations

import ctypes
from typing import Any, Union

import numpy as np

from object2vec.backend.mxnet_types import Context, NDArray
from object2vec.compiled.kernels import (
    API,
    address_of,
    check,
    constants,
    library,
    offsets_and_tokens,
)
from object2vec.compiled.library import Dense, Scorer
from object2vec.compiled.lstm import enc_dim_of, run_layer
from object2vec.data.arrays import TokenLists
from object2vec.data.chunks import compute_in_chunks, length_sorted_chunks
from object2vec.data.layouts import time_steps
from object2vec.inference.every_pair import probabilities
from object2vec.inference.similarities import scores_of, similarities
from object2vec.model.encoders import BiLSTM, HierarchicalCNN
from object2vec.model.network import Object2VecNetwork

_HANDLE = ctypes.c_void_p
# Elements that an LSTM holds at a time: few enough to stay in the cache, and for malloc to reuse
# memory, which the operating system would have to clear first.
_LSTM_CHUNK = 1 << 23


class CompiledInference:
    """Embeddings and scores of a network, read from its parameters as they are at the time.

    Parameters
    ----------
    network : Object2VecNetwork
        Initialized on ``context``; it must not be initialized again.
    context : mxnet.Context
        A CPU.
    """

    def __init__(self, network: Object2VecNetwork, context: Context) -> None:
        self._settings = network.hyperparameters
        self._encoders = [_encoder(network, side, context) for side in (0, 1)]
        self._context, self._network_scorer = context, network.scorer
        if not self._settings.is_similarity:
            self._layers = network.scorer.layers(context)
            self._scorer = self._describe()

    def elements_per_token(self, side: int) -> int:
        """See `OperatorInference`; here the encoders limit their memory themselves."""
        return 1

    def embed(self, side: int, lists: TokenLists) -> np.ndarray:
        """Embed objects; see `OperatorInference.embed`."""
        return self._encoders[side](lists)

    def score(self, in0: TokenLists, in1: TokenLists, *, as_logits: bool = False) -> np.ndarray:
        """Score pairs; see `OperatorInference.score`."""
        vectors = self.embed(0, in0), self.embed(1, in1)
        settings, count = self._settings, len(in0)
        if settings.is_similarity:
            return self._compare(*vectors, as_logits)
        output = np.empty((count, *settings.score_shape), np.float32)
        check(
            library.object2vec_score(
                API,
                ctypes.byref(self._scorer),
                vectors[0].ctypes.data,
                vectors[1].ctypes.data,
                count,
                settings.output_layer == "softmax" and not as_logits,
                output.ctypes.data,
            )
        )
        return probabilities(output) if settings.is_multi_label and not as_logits else output

    def _compare(self, vectors0: np.ndarray, vectors1: np.ndarray, as_logits: bool) -> np.ndarray:
        settings = self._settings
        affine = self._network_scorer.affine(self._context, _element)
        # what overflows is no number in the end, which the caller reports
        with np.errstate(over="ignore", invalid="ignore"):
            values = similarities(vectors0, vectors1, settings.scorer)
            output = scores_of(values, settings, *affine)
            if as_logits or settings.classes is None:
                return output
            output -= output.max(axis=1, keepdims=True)
            np.exp(output, out=output)
            return output / output.sum(axis=1, keepdims=True)

    def _describe(self) -> Scorer:
        settings = self._settings
        comparators = [constants[name.upper()] for name in settings.comparator_list]
        inner = [constants[settings.mlp_activation.upper()]] * settings.mlp_layers
        layers = [
            Dense(weight.handle, bias.handle, *reversed(weight.shape), activation)
            for (weight, bias), activation in zip(self._layers, [*inner, constants["LINEAR"]])
        ]
        return Scorer(
            settings.enc_dim,
            len(comparators),
            tuple(comparators),
            len(layers),
            (Dense * len(layers))(*layers),
        )


class MeanOfRows:
    """What pooled_embedding does: the mean of a token table's rows over each list.

    Called with ``n`` token lists it returns float32 ``(n, width)``; the other encoders here do the
    like.

    Parameters
    ----------
    table : NDArray
        float32 ``(rows, width)``, of a CPU context.
    """

    def __init__(self, table: NDArray) -> None:
        self._table, self._width = table, table.shape[1]
        self._arguments = table.handle, self._width

    def __call__(self, lists: TokenLists) -> np.ndarray:
        return _encoded(library.object2vec_mean_of_rows, lists, self._width, *self._arguments)


class Convolutions:
    """What `encoders.HierarchicalCNN` does, and the lookup before it.

    Parameters
    ----------
    table : NDArray
        float32 ``(rows, token_dim)``, of a CPU context.
    layers : list of tuple of NDArray
        Weight ``(filters, channels, filter_width)`` and bias ``(filters,)`` of each convolution.
    """

    def __init__(self, table: NDArray, layers: list[tuple[NDArray, NDArray]]) -> None:
        self._arrays = [table, *(array for layer in layers for array in layer)]
        filters = [weight.shape[0] for weight, _ in layers]
        self._enc_dim = sum(filters)
        self._arguments = (
            (_HANDLE * len(self._arrays))(*(array.handle for array in self._arrays)),
            table.shape[1],
            len(filters),
            (ctypes.c_int64 * len(filters))(*filters),
            layers[0][0].shape[2],
        )

    def __call__(self, lists: TokenLists) -> np.ndarray:
        return _encoded(library.object2vec_convolve, lists, self._enc_dim, *self._arguments)


class LSTM:
    """What `encoders.BiLSTM` does, and the lookup before it.

    Parameters
    ----------
    table : NDArray
        float32 ``(rows, token_dim)``, of a CPU context.
    layers : list of list of NDArray
        The weights of each layer, as `compiled.lstm` takes them.
    """

    def __init__(self, table: NDArray, layers: list[list[NDArray]]) -> None:
        self._lookup = MeanOfRows(table)
        self._layers = layers
        self._enc_dim = enc_dim_of(layers[0])
        # of a token: a layer's input, and gates, cells and outputs of both directions
        self._elements = max(table.shape[1], self._enc_dim) + 6 * self._enc_dim

    def __call__(self, lists: TokenLists) -> np.ndarray:
        chunks = length_sorted_chunks(lists.lengths, self._elements, self._enc_dim, _LSTM_CHUNK)
        shape = len(lists), self._enc_dim
        return compute_in_chunks(chunks, shape, lambda rows: self._encode(lists.take(rows)))

    def _encode(self, lists: TokenLists) -> np.ndarray:
        steps = time_steps(lists)
        x = self._lookup(TokenLists.of_each(steps.tokens))
        for number, weights in enumerate(self._layers, 1):
            x = run_layer(steps, weights, x, is_maximum=number == len(self._layers))
        return x


def _element(array: NDArray) -> float:
    """The element of an array ``(1,)``, without a copy that the engine would have to make."""
    return ctypes.c_float.from_address(address_of(array).value or 0).value


def _encoder(
    network: Object2VecNetwork, side: int, context: Context
) -> Union[MeanOfRows, Convolutions, LSTM]:
    table, encoder = network.table(side).data(context), network.encoders[side]
    if isinstance(encoder, HierarchicalCNN):
        return Convolutions(table, encoder.layers(context))
    if isinstance(encoder, BiLSTM):
        return LSTM(table, encoder.layers(context))
    return MeanOfRows(table)


def _encoded(
    function: Any, lists: TokenLists, enc_dim: int, source: Any, *sizes: Any
) -> np.ndarray:
    """The output of a function of the library for token lists, ``(n, enc_dim)``."""
    output = np.empty((len(lists), enc_dim), np.float32)
    offsets, tokens = offsets_and_tokens(lists)
    check(
        function(
            *(API, source, output.ctypes.data, *sizes),
            *(len(lists), offsets.ctypes.data, tokens.ctypes.data),
        )
    )
    return output
