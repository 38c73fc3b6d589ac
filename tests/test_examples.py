# SPDX-License-Identifier: Apache-2.0
"""Every example in the texts runs as it stands there, on data of the kind that it names."""

from __future__ import annotations

import csv
import doctest
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mms_server import PATIENCE, START_SECONDS, clean_environment, free_port, wait_for
from shell_examples import PAGES, ROOT, blocks, examples, steps

from object2vec import Object2Vec
from object2vec.data.arrays import PairDataset
from object2vec.data.dataset import from_records
from object2vec.demo.ratings import Ratings, generate, load_ratings
from object2vec.demo.report import baseline_errors
from object2vec.hyperparameters.checked import parse

STEPS = steps()
EXAMPLES = examples()
# What stands in the script that makes files of pairs and a table of MovieLens, which others run.
DATA_SCRIPT = "u.item"
# Whose examples another file runs.
RUN_ELSEWHERE = {"docs/moving.md": "tests/test_moving.py"}
# What cannot be run by a test of this kind: how it begins, and why.
NOT_RUN = {
    "make ": "the targets take minutes; CI runs them (.ci/run)",
    "object2vec demo": "downloads; tests/test_demo.py runs it without",
    "pip install": "changes the environment; tests/test_packaging.py installs",
    "python3 -m venv": "makes an environment; test_install.py and test_image.py do",
    "curl -O": "downloads",
    "python3 -m zipfile": "unpacks what was downloaded",
    "sdk/bin/python": "needs a Docker engine; tests/test_image.py runs it",
    "apt install": "changes the machine",
    "docker ": "needs a Docker engine; tests/test_image.py builds and runs the image",
    "base=": "needs a Docker engine",
    "account=": "needs an AWS account",
    "registry=": "needs an AWS account",
    "image=": "needs an AWS account",
    "region=": "needs an AWS account",
    "aws ": "needs an AWS account",
    "ml/": "a list of files",
}
RUN = ("object2vec ", "echo ", "curl ", "jq ", "sh ")
SERVES = "object2vec serve"
# Each person and each film is rated often enough that a model tells stars whatever its seed.
RATINGS = generate(people=943, films=1682, ratings=20_000)
# For tables, whose model starts from the mean, and for examples that nobody asks for stars.
FEW = generate(people=943, films=1682, ratings=2_000)


def reason_not_to_run(command: str) -> str:
    """Why an example is not run; empty for one that is."""
    return next((why for begin, why in NOT_RUN.items() if command.startswith(begin)), "")


def is_to_run(language: str, step: str) -> bool:
    if language == "python":
        return DATA_SCRIPT not in step
    return not reason_not_to_run(step)


def to_run(source: str) -> list[tuple[str, str]]:
    if source in RUN_ELSEWHERE:
        return []
    return [(language, step) for language, step in STEPS[source] if is_to_run(language, step)]


def test_every_example_is_run_or_named() -> None:
    everything = [command for commands in EXAMPLES.values() for command in commands]
    unknown = [
        command
        for command in everything
        if not (reason_not_to_run(command) or command.startswith(RUN))
    ]
    assert unknown == []
    unused = [begin for begin in NOT_RUN if not any(c.startswith(begin) for c in everything)]
    assert unused == []
    assert all(EXAMPLES[name] for name in EXAMPLES if name.endswith(("README.md", "BUTING.md")))
    for command in ("", "prepare ", "train ", "validate ", "predict ", "serve "):
        assert EXAMPLES[f"object2vec {command}--help"], command


def write_pairs(path: Path, table: np.ndarray) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for person, film, stars in table.tolist():
            pair = {"in0": [person], "in1": [film], "label": stars}
            stream.write(json.dumps(pair) + "\n")


