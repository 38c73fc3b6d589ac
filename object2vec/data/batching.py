# SPDX-License-Identifier: Apache-2.0
"""Turns a train channel into batches: buckets, shuffling, negatives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

import numpy as np

from object2vec.data.arrays import PairDataset, TokenLists, by_mean
from object2vec.data.augmentation import AS_GIVEN, Augmentation, AugmentedPairs
from object2vec.data.in_batch import PairObjects
from object2vec.data.layouts import widest
from object2vec.data.negative_sampling import Harder, Joined, NegativeSampler


@dataclass(frozen=True)
class Batch:
    """Some pairs, as the network takes them.

    Attributes
    ----------
    in0, in1 : TokenLists
        The token lists of the ``n`` pairs.
    labels : numpy.ndarray
        float32, shape ``(n,)``, or ``(n, num_classes)``; see `PairDataset`.
    widths : tuple of int
        The lengths that the lists of in0 and of in1 are padded to, at least 1.
    objects : tuple of numpy.ndarray
        Of shape ``(n, 2)``: what `in_batch.PairObjects` tells in the place of labels; empty where
        labels count.
    weights : numpy.ndarray, optional
        float32, shape ``(n,)``: how much each pair counts, 1 as a mean over the epoch.
    """

    in0: TokenLists
    in1: TokenLists
    labels: np.ndarray
    widths: tuple[int, int]
    objects: tuple[np.ndarray, ...] = ()
    weights: Optional[np.ndarray] = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def sides(self) -> tuple[TokenLists, TokenLists]:
        """The lists of in0 and of in1."""
        return self.in0, self.in1

    @property
    def targets(self) -> tuple[np.ndarray, ...]:
        """What the loss takes beside embeddings, float32, a row for each pair."""
        found = self.objects or (self.labels,)
        return found if self.weights is None else (*found, self.weights)

    def split(self, parts: int) -> list[Batch]:
        """Cut into ``parts`` chunks whose sizes differ by one at most; some may be empty."""
        if parts == 1:
            return [self]
        chunks = np.array_split(np.arange(len(self)), parts)
        return [
            Batch(
                self.in0.take(chunk),
                self.in1.take(chunk),
                self.labels[chunk],
                self.widths,
                tuple(array[chunk] for array in self.objects),
                None if self.weights is None else self.weights[chunk],
            )
            for chunk in chunks
        ]


@dataclass(frozen=True)
class Bucket:
    """The pairs whose lists are padded to the same two lengths.

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
    """Batches of a train channel, shuffled anew and with new negatives in each epoch.

    Every pair comes exactly once an epoch; the last batch of a bucket is as small as it is.

    Parameters
    ----------
    dataset : PairDataset
        The pairs as given.
    batch_size : int
        Pairs a batch, over all devices together.
    bucket_width : int
        0: pairs come in any order, each batch padded to its own longest lists; else the padded
        lengths are multiples of it and a batch holds pairs of one bucket, that of the lists as
        they are before tokens are left out.
    negative_sampling_rate : int
        Negatives for each pair whose label is not 0.
    negative_sampling_power : float
        See `NegativeSampler`.
    harder : callable, optional
        See `NegativeSampler`.
    augmentation : Augmentation
        What is done to the lists, anew in each epoch.
    seed : int
        Seed of the order, of the negatives and of the augmentation.
    objects : PairObjects, optional
        Where the loss takes objects in the place of labels.

    Attributes
    ----------
    negatives : int
        How many negatives the latest draw gave: for the first epoch before that begins, later for
        the epoch that began last. Where the data hold almost every combination, they are fewer than
        the rate asks for.
    """

    def __init__(
        self,
        dataset: PairDataset,
        batch_size: int,
        *,
        bucket_width: int = 0,
        negative_sampling_rate: int = 0,
        negative_sampling_power: float = 1.0,
        harder: Optional[Harder] = None,
        augmentation: Augmentation = AS_GIVEN,
        seed: int = 0,
        objects: Optional[PairObjects] = None,
    ) -> None:
        self._given = dataset
        self._objects = objects
        self._batch_size = batch_size
        self._bucket_width = bucket_width
        self._lists = AugmentedPairs(dataset, augmentation)
        self._rng = np.random.default_rng(seed)
        self._sampler = (
            NegativeSampler(
                dataset, negative_sampling_rate, power=negative_sampling_power, harder=harder
            )
            if negative_sampling_rate
            else None
        )
        self._drawn: Optional[Joined] = self._draw()

    def buckets(self) -> list[Bucket]:
        """Describe the buckets of the given pairs (without negatives), the shortest first."""
        size = self._batch_size
        if not self._bucket_width:
            samples = len(self._given)
            return [Bucket((0, 0), samples, -(-samples // size))]
        keys, counts = np.unique(
            bucket_widths(*self._lists.lengths, self._bucket_width), axis=0, return_counts=True
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
        weights = self._given.weights
        if weights is not None:
            # a negative counts as much as the pair that it is drawn for
            weights = by_mean(weights[pairs.in0])
        for index, widths in self._plan(pairs):
            rows = pairs.in0[index], pairs.in1[index]
            in0, in1 = self._lists.take(*rows, self._rng)
            objects = () if self._objects is None else self._objects.of(*rows)
            widths = widths or (widest(in0), widest(in1))
            own = None if weights is None else weights[index]
            yield Batch(in0, in1, pairs.labels[index], widths, objects, own)

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
        lengths0, lengths1 = self._lists.lengths
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
