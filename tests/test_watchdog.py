# SPDX-License-Identifier: Apache-2.0
"""A test that takes too long ends its process, which says where it stood."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.own_way

PLUGIN = """
from watchdog import Watchdog

DOG = Watchdog()


def pytest_timeout_set_timer(item, settings):
    DOG.watch(item, settings)
    return True


def pytest_timeout_cancel_timer():
    DOG.rest()
"""
TESTS = """
import time

import pytest


@pytest.mark.timeout({})
def test_one():
    print("was here")
    time.sleep(1.2)


def test_two():
    time.sleep(1.2)
"""


def run(folder: Path, seconds: float) -> subprocess.CompletedProcess:
    (folder / "conftest.py").write_text(PLUGIN)
    (folder / "test_sleep.py").write_text(TESTS.format(seconds))
    (folder / "pytest.ini").write_text("[pytest]\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "PYTEST_ADDOPTS": ""}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--timeout=60", "--timeout-method=thread"],
        cwd=folder,
        env=environment,
        text=True,
        capture_output=True,
        timeout=60,
    )


@pytest.mark.slow
def test_a_test_that_takes_too_long_ends_its_process(tmp_path: Path) -> None:
    done = run(tmp_path, 0.1)
    assert done.returncode == 1
    assert "Timeout" in done.stdout + done.stderr
    assert "in test_one" in done.stdout + done.stderr and "was here" in done.stdout + done.stderr
    assert "passed" not in done.stdout


@pytest.mark.slow
def test_others_are_left_in_peace(tmp_path: Path) -> None:
    done = run(tmp_path, 2)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
