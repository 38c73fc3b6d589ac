# SPDX-License-Identifier: Apache-2.0
"""Cores and memory: the machine's, and what a container leaves of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

import pytest

from object2vec import resources

pytestmark = pytest.mark.own_way

GROUP = "memory/memory"
MACHINE = {"meminfo": "MemTotal: 90 kB\nMemAvailable: 80 kB\nSwapFree: 5 kB\nHugePages_Free: 7"}


def lay_out(folder: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Put files in the place of the control groups' and, where they stand in proc/, of /proc's."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n")
    monkeypatch.setattr(resources, "_CGROUP", folder)
    if any(name.startswith("proc/") for name in files):
        monkeypatch.setattr(resources, "_PROC", folder / "proc")


@pytest.mark.parametrize(
    ("files", "expected_cores", "expected_bytes"),
    [
        ({}, None, None),
        ({"cpu.max": "max 100000", "memory.max": "max", "memory.current": "5"}, None, None),
        ({"cpu.max": "50000 100000"}, 1, None),
        ({"memory.max": "1000", "memory.current": "400"}, None, 600),
        (
            {
                "cpu/cpu.cfs_quota_us": "100000",
                "cpu/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": "3000",
                "memory/memory.usage_in_bytes": "1000",
            },
            1,
            2000,
        ),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None, None),
    ],
)
def test_a_container_s_limits_count(
    files: dict[str, str],
    expected_cores: Optional[int],
    expected_bytes: Optional[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lay_out(tmp_path, files, monkeypatch)
    assert resources.cores() == (expected_cores or len(os.sched_getaffinity(0)))
    if expected_bytes is None:
        assert resources.memory_bytes() > 100 << 20
    else:
        assert resources.memory_bytes() == expected_bytes


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 80 << 10),
        # cached files are given back
        (
            {
                "memory.max": "1000",
                "memory.current": "900",
                "memory.stat": "anon 300\ninactive_file 250\nactive_file 50\nfile 600",
            },
            400,
        ),
        (
            {
                f"{GROUP}.limit_in_bytes": "1000",
                f"{GROUP}.usage_in_bytes": "900",
                f"{GROUP}.stat": "inactive_file 1\ntotal_inactive_file 200\ntotal_active_file 50",
            },
            350,
        ),
        # the group's own folder, and one above it, which is tighter
        (
            {
                "proc/self/cgroup": "0::/job.slice/one.scope",
                "job.slice/memory.max": "700",
                "job.slice/memory.current": "100",
                "job.slice/one.scope/memory.max": "900",
                "job.slice/one.scope/memory.current": "100",
            },
            600,
        ),
        # a container that shows the host's path and its own folder alone
        (
            {
                "proc/self/cgroup": "4:cpu,memory:/docker/0123\n1:name=systemd:/docker/0123",
                f"{GROUP}.limit_in_bytes": "1000",
                f"{GROUP}.usage_in_bytes": "400",
            },
            600,
        ),
        ({"memory.max": "1000", "memory.current": "1200"}, 0),
    ],
)
def test_free_memory(
    files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = {f"proc/{name}": text for name, text in MACHINE.items()}
    lay_out(tmp_path, {**machine, **files}, monkeypatch)
    assert resources.memory_bytes() == expected


@pytest.mark.parametrize(
    ("files", "expected", "owner"),
    [
        ({}, 85 << 10, "this machine"),
        ({"memory.max": "1000", "memory.current": "400"}, 600 + (5 << 10), "this container"),
        (
            {
                "memory.max": "1000",
                "memory.current": "400",
                "memory.swap.max": "50",
                "memory.swap.current": "20",
            },
            630,
            "this container",
        ),
        (
            {"memory.max": "1000", "memory.current": "400", "memory.swap.max": "0"},
            600,
            "this container",
        ),
        (
            {
                f"{GROUP}.limit_in_bytes": "1000",
                f"{GROUP}.usage_in_bytes": "400",
                f"{GROUP}.memsw.limit_in_bytes": "1500",
                f"{GROUP}.memsw.usage_in_bytes": "700",
            },
            800,
            "this container",
        ),
    ],
)
def test_swap_counts_as_available(
    files: dict[str, str],
    expected: int,
    owner: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = {f"proc/{name}": text for name, text in MACHINE.items()}
    lay_out(tmp_path, {**machine, **files}, monkeypatch)
    assert resources.available_memory() == resources.Memory(expected, owner)


def test_unknown_memory_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, {"proc/nothing": ""}, monkeypatch)
    assert resources.available_memory() is None
    assert resources.memory_bytes() > 0


def test_two_threads_of_a_core_count_once() -> None:
    cpus = len(os.sched_getaffinity(0))
    assert resources.whole_cores("siblings\t: 8\ncpu cores\t: 8\n") == cpus
    assert resources.whole_cores("siblings\t: 16\ncpu cores\t: 8\n") == max(1, cpus // 2)
    assert resources.whole_cores("") == cpus


def test_the_threads_of_a_core_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each larger request asks for the cores."""
    count = resources.whole_cores()

    def read_again() -> str:
        raise AssertionError("/proc/cpuinfo is read again")

    monkeypatch.setattr(resources, "cpu_text", read_again)
    assert resources.whole_cores() == count
