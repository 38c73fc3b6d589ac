# SPDX-License-Identifier: Apache-2.0
"""MXNet's engine on the CPU: how many threads it uses, and calls and forks from several threads."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from object2vec.backend import own_process
from object2vec.backend.denormals import flushed
from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Context
from object2vec.backend.openmp import gomp, threads_in_caller, threads_of_caller
from object2vec.errors import CustomerError

# With fewer floating point operations in a step, its operators are done before a second thread has
# woken up.
_SMALL_STEP = 6e8
_SMALL_REQUEST = 3e7  # the same of a request
_OMP_PAUSE_HARD = 2  # from omp.h
_LONGEST_DRAIN = 0.1  # seconds before a fork
_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)

_failures: list[Exception] = []


class _OneAtATime:
    """A re-entrant lock that forks wait for, once it was taken for the first time.

    At a fork MXNet stops its engine and starts it anew: what another thread queues meanwhile is
    lost, and both threads may wait for ever. So a fork has to wait for whoever holds the lock. No
    process that only imports the package has anything to do with that.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._forking: list[int] = []  # the thread that holds the lock for a fork
        self._watches = False
        self.is_child = False  # whether this process was forked by one that had computed

    def __enter__(self) -> None:
        self._lock.acquire()
        if not self._watches:
            self._watches = True
            os.register_at_fork(
                before=self._before_fork,
                after_in_parent=self._after_in_parent,
                after_in_child=self._after_in_child,
            )

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _before_fork(self) -> None:
        self._lock.acquire()
        self._forking.append(threading.get_ident())
        _drain()
        # The child has no thread but this one, and would wait forever for OpenMP's others.
        with contextlib.suppress(AttributeError):  # another OpenMP, or GCC before 9
            gomp().omp_pause_resource_all(_OMP_PAUSE_HARD)

    def _after_in_parent(self) -> None:
        # not so where another thread registered all this in the midst of this thread's fork
        if self._forking == [threading.get_ident()]:
            self._forking.clear()
            self._lock.release()

    def _after_in_child(self) -> None:
        self._forking.clear()
        self._lock = threading.RLock()
        self.is_child = True


# Operators of two threads may share temporary memory, and only the engine's own threads keep them
# apart; what is queued while another thread forks is lost. Whoever runs operators holds this, but
# for the copies of the thread that prepares batches for several devices.
one_at_a_time = _OneAtATime()


def check_devices(contexts: list[Context]) -> None:
    """Refuse a GPU in a process that was forked after its parent had computed.

    Raises
    ------
    CustomerError
        CUDA cannot be used there.
    """
    if one_at_a_time.is_child and any(context.device_type == "gpu" for context in contexts):
        raise CustomerError(
            "This process was forked by one that had computed with Object2Vec, so it cannot use a "
            "GPU: start it with multiprocessing's method 'spawn'."
        )


class _Context(ctypes.Structure):
    _fields_ = (("device_type", ctypes.c_int), ("device_id", ctypes.c_int32))


def engine_context(context: Context) -> _Context:
    """A context as the functions take it that push work into the engine."""
    return _Context(context.device_typeid, context.device_id)


@contextlib.contextmanager
def tuned_for(operations: float, contexts: list[Context]) -> Iterator[None]:
    """Train with as many threads as serve it; the former settings come back at the end.

    On one CPU the operators of a small step use one thread: MovieLens 100K in batches of 64 trains
    a quarter faster so. Those of a larger one use all cores, of which MXNet alone would take half.
    In a process of our own freed memory is kept for the next step: see `own_process.kept_memory`.

    Parameters
    ----------
    operations : float
        Floating point operations of a step.
    contexts : list of mxnet.Context
        The devices.

    Raises
    ------
    CustomerError
        See `check_devices`.
    """
    check_devices(contexts)
    # first finish what is queued, mainly the first values of all parameters: their memory is not to
    # be kept
    mx.nd.waitall()
    kept, threads = own_process.kept_memory(), _threads_of_steps(operations, contexts)
    with kept, _flushed_in_engine(), threads:
        yield


@contextlib.contextmanager
def _flushed_in_engine() -> Iterator[None]:
    # the moments of dense adam with weight decay become denormals, which more than double its time.
    # After a fork MXNet starts new threads, without this mode.
    mode = flushed(with_openmp=True)
    _run_in_engine(mode.__enter__)
    try:
        yield
    finally:
        _run_in_engine(lambda: mode.__exit__(None, None, None))


@contextlib.contextmanager
def _threads_of_steps(operations: float, contexts: list[Context]) -> Iterator[None]:
    if contexts != [mx.cpu(0)] or gomp() is None or not _has_one_worker():
        yield
        return
    threads = 1 if operations < _SMALL_STEP else threads_of_caller()
    before = _threads_in_engine(threads)
    try:
        with threads_in_caller(threads):
            yield
    finally:
        _threads_in_engine(before)


@contextlib.contextmanager
def answering(operations: float) -> Iterator[None]:
    """Answer a request while no other thread does, a small one on one OpenMP thread.

    Where another process takes a core, waiting for the second thread makes a small request slower;
    where none does, one thread is as fast.

    Parameters
    ----------
    operations : float
        Floating point operations of the request.
    """
    with (
        one_at_a_time,
        threads_in_caller(
            1 if operations < _SMALL_REQUEST or not _has_one_worker() else threads_of_caller()
        ),
    ):
        yield


def _has_one_worker() -> bool:
    """Whether the engine runs one operator at a time, which then may have all threads."""
    return os.environ.get("MXNET_CPU_WORKER_NTHREADS", "1") == "1"


def _threads_in_engine(count: int) -> int:
    """Set how many threads an operator has; returns what was set before."""
    # OpenMP keeps the number per thread, so the thread that runs operators has to set it
    library, before = gomp(), []

    def change() -> None:
        before.append(int(library.omp_get_max_threads()))
        library.omp_set_num_threads(count)

    _run_in_engine(change)
    return before[0]


def _run_in_engine(call: Callable[[], Any]) -> None:
    """Call it in the engine's thread for cpu(0), after all operators that are queued there."""
    function = _FUNCTION(lambda _context, _argument: call())
    cpu = engine_context(mx.cpu(0))
    arguments = (None, None, ctypes.byref(cpu), None, 0, None, 0, None, 0, b"object2vec")
    with one_at_a_time:
        mx.base.check_call(mx.base._LIB.MXEnginePushSync(function, *arguments))
        mx.nd.waitall()


def raise_failures() -> None:
    """Raise the error of an operator that failed while a fork waited for it.

    Raises
    ------
    mxnet.MXNetError
    """
    if _failures:
        raise _failures.pop()


def _drain() -> None:
    """Wait until the engine has nothing left to do that takes Python.

    At a fork MXNet waits for its threads, while this one keeps Python's lock from them.
    """
    try:
        mx.nd.waitall()
    except mx.MXNetError as error:
        _failures.append(error)  # MXNet tells of it once
    # an operator counts as done before the engine's thread has freed what it held
    _run_in_engine(lambda: None)
    functions = mx.autograd.Function._registry.ref_holder
    end = time.monotonic() + _LONGEST_DRAIN
    # likewise functions in Python, which have threads of their own; a graph may keep some longer
    while functions and time.monotonic() < end:
        time.sleep(0.001)
