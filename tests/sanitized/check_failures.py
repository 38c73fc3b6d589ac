# SPDX-License-Identifier: Apache-2.0
"""Without memory, or where MXNet refuses, a function returns the code and keeps nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from check_adam import catch_up, step
from check_convolutions import convolve
from check_lookups import VOCAB, look_up
from check_lstm import run
from check_scores import score
from sanitized_library import (
    FAILED,
    CallFailed,
    Engine,
    allocations_left,
    constants,
    exact,
    group_tokens,
    random_lists,
    refused,
    table_of,
)  # fmt: skip

Action = Callable[[Engine, np.random.Generator], object]
LENGTHS = [3, 0, 1] * 60


def means(engine: Engine, rng: np.random.Generator, is_queued: bool) -> None:
    lists = random_lists(rng, LENGTHS, VOCAB)
    look_up(engine, lists, table_of(rng, lists, VOCAB, 5), is_queued)


TABLES = [(9, 4, [3, 2], "any"), (9, 4, [0, 2], "any")]
AT_ONCE: dict[str, Action] = {
    "mean_of_rows": lambda engine, rng: means(engine, rng, is_queued=False),
    "score": lambda engine, rng: score(engine, rng, 200, 5, (17, 3)),
    "convolve": lambda engine, rng: convolve(
        engine, rng, random_lists(rng, LENGTHS, 60), 3, (4, 2), 3
    ),
    "lstm": lambda _, rng: run(rng, random_lists(rng, [3, 0, 1], 60), (3, 17, 2), True),
}
QUEUED: dict[str, Action] = {
    "adam_step": lambda engine, rng: step(engine, rng, (3, 5), TABLES),
    "catch_up": lambda engine, rng: catch_up(engine, rng, 9, 4, "any"),
    "adam_step of weights": lambda engine, rng: step(engine, rng, (3, 5), TABLES, "both"),
    "queue_mean_of_rows": lambda engine, rng: means(engine, rng, is_queued=True),
}
ACTIONS = AT_ONCE | QUEUED
MOST = 100  # calls of one function


@pytest.mark.parametrize("name", sorted(set(ACTIONS) - {"mean_of_rows"}))
@pytest.mark.usefixtures("isa")
def test_no_memory(name: str, engine: Engine, rng: np.random.Generator) -> None:
    for left in range(MOST):
        allocations_left.value = left
        try:
            ACTIONS[name](engine, rng)
            break
        except CallFailed as error:
            assert error.code == constants["NO_MEMORY"]
        finally:
            allocations_left.value = -1
        engine.check_that_nothing_is_held()
    assert 0 < left < MOST - 1


def test_no_memory_for_groups() -> None:
    allocations_left.value = 0
    arrays = (exact(np.zeros(4), np.int32) for _ in range(4))
    assert group_tokens(*arrays) == -1


@pytest.mark.parametrize("function", ["wait", "get_data", "share", "push"])
@pytest.mark.parametrize("name", sorted(set(ACTIONS) - {"lstm"}))
def test_functions_of_the_engine_fail(name: str, function: str, rng: np.random.Generator) -> None:
    for calls in range(MOST):
        engine = Engine()
        engine.fails[function] = calls
        try:
            ACTIONS[name](engine, rng)
            break
        except CallFailed as error:
            assert error.code == FAILED
        engine.check_that_nothing_is_held()
    assert calls < MOST - 1
    assert (calls > 0) == ((function in ("share", "push")) == (name in QUEUED))


@pytest.mark.parametrize("name", QUEUED)
def test_arrays_are_refused(name: str, rng: np.random.Generator) -> None:
    for calls in range(MOST):
        engine = Engine()
        engine.fails["to_dlpack"] = calls
        refused.value = 0
        try:
            QUEUED[name](engine, rng)
            break
        except AssertionError:  # nothing was done
            assert refused.value == 1
        engine.check_that_nothing_is_held()
    assert refused.value == 0
    assert 0 < calls < MOST - 1
