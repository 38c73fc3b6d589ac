# SPDX-License-Identifier: Apache-2.0
"""Tells the log of values that a model does not know, however many requests hold such."""

from __future__ import annotations

import logging
import time
from typing import Callable

from object2vec.logs import LOGGER_NAME
from object2vec.raw_values.encode_values import Lookups

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
        self._lookups = Lookups()

    def count(self, lookups: Lookups) -> None:
        """Count those of one request."""
        self._lookups.add(lookups)
        if not self._lookups.unseen or self._clock() < self._next_line:
            return
        _logger.info("%s", unseen_sentence(self._lookups))
        self._lookups = Lookups()
        self._next_line = self._clock() + SECONDS_BETWEEN_LINES


def unseen_sentence(lookups: Lookups) -> str:
    """How many values had no id of their own, and what became of them."""
    return (
        f"{lookups.unseen:,} of {lookups.values:,} values that were asked for are unknown to the "
        "model; the token of unknown values stands for them."
    )
