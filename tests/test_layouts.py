# SPDX-License-Identifier: Apache-2.0
"""Token lists padded, packed and step by step hold every token once, in its place."""

from __future__ import annotations

import numpy as np
import pytest
from small_jobs import random_lists

from object2vec.data.arrays import TokenLists
from object2vec.data.layouts import (
    POSITIONS_STEP,
    mean_weights,
    numbered,
    pack,
    pad,
    time_steps,
)


def test_pad(rng: np.random.Generator) -> None:
    lists = random_lists(rng, 30, longest=6)
    padded = pad(lists, 8)
    assert padded.shape == (30, 8)
    assert padded.dtype == np.int32
    for row, ids in zip(padded, lists):
        assert row[: len(ids)].tolist() == ids.tolist()
    assert set(padded.ravel()) <= set(lists.tokens)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_pad_where_nothing_is(rows: int) -> None:
    assert pad(TokenLists.from_lists([[]] * rows), 2).tolist() == [[0, 0]] * rows


def test_pad_touches_no_foreign_row() -> None:
    lists = TokenLists.from_lists([[], [7], [9, 8], []])
    assert set(pad(lists, 3).ravel()) == {7, 8, 9}


def test_mean_weights(rng: np.random.Generator) -> None:
    lists = random_lists(rng, 40, longest=8, vocab=5)
    weights = mean_weights(lists)
    assert weights.dtype == np.float32
    expected = [1 / len(ids) for ids in lists for _ in ids]
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 9])
def test_pack(width: int, rng: np.random.Generator) -> None:
    """Windows and positions read back give every list with its surroundings."""
    lists = random_lists(rng, 9, longest=13)
    packed = pack(lists, width)
    assert packed.count == lists.tokens.size < len(packed.tokens)
    assert set(packed.tokens.tolist()) == set(lists.tokens.tolist())
    ids = np.append(packed.tokens[: packed.count], -1)
    before = (width - 1) // 2
    for row, (expected, positions) in enumerate(zip(lists, packed.positions.T)):
        np.testing.assert_array_equal(ids[positions[: len(expected)]], expected)
        assert (positions[len(expected) :] == packed.count).all()
        around = np.pad(expected, (before, width), constant_values=-1)
        for time in range(len(expected)):
            window = packed.windows[lists.offsets[row] + time]
            np.testing.assert_array_equal(ids[window], around[time : time + width])
    assert (packed.windows[packed.count :] == packed.count).all()
    assert len(packed.positions) % POSITIONS_STEP == 0


@pytest.mark.slow
def test_pack_has_few_shapes() -> None:
    rows = set()
    for count in range(5_000):
        packed = pack(TokenLists.from_lists([[1] * count]), 3)
        assert count < len(packed.tokens) <= max(count + 8, count * 1.07 + 1)
        rows.add(len(packed.tokens))
    assert len(rows) < 128


def test_time_steps(rng: np.random.Generator) -> None:
    lists = random_lists(rng, 30, longest=6)
    steps = time_steps(lists)
    assert sorted(steps.order) == list(range(30))
    found: list[list[int]] = [[] for _ in lists]
    reversed_: list[list[int]] = [[] for _ in lists]
    row = 0
    for count in steps.counts:
        for number in steps.order[:count]:
            found[number].append(steps.tokens[row])
            reversed_[number].append(steps.tokens[steps.reversed[row]])
            row += 1
    assert row == len(steps.tokens) == len(steps.reversed)
    assert found == [ids.tolist() for ids in lists]
    assert reversed_ == [ids[::-1].tolist() for ids in lists]


def test_time_steps_of_empty_lists() -> None:
    steps = time_steps(TokenLists.from_lists([[], []]))
    assert (len(steps.order), len(steps.counts), len(steps.tokens)) == (2, 0, 0)


@pytest.mark.parametrize("largest", [0, 3, 10**6])
def test_distinct_tokens_are_numpy_s(largest: int, rng: np.random.Generator) -> None:
    tokens = rng.integers(0, largest + 1, size=500).astype(np.int32)
    found, places = numbered(tokens)
    expected, inverse = np.unique(tokens, return_inverse=True)
    assert (found.dtype, places.dtype) == (np.int32, np.int32)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(places, inverse)
