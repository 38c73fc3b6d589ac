# SPDX-License-Identifier: Apache-2.0
"""Asks a real server for a long time while its workers are killed, and checks every answer.

``python -m tests.soak [--requests 100000] [--clients 4]``. Every right request must be answered
right, or be refused with 503 and answered right when it is sent again; every wrong one must get its
status. Anything else is a failure, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np
import orjson
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fuzz import models
from mms_server import JSON, JSON_LINES, MmsServer, serving, wait_for
from small_jobs import VOCAB

from object2vec.data.arrays import TokenLists
from object2vec.inference.predictor import Predictor

_POOL = 512
_SIZES = (1, 1, 1, 2, 3, 5, 8, 16, 32, 64, 128, 300)
_KINDS = (("in0", "in1"), ("in0", "in1"), ("in0",), ("in1",))
_TOLERANCE = 1e-5
_BAD_SHARE = 0.01
_RETRY_SECONDS = 120.0
_PAUSE_SECONDS = 0.1
# The server has 60 to answer in, or to say why not.
_TIMEOUT_SECONDS = 75.0
_SAMPLE_SECONDS = 0.5
_SHOWN_FAILURES = 3
# Where every answer fails, after its time, a soak would take days.
_MOST_FAILURES = 100


@dataclass(frozen=True)
class Question:
    """A request, the status that it must get, and for a right one the rows of its answer."""

    name: str
    body: bytes
    headers: dict[str, str]
    status: int
    rows: Optional[list[np.ndarray]] = None


class Questions:
    """Draws requests from pairs whose answers are known, since a predictor gave them.

    Parameters
    ----------
    model_dir : Path
        The served model.
    seed : int
    """

    def __init__(self, model_dir: Path, seed: int) -> None:
        model = Predictor.load(model_dir)
        rng = np.random.default_rng(seed)
        sides = [
            [rng.integers(VOCAB, size=rng.integers(1, 20)).tolist() for _ in range(_POOL)]
            for _ in range(2)
        ]
        lists = [TokenLists.from_lists(side) for side in sides]
        self._sides = dict(zip(("in0", "in1"), sides))
        self._answers: dict[tuple[str, ...], np.ndarray] = {
            ("in0", "in1"): model.scores(*lists).reshape(_POOL, -1),
            ("in0",): model.embeddings(0, lists[0]),
            ("in1",): model.embeddings(1, lists[1]),
        }

    def draw(self, rng: random.Random) -> Question:
        """A right request or, one time in a hundred, a wrong one."""
        if rng.random() < _BAD_SHARE:
            return rng.choice(_BAD)
        chosen = rng.choices(range(_POOL), k=rng.choice(_SIZES))
        mixed = rng.random() < 0.2
        kind = rng.choice(_KINDS)
        kinds = [rng.choice(_KINDS) if mixed else kind for _ in chosen]
        instances = [
            {name: self._sides[name][row] for name in kind} for row, kind in zip(chosen, kinds)
        ]
        rows = [self._answers[kind][row] for row, kind in zip(chosen, kinds)]
        if rng.random() < 0.5:
            body = orjson.dumps({"instances": instances})
            return Question("JSON", body, {"Content-Type": JSON}, 200, rows)
        body = b"\n".join(map(orjson.dumps, instances))
        return Question("JSON Lines", body, {"Content-Type": JSON_LINES}, 200, rows)


_JSON = {"Content-Type": JSON}
_SOUND = b'{"instances": [{"in0": [1], "in1": [2]}]}'
_BAD = (
    Question("broken JSON", b'{"instances": [', _JSON, 400),
    Question("no instances", b'{"pairs": []}', _JSON, 400),
    Question("an id too large", b'{"instances": [{"in0": [1, 99999]}]}', _JSON, 400),
    Question("a list of words", b'{"instances": [{"in0": ["a"]}]}', _JSON, 400),
    Question("no body", b"", _JSON, 400),
    Question("not UTF-8", b'{"instances": [{"in0": [1]}], "\xff": 1}', _JSON, 400),
    Question("a long key", b'{"' + b"k" * 20_000 + b'": 1}', _JSON, 400),
    Question("a wrong type", _SOUND, {"Content-Type": "text/csv"}, 415),
    Question("a wrong answer type", _SOUND, {**_JSON, "Accept": "text/html"}, 406),
    Question("a broken line", b'{"in0": [1]}\n{"in0"\n', {"Content-Type": JSON_LINES}, 400),
)


@dataclass
class Report:
    """What a soak found.

    Parameters
    ----------
    statuses : collections.Counter
        Answers by kind of request and status, retries included.
    failures : collections.Counter
        What must not be, by its kind.
    details : list of str
        The first failures of each kind.
    latencies : list of float
        Seconds of each answer.
    retried : list of float
        For each right request that was refused: seconds until it was answered right.
    memory : list of (float, int, int)
        Second, bytes of Java and of the largest worker.
    kills : int
        Workers killed.
    seconds : float
        How long all took.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    details: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    retried: list[float] = field(default_factory=list)
    memory: list[tuple[float, int, int]] = field(default_factory=list)
    kills: int = 0
    seconds: float = 0.0

    def fail(self, kind: str, detail: str) -> None:
        """Count a failure."""
        self.failures[kind] += 1
        if self.failures[kind] <= _SHOWN_FAILURES:
            self.details.append(f"{kind}: {' '.join(detail.split())[:500]}")

    def text(self) -> str:
        """All of it, to be read."""
        requests = len(self.latencies)
        p50, p99, most = (1e3 * np.percentile(self.latencies or [0], (50, 99, 100))).tolist()
        lines = [
            f"{requests} answers in {self.seconds:.0f} s, {requests / self.seconds:.0f} a second; "
            f"{self.kills} workers killed",
            f"latency: p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {most:.0f} ms",
            f"refused and right when sent again: {len(self.retried)}, "
            f"after {max(self.retried, default=0):.2f} s at most",
            "answers:",
            *(f"  {count:>8}  {name}" for name, count in sorted(self.statuses.items())),
            "memory (MB):    second      Java  largest worker",
        ]
        last = len(self.memory) - 1
        for name, part in (("start", 0), ("1/4", 0.25), ("1/2", 0.5), ("3/4", 0.75), ("end", 1)):
            if self.memory:
                second, java, worker = self.memory[round(last * part)]
                lines.append(f"  {name:<12}{second:>8.0f}{java >> 20:>10}{worker >> 20:>16}")
        lines.append(f"failures: {sum(self.failures.values())}")
        lines += [f"  {count:>8}  {kind}" for kind, count in self.failures.most_common()]
        lines += [f"  {detail}" for detail in self.details]
        return "\n".join(lines)


