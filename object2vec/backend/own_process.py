# SPDX-License-Identifier: Apache-2.0
"""What processes of our own set before MXNet is imported; no library may do so in its host.

The commands `train`, `validate`, `predict` and `demo`, the trial run of a model and the workers of
the model server call it. MXNet, OpenMP and OpenBLAS read these variables when they are loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from typing import Any, Optional

# NumPy comes before the variables: its own OpenBLAS is new and knows its CPUs.
import numpy  # noqa: F401

from object2vec.backend.openmp import VARIABLE as THREADS_VARIABLE
from object2vec.backend.openmp import given_threads
from object2vec.resources import cpu_flags, cpu_text, whole_cores

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8  # from malloc.h
_KEPT = 1 << 30  # bytes of freed memory, while training runs
# Afterwards what glibc adjusts itself to at most; it no longer does so once it has been told.
_MMAP_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = 65_536, 32 << 20, 64 << 20
# MXNet imports these where they are installed, and does without them for all that is used here.
_OPTIONAL = ("scipy", "scipy.stats", "sklearn")


class _Ours:
    """What holds once `tune` was called: the process is ours, malloc may be told anything."""

    is_tuned = False
    malloc: Any = None


def tune() -> None:
    """Set the variables that MXNet reads, and let all threads allocate from malloc's main arena.

    A value that the user set is left alone. Nothing is done once MXNet is imported. Processes that
    this one starts inherit the variables.

    Raises
    ------
    CustomerError
        If ``OMP_NUM_THREADS`` is no number.
    """
    if "mxnet" in sys.modules:
        return
    _Ours.is_tuned = True
    cpu_info = cpu_text()
    core = openblas_core(cpu_info)
    if core is not None:
        # The wheel's OpenBLAS 0.3.13 takes newer CPUs for a Prescott: a third of the speed.
        os.environ.setdefault("OPENBLAS_CORETYPE", core)
    # MXNet alone would use half of the CPUs, taking each for one of two threads of a core.
    os.environ[THREADS_VARIABLE] = str(given_threads(os.environ) or whole_cores(cpu_info))
    # Threads that spin for long cost a factor of six where another process takes a core; threads
    # that sleep at once cost a quarter where none does. These spin for some microseconds.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # Sparse arrays that go through a dense operator are meant to; the log line helps no one.
    os.environ.setdefault("MXNET_STORAGE_FALLBACK_LOG_VERBOSE", "0")
    # oneDNN keeps a primitive for every shape that it meets, without limit (4000 shapes: 1.6 GB).
    os.environ.setdefault("MXNET_MKLDNN_CACHE_NUM", "256")
    with contextlib.suppress(OSError):  # not glibc
        _Ours.malloc = ctypes.CDLL("libc.so.6")
        # the other arenas give freed memory back to the kernel whatever `kept_memory` says
        if "MALLOC_ARENA_MAX" not in os.environ:
            _Ours.malloc.mallopt(_M_ARENA_MAX, 1)


@contextlib.contextmanager
def optional_imports_hidden() -> Iterator[None]:
    """In a process that `tune` was called in, hide SciPy and scikit-learn from MXNet's import.

    They double its time, in processor seconds too. Afterwards whoever wants them imports them.
    """
    hidden = [name for name in _OPTIONAL if _Ours.is_tuned and name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """In a process that `tune` was called in, keep freed memory for the length of a ``with`` block.

    Else it goes back to the kernel between two steps of a training, which then has to clear it
    again: a tenth of the CPU's time with bilstm.
    """
    library = _Ours.malloc
    if library is None:
        yield
        return
    library.mallopt(_M_MMAP_MAX, 0)
    library.mallopt(_M_TRIM_THRESHOLD, _KEPT)
    try:
        yield
    finally:
        library.mallopt(_M_MMAP_MAX, _MMAP_MAX)
        library.mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD)
        library.mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD)
        library.malloc_trim(0)


def openblas_core(cpu_info: str) -> Optional[str]:
    """Name the OpenBLAS kernels for a CPU.

    Parameters
    ----------
    cpu_info
        Text of ``/proc/cpuinfo``.

    Returns
    -------
    str or None
        A value for ``OPENBLAS_CORETYPE``; None leaves the choice to OpenBLAS.
    """
    flags = cpu_flags(cpu_info)
    if "avx512f" in flags:
        return "SKYLAKEX"
    return "HASWELL" if "avx2" in flags else None
