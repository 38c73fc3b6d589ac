# SPDX-License-Identifier: Apache-2.0
"""A real task for each recipe: its tables, read from ``OBJECT2VEC_DATA``, and what counts as good.

Tables are data frames. The test part is used by `judge` alone, and only where it is asked for.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from object2vec.backend.mxnet_import import mx
from object2vec.data.arrays import TokenLists
from object2vec.inference.predictor import Predictor
from object2vec.prepare.splits import Split, Splitter
from object2vec.prepare.table_pairs import encode_table
from object2vec.prepare.tables import open_table
from object2vec.raw_values.encode_values import encode_side
from object2vec.raw_values.inputs import Inputs

Tables = dict[str, pd.DataFrame]
_FIRST = 10
_VALIDATION = 5  # ratings of each person
_SPLIT_SEED = 0
_QUERIES = 3  # sentences of an article that are learned from


@dataclass(frozen=True)
class Task:
    """A data set for a recipe.

    Attributes
    ----------
    data, measure : str
        In a few words.
    columns : dict
        What a `TableChoice` takes.
    load : callable
        Folder of the data sets to the tables ``train``, ``validation``, ``test``, and ``others``
        where there are objects of in1 that no pair for training has.
    judge : callable
        Predictor, inputs, name of the part and all tables to a number.
    stops : bool
        Whether the validation part decides the epoch. It cannot where its pairs have no negatives:
        there the recipe says how many epochs there are.
    """

    data: str
    measure: str
    columns: dict[str, Any]
    load: Callable[[Path], Tables]
    judge: Callable[[Predictor, Inputs, str, Tables], float]
    stops: bool


def all_scores(predictor: Predictor, in0: TokenLists, in1: TokenLists) -> np.ndarray:
    """How well each object of one side goes with each of the other, by the model's own scorer.

    Returns
    -------
    numpy.ndarray
        float32 ``(len(in0), len(in1))``: the odds, as a logarithm, of the last class against the
        first, or the predicted number.
    """
    settings = predictor.hyperparameters
    left, right = predictor.embeddings(0, in0), predictor.embeddings(1, in1)
    layers = [
        (weight.asnumpy(), bias.asnumpy())
        for weight, bias in predictor.network.scorer.layers(mx.cpu(0))
    ]
    scores = np.empty((len(left), len(right)), np.float32)
    for row, vector in enumerate(left):
        compared = {
            "hadamard": lambda vector=vector: [vector * right],
            "concat": lambda vector=vector: [np.broadcast_to(vector, right.shape), right],
            "abs_diff": lambda vector=vector: [np.abs(vector - right)],
        }
        parts = [part for name in settings.comparator_list for part in compared[name]()]
        x = np.concatenate(parts, 1) if len(parts) > 1 else parts[0]
        for weight, bias in layers[:-1]:
            x = x @ weight.T + bias
            if settings.mlp_activation != "linear":
                x = np.tanh(x) if settings.mlp_activation == "tanh" else np.maximum(x, 0)
        x = x @ layers[-1][0].T + layers[-1][1]
        scores[row] = x[:, -1] - x[:, 0] if x.shape[1] > 1 else x[:, 0]
    return scores


def _ratings(folder: Path) -> Tables:
    """MovieLens 100K; of ua.base five ratings of each person for validation, ua.test for test."""
    source = folder / "ml-100k"
    people = pd.read_csv(
        source / "u.user", sep="|", names=["user", "age", "gender", "occupation", "zip"]
    )
    genres = [line.split("|")[0] for line in (source / "u.genre").read_text().split()]
    names = ["film", "title", "date", "video", "address", *genres]
    films = pd.read_csv(source / "u.item", sep="|", names=names, encoding="latin-1")
    films["year"] = films["date"].str[-4:].astype(float)
    films["genres"] = [
        "|".join(genre for genre in genres if row[genre]) for _, row in films.iterrows()
    ]
    events = {
        name: pd.read_csv(source / f"ua.{name}", sep="\t", names=["user", "film", "rating", "time"])
        .merge(people[["user", "age", "gender", "occupation"]], on="user", how="left")
        .merge(films[["film", "year", "genres"]], on="film", how="left")
        for name in ("base", "test")
    }
    return {**_held_back(events["base"]), "test": events["test"]}


def _interactions(folder: Path) -> Tables:
    """Who rated which film, without stars; of each person the last film but one, and the last."""
    tables = _ratings(folder)
    # ua.base and ua.test together are all ratings
    every = pd.concat([*tables.values()], ignore_index=True)
    splitter = Splitter(Split("leave_one_out", 0.1, 0.1, by="user", time="time"))
    table = open_table(every)
    (batch,) = table.batches(splitter.columns)
    splitter.look(batch, 0, np.ones(batch.rows, bool))
    splitter.finish()
    parts = splitter.assign(batch, 0)
    return {
        name: every[parts == place] for place, name in enumerate(("train", "validation", "test"))
    }


def _held_back(table: pd.DataFrame) -> Tables:
    """Some rows of each person for validation, as ua.test has ten; the same for every seed."""
    shuffled = table.sample(frac=1, random_state=_SPLIT_SEED)
    chosen = shuffled.groupby("user").cumcount() < _VALIDATION
    return {"train": shuffled[~chosen], "validation": shuffled[chosen]}


def _mean_squared_error(predictor: Predictor, inputs: Inputs, part: str, tables: Tables) -> float:
    pairs, _ = encode_table(inputs, tables[part])
    return float(np.mean((predictor.scores(pairs.in0, pairs.in1) - pairs.labels) ** 2))


def _accuracy(predictor: Predictor, inputs: Inputs, part: str, tables: Tables) -> float:
    pairs, _ = encode_table(inputs, tables[part])
    return float(np.mean(predictor.scores(pairs.in0, pairs.in1).argmax(1) == pairs.labels))


def _hits_of_films(predictor: Predictor, inputs: Inputs, part: str, tables: Tables) -> float:
    """Share of the people whose film is among the best of all that they have not seen before."""
    before = pd.concat([tables[name] for name in _before(part)])
    films = pd.concat([*tables.values()]).drop_duplicates("film").sort_values("film")
    held = tables[part].sort_values("user")
    place = {film: row for row, film in enumerate(films["film"])}
    row = {user: number for number, user in enumerate(held["user"])}
    scores = all_scores(
        predictor,
        *(_encoded(inputs, side, table) for side, table in (("in0", held), ("in1", films))),
    )
    known = before[before["user"].isin(row)]
    scores[known["user"].map(row), known["film"].map(place)] = -np.inf
    return _hits(scores, held["film"].map(place).to_numpy())


def _before(part: str) -> list[str]:
    return ["train"] if part == "validation" else ["train", "validation"]


def _encoded(inputs: Inputs, side: str, table: pd.DataFrame) -> TokenLists:
    names = [column.name for column in inputs.side(side).columns]
    return encode_side(inputs, side, table[names].to_dict("records"))


def _hits(scores: np.ndarray, right: np.ndarray) -> float:
    """Share of the rows whose right column is among the best; of equal ones half come before."""
    own = scores[np.arange(len(right)), right][:, None]
    ranks = (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2
    return float(np.mean(ranks < _FIRST))


def _sentences(folder: Path) -> Tables:
    """SNLI: the pairs of its train set that are at hand, its dev and its test set."""
    source = folder / "snli"
    columns = ["label", "premise", "hypothesis"]
    kinds = {1: "neutral", 2: "contradiction", 3: "entailment"}
    train = pd.concat(
        [
            pd.read_csv(
                source / f"cat_subset_{name}.tsv.gz", sep="\t", quoting=csv.QUOTE_NONE,
                names=["label", "again", *columns[1:]], keep_default_na=False,
            )
            for name in ("train", "test")
        ]
    )  # fmt: skip
    train["label"] = train["label"].map(kinds)
    tables = {}
    for part, name in (("more", "train_0.01"), ("validation", "dev"), ("test", "test")):
        with gzip.open(source / f"snli_1.0_{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows = [
                (pair["gold_label"], pair["sentence1"], pair["sentence2"])
                for pair in map(json.loads, lines)
            ]
        tables[part] = pd.DataFrame([row for row in rows if row[0] != "-"], columns=columns)
    train = pd.concat([train[columns], tables.pop("more")]).drop_duplicates(columns[1:])
    return {"train": train, **tables}


def _films(folder: Path) -> Tables:
    """TMDB's films; a tenth of them for validation, another one for the test."""
    path = folder / "movies/top10K-TMDB-movies.csv.gz"
    table = pd.read_csv(path)[["plot", "genres"]].dropna()
    table = table[table["genres"] != "[]"].sample(frac=1, random_state=_SPLIT_SEED)
    tenth = len(table) // 10
    return {
        "train": table[2 * tenth :],
        "validation": table[:tenth],
        "test": table[tenth : 2 * tenth],
    }


