# SPDX-License-Identifier: Apache-2.0
"""Quality against time, on real data, beside peers that are trained in the same run.

``python -m benchmarks results [TASK …] [--contestant NAME …] [--seeds 3] [--json]``. Every
contestant has a process of its own. Its setting is chosen on the validation part; then it is
trained once for each seed, and the test part is read once for each. ``--no-test`` tells what the
validation part says, and ``--set HYPERPARAMETER=VALUE …`` changes what ours by the recipe trains
with.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.catalogue import TASKS
from benchmarks.quality.contest import choose, compare, train
from benchmarks.quality.exams import Contestant, Grade, Task
from benchmarks.turns import ROOT
from object2vec.logs import LOGGER_NAME

_OURS = "ours"
_CHOICE_SEED = 0  # none of those that results are told of
_Each = dict[str, np.ndarray]


def main(arguments: list[str]) -> int:
    """Train and judge, and print tables or JSON lines; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    for name in options.task:
        if name not in TASKS:
            parser.error(f"there is no task {name!r}; there are {', '.join(TASKS)}")
    folder = os.environ.get("OBJECT2VEC_DATA")
    if folder is None:
        print("OBJECT2VEC_DATA does not name the folder of the data sets", file=sys.stderr)
        return 1
    options.task = options.task or list(TASKS)
    if options.alone is not None:
        logging.getLogger(LOGGER_NAME).setLevel(logging.ERROR)
        _contend(Path(folder), options)
        return 0
    known = {one.name for name in options.task for one in TASKS[name].contestants()}
    for name in options.contestant or ():
        if name not in known:
            parser.error(f"there is no contestant {name!r}; there are {', '.join(sorted(known))}")
    return max(_run(name, options) for name in options.task)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks results", description=__doc__)
    parser.add_argument("task", nargs="*", help=f"{', '.join(TASKS)} (default: all)")
    parser.add_argument("--contestant", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", nargs="+", default=[], metavar="HYPERPARAMETER=VALUE")
    parser.add_argument("--rows", type=int, help="only so many rows or people of each part")
    parser.add_argument("--no-test", action="store_true", help="do not read the test part")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of a table")
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    return parser


def _run(name: str, options: argparse.Namespace) -> int:
    """All contestants of a task, one after the other; returns the exit code."""
    failed = 0
    each: dict[str, _Each] = {}
    for contestant in TASKS[name].contestants():
        if options.contestant and contestant.name not in options.contestant:
            continue
        missing = [module for module in contestant.needs if find_spec(module) is None]
        if missing:
            print(
                f"{name}: {contestant.name} is left out: {', '.join(missing)} is not installed "
                "(pip install 'object2vec[bench]')",
                file=sys.stderr,
            )
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "each.npz")
            lines = _in_a_process(name, contestant, options, path)
            failed |= not lines
            for line in lines:
                print(json.dumps(line) if options.json else _as_text(line), flush=True)
            if path.is_file():
                with np.load(path, allow_pickle=False) as file:
                    for key in file.files:
                        way, _, measure = key.partition("/")
                        each.setdefault(f"{contestant.name}, {way}", {})[measure] = file[key]
    for line in _differences(name, each):
        print(json.dumps(line) if options.json else _difference_as_text(line), flush=True)
    return int(failed)


