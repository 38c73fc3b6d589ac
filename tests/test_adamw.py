# SPDX-License-Identifier: Apache-2.0
"""Decoupled weight decay, and a decay of the tables' own, against adam written in NumPy.

Adam divides a gradient by its size, so that the rounding of one near 0 becomes a whole step. Steps
are compared with an EPSILON of 0.01, where such a gradient gives a small one.
"""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
import pytest
from small_jobs import (
    VOCAB,
    arrays,
    batch_of,
    random_network,
    random_pairs,
    settings,
    step_of_caught_up,
    training_way,
)

from object2vec.backend.device_arrays import to_device
from object2vec.backend.mxnet_import import mx
from object2vec.data.arrays import PairDataset
from object2vec.model.encoder_inputs import PairInputs
from object2vec.training.deferred_adam import DeferredRows

pytestmark = pytest.mark.own_way

BETA1, BETA2, EPSILON = 0.9, 0.999, 0.01
BATCH = 8
WAYS = ("compiled", "operators")
USED = VOCAB - 9  # the upper ids are in no batch


@pytest.fixture(autouse=True)
def gentle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another EPSILON for adam; see above."""
    for module in ("compiled_way", "operator_way", "optimizers"):
        monkeypatch.setattr(f"object2vec.training.{module}.EPSILON", EPSILON)


def step_size(rate: float, step: int) -> float:
    return float(rate * (1 - BETA2**step) ** 0.5 / (1 - BETA1**step))


class PlainAdam:
    """Adam and AdamW of arrays in float64; epsilon is added before the bias is corrected.

    Parameters
    ----------
    weight : numpy.ndarray
    decay : float
    is_decoupled : bool
    """

    def __init__(self, weight: np.ndarray, decay: float, is_decoupled: bool) -> None:
        self.weight = weight.astype(np.float64)
        self.mean, self.variance = np.zeros_like(self.weight), np.zeros_like(self.weight)
        self._decay, self._is_decoupled, self._steps = decay, is_decoupled, 0

    def step(self, gradient: np.ndarray, rate: float, rows: Any = slice(None)) -> None:
        self._steps += 1
        weight, gradient = self.weight[rows], gradient[rows]
        if not self._is_decoupled:
            gradient = gradient + self._decay * weight
        mean = self.mean[rows] = BETA1 * self.mean[rows] + (1 - BETA1) * gradient
        variance = BETA2 * self.variance[rows] + (1 - BETA2) * gradient**2
        self.variance[rows] = variance
        shrunk = rate * self._decay * weight if self._is_decoupled else 0.0
        moved = step_size(rate, self._steps) * mean / (np.sqrt(variance) + EPSILON)
        self.weight[rows] = weight - shrunk - moved


def gradients_of(way: Any, pairs: PairDataset) -> dict[str, np.ndarray]:
    """The mean gradients of a batch, by MXNet's operators, dense."""
    network, batch = way._network, batch_of(pairs)
    inputs = PairInputs(network, batch.sides, batch.widths, mx.cpu(0))
    with mx.autograd.record():
        objective, _ = network.loss(*inputs.embed(), to_device(pairs.labels, mx.cpu(0)))
    objective.backward()
    return {
        name: parameter.grad().tostype("default").asnumpy() / len(pairs)
        for name, parameter in network.params.items()
    }


def decay_of(name: str, given: dict[str, Any]) -> float:
    if name.endswith("_bias"):
        return 0.0
    own: Optional[float] = given.get("token_embedding_weight_decay")
    is_table = name.startswith("embed_")
    return float(own if is_table and own is not None else given.get("weight_decay", 0.0))


def check_steps(way_name: str, given: dict[str, Any], rng: np.random.Generator) -> None:
    """Steps of another rate each, with a flush between, end where plain ones end."""
    hyperparameters = settings(
        enc0_network="pooled_embedding", mlp_activation="tanh", learning_rate=0.02, **given
    )
    network = random_network(hyperparameters, rng)
    way = training_way(way_name, hyperparameters, network)
    is_decoupled = given["optimizer"] == "adamw"
    is_sparse = given["token_embedding_storage_type"] == "row_sparse"
    start = arrays(network)
    plain = {
        name: PlainAdam(value, decay_of(name, given), is_decoupled) for name, value in start.items()
    }
    for step in range(30):
        pairs = random_pairs(rng, BATCH, longest=2, vocab=USED, shortest=1)
        prepared = way.prepare(batch_of(pairs))
        way.catch_up(prepared)
        gradients = gradients_of(way, pairs)
        rate = way.learning_rate = 0.02 * (1 - step / 40)
        step_of_caught_up(way, prepared)
        for name, one in plain.items():
            lists = {"embed_0_weight": pairs.in0, "embed_1_weight": pairs.in1}.get(name)
            rows = slice(None)
            if is_sparse and lists is not None:
                rows = np.unique(lists.tokens)
            one.step(gradients[name], rate, rows)
        if step == 12:
            way.flush()  # as at an epoch's end, after which training goes on
    way.flush()
    moved = arrays(network)
    for name, one in plain.items():
        np.testing.assert_allclose(moved[name], one.weight, rtol=1e-4, atol=2e-5, err_msg=name)
    unused, before = moved["embed_0_weight"][USED:], start["embed_0_weight"][USED:]
    np.testing.assert_allclose(unused, plain["embed_0_weight"].weight[USED:], rtol=1e-5)
    decays = decay_of("embed_0_weight", given) > 0
    assert np.any(unused != before) == (decays and not is_sparse)


