# SPDX-License-Identifier: Apache-2.0
"""The yardstick: contestants run on little data, settings never see the test, grades are right."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, ndcg_score

from benchmarks.quality import documents, genres, leave_one_out
from benchmarks.quality.catalogue import TASKS
from benchmarks.quality.contest import choose, compare, train
from benchmarks.quality.exams import Answer, Exam, Grade, Lessons, Sealed, Task
from benchmarks.quality.ours import published
from benchmarks.quality.texts import WordMeans

ROOT = Path(__file__).resolve().parent.parent
SMALL = ("--rows", "60", "--seeds", "1", "--json")
OURS = (
    "--set",
    "epochs=1",
    "enc_dim=8",
    "enc0_token_embedding_dim=8",
    "enc1_token_embedding_dim=8",
)
CONTESTANTS = [
    pytest.param(
        *(name, contestant.name, contestant.needs),
        id=f"{name}: {contestant.name}",
        # what reads a task's data and judges it is the same for all
        marks=pytest.mark.full if place else (),
    )
    for name, entry in TASKS.items()
    for place, contestant in enumerate(entry.contestants())
]


def results(*arguments: str) -> list[dict[str, Any]]:
    """The JSON lines of a run, which has to end well."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "results", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(("task", "contestant", "needs"), CONTESTANTS)
@pytest.mark.usefixtures("data_dir")
def test_a_contestant_learns_and_is_judged(task: str, contestant: str, needs: Any) -> None:
    for module in needs:
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    options = OURS if contestant.startswith("ours") else ()
    lines = results(task, "--contestant", contestant, *SMALL, *options)
    assert lines
    for line in lines:
        assert (line["task"], line["contestant"]) == (task, contestant)
        for values in line["test"].values():
            assert len(values["seeds"]) == 1 and np.isfinite(values["mean"])
        assert line["train_s"] >= 0 and line["predict_s"] >= 0
        assert "validation" in line or task == "sts"


@pytest.mark.slow
@pytest.mark.usefixtures("data_dir")
def test_contestants_are_compared_question_by_question() -> None:
    lines = results(
        "leave_one_out", "--contestant", "ours recipe", "popularity", "EASE", *SMALL, *OURS
    )
    pairs = {(line["contestant"], line["less"]) for line in lines if "less" in line}
    ways = ("score", "dot product", "cosine")
    assert pairs == {
        (f"ours recipe, {way}", other)
        for way in ways
        for other in ("popularity, score", "EASE, score")
    }
    test = {
        f"{line['contestant']}, {line['way']}": line["test"] for line in lines if "test" in line
    }
    for line in lines:
        if "less" in line:
            one, other = (
                test[line[key]][line["measure"]]["mean"] for key in ("contestant", "less")
            )
            assert line["difference"] == pytest.approx(one - other, abs=2e-4)
            assert line["low"] <= line["difference"] <= line["high"]


@pytest.mark.slow
@pytest.mark.usefixtures("data_dir")
def test_without_the_test_the_validation_part_speaks_alone() -> None:
    options = ("--contestant", "ours recipe, ids", *SMALL, *OURS, "--no-test")
    (line,) = results("ratings", *options)
    assert "test" not in line
    assert line["setting"]["enc_dim"] == "8"
    assert line["validation"]["mse"]["mean"] > 0


class Numbers(Exam):
    """Asks for a number; the nearer the better. Counts how often it is asked."""

    def __init__(self, right: float) -> None:
        self._right, self.asked = right, 0

    @property
    def questions(self) -> Numbers:  # type: ignore[override]
        self.asked += 1
        return self

    def grade(self, answers: np.ndarray, decided: Optional[float] = None) -> Grade:
        return Grade.of_each({"error": np.abs(answers + (decided or 0) - self._right)})

    def decide(self, answers: np.ndarray) -> Optional[float]:
        return 0.5


class Guesses:
    """Answers with the value of its setting."""

    name, needs, is_seeded = "guesses", (), True

    def __init__(self) -> None:
        self.lessons: list[Lessons] = []

    def grid(self) -> list[dict[str, Any]]:
        return [{"value": value} for value in (1.0, 5.0, 8.0)]

    def fit(self, lessons: Lessons, setting: dict[str, Any], seed: int) -> dict[str, Answer]:
        self.lessons.append(lessons)
        return {"value": lambda asked: np.array([setting["value"]])}


