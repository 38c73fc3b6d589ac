# SPDX-License-Identifier: Apache-2.0
"""Tables whose label is a column of tags: several classes a row, or none."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from object2vec import Object2Vec
from object2vec.cli import main
from object2vec.data.dataset import read_channel
from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import parse
from object2vec.model.model_directory import load_model
from object2vec.prepare.table_choice import TableChoice
from object2vec.prepare.table_pairs import encode_table, table_pairs
from object2vec.raw_values.inputs import Label
from object2vec.raw_values.inputs_file import inputs_bytes, parse_inputs

PLOTS = {
    "a thief robs a bank in the night": ["Crime"],
    "two lovers meet in the rain again": ["Drama", "Romance"],
    "a detective falls in love and dies": ["Crime", "Romance"],
    "nothing at all happens in this film": [],
}
ROWS = [
    {"plot": plot, "title": f"film {number % 3}", "genres": genres}
    for number, (plot, genres) in enumerate(list(PLOTS.items()) * 15)
]
CLASSES = ("Crime", "Drama", "Romance")
COLUMNS: dict[str, Any] = {"in0": "plot", "in1": "title", "label": "genres"}
HAS = np.array([[name in row["genres"] for name in CLASSES] for row in ROWS], np.float32)


def written(separator: str, nothing: str = "[]") -> list[dict[str, Any]]:
    return [{**row, "genres": separator.join(row["genres"]) or nothing} for row in ROWS]


@pytest.fixture(scope="module")
def model() -> Object2Vec:
    given = {"epochs": 8, "token_dropout": 0.0, "mini_batch_size": 8, "learning_rate": 0.02}
    return Object2Vec.from_table(ROWS, **COLUMNS, **given, seed=1)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (ROWS, "auto"),
        (pd.DataFrame(ROWS), "auto"),
        (pa.Table.from_pylist(ROWS), "auto"),
        (ROWS, "tags"),
        (written("|"), "tags"),
        (written("; "), "tags"),
        (written(", "), "tags"),
        ([{**row, "genres": json.dumps(row["genres"])} for row in ROWS], "tags"),
        ([{**row, "genres": repr(row["genres"])} for row in ROWS], "tags"),
    ],
    ids=["dicts", "frame", "arrow", "named", "bars", "semicolons", "commas", "json", "python"],
)
def test_tags_are_found_in_every_form(source: Any, kind: str) -> None:
    pairs, inputs, _ = table_pairs(source, TableChoice(**COLUMNS, label_kind=kind))
    assert (inputs.label.kind, inputs.label.classes) == ("tags", CLASSES)
    np.testing.assert_array_equal(pairs["train"].labels, HAS)
    assert parse_inputs(inputs_bytes(inputs)) == inputs


def test_texts_are_names_of_classes_unless_tags_are_asked_for() -> None:
    _, inputs, _ = table_pairs(written("|"), TableChoice(**COLUMNS))
    assert inputs.label == Label(
        "class", "genres", ("Crime", "Crime|Romance", "Drama|Romance", "[]")
    )


@pytest.mark.parametrize("missing", [None, ""])
def test_a_missing_cell_is_no_list_without_tags(missing: Any) -> None:
    rows: list[dict[str, Any]] = [*ROWS[:8], {**ROWS[0], "genres": missing}]
    if missing == "":
        rows = [*written("|")[:8], rows[-1]]
    pairs, _, report = table_pairs(rows, TableChoice(**COLUMNS, label_kind="tags"))
    assert (len(pairs["train"]), report.left_out) == (8, 1)
    np.testing.assert_array_equal(pairs["train"].labels, HAS[:8])


def test_rows_that_are_split_and_exploded_keep_their_tags() -> None:
    rows = [{**row, "title": "a|b" if row["genres"] else "c"} for row in ROWS[:8]]
    in1 = {"name": "title", "kind": "tags", "explode": True}
    pairs, _, _ = table_pairs(rows, TableChoice(in0="plot", in1=in1, label="genres"))
    np.testing.assert_array_equal(
        pairs["train"].labels, np.repeat(HAS[:8], [2, 2, 2, 1] * 2, axis=0)
    )


NAMES = "The label 'genres' has more than 30 different names"
MOST = "but num_classes is 30 at most:"
MANY = "output_layer=multi_label takes tags for labels, but"
WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "softmax": (
        ROWS,
        {"output_layer": "softmax"},
        "output_layer=softmax takes no tags for labels, but the label 'genres' of the table holds "
        "tags: take output_layer=multi_label.",
    ),
    "too few": (
        ROWS,
        {"num_classes": 2},
        "num_classes is 2, but the label 'genres' of the table needs 3: leave it out, or give 3 "
        "or more.",
    ),
    "names": (
        written("|"),
        {"output_layer": "multi_label"},
        f"{MANY} the label 'genres' of the table holds names of classes: give label_kind='tags' "
        "if they are such.",
    ),
    "none": (
        ROWS,
        {"output_layer": "multi_label", "label": None},
        f"{MANY} the table has no labels: name the label's column.",
    ),
    "weights": (
        ROWS,
        {"class_weights": [1, 2]},
        "'class_weights' must hold a number for each class, but it holds 2 and 'num_classes' is 3.",
    ),
    "kind": (
        ROWS,
        {"label_kind": "many"},
        "The kind of a label must be one of auto, number, class, tags, found 'many'.",
    ),
    "nothing": ([{**ROWS[0], "genres": []}], {}, "The column 'genres' holds no label."),
    "many tags": (
        [{**ROWS[0], "genres": [f"g{number}" for number in range(40)]}],
        {},
        f"{NAMES} (g0, g1, g2, g3, g4, g5, g6, g7, …), {MOST} in1 can name the column instead, of "
        "which each tag makes a pair of its own.",
    ),
    "many texts": (
        [{**row, "genres": f"a{number}|b"} for number, row in enumerate(ROWS)],
        {},
        f"{NAMES} (a0|b, a1|b, a2|b, a3|b, a4|b, a5|b, a6|b, a7|b, …), {MOST} give "
        "label_kind='tags' to take each for several names.",
    ),
}


@pytest.mark.parametrize(("source", "given", "sentence"), WRONG.values(), ids=list(WRONG))
def test_what_does_not_fit_is_one_sentence(source: Any, given: Any, sentence: str) -> None:
    with pytest.raises(CustomerError) as caught:
        Object2Vec.from_table(source, **{**COLUMNS, "epochs": 1, **given})
    assert str(caught.value) == sentence


def test_a_model_answers_by_names(model: Object2Vec, tmp_path: Path) -> None:
    assert model.classes_ == list(CLASSES)
    assert model.hyperparameters["output_layer"] == "multi_label"
    asked = [{"plot": plot, "title": "film 1"} for plot in PLOTS]
    expected = [[name in genres for name in CLASSES] for genres in PLOTS.values()]
    np.testing.assert_array_equal(model.predict(asked) > 0.5, expected)
    table = model.predict(asked, output="pandas")
    assert list(table.columns[-3:]) == [f"probability_{name}" for name in CLASSES]
    found = model.scores([row["plot"] for row in asked], ["film 1"], class_="Romance")
    np.testing.assert_allclose(found[:, 0], model.predict(asked)[:, 2], rtol=1e-5)
    # labels by name and by number, of rows and of pairs
    by_rows = model.evaluate(ROWS)
    raw = [{"in0": row["plot"], "in1": row["title"]} for row in ROWS]
    names = [{**pair, "label": row["genres"]} for pair, row in zip(raw, ROWS)]
    numbers = [{**pair, "label": np.flatnonzero(has)} for pair, has in zip(raw, HAS)]
    texts = [{**pair, "label": "|".join(row["genres"]) or "[]"} for pair, row in zip(raw, ROWS)]
    for given in (names, numbers, texts):
        assert model.evaluate(given) == pytest.approx(by_rows)
    assert by_rows["micro_f1"] == 1
    model.save(tmp_path / "model")
    assert Object2Vec.load(tmp_path / "model").evaluate(ROWS) == pytest.approx(by_rows)
    with pytest.raises(CustomerError, match=r"must hold some of Crime, Drama, Romance \(the near"):
        model.evaluate([{**ROWS[0], "genres": ["Crme"]}])
    wider = parse({**model.hyperparameters, "num_classes": 5})[0]
    assert model.inputs is not None
    pairs, _ = encode_table(model.inputs, ROWS, num_classes=wider.classes)
    np.testing.assert_array_equal(pairs.labels[:, :3], HAS)
    assert pairs.labels.shape == (len(ROWS), 5) and not pairs.labels[:, 3:].any()


def test_more_classes_than_the_table_has() -> None:
    given = {**COLUMNS, "epochs": 1, "num_classes": 5, "seed": 1}
    found = Object2Vec.from_table(ROWS, **given, validation=ROWS)
    assert found.predict(ROWS[:2]).shape == (2, 5)
    assert found.classes_ == [*CLASSES, 3, 4]


def test_channels_and_jobs_take_tags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pd.DataFrame(written("|")).to_csv("films.csv", index=False)
    columns = ["--in0=plot", "--in1=title", "--label=genres", "--label-kind=tags"]
    assert main(["prepare", "--input=films.csv", "--output=channels", *columns]) == 0
    told = capsys.readouterr().err
    assert "tags, of which a pair may have several: Crime, Drama, Romance" in told
    text = Path("channels/train/train.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["label"] for line in lines] == [np.flatnonzero(row).tolist() for row in HAS]
    options = ["-p", "epochs=1", "-p", "_seed=1"]
    channels = ["--train=channels/train", "--auxiliary=channels/auxiliary", "--preset=text_labels"]
    assert main(["train", *channels, "--model-dir=prepared", *options]) == 0
    assert main(["train", "--train=films.csv", *columns, "--model-dir=direct", *options]) == 0
    prepared, direct = (load_model(folder) for folder in ("prepared", "direct"))
    assert prepared.hyperparameters == direct.hyperparameters
    pairs = read_channel("channels/train", direct.hyperparameters)
    np.testing.assert_array_equal(pairs.labels, HAS)
    capsys.readouterr()
    row = {"in0": ROWS[0]["plot"], "in1": "film 1"}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(row).encode())))
    assert main(["predict", "--model-dir=direct"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    expected = Object2Vec.load("prepared").predict([row])[0]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["class", "number", "none"])
def test_a_model_whose_inputs_are_of_others_is_refused(
    kind: str, model: Object2Vec, tmp_path: Path
) -> None:
    """A folder that says so of itself would fail in the midst of an answer."""
    labels: dict[str, Any] = {
        "class": {"kind": "class", "name": "genres", "classes": list(CLASSES)},
        "number": {"kind": "number", "name": "genres", "num_classes": 3},
        "none": {"kind": "none"},
    }
    assert model.inputs is not None
    fields = json.loads(inputs_bytes(model.inputs))
    inputs = parse_inputs(json.dumps({**fields, "version": 1, "label": labels[kind]}).encode())
    settings = parse(model.hyperparameters)[0]
    with pytest.raises(CustomerError, match=f"the labels are of the kind {kind}, but output_layer"):
        inputs.check_fit(settings, "inputs.json")
    softmax = parse({**model.hyperparameters, "output_layer": "softmax"})[0]
    with pytest.raises(CustomerError, match="the labels are of the kind tags, but output_layer is"):
        model.inputs.check_fit(softmax, "inputs.json")


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        ({"classes": []}, "a list of 0 for label.classes, but it should be a list of one name or"),
        ({"classes": ["a"] * 2}, "label.classes[1], but it should be a value that no other one"),
        ({"classes": list(map(str, range(31)))}, "should be a list of 30 texts at most"),
        ({"separator": ""}, "for label.separator, but it should be a text of 1 to 20 characters"),
        ({"separator": 3}, "for label.separator, but it should be a text of 1 to 20 characters"),
        ({"num_classes": 3}, 'holds the unknown "num_classes" in label'),
    ],
    ids=["nothing", "twice", "many", "empty", "number", "unknown"],
)
def test_hostile_inputs_are_refused(
    label: dict[str, Any], sentence: str, model: Object2Vec
) -> None:
    assert model.inputs is not None
    fields = json.loads(inputs_bytes(model.inputs))
    assert fields["version"] == 3
    content = json.dumps({**fields, "label": {**fields["label"], **label}}).encode()
    with pytest.raises(CustomerError) as caught:
        parse_inputs(content)
    assert sentence in str(caught.value)
