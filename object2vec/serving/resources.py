# SPDX-License-Identifier: Apache-2.0
"""How many cores and how much memory this process may use, inside a container too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

_CGROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """Cores that this process may use: its affinity, cut by a container's quota."""
    count = len(os.sched_getaffinity(0))
    quota = _quota()
    return count if quota is None else max(1, min(count, round(quota)))


def memory_bytes() -> int:
    """Bytes of memory that are free for this process: the machine's, cut by a container's limit."""
    free = _machine_bytes()
    for limit_file, used_file in (
        (_CGROUP / "memory.max", _CGROUP / "memory.current"),
        (_CGROUP / "memory/memory.limit_in_bytes", _CGROUP / "memory/memory.usage_in_bytes"),
    ):
        limit, used = _number(limit_file), _number(used_file)
        if limit is not None and used is not None:
            free = min(free, max(0, limit - used))
    return free


def _machine_bytes() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _quota() -> Optional[float]:
    text = _text(_CGROUP / "cpu.max")
    if text is not None:
        share, _, period = text.partition(" ")
        return None if share == "max" else int(share) / int(period)
    limit = _number(_CGROUP / "cpu/cpu.cfs_quota_us")
    period_us = _number(_CGROUP / "cpu/cpu.cfs_period_us")
    return limit / period_us if limit is not None and limit > 0 and period_us else None


def _number(file: Path) -> Optional[int]:
    text = _text(file)
    return int(text) if text is not None and text.lstrip("-").isdigit() else None


def _text(file: Path) -> Optional[str]:
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError:
        return None
