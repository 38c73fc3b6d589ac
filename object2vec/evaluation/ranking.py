# SPDX-License-Identifier: Apache-2.0
"""How far up relevant candidates stand when candidates are ordered by their scores."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from object2vec.errors import CustomerError
from object2vec.evaluation.checked_arrays import is_whole, numbers
from object2vec.text import quoted

#: What stands ahead of a relevant candidate, in means over several ways to count it.
TIES: dict[str, tuple[Callable[..., np.ndarray], ...]] = {
    "pessimistic": (np.greater_equal,),
    "optimistic": (np.greater,),
    "mean": (np.greater_equal, np.greater),
}
_ELEMENTS = 1 << 22  # scores that are looked at at once


@dataclass(frozen=True, eq=False)
class Ranks:
    """The ranks of the relevant candidates of many queries, in flat arrays.

    Query ``i`` has ``values[offsets[i]:offsets[i + 1]]``, one at least.

    Attributes
    ----------
    values : numpy.ndarray
        float64, shape ``(total,)``: ranks from 1, ascending within a query; halves where ties count
        by their mean.
    gains : numpy.ndarray
        float64, shape ``(total,)``: how relevant each is, above 0; 1 where nobody says more.
    offsets : numpy.ndarray
        int64, shape ``(n + 1,)``.
    """

    values: np.ndarray
    gains: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of_lists(cls, ranks: Iterable[Sequence[float]]) -> Ranks:
        """Take ranks that are known.

        Parameters
        ----------
        ranks : iterable of sequences of numbers
            For each query the ranks of its relevant candidates, from 1, in any order.

        Raises
        ------
        CustomerError
            A query has none, or one is below 1, NaN or infinite.
        """
        lists = [np.sort(np.asarray(found, np.float64).ravel()) for found in ranks]
        offsets = _offsets(np.array([len(found) for found in lists], np.int64))
        values = numbers(np.concatenate(lists), "the ranks")
        if values.min() < 1:
            raise CustomerError(f"Ranks count from 1, found {values.min():g}.")
        return cls(values, np.ones(len(values)), offsets)

    @classmethod
    def concatenate(cls, parts: Sequence[Ranks]) -> Ranks:
        """Join the queries of several, of one at least."""
        return cls(
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.gains for part in parts]),
            _offsets(np.concatenate([np.diff(part.offsets) for part in parts])),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def relevant(self) -> np.ndarray:
        """How many relevant candidates each query has, int64 ``(n,)``."""
        return np.diff(self.offsets)

    @property
    def places(self) -> np.ndarray:
        """Which of its query's relevant candidates each one is, from 1, int64 ``(total,)``."""
        starts = np.repeat(self.offsets[:-1], self.relevant)
        return np.arange(1, len(self.values) + 1) - starts

    def sums(self, values: np.ndarray) -> np.ndarray:
        """The sum of ``(total,)`` values over each query, float64 ``(n,)``."""
        return np.add.reduceat(np.asarray(values, np.float64), self.offsets[:-1])


