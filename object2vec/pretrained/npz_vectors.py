# SPDX-License-Identifier: Apache-2.0
"""Reads word vectors from gluonnlp's .npz as data: nothing in it is run, no size is believed."""

from __future__ import annotations

import io
import os
import pickletools
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO, Optional, cast

import numpy as np

from object2vec.errors import CustomerError, Object2VecError
from object2vec.pretrained.vector_table import VectorTable
from object2vec.text import bounded, named, shown

_TOKENS, _VECTORS = "idx_to_token.npy", "idx_to_vec.npy"
_BLOCK_BYTES = 1 << 22
_LONGEST_HEADER = 10_000
_LONGEST_WORD = 1 << 20
_ALL_WORDS = 1 << 28  # characters that are held at a time
# The most that DEFLATE makes of a byte, which bounds what an archive can unpack to.
_LARGEST_RATIO = 1033
# As NumPy writes it; Python 2 put an L behind long integers.
_HEADER = re.compile(
    r"\{'descr': '([^']{1,20})', 'fortran_order': (True|False), "
    r"'shape': \(((?:[0-9]{1,18}L?, ?){0,8}(?:[0-9]{1,18}L?)?)\),? \}\s*"
)
_STRINGS = re.compile(r"[<>|=]?(?:O[0-9]?|[US][0-9]{1,9})")
_FLOATS = re.compile(r"[<>=]?f[248]")


@dataclass(frozen=True)
class _Header:
    """What an array in the archive says of itself: such as ``<f4``, ``(3, 4)``."""

    descr: str
    shape: tuple[int, ...]
    fortran_order: bool
    size: int


def read_npz(file: BinaryIO, path: Path, table: VectorTable, width_name: str) -> None:
    """Fill a table from the .npz of gluonnlp's ``TokenEmbedding.serialize``, in one pass.

    Parameters
    ----------
    file : BinaryIO
        The file, which can be sought in.
    path : pathlib.Path
        Its name, for errors.
    table : VectorTable
        Takes the vectors of its words.
    width_name : str
        The hyperparameter that says the table's width, for errors.

    Raises
    ------
    CustomerError
        The file is damaged, something else, or its vectors have another width.
    """
    try:
        size = file.seek(0, os.SEEK_END)
        with zipfile.ZipFile(file) as archive:
            words, vectors = (_member(archive, size, path, name) for name in (_TOKENS, _VECTORS))
            with archive.open(words) as first, archive.open(vectors) as second:
                sizes = words.file_size, vectors.file_size
                _read(_Stream(first), _Stream(second), sizes, path, table, width_name)
    except (Object2VecError, MemoryError):
        raise
    except ValueError as error:
        reason = bounded(str(error))
        raise CustomerError(f"{named(path)} is no .npz file of gluonnlp: {reason}") from None
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        # On a damaged file zipfile and pickletools raise whatever they stumble over.
        reason = bounded(str(error)) or type(error).__name__
        raise CustomerError(f"{named(path)} is damaged: {reason}") from None


def _member(archive: zipfile.ZipFile, size: int, path: Path, name: str) -> zipfile.ZipInfo:
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise CustomerError(
            f"{named(path)} is a zip archive without {_TOKENS} and {_VECTORS}: give the text "
            "file that it holds, or the .npz of gluonnlp's TokenEmbedding.serialize"
        ) from None
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
        raise ValueError(f"{name} is encrypted or packed as NumPy packs nothing")
    packed = info.compress_size
    if packed > size or info.file_size > _LARGEST_RATIO * packed:
        raise ValueError(f"{name} cannot have the size of {info.file_size} bytes that it claims")
    return info


class _Stream(io.BufferedReader):
    """A member of the archive of which no read takes more memory than a long word."""

    def __init__(self, member: IO[bytes]) -> None:
        super().__init__(cast(io.RawIOBase, member), 1 << 16)

    def read(self, size: Optional[int] = -1, /) -> bytes:
        if size is None or not 0 <= size <= max(_LONGEST_WORD, _BLOCK_BYTES):
            raise ValueError(f"a piece of {size} bytes is too large")
        return super().read(size)

    def readline(self, size: Optional[int] = -1, /) -> bytes:
        return super().readline(_LONGEST_WORD)


