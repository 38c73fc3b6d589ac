# SPDX-License-Identifier: Apache-2.0
"""What the recipes reach on real data, in quality and in seconds.

``python -m benchmarks recipes [NAME …] [--seeds 3] [--set HYPERPARAMETER=VALUE …] [--test]``.
Trains on the train part and tells the measure on the validation part, by which the recipes were
chosen. With ``--test`` the model is trained once more on both parts, for as many epochs as were
best, and the test part is read once for each seed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Optional

import pandas as pd

from benchmarks.recipe_tasks import TASKS, Tables, Task
from object2vec.hyperparameters.checked import parse
from object2vec.logs import LOGGER_NAME
from object2vec.prepare.recipes import recipe
from object2vec.prepare.table_choice import TableChoice
from object2vec.prepare.table_pairs import encode_table, table_pairs
from object2vec.training.loop import train


def main(arguments: list[str]) -> int:
    """Train and judge, and print a table or JSON lines; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks recipes", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"{', '.join(TASKS)} (default: all)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", nargs="+", default=[], metavar="HYPERPARAMETER=VALUE")
    parser.add_argument("--rows", type=int, help="only so many rows of each table")
    parser.add_argument("--test", action="store_true", help="read the test part too")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of a table")
    options = parser.parse_args(arguments)
    for name in options.name:
        if name not in TASKS:
            parser.error(f"there is no task {name!r}; there are {', '.join(TASKS)}")
    folder = os.environ.get("OBJECT2VEC_DATA")
    if folder is None:
        print("OBJECT2VEC_DATA does not name the folder of the data sets", file=sys.stderr)
        return 1
    logging.getLogger(LOGGER_NAME).setLevel(logging.ERROR)
    given = dict(item.split("=", 1) for item in options.set)
    for name in options.name or TASKS:
        tables = TASKS[name].load(Path(folder))
        if options.rows:
            tables = {part: table.head(options.rows) for part, table in tables.items()}
        lines = []
        for seed in range(1, options.seeds + 1):
            lines.append(run(TASKS[name], tables, given, seed, options.test))
            if options.json:
                print(json.dumps({"task": name, "seed": seed, **lines[-1]}), flush=True)
        if not options.json:
            _print(name, lines)
    return 0


def run(task: Task, tables: Tables, given: dict[str, str], seed: int, test: bool) -> dict[str, Any]:
    """Train by the recipe, and judge.

    Parameters
    ----------
    task : Task
        What.
    tables : dict of str to pandas.DataFrame
        From its `load`.
    given : dict of str to str
        Hyperparameters instead of the recipe's.
    seed : int
        Of the training.
    test : bool
        Whether to train anew on train and validation and to read the test part.

    Returns
    -------
    dict
        ``validation`` and perhaps ``test``, the task's measure; ``seconds`` of one training,
        ``cpu_seconds`` of all its threads, and ``epochs`` until its best one.
    """
    found = _trained(task, tables, tables["train"], given, seed)
    if not test:
        return found
    both = pd.concat([tables["train"], tables["validation"]], ignore_index=True)
    again = _trained(task, tables, both, given, seed, "test", found["epochs"])
    return {**found, "test": again["test"]}


def _trained(
    task: Task,
    tables: Tables,
    table: pd.DataFrame,
    given: dict[str, str],
    seed: int,
    part: str = "validation",
    epochs: Optional[int] = None,
) -> dict[str, Any]:
    made = table_pairs(table, TableChoice(**task.columns))
    settings = parse({**recipe(made.inputs).settings, **given, "_seed": str(seed)})[0]
    validation: Optional[Any] = None
    if task.stops and part == "validation":
        validation = encode_table(made.inputs, tables[part])[0]
    begun, computing = time.monotonic(), time.process_time()
    result = train(
        settings, made.pairs["train"], validation, inputs=made.inputs, fixed_epochs=epochs
    )
    seconds, computed = time.monotonic() - begun, time.process_time() - computing
    return {
        part: round(task.judge(result.predictor, made.inputs, part, tables), 4),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(computed, 1),
        "epochs": result.best_epoch + 1,
    }


def _print(name: str, lines: list[dict[str, Any]]) -> None:
    texts = []
    for part in ("validation", "test"):
        values = [line[part] for line in lines if part in line]
        if values:
            spread = (max(values) - min(values)) / 2
            texts.append(f"{part} {statistics.mean(values):.4f} ±{spread:.4f}")
    seconds, computed, epochs = (
        statistics.median(line[key] for line in lines)
        for key in ("seconds", "cpu_seconds", "epochs")
    )
    print(
        f"{name:13} {TASKS[name].measure}: {', '.join(texts)}; {seconds:.1f} s, "
        f"{computed:.1f} s of CPU, "
        f"{epochs:.0f} epochs",
        flush=True,
    )
