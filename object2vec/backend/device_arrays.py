# SPDX-License-Identifier: Apache-2.0
"""Brings NumPy arrays to a device without waiting for MXNet's engine.

MXNet's own functions that make a sparse array wait until the engine has done all that is queued: a
thread that prepares a batch would wait for the two batches before it. Reading an array from memory,
in the format of MXNet's files, happens at once.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import numpy as np

from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Context, NDArray

_MAGIC = 0xF993FAC9
_DENSE, _CSR = 0, 2  # storage types
_CPU = (1, 0)  # device type and number
_TYPES = {np.dtype(np.float32): 0, np.dtype(np.int32): 4, np.dtype(np.int64): 6}
_HOST = mx.cpu(0)
# Up to this many bytes, copying takes less time than sharing the memory.
_SMALL = 1 << 16


def to_device(array: np.ndarray, context: Context) -> NDArray:
    """Bring an array to a device.

    Parameters
    ----------
    array : numpy.ndarray
        float32, int32 or int64, of at least one element; on cpu(0) the result may share its
        memory, which then is read-only.
    context : mxnet.Context
        The device.

    Returns
    -------
    mxnet.ndarray.NDArray
        Of the same type and shape.
    """
    array = np.ascontiguousarray(array)
    if array.nbytes > _SMALL:
        return _at(mx.nd.from_numpy(array, zero_copy=True), context)
    head = struct.pack(
        f"=Iii{array.ndim}q3i",
        *(_MAGIC, _DENSE, array.ndim, *array.shape, *_CPU, _TYPES[array.dtype]),
    )
    return _at(mx.nd.NDArray(_read(head, array)), context)


def csr_to_device(
    values: np.ndarray,
    columns: np.ndarray,
    starts: np.ndarray,
    shape: tuple[int, int],
    context: Context,
) -> NDArray:
    """Make a sparse matrix on a device.

    Parameters
    ----------
    values : numpy.ndarray
        float32, shape ``(k,)``, row after row.
    columns : numpy.ndarray
        Integers, shape ``(k,)``: each value's column. `mxnet.nd.dot` takes any order, and adds up
        the values of a column that comes several times in a row.
    starts : numpy.ndarray
        int64, shape ``(n + 1,)``: where the values of each row start, and ``k``.
    shape : tuple of int
        ``(n, columns)``.
    context : mxnet.Context
        The device.

    Returns
    -------
    mxnet.ndarray.sparse.CSRNDArray
        float32.
    """
    columns = columns.astype(np.int64, copy=False)  # no operator takes int32
    integer, count = _TYPES[columns.dtype], len(values)
    head = struct.pack(
        "=Ii iq i2q 3i iiq iiq",
        *(_MAGIC, _CSR, 1, count, 2, *shape, *_CPU, _TYPES[values.dtype]),
        *(integer, 1, len(starts), integer, 1, count),
    )
    return _at(mx.nd.sparse.CSRNDArray(_read(head, values, starts, columns)), context)


def _read(*parts: Any) -> Any:
    """The handle of the array that the bytes describe."""
    content = b"".join(parts)
    handle = mx.base.NDArrayHandle()
    mx.base.check_call(
        mx.base._LIB.MXNDArrayLoadFromRawBytes(
            content, ctypes.c_size_t(len(content)), ctypes.byref(handle)
        )
    )
    return handle


def _at(array: NDArray, context: Context) -> NDArray:
    return array if context == _HOST else array.as_in_context(context)
