# SPDX-License-Identifier: Apache-2.0
"""Ends long reading between two blocks, where a signal asks for it.

A handler that raises may do so anywhere: in an import, in a generator that is being closed, in a
callback of C. There the exception is lost, or printed. So handlers only remember, and what reads
asks here between its blocks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Optional

_check: ContextVar[Optional[Callable[[], None]]] = ContextVar("check", default=None)


@contextlib.contextmanager
def checked_by(check: Callable[[], None]) -> Iterator[None]:
    """Let `checkpoint` call `check`, which raises to end the reading, for a ``with`` block."""
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def is_checked() -> bool:
    """Whether somebody takes signals, and wants to be asked."""
    return _check.get() is not None


def checkpoint() -> None:
    """Raise what ends the reading, if it was asked to end: called between two blocks."""
    check = _check.get()
    if check is not None:
        check()
