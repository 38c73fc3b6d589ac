# SPDX-License-Identifier: Apache-2.0
"""Runs targets for a while, counts what became of their inputs and keeps those that failed."""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Callable, Optional

from .child import ACCEPTED, FAILED, REFUSED, Child, Outcome, outcome_of
from .target import Target, Wrong

# Generous: another program may want all cores meanwhile.
BOUND_SECONDS = 30.0


@dataclass
class Found:
    """Inputs that fail alike: how many there were, and where the smallest is kept."""

    path: Path
    count: int = 0
    size: Optional[int] = None


@dataclass
class Result:
    """What became of a target's inputs.

    Parameters
    ----------
    target : str
    counts : dict
        Inputs by outcome.
    found : dict
        Failures by kind.
    slowest : float
        Seconds that the slowest input took.
    seconds : float
        How long all took.
    """

    target: str
    counts: dict[str, int] = field(default_factory=lambda: {ACCEPTED: 0, REFUSED: 0, FAILED: 0})
    found: dict[str, Found] = field(default_factory=dict)
    slowest: float = 0.0
    seconds: float = 0.0

    @property
    def inputs(self) -> int:
        """How many inputs were checked."""
        return sum(self.counts.values())


def fuzz(
    target: Target,
    *,
    seed: int,
    folder: Path,
    seconds: float = float("inf"),
    inputs: Optional[int] = None,
    bound: float = BOUND_SECONDS,
) -> Result:
    """Check a target's inputs until the time is over or enough are checked.

    Parameters
    ----------
    target : Target
    seed : int
        Decides what the inputs are, and their order.
    folder : Path
        Where inputs that failed are kept, made when there is one.
    seconds : float
        From the first input on.
    inputs : int, optional
        The most inputs to check.
    bound : float
        Seconds that one input may take.
    """
    result = Result(target.name)
    rng = random.Random(f"{target.name} {seed}")
    with _checking(target, bound) as check:
        start = time.monotonic()
        for data in islice(target.inputs(rng), inputs):
            outcome = check(data)
            result.counts[outcome.state] += 1
            result.slowest = max(result.slowest, outcome.seconds)
            if outcome.state == FAILED:
                _keep(result, data, outcome, folder)
            result.seconds = time.monotonic() - start
            if result.seconds >= seconds:
                break
        try:
            target.finish()
        except Wrong as wrong:
            result.counts[FAILED] += 1
            _keep(result, b"", Outcome(FAILED, wrong.kind, wrong.detail, data=wrong.data), folder)
    return result


def replay(target: Target, data: bytes, bound: float = BOUND_SECONDS) -> Outcome:
    """Check a single input."""
    with _checking(target, bound) as check:
        return check(data)


@contextlib.contextmanager
def _checking(target: Target, bound: float) -> Iterator[Callable[[bytes], Outcome]]:
    if target.isolated:
        with Child(target, bound) as child:
            yield child.check
        return
    with tempfile.TemporaryDirectory(prefix="object2vec-fuzz-") as folder:
        target.prepare(Path(folder))
        try:
            yield lambda data: outcome_of(target, data)
        finally:
            target.close()


def _keep(result: Result, data: bytes, outcome: Outcome, folder: Path) -> None:
    """Count a failure, and write the input down if it is the smallest of its kind."""
    data = data if outcome.data is None else outcome.data
    digest = zlib.crc32(outcome.kind.encode())
    path = folder / f"{result.target}-{digest:08x}"
    found = result.found.setdefault(outcome.kind, Found(path))
    found.count += 1
    if found.size is None or len(data) < found.size:
        found.size = len(data)
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        text = f"{outcome.kind}\n{replay_command(result.target, path)}\n\n{outcome.detail}\n"
        path.with_suffix(".txt").write_text(text, encoding="utf-8", errors="backslashreplace")


def replay_command(target: str, path: Path) -> str:
    """The command that checks a kept input again."""
    return f"python -m tests.fuzz --target {target} --replay {path}"


def table(results: list[Result]) -> str:
    """All counts as text, and below them each kind of failure with its command."""
    head = f"{'target':<18}{'inputs':>9}{'accepted':>10}{'refused':>9}{'failed':>8}{'kinds':>7}"
    lines = [f"{head}{'accepted %':>12}{'slowest s':>11}{'seconds':>9}"]
    for result in results:
        counts = result.counts
        share = 100 * counts[ACCEPTED] / max(1, result.inputs)
        lines.append(
            f"{result.target:<18}{result.inputs:>9}{counts[ACCEPTED]:>10}{counts[REFUSED]:>9}"
            f"{counts[FAILED]:>8}{len(result.found):>7}{share:>12.1f}{result.slowest:>11.2f}"
            f"{result.seconds:>9.0f}"
        )
    for result in results:
        for kind, found in sorted(result.found.items()):
            lines += [
                "",
                f"{result.target}: {kind}: {found.count} inputs, the smallest {found.size} bytes",
                f"  {replay_command(result.target, found.path)}",
            ]
    return "\n".join(lines)
