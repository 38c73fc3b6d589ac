# SPDX-License-Identifier: Apache-2.0
"""A bidirectional LSTM on the CPU, without padding (`lstm.c`).

MXNet's LSTM takes a list's padding for tokens, a quarter of all time steps in buckets of 8, and
brings all weights into another order at each call.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from object2vec.backend.mxnet_import import mx
from object2vec.compiled.kernels import address_of, check, library, numbers
from object2vec.compiled.library import LstmDirection, LstmLayer
from object2vec.data.batching import TimeSteps

_UNITS, _PANEL = numbers["UNITS"], numbers["PANEL"]


class BidirectionalLayer(mx.autograd.Function):
    """One layer in both directions, on the CPU.

    It is called with the weights ``(4 * half, inputs)`` and ``(4 * half, half)`` and both biases
    ``(4 * half,)`` of either direction, and with the token vectors or the answer of the layer
    below, ``(rows, inputs)``; there may be more rows than tokens. They come last, because MXNet
    looks no further than the first array that needs no gradient. Where a list's maximum comes
    twice, the first row has the gradient.

    Parameters
    ----------
    steps : TimeSteps
        The lists.
    is_maximum : bool
        Whether the answer is the maximum over each list, ``(n, enc_dim)``, zeros for an empty one,
        or holds all rows, ``(rows, enc_dim)``.
    """

    def __init__(self, steps: TimeSteps, is_maximum: bool) -> None:
        super().__init__()
        self._steps = steps
        self._is_maximum = is_maximum

    def forward(self, *arrays: Any) -> Any:
        """Compute the answer; see the class."""
        *weights, x = self._arrays = arrays
        steps, rows = self._steps, len(self._steps.turned)
        shape = (len(steps.order) if self._is_maximum else x.shape[0], enc_dim_of(weights))
        answer = mx.nd.empty(shape, ctx=x.context)
        self._layer, self._kept = _forward(
            steps, weights, x.shape[1], address_of(x), self._is_maximum, address_of(answer)
        )
        if not self._is_maximum:
            answer[rows:] = 0
        return answer

    def backward(self, d_answer: Any) -> Sequence[Any]:
        """The gradients of all that `forward` takes."""
        *weights, x = self._arrays
        layer = self._layer
        dx = mx.nd.empty(x.shape, ctx=x.context)
        layer.dx, layer.d_answer = address_of(dx), address_of(d_answer)
        gradients: list[Any] = []
        for position, direction in enumerate(layer.directions):
            i2h, h2h, bias = (
                mx.nd.empty(weight.shape, ctx=x.context)
                for weight in weights[4 * position : 4 * position + 3]
            )
            direction.d_i2h, direction.d_h2h = address_of(i2h), address_of(h2h)
            direction.d_bias = address_of(bias)
            gradients += [i2h, h2h, bias, bias]
        check(library.object2vec_lstm_backward(ctypes.byref(layer)))
        dx[len(self._steps.turned) :] = 0
        # MXNet's callbacks hold this object until the garbage collector finds them
        del self._arrays, self._kept, self._layer
        return [*gradients, dx]


def run_layer(
    steps: TimeSteps, weights: Sequence[Any], x: np.ndarray, is_maximum: bool
) -> np.ndarray:
    """What `BidirectionalLayer` answers, without gradient.

    Parameters
    ----------
    steps, is_maximum
        As for `BidirectionalLayer`.
    weights : sequence of NDArray
        In the same order.
    x : numpy.ndarray
        float32 ``(rows, inputs)``, no more rows than tokens.
    """
    shape = (len(steps.order) if is_maximum else len(x), enc_dim_of(weights))
    answer = np.empty(shape, np.float32)
    _forward(steps, weights, x.shape[1], x.ctypes.data, is_maximum, answer.ctypes.data)
    return answer


def enc_dim_of(weights: Sequence[Any]) -> int:
    """Numbers in the answer of a layer with these weights, as `BidirectionalLayer` takes them."""
    return (weights[0].shape[0] + weights[4].shape[0]) // 4


def _forward(
    steps: TimeSteps, weights: Sequence[Any], inputs: int, x: Any, is_maximum: bool, answer: Any
) -> tuple[LstmLayer, list[dict[str, np.ndarray]]]:
    """Compute the answer; returns what the gradients need."""
    rows, lists = len(steps.turned), len(steps.order)
    layer = LstmLayer(
        lists=lists,
        rows=rows,
        steps=len(steps.counts),
        inputs=inputs,
        is_maximum=is_maximum,
        order=steps.order.ctypes.data,
        counts=steps.counts.ctypes.data,
        turned=steps.turned.ctypes.data,
        x=x,
        answer=answer,
    )
    all_kept = []
    for position, direction in enumerate(layer.directions):
        own = weights[4 * position : 4 * position + 4]
        direction.half = own[0].shape[0] // 4
        panels = -(-direction.half // _UNITS)
        kept = {
            "gates": np.empty((rows, panels * _PANEL + _UNITS), np.float32),
            "cells": np.empty((rows, panels * _UNITS), np.float32),
            "outputs": np.empty((rows, panels * _UNITS), np.float32),
            "highest": np.empty((lists, panels * _UNITS), np.int32),
        }
        all_kept.append(kept)
        for name, array in kept.items():
            setattr(direction, name, array.ctypes.data)
        for name, weight in zip(LstmDirection.WEIGHTS, own):
            setattr(direction, name, address_of(weight))
    check(library.object2vec_lstm_forward(ctypes.byref(layer)))
    return layer, all_kept
