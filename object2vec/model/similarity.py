# SPDX-License-Identifier: Apache-2.0
"""The scorers whose space can be searched: dot product or cosine of the two embeddings."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Context, NDArray, Parameter, Tensor
from object2vec.hyperparameters.checked import Hyperparameters

#: Is added to the square of a length, so that an embedding of zeros has a cosine of 0.
EPSILON = 1e-12
# Of the logarithm of odds that a cosine of 1 starts with: a probability of 0.99995.
_FIRST_SCALE = 10.0
_LARGEST_LOGARITHM = math.log(np.finfo(np.float32).max)


def unit(F: Any, vectors: Tensor) -> Tensor:
    """Vectors ``(n, enc_dim)`` of the length 1; those of zeros stay what they are."""
    squares = row_sums(F, F.square(vectors))
    return F.broadcast_mul(vectors, F.rsqrt(squares + EPSILON))


class Similarity(mx.gluon.HybridBlock):
    """Two vectors ``(n, enc_dim)`` to the raw output, which grows with their similarity alone.

    For in_batch_softmax the raw output is the similarity s itself, ``(n,)``. For mean_squared_error
    it is scale · s + bias, ``(n,)``; for softmax that is the logarithm of the odds of class 1, and
    the raw output ``(n, 2)`` before softmax. The scale is positive, so that pairs have one order by
    their scores and by s; it is learnt for cosine, which is at most 1, and 1 / ensemble_size for
    dot: s is the sum of the members' products.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        The scorer and the output layer.
    """

    def __init__(self, hyperparameters: Hyperparameters) -> None:
        super().__init__(prefix="")
        self._hyperparameters = hyperparameters
        if hyperparameters.is_contrastive:
            return
        self.bias = self.params.get("output_layer_bias", shape=(1,), init="zeros", wd_mult=0.0)
        if hyperparameters.scorer == "cosine":
            first = 0.0 if hyperparameters.is_regression else math.log(_FIRST_SCALE)
            self.log_scale = log_scale(self.params, first)

    def start_from(self, output: np.ndarray, spread: float) -> None:
        """See `Object2VecNetwork.start_from`; a cosine of 1 starts two spreads above the mean."""
        settings = self._hyperparameters
        if settings.is_contrastive:
            return
        bias = output if settings.is_regression else output[1:] - output[:1]
        self.bias.set_data(mx.nd.array(bias))
        if settings.is_regression and settings.scorer == "cosine" and spread > 0:
            self.log_scale.set_data(mx.nd.array([math.log(2 * spread)]))

    def affine(
        self, context: Context, read: Callable[[NDArray], float] = mx.nd.NDArray.asscalar
    ) -> tuple[float, float]:
        """Scale and bias on a device; 1 and 0 where there are none.

        Parameters
        ----------
        context : mxnet.Context
            The device.
        read : callable
            Gives the element of an array ``(1,)``; ``asscalar`` queues a copy and waits for it.
        """
        values = {
            name: float(read(parameter.data(context)))
            for name, parameter in self._reg_params.items()
        }
        if self._hyperparameters.is_contrastive:
            return 1.0, 0.0
        size = self._hyperparameters.ensemble_size
        return scale_of(values["log_scale"]) if "log_scale" in values else 1 / size, values["bias"]

    def hybrid_forward(
        self, F: Any, vector0: Tensor, vector1: Tensor, **parameters: Tensor
    ) -> Tensor:
        """Score; see the class."""
        settings = self._hyperparameters
        if settings.scorer == "cosine":
            vector0, vector1 = unit(F, vector0), unit(F, vector1)
        score = F.reshape(row_sums(F, vector0 * vector1), shape=(-1,))
        if settings.is_contrastive:
            return score
        if "log_scale" in parameters:
            score = F.broadcast_mul(score, F.exp(parameters["log_scale"]))
        if settings.ensemble_size > 1:
            score = score / settings.ensemble_size
        score = F.broadcast_add(score, parameters["bias"])
        return score if settings.is_regression else F.stack(F.zeros_like(score), score, axis=1)


def row_sums(F: Any, x: Tensor) -> Tensor:
    """Sums ``(n, 1)`` of rows ``(n, width)`` by a product, in half the time of F.sum or less."""
    ones = F.ones_like(F.slice_axis(x, axis=0, begin=0, end=1))
    return F.FullyConnected(x, ones, num_hidden=1, no_bias=True)


def members_outputs(
    F: Any, output: Tensor, vector0: Tensor, vector1: Tensor, hyperparameters: Hyperparameters
) -> Tensor:
    """The raw outputs of an ensemble's members, by the one of their mean.

    Parameters
    ----------
    F : module
        mxnet.ndarray or mxnet.symbol.
    output : Tensor
        What `Similarity` gives, ``(n,)`` or ``(n, 2)``.
    vector0, vector1 : Tensor
        ``(n, enc_dim)``: the members' parts one behind the other.
    hyperparameters : Hyperparameters
        They tell how many members there are.

    Returns
    -------
    Tensor
        ``(n ensemble_size,)`` or ``(n ensemble_size, 2)``: the members of a pair one after another.
    """
    size = hyperparameters.ensemble_size
    rows = F.reshape(F.reshape(vector0 * vector1, shape=(0, size, -1)), shape=(-3, 0))
    products = F.reshape(row_sums(F, rows), shape=(-1, size))
    others = F.broadcast_sub(products, F.mean(products, axis=1, keepdims=True))
    others = F.reshape(others, shape=(-1,))
    repeated = F.repeat(output, repeats=size, axis=0)
    if hyperparameters.is_regression:
        return repeated + others
    return repeated + F.stack(F.zeros_like(others), others, axis=1)


def scale_of(logarithm: float) -> float:
    """What a logarithm stands for; infinity where that is no float32 any more, as MXNet has it."""
    return math.exp(logarithm) if logarithm < _LARGEST_LOGARITHM else math.inf


def log_scale(parameters: Any, start: float) -> Parameter:
    """The logarithm of what similarities are multiplied by, a parameter ``(1,)``.

    A step changes the scale by a share of itself, whatever its size, and it stays positive.

    Parameters
    ----------
    parameters : mxnet.gluon.ParameterDict
        Of the block that it belongs to.
    start : float
        Its first value.
    """
    return parameters.get(
        "output_layer_log_scale", shape=(1,), init=mx.init.Constant(start), wd_mult=0.0
    )
