# SPDX-License-Identifier: Apache-2.0
"""What a training step does, by every encoder and both ways that train: compiled, operators.

Adam divides a gradient by its size and adds EPSILON, 1e-8, so that the rounding of a gradient near
0 becomes a whole step. Where steps are compared here, EPSILON is 0.01: a small gradient then gives
a small step, and both ways agree within a thousandth of the largest one and 3e-7 besides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import ways
from grids import crossed
from numpy_model import NumpyModel
from small_jobs import (
    NETWORKS,
    VOCAB,
    arrays,
    batch_of,
    chosen,
    random_lists,
    random_network,
    random_pairs,
    settings,
    training_way,
)

from object2vec.backend.mxnet_import import mx
from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.batching import Batch
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.model.network import Object2VecNetwork
from object2vec.training.deferred_adam import BETA1, BETA2, adam_rate
from object2vec.training.loop import train

pytestmark = pytest.mark.own_way

STEP = 1e-7
FORMS: list[dict[str, Any]] = [
    *NETWORKS[:2],
    {"enc0_network": "hcnn", "enc0_layers": 1},
    {"enc0_network": "hcnn", "enc0_layers": 4, "enc0_cnn_filter_width": 4, "enc_dim": 11},
    {"enc0_network": "hcnn", "enc0_layers": 3, "enc0_cnn_filter_width": 9},
    {"enc0_network": "bilstm", "enc0_layers": 1},
    {"enc0_network": "bilstm", "enc0_layers": 3, "enc_dim": 7},
]


def label(given: Any) -> str:
    if isinstance(given, str):
        return given
    return "-".join(map(str, given.values()))


HEADS: list[dict[str, Any]] = [
    {"output_layer": "softmax", "num_classes": 3, "class_weights": (0.5, 3.0, 1.0)},
    {"output_layer": "multi_label", "num_classes": 3, "class_weights": (0.5, 3.0, 1.0)},
    {"output_layer": "mean_squared_error"},
    {"output_layer": "softmax", "scorer": "cosine"},
    {"output_layer": "mean_squared_error", "scorer": "dot"},
    {"output_layer": "mean_squared_error", "scorer": "dot", "ensemble_size": 4, "enc_dim": 8},
    {"output_layer": "softmax", "scorer": "dot", "ensemble_size": 2, "enc_dim": 8},
    {"output_layer": "in_batch_softmax", "scorer": "dot"},
    {"output_layer": "in_batch_softmax", "scorer": "dot", "ensemble_size": 2, "enc_dim": 8},
    {"output_layer": "in_batch_softmax", "scorer": "cosine", "learn_temperature": True},
]

training = pytest.mark.parametrize("way", ways.TRAINING)
every_network = pytest.mark.parametrize("given", NETWORKS, ids=label)
every_form = pytest.mark.parametrize("given", FORMS, ids=label)


EPSILON = 0.01


@pytest.fixture
def gentle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another EPSILON for adam; see above."""
    for module in ("compiled_way", "operator_way", "optimizers"):
        monkeypatch.setattr(f"object2vec.training.{module}.EPSILON", EPSILON)


def without_repeats(pairs: PairDataset, rng: np.random.Generator) -> PairDataset:
    """Pairs of lists of the same lengths in which no id comes twice."""
    in0, in1 = (
        TokenLists.from_lists([rng.permutation(VOCAB)[: len(ids)].tolist() for ids in lists])
        for lists in (pairs.in0, pairs.in1)
    )
    return PairDataset(in0, in1, pairs.labels)


def copy_of(network: Object2VecNetwork, hyperparameters: Hyperparameters) -> Object2VecNetwork:
    other = Object2VecNetwork(hyperparameters)
    other.initialize([ways.CPU])
    for name, parameter in network.params.items():
        other.params[name].set_data(parameter.data())
    return other


def after(
    way: str,
    network: Object2VecNetwork,
    hyperparameters: Hyperparameters,
    batches: list[Batch],
    *,
    hybridized: bool = True,
) -> dict[str, np.ndarray]:
    """The parameters of a copy of a network after some steps."""
    own = copy_of(network, hyperparameters)
    if hybridized:
        own.hybridize()
    steps = training_way(way, hyperparameters, own)
    for prepared in steps.prepared(batches):
        steps.step(prepared)
    steps.flush()
    return arrays(own)


def embeddings_of(
    way: str, network: Object2VecNetwork, in0: TokenLists, in1: TokenLists, wider: int = 0
) -> list[np.ndarray]:
    """What a step computes of its pairs on the way to the loss."""
    steps = training_way(way, network.hyperparameters, network)
    pairs = PairDataset(in0, in1, np.zeros(len(in0), np.float32))
    (shard,) = steps.prepare(batch_of(pairs, wider)).shards
    with mx.autograd.record():
        vectors = steps.encode(shard.inputs, steps.look_up(shard.inputs))
    return [vector.asnumpy() for vector in vectors]


