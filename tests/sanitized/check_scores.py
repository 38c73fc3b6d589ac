# SPDX-License-Identifier: Apache-2.0
"""Comparators, MLP and output layer: the scores of pairs."""

from __future__ import annotations

import ctypes
from itertools import permutations

import numpy as np
import pytest
from sanitized_library import WIDTHS, Engine, call, constants, exact, unwritten

from object2vec.compiled.library import Dense, Scorer

HADAMARD, CONCAT, ABS_DIFF = (constants[name] for name in ("HADAMARD", "CONCAT", "ABS_DIFF"))
LINEAR, RELU, TANH = (constants[name] for name in ("LINEAR", "RELU", "TANH"))
COMPARATORS = [order for count in (1, 2, 3) for order in permutations(range(3), count)]
# around TILE_PAIRS, TILE_ROWS, PACK_MIN_PAIRS and PAIRS, the last for each of four threads
COUNTS = (1, 2, 3, 4, 5, 6, 7, 31, 32, 33, 95, 96, 97, 191, 192, 193, 383, 385)


def compared(comparators: tuple[int, ...], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    parts = {HADAMARD: [a * b], CONCAT: [a, b], ABS_DIFF: [abs(a - b)]}
    return np.concatenate([part for name in comparators for part in parts[name]], axis=1)


def score(
    engine: Engine,
    rng: np.random.Generator,
    count: int,
    enc_dim: int,
    outputs: tuple[int, ...],
    comparators: tuple[int, ...] = (HADAMARD, CONCAT, ABS_DIFF),
    activation: int = TANH,
    is_softmax: bool = False,
    nan_at: int | None = None,
) -> None:
    """Score random pairs by layers with these numbers of outputs."""
    scale = 0.5
    vectors = [exact(rng.normal(size=(count, enc_dim))) for _ in range(2)]
    if nan_at is not None:
        vectors[1][nan_at] = np.nan
    x = compared(comparators, *(array.astype(float) for array in vectors))
    layers = []
    for number, outs in enumerate(outputs, 1):
        weight = exact(rng.normal(0, scale * x.shape[1] ** -0.5, (outs, x.shape[1])))
        bias = exact(rng.normal(0, scale, outs))
        own = activation if number < len(outputs) else LINEAR
        layers.append(Dense(engine.array(weight), engine.array(bias), x.shape[1], outs, own))
        x = x @ weight.T.astype(float) + bias
        x = np.maximum(x, 0) if own == RELU else np.tanh(x) if own == TANH else x
    if is_softmax:
        x = np.exp(x - x.max(1, keepdims=True, initial=-np.inf))
        x /= x.sum(1, keepdims=True)
    output = unwritten(*x.shape)
    scorer = Scorer(
        enc_dim, len(comparators), comparators, len(layers), (Dense * len(layers))(*layers)
    )
    sizes = count, is_softmax, output
    call("score", engine.api, ctypes.byref(scorer), *vectors, *sizes)
    np.testing.assert_allclose(output, x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("comparators", COMPARATORS, ids=str)
@pytest.mark.parametrize("activation", [LINEAR, RELU, TANH], ids=["linear", "relu", "tanh"])
@pytest.mark.usefixtures("isa")
def test_comparators_and_activations(
    comparators: tuple[int, ...], activation: int, engine: Engine, rng: np.random.Generator
) -> None:
    for layers in (1, 2, 3, 4):
        for is_softmax in (False, True):
            count, enc_dim, inner = rng.choice([1, 2, 3, 15, 16, 17, 31, 33], 3)
            outputs = (*[int(inner)] * (layers - 1), 5 if is_softmax else 1)
            score(
                engine, rng, int(count), int(enc_dim), outputs, comparators, activation, is_softmax
            )


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.usefixtures("isa")
def test_counts(count: int, engine: Engine, rng: np.random.Generator) -> None:
    for outputs in ((17, 3), (65, 16, 1)):
        score(engine, rng, count, 9, outputs, activation=RELU, is_softmax=outputs[-1] > 1)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.usefixtures("isa")
def test_widths(width: int, engine: Engine, rng: np.random.Generator) -> None:
    for count in (3, 37):
        score(engine, rng, count, width, (2,), (HADAMARD,))
        score(engine, rng, count, 3, (width, 2), is_softmax=True)
        score(engine, rng, count, 3, (7, width), is_softmax=True)
        score(engine, rng, count, width, (width, width), (CONCAT,)) if width < 100 else None


@pytest.mark.usefixtures("isa")
def test_no_pair(engine: Engine, rng: np.random.Generator) -> None:
    score(engine, rng, 0, 5, (17, 3), is_softmax=True)


@pytest.mark.parametrize("count", [5, 40])
@pytest.mark.usefixtures("isa")
def test_nan_stays_in_its_pair(count: int, engine: Engine, rng: np.random.Generator) -> None:
    for activation in (RELU, TANH):
        score(engine, rng, count, 20, (17, 3), activation=activation, is_softmax=True, nan_at=2)
