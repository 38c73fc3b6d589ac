# SPDX-License-Identifier: Apache-2.0
"""Training as a whole: the best model kept, stopping, failing, repeating, tables that stay."""

from __future__ import annotations

import io
import logging
import math
import re
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
from small_jobs import VOCAB, arrays, random_pairs, settings, topic_pairs

from object2vec.backend.mxnet_import import mx
from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.batching import Batch
from object2vec.errors import CustomerError
from object2vec.logs import logging_to
from object2vec.model.model_directory import load_model
from object2vec.pretrained.auxiliary_channel import Auxiliary, TokenVectors
from object2vec.training.loop import TrainingResult, train


def test_an_epoch_before_the_last_is_restored() -> None:
    """A rate that does harm makes the first epochs the best."""
    rng = np.random.default_rng(5)
    given, unseen = random_pairs(rng, 60), random_pairs(rng, 60)
    hyperparameters = settings(
        enc0_network="hcnn", learning_rate=0.05, epochs=8, early_stopping_patience=5
    )
    result = train(hyperparameters, given, unseen)
    assert 0 <= result.best_epoch < len(result.history) - 1
    sums = result.predictor.loss_sums(unseen)
    best = result.history[result.best_epoch]["validation_cross_entropy"]
    assert sums[0] / 60 == pytest.approx(best, rel=1e-5)


def test_history_without_validation(rng: np.random.Generator) -> None:
    result = train(settings(enc0_network="pooled_embedding", epochs=2), random_pairs(rng, 20))
    assert [set(record) for record in result.history] == [
        {"epoch", "train_perplexity", "train_cross_entropy", "train_accuracy"}
    ] * 2
    losses = [record["train_cross_entropy"] for record in result.history]
    assert result.best_loss == min(losses)
    assert result.test_metrics is None


@pytest.mark.slow
@pytest.mark.both_ways
@pytest.mark.parametrize("dropout", [0, 0.3])
@pytest.mark.parametrize("network", ["pooled_embedding", "hcnn", "bilstm"])
def test_the_seed_repeats_a_run(network: str, dropout: float, rng: np.random.Generator) -> None:
    pairs, other = random_pairs(rng, 50), random_pairs(rng, 20)
    given = {
        "enc0_network": network,
        "dropout": dropout,
        "mlp_activation": "relu",
        "epochs": 2,
        "mini_batch_size": 8,
        "negative_sampling_rate": 1,
    }

    def run(seed: int) -> TrainingResult:
        return train(settings(**given, _seed=seed), pairs, other)

    one, two, third = run(4), run(4), run(5)
    assert one.history == two.history
    assert one.history != third.history
    again = arrays(two.predictor.network)
    for name, value in arrays(one.predictor.network).items():
        np.testing.assert_array_equal(value, again[name])


def test_a_drawn_seed_is_logged(rng: np.random.Generator, caplog: pytest.LogCaptureFixture) -> None:
    pairs = random_pairs(rng, 20)
    given = {"enc0_network": "pooled_embedding", "epochs": 1}
    with caplog.at_level(logging.INFO, logger="object2vec"):
        drawn = train(settings(**given, _seed=None), pairs)
    found = re.search(r"seed (\d+)", caplog.text)
    assert found
    assert train(settings(**given, _seed=found[1]), pairs).history == drawn.history


@pytest.mark.parametrize("network", ["pooled_embedding", "hcnn", "bilstm"])
@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_dropout_of_everything(activation: str, network: str, rng: np.random.Generator) -> None:
    """Zeros in training where MXNet has NaN, and nothing dropped in inference."""
    hyperparameters = settings(
        enc0_network=network, enc0_layers=2, dropout=1.0, mlp_activation=activation, epochs=2
    )
    pairs = random_pairs(rng, 40)
    result = train(hyperparameters, pairs, pairs)
    for value in arrays(result.predictor.network).values():
        assert np.isfinite(value).all()
    assert np.isfinite(result.predictor.scores(pairs.in0, pairs.in1)).all()
    assert np.any(result.predictor.embeddings(0, pairs.in0))


