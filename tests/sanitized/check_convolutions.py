# SPDX-License-Identifier: Apache-2.0
"""The encoder hcnn without gradient."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from sanitized_library import (
    WIDTHS,
    Engine,
    P,
    call,
    exact,
    offsets_and_tokens,
    random_lists,
    table_of,
    unwritten,
)  # fmt: skip

from object2vec.data.arrays import TokenLists

VOCAB = 60
LENGTHS = [0, 1, 2, 15, 16, 17, 0, 0, 33, 5, 1, 250, 63, 64, 65, 0]


def encoded(
    table: np.ndarray, layers: list[tuple[np.ndarray, np.ndarray]], tokens: np.ndarray
) -> np.ndarray:
    maxima, x = [], table[tokens].astype(float)
    for weight, bias in layers:
        width = weight.shape[2]
        padded = np.pad(x, (((width - 1) // 2, width // 2), (0, 0)))
        windows = np.stack([padded[at : at + len(x)] for at in range(width)])
        flat = windows.transpose(1, 2, 0).reshape(len(x), width * x.shape[1])
        x = np.maximum(0, flat @ weight.reshape(len(weight), -1).T.astype(float) + bias)
        maxima.append(x.max(axis=0, initial=0.0))
    return np.concatenate(maxima)


def convolve(
    engine: Engine,
    rng: np.random.Generator,
    lists: TokenLists,
    token_dim: int,
    filters: tuple[int, ...],
    width: int,
    nan_token: int | None = None,
) -> None:
    """Encode lists by random layers with so many filters."""
    table = table_of(rng, lists, VOCAB, token_dim)
    if nan_token is not None:
        table[nan_token, 0] = np.nan
    layers = [
        (exact(rng.normal(0, (c * width) ** -0.5, (f, c, width))), exact(rng.normal(0, 0.3, f)))
        for c, f in zip((token_dim, *filters), filters)
    ]
    output = unwritten(len(lists), sum(filters))
    handles = engine.arrays([table, *(array for layer in layers for array in layer)])
    offsets, tokens = offsets_and_tokens(lists)
    call(
        "convolve", engine.api, (P * len(handles))(*handles), output, token_dim, len(layers),
        (ctypes.c_int64 * len(filters))(*filters), width, len(lists), offsets, tokens,
    )  # fmt: skip
    for k in range(len(lists)):
        theirs = encoded(table, layers, lists[k])
        np.testing.assert_allclose(output[k], theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", range(1, 10))
@pytest.mark.parametrize("filters", [(1,), (3, 2), (8, 9, 7), (5, 17, 1, 4)], ids=str)
@pytest.mark.usefixtures("isa")
def test_filters(
    filters: tuple[int, ...], width: int, engine: Engine, rng: np.random.Generator
) -> None:
    convolve(engine, rng, random_lists(rng, LENGTHS, VOCAB), 3, filters, width)


@pytest.mark.parametrize("token_dim", WIDTHS)
@pytest.mark.usefixtures("isa")
def test_widths(token_dim: int, engine: Engine, rng: np.random.Generator) -> None:
    lists = random_lists(rng, [3, 0, 1, 20], VOCAB)
    convolve(engine, rng, lists, token_dim, (2, 9), 3)
    convolve(engine, rng, lists, 2, (min(token_dim, 200), 3), 2)


@pytest.mark.parametrize("width", [1, 2, 9])
@pytest.mark.usefixtures("isa")
def test_lists_around_a_chunk(width: int, engine: Engine, rng: np.random.Generator) -> None:
    # CHUNK_COLUMNS, in sizes.h, is 192; a list has its tokens and half a filter of zeros behind it
    for length in (*range(185, 195), 383, 384, 385):
        convolve(engine, rng, random_lists(rng, [length, 1, 191, 1], VOCAB), 2, (3,), width)
    for lists in ([], [0], [0] * 200, [1] * 200):
        convolve(engine, rng, random_lists(rng, lists, VOCAB), 2, (3, 1), width)


@pytest.mark.usefixtures("isa")
def test_every_length(engine: Engine, rng: np.random.Generator) -> None:
    for length in range(70):
        convolve(engine, rng, random_lists(rng, [length], VOCAB), 2, (9,), 4)


@pytest.mark.usefixtures("isa")
def test_one_token_many_times(engine: Engine, rng: np.random.Generator) -> None:
    tokens = np.full(500, VOCAB - 1, np.int32)
    convolve(engine, rng, TokenLists.from_lengths(tokens, np.array([200, 0, 299, 1])), 5, (4, 4), 5)


@pytest.mark.usefixtures("isa")
def test_nan_stays_in_its_list(engine: Engine, rng: np.random.Generator) -> None:
    lists = TokenLists.from_lists([[1, 2], [3, 4, 3], [], [5], [6, 2]])
    convolve(engine, rng, lists, 5, (9, 4), 5, nan_token=3)