def ranks_of(
    scores: Any, relevant: Any, left_out: Optional[Any] = None, ties: str = "pessimistic"
) -> Ranks:
    """Find the ranks of relevant candidates among all candidates of their query.

    The highest score has rank 1.

    Parameters
    ----------
    scores : array of numbers
        Shape ``(n, m)``: of n queries, for m candidates each. They may be other candidates for each
        query, such as its relevant one and some that were drawn.
    relevant : array of bools or numbers
        Shape ``(n, m)``: which candidates are relevant, or how much; 0 is not at all.
    left_out : array of bools, optional
        Shape ``(n, m)``: what is no candidate of a query, such as what was seen in training. What
        is relevant stays in.
    ties : str
        What a relevant candidate's rank is among others with the same score: ``pessimistic``, it
        stands behind all that are not relevant, so that a model of equal scores gets no credit;
        ``optimistic``, before them; ``mean``, halfway between. Relevant candidates of one score
        follow one another, the less relevant first, or last if optimistic.

    Returns
    -------
    Ranks

    Raises
    ------
    CustomerError
        A score is NaN, shapes differ, or a query has no relevant candidate.
    """
    if ties not in TIES:
        raise CustomerError(f"ties must be {', '.join(TIES)}, found {quoted(ties)}.")
    given = numbers(scores, "the scores", infinite=True)
    if given.ndim != 2:
        raise CustomerError(
            f"Scores must have the shape (queries, candidates), found {given.shape}."
        )
    gains = _of_shape(relevant, given.shape, "relevant")
    if gains.dtype != bool:
        gains = numbers(gains, "the relevances")
    if gains.min() < 0:
        raise CustomerError(f"Relevances must not be below 0, found {gains.min():g}.")
    queries, columns = np.nonzero(gains)
    counts = np.bincount(queries, minlength=len(given))
    if not counts.all():
        lacking = np.flatnonzero(counts == 0)
        raise CustomerError(
            f"{len(lacking)} of {len(counts)} queries have no relevant candidate, the first is "
            f"query {lacking[0]}: a rank needs one, so leave these queries out."
        )
    others = gains == 0
    if left_out is not None:
        left = _of_shape(left_out, given.shape, "left_out")
        if left.dtype != bool:
            raise CustomerError(f"left_out must be bools, found the type {left.dtype}.")
        others &= ~left
    found, gained = given[queries, columns], gains[queries, columns].astype(np.float64)
    # within a query from the highest score on; the rank among the relevant is the place in it
    order = np.lexsort((-gained if ties == "optimistic" else gained, -found, queries))
    queries, found, gained = queries[order], found[order], gained[order]
    offsets = _offsets(counts)
    ahead = np.empty(len(found))
    for part in _parts(len(found), given.shape[1]):
        rows, own = queries[part], found[part, None]
        among = others[rows]
        counted = [
            np.count_nonzero(is_ahead(given[rows], own) & among, axis=1) for is_ahead in TIES[ties]
        ]
        ahead[part] = np.mean(counted, axis=0)
    places = np.arange(1, len(found) + 1) - np.repeat(offsets[:-1], counts)
    return Ranks(ahead + places, gained, offsets)


def sampled(
    relevant: Any, count: int, rng: np.random.Generator, left_out: Optional[Any] = None
) -> np.ndarray:
    """Draw candidates, for `ranks_of` among some of them instead of all.

    Measures of drawn candidates are higher than those of all, and may order models otherwise
    (Krichene and Rendle, 2020).

    Parameters
    ----------
    relevant, left_out : array
        As for `ranks_of`.
    count : int
        How many candidates that are not relevant each query keeps, at least 1; without replacement,
        all where there are fewer.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    numpy.ndarray
        bool, shape ``(n, m)``: what is left out, for `ranks_of`.
    """
    check_k(count)
    is_relevant = np.asarray(relevant) != 0
    out = np.ones(is_relevant.shape, bool)
    allowed = ~is_relevant
    if left_out is not None:
        allowed &= ~_of_shape(left_out, is_relevant.shape, "left_out").astype(bool)
    for part in _parts(len(out), out.shape[1]):
        keys = rng.random(out[part].shape)
        keys[~allowed[part]] = np.inf
        kept = np.argpartition(keys, min(count, out.shape[1]) - 1, axis=1)[:, :count]
        np.put_along_axis(out[part], kept, False, axis=1)
    return out | ~allowed


def hit_rate(ranks: Ranks, k: int) -> np.ndarray:
    """Whether any relevant candidate is among the first k, for each query.

    Parameters
    ----------
    ranks : Ranks
        Of n queries.
    k : int
        At least 1.

    Returns
    -------
    numpy.ndarray
        float64, shape ``(n,)``; the mean of this and of the measures below is what is reported.

    Raises
    ------
    CustomerError
        k is no whole number from 1.
    """
    return (_hits(ranks, k) > 0).astype(np.float64)


def recall(ranks: Ranks, k: int) -> np.ndarray:
    """Share of the relevant candidates that is among the first k; see `hit_rate`."""
    return _hits(ranks, k) / ranks.relevant


def precision(ranks: Ranks, k: int) -> np.ndarray:
    """Relevant candidates among the first k, divided by k; see `hit_rate`.

    By k also where there are fewer candidates, as trec_eval does it.
    """
    return _hits(ranks, k) / k


def reciprocal_rank(ranks: Ranks, k: Optional[int] = None) -> np.ndarray:
    """1 / rank of the first relevant candidate, 0 behind the first k; the mean is the MRR.

    Takes, returns and raises what `hit_rate` does.
    """
    values = 1 / ranks.values[ranks.offsets[:-1]]
    return values * (_hits(ranks, k) > 0)


