"""Operations of our own for MXNet's engine on the CPU, written in C (`cpu_kernels.c`).

MXNet's own adam_update works through one number at a time and is one operator for each parameter;
its product of a sparse matrix with a table takes five times as long as reading the rows. These use
the CPU's vector instructions and are held up by memory alone.
"""

from __future__ import annotations

import ctypes
import importlib
import itertools
import operator
from collections.abc import Mapping, Sequence
from typing import Any, Optional

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


library = _load()
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
        check(
            library.object2vec_adam_step(
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
    check(
        library.object2vec_catch_up(
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
    return _reduce_rows(table, lists.offsets, np.ascontiguousarray(lists.tokens, np.int32))


def maximum_of_rows(rows: Any, lists: TokenLists) -> Any:
    """The maximum over the rows that belong to each list.

    Parameters
    ----------
    rows : NDArray
        float32 ``(total or more, width)``, of a CPU context, one for each token of all lists; no
        number is negative.
    lists : TokenLists
        ``n`` lists of ``total`` tokens.

    Returns
    -------
    NDArray
        float32 ``(n, width)``; zeros where a list is empty. No gradient can be had of it.
    """
    # the engine gives an operator's answer its memory when it comes to it
    rows.wait_to_read()
    return _reduce_rows(rows, lists.offsets, None)


def _reduce_rows(rows: Any, starts: np.ndarray, tokens: Optional[np.ndarray]) -> Any:
    width, count = rows.shape[1], len(starts) - 1
    answer = mx.nd.empty((count, width), ctx=rows.context)
    starts = np.ascontiguousarray(starts, np.int64)
    check(
        library.object2vec_reduce_rows(
            ctypes.byref(_API_TABLE),
            ctypes.byref(engine_context(rows.context)),
            rows.handle,
            answer.handle,
            ctypes.c_int64(width),
            ctypes.c_int64(count),
            starts.ctypes.data_as(_HANDLE),
            None if tokens is None else tokens.ctypes.data_as(_HANDLE),
        )
    )
    return answer


def check(code: int) -> None:
    """Raise the error that a function of `library` returns."""
    if code == _NO_MEMORY:
        raise MemoryError("no memory left for an operation of the engine")
    mx.base.check_call(code)
