# SPDX-License-Identifier: Apache-2.0
"""Training throughput of Object2Vec and of the same network in PyTorch, in turns.

``python -m benchmarks train [--workload W1 …] [--rounds 5] [--json]``. Every contestant has a
process of its own with as many threads as the others; it warms up on the batches of a turn and then
trains on the same ones each turn, at steady state.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.turns import Measured, Process, serve_turns, summary, take_turns
from benchmarks.workloads import WORKLOADS, Turn, Workload, find
from object2vec.backend import own_process
from object2vec.compiled.library import VARIABLE as COMPILED_VARIABLE

_STORAGES = ("row_sparse", "dense")
_OPERATORS = "operators"  # ours, without the compiled part
_DENSE = ("dense", "deferred")
_LIBRARY = "ours fit"  # in a process that the package leaves as it is, as `Object2Vec.fit` does
_OTHER_MODELS = "gensim"  # they do not count as peers
# What made PyTorch's row compaction 30 % faster; it has no other way to keep its buffers.
_PEER_MALLOC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_ARENA_MAX": "1",
}
_SHARE_OF_MEMORY = 0.6  # that all contestants may hold together


def main(arguments: list[str]) -> int:
    """Measure, and print a table or JSON lines; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        workloads = [found for name in options.workload for found in find(name)]
    except ValueError as error:
        print(error)
        return 2
    if options.contestant:
        _contend(workloads[0], options)
        return 0
    if options.check:
        return max(_check(workload, options) for workload in workloads)
    for workload in workloads:
        _print(_measure(workload, options), options.json)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks train", description=__doc__)
    names = [workload.name for workload in WORKLOADS]
    parser.add_argument(
        "--workload",
        nargs="+",
        default=names,
        help=f"names, or how they begin: {', '.join(names)}",
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant")
    parser.add_argument("--batches", type=int, help="batches in a turn; 0 for a whole epoch")
    parser.add_argument("--variant", nargs="+", help="contestants; all by default")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--real", action="store_true", help="real pairs from OBJECT2VEC_DATA")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of a table")
    parser.add_argument(
        "--check",
        action="store_true",
        help="measure no time: compare the losses of ours and of the peers, batch by batch",
    )
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    parser.add_argument("--weights", help=argparse.SUPPRESS)
    return parser


def _variants(workload: Workload) -> list[str]:
    found = []
    for name in ("ours", _OPERATORS):
        found += [f"{name} {kind}" for kind in _STORAGES] if workload.any_storage else [name]
    found.append(_LIBRARY)
    if find_spec("torch") is not None:
        from benchmarks.torch_peer import variants

        found += variants(workload.settings(), workload.any_storage)
    if workload.has_words and find_spec("gensim") is not None:
        from benchmarks.gensim_peer import VARIANTS

        found += VARIANTS
    return found


def _is_ours(variant: str) -> bool:
    return variant.split()[0] in ("ours", _OPERATORS)


def _storage(variant: str) -> dict[str, Any]:
    """The change of hyperparameters that a contestant's name asks for."""
    kind = variant.partition(" ")[2]
    return {"token_embedding_storage_type": kind} if _is_ours(variant) and kind in _STORAGES else {}


def _is_same_network(variant: str) -> bool:
    return not variant.startswith(_OTHER_MODELS)


def _contend(workload: Workload, options: argparse.Namespace) -> None:
    """Be the process of one contestant."""
    variant = options.contestant
    changes: dict[str, Any] = _storage(variant)
    if options.check:
        changes["dropout"] = 0.0
    settings = workload.settings(**changes)
    batches = workload.batches if options.batches is None else options.batches
    turn = Turn(settings, workload.dataset(options.real), batches)
    contestant: Any
    if _is_ours(variant):
        if variant != _LIBRARY:
            own_process.tune()
        from benchmarks import ours

        contestant = ours.Contestant(settings, turn)
    elif not _is_same_network(variant):
        from benchmarks import gensim_peer

        contestant = gensim_peer.Contestant(settings, turn, variant, options.threads)
    else:
        from benchmarks import torch_peer

        contestant = torch_peer.Contestant(settings, turn, variant, options.threads)
    if not options.check:
        serve_turns(contestant.train_turn)
        return
    weights = Path(options.weights)
    if _is_ours(variant):
        contestant.save_weights(weights)
    else:
        contestant.load_weights(weights)

    def losses() -> int:
        values = contestant.losses()
        weights.with_name(f"{variant}.json").write_text(json.dumps(values), encoding="utf-8")
        return len(values)

    serve_turns(losses)