def numbers_task(**options: Any) -> tuple[Task, Numbers, Numbers]:
    validation, test = Numbers(5.2), Numbers(1.0)
    task = Task(
        "numbers", "", ("error",), Lessons(["train"], ["validation"]), validation, Sealed(test),
        smaller=("error",), **options,
    )  # fmt: skip
    return task, validation, test


def test_settings_are_chosen_without_the_test() -> None:
    task, validation, test = numbers_task()
    chosen = choose(task, Guesses(), 0)
    # with the test part it would be 1
    assert chosen.setting == {"value": 5.0}
    assert (chosen.tried, validation.asked, test.asked) == (3, 3, 0)
    assert chosen.decided == {"value": 0.5}


@pytest.mark.parametrize("learns", [False, True], ids=["train alone", "validation too"])
def test_a_chosen_setting_is_trained_and_reads_the_test_once_a_seed(learns: bool) -> None:
    task, _, test = numbers_task(learns_validation=learns)
    contestant = Guesses()
    chosen = choose(task, contestant, 0)
    assert contestant.lessons[-1].rows == ["train"]
    for seed in (1, 2):
        found = train(task, contestant, chosen, seed)
        # what was decided on validation goes into the grade
        assert found.readings["value"].grade.measures == {"error": 4.5}
    assert contestant.lessons[-1].rows == ["train", *(["validation"] if learns else [])]
    assert test.asked == 2
    with pytest.raises(RuntimeError, match="seed 2 before"):
        train(task, contestant, chosen, 2)


def test_nothing_chooses_among_settings_without_a_validation_part() -> None:
    task = Task("", "", ("error",), Lessons([]), None, Sealed(Numbers(1.0)))
    with pytest.raises(ValueError, match="among 3 settings"):
        choose(task, Guesses(), 0)


def test_a_difference_has_the_interval_of_pairs(rng: np.random.Generator) -> None:
    base = rng.normal(size=400)
    one, other = base + 0.1 + rng.normal(scale=0.1, size=400), base
    difference, low, high = compare([one, one], [other], draws=2000)
    assert difference == pytest.approx(np.mean(one - other))
    error = np.std(one - other) / 20
    assert (difference - low) / error == pytest.approx(1.96, abs=0.25)
    assert (high - difference) / error == pytest.approx(1.96, abs=0.25)


def seen_films(rng: np.random.Generator) -> pd.DataFrame:
    seen = np.argwhere(rng.random((30, 14)) < 0.4)
    table = pd.DataFrame({"user": seen[:, 0] + 1, "film": seen[:, 1] + 1})
    return table.reindex(columns=dict.fromkeys([*leave_one_out._PERSON, *leave_one_out._FILM]))


def all_films() -> pd.DataFrame:
    return pd.DataFrame({"film": np.arange(1, 15)}).reindex(columns=leave_one_out._FILM)


def test_films_that_were_seen_are_left_out_of_the_ranking(rng: np.random.Generator) -> None:
    seen = seen_films(rng)
    held = seen.groupby("user").tail(1)
    before = seen.drop(held.index)
    exam = leave_one_out._Next(before, held, all_films())
    films = exam.questions.films["film"].to_numpy()
    answers = rng.normal(size=(len(exam.questions.users), len(films)))
    grade = exam.grade(answers)
    gains = []
    for user, row in zip(exam.questions.users["user"], answers):
        known = before.loc[before["user"] == user, "film"]
        left = ~np.isin(films, known)
        right = films == held.loc[held["user"] == user, "film"].item()
        gains.append(ndcg_score([right[left].astype(int)], [row[left]], k=10))
    np.testing.assert_allclose(grade.each["ndcg@10"], gains, atol=1e-9)
    assert grade.measures["hit_rate@10"] == np.mean(np.array(gains) > 0)


def test_ease_is_the_ridge_of_each_film_on_the_others(rng: np.random.Generator) -> None:
    rows = seen_films(rng)
    films, strength = all_films(), 7.0
    answers = leave_one_out._Ease().fit(
        Lessons(rows, beside={"films": films}), {"lambda": strength}, 1
    )
    people = rows.drop_duplicates("user")
    found = answers["score"](leave_one_out.Asked(people, films))
    pairs = set(zip(rows["user"], rows["film"]))
    seen = np.array(
        [[float((user, film) in pairs) for film in films["film"]] for user in people["user"]]
    )
    for film in range(len(films)):
        others = np.delete(seen, film, axis=1)
        gram = others.T @ others + strength * np.eye(len(films) - 1)
        weights = np.linalg.solve(gram, others.T @ seen[:, film])
        np.testing.assert_allclose(found[:, film], others @ weights, atol=1e-9)


