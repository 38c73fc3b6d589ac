# SPDX-License-Identifier: Apache-2.0
"""Texts that a tokenizer of Hugging Face splits, from every door into a model and out of it."""

from __future__ import annotations

import hashlib
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mms_server import serving
from test_tokenizer_files import byte_pairs, bytes_of, expected_ids, whole_words, word_piece
from tokenizers import Tokenizer

from object2vec import Object2Vec
from object2vec.cli import main
from object2vec.errors import CustomerError
from object2vec.raw_values.inputs_file import read_inputs
from tests.commands import one_sentence, write_lines

PLOTS = ["The dog runs", "A soccer game, with people!", "unbelievable cat", "狼 12,345.67 SAT"]
ROWS = [
    {"plot": PLOTS[row % 4], "genre": ("Drama", "War", "Crime")[row % 3], "liked": row % 2}
    for row in range(24)
]
NEW = ["The cat runs", "déjà vu", "[SEP] 狼", "people"]
SMALL: dict[str, Any] = {"enc_dim": 8, "epochs": 1, "mini_batch_size": 8, "seed": 3}
OPTIONS = ["-p", "enc_dim=8", "-p", "epochs=1", "-p", "mini_batch_size=8", "-p", "_seed=3"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a table and a tokenizer."""
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "table.jsonl", ROWS)
    (tmp_path / "tokenizer.json").write_bytes(bytes_of(word_piece()))
    return tmp_path


def model_of(**column: Any) -> Object2Vec:
    plot = {"name": "plot", "tokenizer": "tokenizer.json", **column}
    return Object2Vec.from_table(ROWS, in0=plot, in1="genre", label="liked", **SMALL)


@pytest.mark.parametrize("special", [False, True], ids=["plain", "special"])
def test_a_model_keeps_its_tokenizer(special: bool, folder: Path) -> None:
    model = model_of(special_tokens=special)
    tokenizer = Tokenizer.from_file("tokenizer.json")
    content = Path("tokenizer.json").read_bytes()
    assert model.hyperparameters["enc0_vocab_size"] == tokenizer.get_vocab_size()
    ids = [expected_ids(tokenizer, text, special) for text in NEW]
    expected = model.embed(in0=ids)
    np.testing.assert_array_equal(model.embed(in0=NEW), expected)
    longest = max(len(expected_ids(tokenizer, text, special)) for text in PLOTS)
    assert model.inputs is not None and model.inputs.in0.max_length == longest
    (folder / "tokenizer.json").unlink()
    model.save(folder / "model")
    model.save(folder / "model")
    (kept,) = (folder / "model").glob("tokenizer-*")
    digest = hashlib.sha256(content).hexdigest()
    assert kept.read_bytes() == content and kept.name == f"tokenizer-{digest[:12]}.json"
    listed = json.loads((folder / "model/model.json").read_bytes())["files"]
    assert listed[kept.name] == {"bytes": len(content), "sha256": digest}
    with tarfile.open("model.tar.gz", "w:gz") as archive:
        archive.add("model", ".")
    for again in (
        Object2Vec.load("model"), Object2Vec.load("model.tar.gz"), pickle.loads(pickle.dumps(model))
    ):  # fmt: skip
        np.testing.assert_array_equal(again.embed(in0=NEW), expected)
        assert again.inputs == model.inputs
    # another model in its place takes the tokenizer away
    Object2Vec.from_table(ROWS, in0="plot", in1="genre", label="liked", **SMALL).save("model")
    assert not list((folder / "model").glob("tokenizer-*"))


def test_a_damaged_model_is_refused_in_one_sentence(folder: Path) -> None:
    model_of().save("model")
    (kept,) = Path("model").glob("tokenizer-*")
    content = kept.read_bytes()
    kept.write_bytes(content.replace(b"dog", b"cow"))
    with pytest.raises(CustomerError, match="does not have the content that"):
        Object2Vec.load("model")
    kept.write_bytes(content)
    manifest = json.loads(Path("model/model.json").read_bytes())
    del manifest["files"][kept.name]
    Path("model/model.json").write_text(json.dumps(manifest))
    with pytest.raises(CustomerError, match=rf"does not list {kept.name}, which the model's inp"):
        Object2Vec.load("model")


@pytest.mark.usefixtures("folder")
def test_commands_and_jobs_make_the_same_model(capsys: pytest.CaptureFixture[str]) -> None:
    expected = model_of()
    vectors = expected.embed(in0=NEW)
    columns = ["--in0", "plot", "--in1", "genre", "--label", "liked"]
    Path("a=b.json").write_bytes(Path("tokenizer.json").read_bytes())
    for at, given in enumerate(
        (
            ["--tokenizer", "plot=tokenizer.json"],
            ["--tokenizer", "tokenizer.json", "--kind", "plot=text"],
            ["--tokenizer", "a=b.json", "--kind", "plot=text", "--keep-case"],
        )
    ):
        train = ["train", "--train", "table.jsonl", "--model-dir", f"m{at}", *columns, *given]
        assert main([*train, *OPTIONS]) == 0
        np.testing.assert_array_equal(Object2Vec.load(f"m{at}").embed(in0=NEW), vectors)
    prepare = ["prepare", "--input", "table.jsonl", "--output", "channels", *columns]
    assert main([*prepare, "--tokenizer", "plot=tokenizer.json"]) == 0
    inputs = read_inputs("channels/auxiliary/inputs.json")
    assert inputs == expected.inputs
    train = ["train", "--train", "channels/train", "--auxiliary", "channels/auxiliary"]
    assert main([*train, "--preset", "text_tags", "--model-dir", "prepared", *OPTIONS]) == 0
    np.testing.assert_array_equal(Object2Vec.load("prepared").embed(in0=NEW), vectors)
    write_job({"_tokenizer": "words.json"})
    capsys.readouterr()
    assert main(["train", "--base", "ml"]) == 0
    assert json.loads(Path("ml/model/model.json").read_bytes())["inputs"]
    np.testing.assert_array_equal(Object2Vec.load("ml/model").embed(in0=LONG), model_long())


LONG = [f"{text} and it goes on for a while" for text in NEW]


def write_job(given: dict[str, str]) -> None:
    """A job whose texts are long enough to be taken for such without a kind."""
    rows = [{**row, "plot": f"{row['plot']} and it goes on for a while"} for row in ROWS]
    small = {"enc_dim": "8", "epochs": "1", "mini_batch_size": "8", "_seed": "3"}
    columns = {"_in0": "plot", "_in1": "genre", "_label": "liked"}
    for name in ("config", "data/train", "data/auxiliary"):
        Path("ml/input", name).mkdir(parents=True)
    Path("ml/input/config/hyperparameters.json").write_text(
        json.dumps({**small, **columns, **given})
    )
    write_lines(Path("ml/input/data/train/rows.jsonl"), rows)
    Path("ml/input/data/auxiliary/words.json").write_bytes(Path("tokenizer.json").read_bytes())


def model_long() -> np.ndarray:
    rows = [{**row, "plot": f"{row['plot']} and it goes on for a while"} for row in ROWS]
    plot = {"name": "plot", "tokenizer": "tokenizer.json"}
    model = Object2Vec.from_table(rows, in0=plot, in1="genre", label="liked", **SMALL)
    return np.asarray(model.embed(in0=LONG))


MISTAKES: dict[str, tuple[list[str], str]] = {
    "no file": (["--tokenizer", "plot=none.json"], "none.json cannot be read: No such file"),
    "no tokenizer": (["--tokenizer", "plot=table.jsonl"], "is no sound tokenizer of Hugging Face"),
    "no text": (["--tokenizer", "tokenizer.json"], "--tokenizer splits texts, but in0 and in1"),
    "other column": (["--tokenizer", "film=tokenizer.json"], "film, which is none of in0 and in1"),
    "a tag": (
        ["--tokenizer", "plot=tokenizer.json", "--kind", "plot=tags"],
        '--kind of the column "plot" of in0 must be text, for it has a tokenizer',
    ),
    "rare": (
        ["--tokenizer", "plot=tokenizer.json", "--min-count", "plot=2"],
        "must be left out, for its tokenizer decides (it is 1 then), found 2",
    ),
    "special": (["--special-tokens", "plot"], "--special-tokens is given for the column"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.usefixtures("folder")
def test_a_mistake_is_one_sentence(mistake: str, capsys: pytest.CaptureFixture[str]) -> None:
    given, words = MISTAKES[mistake]
    prepare = ["prepare", "--input", "table.jsonl", "--output", "channels"]
    assert main([*prepare, "--in0", "plot", "--in1", "genre", *given]) == 1
    assert words in one_sentence(capsys.readouterr().err)
    assert not Path("channels").exists()


@pytest.mark.usefixtures("folder")
def test_a_job_names_a_file_that_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    write_job({"_tokenizer": "word.json"})
    assert main(["train", "--base", "ml"]) == 1
    words = "_tokenizer=word.json is not in the auxiliary channel"
    assert words in one_sentence(capsys.readouterr().err)


@pytest.mark.usefixtures("folder")
def test_tied_sides_have_one_tokenizer() -> None:
    Path("other.json").write_bytes(bytes_of(whole_words()))
    rows = [{"a": PLOTS[row % 4], "b": PLOTS[row % 3]} for row in range(12)]
    a, b = ({"name": name, "tokenizer": "tokenizer.json"} for name in "ab")
    tied = {"tied_token_embedding_weight": True, **SMALL}
    model = Object2Vec.from_table(rows, in0=a, in1=b, **tied)
    assert model.inputs is not None and list(model.inputs.vocabularies) == ["in0.0"]
    with pytest.raises(CustomerError, match="Tied sides share vocabularies, but tokenizer of"):
        Object2Vec.from_table(rows, in0=a, in1={**b, "tokenizer": "other.json"}, **tied)


@pytest.mark.slow
def test_ids_and_texts_are_answered_alike_over_http(folder: Path) -> None:
    Path("tokenizer.json").write_bytes(bytes_of(byte_pairs()))
    model = model_of()
    model.save("model")
    tokenizer = Tokenizer.from_file("tokenizer.json")
    texts = [{"in0": text, "in1": "War"} for text in NEW]
    assert model.inputs is not None
    place = model.inputs.vocabularies["in1.0"].places["War"]  # type: ignore[union-attr]
    ids = [{"in0": expected_ids(tokenizer, text), "in1": [place]} for text in NEW]
    write_lines(folder / "texts.jsonl", texts)
    command = ["predict", "--model-dir", "model", "--input", "texts.jsonl"]
    assert main([*command, "--output", "answers.jsonl"]) == 0
    body = Path("texts.jsonl").read_bytes()
    with serving(folder / "model", folder / "log") as server:
        answers = [
            server.invoke(text, content_type="application/jsonlines").body
            for text in (body, "".join(json.dumps(row) + "\n" for row in ids).encode())
        ]
    assert answers[0] == answers[1] == Path("answers.jsonl").read_bytes()
    scores = [json.loads(line)["scores"] for line in answers[0].splitlines()]
    pairs = [(row["in0"], row["in1"]) for row in texts]
    np.testing.assert_array_equal(np.array(scores, np.float32), model.predict(pairs))
