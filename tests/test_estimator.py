# SPDX-License-Identifier: Apache-2.0
"""The Python API: its signature, what it accepts, what it answers and what it refuses."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import object2vec
from object2vec import Object2Vec
from object2vec.cli import main
from object2vec.errors import CustomerError
from object2vec.estimator.options import OPTIONS
from object2vec.hyperparameters.checked import parse
from object2vec.hyperparameters.table import HYPERPARAMETERS

SIZES: dict[str, Any] = {"enc0_max_seq_len": 2, "enc0_vocab_size": 20, "enc1_max_seq_len": 1}
SMALL: dict[str, Any] = {
    **SIZES,
    "enc0_network": "pooled_embedding",
    "enc1_network": "pooled_embedding",
    "enc1_vocab_size": 20,
    "enc_dim": 8,
    "mlp_dim": 16,
    "mlp_activation": "relu",
    "learning_rate": 0.01,
    "epochs": 8,
    "early_stopping_patience": 5,
    "seed": 7,
}


def pairs(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Pairs whose label says whether both objects are of the same half of the vocabulary."""
    random = np.random.default_rng(seed)
    rows = random.integers(0, 20, (count, 3)).tolist()
    return [{"in0": [a, a], "in1": [b], "label": int((a < 10) == (b < 10))} for a, b, _ in rows]


@pytest.fixture(scope="module")
def model() -> Object2Vec:
    return Object2Vec(**SMALL).fit(pairs(800), pairs(100, 1))


def test_the_signature_is_the_declaration() -> None:
    parameters = dict(inspect.signature(Object2Vec).parameters)
    assert parameters.pop("seed").default is None
    for name in OPTIONS:
        assert parameters.pop(name).kind is inspect.Parameter.KEYWORD_ONLY
    declared = {h.name: h for h in HYPERPARAMETERS if not h.hidden}
    assert set(parameters) == set(declared)
    for name, parameter in parameters.items():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        # of a table the sizes follow from the data
        expected = None if declared[name].required else declared[name].default
        assert parameter.default == expected, name
        assert type(parameter.default) is type(expected) or isinstance(expected, tuple), name


def test_the_docstring_names_every_parameter() -> None:
    text = Object2Vec.__doc__ or ""
    for name in inspect.signature(Object2Vec).parameters:
        assert name in text, name


def test_the_class_is_found_in_the_package() -> None:
    assert object2vec.Object2Vec is Object2Vec


def test_hyperparameters_are_resolved_as_in_a_job() -> None:
    given = {**SIZES, "enc0_network": "bilstm", "comparator_list": "hadamard, concat"}
    expected, _ = parse({**given, "_seed": "3"})
    assert Object2Vec(**given, seed=3).hyperparameters == expected.to_dict()
    as_list = {**given, "comparator_list": ["hadamard", "concat"]}
    assert Object2Vec(**as_list, seed=3).hyperparameters == expected.to_dict()


def test_all_bad_hyperparameters_are_named_at_once() -> None:
    with pytest.raises(CustomerError, match=r"'mlp_dim'.*'epochs'"):
        Object2Vec(**SIZES, mlp_dim=1, epochs=0)
    with pytest.raises(TypeError, match="epoch"):
        Object2Vec(**{**SIZES, "epoch": 1})


def test_fit_returns_itself_and_learns(model: Object2Vec) -> None:
    untrained = Object2Vec(**SMALL)
    assert untrained.fit(pairs(30)) is untrained
    metrics = model.evaluate(pairs(200, 2))
    assert set(metrics) == {"perplexity", "cross_entropy", "accuracy"}
    assert metrics["accuracy"] > 0.95
    assert metrics["perplexity"] == pytest.approx(np.exp(metrics["cross_entropy"]))


def test_history_holds_every_epoch(model: Object2Vec) -> None:
    assert [epoch["epoch"] for epoch in model.history] == list(range(len(model.history)))
    assert 1 <= len(model.history) <= 8
    assert {"train_accuracy", "validation_cross_entropy"} <= set(model.history[0])
    best = min(epoch["validation_cross_entropy"] for epoch in model.history)
    assert model.evaluate(pairs(100, 1))["cross_entropy"] == pytest.approx(best, abs=1e-5)


def test_predict_takes_mappings_tuples_and_frames(model: Object2Vec) -> None:
    rows = pairs(30, 3)
    scores = model.predict(rows)
    assert scores.shape == (30, 2) and scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    others = (
        [(row["in0"], row["in1"]) for row in rows],
        (row for row in rows),
        pd.DataFrame(rows),
        pd.DataFrame({"in1": [r["in1"] for r in rows], "in0": [np.array(r["in0"]) for r in rows]}),
    )
    for other in others:
        np.testing.assert_array_equal(model.predict(other), scores)
    assert model.predict([]).shape == (0, 2)


def test_embed_answers_for_one_side(model: Object2Vec) -> None:
    first = model.embed(in0=[[1], [2, 3], []])
    assert first.shape == (3, 8) and first.dtype == np.float32
    np.testing.assert_array_equal(first[2], 0)
    np.testing.assert_array_equal(model.embed(in0=np.array([[1], [2]]))[0], first[0])
    assert not np.allclose(model.embed(in1=[[1]]), first[:1])