def test_a_threshold_of_genres_is_the_best_one(rng: np.random.Generator) -> None:
    names = ["a", "b", "c"]
    own = [[name for name in names if rng.random() < 0.5] or ["a"] for _ in range(40)]
    films = pd.DataFrame({"plot": ["x"] * 40, "title": ["y"] * 40, "genres": own})
    exam = genres._Genres(films, names)
    right = genres.has_genres(pd.DataFrame({"genres": own}), names)
    scores = right + rng.normal(size=right.shape)
    threshold = exam.decide(scores)
    best = max(f1_score(right, scores >= value, average="micro") for value in scores.ravel())
    measures = exam.grade(scores, threshold).measures
    assert measures["micro-F1"] == pytest.approx(best)
    assert measures["macro-F1"] == pytest.approx(
        f1_score(right, scores >= threshold, average="macro")
    )
    assert exam.grade(right.astype(float), 0.5).measures["found"] == 1


def test_the_weight_of_a_hybrid_is_decided_on_validation(rng: np.random.Generator) -> None:
    articles = [[f"w{place}", "x", "y"] for place in range(40)]
    exam = documents._Origin(articles, [])
    noise = rng.normal(size=(40, 40))
    both = np.stack([noise, np.eye(40)])
    weight = exam.decide(both)
    assert weight in documents._WEIGHTS
    reached = exam.grade(both, weight).measures["hit_rate@10"]
    for other in documents._WEIGHTS:
        assert reached >= exam.grade(noise + other * np.eye(40)).measures["hit_rate@10"]
    assert reached > exam.grade(noise).measures["hit_rate@10"]
    assert exam.decide(noise) is None


def test_a_sentence_is_no_longer_in_its_article() -> None:
    articles = [[f"s{article}-{place}" for place in range(4)] for article in range(5)]
    pairs = documents.query_and_rest(articles, 2, 1)
    assert len(pairs) == 10 and not pairs.duplicated().any()
    for sentence, rest in zip(pairs["sentence"], pairs["article"]):
        own = articles[int(sentence[1])]
        assert rest.split() == [other for other in own if other != sentence]


def test_means_of_words_weigh_rare_ones_more() -> None:
    vectors = {"the": np.array([1.0, 0.0]), "cat": np.array([0.0, 1.0])}
    texts = ["the cat", "the", "the dog", "the end"]
    # the idf that scikit-learn smooths
    the, cat = (np.log(5 / (1 + count)) + 1 for count in (4, 1))
    found = np.array([the, cat]) / (the + cat)
    centre = (found + 3 * np.array([1, 0])) / 4
    expected = (found - centre) / np.linalg.norm(found - centre)
    means = WordMeans(texts, vectors, 2)
    np.testing.assert_allclose(means.of(["The cat", "the unknown cat"]), [expected] * 2, atol=1e-6)
    # a text of unknown words has no direction
    np.testing.assert_array_equal(means.of(["nothing known"]), [[0, 0]])


def test_a_published_setting_leaves_out_what_the_data_say() -> None:
    setting = published("movielens_rating")
    assert setting["enc_dim"] == 1024 and setting["mini_batch_size"] == 64
    assert not [key for key in setting if key.startswith("_") or "vocab" in key or "seq" in key]
    assert published("document_embedding")["tied_token_embedding_weight"] is True


@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("network", ["hcnn", "bilstm", "pooled_embedding"])
def test_a_twin_learns_and_keeps_its_best_epoch(network: str) -> None:
    from benchmarks.quality.torch_twin import Twin

    rng = np.random.default_rng(1)
    kinds = ["red", "blue"]
    first = [f"{kinds[place]} w{rng.integers(5)}" for place in rng.integers(2, size=400)]
    second = [f"{kinds[place]} w{rng.integers(5)}" for place in rng.integers(2, size=400)]
    labels = np.array([one.split()[0] == other.split()[0] for one, other in zip(first, second)])
    twin = Twin(
        first[:300], second[:300], labels[:300].astype(np.int64), 2, shared=True, seed=1,
        enc0_network=network, enc_dim=16, enc0_token_embedding_dim=16,
        enc0_layers=1, mlp_layers=0, learning_rate=0.01, mini_batch_size=32, epochs=8,
    )  # fmt: skip
    twin.train(first[300:], second[300:], labels[300:].astype(np.int64))
    found = twin.answers(first[300:], second[300:]).argmax(1)
    assert np.mean(found == labels[300:]) > 0.9
    assert twin.embeddings(first[:3]).shape == (3, 16)
