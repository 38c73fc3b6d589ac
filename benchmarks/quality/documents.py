# SPDX-License-Identifier: Apache-2.0
"""Wikipedia: which article is a sentence from, among 5,000 that lack the sentence?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import pandas as pd

from benchmarks.quality.data import SPLIT_SEED, Article, wikipedia
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
from benchmarks.quality.ours import Ours, all_scores, by_embeddings, published
from benchmarks.quality.texts import TfidfTexts, WordMeans, words, write_singular_vectors
from object2vec import Object2Vec
from object2vec.evaluation.ranking import by_name, ranks_of

_MEASURES = ("hit_rate@10", "hit_rate@1", "hit_rate@20", "mean_rank")
_QUERIES = 3  # sentences of an article that the published setting learns from
_WIDTH = 300  # of the recipe's embeddings
_WEIGHTS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # of the words' score, in a hybrid
COLUMNS = {
    "in0": {"name": "sentence", "min_count": 2},
    "in1": {"name": "article", "min_count": 2},
    "tied_token_embedding_weight": True,
}
# An article is given once: the recipe pairs parts of it with the rest, others in each epoch.
WHOLE = {
    "in0": {"name": "article", "min_count": 2},
    "in1": {"name": "article", "min_count": 2},
    "tied_token_embedding_weight": True,
}


class Asked(NamedTuple):
    """Sentences, and the articles to find theirs in; answered by a score for each pair."""

    sentences: list[str]
    articles: list[str]


class _Origin(Exam):
    """The answers may also hold two scores for each pair, ``(2, sentences, articles)``: the second
    one, times a number that is decided, is added to the first."""

    def __init__(self, asked: Sequence[Article], others: Sequence[Article]) -> None:
        pairs = query_and_rest(asked, 1, SPLIT_SEED)
        rest = [" ".join(article) for article in others]
        self.questions = Asked(pairs["sentence"].tolist(), [*pairs["article"], *rest])

    def grade(self, answers: np.ndarray, decided: Optional[float] = None) -> Grade:
        if answers.ndim > 2:
            answers = answers[0] + np.float32(decided or 0) * answers[1]
        right = np.eye(*answers.shape, dtype=bool)
        ranks = ranks_of(answers, right, ties="mean")
        return Grade.of_each({measure: by_name(measure, ranks) for measure in _MEASURES})

    def decide(self, answers: np.ndarray) -> Optional[float]:
        if answers.ndim == 2:
            return None
        first = _MEASURES[0]
        return max(_WEIGHTS, key=lambda weight: self.grade(answers, weight).measures[first])


def load(folder: Path, rows: Optional[int] = None) -> Task:
    """The task; with `rows`, only so many articles of each part."""
    parts = {name: articles[:rows] for name, articles in wikipedia(folder).items()}
    return Task(
        "documents", "Wikipedia, a sentence's article among 5,000",
        _MEASURES, Lessons(parts["train"], parts["dev"]), _Origin(parts["dev"], ()),
        Sealed(_Origin(parts["test"], parts["test_basedocs"])), smaller=("mean_rank",),
    )  # fmt: skip


def contestants() -> list[Contestant]:
    """Ours, alone and beside the words' score; the models of words and documents."""
    setting = {**published("document_embedding"), "enc0_max_seq_len": 50, "enc1_max_seq_len": 50}
    return [
        _Hybrid(Ours("ours recipe", WHOLE, whole, ways, preset="documents", stops=False)),
        _Hybrid(
            _FromSvd("ours recipe, from SVD", WHOLE, whole, ways, preset="documents", stops=False)
        ),
        Ours("ours published", COLUMNS, table, ways, preset=None, stops=True, settings=setting),
        _Tfidf(),
        _ReducedTfidf(),
        _Doc2Vec(),
        _FastText(),
    ]


