# SPDX-License-Identifier: Apache-2.0
"""SIGTERM and Ctrl-C in a training job: what they do depends on how far it has come."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Optional

from object2vec.interruption import checked_by

_TAKEN = (signal.SIGTERM, signal.SIGINT)


class StoppedBeforeTraining(BaseException):
    """A signal came before the training began; like KeyboardInterrupt not an Exception."""


class StopRequest:
    """Remembers a signal; while inputs are read, it also ends the reading at its next block.

    An instance is the `stop` function of `object2vec.training.loop.train`. A second Ctrl-C raises
    KeyboardInterrupt. A second SIGTERM does nothing: what the first has begun goes on.

    Attributes
    ----------
    signal : signal.Signals or None
        The last one that came.
    trains : bool
        Whether the training has begun, so that something may be saved.
    """

    def __init__(self) -> None:
        self.signal: Optional[signal.Signals] = None
        self.trains = False
        self._listens = False

    def __call__(self) -> bool:
        return self.signal is not None

    def listen(self) -> None:
        """Take both signals until `ignore` (main thread only)."""
        self._listens = True
        for number in _TAKEN:
            signal.signal(number, self._receive)
        # Who starts the process may hold them back until there is someone to take them.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TAKEN)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take both signals for the length of a ``with`` block, in the main thread only."""
        if self._listens or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._receive) for number in _TAKEN}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let a signal, also one that has come before, end a ``with`` block that reads.

        Raises
        ------
        StoppedBeforeTraining
            At the next `object2vec.interruption.checkpoint`; at the block's end at the latest.
        """
        self.check()
        with checked_by(self.check):
            yield
        self.check()

    def check(self) -> None:
        """Raise StoppedBeforeTraining if a signal has come."""
        if self():
            raise StoppedBeforeTraining

    @staticmethod
    def ignore() -> None:
        """The result is there: SIGTERM does nothing any more, and Ctrl-C ends without a word.

        Python gives its handlers up before its end, and a SIGTERM would then kill the process.
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def _receive(self, number: int, _frame: Optional[FrameType]) -> None:
        # Neither is anything logged nor raised here: it may be the middle of a log line, or a place
        # where exceptions are lost.
        if self.signal is signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
