# SPDX-License-Identifier: Apache-2.0
"""Token lists in the form that MXNet's operators look up and encode, on any device."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Optional

import numpy as np

from object2vec.backend.device_arrays import to_device
from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Block, Context, NDArray, Parameter
from object2vec.data.arrays import TokenLists
from object2vec.data.layouts import (
    TIME_STEP,
    PackedLists,
    mean_weights,
    numbered,
    pack,
    pad,
    widest,
)
from object2vec.hyperparameters.checked import EncoderHyperparameters
from object2vec.hyperparameters.rules import LARGEST_ARRAY
from object2vec.model.network import Object2VecNetwork


@dataclass(frozen=True)
class EncoderInput(abc.ABC):
    """One input of a batch, ``n`` lists, on a device.

    Attributes
    ----------
    ids : numpy.ndarray
        Integers, one axis: all ids that are looked up, padding included.
    """

    ids: np.ndarray

    @abc.abstractmethod
    def look_up(self, table: Parameter, context: Context) -> NDArray:
        """Token vectors, as `encode` takes them.

        Parameters
        ----------
        table : mxnet.gluon.Parameter
            The token table.
        context : mxnet.Context
            The device.
        """

    def encode(self, encoder: Block, vectors: NDArray) -> NDArray:
        """Embeddings ``(n, enc_dim)`` of the token vectors; here for pooled_embedding."""
        return encoder(vectors, None)


@dataclass(frozen=True)
class MeanWeights(EncoderInput):
    """For pooled_embedding: the mean is the product of sparse weights with the table.

    Attributes
    ----------
    parts : tuple of CSRNDArray
        float32, together ``(n, vocab_size)``; several where one would exceed MXNet's largest array.
    """

    parts: tuple[NDArray, ...]

    def look_up(self, table: Parameter, context: Context) -> NDArray:
        means = [mx.nd.dot(weights, table.data(context)) for weights in self.parts]
        return means[0] if len(means) == 1 else mx.nd.concat(*means, dim=0)  # (n, enc_dim)


@dataclass(frozen=True)
class SingleTokens(EncoderInput):
    """For pooled_embedding where every list has one token.

    Attributes
    ----------
    tokens : NDArray
        int32 ``(n,)``.
    """

    tokens: NDArray

    def look_up(self, table: Parameter, context: Context) -> NDArray:
        return _rows(table, self.tokens, context)  # (n, enc_dim)


class WeightedMeans:
    """For pooled_embedding in training, where each token has a weight: means over lists.

    Each token in use is looked up once, so that neither the table nor its weights are read whole.

    Parameters
    ----------
    lists : TokenLists
        ``n`` lists.
    context : mxnet.Context
        The device.

    Attributes
    ----------
    ids : numpy.ndarray
        int32 ``(rows,)``: the tokens in use; those of all lists where each has a single one.
    """

    def __init__(self, lists: TokenLists, context: Context) -> None:
        # float32, together (n, rows): each token's part in each mean
        self._parts: tuple[NDArray, ...] = ()
        self.ids = lists.tokens
        if lists.are_single():
            return
        # MXNet has no arrays without elements
        self.ids, places = np.zeros(1, np.int32), lists.tokens
        if lists.tokens.size:
            self.ids, places = numbered(lists.tokens)
        self._parts = _mean_weights(TokenLists(places, lists.offsets), len(self.ids), context)

    def of(self, vectors: NDArray, weights: NDArray) -> NDArray:
        """Means ``(n, width)`` of vectors ``(rows, width)`` times their weights ``(rows, 1)``."""
        parts = [_WeightedSums(part)(weights, vectors) for part in self._parts or (None,)]
        return parts[0] if len(parts) == 1 else mx.nd.concat(*parts, dim=0)


class _WeightedSums(mx.autograd.Function):
    """Sums of weighted vectors.

    MXNet's own gradients of these operators take ten times as long. Vectors, which may be of a
    frozen table, come after the weights, because MXNet takes the gradients only of the arguments
    before the first one that needs none.

    Parameters
    ----------
    shares : CSRNDArray or None
        float32 ``(n, rows)``: each vector's part in each sum; None where each vector is a sum.
    """

    def __init__(self, shares: Optional[NDArray]) -> None:
        super().__init__()
        self._shares = shares

    def forward(self, weights: NDArray, vectors: NDArray) -> NDArray:
        """``(rows, 1)`` and ``(rows, width)`` to ``(n, width)``."""
        self._vectors, self._weights = vectors, weights
        products = mx.nd.broadcast_mul(vectors, weights)
        return products if self._shares is None else mx.nd.dot(self._shares, products)

    def backward(self, gradient: NDArray) -> tuple[NDArray, NDArray]:
        """``(n, width)`` to ``(rows, 1)`` and ``(rows, width)``."""
        if self._shares is not None:
            found = mx.nd.dot(self._shares, gradient, transpose_a=True, forward_stype="row_sparse")
            # every row is there, but those of lists without tokens
            is_full = found.data.shape[0] == self._vectors.shape[0]
            gradient = found.data if is_full else found.tostype("default")
        ones = mx.nd.ones((gradient.shape[1], 1), ctx=gradient.context)
        return (
            mx.nd.dot(gradient * self._vectors, ones),
            mx.nd.broadcast_mul(gradient, self._weights),
        )


@dataclass(frozen=True)
class WeightedTokens(EncoderInput):
    """For pooled_embedding in training, where each token has a weight.

    Attributes
    ----------
    tokens : NDArray
        int32 ``(rows,)``.
    weights : mxnet.gluon.Parameter
        Those of the table's rows, ``(vocab_size, 1)``.
    means : WeightedMeans
        What makes the vectors of lists of them.
    """

    tokens: NDArray
    weights: Parameter
    means: WeightedMeans

    def look_up(self, table: Parameter, context: Context) -> NDArray:
        return self.means.of(
            _rows(table, self.tokens, context), _rows(self.weights, self.tokens, context)
        )  # (n, enc_dim)


class Packing:
    """What hcnn takes besides the token vectors ``(rows, width)``; see `layouts.PackedLists`.

    Parameters
    ----------
    packed : PackedLists
        The lists.
    context : mxnet.Context
        The device.
    """

    def __init__(self, packed: PackedLists, context: Context) -> None:
        counts = np.array([packed.count], np.float32)
        self._arrays = [
            to_device(array, context) for array in (counts, packed.windows, packed.positions)
        ]

    def encode(self, encoder: Block, vectors: NDArray) -> NDArray:
        """Embeddings ``(n, enc_dim)`` of the token vectors."""
        return encoder(vectors, *self._arrays)


@dataclass(frozen=True)
class PackedTokens(EncoderInput):
    """For hcnn: the tokens of all lists, one list after the other.

    Attributes
    ----------
    tokens : NDArray
        int32 ``(rows,)``.
    packing : Packing
        Where each list lies in them.
    """

    tokens: NDArray
    packing: Packing

    def look_up(self, table: Parameter, context: Context) -> NDArray:
        return _rows(table, self.tokens, context)  # (rows, width)

    def encode(self, encoder: Block, vectors: NDArray) -> NDArray:
        return self.packing.encode(encoder, vectors)


@dataclass(frozen=True)
class PaddedTokens(EncoderInput):
    """For bilstm: padded lists.

    Attributes
    ----------
    tokens : NDArray
        int32 ``(n, length)``; the length is a multiple of `layouts.TIME_STEP`.
    lengths : NDArray
        float32 ``(n,)``.
    """

    tokens: NDArray
    lengths: NDArray

    def look_up(self, table: Parameter, context: Context) -> NDArray:
        return _rows(table, self.tokens, context)  # (n, length, width)

    def encode(self, encoder: Block, vectors: NDArray) -> NDArray:
        return encoder(vectors, self.lengths)


def _rows(table: Parameter, tokens: NDArray, context: Context) -> NDArray:
    rows, width = table.shape
    return mx.nd.Embedding(
        tokens,
        table.data(context),
        input_dim=rows,
        output_dim=width,
        sparse_grad=table.grad_req != "null",
    )


def prepare_input(
    encoder: EncoderHyperparameters,
    lists: TokenLists,
    width: Optional[int],
    context: Context,
    weights: Optional[Parameter] = None,
) -> EncoderInput:
    """Bring one input of a batch to a device.

    Parameters
    ----------
    encoder : EncoderHyperparameters
        What encodes it.
    lists : TokenLists
        ``n`` lists, n at least 1.
    width : int, optional
        Padded length for bilstm, the longest list's where None is given; rounded up to a multiple
        of `layouts.TIME_STEP`.
    context : mxnet.Context
        The device.
    weights : mxnet.gluon.Parameter, optional
        Those of the token table's rows, where training multiplies by them.
    """
    if encoder.network == "hcnn":
        packed = pack(lists, encoder.cnn_filter_width)
        tokens = to_device(packed.tokens, context)
        return PackedTokens(packed.tokens, tokens, Packing(packed, context))
    if encoder.network == "bilstm":
        width = -(-(width or widest(lists)) // TIME_STEP) * TIME_STEP
        padded = pad(lists, width)
        return PaddedTokens(
            padded.reshape(-1),
            to_device(padded, context),
            to_device(lists.lengths.astype(np.float32), context),
        )
    if weights is not None:
        means = WeightedMeans(lists, context)
        return WeightedTokens(means.ids, to_device(means.ids, context), weights, means)
    if lists.are_single():
        return SingleTokens(lists.tokens, to_device(lists.tokens, context))
    return MeanWeights(lists.tokens, _mean_weights(lists, encoder.vocab_size, context))


def _mean_weights(lists: TokenLists, columns: int, context: Context) -> tuple[NDArray, ...]:
    most = LARGEST_ARRAY // columns
    parts = [lists.take(slice(start, start + most)) for start in range(0, len(lists), most)]
    return tuple(_mean_weights_of(part, columns, context) for part in parts)


def _mean_weights_of(lists: TokenLists, columns: int, context: Context) -> NDArray:
    arrays = mean_weights(lists), lists.tokens, lists.offsets
    return mx.nd.sparse.csr_matrix(arrays, shape=(len(lists), columns), ctx=context)


class PairInputs:
    """Both inputs of a batch on a device.

    Parameters
    ----------
    network : Object2VecNetwork
        What encodes them.
    sides : tuple of TokenLists
        ``n`` lists of in0 and ``n`` of in1, n at least 1.
    widths : tuple of int, optional
        As for `prepare_input`.
    context : mxnet.Context
        The device.
    in_training : bool
        Whether token vectors are multiplied by their weights, which else the table holds already.
    """

    def __init__(
        self,
        network: Object2VecNetwork,
        sides: tuple[TokenLists, TokenLists],
        widths: tuple[Optional[int], Optional[int]],
        context: Context,
        *,
        in_training: bool = False,
    ) -> None:
        self._network, self._context = network, context
        encoders = network.hyperparameters.encoders
        tables = (network.table(side) for side in range(len(sides)))
        weights = [network.token_weights.of(table) if in_training else None for table in tables]
        self._inputs = [
            prepare_input(encoder, lists, width, context, own)
            for encoder, lists, width, own in zip(encoders, sides, widths, weights)
        ]

    @property
    def ids(self) -> list[np.ndarray]:
        """The ids of each lookup; see `EncoderInput`."""
        return [given.ids for given in self._inputs]

    def look_up(self) -> list[NDArray]:
        """Token vectors of each lookup."""
        return [
            given.look_up(self._network.table(side), self._context)
            for side, given in enumerate(self._inputs)
        ]

    def encode(self, vectors: list[NDArray]) -> list[NDArray]:
        """Embeddings of in0 and of in1, ``(n, enc_dim)`` each, of the token vectors."""
        return [
            given.encode(encoder, each)
            for given, encoder, each in zip(self._inputs, self._network.encoders, vectors)
        ]

    def embed(self) -> list[NDArray]:
        """Embeddings of in0 and of in1, ``(n, enc_dim)`` each."""
        return self.encode(self.look_up())


def embed(
    network: Object2VecNetwork,
    side: int,
    lists: TokenLists,
    context: Context,
    width: Optional[int] = None,
) -> NDArray:
    """Embeddings ``(n, enc_dim)`` of lists of in0 (0) or in1 (1).

    Parameters
    ----------
    network : Object2VecNetwork
        Initialized on ``context``.
    side : int
        Whose encoder.
    lists : TokenLists
        ``n`` lists, n at least 1.
    context : mxnet.Context
        The device.
    width : int, optional
        As for `prepare_input`.
    """
    given = prepare_input(network.hyperparameters.encoders[side], lists, width, context)
    return given.encode(network.encoders[side], given.look_up(network.table(side), context))
