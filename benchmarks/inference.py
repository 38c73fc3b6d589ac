# SPDX-License-Identifier: Apache-2.0
"""Scores and embeddings in process: Object2Vec's predictor beside the same network in PyTorch.

``python -m benchmarks inference [--workload pooled hcnn] [--rounds 5] [--json]``. A turn answers
requests of one pair and of many; figures are printed only if all contestants answer the same. The
best peer of each kind of request counts.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.turns import Measured, Process, serve_turns, summary, take_turns
from benchmarks.workloads import SEED, Workload, find
from object2vec.backend import own_process
from object2vec.compiled.library import VARIABLE as COMPILED_VARIABLE
from object2vec.data.arrays import PairDataset
from object2vec.hyperparameters.checked import Hyperparameters

WORKLOADS = {"pooled": "W1", "hcnn": "W3-512-256", "bilstm": "W4-512-256"}
MANY = 1_000
# requests of one pair for each request of many
_SMALL_FOR_A_LARGE = 10
_TOLERANCE = 1e-4
_OPERATORS = "operators"  # ours, without the compiled part
_OURS = ("ours", _OPERATORS)
_Times = dict[str, list[list[float]]]


def main(arguments: list[str]) -> int:
    """Measure, and print a table or JSON lines; returns the exit code."""
    options = _parser().parse_args(arguments)
    if options.contestant:
        _contend(options)
        return 0
    for name in options.workload:
        for line in _measure(name, options):
            _print(line, options.json)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks inference", description=__doc__)
    parser.add_argument("--workload", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant")
    parser.add_argument("--requests", type=int, default=300, help="requests of one pair in a turn")
    parser.add_argument("--variant", nargs="+", help="contestants; all by default")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true", help="JSON lines instead of a table")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser


def _model(name: str) -> tuple[Workload, Hyperparameters]:
    workload = find(WORKLOADS[name])[0]
    return workload, workload.settings(dropout=0.0)


def _measure(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    variants = [*_OURS]
    if find_spec("torch") is not None:
        from benchmarks.torch_inference import variants as of_peer

        variants += of_peer(_model(name)[1])
    variants = options.variant or variants
    with tempfile.TemporaryDirectory() as folder:
        shared = ["inference", "--workload", name, "--folder", folder]
        shared += ["--threads", str(options.threads), "--requests", str(options.requests)]
        starters = {
            variant: partial(
                Process,
                [*shared, "--contestant", variant],
                {
                    "OMP_NUM_THREADS": str(options.threads),
                    **({COMPILED_VARIABLE: "0"} if variant == _OPERATORS else {}),
                },
            )
            for variant in variants
        }
        turns = take_turns(starters, options.rounds, together=True)
        _compare(Path(folder), list(turns))
        times = {variant: _read_times(Path(folder), variant) for variant in turns}
    return _lines(name, turns, times)


def _lines(
    name: str, turns: dict[str, list[Measured]], times: dict[str, _Times]
) -> list[dict[str, Any]]:
    lines = []
    for kind in next(iter(times.values())):
        pairs = int(kind.split()[0])
        rates = {variant: pairs / _middle(times[variant][kind]) for variant in times}
        peers = [rate for variant, rate in rates.items() if variant not in _OURS]
        for variant, rate in rates.items():
            seconds = times[variant][kind]
            of_turns = [pairs / float(np.median(turn)) for turn in seconds]
            lines.append(
                {
                    "workload": f"{name}, {kind}",
                    "variant": variant,
                    **summary(turns[variant]),
                    "samples_per_s": round(rate, 1),
                    "spread": round((max(of_turns) - min(of_turns)) / rate, 3),
                    "p50_ms": round(1000 * _middle(seconds), 3),
                    "p99_ms": round(1000 * float(np.percentile(np.concatenate(seconds), 99)), 3),
                    "ratio_to_best_peer": round(rate / max(peers), 3) if peers else None,
                    "share_of_limit": None,
                }
            )
    return lines


def _middle(turns: list[list[float]]) -> float:
    """The median of the turns' medians."""
    return float(np.median([np.median(turn) for turn in turns]))


