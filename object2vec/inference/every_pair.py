# SPDX-License-Identifier: Apache-2.0
"""Scores of every in0 with every in1, from embeddings that were computed once for each object.

`Predictor.scores` hands two embeddings a pair to the scorer. Here what depends on one object alone
is computed once for it, and a scorer without an activation between its layers is folded into one
layer: it is linear in what the comparators give.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Optional, Union

import numpy as np

from object2vec.backend.mxnet_types import Context
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.inference.similarities import comparable
from object2vec.model.network import Object2VecNetwork

_IN_CACHE = 1 << 16  # elements of in1's embeddings that are compared with one in0 at a time
_IN_PRODUCT = 1 << 19  # elements of a hidden layer
_ELEMENTS = 1 << 22  # outputs of a block of pairs

Layer = tuple[np.ndarray, np.ndarray]


class Top(NamedTuple):
    """The best candidates of each in0, the best one first; of equal ones the first given.

    Attributes
    ----------
    indices : numpy.ndarray
        int64, shape ``(n, k)``: their places among the candidates.
    scores : numpy.ndarray
        float32, shape ``(n, k)``.
    """

    indices: np.ndarray
    scores: np.ndarray


class Bilinear(NamedTuple):
    """A score that is ``own0 · a + own1 · b + Σ product_i a_i b_i + bias`` of two embeddings.

    Attributes
    ----------
    own : tuple of numpy.ndarray, optional
        float32, ``(enc_dim,)`` each, for in0 and in1; None where concat is no comparator.
    product : numpy.ndarray, optional
        float32, ``(enc_dim,)``; None where hadamard is no comparator.
    bias : float
    """

    own: Optional[tuple[np.ndarray, np.ndarray]]
    product: Optional[np.ndarray]
    bias: float


class EveryPair:
    """Scores blocks of pairs, with the parameters as they are when it is made.

    Parameters
    ----------
    network : Object2VecNetwork
        Initialized on ``context``.
    context : mxnet.Context
        Where its parameters are read; the scores are computed by NumPy.
    classes : tuple of int, optional
        The classes, not all, whose probability together is the score; for multi_label one. None
        for mean_squared_error.

    Attributes
    ----------
    outputs : int
        Outputs of the last layer that are computed for each pair.
    """

    def __init__(
        self, network: Object2VecNetwork, context: Context, classes: Optional[tuple[int, ...]]
    ) -> None:
        settings = network.hyperparameters
        self._classes = classes
        self._activation = settings.mlp_activation
        layers = [
            (weight.asnumpy(), bias.asnumpy()) for weight, bias in network.scorer.layers(context)
        ]
        with np.errstate(over="ignore", invalid="ignore"):  # see `scores`
            if classes is not None and settings.is_multi_label:
                # each output is the logarithm of the odds of its class
                layers[-1] = tuple(array[list(classes)] for array in layers[-1])
            elif classes is not None and settings.num_classes == 2:
                # one output, the logarithm of the odds, in the place of two
                (own,) = classes
                layers[-1] = tuple(array[own, None] - array[1 - own, None] for array in layers[-1])
            if settings.mlp_activation == "linear":
                layers = [_folded(layers)]
        (first, self._bias), *self._layers = layers
        self._parts = _by_comparator(first, settings)
        self.outputs = len(layers[-1][1])

    @property
    def bilinear(self) -> Optional[Bilinear]:
        """What the scores are where they are linear in each of two embeddings, else None."""
        parts = self._parts
        if self._layers or self.outputs > 1 or parts.difference is not None:
            return None
        return Bilinear(
            None if parts.own is None else (parts.own[0][0], parts.own[1][0]),
            None if parts.product is None else parts.product[0],
            float(self._bias[0]),
        )

    def scores(self, vectors0: np.ndarray, vectors1: np.ndarray) -> np.ndarray:
        """Score every pair.

        Parameters
        ----------
        vectors0, vectors1 : numpy.ndarray
            Embeddings, float32, shapes ``(n, enc_dim)`` and ``(m, enc_dim)``.

        Returns
        -------
        numpy.ndarray
            float32, shape ``(n, m)``: predicted numbers; or the logarithm of the odds of the
            classes, which grows with their probability and tells apart what is near 1.
        """
        # what overflows is no number in the end, which the caller reports
        with np.errstate(over="ignore", invalid="ignore"):
            outputs = (self._hidden if self._layers else self._linear)(vectors0, vectors1)
            if self.outputs == 1:
                return outputs[0]
            assert self._classes is not None
            own = np.isin(np.arange(self.outputs), self._classes)
            return _log_sum(outputs[own]) - _log_sum(outputs[~own])

    def _linear(self, vectors0: np.ndarray, vectors1: np.ndarray) -> np.ndarray:
        """The outputs ``(outputs, n, m)`` of a single layer."""
        parts = self._parts
        shape = (self.outputs, len(vectors0), len(vectors1))
        found = np.broadcast_to(self._bias[:, None, None], shape).copy()
        if parts.own is not None:
            found += (parts.own[0] @ vectors0.T)[:, :, None]
            found += (parts.own[1] @ vectors1.T)[:, None, :]
        if parts.product is not None:
            for output, weight in zip(found, parts.product):
                output += (vectors0 * weight) @ vectors1.T
        if parts.difference is not None:
            step = max(1, _IN_CACHE // vectors1.shape[1])
            for start in range(0, len(vectors1), step):
                others = vectors1[start : start + step]
                differences = np.empty_like(others)
                for row, vector in enumerate(vectors0):
                    np.subtract(others, vector, out=differences)
                    np.abs(differences, out=differences)
                    found[:, row, start : start + step] += parts.difference @ differences.T
        return found

    def _hidden(self, vectors0: np.ndarray, vectors1: np.ndarray) -> np.ndarray:
        """The outputs ``(outputs, n, m)`` of several layers."""
        parts = self._parts
        found = np.empty((self.outputs, len(vectors0), len(vectors1)), np.float32)
        constant = np.zeros((len(vectors0), 1), np.float32) + self._bias
        if parts.own is not None:
            constant += vectors0 @ parts.own[0].T
        step = max(1, _IN_PRODUCT // max(vectors1.shape[1], len(self._bias)))
        for start in range(0, len(vectors1), step):
            others = vectors1[start : start + step]
            of_others = np.zeros((len(others), 1), np.float32)
            if parts.own is not None:
                of_others = others @ parts.own[1].T
            for row, vector in enumerate(vectors0):
                x = of_others + constant[row]
                if parts.product is not None:
                    x += others @ (parts.product * vector).T
                if parts.difference is not None:
                    x += np.abs(others - vector) @ parts.difference.T
                for weight, bias in self._layers:
                    x = self._activated(x) @ weight.T + bias
                found[:, row, start : start + step] = x.T
        return found

    def _activated(self, x: np.ndarray) -> np.ndarray:
        return np.tanh(x, out=x) if self._activation == "tanh" else np.maximum(x, 0, out=x)


class EverySimilarity:
    """As `EveryPair`, for the scorers dot and cosine: a product of matrices.

    Attributes
    ----------
    scorer : str
        ``dot`` or ``cosine``.
    scale, bias : numpy.float32
        A score is scale · similarity + bias; the scale is negative for the class 0.
    """

    outputs = 1

    def __init__(
        self, network: Object2VecNetwork, context: Context, classes: Optional[tuple[int, ...]]
    ) -> None:
        self.scorer = network.hyperparameters.scorer
        sign = -1 if classes == (0,) else 1
        self.scale, self.bias = (
            np.float32(sign * number) for number in network.scorer.affine(context)
        )

    def scores(self, vectors0: np.ndarray, vectors1: np.ndarray) -> np.ndarray:
        """See `EveryPair.scores`; of a model for in_batch_softmax, the similarities."""
        first, second = (comparable(vectors, self.scorer) for vectors in (vectors0, vectors1))
        with np.errstate(over="ignore", invalid="ignore"):
            return self.scale * (first @ second.T) + self.bias


def every_pair(
    network: Object2VecNetwork, context: Context, classes: Optional[tuple[int, ...]]
) -> Union[EveryPair, EverySimilarity]:
    """What scores blocks of pairs for the network's scorer; see `EveryPair`."""
    kind = EverySimilarity if network.hyperparameters.is_similarity else EveryPair
    return kind(network, context, classes)


