# SPDX-License-Identifier: Apache-2.0
"""Files of other formats are named by what they are, and what to do is said."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from object2vec.data import foreign_formats, json_lines
from object2vec.data.dataset import read_channel
from object2vec.data.foreign_formats import LOOKED_AT_BYTES, recognise
from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import parse

pytestmark = pytest.mark.own_way

PAIRS = [
    {"label": 1, "in0": [6, 17], "in1": [16]},
    {"label": 0, "in0": [1, 2], "in1": [3, 4, 5]},
    {"label": 1, "in0": [], "in1": [7]},
]
LINES = "".join(json.dumps(pair) + "\n" for pair in PAIRS).encode()
PACKED = gzip.compress(LINES, mtime=0)
HYPERPARAMETERS = parse({"enc0_max_seq_len": 3, "enc0_vocab_size": 20})[0]


def table(mark: str, header: bool = True) -> bytes:
    """The pairs as pandas and others write them: lists become cells of text."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=mark)
    if header:
        writer.writerow(PAIRS[0])
    writer.writerows(pair.values() for pair in PAIRS)
    return text.getvalue().encode()


def archive(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(name, LINES)
    return stream.getvalue()


def tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        entry = tarfile.TarInfo("train.jsonl")
        entry.size = len(LINES)
        file.addfile(entry, io.BytesIO(LINES))
    return stream.getvalue()


def numpy_array(save: Callable[..., Any] = np.save) -> bytes:
    stream = io.BytesIO()
    save(stream, np.arange(6))
    return stream.getvalue()


def database() -> bytes:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE pairs (label INTEGER)")
        try:
            return connection.serialize()
        except AttributeError:  # before Python 3.11
            return b"SQLite format 3\0" + bytes(84)


FORMATS: list[tuple[str, bytes, str]] = [
    ("CSV", table(","), "name its columns"),
    ("CSV", table(",", header=False), "name its columns"),
    ("CSV", b"label,in0,in1\r\n1,6 17,16 21\r\n", "name its columns"),
    ("CSV", b"1,2,3", "name its columns"),
    ("CSV", b"1,6,17,16\n0,1,2\n", "name its columns"),
    ("CSV", b"\n \n1,2,3\n4,5,6\n", "name its columns"),
    ("CSV with semicolons", table(";"), "name its columns"),
    ("TSV", table("\t"), "name its columns"),
    ("TSV", b"\n\tlabel\tin0\tin1\n0\t1\t[6, 17]\t[16]\n", "name its columns"),
    ("TSV", b"1\t6, 17\t16, 21\n0\t1\t2\n", "name its columns"),
    ("a table with bars", b"1|6 17|16\n", "name its columns"),
    ("LIBSVM", b"1 6:1 17:1\n0 2:0.5\n", "write each row"),
    ("a file for fastText", b"__label__1 a word, and another\n", "write each row"),
    ("a JSON array of objects", json.dumps(PAIRS).encode(), "write one object a line"),
    ("a JSON array of objects", json.dumps(PAIRS, indent=2).encode(), "jq -c '.[]'"),
    ("a JSON array of objects", b"[\n" + LINES.replace(b"}\n", b"},\n") + b"]", "jq -c '.[]'"),
    ("a JSON object over several lines", json.dumps(PAIRS[0], indent=2).encode(), "jq -c ."),
    ("a JSON object over several lines", json.dumps({"instances": PAIRS}, indent=1).encode(), "."),
    ("a JSON object over several lines", json.dumps({"a": [1] * 99999}, indent=1).encode(), "."),
    ("JSON objects with commas between them", LINES.replace(b"}\n", b"},\n"), "leave these"),
    ("several JSON objects on one line", LINES.replace(b"\n", b""), "on a line of its own"),
    ("dicts as Python prints them", "\n".join(map(str, PAIRS)).encode(), "json.dumps"),
    ("dicts as Python prints them", str(PAIRS).encode(), "json.dumps"),
    ("XML or HTML", b'<?xml version="1.0"?>\n<pairs/>\n', "write each row"),
    ("XML or HTML", b"<!DOCTYPE html>\n", "write each row"),
    ("Parquet", b"PAR1\x15\x04\x15\x10", "name its columns"),
    ("ORC", b"ORC\x0a\x0b", "pandas"),
    ("Avro", b"Obj\x01\x04\x14avro.codec", "pandas"),
    ("Arrow or Feather", b"ARROW1\0\0", "pandas"),
    ("HDF5", b"\x89HDF\r\n\x1a\n\0", "pandas"),
    ("an SQLite database", database(), "pandas"),
    ("an Excel file", archive("[Content_Types].xml", "xl/workbook.xml"), "pandas"),
    ("an Excel file", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "pandas"),
    ("a Python pickle", pickle.dumps(PAIRS), "pandas"),
    ("a NumPy array", numpy_array(), "write each row"),
    ("a zip archive", archive("train.jsonl"), "unpack it first"),
    ("a zip archive", numpy_array(np.savez), "unpack it first"),
    ("gzip inside gzip", gzip.compress(PACKED, mtime=0), "pack it once only"),
    ("bzip2", bz2.compress(LINES), "unpack it first"),
    ("xz", lzma.compress(LINES), "unpack it first"),
    ("Zstandard", b"\x28\xb5\x2f\xfd\x24\x0d", "unpack it first"),
    ("a 7-Zip archive", b"7z\xbc\xaf\x27\x1c", "unpack it first"),
    ("a tar archive", tar(), "unpack it"),
    ("a tar archive", gzip.compress(tar(), mtime=0), "unpack it"),
    ("RecordIO", struct.pack("<II", 0xCED7230A, 12) + b"\x0a\x04\x0a\x02ab\n\n", "write each row"),
    ("UTF-16", LINES.decode().encode("utf-16-le"), "UTF-8"),
    ("UTF-16", LINES.decode().encode("utf-16-be"), "UTF-8"),
    ("UTF-32", LINES.decode().encode("utf-32-le"), "UTF-8"),
    ("UTF-32", LINES.decode().encode("utf-32-be"), "UTF-8"),
]  # fmt: skip


# by name alone: the processes that share the tests out must agree, whatever a packer writes
@pytest.mark.parametrize(("name", "content", "advice"), FORMATS, ids=[name for name, *_ in FORMATS])
def test_a_file_of_another_format_is_named(
    tmp_path: Path, name: str, content: bytes, advice: str
) -> None:
    path = tmp_path / "part-0"
    path.write_bytes(content)
    with pytest.raises(CustomerError) as caught:
        read_channel(tmp_path, HYPERPARAMETERS)
    text = str(caught.value)
    assert text.startswith(f"This looks like {name}, not JSON Lines: ")
    assert advice in text
    assert (
        f'one pair such as {{"label": 1, "in0": [6, 17], "in1": [16, 21]}} ({path}, line ' in text
    )
    assert len(text) < 700 and text.isprintable()


@pytest.mark.parametrize(
    "content",
    [
        b"7\n8\n", b"some words\nand more, of them\n", b'"text"', b"[1, 2]\n[4, 5]\n", b"null",
        b'{"label": 1, "in0": [6', b'{"label": 1, "in0": [6], "in1": [16]\n', b"{", b"[", b"{}}",
        b'"label": 1, "in0": [6], "in1": [16]\n', b"\0" * 99, b"\xff\xff", b"",
        b'{"a": ' * 50_000, b"[" * 50_000, b'{"label": 1, "in0": [6\n17], "in1": [16]}\n',
    ],
    ids=lambda content: repr(content)[:30],
)  # fmt: skip
def test_what_resembles_nothing_is_not_named(content: bytes) -> None:
    assert recognise(content) is None


KEYS = st.one_of(st.sampled_from(["in0", "in1", "label"]), st.text(max_size=5))
VALUES = st.one_of(st.integers(), st.text(), st.lists(st.integers(0, 99)), st.floats(), st.none())


@pytest.mark.slow
@settings(max_examples=100)
@given(st.lists(st.dictionaries(KEYS, VALUES), max_size=5), st.booleans())
def test_an_object_a_line_resembles_nothing(objects: list[dict[str, Any]], plain: bool) -> None:
    text = "\n".join(json.dumps(value, ensure_ascii=plain) for value in objects)
    assert recognise(text.encode("utf-8", "surrogatepass")) is None


@settings(max_examples=200)
@given(
    st.one_of(st.binary(max_size=200), st.text(alphabet="{}[]\",:;|\t\n\r'01ab ").map(str.encode))
)
def test_any_bytes_are_looked_at_without_an_error(content: bytes) -> None:
    found = recognise(content)
    assert found is None or (found.name and found.advice)


def test_only_the_beginning_is_looked_at() -> None:
    row = b"1,2,3\n"
    within = row * (LOOKED_AT_BYTES // len(row))
    assert recognise(within + b"4,5\n" * 9) == recognise(row)
    # What is cut off in the middle of a row is no row of one column.
    wide = b",".join([b"1" * 60_000] * 9) + b"\n"
    found = recognise(b"1,2\n" + wide * 9)
    assert found is not None and found.name == "CSV"


def test_a_file_that_begins_with_pairs_is_no_file_of_another_format(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(LINES + b"1,2,3\n")
    with pytest.raises(CustomerError, match=r"Broken JSON at column 2.*line 4\)"):
        read_channel(path, HYPERPARAMETERS)
    path.write_bytes(b'\n{"in0": [1]}\n1,2,3\n')
    with pytest.raises(CustomerError, match=r"in1 is missing.*line 2\)"):
        read_channel(path, HYPERPARAMETERS)


def test_an_endless_line_is_named_by_its_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "LONGEST_LINE", 1 << 20)
    path = tmp_path / "f"
    for before in (b"", LINES, LINES * 2000):
        path.write_bytes(before + json.dumps(PAIRS * 20_000).encode())
        with pytest.raises(CustomerError, match=r"1 MiB, which looks like a JSON array of objects"):
            read_channel(path, HYPERPARAMETERS)


def test_sound_files_are_read_without_a_look_at_their_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError("looked at")

    monkeypatch.setattr(json_lines, "recognise", fail)
    monkeypatch.setattr(foreign_formats, "recognise", fail)
    path = tmp_path / "f"
    path.write_bytes(b"\n" + LINES + b'{"label": NaN, "in0": [], "in1": []}\n')
    with pytest.raises(CustomerError, match="NaN is no JSON"):
        read_channel(path, HYPERPARAMETERS)
    path.write_bytes(b"\n" + LINES * 9000)
    assert len(read_channel(path, HYPERPARAMETERS)) == 27_000
