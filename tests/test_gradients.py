# SPDX-License-Identifier: Apache-2.0
"""Token tables have sparse gradients; steps equal those of MXNet's own optimizers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_jobs import (
    NETWORKS,
    VOCAB,
    arrays,
    batch_of,
    chosen,
    random_network,
    random_pairs,
    settings,
    step_of_caught_up,
    training_way,
)

from object2vec.backend.device_arrays import to_device
from object2vec.backend.mxnet_import import mx
from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.model.encoder_inputs import PairInputs
from object2vec.model.network import Object2VecNetwork
from object2vec.training.loop import train

pytestmark = pytest.mark.own_way

CPU = mx.cpu(0)
RATES = {"adam": 0.01, "adagrad": 0.05, "sgd": 0.1, "rmsprop": 0.005, "adadelta": 0.5}
WAYS = [("compiled", "adam"), *(("operators", name) for name in RATES)]


def backward(network: Object2VecNetwork, pairs: PairDataset) -> None:
    """One backward pass of the sum over the pairs, by MXNet's operators."""
    batch = batch_of(pairs)
    inputs = PairInputs(network, batch.sides, batch.widths, CPU)
    with mx.autograd.record():
        objective, _ = network.loss(*inputs.embed(), to_device(pairs.labels, CPU))
    objective.backward()


def dense_gradients(network: Object2VecNetwork) -> dict[str, np.ndarray]:
    return {
        name: parameter.grad().tostype("default").asnumpy()
        for name, parameter in network.params.items()
    }


@pytest.mark.parametrize("given", NETWORKS, ids=lambda given: "-".join(map(str, given.values())))
def test_only_rows_in_use_have_a_gradient(given: dict[str, Any], rng: np.random.Generator) -> None:
    """Padding, short lists and empty ones touch no row of the table that no list holds."""
    pairs = PairDataset(
        TokenLists.from_lists([[5], [], [9, 7, 5, 9]]),
        TokenLists.from_lists([[8, 8, 6], [7], []]),
        np.array([1, 0, 1], np.float32),
    )
    network = random_network(settings(**given), rng)
    backward(network, pairs)
    used = {5, 7, 9}, {6, 7, 8}
    if network.hyperparameters.tied_token_embedding_weight:
        used = (used[0] | used[1], used[0] | used[1])
    for name, rows in zip(("embed_0_weight", "embed_1_weight"), used):
        tied = network.hyperparameters.tied_token_embedding_weight
        gradient = network.params["embed_shared_weight" if tied else name].grad()
        assert gradient.stype == "row_sparse"
        assert set(gradient.indices.asnumpy().astype(int)) <= rows
        assert set(np.flatnonzero(np.any(gradient.asnumpy() != 0, axis=1))) == rows


def plain_optimizer(name: str, rate: float, decay: float) -> Any:
    given = {} if name == "adadelta" else {"learning_rate": rate}
    return mx.optimizer.create(name, wd=decay, **given)


def plain_steps(
    start: dict[str, np.ndarray],
    gradients: list[dict[str, np.ndarray]],
    pairs: int,
    optimizer: Any,
) -> dict[str, np.ndarray]:
    """What MXNet's optimizer makes of the parameters, given dense gradients of the sums."""
    optimizer.rescale_grad = 1 / pairs
    names = sorted(start)
    optimizer.idx2name = dict(enumerate(names))
    optimizer.set_wd_mult({name: 0.0 for name in names if name.endswith("_bias")})
    weights = {name: mx.nd.array(start[name]) for name in names}
    states = [optimizer.create_state(at, weights[name]) for at, name in enumerate(names)]
    for step in gradients:
        for at, name in enumerate(names):
            optimizer.update(at, weights[name], mx.nd.array(step[name]), states[at])
    return {name: weight.asnumpy() for name, weight in weights.items()}


def trained_steps(
    way: str, given: dict[str, Any], rng: np.random.Generator, steps: int = 4
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], list[dict[str, np.ndarray]], set[int]]:
    """Parameters before and after some steps, the gradients, and the rows that ids touched.

    Drawn again where a gradient nearly cancels with the decay, for adam's step then magnifies the
    rounding of their sum by more than any bound.
    """
    decay = given.get("weight_decay", 0.0)
    while True:
        before, after, gradients, used = _trained_steps(way, given, rng, steps)
        first = ((gradients[0][name] / 8, before[name]) for name in before)
        sums = (np.abs(gradient + decay * values)[gradient != 0] for gradient, values in first)
        if min(found.min(initial=1.0) for found in sums) > 1e-5:
            return before, after, gradients, used