def _in_a_process(
    task: str, contestant: Contestant, options: argparse.Namespace, path: Path
) -> list[dict[str, Any]]:
    """The lines of one contestant; none if it failed, whose reason is on standard error."""
    arguments = [task, "--contestant", contestant.name, "--seeds", str(options.seeds)]
    arguments += ["--set", *options.set] if options.set else []
    arguments += ["--rows", str(options.rows)] if options.rows else []
    arguments += ["--no-test"] if options.no_test else []
    command = [sys.executable, "-m", "benchmarks", "results", *arguments, "--alone", str(path)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        print(f"{task}: {contestant.name} failed", file=sys.stderr)
        return []
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def _contend(folder: Path, options: argparse.Namespace) -> None:
    """Be the process of one contestant: print its lines, and write its measures by question."""
    (name,), (wanted,) = options.task, options.contestant
    (contestant,) = (one for one in TASKS[name].contestants() if one.name == wanted)
    getattr(contestant, "given", {}).update(item.split("=", 1) for item in options.set)
    task = TASKS[name].load(folder, options.rows)
    seeds = range(1, 1 + (options.seeds if contestant.is_seeded else 1))
    if options.no_test:
        lines = _validated(task, contestant, seeds)
    else:
        lines, each = _tested(task, contestant, seeds)
        np.savez(options.alone, **each)
    for line in lines:
        print(json.dumps({"task": name, "contestant": wanted, **line}), flush=True)


def _validated(task: Task, contestant: Contestant, seeds: range) -> list[dict[str, Any]]:
    found = [choose(task, contestant, seed) for seed in seeds]
    return [
        {
            "way": way,
            "setting": [one.setting for one in found] if found[0].tried > 1 else found[0].setting,
            "tried": found[0].tried,
            "validation": _measures([one.grades[way] for one in found]),
            "choice_s": _mean([one.spent.wall for one in found]),
            "choice_cpu_s": _mean([one.spent.cpu for one in found]),
        }
        for way in found[0].grades
    ]


def _tested(
    task: Task, contestant: Contestant, seeds: range
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    chosen = choose(task, contestant, _CHOICE_SEED)
    trained = [train(task, contestant, chosen, seed) for seed in seeds]
    lines, each = [], {}
    for way in trained[0].readings:
        readings = [one.readings[way] for one in trained]
        setting = dict(chosen.setting)
        if chosen.decided.get(way) is not None:
            setting["decided"] = round(float(chosen.decided[way] or 0), 4)
        line: dict[str, Any] = {"way": way, "setting": setting, "tried": chosen.tried}
        if way in chosen.grades:
            line["validation"] = _measures([chosen.grades[way]])
        lines.append(
            {
                **line,
                "test": _measures([reading.grade for reading in readings]),
                "train_s": _mean([one.spent.wall for one in trained]),
                "train_cpu_s": _mean([one.spent.cpu for one in trained]),
                "predict_s": _mean([reading.spent.wall for reading in readings]),
                "predict_cpu_s": _mean([reading.spent.cpu for reading in readings]),
                "choice_s": round(chosen.spent.wall, 2),
                "choice_cpu_s": round(chosen.spent.cpu, 2),
            }
        )
        for measure in readings[0].grade.each:
            rows = [reading.grade.each[measure] for reading in readings]
            each[f"{way}/{measure}"] = np.array(rows)
    return lines, each


def _measures(grades: list[Grade]) -> dict[str, dict[str, Any]]:
    """Mean, half the span and single values of each measure over the seeds."""
    found = {}
    for measure in grades[0].measures:
        values = [grade.measures[measure] for grade in grades]
        found[measure] = {
            "mean": round(statistics.mean(values), 4),
            "spread": round((max(values) - min(values)) / 2, 4),
            "seeds": [round(value, 4) for value in values],
        }
    return found


def _mean(values: list[float]) -> float:
    return round(statistics.mean(values), 2)


def _differences(task: str, each: dict[str, _Each]) -> list[dict[str, Any]]:
    """Each of ours less each of the others, question by question."""
    ours = [name for name in each if name.startswith(_OURS)]
    lines = []
    for one in ours:
        for other in each:
            if other in ours:
                continue
            for measure in each[one]:
                found = compare(list(each[one][measure]), list(each[other][measure]))
                difference, low, high = (round(value, 4) for value in found)
                lines.append(
                    {"task": task, "contestant": one, "less": other, "measure": measure,
                     "difference": difference, "low": low, "high": high}
                )  # fmt: skip
    return lines


def _as_text(line: dict[str, Any]) -> str:
    parts = [f"{line['task']}  {line['contestant']}, {line['way']}:"]
    for part in ("validation", "test"):
        measures = [
            f"{measure} {values['mean']:.4f} ±{values['spread']:.4f}"
            for measure, values in line.get(part, {}).items()
        ]
        parts += [f"{part} {', '.join(measures)};"] if measures else []
    for part in ("train", "predict", "choice"):
        if f"{part}_s" in line:
            seconds, cpu = line[f"{part}_s"], line[f"{part}_cpu_s"]
            parts.append(f"{part} {seconds:.1f} s (CPU {cpu:.1f} s);")
    return f"{' '.join(parts)} {line['setting']}, of {line['tried']}"


def _difference_as_text(line: dict[str, Any]) -> str:
    return (
        f"{line['task']}  {line['contestant']}, less {line['less']}: {line['measure']} "
        f"{line['difference']:+.4f} [{line['low']:+.4f}, {line['high']:+.4f}]"
    )
