# SPDX-License-Identifier: Apache-2.0
"""A bidirectional LSTM on the CPU, without padding (`lstm.c`).

MXNet's LSTM also computes the padding, a quarter of all time steps in buckets of 8, and rearranges
all weights at each call.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import NDArray
from object2vec.compiled.kernels import address_of, check, constants, library
from object2vec.compiled.library import LstmDirection, LstmLayer
from object2vec.data.layouts import TimeSteps

_UNITS, _PANEL = constants["UNITS"], constants["PANEL"]


class BidirectionalLayer(mx.autograd.Function):
    """One layer in both directions, on the CPU.

    It is called with the weights ``(4 * hidden_size, inputs)`` and
    ``(4 * hidden_size, hidden_size)`` and both biases ``(4 * hidden_size,)`` of either direction,
    and with the token vectors or the output of the layer below, ``(rows, inputs)``; there may be
    more rows than tokens. These come last, because MXNet takes the gradients only of the arrays
    before the first one that needs none. Where a list's maximum occurs twice, the first row gets
    the gradient.

    Parameters
    ----------
    steps : TimeSteps
        The lists.
    is_maximum : bool
        True for the maximum over each list, ``(n, enc_dim)``, zeros for an empty one; False for
        the outputs of all rows, ``(rows, enc_dim)``.
    """

    def __init__(self, steps: TimeSteps, is_maximum: bool) -> None:
        super().__init__()
        self._steps = steps
        self._is_maximum = is_maximum

    def forward(self, *arrays: NDArray) -> NDArray:
        """Compute the output; see the class."""
        *weights, x = self._arrays = arrays
        steps, rows = self._steps, len(self._steps.reversed)
        shape = (len(steps.order) if self._is_maximum else x.shape[0], enc_dim_of(weights))
        output = mx.nd.empty(shape, ctx=x.context)
        self._layer, self._kept = _forward(
            steps, weights, x.shape[1], address_of(x), self._is_maximum, address_of(output)
        )
        if not self._is_maximum:
            output[rows:] = 0
        return output

    def backward(self, d_output: NDArray) -> Sequence[NDArray]:
        """The gradients of all arguments of `forward`."""
        *weights, x = self._arrays
        layer = self._layer
        dx = mx.nd.empty(x.shape, ctx=x.context)
        layer.dx, layer.d_output = address_of(dx), address_of(d_output)
        gradients: list[NDArray] = []
        for number, direction in enumerate(layer.directions):
            i2h, h2h, bias = (
                mx.nd.empty(weight.shape, ctx=x.context)
                for weight in weights[4 * number : 4 * number + 3]
            )
            direction.d_i2h, direction.d_h2h = address_of(i2h), address_of(h2h)
            direction.d_bias = address_of(bias)
            gradients += [i2h, h2h, bias, bias]
        check(library.object2vec_lstm_backward(ctypes.byref(layer)))
        dx[len(self._steps.reversed) :] = 0
        # freed here, as MXNet's callbacks keep this object until the garbage collector finds it
        del self._arrays, self._kept, self._layer
        return [*gradients, dx]


def run_layer(
    steps: TimeSteps, weights: Sequence[NDArray], x: np.ndarray, is_maximum: bool
) -> np.ndarray:
    """The output of `BidirectionalLayer`, without gradient.

    Parameters
    ----------
    steps, is_maximum
        As for `BidirectionalLayer`.
    weights : sequence of NDArray
        In the order in which `BidirectionalLayer` takes them.
    x : numpy.ndarray
        float32 ``(rows, inputs)``, no more rows than tokens.
    """
    shape = (len(steps.order) if is_maximum else len(x), enc_dim_of(weights))
    output = np.empty(shape, np.float32)
    _forward(steps, weights, x.shape[1], x.ctypes.data, is_maximum, output.ctypes.data)
    return output


def enc_dim_of(weights: Sequence[NDArray]) -> int:
    """The output width of a layer with these weights, as `BidirectionalLayer` takes them."""
    return (weights[0].shape[0] + weights[4].shape[0]) // 4


def _forward(
    steps: TimeSteps,
    weights: Sequence[NDArray],
    inputs: int,
    x: Any,
    is_maximum: bool,
    output: Any,
) -> tuple[LstmLayer, list[dict[str, np.ndarray]]]:
    """Compute the output; returns the layer, and the arrays that it points to.

    Parameters
    ----------
    x, output
        Addresses, as integers or `ctypes.c_void_p`.
    """
    rows, lists = len(steps.reversed), len(steps.order)
    layer = LstmLayer(
        lists=lists,
        rows=rows,
        steps=len(steps.counts),
        inputs=inputs,
        is_maximum=is_maximum,
        order=steps.order.ctypes.data,
        counts=steps.counts.ctypes.data,
        reversed=steps.reversed.ctypes.data,
        x=x,
        output=output,
    )
    all_kept = []
    for number, direction in enumerate(layer.directions):
        own = weights[4 * number : 4 * number + 4]
        direction.hidden_size = own[0].shape[0] // 4
        panels = -(-direction.hidden_size // _UNITS)
        kept = {
            "gates": np.empty((rows, panels * _PANEL + _UNITS), np.float32),
            "cells": np.empty((rows, panels * _UNITS), np.float32),
            "outputs": np.empty((rows, panels * _UNITS), np.float32),
            "argmax": np.empty((lists, panels * _UNITS), np.int32),
        }
        all_kept.append(kept)
        for name, array in kept.items():
            setattr(direction, name, array.ctypes.data)
        for name, weight in zip(LstmDirection.WEIGHTS, own):
            setattr(direction, name, address_of(weight))
    check(library.object2vec_lstm_forward(ctypes.byref(layer)))
    return layer, all_kept
