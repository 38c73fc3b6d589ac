# SPDX-License-Identifier: Apache-2.0
"""A training job's threads end with it; threads that compute at once, and forks."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from object2vec.backend import engine
from object2vec.backend.mxnet_import import mx
from object2vec.backend.openmp import threads_of_caller
from tests.commands import BARE

ROOT = Path(__file__).resolve().parent.parent
ONE, TWO = [mx.cpu(0)], [mx.cpu(0), mx.cpu(1)]


def threads_of_operators() -> int:
    """What OpenMP tells in the engine's own thread."""
    gomp, seen = ctypes.CDLL("libgomp.so.1"), []
    engine._run_in_engine(lambda: seen.append(gomp.omp_get_max_threads()))
    return int(seen[0])


@pytest.mark.parametrize(
    ("operations", "contexts", "threads"),
    [
        (5e8, ONE, lambda usual: 1),
        (1e9, ONE, lambda usual: threads_of_caller()),
        (math.inf, ONE, lambda usual: threads_of_caller()),
        (1e8, TWO, lambda usual: usual),
    ],
    ids=["small", "large", "endless", "two devices"],
)
def test_a_small_step_has_one_thread_and_a_large_one_all(
    operations: float, contexts: list[object], threads: Callable[[int], int]
) -> None:
    usual, own = threads_of_operators(), threads_of_caller()
    expected = threads(usual)
    with engine.tuned_for(operations, contexts):
        assert threads_of_operators() == expected
    assert (threads_of_operators(), threads_of_caller()) == (usual, own)


def test_threads_come_back_after_an_error() -> None:
    usual, own = threads_of_operators(), threads_of_caller()
    with pytest.raises(ZeroDivisionError), engine.tuned_for(1.0, ONE):
        raise ZeroDivisionError
    assert (threads_of_operators(), threads_of_caller()) == (usual, own)


