# SPDX-License-Identifier: Apache-2.0
"""No exported function is left out of the checks."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from sanitized_library import kinds_passed_over, library


def test_every_exported_function_is_called() -> None:
    command = ("nm", "-D", "--defined-only", os.environ["SANITIZED_LIBRARY"])
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    exported = set(re.findall(r" T object2vec_(\w+)", names))
    checks = "".join(path.read_text() for path in Path(__file__).parent.glob("check_*.py"))
    assert exported == {"kind_of_cpu", "group_tokens"} | set(
        re.findall(r'call\(\s*"(\w+)"', checks)
    )


def test_kinds_of_cpu() -> None:
    best = library.object2vec_kind_of_cpu()
    for passed_over in range(4):
        kinds_passed_over.value = passed_over
        assert library.object2vec_kind_of_cpu() == min(best, 2 - passed_over)
    kinds_passed_over.value = 0
