# SPDX-License-Identifier: Apache-2.0
"""Crash-safe writing and opening of gzipped or plain files."""

from __future__ import annotations

import errno
import gzip
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from object2vec.errors import CustomerError, PlatformError
from object2vec.files import (
    atomic_write,
    atomic_writes,
    check_model_folder,
    locked_folder,
    open_input,
    open_regular,
    rejoined,
)

pytestmark = pytest.mark.own_way


def test_a_written_file_holds_the_bytes_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "model.json"
    target.write_bytes(b"old")
    with atomic_write(target) as stream:
        stream.write(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["model.json"]


@pytest.mark.parametrize("letter", ["n", "é", "म", "𝄞"])
def test_a_name_may_be_as_long_as_the_file_system_lets_it(tmp_path: Path, letter: str) -> None:
    target = tmp_path / (letter * (255 // len(letter.encode())))
    with atomic_write(target) as stream:
        stream.write(b"new")
    assert target.read_bytes() == b"new" and os.listdir(tmp_path) == [target.name]


def test_writers_of_files_that_belong_together_come_one_after_the_other(tmp_path: Path) -> None:
    targets = [tmp_path / "vectors.npy", tmp_path / "names.jsonl"]
    for target in targets:
        target.write_bytes(b"old")

    def write() -> None:
        with atomic_writes(*targets) as streams:
            for stream in streams:
                stream.write(b"new")

    writer = threading.Thread(target=write)
    with locked_folder(tmp_path):
        writer.start()
        writer.join(0.5)
        assert writer.is_alive()
        assert [target.read_bytes() for target in targets] == [b"old", b"old"]
    writer.join(60)
    assert [target.read_bytes() for target in targets] == [b"new", b"new"]


def test_an_exception_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "model.json"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic_write(target) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.json"]


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "model.json"
    target.write_bytes(b"old")
    code = f"""
        import os, signal
        from object2vec.files import atomic_write
        with atomic_write({str(target)!r}) as stream:
            stream.write(b"half" * 100000)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    paths = os.pathsep.join(path for path in sys.path if path)
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    assert child.returncode == -signal.SIGKILL
    assert target.read_bytes() == b"old"
    leftovers = [name for name in os.listdir(tmp_path) if name != "model.json"]
    assert all(name.startswith(".") and name.endswith(".tmp") for name in leftovers)


def test_the_mask_of_the_process_decides_the_mode(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "file") as stream:
            stream.write(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "no" / "file"):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["data", "data.gz", "data.txt"])
@pytest.mark.parametrize("packed", [True, False])
def test_the_content_decides_whether_a_file_is_gzipped(
    tmp_path: Path, name: str, packed: bool
) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"text\n") if packed else b"text\n")
    with open_input(path) as stream:
        assert stream.read() == b"text\n"


def test_only_a_regular_file_is_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    with open_regular(tmp_path / "file") as stream:
        assert stream.read() == b"text"
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "device").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("link", "link"), ("device", "link"), ("pipe", "no regular file")):
        with pytest.raises(OSError, match=words):
            open_regular(tmp_path / name)
    with pytest.raises(OSError, match="no regular file"):
        open_regular("/dev/zero")


def feed(path: Path, pieces: Sequence[bytes]) -> threading.Thread:
    """Write to a named pipe, piece by piece, once its reader has come."""

    def work() -> None:
        with path.open("wb", buffering=0) as stream:
            for piece in pieces:
                stream.write(piece)
                time.sleep(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("first", [0, 1, 2, 3, 9])
def test_a_pipe_gives_every_byte_once(tmp_path: Path, packed: bool, first: int) -> None:
    text = b"".join(b"%d\n" % number for number in range(30_000))
    # Two members, as when files are joined by cat.
    data = gzip.compress(text[:100]) + gzip.compress(text[100:]) if packed else text
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    pieces = [data[:1], data[1:first], data[first:]] if first else [data]
    writer = feed(pipe, [piece for piece in pieces if piece])
    with open_input(pipe) as stream:
        assert stream.readline() == b"0\n"
        assert stream.read() == text[2:]
    writer.join(timeout=30)
    assert not writer.is_alive()


@pytest.mark.parametrize("data", [b"", b"\x1f", b"x"])
def test_a_pipe_may_hold_less_than_what_decides(tmp_path: Path, data: bytes) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = feed(pipe, [data])
    with open_input(pipe) as stream:
        assert stream.read() == data
    writer.join(timeout=30)


@pytest.mark.parametrize("packed", [True, False])
def test_what_a_pipe_holds_is_given_when_it_comes(tmp_path: Path, packed: bool) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    goes_on = threading.Event()
    packer = zlib.compressobj(wbits=31)

    def work() -> None:
        with pipe.open("wb", buffering=0) as stream:
            for line in (b"first\n", b"second\n"):
                part = packer.compress(line) + packer.flush(zlib.Z_SYNC_FLUSH)
                stream.write(part if packed else line)
                goes_on.wait(timeout=30)
            stream.write(packer.flush() if packed else b"")

    writer = threading.Thread(target=work)
    writer.start()
    with open_input(pipe) as stream:
        assert stream.readline() == b"first\n"
        assert not goes_on.is_set()
        goes_on.set()
        assert stream.read() == b"second\n"
    writer.join(timeout=30)


@pytest.mark.parametrize("packed", [True, False])
def test_a_closed_input_is_closed_all_the_way_down(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "data"
    path.write_bytes(gzip.compress(b"text") if packed else b"text")
    before = os.listdir("/proc/self/fd")
    with open_input(path) as stream:
        assert stream.read(1) == b"t"
    assert os.listdir("/proc/self/fd") == before


def test_a_plain_file_can_be_sought_in(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"text")
    with open_input(path) as stream:
        assert stream.read() == b"text"
        stream.seek(1)
        assert stream.read() == b"ext"


def test_the_start_of_a_stream_is_put_back(tmp_path: Path) -> None:
    text = bytes(range(256)) * 100
    path = tmp_path / "data"
    path.write_bytes(gzip.compress(text))
    for length in (0, 1, 8192, 20_000, len(text)):
        stream = open_input(path)
        with rejoined(stream.read(length), stream) as whole:
            assert whole.read() == text
        assert stream.closed


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("file", "--model-dir {}/file is a file, not a folder; name a folder for the model."),
        ("file/a/b", "--model-dir {0}/file/a/b cannot be made: {0}/file is a file, not a folder"),
        ("/dev/null", "--model-dir /dev/null is no folder; "),
        ("/proc/x/y", "--model-dir /proc/x/y cannot be written to: No such file or directory; "),
        ("link", "--model-dir {}/link cannot be written to: it is a link that leads nowhere; "),
        ("loop/a", "--model-dir {}/loop/a cannot be written to: Too many levels of symbolic "),
        ("n" * 300, "cannot be written to: File name too long; name another folder"),
    ],
)
def test_a_folder_that_cannot_hold_a_model_is_refused(
    tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / "file").write_text("as it was")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(CustomerError) as caught:
        check_model_folder(tmp_path / name, "--model-dir")
    assert words.format(tmp_path) in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "link", "loop"]
    assert (tmp_path / "file").read_text() == "as it was"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(CustomerError, match="cannot be written to: Permission denied"):
        check_model_folder(tmp_path / "model")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_the_machines_fault(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(PlatformError, match=f"No space is left on the disk of {tmp_path}/model: "):
        check_model_folder(tmp_path / "model")
    assert not list(tmp_path.iterdir())
