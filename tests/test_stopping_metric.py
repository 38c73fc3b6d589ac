# SPDX-License-Identifier: Apache-2.0
"""Early stopping by a measure of the validation pairs in the place of the loss."""

from __future__ import annotations

import json
import logging
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, mean_absolute_error, roc_auc_score
from small_jobs import random_network, random_pairs, settings, topic_pairs

from object2vec import Callback, Object2Vec
from object2vec.cli import main
from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.errors import CustomerError
from object2vec.evaluation import retrieval
from object2vec.hyperparameters.checked import parse
from object2vec.hyperparameters.table import BY_NAME
from object2vec.inference.predictor import Predictor
from object2vec.training import full_ranking
from object2vec.training.early_stopping import EarlyStopping
from object2vec.training.full_ranking import FullRanking
from object2vec.training.loop import train

SMALL: dict[str, Any] = {"enc0_network": "pooled_embedding", "learning_rate": 0.02}


def test_a_measure_that_is_better_when_it_is_higher(caplog: pytest.LogCaptureFixture) -> None:
    rule = EarlyStopping(1, 0.25, "mrr", higher_is_better=True)
    assert rule.best_value == -math.inf
    with caplog.at_level(logging.INFO, logger="object2vec"):
        best = [rule.add(loss, value) for loss, value in [(5, 0.25), (4, 0.75), (3, 1.0), (9, 1.5)]]
    assert best == [True] * 4 and not rule.should_stop
    assert (rule.best_epoch, rule.best_value) == (3, 1.5)
    assert (rule.best_loss, rule.lowest_loss) == (9, 3)
    assert caplog.messages[4:9] == [
        "patience mrr: [0.75]",
        "max patience mrr: 0.75",
        "current mrr: 1.0",
        "absolute mrr difference: 0.25",
        "Bad epoch: mrr has not improved (enough). Bad count:1",
    ]
    assert [rule.add(1, 1.5), rule.should_stop, rule.add(1, 1.0), rule.should_stop] == [
        False,
        False,
        False,
        True,
    ]


def slow_ranks(
    predictor: Predictor, train_pairs: PairDataset, validation: PairDataset
) -> list[float]:
    """The ranks of validation's positive pairs, by Python's sets and scores of pairs."""

    def rows(pairs: PairDataset) -> list[tuple[tuple[int, ...], tuple[int, ...], float]]:
        return [
            (tuple(pairs.in0[at].tolist()), tuple(pairs.in1[at].tolist()), label)
            for at, label in enumerate(pairs.labels)
        ]

    seen = {(a, b) for a, b, label in rows(train_pairs) if label}
    wanted = {(a, b) for a, b, label in rows(validation) if label}
    candidates = {b for _, b, _ in [*rows(train_pairs), *rows(validation)]}
    found = []
    for query in {a for a, _ in wanted}:
        own = sorted(b for b in candidates if (query, b) in wanted or (query, b) not in seen)
        scores = predictor.scores(
            TokenLists.from_lists([query] * len(own)), TokenLists.from_lists(own)
        )
        positive = scores if scores.ndim == 1 else 1 - scores[:, 0].astype(np.float64)
        relevant = np.array([(query, b) in wanted for b in own])
        for rank, at in enumerate(np.argsort(-positive), 1):
            if relevant[at]:
                found.append(float(rank))
    return sorted(found)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_ranking_is_that_of_all_pairs(classes: int, rng: np.random.Generator) -> None:
    predictor = Predictor(random_network(settings(num_classes=classes, **SMALL), rng))
    # single tokens, no two of which have one score; pairs of train come again in validation
    pairs = [random_pairs(rng, number, 1, 15, classes, shortest=1) for number in (100, 60)]
    ranking = FullRanking(*pairs, seed=0)
    found = ranking.ranks(predictor)
    assert sorted(found.values.tolist()) == slow_ranks(predictor, *pairs)


