# SPDX-License-Identifier: Apache-2.0
"""Weighted measures, calibration, TF-IDF and intervals, held equal to scikit-learn and SciPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics
from sklearn.calibration import calibration_curve
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.errors import CustomerError
from object2vec.evaluation.calibration import Calibration
from object2vec.evaluation.guesses import guessed_classes, guessed_numbers
from object2vec.evaluation.intervals import Bootstrap, mean_of, root_of
from object2vec.evaluation.recommendations import Recommended
from object2vec.evaluation.results import Evaluation, Measure, is_smaller_better
from object2vec.evaluation.statistics import of_classes, of_label_sets, of_numbers
from object2vec.evaluation.tfidf import Tfidf, pair_cosines

pytestmark = pytest.mark.own_way


@pytest.mark.parametrize("classes", [2, 4])
def test_weighted_measures_of_classes_as_scikit_learn(
    classes: int, rng: np.random.Generator
) -> None:
    labels = np.append(np.arange(classes), rng.integers(classes, size=60))
    # few values, so that there are ties
    probabilities = rng.integers(1, 4, (len(labels), classes)).astype(float)
    probabilities += np.eye(classes)[labels]
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    predicted = probabilities.argmax(axis=1)
    times = np.append(np.ones(classes, int), rng.integers(0, 4, 60))
    for weights in (None, times.astype(float)):
        own = {"sample_weight": weights}
        binary = labels == 1, probabilities[:, 1]
        each = [(labels == one, probabilities[:, one]) for one in range(classes)]
        areas = [binary] if classes == 2 else each
        expected = {
            "accuracy": metrics.accuracy_score(labels, predicted, **own),
            "cross_entropy": metrics.log_loss(labels, probabilities, **own),
            "auc": np.mean([metrics.roc_auc_score(*one, **own) for one in areas]),
            "average_precision": np.mean(
                [metrics.average_precision_score(*one, **own) for one in areas]
            ),
            "micro_f1": metrics.f1_score(labels, predicted, average="micro", **own),
            "macro_f1": metrics.f1_score(labels, predicted, average="macro", **own),
        }
        expected["perplexity"] = math.exp(expected["cross_entropy"])
        found = of_classes(labels, np.log(probabilities))
        for name, value in expected.items():
            assert found[name](weights) == pytest.approx(value), name
    # a record that counts twice is two records
    doubled = np.repeat(np.arange(len(labels)), times)
    twice = of_classes(labels[doubled], np.log(probabilities[doubled]))
    for name, statistic in found.items():
        assert statistic(times.astype(float)) == pytest.approx(twice[name](None)), name


def test_measures_of_label_sets_as_scikit_learn(rng: np.random.Generator) -> None:
    labels = rng.random((60, 4)) < 0.4
    log_odds = rng.integers(-3, 4, (60, 4)) + labels * 1.0
    times = rng.integers(1, 4, 60).astype(float)
    predicted, probabilities = log_odds > 0, 1 / (1 + np.exp(-log_odds))
    found = of_label_sets(labels, log_odds)
    for weights in (None, times):
        own: dict[str, Any] = {"sample_weight": weights}
        losses = [metrics.log_loss(*one, **own) for one in zip(labels.T.tolist(), probabilities.T)]
        expected = {
            "micro_f1": metrics.f1_score(labels, predicted, average="micro", **own),
            "macro_f1": metrics.f1_score(labels, predicted, average="macro", **own),
            "cross_entropy": np.mean(losses),
            "hamming_loss": metrics.hamming_loss(labels, predicted, **own),
            "exact_match": metrics.accuracy_score(labels, predicted, **own),
            "auc": metrics.roc_auc_score(labels, log_odds, **own),
            "average_precision": metrics.average_precision_score(labels, log_odds, **own),
        }
        assert {name: of(weights) for name, of in found.items()} == pytest.approx(expected)


def test_weighted_measures_of_numbers_as_scipy(rng: np.random.Generator) -> None:
    labels, predicted = rng.integers(1, 6, (2, 50)).astype(float)
    times = rng.integers(0, 4, 50)
    every = np.repeat(np.arange(50), times)
    for weights, rows in ((None, np.arange(50)), (times.astype(float), every)):
        first, second = labels[rows], predicted[rows]
        found = of_numbers(labels, predicted)
        squared = metrics.mean_squared_error(first, second)
        assert found["mean_squared_error"](weights) == pytest.approx(squared)
        assert found["root_mean_squared_error"](weights) == pytest.approx(math.sqrt(squared))
        absolute = metrics.mean_absolute_error(first, second)
        assert found["mean_absolute_error"](weights) == pytest.approx(absolute)
        assert found["pearson"](weights) == pytest.approx(stats.pearsonr(first, second)[0])
        assert found["spearman"](weights) == pytest.approx(stats.spearmanr(first, second)[0])
    assert math.isnan(of_numbers(labels, np.ones(50))["pearson"](None))
    only = np.eye(50)[3]
    assert math.isnan(found["spearman"](only))


def test_calibration_as_scikit_learn(rng: np.random.Generator) -> None:
    confidences = rng.random(500)
    right = rng.random(500) < confidences**2
    calibration = Calibration(confidences, right, bins=10)
    accuracy, confidence = calibration_curve(right, confidences, n_bins=10)
    bins = calibration.bins()
    assert [one.accuracy for one in bins] == pytest.approx(accuracy.tolist())
    assert [one.confidence for one in bins] == pytest.approx(confidence.tolist())
    counts = np.array([one.count for one in bins])
    assert counts.sum() == 500
    gaps = np.abs(accuracy - confidence)
    assert calibration.error() == pytest.approx(gaps @ counts / 500)
    kept = np.r_[np.ones(300), np.zeros(200)]
    fewer = Calibration(confidences[:300], right[:300], bins=10)
    assert calibration.error(kept) == pytest.approx(fewer.error())
    ends = Calibration(np.array([0.0, 0.1, 1.0]), np.array([True, False, True]), bins=10).bins()
    assert [ends[0].count, ends[-1].count, ends[1].accuracy] == [2, 1, None]
    with pytest.raises(CustomerError, match=r"from 0 to 1, found 1\.5 at position 1"):
        Calibration(np.array([0.5, 1.5]), np.array([True, True]))


def lists_of(texts: list[str]) -> TokenLists:
    return TokenLists.from_lists([[int(word) for word in text.split()] for text in texts])


def test_tfidf_as_scikit_learn(rng: np.random.Generator) -> None:
    documents = [" ".join(map(str, rng.integers(40, size=rng.integers(0, 12)))) for _ in range(30)]
    queries = [" ".join(map(str, rng.integers(60, size=5))) for _ in range(9)] + [""]
    theirs = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\S+").fit(documents)
    expected = cosine_similarity(theirs.transform(queries), theirs.transform(documents))
    found = Tfidf(lists_of(documents)).cosines(lists_of(queries))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    theirs.fit(documents[:10] + queries)
    one, other = theirs.transform(documents[:10]), theirs.transform(queries)
    pairs = pair_cosines(lists_of(documents[:10]), lists_of(queries))
    np.testing.assert_allclose(pairs, cosine_similarity(one, other).diagonal(), atol=1e-12)
    nothing = lists_of(["", ""])
    assert not Tfidf(nothing).cosines(lists_of(["1 2"])).any()


def test_intervals_as_scipy(rng: np.random.Generator) -> None:
    values = rng.exponential(size=200)
    bootstrap = Bootstrap(resamples=2000, confidence=0.9, seed=4)
    found = bootstrap.measures(200, {"model": {"mean": mean_of(values)}})["model"]["mean"]
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=2000, confidence_level=0.9, method="percentile",
        random_state=4,
    ).confidence_interval  # fmt: skip
    width = theirs.high - theirs.low
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(tuple(theirs), abs=width / 8)
    again = bootstrap.measures(200, {"model": {"root": root_of(mean_of(values))}})
    # the same samples
    assert again["model"]["root"].low == pytest.approx(math.sqrt(found.low or 0))


def test_intervals_of_what_is_not_always_defined() -> None:
    # of two records each fourth sample holds one of them alone, twice
    labels = np.array([0, 1])
    statistics = {"model": of_classes(labels, np.log([[0.6, 0.4], [0.3, 0.7]]))}
    found = Bootstrap(resamples=50).measures(2, statistics)["model"]
    assert (found["auc"].low, found["auc"].high) == (1, 1)
    one_class = {"model": of_classes(np.zeros(2, int), np.log([[0.6, 0.4], [0.3, 0.7]]))}
    assert "auc" not in Bootstrap(resamples=3).measures(2, one_class)["model"]
    assert Bootstrap(resamples=0).measures(2, statistics)["model"]["accuracy"] == Measure(1.0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({"resamples": -1}, "resamples must be a whole number", id="resamples"),
        pytest.param({"confidence": 1}, "between 0 and 1, such as 0.95, found 1", id="confidence"),
        pytest.param({"seed": 0.5}, "seed must be a whole number", id="seed"),
    ],
)
def test_wrong_intervals_are_told(given: dict[str, Any], words: str) -> None:
    with pytest.raises(CustomerError, match=words):
        Bootstrap(**given)


def pairs_of(in0: list[int], in1: list[int], labels: list[float]) -> PairDataset:
    sides = [TokenLists.of_each(np.array(side, np.int32)) for side in (in0, in1)]
    return PairDataset(*sides, np.array(labels, np.float32))


def test_guesses_of_numbers_and_classes() -> None:
    known = pairs_of([1, 1, 2], [5, 6, 6], [1, 0, 4])
    asked = pairs_of([2, 1, 3], [5, 6, 7], [1, 2, 1])
    found = guessed_numbers(asked, known)
    assert found["global mean"] == pytest.approx(np.full(3, 5 / 3))
    assert found["in0 mean"] == pytest.approx([4, 0.5, 5 / 3])
    assert found["in1 mean"] == pytest.approx([1, 2, 5 / 3])
    weighted = PairDataset(known.in0, known.in1, known.labels, weights=np.array([3, 1, 1.0]))
    assert guessed_numbers(asked, weighted)["in0 mean"] == pytest.approx([4, 0.75, 7 / 5])
    assert guessed_numbers(asked, None)["mean of these labels"] == pytest.approx([4 / 3] * 3)
    # class 2 was never seen and counts once; class 3 is not asked for
    prior = guessed_classes(asked, pairs_of([1, 1], [1, 2], [1, 1]), 4)["class prior"]
    assert np.exp(prior[0]) == pytest.approx([0, 2 / 3, 1 / 3, 0])
    assert set(guessed_classes(asked, None, 4)) == {"shares of these classes"}


def test_coverage_and_popularity_share() -> None:
    shown = Recommended(20)
    scores = np.zeros((2, 20))
    scores[:, :4] = [[5, 4, 3, 2], [5, 4, 2, 3]]
    seen = np.zeros((2, 20), bool)
    seen[0, 0] = True
    shown.add(scores, seen, 2)
    # 1 and 2 to the first, 0 and 1 to the second
    assert shown.coverage() == 3 / 20
    counts = np.zeros(20)
    counts[[1, 7]] = 9, 8
    assert shown.popularity_share(counts) == 2 / 4
    everything = Recommended(2)
    everything.add(np.zeros((1, 2)), np.array([[True, False]]), 5)
    assert everything.coverage() == 1 / 2


def test_a_result_becomes_json_and_comes_back() -> None:
    found = Evaluation(
        "classes", 3, {"auc": Measure(0.5, 0.4, 0.6), "perplexity": Measure(math.inf)},
        {"prior": {"auc": Measure(0.5)}},
    )  # fmt: skip
    again = Evaluation.from_dict(found.to_dict())
    assert found.to_dict()["measures"]["perplexity"]["value"] is None
    assert again.measures["auc"] == found.measures["auc"] and again.baselines == found.baselines
    assert found["auc"] == 0.5 and list(found) == ["auc", "perplexity"]
    first, second = str(found).splitlines()[:2]
    assert first.split() == ["model", "0.95", "interval", "prior"]
    assert second.split() == ["auc", "0.5000", "0.4000", "to", "0.6000", "0.5000"]
    known = [is_smaller_better(name) for name in ("mean_rank", "ndcg@10", "popularity_share@5")]
    assert known == [True, False, None]
