# SPDX-License-Identifier: Apache-2.0
"""Contestants in processes of their own that work in turns, and what is measured of a turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measured:
    """One turn.

    Attributes
    ----------
    count : int
        Samples that went through.
    seconds : float
        What it took.
    peak : int
        Bytes of memory that the process held at most so far.
    noise : float
        Share of all CPUs that other processes used meanwhile.
    """

    count: int
    seconds: float
    peak: int
    noise: float

    @property
    def rate(self) -> float:
        """Samples a second."""
        return self.count / self.seconds


def serve_turns(work: Callable[[], int]) -> None:
    """In a contestant's process: work once for each line that comes, and tell what it took."""
    for _ in sys.stdin:
        busy, cpu, begun = _busy_seconds(), time.process_time(), time.perf_counter()
        count = work()
        seconds = time.perf_counter() - begun
        others = _busy_seconds() - busy - (time.process_time() - cpu)
        noise = max(0.0, others / seconds / (os.cpu_count() or 1))
        values = {"count": count, "seconds": seconds, "peak": peak_memory(), "noise": noise}
        print(json.dumps(values), flush=True)


def peak_memory() -> int:
    """Bytes of memory that this process held at most."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell VmHWM")


def _busy_seconds() -> float:
    fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    idle = int(fields[3]) + int(fields[4])
    return (sum(map(int, fields[:8])) - idle) / _TICKS


class Process:
    """A contestant's process, from the parent's side; it warms up by a first turn.

    Parameters
    ----------
    arguments : list of str
        What follows ``python -m benchmarks``.
    environment : dict
        Variables to set in addition.
    """

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks", *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.warm_up = self.turn()

    def turn(self) -> Measured:
        """Let it work once.

        Raises
        ------
        RuntimeError
            If it ended instead; its reason is on standard error.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self._process.wait()
            raise RuntimeError(f"{' '.join(self._process.args[3:])} failed")  # type: ignore
        return Measured(**json.loads(answer))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


def take_turns(
    contestants: Mapping[str, Callable[[], Process]], rounds: int, *, together: bool
) -> dict[str, list[Measured]]:
    """Measure every contestant once a round, each round beginning with another one.

    Parameters
    ----------
    contestants : mapping
        Name to what starts its process.
    rounds : int
        Turns of each.
    together : bool
        Keep all processes alive, the waiting ones idle; else each turn starts one anew, which also
        warms up anew, for contestants that do not fit into memory together.

    Returns
    -------
    dict
        Name to turns; contestants that failed are left out.
    """
    alive: dict[str, Process] = {}
    results: dict[str, list[Measured]] = {name: [] for name in contestants}
    names = list(contestants)
    try:
        for number in range(rounds):
            start = number % max(1, len(names))
            for name in names[start:] + names[:start]:
                process: Optional[Process] = alive.get(name)
                try:
                    process = process or contestants[name]()
                    results[name].append(process.turn())
                except RuntimeError as error:
                    print(f"{name} is left out: {error}", file=sys.stderr)
                    names.remove(name)
                    results.pop(name)
                    continue
                if together:
                    alive[name] = process
                else:
                    process.close()
    finally:
        for process in alive.values():
            process.close()
    return results


def summary(turns: list[Measured]) -> dict[str, Any]:
    """Median, spread, noise and memory of some turns, for people and for a JSON line."""
    rates = [turn.rate for turn in turns]
    middle = float(np.median(rates))
    return {
        "samples_per_s": round(middle, 1),
        "spread": round((max(rates) - min(rates)) / middle, 3),
        "noise": round(float(np.median([turn.noise for turn in turns])), 3),
        "rounds": len(turns),
        "peak_mb": round(max(turn.peak for turn in turns) / 1e6),
    }
