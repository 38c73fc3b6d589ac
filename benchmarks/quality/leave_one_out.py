# SPDX-License-Identifier: Apache-2.0
"""MovieLens 100K without stars: of all films that a person has not seen, which is the next?

Everyone's last film is the test's, the one before it the validation's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import pandas as pd

from benchmarks.quality.data import SPLIT_SEED, movielens
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
from benchmarks.quality.ours import Ours, all_scores, by_embeddings
from object2vec import Object2Vec
from object2vec.evaluation.ranking import by_name, ranks_of
from object2vec.prepare.splits import Split, Splitter
from object2vec.prepare.tables import open_table

_PERSON = ["user", "age", "gender", "occupation"]
_FILM = ["film", "year", "genres"]
_MEASURES = ("ndcg@10", "hit_rate@10")


class Asked(NamedTuple):
    """People and all films, each once and in order, with their features; answered by a score for
    each pair."""

    users: pd.DataFrame
    films: pd.DataFrame


class _Next(Exam):
    """Ranks what a person has not seen `before`."""

    def __init__(self, before: pd.DataFrame, held: pd.DataFrame, films: pd.DataFrame) -> None:
        held = held.sort_values("user")
        self.questions = Asked(held[_PERSON], films)
        self._right = np.searchsorted(films["film"], held["film"])
        known = before[before["user"].isin(held["user"])]
        self._seen = np.zeros((len(held), len(films)), bool)
        rows = np.searchsorted(held["user"], known["user"])
        self._seen[rows, np.searchsorted(films["film"], known["film"])] = True

    def grade(self, answers: np.ndarray, decided: Optional[float] = None) -> Grade:
        right = self._right[:, None] == np.arange(answers.shape[1])
        ranks = ranks_of(answers, right, self._seen, ties="mean")
        return Grade.of_each({measure: by_name(measure, ranks) for measure in _MEASURES})


def load(folder: Path, rows: Optional[int] = None) -> Task:
    """The task; with `rows`, only so many people."""
    base, test, films = movielens(folder)
    # ua.base and ua.test together are all ratings
    every = pd.concat([base, test])
    every = every[every["user"] <= (rows or len(every))]
    # many films of a person have one time: which of them is the last is left to chance, as else
    # it were the one with the highest number, and these are seldom seen
    every = every.sample(frac=1, random_state=SPLIT_SEED).reset_index(drop=True)
    splitter = Splitter(Split("leave_one_out", 0.1, 0.1, by="user", time="time"))
    (batch,) = open_table(every).batches(splitter.columns)
    splitter.look(batch, 0, np.ones(batch.rows, bool))
    splitter.finish()
    parts = splitter.assign(batch, 0)
    train, validation, test = (every[parts == place] for place in range(3))
    catalogue = films.sort_values("film")[_FILM]
    before = pd.concat([train, validation])
    return Task(
        "leave_one_out", "MovieLens 100K, everyone's last film among all unseen ones",
        _MEASURES,
        Lessons(train, validation, beside={"films": catalogue}),
        _Next(train, validation, catalogue), Sealed(_Next(before, test, catalogue)),
        learns_validation=True,
    )  # fmt: skip


def contestants() -> list[Contestant]:
    """Ours; implicit's matrix factorizations, EASE and popularity."""
    ids = {"in0": "user", "in1": "film"}
    return [
        Ours("ours recipe", ids, _table, _ways, preset="interactions", stops=False),
        _Popularity(),
        _Ease(),
        _Implicit("implicit ALS", "als", "AlternatingLeastSquares", factors=[64, 128, 256],
                  regularization=[1.0, 10.0, 30.0], alpha=[1.0, 4.0], iterations=[15]),
        _Implicit("implicit BPR", "bpr", "BayesianPersonalizedRanking", factors=[64, 128],
                  learning_rate=[0.01, 0.05], regularization=[0.01, 0.05], iterations=[100]),
    ]  # fmt: skip


def _table(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    return rows[list(dict.fromkeys([*_PERSON, *_FILM]))]


def _ways(model: Object2Vec) -> dict[str, Answer]:
    inputs = model.inputs
    assert inputs is not None
    names = inputs.in0.names, inputs.in1.names

    def objects(asked: Asked) -> list[list[dict[str, Any]]]:
        return [part[own].to_dict("records") for part, own in zip(asked, names)]

    def embed(asked: Asked) -> tuple[np.ndarray, np.ndarray]:
        users, films = objects(asked)
        return model.embed(in0=users), model.embed(in1=films)

    return {
        "score": lambda asked: all_scores(model, *objects(asked)),
        **by_embeddings(embed),
    }


def _seen(lessons: Lessons) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The people of the lessons, in order, and the row and column of each film they have seen."""
    users, rows = np.unique(lessons.rows["user"], return_inverse=True)
    return users, rows, np.searchsorted(lessons.beside["films"]["film"], lessons.rows["film"])


class _Popularity:
    """How often a film was seen."""

    name, needs, is_seeded = "popularity", (), False

    def grid(self) -> list[dict[str, Any]]:
        """See `exams.Contestant`."""
        return [{}]

    def fit(self, lessons: Lessons, setting: dict[str, Any], seed: int) -> dict[str, Answer]:
        """See `exams.Contestant`."""
        counts = np.bincount(_seen(lessons)[2], minlength=len(lessons.beside["films"]))
        return {"score": lambda asked: np.tile(counts, (len(asked.users), 1))}


class _Ease:
    """EASE, a linear model of films by films without itself: Steck, WWW 2019, equation 8."""

    name, needs, is_seeded = "EASE", (), False

    def grid(self) -> list[dict[str, Any]]:
        """See `exams.Contestant`."""
        return [{"lambda": value} for value in (25, 50, 100, 200, 400, 800)]

    def fit(self, lessons: Lessons, setting: dict[str, Any], seed: int) -> dict[str, Answer]:
        """See `exams.Contestant`."""
        users, rows, columns = _seen(lessons)
        seen = np.zeros((len(users), len(lessons.beside["films"])))
        seen[rows, columns] = 1
        gram = seen.T @ seen
        gram[np.diag_indices_from(gram)] += setting["lambda"]
        inverse = np.linalg.inv(gram)
        weights = inverse / -np.diag(inverse)
        weights[np.diag_indices_from(weights)] = 0
        scores = seen @ weights
        return {"score": lambda asked: scores[np.searchsorted(users, asked.users["user"])]}


class _Implicit:
    """One of implicit's models, with all combinations of the values that are given."""

    needs = ("implicit",)
    is_seeded = True

    def __init__(self, name: str, module: str, model: str, **values: list[Any]) -> None:
        self.name, self._module, self._model, self._values = name, module, model, values

    def grid(self) -> list[dict[str, Any]]:
        """See `exams.Contestant`."""
        return combinations(**self._values)

    def fit(self, lessons: Lessons, setting: dict[str, Any], seed: int) -> dict[str, Answer]:
        """See `exams.Contestant`."""
        import importlib

        from scipy import sparse

        users, rows, columns = _seen(lessons)
        shape = len(users), len(lessons.beside["films"])
        seen = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
        kind = getattr(importlib.import_module(f"implicit.cpu.{self._module}"), self._model)
        model = kind(random_state=seed, **setting)
        model.fit(seen, show_progress=False)

        def scores(asked: Asked) -> np.ndarray:
            return (
                model.user_factors[np.searchsorted(users, asked.users["user"])]
                @ model.item_factors.T
            )

        return {"score": scores}
