# SPDX-License-Identifier: Apache-2.0
"""random_state, device, history, best epoch and repr of the Python API."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from object2vec import Object2Vec
from object2vec.backend.device_names import contexts_of, device_ids, named_gpus
from object2vec.backend.kvstore import count_gpus
from object2vec.backend.mxnet_import import mx
from object2vec.compiled.library import VARIABLE
from object2vec.errors import CustomerError

SMALL: dict[str, Any] = {
    "enc0_max_seq_len": 2,
    "enc0_vocab_size": 20,
    "enc0_network": "pooled_embedding",
    "enc_dim": 8,
    "mlp_dim": 4,
    "learning_rate": 0.01,
    "epochs": 2,
}
PAIRS = [{"in0": [a], "in1": [a // 2, b], "label": int(a < b)} for a in range(20) for b in (3, 9)]


def answers(**given: Any) -> np.ndarray:
    return Object2Vec(**SMALL, **given).fit(PAIRS).predict(PAIRS)


# random_state


def test_a_number_is_a_seed() -> None:
    expected = answers(seed=4)
    for given in (
        {"random_state": 4},
        {"random_state": np.int64(4)},
        {"seed": 4, "random_state": 4},
    ):
        np.testing.assert_array_equal(answers(**given), expected)
        assert Object2Vec(**SMALL, **given).hyperparameters["_seed"] == 4
    assert not np.array_equal(answers(random_state=5), expected)


@pytest.mark.parametrize("kind", [np.random.RandomState, np.random.default_rng])
def test_a_generator_gives_each_fit_a_seed(kind: Any, tmp_path: Path) -> None:
    model = Object2Vec(**SMALL, random_state=kind(3))
    first = model.fit(PAIRS).predict(PAIRS)
    model.save(tmp_path)
    second = model.fit(PAIRS).predict(PAIRS)
    assert not np.array_equal(first, second)
    again = Object2Vec(**SMALL, random_state=kind(3))
    np.testing.assert_array_equal(again.fit(PAIRS).predict(PAIRS), first)
    np.testing.assert_array_equal(again.fit(PAIRS).predict(PAIRS), second)
    # what was drawn is kept with the model, which repeats it
    loaded = Object2Vec.load(tmp_path)
    np.testing.assert_array_equal(loaded.fit(PAIRS).predict(PAIRS), first)
    assert loaded.get_params()["seed"] == loaded.hyperparameters["_seed"]


def test_scikit_learn_clones_and_sets_them() -> None:
    base = pytest.importorskip("sklearn.base")
    for state in (3, np.random.RandomState(3), np.random.default_rng(3), None):
        estimator = Object2Vec(**SMALL, random_state=state, verbose=0, device="cpu")
        twin = base.clone(estimator)
        assert estimator.get_params()["random_state"] is state
        assert type(twin.get_params()["random_state"]) is type(state)
        assert twin.get_params()["device"] == "cpu" and twin.get_params()["verbose"] == 0
    assert Object2Vec(**SMALL).set_params(random_state=9).hyperparameters["_seed"] == 9
    assert Object2Vec(**SMALL, seed=1).set_params(seed=None, random_state=2).fit(PAIRS)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"seed": 1, "random_state": 2}, "seed is 1 and random_state is 2, but both are names"),
        (
            {"seed": 1, "random_state": np.random.RandomState(1)},
            "seed is 1 and random_state is",
        ),
        ({"random_state": -1}, r"random_state should be a whole number from 0 .*; found -1"),
        ({"random_state": 2**31}, "random_state should be a whole number from 0 to 2147483647"),
        ({"random_state": True}, "found True"),
        ({"random_state": "one"}, "found 'one'"),
        ({"random_state": 1.5}, "found 1.5"),
    ],
    ids=lambda value: str(value)[:40].split(" at ")[0],
)
def test_wrong_seeds_are_told(given: dict[str, Any], words: str) -> None:
    with pytest.raises(CustomerError, match=words):
        Object2Vec(**SMALL, **given)
    estimator = Object2Vec(**SMALL, seed=1)
    with pytest.raises(CustomerError):
        estimator.set_params(**given)
    assert estimator.hyperparameters["_seed"] == 1


# device


@pytest.mark.parametrize("compiled", ["0", "1"])
def test_devices_compute_the_same(compiled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, compiled)
    expected = answers(seed=1)
    for device in ("cpu", "cpu:0", "cpu:1", ["cpu:2"], ["cpu:0", "cpu:1"], ("cpu:1", "cpu:3")):
        np.testing.assert_allclose(answers(seed=1, device=device), expected, rtol=1e-4, atol=1e-5)


def test_the_log_names_the_devices_and_the_first_one_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO", logger="object2vec"):
        model = Object2Vec(**SMALL, device=["cpu:1", "cpu:0"], seed=1).fit(PAIRS)
    assert "context [cpu(1), cpu(0)]" in caplog.messages
    assert "Create Store: local" in caplog.messages
    assert model._predictor is not None and model._predictor._context == mx.cpu(1)
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_allclose(twin.predict(PAIRS), model.predict(PAIRS), rtol=1e-5)


def test_a_model_is_loaded_onto_a_device(tmp_path: Path) -> None:
    model = Object2Vec(**SMALL, seed=1).fit(PAIRS)
    model.save(tmp_path)
    loaded = Object2Vec.load(tmp_path, device="cpu:1")
    assert loaded._predictor is not None and loaded._predictor._context == mx.cpu(1)
    assert loaded.get_params()["device"] == "cpu:1"
    np.testing.assert_array_equal(loaded.predict(PAIRS), model.predict(PAIRS))
    assert Object2Vec.load(tmp_path).get_params()["device"] is None


def test_names_of_devices() -> None:
    assert device_ids(None) is None and contexts_of(None) is None and named_gpus(None) is None
    assert device_ids("gpu") == [("gpu", 0)]
    assert device_ids(("gpu:3", "gpu")) == [("gpu", 3), ("gpu", 0)]
    assert named_gpus(["gpu:0", "gpu:1"]) == 2 and named_gpus("cpu:1") == 0
    assert contexts_of(["cpu", "cpu:15"]) == [mx.cpu(0), mx.cpu(15)]


@pytest.mark.parametrize(
    "device",
    ["cuda", "", [], "gpu:", "gpu:x", "gpu:-1", "cpu:16", 0, ["cpu", 1], ["cpu", ["cpu:1"]], {}],
    ids=str,
)
def test_other_names_are_refused_when_they_are_given(device: Any) -> None:
    with pytest.raises(CustomerError, match=r"^device should be 'cpu', 'gpu', one with a number"):
        Object2Vec(**SMALL, device=device)


@pytest.mark.parametrize("device", [["cpu", "cpu:0"], ["cpu", "gpu"]], ids=str)
def test_devices_differ_and_are_of_one_kind(device: Any) -> None:
    with pytest.raises(CustomerError, match=r"^device should name different devices of one kind"):
        Object2Vec(**SMALL).set_params(device=device)


def test_a_gpu_that_is_not_there_is_refused_in_one_sentence(tmp_path: Path) -> None:
    present = count_gpus()
    wanted = f"gpu:{present}"
    there = f"{present} GPU" if present else "no GPU"
    model = Object2Vec(**SMALL, seed=1).fit(PAIRS)
    model.save(tmp_path)
    before = model.predict(PAIRS)
    words = f"^device is {wanted!r}, but MXNet finds {there}.* on this machine; give another one"
    with pytest.raises(CustomerError, match=words):
        # before the data, which may be large, are read
        model.set_params(device=wanted).fit("/no/such/file")
    np.testing.assert_array_equal(model.predict(PAIRS), before)
    with pytest.raises(CustomerError, match=words):
        Object2Vec.load(tmp_path, device=wanted)


# history, best_epoch and best_loss


def test_the_history_is_a_list_and_a_table(tmp_path: Path) -> None:
    untrained = Object2Vec(**SMALL)
    assert untrained.history == [] and untrained.best_epoch is None and untrained.best_loss is None
    assert untrained.history.to_pandas().empty
    model = Object2Vec(**{**SMALL, "epochs": 3}, seed=1).fit(PAIRS, PAIRS[::3])
    table = model.history.to_pandas()
    assert table.index.name == "epoch" and list(table.index) == [0, 1, 2]
    assert list(table.columns) == [name for name in model.history[0] if name != "epoch"]
    for epoch, row in table.iterrows():
        assert {"epoch": epoch, **row} == model.history[int(epoch)]
    assert json.loads(json.dumps(model.history)) == model.history
    losses = [epoch["validation_cross_entropy"] for epoch in model.history]
    assert model.best_loss == min(losses) and model.best_epoch == losses.index(min(losses))
    model.save(tmp_path)
    for other in (Object2Vec.load(tmp_path), pickle.loads(pickle.dumps(model))):
        assert (other.best_epoch, other.best_loss) == (model.best_epoch, model.best_loss)
        pd.testing.assert_frame_equal(other.history.to_pandas(), table)


def test_without_pandas_the_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(CustomerError, match="needs pandas: pip install pandas 'numpy<2'"):
        Object2Vec(**SMALL).history.to_pandas()


# repr


class Narrow(Object2Vec):
    """Has defaults of its own."""

    def __init__(self, *, enc_dim: int = 8, stars: int = 5) -> None:
        super().__init__(**{**SMALL, "enc_dim": enc_dim})
        self.stars = stars


def test_repr_shows_what_differs_from_the_defaults() -> None:
    assert repr(Object2Vec(enc0_max_seq_len=1, enc0_vocab_size=9, epochs=30, dropout=0)) == (
        "Object2Vec(enc0_max_seq_len=1, enc0_vocab_size=9)"
    )
    model = Object2Vec(**SMALL, comparator_list=["hadamard", "concat"], random_state=2)
    text = repr(model)
    assert text == (
        "Object2Vec(enc0_max_seq_len=2, enc0_vocab_size=20,\n"
        "           enc0_network='pooled_embedding', enc_dim=8,\n"
        "           comparator_list=['hadamard', 'concat'], mlp_dim=4,\n"
        "           learning_rate=0.01, epochs=2, random_state=2)"
    )
    assert eval(text).get_params() == model.get_params()
    assert repr(model.fit(PAIRS)) == text
    assert repr(Narrow()) == "Narrow()"
    assert repr(Narrow(stars=4)) == "Narrow(stars=4)"
    assert repr(Narrow(enc_dim=16)) == "Narrow(enc_dim=16)"
    usual = ["hadamard", "concat", "abs_diff"]
    assert "comparator_list" not in repr(Object2Vec(**SMALL, comparator_list=usual))


def test_repr_of_a_loaded_model_makes_its_like(tmp_path: Path) -> None:
    Object2Vec(**SMALL, seed=1, comparator_list="concat, hadamard").fit(PAIRS).save(tmp_path)
    loaded = Object2Vec.load(tmp_path)
    assert eval(repr(loaded)).hyperparameters == loaded.hyperparameters
