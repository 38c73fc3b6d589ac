# SPDX-License-Identifier: Apache-2.0
"""Turns pairs into batches: buckets, shuffling, negatives, padding and mean weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Optional

import numpy as np

from object2vec.data.arrays import PairDataset, Rows, TokenLists
from object2vec.data.negative_sampling import Joined, NegativeSampler

# The maximum over each list is taken of this many parts, a power of two. For bilstm every step of
# time costs as much as the maximum, and so there are fewer.
POSITIONS_STEP = 8
TIME_STEP = 4


@dataclass(frozen=True)
class Batch:
    """Some pairs, as the network takes them.

    Attributes
    ----------
    in0, in1 : TokenLists
        The token lists of the ``n`` pairs.
    labels : numpy.ndarray
        float32, shape ``(n,)``.
    widths : tuple of int
        The lengths that the lists of in0 and of in1 are padded to, at least 1.
    """

    in0: TokenLists
    in1: TokenLists
    labels: np.ndarray
    widths: tuple[int, int]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def sides(self) -> tuple[TokenLists, TokenLists]:
        """The lists of in0 and of in1."""
        return self.in0, self.in1

    def split(self, parts: int) -> list[Batch]:
        """Cut into ``parts`` chunks whose sizes differ by one at most; some may be empty."""
        if parts == 1:
            return [self]
        chunks = np.array_split(np.arange(len(self)), parts)
        return [
            Batch(self.in0.take(chunk), self.in1.take(chunk), self.labels[chunk], self.widths)
            for chunk in chunks
        ]


@dataclass(frozen=True)
class Bucket:
    """The pairs that are padded to the same two lengths.

    Attributes
    ----------
    widths : tuple of int
        The padded lengths of in0 and in1; ``(0, 0)`` stands for the batch's own longest lists.
    samples, batches : int
        How many pairs the bucket holds and in how many batches they come.
    """

    widths: tuple[int, int]
    samples: int
    batches: int


def pad(lists: TokenLists, width: int) -> np.ndarray:
    """Lay token lists side by side.

    A short list is filled up with its own first token (an empty one with the first token of all):
    what stands there is masked, and so no row of the token table is touched that is not in use.

    Parameters
    ----------
    lists : TokenLists
        ``n`` lists of at most ``width`` tokens.
    width : int
        Length of every row of the output.

    Returns
    -------
    numpy.ndarray
        int32, shape ``(n, width)``.
    """
    if lists.tokens.size == 0:
        return np.zeros((len(lists), width), np.int32)
    position = np.arange(width)
    inside = position < lists.lengths[:, None]
    start = np.minimum(lists.offsets[:-1], lists.tokens.size - 1)[:, None]
    return lists.tokens[np.where(inside, start + position, start)]


@dataclass(frozen=True)
class PackedLists:
    """Token lists behind one another, with what convolutions and maxima over each list need.

    Attributes
    ----------
    tokens : numpy.ndarray
        int32, shape ``(rows,)``: the tokens of all lists, then at least one that belongs to none.
    count : int
        Number of tokens of all lists. The row of this number is to be zero.
    windows : numpy.ndarray
        int32, shape ``(rows, width)``: the rows under a filter of the width, `count` beyond the
        list's ends.
    positions : numpy.ndarray
        int32, shape ``(longest, n)``: each list's rows, then `count`; the longest list's length is
        rounded up to a multiple of `POSITIONS_STEP`.
    """

    tokens: np.ndarray
    count: int
    windows: np.ndarray
    positions: np.ndarray


def pack(lists: TokenLists, width: int) -> PackedLists:
    """Put token lists behind one another, without padding.

    The number of rows is rounded up to one of 16 numbers between a power of two and the next, so
    that few shapes come up.

    Parameters
    ----------
    lists : TokenLists
        ``n`` lists.
    width : int
        Tokens under a filter; an even one reaches one token further to the right.
    """
    lengths, count = lists.lengths, lists.tokens.size
    step = max(POSITIONS_STEP, 1 << max(0, count.bit_length() - 5))
    rows = -(-(count + 1) // step) * step
    tokens = np.zeros(rows, np.int32)
    tokens[:count] = lists.tokens
    # no row of the token table is touched that is not in use
    tokens[count:] = tokens[0]
    windows = np.full((rows, width), count, np.int32)
    row = np.arange(count)[:, None] + np.arange(width) - (width - 1) // 2
    first, end = (
        np.repeat(bound, lengths)[:, None] for bound in (lists.offsets[:-1], lists.offsets[1:])
    )
    windows[:count] = np.where((row >= first) & (row < end), row, count)
    time = np.arange(-(-widest(lists) // POSITIONS_STEP) * POSITIONS_STEP)[:, None]
    positions = np.where(time < lengths, lists.offsets[:-1] + time, count).astype(np.int32)
    return PackedLists(tokens, count, windows, positions)


def reversed_positions(lengths: np.ndarray, width: int) -> np.ndarray:
    """Where each token stands once every list is reversed, in rows of time-major data.

    Parameters
    ----------
    lengths : numpy.ndarray
        int64, shape ``(n,)``, each at most ``width``.
    width : int
        Padded length.

    Returns
    -------
    numpy.ndarray
        int32, shape ``(width, n)``: ``time * n + list``; padding stays where it is.
    """
    time = np.arange(width)[:, None]
    position = np.where(time < lengths, lengths - 1 - time, time)
    return (position * len(lengths) + np.arange(len(lengths))).astype(np.int32)


@dataclass(frozen=True)
class TimeSteps:
    """Token lists step by step, the longest list first, without padding.

    Attributes
    ----------
    tokens : numpy.ndarray
        int32, shape ``(rows,)``: the first tokens of all lists, then the second ones of those that
        have any, and so on.
    order : numpy.ndarray
        int64, shape ``(n,)``: the lists from the longest on.
    counts : numpy.ndarray
        int64, shape ``(longest,)``: how many lists have a first token, a second, and so on.
    reversed : numpy.ndarray
        int64, shape ``(rows,)``: where each token stands once every list is reversed.
    """

    tokens: np.ndarray
    order: np.ndarray
    counts: np.ndarray
    reversed: np.ndarray


def time_steps(lists: TokenLists) -> TimeSteps:
    """Bring token lists into the order in which an LSTM takes them."""
    order = np.argsort(-lists.lengths, kind="stable")
    lengths = lists.lengths[order]
    longest = int(lengths.max(initial=0))
    counts = np.searchsorted(-lengths, -np.arange(longest))
    starts = np.cumsum(counts) - counts
    time = np.repeat(np.arange(longest), counts)
    position = np.arange(len(time)) - starts[time]
    tokens = lists.tokens[lists.offsets[order[position]] + time]
    backward = starts[lengths[position] - 1 - time] + position
    return TimeSteps(tokens, order, counts, backward)


def mean_weights(lists: TokenLists) -> np.ndarray:
    """Give each token its weight in the mean over its list's token vectors.

    Parameters
    ----------
    lists : TokenLists
        ``n`` lists of ``total`` tokens.

    Returns
    -------
    numpy.ndarray
        float32, shape ``(total,)``: 1 / length of the token's list.
    """
    return np.repeat(lists.mean_weights, lists.lengths)


def widest(lists: TokenLists) -> int:
    """The longest list's length, at least 1."""
    return max(1, int(lists.lengths.max(initial=1)))


