# SPDX-License-Identifier: Apache-2.0
"""Sentence pairs: what follows from what (SNLI), and how alike two questions are (STS 2016)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import pandas as pd

from benchmarks.quality import documents
from benchmarks.quality.data import glove, questions, snli, wikipedia
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
from benchmarks.quality.ours import Ours, unit
from benchmarks.quality.texts import TfidfTexts, WordMeans
from object2vec import Object2Vec
from object2vec.evaluation.correlation import pearson

_CLASSES = ("contradiction", "entailment", "neutral")
COLUMNS = {
    "in0": "premise",
    "in1": "hypothesis",
    "label": "label",
    "tied_token_embedding_weight": True,
}
# As of InferSent: all comparators, a linear MLP of two layers of 512; sizes that train in minutes.
_NETWORK = {"enc_dim": 512, "mini_batch_size": 64, "epochs": 10}
# Ours, as the validation part chose: three epochs of a falling rate, of which the one is kept that
# answers most pairs right, as of the twins; hcnn's batches are of lists of any length.
_OF_OURS: dict[str, Any] = {
    "learning_rate_schedule": "linear",
    "epochs": 3,
    "early_stopping_metric": "accuracy",
    "early_stopping_tolerance": 0.0001,
}
_BUCKETS = {"hcnn": 0, "bilstm": 8}


class Pairs(NamedTuple):
    """Two texts of each pair; answered by a score for each class, or by how alike they are."""

    first: list[str]
    second: list[str]


class _Inference(Exam):
    def __init__(self, rows: pd.DataFrame) -> None:
        self.questions = Pairs(rows["premise"].tolist(), rows["hypothesis"].tolist())
        self._right = classes_of(rows)

    def grade(self, answers: np.ndarray, decided: Optional[float] = None) -> Grade:
        return Grade.of_each({"accuracy": (answers.argmax(1) == self._right).astype(float)})


class _Likeness(Exam):
    def __init__(self, rows: pd.DataFrame) -> None:
        self.questions = Pairs(rows["first"].tolist(), rows["second"].tolist())
        self._scores = rows["score"].to_numpy()

    def grade(self, answers: np.ndarray, decided: Optional[float] = None) -> Grade:
        return Grade({"Pearson": pearson(self._scores, answers)})


def classes_of(rows: pd.DataFrame) -> np.ndarray:
    """int64 ``(pairs,)``: places of the labels in the order that answers have."""
    return np.searchsorted(_CLASSES, rows["label"])


def load_snli(folder: Path, rows: Optional[int] = None) -> Task:
    """SNLI, the pairs at hand; with `rows`, only so many of each part."""
    parts = {name: table.head(rows or len(table)) for name, table in snli(folder).items()}
    return Task(
        "snli", "SNLI, 25,302 pairs of its train set, the official test", ("accuracy",),
        Lessons(parts["train"], parts["validation"]), _Inference(parts["validation"]),
        Sealed(_Inference(parts["test"])),
    )  # fmt: skip


def load_sts(folder: Path, rows: Optional[int] = None) -> Task:
    """STS 2016; what is learnt is SNLI or Wikipedia, and no setting is chosen on these pairs."""
    pairs = {name: table.head(rows or len(table)) for name, table in snli(folder).items()}
    articles = {name: found[:rows] for name, found in wikipedia(folder).items()}
    scored, unscored = questions(folder)
    beside = {
        "pairs": Lessons(pairs["train"], pairs["validation"]),
        "articles": Lessons(articles["train"], articles["dev"]),
        "questions": [*unscored["first"], *unscored["second"]],
        "glove": glove(folder),
    }
    return Task(
        "sts", "STS 2016, 209 pairs of questions", ("Pearson",), Lessons(None, beside=beside), None,
        Sealed(_Likeness(scored)),
    )  # fmt: skip


def contestants_of_snli() -> list[Contestant]:
    """Ours by the recipe and with the twins' networks; the twins in PyTorch."""
    return [
        Ours("ours recipe", COLUMNS, _table, _classes, preset="text_pair", stops=True),
        *(
            Ours(f"ours {network}", COLUMNS, _table, _classes, preset="text_pair", stops=True,
                 settings={**_of_network(network), **_OF_OURS, "bucket_width": width})
            for network, width in _BUCKETS.items()
        ),
        *(_Twin(network) for network in _BUCKETS),
    ]  # fmt: skip


