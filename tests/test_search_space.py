# SPDX-License-Identifier: Apache-2.0
"""Where a scorer has a space that can be searched, its order is that of the scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_jobs import random_lists, random_network, settings

from object2vec.inference.predictor import Predictor
from object2vec.inference.search_space import search_space
from object2vec.inference.similarities import comparable

REGRESSION = {"output_layer": "mean_squared_error"}
SEARCHABLE: list[dict[str, Any]] = [
    {"scorer": "dot"},
    {"scorer": "dot", **REGRESSION},
    {"scorer": "dot", "output_layer": "in_batch_softmax"},
    {"scorer": "cosine"},
    {"scorer": "cosine", **REGRESSION},
    {"scorer": "cosine", "output_layer": "in_batch_softmax"},
    {"mlp_layers": 0, "comparator_list": "hadamard"},
    {"mlp_layers": 0, "comparator_list": "hadamard", **REGRESSION},
    {"mlp_layers": 0, "comparator_list": "concat, hadamard"},
    {"mlp_layers": 0, "comparator_list": "concat"},
    {"mlp_layers": 2, "mlp_activation": "linear", "comparator_list": "hadamard", **REGRESSION},
]
NOT: list[dict[str, Any]] = [
    {"mlp_layers": 0},  # abs_diff among others
    {"mlp_layers": 1, "mlp_activation": "tanh", "comparator_list": "hadamard"},
    {"mlp_layers": 0, "comparator_list": "hadamard", "num_classes": 3},
]


def of_head(head: dict[str, Any]) -> str:
    return " ".join(map(str, head.values()))


def predictor_of(head: dict[str, Any], rng: np.random.Generator) -> Predictor:
    given = settings(enc0_network="pooled_embedding", **head)
    return Predictor(random_network(given, rng))


@pytest.mark.parametrize("head", SEARCHABLE, ids=of_head)
def test_products_are_the_scores_but_for_scale_and_bias(
    head: dict[str, Any], rng: np.random.Generator
) -> None:
    predictor = predictor_of(head, rng)
    in0, in1 = random_lists(rng, 6, shortest=1), random_lists(rng, 40, shortest=1)
    for classes in [None] if predictor.hyperparameters.classes is None else [(0,), (1,)]:
        space = search_space(predictor.every_pair(classes))
        assert space is not None and space.scale > 0
        sides = [
            comparable(space.vectors(side, predictor.embeddings(side, lists)), space.metric)
            for side, lists in enumerate((in0, in1))
        ]
        found = space.scale * (sides[0] @ sides[1].T) + space.bias
        scores = predictor.candidate_scores(in0, in1, classes, as_log_odds=True)
        assert found == pytest.approx(scores, abs=1e-4)
        if classes is not None:
            by_predict = [predictor.scores(in0.take(np.full(40, row)), in1) for row in range(6)]
            expected = np.stack(by_predict)[..., classes[0]]
            assert np.array_equal(np.argmax(found, axis=1), np.argmax(expected, axis=1))


@pytest.mark.parametrize("head", NOT, ids=of_head)
def test_other_scorers_have_none(head: dict[str, Any], rng: np.random.Generator) -> None:
    assert search_space(predictor_of(head, rng).every_pair((1,))) is None


def test_biases_of_objects_count(rng: np.random.Generator) -> None:
    """Of the dot product each object has a bias, in a column of its embedding."""
    predictor = predictor_of({"scorer": "dot", **REGRESSION}, rng)
    table = predictor.network.params["embed_1_weight"].data()
    table[7, 0] = 50  # the other side has ones there
    predictor.network.params["embed_0_weight"].data()[:, 0] = 1
    predictor = Predictor(predictor.network)
    lists = random_lists(rng, 4, longest=1, shortest=1)
    space = search_space(predictor.every_pair())
    assert space is not None
    ids = np.arange(23, dtype=np.int32)
    objects = predictor.embeddings(1, type(lists).of_each(ids))
    products = space.vectors(0, predictor.embeddings(0, lists)) @ space.vectors(1, objects).T
    assert np.all(products.argmax(axis=1) == 7)
