# SPDX-License-Identifier: Apache-2.0
"""Which of MXNet's engines a process runs on, and that its name is not printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from object2vec.backend import engine_type
from object2vec.backend.engine_type import VARIABLE, choose_engine
from object2vec.hyperparameters.checked import Hyperparameters, parse

ROOT = Path(__file__).resolve().parent.parent
SMALL = {"enc0_max_seq_len": 9, "enc0_vocab_size": 30, "enc_dim": 8, "mlp_dim": 5, "_seed": 1}
# Tells of each call of MXNet whether the engine runs it in the calling thread.
PROBE = (
    "import threading\nfrom object2vec.backend import engine\nseen = []\n"
    "engine._run_in_engine(lambda: seen.append(threading.get_ident()))\n"
    "print(seen == [threading.get_ident()])"
)
FD_2 = "import os, sys\nfrom object2vec.backend.mxnet_import import _without_engine_line\n"


def job(network: str, other: str = "enc0") -> Hyperparameters:
    return parse({**SMALL, "enc0_network": network, "enc1_network": other})[0]


def run_python(program: str, engine: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    if engine:
        environment[VARIABLE] = engine
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """As in a process without MXNet, a GPU and the variable."""
    monkeypatch.delitem(sys.modules, "mxnet", raising=False)
    # so that the variable is gone again afterwards
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(engine_type, "NVIDIA_DRIVER", tmp_path / "version")
    return monkeypatch


@pytest.mark.parametrize(
    ("training", "chosen"),
    [
        (None, "NaiveEngine"),
        (job("hcnn"), "NaiveEngine"),
        (job("bilstm"), "NaiveEngine"),
        (job("pooled_embedding", "hcnn"), "NaiveEngine"),
        (job("hcnn", "pooled_embedding"), "NaiveEngine"),
        (job("pooled_embedding"), None),
    ],
    ids=["inference", "hcnn", "bilstm", "pooled and hcnn", "hcnn and pooled", "pooled"],
)
@pytest.mark.usefixtures("fresh")
def test_the_work_decides(training: Hyperparameters | None, chosen: str | None) -> None:
    choose_engine(training)
    assert os.environ.get(VARIABLE) == chosen


def test_the_users_choice_stays(fresh: pytest.MonkeyPatch) -> None:
    fresh.setenv(VARIABLE, "ThreadedEngine")
    choose_engine()
    assert os.environ[VARIABLE] == "ThreadedEngine"


def test_a_gpu_needs_the_engines_threads(fresh: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "version").write_text("NVRM version: 535")
    choose_engine()
    assert VARIABLE not in os.environ


def test_nothing_is_claimed_once_mxnet_runs(fresh: pytest.MonkeyPatch) -> None:
    fresh.setitem(sys.modules, "mxnet", sys)
    choose_engine()
    assert VARIABLE not in os.environ


# Real processes


def write_pairs(path: Path, rng: np.random.Generator) -> str:
    rows = [
        {
            **{side: rng.integers(30, size=rng.integers(1, 9)).tolist() for side in ("in0", "in1")},
            "label": int(rng.integers(2)),
        }
        for _ in range(64)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def command(*arguments: str, engine: str = "") -> tuple[str, str]:
    """What a command writes to standard output and error, with `PROBE`'s line last of the first."""
    program = f"from object2vec.cli import main\nassert main({list(arguments)!r}) == 0\n{PROBE}"
    done = run_python(program, engine)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "start using engine" not in done.stdout + done.stderr
    return done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("network", ["hcnn", "bilstm", "pooled_embedding"])
