# SPDX-License-Identifier: Apache-2.0
"""The package leaves the process that uses it as it was, and what is forked from that computes.

Everything happens in real processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Optional

import pytest

from tests.commands import BARE

ROOT = Path(__file__).resolve().parent.parent
ENGINES = ("ThreadedEnginePerDevice", "NaiveEngine")

STATE = """
import ctypes, os, sys

library, hooks = ctypes.CDLL(None), []
register = os.register_at_fork

def note(**functions):
    hooks.append(sys._getframe(1).f_globals["__name__"])
    register(**functions)

os.register_at_fork = note
import numpy as np
# MXNet imports it where it is installed, and it sets variables of its own
import sklearn.base
gomp, libm = ctypes.CDLL("libgomp.so.1"), ctypes.CDLL("libm.so.6")
calls = os.memfd_create("calls")

def state():
    names = ctypes.POINTER(ctypes.c_char_p).in_dll(library, "environ")
    ends = iter(range(10_000))
    environment = list(iter(lambda: names[next(ends)], None))
    descriptors = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            descriptors[number] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:  # that of the listing
            pass
    registers = (ctypes.c_uint32 * 8)()
    libm.fegetenv(registers)
    return {
        "os.environ": dict(os.environ),
        "environ": environment,
        "descriptors": descriptors,
        "threads": gomp.omp_get_max_threads(),
        "mxcsr": registers[7] & ~0x3F,  # without the flags of what was computed
        "numpy.bool": "bool" in vars(np),
        "folder": os.getcwd(),
    }

def check(when, before):
    after = state()
    for name, value in before.items():
        assert after[name] == value, (when, name, value, after[name])
    told = os.pread(calls, 10_000, 0).decode().split()
    assert not told, (when, told)

SETTINGS = dict(enc0_max_seq_len=9, enc0_vocab_size=30, enc_dim=16, epochs=1, seed=1)
PAIRS = [{"in0": [i % 30], "in1": [i % 7, 3], "label": i % 2} for i in range(64)]
"""

LEAVING = (
    STATE
    + """
import importlib, logging, pkgutil, tempfile, warnings
logging.getLogger()
library.host_watch(calls)
warnings.simplefilter("ignore")
before = state()
import object2vec
from object2vec import Object2Vec
check("import", before)
for network in sys.argv[1:]:
    model = Object2Vec(enc0_network=network, **SETTINGS).fit(PAIRS)
    check(f"fit {network}", before)
    model.predict(PAIRS * 40), model.embed(in0=[[1, 2], [3]])
    check(f"predict {network}", before)
with tempfile.TemporaryDirectory() as folder:
    model.save(folder)
    Object2Vec.load(folder).predict(PAIRS)
check("load", before)
ours = [name for name in hooks if name.startswith("object2vec")]
# the one that keeps a fork and a computing thread from waiting for each other for ever
assert ours == ["object2vec.backend.engine"], hooks
library.host_watch(-1)
print("left alone")
"""
)

IMPORTING = (
    STATE
    + """
import importlib, pkgutil, object2vec
library.host_watch(calls)
before = state()
for module in pkgutil.walk_packages(object2vec.__path__, "object2vec."):
    if not module.name.endswith(("__main__", "_kernels")):
        importlib.import_module(module.name)