def _print(line: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(line), flush=True)
        return
    ratio = line["ratio_to_best_peer"]
    print(
        f"{line['workload']:24} {line['variant']:24} p50 {line['p50_ms']:8.2f} ms"
        f"   p99 {line['p99_ms']:8.2f} ms   {line['samples_per_s']:11,.0f}/s"
        f" ±{line['spread'] / 2:4.0%}   × best peer {'' if ratio is None else format(ratio, '.2f')}"
        f"   others' CPU {line['noise']:4.0%}",
        flush=True,
    )


def _compare(folder: Path, variants: list[str]) -> None:
    """All contestants must answer the same."""
    with np.load(folder / f"{variants[0]}.npz") as first:
        for variant in variants[1:]:
            with np.load(folder / f"{variant}.npz") as answers:
                for kind in first.files:
                    np.testing.assert_allclose(
                        answers[kind], first[kind], atol=_TOLERANCE, rtol=0, err_msg=variant
                    )


def _read_times(folder: Path, variant: str) -> _Times:
    times: _Times = json.loads((folder / f"{variant}.json").read_text(encoding="utf-8"))
    # the first turn warms up
    return {kind: turns[1:] for kind, turns in times.items()}


def _contend(options: argparse.Namespace) -> None:
    """Be the process of one contestant."""
    workload, settings = _model(options.workload[0])
    pairs = workload.make(MANY, np.random.default_rng(SEED))
    variant, folder = options.contestant, options.folder
    weights = folder / "weights.npz"
    predictor: Any
    if variant in _OURS:
        predictor = _ours(settings, weights)
    else:
        from benchmarks import torch_inference

        predictor = torch_inference.Predictor(settings, weights, variant, options.threads)
    answers = {
        "scores": predictor.scores(pairs.in0, pairs.in1),
        "embeddings": predictor.embeddings(0, pairs.in0),
        "one": predictor.scores(pairs.in0.take(np.arange(1)), pairs.in1.take(np.arange(1))),
    }
    np.savez(folder / f"{variant}.npz", **answers)
    times: _Times = {}

    def answer_requests() -> int:
        count = 0
        for size in (1, MANY):
            number = max(1, options.requests // (1 if size == 1 else _SMALL_FOR_A_LARGE))
            for what in ("scores", "embeddings"):
                seconds = _ask(predictor, what, pairs, size, number)
                times.setdefault(f"{size} {what}", []).append(seconds)
                count += size * number
        (folder / f"{variant}.json").write_text(json.dumps(times), encoding="utf-8")
        return count

    serve_turns(answer_requests)


def _ask(predictor: Any, what: str, pairs: PairDataset, size: int, number: int) -> list[float]:
    seconds = []
    for request in range(number):
        # each request has other pairs, or the same ones in another order
        rows = (np.arange(size) + request) % MANY
        in0, in1 = pairs.in0.take(rows), pairs.in1.take(rows)
        begun = time.perf_counter()
        if what == "scores":
            predictor.scores(in0, in1)
        else:
            predictor.embeddings(0, in0)
        seconds.append(time.perf_counter() - begun)
    return seconds


def _ours(settings: Hyperparameters, weights: Path) -> Any:
    own_process.tune()
    from object2vec.backend.mxnet_import import mx
    from object2vec.inference.predictor import Predictor
    from object2vec.model.network import Object2VecNetwork

    mx.random.seed(SEED)
    network = Object2VecNetwork(settings)
    network.initialize([mx.cpu()])
    network.hybridize()
    if not weights.exists():
        values = {name: value.data().asnumpy() for name, value in network.params.items()}
        np.savez(weights, **values)
    return Predictor(network)
