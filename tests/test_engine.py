"""A training job's threads and memory settings end with it."""

from __future__ import annotations

import ctypes
import math

import pytest

from object2vec import engine
from object2vec.mxnet_import import mx

ONE, TWO = [mx.cpu(0)], [mx.cpu(0), mx.cpu(1)]


def threads_of_operators() -> int:
    """What OpenMP tells in the engine's own thread."""
    gomp, seen = ctypes.CDLL("libgomp.so.1"), []
    engine._run_in_engine(lambda: seen.append(gomp.omp_get_max_threads()))
    return int(seen[0])


@pytest.fixture
def usual() -> int:
    usual = threads_of_operators()
    if usual == 1:
        pytest.skip("operators have one thread here anyway")
    return usual


@pytest.mark.parametrize(
    ("operations", "has_deferred", "contexts", "is_one"),
    [
        (1e8, False, ONE, True),
        (4e8, False, ONE, False),
        (4e8, True, ONE, True),
        (1e9, True, ONE, False),
        (math.inf, False, ONE, False),
        (1e8, False, TWO, False),
    ],
)
def test_small_steps_use_one_thread(
    usual: int, operations: float, has_deferred: bool, contexts: list[object], is_one: bool
) -> None:
    with engine.tuned_for(operations, has_deferred, contexts):
        assert threads_of_operators() == (1 if is_one else usual)
    assert threads_of_operators() == usual


def test_threads_come_back_after_an_error(usual: int) -> None:
    with pytest.raises(ZeroDivisionError), engine.tuned_for(1.0, False, ONE):
        raise ZeroDivisionError
    assert threads_of_operators() == usual
