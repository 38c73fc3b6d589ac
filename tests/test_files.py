"""Crash-safe writing and opening of gzipped or plain files."""

from __future__ import annotations

import gzip
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from object2vec.files import atomic_write, open_input, open_regular


def test_a_written_file_holds_the_bytes_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "model.json"
    target.write_bytes(b"old")
    with atomic_write(target) as stream:
        stream.write(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["model.json"]


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
