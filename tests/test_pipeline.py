# SPDX-License-Identifier: Apache-2.0
"""Object2Vec as a step of scikit-learn's pipelines, and labels that come beside the pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from object2vec import Object2Vec
from object2vec.errors import CustomerError

GIVEN: dict[str, Any] = {
    "enc0_max_seq_len": 2,
    "enc0_vocab_size": 20,
    "enc0_network": "pooled_embedding",
    "enc_dim": 8,
    "mlp_dim": 16,
    "mlp_activation": "relu",
    "learning_rate": 0.01,
    "epochs": 4,
    "seed": 7,
}


def pairs(count: int, seed: int = 0) -> tuple[list[dict[str, Any]], list[int]]:
    """Pairs without labels, and the labels: whether both are of the same half."""
    rows = np.random.default_rng(seed).integers(0, 20, (count, 2)).tolist()
    return [{"in0": [a], "in1": [b]} for a, b in rows], [int((a < 10) == (b < 10)) for a, b in rows]


def labelled(given: list[dict[str, Any]], labels: Any) -> list[dict[str, Any]]:
    return [{**pair, "label": label} for pair, label in zip(given, labels)]


X, Y = pairs(400)


@pytest.fixture(scope="module")
def model() -> Object2Vec:
    return Object2Vec(**GIVEN).fit(labelled(X, Y))


# Labels


@pytest.mark.parametrize(
    "fit",
    [
        lambda m: m.fit(X, Y),
        lambda m: m.fit(X, y=Y),
        lambda m: m.fit(X, np.array(Y)),
        lambda m: m.fit(X, pd.Series(Y, index=range(1000, 1400))),
        lambda m: m.fit(labelled(X, Y), Y),
        lambda m: m.fit([(pair["in0"], pair["in1"]) for pair in X], Y),
        lambda m: m.fit(pd.DataFrame(X, index=range(400, 0, -1)), pd.Series(Y)),
        lambda m: m.fit(pd.DataFrame(labelled(X, Y)), np.array(Y)),
        lambda m: m.fit((pair for pair in X), y=Y),
    ],
    ids=["list", "named", "array", "series", "both", "tuples", "frame", "frame with", "iterator"],
)
def test_labels_may_come_beside_the_pairs(fit: Any, model: Object2Vec) -> None:
    fitted = fit(Object2Vec(**GIVEN))
    np.testing.assert_array_equal(fitted.predict(X), model.predict(X))
    assert fitted.history == model.history


def test_numbers_are_labels_of_a_regression_too() -> None:
    given = {**GIVEN, "output_layer": "mean_squared_error", "epochs": 1}
    numbers = np.linspace(-1, 1, 400)
    expected = Object2Vec(**given).fit(labelled(X, numbers.tolist())).predict(X)
    np.testing.assert_array_equal(Object2Vec(**given).fit(X, numbers).predict(X), expected)


def test_validation_stays_what_it_is() -> None:
    """The second argument is labels or pairs; with y it is pairs."""
    held, labels = pairs(40, 1)
    first = Object2Vec(**GIVEN).fit(labelled(X, Y), labelled(held, labels))
    second = Object2Vec(**GIVEN).fit(X, pd.DataFrame(labelled(held, labels)), y=Y)
    assert "validation_accuracy" in first.history[0]
    assert second.history == first.history


@pytest.mark.parametrize(
    ("fit", "words"),
    [
        (lambda m: m.fit(X, Y[:-1]), "there are 400 pairs and 399 labels"),
        (
            lambda m: m.fit(labelled(X, Y), [*Y[:7], 1 - Y[7], *Y[8:]]),
            rf"Instance 7, counting from 0, has the label {Y[7]}, and y gives it {1 - Y[7]}: leave",
        ),
        (lambda m: m.fit("pairs.jsonl", Y), "y is for pairs without labels"),
        (lambda m: m.fit(X, [*Y[:5], 2, *Y[6:]]), r"label.*train, instance 5, counting from 0"),
        (lambda m: m.fit([*X[:3], {"in0": [1]}], y=Y[:4]), "Instance 3, .* must hold in0 and in1"),
        (lambda m: m.fit(X), "label is missing"),
    ],
    ids=["fewer", "others", "a path", "a wrong one", "half a pair", "none"],
)
def test_wrong_labels_are_told_in_one_sentence(fit: Any, words: str) -> None:
    with pytest.raises(CustomerError, match=words):
        fit(Object2Vec(**GIVEN))


# transform


@pytest.mark.parametrize("side", ["in0", "in1"])
def test_transform_embeds_the_named_side(side: str, model: Object2Vec) -> None:
    chosen = Object2Vec(**{**GIVEN, "transform_side": side}).fit(X, Y)
    lists = [pair[side] for pair in X]
    expected = model.embed(**{side: lists})
    assert expected.shape == (400, 8)
    forms: list[Any] = [
        X,
        labelled(X, Y),
        [{side: tokens} for tokens in lists],
        [(pair["in0"], pair["in1"]) for pair in X],
        (pair for pair in X),
        pd.DataFrame(X),
        pd.DataFrame({side: lists}),
        lists,
        [tuple(tokens) for tokens in lists],
        np.array(lists),
    ]
    for form in forms:
        np.testing.assert_array_equal(chosen.transform(form), expected)
    # token lists of two ids are no pairs
    two = [(1, 2), (np.int64(3), np.int64(4))]
    np.testing.assert_array_equal(chosen.transform(two), chosen.embed(**{side: two}))
    other = "in0" if side == "in1" else "in1"
    with pytest.raises(CustomerError, match=f"Instance 1, counting from 0, has no {side}, which"):
        chosen.transform([X[0], {other: [1]}])


def test_fit_transform_is_both(model: Object2Vec) -> None:
    expected = model.transform(X)
    np.testing.assert_array_equal(Object2Vec(**GIVEN).fit_transform(X, Y), expected)
    given = Object2Vec(**GIVEN).fit_transform(iter(labelled(X, Y)), progress=False)
    np.testing.assert_array_equal(given, expected)


def test_wrong_sides_and_inputs_are_told(model: Object2Vec, tmp_path: Path) -> None:
    for wrong in ("in2", None, ["in0"]):
        with pytest.raises(CustomerError, match=r"^transform_side should be 'in0' or 'in1', found"):
            Object2Vec(**GIVEN, transform_side=wrong)  # type: ignore[arg-type]
    with pytest.raises(CustomerError, match="transform takes pairs, or the objects of in0"):
        model.transform(tmp_path)
    with pytest.raises(CustomerError, match="instance 1"):
        model.transform([[1], [20]])
    with pytest.raises(CustomerError, match="not fitted"):
        Object2Vec(**GIVEN).transform(X)


# scikit-learn


def test_it_stands_in_a_pipeline() -> None:
    """A classifier learns from the vectors which half an object is of."""
    pytest.importorskip("sklearn")
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import make_pipeline

    half = [int(pair["in0"][0] < 10) for pair in X]
    train = labelled(X, Y)
    pipe = make_pipeline(Object2Vec(**{**GIVEN, "epochs": 8}), RidgeClassifier())
    vectors = pipe[0].fit(train)
    pipe[1].fit(vectors.transform(X), half)
    assert pipe.score([{"in0": [a]} for a in range(20)], [1] * 10 + [0] * 10) > 0.9
    names = pipe[:-1].get_feature_names_out()
    assert list(names) == [f"object2vec{number}" for number in range(8)]


def test_pipelines_hand_labels_to_every_step() -> None:
    pytest.importorskip("sklearn")
    from sklearn.base import clone
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import Pipeline

    pipe = Pipeline([("embed", Object2Vec(**GIVEN)), ("classify", RidgeClassifier())])
    pipe.fit(X, np.array(Y), embed__progress=False)
    expected = Object2Vec(**GIVEN).fit(X, Y).transform(X)
    np.testing.assert_array_equal(pipe[:-1].transform(X), expected)
    assert pipe.predict(X[:5]).shape == (5,)
    copied = clone(pipe).set_params(embed__enc_dim=4, embed__transform_side="in1")
    assert copied.fit(pd.DataFrame(X), pd.Series(Y))[:-1].transform(X).shape == (400, 4)
    with pytest.raises(CustomerError, match="not fitted"):
        clone(pipe).predict(X[:5])


def test_it_is_the_last_step_and_is_searched() -> None:
    pytest.importorskip("sklearn")
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import FunctionTransformer
    from sklearn.utils.validation import check_is_fitted

    last = make_pipeline(FunctionTransformer(), Object2Vec(**GIVEN))
    with pytest.raises(Exception, match="not fitted"):
        check_is_fitted(last[-1])
    last.fit(X, Y)
    check_is_fitted(last)
    np.testing.assert_array_equal(last.transform(X), Object2Vec(**GIVEN).fit(X, Y).transform(X))
    assert last.predict(X[:3]).shape == (3, 2)
    steps = [("embed", Object2Vec(**{**GIVEN, "epochs": 1})), ("classify", RidgeClassifier())]
    search = GridSearchCV(Pipeline(steps), {"embed__enc_dim": [4, 8]}, cv=2)
    search.fit(X, Y)
    assert search.best_params_["embed__enc_dim"] in (4, 8)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# Tables of raw values

USERS, FILMS = ["Ann", "Bob", "Cid", "Dee"], ["Heat", "Big", "Alien"]
TABLE = pd.DataFrame(
    [(user, film, f"{i % 3}", 1 + i * j % 5) for i, user in enumerate(USERS)
     for j, film in enumerate(FILMS) for _ in range(5)],
    columns=["user", "film", "age", "stars"],
)  # fmt: skip
COLUMNS: dict[str, Any] = {"in0": ["user", "age"], "in1": "film", "progress": False}


@pytest.fixture(scope="module")
def of_table() -> Object2Vec:
    return Object2Vec(epochs=2, seed=1).fit(TABLE, label="stars", **COLUMNS)


@pytest.mark.parametrize(
    ("rows", "labels"),
    [
        (TABLE, TABLE["stars"]),
        (TABLE.drop(columns="stars"), TABLE["stars"]),
        (TABLE.drop(columns="stars"), TABLE["stars"].tolist()),
        (TABLE.drop(columns="stars").to_dict("records"), TABLE["stars"].to_numpy()),
        (iter(TABLE.drop(columns="stars").to_dict("records")), TABLE["stars"]),
    ],
    ids=["a column", "a series", "a list", "dicts", "an iterator"],
)
def test_labels_may_come_beside_a_table(rows: Any, labels: Any, of_table: Object2Vec) -> None:
    fitted = Object2Vec(epochs=2, seed=1).fit(rows, labels, **COLUMNS)
    np.testing.assert_array_equal(fitted.predict(TABLE), of_table.predict(TABLE))
    assert fitted.inputs is not None
    named = isinstance(labels, pd.Series)
    assert fitted.inputs.label.name == ("stars" if named else "label")


def test_names_of_classes_are_labels_and_names_of_files_are_data(tmp_path: Path) -> None:
    names = ["good" if stars > 2 else "bad" for stars in TABLE["stars"]]
    rows = TABLE.drop(columns="stars")
    fitted = Object2Vec(epochs=1, seed=1).fit(rows, names, **COLUMNS)
    assert fitted.classes_ is not None and sorted(fitted.classes_) == ["bad", "good"]
    TABLE.to_csv(tmp_path / "a.csv", index=False)
    held = Object2Vec(epochs=1, seed=1)
    held.fit(TABLE, [str(tmp_path / "a.csv")], label="stars", **COLUMNS)
    assert "validation_mean_squared_error" in held.history[0]


@pytest.mark.parametrize(
    ("fit", "words"),
    [
        (
            lambda m: m.fit(TABLE, TABLE["stars"][:-1], **COLUMNS),
            "60 pairs and 59 labels",
        ),
        (
            lambda m: m.fit(TABLE, TABLE["stars"], label="age", **COLUMNS),
            "y and label='age' both say what the labels are: leave out one of the two",
        ),
        (lambda m: m.fit("a.csv", y=[1, 2], **COLUMNS), "y is for a pandas.DataFrame or dicts; of"),
    ],
    ids=["fewer", "two", "a path"],
)
def test_wrong_labels_of_a_table_are_told(fit: Any, words: str) -> None:
    with pytest.raises(CustomerError, match=words):
        fit(Object2Vec(epochs=1))


def test_rows_of_the_table_are_transformed(of_table: Object2Vec) -> None:
    of_table.set_params(transform_side="in0")
    expected = of_table.embed(in0=TABLE[["user", "age"]].to_dict("records"))
    for rows in (TABLE, TABLE[["user", "age"]], TABLE.to_dict("records")):
        np.testing.assert_array_equal(of_table.transform(rows), expected)
    of_table.set_params(transform_side="in1")
    films = of_table.embed(in1=TABLE["film"].tolist())
    for rows in (TABLE, TABLE.to_dict("records"), TABLE["film"], TABLE["film"].tolist()):
        np.testing.assert_array_equal(of_table.transform(rows), films)


def test_a_table_goes_through_a_pipeline() -> None:
    pytest.importorskip("sklearn")
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import Pipeline

    step = Object2Vec(epochs=1, seed=1, transform_side="in1")
    pipe = Pipeline([("embed", step), ("learn", Ridge())])
    given = {f"embed__{name}": value for name, value in COLUMNS.items()}
    pipe.fit(TABLE.drop(columns="stars"), TABLE["stars"], **given)
    assert pipe.predict(TABLE[:4]).shape == (4,)
