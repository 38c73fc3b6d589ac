# SPDX-License-Identifier: Apache-2.0
"""TMDB's films: which genres does a plot have?"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import pandas as pd

from benchmarks.quality.data import films_with_genres
from benchmarks.quality.exams import (
    Answer,
    Contestant,
    Exam,
    Grade,
    Lessons,
    Sealed,
    Task,
    combinations,
)
from benchmarks.quality.ours import Ours, all_scores
from benchmarks.quality.texts import TfidfTexts, words
from object2vec import Object2Vec
from object2vec.evaluation.classification import ClassCounts
from object2vec.raw_values.stems import stems

# A film is one object: the other side of its pair is a column of one value.
_NOTHING = "what"
_LEAST = 1e-9  # no chance is so small or so near to 1, in the logarithm of odds


class Asked(NamedTuple):
    """Films and all genres; answered by a score for each pair."""

    plots: list[str]
    titles: list[str]
    genres: list[str]


class _Genres(Exam):
    """A film has the genres whose scores reach a threshold, which the validation part decides."""

    def __init__(self, films: pd.DataFrame, genres: list[str]) -> None:
        self.questions = Asked(films["plot"].tolist(), films["title"].tolist(), genres)
        self._right = has_genres(films, genres)

    def grade(self, answers: np.ndarray, decided: Optional[float] = None) -> Grade:
        counts = ClassCounts.of(self._right, answers >= (0 if decided is None else decided))
        # a film has as many guesses as it has genres
        best = np.argsort(np.argsort(-answers, axis=1, kind="stable"), axis=1)
        among = best < self._right.sum(1, keepdims=True)
        found = float((among & self._right).sum() / self._right.sum())
        return Grade({"micro-F1": counts.micro_f1, "macro-F1": counts.macro_f1, "found": found})

    def decide(self, answers: np.ndarray) -> Optional[float]:
        order = np.argsort(-answers, axis=None)
        right = np.cumsum(self._right.ravel()[order])
        values = 2 * right / (np.arange(1, len(order) + 1) + self._right.sum())
        return float(answers.ravel()[order[np.argmax(values)]])


def has_genres(films: pd.DataFrame, genres: list[str]) -> np.ndarray:
    """bool ``(films, genres)``."""
    return np.array([[genre in own for genre in genres] for own in films["genres"]])


def load(folder: Path, rows: Optional[int] = None) -> Task:
    """The task: a tenth of the films for validation, another one for the test."""
    films = films_with_genres(folder)
    films = films.head(rows or len(films))
    tenth = len(films) // 10
    validation, test, train = films[:tenth], films[tenth : 2 * tenth], films[2 * tenth :]
    genres = sorted(set(itertools.chain(*train["genres"])))
    return Task(
        "genres", "TMDB, the genres of a plot", ("micro-F1", "macro-F1", "found"),
        Lessons(train, validation, beside={"genres": genres}), _Genres(validation, genres),
        Sealed(_Genres(test, genres)), learns_validation=True,
    )  # fmt: skip


def contestants() -> list[Contestant]:
    """Ours, by labels and by pairs; a linear model of words and pairs of words, and fastText."""
    plot, title = ({"name": name, "kind": "text", "min_count": 2} for name in ("plot", "title"))
    stemmed = [{**column, "stem": "english", "min_count": 1} for column in (plot, title)]
    labels = {"in1": _NOTHING, "label": "genres"}
    pairs = {"in0": plot, "in1": {"name": "genres", "explode": True}}
    recipe: dict[str, Any] = {"preset": "text_labels", "stops": False}
    with_stems = Ours(
        "ours recipe, with titles, stems", {"in0": stemmed, **labels}, _table,
        _by_labels_with_titles, **recipe,
    )  # fmt: skip
    return [
        Ours("ours recipe", {"in0": plot, **labels}, _table, _by_labels, **recipe),
        Ours(
            "ours recipe, with titles", {"in0": [plot, title], **labels}, _table,
            _by_labels_with_titles, **recipe,
        ),
        with_stems,
        _MeanOf(with_stems),
        Ours("ours text_tags", pairs, _table, _by_pairs, preset="text_tags", stops=False),
        _Linear(),
        _Linear(with_titles=True),
        _Linear(with_titles=True, with_stems=True),
        _FastText(),
    ]  # fmt: skip


def _table(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    return rows.assign(**{_NOTHING: "film"})


def _by_labels(model: Object2Vec) -> dict[str, Answer]:
    return {"score": lambda asked: _of_genres(model, asked.genres, asked.plots)}


def _by_labels_with_titles(model: Object2Vec) -> dict[str, Answer]:
    def scores(asked: Asked) -> np.ndarray:
        films = [{"plot": p, "title": t} for p, t in zip(asked.plots, asked.titles)]
        return _of_genres(model, asked.genres, films)

    return {"score": scores}


def _of_genres(model: Object2Vec, genres: list[str], films: list[Any]) -> np.ndarray:
    classes = model.classes_
    assert classes is not None
    chances = model.predict([(film, "film") for film in films])
    return chances[:, [classes.index(genre) for genre in genres]]


def _by_pairs(model: Object2Vec) -> dict[str, Answer]:
    def scores(asked: Asked) -> np.ndarray:
        return all_scores(model, asked.plots, [[genre] for genre in asked.genres])

    return {"score": scores}


class _MeanOf:
    """Three trainings of another contestant; the answer is the mean of their logarithms of odds."""

    needs, is_seeded = (), True

    def __init__(self, one: Ours) -> None:
        self._one = one
        self.name, self.grid, self.given = f"{one.name}, mean of 3", one.grid, one.given

    def fit(self, lessons: Lessons, setting: dict[str, Any], seed: int) -> dict[str, Answer]:
        """See `exams.Contestant`."""
        # no two seeds have a training in common
        members = [self._one.fit(lessons, setting, 3 * seed + place) for place in range(3)]

        def scores(asked: Asked) -> np.ndarray:
            chances = np.stack([member["score"](asked) for member in members]).astype(np.float64)
            chances = np.clip(chances, _LEAST, 1 - _LEAST)
            return np.mean(np.log(chances / (1 - chances)), axis=0)

        return {"score": scores}


class _Linear:
    """TF-IDF of words and pairs of words, and a logistic regression for each genre."""

    needs, is_seeded = ("sklearn",), False

    def __init__(self, *, with_titles: bool = False, with_stems: bool = False) -> None:
        self._with_titles, self._with_stems = with_titles, with_stems
        beside = ", with titles" * with_titles + ", stems" * with_stems
        self.name = f"TF-IDF bigrams + logistic regression{beside}"

    def grid(self) -> list[dict[str, Any]]:
        """See `exams.Contestant`."""
        return [{"C": strength} for strength in (1, 3, 10, 30)]

    def fit(self, lessons: Lessons, setting: dict[str, Any], seed: int) -> dict[str, Answer]:
        """See `exams.Contestant`."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.multiclass import OneVsRestClassifier

        films = lessons.rows
        given = self._texts(films["plot"].tolist(), films["title"].tolist())
        texts = TfidfTexts(given, ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        one = LogisticRegression(solver="liblinear", **setting)
        model = OneVsRestClassifier(one).fit(
            texts.of(given), has_genres(films, lessons.beside["genres"]).astype(int)
        )

        def scores(asked: Asked) -> np.ndarray:
            found = self._texts(asked.plots, asked.titles)
            return np.asarray(model.decision_function(texts.of(found)))

        return {"score": scores}

    def _texts(self, plots: list[str], titles: list[str]) -> list[str]:
        texts = plots
        if self._with_titles:
            texts = [f"{plot} {title}" for plot, title in zip(plots, titles)]
        if self._with_stems:
            texts = [" ".join(stems(words(text), "english")) for text in texts]
        return texts


class _FastText:
    """fastText's classifier with a yes or no for each genre."""

    name, needs, is_seeded = "fastText supervised", ("fasttext",), True

    def grid(self) -> list[dict[str, Any]]:
        """See `exams.Contestant`."""
        return combinations(lr=[0.1, 0.3], epoch=[25, 50], wordNgrams=[1, 2], dim=[100])

    def fit(self, lessons: Lessons, setting: dict[str, Any], seed: int) -> dict[str, Answer]:
        """See `exams.Contestant`."""
        import fasttext

        genres = lessons.beside["genres"]
        labels = {genre: f"__label__{place}" for place, genre in enumerate(genres)}
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
            for _, film in lessons.rows.iterrows():
                own = " ".join(labels[genre] for genre in film["genres"] if genre in labels)
                file.write(f"{own} {' '.join(words(film['plot']))}\n")
            file.flush()
            model = fasttext.train_supervised(
                file.name, loss="ova", minCount=2, bucket=500_000, seed=seed, verbose=0, **setting
            )

        def scores(asked: Asked) -> np.ndarray:
            found = np.zeros((len(asked.plots), len(asked.genres)))
            for row, plot in enumerate(asked.plots):
                for label, score in zip(*model.predict(" ".join(words(plot)), k=-1)):
                    found[row, int(label.removeprefix("__label__"))] = score
            return found

        return {"score": scores}
