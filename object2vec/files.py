"""Files on disk: written so that a crash leaves the old or the new one, read gzipped or not."""

from __future__ import annotations

import contextlib
import gzip
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Union, cast

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
    """Open a file for reading bytes, unpacking gzip; the content decides, not the name."""
    with open(path, "rb") as stream:
        magic = stream.read(len(_GZIP_MAGIC))
    if magic == _GZIP_MAGIC:
        return cast(BinaryIO, gzip.open(path, "rb"))
    return open(path, "rb")
