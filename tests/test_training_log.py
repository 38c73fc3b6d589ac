# SPDX-License-Identifier: Apache-2.0
"""What a training tells: lines for machines and people, and the model they speak of."""

from __future__ import annotations

import io
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_jobs import arrays, settings, topic_pairs

from object2vec.arrays import PairDataset
from object2vec.artifacts import load_model
from object2vec.baseline import Baseline
from object2vec.early_stopping import EarlyStopping
from object2vec.logs import logging_to
from object2vec.metrics import METRIC_DEFINITIONS
from object2vec.predictor import Predictor
from object2vec.training import TrainingResult, train
from object2vec.training_log import TrainingLog

LINE = re.compile(r"\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d [A-Z]+ \d+\] (.*)")
TIMES = {"initialize.time", "update.time", "early_stop.time", "finalize.time", "totaltime"}
TIMES |= {"model.serialize.time", "model.score.time"}
COUNTERS = {
    "Total Records Seen",
    "Total Batches Seen",
    "Max Records Seen Between Resets",
    "Max Batches Seen Between Resets",
    "Reset Count",
    "Number of Records Since Last Reset",
    "Number of Batches Since Last Reset",
}


@dataclass
class Job:
    """A finished training, its data and its log."""

    head: str
    result: TrainingResult
    pairs: tuple[PairDataset, PairDataset, PairDataset]
    folder: Path
    log: str

    @property
    def lines(self) -> list[str]:
        """The texts of all lines but those of ``#metrics``."""
        found = [LINE.fullmatch(line) for line in self.log.splitlines()]
        return [match[1] for match in found if match]

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The contents of the ``#metrics`` lines."""
        return [
            json.loads(line[len("#metrics ") :])
            for line in self.log.splitlines()
            if line.startswith("#metrics ")
        ]