def _found_genres(predictor: Predictor, inputs: Inputs, part: str, tables: Tables) -> float:
    """Share of the films' genres that are among as many best ones as the film has."""
    table = tables[part]
    vocabulary = inputs.vocabularies[inputs.in1.columns[0].vocabulary]
    names = list(vocabulary.values)  # type: ignore[union-attr]
    scores = all_scores(
        predictor,
        encode_side(inputs, "in0", table["plot"].tolist()),
        encode_side(inputs, "in1", [[name] for name in names]),
    )
    order = np.argsort(-scores, axis=1)
    found = total = 0
    for text, best in zip(table["genres"], order):
        own = set(json.loads(text.replace("'", '"')))
        found += len(own & {names[place] for place in best[: len(own)]})
        total += len(own)
    return found / total


def _articles(folder: Path) -> Tables:
    """Wikipedia: a sentence of an article, and the others; the pool of 4,000 goes with the test."""
    rng = np.random.default_rng(_SPLIT_SEED)
    tables = {}
    parts = {"train": "train", "validation": "dev", "test": "test", "others": "test_basedocs"}
    for part, name in parts.items():
        path = folder / f"wikipedia/{name}.txt.gz"
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            articles = [line.rstrip("\n").split("\t") for line in lines]
        rows = []
        for sentences in articles:
            count = _QUERIES if part == "train" else 1
            for place in rng.permutation(len(sentences))[:count]:
                others = sentences[:place] + sentences[place + 1 :]
                rows.append((sentences[place], " ".join(others)))
        tables[part] = pd.DataFrame(rows, columns=["sentence", "article"])
    return tables


