# SPDX-License-Identifier: Apache-2.0
"""The kinds of CPU that the compiled part has functions for, each tried where this CPU is one."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Any

import pytest

KINDS = ("AVX-512", "AVX2", "any CPU")  # the best first


@contextlib.contextmanager
def computing_as(library: Any, kind: str) -> Iterator[None]:
    """The compiled part as on a CPU of this kind; the test is skipped where this one is less."""
    passed_over = ctypes.c_int.in_dll(library, "object2vec_isas_passed_over")
    before = passed_over.value
    passed_over.value += max(0, KINDS.index(kind) - before)
    try:
        if library.object2vec_isa_of_cpu() != len(KINDS) - 1 - KINDS.index(kind):
            pytest.skip(f"this CPU has no {kind}")
        yield
    finally:
        passed_over.value = before