class _Parts(NamedTuple):
    """The columns of the first layer's weight, ``(rows, enc_dim)`` each, by what they multiply."""

    own: Optional[tuple[np.ndarray, np.ndarray]]
    product: Optional[np.ndarray]
    difference: Optional[np.ndarray]


def _by_comparator(weight: np.ndarray, settings: Hyperparameters) -> _Parts:
    found: dict[str, np.ndarray] = {}
    blocks = iter(np.split(weight, weight.shape[1] // settings.enc_dim, axis=1))
    for name in settings.comparator_list:
        for part in ("in0", "in1") if name == "concat" else (name,):
            found[part] = np.ascontiguousarray(next(blocks))
    own = (found["in0"], found["in1"]) if "in0" in found else None
    return _Parts(own, found.get("hadamard"), found.get("abs_diff"))


def _folded(layers: list[Layer]) -> Layer:
    """The one layer that gives what several without an activation between them do."""
    weight, bias = (array.astype(np.float64) for array in layers[-1])
    for inner, inner_bias in reversed(layers[:-1]):
        bias = bias + weight @ inner_bias
        weight = weight @ inner
    return weight.astype(np.float32), bias.astype(np.float32)


def _log_sum(outputs: np.ndarray) -> np.ndarray:
    """The logarithm of the sum of exponentials over the first axis."""
    if len(outputs) == 1:
        return outputs[0]
    largest = outputs.max(axis=0)
    return largest + np.log(np.exp(outputs - largest).sum(axis=0))


def probabilities(log_odds: np.ndarray) -> np.ndarray:
    """What logarithms of odds say, float32 of the same shape."""
    small = np.exp(-np.abs(log_odds))
    return np.where(log_odds < 0, small, 1) / (1 + small)


def blocks_of(rows: int, others: int) -> Iterator[slice]:
    """Cut rows into blocks whose pairs with `others` are few enough to be held."""
    step = max(1, _ELEMENTS // max(1, others))
    for start in range(0, rows, step):
        yield slice(start, start + step)


class BestSoFar:
    """Keeps the best candidates of each of ``n`` in0, while candidates come block by block.

    Parameters
    ----------
    rows : int
        How many in0.
    k : int
        How many candidates of each.
    """

    def __init__(self, rows: int, k: int) -> None:
        self._k = k
        self._found = [(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in range(rows)]

    def add(self, rows: slice, start: int, scores: np.ndarray) -> None:
        """Take the scores ``(n, m)`` of some in0 with the candidates from `start` on."""
        k = min(self._k, scores.shape[1])
        least = -np.partition(-scores, k - 1, axis=1)[:, k - 1]
        for row, own, limit in zip(range(rows.start, rows.stop), scores, least):
            places = np.flatnonzero(own >= limit)
            indices, values = self._found[row]
            indices = np.concatenate([indices, places + start])
            values = np.concatenate([values, own[places]])
            # what came before stands first where scores are equal
            order = np.argsort(-values, kind="stable")[: self._k]
            self._found[row] = indices[order], values[order]

    def top(self) -> Top:
        """What was found; as many candidates must have come as are kept."""
        if not self._found:
            return Top(np.empty((0, self._k), np.int64), np.empty((0, self._k), np.float32))
        indices, scores = zip(*self._found)
        return Top(np.stack(indices), np.stack(scores))
