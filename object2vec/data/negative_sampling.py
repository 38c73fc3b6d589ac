# SPDX-License-Identifier: Apache-2.0
"""Draws negatives: in0 of one pair joined with in1 of another, label 0."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.logs import LOGGER_NAME

_logger = logging.getLogger(LOGGER_NAME)

#: Rows whose in1 are hard negatives of the in0 of some rows; -1 for those drawn from all.
Harder = Callable[[np.ndarray, np.random.Generator], np.ndarray]
#: So many of in1 are hard negatives of an in0, those with the highest scores ...
MOST_NEAREST = 50
#: ... but only one of so many, as of few objects the nearest 50 would be all.
ONE_OF = 4
_DRAWS = 16  # draws at most for a negative, until it is no given positive pair


def fingerprints(lists: TokenLists) -> np.ndarray:
    """Number lists so that equal lists, and in practice only those, get equal numbers.

    A polynomial hash modulo 2**64 of each list's mixed tokens (Karp and Rabin, 1987).

    Returns
    -------
    numpy.ndarray
        uint64, shape ``(n,)``.
    """
    powers = _powers(int(lists.lengths.max(initial=0)))
    found = np.empty(len(lists), np.uint64)
    for first, part in lists.parts():
        found[first : first + len(part)] = _fingerprints(part, powers)
    return found


def _powers(longest: int) -> np.ndarray:
    """What the tokens of a list are multiplied by, uint64 ``(longest + 1,)``."""
    with np.errstate(over="ignore"):
        powers = np.full(longest + 1, 0xD6E8FEB86659FD93, np.uint64)
        powers[0] = 1
        return np.multiply.accumulate(powers)


def _fingerprints(lists: TokenLists, powers: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        mixed = lists.tokens.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        lengths = lists.lengths
        position = np.arange(len(mixed)) - np.repeat(lists.offsets[:-1], lengths)
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed * powers[position])])
        values = sums[lists.offsets[1:]] - sums[lists.offsets[:-1]]
        return values * np.uint64(0xFF51AFD7ED558CCD) + lengths.astype(np.uint64)


def count_nearest(objects: int) -> int:
    """How many of so many distinct in1 are an in0's hard negatives."""
    return min(MOST_NEAREST, -(-objects // ONE_OF))


@dataclass(frozen=True)
class Joined:
    """Pairs as rows of a dataset.

    Attributes
    ----------
    in0, in1 : numpy.ndarray
        int64, shape ``(n,)``: the row whose in0, and the row whose in1, a pair takes.
    labels : numpy.ndarray
        float32, shape ``(n,)``.
    """

    in0: np.ndarray
    in1: np.ndarray
    labels: np.ndarray


class NegativeSampler:
    """Gives the given pairs together with new negatives, as often as asked.

    A pair is positive where its label is not 0. Each positive pair gets ``rate`` negatives: its in0
    with the in1 of a random other pair, never a combination that is itself a given positive pair.

    Parameters
    ----------
    dataset : PairDataset
        The given pairs.
    rate : int
        Negatives for each positive pair, at least 1.
    others : sequence of PairDataset
        Their positive pairs are never drawn either.
    power : float
        An object of in1 that occurs ``c`` times is drawn in proportion to ``c ** power``: with 1
        as often as it occurs, with 0 as often as any other (Mikolov et al. 2013, arXiv 1310.4546,
        section 2.2, found 0.75 the best).
    harder : callable, optional
        Draws some of them otherwise: of rows whose in0 get a negative, int64 ``(n,)``, and a
        generator it makes rows whose in1 these are, or -1.
    """

    def __init__(
        self,
        dataset: PairDataset,
        rate: int,
        others: Sequence[PairDataset] = (),
        *,
        power: float = 1.0,
        harder: Optional[Harder] = None,
    ) -> None:
        self._harder = harder
        self._dataset = dataset
        self._in0 = np.repeat(np.flatnonzero(dataset.labels != 0), rate)
        self._prints = (fingerprints(dataset.in0), fingerprints(dataset.in1))
        positive = dataset.labels != 0
        known = [self._join(positive, positive)]
        for other in others:
            rows = other.labels != 0
            known.append(_joined(fingerprints(other.in0)[rows], fingerprints(other.in1)[rows]))
        self._positives = np.unique(np.concatenate(known))
        self._objects = None if power == 1 else _Objects(self._prints[1], power)

    def draw(self, rng: np.random.Generator) -> Joined:
        """Join all given pairs, followed by negatives drawn anew.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of the draws.

        Returns
        -------
        Joined
            The given pairs, then the negatives. A negative is left out, and counted in a log line,
            if each of its draws was a given positive pair.
        """
        rows = len(self._dataset)
        in0 = self._in0
        in1 = self._draw_in1(len(in0), rng)
        if self._harder is not None:
            hard = self._harder(in0, rng)
            in1 = np.where(hard < 0, in1, hard)
        taken = np.flatnonzero(self._is_positive(in0, in1))
        for _ in range(_DRAWS - 1):
            if not taken.size:
                break
            in1[taken] = self._draw_in1(len(taken), rng)
            taken = taken[self._is_positive(in0[taken], in1[taken])]
        if taken.size:
            _logger.warning(
                "Negative sampling left out %d of %d negatives, because each of %d draws gave a "
                "pair that is itself a positive one: the data holds almost every combination.",
                len(taken),
                len(in0),
                _DRAWS,
            )
            in0, in1 = np.delete(in0, taken), np.delete(in1, taken)
        given = np.arange(rows)
        return Joined(
            np.concatenate([given, in0]),
            np.concatenate([given, in1]),
            np.concatenate([self._dataset.labels, np.zeros(len(in0), np.float32)]),
        )

    def _draw_in1(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Rows whose in1 is taken, int64 ``(count,)``."""
        if self._objects is None:
            return rng.integers(len(self._dataset), size=count)
        return self._objects.draw(count, rng)

    def _join(self, in0: np.ndarray, in1: np.ndarray) -> np.ndarray:
        return _joined(self._prints[0][in0], self._prints[1][in1])

    def _is_positive(self, in0: np.ndarray, in1: np.ndarray) -> np.ndarray:
        if not self._positives.size:
            return np.zeros(len(in0), bool)
        pairs = self._join(in0, in1)
        position = np.searchsorted(self._positives, pairs)
        return self._positives[np.minimum(position, len(self._positives) - 1)] == pairs


class _Objects:
    """Draws distinct objects in proportion to a power of how often they occur.

    Parameters
    ----------
    prints : numpy.ndarray
        uint64 ``(n,)``: equal numbers are equal objects.
    power : float
        See `NegativeSampler`.
    """

    def __init__(self, prints: np.ndarray, power: float) -> None:
        _, self._rows, counts = np.unique(prints, return_index=True, return_counts=True)
        self._bounds = np.cumsum(counts.astype(np.float64) ** power)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """A row of each object that is drawn, int64 ``(count,)``."""
        found = np.searchsorted(self._bounds, rng.random(count) * self._bounds[-1], side="right")
        # rounding may give the last bound itself
        return self._rows[np.minimum(found, len(self._rows) - 1)]


def _joined(in0: np.ndarray, in1: np.ndarray) -> np.ndarray:
    """Numbers of pairs from the numbers of their lists, uint64 ``(n,)``."""
    with np.errstate(over="ignore"):
        return in0 * np.uint64(0x9E3779B97F4A7C15) ^ in1


def with_negatives(
    pairs: PairDataset,
    rate: int,
    seed: int = 0,
    others: Sequence[PairDataset] = (),
    *,
    power: float = 1.0,
) -> PairDataset:
    """Pairs followed by negatives that stay: for pairs that are all positive, and are to be judged.

    Of positive pairs alone a loss says nothing: it is lowest for a model that calls every pair
    positive. The negatives are drawn as in training: each positive pair's in0 with the in1 of a
    random pair of the same set, in proportion to a power of how often the object occurs there,
    never a combination that is a given positive pair.

    Parameters
    ----------
    pairs : PairDataset
        Kept back for validation or test.
    rate : int
        Negatives for each positive pair, at least 1: as many as in training, so that both losses
        are of the same kind.
    seed : int
        Equal seeds give equal negatives.
    others : sequence of PairDataset
        Such as the pairs for training: their positive pairs are no negatives either.
    power : float
        As in training; see `NegativeSampler`.
    """
    return joined_pairs(pairs, judged_negatives(pairs, rate, seed, others, power=power))


def judged_negatives(
    pairs: PairDataset,
    rate: int,
    seed: int = 0,
    others: Sequence[PairDataset] = (),
    *,
    power: float = 1.0,
) -> Joined:
    """The rows of what `with_negatives` gives."""
    sampler = NegativeSampler(pairs, rate, others, power=power)
    return sampler.draw(np.random.default_rng(seed))


def joined_pairs(pairs: PairDataset, drawn: Joined) -> PairDataset:
    """The pairs whose rows were drawn; a negative counts as much as the pair whose in0 it has."""
    in0, in1 = pairs.in0.take(drawn.in0), pairs.in1.take(drawn.in1)
    weights = None if pairs.weights is None else pairs.weights[drawn.in0]
    return PairDataset(in0, in1, drawn.labels, pairs.truncated, weights)


def with_judged_negatives(
    parts: Mapping[str, PairDataset], rate: int, power: float = 1.0
) -> dict[str, PairDataset]:
    """Add negatives to what training is judged by, where all of its pairs are positive.

    Parameters
    ----------
    parts : mapping of str to PairDataset
        ``train``, which stays as it is, and others, such as ``validation`` and ``test``. No
        positive pair of any of them is a negative; the seed is always 0.
    rate : int
        As in training; 0 for none.
    power : float
        As in training; see `NegativeSampler`.
    """
    found = dict(parts)
    for name in found.keys() - {"train"} if rate else ():
        if np.all(parts[name].labels):
            others = [pairs for other, pairs in parts.items() if other != name]
            found[name] = with_negatives(parts[name], rate, others=others, power=power)
    return found
