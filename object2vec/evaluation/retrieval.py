# SPDX-License-Identifier: Apache-2.0
"""Which objects of in1 are to be found for which objects of in0, and among which candidates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

import numpy as np

from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.negative_sampling import fingerprints

#: No list at all.
NOTHING = TokenLists.of_each(np.zeros(0, np.int32))
_ELEMENTS = 1 << 22  # scores that are looked at together


@dataclass(frozen=True, eq=False)
class Prints:
    """Numbers of objects, uint64, that are equal where objects are the same.

    Attributes
    ----------
    in0, in1 : numpy.ndarray
        Of the pairs, ``(n,)``.
    known0, known1 : numpy.ndarray
        Of the pairs that were known before.
    others : numpy.ndarray
        Of further candidates.
    """

    in0: np.ndarray
    in1: np.ndarray
    known0: np.ndarray
    known1: np.ndarray
    others: np.ndarray

    @classmethod
    def of(
        cls,
        pairs: PairDataset,
        known: Optional[PairDataset] = None,
        others: Optional[TokenLists] = None,
    ) -> Prints:
        """Those of objects that are the same where their token lists are."""
        sides = (NOTHING, NOTHING) if known is None else (known.in0, known.in1)
        further = NOTHING if others is None else others
        lists = (pairs.in0, pairs.in1, *sides, further)
        return cls(*(fingerprints(own) for own in lists))


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Queries, candidates, and what belongs together.

    Attributes
    ----------
    queries, candidates : numpy.ndarray
        Integers, shapes ``(n,)`` and ``(m,)``: the row of each, counting those of `in0` and `in1`.
    in0, in1 : TokenLists
        The objects of the queries, ``n``, and of the candidates, ``m``.
    relevant, seen : numpy.ndarray
        int64, shape ``(2, pairs)``: queries and candidates that belong together, and those of pairs
        that were known before; each once, sorted by the queries.
    counts : numpy.ndarray
        int64, shape ``(m,)``: in how many pairs that were known before each candidate stands.
    distinct : tuple of int
        How many distinct queries and candidates there were to draw from.
    """

    queries: np.ndarray
    candidates: np.ndarray
    in0: TokenLists
    in1: TokenLists
    relevant: np.ndarray
    seen: np.ndarray
    counts: np.ndarray
    distinct: tuple[int, int]

    @classmethod
    def of(
        cls,
        pairs: PairDataset,
        known: Optional[PairDataset] = None,
        others: Optional[TokenLists] = None,
        prints: Optional[Prints] = None,
        most_queries: Optional[int] = None,
        most_candidates: Optional[int] = None,
        seed: int = 0,
    ) -> Retrieval:
        """Find them in pairs.

        The queries are the in0 of positive pairs, those with another label than 0; the in1 of these
        are relevant. All distinct in1 are candidates.

        Parameters
        ----------
        pairs : PairDataset
            What is ranked; one pair at least is positive.
        known : PairDataset, optional
            What was known before, such as the pairs for training: their in1 are candidates too, and
            those of a query's positive pairs are `seen`.
        others : TokenLists, optional
            Further candidates.
        prints : Prints, optional
            Which objects are the same; by default those whose token lists are.
        most_queries, most_candidates : int, optional
            Of more, so many are drawn by the seed; what is relevant is always among the candidates.
        seed : int
            Of the draws.
        """
        rng = np.random.default_rng(seed)
        positive = np.flatnonzero(pairs.labels != 0)
        prints = Prints.of(pairs, known, others) if prints is None else prints
        own0, own1 = prints.in0, prints.in1
        queries, first = np.unique(own0[positive], return_index=True)
        distinct = len(queries)
        if most_queries is not None and distinct > most_queries:
            kept = np.sort(rng.choice(distinct, most_queries, replace=False))
            queries, first = queries[kept], first[kept]
        first = positive[first]
        positive = positive[_places(queries, own0[positive]) >= 0]

        before0, before1 = prints.known0, prints.known1
        candidates, rows = np.unique(
            np.concatenate([own1, before1, prints.others]), return_index=True
        )
        found = len(candidates)
        if most_candidates is not None and found > most_candidates:
            needed = np.unique(_places(candidates, own1[positive]))
            rest = np.delete(np.arange(found), needed)
            count = min(len(rest), max(0, most_candidates - len(needed)))
            kept = np.sort(np.append(needed, rng.choice(rest, count, replace=False)))
            candidates, rows = candidates[kept], rows[kept]

        seen = np.zeros(0, bool) if known is None else known.labels != 0
        places = _places(candidates, before1[seen])
        return cls(
            queries=first,
            candidates=rows,
            in0=pairs.in0.take(first),
            in1=rows_of(
                [
                    pairs.in1,
                    NOTHING if known is None else known.in1,
                    NOTHING if others is None else others,
                ],
                rows,
            ),
            relevant=_pairs(queries, candidates, own0[positive], own1[positive]),
            seen=_pairs(queries, candidates, before0[seen], before1[seen]),
            counts=np.bincount(places[places >= 0], minlength=len(candidates)),
            distinct=(distinct, found),
        )

    def blocks(self) -> Iterator[slice]:
        """The queries in parts whose scores with all candidates are few enough to be held."""
        step = max(1, _ELEMENTS // max(1, len(self.candidates)))
        for start in range(0, len(self.queries), step):
            yield slice(start, min(start + step, len(self.queries)))

    def masks(self, block: slice) -> tuple[np.ndarray, np.ndarray]:
        """What is relevant, and what was seen, of some queries: bool ``(n, m)`` each."""
        shape = block.stop - block.start, len(self.candidates)
        return _mask(self.relevant, block.start, *shape), _mask(self.seen, block.start, *shape)


def rows_of(parts: list[TokenLists], rows: np.ndarray) -> TokenLists:
    """Some rows of lists that are counted one after the other, without joining all of them."""
    ends = np.cumsum([len(part) for part in parts])
    owners = np.searchsorted(ends, rows, side="right")
    order = np.argsort(owners, kind="stable")
    starts = ends - [len(part) for part in parts]
    taken = [
        part.take(rows[order][owners[order] == at] - starts[at]) for at, part in enumerate(parts)
    ]
    return TokenLists.concatenate(taken).take(np.argsort(order))


def _places(keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where values stand among sorted keys, -1 for those that do not, int64 ``(n,)``."""
    found = np.minimum(np.searchsorted(keys, values), len(keys) - 1)
    return np.where(keys[found] == values, found, -1)


def _pairs(
    queries: np.ndarray, candidates: np.ndarray, in0: np.ndarray, in1: np.ndarray
) -> np.ndarray:
    """Queries and candidates of pairs, int64 ``(2, n)``, each pair once, sorted by the queries."""
    rows = _places(queries, in0)
    known = np.flatnonzero(rows >= 0)
    rows, columns = rows[known], _places(candidates, in1[known])
    numbers = np.unique((rows * len(candidates) + columns)[columns >= 0])
    return np.stack(np.divmod(numbers, len(candidates)))


def _mask(pairs: np.ndarray, start: int, rows: int, columns: int) -> np.ndarray:
    """The pairs of some queries, bool ``(rows, columns)``."""
    first, last = np.searchsorted(pairs[0], (start, start + rows))
    mask = np.zeros((rows, columns), bool)
    mask[pairs[0, first:last] - start, pairs[1, first:last]] = True
    return mask