def fill(folder: Path, ratings: Ratings) -> None:
    """Write the files that the examples name."""
    for name in ("ratings", "train"):
        write_pairs(folder / f"{name}.jsonl", ratings.train)
    for name in ("validation", "test", "pairs"):
        write_pairs(folder / f"{name}.jsonl", ratings.validation)
    with (folder / "ratings.csv").open("w", encoding="utf-8") as table:
        table.write("user,film,genres,rating\n")
        for person, film, stars in FEW.train.tolist():
            table.write(f"u{person},Film {film},{'Drama|Crime' if film % 2 else 'War'},{stars}\n")
    with (folder / "events.tsv").open("w", encoding="utf-8") as table:
        for row, (person, film, stars) in enumerate(FEW.train.tolist()):
            table.write(f"u{person}\tf{film}\t{stars}\t{row}\n")
    with (folder / "articles.csv").open("w", encoding="utf-8") as table:
        table.write("title,text\n")
        for row in range(60):
            words = " ".join(f"word{row % 3 + 7 * place}" for place in range(50))
            table.write(f"Article {row},{words}\n")
    (text,) = blocks((ROOT / "container/README.md").read_text(encoding="utf-8"), "json")
    (folder / "hyperparameters.json").write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "hyperparams.json", folder)
    (folder / "request.json").write_text('{"instances": [{"in0": [1], "in1": [50]}]}')
    for name in ("model", "output", "input/config", "input/data/train", "input/data/validation"):
        (folder / "ml" / name).mkdir(parents=True)
    for name in ("train", "validation"):
        target = folder / f"ml/input/data/{name}/ratings.jsonl"
        shutil.copy(folder / f"{name}.jsonl", target)
    # so that the published width and epochs do not take minutes
    job = {**json.loads(text), "epochs": "1", "enc_dim": "32"}
    (folder / "ml/input/config/hyperparameters.json").write_text(json.dumps(job))


class Shell:
    """A folder of a newcomer, in which examples are typed one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._servers: list[subprocess.Popen[bytes]] = []
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._environment = clean_environment(
            {"PATH": path, "SAGEMAKER_BIND_TO_PORT": str(self.port), "image": "registry/name:1"}
        )

    def run(self, command: str) -> str:
        """Run an example; what is changed in it are a port and the place of SageMaker's folder."""
        command = re.sub(r"\b8080\b", str(self.port), command).replace("/opt/ml", "ml")
        if command.startswith(SERVES):
            self._serve(command)
            return ""
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.folder, env=self._environment, capture_output=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stderr.decode()}\n{done.stdout.decode()}"
        return done.stdout.decode()

    def _serve(self, command: str) -> None:
        self.close()
        with (self.folder / "log").open("wb") as log:
            self._servers.append(
                subprocess.Popen(
                    ["bash", "-c", f"exec {command} --workers 1"],
                    cwd=self.folder, env=self._environment, stdout=log, stderr=log,
                )
            )  # fmt: skip
        wait_for(self._is_up, START_SECONDS, "the server's start")

    def _is_up(self) -> bool:
        assert self._servers[-1].poll() is None, (self.folder / "log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ping", timeout=5):
                return True
        except OSError:
            return False

    def close(self) -> None:
        while self._servers:
            with self._servers.pop() as server:
                server.terminate()
                try:
                    server.wait(PATIENCE)
                finally:
                    server.kill()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of the first example on ids: the one that the others ask."""
    folder = tmp_path_factory.mktemp("trained")
    fill(folder, RATINGS)
    examples_of_help = EXAMPLES["object2vec --help"]
    (command,) = (c for c in examples_of_help if c.startswith("object2vec train") and " -p " in c)
    Shell(folder).run(command)
    return folder / "model"


TABLE_TRAINING = (
    "object2vec train --train ratings.csv --in0 user --in1 film,genres --label rating "
    "--model-dir from-table -p epochs=1"
)


@pytest.fixture(scope="module")
def trained_from_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the table, for the examples that ask one and make none."""
    folder = tmp_path_factory.mktemp("from_table")
    fill(folder, FEW)
    Shell(folder).run(TABLE_TRAINING)
    return folder / "from-table"