def test_both_engines_train_and_answer_alike(
    network: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    train = write_pairs(tmp_path / "train.jsonl", rng)
    scores = {}
    for engine in ("", "NaiveEngine", "ThreadedEnginePerDevice"):
        model = str(tmp_path / f"model{engine}")
        settings = {**SMALL, "enc0_network": network, "epochs": 3, "learning_rate": 0.01}
        options = [text for name, value in settings.items() for text in ("-p", f"{name}={value}")]
        said, _ = command(
            "train", "--train", train, "--validation", train, "--model-dir", model, *options,
            engine=engine,
        )  # fmt: skip
        expected = engine == "NaiveEngine" or (not engine and network != "pooled_embedding")
        assert said.splitlines()[-1] == str(expected)
        said, errors = command("predict", "--model-dir", model, "--input", train, engine=engine)
        *lines, probed = said.splitlines()
        assert (probed, errors) == (str(engine != "ThreadedEnginePerDevice"), "")
        scores[engine] = np.array([json.loads(line)["scores"] for line in lines])
    # sums of threads differ in their last digits, and steps of adam carry that on
    for answers in scores.values():
        np.testing.assert_allclose(answers, scores["NaiveEngine"], atol=1e-4)


@pytest.mark.slow
def test_the_python_api_chooses_too(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom object2vec import Object2Vec\n"
        f"pairs = [{{'in0': [i % 30], 'in1': [i % 7, 3], 'label': i % 2}} for i in range(64)]\n"
        "settings = dict(enc0_max_seq_len=9, enc0_vocab_size=30, enc_dim=8, epochs=1)\n"
        f"model = Object2Vec(enc0_network=sys.stdin.readline().strip(), **settings).fit(pairs)\n"
        f"model.save({str(tmp_path)!r})\n{PROBE}"
    )
    for network, is_naive in (("hcnn", True), ("pooled_embedding", False)):
        done = run_python(program, input=network)
        assert (done.returncode, done.stdout) == (0, f"{is_naive}\n"), done.stderr
        assert "start using engine" not in done.stderr
    program = f"from object2vec import Object2Vec\nObject2Vec.load({str(tmp_path)!r})\n{PROBE}"
    done = run_python(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    program = (
        "from object2vec.serving import preflight\n"
        f"preflight._check({str(tmp_path)!r}, None)\n{PROBE}"
    )
    done = run_python(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_a_worker_of_the_model_server_answers_without_other_threads(tmp_path: Path) -> None:
    program = (
        "import runpy\nfrom object2vec.serving import worker\n"
        f"def run(*_, **__): exec({PROBE!r}, {{}})\n"
        f"runpy.run_module = run\nworker.main({str(tmp_path)!r}, 'model', 'digest')"
    )
    done = run_python(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


# Standard error while the engine starts


@pytest.mark.parametrize("engine", ["", "NaiveEngine", "ThreadedEnginePerDevice"])
def test_the_engine_starts_in_silence(engine: str) -> None:
    done = run_python(
        "from object2vec.backend.mxnet_import import mx\nmx.nd.ones(2).asnumpy()", engine
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_else_is_written_meanwhile_comes_through() -> None:
    line = b"[01:02:03] ../src/engine/engine.cc:54: MXNet start using engine: NaiveEngine\n"
    program = (
        f"{FD_2}try:\n    with _without_engine_line():\n        os.write(2, b'one\\n' + {line!r})\n"
        "        os.write(2, b'two')\n        raise KeyError\nexcept KeyError:\n"
        "    os.write(2, b'!\\n')"
    )
    done = run_python(program, "NaiveEngine")
    assert (done.returncode, done.stderr) == (0, "one\ntwo!\n")


def test_no_file_is_left_open() -> None:
    program = (
        f"{FD_2}before = os.listdir('/proc/self/fd')\nwith _without_engine_line(): pass\n"
        "assert os.listdir('/proc/self/fd') == before"
    )
    assert run_python(program, "NaiveEngine").returncode == 0


def test_standard_error_may_be_closed() -> None:
    program = (
        f"import os\nos.close(2)\n{FD_2}from object2vec.backend.mxnet_import import mx\n"
        "print(mx.nd.ones(2).asnumpy().sum())"
    )
    done = run_python(program, "NaiveEngine")
    assert (done.returncode, done.stdout) == (0, "2.0\n")
