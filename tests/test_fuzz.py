# SPDX-License-Identifier: Apache-2.0
"""The fuzzing of ``make fuzz``: that it is alive, sees what goes wrong, and repeats."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fuzz import runner
from fuzz.child import ACCEPTED, FAILED, REFUSED
from fuzz.target import Target
from fuzz.targets import TARGETS

from object2vec.errors import CustomerError

IN_PROCESS = [name for name, target in TARGETS.items() if target.isolated]


class Faulty(Target):
    """Does what a sound target never does."""

    name = "faulty"

    def inputs(self, rng: random.Random) -> Iterator[bytes]:
        yield from (b"good", b"refuse", b"raise more", b"raise", b"die", b"hang", b"good")

    def check(self, data: bytes) -> bool:
        if data == b"refuse":
            raise CustomerError("This is only refused by a target that forgets to catch it.")
        if data.startswith(b"raise"):
            raise IndexError(data)
        if data == b"die":
            os.kill(os.getpid(), signal.SIGKILL)
        if data == b"hang":
            time.sleep(600)
        return data == b"good"


@pytest.mark.slow
def test_failures_are_counted_kept_and_replayed(tmp_path: Path) -> None:
    result = runner.fuzz(Faulty(), seed=1, folder=tmp_path, bound=3)
    assert result.counts == {ACCEPTED: 2, REFUSED: 0, FAILED: 5}
    kinds = {kind: (found.count, found.size) for kind, found in result.found.items()}
    assert kinds == {
        "CustomerError in test_fuzz.py, check": (1, 6),
        "IndexError in test_fuzz.py, check": (2, 5),
        "the process died with signal SIGKILL": (1, 3),
        "no end after 3 seconds": (1, 4),
    }
    found = result.found["IndexError in test_fuzz.py, check"]
    assert found.path.read_bytes() == b"raise"
    note = found.path.with_suffix(".txt").read_text()
    assert runner.replay_command("faulty", found.path) in note
    assert "IndexError: b'raise'" in note
    assert runner.replay(Faulty(), found.path.read_bytes()).state == FAILED
    text = runner.table([result])
    assert "the process died with signal SIGKILL: 1 inputs" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_PROCESS)
def test_inputs_come_past_the_first_check(name: str, tmp_path: Path) -> None:
    result = runner.fuzz(TARGETS[name](), seed=1, folder=tmp_path, inputs=120)
    assert result.inputs == 120
    assert result.counts[ACCEPTED] >= 6
    assert result.counts[REFUSED] >= 6


@pytest.mark.slow
def test_a_running_server_is_fuzzed(tmp_path: Path) -> None:
    result = runner.fuzz(TARGETS["http"](), seed=1, folder=tmp_path, inputs=60)
    assert result.inputs >= 60
    assert result.counts[ACCEPTED] >= 6
    assert result.counts[REFUSED] >= 6


def digests(names: list[str]) -> list[str]:
    """What the first inputs of each target are."""
    found = []
    for name in names:
        inputs = itertools.islice(TARGETS[name]().inputs(random.Random(5)), 30)
        found.append(hashlib.sha256(b"|".join(inputs)).hexdigest())
    return found


@pytest.mark.slow
def test_inputs_depend_on_the_seed_alone() -> None:
    # In processes of their own: hypothesis also draws the words of the modules that are loaded.
    code = f"from test_fuzz import digests; print(*digests({list(TARGETS)}))"

    def of(hash_seed: str) -> list[str]:
        folder = str(Path(__file__).parent)
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": folder},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=200,
        )
        return done.stdout.split()

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(of, ("1", "2"))
    assert first == second
    assert len(set(first)) == len(TARGETS)
