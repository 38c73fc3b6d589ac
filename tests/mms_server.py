# SPDX-License-Identifier: Apache-2.0
"""Starts a real model server for a test, as a user would, and asks it over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import psutil

JSON = "application/json"
JSON_LINES = "application/jsonlines"
START_SECONDS = 90
# What is waited for comes within a second or two, on a busy machine within many.
PATIENCE = 60
# A process that a server leaves behind is not to be waited for as long.
GONE_SECONDS = 25
ROOT = Path(__file__).resolve().parents[1]
MODULE = (sys.executable, "-m", "object2vec")
CONSOLE_SCRIPT = (str(Path(sys.executable).with_name("object2vec")),)
_OURS = ("SAGEMAKER_", "INFERENCE_PREFERRED_MODE", "OBJECT2VEC_", "OMP_")


@dataclass(frozen=True)
class Response:
    """Status, headers (lower case) and body of an answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def free_port() -> int:
    """A port that nobody has, below those that the system hands out to clients."""
    for _ in range(100):
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port was found")


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true value of `condition`, or an AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not after {seconds} seconds: {what}")


def clean_environment(extra: Optional[Mapping[str, str]] = None) -> dict[str, str]:
    """This process's environment without the variables that serving reads, and with `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return {**kept, **(extra or {})}


def foreground_signals() -> None:
    """Undo, in a child, that a shell ignores SIGINT for what it starts in the background."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class MmsServer:
    """``object2vec serve`` in a process of its own."""

    def __init__(
        self,
        model_dir: Path,
        log: Path,
        *,
        workers: int = 1,
        environment: Optional[Mapping[str, str]] = None,
        prefix: tuple[str, ...] = (),
        command: Sequence[str] = MODULE,
        cwd: Path = ROOT,
        host: str = "127.0.0.1",
    ) -> None:
        self.port = free_port()
        self.host = host
        self.log = log
        command = [*prefix, *command, "serve", "--model-dir", str(model_dir), "--host", host]
        command += ["--port", str(self.port), "--workers", str(workers)]
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                command,
                stdout=stream,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=clean_environment(environment),
                cwd=cwd,
                preexec_fn=foreground_signals,
            )

    def wait_until_ready(self) -> None:
        """Wait for the line that says so."""

        def ready() -> bool:
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            return b"/invocations with" in self.log.read_bytes()

        wait_for(ready, START_SECONDS, f"the server's start\n{self.log.read_text()}")
        wait_for(
            lambda: len(self.workers()) == len(self.loading_workers()),
            PATIENCE,
            "all workers loaded",
        )

    def get(self, path: str, method: str = "GET", body: Optional[bytes] = None) -> Response:
        return self.send(method, path, body, {})

    def invoke(
        self,
        body: Union[str, bytes],
        content_type: Optional[str] = JSON,
        accept: Optional[str] = None,
        timeout: float = 120,
    ) -> Response:
        headers = {"Content-Type": content_type, "Accept": accept}
        given = {name: value for name, value in headers.items() if value is not None}
        data = body.encode() if isinstance(body, str) else body
        return self.send("POST", "/invocations", data, given, timeout)

    def send(
        self,
        method: str,
        path: str,
        body: Optional[bytes],
        headers: Mapping[str, str],
        timeout: float = 120,
    ) -> Response:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Response(answer.status, found, answer.read())
        finally:
            connection.close()

    def ping(self) -> Optional[int]:
        try:
            return self.get("/ping").status
        except (OSError, http.client.HTTPException):
            return None

    def processes(self) -> list[psutil.Process]:
        """All processes of the server, itself first."""
        with contextlib.suppress(psutil.NoSuchProcess):
            own = psutil.Process(self.process.pid)
            return [own, *own.children(recursive=True)]
        return []

    def java(self) -> psutil.Process:
        return next(process for process in self.processes() if "ModelServer" in command_of(process))

    def loading_workers(self) -> list[int]:
        """Process ids of the Python workers that answer, or will."""
        parents = [process for process in self.processes() if _is_worker(process)]
        known = {process.pid for process in parents}
        found = []
        for process in alive(parents):
            with contextlib.suppress(psutil.NoSuchProcess):  # it may end meanwhile
                if process.ppid() in known:
                    found.append(process.pid)
        return sorted(found)

    def workers(self) -> list[int]:
        """Process ids of the Python workers that load the model with MXNet, or have loaded it."""
        return [pid for pid in self.loading_workers() if "libmxnet" in _maps_of(pid)]

    def wait_for_all_workers(self, count: int, seconds: float = PATIENCE) -> list[int]:
        """Wait until all workers have loaded the model, as they then rest; their process ids."""

        def rest() -> bool:
            times = [self._cpu_seconds(pid) for pid in self.workers()]
            time.sleep(1.5)
            return len(times) == count and times == [
                self._cpu_seconds(pid) for pid in self.workers()
            ]

        wait_for(rest, seconds, f"{count} workers at rest")
        return self.workers()

    @staticmethod
    def _cpu_seconds(pid: int) -> Optional[float]:
        """None for a process that ended meanwhile."""
        with contextlib.suppress(psutil.NoSuchProcess):
            used = psutil.Process(pid).cpu_times()
            return used.user + used.system
        return None

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop the server and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; a zombie does not."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def wait_until_gone(processes: list[psutil.Process]) -> None:
    """Wait until none of the processes runs."""
    wait_for(lambda: not alive(processes), GONE_SECONDS, "all processes gone")


@contextlib.contextmanager
def starting(model_dir: Path, log: Path, **options: Any) -> Iterator[MmsServer]:
    """A server that may not be ready yet, with the options of `MmsServer`; killed if a test fails
    before it ended."""
    server = MmsServer(model_dir, log, **options)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            _end(server)


def _end(server: MmsServer) -> None:
    processes = server.processes()
    try:
        server.stop()
    except subprocess.TimeoutExpired:
        for process in alive(processes):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        server.process.wait()


@contextlib.contextmanager
def serving(model_dir: Path, log: Path, **options: Any) -> Iterator[MmsServer]:
    """A server that is ready, with the options of `MmsServer`, and stopped at the end."""
    with starting(model_dir, log, **options) as server:
        server.wait_until_ready()
        yield server


def command_of(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _maps_of(pid: int) -> str:
    """The files that a process has mapped; nothing of one that ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/maps").read_text()
    return ""


def _is_worker(process: psutil.Process) -> bool:
    return "/worker.py --sock-type" in command_of(process)