@pytest.mark.parametrize("with_validation", [False, True])
@pytest.mark.parametrize("head", ["softmax", "mean_squared_error"])
def test_numbers_too_large_from_the_start_are_told_as_such(
    head: str, with_validation: bool, rng: np.random.Generator
) -> None:
    classes = None if head == "mean_squared_error" else 2
    pairs = random_pairs(rng, 40, classes=classes, shortest=1)
    start = TokenVectors(np.full((VOCAB, 8), 1e30, np.float32), np.ones(VOCAB, bool))
    hyperparameters = settings(enc0_network="pooled_embedding", output_layer=head, optimizer="sgd")
    with pytest.raises(CustomerError) as caught:
        train(
            hyperparameters,
            pairs,
            pairs if with_validation else None,
            auxiliary=Auxiliary((start, start), (None, None)),
        )
    assert re.fullmatch(
        r"The loss of the first batch, before anything was learnt, is (NaN|infinite): a label or a "
        r"pretrained vector is too large for the squares of 32-bit numbers.",
        str(caught.value),
    )


@pytest.mark.parametrize("what", ["label", "vector"])
def test_numbers_too_large_in_a_later_batch_are_told_as_such(
    what: str, rng: np.random.Generator
) -> None:
    """The learning rate is not to blame for what is in the data."""
    pairs = random_pairs(rng, 40, classes=None, shortest=1, vocab=VOCAB - 1)
    labels, tokens = pairs.labels.copy(), pairs.in0.tokens.copy()
    vectors = np.full((VOCAB, 8), 0.1, np.float32)
    if what == "label":
        labels[7] = 3e20  # in a later batch than the first, with this seed
    else:
        tokens[pairs.in0.offsets[7]] = VOCAB - 1
        vectors[-1] = 1e30
    start = TokenVectors(vectors, np.ones(VOCAB, bool))
    # with this comparator alone the labels' mean is not where training starts from
    hyperparameters = settings(
        enc0_network="pooled_embedding",
        output_layer="mean_squared_error",
        comparator_list="hadamard",
        mini_batch_size=2,
    )
    with pytest.raises(CustomerError) as caught:
        train(
            hyperparameters,
            PairDataset(TokenLists(tokens, pairs.in0.offsets), pairs.in1, labels),
            auxiliary=Auxiliary((start, start), (None, None)),
        )
    assert re.fullmatch(
        r"The training loss became (NaN|infinite) in epoch 0: a label or a pretrained vector is "
        r"too large for the squares of 32-bit numbers.",
        str(caught.value),
    )


def test_a_loss_without_a_number_ends_the_job(rng: np.random.Generator) -> None:
    pairs = random_pairs(rng, 40, classes=None, shortest=1)
    far = PairDataset(pairs.in0, pairs.in1, pairs.labels * np.float32(1e6))
    hyperparameters = settings(
        enc0_network="pooled_embedding",
        output_layer="mean_squared_error",
        optimizer="sgd",
        learning_rate=0.5,
        mini_batch_size=2,
    )
    with pytest.raises(CustomerError) as caught:
        train(hyperparameters, far)
    assert re.fullmatch(
        r"The training loss became (NaN|infinite) in epoch \d+; a lower 'learning_rate' usually "
        r"mends this.",
        str(caught.value),
    )


def test_a_validation_loss_without_a_number_ends_the_job(rng: np.random.Generator) -> None:
    """One step that leaps too far shows only afterwards."""
    pairs = random_pairs(rng, 16, classes=None, shortest=1)
    far = PairDataset(pairs.in0, pairs.in1, pairs.labels * np.float32(1e17))
    hyperparameters = settings(
        enc0_network="pooled_embedding", output_layer="mean_squared_error", optimizer="sgd",
        learning_rate=1, mlp_layers=3, epochs=1,
    )  # fmt: skip
    with pytest.raises(CustomerError, match=r"validation loss became .* 'learning_rate'"):
        train(hyperparameters, far, pairs)


