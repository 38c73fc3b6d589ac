# SPDX-License-Identifier: Apache-2.0
"""A model directory as one file, ``model.tar.gz``: looked through before anything is unpacked."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import struct
import tarfile
import tempfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, NoReturn, Optional, cast

from object2vec.errors import CustomerError, PlatformError
from object2vec.files import PathLike, open_regular
from object2vec.model.manifest import MANIFEST, ORIGINAL_MODEL, original_model
from object2vec.text import bounded, quoted

_GZIP = b"\x1f\x8b"
_FOREIGN = {b"PK": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_HOW = "make it by tar czf model.tar.gz -C model . where 'model' is the folder that training wrote"
_CHANGED = "was changed while it was read; load it again, or"
# What macOS's tar adds to each file.
_APPLE_DOUBLE = "._"
_KEPT = (MANIFEST, "hyperparameters")
_LARGEST_KEPT = 1 << 20
_MOST_KEPT = 16
_MOST_MEMBERS = 200
# The two largest tables that MXNet holds have 17 GB.
_LARGEST_TOTAL = 32 << 30
# tarfile's time grows with the square of a header's length (CVE-2024-6232, mended in some).
_LONGEST_HEADER = 4 << 10
_LARGEST_HEADERS = 512 << 10
_BLOCK = 1 << 20
_CUT_OFF = (gzip.BadGzipFile, zlib.error, EOFError)
# All that tarfile, gzip and zlib are known to raise for what is no sound archive.
_DAMAGE = (
    *_CUT_OFF, tarfile.TarError, struct.error, ValueError, LookupError, ArithmeticError,
    RecursionError,
)  # fmt: skip


def is_archive(path: PathLike) -> bool:
    """Whether a model's path is that of a file: it should then be an archive."""
    return os.path.isfile(path)


