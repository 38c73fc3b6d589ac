# SPDX-License-Identifier: Apache-2.0
"""The compiled operations do what MXNet's own do, and adam is told the right rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_jobs import random_network, settings, training_way

from object2vec.backend.mxnet_import import mx
from object2vec.compiled import kernels
from object2vec.compiled.kernels import AdamState, AdamStep, TableState, mean_of_rows, used_rows
from object2vec.data.arrays import TokenLists
from object2vec.data.batching import Batch
from object2vec.training.deferred_adam import catch_up

pytestmark = pytest.mark.own_way

CONSTANTS = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
# less than a vector, about a thread's share, several shares
SHAPES = [(1,), (7,), (3, 5), (16_385,), (130, 301)]


def random_arrays(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Weight, gradient, mean and variance."""
    weight, gradient, mean, variance = (rng.normal(0, 0.1, shape) for _ in range(4))
    return [array.astype(np.float32) for array in (weight, gradient, mean, variance**2)]


def own_step(arrays: list[list[Any]], decays: list[float], rate: float) -> None:
    moved = [AdamState(one[0], one[2], one[3], decay) for one, decay in zip(arrays, decays)]
    AdamStep(moved, [one[1] for one in arrays])(rate=rate, rescale=0.25, **CONSTANTS)


@pytest.mark.usefixtures("isa")
def test_dense_parameters_move_as_with_mxnet(rng: np.random.Generator) -> None:
    values = [random_arrays(rng, shape) for shape in SHAPES]
    decays = [0.0, 0.1, 0.0, 0.2, 0.3]
    own, plain = ([[mx.nd.array(a) for a in four] for four in values] for _ in range(2))
    for step in range(1, 4):
        rate = 0.01 / step
        own_step(own, decays, rate)
        for (weight, gradient, mean, variance), decay in zip(plain, decays):
            mx.nd.adam_update(
                weight, gradient, mean, variance, lr=rate, wd=decay, rescale_grad=0.25, out=weight
            )
    for ours, theirs, shape in zip(own, plain, SHAPES):
        for name, a, b in zip(("weight", "gradient", "mean", "variance"), ours, theirs):
            a, b = a.asnumpy(), b.asnumpy()
            np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6, err_msg=f"{name} {shape}")


def test_avx2_rounds_each_product_of_adam(isa: str, rng: np.random.Generator) -> None:
    """What training gives on such a CPU hangs on it; see TARGET_WITHOUT_FMA in isa.h."""
    if isa != "AVX2":
        pytest.skip(f"{isa} may fuse products and sums")
    values = random_arrays(rng, (3, 1_001))
    arrays = [mx.nd.array(array) for array in values]
    own_step([arrays], [0.1], 0.01)
    one, rate, decay, rescale, beta1, beta2, epsilon = map(
        np.float32, (1.0, 0.01, 0.1, 0.25, *CONSTANTS.values())
    )
    weight, gradient, mean, variance = values
    g = rescale * gradient + decay * weight
    mean = beta1 * mean + (one - beta1) * g
    variance = beta2 * variance + (one - beta2) * g * g
    weight = weight - rate * mean / (np.sqrt(variance) + epsilon)
    for ours, expected in zip(arrays, (weight, gradient, mean, variance)):
        np.testing.assert_array_equal(ours.asnumpy(), expected)


def random_lists(rng: np.random.Generator, count: int, tokens: int) -> TokenLists:
    """Some of them empty, and some tokens in every second list."""
    lists = [rng.integers(tokens, size=n).tolist() for n in rng.integers(0, 9, count)]
    return TokenLists.from_lists([*lists[:-3], [], [1, 1, 2], [tokens - 1]])


