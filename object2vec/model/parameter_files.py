# SPDX-License-Identifier: Apache-2.0
"""MXNet's parameter files, written and strictly read: no file decides what memory is taken.

MXNet's own reader trusts its file: a wrong number of axes overwrites its stack. Its writer takes
only names of files, not open ones. A file of dense float32 arrays is, little-endian::

    uint64 0x112, uint64 0, uint64 count
    count times   uint32 0xF993FAC9, int32 storage type (0), uint32 axes, int64 for each axis,
                  int32 device type, int32 device number, int32 type (0), the elements
    uint64 count
    count times   uint64 length, the name
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import struct
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn, Optional, Union

import numpy as np

from object2vec.errors import CustomerError
from object2vec.text import quoted

Stream = Union[io.BufferedReader, io.BytesIO]

_FILE_MAGIC, _ARRAY_MAGIC = 0x112, 0xF993FAC9
_DENSE, _FLOAT32 = 0, 0
_CPU = 1, 0  # type and number of a device
_DEVICES = (1, 2, 3, 5)  # cpu, gpu, pinned, shared: where an array was does not matter
_PREFIX = "arg:"
_ITEM = 4  # bytes of a float32
BLOCK = 1 << 20  # elements read or written at a time
_SAVE_ANEW = "the file is damaged or of another model: copy or train the model again"


class _Stored(NamedTuple):
    """An array in the file: the bytes before its elements, the offset of these, and its shape."""

    head: bytes
    offset: int
    shape: tuple[int, ...]


def file_size(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """The size in bytes of a parameter file of these parameters."""
    heads = struct.calcsize("<QQQ") + struct.calcsize("<Q")
    return heads + sum(
        struct.calcsize(f"<Iii{len(shape)}q3i") + _ITEM * math.prod(shape)
        + struct.calcsize("<Q") + len(_PREFIX) + len(name)
        for name, shape in shapes.items()
    )  # fmt: skip


def write_parameters(
    stream: BinaryIO, parameters: Mapping[str, tuple[tuple[int, ...], Iterable[np.ndarray]]]
) -> None:
    """Write a parameter file, of the very bytes that ``mx.nd.save`` writes.

    Parameters
    ----------
    stream : binary file
        Open for writing.
    parameters : mapping of str to (tuple of int, iterable of numpy.ndarray)
        For each parameter its shape, and its elements, float32, in blocks of any size.
    """
    stream.write(struct.pack("<QQQ", _FILE_MAGIC, 0, len(parameters)))
    for shape, blocks in parameters.values():
        head = _ARRAY_MAGIC, _DENSE, len(shape), *shape, *_CPU, _FLOAT32
        stream.write(struct.pack(f"<IiI{len(shape)}q3i", *head))
        for elements in blocks:
            stream.write(np.ascontiguousarray(elements, "<f4").data)
    stream.write(struct.pack("<Q", len(parameters)))
    for name in parameters:
        text = f"{_PREFIX}{name}".encode("ascii")
        stream.write(struct.pack("<Q", len(text)) + text)


class ParameterFile:
    """The parameters of a file whose every length, name and shape is as expected.

    Parameters
    ----------
    stream : io.BufferedReader or io.BytesIO
        Read again by `blocks`.
    path : Path
        Its name, for errors.
    shapes : mapping of str to tuple of int
        The parameters that it should hold.

    Raises
    ------
    CustomerError
        If it holds anything else; no more than a few hundred bytes of each array are read for that.
    """

    def __init__(self, stream: Stream, path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._stream, self._path = stream, path
        self._position, self._size = 0, stream.seek(0, os.SEEK_END)
        self._taken: list[bytes] = []
        start = self._take(24, "its head")
        magic, reserved, count = struct.unpack("<QQQ", start)
        if (magic, reserved) != (_FILE_MAGIC, 0):
            self._refuse("does not begin as a file of MXNet's parameters does")
        if count != len(shapes):
            self._refuse(f"holds {count} instead of {len(shapes)} parameters")
        stored = [self._read_array(number) for number in range(1, count + 1)]
        self._taken.clear()
        names = self._read_names(count, shapes)
        if self._position != self._size:
            self._refuse(f"goes on for {self._size - self._position} bytes behind its last name")
        self._arrays = dict(zip(names, stored))
        self._check_shapes(shapes)
        self._start, self._end = start, b"".join(self._taken)

    def blocks(self, sha256: str) -> Iterator[tuple[str, int, np.ndarray]]:
        """Read the elements, a few megabytes at a time, in the order of the file.

        Parameters
        ----------
        sha256 : str
            The SHA-256 that the file should have, in hexadecimal digits.

        Yields
        ------
        name : str
            Of the parameter.
        begin : int
            Position of the block's first element in the flattened parameter.
        elements : numpy.ndarray
            float32, one-dimensional; overwritten by the next block.

        Raises
        ------
        CustomerError
            After the last block, if the file's content is not the one of `sha256`, or if an element
            is not finite.
        """
        digest = hashlib.sha256()
        unsound = yield from self._read_elements(digest)
        if digest.hexdigest() != sha256:
            raise changed(self._path)
        self._check_finite(unsound)

    def sha256(self) -> str:
        """Read the whole file and give its SHA-256, in hexadecimal digits.

        Raises
        ------
        CustomerError
            If an element is not finite.
        """
        digest = hashlib.sha256()
        reading = self._read_elements(digest)
        while True:
            try:
                next(reading)
            except StopIteration as end:
                self._check_finite(end.value)
                return digest.hexdigest()

    def _read_elements(
        self, digest: hashlib._Hash
    ) -> Generator[tuple[str, int, np.ndarray], None, Optional[str]]:
        """As `blocks`; returns the name of a parameter that is not finite."""
        digest.update(self._start)
        buffer = np.empty(BLOCK, "<f4")
        unsound = None
        for name, array in self._arrays.items():
            digest.update(array.head)
            self._stream.seek(array.offset)
            total = math.prod(array.shape)
            for begin in range(0, total, BLOCK):
                elements = buffer[: min(BLOCK, total - begin)]
                if self._stream.readinto(elements.data.cast("B")) != elements.nbytes:
                    self._refuse("became shorter while it was read")
                digest.update(elements.data)
                if unsound is None and not np.isfinite(elements).all():
                    unsound = name
                yield name, begin, elements
        digest.update(self._end)
        return unsound

    def _check_finite(self, unsound: Optional[str]) -> None:
        if unsound is not None:
            raise CustomerError(
                f"Parameter {unsound} in {self._path} holds NaN or infinity, so the model does not "
                "give finite numbers: train it again, for example with a lower learning_rate."
            )

    def _read_array(self, number: int) -> _Stored:
        what = f"its parameter {number}"
        head = self._take(12, what)
        magic, storage, axes = struct.unpack("<IiI", head)
        if magic != _ARRAY_MAGIC:
            self._refuse(f"has no parameter where its parameter {number} should begin")
        if storage != _DENSE:
            self._refuse(f"holds a parameter {number} of storage type {storage} instead of dense")
        if not 1 <= axes <= 3:
            self._refuse(f"holds a parameter {number} of {axes} axes instead of 1 to 3")
        head += self._take(8 * axes + 12, what)
        *shape, device, _, kind = struct.unpack(f"<{axes}q3i", head[12:])
        if min(shape) < 1:
            self._refuse(f"holds a parameter {number} of the shape {tuple(shape)}")
        if kind != _FLOAT32 or device not in _DEVICES:
            self._refuse(f"holds a parameter {number} that is not of the type float32")
        offset, length = self._position, _ITEM * math.prod(shape)
        if length > self._size - offset:
            self._refuse(f"ends inside {what}")
        self._position += length
        return _Stored(head, offset, tuple(shape))

    def _read_names(self, count: int, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
        if struct.unpack("<Q", self._take(8, "its names"))[0] != count:
            self._refuse("has not as many names as parameters")
        names: list[str] = []
        for number in range(1, count + 1):
            (length,) = struct.unpack("<Q", self._take(8, "its names"))
            raw = self._take(length, "its names") if length <= 200 else b""
            text = raw.decode("latin-1")
            name = text[len(_PREFIX) :]
            if not text.startswith(_PREFIX) or name not in shapes or name in names:
                self._refuse(
                    f"names its parameter {number} {quoted(text)}, which is unknown or stands "
                    "there already"
                )
            names.append(name)
        return names

    def _check_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        for name, shape in shapes.items():
            found = self._arrays[name].shape
            if found != shape:
                raise CustomerError(
                    f"Parameter {name} has the shape {found} in {self._path}, but the "
                    f"hyperparameters ask for {shape}; the model directory mixes two models: "
                    "save it anew."
                )

    def _take(self, length: int, what: str) -> bytes:
        self._stream.seek(self._position)
        content = self._stream.read(length)
        if len(content) != length:
            self._refuse(f"ends inside {what}")
        self._position += length
        self._taken.append(content)
        return content

    def _refuse(self, fault: str) -> NoReturn:
        raise CustomerError(f"{self._path} {fault}; {_SAVE_ANEW}.")


def sha256_of(stream: Stream) -> str:
    """The SHA-256 of a file's content, from where the stream stands, in hexadecimal digits."""
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def changed(path: Path) -> CustomerError:
    """The error about a file whose SHA-256 is not the listed one."""
    return CustomerError(
        f"{path} does not have the content that model.json lists (its SHA-256 differs); "
        "copy or train the model again."
    )