class StopAfter:
    """Says True from a number of batches on."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def __call__(self) -> bool:
        self.batches -= 1
        return self.batches < 0


def test_stop_in_the_first_epoch(
    tmp_path: Path, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    """The current weights are saved and marked."""
    hyperparameters = settings(
        enc0_network="pooled_embedding", mini_batch_size=4, learning_rate=0.1
    )
    pairs = random_pairs(rng, 40)
    at_once, later = (
        train(hyperparameters, pairs, pairs, pairs, model_dir=tmp_path / str(batches),
              stop=StopAfter(batches))
        for batches in (0, 5)
    )  # fmt: skip
    for result in (at_once, later):
        assert result.interrupted
        assert not result.stopped_early
        assert result.history == []
        assert result.best_epoch == -1
        assert result.test_metrics is None
    assert "marked as incomplete" in caplog.text
    first, second = (load_model(tmp_path / name) for name in ("0", "5"))
    assert not first.complete
    assert not second.complete
    name = "mlp_fc0_weight"
    assert np.abs(arrays(first.network)[name] - arrays(second.network)[name]).max() > 0.01
    np.testing.assert_array_equal(
        arrays(second.network)[name], arrays(later.predictor.network)[name]
    )


def test_stop_in_a_later_epoch(tmp_path: Path, rng: np.random.Generator) -> None:
    """The best model so far is kept, not the weights of the broken epoch."""
    given = {"enc0_network": "pooled_embedding", "mini_batch_size": 4, "learning_rate": 0.02}
    pairs = topic_pairs(rng, 40, False)
    whole = train(settings(**given, epochs=1), pairs, pairs)
    result = train(
        settings(**given, epochs=9), pairs, pairs, model_dir=tmp_path, stop=StopAfter(15)
    )
    assert result.interrupted
    assert result.history == whole.history
    loaded = load_model(tmp_path)
    assert loaded.complete
    expected = arrays(whole.predictor.network)
    for network in (loaded.network, result.predictor.network):
        for name, value in arrays(network).items():
            np.testing.assert_array_equal(value, expected[name])


def auxiliary(rng: np.random.Generator, width: int, side: Optional[int] = None) -> Auxiliary:
    """Vectors for all tokens but the last two, on one side or on both."""
    known = np.arange(VOCAB) < VOCAB - 2
    matrix = rng.normal(size=(VOCAB, width)).astype(np.float32) * known[:, None]
    vectors = TokenVectors(matrix, known)
    given = (None if side == 1 else vectors, None if side == 0 else vectors)
    return Auxiliary(given, (None, None))


@pytest.mark.parametrize("storage", ["dense", "row_sparse"])
@pytest.mark.parametrize("network", ["pooled_embedding", "hcnn"])
def test_frozen_tables_stay_fixed(
    network: str, storage: str, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    """enc0's table is frozen; enc1's starts from the same vectors and learns."""
    hyperparameters = settings(
        enc0_network=network,
        enc0_pretrained_embedding_file="v.txt",
        enc1_network=network,
        enc1_pretrained_embedding_file="v.txt",
        enc1_freeze_pretrained_embedding=False,
        token_embedding_storage_type=storage,
        weight_decay=0.01,
        epochs=2,
        learning_rate=0.01,
    )
    width = hyperparameters.enc0.token_embedding_dim
    given = auxiliary(rng, width)
    with caplog.at_level(logging.INFO, logger="object2vec"):
        result = train(hyperparameters, random_pairs(rng, 60), auxiliary=given)
    assert "fixed_param_names: ['embed_0_weight']" in caplog.text
    vectors = given.vectors[0]
    assert vectors is not None
    known, start = vectors.known, vectors.matrix
    after = arrays(result.predictor.network)
    np.testing.assert_array_equal(after["embed_0_weight"][known], start[known])
    assert np.all(after["embed_0_weight"][~known] != 0)
    moved = np.abs(after["embed_1_weight"][known] - start[known])
    assert 0 < moved.max() < 0.5


@pytest.mark.parametrize("side", [0, 1])
def test_a_tied_table_is_frozen_by_a_file_on_either_side(
    side: int, rng: np.random.Generator
) -> None:
    hyperparameters = settings(
        enc0_network="hcnn",
        enc1_network="hcnn",
        tied_token_embedding_weight=True,
        epochs=1,
        learning_rate=0.01,
        **{f"enc{side}_pretrained_embedding_file": "v.txt"},
    )
    given = auxiliary(rng, 6)
    result = train(hyperparameters, random_pairs(rng, 60), auxiliary=given)
    vectors = given.vectors[0]
    assert vectors is not None
    table = arrays(result.predictor.network)["embed_shared_weight"]
    np.testing.assert_array_equal(table[vectors.known], vectors.matrix[vectors.known])


def test_without_a_file_nothing_is_frozen(
    rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    """Although the default of freezing is True."""
    hyperparameters = settings(enc0_network="hcnn", epochs=1)
    assert hyperparameters.enc0.freeze_pretrained_embedding
    with caplog.at_level(logging.INFO, logger="object2vec"):
        train(hyperparameters, random_pairs(rng, 20))
    assert "fixed_param_names: []" in caplog.text


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("network", ["pooled_embedding", "hcnn", "bilstm"])
def test_row_sparse_leaves_rows_of_no_list_alone(
    network: str, tied: bool, rng: np.random.Generator
) -> None:
    """Neither padding nor weight decay nor momentum moves a row whose id is in no pair."""
    hyperparameters = settings(
        enc0_network=network,
        tied_token_embedding_weight=tied,
        token_embedding_storage_type="row_sparse",
        weight_decay=0.1,
        learning_rate=0.01,
        mini_batch_size=8,
        epochs=1,
    )
    pairs = random_pairs(rng, 32, vocab=10)
    shifted = TokenLists(pairs.in0.tokens + np.int32(5), pairs.in0.offsets)
    pairs = PairDataset(shifted, pairs.in1, pairs.labels)
    used = set(shifted.tokens.tolist()), set(pairs.in1.tokens.tolist())
    if tied:
        used = (used[0] | used[1],) * 2
    before = start_of(hyperparameters, pairs)
    after = arrays(train(hyperparameters, pairs).predictor.network)
    for name, rows in zip(("embed_0_weight", "embed_1_weight"), used):
        table = "embed_shared_weight" if tied else name
        changed = np.flatnonzero(np.any(before[table] != after[table], axis=1))
        assert set(changed.tolist()) == rows


def start_of(hyperparameters: Any, pairs: PairDataset) -> dict[str, np.ndarray]:
    """The parameters before the first batch."""
    result = train(hyperparameters, pairs, stop=lambda: True)
    return arrays(result.predictor.network)


@pytest.mark.slow
@pytest.mark.both_ways
@pytest.mark.parametrize("head", ["softmax", "mean_squared_error"])
def test_a_loss_that_never_leaves_the_baseline_is_warned_of(
    head: str, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    """A weight decay that drives all weights to zero, as some tuning jobs had it."""
    pairs = topic_pairs(rng, 200, head == "mean_squared_error")
    given = {"enc0_network": "pooled_embedding", "output_layer": head, "epochs": 12}
    given |= {"early_stopping_patience": 5, "learning_rate": 0.02}
    train(settings(**given, weight_decay=5000), pairs, pairs)
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "nothing was learnt" in warnings[0].getMessage()
    assert "weight_decay=5000" in warnings[0].getMessage()
    caplog.clear()
    train(settings(**given), pairs, pairs)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize(
    "given",
    [
        {"output_layer": "mean_squared_error"},
        {"num_classes": 3},
        {"num_classes": 2},
    ],
    ids=["regression", "three", "two"],
)
def test_negatives_beyond_two_classes_are_warned_of(
    given: dict[str, Any], rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    """With real labels or more classes label 0 may mean something else than no relation."""
    pairs = random_pairs(rng, 30, vocab=VOCAB, shortest=2)
    hyperparameters = settings(
        enc0_network="pooled_embedding", epochs=1, negative_sampling_rate=2, **given
    )
    train(hyperparameters, pairs)
    assert ("label 0" in caplog.text) == (given.get("num_classes") != 2)


def test_negatives_are_counted(rng: np.random.Generator) -> None:
    pairs = random_pairs(rng, 60, shortest=2)
    positives = int(np.count_nonzero(pairs.labels))
    stream = io.StringIO()
    with logging_to(stream):
        train(
            settings(
                enc0_network="pooled_embedding",
                epochs=2,
                negative_sampling_rate=3,
                bucket_width=4,
                mini_batch_size=16,
            ),
            pairs,
        )
    log = stream.getvalue()
    assert "Negative sampling enabled with sampling rate 3" in log
    seen = re.findall(r'"Max Records Seen Between Resets": \{"sum": ([\d.]+)', log)
    assert float(seen[-1]) == 60 + 3 * positives


def test_wider_validation_lists_than_training_ones(rng: np.random.Generator) -> None:
    """Shapes that training never met."""
    given = random_pairs(rng, 30, longest=2)
    for network in ("pooled_embedding", "hcnn", "bilstm"):
        result = train(
            settings(enc0_network=network, epochs=1, bucket_width=5),
            given,
            random_pairs(rng, 30, longest=12),
            random_pairs(rng, 3, longest=7),
        )
        assert math.isfinite(result.best_loss)


@pytest.mark.slow
@pytest.mark.both_ways
@pytest.mark.parametrize("tied", [True, False])
def test_more_lists_than_fit_into_one_sparse_array(tied: bool, rng: np.random.Generator) -> None:
    """Batch times vocabulary is beyond MXNet's largest array, in training and validation."""
    vocab, number = 2_900_000, 1_500
    given = random_pairs(rng, number, longest=3, vocab=vocab)
    hyperparameters = settings(
        enc0_network="pooled_embedding",
        enc0_vocab_size=vocab,
        enc_dim=4,
        tied_token_embedding_weight=tied,
        mini_batch_size=number,
        epochs=1,
    )
    predictor = train(hyperparameters, given, given).predictor
    few = np.arange(0, number, 100)
    scores = predictor.scores(given.in0, given.in1)
    np.testing.assert_allclose(
        scores[few], predictor.scores(given.in0.take(few), given.in1.take(few)), rtol=1e-5
    )
    np.testing.assert_allclose(
        predictor.embeddings(0, given.in0)[few],
        predictor.embeddings(0, given.in0.take(few)),
        rtol=1e-5,
    )