@pytest.mark.parametrize("inputs", [1, 2])
@pytest.mark.parametrize("width", [1, 6, 300, 1025])
@pytest.mark.usefixtures("isa")
def test_a_table_moves_by_the_gradients_of_vectors(
    width: int, inputs: int, rng: np.random.Generator
) -> None:
    """As with MXNet's adam, and the gradient of the rows by the chain rule."""
    lookups = [random_lists(rng, 150 + 50 * k, 500) for k in range(inputs)]
    vectors = [rng.normal(0, 0.1, (len(lists), width)).astype(np.float32) for lists in lookups]
    gradient = np.zeros((600, width))
    for lists, of_input in zip(lookups, vectors):
        for ids, vector in zip(lists, of_input):
            for token in ids:
                gradient[token] += vector / len(ids)
    weight, _, mean, variance = random_arrays(rng, (600, width))
    variance += 0.01  # a step along next to no variance magnifies rounding
    own, plain = ([mx.nd.array(array) for array in (weight, mean, variance)] for _ in range(2))
    step = AdamStep([], [], [TableState(AdamState(*own, decay=0.1))])
    given = [mx.nd.array(vector) for vector in vectors]
    step([used_rows(lookups)], [given], rate=0.01, rescale=0.25, **CONSTANTS)
    mx.nd.adam_update(
        *(plain[0], mx.nd.array(gradient), *plain[1:]),
        **{"lr": 0.01, "wd": 0.1, "rescale_grad": 0.25, "out": plain[0]},
    )
    rows = np.unique(np.concatenate([lists.tokens for lists in lookups]))
    others = np.setdiff1d(np.arange(600), rows)
    for ours, theirs, before in zip(own, plain, (weight, mean, variance)):
        ours, theirs = ours.asnumpy(), theirs.asnumpy()
        np.testing.assert_allclose(ours[rows], theirs[rows], rtol=2e-6, atol=2e-6)
        np.testing.assert_array_equal(ours[others], before[others])


def test_arrays_may_go_before_the_engine_comes_to_them(rng: np.random.Generator) -> None:
    weight, gradient, mean, variance = (
        mx.nd.array(array) for array in random_arrays(rng, (4_000, 300))
    )
    lists = TokenLists.from_lists([[row] for row in range(0, 4_000, 2)])
    before = weight.asnumpy()
    for _ in range(20):
        step = AdamStep([], [], [TableState(AdamState(weight, mean, variance))])
        part = gradient[: len(lists)].copy()
        step([used_rows([lists])], [[part]], rate=0.01, rescale=0.25, **CONSTANTS)
        del step, part
    del mean, variance, gradient
    moved = np.any(weight.asnumpy() != before, axis=1)
    np.testing.assert_array_equal(np.flatnonzero(moved), lists.tokens)


@pytest.mark.parametrize("largest", [1, 2_047, 2_048, 5_000_000, 2**31 - 1])
def test_rows_in_use(largest: int, rng: np.random.Generator) -> None:
    tokens = rng.integers(0, largest, 3_000, dtype=np.int32, endpoint=True)
    tokens[:3] = largest, 0, largest
    halves = TokenLists.from_lists([[], tokens[:3].tolist(), tokens[3:1_000].tolist(), []])
    used = used_rows([halves, TokenLists(tokens[1_000:], np.arange(2_001))])
    np.testing.assert_array_equal(used.rows, np.unique(tokens))
    in_vector = np.concatenate([[1] * 3, [2] * 997, 4 + np.arange(2_000)])
    for row, start, end in zip(used.rows, used.starts, used.starts[1:]):
        expected = in_vector[tokens == row]
        np.testing.assert_array_equal(used.vectors[start:end], expected)
    np.testing.assert_allclose(used.mean_weights, [1, 1 / 3, 1 / 997, 1, *[1] * 2_000])


def test_no_rows_in_use() -> None:
    used = used_rows([TokenLists.from_lists([[], []])])
    assert [used.rows.size, used.vectors.size, *used.starts] == [0, 0, 0]
    table = [mx.nd.ones((3, 4)) for _ in range(3)]
    step = AdamStep([], [], [TableState(AdamState(*table))])
    step([used], [[mx.nd.ones((2, 4))]], rate=0.01, rescale=1.0, **CONSTANTS)
    assert all(np.all(array.asnumpy() == 1) for array in table)


def test_gradients_of_other_vectors_are_refused() -> None:
    step = AdamStep([], [], [TableState(AdamState(*(mx.nd.ones((3, 4)) for _ in range(3))))])
    used = used_rows([TokenLists.from_lists([[0], [1]])])
    with pytest.raises(ValueError, match=r"\[3\] vectors, but 2 are in use"):
        step([used], [[mx.nd.ones((3, 4))]], rate=0.01, rescale=1.0, **CONSTANTS)


