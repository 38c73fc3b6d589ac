# SPDX-License-Identifier: Apache-2.0
"""A server whose parts are killed, and one that must not start at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Optional

import mms_server
import numpy as np
import psutil
import pytest
import serving_models
from broken_models import file_of, put
from mms_server import MmsServer

from object2vec.serving import native_library

pytestmark = pytest.mark.slow

BODY = json.dumps({"instances": [{"in0": [1, 2], "in1": [3]}] * 200})


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: Any) -> Path:
    return serving_models.train("softmax", tmp_path_factory.mktemp("model") / "model")


@pytest.fixture
def server(model_dir: Path, tmp_path: Path) -> Iterator[MmsServer]:
    with mms_server.serving(model_dir, tmp_path / "log") as running:
        yield running


class Client(threading.Thread):
    """Asks until it is told to stop, and writes down what it got and when."""

    def __init__(self, server: MmsServer) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._ended = threading.Event()
        self.statuses: list[tuple[float, Optional[int], str]] = []

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                response = self._server.invoke(BODY, timeout=60)
                answer = (response.status, response.body[:200].decode())
            except OSError as error:
                answer = (None, repr(error))
            self.statuses.append((time.monotonic(), *answer))

    def stop(self) -> None:
        self._ended.set()
        self.join(60)
        assert not self.is_alive(), "a request hangs"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_worker_costs_the_requests_that_it_had_and_comes_back(
    server: MmsServer, number: int
) -> None:
    clients = [Client(server) for _ in range(4)]
    for client in clients:
        client.start()
    mms_server.wait_for(
        lambda: all(len(client.statuses) > 5 for client in clients), mms_server.PATIENCE, "load"
    )
    (worker,) = server.workers()
    killed = time.monotonic()
    os.kill(worker, number)
    mms_server.wait_for(
        lambda: server.ping() == 503, mms_server.PATIENCE, "/ping tells that no worker is left"
    )
    mms_server.wait_for(lambda: server.ping() == 200, mms_server.PATIENCE, "health")
    healthy = time.monotonic()
    counts = [len(client.statuses) for client in clients]
    mms_server.wait_for(
        lambda: all(len(client.statuses) > count + 5 for client, count in zip(clients, counts)),
        mms_server.PATIENCE,
        "answers after the kill",
    )
    for client in clients:
        client.stop()
    failed = [row for client in clients for row in client.statuses if row[1] != 200]
    answered = sum(len(client.statuses) for client in clients) - len(failed)
    print(
        f"healthy after {healthy - killed:.1f} s; {answered} answered, {len(failed)} failed: "
        f"{[(round(when - killed, 2), status, text) for when, status, text in failed]}"
    )
    # One request was at work; those that waited are answered by the new worker.
    assert len(failed) <= 1
    for when, status, text in failed:
        assert status == 503 and "send the request again" in text and when < healthy
    assert server.workers() != [worker] and len(server.workers()) == 1


@pytest.mark.full
def test_a_worker_that_is_killed_while_it_loads_comes_back_again_and_again(
    server: MmsServer,
) -> None:
    def pipes() -> list[str]:
        java = server.java()
        folders = [Path(java.cwd(), "tmp"), Path("/proc", str(java.pid), "fd")]
        links = [os.readlink(link) for link in folders[1].iterdir() if link.is_symlink()]
        names = [path.name for path in folders[0].iterdir()] + [Path(link).name for link in links]
        return sorted(name[-7:] for name in names if name.endswith(("-stdout", "-stderr")))

    before = mms_server.wait_for(pipes, mms_server.PATIENCE, "the pipes of a worker's output")
    (loaded,) = killed = server.loading_workers()
    os.kill(loaded, signal.SIGKILL)
    for _ in range(8):
        # A pause that grows with each failure would be 21 seconds in the end.
        (loading,) = mms_server.wait_for(
            lambda: [pid for pid in server.loading_workers() if pid not in killed],
            15,
            f"another worker after {len(killed)} were killed",
        )
        os.kill(loading, signal.SIGKILL)
        killed.append(loading)
    assert server.ping() == 503
    assert server.invoke(BODY, timeout=120).status == 200
    # Nothing is kept of those that ended.
    mms_server.wait_for(lambda: pipes() == before, mms_server.PATIENCE, "as many pipes as before")


def test_a_hanging_worker_is_given_up_after_the_timeout(model_dir: Path, tmp_path: Path) -> None:
    environment = {"SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "3"}
    with mms_server.serving(model_dir, tmp_path / "log", environment=environment) as server:
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        mms_server.wait_for(
            lambda: server.ping() == 503, mms_server.PATIENCE, "/ping tells of the stopped worker"
        )
        started = time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            response, waiting = pool.map(lambda _: server.invoke(BODY, timeout=120), range(2))
        if response.status == 503:
            response, waiting = waiting, response
        # One of them never came to a worker.
        assert waiting.status == 503 and waiting.headers["retry-after"] == "1"
        assert "No worker was free for this request in 3 seconds" in waiting.json()["error"]
        assert response.status == 504
        assert "took longer than 3 seconds" in response.json()["error"]
        assert time.monotonic() - started > 2.5
        mms_server.wait_for(
            lambda: worker not in server.loading_workers(),
            mms_server.PATIENCE,
            "the stopped worker's end",
        )
        mms_server.wait_for(lambda: server.ping() == 200, mms_server.PATIENCE, "health")
        # a busy machine may take longer than those three seconds
        mms_server.wait_for(
            lambda: server.invoke(BODY).status == 200, mms_server.PATIENCE, "an answer"
        )


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


@pytest.mark.parametrize(
    ("victim", "number", "exit_code"),
    [
        ("serve", signal.SIGTERM, 0),
        ("serve", signal.SIGINT, 130),
        ("serve", signal.SIGKILL, -signal.SIGKILL),
        ("java", signal.SIGKILL, 3),
        ("java", signal.SIGTERM, 3),
        ("parent of the workers", signal.SIGKILL, 3),
    ],
)
def test_however_the_server_ends_no_process_is_left(
    server: MmsServer, victim: str, number: int, exit_code: int
) -> None:
    processes = server.processes()
    assert len(processes) == 4  # ours, Java, the parent of the workers, one worker
    target = {
        "serve": processes[0],
        "java": server.java(),
        "parent of the workers": psutil.Process(server.workers()[0]).parent(),
    }[victim]
    home = next(argument for argument in server.java().cmdline() if "model_server_home" in argument)
    target.send_signal(number)
    assert server.process.wait(mms_server.PATIENCE) == exit_code
    mms_server.wait_until_gone(processes)
    # the last threads of a killed process may outlive the zombie of its first
    mms_server.wait_for(
        lambda: is_free(server.port), mms_server.GONE_SECONDS, f"port {server.port} free"
    )
    if target.pid != processes[0].pid or number != signal.SIGKILL:
        assert not Path(home.partition("=")[2]).exists()
    text = server.log.read_text()
    assert "Traceback" not in text
    if exit_code == 3:
        reasons = ["Multi Model Server ended", "The process that starts the workers"]
        if number == signal.SIGKILL:
            reasons = reasons[:1] if victim == "java" else reasons[1:]
        # at SIGTERM Java ends that process itself, and either may be seen to end first
        assert any(f"Platform Error: {reason}" in text for reason in reasons), text


def test_the_whole_group_gets_ctrl_c_and_a_second_one_does_not_break_the_stop(
    model_dir: Path, tmp_path: Path
) -> None:
    with mms_server.serving(model_dir, tmp_path / "log") as server:
        processes = server.processes()
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.05)
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGINT)
        assert server.process.wait(mms_server.PATIENCE) == 130
        mms_server.wait_until_gone(processes)


def test_a_stop_during_the_start_leaves_nothing(model_dir: Path, tmp_path: Path) -> None:
    for delay in (0.3, 1.5):
        with mms_server.starting(model_dir, tmp_path / "log") as server:
            time.sleep(delay)
            processes = server.processes()
            code = server.stop()
        assert code in (0, -signal.SIGTERM)  # the latter before the handler is in place
        mms_server.wait_until_gone(processes)


class Refusal:
    """How a start ended."""

    def __init__(self, model_dir: Path, *options: str, **environment: str) -> None:
        port = () if "--port" in options else ("--port", str(mms_server.free_port()))
        started = time.monotonic()
        command = [sys.executable, "-m", "object2vec", "serve", "--model-dir", str(model_dir)]
        self.done = subprocess.run(
            [*command, *port, *options],
            env=mms_server.clean_environment(environment),
            capture_output=True,
            text=True,
            timeout=60,
            cwd=Path(__file__).resolve().parents[1],
        )
        self.seconds = time.monotonic() - started

    def check(self, exit_code: int, *parts: str) -> None:
        text = self.done.stderr
        assert self.done.returncode == exit_code, text
        assert len(text.splitlines()) == 1, text
        for part in parts:
            assert part in text, text


def test_no_model_does_not_start(tmp_path: Path) -> None:
    Refusal(tmp_path).check(1, "Customer Error: ", "holds no model: model.json is missing")
    Refusal(tmp_path / "no").check(1, "holds no model")


def test_the_original_s_model_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "model_algo-1").write_bytes(b"PK")
    Refusal(tmp_path).check(1, "model_algo-1 is a model of Amazon SageMaker's built-in")


def copy_of(model_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_dir, tmp_path / "copy"))


def test_truncated_parameters_do_not_start(model_dir: Path, tmp_path: Path) -> None:
    folder = copy_of(model_dir, tmp_path)
    (file,) = folder.glob("parameters-*.params")
    os.truncate(file, file.stat().st_size - 100)
    Refusal(folder).check(1, file.name, "bytes instead of", "is cut off or")


def test_other_parameters_of_the_same_size_do_not_start(model_dir: Path, tmp_path: Path) -> None:
    folder = copy_of(model_dir, tmp_path)
    (file,) = folder.glob("parameters-*.params")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    Refusal(folder).check(1, file.name, "its SHA-256 differs")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"format_version": 99}, "says format_version 99, but object2vec"),
        ({"format": "other"}, "is not the manifest of an object2vec model"),
    ],
)
def test_another_format_does_not_start(
    model_dir: Path, tmp_path: Path, change: dict[str, Any], part: str
) -> None:
    folder = copy_of(model_dir, tmp_path)
    manifest = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**manifest, **change}))
    Refusal(folder).check(1, part)


def test_weights_that_are_no_numbers_do_not_start(model_dir: Path, tmp_path: Path) -> None:
    folder = copy_of(model_dir, tmp_path)
    content = bytearray(file_of(folder, "parameters").read_bytes())
    content[64:80] = np.full(4, np.nan, np.float32).tobytes()  # in the first table
    put(folder, "parameters", bytes(content))
    Refusal(folder).check(1, "does not give finite numbers")


@pytest.mark.parametrize(
    ("options", "environment", "exit_code", "part"),
    [
        ((), {"INFERENCE_PREFERRED_MODE": "fast"}, 1, "should be classification or embedding"),
        ((), {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "6MB"}, 1, "should be a whole number from 1 to 1024"),
        ((), {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv"}, 1, "application/jsonlines"),
        ((), {"SAGEMAKER_SAFE_PORT_RANGE": "1"}, 1, "two ports such as 1111-2222"),
        (("--workers", "0"), {}, 1, "from 1 to 256, not 0"),
        (("--port", "40000"), {}, 1, "should be from 1 to 32766"),
    ],
)
def test_wrong_settings_do_not_start(
    model_dir: Path, options: tuple, environment: dict, exit_code: int, part: str
) -> None:
    refusal = Refusal(model_dir, *options, **environment)
    refusal.check(exit_code, part)
    # Nothing heavy is needed to see it.
    assert refusal.seconds < 20


def test_a_taken_port_does_not_start(model_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", mms_server.free_port()))
        taken.listen()
        port = taken.getsockname()[1]
        Refusal(model_dir, "--port", str(port)).check(
            3, f"Platform Error: Port {port} of 127.0.0.1 cannot be used: another program listens"
        )


def test_workers_that_cannot_load_end_the_start(model_dir: Path, tmp_path: Path) -> None:
    # The trial run is done with the folder as it is; the workers find it damaged.
    folder = copy_of(model_dir, tmp_path)
    limit = {"SAGEMAKER_STARTUP_TIMEOUT": "12"}
    with mms_server.starting(folder, tmp_path / "log", environment=limit) as server:

        def java_runs() -> bool:
            return any("ModelServer" in mms_server.command_of(p) for p in server.processes())

        mms_server.wait_for(java_runs, mms_server.PATIENCE, "the start of Java")
        (folder / "model.json").unlink()
        processes = server.processes()
        assert server.process.wait(mms_server.PATIENCE) == 3
        text = server.log.read_text()
        assert "No worker was ready after 12 seconds" in text
        assert "holds no model" in text
        mms_server.wait_until_gone(processes)


def _can_mount() -> bool:
    return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


@pytest.fixture
def noexec() -> Iterator[Path]:
    """A folder that `WITHOUT_PROGRAMS` mounts; its path leaves room for sockets."""
    with tempfile.TemporaryDirectory(prefix="nx-", dir="/tmp") as folder:
        yield Path(folder)


# Mounts folders so that nothing in them may be run, up to an argument --, then runs a command.
WITHOUT_PROGRAMS = (
    "unshare",
    "-m",
    "sh",
    "-c",
    'while [ "$1" != -- ]; do mount -t tmpfs -o noexec,mode=755 tmpfs "$1" || exit 9; shift; done; '
    'shift; exec "$@"',
    "sh",
)


@pytest.mark.skipif(not _can_mount(), reason="only root may mount a folder")
def test_a_temporary_folder_without_programs_opens_no_port(
    model_dir: Path, tmp_path: Path, noexec: Path
) -> None:
    # What `docker run --tmpfs /tmp` gives: nothing in it may be run.
    with mms_server.serving(
        model_dir,
        tmp_path / "log",
        environment={"TMPDIR": str(noexec)},
        prefix=(*WITHOUT_PROGRAMS, str(noexec), "--"),
    ) as server:
        home = next(text for text in server.java().cmdline() if "model_server_home" in text)
        assert home.startswith(f"-Dmodel_server_home={noexec}/")
        assert server.invoke(BODY).status == 200
        listening = {
            (connection.laddr[0].replace("::ffff:", ""), connection.laddr[1])
            for process in server.processes()
            for connection in process.net_connections("tcp")
            if connection.status == "LISTEN"
        }
        assert listening == {("127.0.0.1", server.port)}


@pytest.mark.skipif(not _can_mount(), reason="only root may mount a folder")
def test_a_server_that_finds_no_place_for_its_library_is_refused(
    model_dir: Path, tmp_path: Path, noexec: Path
) -> None:
    installed = native_library.INSTALLED
    installed.mkdir(exist_ok=True)
    folders = dict.fromkeys(("TMPDIR", "HOME", "XDG_CACHE_HOME"), str(noexec))
    with mms_server.starting(
        model_dir,
        tmp_path / "log",
        environment=folders,
        prefix=(*WITHOUT_PROGRAMS, str(noexec), str(installed), "--"),
    ) as server:
        assert server.process.wait(mms_server.PATIENCE) == 3
    way, line = server.log.read_text().splitlines()
    assert "The model answers by " in way
    assert "Platform Error: libnetty_transport_native_epoll_" in line and "noexec" in line
    for folder in (noexec / "object2vec", installed):
        assert f"{folder} forbids programs" in line
