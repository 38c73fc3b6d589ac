# SPDX-License-Identifier: Apache-2.0
"""`object2vec predict` on tables: a line of answers for each row, as for requests of the same."""

from __future__ import annotations

import gzip
import importlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
import serving_models
from serving_models import RAW_TABLE

from object2vec.cli import main, predict
from object2vec.compiled.library import why_unusable
from tests.commands import OPTIONS, PAIRS, one_sentence, process, write_lines

ROWS: list[dict[str, Any]] = [
    *RAW_TABLE[:40],
    {**RAW_TABLE[0], "user": "nobody", "age": None},
    {**RAW_TABLE[1], "genres": None, "plot": "new, words"},
]
UNKNOWN = "which are missing or were not seen in training"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return serving_models.train_raw(tmp_path_factory.mktemp("raw") / "model")


@pytest.fixture(scope="module")
def expected(model: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What requests with the same values are answered."""
    folder = tmp_path_factory.mktemp("requests")
    sides = {"in0": ("user", "age"), "in1": ("genres", "film", "plot")}
    instances = [
        {side: {name: row[name] for name in columns} for side, columns in sides.items()}
        for row in ROWS
    ]
    return predicted(model, write_lines(folder / "requests.jsonl", instances))


def predicted(model: Path, source: Path, *more: str) -> bytes:
    target = source.with_name("answers.jsonl")
    command = ["predict", "--model-dir", str(model), "--input", str(source)]
    assert main([*command, "--output", str(target), *more]) == 0
    return target.read_bytes()


def delimited(mark: str, rows: list[dict[str, Any]] = ROWS, header: bool = True) -> str:
    def cell(value: Any) -> str:
        text = "" if value is None else str(value)
        return f'"{text}"' if mark in text else text

    lines = [list(rows[0])] * header + [list(row.values()) for row in rows]
    return "".join(mark.join(map(cell, line)) + "\r\n" for line in lines)


def parquet(path: Path) -> None:
    arrow, parquet = (importlib.import_module(name) for name in ("pyarrow", "pyarrow.parquet"))
    parquet.write_table(arrow.Table.from_pylist(ROWS), path, row_group_size=17)


FORMATS: dict[str, Callable[[Path], Any]] = {
    "csv": lambda path: path.write_text(delimited(",")),
    "bom": lambda path: path.write_text("\ufeff" + delimited(",")),
    "tsv": lambda path: path.write_text(delimited("\t")),
    "gzip": lambda path: path.write_bytes(gzip.compress(delimited(";").encode())),
    "jsonl": lambda path: write_lines(path, ROWS),
    "parquet": parquet,
}


@pytest.mark.parametrize("kind", FORMATS)
def test_rows_are_answered_as_requests_with_the_same_values(
    kind: str,
    model: Path,
    expected: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # the name does not matter
    source = tmp_path / "table"
    FORMATS[kind](source)
    assert predicted(model, source) == expected
    assert f"1 of 84 values of in0 and 2 of 327 values of in1, {UNKNOWN}" in capsys.readouterr().err
    monkeypatch.setattr(predict, "_ROWS_AT_ONCE", 7)
    found = predicted(model, source, "--content-type", "text/csv")
    if why_unusable() is None:
        assert found == expected
    # operators round as the number of rows at once has it
    np.testing.assert_allclose(scores_of(found), scores_of(expected), rtol=1e-4)


def scores_of(lines: bytes) -> list[list[float]]:
    return [json.loads(line)["scores"] for line in lines.splitlines()]


def test_a_table_of_one_side_is_embedded(model: Path, tmp_path: Path) -> None:
    rows = [{"x": 1, "user": row["user"], "age": row["age"]} for row in ROWS]
    table = tmp_path / "users.csv"
    table.write_text(delimited(",", rows))
    instances = [{"in0": {"user": row["user"], "age": row["age"]}} for row in ROWS]
    requests = write_lines(tmp_path / "requests.jsonl", instances)
    found = predicted(model, table)
    assert found == predicted(model, requests)
    assert list(json.loads(found.splitlines()[0])) == ["embeddings"]
    cut = predicted(model, table, "--content-type", "text/csv; infer_max_seqlens=1,1")
    assert cut == predicted(
        model, requests, "--content-type", "application/jsonlines; infer_max_seqlens=1,1"
    )
    assert cut != found


def test_columns_that_are_positions_need_no_header(tmp_path: Path) -> None:
    model = serving_models.train_raw(tmp_path / "model", names="012345")
    table = tmp_path / "table.csv"
    table.write_text(delimited(",", header=False))
    sides = {"in0": "01", "in1": "234"}
    instances = [
        {
            side: dict(zip(names, list(row.values())[int(names[0]) :]))
            for side, names in sides.items()
        }
        for row in ROWS
    ]
    assert predicted(model, table) == predicted(
        model, write_lines(tmp_path / "requests.jsonl", instances)
    )


def test_files_with_separators_may_be_written_in_any_way(model: Path, tmp_path: Path) -> None:
    rows = [{"user": "u1", "age": 20}, {"user": "ü", "age": 50}]
    plain, odd = tmp_path / "plain.csv", tmp_path / "odd.csv"
    plain.write_text(delimited(",", rows))
    odd.write_text(delimited("~", rows), encoding="latin-1")
    more = ["--content-type", "text/csv", "--separator", "~", "--encoding", "latin-1"]
    expected = predicted(model, plain)
    assert predicted(model, odd, *more) == expected
    # what the content type says holds as well; it was passed over
    odd.write_text(delimited(",", rows), encoding="latin-1")
    assert predicted(model, odd, "--content-type", "text/csv; charset=latin-1") == expected


def test_a_content_type_says_whether_there_is_a_header(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = serving_models.train_raw(tmp_path / "model", names="012345")
    table = tmp_path / "table.csv"
    # its first row looks like a header that counts the columns
    table.write_text("0,1\n" + delimited(",", [{"user": "u1", "age": 3}], header=False))
    for header, count in (("absent", 2), ("present", 1)):
        found = predicted(model, table, "--content-type", f"text/csv; header={header}")
        assert found.count(b"\n") == count
    capsys.readouterr()
    command = ["predict", "--model-dir", str(model), "--input", str(table)]
    assert main([*command, "--content-type", "text/csv; header=maybe"]) == 1
    found_error = one_sentence(capsys.readouterr().err)
    assert "The input has the content type 'text/csv; header=maybe', but header must" in found_error


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "\n \n", "user,age\n"], ids=["nothing", "blanks", "header"])
def test_what_holds_no_instance_is_told(
    text: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "asked"
    source.write_text(text)
    assert predicted(model, source) == b""
    told = one_sentence(capsys.readouterr().err)
    assert told == f"{source} holds no instance, so there is no answer.\n"
    done = process("predict", "--model-dir", str(model), input=b"")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"Standard input holds no instance" in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("usr,agee\nu1,3\n", "has none of the model's columns: in0 has user, age; in1 has genres"),
        ("user,genres,film,plot\nu1,a,1,b\n", "names the column 'age', which"),
        ("user,ages\nu1,3\n", "(the nearest is 'ages')"),
        ("user,user,age\nu1,3,3\n", "two columns 'user'"),
        ("user,age\nu1,3,4\n", "line 2"),
    ],
    ids=["none", "one missing", "nearest", "twice", "ragged"],
)
def test_a_table_that_is_none_of_the_model_is_refused(
    text: str, words: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, target = tmp_path / "table.csv", tmp_path / "answers"
    table.write_text(text)
    command = ["predict", "--model-dir", str(model), "--input", str(table)]
    assert main([*command, "--output", str(target)]) == 1
    assert words in one_sentence(capsys.readouterr().err)
    assert not target.exists()


def test_a_table_on_standard_input_is_told_where_it_belongs(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(delimited(",").encode()))
    monkeypatch.setattr("sys.stdin", stream)
    assert main(["predict", "--model-dir", str(model)]) == 1
    told = one_sentence(capsys.readouterr().err)
    assert "this looks like CSV: " in told
    assert "(predict: a table of the model's own columns is named by --input)" in told


def test_what_cannot_be_a_table_says_so(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table.csv"
    table.write_text(delimited(","))
    command = ["predict", "--model-dir", str(model)]
    for more, words in (
        (["--input", str(table), "--accept", "application/json"], "in application/jsonlines only"),
        (["--input", str(table), "--content-type", "application/jsonlines"], "this looks like CSV"),
        (["--content-type", "text/csv"], "A table must be a file: name it by --input."),
    ):
        assert main([*command, *more]) == 1
        assert words in one_sentence(capsys.readouterr().err)


def test_a_model_of_ids_takes_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_lines(tmp_path / "pairs.jsonl", PAIRS)
    command = ["--model-dir", str(tmp_path / "model")]
    assert main(["train", "--train", str(data), *command, *OPTIONS]) == 0
    table = tmp_path / "table.csv"
    table.write_text(delimited(","))
    capsys.readouterr()
    for more, words in (([], "this looks like CSV"), (["--content-type", "text/csv"], "no table")):
        assert main(["predict", *command, "--input", str(table), *more]) == 1
        assert words in one_sentence(capsys.readouterr().err)


@pytest.mark.slow
def test_without_pyarrow_a_sentence_names_what_to_install(model: Path, tmp_path: Path) -> None:
    table, target = tmp_path / "table.csv", tmp_path / "answers"
    table.write_text(delimited(","))
    program = (
        "import sys; sys.modules['pyarrow'] = None; "
        "from object2vec.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = ["predict", "--model-dir", str(model), "--input", str(table), "--output", str(target)]
    done = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Tables are read with pyarrow, which is missing: pip install" in done.stderr
    assert "Traceback" not in done.stderr and not target.exists()
    requests = write_lines(tmp_path / "requests.jsonl", [{"in0": "u1", "in1": "Drama"}])
    command[command.index(str(table))] = str(requests)
    done = subprocess.run([sys.executable, "-c", program, *command], check=False)
    assert done.returncode == 0


@pytest.mark.slow
def test_raw_values_come_through_pipes(model: Path, expected: bytes) -> None:
    sides = {"in0": ("user", "age"), "in1": ("genres", "film", "plot")}
    text = "".join(
        json.dumps({s: {name: row[name] for name in names} for s, names in sides.items()}) + "\n"
        for row in ROWS
    )
    done = process("predict", "--model-dir", str(model), input=text.encode())
    assert done.returncode == 0 and done.stdout == expected
    assert f"1 of 84 values of in0 and 2 of 327 values of in1, {UNKNOWN}".encode() in done.stderr
