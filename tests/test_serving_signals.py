# SPDX-License-Identifier: Apache-2.0
"""Signals that come at any moment of a server's life."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mms_server
import pytest
import serving_models

pytestmark = pytest.mark.slow

# Sends SIGTERM at every single step of the library's code that runs, watches and reaps a child.
_AT_EVERY_STEP = """
import os, signal, subprocess, sys
from object2vec.serving.children import run
from object2vec.serving.stopping import Stopped, noted_signals

LOCKED = {subprocess.Popen._internal_poll.__code__, subprocess.Popen._wait.__code__}

def stopped_at(step):
    seen = 0

    def inside(frame, event, _argument):
        nonlocal seen
        if event == "opcode":
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGTERM)
        return inside

    def enter(frame, event, _argument):
        if frame.f_code in LOCKED:
            frame.f_trace_opcodes = True
            return inside

    with noted_signals() as stop:
        sys.settrace(enter)
        try:
            run(["true"], stop)
        except Stopped:
            pass
        finally:
            sys.settrace(None)
        assert stop.number == signal.SIGTERM or seen < step, (seen, step)
    return seen >= step

steps = 0
for step in range(1, 2000):
    if not stopped_at(step):
        break
    steps += 1
print(steps)
"""


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: Any) -> Path:
    return serving_models.train("softmax", tmp_path_factory.mktemp("model") / "model")


def test_a_signal_inside_any_step_of_the_library_leaves_no_lock_held() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _AT_EVERY_STEP], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30


def test_signals_at_random_moments_end_the_server_and_leave_nothing(
    model_dir: Path, tmp_path: Path, seed: int
) -> None:
    moments = random.Random(seed)
    for number in range(6):
        with mms_server.starting(model_dir, tmp_path / f"log{number}") as server:
            if number == 0:
                server.wait_until_ready()
            time.sleep(moments.uniform(0, 5))
            processes = server.processes()
            for _ in range(moments.randrange(1, 4)):
                server.process.send_signal(signal.SIGTERM)
                time.sleep(moments.uniform(0, 0.3))
            code = server.process.wait(mms_server.PATIENCE)
            text = server.log.read_text()
            # The latter before Python has come to the command; nothing is there then to be stopped.
            assert code == 0 or (code == -signal.SIGTERM and text == ""), text
            assert "Error" not in text and "Traceback" not in text
            mms_server.wait_for(
                lambda found=processes: not mms_server.alive(found),
                mms_server.GONE_SECONDS,
                "all processes gone",
            )


def test_ctrl_c_stays_ignored_in_the_background_and_sigterm_ends_it(
    model_dir: Path, tmp_path: Path
) -> None:
    # What a shell does with `command &`.
    shell = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")
    with mms_server.serving(model_dir, tmp_path / "log", prefix=shell) as server:
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert server.ping() == 200
        processes = server.processes()
        assert server.stop() == 0
        mms_server.wait_until_gone(processes)


def test_a_signal_after_the_end_does_not_change_the_exit_code() -> None:
    # What lies in sys.modules is dropped after Python has given its handlers up.
    program = (
        "import atexit, os, signal, sys, weakref\n"
        "from object2vec.serving.stopping import noted_signals\n"
        "class Last:\n"
        "    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGTERM):\n"
        "        kill(pid, number)\n"
        "sys.modules['last'] = Last()\n"
        "with noted_signals(until_exit=True) as stop:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    assert stop.count == 1\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0