@pytest.mark.usefixtures("isa")
def test_catching_up_equals_mxnets_operators(rng: np.random.Generator) -> None:
    weight, _, mean, variance = random_arrays(rng, (900, 70))
    rows = rng.choice(900, 333, replace=False).astype(np.int32)
    factors = rng.uniform(0.1, 1.0, (5, len(rows), 1)).astype(np.float32)
    results = []
    for way in (kernels.catch_up, catch_up):
        moved = [mx.nd.array(array) for array in (weight, mean, variance)]
        way(*moved, rows, factors, 1e-8)
        results.append([array.asnumpy() for array in moved])
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6)
    assert np.any(results[0][0] != weight)


@pytest.mark.parametrize("width", [1, 17, 128, 130, 300])
@pytest.mark.usefixtures("isa")
def test_means_of_rows(width: int, rng: np.random.Generator) -> None:
    table = rng.normal(size=(50, width)).astype(np.float32)
    lists = [rng.integers(50, size=n).tolist() for n in rng.integers(0, 40, 200)]
    lists[:3] = [[], [7], [7, 7, 49]]
    # at the end of all tokens nothing more can be asked for ahead
    for given in (lists, [*lists, []], [[]], [[3]]):
        means = mean_of_rows(mx.nd.array(table), TokenLists.from_lists(given)).asnumpy()
        expected = [table[row].astype(float).mean(axis=0) if row else 0 * table[0] for row in given]
        np.testing.assert_allclose(means, expected, rtol=1e-5, atol=1e-6)


def batch_of(in0: TokenLists, in1: TokenLists) -> Batch:
    return Batch(in0, in1, np.ones(len(in0), np.float32), (40, 40))


LISTS = {
    "one token each": [[3], [5], [3], [0]],
    "some empty": [[], [7, 7, 2], [], [1]],
    "the first empty": [[], [4], [9, 4]],
    "repeats": [[5, 5, 5], [5], [5, 5]],
    "all empty": [[], [], []],
    "many": [np.random.default_rng(k).integers(11, size=k % 40).tolist() for k in range(60)],
}


@pytest.mark.parametrize("names", [(name, name) for name in LISTS] + [("many", "all empty")])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "two tables"])
@pytest.mark.parametrize("network", ["pooled_embedding", "hcnn", "bilstm"])
@pytest.mark.usefixtures("isa")
def test_tables_are_trained_as_by_mxnet(
    network: str, tied: bool, names: tuple[str, str], rng: np.random.Generator
) -> None:
    """Whatever the lists, the gradients of vectors lead to what MXNet's sparse ones lead to."""
    given = settings(enc0_network=network, tied_token_embedding_weight=tied)
    model = random_network(given, rng)
    count = min(len(LISTS[name]) for name in names)
    in0, in1 = (TokenLists.from_lists(LISTS[name][:count]) for name in names)
    by_operators, ours = (training_way(way, given, model) for way in ("operators", "compiled"))
    batch = batch_of(in0, in1)
    backward(model, by_operators, batch)
    gradients = [table.grad().copy() for table in model.trained_tables()]
    prepared, vectors = backward(model, ours, batch)
    ours.apply(prepared, [vectors])
    for rows, gradient, moved in zip(prepared.rows, gradients, ours._trained):
        np.testing.assert_array_equal(rows, gradient.indices.asnumpy())
        # the first step's mean is a tenth of the gradient
        expected = 0.1 * gradient.asnumpy() / count
        size = np.abs(expected).max(initial=0.0)
        np.testing.assert_allclose(moved.mean.asnumpy(), expected, rtol=1e-4, atol=1e-4 * size)


def backward(model: Any, way: Any, batch: Batch) -> tuple[Any, list[Any]]:
    prepared = way.prepare(batch)
    (shard,) = prepared.shards
    with mx.autograd.record():
        vectors = way.look_up(shard.inputs)
        objective, _ = model.loss(*way.encode(shard.inputs, vectors), *shard.targets)
    objective.backward()
    return prepared, vectors
