# SPDX-License-Identifier: Apache-2.0
"""The early-stopping rule, replayed on published validation losses."""

from __future__ import annotations

import logging
import math

import pytest

from object2vec.training.early_stopping import EarlyStopping

pytestmark = pytest.mark.own_way

# patience, losses, number of epochs until the stop (None: it goes on), number of the best epoch
REPLAYS = [
    (2, ".221 .194 .177 .187 .193 .207", 6, 3),
    (2, ".2085 .1976 .2025 .1813 .1969 .1930 .1977", 7, 4),
    (3, ".942 .965 .941 .951 .944 .940 .933", 7, 7),
    (2, ".50 .40 .60 .55 .53", None, 2),
]


def replay(
    patience: int, losses: list[float], tolerance: float = 0.01
) -> tuple[EarlyStopping, int | None]:
    rule = EarlyStopping(patience, tolerance)
    for number, loss in enumerate(losses, 1):
        rule.add(loss)
        if rule.should_stop:
            return rule, number
    return rule, None


@pytest.mark.parametrize(("patience", "losses", "stop", "best"), REPLAYS)
def test_published_logs(patience: int, losses: str, stop: int | None, best: int) -> None:
    values = [float(loss) for loss in losses.split()]
    rule, stopped = replay(patience, values)
    assert stopped == stop
    assert rule.best_epoch == best - 1
    assert rule.best_loss == values[best - 1]


@pytest.mark.parametrize(
    ("patience", "losses", "stop"),
    [
        (1, [5, 5, 5], 3),  # the first is not judged, two bad ones exceed a patience of 1
        (1, [5, 4, 3, 2, 1], None),
        (2, [5, 1, 1, 1, 1], 5),  # the window still holds the 5 at first, but its minimum is 1
        (3, [1, 1, 1, 1, 1, 1, 1], 7),
        (5, [1] * 10, None),
        (5, [1] * 11, 11),
        (1, [3, 4, 3, 4, 3, 4], None),  # each fall is good and resets the count
        (2, [1.0, 1.0, 0.99, 0.98, 0.97], None),  # 1.0 - 0.98 is good, so the count starts anew
    ],
)
def test_rule(patience: int, losses: list[float], stop: int | None) -> None:
    assert replay(patience, losses)[1] == stop


@pytest.mark.parametrize(("loss", "good"), [(0.75, False), (0.5, True), (0.749, True)])
def test_an_improvement_must_exceed_the_tolerance(loss: float, good: bool) -> None:
    """By more than the tolerance, not by as much; these numbers are exact in binary."""
    rule = EarlyStopping(1, 0.25)
    for value in (1.0, 1.0, loss, 5.0):
        rule.add(value)
    assert rule.should_stop == (not good)


def test_best_epoch_knows_no_tolerance() -> None:
    rule = EarlyStopping(2, 0.1)
    assert [rule.add(loss) for loss in (1.0, 0.999, 0.999, 0.9985)] == [True, True, False, True]
    assert (rule.best_epoch, rule.best_loss) == (3, 0.9985)


def test_before_the_first_epoch() -> None:
    rule = EarlyStopping(3, 0.01)
    assert (rule.best_epoch, rule.best_loss, rule.should_stop) == (-1, math.inf, False)


def test_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="object2vec"):
        replay(1, [0.5, 0.75, 0.625])
    assert [record.getMessage() for record in caplog.records] == [
        "patience losses: [0.5]",
        "min patience losses: 0.5",
        "current loss: 0.75",
        "absolute loss difference: 0.25",
        "Bad epoch: loss has not improved (enough). Bad count:1",
        "patience losses: [0.75]",
        "min patience losses: 0.75",
        "current loss: 0.625",
        "absolute loss difference: 0.125",
    ]
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="object2vec"):
        replay(1, [0.5, 0.75, 0.75])
    assert caplog.messages[-2:] == [
        "Bad epoch: loss has not improved (enough). Bad count:2",
        "Bad epochs exceeded patience. Stopping training early!",
    ]
