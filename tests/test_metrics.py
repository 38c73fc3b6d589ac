# SPDX-License-Identifier: Apache-2.0
"""Means from sums and counts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from object2vec.evaluation.metrics import MetricAccumulator

pytestmark = pytest.mark.own_way


def test_accumulator_of_classes_weighs_records_not_batches() -> None:
    accumulator = MetricAccumulator("softmax")
    accumulator.update(32 * 0.5, 24, 32)
    accumulator.update(np.float32(2.0), np.int64(0), 1)
    values = accumulator.values()
    assert list(values) == ["perplexity", "cross_entropy", "accuracy"]
    assert values["cross_entropy"] == pytest.approx(18 / 33)
    assert values["perplexity"] == pytest.approx(math.exp(18 / 33))
    assert values["accuracy"] == pytest.approx(24 / 33)
    assert accumulator.loss == values["cross_entropy"]


def test_accumulator_of_numbers() -> None:
    labels, predictions = np.array([1.0, 2.0, 4.0, 8.0]), np.array([1.5, 2.0, 3.0, 5.0])
    accumulator = MetricAccumulator("mean_squared_error")
    for part in (slice(0, 3), slice(3, 4)):
        errors = predictions[part] - labels[part]
        accumulator.update(np.square(errors).sum(), np.abs(errors).sum(), len(errors))
    assert accumulator.values() == {
        "mean_squared_error": np.mean((predictions - labels) ** 2),
        "mean_absolute_error": np.mean(np.abs(predictions - labels)),
    }
    assert accumulator.loss == accumulator.values()["mean_squared_error"]


def test_accumulator_edges() -> None:
    accumulator = MetricAccumulator("softmax")
    with pytest.raises(ValueError, match="no record"):
        accumulator.values()
    accumulator.update(1e6, 0, 1)
    assert accumulator.values()["perplexity"] == math.inf
    accumulator.reset()
    accumulator.update(math.nan, 0, 1)
    assert math.isnan(accumulator.loss)
    assert math.isnan(accumulator.values()["perplexity"])


def test_accumulator_of_many_labels_is_no_mean_of_batches() -> None:
    accumulator = MetricAccumulator("multi_label")
    accumulator.update(32 * 0.5, 2 * 30, 32, 50 + 40)
    accumulator.update(1.0, 0, 1, 3)
    assert accumulator.values() == {
        "cross_entropy": pytest.approx(17 / 33),
        "micro_f1": pytest.approx(60 / 93),
    }
    accumulator.reset()
    accumulator.update(0.25, 0, 1, 0)
    assert accumulator.values() == {"cross_entropy": 0.25, "micro_f1": 0.0}
