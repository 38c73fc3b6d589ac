# SPDX-License-Identifier: Apache-2.0
"""What could be a row of the table or a pair, a class's name or its number; tables of any make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from object2vec import Object2Vec
from object2vec.cli import main
from object2vec.errors import CustomerError
from object2vec.prepare.delimited import Layout
from object2vec.prepare.table_choice import TableChoice
from object2vec.prepare.table_pairs import table_pairs
from object2vec.prepare.tables import open_table

SMALL: dict[str, Any] = {"enc_dim": 8, "epochs": 1, "seed": 3}
ROWS = [
    {"in0": f"u{i % 7}", "age": str(i % 3), "in1": f"f{i % 5}", "stars": 1.5 + i % 4}
    for i in range(60)
]


def test_columns_that_are_called_in0_and_in1_are_still_columns(tmp_path: Path) -> None:
    model = Object2Vec.from_table(ROWS, in0=["in0", "age"], in1="in1", label="stars", **SMALL)
    pairs = [{"in0": {"in0": r["in0"], "age": r["age"]}, "in1": r["in1"]} for r in ROWS]
    expected = model.predict(pairs)
    assert not np.array_equal(model.predict([{**row, "age": "0"} for row in ROWS]), expected)
    assert np.array_equal(model.predict(ROWS), expected)
    assert np.array_equal(model.predict(pd.DataFrame(ROWS)), expected)
    assert model.evaluate(ROWS) == model.evaluate(pd.DataFrame(ROWS))
    model.save(tmp_path / "model")
    table, answers = tmp_path / "rows.jsonl", tmp_path / "answers.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    command = ["predict", "--model-dir", str(tmp_path / "model"), "--input", str(table)]
    assert main([*command, "--output", str(answers)]) == 0
    lines = [json.loads(line)["scores"][0] for line in answers.read_text().splitlines()]
    assert np.array_equal(np.array(lines, np.float32), expected)


@pytest.mark.parametrize("output", ["numpy", "pandas", "arrow"])
def test_batches_of_arrow_and_lists_of_files_are_tables(output: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS).rename(columns={"in0": "user", "in1": "film"})
    model = Object2Vec.from_table(frame, in0="user", in1="film", label="stars", **SMALL)
    expected = model.predict(frame)
    files = [tmp_path / f"{part}.csv" for part in range(2)]
    for part, path in enumerate(files):
        frame[part::2].to_csv(path, index=False)
    both = np.r_[expected[::2], expected[1::2]]
    for given, scores in ((pa.RecordBatch.from_pandas(frame), expected), (files, both)):
        found = model.predict(given, output=output)
        assert np.array_equal(found if output == "numpy" else found["predicted"], scores)


def test_a_number_that_may_be_two_classes_is_refused() -> None:
    rows = [{**row, "stars": (-1, 1, 2)[i % 3]} for i, row in enumerate(ROWS)]
    columns = {"in0": "in0", "in1": "in1", "label": "stars"}
    model = Object2Vec.from_table(rows, label_kind="class", **columns, **SMALL)
    assert model.classes_ == ["-1", "1", "2"]
    worth = {name: model.evaluate([{**ROWS[0], "label": name}]) for name in ("-1", "1", "2")}
    assert worth["-1"] != worth["1"]
    for number, name in ((-1, "-1"), (0, "-1"), (1, "1")):
        assert model.evaluate([{**ROWS[0], "label": number}]) == worth[name]
    rows = [{**row, "stars": row["stars"] + 1} for row in rows]
    model = Object2Vec.from_table(rows, label_kind="class", **columns, **SMALL)
    assert model.classes_ == ["0", "2", "3"]
    with pytest.raises(CustomerError, match=r"label 2 may be .* number, '3': give the name"):
        model.evaluate([{**ROWS[0], "label": 2}])


def test_a_position_that_names_another_column_is_refused() -> None:
    frame = pd.DataFrame([["film", "user", 1.5]], columns=[1, 0, 2])
    with pytest.raises(CustomerError, match=r"in0 names the column 0, .* '1', .* as a text"):
        table_pairs(frame, TableChoice(in0=0, in1="1", label=2))
    found = table_pairs(frame, TableChoice(in0="0", in1="1", label=2))
    assert found.inputs.vocabularies["in0.0"].places == {"user": 1}
    assert found.inputs.label.name == "2"


def test_a_layout_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("user,film\nu,f\n")
    assert open_table(path, Layout(header=False)).names == ["0", "1"]
    with pytest.raises(CustomerError, match=r"layout must be a Layout .* found 'utf-8'"):
        open_table(path, "utf-8")  # type: ignore[arg-type]


def test_answers_lose_no_column_of_the_same_name(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        [["u1", "f1", 1.5, 7, 8], ["u2", "f2", 2.5, 7, 9]], columns=["user", "film", "y", "z", "z"]
    )
    model = Object2Vec.from_table(frame, in0="user", in1="film", label="y", **SMALL)
    assert model.predict(frame, output="pandas").iloc[:, 4].tolist() == [8, 9]
    path = tmp_path / "twice.csv"
    frame.to_csv(path, index=False)
    for given, output in ((frame, "arrow"), (path, "pandas"), (path, "arrow")):
        with pytest.raises(CustomerError, match="two columns 'z', of which"):
            model.predict(given, output=output)
    assert np.array_equal(model.predict(path), model.predict(frame))
