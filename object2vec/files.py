"""Files on disk: written so that a crash leaves the old or the new one, read gzipped or not."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Union, cast

PathLike = Union[str, "os.PathLike[str]"]
_GZIP_MAGIC = b"\x1f\x8b"


@contextlib.contextmanager
def atomic_write(path: PathLike) -> Iterator[BinaryIO]:
    """Write a file as a whole or not at all.

    The bytes go to a hidden temporary file beside the target, reach the disk, and are renamed at
    the end. After an exception or a crash the target is what it was before.

    Parameters
    ----------
    path : path-like
        The target, replaced if it exists; its folder must exist.

    Yields
    ------
    binary file
        Open for writing; closed by the context manager.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name[:200]}.{secrets.token_hex(6)}.tmp")
    try:
        with open(temporary, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_folder(target.parent)


def sync_folder(folder: PathLike) -> None:
    """Make renames inside `folder` outlast a power cut, where the file system allows it."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def open_input(path: PathLike) -> BinaryIO:
    """Open a file for reading bytes, unpacking gzip; the content decides, not the name.

    It is opened once and read in one go, so that it may be a pipe. A plain file that is not
    gzipped can be sought in.
    """
    raw = io.FileIO(path)
    try:
        head = _read_fully(raw, len(_GZIP_MAGIC))
        if not raw.seekable():
            source: io.RawIOBase = _Rejoined(head, cast(BinaryIO, raw))
        else:
            raw.seek(0)
            source = raw
        return cast(BinaryIO, _Gzip(source) if head == _GZIP_MAGIC else io.BufferedReader(source))
    except BaseException:
        raw.close()
        raise


def rejoined(head: bytes, rest: BinaryIO) -> BinaryIO:
    """A stream that gives `head`, which was read from a stream's start, and then the rest of it."""
    return cast(BinaryIO, io.BufferedReader(_Rejoined(head, rest)))


def _read_fully(stream: io.RawIOBase, count: int) -> bytes:
    """Bytes up to `count`, fewer only at the end; a pipe may hand over one at a time."""
    data = b""
    while len(data) < count and (part := stream.read(count - len(data))):
        data += part
    return data


class _Rejoined(io.RawIOBase):
    """What was read from a stream's start, and then the stream; closes it, too."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        super().__init__()
        self._waiting = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._waiting or self._rest.read(len(buffer))
        count = min(len(data), len(buffer))
        buffer[:count] = data[:count]
        self._waiting = data[count:]
        return count

    def close(self) -> None:
        try:
            self._rest.close()
        finally:
            super().close()


class _Gzip(gzip.GzipFile):
    """Unpacks a stream and closes it, too."""

    def __init__(self, source: io.RawIOBase) -> None:
        super().__init__(fileobj=cast(BinaryIO, source), mode="rb")
        self._source = source

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._source.close()
