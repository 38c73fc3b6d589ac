# SPDX-License-Identifier: Apache-2.0
"""Bad inputs of every kind: each ends in one clear sentence in the failure file."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from object2vec.cli import main

GOOD = {
    "enc0_max_seq_len": "5",
    "enc0_vocab_size": "20",
    "enc0_network": "pooled_embedding",
    "enc_dim": "8",
    "mlp_dim": "4",
    "epochs": "1",
}
HYPERPARAMETERS_FILE = "input/config/hyperparameters.json"
CHANNELS_FILE = "input/config/inputdataconfig.json"
MACHINES_FILE = "input/config/resourceconfig.json"
TRAIN = "input/data/train/train.jsonl"
PAIR = '{"label": 1, "in0": [1, 2], "in1": [3]}'
TWO_SIDED = {"enc1_network": "pooled_embedding"}
HCNN = {"enc0_network": "hcnn", "enc1_network": "hcnn", "enc0_token_embedding_dim": "4"}
REGRESSION = {"output_layer": "mean_squared_error"}
VECTORS = {"enc0_pretrained_embedding_file": "vectors.txt", "enc0_vocab_file": "vocab.json"}
VOCABULARY = {f"w{i}": i for i in range(20)}

Change = Callable[[Path], None]


class Case:
    """One bad input: what is changed in a good job, and the words that the failure must hold."""

    def __init__(
        self,
        name: str,
        *words: str,
        given: Optional[dict[str, Any]] = None,
        without: str = "",
        change: Optional[Change] = None,
        code: int = 1,
    ) -> None:
        self.name = name
        self.words = words
        self.given = given or {}
        self.without = without
        self.change = change
        self.code = code

    def build(self, base: Path) -> None:
        values = {name: value for name, value in GOOD.items() if name != self.without}
        write(base, HYPERPARAMETERS_FILE, json.dumps({**values, **self.given}))
        write(
            base,
            CHANNELS_FILE,
            json.dumps({"train": {"ContentType": "application/jsonlines"}}),
        )
        write(
            base,
            MACHINES_FILE,
            json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]}),
        )
        write(base, TRAIN, f"{PAIR}\n{PAIR}\n")
        if self.change is not None:
            self.change(base)


def write(base: Path, name: str, content: Any) -> None:
    path = base / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def put(name: str, content: Any) -> Change:
    return lambda base: write(base, name, content)


def config(**channels: Any) -> Change:
    """Channels in inputdataconfig.json; each gets a folder with one good pair."""

    def change(base: Path) -> None:
        write(base, CHANNELS_FILE, json.dumps(channels))
        for name in channels:
            if name in ("validation", "test"):
                write(base, f"input/data/{name}/data.jsonl", PAIR)

    return change


def channel(name: str, line: str) -> Change:
    """A further channel whose second line is bad."""

    def change(base: Path) -> None:
        config(train={}, **{name: {}})(base)
        write(base, f"input/data/{name}/data.jsonl", f"{PAIR}\n{line}\n")

    return change


def auxiliary(**files: Any) -> Change:
    """The channel auxiliary with ``vectors`` and ``vocab``, sound ones where they are not given."""

    def change(base: Path) -> None:
        config(train={}, auxiliary={})(base)
        vectors = "".join(f"w{i} {' '.join(['0.5'] * 8)}\n" for i in range(20))
        write(base, "input/data/auxiliary/vectors.txt", files.get("vectors", vectors))
        vocab = json.dumps(VOCABULARY)
        write(base, "input/data/auxiliary/vocab.json", files.get("vocab", vocab))

    return change


def model_channel(base: Path) -> None:
    config(train={}, model={})(base)
    write(base, "input/data/model/model_algo-1", b"\x00")


def no_train_folder(base: Path) -> None:
    (base / TRAIN).unlink()
    (base / "input/data/train").rmdir()


def only_empty_files(base: Path) -> None:
    write(base, TRAIN, "")
    write(base, "input/data/train/.hidden.jsonl", PAIR)


def only_marks(base: Path) -> None:
    (base / TRAIN).unlink()
    write(base, "input/data/train/_committed_77", '{"added": ["part-00000"], "removed": []}')


def no_hyperparameters(base: Path) -> None:
    (base / HYPERPARAMETERS_FILE).unlink()


def value(name: str, text: Any, *words: str, **also: str) -> Case:
    """A hyperparameter with a bad value; the failure names it."""
    return Case(f"{name}={text}", f"'{name}'", *words, given={**also, name: text})


def line(name: str, text: str, *words: str, **given: Any) -> Case:
    """A bad second line in the train channel; the failure names file and line."""
    return Case(
        name,
        "train.jsonl",
        "line 2",
        *words,
        given=given,
        change=put(TRAIN, f"{PAIR}\n{text}\n{PAIR}\n"),
    )


HYPERPARAMETERS = [
    Case("no vocab_size", "'enc0_vocab_size'", "required", without="enc0_vocab_size"),
    Case("no max_seq_len", "'enc0_max_seq_len'", "required", without="enc0_max_seq_len"),
    Case("unknown name", "'foo' does not match any of the regexes", given={"foo": "1"}),
    value("enc0_vocab_size", "1", "(2, 3000000)"),
    value("enc0_vocab_size", "3000001", "(2, 3000000)"),
    value("enc0_max_seq_len", "0", "(1, 5000)"),
    value("enc0_max_seq_len", "5001", "(1, 5000)"),
    value("enc0_network", "lstm", "hcnn"),
    value("enc0_network", "enc0", "hcnn"),
    value("enc1_network", "enc1", "enc0"),
    value("enc0_layers", "5", "4"),
    value("enc0_layers", "many", "auto"),
    value("enc0_cnn_filter_width", "10", "(1, 9)"),
    value("enc0_token_embedding_dim", "1", "(2, 1000)"),
    value("enc1_token_embedding_dim", "1001", "(2, 1000)"),
    value("enc0_pretrained_embedding_file", "../secret.txt"),
    value("enc0_vocab_file", "a b.json"),
    value("enc0_freeze_pretrained_embedding", "maybe", "True"),
    value("enc_dim", "3", "(4, 10000)"),
    value("enc_dim", "10001", "(4, 10000)"),
    value("comparator_list", "", "hadamard"),
    value("comparator_list", "hadamard, cosine", "cosine"),
    value("comparator_list", "concat, concat", "concat"),
    value("mlp_layers", "11", "(0, 10)"),
    value("mlp_dim", "1", "(2, 10000)"),
    value("mlp_activation", "sigmoid", "tanh"),
    value("output_layer", "cross_entropy", "softmax"),
    value("num_classes", "31", "(2, 30)"),
    value("num_classes", "two", "(2, 30)"),
    value("dropout", "-0.1", "(0, 1)"),
    value("dropout", "1.01", "(0, 1)"),
    value("tied_token_embedding_weight", "2", "True"),
    value("token_embedding_storage_type", "sparse", "row_sparse"),
    value("optimizer", "adamax", "adam"),
    value("learning_rate", "nan"),
    value("learning_rate", "inf"),
    value("learning_rate", "0"),
    value("learning_rate", "2"),
    value("weight_decay", "10001", "10000"),
    value("mini_batch_size", "0", "(1, 10000)"),
    value("epochs", "101", "(1, 100)"),
    value("epochs", "3.5", "3.5"),
    value("epochs", {"a": 1}),
    value("early_stopping_patience", "6", "(1, 5)"),
    value("early_stopping_tolerance", "0.5", "0.1"),
    value("bucket_width", "101", "(0, 100)"),
    value("negative_sampling_rate", "-1", "-1"),
    value("_seed", "-1", "-1"),
    value("_tuning_objective_metric", "validation:rmse", "validation:"),
    Case(
        "row_sparse rmsprop",
        "row_sparse",
        "rmsprop",
        "adagrad",
        given={"optimizer": "rmsprop", "token_embedding_storage_type": "row_sparse"},
    ),
    Case(
        "row_sparse adadelta",
        "row_sparse",
        "adadelta",
        given={"optimizer": "adadelta", "token_embedding_storage_type": "row_sparse"},
    ),
    Case(
        "tied, unequal vocabularies",
        "20",
        "30",
        "vocab_size",
        given={**TWO_SIDED, "tied_token_embedding_weight": "true", "enc1_vocab_size": "30"},
    ),
    Case(
        "tied, unequal widths",
        "4",
        "6",
        "token_embedding_dim",
        given={**HCNN, "tied_token_embedding_weight": "true", "enc1_token_embedding_dim": "6"},
    ),
    Case("two errors at once", "'epochs'", "'mlp_dim'", given={"epochs": "0", "mlp_dim": "1"}),
    Case("no hyperparameters", "hyperparameters.json", change=no_hyperparameters),
    Case(
        "broken hyperparameters",
        "hyperparameters.json",
        "JSON",
        change=put(HYPERPARAMETERS_FILE, "{"),
    ),
    Case(
        "hyperparameters are a list",
        "hyperparameters.json",
        "object",
        change=put(HYPERPARAMETERS_FILE, "[]"),
    ),
]

CHANNELS = [
    Case("no train channel", "train", "validation", change=config(validation={})),
    Case("a channel training", "rename training to train", change=config(training={})),
    Case("train folder missing", "train", change=no_train_folder),
    Case("nothing but empty and hidden files", "train", "holds no pair", change=only_empty_files),
    Case(
        "nothing but what Spark leaves",
        "holds no pair",
        "_committed_77",
        change=only_marks,
    ),
    Case("only blank lines", "train", "holds no pair", change=put(TRAIN, "\n \n")),
    Case(
        "broken inputdataconfig",
        "inputdataconfig.json",
        "JSON",
        change=put(CHANNELS_FILE, "{train"),
        code=3,
    ),
    Case(
        "broken resourceconfig",
        "resourceconfig.json",
        "JSON",
        change=put(MACHINES_FILE, ""),
        code=3,
    ),
    Case(
        "JSON in JSON",
        "'enc0_network' should be written as JSON once at most",
        given={"enc0_network": '"\\"hcnn\\""'},
    ),
    Case(
        "two machines",
        "one machine",
        "algo-2",
        change=put(MACHINES_FILE, '{"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]}'),
    ),
    Case(
        "train is CSV",
        "train",
        "text/csv",
        "application/jsonlines",
        change=config(train={"ContentType": "text/csv"}),
    ),
    Case(
        "validation is JSON",
        "validation",
        "'application/json'",
        change=config(train={}, validation={"ContentType": "application/json"}),
    ),
    Case("the original's model", "model_algo-1", "not published", change=model_channel),
    Case(
        "the original's model as data",
        "model_algo-1",
        "not published",
        change=put("input/data/train/model_algo-1", b"\x00"),
    ),
]

DATA = [
    line("broken JSON", '{"label": 1, "in0": [1', "JSON"),
    line("CSV", "1,2,3", "JSON"),
    line("a list", "[1, 2, 3]", "object"),
    Case(
        "CSV from its first line",
        "looks like CSV",
        "train.jsonl, line 1",
        change=put(TRAIN, "1,2,3\n"),
    ),
    Case(
        "Parquet", "looks like Parquet", "train.jsonl, line 1", change=put(TRAIN, b"PAR1\x15\x04")
    ),
    Case(
        "a JSON array",
        "looks like a JSON array",
        "train.jsonl, line 1",
        change=put(TRAIN, f"[{PAIR}]"),
    ),
    line("no in0", '{"label": 1, "in1": [1]}', "in0 is missing"),
    line("no in1", '{"label": 1, "in0": [1]}', "in1 is missing"),
    line("no label", '{"in0": [1], "in1": [1]}', "label is missing"),
    line("in0 is a number", '{"label": 1, "in0": 1, "in1": [1]}', "in0", "[1]"),
    line("in0 is a string", '{"label": 1, "in0": "1 2", "in1": [1]}', "in0", "list"),
    line("in1 is null", '{"label": 1, "in0": [1], "in1": null}', "in1", "null"),
    line("a word", '{"label": 1, "in0": ["one"], "in1": [1]}', "in0", '"one"'),
    line("a fraction", '{"label": 1, "in0": [1], "in1": [1.5]}', "in1", "1.5"),
    line("a boolean", '{"label": 1, "in0": [true], "in1": [1]}', "in0", "true"),
    line("a nested list", '{"label": 1, "in0": [[1]], "in1": [1]}', "in0", "[1]"),
    line("a negative id", '{"label": 1, "in0": [-1], "in1": [1]}', '"-1"'),
    line(
        "an id too large",
        '{"label": 1, "in0": [1], "in1": [20]}',
        'Inconsistent vocab for in1 found. Vocab id "20" is not less than vocab_size=20',
    ),
    line("an id beyond the length", '{"label": 1, "in0": [1, 1, 1, 1, 1, 99], "in1": [2]}', '"99"'),
    line("an enormous id", '{"label": 1, "in0": [99999999999999999999], "in1": [2]}', "in0"),
    line("label is a string", '{"label": "1", "in0": [1], "in1": [1]}', "label", '"1"'),
    line("label is null", '{"label": null, "in0": [1], "in1": [1]}', "label", "null"),
    line("label is NaN", '{"label": NaN, "in0": [1], "in1": [1]}', "JSON"),
    line("label out of range", '{"label": 2, "in0": [1], "in1": [1]}', "label", "0 to 1"),
    line("label is negative", '{"label": -1, "in0": [1], "in1": [1]}', "label", "-1"),
    line("label is a fraction", '{"label": 0.5, "in0": [1], "in1": [1]}', "label", "0.5"),
    line("label is no number", '{"label": [1], "in0": [1], "in1": [1]}', "label", **REGRESSION),
    line("label is infinite", '{"label": 1e400, "in0": [1], "in1": [1]}', **REGRESSION),
    Case(
        "not UTF-8",
        "train.jsonl",
        "line 2",
        change=put(
            TRAIN, f"{PAIR}\n".encode() + b'{"label": 1, "in0": [1], "in1": [2], "x": "\xff"}\n'
        ),
    ),
    Case(
        "broken gzip",
        "train.jsonl.gz",
        change=put(
            "input/data/train/train.jsonl.gz", gzip.compress(f"{PAIR}\n".encode() * 99)[:40]
        ),
    ),
    Case("second file", "b.jsonl", "line 1", change=put("input/data/train/deep/er/b.jsonl", "{}")),
    Case(
        "validation",
        "data.jsonl",
        "line 2",
        '"77"',
        change=channel("validation", '{"label": 1, "in0": [77], "in1": [1]}'),
    ),
    Case(
        "test", "data.jsonl", "line 2", "label", change=channel("test", '{"in0": [7], "in1": [1]}')
    ),
]

AUXILIARY = [
    Case("no auxiliary channel", "auxiliary", given=VECTORS),
    Case(
        "vector file missing",
        "other.txt",
        given={**VECTORS, "enc0_pretrained_embedding_file": "other.txt"},
        change=auxiliary(),
    ),
    Case(
        "vocabulary missing",
        "other.json",
        given={**VECTORS, "enc0_vocab_file": "other.json"},
        change=auxiliary(),
    ),
    Case("vocabulary is broken", "vocab.json", "JSON", given=VECTORS, change=auxiliary(vocab="{")),
    Case(
        "vocabulary is a list",
        "vocab.json",
        "object",
        given=VECTORS,
        change=auxiliary(vocab='["a", "b"]'),
    ),
    Case(
        "vocabulary has a word as id",
        "vocab.json",
        given=VECTORS,
        change=auxiliary(vocab='{"a": "one"}'),
    ),
    Case(
        "vocabulary id too large",
        "vocab.json",
        "20",
        given=VECTORS,
        change=auxiliary(vocab='{"a": 20}'),
    ),
    Case(
        "vocabulary id negative",
        "vocab.json",
        "-1",
        given=VECTORS,
        change=auxiliary(vocab='{"a": -1}'),
    ),
    Case(
        "vectors of another width",
        "vectors.txt",
        "3",
        "8",
        given=VECTORS,
        change=auxiliary(vectors="w0 1 2 3\nw1 1 2 3\n"),
    ),
    Case("vector file is empty", "vectors.txt", given=VECTORS, change=auxiliary(vectors="")),
    Case(
        "no word in common",
        "vectors.txt",
        "vocab.json",
        given=VECTORS,
        change=auxiliary(vectors="other 1 2 3 4 5 6 7 8\n"),
    ),
]

CASES = [*HYPERPARAMETERS, *CHANNELS, *DATA, *AUXILIARY]


def assert_clear(failure: str, case: Case) -> None:
    assert failure.startswith({1: "Customer Error: ", 3: "Platform Error: "}[case.code])
    assert "\n" not in failure.strip()
    # SageMaker shows the first 1,024 characters.
    assert len(failure) <= 1024
    assert "Traceback" not in failure
    for word in case.words:
        assert word in failure


def test_the_unchanged_job_is_sound(tmp_path: Path) -> None:
    Case("good").build(tmp_path)
    assert main(["validate", "--base", str(tmp_path)]) == 0


def test_there_are_at_least_sixty_and_all_differ() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 60


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_bad_input(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case.build(tmp_path)
    assert main(["train", "--base", str(tmp_path)]) == case.code
    failure = (tmp_path / "output/failure").read_text(encoding="utf-8")
    assert_clear(failure, case)
    captured = capsys.readouterr()
    assert failure.strip() in captured.err
    assert "Traceback" not in captured.out + captured.err
    assert not (tmp_path / "model").exists() or not list((tmp_path / "model").iterdir())


@pytest.mark.parametrize(
    "name", ["num_classes=31", "two machines", "an id too large", "vectors of another width"]
)
def test_bad_input_of_a_real_process(name: str, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == name)
    case.build(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "object2vec", "train"],
        env={**os.environ, "OBJECT2VEC_BASE": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == case.code
    failure = (tmp_path / "output/failure").read_text(encoding="utf-8")
    assert_clear(failure, case)
    assert done.stderr.strip() == failure.strip()


def test_checks_need_no_mxnet(tmp_path: Path) -> None:
    Case("good").build(tmp_path)
    write(tmp_path, TRAIN, "{}")
    program = (
        "import sys; from object2vec.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(code if 'mxnet' not in sys.modules else 99)"
    )
    for command, expected in (("train", 1), ("validate", 1)):
        done = subprocess.run(
            [sys.executable, "-c", program, command, "--base", str(tmp_path)],
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == expected, done.stderr
