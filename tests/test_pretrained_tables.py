# SPDX-License-Identifier: Apache-2.0
"""Pretrained vectors beside tables of raw values: joined by the words that the table holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from object2vec import Object2Vec
from object2vec.cli import main
from object2vec.errors import CustomerError
from tests.commands import one_sentence, write_lines

PLOTS = ("the dog runs home", "a cat sat on the mat", "rain in spring is loud")
ROWS: list[dict[str, Any]] = [
    {"plot": PLOTS[row % 3], "title": ("cat", "Dog days")[row % 2],
     "genre": ("Drama", "War")[row % 2], "liked": row % 2}
    for row in range(24)
]  # fmt: skip
WORDS = ("the", "dog", "cat", "drama", "Drama", "unused", "days")
SMALL: dict[str, Any] = {"enc_dim": 5, "epochs": 2, "mini_batch_size": 8, "seed": 3}
OPTIONS = ["-p", "enc_dim=5", "-p", "epochs=2", "-p", "mini_batch_size=8", "-p", "_seed=3"]
PLOT = {"name": "plot", "kind": "text"}
FILES = {f"enc{side}_pretrained_embedding_file": "vectors.txt" for side in (0, 1)}


@pytest.fixture
def vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Those of vectors.txt in the folder aux, beside table.jsonl in the current one."""
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "table.jsonl", ROWS)
    found = {word: np.float32([at, -at, 0.5, 2, 1 / at]) for at, word in enumerate(WORDS, 1)}
    (tmp_path / "aux").mkdir()
    lines = (f"{word} {' '.join(map(str, vector))}\n" for word, vector in found.items())
    (tmp_path / "aux/vectors.txt").write_text("".join(lines))
    return found


def table_of(model: Object2Vec, side: int) -> np.ndarray:
    predictor = model._predictor
    assert predictor is not None
    tables = [name for name in predictor.network.params if name.startswith("embed")]
    name = tables[0] if len(tables) == 1 else f"embed_{side}_weight"
    return np.asarray(predictor.network.params[name].data().asnumpy())


def check(model: Object2Vec, vectors: dict[str, np.ndarray], sides: tuple[int, ...]) -> int:
    """The rows of the words that the file has are its vectors; gives how many these are."""
    inputs = model.inputs
    assert inputs is not None
    found = 0
    for side in sides:
        table = table_of(model, side)
        name = f"in{side}"
        for column, first in zip(inputs.side(name).columns, inputs.first_ids(name)):
            values = inputs.vocabularies[column.vocabulary]
            for word, place in values.places.items():  # type: ignore[union-attr]
                if word in vectors:
                    np.testing.assert_array_equal(table[first + place], vectors[word])
                    found += 1
        assert not np.array_equal(table[0], np.zeros(5, np.float32))
    return found


def test_words_of_a_table_get_their_vectors(vectors: dict[str, np.ndarray]) -> None:
    given = {"label": "liked", "auxiliary": "aux", **SMALL}
    one = Object2Vec.from_table(
        ROWS, in0=PLOT, in1="genre", enc0_pretrained_embedding_file="vectors.txt", **given
    )
    assert check(one, vectors, (0,)) == len({"the", "dog", "cat"})
    # both sides have words of their own, and one of two columns has "cat" twice
    columns = [PLOT, {"name": "title", "kind": "text"}]
    both = Object2Vec.from_table(ROWS, in0=columns, in1="genre", **FILES, **given)
    assert check(both, vectors, (0, 1)) == 3 + 3 + 1
    rows = [{**row, "other": row["plot"][::-1] + " days"} for row in ROWS]
    tied = Object2Vec.from_table(
        rows, in0=PLOT, in1={"name": "other", "kind": "text"}, tied_token_embedding_weight=True,
        enc1_pretrained_embedding_file="vectors.txt", enc0_token_embedding_dim=5,
        enc1_token_embedding_dim=5, **given,
    )  # fmt: skip
    assert check(tied, vectors, (0,)) == 4


