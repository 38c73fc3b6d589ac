# SPDX-License-Identifier: Apache-2.0
"""How many cores and how much memory this process may use, inside a container too."""

from __future__ import annotations

import ctypes
import functools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

_CGROUP = Path("/sys/fs/cgroup")
_PROC = Path("/proc")
NVIDIA_DRIVER = _PROC / "driver/nvidia/version"


@dataclass(frozen=True)
class Memory:
    """Memory that can be had.

    Attributes
    ----------
    bytes : int
        How much.
    owner : str
        What sets the limit, for a sentence: "this machine" or "this container".
    """

    bytes: int
    owner: str


@dataclass(frozen=True)
class _Group:
    """A control group's account of memory, in bytes; swap is None where nothing limits it."""

    free: int
    swap: Optional[int]


def cores() -> int:
    """Cores that this process may use: its affinity, cut by a container's quota."""
    count = len(os.sched_getaffinity(0))
    quota = _quota()
    return count if quota is None else max(1, min(count, round(quota)))


def whole_cores(cpu_info: Optional[str] = None) -> int:
    """Count the cores that this process may run on, two threads of a core as one.

    Parameters
    ----------
    cpu_info : str, optional
        Text of ``/proc/cpuinfo``, which says how many CPUs share a core; this machine's by default.

    Returns
    -------
    int
        CPUs that the process may run on, divided by the threads of a core; at least 1.
    """
    threads = _threads_of_a_core() if cpu_info is None else _threads_of_a_core_in(cpu_info)
    return max(1, len(os.sched_getaffinity(0)) // threads)


@functools.cache
def _threads_of_a_core() -> int:
    """That of this machine; read once, for each request asks."""
    return _threads_of_a_core_in(cpu_text())


def _threads_of_a_core_in(cpu_info: str) -> int:
    siblings = re.search(r"^siblings\s*: (\d+)", cpu_info, re.MULTILINE)
    cores = re.search(r"^cpu cores\s*: (\d+)", cpu_info, re.MULTILINE)
    if siblings is None or cores is None:
        return 1
    return max(1, int(siblings[1]) // max(1, int(cores[1])))


def cpu_text() -> str:
    """What the kernel says of the CPUs, ``/proc/cpuinfo``; empty where it does not tell."""
    try:
        return (_PROC / "cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def cpu_flags(cpu_info: str) -> list[str]:
    """The instructions that the first CPU of ``/proc/cpuinfo`` has, as the kernel names them."""
    lines = (line for line in cpu_info.splitlines() if line.startswith("flags"))
    return next(lines, "").split()


def memory_bytes() -> int:
    """Bytes of memory that are free for this process: the machine's, cut by a container's limit."""
    free = _machine().get("MemAvailable")
    if free is None:
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([free, *(group.free for group in _groups())])


def available_memory() -> Optional[Memory]:
    """What this process can get before the kernel has to kill: free, reclaimable and swap.

    Returns
    -------
    Memory or None
        None where the machine does not tell.
    """
    machine = _machine()
    if "MemAvailable" not in machine:
        return None
    swap = machine.get("SwapFree", 0)
    least = Memory(machine["MemAvailable"] + swap, "this machine")
    for group in _groups():
        within = group.free + (swap if group.swap is None else min(swap, group.swap))
        if within < least.bytes:
            least = Memory(within, "this container")
    return least


def give_back_freed_memory() -> None:
    """Let malloc give the kernel what this process has freed, where it is glibc's."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))


def _machine() -> dict[str, int]:
    """What /proc/meminfo tells, in bytes; empty where there is none."""
    text = _text(_PROC / "meminfo") or ""
    fields = [line.split() for line in text.splitlines()]
    return {field[0].rstrip(":"): int(field[1]) * 1024 for field in fields if len(field) == 3}


def _groups() -> Iterator[_Group]:
    """The control groups that limit this process's memory: its own and those above it."""
    for folder in _folders():
        limit, used = _number(folder / "memory.max"), _number(folder / "memory.current")
        if limit is not None and used is not None:
            swap, in_swap = (
                _number(folder / "memory.swap.max"),
                _number(folder / "memory.swap.current"),
            )
            left = None if swap is None else max(0, swap - (in_swap or 0))
            yield _Group(_left(limit, used, folder), left)
    for folder in _folders("memory"):
        limit = _number(folder / "memory.limit_in_bytes")
        used = _number(folder / "memory.usage_in_bytes")
        if limit is not None and used is not None:
            both = _number(folder / "memory.memsw.limit_in_bytes")
            used_of_both = _number(folder / "memory.memsw.usage_in_bytes")
            free, left = _left(limit, used, folder), None
            if both is not None and used_of_both is not None:
                left = max(0, _left(both, used_of_both, folder) - free)
            yield _Group(free, left)


def _left(limit: int, used: int, folder: Path) -> int:
    """What a group may still take; the kernel gives back its cached files before it kills."""
    lines = re.findall(r"^(\S+) (\d+)$", _text(folder / "memory.stat") or "", re.MULTILINE)
    told = {name: int(number) for name, number in lines}
    cached = 0
    for name in ("inactive_file", "active_file"):
        # the first version counts groups below this one under names of their own
        cached += told.get(f"total_{name}", told.get(name, 0))
    return max(0, limit - max(0, used - cached))


def _folders(controller: str = "") -> Iterator[Path]:
    """A controller's folders from this process's group up to the topmost that is to be seen.

    The empty name is that of the second version's one tree. In a container the path may be that of
    the host, of which nothing is to be seen but the topmost folder.
    """
    own = "/"
    for line in (_text(_PROC / "self/cgroup") or "").splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            own = path
    top = _CGROUP / controller
    parts = [part for part in own.split("/") if part not in ("", "..")]
    for count in range(len(parts), -1, -1):
        yield top.joinpath(*parts[:count])


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
    except (OSError, ValueError):
        return None