def test_a_regression_answers_with_numbers() -> None:
    model = Object2Vec(**{**SMALL, "output_layer": "mean_squared_error", "epochs": 1})
    rows = pairs(40)
    assert model.fit(rows).predict(rows).shape == (40,)
    metrics = model.evaluate(rows)
    assert set(metrics) == {"mean_squared_error", "mean_absolute_error"}
    errors = model.predict(rows) - np.array([row["label"] for row in rows])
    assert metrics["mean_squared_error"] == pytest.approx(np.mean(errors**2), rel=1e-4)
    assert metrics["mean_absolute_error"] == pytest.approx(np.mean(np.abs(errors)), rel=1e-4)


def test_paths_frames_and_iterables_train_the_same_model(tmp_path: Path) -> None:
    rows = pairs(100)
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    answers = [
        Object2Vec(**{**SMALL, "epochs": 1}).fit(data, data, data).predict(rows)
        for data in (path, str(tmp_path), rows, pd.DataFrame(rows))
    ]
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer, answers[0])


def test_save_and_load_round_trip(model: Object2Vec, tmp_path: Path) -> None:
    rows = pairs(20, 4)
    model.save(tmp_path / "model")
    loaded = Object2Vec.load(tmp_path / "model")
    assert loaded.hyperparameters == model.hyperparameters
    assert loaded.history == model.history
    np.testing.assert_allclose(loaded.predict(rows), model.predict(rows), atol=1e-6)
    loaded.save(tmp_path / "again")
    again = Object2Vec.load(tmp_path / "again")
    np.testing.assert_allclose(again.embed(in1=[[1]]), model.embed(in1=[[1]]), atol=1e-6)
    assert again.history == model.history


def test_a_place_that_can_hold_no_model_is_refused_in_one_sentence(
    model: Object2Vec, tmp_path: Path
) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text("as it was")
    with pytest.raises(CustomerError, match=f"^{file} is a file, not a folder; name a folder"):
        model.save(file)
    assert file.read_text() == "as it was"
    with pytest.raises(CustomerError, match=r"^/proc/x cannot be written to: No such file"):
        model.save("/proc/x")


def test_a_jobs_model_is_loaded_with_its_history(tmp_path: Path) -> None:
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in pairs(50)))
    values = {**SMALL, "epochs": 2, "_seed": 1}
    del values["seed"]
    options = [f"-p{name}={value}" for name, value in values.items()]
    folder = str(tmp_path / "model")
    assert main(["train", "--train", str(data), "--model-dir", folder, *options]) == 0
    loaded = Object2Vec.load(folder)
    assert loaded.hyperparameters["epochs"] == 2
    assert len(loaded.history) >= 1


def test_fitting_again_starts_afresh() -> None:
    rows = pairs(60)
    once = Object2Vec(**{**SMALL, "epochs": 1}).fit(rows)
    first = once.predict(rows)
    np.testing.assert_array_equal(once.fit(rows).predict(rows), first)
    assert len(once.history) == 1


def test_the_rules_of_a_job_are_logged_when_it_is_fitted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    unlucky = Object2Vec(**{**SMALL, "epochs": 1}, optimizer="adadelta")
    with caplog.at_level("INFO", logger="object2vec"):
        unlucky.fit(pairs(20))
    assert any("adadelta" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    "ask",
    [
        lambda m, _: m.predict([([1], [1])]),
        lambda m, _: m.embed(in0=[[1]]),
        lambda m, _: m.evaluate(pairs(1)),
        lambda m, folder: m.save(folder),
    ],
)
def test_an_unfitted_model_says_so(ask: Any, tmp_path: Path) -> None:
    with pytest.raises(CustomerError, match="not fitted"):
        ask(Object2Vec(**SMALL), tmp_path / "model")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda m: m.embed(), "exactly one of in0 and in1"),
        (lambda m: m.embed(in0=[[1]], in1=[[1]]), "exactly one of in0 and in1"),
        (lambda m: m.embed(in0=[1, 2]), "write [1]"),
        (lambda m: m.embed(in0=[[1], [20]]), "instance 1"),
        (lambda m: m.embed(in1="abc"), "in1 must be a list of lists"),
        (lambda m: m.predict([{"in0": [1]}]), "Instance 0"),
        (lambda m: m.predict([([1], [1]), ([1], [1.5])]), "instance 1"),
        (lambda m: m.predict("pairs.jsonl"), "iterable of mappings"),
        (lambda m: m.predict(pd.DataFrame({"in0": [[1]]})), "no column 'in1'"),
        (lambda m: m.evaluate([{"in0": [1], "in1": [1]}]), "label is missing"),
        (lambda m: m.fit([]), "holds no pair"),
        (lambda m: m.fit("/no/such/file"), "/no/such/file"),
        (lambda m: m.fit([{"in0": [1], "in1": [1], "label": 2}]), "label"),
        (lambda m: Object2Vec.load("/no/such/model"), "/no/such/model"),
    ],
)
def test_mistakes_are_explained(ask: Any, words: str, model: Object2Vec) -> None:
    with pytest.raises(CustomerError) as caught:
        ask(model)
    assert words in str(caught.value)