def bucket_widths(lengths0: np.ndarray, lengths1: np.ndarray, width: int) -> np.ndarray:
    """Give each pair the two multiples of ``width``, at least one ``width``, that its lists fit.

    Parameters
    ----------
    lengths0, lengths1 : numpy.ndarray
        int64, shape ``(n,)``: numbers of tokens.
    width : int
        The bucket width, at least 1.

    Returns
    -------
    numpy.ndarray
        int64, shape ``(n, 2)``.
    """
    lengths = np.stack([lengths0, lengths1], axis=1)
    return np.maximum(1, -(-lengths // width)) * width


class TrainingBatches:
    """Batches of a train channel, shuffled and with negatives drawn anew each epoch.

    Every pair comes exactly once an epoch; the last batch of a bucket is as small as it is.

    Parameters
    ----------
    dataset : PairDataset
        The pairs as given.
    batch_size : int
        Pairs a batch, over all devices together.
    bucket_width : int
        0: pairs come in any order, each batch padded to its own longest lists; else the padded
        lengths are multiples of it and a batch holds pairs of one bucket.
    negative_sampling_rate : int
        Negatives for each pair whose label is not 0.
    seed : int
        Seed of the order and of the negatives.

    Attributes
    ----------
    negatives : int
        How many the latest draw gave: those of the first epoch before it begins, and from then on
        those of the epoch that began last. Where the data hold almost every combination, they are
        fewer than the rate asks for.
    """

    def __init__(
        self,
        dataset: PairDataset,
        batch_size: int,
        *,
        bucket_width: int = 0,
        negative_sampling_rate: int = 0,
        seed: int = 0,
    ) -> None:
        self._given = dataset
        self._batch_size = batch_size
        self._bucket_width = bucket_width
        self._lengths = (dataset.in0.lengths, dataset.in1.lengths)
        self._rng = np.random.default_rng(seed)
        self._sampler = (
            NegativeSampler(dataset, negative_sampling_rate) if negative_sampling_rate else None
        )
        self._drawn: Optional[Joined] = self._draw()

    def buckets(self) -> list[Bucket]:
        """Describe the buckets of the given pairs (without negatives), the shortest first."""
        size = self._batch_size
        if not self._bucket_width:
            samples = len(self._given)
            return [Bucket((0, 0), samples, -(-samples // size))]
        keys, counts = np.unique(
            bucket_widths(*self._lengths, self._bucket_width), axis=0, return_counts=True
        )
        return [
            Bucket((int(key[0]), int(key[1])), int(count), int(-(-count // size)))
            for key, count in zip(keys, counts)
        ]

    @property
    def pairs(self) -> int:
        """Pairs of the latest draw, with their negatives; see `negatives`."""
        return len(self._given) + self.negatives

    def epoch(self) -> Iterator[Batch]:
        """Yield the batches of one more epoch."""
        pairs, self._drawn = self._drawn or self._draw(), None
        for index, widths in self._plan(pairs):
            in0 = self._given.in0.take(pairs.in0[index])
            in1 = self._given.in1.take(pairs.in1[index])
            yield Batch(in0, in1, pairs.labels[index], widths or (widest(in0), widest(in1)))

    def _draw(self) -> Joined:
        rows = np.arange(len(self._given))
        pairs = Joined(rows, rows, self._given.labels)
        if self._sampler is not None:
            pairs = self._sampler.draw(self._rng)
        self.negatives = len(pairs.labels) - len(rows)
        return pairs

    def _plan(self, pairs: Joined) -> Iterator[tuple[np.ndarray, Optional[tuple[int, int]]]]:
        order = self._rng.permutation(len(pairs.labels))
        if not self._bucket_width:
            for start in range(0, len(order), self._batch_size):
                yield order[start : start + self._batch_size], None
            return
        lengths0, lengths1 = self._lengths
        keys = bucket_widths(
            lengths0[pairs.in0[order]], lengths1[pairs.in1[order]], self._bucket_width
        )
        grouped = np.lexsort((keys[:, 1], keys[:, 0]))
        order, keys = order[grouped], keys[grouped]
        starts = np.flatnonzero(np.any(np.diff(keys, axis=0, prepend=-1), axis=1))
        plan = []
        for start, end in zip(starts, [*starts[1:], len(order)]):
            widths = (int(keys[start, 0]), int(keys[start, 1]))
            for first in range(start, end, self._batch_size):
                plan.append((order[first : min(first + self._batch_size, end)], widths))
        for position in self._rng.permutation(len(plan)):
            yield plan[position]


def length_sorted_chunks(
    lengths: np.ndarray, cells_per_token: int, cells_per_row: int, max_cells: int = 1 << 24
) -> Iterator[Rows]:
    """Cut rows into chunks of similar length whose work fits into memory.

    Parameters
    ----------
    lengths : numpy.ndarray
        int64, shape ``(n,)``: each row's number of tokens.
    cells_per_token, cells_per_row : int
        Elements that the network holds for one token and for one row.
    max_cells : int
        Elements that one chunk may need (4 bytes each).

    Yields
    ------
    numpy.ndarray or slice
        Row numbers; each row is in one chunk. ``slice(None)`` where one chunk holds all.
    """

    def fitting(longest: int) -> int:
        return max(1, max_cells // (max(1, longest) * cells_per_token + cells_per_row))

    if 0 < len(lengths) <= fitting(int(lengths.max())):
        yield slice(None)
        return
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        rows = fitting(int(lengths[order[start]]))
        yield order[start : start + rows]
        start += rows


def compute_in_chunks(
    chunks: Iterable[Rows], shape: tuple[int, ...], compute: Callable[[Rows], np.ndarray]
) -> np.ndarray:
    """Compute the output of a request chunk by chunk.

    Parameters
    ----------
    chunks : iterable of numpy.ndarray or slice
        As of `length_sorted_chunks`.
    shape : tuple of int
        Of the whole output, the number of rows first.
    compute : callable
        Gives the float32 outputs of a chunk's rows.
    """
    output = np.empty(shape, np.float32)
    for rows in chunks:
        part = compute(rows)
        if isinstance(rows, slice):  # all of them
            return part
        output[rows] = part
    return output
