# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks NAME [options]`` runs the benchmark in the module of that name."""

from __future__ import annotations

import importlib
import sys

_BENCHMARKS = (
    *("export", "inference", "limits", "load", "neighbours"),
    *("results", "scaling", "serving", "start", "train"),
)


def main() -> int:
    """Run one benchmark; returns the exit code."""
    if len(sys.argv) < 2 or sys.argv[1] not in _BENCHMARKS:
        print(f"usage: python -m benchmarks {{{','.join(_BENCHMARKS)}}} [options]", file=sys.stderr)
        return 2
    return int(importlib.import_module(f"benchmarks.{sys.argv[1]}").main(sys.argv[2:]))


if __name__ == "__main__":
    sys.exit(main())