@pytest.fixture
def shell(source: str, tmp_path: Path) -> Iterator[Shell]:
    asks = any(step.startswith(("curl", "echo")) for _, step in to_run(source))
    fill(tmp_path, RATINGS if asks else FEW)
    shell = Shell(tmp_path)
    try:
        yield shell
    finally:
        shell.close()


def first_scores(request: str, answer: str) -> list[float]:
    """The scores of the first instance; JSON Lines have an answer for each line."""
    if "jsonlines" not in request:
        return json.loads(answer)["predictions"][0]["scores"]
    lines = answer.splitlines()
    assert len(lines) == len(RATINGS.validation)
    return json.loads(lines[0])["scores"]


def run_in_shell(command: str, shell: Shell) -> None:
    program = command.split()[0]
    if shutil.which(program) is None and program in ("curl", "jq"):
        pytest.skip(f"{program} is not installed")
    if program == "curl" and not shell._servers:
        shell.run(f"{SERVES} --model-dir model")
    answer = shell.run(command)
    if program == "curl":
        assert 0 < first_scores(command, answer)[0] < 6
    if command.startswith("echo"):
        assert 0 < json.loads(answer)["scores"][0] < 6


def check_encoder(names: dict[str, Any], folder: Path) -> None:
    """The encoder that is loaded without the package embeds as the package does."""
    expected = Object2Vec.load(folder / "model").embed(in1=[[50]])
    np.testing.assert_allclose(names["embedding"].asnumpy(), expected, atol=1e-6)


def check_refit(names: dict[str, Any], folder: Path) -> None:
    model = names["model"]
    assert model.best_epoch is not None and len(model.refit_history) == model.best_epoch + 1


# What must hold once a page's examples in Python ran.
CHECKS = {"docs/model_directory.md": check_encoder, "docs/python.md": check_refit}


