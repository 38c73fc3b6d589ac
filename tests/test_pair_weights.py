# SPDX-License-Identifier: Apache-2.0
"""Weights of pairs: a pair of weight 2 counts as two, in training and in what is reported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_jobs import arrays, chosen, random_network, random_pairs, settings

from object2vec import Object2Vec
from object2vec.backend.mxnet_import import mx
from object2vec.cli import main
from object2vec.data.arrays import PairDataset
from object2vec.data.batching import TrainingBatches
from object2vec.data.dataset import from_records, read_channel
from object2vec.data.in_batch import PairObjects
from object2vec.data.negative_sampling import with_negatives
from object2vec.errors import CustomerError
from object2vec.evaluation.baseline import baseline_of
from object2vec.inference.predictor import Predictor
from object2vec.prepare.table_choice import TableChoice
from object2vec.prepare.table_pairs import encode_table, table_pairs
from object2vec.prepare.write_channels import write_channels
from object2vec.training.loop import train

pytestmark = pytest.mark.own_way

HEADS: list[dict[str, Any]] = [
    {"output_layer": "softmax", "num_classes": 3},
    {"output_layer": "mean_squared_error"},
    {"output_layer": "in_batch_softmax", "scorer": "cosine"},
]
every_head = pytest.mark.parametrize("head", HEADS, ids=lambda head: head["output_layer"])
WEIGHTED = settings(pair_weights=True)
RECORD = {"in0": [1], "in1": [2], "label": 1}


@pytest.fixture(params=["compiled", "operators"])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    with chosen(request.param):
        yield request.param


def of_head(head: dict[str, Any], rng: np.random.Generator, number: int) -> PairDataset:
    pairs = random_pairs(rng, number, classes=3 if "num_classes" in head else None, shortest=1)
    labels = np.ones(number, np.float32) if "scorer" in head else pairs.labels
    return PairDataset(pairs.in0, pairs.in1, labels)


def weighted(pairs: PairDataset, weights: np.ndarray) -> PairDataset:
    return PairDataset(pairs.in0, pairs.in1, pairs.labels, weights=weights.astype(np.float32))


def repeated(pairs: PairDataset, weights: np.ndarray) -> PairDataset:
    """Each pair as often as its weight says."""
    return pairs.take(np.repeat(np.arange(len(pairs)), weights))


# --- what is read ----------------------------------------------------------------------------


def test_the_key_counts_only_where_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    records = [{**RECORD, "weight": 2.5}, RECORD, {**RECORD, "weight": 3}]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    for data in (read_channel(path, WEIGHTED), from_records(records, WEIGHTED)):
        assert data.weights is not None
        assert data.weights.tolist() == [2.5, 1, 3]
        np.testing.assert_allclose(data.relative_weights.mean(), 1, rtol=1e-6)
    frame = pd.DataFrame({name: [RECORD[name]] * 2 for name in RECORD})
    assert from_records(frame, WEIGHTED).weights.tolist() == [1, 1]
    assert from_records(frame.assign(weight=[1, 4]), WEIGHTED).weights.tolist() == [1, 4]
    for plain in (read_channel(path, settings()), from_records(records, settings())):
        assert plain.weights is None
    # as any other key, whatever it holds
    assert len(from_records([{**RECORD, "weight": "heavy"}], settings())) == 1


@pytest.mark.parametrize("weight", ["2", None, True, [1], 0, -1, 1e-46, 1e39, 10**400])
def test_a_wrong_weight_is_refused(weight: Any, tmp_path: Path) -> None:
    records = [RECORD, {**RECORD, "weight": weight}]
    wanted = "weight must be a finite 32-bit number above 0, found "
    with pytest.raises(CustomerError) as caught:
        from_records(records, WEIGHTED)
    assert str(caught.value).startswith(wanted)
    assert str(caught.value).endswith("(train, instance 1, counting from 0)")
    if weight == 10**400:
        return  # of which orjson makes a float
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    with pytest.raises(CustomerError) as caught:
        read_channel(path, WEIGHTED)
    assert str(caught.value).startswith(wanted)
    assert str(caught.value).endswith("pairs.jsonl, line 2)")


def test_a_weight_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"in0": [1], "in1": [2], "label": 1, "weight": 1, "weight": 2}\n')
    with pytest.raises(CustomerError, match="weight"):
        read_channel(path, WEIGHTED)
    assert len(read_channel(path, settings())) == 1


ROWS = [
    {"user": "a", "film": "x|y", "stars": 1, "times": 2},
    {"user": "b", "film": "x", "stars": 3, "times": "0.5"},
    {"user": "a", "film": "y", "stars": 2, "times": None},
    {"user": "c", "film": "z", "stars": 5, "times": 1},
]
CHOICE = TableChoice(
    in0="user", in1={"name": "film", "kind": "tags", "explode": True}, label="stars",
    weight="times",
)  # fmt: skip


def test_a_column_of_a_table_says_weights(tmp_path: Path) -> None:
    """Exploded rows keep theirs; a row without one is left out."""
    found = table_pairs(ROWS, CHOICE)
    assert found.pairs["train"].weights.tolist() == [2, 2, 0.5, 1]
    assert found.report.left_out == 1
    again, _ = encode_table(found.inputs, ROWS[::-1], weight="times")
    assert again.weights.tolist() == [1, 0.5, 2, 2]
    assert encode_table(found.inputs, ROWS)[0].weights is None
    write_channels(tmp_path, ROWS, CHOICE)
    lines = (tmp_path / "train" / "train.jsonl").read_text().splitlines()
    assert [json.loads(line)["weight"] for line in lines] == [2, 2, 0.5, 1]


@pytest.mark.parametrize("weight", ["much", 0, -2, "inf"])
def test_a_wrong_weight_of_a_table_is_refused(weight: Any) -> None:
    rows = [*ROWS, {"user": "d", "film": "x", "stars": 1, "times": weight}]
    with pytest.raises(CustomerError, match="The weight 'times' must be a finite 32-bit number"):
        table_pairs(rows, CHOICE)


def test_weights_of_a_table_need_their_column() -> None:
    columns = {"in0": "user", "in1": "film", "label": "stars"}
    with pytest.raises(CustomerError, match=r"'pair_weights' is of pairs of ids.*, weight names"):
        Object2Vec.from_table(ROWS, **columns, pair_weights=True)
    with chosen("operators"):
        model = Object2Vec.from_table(ROWS, **columns, weight="times", epochs=1, seed=1)
    assert model.hyperparameters["pair_weights"] is True


def test_a_job_on_a_table_takes_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "table.csv"
    pd.DataFrame(ROWS).to_csv(table, index=False)
    given = ["--train", str(table), "--model-dir", str(tmp_path / "model"), "-p", "epochs=1"]
    with chosen("operators"):
        for columns in (
            ["--in0", "user", "--in1", "film", "--label", "stars", "--weight", "times"],
            [
                *("-p", "_in0=user", "-p", "_in1=film"),
                *("-p", "_label=stars", "-p", "_weight=times"),
            ],
        ):
            assert main(["train", *given, *columns]) == 0, capsys.readouterr().err
            assert Predictor.load(tmp_path / "model").hyperparameters.pair_weights
            plain = [*given, *columns[:-2], "-p", "pair_weights=true"]
            assert main(["train", *plain]) != 0
            assert "'pair_weights' is of pairs of ids" in capsys.readouterr().err


# --- what they do ----------------------------------------------------------------------------


def test_weights_go_where_their_pairs_go(rng: np.random.Generator) -> None:
    pairs = weighted(random_pairs(rng, 9), np.arange(1, 10))
    assert pairs.take(np.array([3, 0])).weights.tolist() == [4, 1]
    plain = random_pairs(rng, 2)
    joined = PairDataset.concatenate([pairs, plain])
    assert joined.weights.tolist() == [*range(1, 10), 1, 1]
    assert PairDataset.concatenate([plain, plain]).weights is None
    drawn = with_negatives(weighted(random_pairs(rng, 5), np.arange(1, 6)), 2)
    owners = np.repeat(np.flatnonzero(drawn.labels[:5] != 0), 2) + 1
    assert set(drawn.weights[5:].tolist()) <= set(owners.tolist())


@pytest.mark.parametrize("rate", [0, 2])
def test_of_an_epoch_weights_have_the_mean_1(rate: int, rng: np.random.Generator) -> None:
    pairs = weighted(random_pairs(rng, 70, vocab=1000, shortest=2), rng.uniform(0.1, 9, 70))
    batches = TrainingBatches(pairs, 16, negative_sampling_rate=rate)
    found = np.concatenate([batch.targets[-1] for batch in batches.epoch()])
    assert len(found) == batches.pairs
    np.testing.assert_allclose(found.mean(), 1, rtol=1e-5)


@every_head
@pytest.mark.usefixtures("way")
def test_a_pair_of_weight_2_counts_as_two(head: dict[str, Any], rng: np.random.Generator) -> None:
    """In each measure of a model, and in the gradient of a batch of all pairs."""
    pairs, times = of_head(head, rng, 30), rng.integers(1, 4, 30)
    given = {"enc0_network": "pooled_embedding", "epochs": 1, "learning_rate": 0.1, **head}
    given.update(optimizer="sgd", mini_batch_size=200)
    if "num_classes" in head:
        # there the output starts from zeros, not from shares smoothed by one more of each class
        given.update(comparator_list="hadamard", learning_rate=1.0)
    with_weights = settings(**given, pair_weights=True)
    one = train(with_weights, weighted(pairs, times), weighted(pairs, times))
    other = train(settings(**given), repeated(pairs, times), repeated(pairs, times))
    predictor = one.predictor
    judged = predictor.loss_sums(weighted(pairs, times)) / 30
    np.testing.assert_allclose(
        judged, predictor.loss_sums(repeated(pairs, times)) / times.sum(), rtol=1e-5
    )
    validated = [value for name, value in one.history[0].items() if "validation" in name]
    assert any(value == pytest.approx(judged[0], rel=1e-6) for value in validated)
    if "scorer" in head:
        return  # a pair that is given twice is an answer twice
    for name, values in arrays(other.predictor.network).items():
        found = arrays(predictor.network)[name]
        np.testing.assert_allclose(found, values, rtol=1e-4, atol=1e-5, err_msg=name)
    for name, value in other.history[0].items():
        assert one.history[0][name] == pytest.approx(value, rel=1e-4), name


@pytest.mark.parametrize("correction", [0.0, 0.5])
def test_in_batch_losses_count_by_weights(correction: float, rng: np.random.Generator) -> None:
    """Both sums are linear in the weights, and with ones they are those without."""
    given = settings(
        enc0_network="pooled_embedding", popularity_correction=correction, pair_weights=True,
        **HEADS[2],
    )  # fmt: skip
    loss = random_network(given, rng).loss
    pairs = of_head(HEADS[2], rng, 6)
    targets = PairObjects(pairs, correction > 0).of(np.arange(6), np.arange(6))
    vectors = [mx.nd.array(rng.normal(size=(6, 8))) for _ in range(2)]

    def sums(*weights: np.ndarray) -> np.ndarray:
        found = loss(*vectors, *map(mx.nd.array, (*targets, *weights)))
        return np.concatenate([values.asnumpy() for values in found])

    np.testing.assert_allclose(sums(np.ones(6)), sums(), rtol=1e-5)
    of_each = np.array([sums(row) for row in np.eye(6)])
    weights = rng.uniform(0.5, 2, 6)
    np.testing.assert_allclose(sums(weights), weights @ of_each, rtol=1e-4)


@pytest.mark.usefixtures("way")
def test_equal_weights_change_nothing(rng: np.random.Generator) -> None:
    pairs = random_pairs(rng, 40)
    given = {"enc0_network": "pooled_embedding", "epochs": 2, "mini_batch_size": 8}
    given["negative_sampling_rate"] = 1
    plain = train(settings(**given), pairs, pairs)
    same = train(settings(**given, pair_weights=True), weighted(pairs, np.full(40, 7.0)), pairs)
    for name, values in arrays(plain.predictor.network).items():
        found = arrays(same.predictor.network)[name]
        np.testing.assert_allclose(found, values, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("head", HEADS[:2], ids=lambda head: head["output_layer"])
@pytest.mark.parametrize("rate", [0, 2])
def test_training_starts_from_weighted_shares(
    head: dict[str, Any], rate: int, rng: np.random.Generator
) -> None:
    pairs, times = of_head(head, rng, 30), rng.integers(1, 4, 30)
    positive = pairs.labels != 0
    given, many = settings(**head), repeated(pairs, times)
    found = baseline_of(pairs.labels, given, rate * int(positive.sum()), weights=times)
    expected = baseline_of(many.labels, given, rate * int(times[positive].sum()))
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-6)
    if not given.is_regression:
        return  # smoothed by one more of each class, of 30 pairs and of all
    np.testing.assert_allclose(found.output, expected.output, rtol=1e-5)
