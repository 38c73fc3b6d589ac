# SPDX-License-Identifier: Apache-2.0
"""Lets threads treat numbers below 1e-38 (denormals), which slow the processor down, as 0."""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Iterator
from typing import Any

_FLUSH_TO_ZERO, _DENORMALS_ARE_ZERO = 0x8000, 0x0040  # bits of MXCSR


@contextlib.contextmanager
def flushed(*, with_openmp: bool = False) -> Iterator[None]:
    """Flush denormals in this thread for the length of a ``with`` block.

    A thread that is started meanwhile inherits the mode and keeps it. On machines other than x86-64
    with glibc nothing is done.

    Parameters
    ----------
    with_openmp : bool
        Also set, and take back, the mode of this thread's OpenMP helpers.
    """
    if platform.machine() != "x86_64":
        yield
        return
    try:
        libm: Any = ctypes.CDLL("libm.so.6")
    except OSError:  # another C library, whose layout is not known here
        yield
        return
    environment = (ctypes.c_uint32 * 8)()  # fenv_t; its last word is the register MXCSR
    libm.fegetenv(environment)
    before = (ctypes.c_uint32 * 8)(*environment)
    environment[7] |= _FLUSH_TO_ZERO | _DENORMALS_ARE_ZERO
    _set(libm, environment, with_openmp)
    try:
        yield
    finally:
        _set(libm, before, with_openmp)


def _set(libm: Any, environment: Any, with_openmp: bool) -> None:
    libm.fesetenv(environment)
    if not with_openmp:
        return
    # a build of MXNet with another OpenMP keeps denormals
    with contextlib.suppress(OSError):
        function = ctypes.cast(libm.fesetenv, ctypes.c_void_p)
        # what a parallel region compiles to: each thread of the team calls the function
        ctypes.CDLL("libgomp.so.1").GOMP_parallel(function, environment, 0, 0)
