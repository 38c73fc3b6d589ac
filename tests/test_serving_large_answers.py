# SPDX-License-Identifier: Apache-2.0
"""Large answers of a real server: what they cost grows with their length, not with its square."""

from __future__ import annotations

from pathlib import Path

import mms_server
import pytest
import serving_models
from mms_server import JSON_LINES, MmsServer

pytestmark = pytest.mark.slow


def seconds_of(server: MmsServer) -> float:
    """What all its processes have computed; a busy machine does not change it much."""
    times = [process.cpu_times() for process in server.processes()]
    return sum(time.user + time.system for time in times)


def test_an_answer_of_eight_times_the_length_costs_eight_times_as_much(tmp_path: Path) -> None:
    model_dir = serving_models.train(
        "softmax",
        tmp_path / "model",
        enc0_network="pooled_embedding",
        enc1_network="enc0",
        enc_dim=1024,
        epochs=1,
    )
    environment = {"OBJECT2VEC_MAX_ANSWER_IN_MB": "400"}
    with mms_server.serving(model_dir, tmp_path / "log", environment=environment) as server:
        line = b'{"in0": [1]}\n'
        assert server.invoke(line * 2000, JSON_LINES).status == 200
        costs = []
        for count in (3000, 24_000):
            before = seconds_of(server)
            answer = server.invoke(line * count, JSON_LINES, timeout=600)
            assert answer.status == 200 and answer.body.count(b"\n") == count
            costs.append((seconds_of(server) - before) / len(answer.body))
        # Four times as much for each byte, where it grew with the square.
        assert costs[1] < 2.5 * costs[0]
