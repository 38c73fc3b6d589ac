# SPDX-License-Identifier: Apache-2.0
"""Ranking measures: equal to trec_eval, scikit-learn and a slow reference, ties included."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

from object2vec.errors import CustomerError
from object2vec.evaluation import ranking
from object2vec.evaluation.ranking import Ranks, ranks_of

pytestmark = pytest.mark.own_way

Query = tuple[list[int], list[int], list[bool]]


@st.composite
def tied_queries(draw: Any) -> list[Query]:
    """Scores of few values, gains from 0 to 3, what is left out; a relevant candidate each."""
    width = draw(st.integers(1, 9))
    row = st.tuples(
        st.lists(st.integers(-2, 2), min_size=width, max_size=width),
        st.lists(st.integers(0, 3), min_size=width, max_size=width).filter(any),
        st.lists(st.booleans(), min_size=width, max_size=width),
    )
    return draw(st.lists(row, min_size=1, max_size=5))


def slow_order(query: Query, ties: str) -> list[int]:
    """The gains in the order of the ranks, from the definition."""
    scores, gains, left_out = query
    kept = [(score, gain) for score, gain, out in zip(scores, gains, left_out) if gain or not out]
    sign = 1 if ties == "pessimistic" else -1
    return [gain for _, gain in sorted(kept, key=lambda pair: (-pair[0], sign * pair[1]))]


def slow(name: str, order: Sequence[int], k: Optional[int]) -> float:
    first, total = order[:k], sum(gain > 0 for gain in order)
    hits = sum(gain > 0 for gain in first)
    ranks = [rank for rank, gain in enumerate(order, 1) if gain]
    if name == "hit_rate":
        return float(hits > 0)
    if name == "recall":
        return hits / total
    if name == "precision":
        assert k is not None
        return hits / k
    if name == "mrr":
        return next((1 / rank for rank, gain in enumerate(first, 1) if gain), 0.0)
    if name == "map":
        return (
            sum((at + 1) / rank for at, rank in enumerate(ranks) if k is None or rank <= k) / total
        )
    if name == "mean_rank":
        return sum(ranks) / total
    best = sorted(order, reverse=True)[:k]
    dcg, ideal = (
        sum(gain / math.log2(1 + rank) for rank, gain in enumerate(gains, 1))
        for gains in (first, best)
    )
    return dcg / ideal


@given(tied_queries(), st.sampled_from(["pessimistic", "optimistic"]), st.integers(1, 10))
def test_all_measures_with_ties_are_those_of_the_definition(
    queries: list[Query], ties: str, k: int
) -> None:
    scores, gains, left_out = (np.array(part) for part in zip(*queries))
    ranks = ranks_of(scores, gains, left_out, ties)
    orders = [slow_order(query, ties) for query in queries]
    for name in ("hit_rate", "recall", "precision", "mrr", "map", "ndcg"):
        found = ranking.by_name(f"{name}@{k}", ranks)
        assert found == pytest.approx([slow(name, order, k) for order in orders]), name
    for name in ("mrr", "map", "ndcg", "mean_rank"):
        found = ranking.by_name(name, ranks)
        assert found == pytest.approx([slow(name, order, None) for order in orders]), name


@given(tied_queries())
def test_the_mean_of_ties_is_halfway_and_all_orders_lie_between(queries: list[Query]) -> None:
    scores, gains, left_out = (np.array(part) for part in zip(*queries))
    flat = gains > 0
    worst, mean, best = (
        ranks_of(scores, flat, left_out, ties) for ties in ("pessimistic", "mean", "optimistic")
    )
    assert np.array_equal(mean.values, (worst.values + best.values) / 2)
    broken = ranks_of(
        scores + np.linspace(0, 0.5, scores.size).reshape(scores.shape), flat, left_out
    )
    for name in ("hit_rate@3", "recall@3", "precision@3", "mrr", "map", "ndcg@3"):
        low, at, high = (ranking.by_name(name, one) for one in (worst, broken, best))
        assert np.all(low <= at + 1e-12) and np.all(at <= high + 1e-12), name


def test_equal_scores_get_no_credit() -> None:
    scores, relevant = np.zeros((1, 100)), np.arange(100)[None] == 0
    assert ranks_of(scores, relevant).values == [100]
    assert ranks_of(scores, relevant, ties="mean").values == [50.5]
    assert ranks_of(scores, relevant, ties="optimistic").values == [1]


def test_without_ties_as_trec_eval(rng: np.random.Generator) -> None:
    shape = 60, 40
    # trec_eval keeps scores in single precision, and orders equal ones by name
    scores = np.argsort(rng.random(shape), axis=1).astype(np.float32)
    gains = rng.integers(1, 4, shape) * (rng.random(shape) < 0.15)
    gains[np.arange(60), rng.integers(40, size=60)] = 1
    judged = {
        f"q{row:02}": {f"d{at}": int(gain) for at, gain in enumerate(line)}
        for row, line in enumerate(gains)
    }
    run = {
        f"q{row:02}": {f"d{at}": float(score) for at, score in enumerate(line)}
        for row, line in enumerate(scores)
    }
    names = {
        "success_5": "hit_rate@5",
        "recall_10": "recall@10",
        "P_10": "precision@10",
        "recip_rank": "mrr",
        "ndcg": "ndcg",
        "ndcg_cut_10": "ndcg@10",
        "map": "map",
        "map_cut_10": "map@10",
    }
    measures = {"success", "recall", "P", "recip_rank", "ndcg", "ndcg_cut", "map", "map_cut"}
    theirs = pytrec_eval.RelevanceEvaluator(judged, measures).evaluate(run)
    ranks = ranks_of(scores, gains)
    for their_name, name in names.items():
        expected = [theirs[query][their_name] for query in sorted(theirs)]
        assert ranking.by_name(name, ranks) == pytest.approx(expected), name


def test_without_ties_as_scikit_learn(rng: np.random.Generator) -> None:
    scores = rng.standard_normal((30, 50))
    relevant = rng.random((30, 50)) < 0.2
    relevant[:, 7] = True
    ranks = ranks_of(scores, relevant)
    assert ranking.ndcg(ranks, 10).mean() == pytest.approx(ndcg_score(relevant, scores, k=10))
    assert ranking.ndcg(ranks).mean() == pytest.approx(ndcg_score(relevant, scores))
    assert ranking.average_precision(ranks).mean() == pytest.approx(
        label_ranking_average_precision_score(relevant, scores)
    )


def test_many_rows_are_looked_at_in_parts(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, relevant = rng.integers(9, size=(50, 20)), rng.random((50, 20)) < 0.3
    relevant[:, 0] = True
    whole = ranks_of(scores, relevant)
    left = ranking.sampled(relevant, 5, np.random.default_rng(1))
    monkeypatch.setattr(ranking, "_ELEMENTS", 45)
    assert np.array_equal(ranks_of(scores, relevant).values, whole.values)
    assert np.array_equal(ranking.sampled(relevant, 5, np.random.default_rng(1)), left)


def test_what_was_seen_is_no_candidate_but_what_is_relevant_is() -> None:
    scores = np.array([[5.0, 4, 3, 2, 1]])
    relevant = np.array([[False, False, True, False, True]])
    seen = np.array([[True, True, False, False, True]])
    assert ranks_of(scores, relevant).values.tolist() == [3, 5]
    assert ranks_of(scores, relevant, seen).values.tolist() == [1, 3]


def test_drawn_candidates(rng: np.random.Generator) -> None:
    relevant = np.zeros((2000, 30), bool)
    relevant[:, 3] = True
    seen = np.zeros_like(relevant)
    seen[:, 10:] = True
    seen[0, 6:] = True
    left = ranking.sampled(relevant, 4, rng, seen)
    kept = ~left & ~relevant
    assert kept[1:].sum(axis=1).tolist() == [4] * 1999 and kept[0].sum() == 4
    assert not (kept & seen).any()
    often = kept[1:].sum(axis=0)
    allowed = [at for at in range(10) if at != 3]
    # 1999 draws of 4 of 9: the mean is 888, the standard deviation 22
    assert often[allowed].min() > 750 and often[allowed].max() < 1030
    few = ranking.sampled(relevant[:1], 100, rng, seen[:1])
    assert np.flatnonzero(~few[0]).tolist() == [0, 1, 2, 4, 5]


def test_ranks_that_are_known() -> None:
    ranks = Ranks.of_lists([[4], [3, 1], [2.5]])
    assert ranking.hit_rate(ranks, 3).tolist() == [0, 1, 1]
    assert ranking.recall(ranks, 2).tolist() == [0, 0.5, 0]
    assert ranking.mean_rank(ranks).tolist() == [4, 2, 2.5]
    joined = Ranks.concatenate([Ranks.of_lists([[4]]), Ranks.of_lists([[1, 3], [2.5]])])
    assert np.array_equal(joined.values, ranks.values)
    assert np.array_equal(joined.offsets, ranks.offsets)


NONE = np.zeros((2, 3), bool)
ONE = np.eye(2, 3, dtype=bool)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        pytest.param(
            lambda: ranks_of(np.zeros((2, 3)), np.array([[1, 0, 0], [0, 0, 0]])),
            "1 of 2 queries have no relevant candidate, the first is query 1",
            id="nothing relevant",
        ),
        pytest.param(
            lambda: ranks_of(np.full((2, 3), np.nan), ONE),
            "6 of 6 of the scores are NaN, "
            r"the first at position \(0, 0\)",
            id="NaN",
        ),
        pytest.param(
            lambda: ranks_of(np.zeros((2, 3)), ONE.T),
            r"relevant must have the shape of "
            r"the scores, \(2, 3\), found \(3, 2\)",
            id="shapes",
        ),
        pytest.param(lambda: ranks_of(np.zeros(3), ONE[0]), "must have the shape", id="one query"),
        pytest.param(lambda: ranks_of(np.zeros((2, 3)), -1 * ONE), "not be below 0", id="negative"),
        pytest.param(
            lambda: ranks_of(np.zeros((2, 3)), ONE, ONE * 1), "must be bools", id="left out"
        ),
        pytest.param(
            lambda: ranks_of(np.zeros((2, 3)), ONE, ties="random"), "ties must be", id="ties"
        ),
        pytest.param(lambda: ranks_of(np.zeros((0, 3)), NONE[:0]), "are empty", id="no query"),
        pytest.param(lambda: Ranks.of_lists([[1], []]), "Query 1 has no relevant", id="empty list"),
        pytest.param(lambda: Ranks.of_lists([]), "There is no query", id="no list"),
        pytest.param(lambda: Ranks.of_lists([[0]]), "count from 1, found 0", id="rank 0"),
        pytest.param(lambda: ranking.hit_rate(Ranks.of_lists([[1]]), 0), "k must be", id="k of 0"),
        pytest.param(
            lambda: ranking.ndcg(Ranks.of_lists([[1]]), True), "k must be", id="k of True"
        ),
        pytest.param(
            lambda: ranking.by_name("hit_rate", Ranks.of_lists([[1]])),
            "no ranking measure 'hit_rate': give hit_rate@10",
            id="without k",
        ),
        pytest.param(
            lambda: ranking.by_name("mean_rank@3", Ranks.of_lists([[1]])),
            "no ranking measure",
            id="k too much",
        ),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(call: Any, words: str) -> None:
    with pytest.raises(CustomerError, match=words):
        call()


def test_an_infinite_score_is_a_score() -> None:
    scores = np.array([[-np.inf, np.inf, 0.0]])
    assert ranks_of(scores, np.array([[True, False, True]])).values.tolist() == [2, 3]
