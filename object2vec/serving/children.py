# SPDX-License-Identifier: Apache-2.0
"""Child processes that end with this one, and when a signal asks for it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import IO, Optional, Union

from object2vec.serving.stopping import POLL_SECONDS, StopRequest

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends, however that ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def run(
    command: Sequence[str],
    stop: StopRequest,
    *,
    stderr: Union[int, IO, None] = None,
    seconds: Optional[float] = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program in a session of its own, in the folder ``/``, and catch its standard output.

    Parameters
    ----------
    command : sequence of str
    stop : StopRequest
        Looked at meanwhile; the program and what it started is then killed.
    stderr : optional
        As `subprocess.Popen` takes it.
    seconds : float, optional
        How long it may take.

    Raises
    ------
    Stopped, KeyboardInterrupt
        If a signal came.
    subprocess.TimeoutExpired
        After `seconds`.
    OSError
        If the program cannot be started.
    """
    end = None if seconds is None else time.monotonic() + seconds
    process = subprocess.Popen(
        command,
        # the current folder may be gone, and is not to be searched for anything
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                output, errors = process.communicate(timeout=POLL_SECONDS)
                return subprocess.CompletedProcess(command, process.returncode, output, errors)
            stop.check()
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(command, seconds or 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def ending(code: int) -> str:
    """How a process ended, for a sentence.

    Parameters
    ----------
    code : int
        Its return code; negative after a signal.
    """
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"ended by the signal {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"ended by the signal {-code}"
