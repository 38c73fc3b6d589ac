# SPDX-License-Identifier: Apache-2.0
"""Jobs under SageMaker's contract whose channels hold tables, or ids beside an inputs.json."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import pandas as pd
import pytest

from object2vec.cli import main
from object2vec.inference.predictor import Predictor
from object2vec.raw_values.encode_values import encode_side
from object2vec.raw_values.inputs_file import inputs_bytes, read_inputs
from object2vec.training.metric_lines import METRIC_DEFINITIONS
from tests.commands import one_sentence, write_table

COLUMNS = {"_in0": "user", "_in1": "film,genres", "_label": "rating"}
SMALL = {"epochs": "1", "enc_dim": "16", "_seed": "1"}
CSV = "text/csv"


@pytest.fixture
def frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """A table of raw values, also in table.csv in the current folder."""
    monkeypatch.chdir(tmp_path)
    write_table()
    return pd.read_csv("table.csv")


def build(channels: dict[str, tuple[Optional[str], bytes]], **given: str) -> None:
    """A job in the folder ml: the content type and the content of each channel."""
    types = {
        name: {"ContentType": content_type, "TrainingInputMode": "File"}
        for name, (content_type, _) in channels.items()
        if content_type is not None
    }
    files = {
        "config/hyperparameters.json": json.dumps({**SMALL, **given}).encode(),
        **{f"data/{name}/part-0": content for name, (_, content) in channels.items()},
    }
    if types:
        files["config/inputdataconfig.json"] = json.dumps(types).encode()
    for name, content in files.items():
        path = Path("ml/input", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def csv(frame: pd.DataFrame, **options: Any) -> bytes:
    return frame.to_csv(index=False, **options).encode(options.get("encoding", "utf-8"))


def parquet(frame: pd.DataFrame) -> bytes:
    frame.to_parquet("table.parquet")
    return Path("table.parquet").read_bytes()


def trained(capsys: pytest.CaptureFixture[str]) -> tuple[Predictor, str]:
    """The model of the job, and its log."""
    code = main(["train", "--base", "ml"])
    found = capsys.readouterr()
    assert code == 0, found.err
    return Predictor.load("ml/model"), found.out


FORMATS: dict[str, tuple[str, Callable[[pd.DataFrame], bytes]]] = {
    "CSV": (CSV, csv),
    "CSV, packed": (CSV, lambda frame: gzip.compress(csv(frame))),
    "TSV": (CSV, lambda frame: csv(frame, sep="\t")),
    "Parquet": ("application/x-parquet", parquet),
    "JSON Lines": (
        "application/jsonlines",
        lambda frame: frame.to_json(orient="records", lines=True).encode(),
    ),
    "Latin-1": ("text/csv; charset=ISO-8859-1", lambda frame: csv(frame, encoding="latin-1")),
}


@pytest.mark.parametrize("name", FORMATS)
def test_columns_alone_train_on_a_table(
    name: str, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    content_type, write = FORMATS[name]
    user = "ü" if name == "Latin-1" else "u"
    frame["user"] = frame["user"].str.replace("u", user)
    build(
        {
            "train": (content_type, write(frame[:150])),
            "validation": (content_type, write(frame[150:])),
            "test": (content_type, write(frame[150:])),
        },
        **COLUMNS,
    )
    model, log = trained(capsys)
    assert model.inputs is not None
    assert model.inputs.vocabularies["in0.0"].values == tuple(f"{user}{at}" for at in range(7))
    enc0, enc1 = model.hyperparameters.encoders
    assert (enc0.vocab_size, enc0.max_seq_len) == (8, 1)
    assert (enc1.vocab_size, enc1.max_seq_len) == (18, 8)
    assert model.hyperparameters.is_regression
    # the lines of the contract, and one of what was found
    assert log.count("Creating data iterator for ml/input/data/") == 3
    assert log.count("0 sentence pairs discarded") == 3
    assert log.count("in0: user (id); 8 ids, lists of up to 1 token. in1: film (id), genres") == 1
    for metric in METRIC_DEFINITIONS:
        if metric.name in ("train:mean_squared_error", "validation:mean_squared_error"):
            assert metric.name.split(":")[0] in log
    assert "test mean_squared_error <loss>=" in log


def test_the_model_is_that_of_the_command_line(
    frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    build({"train": (CSV, csv(frame)), "validation": (CSV, csv(frame[:40]))}, **COLUMNS)
    model, _ = trained(capsys)
    Path("validation.csv").write_bytes(csv(frame[:40]))
    direct = ["--train", "table.csv", "--validation", "validation.csv", "--model-dir", "model"]
    direct += ["--in0", "user", "--in1", "film,genres", "--label", "rating"]
    for name, value in SMALL.items():
        direct += ["-p", f"{name}={value}"]
    assert main(["train", *direct]) == 0
    other = Predictor.load("model")
    assert other.metrics == model.metrics and other.inputs == model.inputs
    assert other.hyperparameters == model.hyperparameters
    manifests = [json.loads(Path(name, "model.json").read_text()) for name in ("ml/model", "model")]
    assert manifests[0]["files"] == manifests[1]["files"]


@pytest.mark.parametrize(
    ("content_type", "header"),
    [("text/csv; header=absent", False), (CSV, False), (CSV, True),
     ("text/csv;header=present", True)],
    ids=["said to be absent", "absent", "that counts the columns", "said to be present"],
)  # fmt: skip
def test_columns_by_position(
    content_type: str, header: bool, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    table = frame[["user", "film", "rating"]].set_axis(["0", "1", "2"], axis=1)
    content = csv(table, header=header)
    build({"train": (content_type, content)}, _in0="0", _in1="1", _label="2")
    model, log = trained(capsys)
    assert "Rows read: 200." in log
    assert model.inputs is not None and model.inputs.vocab_size("in0") == 8


def test_names_as_json_and_labels_as_classes(
    frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = frame.rename(columns={"film": "film, long"})
    given = {"_in0": '"user"', "_in1": '["film, long", "genres"]', "_label_kind": "class"}
    build({"train": (CSV, csv(frame))}, **{**COLUMNS, **given})
    model, _ = trained(capsys)
    assert model.inputs is not None
    assert [column.name for column in model.inputs.in1.columns] == ["film, long", "genres"]
    assert model.inputs.label.classes == ("1", "2", "3", "4", "5")
    assert model.hyperparameters.num_classes == 5
    build({}, **{**COLUMNS, "_in1": "['film, long', 'genres']", "_label": "rating"})
    columns = trained(capsys)[0].inputs.in1.columns  # type: ignore[union-attr]
    assert [column.name for column in columns] == ["film, long", "genres"]
    build({}, **{**COLUMNS, "_in1": '"film, long",genres', "_label": "null"})
    assert trained(capsys)[0].hyperparameters.is_contrastive


@pytest.fixture
def prepared(frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> Path:
    """What `prepare` writes of the table."""
    columns = ("--in0", "user", "--in1", "film,genres", "--label", "rating")
    assert main(["prepare", "--input", "table.csv", *columns, "--output", "channels"]) == 0
    capsys.readouterr()
    return Path("channels")


def test_inputs_json_of_the_auxiliary_channel_stays_in_the_model(
    prepared: Path, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    auxiliary = prepared / "auxiliary/inputs.json"
    given = {
        "enc0_network": "pooled_embedding",
        "enc1_network": "pooled_embedding",
        "output_layer": "mean_squared_error",
    }
    ids = ("application/jsonlines", (prepared / "train/train.jsonl").read_bytes())
    build({"train": ids, "auxiliary": ("application/json", b"")}, **given)
    Path("ml/input/data/auxiliary/part-0").rename("ml/input/data/auxiliary/inputs.json")
    Path("ml/input/data/auxiliary/inputs.json").write_bytes(auxiliary.read_bytes())
    by_ids, log = trained(capsys)
    assert by_ids.inputs is not None and inputs_bytes(by_ids.inputs) == auxiliary.read_bytes()
    enc0, enc1 = by_ids.hyperparameters.encoders
    assert (enc0.vocab_size, enc0.max_seq_len) == (8, 1)
    assert (enc1.vocab_size, enc1.max_seq_len) == (18, 8)
    assert "num_classes" not in log.partition("Merging")[2].partition("Final")[0]
    # raw values in the channel become the same ids
    for content_type, content in ((CSV, csv(frame)), ("application/x-parquet", parquet(frame))):
        of_auxiliary = ("application/json", auxiliary.read_bytes())
        build({"train": (content_type, content), "auxiliary": of_auxiliary}, **given)
        by_values, log = trained(capsys)
        assert "Rows read: 200. Pairs made: 200 for train." in log
        assert by_values.metrics == by_ids.metrics
    # a recipe settles what else the channel needs
    build({}, _preset="auto")
    assert trained(capsys)[0].hyperparameters.scorer == "dot"
    # JSON around a value changes nothing of what follows from it
    build({}, _preset='"auto"', output_layer='"mean_squared_error"', enc1_network='"enc0"')
    model, log = trained(capsys)
    assert [encoder.vocab_size for encoder in model.hyperparameters.encoders] == [18, 18]
    assert "is replaced by" not in log and "Ignoring the hyperparameter" not in log
    Path("ml/input/config/inputdataconfig.json").unlink()
    rows = frame.to_json(orient="records", lines=True).encode()
    build({"train": (None, rows)}, **given)
    assert trained(capsys)[0].metrics == by_ids.metrics


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"enc1_vocab_size": "17"}, "enc1_vocab_size is 17, but in1 has 18 ids in"),
        ({"_in0": "user", "_in1": "film"}, "leave one of them out"),
    ],
    ids=["size", "columns"],
)
def test_what_does_not_fit_an_inputs_json(
    given: dict[str, str], words: str, prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = {"enc0_network": "pooled_embedding", "enc1_network": "pooled_embedding"}
    build({"train": (None, (prepared / "train/train.jsonl").read_bytes())}, **network, **given)
    (prepared / "auxiliary").rename("ml/input/data/auxiliary")
    assert main(["train", "--base", "ml"]) == 1
    assert words in one_sentence(capsys.readouterr().err)
    assert words in Path("ml/output/failure").read_text()


def test_an_unsound_inputs_json_is_refused(
    prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--train", "channels/train", "--auxiliary", "channels/auxiliary", "--model-dir", "new"]
    (prepared / "auxiliary/inputs.json").write_text('{"format": "object2vec inputs"}')
    assert main(["train", *given]) == 1
    assert "channels/auxiliary/inputs.json" in one_sentence(capsys.readouterr().err)
    assert not Path("new").exists()


def test_encoder_1_like_encoder_0_has_room_for_the_ids_of_both(
    prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--train", "channels/train", "--auxiliary", "channels/auxiliary"]
    given += ["-p", "enc0_network=bilstm", "-p", "output_layer=mean_squared_error"]
    assert main(["validate", *given]) == 0
    text = capsys.readouterr().out
    assert text.count("bilstm, 1 layer, 18 tokens of width 300, at most 8 in a sequence") == 2
    assert read_inputs(prepared / "auxiliary/inputs.json").vocab_size("in0") == 8


MISTAKES: dict[str, tuple[dict[str, str], Optional[str], bytes, str]] = {
    "no columns": (
        {}, CSV, b"user,film\nu1,f1\n",
        "No value(s) were specified for 'enc0_max_seq_len', 'enc0_vocab_size' which are required",
    ),
    "sizes, no columns": (
        {"enc0_max_seq_len": "1", "enc0_vocab_size": "9"}, CSV, b"user,film\nu1,f1\n",
        "it must be application/jsonlines, or name its columns",
    ),
    "other type": (
        COLUMNS, "application/x-recordio", b"user,film\nu1,f1\n",
        "it must be application/jsonlines or text/csv or application/x-parquet",
    ),
    "one side": ({"_in0": "user"}, CSV, b"", "_in1 is missing: a pair has columns of in0 and of"),
    "label alone": ({"_label": "rating"}, CSV, b"", "_label is given, but _in0 and _in1 are"),
    "open quote": ({**COLUMNS, "_in1": '"film'}, CSV, b"", "'_in1' should be names of columns"),
    "empty": ({**COLUMNS, "_in1": "film,,age"}, CSV, b"", "'_in1' should be names of columns"),
    "kind": ({**COLUMNS, "_label_kind": "classes"}, CSV, b"", "'_label_kind' should be 'auto'"),
    "name": ({**COLUMNS, "_in2": "x"}, CSV, b"", "'_in2' does not match"),
    "column": (COLUMNS, CSV, b"user,films,genres,rating\n1,2,3,4\n", "(the nearest is 'films')"),
    "charset": (
        COLUMNS, "text/csv; charset=utf-9", b"user,film\n", "charset must be one that Python knows"
    ),
    "header": (
        COLUMNS, "text/csv; header=maybe", b"user,film,genres,rating\n1,2,3,4\n",
        "'text/csv; header=maybe', but header must be present or absent",
    ),
    "one column": (COLUMNS, CSV, b"user\n1\n", "holds one column only, 'user'."),
    "endless quote": (
        COLUMNS, CSV, b'user,film,genres,rating\n1,2,3,"4\n', "quoted field are written twice."
    ),
    "two kinds": (
        COLUMNS, CSV, b"user,film,genres,rating\n1,2,3,4\n1,2,3,good\n",
        "or give _label_kind=class to take all as names",
    ),
    "long name": (COLUMNS, CSV, b"user,films,genres,rating\n1,2,3,4\n", "_in1 names the column"),
    "preset": ({**COLUMNS, "_preset": "documents"}, CSV, b"user,film,genres,rating\n1,2,3,4\n",
        "The preset documents needs a text on each side"),
    "no preset": ({**COLUMNS, "_preset": "rating"}, CSV, b"", "(did you mean 'ratings'?)"),
    "no header": (
        COLUMNS, "text/csv; header=absent", b"u1,f1,War,3\n", "which ml/input/data/train/part-0"
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.usefixtures("frame")
def test_a_mistake_is_one_sentence(mistake: str, capsys: pytest.CaptureFixture[str]) -> None:
    given, content_type, content, words = MISTAKES[mistake]
    build({"train": (content_type, content)}, **given)
    assert main(["train", "--base", "ml"]) == 1
    assert words in one_sentence(capsys.readouterr().err)
    assert words in Path("ml/output/failure").read_text()
    assert not Path("ml/model").exists()


@pytest.mark.usefixtures("frame")
def test_columns_are_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--train", "table.csv", "--in0", "user", "--in1", "film", "-p", "_in0=user"]
    assert main(["validate", *given]) == 1
    assert "named twice, by --in0 and by _in0" in one_sentence(capsys.readouterr().err)
    given = ["--train", "table.csv", "--in0", "user", "--in1", "film", "-p", "_preset=documents"]
    assert main(["validate", *given]) == 1
    assert "The preset documents needs a text on each side" in one_sentence(capsys.readouterr().err)
    given = ["--train", "table.csv", "-p", "_in0=user", "-p", "_in1=film", "-p", "_label=rating"]
    assert main(["validate", *given]) == 0


@pytest.mark.parametrize("name", ["tied_token_embedding_weight", "tied_encoders"])
def test_one_token_table_takes_one_vocabulary(
    name: str, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named by hyperparameters or by options, as it is of `Object2Vec.from_table`."""
    frame["other"] = frame["user"].to_numpy()[::-1]
    named = {"_in0": "user", "_in1": "other", "_label": "rating"}
    frame.to_csv("table.csv", index=False)
    build({"train": (CSV, csv(frame))}, **named, **{name: "true"})
    by_hyperparameters, _ = trained(capsys)
    columns = ["--in0", "user", "--in1", "other", "--label", "rating"]
    small = [word for pair in SMALL.items() for word in ("-p", "=".join(pair))]
    given = ["--train", "table.csv", "--model-dir", "model", "-p", f"{name}=true"]
    assert main(["train", *given, *columns, *small]) == 0, capsys.readouterr().err
    for model in (by_hyperparameters, Predictor.load("model")):
        assert model.inputs is not None and model.inputs.tied
        in0, in1 = (encode_side(model.inputs, side, ["u1", "u2"]) for side in ("in0", "in1"))
        assert in0.tokens.tolist() == in1.tokens.tolist()
