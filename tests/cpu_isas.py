# SPDX-License-Identifier: Apache-2.0
"""The instruction sets that the compiled part has functions for."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Any

import pytest

ISAS = ("AVX-512", "AVX2")  # the best first; object2vec_isa_of_cpu counts them from the end, from 1


@contextlib.contextmanager
def computing_with(library: Any, isa: str) -> Iterator[None]:
    """The compiled part as on a CPU whose best is this; skips the test where the CPU lacks it."""
    passed_over = ctypes.c_int.in_dll(library, "object2vec_isas_passed_over")
    before = passed_over.value
    passed_over.value += max(0, ISAS.index(isa) - before)
    try:
        if library.object2vec_isa_of_cpu() != len(ISAS) - ISAS.index(isa):
            pytest.skip(f"this CPU has no {isa}")
        yield
    finally:
        passed_over.value = before