def _hits_of_articles(predictor: Predictor, inputs: Inputs, part: str, tables: Tables) -> float:
    """Share of the sentences whose article is among the best of all of its part."""
    asked = tables[part]
    pool = [asked] if part == "validation" else [asked, tables["others"]]
    articles = pd.concat(pool)["article"].tolist()
    scores = all_scores(
        predictor,
        encode_side(inputs, "in0", asked["sentence"].tolist()),
        encode_side(inputs, "in1", articles),
    )
    return _hits(scores, np.arange(len(asked)))


_PERSON = ["user", "age", "gender", "occupation"]
_FILM = ["film", "year", "genres"]
TASKS: dict[str, Task] = {
    "ratings": Task(
        "MovieLens 100K, with users' and films' features", "mean squared error",
        {"in0": _PERSON, "in1": _FILM, "label": "rating"}, _ratings, _mean_squared_error, True,
    ),
    "ratings-ids": Task(
        "MovieLens 100K, ids alone", "mean squared error",
        {"in0": "user", "in1": "film", "label": "rating"}, _ratings, _mean_squared_error, True,
    ),
    "interactions": Task(
        "MovieLens 100K, leave one out, all films ranked", "hits among the first 10",
        {"in0": "user", "in1": "film"}, _interactions, _hits_of_films, False,
    ),
    "text_pair": Task(
        "SNLI, 23,000 pairs", "accuracy",
        {"in0": "premise", "in1": "hypothesis", "label": "label", "tied": True},
        _sentences, _accuracy, True,
    ),
    "text_tags": Task(
        "TMDB, plot to genres", "genres among as many best ones",
        {"in0": {"name": "plot", "min_count": 2}, "in1": {"name": "genres", "explode": True}},
        _films, _found_genres, False,
    ),
    "documents": Task(
        "Wikipedia, sentence to its article", "hits among the first 10",
        {"in0": {"name": "sentence", "min_count": 2}, "in1": {"name": "article", "min_count": 2},
         "tied": True, "max_length": 100},
        _articles, _hits_of_articles, False,
    ),
}  # fmt: skip
