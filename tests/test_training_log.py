# SPDX-License-Identifier: Apache-2.0
"""What a training tells: lines for machines and people, and the model they speak of."""

from __future__ import annotations

import io
import json
import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
from small_jobs import arrays, random_pairs, settings, topic_pairs

from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.evaluation.baseline import Baseline, baseline_of
from object2vec.inference.predictor import Predictor
from object2vec.job import job_inputs, training_job
from object2vec.job.stop_request import StopRequest
from object2vec.logs import logging_to
from object2vec.model.model_directory import load_model, save_model
from object2vec.sagemaker.environment import Channel
from object2vec.training.early_stopping import EarlyStopping
from object2vec.training.loop import TrainingResult, train
from object2vec.training.metric_lines import METRIC_DEFINITIONS
from object2vec.training.training_log import TrainingLog

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
        return metrics_of(self.log)


def metrics_of(log: str) -> list[dict[str, Any]]:
    return [
        json.loads(line[len("#metrics ") :])
        for line in log.splitlines()
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


@pytest.mark.slow
@pytest.mark.both_ways
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


# The keys of the original's lines, by their Meta; those of times, in their order.
OF_TIMES = [
    {"initialize.time"},
    {"epochs", "early_stop.time", "update.time"},
    {"early_stop.time", "update.time"},
    {"finalize.time"},
    {"model.serialize.time", "model.score.time", "setuptime", "totaltime"},
]
METAS = ["init_train_data_iter", "training_data_iter", "test_data_iter"]


class Clock:
    """Stands in for ``time.time``: a thousandth passes at each look, and what a test adds.

    A busy machine may hold a process up between any two looks at the real one.
    """

    def __init__(self) -> None:
        self._now = time.time()

    def __call__(self) -> float:
        self.passes(0.001)
        return self._now

    def passes(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time that is looked at."""
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock


@pytest.fixture
def whole_job(tmp_path: Path, rng: np.random.Generator, clock: Clock) -> tuple[int, str]:
    """A job from its files on whose second epoch is the best: the number of epochs and the log."""
    channels = {}
    for name in ("train", "validation", "test"):
        pairs = topic_pairs(rng, 60, False)
        rows = zip(pairs.in0.tokens.tolist(), pairs.in1.tokens.tolist(), pairs.labels.tolist())
        file = tmp_path / f"{name}.jsonl"
        file.write_text(
            "".join(f'{{"in0":[{a}],"in1":[{b}],"label":{c:.0f}}}\n' for a, b, c in rows)
        )
        channels[name] = Channel(file, None)
    given = settings(enc0_network="pooled_embedding", epochs=3).to_dict()
    job = job_inputs.Job(given, "a test", channels, tmp_path / "model")
    stream = io.StringIO()
    with logging_to(stream):
        assert training_job.run(lambda: job, pytest.fail, stop=StopRequest()) == 0
    return 3, stream.getvalue()


def test_the_metrics_lines_have_the_original_s_keys(whole_job: tuple[int, str]) -> None:
    epochs, log = whole_job
    lines = metrics_of(log)
    times = [line for line in lines if "Meta" not in line["Dimensions"]]
    expected = [*OF_TIMES[:2], *[OF_TIMES[2]] * (epochs - 1), *OF_TIMES[3:]]
    assert [set(line["Metrics"]) for line in times] == expected
    counted = [line for line in lines if "Meta" in line["Dimensions"]]
    metas = [METAS[0], *[METAS[1]] * epochs, METAS[2]]
    assert [line["Dimensions"]["Meta"] for line in counted] == metas
    for line in counted:
        assert set(line["Metrics"]) == COUNTERS
        expected_dimensions = {"Algorithm", "Host", "Operation", "Meta"}
        if line["Dimensions"]["Meta"] == METAS[1]:
            expected_dimensions |= {"epoch"}
        assert set(line["Dimensions"]) == expected_dimensions


def test_the_spans_of_times_follow_one_another_from_the_job_s_beginning_on(
    whole_job: tuple[int, str],
) -> None:
    lines = metrics_of(whole_job[1])
    times = [line for line in lines if "Meta" not in line["Dimensions"]]
    for before, after in zip(times, times[1:]):
        assert before["EndTime"] == after["StartTime"]
    last = times[-1]
    total = last["Metrics"]["totaltime"]["sum"] / 1000
    assert last["EndTime"] - times[0]["StartTime"] == pytest.approx(total, abs=1e-3)
    # reading the data comes after the setup and before the network is built
    setup = last["Metrics"]["setuptime"]["sum"] / 1000
    built = times[0]["Metrics"]["initialize.time"]["sum"] / 1000
    assert 0 < setup < times[0]["EndTime"] - times[0]["StartTime"] - built
    # an epoch's counters have the span of its update.time, the test's that of model.score.time
    spans = [line["EndTime"] - line["StartTime"] for line in lines if "Meta" in line["Dimensions"]]
    told = [
        line["Metrics"]["update.time"]["sum"] for line in times if "update.time" in line["Metrics"]
    ]
    told.append(last["Metrics"]["model.score.time"]["sum"])
    assert spans[1:] == pytest.approx([value / 1000 for value in told], abs=0.2)


def test_writing_the_model_is_no_part_of_judging_it(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    def slowly(*arguments: Any, **named: Any) -> str:
        clock.passes(300)
        return save_model(*arguments, **named)

    monkeypatch.setattr("object2vec.model.model_directory.save_model", slowly)
    stream = io.StringIO()
    with logging_to(stream):
        result = train(
            settings(enc0_network="pooled_embedding", epochs=2, learning_rate=0.01),
            topic_pairs(rng, 60, False),
            model_dir=tmp_path,
        )
    assert result.best_epoch == 1
    sums: dict[str, float] = {}
    for line in metrics_of(stream.getvalue()):
        if "Meta" not in line["Dimensions"]:
            sums.update({name: value["sum"] for name, value in line["Metrics"].items()})
            last = line["Metrics"]
    assert sums["early_stop.time"] < 250_000
    assert last["model.serialize.time"]["count"] == 2
    assert last["model.serialize.time"]["min"] >= 300_000
    assert "model.score.time" not in last  # there was no test channel
    assert sums["totaltime"] >= 600_000


def test_an_epoch_s_time_is_without_its_validation(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    loss_sums = Predictor.loss_sums

    def slowly(self: Predictor, *arguments: Any) -> np.ndarray:
        clock.passes(2)
        return loss_sums(self, *arguments)

    monkeypatch.setattr(Predictor, "loss_sums", slowly)
    pairs = topic_pairs(rng, 20, False)
    stream = io.StringIO()
    with logging_to(stream):
        train(settings(enc0_network="pooled_embedding", epochs=1), pairs, pairs)
    found = re.search(r"Completed Epoch: 0, time taken: 0:00:(\d\d\.\d+)", stream.getvalue())
    updated = re.search(r'"update.time": \{"sum": ([\d.]+)', stream.getvalue())
    assert found and updated
    assert float(updated[1]) / 1000 - float(found[1]) >= 2


def test_the_test_channel_s_batches_are_those_it_was_scored_in(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = []

    def in_sevens(self: Predictor, in0: TokenLists, in1: TokenLists) -> Iterator[np.ndarray]:
        for start in range(0, len(in0), 7):
            chunks.append(start)
            yield np.arange(start, min(start + 7, len(in0)))

    monkeypatch.setattr(Predictor, "_pair_chunks", in_sevens)
    stream = io.StringIO()
    with logging_to(stream):
        pairs = topic_pairs(rng, 60, False)
        train(settings(enc0_network="pooled_embedding", epochs=1), pairs, None, pairs)
    (tested,) = [
        line["Metrics"]
        for line in metrics_of(stream.getvalue())
        if line["Dimensions"].get("Meta") == "test_data_iter"
    ]
    assert tested["Total Batches Seen"]["sum"] == len(chunks) == 9
    assert tested["Total Records Seen"]["sum"] == 60


def warning_of(
    best_loss: float, loss: float, caplog: pytest.LogCaptureFixture, **given: Any
) -> Optional[str]:
    caplog.clear()
    log = TrainingLog(settings(**given), "algo-1")
    baseline = Baseline(np.zeros(1, np.float32), loss, "always predicting the mean label")
    log.warn_of_baseline(best_loss, "training", baseline)
    return caplog.messages[0] if caplog.messages else None


@pytest.mark.parametrize("optimizer", ["adam", "adadelta"])
def test_the_warning_that_nothing_was_learnt_says_what_was_set_and_guesses_nothing(
    optimizer: str, caplog: pytest.LogCaptureFixture
) -> None:
    given = {"optimizer": optimizer, "epochs": 3}
    assert warning_of(0.98, 1.0, caplog, **given) is None
    rate = "" if optimizer == "adadelta" else "learning_rate=0.0004, "
    assert warning_of(0.995, 1.0, caplog, **given) == (
        "The best training loss, 0.995, is not below 0.99, which is 99 % of the loss of always "
        "predicting the mean label, 1: little or nothing was learnt with epochs=3, optimizer="
        f"{optimizer}, {rate}weight_decay=0.0, dropout=0.0. Check these, and that the labels "
        "belong to their pairs."
    )


COMPARED = re.compile(r"The best training loss, (\S+), is not below (\S+), which is 99 %")


def test_the_warning_s_comparison_holds_for_the_numbers_it_prints(
    rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    """Also close to the threshold, where rounding could turn the two around, and at any size."""
    for size in (1e-30, 3e-5, 0.7, 1.0984, 5e7, 1e60):
        least = 0.99 * size
        near = [least * (1 + step) for step in (-1e-4, -1e-7, 0, 1e-7, 1e-4, 1e-2)]
        for loss in [*near, *(size * rng.uniform(0.9, 1.1, size=20))]:
            text = warning_of(loss, size, caplog)
            assert (text is None) == (loss < least)
            if text is not None:
                found = COMPARED.match(text)
                assert found, text
                best, threshold = map(float, found.groups())
                assert best >= threshold > 0
                assert best == pytest.approx(loss, rel=1e-4)


def test_a_warning_about_one_epoch_of_random_pairs_is_true(
    rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = random_pairs(rng, 100, classes=3, shortest=1)
    hyperparameters = settings(enc0_network="hcnn", num_classes=3, epochs=1)
    loss = train(hyperparameters, pairs).best_loss
    least = 0.99 * baseline_of(pairs.labels, hyperparameters).loss
    found = [match for match in map(COMPARED.match, caplog.messages) if match]
    assert len(found) == (loss >= least)
    assert all(float(match[1]) >= float(match[2]) for match in found)


def test_a_baseline_of_large_labels_is_their_variance() -> None:
    """A small difference between large numbers."""
    labels = np.array([1e7, 1e7 + 1, 1e7 + 2, 1e7 + 3], np.float32)
    regression = settings(output_layer="mean_squared_error")
    assert baseline_of(labels, regression).loss == 1.25
    with_zeros = np.concatenate([labels, np.zeros(3)]).astype(np.float64)
    assert baseline_of(labels, regression, 3).loss == pytest.approx(with_zeros.var())
