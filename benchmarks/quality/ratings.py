# SPDX-License-Identifier: Apache-2.0
"""Ratings of MovieLens 100K, ua.base and ua.test: how far off are the stars that are predicted?"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

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
from benchmarks.quality.ours import Ours, published
from object2vec import Object2Vec

_VALIDATION = 5  # ratings of each person, as ua.test has ten
_PERSON = ["user", "age", "gender", "occupation"]
_FILM = ["film", "year", "genres"]


class _Stars(Exam):
    def __init__(self, rows: pd.DataFrame) -> None:
        self.questions = rows.drop(columns="rating").reset_index(drop=True)
        self._stars = rows["rating"].to_numpy(np.float64)

    def grade(self, answers: np.ndarray, decided: Optional[float] = None) -> Grade:
        return Grade.of_each({"mse": (answers - self._stars) ** 2})


def load(folder: Path, rows: Optional[int] = None) -> Task:
    """The task; with `rows`, only so many of each part."""
    base, test, _ = movielens(folder)
    shuffled = base.sample(frac=1, random_state=SPLIT_SEED)
    chosen = shuffled.groupby("user").cumcount() < _VALIDATION
    train, validation = shuffled[~chosen].head(rows or len(base)), shuffled[chosen].head(rows)
    test = test.head(rows or len(test))
    return Task(
        "ratings", "MovieLens 100K, stars of ua.test", ("mse",), Lessons(train, validation),
        _Stars(validation), Sealed(_Stars(test)), smaller=("mse",), learns_validation=True,
    )  # fmt: skip


def contestants() -> list[Contestant]:
    """Ours, with ids alone and with features; surprise's matrix factorizations."""
    ids = {"in0": "user", "in1": "film", "label": "rating"}
    with_features = {**ids, "in0": _PERSON, "in1": _FILM}
    return [
        Ours("ours recipe, ids", ids, _table, _ways, preset="ratings", stops=True),
        Ours("ours recipe, features", with_features, _table, _ways, preset="ratings", stops=True),
        Ours(
            "ours published, ids", ids, _table, _ways, preset=None, stops=True,
            settings=published("movielens_rating"),
        ),
        _Surprise("surprise SVD", "SVD", n_factors=[100, 200], n_epochs=[40, 80],
                  reg_all=[0.06, 0.08, 0.1]),
        _Surprise("surprise SVD++", "SVDpp", n_factors=[20, 50], n_epochs=[30],
                  reg_all=[0.02, 0.05, 0.08]),
    ]  # fmt: skip


def _table(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    return rows


def _ways(model: Object2Vec) -> dict[str, Answer]:
    return {"score": model.predict}


class _Surprise:
    """One of scikit-surprise's algorithms, with all combinations of the values that are given."""

    needs = ("surprise",)
    is_seeded = True

    def __init__(self, name: str, algorithm: str, **values: list[Any]) -> None:
        self.name, self._algorithm, self._values = name, algorithm, values

    def grid(self) -> list[dict[str, Any]]:
        """See `exams.Contestant`."""
        return combinations(**self._values)

    def fit(self, lessons: Lessons, setting: dict[str, Any], seed: int) -> dict[str, Answer]:
        """See `exams.Contestant`."""
        import surprise

        rows = lessons.rows[["user", "film", "rating"]]
        data = surprise.Dataset.load_from_df(rows, surprise.Reader(rating_scale=(1, 5)))
        model = getattr(surprise, self._algorithm)(random_state=seed, **setting)
        model.fit(data.build_full_trainset())

        def stars(asked: pd.DataFrame) -> np.ndarray:
            pairs = zip(asked["user"], asked["film"])
            return np.array([model.predict(user, film).est for user, film in pairs])

        return {"score": stars}
