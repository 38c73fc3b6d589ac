# SPDX-License-Identifier: Apache-2.0
"""The benchmarks run, tell what they should, and train the same network as their peers."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mms_server import free_port

from benchmarks import limits
from benchmarks.load import write_rows
from benchmarks.turns import Measured, summary
from benchmarks.workloads import WORKLOADS, Turn, find
from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.batching import Batch

ROOT = Path(__file__).resolve().parent.parent
TURN_KEYS = {"workload", "variant", "samples_per_s", "ratio_to_best_peer", "share_of_limit"}

needs_gensim = pytest.mark.skipif(find_spec("gensim") is None, reason="gensim is not installed")
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")


def run(*arguments: str) -> list[dict[str, Any]]:
    """The JSON lines of a benchmark."""
    return [json.loads(line) for line in output(*arguments).splitlines()]


def output(*arguments: str) -> str:
    """What a benchmark writes; it has to end well, with all its contestants."""
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "is left out" not in result.stderr, result.stderr
    return result.stdout


def first_of(names: list[str]) -> list[Any]:
    """The first in the usual tier, the others in ``full``: they differ in their numbers alone."""
    return [
        pytest.param(name, marks=pytest.mark.full if place else ())
        for place, name in enumerate(names)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", first_of(["W2-64", "W3-512-32", "W4-512-32"]))
def test_training_gives_a_line_for_each_contestant(name: str) -> None:
    arguments = ("--workload", name, "--rounds", "1", "--batches", "2", "--json")
    ours = ["ours dense", "ours row_sparse"] if name == "W2-64" else ["ours"]
    lines = run("train", *arguments, "--variant", *ours)
    assert [line["variant"] for line in lines] == ours
    for line in lines:
        assert set(line) >= TURN_KEYS
        assert line["workload"] == name
        assert line["samples_per_s"] > 0
        assert line["share_of_limit"] > 0
        assert line["ratio_to_best_peer"] is None


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "variants"),
    [
        ("W2-64", ["torch dense", "torch deferred", "torch sparse", "torch compact"]),
        ("W1", ["torch sparse", "torch compact", "torch matrix"]),
        ("W3-512-32", ["torch conv2d", "torch conv1d, deferred", "torch conv2d, deferred"]),
        ("W4-512-32", ["torch packed", "torch padded", "torch padded, deferred"]),
    ],
)
def test_peers_train_the_same_network(name: str, variants: list[str]) -> None:
    ours = ["ours row_sparse", "ours dense"] if name == "W2-64" else ["ours"]
    lines = run(
        "train", "--check", "--workload", name, "--batches", "8", "--variant", *ours, *variants
    )
    assert [line["variant"] for line in lines] == [*ours, *variants]
    for line in lines:
        if line["variant"] != "ours dense":
            assert line["largest_difference"] < 0.01, line


@pytest.mark.slow
def test_loading_reads_every_row() -> None:
    lines = run("load", "--rows", "500", "--rounds", "1", "--json")
    assert [(line["workload"], line["variant"]) for line in lines] == [
        (name, variant) for name in ("L-ratings", "L-texts") for variant in ("ours", "json.loads")
    ]
    assert all(line["samples_per_s"] > 0 and line["peak_mb"] > 0 for line in lines)


@pytest.mark.slow
def test_scaling_measures_every_size() -> None:
    lines = run("scaling", "--millions", "0.004", "0.008", "--rounds", "1", "--json")
    assert [line["variant"] for line in lines] == ["4000 pairs", "8000 pairs"]
    assert all(line["epoch_s"] > 0 for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("name", first_of(["pooled", "hcnn", "bilstm"]))
def test_inference_measures_every_kind_of_request(name: str) -> None:
    arguments = ("--workload", name, "--rounds", "1", "--requests", "10", "--json")
    lines = run("inference", *arguments, "--variant", "ours")
    assert [line["workload"] for line in lines] == [
        f"{name}, {size} {what}" for size in (1, 1000) for what in ("scores", "embeddings")
    ]
    for line in lines:
        assert set(line) >= TURN_KEYS
        assert 0 < line["p50_ms"] <= line["p99_ms"]
        assert line["samples_per_s"] > 0


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize("name", ["pooled", "hcnn", "bilstm"])
def test_peers_answer_the_same(name: str) -> None:
    # the benchmark compares the answers and ends with an error where they differ
    lines = run("inference", "--workload", name, "--rounds", "1", "--requests", "10", "--json")
    for line in lines:
        assert (line["ratio_to_best_peer"] <= 1) or line["variant"] in ("ours", "operators")
    assert len({line["variant"] for line in lines}) == 5


@pytest.mark.slow
def test_starts_are_measured() -> None:
    lines = run("start", "--rounds", "1", "--json")
    assert [line["workload"] for line in lines] == [
        "start-version",
        "start-describe",
        "start-train",
    ]
    assert all(line["seconds"] > 0 for line in lines)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mms") is None, reason="the serving parts are not installed")
def test_serving_measures_every_contestant() -> None:
    port = str(free_port())
    text = output("serving", "--rounds", "1", "--requests", "8", "--port", port)
    assert "overhead of the model server" in text
    assert text.count("model server ") >= 6


@needs_gensim
@pytest.mark.full
def test_models_of_words_are_no_peers() -> None:
    arguments = ("--workload", "W1", "--rounds", "1", "--batches", "2", "--json")
    (line,) = run("train", *arguments, "--variant", "gensim doc2vec")
    assert line["samples_per_s"] > 0
    assert line["ratio_to_best_peer"] is None
    assert line["share_of_limit"] is None


@pytest.mark.slow
def test_exports_are_measured_one_by_one() -> None:
    lines = run("export", "--objects", "50", "--enc-dim", "4", "--format", "npy", "--json")
    assert [line["format"] for line in lines] == ["model", "npy"]
    assert all(line["cpu_s"] > 0 and line["peak_mib"] > 0 for line in lines)


@pytest.mark.slow
def test_limits_are_written_as_a_line() -> None:
    (line,) = run("limits", "--seconds", "0.3")
    assert line["gflops"] > 0
    assert line["gigabytes_per_s"] > 0


@pytest.mark.slow
def test_limits_of_the_machine_are_numbers() -> None:
    machine = limits.measure_machine(1, 0.1)
    assert machine.flops > 0
    assert machine.bandwidth > 0


def one_batch(tokens: int) -> Batch:
    lists = TokenLists.from_lists([list(range(tokens))] * 3)
    return Batch(lists, lists, np.zeros(3, np.float32), (tokens, tokens))


def test_limit_counts_operations_and_bytes() -> None:
    settings = find("W2-64")[0].settings()
    batch = one_batch(1)
    numbers = 4 * 300 * 256 + 256
    assert limits.dense_numbers(settings) == numbers
    assert limits.batch_flops(settings, batch) == 6 * 3 * numbers
    # one row of each table is in use: weights and two moments both ways, the gradient too
    assert limits.batch_bytes(settings, batch) == 32 * (numbers + 2 * 300)
    machine = limits.Machine(flops=1e6, bandwidth=1e6)
    seconds = (18 * numbers + 32 * (numbers + 600)) / 1e6
    assert limits.limit(settings, [batch], machine) == pytest.approx(3 / seconds)


def test_limit_of_dense_tables_moves_the_rows_in_use() -> None:
    settings = find("W2-64")[0].settings(token_embedding_storage_type="dense")
    numbers = 4 * 300 * 256 + 256
    assert limits.batch_bytes(settings, one_batch(1)) == 32 * (numbers + 2 * 300)


@pytest.mark.parametrize(
    ("name", "per_token", "scorer"),
    [
        ("W3-512-32", 3 * (300 * 128 + 3 * 128 * 128), 2048 * 512 + 512 * 512 + 512 * 3),
        ("W4-512-32", 2 * 4 * 256 * (300 + 256), 2048 * 512 + 512 * 512 + 512 * 3),
    ],
)
def test_limit_counts_real_tokens(name: str, per_token: int, scorer: int) -> None:
    settings = find(name)[0].settings()
    assert limits.dense_numbers(settings) == 2 * per_token + scorer
    expected = 6 * (3 * scorer + 2 * 3 * 5 * per_token)
    assert limits.batch_flops(settings, one_batch(5)) == expected


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_workload_makes_pairs_that_fit_its_hyperparameters(workload: Any) -> None:
    settings = workload.settings()
    pairs: PairDataset = workload.make(300, np.random.default_rng(1))
    assert len(pairs) == 300
    for lists, encoder in zip((pairs.in0, pairs.in1), settings.encoders):
        assert 0 <= lists.tokens.min() <= lists.tokens.max() < encoder.vocab_size
        assert 1 <= lists.lengths.min() <= lists.lengths.max() <= encoder.max_seq_len
    if not settings.is_regression:
        assert set(pairs.labels) <= set(range(settings.num_classes))


@pytest.mark.parametrize("name", ["W2-64", "W3-512-32"])
def test_turn_repeats_its_batches(name: str) -> None:
    workload = find(name)[0]
    settings = workload.settings()
    pairs = workload.make(2_000, np.random.default_rng(1))
    turn = Turn(settings, pairs, 5)
    first, second = list(turn.epoch()), list(turn.epoch())
    assert len(first) == len(second) == 5
    for one, other in zip(first, second):
        np.testing.assert_array_equal(one.in0.tokens, other.in0.tokens)
        np.testing.assert_array_equal(one.labels, other.labels)
    whole = Turn(settings, pairs, 0)
    assert sum(map(len, whole.epoch())) == 2_000


def test_workload_is_found_by_name_or_beginning() -> None:
    assert [workload.name for workload in find("W1")] == ["W1"]
    assert [workload.name for workload in find("W2")] == ["W2-64", "W2-2048"]
    with pytest.raises(ValueError, match="'W9' is no workload"):
        find("W9")


def test_summary_is_of_the_median_turn() -> None:
    turns = [Measured(100, seconds, 5_000_000, 0.0) for seconds in (1.0, 2.0, 4.0)]
    values = summary(turns)
    assert values["samples_per_s"] == 50
    assert values["spread"] == 1.5
    assert values["peak_mb"] == 5


def test_rows_are_written_as_asked(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows", 12, (5, 9), (2, 3))
    rows = [json.loads(line) for line in (tmp_path / "rows").read_text().splitlines()]
    assert len(rows) == 12
    for row in rows:
        assert len(row["in0"]) == 2 and max(row["in0"]) < 5
        assert len(row["in1"]) == 3 and max(row["in1"]) < 9
        assert 1 <= row["label"] <= 5