def query_and_rest(articles: Sequence[Article], count: int, seed: int) -> pd.DataFrame:
    """Random sentences of each article beside the article without them.

    Parameters
    ----------
    articles : sequence of list of str
        Their sentences.
    count : int
        How many sentences of each article, at most.
    seed : int
        What decides which ones.

    Returns
    -------
    pandas.DataFrame
        ``sentence`` and ``article``.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for sentences in articles:
        for place in rng.permutation(len(sentences))[:count]:
            rest = sentences[:place] + sentences[place + 1 :]
            rows.append((sentences[place], " ".join(rest)))
    return pd.DataFrame(rows, columns=["sentence", "article"])


def table(articles: Sequence[Article], seed: int) -> pd.DataFrame:
    """The pairs that the published setting learns from."""
    return query_and_rest(articles, _QUERIES, seed)


def whole(articles: Sequence[Article], seed: int) -> pd.DataFrame:
    """The articles that the recipe learns from: ``article``."""
    return pd.DataFrame({"article": all_texts(articles)})


def ways(model: Object2Vec) -> dict[str, Answer]:
    """Ours answers by its own score and by its embeddings."""

    def scores(asked: Asked) -> np.ndarray:
        return all_scores(model, asked.sentences, asked.articles)

    def embed(asked: Asked) -> tuple[np.ndarray, np.ndarray]:
        return model.embed(in0=asked.sentences), model.embed(in1=asked.articles)

    return {"score": scores, **by_embeddings(embed)}


def all_texts(articles: Sequence[Article]) -> list[str]:
    """The articles as one text each."""
    return [" ".join(sentences) for sentences in articles]


class _FromSvd(Ours):
    """Ours, whose token vectors start from an SVD of the articles' TF-IDF matrix."""

    needs = ("sklearn",)

    def fit(self, lessons: Lessons, setting: dict[str, Any], seed: int) -> dict[str, Answer]:
        """See `exams.Contestant`; the SVD's time counts."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "vectors.npz")
            width = int(setting.get("enc_dim", _WIDTH))
            write_singular_vectors(all_texts(lessons.rows), width, seed, path)
            start = {
                "auxiliary": folder,
                "enc0_pretrained_embedding_file": path.name,
                "enc0_freeze_pretrained_embedding": False,
            }
            return super().fit(lessons, {**start, **setting}, seed)


class _Hybrid:
    """Ours, and another way of answering: its cosine and that of TF-IDF vectors, added up."""

    needs, is_seeded = ("sklearn",), True

    def __init__(self, ours: Ours) -> None:
        self._ours = ours
        self.name, self.grid, self.given = ours.name, ours.grid, ours.given

    def fit(self, lessons: Lessons, setting: dict[str, Any], seed: int) -> dict[str, Answer]:
        """See `exams.Contestant`."""
        answers = self._ours.fit(lessons, setting, seed)

        def both(asked: Asked) -> np.ndarray:
            texts = TfidfTexts(all_texts(lessons.rows), sublinear_tf=True)
            return np.stack([answers["cosine"](asked), texts.cosines(*asked)])

        return {**answers, "cosine + TF-IDF": both}


class _Tfidf:
    """Cosine of TF-IDF vectors, with no limit to the words."""

    name, needs, is_seeded = "TF-IDF", ("sklearn",), False

    def grid(self) -> list[dict[str, Any]]:
        """See `exams.Contestant`."""
        return combinations(sublinear_tf=[True, False], min_df=[1, 2], stop_words=[None, "english"])

    def fit(self, lessons: Lessons, setting: dict[str, Any], seed: int) -> dict[str, Answer]:
        """See `exams.Contestant`."""
        texts = TfidfTexts(all_texts(lessons.rows), **setting)
        return {"cosine": lambda asked: texts.cosines(*asked)}


class _ReducedTfidf:
    """Cosine after a truncated SVD of the TF-IDF vectors to the width of ours."""

    name, needs, is_seeded = "TF-IDF + SVD, 300", ("sklearn",), True

    def grid(self) -> list[dict[str, Any]]:
        """See `exams.Contestant`."""
        return combinations(sublinear_tf=[True, False], stop_words=[None, "english"], min_df=[2])

    def fit(self, lessons: Lessons, setting: dict[str, Any], seed: int) -> dict[str, Answer]:
        """See `exams.Contestant`."""
        from sklearn.decomposition import TruncatedSVD

        learnt = all_texts(lessons.rows)
        texts = TfidfTexts(learnt, **setting)
        reduction = TruncatedSVD(300, random_state=seed).fit(texts.of(learnt))
        return _alike(lambda given: reduction.transform(texts.of(given)))


class _Doc2Vec:
    """gensim's Doc2Vec of the articles; vectors of sentences and of other articles are inferred."""

    name, needs, is_seeded = "gensim Doc2Vec, 300", ("gensim",), True

    def grid(self) -> list[dict[str, Any]]:
        """See `exams.Contestant`; one setting, for each takes ten minutes, and ten times as long
        with words' own vectors (dbow_words).

        One worker, as several would make one seed's vectors differ. A short text takes many epochs
        to be inferred, and a long one few: more of them fit it to words that say little.
        """
        return [
            {
                **{"vector_size": 300, "negative": 10, "min_count": 2, "sample": 1e-5, "dm": 0},
                **{"epochs": 40, "sentence_epochs": 200, "article_epochs": 5, "workers": 1},
            }
        ]

    def fit(self, lessons: Lessons, setting: dict[str, Any], seed: int) -> dict[str, Answer]:
        """See `exams.Contestant`."""
        from gensim.models.doc2vec import Doc2Vec, TaggedDocument

        own = dict(setting)
        of_sentence, of_article = own.pop("sentence_epochs"), own.pop("article_epochs")
        learnt = all_texts(lessons.rows)
        tagged = [TaggedDocument(words(text), [place]) for place, text in enumerate(learnt)]
        model = Doc2Vec(tagged, seed=seed, **own)

        def inferred(texts: list[str], epochs: int) -> np.ndarray:
            return np.stack([model.infer_vector(words(text), epochs=epochs) for text in texts])

        return _cosine(
            lambda asked: (
                inferred(asked.sentences, of_sentence), inferred(asked.articles, of_article)
            )
        )  # fmt: skip


class _FastText:
    """gensim's FastText; a text is the mean of its words' vectors, weighted by their idf."""

    name, needs, is_seeded = "gensim FastText, 300", ("gensim", "sklearn"), True

    def grid(self) -> list[dict[str, Any]]:
        """See `exams.Contestant`; one setting, for each takes a quarter of an hour."""
        return [
            {
                **{"vector_size": 300, "negative": 10, "min_count": 2, "sample": 1e-4, "sg": 1},
                **{"window": 5, "epochs": 5, "bucket": 200_000, "workers": 1},
            }
        ]

    def fit(self, lessons: Lessons, setting: dict[str, Any], seed: int) -> dict[str, Answer]:
        """See `exams.Contestant`."""
        from gensim.models import FastText

        learnt = all_texts(lessons.rows)
        vectors = FastText([words(text) for text in learnt], seed=seed, **setting).wv
        return _alike(WordMeans(learnt, vectors, vectors.vector_size).of)


def _alike(embed: Callable[[list[str]], np.ndarray]) -> dict[str, Answer]:
    """The way of answering of what embeds sentences and articles alike."""
    return _cosine(lambda asked: (embed(asked.sentences), embed(asked.articles)))


def _cosine(embed: Callable[[Asked], tuple[np.ndarray, np.ndarray]]) -> dict[str, Answer]:
    """The way of answering of what embeds both sides, without the dot product."""
    return {"cosine": by_embeddings(embed)["cosine"]}
