# SPDX-License-Identifier: Apache-2.0
"""A request is cut into chunks that fit into memory, each row in one of them."""

from __future__ import annotations

import numpy as np
from small_jobs import random_lists

from object2vec.data.chunks import length_sorted_chunks


def test_length_sorted_chunks(rng: np.random.Generator) -> None:
    lengths = rng.integers(0, 50, size=200)
    chunks = list(length_sorted_chunks(lengths, 10, 3, max_elements=4000))
    assert sorted(np.concatenate(chunks).tolist()) == list(range(200))
    assert len(chunks) > 1
    for chunk in chunks:
        longest = max(1, int(lengths[chunk].max()))
        assert len(chunk) == 1 or len(chunk) * (longest * 10 + 3) <= 4000
    for chunk, following in zip(chunks, chunks[1:]):
        assert lengths[chunk].min() >= lengths[following].max()


def test_length_sorted_chunks_of_rows_beyond_memory() -> None:
    assert [chunk.tolist() for chunk in length_sorted_chunks(np.array([9, 5]), 100, 1, 10)] == [
        [0],
        [1],
    ]
    assert list(length_sorted_chunks(np.zeros(0, np.int64), 1, 1)) == []


def test_one_chunk_of_all_rows_needs_no_order() -> None:
    assert list(length_sorted_chunks(np.array([5, 9]), 10, 1, 182)) == [slice(None)]
    assert len(list(length_sorted_chunks(np.array([5, 9]), 10, 1, 181))) == 2
    assert list(length_sorted_chunks(np.zeros(3, np.int64), 1, 1)) == [slice(None)]


def test_take_by_slices(rng: np.random.Generator) -> None:
    lists = random_lists(rng, 9, longest=5)
    assert lists.take(slice(None)) is lists
    expected = lists.take(np.array([2, 4, 6]))
    taken = lists.take(slice(2, 8, 2))
    assert np.array_equal(taken.tokens, expected.tokens)
    assert np.array_equal(taken.offsets, expected.offsets)
