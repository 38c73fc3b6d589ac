# SPDX-License-Identifier: Apache-2.0
"""Serve a model over HTTP: check it, start the model server, watch it, stop it without orphans."""

from __future__ import annotations

import contextlib
import errno
import http.client
import logging
import os
import signal
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Optional

from object2vec.errors import CustomerError, PlatformError
from object2vec.files import PathLike
from object2vec.logs import LOGGER_NAME
from object2vec.resources import cores, memory_bytes
from object2vec.serving import mms
from object2vec.serving.batch_transform import execution_parameters
from object2vec.serving.children import ending
from object2vec.serving.home import server_home
from object2vec.serving.java import find_java
from object2vec.serving.preflight import Findings, check_model
from object2vec.serving.settings import MEBIBYTE, Settings, check_port
from object2vec.serving.stopping import POLL_SECONDS, Stopped, StopRequest, noted_signals
from object2vec.serving.worker import PID_FILE

_logger = logging.getLogger(LOGGER_NAME)

LOOPBACK = "127.0.0.1"
# How a server that listens everywhere is reached from its own machine.
_OWN_ADDRESSES = {"0.0.0.0": LOOPBACK, "::": "::1"}
_STOP_SECONDS = 5.0
# What a request costs a worker while it is parsed, in bytes for each of its own: 10 and more for
# JSON whose lists are short.
_PARSING_FACTOR = 20
_JAVA_BYTES = 512 * MEBIBYTE
# What MXNet's caches grow to, which keep something for each shape that they meet.
_CACHE_BYTES = 512 * MEBIBYTE


def serve(
    model_dir: PathLike,
    *,
    host: str = LOOPBACK,
    port: Optional[int] = None,
    workers: Optional[int] = None,
    stop: Optional[StopRequest] = None,
) -> int:
    """Serve a model in the foreground until SIGTERM or Ctrl-C.

    Parameters
    ----------
    model_dir : path
        A model directory.
    host : str
        Address to listen on; the machine's own by default.
    port : int, optional
        Default: ``SAGEMAKER_BIND_TO_PORT`` or 8080.
    workers : int, optional
        Python processes. Default: ``SAGEMAKER_MODEL_SERVER_WORKERS``, or as many as cores and
        memory allow.
    stop : StopRequest, optional
        Where signals are noted; by default in handlers that this function sets.

    Returns
    -------
    int
        0, after SIGTERM.

    Raises
    ------
    CustomerError
        If the model, a variable or an option is not sound.
    PlatformError
        If there is no Java, the port is taken, or the server ends by itself.
    KeyboardInterrupt
        After Ctrl-C, when everything is stopped.
    """
    settings = Settings.from_environment(os.environ)
    settings = replace(
        settings,
        port=settings.port if port is None else check_port(port),
        workers=settings.workers if workers is None else _check_workers(workers),
    )
    _check_free(host, settings.port)
    with contextlib.nullcontext(stop) if stop else noted_signals() as stop:
        try:
            java = find_java(stop)
            model_dir = _absolute(model_dir)
            findings = check_model(model_dir, settings.preferred_mode, stop)
            plan = _plan(model_dir, host, settings, findings)
            _run(java, plan, stop)
        except Stopped:
            _logger.info("Stopped.")
    return 0


def _check_workers(workers: int) -> int:
    if not 1 <= workers <= 256:
        raise CustomerError(f"The number of workers should be from 1 to 256, not {workers}.")
    return workers


def _absolute(model_dir: PathLike) -> Path:
    try:
        return Path(model_dir).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CustomerError(
            f"The folder {os.fspath(model_dir)!r} cannot be found from here: {reason}; give its "
            "whole path."
        ) from None


