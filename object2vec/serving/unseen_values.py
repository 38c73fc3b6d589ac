# SPDX-License-Identifier: Apache-2.0
"""Tells the log of values that a model does not know, however many requests hold such."""

from __future__ import annotations

import logging
import time
from typing import Callable

from object2vec.logs import LOGGER_NAME
from object2vec.raw_values.lookups import SideLookups

_logger = logging.getLogger(LOGGER_NAME)
SECONDS_BETWEEN_LINES = 60


class UnseenValues:
    """Counts looked-up values of requests, and writes a line about them once a minute at most.

    Parameters
    ----------
    clock : callable
        Gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next_line = -float("inf")
        self._lookups = SideLookups()

    def count(self, lookups: SideLookups) -> None:
        """Count those of one request."""
        self._lookups.add(lookups)
        if not self._lookups.unseen or self._clock() < self._next_line:
            return
        _logger.info("%s", self._lookups.sentence())
        self._lookups = SideLookups()
        self._next_line = self._clock() + SECONDS_BETWEEN_LINES