@pytest.mark.parametrize("number", [1, 2])
def test_the_smallest_data(number: int, rng: np.random.Generator) -> None:
    """One pair, and lists that are all empty."""
    for network in ("pooled_embedding", "hcnn", "bilstm"):
        hyperparameters = settings(enc0_network=network, epochs=1)
        assert len(train(hyperparameters, random_pairs(rng, number)).history) == 1
        nothing = TokenLists.from_lists([[]] * number)
        empty = PairDataset(nothing, nothing, np.ones(number, np.float32))
        assert math.isfinite(train(hyperparameters, empty).best_loss)


def test_a_thread_that_fails_ends_the_training(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes wrong while batches are made ahead is raised where they are used."""

    def broken(self: Any) -> Any:
        raise MemoryError("no room")

    monkeypatch.setattr(Batch, "sides", property(broken))
    with pytest.raises(MemoryError, match="no room"):
        train(settings(enc0_network="pooled_embedding"), random_pairs(rng, 9))


def test_a_progress_bar_takes_the_place_of_the_lines(
    rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO()
    hyperparameters = settings(enc0_network="pooled_embedding", epochs=1, mini_batch_size=1)
    with logging_to(stream):
        train(hyperparameters, random_pairs(rng, 120), progress=True)
    assert "Epoch 0" in capsys.readouterr().err
    assert "batches: 100" not in stream.getvalue()


def test_more_gpus_than_there_are(rng: np.random.Generator) -> None:
    present = mx.context.num_gpus()
    with pytest.raises(CustomerError, match="'_num_gpus'"):
        train(settings(enc0_network="hcnn", _num_gpus=present + 1), random_pairs(rng, 9))
