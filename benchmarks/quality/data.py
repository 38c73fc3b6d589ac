# SPDX-License-Identifier: Apache-2.0
"""The data sets in ``OBJECT2VEC_DATA``, as they are published, without any split of our own."""

from __future__ import annotations

import ast
import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd

# Data that are split here are split the same way for every seed of a training.
SPLIT_SEED = 0

Article = list[str]


def movielens(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """MovieLens 100K: the ratings of ua.base and of ua.test, and all films.

    Returns
    -------
    base, test : pandas.DataFrame
        ``user``, ``film``, ``rating``, ``time``, and the features of both.
    films : pandas.DataFrame
        ``film``, ``year`` and ``genres``, separated by ``|``.
    """
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
    films = films[["film", "year", "genres"]]
    base, test = (
        pd.read_csv(source / f"ua.{name}", sep="\t", names=["user", "film", "rating", "time"])
        .merge(people[["user", "age", "gender", "occupation"]], on="user", how="left")
        .merge(films, on="film", how="left")
        for name in ("base", "test")
    )
    return base, test, films


def snli(folder: Path) -> dict[str, pd.DataFrame]:
    """SNLI: the pairs of its train set that are at hand, its dev and its test set.

    Returns
    -------
    dict of str to pandas.DataFrame
        ``train``, ``validation`` and ``test`` with ``label``, ``premise`` and ``hypothesis``.
    """
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
    # some pairs stand in both
    train = pd.concat([train[columns], tables.pop("more")]).drop_duplicates(columns[1:])
    return {"train": train.reset_index(drop=True), **tables}


def films_with_genres(folder: Path) -> pd.DataFrame:
    """TMDB's films that have a plot and genres, shuffled: ``plot``, ``title``, and ``genres`` as
    lists."""
    path = folder / "movies/top10K-TMDB-movies.csv.gz"
    table = pd.read_csv(path, converters={"genres": ast.literal_eval})[["plot", "title", "genres"]]
    table = table[table["plot"].notna() & table["genres"].astype(bool)]
    return table.sample(frac=1, random_state=SPLIT_SEED).reset_index(drop=True)


def wikipedia(folder: Path) -> dict[str, list[Article]]:
    """Wikipedia's articles, lists of sentences, by part: ``train``, ``dev``, ``test``,
    ``test_basedocs``, the last being articles that are found beside those of the test."""
    parts = {}
    for part in ("train", "dev", "test", "test_basedocs"):
        path = folder / f"wikipedia/{part}.txt.gz"
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            parts[part] = [line.rstrip("\n").split("\t") for line in lines]
    return parts


def questions(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """STS 2016, pairs of questions that people scored, and such that nobody scored.

    Returns
    -------
    scored, unscored : pandas.DataFrame
        ``score``, which is missing of the second, ``first``, ``second``.
    """
    table = pd.read_csv(
        folder / "sts2016/question-question.test.tsv", sep="\t", quoting=csv.QUOTE_NONE,
        names=["score", "first", "second"],
    )  # fmt: skip
    return table[table["score"].notna()], table[table["score"].isna()]


def glove(folder: Path) -> dict[str, np.ndarray]:
    """The most frequent words of GloVe 6B, of 50 dimensions, float32."""
    path = folder / "glove/glove.6B.50d.subset.txt.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [line.rstrip("\n").split(" ") for line in lines]
    return {row[0]: np.array(row[1:], np.float32) for row in rows}
