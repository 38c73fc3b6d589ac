# SPDX-License-Identifier: Apache-2.0
"""The command line: runs all targets or one, or checks a kept input again."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from .child import FAILED
from .runner import Result, fuzz, replay, table
from .targets import TARGETS

_FOLDER = Path("fuzz-failures")


def main() -> int:
    """Return 1 if an input failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="for all targets together")
    parser.add_argument("--seed", type=int, default=1, help="decides what the inputs are")
    parser.add_argument(
        "--target", action="append", choices=list(TARGETS), help="once or more; all by default"
    )
    parser.add_argument(
        "--folder", type=Path, default=_FOLDER, help="for inputs that fail (%(default)s)"
    )
    parser.add_argument("--replay", type=Path, help="a kept input of the target to check again")
    options = parser.parse_args()
    names = options.target or list(TARGETS)
    if options.replay:
        if len(names) > 1:
            parser.error("--replay needs one --target")
        outcome = replay(TARGETS[names[0]](), options.replay.read_bytes())
        print(f"{outcome.state} {outcome.kind} ({outcome.seconds:.2f} s)\n{outcome.detail}")
        return int(outcome.state == FAILED)
    targets = [TARGETS[name]() for name in names]
    shares = sum(target.share for target in targets)
    results: list[Result] = []
    for target in targets:
        seconds = options.seconds * target.share / shares
        results.append(fuzz(target, seed=options.seed, folder=options.folder, seconds=seconds))
        print(f"{target.name}: {results[-1].inputs} inputs", file=sys.stderr, flush=True)
    print(table(results))
    return int(any(result.found for result in results))


if __name__ == "__main__":
    # So that the server and the children are ended, too.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    sys.exit(main())
