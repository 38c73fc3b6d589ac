# SPDX-License-Identifier: Apache-2.0
"""A model keeps what its ids stand for, and takes raw values and ids beside each other."""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_jobs import random_network, settings

from object2vec.errors import CustomerError
from object2vec.inference.predictor import Predictor
from object2vec.model import model_directory
from object2vec.model.manifest import MANIFEST
from object2vec.model.model_files import check_model
from object2vec.raw_values.encode_values import encode_side, object_lists
from object2vec.raw_values.inputs import Column, Inputs, Label, Side, Vocabulary
from object2vec.raw_values.inputs_file import inputs_bytes

SIZE = 5
INPUTS = Inputs(
    Side((Column("user", "id", "in0.0"),)),
    Side((Column("genres", "tags", "in1.0"),), 3),
    Label("class", "liked", ("no", "yes")),
    {"in0.0": Vocabulary(("Ann", "Bob")), "in1.0": Vocabulary(("Crime", "Drama", "War", "17"))},
)


def predictor(rng: np.random.Generator, **given: Any) -> Predictor:
    sizes = {"enc0_vocab_size": 3, "enc1_vocab_size": SIZE, "enc1_network": "pooled_embedding"}
    return Predictor(random_network(settings(**sizes, **given), rng), inputs=INPUTS)


def where(position: int) -> str:
    return f"line {position + 1}"


def lists(side: str, values: list[Any]) -> list[list[int]]:
    found = object_lists(INPUTS, side, values, SIZE, where)
    return [part.tolist() for part in np.split(found.tokens, found.offsets[1:-1])]


def test_the_model_directory_keeps_it(tmp_path: Path, rng: np.random.Generator) -> None:
    before = predictor(rng)
    model_directory.save_model(tmp_path, before.network, inputs=INPUTS)
    check_model(tmp_path)
    loaded = Predictor.load(tmp_path)
    copied = pickle.loads(pickle.dumps(loaded))
    assert loaded.inputs == copied.inputs == INPUTS
    model_directory.save_model(tmp_path, before.network)
    assert Predictor.load(tmp_path).inputs is None
    assert not list(tmp_path.glob("inputs-*"))


@pytest.mark.parametrize(
    ("given", "words"),
    [({"enc1_vocab_size": 4}, "5 ids for in1, but enc1_vocab_size is 4"),
     ({"enc0_vocab_size": 2}, "3 ids for in0, but enc0_vocab_size is 2")],
    ids=["in1", "in0"],
)  # fmt: skip
def test_of_another_model_it_is_refused(
    given: dict[str, int], words: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    sizes = {"enc0_vocab_size": 3, "enc1_vocab_size": SIZE, "enc1_network": "pooled_embedding"}
    network = random_network(settings(**{**sizes, **given}), rng)
    with pytest.raises(CustomerError, match=words):
        model_directory.save_model(tmp_path, network, inputs=INPUTS)
    assert not (tmp_path / MANIFEST).exists()
    model_directory.save_model(tmp_path, network)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    content = inputs_bytes(INPUTS)
    (tmp_path / "inputs.json").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    manifest["files"]["inputs.json"] = {"bytes": len(content), "sha256": digest}
    (tmp_path / MANIFEST).write_text(json.dumps({**manifest, "inputs": "inputs.json"}))
    for read in (check_model, Predictor.load):
        with pytest.raises(CustomerError, match=words):
            read(tmp_path)


def test_damage_is_found(tmp_path: Path, rng: np.random.Generator) -> None:
    model_directory.save_model(tmp_path, predictor(rng).network, inputs=INPUTS)
    (path,) = tmp_path.glob("inputs-*.json")
    path.write_bytes(path.read_bytes().replace(b"Ann", b"Eve"))
    for read in (check_model, Predictor.load):
        with pytest.raises(CustomerError, match="inputs-"):
            read(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps({**manifest, "inputs": "../x"}))
    with pytest.raises(CustomerError, match="'inputs'"):
        Predictor.load(tmp_path)


def test_raw_values_and_ids_stand_beside_each_other() -> None:
    assert lists("in0", ["Bob", [1], {"user": "Ann"}, [2, 2], "Eve", None, []]) == [
        [2], [1], [1], [2, 2], [0], [0], []
    ]  # fmt: skip
    assert lists("in1", ["Drama|War", [4, 1], ["War", "x"], {"genres": [17]}, []]) == [
        [2, 3], [4, 1], [3, 0], [4], []
    ]  # fmt: skip
    assert lists("in1", [[1], [2, 3]]) == [[1], [2, 3]]


@pytest.mark.parametrize(
    ("side", "values", "words"),
    [
        ("in0", ["Ann", [7]], r'Vocab id "7" is not less than vocab_size=5 \(line 2\)'),
        ("in0", ["Ann", ["Bob"]], r"in0 must hold integers only, found \"Bob\".*\(line 2\)"),
        ("in0", [[1], {"usr": "Ann"}], r"no column 'usr' \(the nearest is 'user'\).*\(line 2\)"),
        ("in0", [[1], "Ann", {"user": {}}], r"column 'user' of line 3\)"),
    ],
    ids=["id", "list", "column", "value"],
)
def test_what_is_neither_is_refused(side: str, values: list[Any], words: str) -> None:
    with pytest.raises(CustomerError, match=words):
        lists(side, values)


def test_without_it_only_ids_are_taken() -> None:
    with pytest.raises(CustomerError, match="must be a list of token ids"):
        object_lists(None, "in0", ["Ann"], SIZE, where)
    assert object_lists(None, "in0", [[1]], SIZE, where).tokens.tolist() == [1]


def test_raw_values_answer_as_their_ids(rng: np.random.Generator) -> None:
    model = predictor(rng)
    raw = encode_side(INPUTS, "in1", ["War|Drama", ["17"]])
    ids = object_lists(None, "in1", [[3, 2], [4]], SIZE, where)
    np.testing.assert_array_equal(model.embeddings(1, raw), model.embeddings(1, ids))


def test_of_exploded_tags_one_is_asked_about() -> None:
    """Of several all but the first would be cut off, unseen by whoever asked."""
    column = replace(INPUTS.in1.columns[0], explode=True)
    inputs = replace(INPUTS, in1=Side((column,)))
    found = object_lists(inputs, "in1", ["War", [4], ["Drama"]], SIZE, where)
    assert found.tokens.tolist() == [3, 4, 2]
    with pytest.raises(CustomerError, match=r"in1 holds 2 of 'genres' in one .* \(line 2\)"):
        object_lists(inputs, "in1", ["War", "Drama|War"], SIZE, where)