check("import", before)
assert "mxnet" in sys.modules
assert not [name for name in hooks if name.startswith("object2vec")], hooks
print("left alone")
"""
)


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The compiled `host_watch.c`, to be preloaded."""
    library = tmp_path_factory.mktemp("watch") / "host_watch.so"
    source = Path(__file__).with_name("host_watch.c")
    command = [os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O2", source, "-o", library, "-ldl"]
    subprocess.run(list(map(str, command)), check=True)
    return str(library)


def run_python(program: str, *arguments: str, **variables: str) -> str:
    """What a program prints in a process without variables of MXNet's and OpenMP's but these.

    How long threads spin stays as it is here, or they take five times as much of the CPUs.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MXNET_", "OMP_", "OPENBLAS_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_change_would_be_seen(watch: str) -> None:
    changes = (
        "os.environ['SOME'] = 'thing'",
        "os.dup2(os.dup(2), 2)",
        "gomp.omp_set_num_threads(1 + gomp.omp_get_max_threads())",
        "library.mallopt(-8, 1)",  # the last, for what it is told is kept
    )
    program = f"{STATE}\nlibrary.host_watch(calls)\nbefore = state()\ncheck('now', before)\n"
    for change in changes:
        program += f"{change}\ntry: check('now', before)\n"
        program += "except AssertionError: print('seen')\nbefore = state()\n"
    assert run_python(program, LD_PRELOAD=watch) == "seen\n" * len(changes)


@pytest.mark.slow
def test_no_module_changes_its_process_when_it_is_imported(watch: str) -> None:
    assert run_python(IMPORTING, LD_PRELOAD=watch) == "left alone\n"


@pytest.mark.slow
@pytest.mark.both_ways
@pytest.mark.parametrize("networks", [("pooled_embedding",), ("hcnn", "bilstm")])
def test_fit_and_load_leave_their_process_as_it_was(watch: str, networks: tuple[str, ...]) -> None:
    assert run_python(LEAVING, *networks, LD_PRELOAD=watch) == "left alone\n"


@pytest.mark.slow
def test_a_list_of_threads_is_refused_before_mxnet_ends_the_process() -> None:
    program = (
        "from object2vec import CustomerError\n"
        "try: import object2vec.backend.mxnet_import\n"
        "except CustomerError as error: print(error)"
    )
    said = run_python(program, OMP_NUM_THREADS="2,1")
    assert said.splitlines() == [
        "OMP_NUM_THREADS=2,1 cannot be read by MXNet, which takes a single number: set "
        "OMP_NUM_THREADS=2."
    ]
    assert "blanks alone" in run_python(program, OMP_NUM_THREADS=" ")
    assert run_python(program, OMP_NUM_THREADS="") == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("MXNET_ENGINE_TYPE", "", "should be NaiveEngine, ThreadedEngine or ThreadedEnginePer"),
        ("MXNET_ENGINE_TYPE", "naive", "should be NaiveEngine, ThreadedEngine or ThreadedEngine"),
        ("MXNET_CPU_WORKER_NTHREADS", "x", "should be a whole number from 1 to 1024"),
        ("MXNET_CPU_WORKER_NTHREADS", "0", "should be a whole number from 1 to 1024"),
        ("MXNET_MKLDNN_CACHE_NUM", "x", "should be a whole number from -1 to 999999999"),
        ("MXNET_MKLDNN_CACHE_NUM", "-1", None),
        ("MXNET_MKLDNN_CACHE_NUM", "", None),
    ],
)
def test_what_mxnet_would_die_of_is_refused(name: str, value: str, advice: Optional[str]) -> None:
    program = (
        "from object2vec import CustomerError\n"
        "try: import object2vec.backend.mxnet_import\n"
        "except CustomerError as error: print(error)"
    )
    said = run_python(program, **{name: value})
    expected = "" if advice is None else f"{name}={value!r} {advice}"
    assert said.startswith(expected) and said.count("\n") == (advice is not None)


FORKED = """
import multiprocessing, os, signal, subprocess, sys, tempfile, warnings
warnings.simplefilter("ignore")
import numpy as np
from object2vec import CustomerError, Object2Vec
from object2vec.backend import engine
from object2vec.backend.mxnet_import import mx

settings = dict(enc0_max_seq_len=9, enc0_vocab_size=30, enc_dim=64, epochs=1, seed=1)
pairs = [{"in0": [i % 30, 1, 2], "in1": [i % 7, 3], "label": i % 2} for i in range(128)]
many = pairs * 10  # work for several threads: 3e7 operations are enough

def fitted():
    return Object2Vec(enc0_network=sys.argv[1], **settings).fit(pairs)

model = fitted()
expected = model.predict(many)
folder = tempfile.mkdtemp()
model.save(folder)

def same(other):
    # a child may have fewer threads, whose sums differ in their last digits
    return bool(np.allclose(other.predict(many), expected, atol=1e-4))

def refuses_gpus():
    try:
        engine.check_devices([mx.gpu(0)])
    except CustomerError as error:
        return "spawn" in str(error)

works = {
    "predict": lambda: same(model),
    "embed": lambda: model.embed(in0=[[1], [2, 3]]).shape == (2, 64),
    "load": lambda: same(Object2Vec.load(folder)),
    "fit": lambda: same(fitted()),
    "gpu": refuses_gpus,
}

def answer(name):
    signal.alarm(60)
    return bool(works[name]())

for name in works:
    child = os.fork()
    if not child:
        os._exit(0 if answer(name) else 3)
    code = os.waitpid(child, 0)[1]
    assert code == 0, (name, code)
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map_async(answer, [*works] * 2).get(100) == [True] * 2 * len(works)
preexec = lambda: answer("predict") or os._exit(3)
subprocess.run(["true"], preexec_fn=preexec, check=True, timeout=60)
assert same(model) and same(fitted())
print("all answered")
"""


@pytest.mark.slow
@pytest.mark.both_ways
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("network", ["hcnn", "bilstm"])
def test_what_is_forked_after_fit_computes(engine: str, network: str) -> None:
    said = run_python(BARE + FORKED, network, MXNET_ENGINE_TYPE=engine, OMP_NUM_THREADS="2")
    assert said == "all answered\n"


@pytest.mark.slow
@pytest.mark.both_ways
def test_what_is_forked_computes_where_no_variable_is_set() -> None:
    assert run_python(BARE + FORKED, "pooled_embedding") == "all answered\n"