def test_the_ranking_looks_at_blocks(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(random_network(settings(**SMALL), rng))
    pairs = [random_pairs(rng, number, 2, 9) for number in (150, 90)]
    ranking = FullRanking(*pairs, seed=0)
    whole = ranking.ranks(predictor)
    monkeypatch.setattr(retrieval, "_ELEMENTS", 100)
    assert np.array_equal(ranking.ranks(predictor).values, whole.values)
    assert np.array_equal(ranking.ranks(predictor).offsets, whole.offsets)


def test_many_objects_are_drawn_by_the_seed(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(random_network(settings(**SMALL), rng))
    pairs = [random_pairs(rng, number, 6, 23, shortest=3) for number in (200, 80)]
    assert "distinct objects of in1 of train" in FullRanking(*pairs, seed=0).line()
    monkeypatch.setattr(full_ranking, "MOST_QUERIES", 10)
    monkeypatch.setattr(full_ranking, "MOST_CANDIDATES", 30)
    one, again, other = (FullRanking(*pairs, seed=seed) for seed in (1, 1, 2))
    assert "10 objects of in0 drawn out of" in one.line()
    assert "30 objects of in1 drawn out of" in one.line()
    first, second, third = (ranking.ranks(predictor) for ranking in (one, again, other))
    assert np.array_equal(first.values, second.values)
    assert len(first) == 10 and first.values.max() <= 30
    assert not np.array_equal(first.values, third.values)


def of_classes(count: int, seed: int) -> PairDataset:
    rng = np.random.default_rng(seed)
    pairs = topic_pairs(rng, count, False)
    flipped = rng.random(count) < 0.2
    return PairDataset(pairs.in0, pairs.in1, np.where(flipped, 1 - pairs.labels, pairs.labels))


@pytest.mark.parametrize(
    ("metric", "higher"),
    [
        ("cross_entropy", False),
        ("accuracy", True),
        ("auc", True),
        ("macro_f1", True),
        ("hit_rate@10", True),
        ("ndcg@10", True),
        ("mrr", True),
    ],
)
def test_the_best_epoch_follows_the_metric(
    metric: str, higher: bool, caplog: pytest.LogCaptureFixture
) -> None:
    given, unseen = of_classes(300, 1), of_classes(90, 2)
    hyperparameters = settings(
        **SMALL, early_stopping_metric=metric, epochs=9, early_stopping_patience=5
    )
    with caplog.at_level(logging.INFO, logger="object2vec"):
        result = train(hyperparameters, given, unseen)
    values = [record[f"validation_{metric}"] for record in result.history]
    assert len(set(values)) > 1
    best = max(values) if higher else min(values)
    assert result.best_epoch == values.index(best)
    losses = [record["validation_cross_entropy"] for record in result.history]
    assert result.best_loss == losses[result.best_epoch]
    assert f"It has the best validation {metric}: {best:.6g}" in caplog.messages
    if metric not in ("cross_entropy", "accuracy"):
        lines = [line for line in caplog.messages if f" validation {metric}: " in line]
        told = [f"Epoch {at} validation {metric}: {value:.6g}" for at, value in enumerate(values)]
        assert lines[: len(told)] == told
    # the kept model is the best epoch's
    scores = result.predictor.scores(unseen.in0, unseen.in1)
    expected = {
        "auc": lambda: roc_auc_score(unseen.labels, scores[:, 1]),
        "macro_f1": lambda: f1_score(unseen.labels, scores.argmax(1), average="macro"),
        "accuracy": lambda: np.mean(unseen.labels == scores.argmax(1)),
    }
    if metric in expected:
        assert best == pytest.approx(expected[metric](), abs=1e-6)
    if metric == "mrr":
        ranks = FullRanking(given, unseen, 1).ranks(result.predictor)
        assert best == pytest.approx(np.mean(1 / ranks.values[ranks.offsets[:-1]]))


@pytest.mark.slow
@pytest.mark.both_ways
@pytest.mark.parametrize("metric", ["auc", "macro_f1", "ndcg@10"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("scale", [1.0, 1e-37, 1e37])
def test_a_pair_of_weight_2_counts_as_two(
    metric: str, classes: int, scale: float, rng: np.random.Generator
) -> None:
    given, unseen = (random_pairs(rng, number, 2, 9, classes) for number in (100, 40))
    times = rng.integers(1, 4, 40)
    if metric == "macro_f1":
        # each class's share changes, so that the measure does even where all get one class
        times = np.where(unseen.labels == 0, 1, 3)
    weights = (times * scale).astype(np.float32)
    weighted = PairDataset(unseen.in0, unseen.in1, unseen.labels, weights=weights)
    found = [
        train(
            settings(**SMALL, num_classes=classes, early_stopping_metric=metric, epochs=1),
            given,
            validation,
        ).history[0][f"validation_{metric}"]
        for validation in (weighted, unseen.take(np.repeat(np.arange(40), times)), unseen)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert (found[0] == found[2]) == (metric == "ndcg@10")


def test_several_classes(rng: np.random.Generator) -> None:
    pairs = [random_pairs(rng, number, 2, 9, 3) for number in (100, 60)]
    for metric in ("auc", "macro_f1", "ndcg@10"):
        result = train(
            settings(**SMALL, num_classes=3, early_stopping_metric=metric, epochs=2), *pairs
        )
        best = result.history[result.best_epoch][f"validation_{metric}"]
        scores = result.predictor.scores(pairs[1].in0, pairs[1].in1)
        if metric == "auc":
            normal = scores.astype(np.float64) / scores.sum(1, dtype=np.float64, keepdims=True)
            expected = roc_auc_score(pairs[1].labels, normal, multi_class="ovr")
            assert best == pytest.approx(expected, abs=1e-6)
        if metric == "macro_f1":
            expected = f1_score(pairs[1].labels, scores.argmax(1), average="macro")
            assert best == pytest.approx(expected)


def test_numbers(rng: np.random.Generator) -> None:
    given, unseen = (topic_pairs(rng, number, True) for number in (200, 60))
    hyperparameters = settings(
        **SMALL,
        output_layer="mean_squared_error",
        early_stopping_metric="mean_absolute_error",
        epochs=4,
    )
    result = train(hyperparameters, given, unseen)
    values = [record["validation_mean_absolute_error"] for record in result.history]
    assert result.best_epoch == values.index(min(values))
    found = result.predictor.scores(unseen.in0, unseen.in1)
    assert min(values) == pytest.approx(mean_absolute_error(unseen.labels, found), rel=1e-5)


def test_a_softmax_over_the_pairs_of_a_batch() -> None:
    given, unseen = (
        PairDataset(pairs.in0, pairs.in1, np.ones(len(pairs), np.float32))
        for pairs in (of_classes(300, 1), of_classes(60, 2))
    )
    hyperparameters = settings(
        enc0_network="pooled_embedding",
        scorer="cosine",
        output_layer="in_batch_softmax",
        early_stopping_metric="mrr",
        epochs=4,
        early_stopping_patience=5,
    )
    result = train(hyperparameters, given, unseen)
    values = [record["validation_mrr"] for record in result.history]
    assert result.best_epoch == values.index(max(values))
    ranks = slow_ranks(result.predictor, given, unseen)
    found = FullRanking(given, unseen, 1).ranks(result.predictor)
    assert sorted(found.values.tolist()) == ranks


def test_the_metric_changes_nothing_of_the_training() -> None:
    given, unseen = of_classes(200, 1), of_classes(60, 2)
    plain, ranked = (
        train(settings(**SMALL, epochs=3, early_stopping_metric=name), given, unseen).history
        for name in ("loss", "ndcg@10")
    )
    for record in ranked:
        assert record.pop("validation_ndcg@10") > 0
    assert ranked == plain


def test_training_stops_by_the_metric(caplog: pytest.LogCaptureFixture) -> None:
    """A metric that is at its best at once, while the loss goes on falling."""
    rng = np.random.default_rng(4)
    given, unseen = topic_pairs(rng, 400, False), topic_pairs(rng, 100, False)
    hyperparameters = settings(
        **SMALL,
        early_stopping_metric="hit_rate@10",
        early_stopping_patience=1,
        early_stopping_tolerance=0.1,
        epochs=30,
    )
    with caplog.at_level(logging.INFO, logger="object2vec"):
        result = train(hyperparameters, given, unseen)
    assert result.stopped_early and len(result.history) < 30
    assert "Bad epoch: hit_rate@10 has not improved (enough). Bad count:2" in caplog.messages
    losses = [record["validation_cross_entropy"] for record in result.history]
    assert losses == sorted(losses, reverse=True)


class Watcher(Callback):
    """Ends the training once the metric is good."""

    def __init__(self) -> None:
        self.told: list[float] = []

    def on_epoch_end(self, metrics: dict[str, float]) -> bool:
        self.told.append(metrics["validation_auc"])
        return len(self.told) == 2


def records(count: int, seed: int) -> list[dict[str, Any]]:
    pairs = of_classes(count, seed)
    return [
        {"in0": pairs.in0[at].tolist(), "in1": pairs.in1[at].tolist(), "label": int(label)}
        for at, label in enumerate(pairs.labels)
    ]


ESTIMATOR: dict[str, Any] = {
    "enc0_max_seq_len": 1,
    "enc0_vocab_size": 20,
    "enc0_network": "pooled_embedding",
    "enc_dim": 8,
    "mlp_dim": 8,
    "learning_rate": 0.02,
    "epochs": 5,
    "seed": 1,
}


def test_an_estimator_a_callback_and_what_is_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watcher = Watcher()
    model = Object2Vec(**ESTIMATOR, early_stopping_metric="auc")
    model.fit(records(200, 1), records(60, 2), callbacks=[watcher], verbose=1)
    values = [record["validation_auc"] for record in model.history]
    assert values == watcher.told and len(values) == 2
    assert model.best_epoch == values.index(max(values))
    assert f"auc {values[0]:#.4g}" in capsys.readouterr().out
    model.save(tmp_path)
    again = Object2Vec.load(tmp_path)
    assert again.history == model.history and again.best_epoch == model.best_epoch
    assert again.get_params()["early_stopping_metric"] == "auc"
    refitted = Object2Vec(**ESTIMATOR, early_stopping_metric="auc")
    refitted.fit(records(200, 1), records(60, 2), refit=True)
    assert len(refitted.refit_history) == (refitted.best_epoch or 0) + 1
    assert "validation_auc" not in refitted.refit_history[0]


def job(folder: Path, channels: dict[str, list[dict[str, Any]]], **given: Any) -> list[str]:
    """The options of a job on files."""
    values = {name: value for name, value in ESTIMATOR.items() if name != "seed"}
    (folder / "hyperparameters.json").write_text(json.dumps({**values, "_seed": 1, **given}))
    options = ["--hyperparameters", f"{folder}/hyperparameters.json"]
    for name, found in channels.items():
        path = folder / f"{name}.jsonl"
        path.write_text("".join(f"{json.dumps(record)}\n" for record in found))
        options += [f"--{name}", str(path)]
    return options


def test_a_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = job(
        tmp_path,
        {"train": records(200, 1), "validation": records(60, 2)},
        early_stopping_metric="ndcg@10",
    )
    options += ["--model-dir", str(tmp_path / "model"), "--log", "sagemaker"]
    assert main(["train", *options]) == 0
    log = capsys.readouterr().out
    model = Object2Vec.load(tmp_path / "model")
    values = [record["validation_ndcg@10"] for record in model.history]
    assert model.best_epoch == values.index(max(values))
    for epoch, value in enumerate(values):
        assert f"Epoch {epoch} validation ndcg@10: {value:.6g}\n" in log
    assert re.search(r"Validation ranks, for \d+ distinct objects of in0 with \d+ pairs of", log)


NO_VALIDATION = "measured on validation pairs, but there are none: give a validation channel"


def test_without_validation_a_job_is_refused_before_data_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = job(tmp_path, {"train": [{"unsound": 1}]}, early_stopping_metric="accuracy")
    assert main(["validate", *options]) == 1
    assert NO_VALIDATION in capsys.readouterr().err
    assert main(["train", *options, "--model-dir", str(tmp_path / "model")]) == 1
    assert NO_VALIDATION in "".join(capsys.readouterr())
    assert not (tmp_path / "model" / "model.json").exists()


def test_without_validation_an_estimator_refuses() -> None:
    model = Object2Vec(**ESTIMATOR, early_stopping_metric="mrr")
    with pytest.raises(CustomerError, match=NO_VALIDATION):
        model.fit(records(20, 1))


@pytest.mark.parametrize(
    ("metric", "label", "words"),
    [
        ("auc", 1, "'auc', which needs validation pairs of two classes, but all 9 are of class 1"),
        ("mrr", 0, "'mrr', which ranks the validation pairs of another label than 0, but all 9"),
    ],
)
def test_labels_for_which_it_is_not_defined(
    metric: str, label: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unseen = [{**record, "label": label} for record in records(9, 2)]
    model = Object2Vec(**ESTIMATOR, early_stopping_metric=metric)
    with pytest.raises(CustomerError, match=words):
        model.fit(records(20, 1), unseen)
    channels = {"train": records(20, 1), "validation": unseen}
    assert main(["validate", *job(tmp_path, channels, early_stopping_metric=metric)]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param(
            {"output_layer": "mean_squared_error", "early_stopping_metric": "ndcg@10"},
            "'early_stopping_metric' can be 'loss', 'mean_squared_error' or 'mean_absolute_error' "
            "with output_layer 'mean_squared_error', but 'ndcg@10' was given.",
            id="numbers are not ranked",
        ),
        pytest.param(
            {"early_stopping_metric": "mean_squared_error"},
            "with output_layer 'softmax', but 'mean_squared_error' was given.",
            id="classes are no numbers",
        ),
        pytest.param(
            {"early_stopping_metric": "ndcg"}, "did you mean 'ndcg@10'", id="a name that is near"
        ),
    ],
)
def test_metrics_that_do_not_fit(given: dict[str, str], words: str) -> None:
    with pytest.raises(CustomerError) as caught:
        parse({"enc0_max_seq_len": 1, "enc0_vocab_size": 9, **given})
    assert words in str(caught.value)


def test_it_is_an_extension_that_is_off() -> None:
    item = BY_NAME["early_stopping_metric"]
    most = f"{full_ranking.MOST_QUERIES:,} in0 or {full_ranking.MOST_CANDIDATES:,} in1"
    assert most in item.description
    assert item.extension and item.default == "loss" and not item.required


@pytest.mark.slow
def test_of_real_films_the_epoch_that_ranks_best_is_kept(data_dir: Path) -> None:
    """MovieLens 100K, what 150 users liked: the last good film of each is kept back."""
    table = np.loadtxt(data_dir / "ml-100k" / "ua.base", dtype=np.int64)
    table = table[(table[:, 2] >= 4) & (table[:, 0] <= 150)]
    table = table[np.lexsort((table[:, 3], table[:, 0]))]
    last = np.append(table[1:, 0] != table[:-1, 0], True)
    parts = [
        PairDataset(
            *(TokenLists.of_each(rows[:, side].astype(np.int32)) for side in (0, 1)),
            np.ones(len(rows), np.float32),
        )
        for rows in (table[~last], table[last])
    ]
    best = {}
    for metric in ("loss", "ndcg@10"):
        given = settings(
            enc0_network="pooled_embedding",
            enc1_network="pooled_embedding",
            enc0_vocab_size=151,
            enc1_vocab_size=1683,
            enc_dim=32,
            mlp_layers=0,
            comparator_list="hadamard, concat",
            learning_rate=0.02,
            negative_sampling_rate=4,
            early_stopping_metric=metric,
            early_stopping_patience=5,  # too long to stop either training before its end
            mini_batch_size=256,
            epochs=7,
        )
        result = train(given, *parts)
        ranks = FullRanking(*parts, 1).ranks(result.predictor)
        best[metric] = np.mean((ranks.values <= 10) / np.log2(1 + ranks.values))
        if metric == "ndcg@10":
            kept = result.history[result.best_epoch]["validation_ndcg@10"]
            assert best[metric] == pytest.approx(kept)
            assert result.best_epoch == np.argmax(
                [record["validation_ndcg@10"] for record in result.history]
            )
    assert best["ndcg@10"] >= best["loss"]
