"""Operations of our own for MXNet's engine on the CPU, in C (`cpu_kernels.c` and its neighbours).

MXNet's own adam_update works through one number at a time and is one operator for each parameter;
its product of a sparse matrix with a table takes five times as long as reading the rows. These use
the CPU's vector instructions and are held up by memory alone. An hcnn of MXNet's operators is forty
of them, and two fifths of its time go into putting numbers into another order.
"""

from __future__ import annotations

import ctypes
import importlib
import itertools
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from object2vec.arrays import TokenLists
from object2vec.engine import engine_context
from object2vec.errors import PlatformError
from object2vec.mxnet_import import mx

_HANDLE = ctypes.c_void_p
_NO_MEMORY = 1
# The functions of `Api` in the C file, in its order.
_API = (
    "MXNDArrayGetData",
    "MXNDArrayDetach",
    "MXNDArrayFree",
    "MXNDArrayToDLPack",
    "MXNDArrayCallDLPackDeleter",
    "MXEnginePushSyncND",
    "MXGetLastError",
)


class _Api(ctypes.Structure):
    _fields_ = tuple((name, _HANDLE) for name in _API)


class _Parameter(ctypes.Structure):
    _fields_ = (
        ("weight", _HANDLE),
        ("mean", _HANDLE),
        ("variance", _HANDLE),
        ("gradient", _HANDLE),
        ("rows", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("sparse_rows", _HANDLE),
        ("sparse_count", ctypes.c_int64),
        ("decay", ctypes.c_float),
    )


class _Constants(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_float) for name in ("rate", "beta1", "beta2", "epsilon", "rescale")
    )


def _load() -> Any:
    try:
        module = importlib.import_module("object2vec._cpu_kernels")
    except ImportError as error:
        raise PlatformError(
            f"The compiled part of object2vec cannot be loaded: {error}; install object2vec with "
            "pip, which compiles it, or run `python setup.py build_ext --inplace`."
        ) from error
    return ctypes.CDLL(str(module.__file__))


_LIBRARY = _load()
_API_TABLE = _Api(
    *(ctypes.cast(getattr(mx.base._LIB, name), _HANDLE).value for name in _API),
)


class AdamStep:
    """A step with all parameters of one CPU context, in place.

    ``g = rescale * gradient + decay * weight``, ``mean = beta1 * mean + (1 - beta1) * g``,
    ``variance = beta2 * variance + (1 - beta2) * g**2``, ``weight -= rate * mean /
    (sqrt(variance) + epsilon)``: Kingma and Ba 2015 (arXiv 1412.6980), section 2. A row_sparse
    gradient moves its own rows alone.

    Parameters
    ----------
    weights, gradients : sequence of NDArray
        float32, of one shape each; gradients dense or row_sparse, the latter of two axes.
    moments : sequence of tuple of NDArray
        Mean and variance of each.
    decays : sequence of float
        Weight decay of each.
    """

    def __init__(
        self,
        weights: Sequence[Any],
        gradients: Sequence[Any],
        moments: Sequence[tuple[Any, Any]],
        decays: Sequence[float],
    ) -> None:
        # the handles are worth nothing without the arrays
        self._arrays = (*weights, *gradients, *itertools.chain.from_iterable(moments))
        self._context = engine_context(weights[0].context)
        self._parameters = (_Parameter * len(weights))(
            *(
                _Parameter(
                    weight.handle,
                    *(moment.handle for moment in both),
                    gradient.handle,
                    weight.shape[0],
                    weight.size // weight.shape[0],
                    None,
                    0,
                    decay,
                )
                for weight, gradient, both, decay in zip(weights, gradients, moments, decays)
            )
        )
        # oneDNN describes memory anew when an operator first meets it: not while it is looked up
        mx.nd.waitall()

    def is_of(self, weights: Sequence[Any], gradients: Sequence[Any]) -> bool:
        """Whether it was made for these arrays."""
        arrays = (*weights, *gradients)
        return all(map(operator.is_, arrays, self._arrays))

    def __call__(
        self,
        rows: Mapping[int, np.ndarray],
        *,
        rate: float,
        beta1: float,
        beta2: float,
        epsilon: float,
        rescale: float,
    ) -> None:
        """Queue the step.

        Parameters
        ----------
        rows : mapping
            For the position of each row_sparse gradient all its rows, integers ``(n,)``, sorted;
            MXNet's C API does not give them away.
        rate : float
            The learning rate with the step's bias correction.
        beta1, beta2, epsilon : float
            Adam's constants.
        rescale : float
            Factor of every gradient.
        """
        kept = []
        for position, of_gradient in rows.items():
            kept.append(np.ascontiguousarray(of_gradient, np.int32))
            self._parameters[position].sparse_rows = kept[-1].ctypes.data
            self._parameters[position].sparse_count = len(of_gradient)
        _check(
            _LIBRARY.object2vec_adam_step(
                ctypes.byref(_API_TABLE),
                ctypes.byref(self._context),
                self._parameters,
                ctypes.c_int64(len(self._parameters)),
                _Constants(rate, beta1, beta2, epsilon, rescale),
            )
        )


