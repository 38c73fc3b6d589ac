# SPDX-License-Identifier: Apache-2.0
"""Judges a model by where what belongs to a query stands among all candidates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from object2vec.assessment.asked import Asked
from object2vec.assessment.assess_pairs import TFIDF
from object2vec.assessment.reported import reported
from object2vec.data.augmentation import are_equal
from object2vec.errors import CustomerError
from object2vec.evaluation.checked_arrays import is_whole
from object2vec.evaluation.intervals import Bootstrap, mean_of
from object2vec.evaluation.ranking import LARGEST_K, TIES, Ranks, by_name, ranks_of, sampled
from object2vec.evaluation.recommendations import HEAD, Recommended
from object2vec.evaluation.results import MODEL, Evaluation, Measure
from object2vec.evaluation.retrieval import Retrieval, rows_of
from object2vec.evaluation.statistics import Statistics
from object2vec.evaluation.tfidf import Tfidf
from object2vec.inference.candidate_scores import CandidateScores
from object2vec.inference.predictor import Predictor
from object2vec.inference.similarities import comparable
from object2vec.raw_values.option_names import option
from object2vec.text import counted, quoted

POPULARITY = "popularity"
BY = ("score", "cosine", "dot")
_WITH_K = ("hit_rate", "recall", "ndcg")

#: The scores of some queries with all candidates, ``(n, m)``.
Scores = Callable[[slice], np.ndarray]


@dataclass(frozen=True)
class Ranking:
    """How candidates are ranked.

    Parameters
    ----------
    k : tuple of int
        How far down hits count.
    by : str
        ``score`` of the model, ``cosine`` or ``dot`` of the embeddings.
    sampled : int, optional
        How many candidates that do not belong to a query are drawn for it; all by default.
    hybrid : float, optional
        Rank as well by the model's score plus so many times the cosine of TF-IDF vectors.
    ties : str
        What equal scores count as; see `evaluation.ranking.ranks_of`.

    Raises
    ------
    CustomerError
        Says of the first wrong one what would be right.
    """

    k: tuple[int, ...] = (10,)
    by: str = "score"
    sampled: Optional[int] = None
    hybrid: Optional[float] = None
    ties: str = "mean"

    def __post_init__(self) -> None:
        if not self.k:
            raise CustomerError(
                f"{option('k')} must name one whole number from 1 at least, found none."
            )
        counts: list[tuple[str, Any, float]] = [("k", k, LARGEST_K) for k in self.k]
        if self.sampled is not None:
            counts.append(("sampled", self.sampled, math.inf))
        for name, value, largest in counts:
            if not is_whole(value) or not 1 <= value <= largest:
                most = "" if largest == math.inf else f" to {largest:,}"
                raise CustomerError(
                    f"{option(name)} must be a whole number from 1{most}, found {quoted(value)}."
                )
        words = (("by", self.by, BY), ("ties", self.ties, tuple(TIES)))
        for name, word, known in words:
            if word not in known:
                raise CustomerError(f"{name} must be {', '.join(known)}, found {quoted(word)}.")
        if self.hybrid is not None and not _is_weight(self.hybrid):
            raise CustomerError(
                f"{option('hybrid')} must be a number above 0, such as 0.5, found "
                f"{quoted(self.hybrid)}."
            )

    @property
    def measures(self) -> list[str]:
        """The names of the measures."""
        return [*(f"{name}@{k}" for k in self.k for name in _WITH_K), "mrr", "mean_rank"]


def assess_ranking(
    predictor: Predictor,
    asked: Asked,
    ranking: Ranking,
    bootstrap: Bootstrap,
    classes: Optional[tuple[int, ...]] = None,
) -> Evaluation:
    """Rank candidates of in1 for each in0 of a positive pair.

    Parameters
    ----------
    predictor : Predictor
        The model.
    asked : Asked
        Pairs with another label than 0 are positive. In1 of known positive pairs are no candidates
        for their in0, unless the pairs hold them too.
    ranking : Ranking
        How candidates are ranked.
    bootstrap : Bootstrap
        How intervals are found; queries are drawn. Its seed draws candidates too.
    classes : tuple of int, optional
        Of a model with classes: whose probability is the score; all but the first by default.

    Raises
    ------
    CustomerError
        No pair is positive, or a hybrid is asked for where there are no words.
    """
    if not asked.pairs.labels.any():
        raise CustomerError(
            f"No pair is positive: all {len(asked.pairs):,} labels are 0, so there is nothing to "
            "rank."
        )
    if ranking.hybrid is not None and asked.words is None:
        raise CustomerError(
            f"{option('hybrid')} needs words on both sides, of columns of text or ids of one "
            "shared vocabulary: this model has none, so leave it out."
        )
    task = Retrieval.of(asked.pairs, asked.known, asked.others, asked.prints)
    rankers = _rankers(predictor, asked, task, ranking, classes)
    judged, recommended = _rank(task, rankers, ranking, bootstrap.seed)
    statistics: dict[str, Statistics] = {
        who: {name: mean_of(by_name(name, ranks)) for name in ranking.measures}
        for who, ranks in judged.items()
    }
    found = bootstrap.measures(len(task.queries), statistics)
    for (who, k), shown in recommended.items():
        found[who][f"coverage@{k}"] = Measure(shown.coverage())
        if asked.known is not None:
            share = shown.popularity_share(task.counts)
            found[who][f"popularity_share@{k}"] = Measure(share)
    measures = found.pop(MODEL)
    if predictor.hyperparameters.is_contrastive and asked.pairs.labels.all():
        told = reported(predictor, asked.pairs)
        measures.update({name: Measure(value) for name, value in told.items()})
    settings = {
        **{**vars(ranking), "k": list(ranking.k)},
        "queries": len(task.queries),
        "candidates": len(task.candidates),
        "relevant": task.relevant.shape[1],
        "seen_left_out": task.seen.shape[1],
        **vars(bootstrap),
    }
    return Evaluation(
        "ranking", len(task.queries), measures, found, settings=settings,
        notes=_notes(asked, task, ranking),
    )  # fmt: skip


def _rankers(
    predictor: Predictor,
    asked: Asked,
    task: Retrieval,
    ranking: Ranking,
    classes: Optional[tuple[int, ...]],
) -> dict[str, Scores]:
    own = _own_scores(predictor, task, ranking.by, classes)
    found: dict[str, Scores] = {MODEL: own}
    if asked.words is not None:
        words = asked.words
        parts = [part for part in (words.in1, words.known, words.others) if part is not None]
        index = Tfidf(rows_of(parts, task.candidates))
        queries = words.in0.take(task.queries)

        def by_words(block: slice) -> np.ndarray:
            return index.cosines(queries.take(block))

        if ranking.hybrid is not None:
            weight = np.float32(ranking.hybrid)
            found[f"{MODEL} + {ranking.hybrid:g} {TFIDF}"] = lambda block: (
                own(block) + weight * by_words(block)
            )
        found[TFIDF] = by_words
    if asked.known is not None:
        found[POPULARITY] = lambda block: np.tile(task.counts, (block.stop - block.start, 1))
    return found


def _own_scores(
    predictor: Predictor, task: Retrieval, by: str, classes: Optional[tuple[int, ...]]
) -> Scores:
    if by == "score":
        count = predictor.hyperparameters.classes
        if classes is None and count is not None:
            classes = tuple(range(1, count))
        scores = CandidateScores(predictor, task.in1, classes)
        return lambda block: scores.of(task.in0.take(block))
    vectors = [
        comparable(predictor.embeddings(side, lists), by)
        for side, lists in enumerate((task.in0, task.in1))
    ]
    return lambda block: vectors[0][block] @ vectors[1].T


def _rank(
    task: Retrieval, rankers: dict[str, Scores], ranking: Ranking, seed: int
) -> tuple[dict[str, Ranks], dict[tuple[str, int], Recommended]]:
    rng = np.random.default_rng(seed)
    parts: dict[str, list[Ranks]] = {who: [] for who in rankers}
    recommended = {
        (who, k): Recommended(len(task.candidates))
        for who in rankers
        for k in ranking.k
        if ranking.sampled is None
    }
    for block in task.blocks():
        relevant, seen = task.masks(block)
        left_out = seen & ~relevant
        if ranking.sampled is not None:
            left_out = sampled(relevant, ranking.sampled, rng, left_out)
        for who, scores in rankers.items():
            values = scores(block)
            parts[who].append(ranks_of(values, relevant, left_out, ranking.ties))
            if ranking.sampled is None:
                for k in ranking.k:
                    recommended[who, k].add(values, left_out, k)
    return {who: Ranks.concatenate(own) for who, own in parts.items()}, recommended


def _notes(asked: Asked, task: Retrieval, ranking: Ranking) -> list[str]:
    queries, candidates = len(task.queries), len(task.candidates)
    among = f"all {candidates:,}" if ranking.sampled is None else f"{ranking.sampled:,} drawn ones"
    if ranking.sampled is not None:
        among += f" of {candidates:,}"
    told = (
        f"For {counted(queries, 'object')} of in0, {counted(task.relevant.shape[1], 'object')} of "
        f"in1 that belong to them were ranked among {among}"
    )
    if asked.known is None:
        notes = [f"{told}. Without known pairs nothing is left out, and there is no popularity."]
    else:
        notes = [f"{told}, without those of their own known pairs."]
    if asked.words is not None:
        same = int(np.count_nonzero(are_equal(asked.words.in0, asked.words.in1)))
        if same:
            notes.append(
                f"Both texts of {same:,} of {counted(len(asked.pairs), 'pair')} are the same, "
                "which any model finds: to judge a search by parts of texts, give JSON Lines with "
                "a part as in0 and the rest as in1."
            )
    if asked.known is not None and ranking.sampled is None:
        notes.append(
            f"Popular are the {HEAD:.0%} of the candidates that stand in the most known pairs."
        )
    return notes


def _is_weight(value: Any) -> bool:
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return is_number and bool(0 < value < np.inf)
