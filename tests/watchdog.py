# SPDX-License-Identifier: Apache-2.0
"""One thread that ends a process whose test takes too long.

pytest-timeout starts a thread for each test, which costs as much as the rest of what pytest does.
"""

from __future__ import annotations

import threading
import time
from typing import Any, NamedTuple, Optional

import pytest
import pytest_timeout


class Watchdog:
    """Does what pytest-timeout's method ``thread`` does, a second late at most."""

    def __init__(self) -> None:
        self._thread: Optional[threading.Thread] = None
        self._watched: Optional[_Watched] = None

    def watch(self, item: pytest.Item, settings: Any) -> None:
        """Give a test ``settings.timeout`` seconds from now."""
        self._watched = _Watched(item, settings, time.monotonic() + settings.timeout)
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, name="watchdog", daemon=True)
            self._thread.start()

    def rest(self) -> None:
        """Watch no test."""
        self._watched = None

    def _look(self) -> None:
        while True:
            time.sleep(1)
            watched = self._watched
            if watched is not None and time.monotonic() >= watched.deadline:
                self._watched = None  # in a debugger the test goes on
                pytest_timeout.timeout_timer(watched.item, watched.settings)


class _Watched(NamedTuple):
    item: pytest.Item
    settings: Any
    deadline: float
