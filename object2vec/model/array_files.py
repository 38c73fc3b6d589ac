# SPDX-License-Identifier: Apache-2.0
"""Arrays in NumPy's format .npy, written so that all may read them, read as they are written here.

NumPy's reader lets the file say what memory is taken, and parses Python in its head. Here type and
shape are known before, and the file has to begin with the very bytes that say these.
"""

from __future__ import annotations

import hashlib
import math
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from object2vec.errors import CustomerError
from object2vec.model.parameter_files import Stream, changed

_MAGIC = b"\x93NUMPY\x01\x00"
_ALIGNMENT = 64
_BLOCK = 1 << 22  # bytes


def array_head(dtype: str, shape: tuple[int, ...]) -> bytes:
    """What the file of an array begins with, up to its elements.

    Parameters
    ----------
    dtype : str
        ``<f4`` or ``<i4``.
    shape : tuple of int
        Of an array whose last axis runs fastest.
    """
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode("ascii")
    blanks = -(len(_MAGIC) + 2 + len(text) + 1) % _ALIGNMENT
    text += b" " * blanks + b"\n"
    return _MAGIC + len(text).to_bytes(2, "little") + text


def array_size(dtype: str, shape: tuple[int, ...]) -> int:
    """The size in bytes of an array's file."""
    return len(array_head(dtype, shape)) + np.dtype(dtype).itemsize * math.prod(shape)


def write_array(stream: BinaryIO, array: np.ndarray, dtype: str) -> None:
    """Write an array, as the type ``<f4`` or ``<i4``."""
    stream.write(array_head(dtype, array.shape))
    stream.write(np.ascontiguousarray(array, dtype).data)


def check_array(stream: Stream, path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    """Check that a file is that of an array of a type and a shape; no element is read.

    Raises
    ------
    CustomerError
        If it is not.
    """
    head = array_head(dtype, shape)
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if size != array_size(dtype, shape) or stream.read(len(head)) != head:
        raise CustomerError(
            f"{path} is no array of the type {dtype} and the shape {shape} in NumPy's format 1.0, "
            "as the index that it belongs to says: build the index anew."
        )


def read_array(
    stream: Stream, path: Path, dtype: str, shape: tuple[int, ...], sha256: str
) -> np.ndarray:
    """Read an array.

    Parameters
    ----------
    stream : io.BufferedReader or io.BytesIO
        The whole file.
    path : Path
        Its name, for errors.
    dtype : str
        ``<f4`` or ``<i4``.
    shape : tuple of int
        What the array should be; memory is taken once the file is as large as that needs.
    sha256 : str
        The SHA-256 that the file should have, in hexadecimal digits.

    Raises
    ------
    CustomerError
        If it is no such array, has another content, or holds NaN or infinity.
    """
    check_array(stream, path, dtype, shape)
    digest = hashlib.sha256(array_head(dtype, shape))
    array = np.empty(shape, dtype)
    content = array.reshape(-1).data.cast("B")
    for start in range(0, len(content), _BLOCK):
        block = content[start : start + _BLOCK]
        if stream.readinto(block) != len(block):
            raise CustomerError(f"{path} became shorter while it was read: load the model again.")
        digest.update(block)
    if digest.hexdigest() != sha256:
        raise changed(path)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise CustomerError(f"{path} holds NaN or infinity: build the index anew.")
    return array
