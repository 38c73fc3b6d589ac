# SPDX-License-Identifier: Apache-2.0
"""Adam and means of rows, written in C, as operations for MXNet's engine on the CPU (`kernels.c`).

MXNet's own adam_update computes one element at a time and is queued once for each parameter; its
product of a sparse matrix with a table takes five times as long as reading the rows, and the
gradient of that product as long again. The operations here use the CPU's vector instructions, and
memory alone limits their speed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional, Union

import numpy as np

from object2vec.backend.engine import engine_context, raise_failures
from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import NDArray
from object2vec.compiled.library import AdamConstants, Api, Arrays, Parameter, Table, load
from object2vec.data.arrays import TokenLists
from object2vec.errors import AlgorithmError

_HANDLE = ctypes.c_void_p
# The functions of `Api`, in its order.
_API = (
    "MXNDArrayWaitToRead",
    "MXNDArrayGetData",
    "MXShallowCopyNDArray",
    "MXNDArrayFree",
    "MXNDArrayToDLPack",
    "MXNDArrayCallDLPackDeleter",
    "MXEnginePushSyncND",
)


_loaded = load()
constants, library = _loaded.constants, _loaded.loaded
_refused = ctypes.c_int.in_dll(library, "object2vec_refused")
# The first argument of most functions of the library: what they call of MXNet.
API = ctypes.byref(
    Api(
        *(
            ctypes.cast(getattr(mx.base._LIB, name), type_)
            for name, (_, type_) in zip(_API, Api._fields_)
        )
    )
)


@dataclass(frozen=True, eq=False)
class UsedRows:
    """The rows of a token table that a batch uses, each with the vectors in whose mean it is.

    Attributes
    ----------
    rows : numpy.ndarray
        int32, shape ``(k,)``, sorted, none twice.
    starts : numpy.ndarray
        int32, shape ``(k + 1,)``: row ``i`` is in the mean of ``vectors[starts[i]:starts[i + 1]]``.
    vectors : numpy.ndarray
        int32: the indices of the vectors, those of all inputs one after the other.
    mean_weights : numpy.ndarray
        float32, one for each vector: 1 / length of its list, the weight of each row in the mean.
    """

    rows: np.ndarray
    starts: np.ndarray
    vectors: np.ndarray
    mean_weights: np.ndarray


def used_rows(inputs: Sequence[TokenLists]) -> UsedRows:
    """Find the rows of a table that some inputs use; `mean_of_rows` gives their vectors.

    Parameters
    ----------
    inputs : sequence of TokenLists
        Those of in0, of in1, or both, that share the table.

    Raises
    ------
    MemoryError
    """
    tokens = np.concatenate([lists.tokens for lists in inputs])
    lengths = np.concatenate([lists.lengths for lists in inputs])
    rows, starts, positions = (np.empty(len(tokens) + extra, np.int32) for extra in (0, 1, 0))
    arrays = (array.ctypes.data for array in (rows, starts, positions))
    count = library.object2vec_group_tokens(tokens.ctypes.data, len(tokens), *arrays)
    if count < 0:
        raise MemoryError("no memory left for finding the rows in use")
    vectors = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)[positions]
    mean_weights = np.concatenate([lists.mean_weights for lists in inputs])
    return UsedRows(rows[:count], starts[: count + 1], vectors, mean_weights)


@dataclass(frozen=True, eq=False)
class AdamState:
    """A parameter and its moments, which adam updates: float32 arrays of a CPU context.

    Attributes
    ----------
    weight, mean, variance : NDArray
        Of one shape; that of a token table has two axes.
    decay : float
        Its weight decay, which is added to the gradient.
    decoupled_decay : float
        Its weight decay apart from the gradient.
    """

    weight: NDArray
    mean: NDArray
    variance: NDArray
    decay: float = 0.0
    decoupled_decay: float = 0.0

    def handles(self) -> Arrays:
        """The structure of its arrays that the C functions take."""
        return Arrays(self.weight.handle, self.mean.handle, self.variance.handle)


@dataclass(frozen=True, eq=False)
class TableState:
    """A token table, of which a step moves the rows in use, their weights, or both.

    Attributes
    ----------
    rows : AdamState or NDArray
        Float32 ``(rows, width)``; without moments it stays as it is.
    token_weights : AdamState, optional
        Float32 ``(rows, 1)``, without decay: what the rows were multiplied by when vectors were
        looked up.
    """

    rows: Union[AdamState, NDArray]
    token_weights: Optional[AdamState] = None

    @property
    def trained(self) -> list[AdamState]:
        """What a step moves, the rows first."""
        found = [self.rows] if isinstance(self.rows, AdamState) else []
        return found if self.token_weights is None else [*found, self.token_weights]

    def of_rows(self) -> tuple[NDArray, Arrays, float, float]:
        """The table, the structure of its arrays, and its decays."""
        rows = self.rows
        if isinstance(rows, AdamState):
            return rows.weight, rows.handles(), rows.decay, rows.decoupled_decay
        return rows, Arrays(rows.handle, None, None), 0.0, 0.0


class AdamStep:
    """A step of adam that updates all parameters of one CPU context in place.

    ``g = rescale * gradient + decay * weight``, ``mean = beta1 * mean + (1 - beta1) * g``,
    ``variance = beta2 * variance + (1 - beta2) * g**2``, ``weight -= plain_rate * decoupled_decay *
    weight + rate * mean / (sqrt(variance) + epsilon)``: Kingma and Ba 2015 (arXiv 1412.6980),
    section 2, and Loshchilov and Hutter 2019 (arXiv 1711.05101), algorithm 2.

    Parameters
    ----------
    parameters : sequence of AdamState
        Those with a gradient of their own.
    gradients : sequence of NDArray
        Float32, of the parameters' shapes.
    tables : sequence of TableState
        Token tables. Their gradients are computed from those of the vectors that were looked up,
        and a step updates only the rows in use.
    """

    def __init__(
        self,
        parameters: Sequence[AdamState],
        gradients: Sequence[NDArray],
        tables: Sequence[TableState] = (),
    ) -> None:
        # kept alive, because their handles are used as long as this lives
        self._parameters, self._gradients, self._tables = parameters, gradients, tables
        states = [*parameters, *(state for table in tables for state in table.trained)]
        self._context = engine_context(states[0].weight.context)
        self._parameter_list = (Parameter * len(parameters))(
            *(
                Parameter(
                    state.handles(),
                    gradient.handle,
                    state.weight.size,
                    state.decay,
                    state.decoupled_decay,
                )
                for state, gradient in zip(parameters, gradients)
            )
        )

    def __call__(
        self,
        used: Sequence[UsedRows] = (),
        vector_gradients: Sequence[Sequence[NDArray]] = (),
        *,
        rate: float,
        beta1: float,
        beta2: float,
        epsilon: float,
        rescale: float,
        plain_rate: float = 0.0,
    ) -> None:
        """Queue the step.

        Parameters
        ----------
        used : sequence of UsedRows
            For each table.
        vector_gradients : sequence of sequence of NDArray
            For each table the gradients of the vectors that were looked up, float32
            ``(…, width)``, one for each input in the order of `used_rows`, at most two.
        rate : float
            The learning rate with the bias correction of this step.
        beta1, beta2, epsilon : float
            Adam's constants.
        rescale : float
            Factor of every gradient.
        plain_rate : float
            The learning rate without the bias correction; only decoupled decay takes it.
        """
        if not len(self._tables) == len(used) == len(vector_gradients):
            raise ValueError(f"{len(self._tables)} tables, but the rows in use of {len(used)}")
        tables = (Table * len(used))(*map(self._table, self._tables, used, vector_gradients))
        check(
            library.object2vec_adam_step(
                API,
                ctypes.byref(self._context),
                self._parameter_list,
                len(self._parameter_list),
                tables,
                len(tables),
                AdamConstants(rate, beta1, beta2, epsilon, rescale, plain_rate),
            )
        )

    @staticmethod
    def _table(state: TableState, used: UsedRows, gradients: Sequence[NDArray]) -> Table:
        table, arrays, decay, decoupled_decay = state.of_rows()
        weights = state.token_weights
        width = table.shape[1]
        handles = (_HANDLE * Table.MAX_GRADIENTS)(*(gradient.handle for gradient in gradients))
        sizes = [gradient.size // width for gradient in gradients]
        if sum(sizes) != len(used.mean_weights):
            raise ValueError(
                f"gradients of {sizes} vectors, but {len(used.mean_weights)} are in use"
            )
        lists = (used.rows, used.starts, used.vectors, used.mean_weights)
        return Table(
            arrays,
            Arrays() if weights is None else weights.handles(),
            handles,
            (ctypes.c_int64 * Table.MAX_GRADIENTS)(*sizes),
            width,
            decay,
            decoupled_decay,
            len(used.rows),
            len(used.vectors),
            *(array.ctypes.data for array in lists),
        )


def catch_up(
    weight: NDArray,
    mean: NDArray,
    variance: NDArray,
    rows: np.ndarray,
    factors: np.ndarray,
    epsilon: float,
) -> None:
    """Queue what `deferred_adam.catch_up` does, for arrays of a CPU context."""
    rows = np.ascontiguousarray(rows, np.int32)
    factors = np.ascontiguousarray(factors, np.float32)
    check(
        library.object2vec_catch_up(
            API,
            ctypes.byref(engine_context(weight.context)),
            Arrays(weight.handle, mean.handle, variance.handle),
            weight.shape[1],
            len(rows),
            rows.ctypes.data,
            factors.ctypes.data,
            epsilon,
        )
    )


def mean_of_rows(
    table: NDArray, lists: TokenLists, token_weights: Optional[NDArray] = None
) -> NDArray:
    """Queue the mean of a token table's rows over each list.

    Parameters
    ----------
    table : NDArray
        float32 ``(rows, width)``, of a CPU context.
    lists : TokenLists
        ``n`` lists of ids below ``rows``.
    token_weights : NDArray, optional
        float32 ``(rows, 1)``: what the rows are multiplied by first.

    Returns
    -------
    NDArray
        float32 ``(n, width)``; zeros where a list is empty. Autograd does not record it.
    """
    context, width = table.context, table.shape[1]
    output = mx.nd.empty((len(lists), width), ctx=context)
    offsets, tokens = offsets_and_tokens(lists)
    check(
        library.object2vec_queue_mean_of_rows(
            API,
            ctypes.byref(engine_context(context)),
            table.handle,
            None if token_weights is None else token_weights.handle,
            output.handle,
            width,
            len(lists),
            offsets.ctypes.data,
            tokens.ctypes.data,
        )
    )
    return output


def address_of(array: NDArray) -> ctypes.c_void_p:
    """Wait until an array is computed, and give the address of its elements; see kernels.h.

    Parameters
    ----------
    array : NDArray
        Of a CPU context; nothing may write it until the caller is done with it.

    Returns
    -------
    ctypes.c_void_p
    """
    array.wait_to_read()
    data = _HANDLE()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(array.handle, ctypes.byref(data)))
    return data


def offsets_and_tokens(lists: TokenLists) -> tuple[np.ndarray, np.ndarray]:
    """Offsets and tokens of lists, contiguous, as the functions of `library` take them."""
    return np.ascontiguousarray(lists.offsets), np.ascontiguousarray(lists.tokens)


def check(code: int) -> None:
    """Raise the error that a function of `library` returned, or that of an earlier operation."""
    if code == constants["NO_MEMORY"]:
        raise MemoryError("no memory left for an operation of the engine")
    mx.base.check_call(code)
    check_queued()


def check_queued() -> None:
    """Raise an error if a queued operation failed or did nothing.

    Raises
    ------
    AlgorithmError
    mxnet.MXNetError
    """
    raise_failures()
    if _refused.value:
        _refused.value = 0
        raise AlgorithmError("MXNet keeps an array of the compiled part in a layout of its own")