@pytest.mark.slow
@pytest.mark.both_ways
@pytest.mark.parametrize("storage", ["dense", "row_sparse"])
@pytest.mark.parametrize(
    "decays",
    [
        {"weight_decay": 0.5},
        {"weight_decay": 0.5, "token_embedding_weight_decay": 2.0},
        {"weight_decay": 0.5, "token_embedding_weight_decay": 0.0},
        {"token_embedding_weight_decay": 1.0},
    ],
    ids=["one decay", "another of tables", "none of tables", "of tables alone"],
)
@pytest.mark.parametrize("way", WAYS)
def test_adamw(way: str, decays: dict[str, float], storage: str, rng: np.random.Generator) -> None:
    given = {"optimizer": "adamw", "token_embedding_storage_type": storage, **decays}
    check_steps(way, given, rng)


@pytest.mark.parametrize("own", [0.0, 0.003])
@pytest.mark.parametrize("way", WAYS)
def test_adam_with_a_decay_of_the_tables_own(
    way: str, own: float, rng: np.random.Generator
) -> None:
    given = {
        "optimizer": "adam",
        "token_embedding_storage_type": "row_sparse",
        "weight_decay": 0.001,
        "token_embedding_weight_decay": own,
    }
    check_steps(way, given, rng)


def test_dense_adam_moves_rows_late_where_the_tables_alone_have_no_decay(
    rng: np.random.Generator,
) -> None:
    given = {
        "optimizer": "adam",
        "token_embedding_storage_type": "dense",
        "weight_decay": 0.001,
        "token_embedding_weight_decay": 0.0,
    }
    for way in WAYS:
        check_steps(way, given, rng)


def test_a_decay_of_more_than_half_a_weight_at_once(rng: np.random.Generator) -> None:
    """No row is deferred then, and operators move all of them."""
    given = {"optimizer": "adamw", "token_embedding_storage_type": "dense", "weight_decay": 30.0}
    check_steps("operators", given, rng)


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adagrad", "adadelta"])
def test_every_optimizer_takes_a_decay_of_the_tables_own(
    optimizer: str, rng: np.random.Generator
) -> None:
    """A table's rows move as with one decay for all, and the rest as without decay."""
    ends = []
    for weight_decay, own in ((0.3, 0.3), (0.0, 0.0), (0.0, 0.3)):
        hyperparameters = settings(
            enc0_network="pooled_embedding",
            optimizer=optimizer,
            learning_rate=0.01,
            weight_decay=weight_decay,
            token_embedding_weight_decay=own,
        )
        network = random_network(hyperparameters, np.random.default_rng(3))
        way = training_way("operators", hyperparameters, network)
        pairs = random_pairs(np.random.default_rng(4), BATCH, shortest=1)
        way.step(way.prepare(batch_of(pairs)))
        way.flush()
        ends.append(arrays(network))
    one, none, own_alone = ends
    for name, value in own_alone.items():
        is_table = name.startswith("embed_")
        np.testing.assert_array_equal(value, (one if is_table else none)[name], err_msg=name)
        if not name.endswith("_bias"):
            assert np.any(one[name] != none[name]), name


@pytest.mark.parametrize("shrinkage", [1e-7, 1e-3, 0.1, 0.5])
def test_rows_that_were_left_alone_end_where_plain_steps_end(
    shrinkage: float, rng: np.random.Generator
) -> None:
    """Over gaps of every length."""
    rows, width, rate = 30, 5, 0.01
    start = rng.uniform(-1, 1, (rows, width))
    plain = PlainAdam(start, shrinkage / rate, True)
    deferred = DeferredRows(rows)
    weight, mean, variance = start.copy(), *np.zeros((2, rows, width))
    shares = rng.random(rows) ** 4
    shares[-1] = 0.0  # this row never has a gradient

    def catch_up(behind: np.ndarray, factors: np.ndarray) -> None:
        a, h, power1, power2, lost = factors.astype(np.float64)
        moved = a * mean[behind] / (np.sqrt(h * variance[behind]) + EPSILON)
        weight[behind] -= lost * weight[behind] + moved
        mean[behind] *= power1
        variance[behind] *= power2

    for step in range(1, 601):
        used = np.flatnonzero(rng.random(rows) < shares)
        gradient = np.zeros((rows, width))
        gradient[used] = rng.normal(size=(len(used), width))
        plain.step(gradient, rate)
        catch_up(*deferred.missed(used))
        corrected = step_size(rate, step)
        mean[used] = BETA1 * mean[used] + (1 - BETA1) * gradient[used]
        variance[used] = BETA2 * variance[used] + (1 - BETA2) * gradient[used] ** 2
        moved = corrected * mean[used] / (np.sqrt(variance[used]) + EPSILON)
        weight[used] -= shrinkage * weight[used] + moved
        deferred.touch(used, corrected, shrinkage)
        if step in (250, 600):
            for behind, factors in deferred.all_missed():
                catch_up(behind, factors)
            # a weight near 0 is what is left of steps that the factors have to seven digits
            np.testing.assert_allclose(weight, plain.weight, rtol=2e-4, atol=step * rate * 1e-6)
    assert not len(deferred.missed()[0])
    assert np.any(weight[-1] != start[-1])
