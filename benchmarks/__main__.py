"""``python -m benchmarks NAME [options]`` runs the benchmark in the module of that name."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

_HELPERS = ("__init__", "__main__", "ours", "torch_peer", "torch_service", "turns", "workloads")


def main() -> int:
    """Run one benchmark; returns the exit code."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    names = [file.stem for file in files if file.stem not in _HELPERS]
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        print(f"usage: python -m benchmarks {{{','.join(names)}}} [options]", file=sys.stderr)
        return 2
    return int(importlib.import_module(f"benchmarks.{sys.argv[1]}").main(sys.argv[2:]))


if __name__ == "__main__":
    sys.exit(main())
