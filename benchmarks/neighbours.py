# SPDX-License-Identifier: Apache-2.0
"""How the nearest of many objects are found: recall, time a query, build time and memory.

``python -m benchmarks neighbours [--items 1000000] [--pairs 10000000] [--model-dir DIR] [--json]``.

Interactions are generated: items belong to clusters, are popular by a power law, and each user
likes two clusters. A model with embeddings of 128 numbers learns them by the recipe for
interactions, in one epoch. Then its index is built, saved and loaded, and asked for the ten nearest
one query at a time, on one thread: items for an item, and items for a user. The hard set has
vectors without clusters, drawn from the normal distribution.

Each part is a process of its own, which tells its processor's seconds and its memory at the peak.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.turns import ROOT

_SEED = 1
_PARTS = ("train", "index", "ask", "hard")
_ITEMS_A_CLUSTER, _PAIRS_A_USER = 1_000, 50
_POWER = 0.8  # of the popularity, by rank
_QUERIES = 1_000
_K = 10


def main(arguments: list[str]) -> int:
    """Measure, and print a table or JSON lines; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks neighbours", description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=10_000_000)
    parser.add_argument("--enc-dim", type=int, default=128)
    parser.add_argument("--model-dir", help="where the model is kept; one that is there is asked")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of a table")
    parser.add_argument("--part", choices=_PARTS, nargs="+", default=_PARTS)
    parser.add_argument("--alone", choices=_PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.alone:
        print(json.dumps(_measured(options.alone, options)), flush=True)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        model = options.model_dir or os.path.join(folder, "model")
        for part in options.part:
            if part == "train" and Path(model, "model.json").exists():
                continue
            command = [sys.executable, "-m", "benchmarks", "neighbours", "--alone", part]
            command += ["--items", str(options.items), "--pairs", str(options.pairs)]
            command += ["--enc-dim", str(options.enc_dim), "--model-dir", model]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            found = subprocess.run(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
            )
            line = json.loads(found.stdout.splitlines()[-1])
            text = found.stdout.splitlines()[-1] if options.json else _table(line)
            print(text, flush=True)
    return 0


def _table(line: dict[str, Any]) -> str:
    return "   ".join(f"{name} {value}" for name, value in line.items())


def _measured(part: str, options: argparse.Namespace) -> dict[str, Any]:
    work: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
        "train": _train, "index": _index, "ask": _ask, "hard": _hard
    }  # fmt: skip
    found = work[part](options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "part": part, "items": options.items, **found,
        "process_cpu_s": round(time.process_time(), 1), "peak_mb": round(peak / 1e6),
    }  # fmt: skip


