# SPDX-License-Identifier: Apache-2.0
"""The nearest objects: those that comparing all finds, whatever finds them."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_jobs import random_lists, random_network, settings
from test_search_space import NOT, SEARCHABLE, of_head

from object2vec import Object2Vec
from object2vec.cli import main
from object2vec.data.arrays import TokenLists
from object2vec.errors import CustomerError
from object2vec.inference.every_pair import EveryPair
from object2vec.inference.predictor import Predictor
from object2vec.inference.similarities import comparable
from object2vec.model.stored_index import METRICS, Cells, StoredIndex
from object2vec.neighbours import cell_search, exact_search
from object2vec.neighbours.build_index import with_cells
from object2vec.neighbours.exact_search import Exact
from object2vec.neighbours.index import Index
from object2vec.prepare.columns import ColumnChoice
from object2vec.serving.replies import reply_to
from object2vec.serving.settings import Settings
from tests.commands import one_sentence

FILMS = [f"Film {number} ({1980 + number % 9})" for number in range(40)]
USERS = [f"u{number}" for number in range(30)]


def ratings() -> pd.DataFrame:
    """Users like the films whose numbers have the remainder of their own."""
    rng = np.random.default_rng(4)
    rows = [
        (user, FILMS[film], 5 if number % 4 == film % 4 else 1)
        for number, user in enumerate(USERS)
        for film in rng.permutation(len(FILMS))[:25]
    ]
    return pd.DataFrame(rows, columns=["user", "film", "rating"])


@pytest.fixture(scope="module")
def model() -> Object2Vec:
    small = Object2Vec(enc_dim=8, epochs=15, learning_rate=0.05, seed=1)
    return small.fit(
        ratings(), in0="user", in1="film", label="rating", label_kind="number", split=None
    )


def distances(vectors: np.ndarray, queries: np.ndarray, metric: str) -> np.ndarray:
    """How near each vector is to each query, float64, the nearest having the highest."""
    vectors, queries = vectors.astype(np.float64), queries.astype(np.float64)
    if metric == "euclidean":
        return -np.linalg.norm(queries[:, None] - vectors[None], axis=2)
    if metric == "cosine":
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    return queries @ vectors.T


@pytest.mark.parametrize("metric", METRICS)
def test_an_exact_search_finds_the_nearest(
    metric: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, queries = rng.normal(size=(2, 90, 6)).astype(np.float32)
    queries = queries[:7]
    left_out = [rng.choice(90, number, replace=False) for number in (0, 1, 5, 89, 90, 3, 40)]
    near = distances(vectors, queries, metric)
    for row, places in enumerate(left_out):
        near[row, places] = -np.inf
    for block in (None, 13):
        if block:
            monkeypatch.setattr("object2vec.inference.every_pair._ELEMENTS", block)
        for k in (1, 10, 200):
            found = Exact(vectors, metric).nearest(queries, k, left_out)
            for own, each, places in zip(near, found, left_out):
                expected = np.argsort(-own, kind="stable")[: min(k, 90 - len(places))]
                assert each.places.tolist() == expected.tolist()
                told = -own[expected] if metric == "euclidean" else own[expected]
                assert each.scores == pytest.approx(told, abs=1e-5)


def test_small_distances_are_told_apart() -> None:
    """Far from the origin a difference of squares is rounded to nothing."""
    steps = np.array([[3], [1], [2], [0]], np.float32) * 0.5
    vectors = np.concatenate([np.full((4, 1), 5000, np.float32), steps], axis=1)
    (found,) = Exact(vectors, "euclidean").nearest(vectors[3:], 4, [np.zeros(0, np.int64)])
    assert found.places.tolist() == [3, 1, 2, 0] and found.scores.tolist() == [0, 0.5, 1, 1.5]


def predictor_of(rng: np.random.Generator, **head: Any) -> Predictor:
    return Predictor(random_network(settings(enc0_network="pooled_embedding", **head), rng))


def stored_of(predictor: Predictor, side: str, lists: TokenLists, metric: str) -> StoredIndex:
    names = tuple(map(str, range(len(lists))))
    return StoredIndex(side, names, lists, predictor.embeddings(int(side[-1]), lists), metric)


@pytest.mark.parametrize("head", [*SEARCHABLE, *NOT], ids=of_head)
@pytest.mark.parametrize("side", ["in0", "in1"])
def test_the_other_side_is_ranked_by_the_scores(
    side: str, head: dict[str, Any], rng: np.random.Generator
) -> None:
    predictor = predictor_of(rng, **head)
    objects, asked = random_lists(rng, 60, shortest=1), random_lists(rng, 5, shortest=1)
    stored, other = (
        stored_of(predictor, side, objects, "cosine"),
        {"in0": "in1", "in1": "in0"}[side],
    )
    classes = None if predictor.hyperparameters.classes is None else (1,)
    pairs = (asked, objects) if side == "in1" else (objects, asked)
    scores = predictor.candidate_scores(*pairs, classes)
    scores = scores if side == "in1" else scores.T
    expected = -np.sort(-scores, axis=1)[:, :7]
    indexes = [stored]
    if head in SEARCHABLE:
        # all that is looked for is found where all cells are looked into
        indexes.append(with_cells(stored, predictor, others=asked, recall=1.0))
        assert indexes[-1].cells.keys() == {"in0", "in1"}
    for index in indexes:
        found = Index(index, predictor).nearest(other, asked, 7, classes=classes).found
        for own, row, truth in zip(found, scores, expected):
            assert own.scores == pytest.approx(truth, abs=1e-5)
            assert row[own.places] == pytest.approx(truth, abs=1e-5)
            assert len(set(own.places.tolist())) == 7


@pytest.mark.parametrize("fewest_coded", [1, 5000], ids=["codes", "whole vectors"])
@pytest.mark.parametrize("metric", METRICS)
def test_cells_find_what_they_are_built_for(
    metric: str, fewest_coded: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell_search, "_BLOCK", 700)  # vectors come in parts
    monkeypatch.setattr(cell_search, "_FEWEST_CODED", fewest_coded)
    centres = rng.normal(size=(40, 7)) * 4  # of an odd width, which codes do not have
    vectors = (centres[rng.integers(40, size=3000)] + rng.normal(size=(3000, 7))).astype("f4")
    predictor = predictor_of(rng)
    lists = TokenLists.of_each(rng.integers(20, size=3000).astype(np.int32))
    stored = StoredIndex("in1", tuple(map(str, range(3000))), lists, vectors, metric)
    built = with_cells(stored, predictor, recall=0.9)
    cells = built.cells["in1"]
    assert list(built.cells) == ["in1"] and cells.recall is not None and cells.recall >= 0.85
    assert 1 <= cells.probes < len(cells.centroids) / 4
    assert (cells.codebook is None) == (fewest_coded == 5000)
    space, search = Index(built, predictor).searched("in1")
    rows = rng.choice(3000, 200, replace=False)
    itself = [np.array([row]) for row in rows]
    truth = Exact(vectors, metric).nearest(vectors[rows], 10, itself)
    found = search.nearest(space.queries(vectors[rows]), 10, itself)
    shared = [len(np.intersect1d(one.places, other.places)) for one, other in zip(truth, found)]
    assert 0.85 <= np.mean(shared) / 10 <= 1
    assert all(row not in own.places for row, own in zip(rows, found))
    for row, own in zip(rows, found):
        near = np.sort(distances(vectors[own.places], vectors[[row]], metric)[0])[::-1]
        assert own.scores == pytest.approx(-near if metric == "euclidean" else near, abs=1e-4)
    # more cells are looked into where the nearest ones hold too few
    (all_of_them,) = search.nearest(space.queries(vectors[:1]), 3000, [rows], probes=1)
    assert len(all_of_them.places) == 2800 and not np.isin(all_of_them.places, rows).any()


def test_one_query_that_lacks_objects_widens_no_other() -> None:
    """Else recall would be measured with more cells than a single query looks into."""
    places = np.arange(40) % 20
    vectors = np.stack([np.cos(places / 9), np.sin(places / 9)], axis=1).astype(np.float32)
    cells = Cells(vectors[:20:5], np.repeat([0, 1, 2, 3], [19, 19, 1, 1]).astype("i4"), probes=1)
    search = cell_search.CellSearch(lambda rows: vectors[rows], cells, False)
    queries, nothing = vectors[[0, 12]], [np.zeros(0, np.int64)] * 2
    both = search.nearest(queries, 10, nothing)
    (alone,) = search.nearest(queries[:1], 10, nothing[:1])
    assert both[0].places.tolist() == alone.places.tolist()
    assert set(alone.places.tolist()) <= set(range(19)) and len(both[1].places) == 10


@pytest.mark.slow
@pytest.mark.both_ways
@pytest.mark.parametrize("metric", METRICS)
def test_as_many_are_found_as_there_are(metric: str, rng: np.random.Generator) -> None:
    """Codes know nothing of a query of zeros, as of an empty list, or of many equal objects."""
    vectors = rng.normal(size=(20_500, 3)).astype(np.float32)
    vectors[rng.random(20_500) < 0.3] = 0
    lists = TokenLists.of_each(np.zeros(20_500, np.int32))
    stored = StoredIndex("in1", ("",) * 20_500, lists, vectors, metric)
    built = with_cells(stored, predictor_of(rng), recall=0.9)
    assert built.cells["in1"].codebook is not None
    space, search = Index(built, predictor_of(rng)).searched("in1")
    zero = np.flatnonzero(~vectors.any(axis=1))[:1]
    queries = vectors[[zero[0], 0, 1, 2]]
    left_out = [zero, *[np.zeros(0, np.int64)] * 3]
    for k in (1, 1000, 20_500):
        for own, excluded in zip(search.nearest(space.queries(queries), k, left_out), left_out):
            assert len(set(own.places.tolist())) == min(k, 20_500 - len(excluded))
            assert not np.isin(own.places, excluded).any()
    (found,) = search.nearest(space.queries(queries[:1]), 10, left_out[:1])
    (truth,) = Exact(vectors, metric).nearest(queries[:1], 10, left_out[:1])
    assert found.scores == pytest.approx(truth.scores, abs=1e-6)


def test_cells_of_another_width_are_refused(rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(50, 8)).astype(np.float32)
    lists = TokenLists.of_each(np.zeros(50, np.int32))
    cells = Cells(vectors[:4, :7], np.zeros(50, np.int32), probes=1)
    stored = StoredIndex("in1", ("",) * 50, lists, vectors, cells={"in1": cells})
    with pytest.raises(CustomerError) as error:
        Index(stored, predictor_of(rng)).prepare()
    assert str(error.value) == (
        "The index of in1 has cells of 7 numbers each for in1, but this model compares 8: build "
        "the index anew."
    )


@pytest.mark.slow
@pytest.mark.both_ways
def test_where_codes_do_not_tell_apart_vectors_are_compared(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell_search, "_FEWEST_CODED", 1)
    monkeypatch.setattr(cell_search, "_CANDIDATES", 10)
    monkeypatch.setattr(cell_search, "_CANDIDATES_OF_EACH", 1)
    vectors = (1 + rng.normal(size=(2000, 16)) * 1e-3).astype(np.float32)
    predictor = predictor_of(rng)
    lists = TokenLists.of_each(np.zeros(2000, np.int32))
    stored = StoredIndex("in1", ("",) * 2000, lists, vectors, "euclidean")
    cells = with_cells(stored, predictor, recall=0.99).cells["in1"]
    assert cells.codebook is None and cells.recall is not None and cells.recall > 0.98


def test_what_is_told_of_recall_is_true(rng: np.random.Generator) -> None:
    """Of vectors in no clusters one cell of many holds few of the nearest."""
    vectors = rng.normal(size=(2000, 30)).astype(np.float32)
    space = comparable(vectors, "cosine")
    cells = cell_search.shared_out(lambda rows: space[rows], 2000, False, 1)
    search = cell_search.CellSearch(lambda rows: space[rows], cells, False)
    nothing = [np.zeros(0, np.int64)] * 100
    truth = cell_search.truly_nearest(
        lambda rows: space[rows], 2000, False, space[:100], 10, nothing
    )
    recalls = [search.recall(space[:100], truth, nothing, probes) for probes in (1, 20, 176)]
    hits = [
        len(np.intersect1d(one.places, other.places))
        for one, other in zip(truth, search.nearest(space[:100], 10, nothing, 20))
    ]
    # one that is as near as the last of the nearest stands for it, but for rounding
    assert recalls[1] == pytest.approx(np.mean(hits) / 10, abs=0.0031)
    assert recalls[0] < 0.5 and recalls[2] == 1


def test_films_by_name(model: Object2Vec) -> None:
    found = model.nearest(in1=FILMS[8], k=5)
    vectors = model.vectors("in1")
    near = distances(vectors.vectors, vectors.vectors[[vectors.names.index(FILMS[8])]], "cosine")
    order = [name for _, name in sorted(zip(-near[0], vectors.names)) if name != FILMS[8]]
    assert [neighbour.name for neighbour in found] == order[:5]
    assert all(FILMS.index(neighbour.name) % 4 == 0 for neighbour in found)
    assert found.way == "40 objects were compared, all of them." and 0 <= found.seconds < 60
    several = model.nearest(in1=[FILMS[8], FILMS[9]], k=5)
    assert [n.name for n in several[0]] == order[:5] and len(several) == 2
    assert len(model.nearest(in1=FILMS[8], k=1000)) == 39
    users = model.nearest(in0="u1", among="in0", k=3)
    assert all(int(neighbour.name[1:]) % 4 == 1 for neighbour in users)


@pytest.mark.parametrize("kind", ["none", "exact", "cells"])
def test_films_for_a_user_are_those_with_the_best_scores(model: Object2Vec, kind: str) -> None:
    asked = copy.deepcopy(model)
    if kind != "none":
        asked.build_index(kind=kind, recall=1.0)
    top = model.scores("u3", FILMS, k=6)
    found = asked.nearest(in0="u3", k=6)
    assert [neighbour.name for neighbour in found] == [FILMS[place] for place in top.indices[0]]
    assert [n.score for n in found] == pytest.approx(top.scores[0].tolist(), abs=1e-5)
    users = asked.nearest(in1=FILMS[2], among="in0", k=30)
    scores = model.scores(USERS, [FILMS[2]])[:, 0]
    assert [n.score for n in users] == pytest.approx(np.sort(scores)[::-1].tolist(), abs=1e-5)


def test_objects_are_asked_for_as_the_index_calls_them(model: Object2Vec, tmp_path: Path) -> None:
    asked = copy.deepcopy(model)
    table = pd.DataFrame({"film": FILMS, "title": [f"The {film}!" for film in FILMS]})
    asked.build_index("in1", table, name="title")
    title = f"The {FILMS[2]}!"
    found = asked.nearest(in1=[title, FILMS[3]], k=5)
    for own, film in zip(found, FILMS[2:4]):
        expected = asked.nearest(in1=film, k=5)
        assert [one.name for one in own] == [one.name for one in expected]
    first = found[0][0].name
    left = asked.nearest(in1=title, k=5, leave_out=[first, FILMS[4]])
    assert not {first, f"The {FILMS[4]}!"} & {neighbour.name for neighbour in left}
    with pytest.raises(CustomerError, match="seen nothing of the object 'The end'"):
        asked.nearest(in1="The end", k=5)
    # a server as well
    asked.save(tmp_path)
    predictor = Predictor.load(tmp_path)
    instances = [
        {"in1": title, "nearest": 5, "leave_out": [first]},
        {"in0": "u3", "nearest": 40, "leave_out": [first]},
    ]
    body = json.dumps({"instances": instances})
    headers = {"Content-Type": "application/json"}
    reply = reply_to(predictor, body, headers, Settings.from_environment({}))
    for row, own in zip(json.loads(reply.body)["predictions"], (
        asked.nearest(in1=FILMS[2], k=5, leave_out=[first]),
        asked.nearest(in0="u3", k=40, leave_out=[first]),
    )):  # fmt: skip
        assert [one["name"] for one in row["nearest"]] == [neighbour.name for neighbour in own]
        assert first not in {one["name"] for one in row["nearest"]}


@pytest.mark.parametrize("kind", ["exact", "cells"])
def test_what_was_seen_is_left_out(model: Object2Vec, kind: str, tmp_path: Path) -> None:
    asked, table = copy.deepcopy(model), ratings()
    asked.build_index(kind=kind)
    seen = set(table[table.user == "u3"].film)
    assert len(seen) == 25
    path = tmp_path / "ratings.csv"
    table.to_csv(path, index=False)
    for given in (table, str(path), table.to_dict("records")):
        found = {neighbour.name for neighbour in asked.nearest(in0="u3", k=40, seen=given)}
        assert found == set(FILMS) - seen
    both = asked.nearest(in0=["u3", "u4"], k=40, seen=table, leave_out=[FILMS[0], "unheard of"])
    for user, own in zip(("u3", "u4"), both):
        kept = set(FILMS) - set(table[table.user == user].film) - {FILMS[0]}
        assert {neighbour.name for neighbour in own} == kept
    alike = asked.nearest(in1=FILMS[1], k=40, leave_out=FILMS[5])
    assert {neighbour.name for neighbour in alike} == set(FILMS) - {FILMS[1], FILMS[5]}


def test_an_index_travels_and_ends_with_its_model(model: Object2Vec, tmp_path: Path) -> None:
    kept = copy.deepcopy(model)
    index = kept.build_index(metric="dot", kind="cells", recall=0.9)
    assert kept.indexes == {"in1": index} and index.recall.keys() == {"in0", "in1"}
    assert "cells" in repr(index) and len(index) == 40 and index.metric == "dot"
    expected = [kept.nearest(in1=FILMS[3], k=4), kept.nearest(in0="u7", k=4)]
    kept.save(tmp_path)
    for other in (Object2Vec.load(tmp_path), pickle.loads(pickle.dumps(kept))):
        assert list(other.indexes) == ["in1"] and other.indexes["in1"].metric == "dot"
        found = [other.nearest(in1=FILMS[3], k=4), other.nearest(in0="u7", k=4)]
        for one, two in zip(found, expected):
            assert [n.name for n in one] == [n.name for n in two]
            assert one.way == two.way and "cells of 40 objects were searched, recall" in one.way
    # another metric than the index's is answered without it
    assert "all of them" in kept.nearest(in1=FILMS[3], metric="cosine").way
    kept.fit(ratings(), in0="user", in1="film", label="rating", label_kind="number")
    assert kept.indexes == {}


def test_given_objects_have_their_own_names(model: Object2Vec) -> None:
    table = pd.DataFrame({"film": FILMS[:6], "title": [f"T{number}" for number in range(6)]})
    found = model.nearest(in1=FILMS[0], k=9, objects=table, name="title")
    assert sorted(neighbour.name for neighbour in found) == [f"T{n}" for n in range(1, 6)]
    kept = copy.deepcopy(model)
    kept.build_index(objects=table, name="title")
    assert {n.name for n in kept.nearest(in0="u1", k=9)} == {f"T{n}" for n in range(6)}


def test_what_training_has_not_seen_is_left_out_by_its_name_alone(model: Object2Vec) -> None:
    objects = [FILMS[0], "new 1", "new 2", FILMS[1]]

    def found(**options: Any) -> set[str]:
        return {n.name for n in model.nearest(in0="u1", k=9, objects=objects, **options)}

    seen = pd.DataFrame({"user": ["u1", "u1"], "film": [FILMS[1], "unheard of"], "rating": [1, 2]})
    assert found(leave_out=["unheard of"]) == set(objects)
    assert found(leave_out=["new 1", FILMS[0]]) == {"new 2", FILMS[1]}
    assert found(seen=seen) == {FILMS[0], "new 1", "new 2"}


def test_texts_are_found_among_given_ones() -> None:
    texts = ["a cat sat", "a dog ran", "cats and dogs", "the sun is hot"]
    rows = [{"a": one, "b": other, "same": int(one == other)} for one in texts for other in texts]
    sides = {"in0": ColumnChoice("a", "text"), "in1": ColumnChoice("b", "text")}
    model = Object2Vec(enc_dim=4, epochs=1, seed=1).fit(rows, **sides, label="same")
    with pytest.raises(CustomerError, match="give its objects"):
        model.nearest(in1="a cat sat")
    found = model.nearest(in1="a cat sat", objects=texts, k=9)
    assert sorted(neighbour.name for neighbour in found) == sorted(texts[1:])
    # no scorer that is searched: its objects are all scored
    index = model.build_index(objects=texts, kind="cells", others=texts)
    assert list(index.stored.cells) == ["in1"]
    own = model.nearest(in0="a dog ran", k=2)
    top = model.scores("a dog ran", texts, k=2)
    assert [texts.index(neighbour.name) for neighbour in own] == top.indices[0].tolist()
    assert own.way == "4 objects were scored, all of them."


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "exactly one of in0 and in1"),
    "both": ({"in0": "u1", "in1": FILMS[0]}, "exactly one of in0 and in1"),
    "k": ({"in1": FILMS[0], "k": 0}, "k must be a whole number from 1"),
    "among": ({"in1": FILMS[0], "among": "in2"}, "side must be in0 or in1"),
    "metric": ({"in1": FILMS[0], "metric": "l2"}, "metric must be cosine or dot or euclidean"),
    "metric of scores": ({"in0": "u1", "metric": "dot"}, "metric compares objects of one side"),
    "class": ({"in1": FILMS[0], "class_": 1}, "class_ chooses scores"),
    "class of numbers": ({"in0": "u1", "class_": 1}, "has no classes"),
    "seen": ({"in1": FILMS[0], "seen": []}, "seen holds pairs"),
    "name": ({"in1": FILMS[0], "name": "film"}, "cannot name objects that are not given"),
    "unseen": ({"in1": "Film 3"}, r"seen nothing of the object 'Film 3' of in1 \(there are Film"),
    "misspelt": ({"in1": "Flim 3 (1983)"}, r"the nearest is 'Film 3 \(1983\)'"),
    "one of several": ({"in0": ["u1", "you"]}, "object 'you' of in0"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told_in_a_sentence(mistake: str, model: Object2Vec) -> None:
    given, words = MISTAKES[mistake]
    with pytest.raises(CustomerError, match=words):
        model.nearest(**given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"side": "in3"}, "side must be"), ({"metric": "l2"}, "metric must be"),
        ({"kind": "hnsw"}, "kind must be auto or exact or cells"),
        ({"recall": 0}, "recall must be above 0"), ({"recall": True}, "recall must be"),
    ],
    ids=["side", "metric", "kind", "zero", "no number"],
)  # fmt: skip
def test_mistakes_of_an_index(given: dict[str, Any], words: str, model: Object2Vec) -> None:
    with pytest.raises(CustomerError, match=words):
        model.build_index(**given)


def test_without_faiss_all_is_compared_and_cells_are_refused(
    model: Object2Vec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = copy.deepcopy(model)
    kept.build_index(kind="cells")
    kept.save(tmp_path)
    monkeypatch.setitem(sys.modules, "faiss", None)
    loaded = Object2Vec.load(tmp_path)
    assert len(loaded.nearest(in1=FILMS[0], metric="euclidean", k=3)) == 3
    for ask in (lambda: loaded.nearest(in1=FILMS[0]), lambda: loaded.build_index(kind="cells")):
        with pytest.raises(CustomerError, match=r"pip install 'object2vec\[neighbours\]'"):
            ask()
    assert loaded.indexes["in1"].stored.cells
    loaded.build_index()
    assert len(loaded.nearest(in1=FILMS[0], k=3)) == 3


@pytest.fixture(scope="module")
def folder(model: Object2Vec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nearest")
    model.save(folder / "model")
    ratings().to_csv(folder / "ratings.csv", index=False)
    return folder


def test_the_command_line(
    folder: Path, model: Object2Vec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--model-dir", str(folder / "model")]
    assert main(["nearest", *where, "--in1", FILMS[8], "-k", "3"]) == 0
    out, err = capsys.readouterr()
    expected = model.nearest(in1=FILMS[8], k=3)
    assert out.splitlines() == [f"{n.score:.4f}\t{n.name}" for n in expected]
    assert err.startswith("40 objects were compared, all of them. It took ")
    target = tmp_path / "found.jsonl"
    seen = ["--seen", str(folder / "ratings.csv"), "--leave-out", FILMS[0]]
    asked = ["--in0", "u3", "--in0", '{"user": "u4"}', "--json", "--output", str(target)]
    assert main(["nearest", *where, *asked, *seen]) == 0
    lines = [json.loads(line)["nearest"] for line in target.read_text().splitlines()]
    told = model.nearest(in0=["u3", "u4"], seen=ratings(), leave_out=[FILMS[0]])
    assert [[n["name"] for n in line] for line in lines] == [[n.name for n in own] for own in told]


def test_a_name_stands_on_one_line_and_brings_no_escape_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films = ["\x1b[31mred", "two\nlines", "a\tb\0", "می‌خواهم"]
    rows = [{"user": f"u{n % 3}", "film": films[n % 4], "stars": n % 5} for n in range(24)]
    model = Object2Vec(enc_dim=4, epochs=1, seed=1).fit(rows, in0="user", in1="film", label="stars")
    model.save(tmp_path)
    asked = ["--in1", films[0], "--in1", films[1]]
    assert main(["nearest", "--model-dir", str(tmp_path), *asked, "-k", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [lines[0], lines[4]] == ["[31mred", "two lines"] and len(lines) == 8
    assert {line.split("\t")[1] for line in lines[1:4]} == {"two lines", "a b", films[3]}
    assert not any("\x1b" in line for line in lines)


def test_an_index_by_the_command_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "model"
    Object2Vec.load(folder / "model").save(other)
    where = ["--model-dir", str(other)]
    assert main(["index", *where]) == 0
    told = "Wrote an index of 40 objects of in1. A search compares all of them.\n"
    assert capsys.readouterr().err == told
    assert main(["index", *where, "--side", "in0", "--kind", "cells", "--metric", "dot"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("Wrote an index of 30 objects of in0. For in0 a search looks into ")
    loaded = Object2Vec.load(other)
    assert {side: index.metric for side, index in loaded.indexes.items()} == {
        "in0": "dot", "in1": "cosine"
    }  # fmt: skip
    assert main(["nearest", *where, "--in0", "u1", "--among", "in0", "-k", "2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nearest"], "one of --in0 and --in1"),
        (["nearest", "--in1", "Film 3"], "there are Film 3 (1983)"),
        (["nearest", "--in1", FILMS[0], "-k", "0"], "k must be a whole number from 1"),
        (["nearest", "--in1", FILMS[0], "--seen", "nowhere.csv"], "seen holds pairs"),
        (["nearest", "--in0", "u1", "--class", "yes"], "--class is 'yes', but this model"),
        (["nearest", "--in0", "u1", "--metric", "dot"], "--metric compares objects of one side"),
        (["index", "--recall", "2"], "recall must be above 0 and at most 1"),
        (["index", "--objects", "nowhere.csv"], "nowhere.csv"),
    ],
    ids=["nothing", "unseen", "k", "seen", "class", "metric", "recall", "objects"],
)  # fmt: skip
def test_mistakes_on_the_command_line(
    arguments: list[str], words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *options = arguments
    assert main([command, "--model-dir", str(folder / "model"), *options]) == 1
    assert words in one_sentence(capsys.readouterr().err)


def test_an_archive_gets_no_index(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "model.tar.gz"
    archive.write_bytes(b"\x1f\x8b")
    assert main(["index", "--model-dir", str(archive)]) == 1
    assert "is an archive" in one_sentence(capsys.readouterr().err)


def test_scores_of_a_block_are_held_at_a_time(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scorer without a space is asked in blocks, and gives what it gives at once."""
    predictor = predictor_of(rng, mlp_layers=1, mlp_activation="tanh")
    objects, asked = random_lists(rng, 300), random_lists(rng, 4)
    index = Index(stored_of(predictor, "in1", objects, "cosine"), predictor)
    expected = index.nearest("in0", asked, 9).found
    sizes: list[tuple[int, ...]] = []
    scores = EveryPair.scores

    def counted(self: EveryPair, *vectors: np.ndarray) -> np.ndarray:
        found = scores(self, *vectors)
        sizes.append(found.shape)
        return found

    monkeypatch.setattr(EveryPair, "scores", counted)
    monkeypatch.setattr("object2vec.inference.every_pair._ELEMENTS", 64)
    found = index.nearest("in0", asked, 9).found
    assert len(sizes) > 10 and max(rows * columns for rows, columns in sizes) <= 64
    for one, other in zip(found, expected):
        assert one.scores == pytest.approx(other.scores, abs=1e-6)
    assert exact_search.SIMILARITIES == ("cosine", "dot")
