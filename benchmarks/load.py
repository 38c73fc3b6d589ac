# SPDX-License-Identifier: Apache-2.0
"""Reading JSON Lines: rows a second and the memory at the peak.

``python -m benchmarks load [--rows N] [--rounds 5] [--json]``. Each reading has a process of its
own; the plain loop over ``json.loads``, which only keeps Python lists, is the peer.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.turns import Process, serve_turns, summary, take_turns
from object2vec.data.dataset import read_channel
from object2vec.hyperparameters.checked import parse

_BLOCK = 10_000
# Rows, vocabulary sizes and token counts: MovieLens ratings, and texts of 18 and 210 tokens.
FILES: dict[str, tuple[int, tuple[int, int], tuple[int, int]]] = {
    "L-ratings": (1_000_000, (944, 1_684), (1, 1)),
    "L-texts": (250_000, (50_000, 50_000), (18, 210)),
}
VARIANTS = ("ours", "json.loads")


def main(arguments: list[str]) -> int:
    """Measure, and print a table or JSON lines; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks load", description=__doc__)
    parser.add_argument("--file", nargs="+", choices=list(FILES), default=list(FILES))
    parser.add_argument("--rows", type=int, help="rows of each file instead of its usual number")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant")
    parser.add_argument("--variant", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--json", action="store_true", help="JSON lines instead of a table")
    parser.add_argument("--contestant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.contestant:
        _contend(options.file[0], options.contestant, options.path)
        return 0
    for name in options.file:
        _measure(name, options)
    return 0


def _measure(name: str, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.jsonl")
        write_rows(path, options.rows or FILES[name][0], *FILES[name][1:])
        starters = {
            variant: partial(
                Process, ["load", "--file", name, "--contestant", variant, "--path", str(path)], {}
            )
            for variant in options.variant
        }
        # a new process for each turn, so that no reading lives on the memory of many others
        results = take_turns(starters, options.rounds, together=False)
    rates = {variant: summary(turns) for variant, turns in results.items()}
    for variant, values in rates.items():
        peers = [rates[peer]["samples_per_s"] for peer in rates if peer != "ours"]
        ratio = round(values["samples_per_s"] / max(peers), 2) if peers else None
        line: dict[str, Any] = {"workload": name, "variant": variant, **values}
        line.update({"ratio_to_best_peer": ratio, "share_of_limit": None})
        if options.json:
            print(json.dumps(line), flush=True)
        else:
            print(
                f"{name:10} {variant:11} {line['samples_per_s']:11,.0f} rows/s "
                f"±{line['spread'] / 2:4.0%}   {line['peak_mb']:6,} MB"
                f"   others' CPU {line['noise']:4.0%}",
                flush=True,
            )


def write_rows(path: Path, rows: int, sizes: tuple[int, int], lengths: tuple[int, int]) -> None:
    """Write a file of JSON Lines.

    Parameters
    ----------
    path : pathlib.Path
        Where to.
    rows : int
        How many pairs.
    sizes : tuple of int
        Vocabulary sizes of in0 and in1.
    lengths : tuple of int
        Tokens in each list of in0 and of in1.
    """
    rng = np.random.default_rng(7)
    with path.open("w", encoding="ascii") as stream:
        for start in range(0, rows, _BLOCK):
            count = min(_BLOCK, rows - start)
            in0, in1 = (rng.integers(0, sizes[k], (count, lengths[k])).tolist() for k in (0, 1))
            stream.writelines(_lines(in0, in1, rng.integers(1, 6, count).tolist()))


def _lines(in0: list[list[int]], in1: list[list[int]], labels: list[int]) -> Iterator[str]:
    for left, right, label in zip(in0, in1, labels):
        yield f'{{"in0": {left}, "in1": {right}, "label": {label}}}\n'


def _contend(name: str, variant: str, path: Path) -> None:
    _, sizes, lengths = FILES[name]
    # a network of its own, as enc1 would take its sizes from enc0 otherwise
    raw: dict[str, Any] = {"output_layer": "mean_squared_error", "enc1_network": "hcnn"}
    for side in (0, 1):
        raw[f"enc{side}_vocab_size"] = sizes[side]
        raw[f"enc{side}_max_seq_len"] = lengths[side]
    settings = parse(raw)[0]

    def ours() -> int:
        return len(read_channel(path, settings))

    def plain() -> int:
        with path.open(encoding="utf-8") as stream:
            return len([json.loads(line) for line in stream])

    serve_turns(ours if variant == "ours" else plain)
