# SPDX-License-Identifier: Apache-2.0
"""Scores of every in0 with every candidate: those of `predict` on the same pairs, only faster."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_jobs import NETWORKS, chosen, random_lists, random_network, settings

from object2vec import Object2Vec
from object2vec.backend.mxnet_import import mx
from object2vec.data.arrays import TokenLists
from object2vec.errors import CustomerError, UnsoundModelError
from object2vec.inference import every_pair
from object2vec.inference.every_pair import BestSoFar, probabilities
from object2vec.inference.predictor import Predictor

HEADS: list[dict[str, Any]] = [
    {"mlp_layers": 0, "comparator_list": "hadamard, concat"},
    {"mlp_layers": 0, "comparator_list": "abs_diff", "num_classes": 3},
    {"mlp_layers": 0, "comparator_list": "concat", "output_layer": "mean_squared_error"},
    {"mlp_layers": 3},
    {"mlp_layers": 1, "num_classes": 5, "comparator_list": "concat, hadamard"},
    {"mlp_layers": 2, "mlp_activation": "tanh"},
    {"mlp_layers": 1, "mlp_activation": "relu", "comparator_list": "abs_diff", "num_classes": 4},
    {"mlp_layers": 3, "mlp_activation": "relu", "output_layer": "mean_squared_error"},
    {"mlp_layers": 1, "mlp_activation": "tanh", "comparator_list": "hadamard"},
    {"mlp_layers": 0, "output_layer": "multi_label", "num_classes": 3},
    {"mlp_layers": 2, "mlp_activation": "tanh", "output_layer": "multi_label"},
    {"scorer": "dot"},
    {"scorer": "dot", "ensemble_size": 4, "output_layer": "mean_squared_error"},
    {"scorer": "dot", "ensemble_size": 2},
    {"scorer": "cosine"},
    {"scorer": "cosine", "output_layer": "mean_squared_error"},
    {"scorer": "dot", "output_layer": "in_batch_softmax"},
    {"scorer": "cosine", "output_layer": "in_batch_softmax"},
]


def of_head(head: dict[str, Any]) -> str:
    return " ".join(map(str, head.values()))


def by_pairs(predictor: Predictor, in0: TokenLists, in1: TokenLists) -> np.ndarray:
    """What the pairs' scores are one by one, float32 ``(n, m)`` or ``(n, m, num_classes)``."""
    rows, columns = np.indices((len(in0), len(in1))).reshape(2, -1)
    found = predictor.scores(in0.take(rows), in1.take(columns))
    return found.reshape(len(in0), len(in1), *found.shape[1:])