@training
@every_form
def test_a_step_s_embeddings_are_those_of_numpy(
    given: dict[str, Any], way: str, rng: np.random.Generator
) -> None:
    """Alone, in a batch of any order, and padded to any width."""
    network = random_network(settings(**given), rng, scale=0.5)
    network.hybridize()
    model = NumpyModel(network.hyperparameters.to_dict(), arrays(network))

    def check(sides: tuple[TokenLists, TokenLists], wider: int = 0) -> None:
        found = embeddings_of(way, network, *sides, wider)
        for side, lists in enumerate(sides):
            assert found[side].dtype == np.float32
            expected = model.embeddings(side, list(lists))
            np.testing.assert_allclose(found[side], expected, rtol=1e-5, atol=1e-5)

    many = random_lists(rng, 40), random_lists(rng, 40)
    for wider in (0, 1, 11, 35):
        check(many, wider)
    for rows in ([0], [1], [5], rng.permutation(40)):  # the shortest, the longest, any; all
        check((many[0].take(np.array(rows)), many[1].take(np.array(rows))))
    # those of one token each have a form of their own
    single = [random_lists(rng, 7, shortest=1, longest=1) for _ in range(2)]
    empty = TokenLists.from_lists([[]] * 7)
    for one, other in ((*single,), (single[0], many[1].take(np.arange(7))), (empty, empty)):
        check((one, other))


# An encoder's gradient is that of its embeddings, whatever head gave it.
MEASURED = [
    # bilstm takes NumPy long, a token at a time
    pytest.param(
        *values, marks=[*marks, *([pytest.mark.slow] if "bilstm" in values[0].values() else [])]
    )
    for values, marks in crossed(NETWORKS, ways.TRAINING, HEADS, ("plain", "hybridized"))
]


@pytest.mark.usefixtures("gentle")
@pytest.mark.parametrize(("given", "way", "head", "graph"), MEASURED, ids=label)
def test_a_step_follows_the_gradient_that_numpy_measures(
    given: dict[str, Any],
    way: str,
    head: dict[str, Any],
    graph: str,
    rng: np.random.Generator,
) -> None:
    """Of all parameters, in a random direction each, from what the step did to them."""
    hybridized = graph == "hybridized"
    hyperparameters = settings(**{**given, **head}, mlp_activation="tanh", learning_rate=1.0)
    # products of large embeddings have gradients of which a step does not tell
    network = random_network(hyperparameters, rng, scale=0.2 if "scorer" in head else 0.5)
    many = hyperparameters.is_multi_label
    pairs = random_pairs(rng, 6, longest=5, classes=hyperparameters.classes, many_labels=many)
    pairs = without_repeats(pairs, rng)
    start = arrays(network)
    batch = batch_of(pairs, 3, hyperparameters)
    moved = after(way, network, hyperparameters, [batch], hybridized=hybridized)
    in0, in1 = list(pairs.in0), list(pairs.in1)
    for name, values in start.items():
        gradient = gradient_of((moved[name] - values).astype(np.float64))
        direction = rng.normal(size=values.shape)
        losses = []
        for sign in (1, -1):
            there = {**start, name: values + sign * STEP * direction}
            model = NumpyModel(hyperparameters.to_dict(), there)
            losses.append(model.losses(in0, in1, pairs.labels)[0])
        slope = (losses[0] - losses[1]) / (2 * STEP)
        expected = float(np.sum(gradient * direction))
        size = max(float(np.linalg.norm(gradient)), 1 / len(pairs))
        assert slope == pytest.approx(expected, rel=1e-3, abs=1e-4 * size), name


def gradient_of(move: np.ndarray) -> np.ndarray:
    """The mean gradient g of a first step: it is -rate · (1-β1) g / (√(1-β2) |g| + ε)."""
    part = -move / (adam_rate(1.0, 1) * (1 - BETA1))
    return EPSILON * part / (1 - (1 - BETA2) ** 0.5 * np.abs(part))


@pytest.mark.usefixtures("gentle")
@pytest.mark.parametrize("storage", ["dense", "row_sparse"])
@every_network
def test_steps_are_alike_by_both_ways(
    given: dict[str, Any], storage: str, rng: np.random.Generator
) -> None:
    """Also of rows that only some of the batches use."""
    hyperparameters = settings(
        **given, token_embedding_storage_type=storage, mlp_activation="tanh", learning_rate=0.3
    )
    network = random_network(hyperparameters, rng, scale=0.5)
    batches = [
        batch_of(without_repeats(random_pairs(rng, count, longest=3), rng))
        for count in (4, 1, 6, 3)
    ]
    compiled, operators = (after(way, network, hyperparameters, batches) for way in ways.TRAINING)
    assert compiled.keys() == operators.keys()
    for name, start in arrays(network).items():
        found, expected = compiled[name] - start, operators[name] - start
        size = np.abs(expected).max()
        # where each maximum is of its direction's first step, nothing recurs
        assert size > 1e-6 or name.endswith("h2h_weight"), name
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 * size + 3e-7, err_msg=name)