def test_a_table_that_may_move_starts_there(vectors: dict[str, np.ndarray]) -> None:
    given = {"label": "liked", "auxiliary": "aux", **SMALL, **FILES}
    model = Object2Vec.from_table(
        ROWS, in0=PLOT, in1="genre", enc0_freeze_pretrained_embedding=False, **given
    )
    assert model.inputs is not None
    place = model.inputs.words("in0")[0]["the"]
    moved = table_of(model, 0)[place] - vectors["the"]
    assert 0 < np.abs(moved).max() < 0.5


def test_commands_and_jobs_give_the_same_model(vectors: dict[str, np.ndarray]) -> None:
    given = {"label": "liked", "auxiliary": "aux", **SMALL}
    file = {"enc0_pretrained_embedding_file": "vectors.txt"}
    expected = Object2Vec.from_table(ROWS, in0=PLOT, in1="genre", **file, **given)
    assert check(expected, vectors, (0,)) == 3
    columns = ["--in0", "plot", "--in1", "genre", "--label", "liked", "--kind", "plot=text"]
    options = [*OPTIONS, "-p", "enc0_pretrained_embedding_file=vectors.txt"]
    train = ["train", "--train", "table.jsonl", "--auxiliary", "aux", "--model-dir", "a"]
    assert main([*train, *columns, *options]) == 0
    assert main(["prepare", "--input", "table.jsonl", "--output", "channels", *columns]) == 0
    Path("channels/auxiliary/vectors.txt").write_bytes(Path("aux/vectors.txt").read_bytes())
    train = ["train", "--train", "channels/train", "--auxiliary", "channels/auxiliary"]
    assert main([*train, "--preset", "text_tags", "--model-dir", "b", *options]) == 0
    for folder in ("a", "b"):
        model = Object2Vec.load(folder)
        assert check(model, vectors, (0,)) == 3
        np.testing.assert_array_equal(model.predict(ROWS), expected.predict(ROWS))
        assert json.loads((Path(folder) / "model.json").read_bytes())["vocabularies"]["in0"] is None


@pytest.mark.usefixtures("vectors")
def test_vectors_that_do_not_fit_are_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    given = {"label": "liked", "auxiliary": "aux", **SMALL}
    with pytest.raises(CustomerError, match=r"have width 5, .* set enc_dim to 5 or"):
        Object2Vec.from_table(ROWS, in0=PLOT, in1="genre", **{**given, "enc_dim": 4}, **FILES)
    Path("aux/vectors.txt").write_text("nothing 1 2 3 4 5\n")
    with pytest.raises(CustomerError, match="no vector for any of the 14 words of in0, such as"):
        Object2Vec.from_table(ROWS, in0=PLOT, in1="genre", **given, **FILES)
    train = [
        "train",
        "--train",
        "table.jsonl",
        "--in0",
        "plot",
        "--in1",
        "genre",
        "--model-dir",
        "m",
    ]
    assert main([*train, *OPTIONS, "-p", "enc0_pretrained_embedding_file=vectors.txt"]) == 1
    words = "is a file of the auxiliary channel, but the job has no auxiliary channel"
    assert words in one_sentence(capsys.readouterr().err)


@pytest.mark.slow
def test_raw_texts_and_glove(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="object2vec"):
        model = Object2Vec.from_table(
            ROWS, in0=PLOT, in1="genre", label="liked", auxiliary=data_dir / "glove",
            enc0_pretrained_embedding_file="glove.6B.50d.subset.txt.gz", enc_dim=50, epochs=1,
        )  # fmt: skip
    assert model.inputs is not None
    found = [line for line in caplog.messages if line.startswith("enc0: ")]
    assert len(found) == 1 and "13 of 14 words of in0 found in glove" in found[0]
    ids = model.inputs.words("in0")[0]
    assert len(ids) == 14
    norms = np.linalg.norm(table_of(model, 0)[[ids["dog"], ids["cat"]]], axis=1)
    assert np.all(norms > 2)
