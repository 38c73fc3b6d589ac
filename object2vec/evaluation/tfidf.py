# SPDX-License-Identifier: Apache-2.0
"""Cosines of TF-IDF vectors of token lists, by an inverted index: what texts are compared with."""

from __future__ import annotations

import numpy as np

from object2vec.data.arrays import TokenLists


class Tfidf:
    """The TF-IDF vectors of documents, which are asked for their cosines with others.

    A term that stands ``c`` times in a list weighs ``(1 + log c) * (log((1 + n) / (1 + d)) + 1)``,
    with ``n`` documents, ``d`` of which hold it: what scikit-learn's TfidfVectorizer takes with
    ``sublinear_tf``. Terms that no document holds are ignored.

    Parameters
    ----------
    documents : TokenLists
        ``m`` lists; equal tokens are equal terms.
    """

    def __init__(self, documents: TokenLists) -> None:
        self._count = len(documents)
        self._terms = np.unique(documents.tokens)
        rows, terms, counts = _counted(documents, self._terms)
        held = np.bincount(terms, minlength=len(self._terms))
        self._idf = np.log((1 + self._count) / (1 + held)) + 1
        values = self._weighted(rows, terms, counts, self._count)
        order = np.argsort(terms, kind="stable")
        self._postings, self._values = rows[order], values[order]
        self._offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(held)])

    def cosines(self, queries: TokenLists) -> np.ndarray:
        """The cosines of queries with all documents, float32 ``(n, m)``; 0 of empty lists."""
        found = np.zeros((len(queries), self._count), np.float32)
        rows, terms, counts = _counted(queries, self._terms)
        values = self._weighted(rows, terms, counts, len(queries))
        ends = np.searchsorted(rows, np.arange(len(queries) + 1))
        for row, (start, end) in enumerate(zip(ends, ends[1:])):
            own = terms[start:end]
            lengths = self._offsets[own + 1] - self._offsets[own]
            places = np.repeat(self._offsets[own] - np.cumsum(lengths) + lengths, lengths)
            places += np.arange(len(places))
            products = np.repeat(values[start:end], lengths) * self._values[places]
            found[row] = np.bincount(self._postings[places], products, minlength=self._count)
        return found

    def _weighted(
        self, rows: np.ndarray, terms: np.ndarray, counts: np.ndarray, count: int
    ) -> np.ndarray:
        values = (1 + np.log(counts)) * self._idf[terms]
        lengths = np.sqrt(np.bincount(rows, np.square(values), minlength=count))
        return values / lengths[rows]


def pair_cosines(in0: TokenLists, in1: TokenLists) -> np.ndarray:
    """The cosine of each list of in0 with that of in1, float64 ``(n,)``; see `Tfidf`.

    The documents are the lists of both sides.
    """
    both = TokenLists.concatenate([in0, in1])
    index = Tfidf(both)
    rows, terms, counts = _counted(both, index._terms)
    values = index._weighted(rows, terms, counts, len(both))
    keys = (rows % len(in0)) * len(index._terms) + terms if len(in0) else rows
    first = rows < len(in0)
    own, other = keys[first], keys[~first]
    shared, places0, places1 = np.intersect1d(own, other, assume_unique=True, return_indices=True)
    products = values[first][places0] * values[~first][places1]
    return np.bincount(shared // max(1, len(index._terms)), products, minlength=len(in0))


def _counted(lists: TokenLists, terms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, terms and counts of what stands in lists, sorted by rows; only of terms known."""
    rows = np.repeat(np.arange(len(lists)), lists.lengths)
    if not len(terms) or not len(rows):
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing
    places = np.minimum(np.searchsorted(terms, lists.tokens), len(terms) - 1)
    known = terms[places] == lists.tokens
    keys, counts = np.unique(rows[known] * len(terms) + places[known], return_counts=True)
    return keys // len(terms), keys % len(terms), counts