class ModelArchive:
    """An open archive, all of whose members were looked at; it takes no more than a few megabytes.

    A tar archive, gzipped or not, with regular files at its top or in one folder. What does not
    belong to the model is passed over, such as the files that macOS adds, or the folder ``code``
    that the SageMaker SDK puts beside a model.

    Parameters
    ----------
    path : Path
        The archive.

    Attributes
    ----------
    sizes : dict of str to int
        The bytes of each file, by its name without a folder.
    kept : dict of str to bytes
        The content of ``model.json`` and of the files of hyperparameters.

    Raises
    ------
    CustomerError
        If it is no such archive, is damaged, or holds no model.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = ""
        self.sizes: dict[str, int] = {}
        self.kept: dict[str, bytes] = {}
        try:
            self._file = open_regular(os.path.realpath(path))
        except OSError as error:
            raise CustomerError(f"{path} cannot be read: {error.strerror}.") from None
        try:
            self._look()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> ModelArchive:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._file.close()

    @contextlib.contextmanager
    def unpacked(self, names: Collection[str]) -> Iterator[dict[str, io.BufferedReader]]:
        """Unpack files into temporary ones without names: nothing is left, even after a kill.

        Parameters
        ----------
        names : collection of str
            Some of `sizes`.

        Yields
        ------
        dict of str to file
            Open for reading; closed at the end, and gone with it.

        Raises
        ------
        CustomerError
            If the archive is damaged.
        PlatformError
            If there is no room for them.
        """
        with contextlib.ExitStack() as stack:
            streams: dict[str, io.BufferedReader] = {}
            try:
                self._check_space(sum(self.sizes[name] for name in names))
                for member in self._members():
                    if member.folder != self._folder or member.name not in names:
                        continue
                    if member.name in streams or member.size != self.sizes[member.name]:
                        self._refuse(_CHANGED)
                    stream = stack.enter_context(tempfile.TemporaryFile(prefix="object2vec-"))
                    for block in member.blocks:
                        stream.write(block)
                    stream.flush()
                    streams[member.name] = cast(io.BufferedReader, stream)
            except OSError as error:
                self._refuse_to_unpack(error.strerror or str(error))
            if streams.keys() != set(names):
                self._refuse(_CHANGED)
            yield streams

    def _look(self) -> None:
        sizes: dict[str, dict[str, int]] = {}
        kept: dict[str, dict[str, bytes]] = {}
        for member in self._members():
            of_folder = sizes.setdefault(member.folder, {})
            if member.name in of_folder:
                self._refuse(f"holds {quoted(member.name)} twice")
            of_folder[member.name] = member.size
            if member.name.startswith(_KEPT) and member.size <= _LARGEST_KEPT:
                kept.setdefault(member.folder, {})[member.name] = b"".join(member.blocks)
                if sum(map(len, kept.values())) > _MOST_KEPT:
                    self._refuse(f"holds more than {_MOST_KEPT} files of hyperparameters")
        models = [folder for folder, contents in kept.items() if MANIFEST in contents]
        if len(models) > 1:
            self._refuse(f"holds a model in {quoted(models[0])} and one in {quoted(models[1])}")
        if not models:
            if any(ORIGINAL_MODEL in of_folder for of_folder in sizes.values()):
                raise original_model(self._path / ORIGINAL_MODEL)
            self._refuse(f"holds no model: {MANIFEST} is missing or has more than a megabyte")
        self._folder = models[0]
        self.sizes, self.kept = sizes[self._folder], kept[self._folder]

    def _members(self) -> Iterator[_Member]:
        """The files at the top and in folders there, one by one; all members are checked."""
        self._file.seek(0)
        head = self._file.read(8)
        for magic, packer in _FOREIGN.items():
            if head.startswith(magic):
                self._refuse(f"was packed by {packer}; unpack it and give the folder, or")
        self._file.seek(0)
        packed = head.startswith(_GZIP)
        source = gzip.GzipFile(fileobj=self._file) if packed else self._file
        reader = _Reader(cast(BinaryIO, source))
        count = total = 0
        with self._telling_damage(reader):
            tar = tarfile.TarFile(fileobj=reader, encoding="utf-8")  # type: ignore[arg-type]
            while (info := tar.next()) is not None:
                count, total = count + 1, total + info.size
                if count > _MOST_MEMBERS:
                    self._refuse(f"holds more than {_MOST_MEMBERS} members")
                if total > _LARGEST_TOTAL:
                    self._refuse(f"says that it holds more than {_LARGEST_TOTAL} bytes")
                place = self._place(info)
                blocks = self._blocks(reader, info.size)
                if place is not None:
                    yield _Member(*place, info.size, blocks)
                for _ in blocks:
                    pass

    def _blocks(self, reader: _Reader, size: int) -> Iterator[bytes]:
        with self._telling_damage(reader):
            yield from reader.blocks(size)

    @contextlib.contextmanager
    def _telling_damage(self, reader: _Reader) -> Iterator[None]:
        try:
            yield
        except _DAMAGE as error:
            if reader.tell() <= tarfile.BLOCKSIZE and not isinstance(error, _CUT_OFF):
                self._refuse("is no archive of a model")
            reason = str(error) or type(error).__name__
            self._refuse(f"is damaged or cut off ({bounded(reason, 120)})")
        except OSError as error:
            raise CustomerError(f"{self._path} cannot be read: {error.strerror}.") from None

    def _place(self, info: tarfile.TarInfo) -> Optional[tuple[str, str]]:
        """The folder and the name of a member; None for what can be no file of a model."""
        parts = [part for part in info.name.split("/") if part not in ("", ".")]
        shown = quoted(info.name)
        if info.name.startswith("/") or ".." in parts:
            self._refuse(f"holds {shown}, which leads out of its folder")
        is_file = info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not info.issparse()
        if info.size < 0 or not (is_file or info.isdir()):
            self._refuse(f"holds {shown}, which is no regular file but a link, a device or a pipe")
        if not is_file or not 1 <= len(parts) <= 2 or parts[-1].startswith(_APPLE_DOUBLE):
            return None
        return "/".join(parts[:-1]), parts[-1]

    def _check_space(self, needed: int) -> None:
        space = os.statvfs(tempfile.gettempdir())
        free = space.f_bavail * space.f_frsize
        if space.f_blocks and needed > free:
            self._refuse_to_unpack(f"it needs {needed:,} bytes there, and {free:,} are free")

    def _refuse_to_unpack(self, reason: str) -> NoReturn:
        raise PlatformError(
            f"{self._path} cannot be unpacked into a folder for temporary files: {reason}; let "
            "TMPDIR name another one, or unpack it yourself and give the folder."
        ) from None

    def _refuse(self, fault: str) -> NoReturn:
        raise CustomerError(f"{self._path} {fault}: {_HOW}.") from None


class _Member(NamedTuple):
    """A file in an archive; its blocks of bytes are to be read before the next member."""

    folder: str
    name: str
    size: int
    blocks: Iterator[bytes]


class _Reader:
    """A stream as tarfile reads headers from it: forwards alone, and not without end.

    tarfile takes the length of a header from the header itself and reads it whole.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._position = 0
        self._left = _LARGEST_HEADERS

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> NoReturn:
        raise tarfile.ReadError(f"byte {position} does not follow byte {self._position}")

    def read(self, size: int) -> bytes:
        self._left -= size
        if not 0 <= size <= _LONGEST_HEADER or self._left < 0:
            raise tarfile.ReadError("its headers are too long")
        return self._take(size)

    def blocks(self, size: int) -> Iterator[bytes]:
        """The data of a member, up to where the next one begins."""
        left = size
        while left:
            block = self._take(min(left, _BLOCK))
            if not block:
                raise tarfile.ReadError("unexpected end of data")
            left -= len(block)
            yield block
        self._take(-size % tarfile.BLOCKSIZE)

    def _take(self, size: int) -> bytes:
        content = self._stream.read(size)
        self._position += len(content)
        return content
