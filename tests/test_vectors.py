# SPDX-License-Identifier: Apache-2.0
"""`vectors`: the objects of a vocabulary or given ones, each once, with names and embeddings."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest

from object2vec import Object2Vec
from object2vec.backend.mxnet_import import mx
from object2vec.cli import main
from object2vec.errors import CustomerError
from object2vec.estimator.named_objects import vocabulary_objects
from object2vec.hyperparameters.checked import parse
from object2vec.inference.predictor import Predictor
from object2vec.logs import LOGGER_NAME
from object2vec.model.network import Object2VecNetwork
from object2vec.raw_values.inputs import Column, Inputs, Label, Side, Vocabulary

ROWS = [
    {"user": f"u{n % 5}", "film": f"Film {n % 7}", "genre": str(n % 7 == 3), "stars": n % 3}
    for n in range(60)
]
SMALL: dict[str, Any] = {"enc_dim": 6, "epochs": 1, "seed": 1, "mini_batch_size": 20}
IDS: dict[str, Any] = {
    **SMALL,
    "enc0_network": "pooled_embedding",
    "enc0_max_seq_len": 1,
    "enc0_vocab_size": 9,
    "enc1_network": "pooled_embedding",
    "enc1_max_seq_len": 3,
    "enc1_vocab_size": 11,
}
ID_PAIRS = [{"in0": [n % 9], "in1": [n % 11, 2], "label": n % 2} for n in range(40)]


@pytest.fixture(scope="module")
def films() -> Object2Vec:
    return Object2Vec(**SMALL).fit(ROWS, in0="user", in1="film", label="stars")


@pytest.fixture(scope="module")
def wide() -> Object2Vec:
    """Objects of in1 have two columns."""
    return Object2Vec(**SMALL).fit(ROWS, in0="user", in1=["film", "genre"], label="stars")


@pytest.fixture(scope="module")
def of_ids() -> Object2Vec:
    return Object2Vec(**IDS).fit(ID_PAIRS)


def test_all_values_of_a_column_are_there_once(films: Object2Vec) -> None:
    found = films.vectors("in1")
    assert sorted(found.names) == [f"Film {n}" for n in range(7)]
    assert found.side == "in1" and len(found) == 7
    assert found.vectors.dtype == np.float32 and found.vectors.shape == (7, 6)
    np.testing.assert_array_equal(found.vectors, films.embed(in1=found.names))
    people = films.vectors("in0")
    np.testing.assert_array_equal(people.vectors, films.embed(in0=people.names))
    assert len(np.unique(people.vectors, axis=0)) == 5


def test_blocks_are_the_whole(films: Object2Vec) -> None:
    whole = films.vectors("in1")
    stream = films._stream("in1", None, None, None)
    blocks = list(stream.blocks(rows=3))
    assert [len(names) for names, _ in blocks] == [3, 3, 1]
    assert [name for names, _ in blocks for name in names] == whole.names
    np.testing.assert_array_equal(np.concatenate([part for _, part in blocks]), whole.vectors)


def test_repeated_tokens_count_in_the_vocabulary_too() -> None:
    columns = [{"name": "film", "repeat": 3}]
    model = Object2Vec(**SMALL, enc0_network="hcnn", enc0_token_embedding_dim=4)
    model.fit(ROWS, in0="user", in1=columns, label="stars", preset=None)
    found = model.vectors("in1")
    assert model.inputs is not None and model.inputs.in1.columns[0].repeat == 3
    np.testing.assert_array_equal(found.vectors, model.embed(in1=found.names))


def test_exploded_tags_are_objects() -> None:
    rows = [{"user": f"u{n}", "tags": "a|b" if n % 2 else "b|c"} for n in range(30)]
    model = Object2Vec(**SMALL)
    model.fit(rows, in0="user", in1=[{"name": "tags", "kind": "tags", "explode": True}])
    found = model.vectors("in1")
    assert sorted(found.names) == ["a", "b", "c"]
    np.testing.assert_array_equal(found.vectors, model.embed(in1=found.names))


def test_ids_and_their_lists(of_ids: Object2Vec) -> None:
    found = of_ids.vectors("in0")
    assert found.names == [str(n) for n in range(9)]
    np.testing.assert_array_equal(found.vectors, of_ids.embed(in0=[[n] for n in range(9)]))
    lists = of_ids.vectors("in1", [[1, 2], [3], [1, 2], np.array([4, 5])])
    assert lists.names == ["1 2", "3", "4 5"]
    np.testing.assert_array_equal(lists.vectors, of_ids.embed(in1=[[1, 2], [3], [4, 5]]))


def test_ids_with_words(tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text(json.dumps({"the": 0, "cat": 1, "dog": 3}))
    model = Object2Vec(**{**IDS, "enc0_vocab_file": "words.json"}).fit(ID_PAIRS, auxiliary=tmp_path)
    found = model.vectors("in0")
    assert found.names == ["the", "cat", "dog"]
    np.testing.assert_array_equal(found.vectors, model.embed(in0=[[0], [1], [3]]))
    assert model.vectors("in0", [[3], [8]]).names == ["dog", "8"]


def test_lists_of_ids_come_from_files_and_frames(of_ids: Object2Vec, tmp_path: Path) -> None:
    path = tmp_path / "lists.jsonl"
    path.write_text('{"in1": [1, 2]}\n{"in1": [3], "in0": [1]}\n{"in1": [1, 2]}\n')
    wanted = of_ids.vectors("in1", [[1, 2], [3]])
    frame = pandas.DataFrame({"in1": [[1, 2], [3]]})
    for given in (path, str(path), [path], frame, pyarrow.Table.from_pandas(frame)):
        found = of_ids.vectors("in1", given)
        assert found.names == wanted.names
        np.testing.assert_array_equal(found.vectors, wanted.vectors)


def test_rows_of_a_table_are_objects_once(wide: Object2Vec, tmp_path: Path) -> None:
    distinct = {(row["film"], row["genre"]): row for row in ROWS}
    objects = [{"film": film, "genre": genre} for film, genre in distinct]
    wanted = wide.embed(in1=objects)
    frame = pandas.DataFrame(ROWS)
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    for given in (objects * 2, frame, path, pyarrow.Table.from_pandas(frame), [path, path]):
        found = wide.vectors("in1", given)
        assert found.names == [film for film, _ in distinct]
        np.testing.assert_array_equal(found.vectors, wanted)


def test_names_that_one_column_does_not_tell_apart_hold_all(wide: Object2Vec) -> None:
    objects = [{"film": "Film 1", "genre": "War"}, {"film": "Film 1", "genre": "Drama"}]
    assert wide.vectors("in1", objects).names == ["Film 1 | War", "Film 1 | Drama"]
    assert wide.vectors("in1", pandas.DataFrame(objects)).names[1] == "Film 1 | Drama"
    odd = [{"film": "a | b", "genre": "c"}, {"film": "a", "genre": "b | c"}, {"film": "a"}]
    assert len(set(wide.vectors("in1", odd).names)) == 3


def test_a_column_beside_them_names_objects(films: Object2Vec, tmp_path: Path) -> None:
    rows = [{"film": f"Film {n}", "title": f"The {n}th film"} for n in (3, 1)]
    path = tmp_path / "titles.csv"
    pandas.DataFrame(rows).to_csv(path, index=False)
    for given in (rows, path, pandas.DataFrame(rows)):
        found = films.vectors("in1", given, name="title")
        assert found.names == ["The 3th film", "The 1th film"]
        np.testing.assert_array_equal(found.vectors, films.embed(in1=["Film 3", "Film 1"]))
    twice = [{"film": f"Film {n}", "title": "Same"} for n in (3, 3, 1)]
    assert films.vectors("in1", twice[:2], name="title").names == ["Same"]
    for given in (twice, pandas.DataFrame(twice)):
        with pytest.raises(
            CustomerError, match="Two different objects of in1 have the name 'Same'"
        ):
            films.vectors("in1", given, name="title")


def test_raw_values_stand_in_lists_and_in_json_lines(films: Object2Vec, tmp_path: Path) -> None:
    path = tmp_path / "films.jsonl"
    path.write_text('{"in1": "Film 2"}\n{"in1": {"film": "Film 4"}}\n{"in1": [3]}\n')
    expected = films.embed(in1=["Film 2", "Film 4", [3]])
    for given in (["Film 2", {"film": "Film 4"}, [3]], path):
        found = films.vectors("in1", given)
        assert found.names == ["Film 2", "Film 4", "[3]"]
        np.testing.assert_array_equal(found.vectors, expected)


def test_ids_and_raw_values_of_the_same_digits_are_two_objects() -> None:
    rows = [{"a": n % 4, "b": n % 3, "label": n % 2} for n in range(40)]
    model = Object2Vec(**SMALL)
    model.fit(rows, in0=[{"name": "a", "kind": "id"}], in1=[{"name": "b", "kind": "id"}],
              label="label")  # fmt: skip
    found = model.vectors("in0", [2, [2], 2.0])
    assert found.names == ["2", "[2]"]
    np.testing.assert_array_equal(found.vectors, model.embed(in0=[2, [2]]))


def test_a_vocabulary_without_values_has_no_objects() -> None:
    columns = {"a": Vocabulary(()), "b": Vocabulary(("x",))}
    sides = [Side((Column(name, "id", name),)) for name in columns]
    inputs = Inputs(*sides, Label("number", "label"), columns)
    given = {**inputs.sizes(), "enc0_network": "pooled_embedding", "enc_dim": 4}
    network = Object2VecNetwork(parse(given)[0])
    network.initialize([mx.cpu(0)])
    predictor = Predictor(network, inputs=inputs)
    assert vocabulary_objects(predictor, "in1").names == ["x"]
    with pytest.raises(CustomerError, match="The vocabulary of in0 knows no object: give its obj"):
        vocabulary_objects(predictor, "in0")


def test_what_has_no_value_is_left_out(films: Object2Vec, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, LOGGER_NAME):
        assert films.vectors("in1", ["Film 1", None, ""]).names == ["Film 1"]
    assert "Left out 2 objects of the given objects without a value" in caplog.text


@pytest.mark.parametrize(
    ("side", "objects", "name", "sentence"),
    [
        ("in2", None, None, "side must be in0 or in1, found 'in2'."),
        ("in1", None, None, "The objects of in1 are the columns film, genre together"),
        ("in1", [], None, "There is no object of in1 in the given objects."),
        ("in1", [None], None, "There is no object of in1"),
        ("in1", "nowhere.csv", None, "There is no table nowhere.csv"),
        ("in1", [{"film": "Film 1", "colour": 1}], None, "no column 'colour'"),
        ("in1", ["Film 1"], "title", "The object 'Film 1' has no column 'title'"),
        ("in1", pandas.DataFrame({"film": ["a"]}), None, "genre"),
        ("in1", pandas.DataFrame({"film": ["a"], "genre": [1]}), "title", "name names the column"),
        ("in1", "Film 1", None, "There is no table Film 1"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else "",
)  # fmt: skip
def test_mistakes_are_one_sentence(
    wide: Object2Vec, side: str, objects: Any, name: Any, sentence: str
) -> None:
    with pytest.raises(CustomerError) as raised:
        wide.vectors(side, objects, name=name)
    assert sentence in str(raised.value)


def test_sides_without_a_vocabulary_of_objects_say_so(of_ids: Object2Vec) -> None:
    with pytest.raises(CustomerError, match="lists of up to 3 ids, of which no vocabulary"):
        of_ids.vectors("in1")
    rows = [{"a": f"some words {n % 4}", "b": 0.5 * n, "label": n % 2} for n in range(30)]
    model = Object2Vec(**SMALL).fit(
        rows, in0={"name": "a", "kind": "text"}, in1=[{"name": "b", "kind": "number"}],
        label="label",
    )  # fmt: skip
    with pytest.raises(CustomerError, match="The objects of in0 are texts"):
        model.vectors("in0")
    with pytest.raises(CustomerError, match="The objects of in1 are numbers"):
        model.vectors("in1")
    assert model.vectors("in0", ["some words", "more"]).names == ["some words", "more"]
    with pytest.raises(CustomerError, match="not fitted"):
        Object2Vec(**SMALL).vectors("in0")


def test_what_is_warned_of_is_told_as_people_read_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"user": f"u{n % 7}", "film": f"f{n % 5}", "stars": n % 3} for n in range(60)]
    given = {"in0": "user", "in1": "film", "label": "stars", "verbose": 0}
    Object2Vec.from_table(rows, **given, epochs=1, enc_dim=4).save(tmp_path / "model")
    table = tmp_path / "films.csv"
    table.write_text("film\nf1\nunheard of\n")
    command = ["embed", "--model-dir", str(tmp_path / "model"), "--side", "in1"]
    assert main([*command, "--input", str(table), "--output", str(tmp_path / "v.npy")]) == 0
    told = capsys.readouterr().err.splitlines()
    assert [line for line in told if line.startswith("WARNING: Unknown to the model are 1 of 2")]
