# SPDX-License-Identifier: Apache-2.0
"""The lines that machines read, and the definitions that find them."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest

from object2vec.hyperparameters.table import METRIC_NAMES
from object2vec.training.metric_lines import (
    METRIC_DEFINITIONS,
    RecordCounters,
    human_line,
    metrics_line,
    progress_metric_line,
    quality_metric_line,
    quality_metric_lines,
    score_lines,
    throughput_metric_line,
)

pytestmark = pytest.mark.own_way

REGEX = {definition.name: definition.regex for definition in METRIC_DEFINITIONS}

# Lines of training logs that the original printed.
PREFIX = "[06/17/2021 22:54:51 INFO 140683922831168] "
ORIGINAL = {
    "#quality_metric: host=algo-1, epoch=0, train cross_entropy <loss>=0.3009043032168976": (
        "train:cross_entropy",
        "0.3009043032168976",
    ),
    "#quality_metric: host=algo-1, epoch=0, train accuracy <score>=0.8743719598054276": (
        "train:accuracy",
        "0.8743719598054276",
    ),
    "#quality_metric: host=algo-1, epoch=0, validation cross_entropy <loss>=0.20847056439872": (
        "validation:cross_entropy",
        "0.20847056439872",
    ),
    "#quality_metric: host=algo-1, epoch=6, validation accuracy <score>=0.9313426906779662": (
        "validation:accuracy",
        "0.9313426906779662",
    ),
    "#quality_metric: host=algo-1, epoch=0, validation mean_squared_error <loss>=0.942378284561": (
        "validation:mean_squared_error",
        "0.942378284561",
    ),
    "#quality_metric: host=algo-1, test cross_entropy <loss>=0.18081413600909507": (
        "test:cross_entropy",
        "0.18081413600909507",
    ),
    "#quality_metric: host=algo-1, test accuracy <score>=0.9302006091101694": (
        "test:accuracy",
        "0.9302006091101694",
    ),
    "#progress_metric: host=algo-1, completed 5.0 % of epochs": ("train:progress", "5.0"),
    "#progress_metric: host=algo-1, completed 100 % epochs": ("train:progress", "100"),
    "#throughput_metric: host=algo-1, train throughput=13748.854471847568 records/second": (
        "train:throughput",
        "13748.854471847568",
    ),
}


def matches(line: str) -> dict[str, str]:
    """Names of the definitions that find a value in the line, and the value."""
    found = {name: re.search(regex, line) for name, regex in REGEX.items()}
    return {name: match.group(1) for name, match in found.items() if match}


def test_names_are_those_a_tuning_job_may_name() -> None:
    assert tuple(REGEX) == METRIC_NAMES
    assert len(METRIC_DEFINITIONS) == len(REGEX) == 14


@pytest.mark.parametrize("line", ORIGINAL)
def test_original_lines_are_found_by_one_definition(line: str) -> None:
    name, value = ORIGINAL[line]
    assert matches(PREFIX + line) == {name: value}


@pytest.mark.parametrize("line", ORIGINAL)
def test_our_lines_equal_the_original(line: str) -> None:
    name, value = ORIGINAL[line]
    split, metric = name.split(":")
    if metric == "progress":
        ours = progress_metric_line("algo-1", 1, 20, finished=value == "100")
    elif metric == "throughput":
        ours = throughput_metric_line("algo-1", float(value))
    else:
        found = re.search("epoch=([0-9]+)", line)
        epoch = int(found.group(1)) if found else None
        ours = quality_metric_line("algo-1", split, metric, float(value), epoch)
    assert ours == line


@pytest.mark.parametrize("name", [name for name in METRIC_NAMES if ":p" not in name])
def test_every_definition_finds_our_line(name: str) -> None:
    split, metric = name.split(":")
    if metric == "throughput":
        line = throughput_metric_line("algo-12", np.float32(1e7))
        value = 1e7
    else:
        value = 1.25e-7
        epoch = None if split == "test" else 11
        line = quality_metric_line("algo-12", split, metric, np.float64(value), epoch)
    found = matches(PREFIX + line)
    assert list(found) == [name]
    assert float(found[name]) == value


@pytest.mark.parametrize("value", [math.inf, math.nan, 0.0])
def test_any_value_reads_back_as_a_number(value: float) -> None:
    line = quality_metric_line("h", "train", "cross_entropy", value, 0)
    assert repr(float(matches(line)["train:cross_entropy"])) == repr(value)


def test_progress() -> None:
    percents = [
        float(matches(progress_metric_line("h", done, 30))["train:progress"])
        for done in range(1, 31)
    ]
    assert percents == sorted(percents)
    assert percents[0] == 3.33
    assert percents[-1] == 100.0


def test_directions() -> None:
    for definition in METRIC_DEFINITIONS:
        loss = definition.name.endswith(("cross_entropy", "mean_squared_error"))
        assert definition.direction == ("Minimize" if loss else "Maximize")
        assert ("<loss>" in definition.regex) == loss


def test_test_channel_lines() -> None:
    values = {"perplexity": 1.1981925797945063, "cross_entropy": 0.18, "accuracy": np.float64(0.93)}
    assert score_lines("algo-1", values) == [
        "#test_score (algo-1) : ('perplexity', 1.1981925797945063)",
        "#test_score (algo-1) : ('cross_entropy', 0.18)",
        "#test_score (algo-1) : ('accuracy', 0.93)",
    ]
    assert quality_metric_lines("algo-1", "test", values) == [
        "#quality_metric: host=algo-1, test cross_entropy <loss>=0.18",
        "#quality_metric: host=algo-1, test accuracy <score>=0.93",
    ]


def test_what_has_no_definition_gets_no_line() -> None:
    values = {"mean_squared_error": 0.25, "mean_absolute_error": 0.5}
    lines = quality_metric_lines("h", "train", values, 0)
    assert [list(matches(line)) for line in lines] == [["train:mean_squared_error"]]


def test_human_line() -> None:
    values = {"perplexity": 1.3511, "cross_entropy": 0.3009, "accuracy": 0.8744}
    assert human_line(values) == "perplexity: 1.351 cross_entropy: 0.301 accuracy: 0.874 "


def test_metrics_line_of_times() -> None:
    line = metrics_line(
        "algo-1", 10.5, 12.25, {"epochs": 20, "update.time": [1500.5, 249.5], "none.time": []}
    )
    assert line.startswith("#metrics {")
    assert "\n" not in line
    assert json.loads(line[len("#metrics ") :]) == {
        "StartTime": 10.5,
        "EndTime": 12.25,
        "Dimensions": {"Algorithm": "ObjectToVec", "Host": "algo-1", "Operation": "training"},
        "Metrics": {
            "epochs": {"sum": 20.0, "count": 1, "min": 20, "max": 20},
            "update.time": {"sum": 1750.0, "count": 2, "min": 249.5, "max": 1500.5},
        },
    }


def test_record_counters_as_the_original_counts() -> None:
    counters = RecordCounters()
    assert set(counters.values().values()) == {0}
    for records, batches in ((999936, 1953), (1001472, 1956)):
        counters.reset()
        counters.add(records - 512, batches - 1)
        counters.add(512)
    line = metrics_line("algo-1", 1, 2, counters.values(), epoch=1, meta="training_data_iter")
    original = (
        '{"StartTime": 1, "EndTime": 2, "Dimensions": {"Algorithm": "ObjectToVec", "Host": "algo-1"'
        ', "Operation": "training", "epoch": 1, "Meta": "training_data_iter"}, "Metrics": '
        '{"Total Records Seen": {"sum": 2001408.0, "count": 1, "min": 2001408, "max": 2001408}, '
        '"Total Batches Seen": {"sum": 3909.0, "count": 1, "min": 3909, "max": 3909}, '
        '"Max Records Seen Between Resets": '
        '{"sum": 1001472.0, "count": 1, "min": 1001472, "max": 1001472}, '
        '"Max Batches Seen Between Resets": {"sum": 1956.0, "count": 1, "min": 1956, "max": 1956}, '
        '"Reset Count": {"sum": 2.0, "count": 1, "min": 2, "max": 2}, '
        '"Number of Records Since Last Reset": '
        '{"sum": 1001472.0, "count": 1, "min": 1001472, "max": 1001472}, '
        '"Number of Batches Since Last Reset": '
        '{"sum": 1956.0, "count": 1, "min": 1956, "max": 1956}}}'
    )
    assert line == f"#metrics {original}"


def test_counters_remember_the_longest_pass() -> None:
    counters = RecordCounters()
    for records in (30, 10):
        counters.reset()
        counters.add(records)
    values = counters.values()
    assert values["Max Records Seen Between Resets"] == 30
    assert values["Number of Records Since Last Reset"] == 10
