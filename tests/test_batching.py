# SPDX-License-Identifier: Apache-2.0
"""Batches hold every pair once, padded to what the bucket width says, in an order of their own."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from small_jobs import random_pairs

from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.batching import Batch, TrainingBatches, bucket_widths
from object2vec.data.layouts import widest

pytestmark = pytest.mark.own_way

Key = tuple[tuple[int, ...], tuple[int, ...], float]


def keys(in0: TokenLists, in1: TokenLists, labels: np.ndarray) -> list[Key]:
    return [
        (tuple(map(int, first)), tuple(map(int, second)), float(label))
        for first, second, label in zip(in0, in1, labels)
    ]


def of_batch(batch: Batch) -> list[Key]:
    return keys(batch.in0, batch.in1, batch.labels)


def of_pairs(pairs: PairDataset) -> Counter[Key]:
    return Counter(keys(pairs.in0, pairs.in1, pairs.labels))


@pytest.mark.parametrize("bucket_width", [0, 1, 2, 8, 100])
@pytest.mark.parametrize("batch_size", [1, 4, 7, 64])
@pytest.mark.parametrize("number", [1, 4, 57])
def test_every_pair_exactly_once(
    number: int, batch_size: int, bucket_width: int, rng: np.random.Generator
) -> None:
    pairs = random_pairs(rng, number, longest=20, classes=None)
    batches = TrainingBatches(pairs, batch_size, bucket_width=bucket_width, seed=3)
    for _ in range(2):
        epoch = list(batches.epoch())
        assert Counter(key for batch in epoch for key in of_batch(batch)) == of_pairs(pairs)
        for batch in epoch:
            assert 1 <= len(batch) <= batch_size
            assert batch.labels.dtype == np.float32
            longest = widest(batch.in0), widest(batch.in1)
            if bucket_width:
                fitting = [-(-length // bucket_width) * bucket_width for length in longest]
                assert list(batch.widths) == fitting
                for row in zip(batch.in0.lengths, batch.in1.lengths):
                    own = [max(1, -(-length // bucket_width)) * bucket_width for length in row]
                    assert own == list(batch.widths)
            else:
                assert batch.widths == longest
        planned = batches.buckets()
        assert sum(bucket.samples for bucket in planned) == number
        assert sum(bucket.batches for bucket in planned) == len(epoch)
        if bucket_width:
            found = Counter(batch.widths for batch in epoch)
            assert found == {bucket.widths: bucket.batches for bucket in planned}
            assert [bucket.widths for bucket in planned] == sorted(found)
        else:
            assert [bucket.widths for bucket in planned] == [(0, 0)]


@pytest.mark.parametrize("bucket_width", [0, 1, 5])
def test_only_one_small_batch_a_bucket(bucket_width: int, rng: np.random.Generator) -> None:
    pairs = random_pairs(rng, 103, longest=10)
    batches = TrainingBatches(pairs, 8, bucket_width=bucket_width)
    small = Counter(
        batch.widths if bucket_width else 0 for batch in batches.epoch() if len(batch) < 8
    )
    assert small
    assert max(small.values()) == 1


@pytest.mark.parametrize(("bucket_width", "rate"), [(0, 0), (4, 0), (0, 2), (4, 2)])
def test_the_seed_alone_decides(bucket_width: int, rate: int, rng: np.random.Generator) -> None:
    pairs = random_pairs(rng, 60)

    def epochs(seed: int) -> list[list[list[Key]]]:
        batches = TrainingBatches(
            pairs, 8, bucket_width=bucket_width, negative_sampling_rate=rate, seed=seed
        )
        return [[of_batch(batch) for batch in batches.epoch()] for _ in range(2)]

    once = epochs(5)
    assert once == epochs(5)
    assert once != epochs(6)
    assert once[0] != once[1]


def test_buckets_come_mixed_and_pairs_shuffled_inside(rng: np.random.Generator) -> None:
    pairs = random_pairs(rng, 400, longest=12, vocab=1000)
    order = [batch.widths for batch in TrainingBatches(pairs, 8, bucket_width=4).epoch()]
    assert order != sorted(order)
    assert order != sorted(order, reverse=True)
    place = {key: row for row, key in enumerate(keys(pairs.in0, pairs.in1, pairs.labels))}
    for bucket_width in (0, 4):
        batches = TrainingBatches(pairs, 8, bucket_width=bucket_width).epoch()
        rows = [[place[key] for key in of_batch(batch)] for batch in batches]
        assert any(row != sorted(row) for row in rows)


def test_negatives_fall_into_the_buckets_of_their_own_lengths(rng: np.random.Generator) -> None:
    pairs = random_pairs(rng, 80, longest=12)
    positives = int(np.count_nonzero(pairs.labels))
    batches = TrainingBatches(pairs, 16, bucket_width=5, negative_sampling_rate=2)
    total = Counter()
    for batch in batches.epoch():
        widths = bucket_widths(batch.in0.lengths, batch.in1.lengths, 5)
        assert {tuple(row) for row in widths.tolist()} == {batch.widths}
        total.update(of_batch(batch))
    assert not of_pairs(pairs) - total
    assert sum(total.values()) == 80 + 2 * positives


@pytest.mark.parametrize(
    ("lengths", "width", "expected"),
    [
        ((0, 0), 10, (10, 10)),
        ((10, 11), 10, (10, 20)),
        ((1, 100), 1, (1, 100)),
        ((0, 3), 1, (1, 3)),
        ((7, 8), 8, (8, 8)),
    ],
)
def test_bucket_widths(lengths: tuple[int, int], width: int, expected: tuple[int, int]) -> None:
    found = bucket_widths(np.array(lengths[:1]), np.array(lengths[1:]), width)
    assert found.tolist() == [list(expected)]


@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_split_over_devices(parts: int, rng: np.random.Generator) -> None:
    pairs = random_pairs(rng, 7)
    batch = Batch(pairs.in0, pairs.in1, pairs.labels, (9, 9))
    split = batch.split(parts)
    assert len(split) == parts
    assert [key for part in split for key in of_batch(part)] == of_batch(batch)
    sizes = [len(part) for part in split]
    assert max(sizes) - min(sizes) <= 1
    assert {part.widths for part in split} == {(9, 9)}