def soak(
    model_dir: Path,
    log: Path,
    *,
    requests: int,
    clients: int,
    kill_seconds: float,
    seed: int,
    workers: int = 2,
) -> Report:
    """Serve a model and ask it.

    Parameters
    ----------
    model_dir : Path
    log : Path
        Takes what the server says.
    requests : int
        Of all clients together.
    clients : int
        Connections at the same time, each kept open.
    kill_seconds : float
        A worker is killed each time so many seconds are over and one can answer.
    seed : int
        Decides the requests.
    workers : int
    """
    report = Report()
    questions = Questions(model_dir, seed)
    done = threading.Event()
    numbers = itertools.count(1)
    with serving(model_dir, log, workers=workers) as server:
        asking = [
            threading.Thread(
                target=_ask_all,
                args=(server, questions, random.Random(f"{seed} {client}"), report),
                kwargs={"numbers": numbers, "requests": requests},
                daemon=True,
            )
            for client in range(clients)
        ]
        beside = [
            threading.Thread(target=target, args=arguments, daemon=True)
            for target, arguments in (
                (_kill, (server, report, done, kill_seconds, seed)),
                (_watch, (server, report, done)),
            )
        ]
        start = time.monotonic()
        for thread in (*asking, *beside):
            thread.start()
        for thread in asking:
            thread.join()
        report.seconds = time.monotonic() - start
        done.set()
        for thread in beside:
            thread.join()
        _check_end(server, workers, report)
    return report


def _check_end(server: MmsServer, workers: int, report: Report) -> None:
    if server.process.poll() is not None:
        report.fail("the server ended", f"exit code {server.process.returncode}")
        return
    try:
        wait_for(lambda: len(_workers(server)) == workers, 60, "all workers at the end")
        if server.ping() != 200:
            report.fail("/ping at the end", str(server.ping()))
    except AssertionError as error:
        report.fail("workers that do not come back", str(error))


