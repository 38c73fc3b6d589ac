# SPDX-License-Identifier: Apache-2.0
"""The demo: where its ratings come from, its figures, and the commands that it recommends."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

import object2vec
from object2vec.cli import main
from object2vec.demo import ratings as source
from object2vec.demo import report
from object2vec.demo.ratings import Ratings, generate, load_ratings

SMALL = generate(people=60, films=40, ratings=1500)


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(source.DATA_VARIABLE, raising=False)
    # Port 9 is closed wherever nobody has opened it on purpose.
    monkeypatch.setattr(source, "URL", "http://127.0.0.1:9/ml-100k.zip")


def test_generated_ratings_are_sound_and_repeatable() -> None:
    again = generate(people=60, films=40, ratings=1500)
    np.testing.assert_array_equal(again.train, SMALL.train)
    table = np.concatenate([SMALL.train, SMALL.validation])
    assert table.shape == (1500, 3)
    assert len(np.unique(table[:, :2], axis=0)) == 1500
    assert table[:, 0].min() >= 1 and table[:, 0].max() == SMALL.people <= 60
    assert set(np.unique(table[:, 2])) == {1, 2, 3, 4, 5}
    assert set(table[:, 1]) <= set(SMALL.titles)
    assert set(SMALL.films) <= set(SMALL.titles)


def test_without_network_the_ratings_are_generated_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offline(monkeypatch)
    said: list[str] = []
    ratings = load_ratings(said.append)
    assert ratings.origin.startswith("generated")
    assert ratings.terms == ""
    assert "GENERATED" in said[-1]
    np.testing.assert_array_equal(ratings.train, generate().train)


@pytest.mark.parametrize("content", [b"<html>log in to this network</html>", b""])
def test_what_is_no_archive_is_not_used(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(source.DATA_VARIABLE, raising=False)
    (tmp_path / "file.zip").write_bytes(content)
    monkeypatch.setattr(source, "URL", (tmp_path / "file.zip").as_uri())
    said: list[str] = []
    assert load_ratings(said.append).origin.startswith("generated")
    assert "not the MovieLens archive" in said[-1]


def test_an_archive_with_other_content_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(source.DATA_VARIABLE, raising=False)
    with zipfile.ZipFile(tmp_path / "file.zip", "w") as archive:
        for name in source.SHA256:
            archive.writestr(f"{source.FOLDER}/{name}", "1\t1\t5\t0\n")
    monkeypatch.setattr(source, "URL", (tmp_path / "file.zip").as_uri())
    said: list[str] = []
    assert load_ratings(said.append).origin.startswith("generated")
    assert "SHA-256" in said[-1]


def assert_is_movielens(ratings: Ratings) -> None:
    assert ratings.train.shape == (90570, 3) and ratings.validation.shape == (9430, 3)
    assert ratings.people == 943 and len(ratings.titles) == 1682
    assert ratings.titles[543] == "Misérables, Les (1995)"
    assert [ratings.titles[film] for film in ratings.films] == [
        "Star Wars (1977)",
        "Lion King, The (1994)",
        "Pulp Fiction (1994)",
    ]
    assert "GroupLens" in ratings.terms


def test_movielens_from_a_folder(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(source.DATA_VARIABLE, str(data_dir))
    said: list[str] = []
    assert_is_movielens(load_ratings(said.append))
    assert said == []


def test_movielens_from_an_archive(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(source.DATA_VARIABLE, raising=False)
    with zipfile.ZipFile(tmp_path / "ml-100k.zip", "w") as archive:
        for name in source.SHA256:
            archive.write(data_dir / source.FOLDER / name, f"{source.FOLDER}/{name}")
    monkeypatch.setattr(source, "URL", (tmp_path / "ml-100k.zip").as_uri())
    assert_is_movielens(load_ratings(lambda _line: None))


def test_baselines_of_movielens(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(source.DATA_VARIABLE, str(data_dir))
    errors = report.baseline_errors(load_ratings(lambda _line: None))
    assert errors["the mean of all ratings"] == pytest.approx(1.2585, abs=1e-3)
    assert errors["each person's mean"] == pytest.approx(1.0879, abs=1e-3)


def test_baselines_of_a_table_small_enough_to_count() -> None:
    ratings = Ratings(
        np.array([[1, 1, 5], [1, 2, 3], [2, 1, 1]]),
        np.array([[1, 3, 5], [2, 2, 2], [3, 1, 3]]),
        {1: "a", 2: "b", 3: "c"},
        (1,),
        "by hand",
    )
    # The mean of all is 3; person 1's is 4, person 2's is 1, person 3 has rated nothing.
    assert report.baseline_errors(ratings) == {
        "the mean of all ratings": pytest.approx((4 + 1 + 0) / 3),
        "each person's mean": pytest.approx((1 + 1 + 0) / 3),
    }


def test_nearest_looks_at_directions_only() -> None:
    vectors = np.array([[1, 0], [9, 1], [0, 5], [-2, 0], [0, 0]], np.float32)
    found = report.nearest(vectors, 0, 4)
    assert [row for row, _ in found] == [1, 2, 4, 3]
    np.testing.assert_allclose([c for _, c in found], [9 / 82**0.5, 0, 0, -1], atol=1e-6)


@pytest.mark.slow
def test_the_demo_beats_its_baselines_and_its_commands_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # The package is found from another folder too when it is not installed.
    monkeypatch.setenv("PYTHONPATH", str(Path(object2vec.__file__).parents[1]))
    folder = tmp_path / "a model"
    report.show(lambda _say: SMALL, folder, mini_batch_size=32, epochs=10)
    out = capsys.readouterr().out
    errors = {
        name: float(value)
        for name, value in re.findall(r"^  (\S.*?)  +(\d\.\d{3})   \d\.\d{3}$", out, re.MULTILINE)
    }
    assert set(errors) == {*report.baseline_errors(SMALL), "object2vec"}
    assert errors["object2vec"] == min(errors.values())
    assert max(map(len, out.split("What to try next:")[0].splitlines())) <= 100
    commands = [
        line for line in out.split("What to try next:")[1].splitlines() if line and line[0] != "#"
    ]
    assert len(commands) == 5
    answers = []
    for command in commands:
        done = subprocess.run(
            command, shell=True, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        answers.append(done.stdout)
    (score,) = json.loads(answers[0])["scores"]
    assert 0 < score < 6
    assert len(json.loads(answers[1])["embeddings"]) == 512
    assert len(answers[2].splitlines()) == 10
    assert (tmp_path / "a model.html").stat().st_size > 50_000
    assert float(answers[4].strip("[]\n ").split()[0]) == pytest.approx(score, abs=1e-4)


def test_a_folder_that_can_hold_no_model_is_refused_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    assert main(["demo", "--model-dir", str(file)]) == 1
    out, err = capsys.readouterr()
    assert (out, err.split(";")[0]) == (
        "",
        f"Customer Error: --model-dir {file} is a file, not a folder",
    )


def test_the_command_runs_the_demo_in_a_folder_of_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offline(monkeypatch)
    monkeypatch.setattr(source, "generate", lambda: SMALL)
    assert main(["demo", "--model-dir", str(tmp_path / "model")]) == 0
    assert (tmp_path / "model/model.json").is_file()
    assert "GENERATED" in capsys.readouterr().out
