# SPDX-License-Identifier: Apache-2.0
"""Models that earlier versions stored keep loading, and keep answering what they answered then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ways
from small_jobs import random_lists

from object2vec.inference.predictor import Predictor
from object2vec.serving.answer_formats import format_answer, infer
from object2vec.serving.instances import InstanceFormat
from object2vec.serving.media_types import JSON
from object2vec.serving.request_formats import parse_body

pytestmark = pytest.mark.own_way

STORED = Path(__file__).parent.parent / "data" / "models"
MODELS = sorted(path.parent for path in STORED.glob("*/*/model.json"))


def test_all_kinds_are_stored() -> None:
    assert {folder.name for folder in MODELS if folder.parent.name == "0.1"} == {
        "bilstm", "hcnn", "incomplete", "pooled", "row_sparse", "tied", "vocabulary"
    }  # fmt: skip
    extended = [folder for folder in MODELS if folder.parent.name == "0.2"]
    assert {folder.name for folder in extended} == {"dot", "in_batch", "tied_encoders"}
    for folder in MODELS:
        manifest = json.loads((folder / "model.json").read_bytes())
        # those that earlier versions can read, and those that they would misunderstand
        assert manifest["format_version"] == (2 if folder in extended else 1)


every_model = pytest.mark.parametrize(
    "folder", MODELS, ids=[f"{folder.parent.name}-{folder.name}" for folder in MODELS]
)


@pytest.mark.parametrize("way", ways.PREDICTING)
@every_model
def test_answers_as_it_did(folder: Path, way: str) -> None:
    predictor = ways.loaded(way, folder)
    assert isinstance(predictor, Predictor)
    body = folder.with_suffix(".request.json").read_bytes()
    request = parse_body(body, JSON, InstanceFormat.of(predictor))
    answer = json.loads(format_answer(infer(request, predictor), JSON))
    before = json.loads(folder.with_suffix(".answer.json").read_bytes())
    assert [list(row) for row in answer["predictions"]] == [
        list(row) for row in before["predictions"]
    ]
    for now, then in zip(_numbers(answer), _numbers(before)):
        np.testing.assert_allclose(now, then, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("way", ways.PREDICTING)
@every_model
def test_its_symbols_answer_alike(folder: Path, way: str, rng: np.random.Generator) -> None:
    symbols, predictor = ways.loaded(ways.SYMBOL, folder), ways.loaded(way, folder)
    assert isinstance(predictor, Predictor)
    lists = [
        random_lists(rng, 7, vocab=encoder.vocab_size)
        for encoder in predictor.hyperparameters.encoders
    ]
    cut = [
        given.truncate(encoder.max_seq_len)
        for given, encoder in zip(lists, predictor.hyperparameters.encoders)
    ]
    scores = predictor.scores(*lists)
    np.testing.assert_allclose(symbols.scores(*cut), scores, rtol=1e-5, atol=1e-5)
    for side in (0, 1):
        expected = predictor.embeddings(side, lists[side])
        found = symbols.embeddings(side, cut[side])
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_the_words_of_a_vocabulary_are_kept() -> None:
    predictor = ways.loaded(ways.OPERATORS, STORED / "0.1" / "vocabulary")
    assert isinstance(predictor, Predictor)
    in0, in1 = predictor.vocabularies
    assert in0.to_indices(["sun", "moon", "été", "a b", "<unk>"]) == [0, 1, 2, 5, 7]
    assert in1.idx_to_token == in0.idx_to_token


def _numbers(answer: dict[str, Any]) -> list[list[float]]:
    return [values for row in answer["predictions"] for values in row.values()]
