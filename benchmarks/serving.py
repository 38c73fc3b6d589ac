# SPDX-License-Identifier: Apache-2.0
"""Latency and throughput of the model server beside the predictor in this process, and PyTorch.

``python -m benchmarks serving [--rounds 3] [--requests 200]``: all contestants take turns in one
run, so that a noisy machine is noisy for all. Loopback only; about a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from object2vec import Object2Vec
from object2vec.backend import own_process
from object2vec.resources import cores
from object2vec.serving.replies import reply_to
from object2vec.serving.settings import Settings

# The published MovieLens rating job.
USERS, FILMS, WIDTH = 944, 1684, 1024
MANY = 1000
_JSON = {"Content-Type": "application/json"}
_START_SECONDS = 120
Ask = Callable[[bytes], bytes]


def main(arguments: list[str]) -> int:
    """Measure and print a table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks serving", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contestant")
    parser.add_argument("--requests", type=int, default=200, help="small requests in a turn")
    parser.add_argument("--port", type=int, default=18480, help="the first of two free ports")
    options = parser.parse_args(arguments)
    # this process is measured as one that answers, though it trains the model first
    own_process.tune()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        model_dir = Path(folder, "model")
        _make_model(model_dir)
        contestants: dict[str, Callable[[], Any]] = {"in process": _in_process(model_dir)}
        stack.enter_context(_model_server(model_dir, options.port, Path(folder, "mms.log")))
        contestants["model server"] = _client_of(options.port)
        if find_spec("torch") and find_spec("uvicorn"):
            service = _torch_service(model_dir, options.port + 1, Path(folder))
            stack.enter_context(service)
            contestants["PyTorch, uvicorn"] = _client_of(options.port + 1)
        else:
            print("PyTorch and uvicorn are not installed here: no peer is measured.")
        _check_equal(contestants)
        _print_table(_measure(contestants, options.rounds, options.requests))
    return 0


def _make_model(model_dir: Path) -> None:
    model = Object2Vec(
        enc0_max_seq_len=1,
        enc0_vocab_size=USERS,
        enc0_network="pooled_embedding",
        enc1_max_seq_len=1,
        enc1_vocab_size=FILMS,
        enc1_network="pooled_embedding",
        enc_dim=WIDTH,
        mlp_layers=1,
        mlp_dim=512,
        num_classes=5,
        epochs=1,
        seed=1,
    )
    ids = np.random.default_rng(1)
    pairs = [
        {"in0": [int(ids.integers(USERS))], "in1": [int(ids.integers(FILMS))], "label": i % 5}
        for i in range(500)
    ]
    model.fit(pairs).save(model_dir)


def _pairs(number: int) -> list[dict[str, list[int]]]:
    return [{"in0": [i % USERS], "in1": [i * 7 % FILMS]} for i in range(number)]


def _body(instances: list[dict[str, list[int]]]) -> bytes:
    return json.dumps({"instances": instances}).encode()


def _in_process(model_dir: Path) -> Callable[[], Any]:
    from object2vec.inference.predictor import Predictor

    predictor = Predictor.load(model_dir)
    settings = Settings()

    @contextlib.contextmanager
    def client() -> Iterator[Ask]:
        yield lambda body: reply_to(predictor, body, _JSON, settings).body

    return client


def _client_of(port: int) -> Callable[[], Any]:
    @contextlib.contextmanager
    def client() -> Iterator[Ask]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

        def ask(body: bytes) -> bytes:
            connection.request("POST", "/invocations", body, _JSON)
            response = connection.getresponse()
            content = response.read()
            if response.status != http.client.OK:
                raise RuntimeError(f"{response.status}: {content[:200]!r}")
            return content

        try:
            yield ask
        finally:
            connection.close()

    return client


@contextlib.contextmanager
def _running(command: list[str], port: int, log: Path) -> Iterator[None]:
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + _START_SECONDS
        while not _is_ready(port):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(log.read_text(errors="replace"))
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(30)


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def _model_server(model_dir: Path, port: int, log: Path) -> Any:
    command = [sys.executable, "-m", "object2vec", "serve", "--model-dir", str(model_dir)]
    return _running([*command, "--port", str(port)], port, log)


def _torch_service(model_dir: Path, port: int, folder: Path) -> Any:
    from object2vec.inference.predictor import Predictor

    network = Predictor.load(model_dir).network
    weights = {name: value.data().asnumpy() for name, value in network.params.items()}
    np.savez(folder / "weights.npz", **weights)
    command = [sys.executable, "-m", "benchmarks.torch_service", str(folder / "weights.npz")]
    command += [str(port), str(cores())]
    return _running(command, port, folder / "torch.log")


def _check_equal(contestants: dict[str, Callable[[], Any]]) -> None:
    """All contestants must compute the same, and be warm."""
    for instances in (_pairs(MANY), [{"in0": [5]}]):
        answers = []
        for client in contestants.values():
            with client() as ask:
                for _ in range(10):
                    rows = json.loads(ask(_body(instances)))["predictions"]
            answers.append(np.array([next(iter(row.values())) for row in rows]))
        for answer in answers[1:]:
            np.testing.assert_allclose(answer, answers[0], atol=1e-5)


def _measure(
    contestants: dict[str, Callable[[], Any]], rounds: int, requests: int
) -> dict[str, dict[str, list[float]]]:
    """Seconds of requests by measurement and contestant; for ``rate`` instances a second."""
    kinds = {"one pair": _body(_pairs(1)), "one embedding": _body([{"in0": [5]}])}
    many = _body(_pairs(MANY))
    results: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for turn in range(rounds):
        names = list(contestants)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            client = contestants[name]
            for kind, body in kinds.items():
                for clients in (1,) if name == "in process" else (1, 4):
                    seconds, _ = _load(client, body, clients, requests // clients)
                    results[f"{kind}, {clients} client{'s' * (clients > 1)}"][name] += seconds
            for clients in (1,) if name == "in process" else (1, 4):
                count = max(1, requests // 10 // clients)
                _, elapsed = _load(client, many, clients, count)
                rate = count * clients * MANY / elapsed
                results[f"rate, {clients} client{'s' * (clients > 1)}"][name].append(rate)
    return results


def _load(
    client: Callable[[], Any], body: bytes, clients: int, count: int
) -> tuple[list[float], float]:
    seconds: list[float] = []

    def run() -> None:
        with client() as ask:
            for _ in range(count):
                start = time.perf_counter()
                ask(body)
                seconds.append(time.perf_counter() - start)

    threads = [threading.Thread(target=run) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - start
    if len(seconds) != clients * count:
        raise RuntimeError("a client failed; its reason stands above")
    return seconds, elapsed


def _print_table(results: dict[str, dict[str, list[float]]]) -> None:
    for measurement, contestants in results.items():
        print(f"\n{measurement}")
        for name, values in contestants.items():
            if measurement.startswith("rate"):
                print(f"  {name:18} {np.median(values):10,.0f} instances/s, requests of {MANY}")
            else:
                middle, late = 1000 * np.percentile(values, [50, 99])
                print(f"  {name:18} p50 {middle:7.2f} ms   p99 {late:7.2f} ms")
    pair = results["one pair, 1 client"]
    overhead = 1000 * (np.median(pair["model server"]) - np.median(pair["in process"]))
    rates = results["rate, 1 client"]
    share = np.median(rates["model server"]) / np.median(rates["in process"])
    print(f"\noverhead of the model server for one pair: {overhead:.2f} ms (target: below 5)")
    print(f"requests of {MANY}: {share:.0%} of the rate in process (target: at least 60 %)")
