# SPDX-License-Identifier: Apache-2.0
"""`evaluate` with a task, in Python and on the command line: figures, baselines, mistakes."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from raw_rows import FRAME, ROWS, write_csv
from scipy import stats
from sklearn import metrics
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from object2vec import Evaluation, Object2Vec
from object2vec.cli import main
from object2vec.errors import CustomerError
from object2vec.evaluation.results import Confusion, Measure
from tests.commands import write_lines

KNOWN, ASKED = ROWS[:120], ROWS[120:]
FAST: dict[str, Any] = {"resamples": 20}


def text_rows(seed: int, count: int) -> list[dict[str, Any]]:
    """Questions and documents of topics; each document has a word that no other one has."""
    rng = np.random.default_rng(seed)
    rows = []
    for row in range(count):
        words = [f"w{number}" for number in 10 * rng.integers(6) + rng.integers(20, size=14)]
        own = f"rare{seed}x{row}"
        rows.append(
            {"question": " ".join([words[0], own]), "document": " ".join([*words[4:], own]),
             "alike": float(rng.integers(6)), "film": f"f{row % 5}"}
        )  # fmt: skip
    return rows


TRAIN, TEST = text_rows(1, 150), text_rows(2, 40)


@pytest.fixture(scope="module")
def texts() -> Object2Vec:
    """A model that finds documents, and knows no word that stands in one document alone."""
    side = {"kind": "text", "min_count": 2}
    return Object2Vec.from_table(
        TRAIN, in0={"name": "question", **side}, in1={"name": "document", **side},
        preset="documents", tied_token_embedding_weight=True, enc_dim=8, epochs=2, seed=1,
    )  # fmt: skip


def test_numbers_beside_means_that_are_known(stars: Object2Vec) -> None:
    found = stars.evaluate(ASKED, task="auto", seen=KNOWN, **FAST)
    labels = np.array([row["stars"] for row in ASKED], float)
    predicted = stars.predict(ASKED)
    assert found.task == "numbers" and found.count == len(ASKED)
    for name, value in stars.evaluate(ASKED).items():
        assert found[name] == pytest.approx(value, rel=1e-5)
    assert found["pearson"] == pytest.approx(stats.pearsonr(labels, predicted)[0])
    known, asked = pd.DataFrame(KNOWN), pd.DataFrame(ASKED)
    expected = {"global mean": np.full(len(ASKED), known["stars"].mean())}
    for side, columns in (("in0", ["user"]), ("in1", ["film", "genres"])):
        means = known.groupby(columns)["stars"].mean().rename("mean").reset_index()
        joined = asked.merge(means, "left", columns)["mean"]
        expected[f"{side} mean"] = joined.fillna(known["stars"].mean()).to_numpy()
    assert set(found.baselines) == set(expected)
    for name, guess in expected.items():
        own = found.baselines[name]["mean_squared_error"].value
        assert own == pytest.approx(metrics.mean_squared_error(labels, guess)), name
    measure = found.measures["mean_squared_error"]
    assert measure.low is not None and measure.high is not None
    assert measure.low < measure.value < measure.high
    assert found.residuals is not None and sum(found.residuals.counts) == len(ASKED)
    assert stars.evaluate(ASKED, task="labels", **FAST).baselines.keys() == {"mean of these labels"}


def test_classes_beside_their_shares(liked: Object2Vec) -> None:
    found = liked.evaluate(ASKED, task="labels", seen=KNOWN, **FAST)
    scores = liked.predict(ASKED)
    labels = np.array([row["liked"] == "yes" for row in ASKED])
    assert found.task == "classes"
    for name, value in liked.evaluate(ASKED).items():
        assert found[name] == pytest.approx(value, rel=1e-5)
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(labels, scores[:, 1]), abs=1e-3)
    area = metrics.average_precision_score(labels, scores[:, 1])
    assert found["average_precision"] == pytest.approx(area, abs=1e-3)
    predicted = scores[:, 1] > 0.5
    assert found["macro_f1"] == metrics.f1_score(labels, predicted, average="macro")
    assert found.confusion is not None and found.reliability is not None
    assert found.confusion.classes == ["no", "yes"]
    matrix = metrics.confusion_matrix(labels, predicted)
    assert found.confusion.counts == matrix.tolist()
    gaps = [
        abs(one.confidence - one.accuracy) * one.count for one in found.reliability if one.count
    ]
    assert found["calibration_error"] == pytest.approx(sum(gaps) / len(ASKED))
    share = np.mean([row["liked"] == "yes" for row in KNOWN])
    prior = found.baselines["class prior"]["cross_entropy"].value
    assert prior == pytest.approx(metrics.log_loss(labels, np.full(len(labels), share)))


def of_three_labels(pairs: list[dict[str, Any]]) -> Object2Vec:
    """Trained on pairs of ids below 9, which may have several of three classes."""
    return Object2Vec(
        enc0_max_seq_len=1, enc0_vocab_size=9, enc0_network="pooled_embedding", enc_dim=4,
        output_layer="multi_label", num_classes=3, epochs=1, seed=1,
    ).fit(pairs)  # fmt: skip


def test_several_classes_beside_their_shares() -> None:
    rng = np.random.default_rng(2)
    pairs = [
        {"in0": [a], "in1": [b], "label": [c for c in range(3) if (a + b) % (c + 2) == 0]}
        for a, b in rng.integers(9, size=(120, 2)).tolist()
    ]
    model = of_three_labels(pairs)
    found = model.evaluate(pairs, task="auto", seen=pairs, **FAST)
    assert found.task == "label sets"
    for name, value in model.evaluate(pairs).items():
        assert found[name] == pytest.approx(value, rel=1e-5)
    shares = np.mean([[c in row["label"] for c in range(3)] for row in pairs], axis=0)
    entropy = -np.mean(shares * np.log(shares) + (1 - shares) * np.log(1 - shares))
    assert found.baselines["class prior"]["cross_entropy"].value == pytest.approx(entropy)
    with pytest.raises(CustomerError, match="has no one score: take 'labels'"):
        model.evaluate(pairs, task="ranking")


def test_a_threshold_decides_which_classes_a_pair_has(stars: Object2Vec) -> None:
    """And the best one is told where it is another one."""
    rng = np.random.default_rng(2)
    pairs = [
        {"in0": [a], "in1": [b], "label": [c for c in range(3) if (a + b) % (c + 3) == 0]}
        for a, b in rng.integers(9, size=(200, 2)).tolist()
    ]
    model = of_three_labels(pairs)
    chances = model.predict(pairs)
    labels = np.array([[c in row["label"] for c in range(3)] for row in pairs])
    by_threshold = {
        at / 100: metrics.f1_score(labels, chances > at / 100, average="micro", zero_division=0)
        for at in range(1, 100)
    }
    best = max(by_threshold, key=by_threshold.__getitem__)
    assert by_threshold[best] > by_threshold[0.5] + 0.01
    for threshold in (None, 0.2, best):
        found = model.evaluate(pairs, task="labels", threshold=threshold, **FAST)
        own = 0.5 if threshold is None else threshold
        assert found.settings["threshold"] == own
        assert found["micro_f1"] == pytest.approx(by_threshold[own])
        predicted = chances > own
        assert found["exact_match"] == pytest.approx(metrics.accuracy_score(labels, predicted))
        assert found["auc"] == pytest.approx(metrics.roc_auc_score(labels, chances), rel=1e-6)
        told = [note for note in found.notes if note.startswith("With the threshold")]
        if by_threshold[best] > by_threshold[own] + 0.01:
            assert told == [
                f"With the threshold {best:g} in the place of {own:g}, the best one here, micro_f1 "
                f"would be {by_threshold[best]:.4f}: choose it on validation pairs."
            ]
        else:
            assert told == []
    assert told == []
    for wrong in (0, 1, -0.2, "0.2", True, float("nan")):
        with pytest.raises(CustomerError, match="threshold must be a number between 0 and 1"):
            model.evaluate(pairs, task="labels", threshold=wrong)
    with pytest.raises(CustomerError, match="threshold can only be used together with task"):
        model.evaluate(pairs, threshold=0.2)
    with pytest.raises(CustomerError, match="models for multi_label alone, but the output_layer"):
        stars.evaluate(ASKED, task="labels", threshold=0.2)


def slow_ranks(scores: dict[Any, dict[Any, float]], pairs: set[Any], left: set[Any]) -> list[Any]:
    """For each query the ranks of what belongs to it, those of equal scores by their mean."""
    found = []
    for query in sorted({query for query, _ in pairs}):
        others = {
            one: score for one, score in scores[query].items() if (query, one) not in left | pairs
        }
        own = sorted((scores[query][one] for at, one in pairs if at == query), reverse=True)
        ranks = []
        for place, score in enumerate(own, 1):
            ahead = sum(other > score for other in others.values())
            ranks.append(place + ahead + sum(other == score for other in others.values()) / 2)
        found.append(ranks)
    return found


def test_a_ranking_leaves_out_what_was_seen(stars: Object2Vec) -> None:
    found = stars.evaluate(ASKED, task="ranking", seen=KNOWN, relevant_from=4, k=[1, 3], **FAST)
    films = sorted({(row["film"], row["genres"]) for row in ROWS})
    users = sorted({row["user"] for row in ROWS})
    objects = [{"film": film, "genres": genres} for film, genres in films]
    every = stars.scores(users, objects)
    scores = {user: dict(zip(films, row)) for user, row in zip(users, every.tolist())}
    pairs = {(r["user"], (r["film"], r["genres"])) for r in ASKED if r["stars"] >= 4}
    seen = {(row["user"], (row["film"], row["genres"])) for row in KNOWN}
    ranks = slow_ranks(scores, pairs, seen)
    assert found.settings["candidates"] == len(films) and found.count == len(ranks)
    assert found["mean_rank"] == pytest.approx(np.mean([np.mean(own) for own in ranks]))
    assert found["mrr"] == pytest.approx(np.mean([1 / own[0] for own in ranks]))
    for k in (1, 3):
        hits = [np.array(own) <= k for own in ranks]
        assert found[f"hit_rate@{k}"] == pytest.approx(np.mean([own.any() for own in hits]))
        assert found[f"recall@{k}"] == pytest.approx(np.mean([own.mean() for own in hits]))
    counts = pd.Series([(row["film"], row["genres"]) for row in KNOWN]).value_counts()
    popular = {user: {film: float(counts.get(film, 0)) for film in films} for user in users}
    expected = np.mean([np.mean(own) for own in slow_ranks(popular, pairs, seen)])
    assert found.baselines["popularity"]["mean_rank"].value == pytest.approx(expected)
    assert 0 < found["coverage@3"] <= 1 and 0 <= found["popularity_share@3"] <= 1


def test_ranking_among_drawn_candidates(liked: Object2Vec) -> None:
    given = {"task": "ranking", "sampled": 5, **FAST}
    one, again = (liked.evaluate(ASKED, **given, seed=1) for _ in range(2))
    assert one == again and "coverage@10" not in one.measures
    assert one != liked.evaluate(ASKED, **given, seed=2)
    # 3 to 8 films belong to a query
    assert one["mean_rank"] <= 5 + 8 and one["hit_rate@10"] == 1
    whole = liked.evaluate(ASKED, task="ranking", by="cosine", **FAST)
    assert whole["mean_rank"] > one["mean_rank"]
    assert whole["mean_rank"] != liked.evaluate(ASKED, task="ranking", **FAST)["mean_rank"]


def test_tfidf_knows_the_words_that_the_model_does_not(texts: Object2Vec) -> None:
    more = [row["document"] for row in TRAIN[:30]]
    found = texts.evaluate(TEST, task="auto", candidates=more, hybrid=0.5, k=1, **FAST)
    assert found.task == "ranking" and found.settings["candidates"] == len(TEST) + len(more)
    queries = [row["question"] for row in TEST]
    documents = [row["document"] for row in TEST] + more
    vectors = TfidfVectorizer(sublinear_tf=True).fit(documents)
    cosines = cosine_similarity(vectors.transform(queries), vectors.transform(documents))
    own = texts.scores(queries, documents)
    for name, scores in (("TF-IDF", cosines), ("model + 0.5 TF-IDF", own + 0.5 * cosines)):
        right = scores[np.arange(len(TEST)), np.arange(len(TEST))]
        ranks = (scores >= right[:, None] - 1e-9).sum(axis=1)
        assert found.baselines[name]["mean_rank"].value == pytest.approx(ranks.mean(), abs=0.05)
    # the rare word tells
    assert found.baselines["TF-IDF"]["hit_rate@1"].value > 0.9 > found["hit_rate@1"]
    for name, value in texts.evaluate(TEST).items():
        assert found[name] == pytest.approx(value)


@pytest.mark.parametrize("as_records", [False, True], ids=["rows", "records"])
def test_unknown_values_of_known_pairs_are_not_told(
    as_records: bool, texts: Object2Vec, caplog: pytest.LogCaptureFixture
) -> None:
    """The model is asked about the judged ones alone, which their line is about."""
    seen = text_rows(3, 20)
    if as_records:
        seen = [{"in0": row["question"], "in1": row["document"]} for row in seen]
    with caplog.at_level(logging.WARNING, "object2vec"):
        texts.evaluate(TEST, task="ranking", seen=seen, **FAST)
    (line,) = caplog.messages
    assert line.startswith("Unknown to the model are 40 of 80 values of in0 and 40 of 440 ")


def test_a_text_that_is_to_be_found_by_itself_is_told_of(texts: Object2Vec) -> None:
    same = [{**row, "question": row["document"]} for row in TEST[:15]]
    found = texts.evaluate([*same, *TEST[15:]], task="ranking", seen=TRAIN, **FAST)
    (note,) = (note for note in found.notes if "Both texts" in note)
    assert note.startswith("Both texts of 15 of 40 pairs are the same, which any model finds: ")
    assert not any("Both texts" in note for note in texts.evaluate(TEST, task="auto", **FAST).notes)


def test_correlation_with_labels_of_likeness(texts: Object2Vec, tmp_path: Path) -> None:
    found = texts.evaluate(pd.DataFrame(TEST), task="correlation", label="alike", **FAST)
    labels = [row["alike"] for row in TEST]
    pairs = [(row["question"], row["document"]) for row in TEST]
    expected = stats.spearmanr(labels, texts.predict(pairs))[0]
    assert found["spearman"] == pytest.approx(expected, abs=1e-6)
    sides = zip(*pairs)
    vectors = [texts.embed(**{side: list(own)}) for side, own in zip(("in0", "in1"), sides)]
    cosines = metrics.pairwise.paired_cosine_distances(*vectors)
    own = found.baselines["cosine of embeddings"]["pearson"].value
    assert own == pytest.approx(stats.pearsonr(labels, 1 - cosines)[0], abs=1e-5)
    assert set(found.baselines) == {"cosine of embeddings", "TF-IDF"}
    # the same as records with in0, in1 and label
    rows = [{"in0": q, "in1": d, "label": label} for (q, d), label in zip(pairs, labels)]
    path = write_lines(tmp_path / "alike.jsonl", rows)
    assert texts.evaluate(str(path), task="correlation", label="label", **FAST) == found


@pytest.mark.parametrize("classes", [2, 3])
def test_a_correlation_tells_what_a_score_of_several_classes_is(classes: int) -> None:
    rows = [{"user": f"u{n % 7}", "film": f"f{n % 5}", "label": n % classes} for n in range(40)]
    model = Object2Vec.from_table(
        rows, in0="user", in1="film", label="label", label_kind="class", epochs=1, enc_dim=4, seed=1
    )
    found = model.evaluate(rows, task="correlation", label="label", **FAST)
    expected = model.predict(rows) @ np.arange(classes)
    told = stats.spearmanr([row["label"] for row in rows], expected)[0]
    assert found["spearman"] == pytest.approx(told, abs=1e-6)
    wanted = "The model's score of a pair is the mean number of its class, of 0 to 2: "
    assert [note.startswith(wanted) for note in found.notes] == [True] * (classes > 2)


def test_texts_of_negatives_that_are_drawn() -> None:
    rows = [{"question": r["question"], "document": r["document"]} for r in TRAIN]
    columns = ({"name": name, "kind": "text"} for name in rows[0])
    model = Object2Vec.from_table(
        rows, in0=next(columns), in1=next(columns), preset=None, output_layer="softmax", epochs=1,
        enc0_network="pooled_embedding", enc_dim=4, negative_sampling_rate=2, seed=1,
    )  # fmt: skip
    found = model.evaluate(TEST, task="labels", **FAST)
    assert found.count == 3 * len(TEST)
    # the words of a question stand in its own document, not in a drawn one
    assert found.baselines["TF-IDF"]["auc"].value > 0.95
    assert model.evaluate(TEST)["accuracy"] == pytest.approx(found["accuracy"])


@pytest.mark.parametrize("kind", ["text", "tags"])
def test_objects_with_the_same_words_in_other_columns_are_other_objects(kind: str) -> None:
    mark = " " if kind == "text" else "|"
    rows = [
        {"user": f"u{n}", "a": f"x{mark}y", "b": f"z{mark}w", "stars": n % 2} for n in range(12)
    ]
    model = Object2Vec.from_table(
        rows, in0="user", in1=[{"name": name, "kind": kind} for name in "ab"], label="stars",
        enc_dim=4, epochs=1, seed=1,
    )  # fmt: skip
    asked = [("x y", "z w"), ("x", "y z w"), ("x y z", "w"), ("x y z w", None), (None, "x y z w")]
    pairs = [
        {"user": "u1", "a": a and a.replace(" ", mark), "b": b and b.replace(" ", mark), "stars": 1}
        for a, b in asked
    ]
    found = model.evaluate([*pairs, *pairs], task="ranking", **FAST)
    assert found.settings["candidates"] == len(asked)


def test_ids_of_one_vocabulary_are_words() -> None:
    pairs = [{"in0": [a, b], "in1": [b, a, 9], "label": 1} for a in range(4) for b in range(4, 8)]
    model = Object2Vec(
        enc0_max_seq_len=3, enc0_vocab_size=10, enc0_network="pooled_embedding", enc_dim=4,
        epochs=1, seed=1, tied_token_embedding_weight=True,
    ).fit(pairs)  # fmt: skip
    found = model.evaluate(pairs, task="ranking", candidates=[[1, 2], [3]], k=1, **FAST)
    assert found.settings["candidates"] == len(pairs) + 2
    assert found.baselines["TF-IDF"]["hit_rate@1"].value == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({"task": "rank"}, "task must be auto, labels, ranking, corr", id="task"),
        pytest.param({"k": 5}, "k can only be used together with task", id="no task"),
        pytest.param({"task": "labels", "k": 5}, "k means something to rankings", id="no ranking"),
        pytest.param({"task": "ranking", "k": 0}, "k must be a whole number from 1", id="k"),
        pytest.param({"task": "ranking", "by": "l2"}, "by must be score, cosine, dot", id="by"),
        pytest.param({"task": "ranking", "hybrid": 1}, "hybrid needs words", id="no words"),
        pytest.param({"task": "ranking", "hybrid": -1}, "hybrid must be a number", id="hybrid"),
        pytest.param(
            {"task": "ranking", "relevant_from": 9}, "No pair is positive", id="nothing relevant"
        ),
        pytest.param(
            {"task": "ranking", "relevant_from": "x"}, "relevant_from must be", id="no number"
        ),
        pytest.param(
            {"task": "ranking", "weight": "w"}, "weight means nothing to a ranking", id="weight"
        ),
        pytest.param({"task": "ranking", "k": 10**9}, "from 1 to 999,999,999, found 10", id="far"),
        pytest.param({"task": "auto", "label": "starz"}, "the nearest is 'stars'", id="label"),
        pytest.param({"task": "auto", "resamples": -1}, "resamples must be", id="resamples"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(
    stars: Object2Vec, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(CustomerError, match=words):
        stars.evaluate(ASKED, **given)


def test_no_labels_are_predicted_by_what_learns_to_find(texts: Object2Vec) -> None:
    with pytest.raises(CustomerError, match="predicts none: take 'ranking'"):
        texts.evaluate(TEST, task="labels")


def test_weights_in_a_column_are_refused_of_pairs_that_have_none(stars: Object2Vec) -> None:
    pairs = [{"in0": {"user": "u1"}, "in1": {"film": "f1"}, "label": 3.0, "w": 2.0}]
    of_ids = Object2Vec(enc0_max_seq_len=1, enc0_vocab_size=3, enc_dim=4, epochs=1, seed=1)
    ids = [{"in0": [1], "in1": [n], "label": n % 2, "w": 2.0} for n in range(3)]
    for model, given in ((stars, pairs), (of_ids.fit(ids), ids)):
        with pytest.raises(CustomerError, match="weight names a column of a table, but these pa"):
            model.evaluate(given, task="labels", weight="w")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.1235"), (-99.5, "-99.5000"), (1e3, "1000.0"), (5e59, "5e+59"), (-1e12, "-1e+12")],
    ids=str,
)
def test_measures_of_any_size_stand_in_a_table(value: float, text: str) -> None:
    found = Evaluation("numbers", 1, {"mean_squared_error": Measure(value)})
    assert found.table().split() == ["model", "mean_squared_error", text]


def test_names_of_classes_stand_on_one_line_and_print() -> None:
    names = ["a\nb", "\x1b[31mred", "x" * 400]
    counts = [[1, 0, 0], [0, 2, 0], [0, 0, 3]]
    found = Evaluation("classes", 6, {}, confusion=Confusion(names, counts))
    head, *rows = str(found).splitlines()[-4:]
    assert head.startswith("label \\ predicted") and len(rows) == 3
    assert str(found).replace("\n", "").isprintable() and max(map(len, str(found).split())) <= 40
    assert Evaluation.from_dict(found.to_dict()).confusion == found.confusion


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param([], "found []", id="list"),
        pytest.param(None, "found null", id="nothing"),
        pytest.param({"task": "numbers"}, "it has no 'count'", id="task alone"),
        pytest.param({"measures": {"auc": 3}}, "found {", id="a measure that is a number"),
        pytest.param({"measures": {"auc": {}}}, "it has no 'value'", id="a measure of nothing"),
        pytest.param({"measures": {"auc": {"value": "x"}}}, "found {", id="a measure that is text"),
        pytest.param({"measures": {"auc": {"value": 1, "x": 1}}}, "found {", id="more"),
        pytest.param({"confusion": {"classes": []}}, "found {", id="confusion"),
        pytest.param({"reliability": [1]}, "found {", id="reliability"),
    ],
)
def test_what_is_no_evaluation_is_refused(given: Any, words: str) -> None:
    if isinstance(given, dict) and "task" not in given:
        given = {**Evaluation("numbers", 1, {}).to_dict(), **given}
    with pytest.raises(CustomerError) as caught:
        Evaluation.from_dict(given)
    assert f"This is not what Evaluation.to_dict gives: {words}" in str(caught.value)


def test_the_command_says_what_python_says(
    stars: Object2Vec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stars.save(tmp_path / "model")
    asked, known = (
        str(write_csv(tmp_path / f"{name}.csv", rows))
        for name, rows in (("asked", ASKED), ("known", KNOWN))
    )
    target = tmp_path / "worth.json"
    command = ["evaluate", "--model-dir", str(tmp_path / "model"), "--input", asked]
    more = ["--seen", known, "--resamples", "20", "--output", str(target)]
    assert main([*command, *more]) == 0
    expected = stars.evaluate(FRAME[120:], task="auto", seen=FRAME[:120], **FAST)
    assert capsys.readouterr().out == f"{expected}\n"
    written = json.loads(target.read_text())
    assert written == expected.to_dict()
    assert Evaluation.from_dict(written) == expected
    ranked = ["--task", "ranking", "--k", "1,3", "--relevant-from", "4", "--json"]
    assert main([*command, *more[:4], *ranked]) == 0
    found = json.loads(capsys.readouterr().out)
    given = {"relevant_from": 4, "k": (1, 3), "seen": KNOWN, **FAST}
    assert found == stars.evaluate(ASKED, task="ranking", **given).to_dict()
    for wrong, words in (
        (["--k", "x"], "'x' is no whole number"),
        (["--confidence", "much"], "'much' is no number"),
        (["--relevant-from", "4"], "--relevant-from means something to rankings alone"),
        (["--threshold", "2"], "--threshold must be a number between 0 and 1"),
        (["--threshold", "0.2"], "--threshold means something to models for multi_label alone"),
        (["--input", "nothing.csv"], "nothing.csv"),
    ):
        assert main([*command, *wrong]) == 1
        told = capsys.readouterr().err
        assert words in told and told.count("\n") == 1