@pytest.mark.usefixtures("gentle")
@training
@every_network
def test_padding_moves_nothing(given: dict[str, Any], way: str, rng: np.random.Generator) -> None:
    hyperparameters = settings(**given, learning_rate=0.1)
    network = random_network(hyperparameters, rng)
    pairs = random_pairs(rng, 6, longest=5)
    narrow, wide = (
        after(way, network, hyperparameters, [batch_of(pairs, wider)]) for wider in (0, 7)
    )
    for name, values in narrow.items():
        np.testing.assert_allclose(wide[name], values, rtol=1e-4, atol=2e-6, err_msg=name)


@training
@every_network
def test_a_step_moves_the_rows_in_use_alone(
    given: dict[str, Any], way: str, rng: np.random.Generator
) -> None:
    """Short lists and empty ones move no row of the table that no list holds."""
    pairs = PairDataset(
        TokenLists.from_lists([[5], [], [9, 7, 5, 9]]),
        TokenLists.from_lists([[8, 8, 6], [7], []]),
        np.array([1, 0, 1], np.float32),
    )
    hyperparameters = settings(**given)
    network = random_network(hyperparameters, rng)
    moved = after(way, network, hyperparameters, [batch_of(pairs)])
    used = {"embed_0_weight": {5, 7, 9}, "embed_1_weight": {6, 7, 8}}
    if hyperparameters.tied_token_embedding_weight:
        used = {"embed_shared_weight": {5, 6, 7, 8, 9}}
    for name, rows in used.items():
        differs = np.any(moved[name] != arrays(network)[name], axis=1)
        assert set(np.flatnonzero(differs)) == rows


@training
@every_form
def test_a_batch_of_empty_lists_moves_no_encoder(
    given: dict[str, Any], way: str, rng: np.random.Generator
) -> None:
    hyperparameters = settings(**given)
    network = random_network(hyperparameters, rng)
    empty = TokenLists.from_lists([[], []])
    pairs = PairDataset(empty, empty, np.array([0, 1], np.float32))
    moved = after(way, network, hyperparameters, [batch_of(pairs)])
    for name, start in arrays(network).items():
        assert np.isfinite(moved[name]).all()
        if name.startswith(("embed", "source", "target")):
            np.testing.assert_array_equal(moved[name], start, err_msg=name)
    assert np.any(moved["output_layer_bias"] != arrays(network)["output_layer_bias"])


@pytest.mark.usefixtures("gentle")
@training
@every_form
def test_a_frozen_table_leaves_the_others_their_steps(
    given: dict[str, Any], way: str, rng: np.random.Generator
) -> None:
    free = settings(**given, learning_rate=0.1)
    frozen = settings(**given, learning_rate=0.1, enc0_pretrained_embedding_file="vectors.txt")
    network = random_network(free, rng)
    pairs = random_pairs(rng, 8)
    expected = after(way, network, free, [batch_of(pairs)])
    found = after(way, network, frozen, [batch_of(pairs)])
    for name, start in arrays(network).items():
        if name.startswith("embed"):
            assert np.any(expected[name] != start)
            np.testing.assert_array_equal(found[name], start)
        else:
            np.testing.assert_allclose(
                found[name], expected[name], rtol=1e-4, atol=2e-6, err_msg=name
            )


@pytest.fixture(params=ways.TRAINING)
def chosen_way(request: pytest.FixtureRequest) -> Iterator[str]:
    with chosen(request.param):
        yield request.param


@pytest.mark.usefixtures("chosen_way")
@pytest.mark.parametrize("encoder", ["hcnn", "bilstm", "pooled_embedding"])
def test_one_seed_trains_one_model(encoder: str, rng: np.random.Generator) -> None:
    pairs = random_pairs(rng, 30)
    given = {"enc0_network": encoder, "epochs": 2, "mini_batch_size": 8, "dropout": 0.3}
    first, second, other = (
        arrays(train(settings(**{**given, "_seed": seed}), pairs).predictor.network)
        for seed in (5, 5, 6)
    )
    for name, values in first.items():
        np.testing.assert_array_equal(second[name], values, err_msg=name)
    assert any(np.any(other[name] != values) for name, values in first.items())
