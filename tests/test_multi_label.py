# SPDX-License-Identifier: Apache-2.0
"""Several classes a pair, and weights of classes: read, trained on, judged, answered."""

from __future__ import annotations

import io
import json
import re
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
from object2vec.data.dataset import from_records, read_channel
from object2vec.errors import CustomerError
from object2vec.evaluation.baseline import baseline_of
from object2vec.evaluation.classification import ClassCounts
from object2vec.hyperparameters.checked import parse
from object2vec.inference.predictor import Predictor
from object2vec.model.manifest import format_version
from object2vec.model.model_directory import load_model, save_model
from object2vec.serving.replies import reply_to
from object2vec.serving.settings import Settings
from object2vec.training.class_weights import with_class_weights
from object2vec.training.loop import train

SMALL: dict[str, Any] = {
    "enc0_max_seq_len": 6,
    "enc0_vocab_size": 20,
    "enc0_network": "pooled_embedding",
    "enc_dim": 12,
    "mlp_layers": 0,
    "comparator_list": "hadamard,concat",
    "output_layer": "multi_label",
    "num_classes": 4,
    "learning_rate": 0.02,
    "epochs": 3,
    "seed": 1,
}
GIVEN = settings(output_layer="multi_label", num_classes=4, enc0_network="pooled_embedding")


