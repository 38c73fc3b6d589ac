# SPDX-License-Identifier: Apache-2.0
"""No exported function is left out of the checks."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from cpu_isas import ISAS, computing_with
from sanitized_library import isas_passed_over, library


def test_every_exported_function_is_called() -> None:
    command = ("nm", "-D", "--defined-only", os.environ["SANITIZED_LIBRARY"])
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    exported = set(re.findall(r" T object2vec_(\w+)", names))
    checks = "".join(path.read_text() for path in Path(__file__).parent.glob("check_*.py"))
    assert exported == {"isa_of_cpu", "group_tokens"} | set(re.findall(r'call\(\s*"(\w+)"', checks))


def test_neither_linker_nor_loader_selects_a_function() -> None:
    """They know nothing of the instruction sets that a test passes over."""
    command = ("nm", os.environ["SANITIZED_LIBRARY"])
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert " t adam_avx2\n" in names
    assert re.findall(r" i (\w+)", names) == []


def test_instruction_sets() -> None:
    best = library.object2vec_isa_of_cpu()
    for passed_over in range(len(ISAS) + 1):
        isas_passed_over.value = passed_over
        assert library.object2vec_isa_of_cpu() == min(best, len(ISAS) - passed_over)
    isas_passed_over.value = 0


def test_an_instruction_set_that_the_cpu_lacks_is_skipped() -> None:
    isas_passed_over.value = len(ISAS)
    try:
        for lacking in ISAS:
            skipped = pytest.raises(pytest.skip.Exception, match=f"this CPU has no {lacking}")
            with skipped, computing_with(library, lacking):
                pass
        assert library.object2vec_isa_of_cpu() == 0
        assert isas_passed_over.value == len(ISAS)
    finally:
        isas_passed_over.value = 0
