# SPDX-License-Identifier: Apache-2.0
"""What root does for a server before it gives its rights up: the copy of what only it can read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import numpy as np
import pytest
from small_jobs import random_network, settings

from object2vec.inference.predictor import Predictor
from object2vec.model import model_directory

NOBODY = 65534
PROGRAM = f"""
import sys
from pathlib import Path
from object2vec.errors import Object2VecError
from object2vec.serving.privileges import readable
try:
    print(readable(Path(sys.argv[1]), {NOBODY}, {NOBODY}))
except Object2VecError as error:
    print(type(error).__name__, error)
"""

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def model(open_folder: Path, rng: np.random.Generator) -> Path:
    """A model that every user can read, beside a file that is not part of it."""
    folder = open_folder / "model"
    model_directory.save_model(folder, random_network(settings(), rng))
    (folder / "model.tar.gz").write_bytes(b"foreign")
    return folder


def ask(model: Path, temporary: Path) -> list[str]:
    """What `readable` answers in a process of its own, line by line."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(model)],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def can_read(path: Path) -> bool:
    """Whether the user nobody can."""
    return subprocess.run(["cat", path], user=NOBODY, capture_output=True).returncode == 0


def test_a_model_that_all_can_read_stays_where_it_is(model: Path, open_folder: Path) -> None:
    (model / "model.tar.gz").chmod(0o600)
    assert ask(model, open_folder) == [str(model)]
    assert list(open_folder.iterdir()) == [model]


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["folder", "manifest", "parameters"])
def test_what_only_root_can_read_is_copied(model: Path, open_folder: Path, closed: str) -> None:
    (parameters,) = model.glob("*.params")
    path = {"folder": model, "manifest": model / "model.json", "parameters": parameters}[closed]
    path.chmod(0o700)
    assert not can_read(parameters if closed == "folder" else path)
    line, answer = ask(model, open_folder)
    copy = Path(answer)
    assert line.startswith(f"Only root can read all of {model}") and str(copy) in line
    assert copy.parent == open_folder
    listed = json.loads((model / "model.json").read_text())["files"]
    assert {file.name for file in copy.iterdir()} == {"model.json", *listed}
    for file in [copy, *copy.iterdir()]:
        # The server cannot change what it serves.
        assert file.stat().st_uid == 0 and not file.stat().st_mode & 0o022
        assert file == copy or can_read(file)
        assert file == copy or file.read_bytes() == (model / file.name).read_bytes()
    Predictor.load(copy)


def test_an_archive_that_only_root_can_read_is_copied(model: Path, open_folder: Path) -> None:
    archive = open_folder / "model.tar.gz"
    subprocess.run(["tar", "czf", archive, "--exclude=*.gz", "-C", model, "."], check=True)
    archive.chmod(0o644)
    assert ask(archive, open_folder) == [str(archive)]
    archive.chmod(0o600)
    _, answer = ask(archive, open_folder)
    assert answer != str(archive) and can_read(Path(answer))
    Predictor.load(answer)
    archive.unlink()
    archive.symlink_to("/etc/shadow")
    (line,) = ask(archive, open_folder)
    assert line.startswith("CustomerError ")


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_root_is_not_led_elsewhere(model: Path, open_folder: Path, kind: str) -> None:
    (parameters,) = model.glob("*.params")
    parameters.unlink()
    if kind == "link":
        parameters.symlink_to("/etc/shadow")
    elif kind == "pipe":
        os.mkfifo(parameters)
    else:
        parameters.mkdir()
    model.chmod(0o700)
    (line,) = ask(model, open_folder)
    assert line.startswith("CustomerError ") and parameters.name in line
    assert list(open_folder.iterdir()) == [model]


@pytest.mark.parametrize("content", [None, "{", '{"format": "other"}'])
def test_a_closed_folder_without_a_sound_model_is_explained(
    model: Path, open_folder: Path, content: Optional[str]
) -> None:
    manifest = model / "model.json"
    manifest.unlink()
    if content is not None:
        manifest.write_text(content)
    model.chmod(0o700)
    (line,) = ask(model, open_folder)
    assert line.startswith("CustomerError ") and str(model) in line
    assert list(open_folder.iterdir()) == [model]


def test_copies_of_earlier_starts_are_removed(model: Path, open_folder: Path) -> None:
    model.chmod(0o700)
    _, first = ask(model, open_folder)
    # What another user left under such a name is not root's to follow or to remove.
    foreign = open_folder / "object2vec-model-foreign"
    foreign.mkdir()
    os.chown(foreign, NOBODY, NOBODY)
    link = open_folder / "object2vec-model-link"
    link.symlink_to(model)
    _, second = ask(model, open_folder)
    assert first != second
    assert set(open_folder.iterdir()) == {model, Path(second), foreign, link}
    assert (model / "model.json").exists()


def test_no_space_for_the_copy_is_explained(model: Path, open_folder: Path) -> None:
    model.chmod(0o700)
    (parameters,) = model.glob("*.params")
    # A file with a hole: no disk has so much.
    with parameters.open("r+b") as stream:
        stream.truncate(1 << 43)
    (line,) = ask(model, open_folder)
    assert line.startswith("PlatformError ") and "8,796,0" in line
    assert list(open_folder.iterdir()) == [model]
