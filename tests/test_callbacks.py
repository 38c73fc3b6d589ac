# SPDX-License-Identifier: Apache-2.0
"""Callbacks: what they are told, how they end a training, what their mistakes leave behind."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
import pytest
from small_jobs import arrays, settings, skip_without_compiled_part, topic_pairs

from object2vec import Callback, Object2Vec
from object2vec.compiled.library import VARIABLE
from object2vec.errors import CustomerError
from object2vec.training.loop import TrainingResult, train

JOB: dict[str, Any] = {"enc0_network": "pooled_embedding", "learning_rate": 0.02, "epochs": 5}


class Recorder(Callback):
    """Keeps what it is told, and stops at an epoch."""

    def __init__(self, last: Optional[int] = None, answer: Any = True) -> None:
        self.told: list[dict[str, float]] = []
        self._last, self._answer = last, answer

    def on_epoch_end(self, metrics: dict[str, float]) -> Optional[bool]:
        self.told.append(metrics)
        return self._answer if metrics["epoch"] == self._last else None


class Breaking(Callback):
    """Fails after an epoch."""

    def on_epoch_end(self, metrics: dict[str, float]) -> Optional[bool]:
        if metrics["epoch"] == 1:
            raise ZeroDivisionError("mine")
        return False


@pytest.fixture(params=["compiled", "operators"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How it is computed."""
    name = str(request.param)
    if name == "compiled":
        skip_without_compiled_part()
    monkeypatch.setenv(VARIABLE, str(int(name == "compiled")))
    return name


def trained(callbacks: Any, **given: Any) -> TrainingResult:
    rng = np.random.default_rng(1)
    pairs = [topic_pairs(rng, number, False) for number in (200, 50)]
    return train(settings(**JOB, **given), *pairs, callbacks=callbacks)


def lines(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [message for message in caplog.messages if words in message]


def test_each_epoch_is_told_as_the_history_has_it(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = Recorder(), Recorder()
    with caplog.at_level("INFO", logger="object2vec"):
        result = trained([first, second])
    assert (
        len(lines(caplog, f"Training computes by {'the' if way == 'compiled' else 'MXNet'}")) == 1
    )
    assert first.told == second.told == result.history
    assert {"epoch", "train_accuracy", "validation_cross_entropy"} <= set(first.told[0])
    first.told[0].clear()  # a copy
    assert result.history[0] and second.told[0]
    assert result.stopped_by == []


@pytest.mark.parametrize("answer", [True, np.bool_(True)], ids=["bool", "numpy"])
@pytest.mark.usefixtures("way")
def test_true_ends_training_and_the_log_says_who_did(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="object2vec"):
        result = trained([Callback(), Recorder(2, answer)])
    assert len(result.history) == 3
    assert list(result.stopped_by) == ["Recorder"] and not result.stopped_early
    sentence = "Stopping training at epoch: 2, as the callback Recorder asked."
    assert lines(caplog, "Stopping") == [sentence]
    assert len(lines(caplog, "#progress_metric: host=algo-1, completed 100 % epochs")) == 1


def test_the_best_epoch_s_model_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    """The rate is so high that a later epoch is worse; its model is not what is left."""
    rng = np.random.default_rng(1)
    pairs = [topic_pairs(rng, number, False) for number in (200, 50)]
    given = settings(**{**JOB, "learning_rate": 0.9, "optimizer": "sgd", "dropout": 0.5})
    whole = train(given, *pairs)
    best, losses = whole.best_epoch, [epoch["validation_cross_entropy"] for epoch in whole.history]
    assert best < len(losses) - 1, losses
    stopped = train(given, *pairs, callbacks=[Recorder(best + 1)])
    assert stopped.best_epoch == best and len(stopped.history) == best + 2
    for name, value in arrays(whole.predictor.network).items():
        np.testing.assert_array_equal(arrays(stopped.predictor.network)[name], value)
    assert stopped.best_loss == min(losses)


ESTIMATOR: dict[str, Any] = {
    **JOB,
    **{"enc0_max_seq_len": 1, "enc0_vocab_size": 20, "enc_dim": 8, "mlp_dim": 4, "seed": 1},
}
PAIRS = [
    {"in0": [a], "in1": [b], "label": int((a < 10) == (b < 10))}
    for a in range(20)
    for b in range(0, 20, 3)
]


@pytest.mark.usefixtures("way")
def test_an_exception_passes_through_and_leaves_the_earlier_model() -> None:
    model = Object2Vec(**ESTIMATOR).fit(PAIRS, callbacks=[Recorder(0)])
    before, history = model.predict(PAIRS), list(model.history)
    with pytest.raises(ZeroDivisionError, match="mine"):
        model.fit(PAIRS[:30], callbacks=[Breaking()])
    np.testing.assert_array_equal(model.predict(PAIRS), before)
    assert model.history == history and len(history) == 1
    # and nothing is left behind that a further training would stumble over
    again = model.fit(PAIRS, callbacks=[Recorder(0)]).predict(PAIRS)
    np.testing.assert_array_equal(again, before)


def test_a_callback_may_ask_the_earlier_model() -> None:
    """Other threads may too: no lock is held while a callback is told."""
    model = Object2Vec(**ESTIMATOR).fit(PAIRS, callbacks=[Recorder(0)])
    before, seen = model.embed(in0=[[3]]), []

    class Asking(Callback):
        def on_epoch_end(self, metrics: dict[str, float]) -> Optional[bool]:
            seen.append(model.embed(in0=[[3]]))
            return None

    model.fit(PAIRS, callbacks=(Asking(),))
    assert len(seen) == len(model.history)
    for answer in seen:
        np.testing.assert_array_equal(answer, before)


@pytest.mark.parametrize(
    ("callbacks", "words"),
    [
        ("stop", "callbacks must be a list of object2vec.Callback, found 'stop'"),
        (Recorder(), "callbacks must be a list of object2vec.Callback, found <"),
        ([Recorder(), print], r"Callback 1, counting from 0, must have a method on_epoch_end\("),
        ([Recorder], "Callback 0.*found a class, of which an instance is needed"),
        ([Recorder(1, {"loss": 1})], r"callback Recorder must return True.*found \{'loss': 1\}"),
        ([Recorder(1, 0.25)], "callback Recorder must return True, False or None, found 0.25"),
    ],
    ids=["text", "alone", "function", "class", "a dict", "a number"],
)
def test_what_is_no_callback_is_told_in_one_sentence(callbacks: Any, words: str) -> None:
    with pytest.raises(CustomerError, match=words):
        Object2Vec(**ESTIMATOR).fit(PAIRS, callbacks=callbacks)
    with pytest.raises(CustomerError, match=words):
        trained(callbacks)