def _ask_all(
    server: MmsServer,
    questions: Questions,
    rng: random.Random,
    report: Report,
    *,
    numbers: Iterator[int],
    requests: int,
) -> None:
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", server.port, timeout=_TIMEOUT_SECONDS)
    ) as connection:
        while next(numbers) <= requests:
            if server.process.poll() is not None:
                report.fail("the server ended", f"exit code {server.process.returncode}")
                return
            if sum(report.failures.values()) > _MOST_FAILURES:
                return
            _ask(connection, questions.draw(rng), report)


def _ask(connection: http.client.HTTPConnection, question: Question, report: Report) -> None:
    """Ask until the answer is no refusal for want of a worker."""
    first = time.monotonic()
    refused = False
    while True:
        start = time.monotonic()
        try:
            connection.request("POST", "/invocations", question.body, question.headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            report.statuses[f"{question.name}: no answer"] += 1
            report.fail(f"{type(error).__name__} for {question.name}", str(error))
            return
        report.latencies.append(time.monotonic() - start)
        report.statuses[f"{question.name}: {answer.status}"] += 1
        if answer.status != 503:
            break
        if time.monotonic() - first > _RETRY_SECONDS:
            report.fail("503 for too long", f"{question.name}: {body.decode(errors='replace')}")
            return
        refused = True
        time.sleep(_PAUSE_SECONDS)
    problem = _problem(question, answer.status, body)
    if problem:
        report.fail(problem, f"{question.name}: {body.decode(errors='replace')}")
    elif refused:
        report.retried.append(time.monotonic() - first)


def _problem(question: Question, status: int, body: bytes) -> str:
    """What is wrong with an answer, or nothing."""
    if status != question.status:
        return f"the status {status} instead of {question.status}"
    if question.rows is None:
        return ""
    try:
        if question.headers["Content-Type"] == JSON:
            found = orjson.loads(body)["predictions"]
        else:
            found = [orjson.loads(line) for line in body.splitlines()]
        values: list[Any] = [next(iter(row.values())) for row in found]
        right = len(values) == len(question.rows) and all(
            np.allclose(value, row, rtol=0, atol=_TOLERANCE)
            for value, row in zip(values, question.rows)
        )
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return "an answer that cannot be read"
    return "" if right else "a wrong answer"


def _kill(
    server: MmsServer, report: Report, done: threading.Event, seconds: float, seed: int
) -> None:
    rng = random.Random(seed)
    while not done.wait(seconds):
        workers = _workers(server)
        # One that loads may be killed too, but not each time before it is done.
        if workers and server.ping() == 200:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(workers), signal.SIGKILL)
                report.kills += 1


def _watch(server: MmsServer, report: Report, done: threading.Event) -> None:
    start = time.monotonic()
    while not done.wait(_SAMPLE_SECONDS):
        with contextlib.suppress(psutil.Error, OSError, StopIteration, ValueError):
            java = server.java().memory_info().rss
            workers = [psutil.Process(pid).memory_info().rss for pid in server.workers()]
            report.memory.append((time.monotonic() - start, java, max(workers)))


def _workers(server: MmsServer) -> list[int]:
    """Processes that have loaded the model; none where one ends just now."""
    with contextlib.suppress(psutil.Error, OSError):
        return server.workers()
    return []


def main() -> int:
    """Return 1 if there was a failure."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000, help="of all clients together")
    parser.add_argument("--clients", type=int, default=4, help="connections at the same time")
    parser.add_argument("--kill-seconds", type=float, default=30, help="between two kills")
    parser.add_argument("--seed", type=int, default=1, help="decides the requests")
    parser.add_argument("--model", choices=models.MODELS, default="hcnn", help="what is served")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="object2vec-soak-") as folder:
        report = soak(
            models.save(options.model, Path(folder, "model")),
            Path(folder, "log"),
            requests=options.requests,
            clients=options.clients,
            kill_seconds=options.kill_seconds,
            seed=options.seed,
        )
    print(report.text())
    return int(bool(report.failures))


if __name__ == "__main__":
    # So that the server is ended, too.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    sys.exit(main())
