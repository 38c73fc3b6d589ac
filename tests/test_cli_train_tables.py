# SPDX-License-Identifier: Apache-2.0
"""`object2vec train` and `validate` on tables: one command from raw values to a model."""

from __future__ import annotations

import gzip
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from object2vec.cli import main
from object2vec.inference.predictor import Predictor
from object2vec.raw_values.encode_values import encode_side
from object2vec.raw_values.inputs_file import inputs_bytes
from tests.commands import one_sentence, process, write_lines, write_table

COLUMNS = ("--in0", "user", "--in1", "film,genres", "--label", "rating")
SMALL = ("-p", "epochs=1", "-p", "enc_dim=16", "-p", "_seed=1")


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The rows of table.jsonl and table.csv in the current folder."""
    monkeypatch.chdir(tmp_path)
    return write_table()


def validated(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What `validate` prints of a job that is sound."""
    code = main(["validate", *arguments])
    found = capsys.readouterr()
    assert code == 0, found.err
    assert found.out.endswith("Hyperparameters and data are sound.\n")
    return found.out


@pytest.mark.slow
@pytest.mark.both_ways
def test_one_command_makes_the_model_that_prepare_and_train_make(
    table: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    split = ("--split", "user", "--validation", "0.2", "--test", "0.2", "--seed", "3")
    done = process(
        "train", "--train", "table.csv", *COLUMNS, *split, "--model-dir", "model", *SMALL
    )
    assert done.returncode == 0, done.stderr
    log = done.stdout.decode()
    assert "Rows read: 200. Pairs made: " in log
    assert "in0: user (id); " in log and "in1: film (id), genres (tags); " in log
    assert log.count("Recipe ratings, because in0 is id, in1 is id and tags and the label") == 1

    assert main(["prepare", "--input", "table.csv", *COLUMNS, *split, "--output", "channels"]) == 0
    command = capsys.readouterr().out
    words = shlex.split(command.replace("\\\n", " "))
    other = ["other" if word == "model" else word for word in words[1:]]
    assert main([*other, *SMALL]) == 0
    assert Path("other/model.json").exists()
    models = [Predictor.load(name) for name in ("model", "other")]
    wanted = Path("channels/auxiliary/inputs.json").read_bytes()
    films = [{"film": row["film"], "genres": row["genres"]} for row in table]
    found = []
    for model in models:
        assert model.inputs is not None and inputs_bytes(model.inputs) == wanted
        users = encode_side(model.inputs, "in0", [row["user"] for row in table])
        found.append(model.scores(users, encode_side(model.inputs, "in1", films)))
    assert models[0].hyperparameters == models[1].hyperparameters
    np.testing.assert_array_equal(found[0], found[1])
    assert models[0].metrics == models[1].metrics


@pytest.mark.usefixtures("table")
def test_a_table_in_any_format_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv("table.csv")
    frame.to_csv("table.tsv.gz", sep="\t", index=False)
    frame.to_csv("bare.txt", sep=";", header=False, index=False)
    frame.to_parquet("table.parquet")
    Path("folder").mkdir()
    frame[:90].to_parquet("folder/a")
    frame[90:].to_csv("folder/b", index=False)
    found = {
        validated(capsys, "--train", source, *COLUMNS, "--test", "0.2")
        for source in ("table.csv", "table.jsonl", "table.tsv.gz", "table.parquet", "folder")
    }
    assert len(found) == 1
    (text,) = found
    none_kept_back = ("--train", "table.csv", *COLUMNS, "--validation", "0")
    assert "train: 200 pairs" in validated(capsys, *none_kept_back)
    assert "in0: user (id); 8 ids, lists of up to 1 token." in text
    assert "train: 1" in text and "test: " in text
    bare = ("--no-header", "--in0", "0", "--in1", "2,3", "--label", "4", "--test", "0.2")
    text = validated(capsys, "--train", "bare.txt", *bare)
    assert "in0: 0 (id); 8 ids, lists of up to 1 token." in text


def test_validation_is_encoded_by_what_the_training_rows_know(
    table: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    new = [{**table[0], "user": "new"}, *table[1:4]]
    write_lines(Path("new.jsonl"), new)
    given = ("--train", "table.csv", *COLUMNS, "--validation", "new.jsonl", "--test", "new.jsonl")
    assert main(["train", *given, "--model-dir", "model", *SMALL]) == 0
    log = capsys.readouterr().out
    assert log.count("Of 4 tokens of in0, 1 stand for values that have no id of their own.") == 2
    assert "train: 200 pairs" in validated(capsys, *given)
    assert "validation: 4 pairs, 4 and 30 tokens" in validated(capsys, *given)


@pytest.mark.usefixtures("table")
def test_a_file_goes_before_a_share(capsys: pytest.CaptureFixture[str]) -> None:
    Path("table.jsonl").rename("0.5")
    text = validated(capsys, "--train", "table.csv", *COLUMNS, "--validation", "0.5")
    assert "train: 200 pairs" in text and "validation: 200 pairs" in text


@pytest.mark.usefixtures("table")
def test_sizes_that_are_given(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("-p", "enc0_vocab_size=50", "-p", "enc1_max_seq_len=2", "-p", "output_layer=softmax")
    command = ["train", "--train", "table.csv", *COLUMNS, *given, *SMALL, "--model-dir", "model"]
    assert main([*command, "--log", "sagemaker"]) == 0
    log = capsys.readouterr().out
    assert log.count("Creating data iterator for table.csv") == 1
    assert "One or more sequences have been truncated" in log
    model = Predictor.load("model")
    enc0, enc1 = model.hyperparameters.encoders
    assert (enc0.vocab_size, enc0.max_seq_len) == (50, 1)
    assert (enc1.vocab_size, enc1.max_seq_len) == (18, 2)
    # stars from 1 to 5 are classes from 0 on
    assert model.hyperparameters.num_classes == 6
    assert model.inputs is not None and model.inputs.in1.max_length == 2


@pytest.mark.usefixtures("table")
def test_an_encoder_1_like_encoder_0_takes_the_ids_of_both(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = validated(capsys, "--train", "table.csv", *COLUMNS, "-p", "enc1_network=enc0")
    assert text.count("pooled_embedding, 18 tokens of width 128, at most 8 in a sequence") == 2


@pytest.mark.usefixtures("table")
def test_positive_pairs_are_validated_with_negatives(capsys: pytest.CaptureFixture[str]) -> None:
    columns = ("--in0", "user", "--in1", "age", "--validation", "0.2")
    by_softmax = ("-p", "output_layer=softmax", *SMALL)
    command = ["train", "--train", "table.csv", *columns, *by_softmax, "--model-dir", "model"]
    assert main(command) == 0
    log = capsys.readouterr().out
    assert Predictor.load("model").hyperparameters.negative_sampling_rate == 3
    text = validated(capsys, *command[1:-2])
    found = re.search(r"^validation: .* labels 0: (\d+), 1: (\d+)$", text, re.MULTILINE)
    assert found is not None
    negatives, positives = map(int, found.groups())
    assert positives < negatives <= 3 * positives
    assert f"validating on {positives + negatives} pairs" in log


GOOD = ("--train", "table.csv", "--in0", "user", "--in1", "film", "--label", "rating")
MISTAKES: dict[str, tuple[Sequence[str], str]] = {
    "column": (["--label", "raing"], "'raing', which table.csv does not have (the nearest is"),
    "file": (["--train", "none.csv"], "there is no file or folder none.csv"),
    "no rows": (["--train", "empty.csv"], "empty.csv is empty"),
    "header only": (["--train", "header.csv"], "header.csv holds no row below its header"),
    "one column": (["--train", "one.csv"], "one.csv holds one column only"),
    "ragged": (["--train", "ragged.csv"], "ragged.csv, line 3"),
    "encoding": (["--train", "latin.csv"], "latin.csv, line 2"),
    "two kinds": (["--train", "kinds.csv"], "is of two kinds, a number as '4' (kinds.csv, line 2)"),
    "of all": (["--validation", "strange.csv"], "No value of \"user\" in strange.csv is known"),
    "other columns": (["--validation", "other.csv"], "which other.csv does not have"),
    "label": (["--validation", "label.csv"], "found 'good' (label.csv, line 3)"),
    "classes": (
        ["--validation", "more.csv", "-p", "output_layer=softmax"],
        "must be a whole number from 0 to 5, found '7' (more.csv, line 3)",
    ),
    "ids": (["-p", "enc1_vocab_size=11"], "in1 has 12 ids in table.csv: leave it out, or give 12"),
    "fewer classes": (
        ["-p", "output_layer=softmax", "-p", "num_classes=5"], "needs 6: leave it out"
    ),
    "no classes": (
        ["--label", "age", "-p", "output_layer=softmax"], "holds numbers that are none"
    ),
    "hyperparameter": (["-p", "epoch=3"], "'epoch' does not match"),
    "value": (["-p", "epochs=0"], "'epochs' should be within range (1, 100)"),
    "preset": (["--preset", "documents"], "The preset documents needs a text on each side"),
    "no preset": (["--preset", "rating"], "(the nearest is 'ratings')"),
    "share": (["--validation", "1.5"], "must be between 0 and 1"),
    "no such path": (["--validation", "none.csv"], "does not exist"),
    "split of nothing": (
        ["--split", "user", "--validation", "table.jsonl"], "--split needs a share of the rows"
    ),
    "base": (["--base", "."], "--base and --train exclude each other"),
    "file for a folder": (["--model-dir", "table.csv"], "is a file, not a folder"),
}  # fmt: skip
FILES = {
    "empty.csv": b"",
    "header.csv": b"user,film,rating\n",
    "one.csv": b"user\nu1\n",
    "ragged.csv": b"user,film,rating\nu1,f1,4\nu2,f1\n",
    "latin.csv": "user,film,rating\nü1,f1,4\n".encode("latin-1"),
    "kinds.csv": b"user,film,rating\nu1,f1,4\nu1,f2,good\n",
    "strange.csv": b'user,film,rating\nx1,"Film, 1",4\nx2,"Film, 2",4\n',
    "other.csv": b"person,film,rating\nu1,f1,4\n",
    "label.csv": b'user,film,rating\nu1,"Film, 1",4\nu1,"Film, 2",good\n',
    "more.csv": b'user,film,rating\nu1,"Film, 1",4\nu1,"Film, 2",7\n',
}


@pytest.mark.parametrize("command", ["train", "validate"])
@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.usefixtures("table")
def test_a_mistake_is_one_sentence_and_writes_nothing(
    mistake: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, words = MISTAKES[mistake]
    for name, content in FILES.items():
        Path(name).write_bytes(content)
    before = sorted(Path().rglob("*"))
    assert main([command, *GOOD, "--model-dir", "new/model", *arguments]) == 1
    assert words in one_sentence(capsys.readouterr().err)
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--train", "table.csv"], "name its columns by --in0, --in1 and --label"),
        (["--train", "table.jsonl"], "; the columns of a table have to be named: in0,"),
        (["--train", "table.csv", "--in0", "user"], "in1 is a column that holds the same value"),
        (["--train", "table.csv", "--label", "rating"],
         "--label can only be used together with --in0 and --in1"),
        (["--train", "table.csv", "--min-count", "2"], "--min-count can only be used together"),
        (["--train", "table.csv", "--seed", "0"], "--seed can only be used together with --in0"),
        (["--in0", "user", "--in1", "film"],
         "--in0, --in1 can only be used together with --train"),
        (["--in0", "user"], "--in1 is missing"),
        (["--train", "table.csv", "--preset", "ratings"], "A preset needs the columns of in0"),
        (["--preset", "ratings"], "--preset can only be used together with --train"),
    ],
    ids=["none", "none of JSON", "one", "label", "count", "seed", "contract", "contract, one",
         "preset", "contract, preset"],
)  # fmt: skip
@pytest.mark.usefixtures("table")
def test_columns_are_named_as_a_whole(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ("-p", "enc0_max_seq_len=3", "-p", "enc0_vocab_size=9", "--model-dir", "model")
    given = [*arguments, *sizes] if "--train" in arguments else arguments
    assert main(["train", *given]) == 1
    assert words in one_sentence(capsys.readouterr().err)
    assert not Path("model").exists()


@pytest.mark.slow
@pytest.mark.both_ways
@pytest.mark.timeout(400)
def test_movielens_in_one_command(
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base, test = (str(data_dir.resolve() / "ml-100k" / name) for name in ("ua.base", "ua.test"))
    monkeypatch.chdir(tmp_path)
    columns = ("--no-header", "--in0", "0", "--in1", "1", "--label", "2")
    command = ["--train", base, *columns, "--validation", "0.1", "--test", test]
    assert main(["train", *command, "--model-dir", "model", "-p", "_seed=1"]) == 0
    model = Predictor.load("model")
    assert model.inputs is not None and model.inputs.vocab_size("in0") == 944
    (error,) = re.findall(r"^test: mean_squared_error ([0-9.]+),", capsys.readouterr().out, re.M)
    # each person's mean is 1.09 off
    assert float(error) < 0.95


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table.csv in the current folder that takes seconds to read."""
    monkeypatch.chdir(tmp_path)
    write_large(rows=6_000_000)


def write_large(rows: int) -> None:
    """A gzipped table of a few megabytes at most."""
    some = "".join(f"u{row % 9},f{row % 7},{row % 5}\n" for row in range(100_000))
    header = gzip.compress(b"user,film,rating\n")
    Path("table.csv").write_bytes(header + rows // 100_000 * gzip.compress(some.encode()))


def started(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "object2vec", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.timeout(200)
def test_sigterm_while_a_table_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_large(rows=400_000_000)  # minutes: its reading does not come to its end
    with started("train", *GOOD, "--model-dir", "new/model", "--log", "sagemaker") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if b"Creating data iterator for table.csv" in line:
                break
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert b"Stopped by SIGTERM before the training began: nothing was saved." in out
    assert b"Rows read" not in out
    assert os.listdir() == ["table.csv"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.usefixtures("large")
@pytest.mark.timeout(200)
def test_a_signal_leaves_nothing_of_what_prepare_writes(number: signal.Signals) -> None:
    columns = ("--in0", "user", "--in1", "film", "--label", "rating", "--validation", "0.1")
    command = ("prepare", "--input", "table.csv", *columns, "--output", "new/channels")
    with started(*command) as process:
        while not list(Path().rglob("*.tmp")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate(timeout=100)
    # by its own handler, that of Python, or none
    wanted = {signal.SIGTERM: (-signal.SIGTERM, b""), signal.SIGINT: (130, b"Stopped.\n")}
    assert (process.returncode, err) == wanted[number]
    assert out == b"" and os.listdir() == ["table.csv"]


@pytest.mark.usefixtures("table")
def test_a_missing_pyarrow_is_named() -> None:
    code = (
        "import sys; sys.modules['pyarrow'] = None; from object2vec.cli import main\n"
        f"sys.exit(main(['train', *{GOOD}, '--model-dir', 'new/model']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'object2vec[table]'" in one_sentence(done.stderr)
    assert not Path("new").exists()
