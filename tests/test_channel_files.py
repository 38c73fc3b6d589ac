# SPDX-License-Identifier: Apache-2.0
"""Which files of a channel are read, and what is said of the others."""

from __future__ import annotations

import gzip
import logging
import os
from pathlib import Path

import pytest

from object2vec.data.channel_files import channel_files
from object2vec.data.dataset import read_channel
from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import parse

pytestmark = pytest.mark.own_way

SOUND = b'{"label": 1, "in0": [6, 17], "in1": [16]}\n'
SOFTMAX = parse({"enc0_max_seq_len": 3, "enc0_vocab_size": 20})[0]


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def sentence_of(path: Path) -> str:
    with pytest.raises(CustomerError) as caught:
        read_channel(path, SOFTMAX)
    return str(caught.value)


def test_what_spark_leaves_beside_its_data_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "part-00000", SOUND)
    write(tmp_path / "_committed_77", b'{"added": ["part-00000"], "removed": []}')
    write(tmp_path / "_started_77", b"")
    write(tmp_path / "_SUCCESS", b"")
    write(tmp_path / ".part-00000.crc", b"crc\0")
    write(tmp_path / "_delta_log" / "00.json", b'{"commitInfo": {}}')
    write(tmp_path / "_temporary" / "0" / "part-00001", SOUND)
    write(tmp_path / "day=1" / "part-00000", SOUND)
    write(tmp_path / "day=1" / "_metadata", b"PAR1")
    write(tmp_path / "day=1" / "._part.jsonl", b"macOS")
    write(tmp_path / "_year=2024" / "part-00000", SOUND)
    with caplog.at_level(logging.INFO):
        assert len(read_channel(tmp_path, SOFTMAX, channel="validation")) == 3
    assert caplog.record_tuples == [
        (
            "object2vec",
            logging.INFO,
            "Passing over 8 names in the validation channel, beginning with '_' or '.': "
            ".part-00000.crc, _SUCCESS, _committed_77, _delta_log, _started_77, _temporary, "
            "day=1/._part.jsonl, day=1/_metadata",
        )
    ]


def test_pairs_that_may_be_passed_over_by_accident_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "a.jsonl", SOUND)
    write(tmp_path / "_b.jsonl", SOUND * 2)
    assert len(read_channel(tmp_path, SOFTMAX)) == 1
    assert caplog.record_tuples == [
        (
            "object2vec",
            logging.WARNING,
            "Passing over 1 name in the train channel, beginning with '_' or '.': _b.jsonl",
        )
    ]
    caplog.clear()
    for named_directly in (tmp_path / "_b.jsonl", write(tmp_path / "_c" / "f", SOUND * 2).parent):
        assert len(read_channel(named_directly, SOFTMAX)) == 2
    assert not caplog.records


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, "holds no file"),
        ({"a": b""}, "holds 1 empty file (a)"),
        ({"a": b"", "b/c": b""}, "holds 2 empty files (a, b/c)"),
        ({"a": b"\n \n"}, "holds 1 file of blank lines (a)"),
        (
            {"_a.jsonl": SOUND, "_b/c": SOUND},
            "holds 2 names beginning with '_' or '.' and so passed over (_a.jsonl, _b)",
        ),
        (
            {".a": SOUND, "b": b"", "c": b"\n"},
            "holds 1 file of blank lines (c) and 1 empty file (b) and 1 name beginning with '_' "
            "or '.' and so passed over (.a)",
        ),
    ],
)
def test_a_channel_without_a_pair_is_refused(
    tmp_path: Path, files: dict[str, bytes], found: str
) -> None:
    for name, content in files.items():
        write(tmp_path / name, content)
    assert sentence_of(tmp_path).startswith(
        f"The train channel holds no pair: {tmp_path} {found}; each line must "
    )


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "is empty"),
        (b"\n \n", "holds blank lines only"),
        (b"\xef\xbb\xbf", "holds blank lines only"),
        (gzip.compress(b"", mtime=0), "holds blank lines only"),
    ],
)
def test_a_file_without_a_pair_is_refused(tmp_path: Path, content: bytes, found: str) -> None:
    path = write(tmp_path / "f.jsonl", content)
    assert f"The train channel holds no pair: {path} {found}; each" in sentence_of(path)


@pytest.mark.parametrize("kind", ["a link to nothing", "neither a file nor a folder"])
def test_what_cannot_be_read_is_not_passed_over(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}")
    if kind == "a link to nothing":
        (tmp_path / "b.jsonl").symlink_to("nowhere")
    else:
        os.mkfifo(tmp_path / "b.jsonl")
    with pytest.raises(CustomerError, match=f"b.jsonl is {kind}: "):
        channel_files(tmp_path, "train")
