# SPDX-License-Identifier: Apache-2.0
"""Prepare the process for MXNet 1.9.1 and import it: the only place that does."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

# NumPy comes before the environment variables: its own OpenBLAS is new and knows its CPUs.
import numpy

# MXNet imports it too, and it may fork, upon which a loaded MXNet starts its engine unprepared.
import numpy.testing

from object2vec.backend.denormals import flushed
from object2vec.backend.engine_type import VARIABLE as ENGINE_VARIABLE
from object2vec.errors import CustomerError, PlatformError

__all__ = ["mx"]

_CPU_INFO = Path("/proc/cpuinfo")
_ENGINE_LINE = b"MXNet start using engine"
_M_ARENA_MAX = -8  # from malloc.h
_MOST_THREADS = 1024
_LONGEST_VALUE = 100
_FIRST_NUMPY_WITHOUT_MXNET = 2  # its major version


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
    for line in cpu_info.splitlines():
        if line.startswith("flags"):
            flags = line.split()
            if "avx512f" in flags:
                return "SKYLAKEX"
            if "avx2" in flags:
                return "HASWELL"
            break
    return None


def usable_cores(cpu_info: str) -> int:
    """Count the cores that this process may use.

    Parameters
    ----------
    cpu_info
        Text of ``/proc/cpuinfo``; says how many CPUs share a core.

    Returns
    -------
    int
        CPUs that the process may run on, divided by the threads of a core; at least 1.
    """
    allowed = len(os.sched_getaffinity(0))
    shared = [
        max(1, int(siblings) // max(1, int(cores)))
        for siblings, cores in zip(
            re.findall(r"^siblings\s*: (\d+)", cpu_info, re.MULTILINE),
            re.findall(r"^cpu cores\s*: (\d+)", cpu_info, re.MULTILINE),
        )
    ]
    return max(1, allowed // (shared[0] if shared else 1))


def openmp_threads(environment: Mapping[str, str]) -> Optional[int]:
    """Read ``OMP_NUM_THREADS``.

    OpenMP takes a list too, for loops in loops, of which MXNet has none; MXNet ends the process by
    abort() where it finds no number.

    Parameters
    ----------
    environment : mapping
        Variables.

    Returns
    -------
    int or None
        The first number; None without the variable, or where it is empty.

    Raises
    ------
    CustomerError
        If it is something else.
    """
    text = environment.get("OMP_NUM_THREADS", "")
    if not text.strip():
        return None
    if not re.fullmatch(r"\s*[0-9]{1,6}\s*(,\s*[0-9]{1,6}\s*)*", text, re.ASCII):
        raise _wrong_threads(text)
    first = int(text.split(",")[0])
    if not 1 <= first <= _MOST_THREADS:
        raise _wrong_threads(text)
    return first


def _wrong_threads(text: str) -> CustomerError:
    return CustomerError(
        f"OMP_NUM_THREADS={text[:_LONGEST_VALUE]} should be a whole number from 1 to "
        f"{_MOST_THREADS}, or such numbers with commas between."
    )


def _set_environment() -> None:
    # MXNet reads these when its library is loaded. A value that the user set is left alone.
    try:
        cpu_info = _CPU_INFO.read_text(encoding="ascii", errors="replace")
    except OSError:
        cpu_info = ""
    core = openblas_core(cpu_info)
    if core is not None:
        # The wheel's OpenBLAS 0.3.13 takes newer CPUs for a Prescott: a third of the speed.
        os.environ.setdefault("OPENBLAS_CORETYPE", core)
    # MXNet alone would use half of the CPUs, taking each for one of two threads of a core.
    os.environ["OMP_NUM_THREADS"] = str(openmp_threads(os.environ) or usable_cores(cpu_info))
    # Threads that spin for long cost a factor of six where another process takes a core; threads
    # that sleep at once cost a quarter where none does. These spin for some microseconds.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # Sparse arrays that go through a dense operator are meant to; the log line helps no one.
    os.environ.setdefault("MXNET_STORAGE_FALLBACK_LOG_VERBOSE", "0")
    # oneDNN keeps a primitive for every shape that it meets, without limit (4000 shapes: 1.6 GB).
    os.environ.setdefault("MXNET_MKLDNN_CACHE_NUM", "256")


def _import_mxnet() -> Any:
    if int(numpy.__version__.split(".")[0]) >= _FIRST_NUMPY_WITHOUT_MXNET:
        raise PlatformError(
            f"NumPy {numpy.__version__} is installed, but MXNet 1.9.1 needs numpy<2: "
            "pip install 'numpy<2'"
        )
    if "bool" not in vars(numpy):
        # MXNet asks for numpy.bool, an alias of bool that NumPy 1.24 dropped.
        setattr(numpy, "bool", bool)  # noqa: B010 - NumPy's stubs know no such attribute
    if sys.flags.optimize > 1:
        raise PlatformError(
            "MXNet 1.9.1 needs the docstrings that PYTHONOPTIMIZE=2, or python -OO, leaves out; "
            "1 is the highest that works."
        )
    try:
        # Its deprecation warnings tell a user nothing, and would end python -W error.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import mxnet
    except Exception as error:
        # What is missing says all; where MXNet failed at something else, the place helps.
        is_missing = isinstance(error, (ImportError, OSError))
        raise PlatformError(_failed_import(error)) from (None if is_missing else error)
    return mxnet


def _failed_import(error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    advice = "object2vec needs mxnet 1.9.1"
    if "libcuda.so" in reason:
        advice += ", whose GPU build needs an NVIDIA driver on the machine"
    return f"MXNet cannot be imported here: {reason}; {advice}."


def _use_one_arena() -> None:
    """Let all threads allocate from malloc's main arena.

    The others give freed memory back to the kernel whatever `engine.tuned_for` says: keeping it
    makes bilstm train by a sixth faster.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return
    with contextlib.suppress(OSError):  # not glibc
        ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, 1)


def _start_engine(mxnet: Any) -> None:
    """Run the first operation; it starts the threads of the CPU, which flush denormals from now on.

    The moments of rows that no batch touches shrink to such numbers within 800 steps of dense adam:
    MovieLens 100K slowed down by a fifth within an epoch.
    """
    with flushed(), _without_engine_line():
        mxnet.nd.ones((1,)).wait_to_read()


@contextlib.contextmanager
def _without_engine_line() -> Iterator[None]:
    """Keep the line off standard error that tells a chosen engine's name; pass the rest on."""
    try:
        real = os.dup(2) if ENGINE_VARIABLE in os.environ else None
    except OSError:  # closed
        real = None
    if real is None:
        yield
        return
    with open(os.memfd_create("stderr"), "w+b") as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real, 2)
            os.close(real)
            caught.seek(0)
            rest = b"".join(line for line in caught if _ENGINE_LINE not in line)
            while rest:
                rest = rest[os.write(2, rest) :]


_set_environment()
_use_one_arena()
mx: Any = _import_mxnet()
_start_engine(mx)