def _trained_steps(
    name: str, given: dict[str, Any], rng: np.random.Generator, steps: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], list[dict[str, np.ndarray]], set[int]]:
    hyperparameters = settings(enc0_network="pooled_embedding", mlp_activation="tanh", **given)
    network = random_network(hyperparameters, rng)
    network.hybridize()
    way = training_way(name, hyperparameters, network)
    before, gradients, used = arrays(network), [], set()
    for _ in range(steps):
        # the upper ids are in no batch
        pairs = random_pairs(rng, 8, longest=3, vocab=VOCAB - 9, shortest=1)
        used |= set(pairs.in0.tokens)
        # what `take` does, and between the gradients of rows that have caught up
        prepared = way.prepare(batch_of(pairs))
        way.catch_up(prepared)
        backward(network, pairs)
        gradients.append(dense_gradients(network))
        step_of_caught_up(way, prepared)
    way.flush()
    return before, arrays(network), gradients, used


@pytest.mark.parametrize("decay", [0.0, 0.02])
@pytest.mark.parametrize(("way", "optimizer"), WAYS)
def test_dense_storage_is_a_plain_step(
    way: str, optimizer: str, decay: float, rng: np.random.Generator
) -> None:
    """Every row of the tables moves, also those without a gradient; biases do not decay."""
    given = {
        "optimizer": optimizer,
        "learning_rate": RATES[optimizer],
        "weight_decay": decay,
    }
    if way == "compiled" and decay:
        pytest.skip("adam moves all rows by operators then")
    before, after, gradients, _ = trained_steps(way, given, rng)
    plain = plain_optimizer(optimizer, RATES[optimizer], decay)
    expected = plain_steps(before, gradients, 8, plain)
    for name, value in expected.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
    untouched = np.abs(after["embed_0_weight"] - before["embed_0_weight"])[VOCAB - 9 :].max()
    assert (untouched > 0) == (decay > 0)


@pytest.mark.parametrize(
    ("way", "optimizer", "decay"),
    [
        *(("compiled", "adam", decay) for decay in (0.0, 0.02)),
        *(("operators", name, decay) for name in ("adam", "sgd") for decay in (0.0, 0.02)),
        ("operators", "adagrad", 0.0),
    ],
)
def test_row_sparse_storage_moves_touched_rows_alone(
    way: str, optimizer: str, decay: float, rng: np.random.Generator
) -> None:
    given = {
        "optimizer": optimizer,
        "learning_rate": RATES[optimizer],
        "weight_decay": decay,
        "token_embedding_storage_type": "row_sparse",
    }
    before, after, gradients, used = trained_steps(way, given, rng, steps=1)
    plain = plain_optimizer(optimizer, RATES[optimizer], decay)
    expected = plain_steps(before, gradients, 8, plain)
    rows = sorted(used)
    others = sorted(set(range(VOCAB)) - used)
    for name, value in expected.items():
        if name == "embed_0_weight":
            np.testing.assert_array_equal(after[name][others], before[name][others])
            np.testing.assert_allclose(after[name][rows], value[rows], rtol=1e-5, atol=1e-6)
        elif name != "embed_1_weight":
            np.testing.assert_allclose(after[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", ["compiled", "operators"])
def test_row_sparse_moments_of_untouched_rows_stand_still(
    name: str, rng: np.random.Generator
) -> None:
    """A row that a later batch lacks is left alone by its earlier momentum as well."""
    hyperparameters = settings(
        enc0_network="pooled_embedding",
        optimizer="adam",
        weight_decay=0.1,
        token_embedding_storage_type="row_sparse",
    )
    network = random_network(hyperparameters, rng)
    way = training_way(name, hyperparameters, network)
    seen = []
    for ids in ([1, 2], [3]):
        lists = TokenLists.from_lists([ids])
        pairs = PairDataset(lists, lists, np.ones(1, np.float32))
        way.step(way.prepare(batch_of(pairs)))
        seen.append(arrays(network)["embed_0_weight"])
    np.testing.assert_array_equal(seen[0][[1, 2]], seen[1][[1, 2]])
    assert np.all(seen[0][3] != seen[1][3])


@pytest.mark.parametrize("devices", [1, 2])
def test_training_divides_by_the_pairs_of_the_batch(devices: int, rng: np.random.Generator) -> None:
    """By their true number, when they are fewer than mini_batch_size and on several devices."""
    hyperparameters = settings(
        enc0_network="bilstm", optimizer="sgd", learning_rate=0.5, mini_batch_size=32, epochs=1
    )
    pairs = random_pairs(rng, 7)
    contexts = [mx.cpu(number) for number in range(devices)]
    with chosen("operators"):
        start = arrays(train(hyperparameters, pairs, stop=lambda: True).predictor.network)
    network = random_network(hyperparameters, rng)
    for name, parameter in network.params.items():
        parameter.set_data(mx.nd.array(start[name]))
    backward(network, pairs)
    with chosen("operators"):
        after = arrays(train(hyperparameters, pairs, contexts=contexts).predictor.network)
    for name, gradient in dense_gradients(network).items():
        expected = start[name] - 0.5 * gradient / len(pairs)
        np.testing.assert_allclose(after[name], expected, rtol=1e-5, atol=1e-6, err_msg=name)