class Narrow(Object2Vec):
    """A subclass that takes one of the parameters, and one of its own."""

    def __init__(self, *, enc_dim: int = 8, stars: int = 5) -> None:
        super().__init__(**{**SMALL, "enc_dim": enc_dim})
        self.stars = stars


def test_scikit_learn_clones_estimators(model: Object2Vec) -> None:
    base = pytest.importorskip("sklearn.base")
    given = {**SMALL, "enc_dim": np.int64(16), "comparator_list": ["hadamard", "concat"]}
    for estimator in (Object2Vec(**given), model, Narrow(enc_dim=16, stars=4)):
        twin = base.clone(estimator)
        assert type(twin) is type(estimator) and twin.best_epoch is None
        assert twin.get_params() == estimator.get_params()
        assert twin.hyperparameters == estimator.hyperparameters
    assert base.clone(Narrow(stars=4)).stars == 4
    selection = pytest.importorskip("sklearn.model_selection")
    tried = [
        base.clone(model).set_params(**values).hyperparameters["enc_dim"]
        for values in selection.ParameterGrid({"enc_dim": np.array([4, 8]), "dropout": [0.0, 0.5]})
    ]
    assert sorted(tried) == [4, 4, 8, 8]


def test_parameters_are_those_that_were_given() -> None:
    names = list(inspect.signature(Object2Vec).parameters)
    comparators = ["concat"]
    estimator = Object2Vec(**SMALL, comparator_list=comparators)
    assert list(estimator.get_params()) == names
    assert estimator.get_params(deep=False)["comparator_list"] is comparators
    assert Narrow(stars=2).get_params() == {"enc_dim": 8, "stars": 2}


def test_parameters_of_a_loaded_model_make_its_like(model: Object2Vec, tmp_path: Path) -> None:
    model.save(tmp_path)
    loaded = Object2Vec.load(tmp_path)
    assert Object2Vec(**loaded.get_params()).hyperparameters == model.hyperparameters
    assert loaded.set_params(seed=8).hyperparameters["_seed"] == 8


def test_changed_parameters_hold_for_the_next_fit() -> None:
    rows = pairs(60)
    fitted = Object2Vec(**{**SMALL, "epochs": 1}).fit(rows)
    before = fitted.predict(rows)
    assert fitted.set_params(enc0_vocab_size=10, enc_dim=4, output_layer="mean_squared_error")
    assert fitted.hyperparameters["enc_dim"] == 4
    np.testing.assert_array_equal(fitted.predict(rows), before)
    assert set(fitted.evaluate(rows)) == {"perplexity", "cross_entropy", "accuracy"}
    few = [{**row, "in0": [row["in0"][0] % 10]} for row in rows]
    assert fitted.fit(few).embed(in0=[[1]]).shape == (1, 4)
    with pytest.raises(CustomerError, match="vocab_size=10"):
        fitted.embed(in0=[[15]])


def test_wrong_parameters_change_nothing() -> None:
    estimator = Narrow()
    before = (estimator.get_params(), estimator.hyperparameters)
    for wrong, words in (
        ({"enc_dim": 1, "stars": 3}, "'enc_dim' should be"),
        ({"enc_dmi": 8}, r"'enc_dmi' is no parameter of Narrow \(did you mean 'enc_dim'\?\)"),
        ({"epochs": 3, "enc_dim": 4}, "'epochs' is no parameter of Narrow"),
    ):
        with pytest.raises(CustomerError, match=words):
            estimator.set_params(**wrong)
        assert (estimator.get_params(), estimator.hyperparameters) == before
    assert estimator.set_params(stars=1, enc_dim=4).stars == 1
    assert estimator.hyperparameters["enc_dim"] == 4


def test_parameters_may_be_numbers_and_lists_of_numpy() -> None:
    plain = Object2Vec(**SMALL, comparator_list=["hadamard", "concat"], dropout=0.5)
    given = {
        name: np.array(value)[()] if isinstance(value, (int, float, str)) else value
        for name, value in plain.get_params().items()
    }
    given["comparator_list"] = np.array(given["comparator_list"])
    assert Object2Vec(**given).hyperparameters == plain.hyperparameters
    with pytest.raises(CustomerError, match="'epochs' should be an integer"):
        Object2Vec(**{**SMALL, "epochs": np.array([1, 2])})
    with pytest.raises(CustomerError, match="'epochs' should be an integer"):
        Object2Vec(**{**SMALL, "epochs": pd.NA})


def test_it_fits_where_standard_error_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python then has None in its place."""
    monkeypatch.setattr("sys.stderr", None)
    model = Object2Vec(**{**SMALL, "epochs": 1}).fit(pairs(40))
    assert model.predict(pairs(3)).shape[0] == 3
