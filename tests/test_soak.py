# SPDX-License-Identifier: Apache-2.0
"""A short soak: right answers, or 503 and then right ones, while workers are killed."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz import models
from soak import soak


@pytest.mark.slow
def test_killed_workers_cost_no_answer(tmp_path: Path, seed: int) -> None:
    report = soak(
        models.save("hcnn", tmp_path / "model"),
        tmp_path / "log",
        requests=2000,
        clients=4,
        kill_seconds=2,
        seed=seed,
    )
    assert not report.failures, report.text()
    assert len(report.latencies) >= 2000
    assert report.kills
    assert report.memory
