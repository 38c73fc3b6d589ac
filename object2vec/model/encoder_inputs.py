# SPDX-License-Identifier: Apache-2.0
"""Brings token lists to a device in the form that an encoder takes there."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from object2vec.backend.device_arrays import csr_to_device, to_device
from object2vec.data.arrays import TokenLists
from object2vec.data.batching import (
    TIME_STEP,
    TimeSteps,
    mean_weights,
    pack,
    pad,
    reversed_positions,
    time_steps,
    widest,
)
from object2vec.hyperparameters.checked import EncoderHyperparameters
from object2vec.hyperparameters.rules import LARGEST_ARRAY


class Gradient(enum.Enum):
    """What MXNet is to derive."""

    OF_TABLES = "all parameters"
    OF_VECTORS = "the token vectors that were looked up, and the other parameters"


@dataclass(frozen=True)
class EncoderInput:
    """One input of a batch on a device.

    Attributes
    ----------
    lookup : TokenLists
        Which rows of the token table the token vectors are means of. For bilstm, all padded ids one
        by one, time step after time step, and for hcnn all ids behind one another.
    tokens : NDArray or list of CSRNDArray, optional
        The same for MXNet's operators, where they look up. For bilstm int32 ``(length, n)``; for
        hcnn int32 ``(rows,)``; for pooled_embedding the mean weights, float32 ``(n, vocab_size)``,
        in as many parts as MXNet's largest array asks for, or the ids, int32 ``(n,)``, where every
        list has one.
    lengths : NDArray, optional
        float32; for bilstm ``(n,)``, for hcnn the number of real rows, ``(1,)``.
    places : tuple of NDArray
        For hcnn the windows and positions of `batching.PackedLists`; for bilstm the one array of
        `batching.reversed_positions`.
    steps : TimeSteps, optional
        For bilstm the lists, where a CPU needs the gradient of vectors; ``lookup`` then are their
        tokens, and there are no lengths and places.
    """

    lookup: TokenLists
    tokens: Any
    lengths: Any
    places: tuple[Any, ...] = ()
    steps: Optional[TimeSteps] = None


def prepare_input(
    encoder: EncoderHyperparameters,
    lists: TokenLists,
    width: Optional[int],
    context: Any,
    gradient: Gradient,
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
        of `batching.TIME_STEP`.
    context : mxnet.Context
        The device.
    gradient : Gradient
        What will be derived.
    """
    looks_up = context.device_type == "cpu" and gradient is Gradient.OF_VECTORS
    if encoder.network == "bilstm" and looks_up:
        steps = time_steps(lists)
        # MXNet has no arrays without numbers
        tokens = steps.tokens if steps.tokens.size else np.zeros(1, np.int32)
        return EncoderInput(TokenLists.of_each(tokens), None, None, steps=steps)
    lookup, lengths = lists, None
    places: list[Any] = []
    if encoder.network == "hcnn":
        packed = pack(lists, encoder.cnn_filter_width)
        lookup = TokenLists.of_each(packed.tokens)
        lengths = to_device(np.array([packed.count], np.float32), context)
        places = [to_device(array, context) for array in (packed.windows, packed.positions)]
    elif encoder.network == "bilstm":
        width = -(-(width or widest(lists)) // TIME_STEP) * TIME_STEP
        lookup = TokenLists.of_each(pad(lists, width).T)
        lengths = to_device(lists.lengths.astype(np.float32), context)
        places = [to_device(reversed_positions(lists.lengths, width), context)]
    for_mxnet = None if looks_up else _for_operators(lookup, encoder.vocab_size, context)
    return EncoderInput(lookup, for_mxnet, lengths, tuple(places))


def _for_operators(lookup: TokenLists, vocab_size: int, context: Any) -> Any:
    if lookup.are_single():
        return to_device(lookup.tokens, context)
    return _mean_weights(lookup, vocab_size, context)


def _mean_weights(lists: TokenLists, vocab_size: int, context: Any) -> list[Any]:
    most = LARGEST_ARRAY // vocab_size
    parts = [lists.take(slice(start, start + most)) for start in range(0, len(lists), most)]
    return [
        csr_to_device(
            mean_weights(part), part.tokens, part.offsets, (len(part), vocab_size), context
        )
        for part in parts
    ]
