# SPDX-License-Identifier: Apache-2.0
"""The same rows make the same pairs from every kind of table; faults are named with their line."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import math
import tempfile
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from object2vec.errors import CustomerError
from object2vec.prepare import delimited
from object2vec.prepare.delimited import DelimitedFile, Layout
from object2vec.prepare.splits import Split
from object2vec.prepare.table_choice import TableChoice
from object2vec.prepare.table_pairs import TablePairs, table_pairs
from object2vec.raw_values.inputs_file import inputs_bytes, parse_inputs
from object2vec.raw_values.option_names import COMMAND_LINE, HYPERPARAMETERS, calling_options

pytestmark = pytest.mark.own_way

ROWS = [
    {"user": 'a "q"', "film": "Heat, 1995", "tags": ["x", "y"], "rating": 4.5},
    {"user": "17", "film": "Zoë\nTwo", "tags": [], "rating": 3},
    {"user": "b", "film": "Heat, 1995", "tags": ["y"], "rating": None},
    {"user": "17", "film": None, "tags": ["z"], "rating": 1},
    {"user": "a \"q\"", "film": "Up", "tags": ["x"], "rating": 2},
]  # fmt: skip
FRAME = pd.DataFrame([{**row, "tags": "|".join(row["tags"])} for row in ROWS])


def made(source: Any, **more: Any) -> TablePairs:
    return table_pairs(source, TableChoice(in0="user", in1="film", label="rating", **more))


def same(found: TablePairs) -> None:
    assert found.inputs.vocabularies["in0.0"].values == ('a "q"', "17")  # type: ignore[union-attr]
    pairs = found.pairs["train"]
    assert pairs.in0.tokens.tolist() == [1, 2, 1]
    names = ["", *found.inputs.vocabularies["in1.0"].values]  # type: ignore[union-attr]
    assert [names[token] for token in pairs.in1.tokens] == ["Heat, 1995", "Zoë\nTwo", "Up"]
    np.testing.assert_array_equal(pairs.labels, np.array([4.5, 3, 2], np.float32))
    assert found.report.rows == 5 and found.report.left_out == 2


def csv_bytes(**more: Any) -> bytes:
    return FRAME.to_csv(index=False, **more).encode()


FILES = {
    "a.csv": csv_bytes(),
    "bom.csv": b"\xef\xbb\xbf" + csv_bytes(),
    "windows.csv": csv_bytes(lineterminator="\r\n").replace(b"Zo\xc3\xab\r\n", b"Zo\xc3\xab\n"),
    "a.tsv": csv_bytes(sep="\t"),
    "semicolons.csv": csv_bytes(sep=";"),
    "blank-lines.csv": b"\n\n" + csv_bytes().replace(b"4.5\n", b"4.5\n\n\n"),
    "no-end.csv": csv_bytes().rstrip(),
    "a.csv.gz": gzip.compress(csv_bytes()),
    "a.jsonl": "\n".join(json.dumps(row) for row in ROWS).encode(),
    "a.jsonl.gz": gzip.compress(b"\n".join(json.dumps(row).encode() for row in ROWS)),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("block", [40, 1 << 24])
def test_files(name: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", block)
    (tmp_path / name).write_bytes(FILES[name])
    same(made(tmp_path / name))


def test_frames_and_parquet(tmp_path: Path) -> None:
    same(made(FRAME))
    same(made(FRAME.convert_dtypes()))
    same(made(FRAME.astype({"user": "category"})))
    same(made(ROWS))
    table = pa.Table.from_pandas(FRAME)
    same(made(table))
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    same(made(tmp_path / "a.parquet"))


def test_a_folder_and_other_orders_of_columns(tmp_path: Path) -> None:
    FRAME.iloc[:2].to_csv(tmp_path / "1.csv", index=False)
    FRAME.iloc[2:][["rating", "film", "user"]].to_csv(tmp_path / "2.csv", index=False)
    (tmp_path / "_SUCCESS").write_bytes(b"")
    same(made(tmp_path))
    same(made([str(tmp_path / "1.csv"), tmp_path / "2.csv"]))


def test_positions_without_a_header(tmp_path: Path) -> None:
    path = tmp_path / "u.data"
    path.write_bytes(csv_bytes(sep="\t", header=False))
    same(table_pairs(path, TableChoice(in0=0, in1=1, label=3, layout=Layout(header=False))))
    path.write_bytes(csv_bytes(sep="\t"))
    same(table_pairs(path, TableChoice(in0=0, in1=1, label=3)))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(csv_bytes().decode().encode(encoding))
    same(made(tmp_path / "a.csv", layout=Layout(encoding=encoding)))


def test_numbers_with_missing_ones_are_the_same_ids(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user": [17, None, -3], "film": [2**60, 5, 5]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    for source in (frame, tmp_path / "a.csv", frame.astype({"user": "Int64"})):
        found = table_pairs(source, TableChoice(in0="user", in1="film"))
        assert set(found.inputs.vocabularies["in0.0"].values) == {"17", "-3"}  # type: ignore[union-attr]
        assert set(found.inputs.vocabularies["in1.0"].values) == {str(2**60), "5"}  # type: ignore[union-attr]


def test_integers_beyond_64_bits_are_values_of_their_own(tmp_path: Path) -> None:
    users = [2 * 10**19, 2 * 10**19 + 1, -(2**70) - 1, 5]
    (tmp_path / "a.jsonl").write_text("".join(f'{{"u": {u}, "f": "x"}}\n' for u in users))
    found = table_pairs(tmp_path / "a.jsonl", TableChoice(in0="u", in1="f"))
    assert set(found.inputs.vocabularies["in0.0"].values) == set(map(str, users))  # type: ignore[union-attr]


def test_quotes_that_mean_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('a\tb\nx\t"Hello" he said\ny\t"open\n')
    found = table_pairs(
        tmp_path / "a.tsv", TableChoice(in0="a", in1="b", layout=Layout(quotes=False))
    )
    assert len(found.pairs["train"]) == 2
    refused(tmp_path / "a.tsv", r"line 3: a field begins with a double quote that nothing closes",
            in0="a", in1="b")  # fmt: skip


BROKEN = {
    "ragged": (b'u,f,r\na,"x\ny",1\nb,y,2,3\n', r"a\.csv, line 4, has 4 fields instead of 3"),
    "short": (b"u,f,r\na,x,1\n\nb,y\n", r"a\.csv, line 4, has 2 fields instead of 3"),
    "not UTF-8": (b"u,f,r\na,x,1\nb,caf\xe9,2\n", r"line 3, is not written in utf-8: its byte 6"),
    "UTF-16": ("u,f,r\n".encode("utf-16"), "is written in UTF-16"),
    "UTF-32": (codecs.BOM_UTF32_LE + "u,f,r\n".encode("utf-32-le"), "in UTF-32: .*, utf-32, or"),
    "UTF-32-BE": (codecs.BOM_UTF32_BE + "u,f,r\n".encode("utf-32-be"), "is written in UTF-32"),
    "empty": (b"", "is empty"),
    "blank": (b"\n \n", "holds no row"),
    "header only": (b"u,f,r\n", "holds no row below its header"),
    "one column": (b"u\na\n", "holds one column only, 'u'"),
    "a column is missing": (b"u,F,r\na,x,1\n", r"'f', which .*a\.csv does not have \(the nearest"),
    "a column twice": (b"u,f,f,r\na,x,x,1\n", "two columns 'f'"),
    "two kinds": (b"u,f,r\na,x,1\nb,x,good\n", r"of two kinds.*'1' .*line 2\).*'good'.*line 3\)"),
    "no label": (b"u,f,r\na,x,\nb,y,\n", "no row for training|holds no label"),
    "cut off": (gzip.compress(b"u,f,r\n" * 50)[:-9], "it is cut off"),
    "damaged": (gzip.compress(b"u,f,r\n" * 50)[:20] + b"x" * 40, "damaged|cannot|Cannot"),
    "Excel": (b"PK\x03\x04" + bytes(26) + b"xl/workbook", "looks like an Excel file"),
    "half Parquet": (b"PAR1" + bytes(50), "cannot be read as Parquet"),
    "JSON": (b'{"u": 1, "f": 1, "r": 1}\n{"u": 1', r"Broken JSON at column .*line 2\)"),
    "too large a number": (b"u,f,r\na,x,1\nb,x,1e60\n", r"a finite 32-bit number.*'1e60'.*line 3"),
}  # fmt: skip


@pytest.mark.parametrize("way", BROKEN)
def test_one_sentence(way: str, tmp_path: Path) -> None:
    content, words = BROKEN[way]
    (tmp_path / "a.csv").write_bytes(content)
    refused(tmp_path / "a.csv", words, in0="u", in1="f", label="r")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "punycode", "idna"])
def test_text_that_is_not_of_its_encoding(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("u,f\nä,x..y-\u00fc\n".encode("utf-16-le") * 2)
    refused(tmp_path / "a.csv", f"is not written in {encoding}", in0="u", in1="f",
            layout=Layout(encoding=encoding))  # fmt: skip


@pytest.mark.parametrize("mark", ["ä", "ab", "\0", "\n", '"'])
def test_no_separator(mark: str, tmp_path: Path) -> None:
    refused(FRAME, "separator must be one ASCII character", in0="user", in1="film",
            layout=Layout(mark), file=tmp_path)  # fmt: skip


def test_other_sentences(tmp_path: Path) -> None:
    refused(tmp_path / "none.csv", "There is no table", in0="u", in1="f")
    refused(7, "found a int", in0="u", in1="f")
    refused([], "is empty", in0="u", in1="f")
    refused([{"u": {"a": 1}, "f": 1}], r"row 0, counting from 0\)", in0="u", in1="f")
    refused(FRAME, "encoding must be one", in0="user", in1="film", layout=Layout(encoding="no"),
            file=tmp_path)  # fmt: skip
    refused(FRAME, "named|option 'kid'|option \"kid\"", in0={"name": "user", "kid": 1}, in1="film")
    refused(FRAME, "kind of the column", in0={"name": "user", "kind": "x"}, in1="film")
    refused(FRAME, "names the column 9", in0=9, in1="film")
    refused(FRAME, "occurs 9 times or more", in0={"name": "user", "min_count": 9}, in1="film")
    refused(FRAME, "of the same kinds", in0=["user", "film"], in1="film", tied=True)


def refused(source: Any, words: str, *, file: Path | None = None, **more: Any) -> None:
    if file is not None:
        source = file / "x.csv"
        source.write_bytes(csv_bytes())
    with pytest.raises(CustomerError, match=words) as caught:
        table_pairs(source, TableChoice(**more))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 800


def test_a_place_of_a_label_in_a_later_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 64)
    text = io.StringIO()
    text.write("u,f,r\n")
    for row in range(50):
        text.write(f'u{row},"f\n{row}",{row}\n')
    text.write("u,f,x\n")
    (tmp_path / "a.csv").write_text(text.getvalue())
    refused(tmp_path / "a.csv", r"'x' .*a\.csv, line 102\)", in0="u", in1="f", label="r",
            label_kind="number")  # fmt: skip


LONG = "x" * 200_000


@pytest.mark.parametrize("layout", [Layout(), Layout(quotes=False), Layout(header=False)])
def test_long_fields_of_a_sound_table(layout: Layout, tmp_path: Path) -> None:
    header = "u,f,t,r\n" if layout.header else ""
    (tmp_path / "a.csv").write_text(f"{header}a,{LONG},2,1\nb,y,1,2\n,y,1,2\nc,{LONG},3,1\n")
    names = ("u", "f", "t", "r") if layout.header else (0, 1, 2, 3)
    found = table_pairs(
        tmp_path / "a.csv",
        TableChoice(
            in0=names[0],
            in1=names[1],
            label=names[3],
            layout=layout,
            split=Split("time", 0.4, time=names[2]),
        ),
    )
    assert {name: len(pairs) for name, pairs in found.pairs.items()} == {
        "train": 2,
        "validation": 1,
    }
    assert found.report.first_left_out.endswith(f"line {3 + layout.header}")


FAULTS = {
    "long": (f"u,f,r\na,{LONG},1\nb,x\n", r"line 3, has 2 fields instead of 3"),
    "long time": (f"u,f,r\na,{LONG},1\nb,x,soon\n", r"'soon' \(.*line 3\)"),
    "long header": (f"u,f,{LONG}\na,x,1\n", r"'r', which .*a\.csv does not have"),
    "single CR": ("u,f,r\ra,x,1\rb,x,good\n", r"'1' .*line 1\).*'good' \(.*line 1\)"),
    "CR of one record": ('u,f,r\n"a\n",x\r,1\n', r"line 2, has 2 fields instead of 3"),
    "NUL": ("u,f,r\na\0,x,1\nb,x,good\n", r"'good' \(.*line 3\)"),
}


@pytest.mark.parametrize("way", FAULTS)
def test_one_sentence_of_what_csv_does_not_read(way: str, tmp_path: Path) -> None:
    content, words = FAULTS[way]
    (tmp_path / "a.csv").write_bytes(content.encode())
    more = {"split": Split("time", 0.3, time="r")} if way == "long time" else {"label": "r"}
    refused(tmp_path / "a.csv", words, in0="u", in1="f", **more)


_texts = st.text(st.sampled_from('a",;\n\r '), max_size=5)


@pytest.mark.slow
@settings(max_examples=200)
@given(st.lists(st.tuples(_texts, _texts), min_size=1, max_size=5), st.booleans())
def test_records_are_those_that_were_written(rows: list[tuple[str, str]], always: bool) -> None:
    text = io.StringIO()
    quoting = csv.QUOTE_ALL if always else csv.QUOTE_MINIMAL
    csv.writer(text, quoting=quoting).writerows([("u", "f"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        path.write_bytes(text.getvalue().encode())
        table = DelimitedFile(path, Layout())
        (batch,) = table.batches(["u", "f"])
        # of two empty fields of a row without quotes both are missing
        read = zip(*(batch.columns[name].to_pylist() for name in ("u", "f")))
        assert [(a or "", b or "") for a, b in read] == rows
        line = 2
        for row, fields in enumerate(rows):
            assert batch.place(row) == f"{table.title}, line {line}"
            line += 1 + sum(field.count("\n") for field in fields)


def _texts_of(data: bytes) -> pa.Array:
    ends = pa.py_buffer(np.array([0, 1, len(data)], np.int32))
    return pa.Array.from_buffers(pa.string(), 2, [None, ends, pa.py_buffer(data)])


UNREADABLE = {
    "map": (pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())), r"type map<string, "),
    "late time": (
        pa.array([5, 10**12], pa.timestamp("s")),
        r"type timestamp.*years 1 to 9999 .*row 1,",
    ),
    "late date": (pa.array([5, 10**8], pa.date32()), r"date32\[day\] .*1 to 9999 .*row 1,"),
    "zone": (pa.array([5, 6], pa.timestamp("s", "Mars/Base")), r"'?Mars/Base'? .*row 0,"),
    "text": (_texts_of(b"a\xff"), r"type string cannot be read: 'utf-8' codec .*row 1,"),
    "struct": (pa.array([{"a": 1}, {"a": 2}]), "must be a text, a number, a date or a UUID"),
}


@pytest.mark.parametrize("way", UNREADABLE)
@pytest.mark.parametrize("use", ["in0", "label", "time", "by"])
def test_columns_of_parquet_that_no_cell_holds(way: str, use: str, tmp_path: Path) -> None:
    array, words = UNREADABLE[way]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"odd": array, "u": ["a", "b"], "f": ["x", "y"]}), path)
    more: dict[str, Any] = {"in0": "odd" if use == "in0" else "u", "in1": "f"}
    if use == "label":
        more["label"] = "odd"
    elif use == "time":
        more["split"] = Split("time", 0.5, time="odd")
    elif use == "by":
        more["split"] = Split("group", 0.5, by="odd")
    if way == "struct" and use == "time":
        words = "must (be a text|hold times)"
    refused(path, words, **more)


def test_uuids_and_half_floats_of_parquet(tmp_path: Path) -> None:
    keys = [uuid.UUID(int=1), None, uuid.UUID(int=2)]
    uuids = pa.array([key and key.bytes for key in keys], pa.uuid())
    halves = pa.array(np.array([1.5, 2, 4], np.float16))
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"u": uuids, "f": ["x", "y", "z"], "r": halves}), path)
    for source in (path, pq.read_table(path)):
        found = table_pairs(source, TableChoice(in0="u", in1="f", label="r"))
        assert found.inputs.vocabularies["in0.0"].values == (str(keys[0]), str(keys[2]))  # type: ignore[union-attr]
        assert found.pairs["train"].labels.tolist() == [1.5, 4]


@pytest.mark.parametrize("length", [0, 300, 301])
@pytest.mark.parametrize("option", ["in0", "in1", "label"])
def test_names_of_columns_are_those_that_inputs_may_have(option: str, length: int) -> None:
    names = {"in0": "u", "in1": "f", "label": "r", option: "n" * length}
    rows = [{names["in0"]: "a", names["in1"]: "x", names["label"]: 1.5}]
    if length == 300:
        found = table_pairs(rows, TableChoice(**names))
        assert parse_inputs(inputs_bytes(found.inputs)) == found.inputs
    else:
        refused(rows, f"{option} names .* has {length} characters instead of 1 to 300", **names)


@pytest.mark.parametrize(
    "value",
    [math.inf, -math.inf, "inf", "-Infinity", "1e400", 10**400],
    ids=["inf", "-inf", "text", "word", "1e400", "digits"],
)
@pytest.mark.parametrize("kind", ["auto", "number"])
@pytest.mark.parametrize("place", [0, 1])
def test_infinite_labels(value: Any, kind: str, place: int) -> None:
    rows = [{"u": "a", "f": "x", "r": 1.5}, {"u": "b", "f": "y", "r": 2.5}]
    rows[place]["r"] = value
    refused(rows, rf"label 'r' must be a finite number, found .*row {place},", in0="u", in1="f",
            label="r", label_kind=kind)  # fmt: skip


def test_an_infinite_label_of_a_text_may_be_a_name() -> None:
    rows = [{"u": "a", "f": "x", "r": "inf"}, {"u": "b", "f": "y", "r": "sup"}]
    assert table_pairs(rows, TableChoice(in0="u", in1="f", label="r")).inputs.label.classes == (
        "inf",
        "sup",
    )


@pytest.mark.parametrize("block", [1 << 24, 200], ids=["end of the file", "end of a block"])
def test_records_with_breaks_in_several_fields_stay_whole(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", block)
    rows = [(f"u{row}\n1", f"f{row}\n\n2", f"{row}\n3") for row in range(40)]
    path = tmp_path / "notes.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("user", "film", "note"), *rows])
    path.write_bytes(path.read_bytes()[:-1])  # no line break ends the last record
    batches = list(DelimitedFile(path, Layout()).batches(["user", "film", "note"]))
    columns = (
        [v for b in batches for v in b.columns[name].to_pylist()] for name in batches[0].columns
    )
    assert list(zip(*columns)) == rows


def test_numbers_in_the_place_of_a_header_are_told_of(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("1,7,5\n2,7,3\n")
    refused(path, "where that is a row of data, say header=False, and call the columns 0, 1,",
            in0="user", in1="1")  # fmt: skip
    with calling_options(COMMAND_LINE):
        refused(path, "a row of data, say --no-header, and call", in0="user", in1="1")
    with calling_options(HYPERPARAMETERS):
        refused(path, "it has 1, 7, 5.", in0="user", in1="1")
    # who has said so needs no hint
    layout = Layout(header=False)
    refused(path, r"it has 0, 1, 2\.$", in0="user", in1="1", layout=layout)
    path.write_text("person,film,stars\n2,7,3\n")
    refused(path, "it has person, film, stars.", in0="user", in1="film")