def interactions(items: int, pairs: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Users and items of pairs, int32 ``(pairs,)`` each; every item occurs.

    A user's pair is of one of two clusters, nine times of ten; in a cluster, and elsewhere in all,
    the item of rank r is drawn in proportion to a power of r.
    """
    clusters = max(2, items // _ITEMS_A_CLUSTER)
    size = items // clusters
    users = rng.integers(max(1, pairs // _PAIRS_A_USER), size=pairs, dtype=np.int32)
    liked = rng.integers(clusters, size=(int(users.max()) + 1, 2), dtype=np.int32)
    cluster = liked[users, rng.integers(2, size=pairs)]
    wander = rng.random(pairs) < 0.1
    cluster[wander] = rng.integers(clusters, size=np.count_nonzero(wander))
    weights = np.arange(1, size + 1) ** -_POWER
    rank = np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(pairs))
    # the items of a cluster do not follow one another, lest their ids tell it
    found = (np.minimum(rank, size - 1) * clusters + cluster).astype(np.int32)
    found[: clusters * size] = np.arange(min(pairs, clusters * size), dtype=np.int32)
    own = liked[users[: clusters * size]]
    missing = np.arange(len(own), dtype=np.int32)
    # a pair that stands for an item which would else not occur is of a user who likes its cluster
    by_cluster = np.argsort(liked[:, 0], kind="stable").astype(np.int32)
    first = np.searchsorted(liked[by_cluster, 0], missing % clusters)
    users[: len(own)] = by_cluster[np.minimum(first, len(by_cluster) - 1)]
    return users, found


def _train(options: argparse.Namespace) -> dict[str, Any]:
    from object2vec.backend import own_process

    own_process.tune()
    import pyarrow

    from object2vec import Object2Vec

    users, items = interactions(options.items, options.pairs, np.random.default_rng(_SEED))
    table = pyarrow.table({"user": users, "item": items})
    begun = time.process_time()
    # a single epoch has to take each of the few rows that an item has a long way
    model = Object2Vec(enc_dim=options.enc_dim, epochs=1, learning_rate=0.03, seed=_SEED)
    model.fit(table, in0="user", in1="item")
    seconds = time.process_time() - begun
    model.save(options.model_dir)
    return {"pairs": options.pairs, "users": len(np.unique(users)), "fit_cpu_s": round(seconds, 1)}


def _index(options: argparse.Namespace) -> dict[str, Any]:
    from object2vec import Object2Vec

    model = Object2Vec.load(options.model_dir)
    begun = time.process_time()
    index = model.build_index("in1", kind="cells")
    seconds = time.process_time() - begun
    model.save(options.model_dir)
    return {
        "build_cpu_s": round(seconds, 1), "recall": index.recall,
        "probes": {asked: cells.probes for asked, cells in index.stored.cells.items()},
        "cells": {asked: len(cells.centroids) for asked, cells in index.stored.cells.items()},
    }  # fmt: skip


def _ask(options: argparse.Namespace) -> dict[str, Any]:
    from object2vec import Object2Vec

    begun = time.process_time()
    model = Object2Vec.load(options.model_dir)
    loaded = time.process_time()
    index = model.indexes["in1"]
    index.prepare()
    ready = time.process_time()
    rng = np.random.default_rng(_SEED + 1)
    found: dict[str, Any] = {
        "load_cpu_s": round(loaded - begun, 1), "prepare_cpu_s": round(ready - loaded, 1)
    }  # fmt: skip
    for asked in ("in1", "in0"):
        vectors = model.vectors(asked).vectors
        rows = rng.choice(len(vectors), _QUERIES, replace=False)
        nothing = [np.array([row]) if asked == "in1" else np.zeros(0, np.int64) for row in rows]
        found[asked] = asked_one_by_one(index, asked, vectors[rows], nothing)
    return found


def asked_one_by_one(
    index: Any, asked: str, embeddings: np.ndarray, left_out: list[np.ndarray]
) -> dict[str, float]:
    """Milliseconds a query, one query at a time, and recall against an exact search.

    The time is that of the search alone: what a query takes to be embedded is no part of it.
    """
    from object2vec.neighbours.cell_search import MEASURED, truly_nearest

    space, search = index.searched(asked)
    queries = space.queries(embeddings)
    search.nearest(queries[:10], _K, left_out[:10])
    times = []
    for row in range(len(queries)):
        begun = time.process_time()
        search.nearest(queries[row : row + 1], _K, left_out[row : row + 1])
        times.append(1e3 * (time.process_time() - begun))
    begun = time.process_time()
    truth = truly_nearest(space.objects, len(space), space.is_distance, queries, MEASURED, left_out)
    exact = 1e3 * (time.process_time() - begun) / len(queries)
    return {
        "probes": search.probes,
        "recall": round(search.recall(queries, truth, left_out), 4),
        "cpu_ms_median": round(float(np.median(times)), 3),
        "cpu_ms_p99": round(float(np.percentile(times, 99)), 3),
        "exact_cpu_ms": round(exact, 2),
    }


def _hard(options: argparse.Namespace) -> dict[str, Any]:
    """Vectors that lie in no clusters: what cells are of no use for."""
    from object2vec.data.arrays import TokenLists
    from object2vec.model.stored_index import StoredIndex
    from object2vec.neighbours.cell_search import MEASURED, CellSearch, shared_out, truly_nearest
    from object2vec.neighbours.searched_space import SearchedSpace

    rng = np.random.default_rng(_SEED)
    vectors = rng.standard_normal((options.items, options.enc_dim), dtype=np.float32)
    lists = TokenLists.of_each(np.arange(options.items, dtype=np.int32))
    stored = StoredIndex("in1", tuple(map(str, range(options.items))), lists, vectors)
    space = SearchedSpace(stored)
    begun = time.process_time()
    cells = shared_out(space.objects, len(space), False, _SEED)
    search = CellSearch(space.objects, cells, False)
    built = time.process_time() - begun
    queries = space.queries(rng.standard_normal((200, options.enc_dim), dtype=np.float32))
    nothing = [np.zeros(0, np.int64)] * len(queries)
    truth = truly_nearest(space.objects, len(space), space.is_distance, queries, MEASURED, nothing)
    found: dict[str, Any] = {"build_cpu_s": round(built, 1)}
    whole = CellSearch(space.objects, replace(cells, codebook=None), False)
    for way, each in (("codes", search), ("whole", whole)):
        for share in (0.025, 0.2, 0.5):
            probes = max(1, round(share * len(cells.centroids)))
            begun = time.process_time()
            recall = each.recall(queries, truth, nothing, probes)
            seconds = time.process_time() - begun
            found[f"{way}, {probes} probes"] = {
                "recall": round(recall, 3), "cpu_ms": round(1e3 * seconds / len(queries), 2)
            }  # fmt: skip
    return found
