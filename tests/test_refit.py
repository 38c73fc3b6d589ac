# SPDX-License-Identifier: Apache-2.0
"""fit(…, refit=True): the best epoch by validation, then all pairs for as many epochs."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
from small_jobs import arrays

from object2vec import Callback, Object2Vec
from object2vec.data.arrays import PairDataset
from object2vec.data.dataset import from_records
from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import parse
from object2vec.training.loop import train

GIVEN: dict[str, Any] = {
    "enc0_max_seq_len": 1,
    "enc0_vocab_size": 20,
    "enc0_network": "pooled_embedding",
    "enc_dim": 8,
    "mlp_dim": 16,
    "mlp_activation": "relu",
    "learning_rate": 0.01,
    "mini_batch_size": 16,
    "epochs": 12,
    "early_stopping_patience": 2,
}


def pairs(count: int, seed: int) -> list[dict[str, Any]]:
    """Labels of which one in six is wrong, so that validation soon grows worse."""
    random = np.random.default_rng(seed)
    rows = random.integers(0, 20, (count, 2)).tolist()
    wrong = random.random(count) < 0.15
    return [
        {"in0": [a], "in1": [b], "label": int(((a < 10) == (b < 10)) != flip)}
        for (a, b), flip in zip(rows, wrong)
    ]


TRAIN, VALIDATION, TEST = pairs(300, 1), pairs(100, 2), pairs(60, 3)


def alone(epochs: int, seed: int) -> dict[str, np.ndarray]:
    """All pairs for so many epochs, without early stopping, by the loop itself."""
    settings, _ = parse({**GIVEN, "epochs": epochs, "_seed": seed, "early_stopping_patience": 5})
    both = PairDataset.concatenate(
        [from_records(TRAIN, settings), from_records(VALIDATION, settings)]
    )
    result = train(settings, both, fixed_epochs=epochs)
    assert len(result.history) == epochs
    return arrays(result.predictor.network)


class Counting(Callback):
    """Counts what it is told of, and never stops."""

    def __init__(self) -> None:
        self.told: list[dict[str, float]] = []

    def on_epoch_end(self, metrics: dict[str, float]) -> Optional[bool]:
        self.told.append(metrics)
        return False


@pytest.mark.slow
@pytest.mark.both_ways
def test_all_pairs_are_trained_for_the_best_number_of_epochs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain = Object2Vec(**GIVEN, seed=5).fit(TRAIN, VALIDATION)
    assert plain.best_epoch is not None and 0 < plain.best_epoch < len(plain.history) - 1
    counting = Counting()
    with caplog.at_level("INFO", logger="object2vec"):
        model = Object2Vec(**GIVEN, seed=5).fit(
            TRAIN, VALIDATION, TEST, refit=True, callbacks=[counting]
        )
    assert model.history == plain.history == counting.told
    assert (model.best_epoch, model.best_loss) == (plain.best_epoch, plain.best_loss)
    assert [epoch["epoch"] for epoch in model.refit_history] == list(range(plain.best_epoch + 1))
    assert {name.split("_")[0] for epoch in model.refit_history for name in epoch} == {
        "epoch",
        "train",
    }
    (told,) = [text for text in caplog.messages if "Training anew on train and validation" in text]
    assert told == (
        f"Epoch {plain.best_epoch} is the best. Training anew on train and validation pairs "
        f"together, 400, for {plain.best_epoch + 1} epochs with the same seed and without early "
        "stopping."
    )
    # the test pairs are scored once, by the model that is kept
    assert sum(text.startswith("#test_score") for text in caplog.messages) == 3
    expected = alone(plain.best_epoch + 1, 5)
    assert model._predictor is not None
    for name, value in arrays(model._predictor.network).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert not np.allclose(plain.embed(in0=[[1]]), model.embed(in0=[[1]]))


@pytest.mark.slow
@pytest.mark.both_ways
def test_a_drawn_seed_is_that_of_both_trainings(tmp_path: Path) -> None:
    model = Object2Vec(**GIVEN).fit(TRAIN, VALIDATION, refit=True)
    model.save(tmp_path)
    seed = Object2Vec.load(tmp_path).hyperparameters["_seed"]
    again = Object2Vec(**GIVEN, seed=seed).fit(TRAIN, VALIDATION, refit=True)
    assert again.history == model.history and again.refit_history == model.refit_history
    np.testing.assert_array_equal(again.predict(TEST), model.predict(TEST))
    assert model.hyperparameters.get("_seed") is None  # the next fit draws another


@pytest.mark.slow
@pytest.mark.both_ways
def test_both_histories_are_kept_with_the_model(tmp_path: Path) -> None:
    model = Object2Vec(**GIVEN, seed=5).fit(TRAIN, VALIDATION, refit=True)
    model.save(tmp_path)
    loaded = Object2Vec.load(tmp_path)
    for other in (loaded, pickle.loads(pickle.dumps(model)), pickle.loads(pickle.dumps(loaded))):
        assert other.history == model.history
        assert other.refit_history == model.refit_history != []
        assert (other.best_epoch, other.best_loss) == (model.best_epoch, model.best_loss)
        assert other.get_params()["epochs"] == 12
    assert model.fit(TRAIN, VALIDATION).refit_history == []


def test_refit_without_validation_is_refused_before_anything_is_read() -> None:
    with pytest.raises(CustomerError, match=r"^refit needs validation pairs, which tell the best"):
        Object2Vec(**GIVEN).fit("/no/such/file", refit=True)


def test_a_failure_of_the_second_training_leaves_the_earlier_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Object2Vec(**{**GIVEN, "epochs": 2}, seed=1).fit(TRAIN)
    before = model.predict(TEST)
    concatenate = PairDataset.concatenate

    def full(blocks: Any) -> PairDataset:
        joined = concatenate(blocks)
        if len(joined) == len(TRAIN) + len(VALIDATION):
            raise MemoryError
        return joined

    monkeypatch.setattr(PairDataset, "concatenate", full)
    with pytest.raises(MemoryError):
        model.fit(TRAIN, VALIDATION, refit=True)
    np.testing.assert_array_equal(model.predict(TEST), before)
    assert len(model.history) == 2 and model.refit_history == []
