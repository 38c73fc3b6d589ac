# SPDX-License-Identifier: Apache-2.0
"""MXNet's engine on the CPU: tuned for what is to be done, safe where several threads call it."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from object2vec.backend.denormals import flushed
from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Context

# An operator of few operations is done before a second thread has woken up. Measured in floating
# point operations of a step.
_SMALL_STEP = 6e8
_SMALL_REQUEST = 3e7  # the same of a request
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # from malloc.h
_KEPT = 1 << 30  # bytes of freed memory, while training runs
# Afterwards what glibc adjusts itself to at most; it no longer does so once it has been told.
_MMAP_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = 65_536, 32 << 20, 64 << 20
_OMP_PAUSE_HARD = 2  # from omp.h
_LONGEST_DRAIN = 0.1  # seconds before a fork
_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)

# Operators of two threads may share temporary memory, and only the engine's own threads keep them
# apart; what is queued while another thread forks is lost. Whoever runs operators holds this, but
# for the copies of the thread that prepares batches for several devices.
one_at_a_time = threading.RLock()
_failures: list[Exception] = []


class _Context(ctypes.Structure):
    _fields_ = (("device_type", ctypes.c_int), ("device_id", ctypes.c_int32))


def engine_context(context: Context) -> _Context:
    """A context as the functions take it that push work into the engine."""
    return _Context(context.device_typeid, context.device_id)


@contextlib.contextmanager
def tuned_for(operations: float, contexts: list[Context]) -> Iterator[None]:
    """Run a training job with settings of its own; the former ones come back at the end.

    On one CPU the operators of a small step use one thread: MovieLens 100K in batches of 64 trains
    a quarter faster so. Freed memory is kept for the next step instead of going back to the kernel,
    which then would have to clear it again: a tenth of a step on a table of 267,522 rows. Meanwhile
    the thread that runs operators, the engine's or the caller, flushes denormals.

    Parameters
    ----------
    operations : float
        Floating point operations of a step.
    contexts : list of mxnet.Context
        The devices.
    """
    is_one_cpu = contexts == [mx.cpu(0)]
    threads = _openmp_threads() if is_one_cpu and operations < _SMALL_STEP else 1
    # What comes before, the first values of all parameters above all, is not to be kept.
    mx.nd.waitall()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_kept_memory())
        stack.enter_context(_flushed_in_engine())
        if threads > 1:
            _set_threads(1)
        try:
            yield
        finally:
            if threads > 1:
                _set_threads(threads)


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
    with one_at_a_time:
        threads = _openmp_threads() if operations < _SMALL_REQUEST else 1
        if threads == 1:
            yield
            return
        gomp = _gomp()
        gomp.omp_set_num_threads(1)
        try:
            yield
        finally:
            gomp.omp_set_num_threads(threads)


@functools.cache
def _gomp() -> Any:
    """OpenMP as MXNet uses it; None for a build with another one."""
    try:
        return ctypes.CDLL("libgomp.so.1")
    except OSError:
        return None


def _openmp_threads() -> int:
    """Threads that every operator uses; 1 where the engine runs several operators at once."""
    if os.environ.get("MXNET_CPU_WORKER_NTHREADS", "1") != "1":
        return 1
    return int(_gomp().omp_get_max_threads()) if _gomp() is not None else 1


def _set_threads(count: int) -> None:
    # OpenMP keeps the number for each thread, so the one that runs operators has to set it
    gomp = _gomp()
    _run_in_engine(lambda: gomp.omp_set_num_threads(count))


def _run_in_engine(call: Callable[[], Any]) -> None:
    """Call it in the thread that works for cpu(0), behind all operators that wait there."""
    function = _FUNCTION(lambda _context, _argument: call())
    cpu = engine_context(mx.cpu(0))
    arguments = (None, None, ctypes.byref(cpu), None, 0, None, 0, None, 0, b"object2vec")
    with one_at_a_time:
        mx.base.check_call(mx.base._LIB.MXEnginePushSync(function, *arguments))
        mx.nd.waitall()


@contextlib.contextmanager
def _flushed_in_engine() -> Iterator[None]:
    # a fork makes MXNet start its threads anew, and they then lack the mode of the first ones
    mode = flushed(with_openmp=True)
    _run_in_engine(mode.__enter__)
    try:
        yield
    finally:
        _run_in_engine(lambda: mode.__exit__(None, None, None))


@contextlib.contextmanager
def _kept_memory() -> Iterator[None]:
    try:
        libc: Any = ctypes.CDLL("libc.so.6")
    except OSError:  # not glibc
        yield
        return
    libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)
    try:
        yield
    finally:
        libc.mallopt(_M_MMAP_MAX, _MMAP_MAX)
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD)
        libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD)
        libc.malloc_trim(0)


def _before_fork() -> None:
    one_at_a_time.acquire()
    _drain()
    # The child has no thread but this one, and would wait forever for OpenMP's others.
    with contextlib.suppress(AttributeError):  # another OpenMP, or GCC before 9
        _gomp().omp_pause_resource_all(_OMP_PAUSE_HARD)


def raise_failures() -> None:
    """Raise the error of an operator that a fork has waited for, in the place of who asked for it.

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
    # the engine's thread frees what an operator held only after that has counted as done
    _run_in_engine(lambda: None)
    functions = mx.autograd.Function._registry.ref_holder
    end = time.monotonic() + _LONGEST_DRAIN
    # so do the threads of functions in Python, some of which a graph may keep for longer
    while functions and time.monotonic() < end:
        time.sleep(0.001)


os.register_at_fork(
    before=_before_fork,
    after_in_parent=one_at_a_time.release,
    after_in_child=one_at_a_time.release,
)
