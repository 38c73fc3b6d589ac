# SPDX-License-Identifier: Apache-2.0
"""Our side of examples/compare/ runs on real data, and the README there counts its lines."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from shell_examples import ROOT

pytestmark = pytest.mark.own_way
FOLDER = ROOT / "examples" / "compare"
ROWS = 20_000


@pytest.fixture(scope="module")
def tables(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tables that all sides read, cut short."""
    folder = tmp_path_factory.mktemp("compare")
    run([sys.executable, str(FOLDER / "write_data.py")], folder, data_dir)
    for name in ("ratings.csv", "pairs.csv"):
        lines = (folder / name).read_text(encoding="utf-8").splitlines(keepends=True)
        assert len(lines) > 15_000
        (folder / name).write_text("".join(lines[:ROWS]), encoding="utf-8")
    return folder


def run(command: list[str], folder: Path, data: Path = Path()) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "OBJECT2VEC_DATA": str(data.resolve()), "PATH": path}
    environment.pop("OBJECT2VEC_COMPILED", None)
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_films_are_found_by_name(tables: Path) -> None:
    lines = run([sys.executable, str(FOLDER / "films_object2vec.py")], tables).splitlines()
    found = re.findall(r"^(.+\(\d{4}\)) +([\d.]+)$", "\n".join(lines), re.MULTILINE)
    assert len(found) == 5, lines
    assert all(float(cosine) <= 1 for _, cosine in found)
    assert "Star Wars (1977)" not in dict(found)


@pytest.mark.slow
def test_similarity_of_two_sentences_is_told(tables: Path) -> None:
    answer = run([sys.executable, str(FOLDER / "pairs_object2vec.py")], tables)
    assert 0.2 < float(answer) < 1


@pytest.mark.slow
def test_model_of_the_served_script_takes_raw_text(tables: Path) -> None:
    script = (FOLDER / "serve_object2vec.sh").read_text(encoding="utf-8")
    train, serve = script.split("exec ")
    assert serve.startswith("object2vec serve --model-dir model ")
    asked = """echo '{"in0": "Two dogs run."}' | object2vec predict --model-dir model"""
    answer = run(["sh", "-ec", train + asked], tables)
    assert answer.splitlines()[-1].startswith('{"embeddings":'), answer


def test_readme_counts_the_lines() -> None:
    lines_of = runpy.run_path(str(FOLDER / "measure.py"))["lines_of"]
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| \[(\w+\.py)\]\(\1\) \| (\d+) \| (\d+) \|", text, re.MULTILINE)
    assert [(name, *map(str, lines_of(FOLDER / name))) for name, *_ in told] == told
    others = {"measure.py", "write_data.py"}
    assert {name for name, *_ in told} == {p.name for p in FOLDER.glob("*.py")} - others
