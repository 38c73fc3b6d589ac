# SPDX-License-Identifier: Apache-2.0
"""Files on disk: written so that a crash leaves the old or the new one, read gzipped or not."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gzip
import io
import json
import os
import secrets
import stat
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Optional, Union, cast

from object2vec.errors import CustomerError, Object2VecError, PlatformError
from object2vec.interruption import checkpoint
from object2vec.text import named

PathLike = Union[str, "os.PathLike[str]"]
_GZIP_MAGIC = b"\x1f\x8b"
_BETWEEN_TRIES = 0.02  # seconds
_PROBE_BYTES = 4096
# A model directory has it; see `model.manifest`.
_MANIFEST = "model.json"
# What file systems without locks of folders answer.
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NO_LOCKS = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


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
    with atomic_writes(path) as (stream,):
        yield stream


@contextlib.contextmanager
def atomic_writes(*paths: PathLike) -> Iterator[list[BinaryIO]]:
    """Write files that belong together, as `atomic_write` does a single one.

    After an exception the targets are what they were before. Of several, all older ones are removed
    before the first new one comes to its place, so that a crash at this point may leave some
    missing, but never an old one beside a new one. Meanwhile the folder is locked, so that of
    writers at once one comes after the other.

    Parameters
    ----------
    *paths : path-like
        The targets, replaced if they exist; their folders must exist.

    Yields
    ------
    list of binary file
        Open for writing, in the order of the paths; closed by the context manager.
    """
    targets = [Path(path) for path in paths]
    temporaries = [
        target.with_name(f".{_short(target.name)}.{secrets.token_hex(6)}.tmp") for target in targets
    ]
    try:
        with contextlib.ExitStack() as stack:
            streams: list[BinaryIO] = [
                stack.enter_context(open(path, "xb")) for path in temporaries
            ]
            yield streams
            for stream in streams:
                stream.flush()
                os.fsync(stream.fileno())
        with contextlib.ExitStack() as stack:
            if len(targets) > 1:
                # two writers at once would mix theirs
                for folder in sorted({target.parent for target in targets}):
                    stack.enter_context(locked_folder(folder))
                for target in targets:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(target)
            for temporary, target in zip(temporaries, targets):
                os.replace(temporary, target)
    except BaseException:
        for temporary in temporaries:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        raise
    for folder in dict.fromkeys(target.parent for target in targets):
        sync_folder(folder)


def _short(name: str) -> str:
    """The first 200 bytes of a name: file systems count bytes, of which a letter may have four."""
    return os.fsencode(name)[:200].decode(errors="ignore")


def unwritable(path: PathLike, error: OSError, other: str) -> Object2VecError:
    """What to raise where writing has failed; `other` says what to name else, such as a folder."""
    if error.errno in _NO_SPACE:
        return PlatformError(f"No space is left on the disk of {named(path)}: free some.")
    reason = error.strerror or error
    return CustomerError(f"{named(path)} cannot be written to: {reason}; name another {other}.")


def sync_folder(folder: PathLike) -> None:
    """Make renames inside `folder` outlast a power cut, where the file system allows it."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def check_model_folder(folder: PathLike, option: str = "") -> None:
    """Refuse a folder that cannot be written to, before hours are spent on the model.

    Nothing is made: where the folder does not exist yet, the nearest one above it is tried.

    Parameters
    ----------
    folder : path-like
        Where a model is to be written.
    option : str
        What named it, for errors, such as "--model-dir".

    Raises
    ------
    CustomerError
        It is no folder, cannot be made, or may not be written to.
    PlatformError
        There is no space left.
    """
    title = f"{option} {named(folder)}".lstrip()
    try:
        place = _nearest_existing(Path(folder))
        if not place.is_dir():
            kind = "a file, not a folder" if place.is_file() else "no folder"
            above = "" if place == Path(folder) else f" cannot be made: {named(place)}"
            raise CustomerError(f"{title}{above} is {kind}; name a folder for the model.")
        _try_writing(place)
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise PlatformError(
                f"No space is left on the disk of {title}: free some or use a bigger one."
            ) from None
        raise CustomerError(
            f"{title} cannot be written to: {error.strerror or error}; name another folder for "
            "the model."
        ) from None


def check_output_file(path: PathLike) -> None:
    """Refuse a file that cannot be written, before hours are spent on its content.

    Raises
    ------
    CustomerError
        Its folder does not exist or may not be written to, or it is there and no regular file.
    PlatformError
        There is no space left.
    """
    target = Path(path)
    try:
        if not target.parent.is_dir():
            reason = f"the folder {named(target.parent)} does not exist"
        elif target.exists() and not target.is_file():
            reason = "it is a folder" if target.is_dir() else "it is no regular file"
        else:
            _try_writing(target.parent)
            return
    except OSError as error:
        raise unwritable(target, error, "file") from None
    raise CustomerError(f"{named(target)} cannot be written: {reason}.")