def _starters(
    workload: Workload, options: argparse.Namespace, more: tuple[str, ...] = ()
) -> dict[str, Callable[[], Process]]:
    starters: dict[str, Callable[[], Process]] = {}
    for variant in options.variant or _variants(workload):
        if options.check and not _is_same_network(variant):
            continue
        arguments = ["train", "--workload", workload.name, "--contestant", variant, *more]
        arguments += ["--threads", str(options.threads)]
        if options.batches is not None:
            arguments += ["--batches", str(options.batches)]
        if options.real:
            arguments.append("--real")
        threads = "1" if variant.endswith("1 thread") else str(options.threads)
        # a library takes the cores that it finds
        environment = {} if variant == _LIBRARY else {"OMP_NUM_THREADS": threads}
        if not _is_ours(variant):
            environment.update(_PEER_MALLOC)
        elif variant.startswith(_OPERATORS):
            environment[COMPILED_VARIABLE] = "0"
        starters[variant] = partial(Process, arguments, environment)
    return starters


def _measure(workload: Workload, options: argparse.Namespace) -> list[dict[str, Any]]:
    from benchmarks.limits import limit, measure_machine

    starters = _starters(workload, options)
    results = take_turns(starters, options.rounds, together=_fit(workload, len(starters)))
    # the limit belongs to the machine as it is at this time
    machine = measure_machine(options.threads)
    rates = {name: _rate(turns) for name, turns in results.items()}
    peers = [rate for name, rate in rates.items() if not _is_ours(name) and _is_same_network(name)]
    batches = workload.batches if options.batches is None else options.batches
    dataset = workload.dataset(options.real)
    lines = []
    for name, turns in results.items():
        settings = workload.settings(**_storage(name))
        turn = Turn(settings, dataset, batches)
        most = limit(settings, turn.epoch(), machine)
        ratio = share = None
        if _is_same_network(name):
            share = round(rates[name] / most, 3)
            ratio = round(rates[name] / max(peers), 3) if peers else None
        lines.append(
            {
                "workload": workload.name,
                "variant": name,
                **summary(turns),
                "ratio_to_best_peer": ratio,
                "share_of_limit": share,
                "limit": round(most),
            }
        )
    return lines


def _rate(turns: list[Measured]) -> float:
    return float(np.median([turn.rate for turn in turns]))


def _fit(workload: Workload, contestants: int) -> bool:
    settings = workload.settings()
    tables = [encoder.vocab_size * encoder.token_embedding_dim for encoder in settings.encoders]
    numbers = tables[0] if settings.tied_token_embedding_weight else sum(tables)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # weights, gradient and two moments, and what a process holds anyway
    return contestants * (16 * numbers + 1_000_000_000) < _SHARE_OF_MEMORY * memory


def _print(lines: list[dict[str, Any]], as_json: bool) -> None:
    for number, line in enumerate(lines):
        if as_json:
            print(json.dumps(line), flush=True)
            continue
        if not number:
            print(f"\n{line['workload']}, limit {line['limit']:,}/s")
        ratio, share = line["ratio_to_best_peer"], line["share_of_limit"]
        print(
            f"  {line['variant']:26} {line['samples_per_s']:11,.0f}/s ±{line['spread'] / 2:4.0%}"
            f"   × best peer {'' if ratio is None else format(ratio, '5.2f'):5}"
            f"   of the limit {'' if share is None else format(share, '4.0%'):4}"
            f"   {line['peak_mb']:6,} MB   others' CPU {line['noise']:4.0%}",
            flush=True,
        )


def _check(workload: Workload, options: argparse.Namespace) -> int:
    """Train all contestants from the same weights on the same batches without dropout."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, "weights.npz")
        starters = _starters(workload, options, ("--check", "--weights", str(weights)))
        losses: dict[str, np.ndarray] = {}
        for name, start in starters.items():
            start().close()
            path = weights.with_name(f"{name}.json")
            losses[name] = np.array(json.loads(path.read_text(encoding="utf-8")))
            # dense and lazy updates of the tables are not the same training
            kind = name.partition(" ")[2].partition(",")[0]
            same = "ours dense" if kind in _DENSE else next(iter(losses))
            first = losses.get(same, next(iter(losses.values())))
            apart = float(np.max(np.abs(losses[name] - first) / np.maximum(first, 1e-3)))
            wrong += apart > 0.01
            line = {
                "workload": workload.name,
                "variant": name,
                "batches": len(first),
                "first_loss": round(float(losses[name][0]), 5),
                "last_loss": round(float(losses[name][-1]), 5),
                "largest_difference": apart,
            }
            print(json.dumps(line), flush=True)
    return int(wrong > 0)
