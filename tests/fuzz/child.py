# SPDX-License-Identifier: Apache-2.0
"""The process in which a target's inputs are checked, so that its death can be seen."""

from __future__ import annotations

import logging
import resource
import signal
import tempfile
import time
import traceback
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Optional

from .target import Target, Wrong, kind_of

ACCEPTED, REFUSED, FAILED = "accepted", "refused", "failed"
_MEMORY_BYTES = 6 << 30
_PREPARE_SECONDS = 120


@dataclass(frozen=True)
class Outcome:
    """What became of an input.

    Parameters
    ----------
    state : str
        `ACCEPTED`, `REFUSED` or `FAILED`.
    kind : str
        What failed, the same words for all inputs that fail alike.
    detail : str
        The traceback.
    seconds : float
        How long it took.
    data : bytes, optional
        What to keep instead of the input.
    """

    state: str
    kind: str = ""
    detail: str = ""
    seconds: float = 0.0
    data: Optional[bytes] = None


def outcome_of(target: Target, data: bytes) -> Outcome:
    """Check an input in this process."""
    start = time.perf_counter()
    kind = detail = ""
    kept = None
    try:
        state = ACCEPTED if target.check(data) else REFUSED
    except BaseException as error:
        state, kind, detail = FAILED, kind_of(error), "".join(traceback.format_exc())
        if isinstance(error, Wrong):
            kept = error.data
            detail = f"{error.detail}\n\n{detail}"
    return Outcome(state, kind, detail, time.perf_counter() - start, kept)


class Child:
    """Checks inputs in a child process; a new one takes the place of one that died.

    Parameters
    ----------
    target : Target
        Handed over as it is before `Target.prepare`.
    bound : float
        Seconds that an input may take.
    """

    def __init__(self, target: Target, bound: float) -> None:
        self._target = target
        self._bound = bound

    def __enter__(self) -> Child:
        self._start()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._end()

    def check(self, data: bytes) -> Outcome:
        """Check an input; a death or a wait that is too long is an outcome, too."""
        start = time.perf_counter()
        try:
            self._connection.send_bytes(data)
            if self._connection.poll(self._bound):
                return self._connection.recv()
        except (EOFError, OSError):
            self._process.join(60)
            code = self._process.exitcode
            signalled = code is not None and code < 0
            how = f"signal {signal.Signals(-code).name}" if signalled else f"exit code {code}"
            kind = f"the process died with {how}"
        else:
            kind = f"no end after {self._bound:.0f} seconds"
        seconds = time.perf_counter() - start
        self._end()
        self._start()
        return Outcome(FAILED, kind, "", seconds)

    def _start(self) -> None:
        context = get_context("spawn")
        self._connection, there = context.Pipe()
        # Of this process, which is there to remove it when the child is not.
        self._folder = tempfile.TemporaryDirectory(prefix="object2vec-fuzz-")
        arguments = (self._target, Path(self._folder.name), there)
        self._process = context.Process(target=_work, args=arguments, daemon=True)
        self._process.start()
        there.close()
        if not self._connection.poll(_PREPARE_SECONDS):
            self._end()
            raise TimeoutError(f"{self._target.name} was not ready in {_PREPARE_SECONDS} seconds")
        self._connection.recv()

    def _end(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.join()
        self._folder.cleanup()


def _work(target: Target, folder: Path, connection: Connection) -> None:
    # The parent ends this process; Ctrl-C reaches both.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    logging.disable(logging.INFO)
    logging.getLogger().addHandler(logging.NullHandler())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    target.prepare(folder)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    connection.send("ready")
    while True:
        try:
            data = connection.recv_bytes()
        except EOFError:
            return
        connection.send(outcome_of(target, data))
