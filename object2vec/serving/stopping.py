# SPDX-License-Identifier: Apache-2.0
"""Signals that stop a server: handlers note them, and loops look."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from typing import Any, Optional

# How often a loop looks, in seconds.
POLL_SECONDS = 0.1


class Stopped(Exception):
    """SIGTERM came."""


class StopRequest:
    """Remembers signals.

    An exception out of a handler may end where Python ignores it, or leave a lock of the library
    (`subprocess.Popen.wait` has one) held for ever.

    Attributes
    ----------
    number : int, optional
        The first signal that came.
    count : int
        How many came.
    """

    def __init__(self) -> None:
        self.number: Optional[int] = None
        self.count = 0

    def receive(self, number: int, _frame: Any) -> None:
        """The signal handler; it must do no more than this."""
        self.count += 1
        if self.number is None:
            self.number = number

    def check(self) -> None:
        """Let the caller end if a signal came.

        Raises
        ------
        Stopped
            After SIGTERM.
        KeyboardInterrupt
            After SIGINT, which Ctrl-C sends.
        """
        if self.number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.number is not None:
            raise Stopped

    def pause(self, seconds: float = POLL_SECONDS) -> None:
        """Sleep, then `check`."""
        time.sleep(seconds)
        self.check()


@contextlib.contextmanager
def noted_signals(*, until_exit: bool = False) -> Iterator[StopRequest]:
    """Note SIGTERM and SIGINT in a `StopRequest`, for the length of a ``with`` block.

    SIGINT stays ignored where it was: a shell ignores it for what it starts in the background.

    Parameters
    ----------
    until_exit : bool
        Once a signal came, ignore later ones after the block: the process is about to end, and
        they must not change its exit code.
    """
    stop = StopRequest()
    numbers = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        numbers.append(signal.SIGINT)
    before = {number: signal.signal(number, stop.receive) for number in numbers}
    try:
        yield stop
    finally:
        ends = until_exit and stop.number is not None
        for number, handler in before.items():
            # Python gives its own handlers up before its end, and a signal would then kill it.
            signal.signal(number, signal.SIG_IGN if ends else handler)