@pytest.mark.slow
@pytest.mark.timeout(900)
# SymbolBlock infers types before it knows the inputs', and says so
@pytest.mark.filterwarnings("ignore:Cannot decide type:UserWarning")
@pytest.mark.parametrize("source", [name for name in STEPS if to_run(name)])
def test_the_examples_run(
    source: str,
    shell: Shell,
    trained: Path,
    trained_from_table: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of a text in one folder, one after the other: commands, and blocks that share names."""
    examples_of_it = to_run(source)
    if not examples_of_it[0][1].startswith("object2vec train"):
        shutil.copytree(trained, shell.folder / "model")
    if any("from-table" in step for _, step in examples_of_it):
        shutil.copytree(trained_from_table, shell.folder / "from-table")
    monkeypatch.chdir(shell.folder)
    names: dict[str, Any] = {}
    for language, step in examples_of_it:
        if language == "sh":
            run_in_shell(step, shell)
        else:
            exec(compile(step, source, "exec"), names)  # the text's own lines
    if source in CHECKS:
        CHECKS[source](names, shell.folder)


def test_the_checks_are_of_pages_that_run() -> None:
    assert all(any(language == "python" for language, _ in to_run(name)) for name in CHECKS)
    assert set(RUN_ELSEWHERE) < set(PAGES)


def test_lines_of_data_are_sound() -> None:
    (lines,) = blocks((ROOT / "docs/data.md").read_text(encoding="utf-8"), "json")
    found = lines.splitlines()
    assert len(found) == 2
    settings, _ = parse({"enc0_max_seq_len": 9, "enc0_vocab_size": 1000, "num_classes": 9})
    pairs = from_records(map(json.loads, found), settings, channel="train")
    assert isinstance(pairs, PairDataset) and len(pairs) == len(found)


def run_data_script(folder: Path, **environment: str) -> None:
    (script,) = (step for _, step in STEPS["docs/getting_started.md"] if DATA_SCRIPT in step)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder, env=clean_environment(environment), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def films_by_name(data_dir: Path, table: np.ndarray) -> list[dict[str, Any]]:
    """Rows of a person and a film of MovieLens, as the table of the pages has them."""
    folder = data_dir / "ml-100k"
    genres = [line.split("|")[0] for line in (folder / "u.genre").read_text().split()]
    lines = (folder / "u.item").read_text(encoding="latin-1").splitlines()
    films = {int(line.split("|")[0]): line.split("|") for line in lines}
    return [
        {
            "user": str(person), "film": films[film][1],
            "genres": [name for name, flag in zip(genres, films[film][5:]) if flag == "1"],
            "rating": stars,
        }
        for person, film, stars in table.tolist()
    ]  # fmt: skip


def ratings_in(path: Path) -> list[list[int]]:
    pairs = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [[*pair["in0"], *pair["in1"], pair["label"]] for pair in pairs]


@pytest.mark.slow
@pytest.mark.parametrize("unpacked", [False, True], ids=["OBJECT2VEC_DATA", "current folder"])
def test_the_script_makes_files_of_all_ratings(
    unpacked: bool, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OBJECT2VEC_DATA", str(data_dir))
    ratings = load_ratings(print)
    monkeypatch.delenv("OBJECT2VEC_DATA")
    if unpacked:
        (tmp_path / "ml-100k").symlink_to(data_dir.resolve() / "ml-100k")
        run_data_script(tmp_path)
    else:
        run_data_script(tmp_path, OBJECT2VEC_DATA=str(data_dir.resolve()))
    assert ratings_in(tmp_path / "train.jsonl") == ratings.train.tolist()
    validation, test = (ratings_in(tmp_path / f"{name}.jsonl") for name in ("validation", "test"))
    assert sorted(validation + test) == sorted(ratings.validation.tolist())
    # each person has as many ratings in both
    assert [row[0] for row in validation] == [row[0] for row in test]
    with (tmp_path / "ratings.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    expected = films_by_name(data_dir, ratings.train)
    assert [{**row, "genres": row["genres"].split("|")} for row in rows] == [
        {**row, "rating": str(row["rating"])} for row in expected
    ]


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_the_examples_that_train_are_good(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each that names ratings predicts those of MovieLens better than each person's mean does."""
    monkeypatch.setenv("OBJECT2VEC_DATA", str(data_dir))
    ratings = load_ratings(print)
    fill(tmp_path, ratings)
    run_data_script(tmp_path, OBJECT2VEC_DATA=str(data_dir.resolve()))
    shell, best = Shell(tmp_path), min(baseline_errors(ratings).values())
    found = [
        command
        for source in ("docs/command_line.md", "object2vec --help")
        for command in EXAMPLES[source]
        if command.startswith("object2vec train --train") and " -p " in command
    ]
    assert len(found) == 2
    truth = ratings.validation[:, 2]
    for command in found:
        shell.run(command)
        lines = shell.run("object2vec predict --model-dir model --input pairs.jsonl").splitlines()
        scores = np.array([json.loads(line)["scores"][0] for line in lines])
        error = float(np.mean((scores - truth) ** 2))
        assert error < 0.9 * best, command
    python = blocks((ROOT / "docs/python.md").read_text(encoding="utf-8"), "python")
    from_table, of_ids = (
        next(block for block in python if start in block)
        for start in ('from_table("ratings.csv"', "enc0_vocab_size=944")
    )
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(from_table, names)  # the page's own text
    pairs = films_by_name(data_dir, ratings.validation)
    scores = names["model"].predict(pairs)
    assert float(np.mean((scores - truth) ** 2)) < 0.9 * best
    exec(of_ids, names)
    metrics = names["model"].evaluate("test.jsonl")
    assert metrics["mean_squared_error"] < 0.9 * best


def modules_with_examples() -> list[str]:
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / "object2vec").rglob("*.py"))
        if ">>> " in path.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_in_docstrings_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
