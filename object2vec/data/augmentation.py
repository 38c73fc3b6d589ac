# SPDX-License-Identifier: Apache-2.0
"""What training sees of token lists, anew in each epoch: random windows, with tokens left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, Optional

import numpy as np

from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.hyperparameters.checked import Hyperparameters

_SHORTEST = 8  # the part of the longest window that the shortest one has, of an object given once


@dataclass(frozen=True)
class Augmentation:
    """How lists are changed before a batch takes them.

    Parameters
    ----------
    token_dropout : float
        Probability, below 1, with which a token of a list of several is left out.
    crops : tuple of (int or None)
        Of in0 and in1: how many tokens a random window of a longer list has; None where lists are
        taken as they are.
    """

    token_dropout: float = 0.0
    crops: tuple[Optional[int], Optional[int]] = (None, None)

    @classmethod
    def of(cls, hyperparameters: Hyperparameters) -> Augmentation:
        """What the hyperparameters ask for."""
        enc0, enc1 = hyperparameters.encoders
        return cls(
            hyperparameters.token_dropout,
            (
                enc0.max_seq_len if enc0.random_crop else None,
                enc1.max_seq_len if enc1.random_crop else None,
            ),
        )


AS_GIVEN = Augmentation()


class AugmentedPairs:
    """Pairs whose lists come augmented.

    Where both sides have random windows and a pair's two lists are equal, it is one object given
    once: in0 gets a window of at most half of it, and in1 a window of the rest, as StarSpace makes
    pairs of a document's parts (Wu et al. 2018, arXiv 1709.03856, section 3). The window of in0 is
    of any length from an eighth of the most on, as what is asked for later is long or short.
    Negatives of such an object lack as many tokens, so that lengths do not tell them from positive
    pairs.

    Parameters
    ----------
    dataset : PairDataset
        The pairs; with the lists whole, of which windows are taken.
    augmentation : Augmentation
        What is done with them.

    Attributes
    ----------
    lengths : tuple of numpy.ndarray
        int64, shape ``(n,)`` each: the most tokens that a batch gets of each list.
    is_once : numpy.ndarray
        bool, shape ``(n,)``: which pairs are one object given once.
    """

    def __init__(self, dataset: PairDataset, augmentation: Augmentation) -> None:
        self._sides = dataset.in0, dataset.in1
        self._augmentation = augmentation
        lengths = [lists.lengths for lists in self._sides]
        self.is_once = np.zeros(len(dataset), np.bool_)
        if None not in augmentation.crops:
            self.is_once = are_equal(*self._sides) & (lengths[0] > 1)
        first, second = (
            own if most is None else np.minimum(own, most)
            for own, most in zip(lengths, augmentation.crops)
        )
        self.lengths = first, second

    def take(
        self, rows0: np.ndarray, rows1: np.ndarray, rng: np.random.Generator
    ) -> tuple[TokenLists, TokenLists]:
        """The lists of some pairs.

        Parameters
        ----------
        rows0, rows1 : numpy.ndarray
            Integers, shape ``(n,)``: whose in0 and whose in1 a pair takes.
        rng : numpy.random.Generator
            Source of the windows, and of what is left out.
        """
        (in0, in1), (most0, most1) = self._sides, self._augmentation.crops
        gaps = None
        if most0 is None:
            taken0 = in0.take(rows0)
        else:
            window = self._window(rows0, most0, rng)
            taken0 = _cut_out(in0, rows0, window)
            if self.is_once[rows1].any():
                gaps = self._gaps(rows0, rows1, window, rng)
        if most1 is None:
            taken1 = in1.take(rows1)
        else:
            gaps = gaps or _no_gaps(len(rows1))
            rest = _lengths(in1, rows1) - gaps.lengths
            taken1 = _cut_out(in1, rows1, _random_parts(rest, np.minimum(rest, most1), rng), gaps)
        rate = self._augmentation.token_dropout
        if rate:
            taken0, taken1 = (drop_tokens(lists, rate, rng) for lists in (taken0, taken1))
        return taken0, taken1

    def _window(self, rows: np.ndarray, most: int, rng: np.random.Generator) -> _Parts:
        """The windows that in0 gets, of at most half of an object that is given once."""
        lengths = _lengths(self._sides[0], rows)
        wanted = np.full(len(rows), most)
        once = np.flatnonzero(self.is_once[rows])
        drawn = rng.integers(max(most // _SHORTEST, 1), most, size=len(once), endpoint=True)
        wanted[once] = np.minimum(drawn, lengths[once] // 2)
        return _random_parts(lengths, np.minimum(lengths, wanted), rng)

    def _gaps(
        self, rows0: np.ndarray, rows1: np.ndarray, window: _Parts, rng: np.random.Generator
    ) -> _Parts:
        """What in1 lacks: the window of in0, or in a negative one as in0 of its own would get."""
        most0 = self._augmentation.crops[0]
        assert most0 is not None
        other = self._window(rows1, most0, rng)
        is_own, is_once = rows0 == rows1, self.is_once[rows1]
        return _Parts(
            np.where(is_once, np.where(is_own, window.first, other.first), 0),
            np.where(is_once, np.where(is_own, window.lengths, other.lengths), 0),
        )


def judged_parts(pairs: PairDataset, hyperparameters: Hyperparameters) -> PairDataset:
    """Pairs that a model is judged by, with parts in the place of objects that are given once.

    Where in0 and in1 are the same list, any model finds the one by the other, and a loss says
    nothing of what is learnt from their parts. Each such pair gets parts as training takes them,
    always the same; other pairs stay as they are.

    Parameters
    ----------
    pairs : PairDataset
        Validation or test pairs, with the lists whole.
    hyperparameters : Hyperparameters
        Say what is done with those of training.
    """
    parts = AugmentedPairs(pairs, replace(Augmentation.of(hyperparameters), token_dropout=0.0))
    once = np.flatnonzero(parts.is_once)
    if not len(once):
        return pairs
    taken = parts.take(once, once, np.random.default_rng(0))
    rows = np.arange(len(pairs))
    rows[once] = len(pairs) + np.arange(len(once))
    in0, in1 = (
        TokenLists.concatenate([whole, part]).take(rows)
        for whole, part in zip((pairs.in0, pairs.in1), taken)
    )
    return replace(pairs, in0=in0, in1=in1)


def drop_tokens(lists: TokenLists, rate: float, rng: np.random.Generator) -> TokenLists:
    """Leave out each token with the probability `rate`, but never all of a list's (word dropout).

    Lists of one token stay as they are. Where all tokens of a longer one would go, one stays, each
    with the same probability (Iyyer et al. 2015, P15-1162, section 3.2).
    """
    lengths = lists.lengths
    kept = rng.random(len(lists.tokens), dtype=np.float32) >= rate
    starts = lists.offsets[:-1]
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
    bare = np.flatnonzero((before[lists.offsets[1:]] == before[starts]) & (lengths > 1))
    kept[starts[lengths == 1]] = True
    kept[starts[bare] + rng.integers(lengths[bare])] = True
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
    return TokenLists(lists.tokens[kept], before[lists.offsets])


class _Parts(NamedTuple):
    """A part of each of some lists: its first position and its length, int64 ``(n,)``."""

    first: np.ndarray
    lengths: np.ndarray


def _lengths(lists: TokenLists, rows: np.ndarray) -> np.ndarray:
    return lists.offsets[rows + 1] - lists.offsets[rows]


def _no_gaps(count: int) -> _Parts:
    return _Parts(np.zeros(count, np.int64), np.zeros(count, np.int64))


def _random_parts(lengths: np.ndarray, wanted: np.ndarray, rng: np.random.Generator) -> _Parts:
    """A part of the wanted length of each list, each place with the same probability."""
    return _Parts(rng.integers(lengths - wanted + 1), wanted)


def _cut_out(
    lists: TokenLists, rows: np.ndarray, parts: _Parts, gaps: Optional[_Parts] = None
) -> TokenLists:
    """Parts of lists; positions are those of the lists without the gaps."""
    first, lengths = parts
    position = np.arange(int(lengths.sum())) - np.repeat(
        np.cumsum(lengths) - lengths - first, lengths
    )
    if gaps is not None:
        is_behind = position >= np.repeat(gaps.first, lengths)
        position += np.where(is_behind, np.repeat(gaps.lengths, lengths), 0)
    position += np.repeat(lists.offsets[rows], lengths)
    return TokenLists.from_lengths(lists.tokens[position], lengths)


def are_equal(in0: TokenLists, in1: TokenLists) -> np.ndarray:
    """Whether each list of the one is equal to that of the other, a mask of shape ``(n,)``."""
    equal = in0.lengths == in1.lengths
    for start, part in in0.parts():
        rows = start + np.flatnonzero(equal[start : start + len(part)])
        first, second = in0.take(rows), in1.take(rows)
        differing = np.concatenate(
            [np.zeros(1, np.int64), np.cumsum(first.tokens != second.tokens)]
        )
        equal[rows] = differing[first.offsets[1:]] == differing[first.offsets[:-1]]
    return equal
