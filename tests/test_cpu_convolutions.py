"""The compiled hcnn does what its formula says, on every kind of CPU and cut into any chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from object2vec import cpu_kernels, engine
from object2vec.arrays import TokenLists
from object2vec.mxnet_import import mx

VOCAB = 50


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = engine._openmp_threads()
    engine._gomp().omp_set_num_threads(request.param)
    engine._set_threads(request.param)
    yield
    engine._gomp().omp_set_num_threads(before)
    engine._set_threads(before)


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
    mx.nd.waitall()
    answer: Any = cpu_kernels.convolve(
        mx.nd.array(table), on_cpu, token_dim, filters, width, lists, mx.cpu()
    )
    ours = answer.asnumpy()
    for number in range(len(lists)):
        theirs = expected(table, layers, lists[number])
        np.testing.assert_allclose(ours[number], theirs, rtol=1e-5, atol=1e-5)


def random_lists(rng: np.random.Generator, lengths: Any) -> TokenLists:
    lengths = np.array(lengths, np.int64)
    return TokenLists.from_lengths(
        rng.integers(VOCAB, size=lengths.sum()).astype(np.int32), lengths
    )


@pytest.mark.usefixtures("kind", "threads")
@pytest.mark.parametrize("width", range(1, 10))
def test_every_width(width: int, rng: np.random.Generator) -> None:
    # several chunks, one of them a list that is longer than others are together
    lists = random_lists(rng, [0, 1, 300, *rng.integers(0, 40, 40), 0])
    check(rng, lists, 7, (9, 5), width)


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("token_dim", [2, 17, 300])
@pytest.mark.parametrize("filters", [(1,), (8,), (13, 12, 12, 12), (64, 64, 64)], ids=str)
def test_every_size(token_dim: int, filters: tuple[int, ...], rng: np.random.Generator) -> None:
    check(rng, random_lists(rng, rng.integers(0, 9, 20)), token_dim, filters, 3)


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("length", [0, 1, 4, 15, 16, 17, 31, 32, 33, 47, 48, 49, 241, 1000])
def test_one_list(length: int, rng: np.random.Generator) -> None:
    check(rng, random_lists(rng, [length]), 5, (6, 3), 4)
    check(rng, random_lists(rng, [length] * 3), 5, (6, 3), 3)


@pytest.mark.parametrize("row", [0, 3, 5])
def test_nan_stays_nan(kind: None, row: int) -> None:
    """Whichever token of a list has it, with a window of one, and only in that list."""
    table = np.ones((7, 4), np.float32)
    table[row] = np.nan
    layers = [(mx.nd.ones((5, 4, 1)), mx.nd.zeros(5)), (mx.nd.ones((3, 5, 1)), mx.nd.zeros(3))]
    lists = TokenLists.from_lists([[6, 6], [0, 1, 2, 3, 4, 5], [6]])
    found = cpu_kernels.convolve(mx.nd.array(table), layers, 4, (5, 3), 1, lists, mx.cpu())
    np.testing.assert_array_equal(np.isnan(found.asnumpy()), [[False] * 8, [True] * 8, [False] * 8])


def test_arrays_may_go_before_the_engine_comes_to_them(rng: np.random.Generator) -> None:
    lists = random_lists(rng, rng.integers(0, 40, 300))
    table = rng.normal(size=(VOCAB, 30)).astype(np.float32)
    layers = random_layers(rng, 30, (40, 40), 3)
    answers = []
    for _ in range(20):
        given = [(mx.nd.array(weight), mx.nd.array(bias)) for weight, bias in layers]
        mx.nd.waitall()
        arrays = mx.nd.array(table), given, 30, (40, 40), 3, lists.take(slice(None)), mx.cpu()
        answers.append(cpu_kernels.convolve(*arrays))
        del arrays, given
    for answer in answers:
        np.testing.assert_array_equal(answer.asnumpy(), answers[0].asnumpy())


def test_too_little_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        object2vec_convolve = staticmethod(lambda *arguments: cpu_kernels._NO_MEMORY)

    monkeypatch.setattr(cpu_kernels, "library", Full)
    with pytest.raises(MemoryError, match="no memory left"):
        check(np.random.default_rng(0), TokenLists.from_lists([[1]]), 2, (1,), 1)
