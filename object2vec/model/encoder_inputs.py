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
    encoder: EncoderHyperparameters, lists: TokenLists, width: Optional[int], context: Context
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
    if lists.are_single():
        return SingleTokens(lists.tokens, to_device(lists.tokens, context))
    most = LARGEST_ARRAY // encoder.vocab_size
    parts = [lists.take(slice(start, start + most)) for start in range(0, len(lists), most)]
    weights = tuple(_mean_weights(part, encoder.vocab_size, context) for part in parts)
    return MeanWeights(lists.tokens, weights)


def _mean_weights(lists: TokenLists, vocab_size: int, context: Context) -> NDArray:
    shape = len(lists), vocab_size
    arrays = mean_weights(lists), lists.tokens, lists.offsets
    return mx.nd.sparse.csr_matrix(arrays, shape=shape, ctx=context)


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
    """

    def __init__(
        self,
        network: Object2VecNetwork,
        sides: tuple[TokenLists, TokenLists],
        widths: tuple[Optional[int], Optional[int]],
        context: Context,
    ) -> None:
        self._network, self._context = network, context
        self._inputs = [
            prepare_input(encoder, lists, width, context)
            for encoder, lists, width in zip(network.hyperparameters.encoders, sides, widths)
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