def contestants_of_sts() -> list[Contestant]:
    """Ours and the twins, trained on other tasks; weighted means of GloVe's vectors, TF-IDF."""
    return [
        _Elsewhere(
            "ours recipe, SNLI", "pairs",
            Ours("", COLUMNS, _table, _alike, preset="text_pair", stops=True),
        ),
        _Elsewhere(
            "ours recipe, Wikipedia", "articles",
            Ours("", documents.WHOLE, documents.whole, _alike,
                 preset="documents", stops=False),
        ),
        *(
            _Elsewhere(f"torch {network}, SNLI", "pairs", _Twin(network, is_alike=True))
            for network in ("hcnn", "bilstm")
        ),
        _WordsAlone("GloVe 50, idf", _glove),
        _WordsAlone("TF-IDF", _tfidf),
    ]  # fmt: skip


def _of_network(network: str) -> dict[str, Any]:
    return {
        **_NETWORK, "enc0_network": network, "enc1_network": network, "mlp_layers": 2,
        "mlp_dim": 512, "mlp_activation": "linear", "dropout": 0.0, "learning_rate": 0.001,
        "comparator_list": "hadamard,concat,abs_diff",
    }  # fmt: skip


def _table(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    return rows


def _classes(model: Object2Vec) -> dict[str, Answer]:
    order = [model.classes_.index(name) for name in _CLASSES]

    def scores(asked: Pairs) -> np.ndarray:
        table = pd.DataFrame({"premise": asked.first, "hypothesis": asked.second})
        return model.predict(table)[:, order]

    return {"score": scores}


def _alike(model: Object2Vec) -> dict[str, Answer]:
    return _cosine(lambda texts: model.embed(in0=texts))


def _cosine(embed: Callable[[list[str]], Any]) -> dict[str, Answer]:
    return {"cosine": lambda asked: np.sum(unit(embed(asked.first)) * unit(embed(asked.second)), 1)}


class _Twin:
    """The network in PyTorch; both sides have one encoder or each its own."""

    needs, is_seeded = ("torch",), True

    def __init__(self, network: str, is_alike: bool = False) -> None:
        self.name, self._network, self._is_alike = f"torch {network}", network, is_alike

    def grid(self) -> list[dict[str, Any]]:
        """See `exams.Contestant`; one setting where nothing can choose."""
        if self._is_alike:
            return [{"shared": True, "learning_rate": 0.001}]
        return combinations(shared=[True, False], learning_rate=[0.0004, 0.001])

    def fit(self, lessons: Lessons, setting: dict[str, Any], seed: int) -> dict[str, Answer]:
        """See `exams.Contestant`."""
        from benchmarks.quality.torch_twin import Twin

        rows, judged = lessons.train, lessons.validation
        twin = Twin(
            rows["premise"].tolist(), rows["hypothesis"].tolist(), classes_of(rows), len(_CLASSES),
            seed=seed, **{**_of_network(self._network), **setting},
        )  # fmt: skip
        twin.train(judged["premise"].tolist(), judged["hypothesis"].tolist(), classes_of(judged))
        return _cosine(twin.embeddings) if self._is_alike else {"score": lambda a: twin.answers(*a)}


class _Elsewhere:
    """A contestant of another task, trained on that one's lessons."""

    is_seeded = True

    def __init__(self, name: str, lessons: str, contestant: Any) -> None:
        self.name, self.needs, self.grid = name, contestant.needs, contestant.grid
        self.given = getattr(contestant, "given", {})
        self._lessons, self._contestant = lessons, contestant

    def fit(self, lessons: Lessons, setting: dict[str, Any], seed: int) -> dict[str, Answer]:
        """See `exams.Contestant`."""
        return self._contestant.fit(lessons.beside[self._lessons], setting, seed)


class _WordsAlone:
    """What knows of the questions nothing but how common their words are."""

    needs, is_seeded = ("sklearn",), False

    def __init__(self, name: str, embed: Callable[[Lessons], Callable[[list[str]], Any]]) -> None:
        self.name, self._embed = name, embed

    def grid(self) -> list[dict[str, Any]]:
        """See `exams.Contestant`."""
        return [{}]

    def fit(self, lessons: Lessons, setting: dict[str, Any], seed: int) -> dict[str, Answer]:
        """See `exams.Contestant`."""
        return _cosine(self._embed(lessons))


def _glove(lessons: Lessons) -> Callable[[Sequence[str]], np.ndarray]:
    return WordMeans(lessons.beside["questions"], lessons.beside["glove"], 50).of


def _tfidf(lessons: Lessons) -> Callable[[Sequence[str]], np.ndarray]:
    texts = TfidfTexts(lessons.beside["questions"], sublinear_tf=True)
    return lambda asked: texts.of(asked).toarray()