def run_naive(program: str) -> str:
    """What a process prints whose operators run in the thread that calls them."""
    done = subprocess.run(
        [sys.executable, "-c", BARE + program],
        cwd=ROOT,
        env={**os.environ, "MXNET_ENGINE_TYPE": "NaiveEngine", "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # MXNet tells of an engine that a variable chooses
    said = [line for line in done.stderr.splitlines() if "MXNet start using engine" not in line]
    assert (done.returncode, said) == (0, []), done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.both_ways
def test_the_calling_threads_settings_come_back() -> None:
    program = (
        "import ctypes\nfrom object2vec.backend import engine\n"
        "from object2vec.backend.mxnet_import import mx\n"
        "count = ctypes.CDLL('libgomp.so.1').omp_get_max_threads\nprint(count())\n"
        "with engine.tuned_for(1.0, [mx.cpu(0)]): print(count())\n"
        "with engine.tuned_for(1e12, [mx.cpu(0)]): print(count())\n"
        "print(count())"
    )
    assert run_naive(program).split() == ["2", "1", "2", "2"]


@pytest.mark.slow
@pytest.mark.both_ways
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the mode is set on x86-64 alone")
def test_denormals_are_flushed_in_threads_that_a_fork_started_anew() -> None:
    program = (
        "import os\nimport numpy as np\nfrom object2vec.backend import engine\n"
        "from object2vec.backend.mxnet_import import mx\n"
        "child = os.fork()\n"
        "if not child: os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "small, factors = mx.nd.full((512, 512), 1e-30), mx.nd.full((512, 512), 1e-10)\n"
        "with engine.tuned_for(1e12, [mx.cpu(0)]):\n"
        "    print(np.count_nonzero(mx.nd.dot(small, factors).asnumpy()))"
    )
    environment = {name: os.environ[name] for name in os.environ if name != "MXNET_ENGINE_TYPE"}
    done = subprocess.run(
        [sys.executable, "-c", BARE + program],
        cwd=ROOT,
        env={**environment, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


@pytest.mark.slow
@pytest.mark.both_ways
def test_small_requests_take_one_thread() -> None:
    """Whatever happens in it; between requests everybody has all threads."""
    program = (
        "import ctypes\nfrom object2vec.backend import engine\n"
        "count = ctypes.CDLL('libgomp.so.1').omp_get_max_threads\n"
        "for operations in (1e7, 1e8):\n"
        "    with engine.answering(operations): print(count())\n"
        "try:\n"
        "    with engine.answering(1.0): raise KeyError\n"
        "except KeyError: print(count())"
    )
    assert run_naive(program).split() == ["1", "2", "2"]


def test_requests_wait_for_each_other() -> None:
    entered, order = threading.Event(), []

    def ask() -> None:
        entered.set()
        with engine.answering(1.0):
            order.append("second")

    other = threading.Thread(target=ask)
    with engine.answering(1.0):
        other.start()
        entered.wait(10)
        other.join(0.2)
        order.append("first")
    other.join(10)
    assert order == ["first", "second"]


@pytest.mark.slow
@pytest.mark.both_ways
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the mode is set on x86-64 alone")
def test_denormals_are_flushed_in_the_caller_while_it_trains() -> None:
    # all threads of an operator have met some numbers before, as in the start of a training
    program = (
        "import numpy as np\nfrom object2vec.backend import engine\n"
        "from object2vec.backend.mxnet_import import mx\n"
        "small, factors = mx.nd.full((512, 512), 1e-30), mx.nd.full((512, 512), 1e-10)\n"
        "def left(): return np.count_nonzero(mx.nd.dot(small, factors).asnumpy())\n"
        "print(left())\n"
        "with engine.tuned_for(1e12, [mx.cpu(0)]): print(left())\n"
        "print(left())"
    )
    everything = str(512 * 512)
    assert run_naive(program).split() == [everything, "0", everything]


@pytest.mark.slow
@pytest.mark.both_ways
@pytest.mark.parametrize("preexec", [False, True], ids=["fork", "subprocess"])
def test_a_process_may_fork_after_it_has_computed(preexec: bool) -> None:
    fork = (
        "import subprocess\nsubprocess.run(['true'], preexec_fn=work, check=True)"
        if preexec
        else "import os\npid = os.fork()\nif not pid: work() or os._exit(0)\nos.waitpid(pid, 0)"
    )
    program = (
        "from object2vec.backend import engine\nfrom object2vec.backend.mxnet_import import mx\n"
        "ones = mx.nd.ones((512, 512))\n"
        "def work():\n"
        "    with engine.one_at_a_time:\n"
        "        print(mx.nd.dot(ones, ones * 2)[0, 0].asscalar(), flush=True)\n"
        f"work()\n{fork}\nwork()"
    )
    assert run_naive(program).split() == ["1024.0"] * 3


@pytest.mark.slow
@pytest.mark.both_ways
def test_threads_that_ask_at_once_get_their_own_answers() -> None:
    program = (
        "import threading\nimport numpy as np\n"
        "from tests.small_jobs import random_pairs, settings\n"
        "from object2vec.model.network import Object2VecNetwork\n"
        "from object2vec.inference.predictor import Predictor\n"
        "from object2vec.backend.mxnet_import import mx\n"
        "rng = np.random.default_rng(1)\nasked = []\n"
        "for network in ('hcnn', 'bilstm'):\n"
        "    net = Object2VecNetwork(settings(enc0_network=network, enc_dim=64, mlp_dim=50))\n"
        "    net.initialize([mx.cpu()])\n    net.hybridize()\n"
        "    model, pairs = Predictor(net), random_pairs(rng, 100)\n"
        "    asked.append((model, pairs, model.scores(pairs.in0, pairs.in1)))\n"
        "def ask(model, pairs, expected):\n"
        "    for _ in range(30):\n"
        "        if not np.allclose(model.scores(pairs.in0, pairs.in1), expected, atol=1e-6):\n"
        "            print('another answer')\n"
        "threads = [threading.Thread(target=ask, args=one) for one in asked * 2]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
        "print('done')"
    )
    assert run_naive(program) == "done\n"


FORKING = """
import logging, os, sys, tempfile, threading, time
logging.disable(logging.CRITICAL)
sys.path.insert(0, sys.argv[2])
import numpy as np
from small_jobs import random_pairs, settings
from object2vec.model.model_directory import save_model
from object2vec.inference.predictor import Predictor
from object2vec.training.loop import train

pairs = random_pairs(np.random.default_rng(1), 120)
given = settings(enc0_network="bilstm", mini_batch_size=8, epochs=1)
predictor = train(given, pairs).predictor
expected = predictor.scores(pairs.in0, pairs.in1)
with tempfile.TemporaryDirectory() as folder:
    save_model(folder, predictor.network)
    works = {"train": lambda: train(given, pairs).predictor, "load": lambda: Predictor.load(folder)}
    stop = threading.Event()
    wrong = []

    def work():
        while not stop.is_set():
            other = works[sys.argv[1]]()
            if not np.array_equal(other.scores(pairs.in0, pairs.in1), expected):
                wrong.append(other)

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(int(sys.argv[3])):
        child = os.fork()
        if not child:
            os._exit(int(not np.array_equal(predictor.scores(pairs.in0, pairs.in1), expected)))
        assert os.waitpid(child, 0)[1] == 0
        time.sleep(0.001)
    stop.set()
    thread.join()
    assert not wrong
"""


@pytest.mark.slow
@pytest.mark.parametrize(("work", "forks"), [("train", 20), ("load", 100)])
def test_a_process_may_fork_while_another_thread_works(work: str, forks: int) -> None:
    # the backward pass of an LSTM is a function in Python; loading runs many short operators
    command = [sys.executable, "-c", BARE + FORKING, work, str(Path(__file__).parent), str(forks)]
    environment = {**os.environ, "MXNET_ENGINE_TYPE": "ThreadedEnginePerDevice"}
    subprocess.run(command, env=environment, check=True, timeout=240)


@pytest.mark.slow
@pytest.mark.both_ways
def test_a_fork_hides_no_error_of_an_operator() -> None:
    program = (
        "import os\nfrom object2vec.compiled.kernels import check_queued\n"
        "from object2vec.backend.mxnet_import import mx\n"
        "from object2vec.backend.engine import one_at_a_time\n"
        "with one_at_a_time: mx.nd.random.normal(scale=-1, shape=(2,))\n"
        "if not os.fork(): os._exit(0)\nos.wait()\ncheck_queued()"
    )
    environment = {**os.environ, "MXNET_ENGINE_TYPE": "ThreadedEnginePerDevice"}
    done = subprocess.run(
        [sys.executable, "-c", BARE + program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "MXNetError" in done.stderr and "scale parameter" in done.stderr, done.stderr
