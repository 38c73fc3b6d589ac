# SPDX-License-Identifier: Apache-2.0
"""Outputs of commands that cannot be, or would cost what is read: refused before any work."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from object2vec import Object2Vec
from object2vec.cli import main
from object2vec.errors import CustomerError
from tests.commands import one_sentence

ROWS = [{"user": f"u{n % 5}", "film": f"f{n % 7}", "stars": n % 3} for n in range(40)]
TABLE = ["--in0", "user", "--in1", "film", "--label", "stars"]
COMMANDS = {
    "evaluate": ["evaluate", "--model-dir", "model", "--input", "rows.jsonl", "--output"],
    "predict": ["predict", "--model-dir", "model", "--input", "rows.jsonl", "--output"],
    "nearest": [
        *("nearest", "--model-dir", "model", "--in0", "u1", "--seen", "rows.jsonl", "--output"),
    ],
    "embed": [
        *("embed", "--model-dir", "model", "--side", "in1", "--input", "rows.jsonl"),
        *("--format", "word2vec", "--output"),
    ],
    "report": [
        *("report", "--model-dir", "model", "--projections", "pca", "--data", "rows.jsonl"),
        "--output",
    ],
    "tune": [
        *("tune", "--model-dir", "model", "--train", "rows.jsonl", "--validation", "0.2", *TABLE),
        *("--trials", "1", "--output"),
    ],
    "train": [
        *("train", "--model-dir", "model", "--train", "rows.jsonl", *TABLE, "-p", "epochs=1"),
        "--report",
    ],
}
PLACES: dict[str, tuple[str, str]] = {
    "a folder": ("taken", "taken cannot be written: it is a folder."),
    "no folder": ("none/here", "none/here cannot be written: the folder none does not exist."),
    "too long": ("n" * 256, "cannot be written to: File name too long; name another file."),
    "what is read": ("rows.jsonl", "it would take the place of what is read from rows.jsonl;"),
    "a link to it": ("link", "it would take the place of what is read from rows.jsonl;"),
    "the model": ("model/model.json", "it would take the place of what is read from model;"),
}


@pytest.fixture
def folder(tmp_path: Path, trained: Object2Vec, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    Path("taken").mkdir()
    os.link("rows.jsonl", "link")
    trained.save("model")
    return tmp_path


@pytest.fixture(scope="module")
def trained() -> Object2Vec:
    model = Object2Vec(enc_dim=4, epochs=1, seed=1)
    return model.fit(ROWS, in0="user", in1="film", label="stars")


@pytest.mark.parametrize(
    ("command", "place"),
    list(product(COMMANDS, PLACES)),
)
def test_an_output_that_cannot_be_is_refused(
    folder: Path, command: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    output, words = PLACES[place]
    assert main([*COMMANDS[command], output]) == 1
    told = capsys.readouterr()
    assert words in one_sentence(told.err or told.out)
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize("option", ["--study", "--model-dir"])
def test_trials_do_not_take_the_place_of_what_the_study_makes(
    folder: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*COMMANDS["tune"], "new", option, "./new"]) == 1
    assert "it would take the place of what is read from ./new;" in capsys.readouterr().err
    assert not Path("new").exists()


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_a_file_of_ones_own_in_the_models_folder_is_replaced(folder: Path, command: str) -> None:
    own = Path("model/mine")
    own.write_text("old")
    assert main([*COMMANDS[command], str(own)]) == 0
    assert len(own.read_bytes()) > 100
    Object2Vec.load("model")


def test_a_file_of_a_folder_that_is_read_is_not_replaced(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("rows.jsonl").rename("taken/rows.jsonl")
    command = ["evaluate", "--model-dir", "model", "--input", "taken", "--output"]
    assert main([*command, "taken/rows.jsonl"]) == 1
    assert "what is read from taken;" in one_sentence(capsys.readouterr().err)
    assert Path("taken/rows.jsonl").read_text().startswith('{"user"')


WRITERS: dict[str, Callable[[Object2Vec, str], object]] = {
    "save_vectors": lambda model, path: model.save_vectors(path, "in1", path, format="npy"),
    "companion": lambda model, path: model.save_vectors("rows.npy", "in1", "rows.names.jsonl"),
    "report": lambda model, path: model.report(path, {"a title": path}),
    "objects": lambda model, path: model.report(path, objects=[path]),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_python_refuses_to_write_over_what_it_reads(
    folder: Path, trained: Object2Vec, writer: str
) -> None:
    text = Path("rows.jsonl").read_text()
    Path("rows.names.jsonl").write_text(text)
    with pytest.raises(CustomerError, match="it would take the place of what is read"):
        WRITERS[writer](trained, "rows.jsonl")
    assert Path("rows.jsonl").read_text() == Path("rows.names.jsonl").read_text() == text
