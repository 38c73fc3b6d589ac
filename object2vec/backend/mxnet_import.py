# SPDX-License-Identifier: Apache-2.0
"""Import MXNet 1.9.1, the only place that does, and leave the process as it was.

What our own processes set before stands in `own_process`.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy

from object2vec.backend.openmp import check_for_mxnet, gomp, threads_in_caller
from object2vec.backend.own_process import optional_imports_hidden
from object2vec.errors import CustomerError, PlatformError
from object2vec.text import quoted

__all__ = ["mx"]

_FIRST_NUMPY_WITHOUT_MXNET = 2  # its major version
_ENGINES = ("NaiveEngine", "ThreadedEngine", "ThreadedEnginePerDevice")


def _import_mxnet() -> Any:
    if int(numpy.__version__.split(".")[0]) >= _FIRST_NUMPY_WITHOUT_MXNET:
        raise PlatformError(
            f"NumPy {numpy.__version__} is installed, but MXNet 1.9.1 needs numpy<2: "
            "pip install 'numpy<2'"
        )
    if sys.flags.optimize > 1:
        raise PlatformError(
            "MXNet 1.9.1 needs the docstrings that PYTHONOPTIMIZE=2, or python -OO, leaves out; "
            "1 is the highest that works."
        )
    check_for_mxnet(os.environ)
    _check_variables(os.environ)
    try:
        # Its deprecation warnings tell a user nothing, and would end python -W error.
        with _numpy_bool(), _kept_threads(), optional_imports_hidden(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import mxnet
    except Exception as error:
        # What is missing says all; where MXNet failed at something else, the place helps.
        is_missing = isinstance(error, (ImportError, OSError))
        raise PlatformError(_failed_import(error)) from (None if is_missing else error)
    return mxnet


def _check_variables(environment: Mapping[str, str]) -> None:
    """Refuse what MXNet would answer with a traceback, an abort or a hang.

    Raises
    ------
    CustomerError
    """
    engine = environment.get("MXNET_ENGINE_TYPE")
    if engine is not None and engine not in _ENGINES:
        raise CustomerError(
            f"MXNET_ENGINE_TYPE={quoted(engine)} should be {', '.join(_ENGINES[:-1])} or "
            f"{_ENGINES[-1]}, or not be set."
        )
    workers = environment.get("MXNET_CPU_WORKER_NTHREADS", "")
    _check_number("MXNET_CPU_WORKER_NTHREADS", workers, 1, 1024)
    shapes = environment.get("MXNET_MKLDNN_CACHE_NUM", "")
    _check_number("MXNET_MKLDNN_CACHE_NUM", shapes, -1, 10**9 - 1)


def _check_number(name: str, value: str, low: int, high: int) -> None:
    # MXNet takes an empty value for none
    is_number = re.fullmatch(r"-?[0-9]{1,9}", value, re.ASCII)
    if value and not (is_number and low <= int(value) <= high):
        raise CustomerError(
            f"{name}={quoted(value)} should be a whole number from {low} to {high}, or not be set."
        )


@contextlib.contextmanager
def _numpy_bool() -> Iterator[None]:
    """Lend NumPy the alias of bool that version 1.24 dropped and MXNet asks for.

    Only `mxnet.numpy`, which nothing here uses, asks again later. To others numpy.bool is a sign of
    NumPy 2.
    """
    if "bool" in vars(numpy):
        yield
        return
    setattr(numpy, "bool", bool)  # noqa: B010 - NumPy's stubs know no such attribute
    try:
        yield
    finally:
        delattr(numpy, "bool")


@contextlib.contextmanager
def _kept_threads() -> Iterator[None]:
    """Give this thread its number of OpenMP threads back: MXNet sets it to half of the CPUs."""
    library = gomp()
    if library is None:
        yield
        return
    with threads_in_caller(library.omp_get_max_threads()):
        yield


def _failed_import(error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    advice = "object2vec needs mxnet 1.9.1"
    if "libcuda.so" in reason:
        advice += ", whose GPU build needs an NVIDIA driver on the machine"
    return f"MXNet cannot be imported here: {reason}; {advice}."


mx: Any = _import_mxnet()