def _read(
    first: _Stream,
    second: _Stream,
    sizes: tuple[int, int],
    path: Path,
    table: VectorTable,
    width_name: str,
) -> None:
    head = _read_header(first)
    if len(head.shape) != 1 or not _STRINGS.fullmatch(head.descr):
        raise ValueError(f"idx_to_token must be a list of strings, found {head.descr} {head.shape}")
    count = head.shape[0]
    words = _words(first, head, sizes[0])
    head = _read_header(second)
    sound = len(head.shape) == 2 and head.shape[0] == count and not head.fortran_order
    if not sound or not _FLOATS.fullmatch(head.descr):
        raise ValueError(
            f"idx_to_vec must be a matrix of {count} rows of floats in C order, "
            f"found {head.descr} {head.shape}"
        )
    width, dtype = head.shape[1], np.dtype(head.descr)
    table.check_width(path, width, width_name)
    if head.size + count * width * dtype.itemsize > sizes[1]:
        raise ValueError("idx_to_vec ends too early")
    at_once = max(1, _BLOCK_BYTES // (width * dtype.itemsize))
    for start in range(0, count, at_once):
        block = list(islice(words, min(at_once, count - start)))
        data = second.read(len(block) * width * dtype.itemsize)
        for word, values in zip(block, np.frombuffer(data, dtype).reshape(-1, width)):
            table.vectors += 1
            row = table.row_of(word.encode(errors="replace"))
            if row is not None:
                table.put(row, values)
    if next(words, None) is not None:
        raise ValueError(f"idx_to_token must hold {count} strings, found more")


def _read_header(stream: _Stream) -> _Header:
    """The header of an array; NumPy's own reader hands it to Python's parser, whatever it is."""
    magic = stream.read(8)
    width = {b"\1\0": 2, b"\2\0": 4, b"\3\0": 4}.get(magic[6:])
    if magic[:6] != b"\x93NUMPY" or width is None:
        raise ValueError("it holds no arrays as NumPy writes them")
    length = int.from_bytes(stream.read(width), "little")
    if length > _LONGEST_HEADER:
        raise ValueError(f"the header of an array has {length} bytes")
    text = stream.read(length).decode("latin-1")
    found = _HEADER.fullmatch(text)
    if found is None:
        raise ValueError(f"the header of an array is {shown(text)}")
    shape = tuple(map(int, re.findall("[0-9]+", found[3])))
    return _Header(found[1], shape, found[2] == "True", 8 + width + length)


def _words(stream: _Stream, head: _Header, size: int) -> Iterator[str]:
    """The words of an array; as many as its header says, or an error."""
    count = head.shape[0]
    if "O" in head.descr:
        found = 0
        for word in _strings_of_pickle(stream, count):
            found += 1
            yield word
        if found < count:
            raise ValueError(f"idx_to_token must hold {count} strings, found {found}")
        return
    dtype = np.dtype(head.descr)
    if not 0 < dtype.itemsize <= _LONGEST_WORD or head.size + count * dtype.itemsize > size:
        raise ValueError(f"idx_to_token cannot hold {count} strings of {dtype.itemsize} bytes")
    at_once = _BLOCK_BYTES // dtype.itemsize
    for start in range(0, count, at_once):
        data = stream.read(min(at_once, count - start) * dtype.itemsize)
        for word in np.frombuffer(data, dtype).tolist():
            yield word.decode(errors="replace") if isinstance(word, bytes) else word


def _strings_of_pickle(stream: _Stream, count: int) -> Iterator[str]:
    """The strings of a pickled object array, read as data: nothing is unpickled, no code run."""
    # A string that the pickle holds already is only referred to, by its number.
    memo: dict[Any, Optional[str]] = {}
    last: Optional[str] = None
    in_list = False
    held = 0
    for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        name = opcode.name
        if held > _ALL_WORDS or number > 8 * count + _LONGEST_HEADER:
            raise ValueError("idx_to_token is too large")
        if name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if name == "MEMOIZE" else argument] = last
            continue
        is_reference = name in ("BINGET", "LONG_BINGET")
        value = memo.get(argument) if is_reference else argument
        last = value if isinstance(value, str) and (is_reference or "UNICODE" in name) else None
        if last is not None and not is_reference:
            held += len(last)
        if name == "EMPTY_LIST":
            in_list = True
        elif in_list and name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
            return
        elif in_list and last is not None:
            yield last
        elif in_list and name not in ("MARK", "APPEND", "APPENDS", "FRAME"):
            break
    raise ValueError("idx_to_token holds something else than strings")