def records(count: int, seed: int) -> list[dict[str, Any]]:
    """A pair has class c of 0 to 2 if in0 holds a token of its five, and 3 if in1 begins low."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        in0 = rng.integers(20, size=rng.integers(1, 5)).tolist()
        in1 = rng.integers(20, size=2).tolist()
        label = sorted({token // 5 for token in in0 if token < 15}) + [3] * (in1[0] < 5)
        made.append({"in0": in0, "in1": in1, "label": label})
    return made


def has_class(given: list[dict[str, Any]]) -> np.ndarray:
    return np.array([[number in row["label"] for number in range(4)] for row in given])


TRAIN, VALIDATION = records(600, 1), records(150, 2)


@pytest.fixture(scope="module")
def model() -> Object2Vec:
    return Object2Vec(**SMALL).fit(TRAIN, VALIDATION, TRAIN[:50])


@pytest.fixture(params=["compiled", "operators"])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    with chosen(request.param):
        yield request.param


# --- data -----------------------------------------------------------------------------------


def test_labels_are_lists_of_classes(tmp_path: Path) -> None:
    rows = [
        {"in0": [1], "in1": [2], "label": [0, 3]},
        {"in0": [3], "in1": [], "label": []},
        {"in0": [4, 5], "in1": [6], "label": [2, 2]},
    ]
    expected = np.array([[1, 0, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]], np.float32)
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    frame = pd.DataFrame(rows)
    as_arrays = [{**row, "label": np.array(row["label"], np.int64)} for row in rows]
    as_tuples = [{**row, "label": tuple(row["label"])} for row in rows]
    read = [read_channel(path, GIVEN)]
    read += [from_records(given, GIVEN) for given in (rows, frame, as_arrays, as_tuples)]
    for pairs in read:
        assert pairs.labels.dtype == np.float32
        np.testing.assert_array_equal(pairs.labels, expected)
    np.testing.assert_array_equal(read[0].take(np.array([2, 0])).labels, expected[[2, 0]])


NO_LIST = "label must be a list of classes such as [0, 1] with output_layer=multi_label, found"
NO_CLASS = "label must hold integer classes from 0 to 3 (num_classes=4), found"
WRONG = [
    (1, f"{NO_LIST} 1: write [1]"),
    ("a", f'{NO_LIST} "a"'),
    ([4], f"{NO_CLASS} 4 at position 0"),
    ([0, -1], f"{NO_CLASS} -1 at position 1"),
    ([True], f"{NO_CLASS} true at position 0"),
    ([1.0], f"{NO_CLASS} 1.0 at position 0"),
    ([[0]], f"{NO_CLASS} [0] at position 0"),
]


@pytest.mark.parametrize(("label", "sentence"), WRONG, ids=[str(label) for label, _ in WRONG])
def test_other_labels_are_refused_in_a_sentence(label: Any, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    rows = [{"in0": [1], "in1": [2], "label": [0]}, {"in0": [1], "in1": [2], "label": label}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(CustomerError, match=re.escape(f"{sentence}") + r".* \(.*, line 2\)$"):
        read_channel(path, GIVEN)
    with pytest.raises(CustomerError, match=re.escape(sentence)):
        from_records(rows, GIVEN)


@pytest.mark.parametrize("output_layer", ["softmax", "mean_squared_error"])
def test_lists_are_of_multi_label_alone(output_layer: str) -> None:
    rows = [{"in0": [1], "in1": [2], "label": [0, 1]}]
    found = r"found \[0,1\]; lists of classes are of output_layer=multi_label \(train, instance 0"
    with pytest.raises(CustomerError, match=found):
        from_records(rows, settings(output_layer=output_layer))


@pytest.mark.parametrize("as_matrix", [False, True], ids=["lists", "indicators"])
def test_labels_beside_the_pairs(model: Object2Vec, as_matrix: bool) -> None:
    pairs = [(row["in0"], row["in1"]) for row in TRAIN]
    labels = has_class(TRAIN).astype(int) if as_matrix else [row["label"] for row in TRAIN]
    found = Object2Vec(**SMALL).fit(pairs, labels)
    expected = Object2Vec(**SMALL).fit(TRAIN)
    np.testing.assert_array_equal(found.predict(VALIDATION), expected.predict(VALIDATION))


# --- hyperparameters ------------------------------------------------------------------------

SIZES = {"enc0_max_seq_len": 5, "enc0_vocab_size": 9}
MANY = {"output_layer": "multi_label", "num_classes": 3}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {**MANY, "scorer": "dot"},
            "'scorer' can be 'mlp' alone with output_layer 'multi_label', which has a score for "
            "each class, but 'dot' was given.",
        ),
        (
            {**MANY, "negative_sampling_rate": "2"},
            "'negative_sampling_rate' must be 0 with output_layer 'multi_label', whose labels say "
            "of each class whether a pair has it, but 2 was given.",
        ),
        (
            {**MANY, "early_stopping_metric": "accuracy"},
            "'early_stopping_metric' can be 'loss', 'cross_entropy', 'micro_f1' or 'macro_f1' with "
            "output_layer 'multi_label', but 'accuracy' was given.",
        ),
        (
            {**MANY, "class_weights": "1, 2"},
            "'class_weights' must hold a number for each class, but it holds 2 and 'num_classes' "
            "is 3.",
        ),
        (
            {"class_weights": "balance"},
            "'class_weights' should be 'balanced' or a list of numbers, one for each class, but "
            "'balance' was given (did you mean 'balanced'?).",
        ),
        (
            {"class_weights": [1, "x"]},
            "'class_weights' should be 'balanced' or a list of numbers, one for each class, but "
            "[1, 'x'] was given.",
        ),
        (
            {"class_weights": "1,0"},
            "'class_weights' should hold numbers, each of which should be within range (1e-06, "
            "1000000), but '0' was given.",
        ),
        (
            {"class_weights": [1, float("inf")]},
            "'class_weights' should hold numbers, each of which should be a finite number within "
            "range (1e-06, 1000000), but inf was given.",
        ),
    ],
    ids=["scorer", "negatives", "metric", "count", "word", "no number", "zero", "infinite"],
)
def test_what_does_not_go_together(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CustomerError) as caught:
        parse({**SIZES, **given})
    assert str(caught.value) == sentence


def test_class_weights_are_read_in_every_form() -> None:
    for raw in ("0.5,2", "[0.5, 2]", [0.5, 2], (0.5, "2"), np.array([0.5, 2])):
        values, _ = parse({**SIZES, "class_weights": raw})
        assert values.class_weights == (0.5, 2.0)
        assert parse(values.to_dict())[0] == values
    assert parse({**SIZES, "class_weights": "balanced"})[0].class_weights == "balanced"
    assert (
        parse(SIZES)[0].class_weights is None and "class_weights" not in parse(SIZES)[0].to_dict()
    )
    values, lines = parse({**SIZES, "output_layer": "mean_squared_error", "class_weights": "x"})
    assert values.class_weights is None
    assert "Ignoring the hyperparameter 'class_weights'" in lines[0].text
    assert [format_version(parse({**SIZES, **given})[0]) for given in ({}, MANY)] == [1, 2]
    assert format_version(parse({**SIZES, "class_weights": [1, 2]})[0]) == 2


# --- training and judging -------------------------------------------------------------------


def test_it_learns_and_reports_what_evaluation_measures(model: Object2Vec) -> None:
    chances, has = model.predict(VALIDATION), has_class(VALIDATION)
    assert chances.shape == has.shape and (chances.sum(axis=1) > 1.05).any()
    counts = ClassCounts.of(has, chances > 0.5)
    last = model.history[model.best_epoch]
    assert list(last) == [
        *("epoch", "train_cross_entropy", "train_micro_f1"),
        *("validation_cross_entropy", "validation_micro_f1"),
    ]
    assert last["validation_micro_f1"] == pytest.approx(counts.micro_f1)
    entropies = -np.where(has, np.log(chances), np.log(1 - chances))
    assert last["validation_cross_entropy"] == pytest.approx(entropies.mean(), rel=1e-4)
    assert model.evaluate(VALIDATION) == {
        "cross_entropy": pytest.approx(entropies.mean(), rel=1e-4),
        "micro_f1": pytest.approx(counts.micro_f1),
    }
    assert counts.micro_f1 > 0.8


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "class weights"])
@pytest.mark.parametrize("output_layer", ["softmax", "multi_label"])
def test_what_training_reports_is_what_validation_would(
    output_layer: str, weighted: bool, rng: np.random.Generator
) -> None:
    """Of a step too small to change anything, in batches of several sizes; pairs have weights."""
    pairs = random_pairs(rng, 23, classes=3, many_labels=output_layer == "multi_label")
    weights = rng.uniform(0.5, 2, 23).astype(np.float32)
    pairs = PairDataset(pairs.in0, pairs.in1, pairs.labels, weights=weights)
    given = settings(
        output_layer=output_layer, num_classes=3, mini_batch_size=5, epochs=1, optimizer="sgd",
        learning_rate=1e-6, class_weights=(0.5, 2.0, 3.0) if weighted else None, pair_weights=True,
    )  # fmt: skip
    (epoch,) = train(given, pairs, pairs).history
    for name in ("cross_entropy", "micro_f1" if output_layer == "multi_label" else "accuracy"):
        assert epoch[f"train_{name}"] == pytest.approx(epoch[f"validation_{name}"], rel=1e-3)


def test_two_devices_train_to_the_parameters_of_one() -> None:
    rng = np.random.default_rng(1)
    pairs = random_pairs(rng, 21, classes=4, many_labels=True)
    given = settings(
        output_layer="multi_label", num_classes=4, class_weights="balanced", epochs=2,
        mini_batch_size=8, learning_rate=0.01, enc0_network="pooled_embedding", optimizer="sgd",
    )  # fmt: skip
    one, two = (
        train(given, pairs, contexts=contexts) for contexts in ([mx.cpu(0)], [mx.cpu(0), mx.cpu(1)])
    )
    assert one.history == [
        {name: pytest.approx(value, rel=1e-4) for name, value in epoch.items()}
        for epoch in two.history
    ]
    for name, value in arrays(one.predictor.network).items():
        found = arrays(two.predictor.network)[name]
        np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("metric", ["micro_f1", "macro_f1"])
def test_early_stopping_goes_by_f1(metric: str) -> None:
    given = {**SMALL, "early_stopping_metric": metric, "early_stopping_tolerance": 1e-6}
    found = Object2Vec(**given).fit(TRAIN[:200], VALIDATION)
    values = [epoch[f"validation_{metric}"] for epoch in found.history]
    assert found.best_epoch == int(np.argmax(values))
    counts = ClassCounts.of(has_class(VALIDATION), found.predict(VALIDATION) > 0.5)
    assert max(values) == pytest.approx(getattr(counts, metric))
    nothing = [{**row, "label": []} for row in VALIDATION]
    with pytest.raises(CustomerError, match="pairs that have classes, but none of the 150 has one"):
        Object2Vec(**given).fit(TRAIN[:200], nothing)


def test_f1_counts_records_by_their_weights(rng: np.random.Generator) -> None:
    has, predicted = rng.integers(2, size=(2, 30, 4)).astype(bool)
    times = rng.integers(1, 4, 30)
    found = ClassCounts.of(has, predicted, weights=times.astype(np.float32))
    expected = ClassCounts.of(np.repeat(has, times, axis=0), np.repeat(predicted, times, axis=0))
    assert found.micro_f1 == pytest.approx(expected.micro_f1)
    assert found.macro_f1 == pytest.approx(expected.macro_f1)


@pytest.mark.parametrize("output_layer", ["softmax", "multi_label"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "class weights"])
def test_no_constant_is_better_than_the_baseline(
    output_layer: str, weighted: bool, rng: np.random.Generator
) -> None:
    """Of many pairs, where the start is hardly smoothed."""
    many = output_layer == "multi_label"
    labels = rng.integers(3, size=5000) * rng.integers(2, size=5000)
    labels = (rng.random((5000, 3)) < [0.1, 0.5, 0.7]) if many else labels
    pairs = PairDataset(*2 * [random_pairs(rng, 5000).in0], labels.astype(np.float32))
    factors = (0.5, 2.0, 3.0) if weighted else None
    given = settings(
        output_layer=output_layer, num_classes=3, class_weights=factors, mlp_layers=0,
        comparator_list="concat", enc0_network="pooled_embedding",
    )  # fmt: skip
    network = random_network(given, rng)

    def loss_of(output: np.ndarray) -> float:
        network.params["output_layer_weight"].set_data(mx.nd.zeros((3, 16)))
        network.params["output_layer_bias"].set_data(mx.nd.array(output))
        return float(Predictor(network).loss_sums(pairs)[0] / len(pairs))

    found = baseline_of(pairs.labels, given)
    assert found.loss == pytest.approx(loss_of(found.output), rel=1e-4)
    for place in range(3):
        for step in (0.05, -0.05):
            moved = found.output + step * (np.arange(3) == place)
            assert loss_of(moved) > found.loss
    network.start_from(found.output, 0.0)
    np.testing.assert_array_equal(
        network.params["output_layer_bias"].data().asnumpy(), found.output
    )


# --- class weights --------------------------------------------------------------------------


def test_balanced_weights_follow_from_the_training_labels(rng: np.random.Generator) -> None:
    compute = pytest.importorskip("sklearn.utils.class_weight").compute_class_weight
    pairs = random_pairs(rng, 60, classes=3)
    of_three = settings(num_classes=4, class_weights="balanced")
    expected = compute("balanced", classes=np.arange(3), y=pairs.labels)
    assert with_class_weights(of_three, pairs).class_weights == pytest.approx((*expected, 1.0))
    has = np.array([[1, 0, 1, 0], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 0]], np.float32)
    four = PairDataset(*(lists.take(slice(4)) for lists in (pairs.in0, pairs.in1)), has)
    many = settings(num_classes=4, class_weights="balanced", output_layer="multi_label")
    assert with_class_weights(many, four).class_weights == (3.0, 1.0, 1.0, 1.0)
    times = np.array([1, 2, 1, 1], np.float32)
    four = PairDataset(four.in0, four.in1, has, weights=times)
    assert with_class_weights(many, four).class_weights == pytest.approx((4.0, 1.0, 1.0, 2 / 3))
    drawn = settings(class_weights="balanced", negative_sampling_rate=3)
    ones = PairDataset(four.in0, four.in1, np.ones(4, np.float32))
    assert with_class_weights(drawn, ones).class_weights == pytest.approx((2 / 3, 2.0))


@pytest.mark.parametrize("output_layer", ["softmax", "multi_label"])
def test_a_rare_class_is_found_more_often(output_layer: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    rows = [{"in0": [int(token)], "in1": [0]} for token in rng.integers(20, size=900)]
    # a fifth of a token's pairs have the class
    rare = [row["in0"][0] >= 15 and rng.random() < 0.2 for row in rows]
    many = output_layer == "multi_label"
    rows = [{**row, "label": [1] * one if many else int(one)} for row, one in zip(rows, rare)]
    given = {**SMALL, "output_layer": output_layer, "num_classes": 2}
    asked = [([token], [0]) for token in range(20)]
    plain = Object2Vec(**given).fit(rows).predict(asked)[:, 1]
    model = Object2Vec(**given, class_weights="balanced").fit(rows, rows)
    weighted = model.predict(asked)[:, 1]
    assert (plain < 0.5).all()
    assert (weighted[15:] > 0.5).all() and (weighted[:15] < 0.5).all()
    # the loss means the same of a model that was stored
    model.save(tmp_path / "model")
    stored = Object2Vec.load(tmp_path / "model")
    loss = model.history[model.best_epoch]["validation_cross_entropy"]
    assert stored.evaluate(rows)["cross_entropy"] == pytest.approx(loss)
    assert model.get_params()["class_weights"] == "balanced"
    assert len(stored.get_params()["class_weights"]) == 2


def test_a_stored_model_has_numbers_for_weights(rng: np.random.Generator, tmp_path: Path) -> None:
    save_model(tmp_path / "model", random_network(settings(class_weights="balanced"), rng))
    with pytest.raises(CustomerError, match=r"gives 'balanced' for 'class_weights', but a model"):
        load_model(tmp_path / "model")


# --- answers --------------------------------------------------------------------------------


def test_scores_are_those_of_predict(model: Object2Vec) -> None:
    in0, in1 = [[1], [6, 7]], [[2], [19], [8, 1]]
    for number in range(4):
        found = model.scores(in0, in1, class_=number)
        expected = [model.predict([(first, other) for other in in1])[:, number] for first in in0]
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(CustomerError, match="class_ must be the one of the 4 classes"):
        model.scores(in0, in1)
    two = Object2Vec(**{**SMALL, "num_classes": 2, "epochs": 1}).fit(
        [{"in0": [1], "in1": [2], "label": [1]}]
    )
    with pytest.raises(CustomerError, match="class_ must be the one of the 2 classes"):
        two.scores(in0, in1)


def test_answers_of_a_server_and_of_the_command(
    model: Object2Vec, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    model.save(tmp_path / "model")
    asked = [{"in0": row["in0"], "in1": row["in1"]} for row in VALIDATION[:5]]
    expected = model.predict(asked)
    lines = "".join(json.dumps(row) + "\n" for row in asked)
    predictor = Predictor.load(tmp_path / "model")
    bodies = {
        "application/json": json.dumps({"instances": asked}),
        "application/jsonlines": lines,
    }
    found = []
    for media_type, body in bodies.items():
        reply = reply_to(predictor, body, {"Content-Type": media_type}, Settings())
        assert reply.status == 200
        text = reply.body.decode()
        rows = (
            json.loads(text)["predictions"]
            if media_type == "application/json"
            else [json.loads(line) for line in text.splitlines()]
        )
        found.append([row["scores"] for row in rows])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    assert main(["predict", "--model-dir", str(tmp_path / "model")]) == 0
    found.append([json.loads(line)["scores"] for line in capsys.readouterr().out.splitlines()])
    for scores in found:
        np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_a_job_logs_lines_for_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, rows in (("train", TRAIN), ("validation", VALIDATION), ("test", VALIDATION)):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {name: value for name, value in SMALL.items() if name != "seed"}
    options = [f"-p{name}={value}" for name, value in {**given, "_seed": 1, "epochs": 1}.items()]
    files = [f"--{name}={tmp_path / name}.jsonl" for name in ("train", "validation", "test")]
    to = [f"--model-dir={tmp_path / 'model'}", "--log=sagemaker"]
    assert main(["train", *files, *to, *options]) == 0
    log = capsys.readouterr().out
    for split in ("train", "validation"):
        line = rf"#quality_metric: host=\S+, epoch=0, {split} micro_f1 <score>=0\.\d+$"
        assert re.search(line, log, re.MULTILINE), split
    assert re.search(r"#test_score \(\S+\) : \('micro_f1', 0\.\d+\)$", log, re.MULTILINE)
    assert "perplexity" not in log and "accuracy" not in re.sub(r"early_stopping.*", "", log)
    assert main(["validate", *files, *options]) == 0
    told = capsys.readouterr().out
    counts = has_class(TRAIN).sum(axis=0)
    without = sum(not row["label"] for row in TRAIN)
    labels = ", ".join(f"{number}: {count:,}" for number, count in enumerate(counts))
    assert f"labels {labels}; {without} without any" in told
