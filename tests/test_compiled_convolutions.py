# SPDX-License-Identifier: Apache-2.0
"""The compiled hcnn does what its formula says, with every instruction set, cut into any chunks."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from object2vec.backend.mxnet_import import mx
from object2vec.data.arrays import TokenLists
from object2vec.inference.compiled_inference import Convolutions

pytestmark = [pytest.mark.own_way, pytest.mark.usefixtures("isa")]

VOCAB = 50


def random_layers(
    rng: np.random.Generator, token_dim: int, filters: tuple[int, ...], width: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    channels = (token_dim, *filters)
    return [
        (
            rng.normal(0, (c * width) ** -0.5, (f, c, width)).astype(np.float32),
            rng.normal(0, 0.3, f).astype(np.float32),
        )
        for c, f in zip(channels, filters)
    ]


def expected(
    table: np.ndarray, layers: list[tuple[np.ndarray, np.ndarray]], tokens: np.ndarray
) -> np.ndarray:
    """One list's embedding, in double precision."""
    maxima = []
    x = table[tokens].astype(float)
    for weight, bias in layers:
        width = weight.shape[2]
        padded = np.pad(x, (((width - 1) // 2, width // 2), (0, 0)))
        windows = [padded[at : at + len(x)] for at in range(width)]
        x = np.maximum(0, np.einsum("wtc,fcw->tf", windows, weight.astype(float)) + bias)
        maxima.append(x.max(axis=0, initial=0.0))
    return np.concatenate(maxima)


def check(
    rng: np.random.Generator,
    lists: TokenLists,
    token_dim: int,
    filters: tuple[int, ...],
    width: int,
) -> None:
    table = rng.normal(size=(VOCAB, token_dim)).astype(np.float32)
    layers = random_layers(rng, token_dim, filters, width)
    on_cpu = [(mx.nd.array(weight), mx.nd.array(bias)) for weight, bias in layers]
    ours = Convolutions(mx.nd.array(table), on_cpu)(lists)
    for number in range(len(lists)):
        theirs = expected(table, layers, lists[number])
        np.testing.assert_allclose(ours[number], theirs, rtol=1e-5, atol=1e-5)


def random_lists(rng: np.random.Generator, lengths: Any) -> TokenLists:
    lengths = np.array(lengths, np.int64)
    return TokenLists.from_lengths(
        rng.integers(VOCAB, size=lengths.sum()).astype(np.int32), lengths
    )


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("width", range(1, 10))
def test_every_width(width: int, rng: np.random.Generator) -> None:
    # several chunks, one of them a list that is longer than others are together
    lists = random_lists(rng, [0, 1, 300, *rng.integers(0, 40, 40), 0])
    check(rng, lists, 7, (9, 5), width)


@pytest.mark.parametrize("token_dim", [2, 17, 300])
@pytest.mark.parametrize("filters", [(1,), (8,), (13, 12, 12, 12), (64, 64, 64)], ids=str)
def test_every_size(token_dim: int, filters: tuple[int, ...], rng: np.random.Generator) -> None:
    check(rng, random_lists(rng, rng.integers(0, 9, 20)), token_dim, filters, 3)


@pytest.mark.parametrize("length", [0, 1, 4, 15, 16, 17, 31, 32, 33, 47, 48, 49, 241, 1000])
def test_one_list(length: int, rng: np.random.Generator) -> None:
    check(rng, random_lists(rng, [length]), 5, (6, 3), 4)
    check(rng, random_lists(rng, [length] * 3), 5, (6, 3), 3)


@pytest.mark.parametrize("row", [0, 3, 5])
def test_nan_stays_nan(row: int) -> None:
    """Whichever token of a list has it, with a window of one, and only in that list."""
    table = np.ones((7, 4), np.float32)
    table[row] = np.nan
    layers = [(mx.nd.ones((5, 4, 1)), mx.nd.zeros(5)), (mx.nd.ones((3, 5, 1)), mx.nd.zeros(3))]
    lists = TokenLists.from_lists([[6, 6], [0, 1, 2, 3, 4, 5], [6]])
    found = Convolutions(mx.nd.array(table), layers)(lists)
    np.testing.assert_array_equal(np.isnan(found), [[False] * 8, [True] * 8, [False] * 8])


def test_too_little_memory_is_told() -> None:
    convolutions = Convolutions(mx.nd.ones((1, 300)), [(mx.nd.ones((8, 300, 3)), mx.nd.zeros(8))])
    longest = TokenLists.from_lengths(np.zeros(1 << 20, np.int32), np.array([1 << 20]))
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    # of the 2.5 GB that are asked for
    resource.setrlimit(resource.RLIMIT_AS, (used * resource.getpagesize() + (1 << 30), limits[1]))
    try:
        with pytest.raises(MemoryError, match="no memory left"):
            convolutions(longest)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
