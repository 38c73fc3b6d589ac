# SPDX-License-Identifier: Apache-2.0
"""Batches made ahead come in order, errors are raised, and the thread ends."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from object2vec.data.prefetch import prefetch

pytestmark = pytest.mark.own_way


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


@pytest.mark.parametrize("number", [0, 1, 2, 3, 50])
def test_order(number: int) -> None:
    assert list(prefetch(range(number))) == list(range(number))
    assert not threads()


def test_an_error_is_raised_after_what_came_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("late")

    seen = []
    with pytest.raises(KeyError, match="late"):
        for item in prefetch(items()):
            seen.append(item)
    assert seen == [1, 2]
    assert not threads()


def test_closing_ends_the_thread() -> None:
    """Also one that waits for room."""
    made = []

    def items() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            yield number

    with contextlib.closing(prefetch(items(), depth=2)) as prepared:
        assert next(prepared) == 0
    assert not threads()
    assert len(made) <= 5


def test_work_is_done_ahead() -> None:
    second = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        second.set()
        yield 2

    prepared = prefetch(items())
    assert next(prepared) == 1
    assert second.wait(60)
    assert list(prepared) == [2]
