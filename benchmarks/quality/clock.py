# SPDX-License-Identifier: Apache-2.0
"""Wall and CPU seconds of this process and of the processes that it waited for."""

from __future__ import annotations

import resource
import time
from typing import NamedTuple


class Spent(NamedTuple):
    """Seconds by the clock, and of all CPUs together."""

    wall: float
    cpu: float


class Clock:
    """Runs from its beginning on."""

    def __init__(self) -> None:
        self._begun = _now()

    def spent(self) -> Spent:
        """What has passed since the beginning."""
        wall, cpu = _now()
        return Spent(wall - self._begun.wall, cpu - self._begun.cpu)


def _now() -> Spent:
    cpu = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        cpu += usage.ru_utime + usage.ru_stime
    return Spent(time.perf_counter(), cpu)