@pytest.mark.parametrize("way", ["compiled", "operators"])
@pytest.mark.parametrize("head", HEADS, ids=of_head)
def test_every_head_gives_what_pairs_give(
    head: dict[str, Any], way: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = settings(enc0_network="pooled_embedding", **head)
    network = random_network(given, rng)
    in0, in1 = random_lists(rng, 7, longest=15), random_lists(rng, 11)
    with chosen(way):
        predictor = Predictor(network)
    expected = by_pairs(predictor, in0, in1)
    if given.classes is None:
        assert predictor.candidate_scores(in0, in1) == pytest.approx(expected, abs=1e-5)
        return
    for sizes in ({}, {"_IN_CACHE": 20, "_IN_PRODUCT": 17, "_ELEMENTS": 33}):
        for name, size in sizes.items():
            monkeypatch.setattr(every_pair, name, size)
        for one in range(given.num_classes):
            found = predictor.candidate_scores(in0, in1, classes=(one,))
            assert found.dtype == np.float32
            assert found == pytest.approx(expected[..., one], abs=1e-5)
    if given.is_multi_label:
        return
    others = tuple(range(1, given.num_classes))
    odds = predictor.candidate_scores(in0, in1, classes=others, as_log_odds=True)
    assert odds == pytest.approx(np.log(expected[..., 1:].sum(2) / expected[..., 0]), abs=1e-4)


@pytest.mark.parametrize("network", NETWORKS[2:], ids=of_head)
def test_every_encoder_is_asked_once_for_each_object(
    network: dict[str, Any], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(random_network(settings(**network), rng))
    in0, in1 = random_lists(rng, 5), random_lists(rng, 30)
    expected = by_pairs(predictor, in0, in1)[..., 1]
    monkeypatch.setattr(every_pair, "_ELEMENTS", 64)
    asked: list[tuple[int, int]] = []
    embeddings = predictor.embeddings

    def count(side: int, lists: TokenLists) -> np.ndarray:
        asked.append((side, len(lists)))
        return embeddings(side, lists)

    monkeypatch.setattr(predictor, "embeddings", count)
    assert predictor.candidate_scores(in0, in1, classes=(1,)) == pytest.approx(expected, abs=1e-5)
    assert [sum(number for side, number in asked if side == wanted) for wanted in (0, 1)] == [5, 30]
    assert len(asked) > 2


def test_the_best_are_those_of_all_scores(rng: np.random.Generator) -> None:
    predictor = Predictor(random_network(settings(enc0_network="pooled_embedding"), rng))
    # single tokens out of 23, so that many candidates are equal
    in0, in1 = random_lists(rng, 6), random_lists(rng, 100, longest=1, shortest=1)
    scores = predictor.candidate_scores(in0, in1, classes=(1,))
    for k in (1, 10, 99, 100, 1000):
        top = predictor.best_candidates(in0, in1, k, (1,))
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        assert top.indices.dtype == np.int64 and top.scores.dtype == np.float32
        assert np.array_equal(top.indices, order)
        assert np.array_equal(top.scores, np.take_along_axis(scores, order, axis=1))


@pytest.mark.slow
@pytest.mark.both_ways
def test_a_block_of_scores_is_held_at_a_time(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(
        random_network(settings(enc0_network="pooled_embedding", mlp_layers=0), rng)
    )
    in0, in1 = random_lists(rng, 1000, longest=2), random_lists(rng, 20_000, longest=2)
    monkeypatch.setattr(every_pair, "_ELEMENTS", 1 << 17)
    predictor.best_candidates(in0.take(slice(0, 2)), in1, 3, (1,))
    tracemalloc.start()
    try:
        top = predictor.best_candidates(in0, in1, 3, (1,))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert top.indices.shape == (1000, 3)
    assert peak < 1000 * 20_000  # all scores together have four bytes each


@pytest.mark.parametrize("block", [1, 3, 7, 50])
def test_the_best_of_blocks_are_the_best_of_all(block: int, rng: np.random.Generator) -> None:
    scores = rng.integers(5, size=(4, 50)).astype(np.float32)
    for k in (1, 6, 50):
        best = BestSoFar(4, k)
        for start in range(0, 50, block):
            for rows in (slice(0, 3), slice(3, 4)):
                best.add(rows, start, scores[rows, start : start + block])
        assert np.array_equal(best.top().indices, np.argsort(-scores, 1, kind="stable")[:, :k])


def test_scores_near_one_keep_their_order(rng: np.random.Generator) -> None:
    network = random_network(settings(enc0_network="pooled_embedding", mlp_layers=0), rng)
    bias = network.params["output_layer_bias"]
    bias.set_data(mx.nd.array([0, 60]))
    predictor, in0 = Predictor(network), random_lists(rng, 3)
    in1 = TokenLists.of_each(np.arange(23, dtype=np.int32))
    assert np.all(predictor.candidate_scores(in0, in1, classes=(1,)) == 1)
    odds = predictor.candidate_scores(in0, in1, classes=(1,), as_log_odds=True)
    found = predictor.best_candidates(in0, in1, 23, (1,)).indices
    assert np.array_equal(found, np.argsort(-odds, axis=1, kind="stable"))
    assert len(np.unique(found[0])) == 23


def test_probabilities_of_any_odds() -> None:
    odds = np.array([-1e4, -90, -1, 0, 1, 90, 1e4], np.float32)
    expected = [0, np.exp(-90.0), 1 / (1 + np.e), 0.5, np.e / (1 + np.e), 1, 1]
    found = probabilities(odds)
    assert found.dtype == np.float32 and found == pytest.approx(expected)


def test_nothing_asked_is_nothing_answered(rng: np.random.Generator) -> None:
    predictor = Predictor(random_network(settings(enc0_network="pooled_embedding"), rng))
    nothing, some = TokenLists.from_lists([]), random_lists(rng, 3)
    assert predictor.candidate_scores(nothing, some, classes=(1,)).shape == (0, 3)
    assert predictor.candidate_scores(some, nothing, classes=(1,)).shape == (3, 0)
    assert predictor.best_candidates(nothing, some, 2, (1,)).indices.shape == (0, 2)
    assert predictor.best_candidates(some, nothing, 2, (1,)).scores.shape == (3, 0)


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_a_model_that_gives_no_numbers_is_refused(
    activation: str, rng: np.random.Generator
) -> None:
    network = random_network(
        settings(enc0_network="pooled_embedding", mlp_activation=activation), rng
    )
    network.params["output_layer_weight"].set_data(
        mx.nd.full((2, 5), 3e38) * mx.nd.array([[1], [-1]])
    )
    network.params["mlp_fc0_bias"].set_data(mx.nd.full((5,), 1e30))
    with pytest.raises(UnsoundModelError, match="does not give finite numbers"):
        Predictor(network).candidate_scores(random_lists(rng, 3), random_lists(rng, 3), (1,))


@pytest.mark.parametrize("way", ["compiled", "operators"])
@pytest.mark.parametrize("output_layer", ["softmax", "mean_squared_error", "in_batch_softmax"])
def test_a_temperature_near_0_is_refused(
    output_layer: str, way: str, rng: np.random.Generator
) -> None:
    given = {"enc0_network": "pooled_embedding", "scorer": "cosine", "output_layer": output_layer}
    if output_layer == "in_batch_softmax":
        given["learn_temperature"] = "true"
    network = random_network(settings(**given), rng)
    next(
        parameter for name, parameter in network.params.items() if name.endswith("log_scale")
    ).set_data(mx.nd.array([200]))
    in0, in1 = random_lists(rng, 3), random_lists(rng, 3)
    with chosen(way):
        predictor = Predictor(network)
        if output_layer == "in_batch_softmax":
            assert np.all(np.abs(predictor.scores(in0, in1)) < 1.01)
            return
        with pytest.raises(UnsoundModelError, match="does not give finite numbers"):
            predictor.scores(in0, in1)
        with pytest.raises(UnsoundModelError, match="does not give finite numbers"):
            predictor.candidate_scores(in0, in1, (1,))


PAIRS = [{"in0": [a], "in1": [b], "label": int(a % 3 == b % 3)} for a in range(9) for b in range(9)]
SMALL: dict[str, Any] = {
    "enc0_max_seq_len": 2,
    "enc0_vocab_size": 9,
    "enc0_network": "pooled_embedding",
    "enc_dim": 8,
    "mlp_dim": 16,
    "epochs": 2,
    "seed": 3,
}


@pytest.fixture(scope="module")
def model() -> Object2Vec:
    return Object2Vec(**SMALL).fit(PAIRS)


def test_objects_of_ids(model: Object2Vec) -> None:
    candidates = [[0], [1, 2], [3]]
    expected = model.predict([([4, 5], one) for one in candidates])[:, 1]
    several = model.scores([[4, 5], [6]], candidates)
    assert several.shape == (2, 3) and several[0] == pytest.approx(expected, abs=1e-6)
    for single in ([4, 5], (4, 5), np.array([4, 5])):
        assert np.array_equal(model.scores(single, candidates), several[:1])
    for alike in (np.array([[4, 5]]), pd.Series([[4, 5]]), iter([[4, 5]])):
        assert np.array_equal(model.scores(alike, iter(candidates)), several[:1])
    other = model.scores([4, 5], candidates, class_=0)
    assert other + several[:1] == pytest.approx(np.ones((1, 3)))
    top = model.scores([4, 5], candidates, k=np.int64(2))
    assert np.array_equal(top.scores, -np.sort(-several[:1])[:, :2])


def test_objects_of_raw_values() -> None:
    films = ["Alien", "Brazil", "Casablanca", "Dune"]
    rows = pd.DataFrame(
        {
            "user": [user for user in range(6) for _ in films],
            "film": films * 6,
            "liked": [
                ["no", "yes", "maybe"][(user + at) % 3] for user in range(6) for at in range(4)
            ],
        }
    )
    model = Object2Vec(enc_dim=4, epochs=1, seed=1).fit(
        rows, in0="user", in1="film", label="liked", label_kind="class"
    )
    assert model.classes_ is not None
    for name in ("maybe", "no", "yes"):
        expected = model.predict([(2, film) for film in films])[:, model.classes_.index(name)]
        for single in (2, {"user": 2}, [2], rows[2 * 4 : 2 * 4 + 1]):
            found = model.scores(single, films, class_=name)
            assert found.shape == (1, 4) and found[0] == pytest.approx(expected, abs=1e-6)
    assert model.scores([0, 1], rows.iloc[:3], k=2, class_="no").indices.shape == (2, 2)
    with pytest.raises(
        CustomerError, match="one of the 3 classes maybe, no, yes whose probabilities"
    ):
        model.scores(2, films)
    with pytest.raises(CustomerError, match="found 'perhaps'"):
        model.scores(2, films, class_="perhaps")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({"k": 0}, "k must be a whole number from 1, found 0", id="k 0"),
        pytest.param({"k": 2.0}, "k must be a whole number", id="k 2.0"),
        pytest.param({"k": True}, "k must be a whole number", id="k True"),
        pytest.param({"class_": 2}, "one of the 2 classes 0, 1 whose .* found 2", id="class"),
        pytest.param({"class_": True}, "found True", id="class True"),
        pytest.param({"in0": [99]}, "in0", id="in0"),
        pytest.param({"candidates": [[99]]}, "in1", id="candidates"),
        pytest.param({"candidates": [1, 2]}, "in1", id="one candidate"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(
    model: Object2Vec, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(CustomerError, match=words):
        model.scores(**{"in0": [1], "candidates": [[1]], **given})


def test_a_model_of_numbers_has_no_classes() -> None:
    model = Object2Vec(**SMALL, output_layer="mean_squared_error").fit(PAIRS)
    expected = model.predict([([4], [1]), ([4], [2])])
    assert model.scores([4], [[1], [2]])[0] == pytest.approx(expected, abs=1e-5)
    with pytest.raises(CustomerError, match="class_ is 1, but this model predicts numbers"):
        model.scores([4], [[1]], class_=1)


def test_a_model_that_is_not_fitted_has_no_scores() -> None:
    with pytest.raises(CustomerError, match="not fitted"):
        Object2Vec(**SMALL).scores([1], [[1]])