def ndcg(ranks: Ranks, k: Optional[int] = None) -> np.ndarray:
    """Normalised discounted cumulative gain of the first k; see `hit_rate`.

    The sum of gain / log2(1 + rank), divided by that of the best order (Järvelin and Kekäläinen,
    2002).
    """
    gained = ranks.sums(ranks.gains / np.log2(1 + ranks.values) * _among(ranks.values, k))
    queries = np.repeat(np.arange(len(ranks)), ranks.relevant)
    ideal = ranks.gains[np.lexsort((-ranks.gains, queries))]
    best = ranks.sums(ideal / np.log2(1 + ranks.places) * _among(ranks.places, k))
    return gained / best


def average_precision(ranks: Ranks, k: Optional[int] = None) -> np.ndarray:
    """Mean over the relevant candidates of the precision at their ranks; the mean is the MAP.

    Those behind the first k count 0, as trec_eval does it. Takes, returns and raises what
    `hit_rate` does.
    """
    values = ranks.places / ranks.values * _among(ranks.values, k)
    return ranks.sums(values) / ranks.relevant


def mean_rank(ranks: Ranks) -> np.ndarray:
    """Mean rank of the relevant candidates of each query, float64 ``(n,)``; 1 is best for one."""
    return ranks.sums(ranks.values) / ranks.relevant


_WITH_K: dict[str, Callable[[Ranks, int], np.ndarray]] = {
    "hit_rate": hit_rate,
    "recall": recall,
    "precision": precision,
}
_WITH_OR_WITHOUT: dict[str, Callable[..., np.ndarray]] = {
    "mrr": reciprocal_rank,
    "ndcg": ndcg,
    "map": average_precision,
}
#: Behind the @ of a measure's name.
LARGEST_K = 10**9 - 1
_NAME = re.compile(r"([a-z_]+)(?:@([1-9][0-9]{0,8}))?")


def by_name(name: str, ranks: Ranks) -> np.ndarray:
    """A measure of each query, by its name.

    Parameters
    ----------
    name : str
        ``hit_rate@k``, ``recall@k``, ``precision@k``; ``mrr``, ``ndcg`` and ``map``, also with
        ``@k``; ``mean_rank``.
    ranks : Ranks
        Of n queries.

    Returns
    -------
    numpy.ndarray
        float64, shape ``(n,)``.

    Raises
    ------
    CustomerError
        There is no such measure.

    Examples
    --------
    >>> ranks = Ranks.of_lists([[1, 3], [4]])
    >>> {name: float(by_name(name, ranks).mean()) for name in ("hit_rate@3", "mrr")}
    {'hit_rate@3': 0.5, 'mrr': 0.625}
    """
    found = _NAME.fullmatch(name)
    kind, cut = found.groups() if found else ("", None)
    if kind == "mean_rank" and cut is None:
        return mean_rank(ranks)
    if kind in _WITH_OR_WITHOUT:
        return _WITH_OR_WITHOUT[kind](ranks, None if cut is None else int(cut))
    if kind in _WITH_K and cut is not None:
        return _WITH_K[kind](ranks, int(cut))
    known = [*(f"{one}@10" for one in _WITH_K), *_WITH_OR_WITHOUT, "mean_rank"]
    raise CustomerError(
        f"There is no ranking measure {quoted(name)}: give {', '.join(known)} or the like, with "
        "any number behind the @."
    )


def _hits(ranks: Ranks, k: Optional[int]) -> np.ndarray:
    return ranks.sums(_among(ranks.values, k))


def _among(values: np.ndarray, k: Optional[int]) -> np.ndarray:
    """Which ranks are among the first k, all where there is no k."""
    if k is None:
        return np.ones(len(values), bool)
    check_k(k)
    return values <= k


def check_k(k: Any) -> None:
    """Raise a CustomerError unless this is a whole number from 1."""
    if not is_whole(k) or k < 1:
        raise CustomerError(f"k must be a whole number from 1, found {quoted(k)}.")


def _of_shape(values: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    found = np.asarray(values)
    if found.shape != shape:
        raise CustomerError(
            f"{what} must have the shape of the scores, {shape}, found {found.shape}."
        )
    return found


def _offsets(counts: np.ndarray) -> np.ndarray:
    if not counts.size or not counts.all():
        raise CustomerError(
            "There is no query."
            if not counts.size
            else f"Query {int(np.flatnonzero(counts == 0)[0])} has no relevant candidate: leave "
            "such queries out."
        )
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])


def _parts(rows: int, width: int) -> Iterator[slice]:
    step = max(1, _ELEMENTS // max(1, width))
    for start in range(0, rows, step):
        yield slice(start, start + step)