@pytest.fixture(scope="module", params=["softmax", "mean_squared_error"])
def job(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job with all channels whose early epochs improve and whose later ones do not."""
    rng = np.random.default_rng(3)
    is_regression = request.param == "mean_squared_error"
    pairs = tuple(topic_pairs(rng, number, is_regression) for number in (900, 130, 70))
    hyperparameters = settings(
        enc0_network="pooled_embedding",
        output_layer=request.param,
        learning_rate=0.02,
        mini_batch_size=8,
        epochs=30,
        early_stopping_patience=2,
    )
    folder = tmp_path_factory.mktemp("job")
    stream = io.StringIO()
    with logging_to(stream):
        result = train(hyperparameters, *pairs, model_dir=folder, host="algo-7")
    return Job(request.param, result, pairs, folder, stream.getvalue())


def test_every_registered_metric_is_found(job: Job) -> None:
    own = ("cross_entropy", "accuracy") if job.head == "softmax" else ("mean_squared_error",)
    for definition in METRIC_DEFINITIONS:
        found = re.findall(definition.regex, job.log)
        split, name = definition.name.split(":")
        if name not in (*own, "progress", "throughput"):
            assert not found
            continue
        assert all(math.isfinite(float(value)) for value in found)
        epochs = len(job.result.history)
        assert len(found) == (1 if split == "test" else epochs), definition.name
        if name == "throughput":
            assert all(float(value) > 0 for value in found)
        elif name == "progress":
            shares = [100 * (epoch + 1) / 30 for epoch in range(epochs - 1)]
            assert [float(value) for value in found] == pytest.approx([*shares, 100], abs=0.01)
        elif split == "test":
            assert job.result.test_metrics is not None
            assert float(found[0]) == job.result.test_metrics[name]
        else:
            expected = [record[f"{split}_{name}"] for record in job.result.history]
            assert [float(value) for value in found] == expected


def test_exact_lines(job: Job) -> None:
    lines = job.lines
    last = len(job.result.history) - 1
    assert "#progress_metric: host=algo-7, completed 3.33 % of epochs" in lines
    assert "#progress_metric: host=algo-7, completed 100 % epochs" in lines
    assert f"Early stopping criterion met! Stopping training at epoch: {last}" in lines
    assert "Bad epochs exceeded patience. Stopping training early!" in lines
    best = job.result.best_epoch
    assert f"Best model based on epoch {best}. Best loss: {job.result.best_loss:.3f}" in lines
    name = "accuracy" if job.head == "softmax" else "mean_squared_error"
    value = job.result.test_metrics[name]
    assert f"#test_score (algo-7) : ('{name}', {value!r})" in lines
    running = [line for line in lines if line.startswith("Epoch: 0, batches: 100, ")]
    assert len(running) == 1
    assert re.fullmatch(
        r"Epoch: 0, batches: 100, num_examples: 800, [\d.]+ samples/sec, "
        r"epoch time so far: \d:\d\d:\d\d\.\d{6}",
        running[0],
    )
    following = lines[lines.index(running[0]) + 1]
    first = "perplexity" if job.head == "softmax" else "mean_squared_error"
    assert re.match(rf"\tTraining metrics: {first}: \d+\.\d\d\d ", following)


def test_metrics_lines(job: Job) -> None:
    lines = job.metrics
    assert lines
    names = set()
    for line in lines:
        assert set(line) == {"StartTime", "EndTime", "Dimensions", "Metrics"}
        assert line["StartTime"] <= line["EndTime"]
        given = line["Dimensions"]
        assert given["Algorithm"] == "ObjectToVec"
        assert given["Host"] == "algo-7"
        assert given["Operation"] == "training"
        for name, value in line["Metrics"].items():
            assert set(value) == {"sum", "count", "min", "max"}
            names.add(name)
    assert names >= TIMES | COUNTERS | {"epochs"}
    by_meta = {
        meta: [line for line in lines if line["Dimensions"].get("Meta") == meta]
        for meta in ("init_train_data_iter", "training_data_iter", "test_data_iter")
    }
    epochs = len(job.result.history)
    assert [len(found) for found in by_meta.values()] == [1, epochs, 1]
    for number, line in enumerate(by_meta["training_data_iter"], 1):
        assert line["Dimensions"]["epoch"] == number - 1
        sums = {name: value["sum"] for name, value in line["Metrics"].items()}
        assert sums == {
            "Total Records Seen": 900 * number,
            "Total Batches Seen": 113 * number,
            "Max Records Seen Between Resets": 900,
            "Max Batches Seen Between Resets": 113,
            "Reset Count": number,
            "Number of Records Since Last Reset": 900,
            "Number of Batches Since Last Reset": 113,
        }
    tested = by_meta["test_data_iter"][0]["Metrics"]
    assert tested["Total Records Seen"]["sum"] == 70


def test_the_rule_of_early_stopping_decides(job: Job) -> None:
    loss = "validation_cross_entropy" if job.head == "softmax" else "validation_mean_squared_error"
    losses = [record[loss] for record in job.result.history]
    rule = EarlyStopping(2, 0.01)
    for number, value in enumerate(losses, 1):
        rule.add(value)
        assert rule.should_stop == (number == len(losses))
    assert job.result.stopped_early
    assert not job.result.interrupted
    assert job.result.best_loss == min(losses)
    assert job.result.best_epoch == losses.index(min(losses))


def measured(job: Job, pairs: PairDataset) -> dict[str, float]:
    """The metrics of the stored model, each pair counted once."""
    scores = Predictor.load(job.folder).scores(pairs.in0, pairs.in1).astype(np.float64)
    if job.head == "softmax":
        classes = pairs.labels.astype(int)
        entropy = -np.log(scores[np.arange(len(classes)), classes]).mean()
        accuracy = (scores.argmax(axis=1) == classes).mean()
        values = {"perplexity": np.exp(entropy), "cross_entropy": entropy, "accuracy": accuracy}
    else:
        difference = scores - pairs.labels
        values = {
            "mean_squared_error": (difference**2).mean(),
            "mean_absolute_error": np.abs(difference).mean(),
        }
    return {name: float(value) for name, value in values.items()}


def test_the_best_model_is_kept(job: Job) -> None:
    """On the disk and in memory, and it is what the test channel is scored with."""
    expected = measured(job, job.pairs[1])
    best = job.result.history[job.result.best_epoch]
    for name, value in expected.items():
        assert best[f"validation_{name}"] == pytest.approx(value, rel=1e-4, abs=1e-5)
    for name, value in measured(job, job.pairs[2]).items():
        assert job.result.test_metrics[name] == pytest.approx(value, rel=1e-4, abs=1e-5)
    loaded = load_model(job.folder)
    assert loaded.complete
    assert loaded.metrics["best_epoch"] == job.result.best_epoch
    assert loaded.metrics["best_loss"] == job.result.best_loss
    kept = arrays(job.result.predictor.network)
    for name, value in arrays(loaded.network).items():
        np.testing.assert_array_equal(kept[name], value)


@pytest.mark.parametrize("optimizer", ["adam", "adadelta"])
def test_the_warning_that_nothing_was_learnt_says_what_was_set_and_guesses_nothing(
    optimizer: str, caplog: pytest.LogCaptureFixture
) -> None:
    log = TrainingLog(settings(optimizer=optimizer, epochs=3), "algo-1")
    baseline = Baseline(np.zeros(1, np.float32), 1.0, "always predicting the mean label")
    log.warn_of_baseline(0.98, baseline)
    assert not caplog.records
    log.warn_of_baseline(0.995, baseline)
    rate = "" if optimizer == "adadelta" else "learning_rate=0.0004, "
    assert caplog.records[0].getMessage() == (
        "The best loss 0.9950 is not below 99 % of 1.0000, that of always predicting the mean "
        f"label: nothing was learnt with epochs=3, optimizer={optimizer}, {rate}weight_decay=0.0, "
        "dropout=0.0. Check these, and that the labels belong to their pairs."
    )