def _check_free(host: str, port: int) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = found[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            reason = "another program listens there; stop it, or take another --port"
        else:
            reason = str(getattr(error, "strerror", None) or error)
        raise PlatformError(f"Port {port} of {host} cannot be used: {reason}.") from None


def _plan(model_dir: Path, host: str, settings: Settings, findings: Findings) -> mms.Plan:
    available = cores()
    workers = settings.workers or _fitting_workers(available, settings, findings)
    _logger.log(logging.WARNING if findings.is_fallback else logging.INFO, "%s", findings.way)
    if not findings.complete:
        _logger.warning("The model was saved before its first epoch ended; its answers are poor.")
    return mms.Plan(
        model_dir,
        host,
        settings,
        workers,
        available,
        findings.gpus,
        execution_parameters(
            workers,
            settings.payload_bytes,
            settings.answer_bytes,
            findings.enc_dim,
            findings.scores,
            raw_values=findings.takes_raw_values,
        ),
        findings.digest,
    )


def _fitting_workers(available: int, settings: Settings, findings: Findings) -> int:
    """As many workers as there are cores, or GPUs, and as fit into memory."""
    request = _PARSING_FACTOR * settings.payload_bytes + settings.answer_bytes
    each = findings.memory_bytes + _CACHE_BYTES + request
    java = _JAVA_BYTES + 3 * settings.answer_bytes
    fitting = max(0, memory_bytes() - java) // each
    return max(1, min(findings.gpus or available, fitting))


def _run(java: str, plan: mms.Plan, stop: StopRequest) -> None:
    with server_home() as home:
        _run_in(home, java, plan, stop)


def _run_in(home: Path, java: str, plan: mms.Plan, stop: StopRequest) -> None:
    process: Optional[subprocess.Popen] = None
    try:
        process = mms.start(java, home, plan)
        _wait_until_healthy(process, plan, stop)
        _logger.info(
            "Serving %s on http://%s:%d/invocations with %d workers; requests up to %d MB, answers "
            "up to %d MB.",
            plan.model_dir,
            f"[{plan.host}]" if plan.is_ipv6 else plan.host,
            plan.settings.port,
            plan.workers,
            plan.settings.payload_bytes // MEBIBYTE,
            plan.settings.answer_bytes // MEBIBYTE,
        )
        try:
            raise PlatformError(_watch(process, home / PID_FILE, stop))
        except Stopped:
            _drain(process, plan.settings.drain_seconds, stop)
            raise
    finally:
        if process is not None:
            _stop(process)


def _watch(process: subprocess.Popen, pid_file: Path, stop: StopRequest) -> str:
    """Wait until the server cannot go on, and say why.

    The server starts dead workers again, but not the process that forks them.
    """
    forking = Path("/proc", pid_file.read_text(encoding="ascii"))
    while forking.exists() and process.poll() is None:
        stop.pause()
    stop.check()
    if process.poll() is not None:
        return _ended(process.returncode)
    return f"The process that starts the workers ({forking.name}) was killed."


def _wait_until_healthy(process: subprocess.Popen, plan: mms.Plan, stop: StopRequest) -> None:
    end = time.monotonic() + plan.settings.startup_seconds
    host = _OWN_ADDRESSES.get(plan.host, plan.host)
    while time.monotonic() < end:
        stop.pause()
        if process.poll() is not None:
            raise PlatformError(_ended(process.returncode))
        if _ping(host, plan.settings.port) == http.client.OK:
            return
    raise PlatformError(
        f"No worker was ready after {plan.settings.startup_seconds} seconds; the log above has the "
        "reason, and SAGEMAKER_STARTUP_TIMEOUT allows for more time."
    )


def _ping(host: str, port: int) -> Optional[int]:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _ended(code: int) -> str:
    return f"Multi Model Server {ending(code)} by itself; the log above has the reason."


def _drain(process: subprocess.Popen, seconds: float, stop: StopRequest) -> None:
    """Let the server end by itself, when the requests that it has are answered.

    A second signal ends the wait.
    """
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.write(b"drain\n")
        process.stdin.flush()
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end and stop.count < 2:
        time.sleep(POLL_SECONDS)


def _stop(process: subprocess.Popen) -> None:
    """End the server and everything that it started; all of it is in the server's group."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