def check_not_read(path: PathLike, sources: Iterable[object]) -> None:
    """Refuse an output that is one of the files that are read: these would be lost.

    Parameters
    ----------
    path : path-like
        The output, which need not exist.
    sources : iterable of object
        What is read or else in use, one by one; what is no path counts for nothing. A model
        directory stands for its own files, another folder for all that it holds.

    Raises
    ------
    CustomerError
        Names the output and what is read.
    """
    target = Path(path)
    for source in sources:
        if isinstance(source, (str, os.PathLike)) and _holds(Path(source), target):
            raise CustomerError(
                f"{named(target)} cannot be written: it would take the place of what is read from "
                f"{named(source)}; name another file."
            )


def _holds(source: Path, target: Path) -> bool:
    """Whether a file is a source, or one of a source's files."""
    try:
        if not target.exists():
            # what is yet to be made, such as the file of a study, or a folder for a model
            return target.resolve() == source.resolve()
        if not target.is_file():
            return False
        if not source.is_dir():
            return target.samefile(source)
        place = target.resolve().relative_to(source.resolve())
        manifest = source / _MANIFEST
        if not manifest.is_file():
            return True
        # what people put beside a model is theirs
        return place.name == _MANIFEST or json.dumps(place.name) in manifest.read_text()
    except (OSError, ValueError):
        return False


def _nearest_existing(path: Path) -> Path:
    while True:
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            if path.is_symlink():
                raise OSError(errno.ENOENT, "it is a link that leads nowhere", path) from None
            path = path.parent
        else:
            return path


def _try_writing(folder: Path) -> None:
    probe = folder / f".object2vec.{secrets.token_hex(6)}.tmp"
    try:
        # An empty file would still find its place on a full disk.
        with open(probe, "xb") as stream:
            stream.write(bytes(_PROBE_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
    finally:
        with contextlib.suppress(OSError):
            os.unlink(probe)


def open_regular(path: PathLike) -> io.BufferedReader:
    """Open a regular file for reading bytes, and nothing else: no link, pipe or device.

    Parameters
    ----------
    path : path-like
        The file.

    Raises
    ------
    OSError
        If it cannot be opened, or is no regular file.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe may not block
    try:
        handle = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symbolic link, not a file", path) from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return open(handle, "rb")


@contextlib.contextmanager
def locked_folder(folder: PathLike, seconds: float = 300) -> Iterator[None]:
    """Hold a folder's lock for writers; another one waits, in this process or elsewhere.

    The lock is the kernel's, on the folder itself: it leaves no file, ends with its process, and
    holds up no reader. On a file system without locks of folders (some network drives) nothing is
    held.

    Parameters
    ----------
    folder : path-like
        It must exist.
    seconds : float
        How long to wait for another writer.

    Raises
    ------
    CustomerError
        If another writer holds the lock for longer.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        end = time.monotonic() + seconds
        while not _try_lock(handle):
            if time.monotonic() > end:
                raise CustomerError(
                    f"Another process has been writing to {folder} for {seconds:.0f} seconds: "
                    "give each job a folder of its own."
                )
            time.sleep(_BETWEEN_TRIES)
        yield
    finally:
        # A forked child may hold the folder open too, so that closing alone would not unlock it.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def open_input(path: PathLike) -> BinaryIO:
    """Open a file for reading bytes, unpacking gzip; the content decides, not the name.

    It is opened once and read in one go, so that it may be a pipe. A plain file that is not
    gzipped can be sought in.
    """
    raw = _Raw(path)
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


# What reading a file of `open_input` raises.
READING_ERRORS = (EOFError, zlib.error, OSError)


def unreadable(path: PathLike, error: BaseException) -> str:
    """Why one of READING_ERRORS came: a sentence that lacks its full stop."""
    if isinstance(error, EOFError):
        return f"The gzip file {named(path)} ends before its end mark: it is cut off"
    if isinstance(error, zlib.error):
        return f"The gzip file {named(path)} is damaged: {error}"
    return f"Cannot read {named(path)}: {getattr(error, 'strerror', None) or error}"


def rejoined(head: bytes, rest: BinaryIO) -> BinaryIO:
    """A stream that gives `head`, which was read from a stream's start, and then the rest of it."""
    return cast(BinaryIO, io.BufferedReader(_Rejoined(head, rest)))


def _read_fully(stream: io.RawIOBase, count: int) -> bytes:
    """Bytes up to `count`, fewer only at the end; a pipe may hand over one at a time."""
    data = b""
    while len(data) < count and (part := stream.read(count - len(data))):
        data += part
    return data


class _Raw(io.FileIO):
    """A file, the reading of which a signal can end between two blocks."""

    def readinto(self, buffer: Any) -> Optional[int]:
        checkpoint()
        return super().readinto(buffer)

    def read(self, count: Optional[int] = -1) -> bytes:
        checkpoint()
        return super().read(-1 if count is None else count)


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
