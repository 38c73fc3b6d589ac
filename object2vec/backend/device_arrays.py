# SPDX-License-Identifier: Apache-2.0
"""Brings NumPy arrays to a device without waiting for MXNet's engine.

A thread that prepares a batch would wait for the two batches before it. Sharing the memory of a
large array, and reading a small one from memory, in the format of MXNet's files, happen at once.
"""

from __future__ import annotations

import ctypes
import struct

import numpy as np

from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Context, NDArray

_MAGIC = 0xF993FAC9
_DENSE = 0  # storage type
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
    content = head + array.tobytes()
    handle = mx.base.NDArrayHandle()
    mx.base.check_call(
        mx.base._LIB.MXNDArrayLoadFromRawBytes(
            content, ctypes.c_size_t(len(content)), ctypes.byref(handle)
        )
    )
    return _at(mx.nd.NDArray(handle), context)


def _at(array: NDArray, context: Context) -> NDArray:
    return array if context == _HOST else array.as_in_context(context)