def catch_up(
    weight: Any, mean: Any, variance: Any, rows: np.ndarray, factors: np.ndarray, epsilon: float
) -> None:
    """`deferred_adam.catch_up` for arrays of a CPU context."""
    rows = np.ascontiguousarray(rows, np.int32)
    factors = np.ascontiguousarray(factors, np.float32)
    _check(
        _LIBRARY.object2vec_catch_up(
            ctypes.byref(_API_TABLE),
            ctypes.byref(engine_context(weight.context)),
            weight.handle,
            mean.handle,
            variance.handle,
            ctypes.c_int64(weight.shape[1]),
            ctypes.c_int64(len(rows)),
            rows.ctypes.data_as(_HANDLE),
            factors.ctypes.data_as(_HANDLE),
            ctypes.c_float(epsilon),
        )
    )


def mean_of_rows(table: Any, lists: TokenLists) -> Any:
    """The mean of a token table's rows over each list.

    Parameters
    ----------
    table : NDArray
        float32 ``(rows, width)``, of a CPU context.
    lists : TokenLists
        ``n`` lists of ids below ``rows``.

    Returns
    -------
    NDArray
        float32 ``(n, width)``; zeros where a list is empty. No gradient can be had of it.
    """
    context, width = table.context, table.shape[1]
    answer = mx.nd.empty((len(lists), width), ctx=context)
    offsets, tokens = _numbers_of(lists)
    _check(
        _LIBRARY.object2vec_mean_of_rows(
            ctypes.byref(_API_TABLE),
            ctypes.byref(engine_context(context)),
            table.handle,
            answer.handle,
            ctypes.c_int64(width),
            ctypes.c_int64(len(lists)),
            _HANDLE(offsets.ctypes.data),
            _HANDLE(tokens.ctypes.data),
        )
    )
    return answer


def convolve(
    table: Any,
    layers: Sequence[tuple[Any, Any]],
    token_dim: int,
    filters: Sequence[int],
    filter_width: int,
    lists: TokenLists,
    context: Any,
) -> Any:
    """Look up and encode lists as `encoders.HierarchicalCNN` does.

    Parameters
    ----------
    table : NDArray
        float32 ``(rows, token_dim)``.
    layers : sequence of tuple of NDArray
        Weight ``(filters, channels, filter_width)`` and bias ``(filters,)`` of each convolution.
    token_dim, filters, filter_width : int or sequence of int
        The sizes; to ask MXNet for them takes a while.
    lists : TokenLists
        ``n`` lists of ids below ``rows``.
    context : mxnet.Context
        The CPU context of all arrays.

    Returns
    -------
    NDArray
        float32 ``(n, enc_dim)``; zeros where a list is empty. No gradient can be had of it.
    """
    answer = mx.nd.empty((len(lists), sum(filters)), ctx=context)
    arrays = (table, *itertools.chain.from_iterable(layers))
    offsets, tokens = _numbers_of(lists)
    _check(
        _LIBRARY.object2vec_convolve(
            ctypes.byref(_API_TABLE),
            ctypes.byref(engine_context(context)),
            (_HANDLE * len(arrays))(*(array.handle.value for array in arrays)),
            answer.handle,
            ctypes.c_int64(token_dim),
            ctypes.c_int64(len(filters)),
            (ctypes.c_int64 * len(filters))(*filters),
            ctypes.c_int64(filter_width),
            ctypes.c_int64(len(lists)),
            _HANDLE(offsets.ctypes.data),
            _HANDLE(tokens.ctypes.data),
        )
    )
    return answer


def _numbers_of(lists: TokenLists) -> tuple[np.ndarray, np.ndarray]:
    return np.ascontiguousarray(lists.offsets), np.ascontiguousarray(lists.tokens)


def _check(code: int) -> None:
    if code == _NO_MEMORY:
        raise MemoryError("no memory left for an operation of the engine")
    mx.base.check_call(code)
