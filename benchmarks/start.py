# SPDX-License-Identifier: Apache-2.0
"""How long the commands take to start: version, describe, and training up to its first batch.

``python -m benchmarks start [--rounds 5] [--json]``. Each round starts a new process of each
command, with files that are in memory already. A job whose data is one batch tells its
``#quality_metric`` lines right after that batch: the time until the first of them is measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Optional

import numpy as np

from benchmarks.load import write_rows
from benchmarks.turns import ROOT

_FIRST_BATCH = "#quality_metric"
_PAIRS, _SIZES = 64, (944, 1_684)
# seconds that a start should take at most
TARGETS = {"version": 0.5, "describe": 0.5, "train": 3.0}


def main(arguments: list[str]) -> int:
    """Measure, and print a table or JSON lines; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="starts of each command")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of a table")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        commands = _commands(Path(folder))
        for command, _ in commands.values():
            _seconds(command, None)
        results: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(options.rounds):
            for name, (command, line) in commands.items():
                results[name].append(_seconds(command, line))
    for name, seconds in results.items():
        _print(name, seconds, options.json)
    return 0


def _commands(folder: Path) -> dict[str, tuple[list[str], Optional[str]]]:
    """Each command, and how the line begins at which its time ends; None for its end."""
    command = [sys.executable, "-m", "object2vec"]
    rows = folder / "rows.jsonl"
    write_rows(rows, _PAIRS, _SIZES, (1, 1))
    hyperparameters: dict[str, Any] = {
        "enc0_network": "pooled_embedding",
        "enc1_network": "pooled_embedding",
        "enc0_vocab_size": _SIZES[0],
        "enc1_vocab_size": _SIZES[1],
        "enc0_max_seq_len": 1,
        "enc1_max_seq_len": 1,
        "output_layer": "mean_squared_error",
        "mini_batch_size": _PAIRS,
        "epochs": 1,
    }
    train = [*command, "train", "--train", str(rows), "--model-dir", str(folder / "model")]
    train += ["--log", "sagemaker"]  # tells of the first batches
    for name, value in hyperparameters.items():
        train += ["-p", f"{name}={value}"]
    return {
        "version": ([*command, "--version"], None),
        "describe": ([*command, "describe"], None),
        "train": (train, _FIRST_BATCH),
    }


def _seconds(command: list[str], line: Optional[str]) -> float:
    begun, found = time.perf_counter(), None
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        told = []
        for text in process.stdout:
            told.append(text)
            if line is not None and found is None and line in text:
                found = time.perf_counter() - begun
    ended = time.perf_counter() - begun
    if process.returncode or (line is not None and found is None):
        raise RuntimeError(f"{' '.join(command)} failed: {''.join(told)}")
    return ended if found is None else found


def _print(name: str, seconds: list[float], as_json: bool) -> None:
    middle = float(np.median(seconds))
    spread = (max(seconds) - min(seconds)) / middle
    line = {
        "workload": f"start-{name}",
        "variant": "ours",
        "seconds": round(middle, 3),
        "target_s": TARGETS[name],
        "spread": round(spread, 3),
        "rounds": len(seconds),
    }
    if as_json:
        print(json.dumps(line), flush=True)
    else:
        print(f"{name:10} {middle:6.2f} s ±{spread / 2:4.0%}   target {TARGETS[name]} s")
