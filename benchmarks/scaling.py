# SPDX-License-Identifier: Apache-2.0
"""Time of an epoch and memory against the size of the data: both should grow with it in line.

``python -m benchmarks scaling [--millions 0.1 0.3 1 3 10] [--json]``. The job of W2 with batches of
2,048; every size in a process of its own.
"""

from __future__ import annotations

import argparse
import json
from functools import partial

import numpy as np

from benchmarks.turns import Process, serve_turns, summary, take_turns
from benchmarks.workloads import SEED, Turn, find
from object2vec.backend import own_process
from object2vec.data.arrays import PairDataset

_BLOCK = 100_000


def main(arguments: list[str]) -> int:
    """Measure, and print a table or JSON lines; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks scaling", description=__doc__)
    parser.add_argument(
        "--millions", type=float, nargs="+", default=[0.1, 0.3, 1, 3, 10], help="millions of pairs"
    )
    parser.add_argument("--rounds", type=int, default=3, help="epochs of each size")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of a table")
    parser.add_argument("--pairs", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.pairs:
        _contend(options.pairs)
        return 0
    sizes = [round(1e6 * millions) for millions in options.millions]
    starters = {
        str(size): partial(Process, ["scaling", "--pairs", str(size)], {"OMP_NUM_THREADS": "2"})
        for size in sizes
    }
    results = take_turns(starters, options.rounds, together=True)
    measured = {int(name): summary(turns) for name, turns in results.items()}
    seconds = {size: size / values["samples_per_s"] for size, values in measured.items()}
    smallest = min(measured)
    for size, values in measured.items():
        extra = 1e6 * (values["peak_mb"] - measured[smallest]["peak_mb"])
        line = {
            "workload": "scaling",
            "variant": f"{size} pairs",
            **values,
            "epoch_s": round(seconds[size], 2),
            # 1 is in line with the median of all sizes
            "time_against_line": round(
                seconds[size] / size / np.median([seconds[n] / n for n in seconds]), 3
            ),
            "bytes_per_pair": round(extra / (size - smallest)) if size > smallest else None,
        }
        if options.json:
            print(json.dumps(line), flush=True)
        else:
            print(
                f"{size:12,} pairs   {line['epoch_s']:9.2f} s   {values['samples_per_s']:11,.0f}/s"
                f" ±{values['spread'] / 2:4.0%}   against line {line['time_against_line']:5.2f}"
                f"   {values['peak_mb']:6,} MB   bytes a pair {line['bytes_per_pair']}",
                flush=True,
            )
    return 0


def _contend(pairs: int) -> None:
    workload = find("W2-2048")[0]
    settings, rng = workload.settings(), np.random.default_rng(SEED)
    own_process.tune()
    from benchmarks.ours import Contestant

    # made in blocks: what making the data takes should not stand for what training takes
    blocks = (workload.make(min(_BLOCK, pairs - start), rng) for start in range(0, pairs, _BLOCK))
    turn = Turn(settings, PairDataset.concatenate(blocks), 0)
    serve_turns(Contestant(settings, turn).train_turn)
