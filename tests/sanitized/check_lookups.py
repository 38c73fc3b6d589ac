# SPDX-License-Identifier: Apache-2.0
"""Means of rows, at once and queued, and the grouping of tokens."""

from __future__ import annotations

from typing import Optional

import numpy as np
import pytest
from sanitized_library import (
    WIDTHS,
    Engine,
    call,
    exact,
    group_tokens,
    offsets_and_tokens,
    random_lists,
    table_of,
    unwritten,
)

from object2vec.data.arrays import TokenLists

VOCAB = 40
MORE_WIDTHS = (47, 48, 49, 159, 160, 161, 319, 320, 321, 639, 640, 641)
LENGTHS = ([], [0], [0, 0], [1], [1] * 33, [0, 3, 0, 1, 17, 40, 0], [400, 2])


def means(table: np.ndarray, lists: TokenLists) -> np.ndarray:
    rows = [
        table[lists[k]].astype(float).mean(0) if len(lists[k]) else np.zeros(table.shape[1])
        for k in range(len(lists))
    ]
    return np.array(rows).reshape(len(lists), table.shape[1])


def look_up(
    engine: Engine,
    lists: TokenLists,
    table: np.ndarray,
    is_queued: bool,
    weights: Optional[np.ndarray] = None,
) -> None:
    """The means of a table's rows are right, and of those times their weights."""
    offsets, tokens = offsets_and_tokens(lists)
    output = unwritten(len(lists), table.shape[1])
    sizes = table.shape[1], len(lists), offsets, tokens
    if is_queued:
        own = [] if weights is None else engine.arrays([weights])
        handles = engine.arrays([table, output])
        factors = own[0] if own else None
        call("queue_mean_of_rows", engine.api, None, handles[0], factors, handles[1], *sizes)
        assert (engine.read, engine.written) == ([handles[0], *own], [handles[1]])
        del offsets, tokens, sizes  # freed, because what is queued has copies
        engine.run()
    else:
        call("mean_of_rows", engine.api, engine.array(table), output, *sizes)
    weighted = table if weights is None else table * weights
    np.testing.assert_allclose(output, means(weighted, lists), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("width", (*WIDTHS, *MORE_WIDTHS))
@pytest.mark.usefixtures("isa")
def test_means(width: int, engine: Engine, rng: np.random.Generator) -> None:
    for number, lengths in enumerate(LENGTHS):
        lists = random_lists(rng, lengths, VOCAB)
        table = table_of(rng, lists, VOCAB, width)
        look_up(engine, lists, table, is_queued=(number + width) % 2 == 0)
        weights = exact(rng.normal(size=(len(table), 1)))
        look_up(engine, lists, table, is_queued=True, weights=weights)


@pytest.mark.parametrize("order", ["ascending", "descending", "the last alone", "the first alone"])
@pytest.mark.usefixtures("isa")
def test_means_of_rows_in_every_order(order: str, engine: Engine, rng: np.random.Generator) -> None:
    rows = np.arange(VOCAB)
    tokens = {
        "ascending": rows,
        "descending": rows[::-1],
        "the last alone": np.full(VOCAB, VOCAB - 1),
        "the first alone": np.zeros(VOCAB),
    }[order]
    lists = TokenLists.from_lengths(tokens.astype(np.int32), np.array([1, VOCAB - 2, 1]))
    table = table_of(rng, lists, VOCAB, 35)
    for is_queued in (False, True):
        look_up(engine, lists, table, is_queued)


@pytest.mark.usefixtures("isa")
def test_nan_stays_in_its_list(engine: Engine, rng: np.random.Generator) -> None:
    lists = TokenLists.from_lists([[1, 2], [3], [4, 5]])
    table = table_of(rng, lists, 6, 37)
    table[3] = np.nan
    table[4, 36] = np.inf
    look_up(engine, lists, table, is_queued=True)


TOKENS = {
    "the same": [7] * 300,
    "largest": [2**31 - 1, 0, 2**31 - 1],
    "digits": [2**11 - 1, 2**11, 2**22 - 1, 2**22, 0, 2**22 + 2**11, 2**11, 1],
    "ascending": list(range(2100)),
    "descending": list(range(2100))[::-1],
}


def group(tokens: np.ndarray) -> None:
    count = len(tokens)
    rows, starts, positions = (exact(np.full(count + k, -1), np.int32) for k in (0, 1, 0))
    found = group_tokens(exact(tokens, np.int32), rows, starts, positions)
    expected, first = np.unique(np.sort(tokens), return_index=True)
    assert found == len(expected)
    np.testing.assert_array_equal(rows[:found], expected)
    np.testing.assert_array_equal(starts[: found + 1], [*first, count])
    np.testing.assert_array_equal(positions, np.argsort(tokens, kind="stable"))


@pytest.mark.parametrize("tokens", TOKENS.values(), ids=TOKENS)
def test_groups(tokens: list[int]) -> None:
    group(np.array(tokens))


@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 17, 1000])
@pytest.mark.parametrize("vocab", [1, 2, 300, 2048, 2049, 10**6, 2**31 - 1])
def test_groups_of_any_tokens(vocab: int, count: int, rng: np.random.Generator) -> None:
    group(rng.integers(0, vocab, count))
