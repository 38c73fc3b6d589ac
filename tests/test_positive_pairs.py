# SPDX-License-Identifier: Apache-2.0
"""Pairs that all belong together, as in_batch_softmax takes them: read, trained on, answered."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import here
from sklearn.base import clone

from object2vec import Object2Vec
from object2vec.data.dataset import from_records, read_channel
from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import Hyperparameters, parse

CONTRASTIVE: dict[str, Any] = {"scorer": "cosine", "output_layer": "in_batch_softmax"}
SMALL: dict[str, Any] = {
    "enc0_max_seq_len": 4,
    "enc0_vocab_size": 40,
    "enc0_network": "pooled_embedding",
    "enc_dim": 16,
    "mini_batch_size": 32,
    "learning_rate": 0.02,
    "epochs": 8,
    "seed": 2,
}


def settings_of(**given: Any) -> Hyperparameters:
    sizes = {"enc0_max_seq_len": 4, "enc0_vocab_size": 40}
    return parse({**sizes, **CONTRASTIVE, **given})[0]


def planted(number: int, seed: int = 0) -> list[dict[str, Any]]:
    """Pairs of two words each of one of ten subjects, on in0's words and on in1's."""
    rng = np.random.default_rng(seed)
    subjects = rng.integers(10, size=number)
    return [
        {
            "in0": (2 * subject + rng.integers(2, size=2)).tolist(),
            "in1": (20 + 2 * subject + rng.integers(2, size=2)).tolist(),
        }
        for subject in subjects
    ]


def test_labels_may_be_missing_or_any_number_but_0(tmp_path: Path) -> None:
    rows = [{"in0": [1], "in1": [2]}, {"in0": [3], "in1": [], "label": 5}, {"in0": [4], "in1": [5]}]
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for pairs in (read_channel(path, settings_of()), from_records(rows, settings_of())):
        assert pairs.labels.tolist() == [1, 5, 1]
    for frame in (pd.DataFrame(rows), pd.DataFrame(rows)[["in0", "in1"]]):
        pairs = from_records(frame.fillna(1), settings_of())
        assert pairs.in0.tokens.tolist() == [1, 3, 4]


@pytest.mark.parametrize("label", [0, 0.0, -0.0, 1e-60])
def test_a_negative_pair_is_refused_with_file_and_line(tmp_path: Path, label: float) -> None:
    path = tmp_path / "train.jsonl"
    rows = [{"in0": [1], "in1": [2]}, {"in0": [1], "in1": [2], "label": label}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(CustomerError) as caught:
        read_channel(path, settings_of())
    assert str(caught.value) == (
        f"label must not be {label} with output_layer=in_batch_softmax, which takes every pair for "
        f"one of objects that belong together: leave the others out ({path}, line 2)"
    )
    with pytest.raises(CustomerError, match="instance 1, counting from 0"):
        from_records(rows, settings_of())


def test_a_table_of_positive_and_negative_rows_is_refused() -> None:
    table = {"user": ["a", "b", "a", "c"] * 9, "film": ["x", "y", "z", "x"] * 9}
    given = {"in0": "user", "in1": "film", "preset": None}
    model = Object2Vec(**CONTRASTIVE, enc0_network="pooled_embedding", enc_dim=4, epochs=1)
    with pytest.raises(CustomerError) as caught:
        model.fit(pd.DataFrame({**table, "stars": [3, 1, 0, 2] * 9}), label="stars", **given)
    assert str(caught.value) == (
        "The label of pair 2, counting from 0, of the train data must not be 0 with "
        "output_layer=in_batch_softmax, which takes every pair for one of objects that belong "
        "together: leave the others out."
    )
    with pytest.raises(CustomerError, match=r"takes every row for a pair that belongs together"):
        model.fit(pd.DataFrame({**table, "kind": ["p", "q"] * 18}), label="kind", **given)
    model.fit(pd.DataFrame({**table, "stars": [3, 1, 4, 2] * 9}), label="stars", **given)
    with pytest.raises(CustomerError, match="pair 1, counting from 0, of the evaluated data"):
        model.evaluate(pd.DataFrame({"user": ["a", "a"], "film": ["x", "y"], "stars": [2, 0]}))


@pytest.mark.parametrize("scorer", ["cosine", "dot"])
def test_a_model_finds_what_belongs_together(scorer: str, tmp_path: Path) -> None:
    model = Object2Vec(**SMALL, **{**CONTRASTIVE, "scorer": scorer})
    unseen = planted(100, 1)
    model.fit(planted(800), validation=unseen)
    assert model.classes_ is None
    # a subject has three different in1, of which only one is the pair's own
    found = model.evaluate(unseen)
    assert set(found) == {"perplexity", "cross_entropy", "accuracy"}
    assert found["cross_entropy"] < np.log(4)
    assert model.best_loss == pytest.approx(found["cross_entropy"], rel=1e-5)
    queries, answers = (
        model.embed(in0=[[2 * k] for k in range(10)]),
        model.embed(in1=[[20 + 2 * k] for k in range(10)]),
    )
    if scorer == "cosine":
        queries, answers = (v / np.linalg.norm(v, axis=1)[:, None] for v in (queries, answers))
    products = queries @ answers.T
    assert products.argmax(axis=1).tolist() == list(range(10))
    pairs = [([2 * k], [20 + 2 * k]) for k in range(10)]
    scores = model.predict(pairs)
    np.testing.assert_allclose(scores, np.diag(products), rtol=1e-4, atol=1e-5)
    model.save(tmp_path / "model")
    again = Object2Vec.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(pairs), scores)
    assert again.evaluate(unseen) == pytest.approx(found, rel=1e-5)
    assert clone(again).get_params() == again.get_params()
    asked = json.dumps({"in0": [2], "in1": [22]}).encode()
    line = here("predict", "--model-dir", str(tmp_path / "model"), input=asked)
    assert json.loads(line.stdout)["scores"] == pytest.approx([scores[1]], rel=1e-5)


@pytest.mark.slow
@pytest.mark.both_ways
@pytest.mark.parametrize("scorer", ["cosine", "dot"])
@pytest.mark.parametrize("output_layer", ["softmax", "mean_squared_error"])
def test_labels_are_learnt_from_similarities(scorer: str, output_layer: str) -> None:
    rng = np.random.default_rng(3)

    def rows(number: int) -> list[dict[str, Any]]:
        pairs = planted(number, int(rng.integers(1000)))
        others = rng.permutation(number)
        return [
            {
                "in0": pair["in0"],
                "in1": pairs[at if keeps else other]["in1"],
                "label": int(keeps or pair["in0"][0] // 2 == pairs[other]["in0"][0] // 2),
            }
            for at, (pair, other, keeps) in enumerate(zip(pairs, others, rng.random(number) < 0.5))
        ]

    model = Object2Vec(**SMALL, scorer=scorer, output_layer=output_layer)
    model.fit(rows(1500))
    found = model.evaluate(rows(300))
    if output_layer == "softmax":
        assert found["accuracy"] > 0.97
        assert model.predict([([2], [22])]).shape == (1, 2)
    else:
        assert found["mean_squared_error"] < 0.05


def test_a_recipe_gives_way_to_what_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    """The recipe for interactions names negatives and comparators, which have no use then."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"user": rng.integers(20, size=200).astype(str), "film": rng.integers(30, size=200)}
    )
    caplog.set_level(logging.INFO, "object2vec")
    model = Object2Vec(**CONTRASTIVE, epochs=1, seed=1)
    model.fit(table, 0.2, in0="user", in1={"name": "film", "kind": "id"})
    found = model.hyperparameters
    assert found["negative_sampling_rate"] == 0
    assert found["comparator_list"] == ["hadamard", "concat", "abs_diff"]
    assert "Ignoring" not in caplog.text
    assert "validation_accuracy" in model.history[0]
