"""The compiled operations do what MXNet's own do, and adam is told the right rows."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from small_jobs import random_network, settings

from object2vec import cpu_kernels
from object2vec.arrays import PairDataset, TokenLists
from object2vec.cpu_kernels import AdamStep, mean_of_rows
from object2vec.deferred_adam import catch_up, catch_up_by_operators
from object2vec.errors import PlatformError
from object2vec.mxnet_import import mx
from object2vec.parameter_updates import ParameterUpdates

CONSTANTS = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
# less than a vector, about a thread's share, several shares
SHAPES = [(1,), (7,), (3, 5), (16_385,), (130, 301)]


def random_arrays(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Weight, gradient, mean and variance."""
    weight, gradient, mean, variance = (rng.normal(0, 0.1, shape) for _ in range(4))
    return [array.astype(np.float32) for array in (weight, gradient, mean, variance**2)]


def own_step(
    arrays: list[list[Any]],
    decays: list[float],
    rate: float,
    rows: dict[int, np.ndarray] | None = None,
) -> None:
    weights, gradients, means, variances = zip(*arrays)
    step = AdamStep(weights, gradients, list(zip(means, variances)), decays)
    step(rows or {}, rate=rate, rescale=0.25, **CONSTANTS)


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


@pytest.mark.parametrize("width", [1, 6, 300])
def test_a_sparse_gradient_moves_its_rows(width: int, rng: np.random.Generator) -> None:
    shape, rows = (500, width), np.sort(rng.choice(500, 120, replace=False))
    weight, gradient, mean, variance = random_arrays(rng, shape)
    own, plain = ([mx.nd.array(array) for array in (weight, mean, variance)] for _ in range(2))
    sparse = mx.nd.sparse.row_sparse_array((gradient[rows], rows), shape=shape, dtype="float32")
    own_step([[own[0], sparse, *own[1:]]], [0.1], 0.01, {0: rows})
    mx.nd.adam_update(
        plain[0], sparse, *plain[1:], lr=0.01, wd=0.1, rescale_grad=0.25, out=plain[0]
    )
    others = np.setdiff1d(np.arange(500), rows)
    for ours, theirs, before in zip(own, plain, (weight, mean, variance)):
        np.testing.assert_allclose(ours.asnumpy(), theirs.asnumpy(), rtol=2e-6, atol=2e-6)
        np.testing.assert_array_equal(ours.asnumpy()[others], before[others])


def test_arrays_may_go_before_the_engine_comes_to_them(rng: np.random.Generator) -> None:
    weight, gradient, mean, variance = (
        mx.nd.array(array) for array in random_arrays(rng, (4_000, 300))
    )
    rows = np.arange(0, 4_000, 2)
    sparse = mx.nd.sparse.row_sparse_array(
        (gradient.asnumpy()[rows], rows), shape=(4_000, 300), dtype="float32"
    )
    before = weight.asnumpy()
    for _ in range(20):
        own_step([[weight, sparse, mean, variance]], [0.0], 0.01, {0: rows})
    del sparse, mean, variance, gradient
    moved = np.any(weight.asnumpy() != before, axis=1)
    np.testing.assert_array_equal(np.flatnonzero(moved), rows)


def test_catching_up_equals_mxnets_operators(rng: np.random.Generator) -> None:
    weight, _, mean, variance = random_arrays(rng, (900, 70))
    rows = rng.choice(900, 333, replace=False).astype(np.int32)
    factors = rng.uniform(0.1, 1.0, (4, len(rows), 1)).astype(np.float32)
    results = []
    for way in (catch_up, catch_up_by_operators):
        moved = [mx.nd.array(array) for array in (weight, mean, variance)]
        way(*moved, rows, factors, 1e-8)
        results.append([array.asnumpy() for array in moved])
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6)
    assert np.any(results[0][0] != weight)


@pytest.mark.parametrize("width", [1, 17, 128, 130, 300])
def test_means_of_rows(width: int, rng: np.random.Generator) -> None:
    table = rng.normal(size=(50, width)).astype(np.float32)
    lists = [rng.integers(50, size=n).tolist() for n in rng.integers(0, 40, 200)]
    lists[:3] = [[], [7], [7, 7, 49]]
    # at the end of all tokens nothing more can be asked for ahead
    for given in (lists, [*lists, []], [[]], [[3]]):
        means = mean_of_rows(mx.nd.array(table), TokenLists.from_lists(given)).asnumpy()
        expected = [table[row].astype(float).mean(axis=0) if row else 0 * table[0] for row in given]
        np.testing.assert_allclose(means, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["many", "all empty", "one token each"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "two tables"])
@pytest.mark.parametrize("network", ["pooled_embedding", "hcnn", "bilstm"])
def test_pairs_are_the_same_with_and_without_gradient(
    network: str, tied: bool, name: str, rng: np.random.Generator
) -> None:
    given = settings(enc0_network=network, tied_token_embedding_weight=tied, enc_dim=13)
    model = random_network(given, rng)
    model.hybridize()
    lists = TokenLists.from_lists(LISTS[name])
    sides = lists, lists.take(np.arange(len(lists))[::-1])
    answers = [
        model.encode_pairs(
            model.prepare_pairs(sides, (None, None), mx.cpu(), needs_gradient=needs), mx.cpu()
        )
        for needs in (True, False)
    ]
    for ours, theirs in zip(*answers):
        np.testing.assert_allclose(ours.asnumpy(), theirs.asnumpy(), rtol=1e-5, atol=1e-6)


def test_without_the_compiled_part_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "object2vec._cpu_kernels", None)
    with pytest.raises(PlatformError, match="install object2vec with pip, which compiles it"):
        cpu_kernels._load()


LISTS = {
    "one token each": [[3], [5], [3], [0]],
    "some empty": [[], [7, 7, 2], [], [1]],
    "the first empty": [[], [4], [9, 4]],
    "repeats": [[5, 5, 5], [5], [5, 5]],
    "all empty": [[], [], []],
    "many": [[(7 * k + j) % 11 for j in range(k % 40)] for k in range(60)],
}


@pytest.mark.parametrize("names", [(name, name) for name in LISTS] + [("many", "all empty")])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "two tables"])
@pytest.mark.parametrize("network", ["pooled_embedding", "hcnn", "bilstm"])
def test_a_gradient_has_the_rows_that_are_told(
    network: str, tied: bool, names: tuple[str, str], rng: np.random.Generator
) -> None:
    """Every list and every storage of ids leads to the gradient that the kernel expects."""
    given = settings(enc0_network=network, tied_token_embedding_weight=tied)
    model = random_network(given, rng)
    count = min(len(LISTS[name]) for name in names)
    sides = [TokenLists.from_lists(LISTS[name][:count]) for name in names]
    pairs = PairDataset(sides[0], sides[1], np.ones(count, np.float32))
    rows = model.rows_in_use([(pairs.in0, pairs.in1)])
    updates = ParameterUpdates(given, model, [mx.cpu()])
    inputs = model.prepare_pairs((sides[0], sides[1]), (40, 40), mx.cpu())
    with mx.autograd.record():
        vectors = model.encode_pairs(inputs, mx.cpu())
        objective, _ = model.loss(*vectors, mx.nd.array(pairs.labels))
    objective.backward()
    for table, told in zip(model.trained_tables(), rows):
        np.testing.assert_array_equal(table.grad().indices.asnumpy(), told)
    updates.step(count, rows)
    mx.nd.waitall()
