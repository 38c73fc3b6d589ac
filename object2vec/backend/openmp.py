# SPDX-License-Identifier: Apache-2.0
"""How many threads OpenMP uses: what the user says, and settings of a thread that come back."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Optional

from object2vec.errors import CustomerError
from object2vec.resources import whole_cores

VARIABLE = "OMP_NUM_THREADS"
_MOST_THREADS = 1024
_LONGEST_VALUE = 100


@functools.cache
def gomp() -> Any:
    """OpenMP as MXNet uses it; None for a build with another one."""
    try:
        return ctypes.CDLL("libgomp.so.1")
    except OSError:
        return None


def given_threads(environment: Mapping[str, str]) -> Optional[int]:
    """Read ``OMP_NUM_THREADS``, of which OpenMP takes a list too, for loops in loops.

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
    text = environment.get(VARIABLE, "")
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
        f"{VARIABLE}={text[:_LONGEST_VALUE]} should be a whole number from 1 to "
        f"{_MOST_THREADS}, or such numbers with commas between."
    )


def check_for_mxnet(environment: Mapping[str, str]) -> None:
    """Refuse what MXNet would end the process for, by abort(): all but one whole number.

    Raises
    ------
    CustomerError
    """
    text, threads = environment.get(VARIABLE, ""), given_threads(environment)
    if threads is not None and not text.strip().isdigit():
        raise CustomerError(
            f"{VARIABLE}={text[:_LONGEST_VALUE]} cannot be read by MXNet, which takes a single "
            f"number: set {VARIABLE}={threads}."
        )
    if threads is None and text:
        raise CustomerError(f"{VARIABLE} holds blanks alone: give a whole number, or unset it.")


def threads_of_caller() -> int:
    """Threads that the calling thread may use: OpenMP's own number for it, and no core twice."""
    if gomp() is None:
        return 1
    count = int(gomp().omp_get_max_threads())
    return count if os.environ.get(VARIABLE, "").strip() else min(count, whole_cores())


@contextlib.contextmanager
def threads_in_caller(count: int) -> Iterator[None]:
    """Let the calling thread use so many threads for the length of a ``with`` block."""
    library = gomp()
    if library is None:
        yield
        return
    before = library.omp_get_max_threads()
    library.omp_set_num_threads(count)
    try:
        yield
    finally:
        library.omp_set_num_threads(before)
