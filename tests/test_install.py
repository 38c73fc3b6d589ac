# SPDX-License-Identifier: Apache-2.0
"""The wheel and the sdist in empty environments of several Pythons, used as a user uses them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
import pytest

import object2vec
from tests.mms_server import serving

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.9", "3.10", "3.11", "3.12")
# Looked for without being named; 3.10 lies between its neighbours, and each takes half a minute.
LOOKED_FOR = ("3.9", "3.11", "3.12")
PYTHONS_VARIABLE = "OBJECT2VEC_PYTHONS"
OPTIONS = {
    "enc0_network": "pooled_embedding",
    "enc0_max_seq_len": 2,
    "enc0_vocab_size": 9,
    "enc_dim": 8,
    "epochs": 2,
}
REQUESTS = [{"in0": [1], "in1": [2]}, {"in1": [2]}]

pytestmark = [pytest.mark.install, pytest.mark.timeout(900)]


def version_of(python: Path) -> Optional[str]:
    """``3.11``; None for what does not run, as a shim of pyenv for a version that is not on."""
    program = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    try:
        result = subprocess.run([python, "-c", program], capture_output=True, text=True, timeout=20)
    except OSError:
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def pythons() -> dict[str, Path]:
    """Interpreters by version: those that are named; else this one, the PATH's and pyenv's."""
    named = [name for name in os.environ.get(PYTHONS_VARIABLE, "").split(os.pathsep) if name]
    found = {}
    for name in named or [sys.executable]:
        version = version_of(Path(shutil.which(name) or name))
        if version not in VERSIONS:
            pytest.fail(f"{PYTHONS_VARIABLE} names {name!r}: no Python of {', '.join(VERSIONS)}")
        found[version] = Path(shutil.which(name) or name)
    for version in LOOKED_FOR if not named else ():
        on_path = shutil.which(f"python{version}")
        of_pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        for python in [*([Path(on_path)] if on_path else []), *of_pyenv]:
            if version not in found and version_of(python) == version:
                found[version] = python
    return found


def run(*command: object, cwd: Path, **variables: str) -> str:
    """Standard output of a command that has to go well, outside the source tree."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "OBJECT2VEC_", "SAGEMAKER_", "VIRTUAL_ENV"))
    }
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**inherited, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that ``make wheel`` fills."""
    folder = tmp_path_factory.mktemp("dist")
    run(ROOT / "requirements" / "wheel.sh", sys.executable, folder, cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def sdist(built: Path) -> Path:
    (path,) = built.glob("*.tar.gz")
    return path


def test_the_wheel_serves_every_python_of_this_platform(wheel: Path) -> None:
    name, version, python, abi, platforms = wheel.stem.split("-")
    assert (name, version) == ("object2vec", object2vec.__version__)
    assert (python, abi) == ("cp39", "abi3")
    assert all(platform.startswith("manylinux") for platform in platforms.split("."))


def test_the_wheel_brings_no_openmp_of_its_own(wheel: Path) -> None:
    libraries = {name for name in zipfile.ZipFile(wheel).namelist() if ".so" in name}
    assert libraries == {"object2vec/compiled/_kernels.abi3.so"}


def test_the_sdist_holds_what_the_repository_holds(sdist: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone, so what belongs to the project cannot be listed")
    tracked = set(run("git", "ls-files", cwd=ROOT).splitlines())
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked - held == {".gitignore"}


@dataclass(frozen=True)
class Environment:
    """An environment with nothing but the installed package."""

    folder: Path
    seconds: float

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def command(self) -> Path:
        return self.folder / "bin" / "object2vec"


def install(python: Path, requirement: str, folder: Path) -> Environment:
    start = time.monotonic()
    run(python, "-m", "venv", folder, cwd=folder.parent)
    # --no-compile: Python compiles what it imports, which is a tenth of what is installed
    command = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile")
    run(folder / "bin" / "python", *command, requirement, cwd=folder.parent)
    return Environment(folder, time.monotonic() - start)


@pytest.fixture(scope="module")
def installations(
    wheel: Path, sdist: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, str], Future[Environment]]]:
    """Installations by Python and kind, two at a time; a test waits for its own alone."""
    work = tmp_path_factory.mktemp("environments")
    with ThreadPoolExecutor(2) as pool:
        # each Python's wheel first, so that pip keeps what it has built of gluonnlp for the sdist
        yield {
            (version, kind): pool.submit(install, python, requirement, work / f"{kind}-{version}")
            for kind, requirement in (("wheel", f"{wheel}[serve]"), ("sdist", str(sdist)))
            for version, python in pythons().items()
        }
        pool.shutdown(cancel_futures=True)
    shutil.rmtree(work)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_trains_and_answers_where_it_is_installed(
    kind: str,
    version: str,
    installations: dict[tuple[str, str], Future[Environment]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if (version, kind) not in installations:
        places = "on the PATH or in ~/.pyenv/versions, nor " if version in LOOKED_FOR else ""
        pytest.skip(f"Python {version} is not {places}named by {PYTHONS_VARIABLE}")
    environment = installations[version, kind].result()
    with capsys.disabled():
        print(f"\nPython {version}, {kind}: installed in {environment.seconds:.0f} s", end=" ")
    pairs = ({"in0": [k % 9], "in1": [k % 7, 1], "label": k % 2} for k in range(64))
    data, model = tmp_path / "pairs.jsonl", tmp_path / "model"
    data.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    options = [part for name, value in OPTIONS.items() for part in ("-p", f"{name}={value}")]
    run(environment.command, "train", "--train", data, "--model-dir", model, *options, cwd=tmp_path)
    request = tmp_path / "request.jsonl"
    request.write_text("".join(json.dumps(row) + "\n" for row in REQUESTS), encoding="utf-8")
    arguments = ("predict", "--model-dir", model, "--input", request)
    lines = run(environment.command, *arguments, cwd=tmp_path).splitlines()
    scores, embedding = json.loads(lines[0])["scores"], json.loads(lines[1])["embeddings"]

    program = Path(__file__).with_name("installed_package.py")
    found = json.loads(run(environment.python, "-I", program, model, cwd=tmp_path))
    assert Path(found["package"]).is_relative_to(environment.folder)
    assert found["version"] == object2vec.__version__
    assert found["epochs"] == 1
    np.testing.assert_allclose([scores], found["scores"], atol=1e-6)
    np.testing.assert_allclose([embedding], found["embeddings"], atol=1e-6)
    # MXNet's operators and the compiled part share its threads
    assert [Path(file).name.split(".")[0] for file in found["openmp"]] == ["libgomp"]
    if kind == "sdist":
        return  # it is installed without the serving parts
    command = (str(environment.command),)
    with serving(model, tmp_path / "log", command=command, cwd=tmp_path) as server:
        answer = server.invoke(json.dumps({"instances": REQUESTS})).json()
    np.testing.assert_allclose(answer["predictions"][0]["scores"], scores, atol=1e-6)
