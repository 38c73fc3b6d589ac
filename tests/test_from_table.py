# SPDX-License-Identifier: Apache-2.0
"""From a table of raw values to a fitted model, in Python."""

from __future__ import annotations

import inspect
import pickle
import re
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd
import pyarrow
import pytest
from raw_rows import (
    COLUMNS,
    FILMS,
    FRAME,
    ROWS,
    SMALL,
    USERS,
    ids,
    positive,
    write_csv,
)
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import object2vec
from object2vec import Object2Vec
from object2vec.data.negative_sampling import with_negatives
from object2vec.errors import CustomerError
from object2vec.prepare.splits import Split
from object2vec.prepare.table_choice import TableChoice
from object2vec.prepare.table_pairs import encode_table, table_pairs


def test_sizes_and_settings_follow_from_the_table(stars: Object2Vec) -> None:
    found = stars.hyperparameters
    assert found["enc0_vocab_size"] == USERS + 1 and found["enc0_max_seq_len"] == 1
    # unknown ones and missing ones of two columns, films, and four genres
    assert found["enc1_vocab_size"] == 2 + FILMS + 2 + 4
    # the recipe repeats the film
    assert found["enc1_max_seq_len"] == 6 + 2
    assert found["output_layer"] == "mean_squared_error"
    assert found["enc0_network"] == "pooled_embedding"
    assert {name: found["_seed" if name == "seed" else name] for name in SMALL} == SMALL
    assert "validation_mean_squared_error" in stars.history[0]
    assert stars.classes_ is None and stars.inputs is not None


def test_every_kind_of_table_gives_the_same_model(stars: Object2Vec, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "table.csv", ROWS)
    expected = stars.predict(ROWS)
    for source in (path, [str(path)], tmp_path, FRAME, pyarrow.Table.from_pandas(FRAME)):
        model = Object2Vec.from_table(source, label="stars", validation=0.2, **COLUMNS, **SMALL)
        np.testing.assert_array_equal(model.predict(ROWS), expected)
    for asked in (path, tmp_path, pyarrow.Table.from_pandas(FRAME)):
        np.testing.assert_array_equal(stars.predict(asked), expected)


def test_a_model_keeps_its_inputs(liked: Object2Vec, tmp_path: Path) -> None:
    liked.save(tmp_path)
    for other in (Object2Vec.load(tmp_path), pickle.loads(pickle.dumps(liked))):
        assert other.inputs == liked.inputs and other.classes_ == ["no", "yes"]
        np.testing.assert_array_equal(other.predict(FRAME), liked.predict(FRAME))


def test_fit_takes_a_table_where_columns_are_named(stars: Object2Vec) -> None:
    model = Object2Vec(**SMALL)
    assert "enc0_vocab_size" not in model.hyperparameters
    assert "enc1_max_seq_len" not in model.hyperparameters
    copied = clone(model).fit(ROWS, 0.2, label="stars", **COLUMNS)
    np.testing.assert_array_equal(copied.predict(ROWS), stars.predict(ROWS))
    assert copied.hyperparameters == stars.hyperparameters
    assert clone(copied).get_params() == model.get_params() == copied.get_params()
    again = pickle.loads(pickle.dumps(clone(copied))).fit(FRAME, 0.2, label="stars", **COLUMNS)
    np.testing.assert_array_equal(again.predict(ROWS), stars.predict(ROWS))
    copied.set_params(epochs=1)
    assert "enc0_vocab_size" not in copied.hyperparameters
    np.testing.assert_array_equal(copied.predict(ROWS), stars.predict(ROWS))


def test_a_table_is_fitted_to_others_too(stars: Object2Vec) -> None:
    found = table_pairs(ROWS, TableChoice(label="stars", split=Split(validation=0.2), **COLUMNS))
    model = Object2Vec(**SMALL).fit(ROWS[:200], FRAME[200:], ROWS[:50], label="stars", **COLUMNS)
    assert model.inputs is not None
    pairs, _ = encode_table(model.inputs, ROWS[200:])
    errors = model.predict(ROWS[200:]) - pairs.labels
    best = min(epoch["validation_mean_squared_error"] for epoch in model.history)
    assert best == pytest.approx(np.mean(errors**2), rel=1e-5)
    assert stars.inputs is not None
    assert stars.inputs.vocabularies == found.inputs.vocabularies


def test_ids_need_their_sizes() -> None:
    pairs = [{"in0": [1], "in1": [1], "label": 1}]
    with pytest.raises(CustomerError, match="needs enc0_max_seq_len, enc0_vocab_size; of a table"):
        Object2Vec(**SMALL).fit(pairs)
    with pytest.raises(CustomerError, match="needs enc0_vocab_size;"):
        Object2Vec(enc0_max_seq_len=1).fit(pairs)
    with pytest.raises(CustomerError, match=r"validation can be a share, 0\.1, of a table's rows"):
        Object2Vec(enc0_max_seq_len=1, enc0_vocab_size=4).fit(pairs, 0.1)


def test_what_is_given_wins() -> None:
    # the first two are defaults, which a recipe replaces
    given = {"mini_batch_size": 32, "mlp_layers": 2, "enc1_max_seq_len": 2, "enc0_vocab_size": 99}
    model = Object2Vec.from_table(ROWS, label="stars", **COLUMNS, **{**SMALL, **given})
    assert given.items() <= model.hyperparameters.items()
    assert model.inputs is not None and model.inputs.in1.max_length == 2
    # fit of an estimator that was given them, and of its copies, takes them too
    model = Object2Vec(**{**SMALL, "mini_batch_size": 32}).set_params(mlp_layers=2)
    copied = pickle.loads(pickle.dumps(clone(model)))
    # who gives all that get_params gives chose none of them
    bare = Object2Vec(**Object2Vec(**{**SMALL, "mini_batch_size": 32}).get_params())
    for other, chosen in ((model, True), (copied, True), (bare, False)):
        found = other.fit(ROWS, label="stars", **COLUMNS).hyperparameters
        assert (found["mini_batch_size"] == 32, found["scorer"] == "mlp") == (chosen, chosen)
        assert found["mlp_layers"] == 2
    assert clone(model).get_params() == model.get_params()
    assert list(inspect.signature(Object2Vec).parameters) == list(model.get_params())
    own = Object2Vec(**SMALL).fit(ROWS, label="stars", preset=None, **COLUMNS)
    found = own.hyperparameters
    assert (found["enc0_network"], found["learning_rate"], found["mlp_layers"]) == ("hcnn", 4e-4, 2)
    assert found["enc1_vocab_size"] == found["enc0_vocab_size"] == 2 + FILMS + 2 + 4
    assert found["enc1_max_seq_len"] == found["enc0_max_seq_len"] == 1 + 2


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"enc0_vocab_size": 5}, "enc0_vocab_size is 5, but in0 has 13 ids in the table"),
        ({"enc1_vocab_size": 5}, "enc1_vocab_size is 5, but in1 has 28 ids"),
        ({"num_classes": 4, "output_layer": "softmax"}, "num_classes is 4, but .* needs 6"),
        ({"label": "liked", "output_layer": "mean_squared_error"}, r"holds names \(no, yes\)"),
        ({"label": "score", "output_layer": "softmax"}, "holds numbers that are none"),
        ({"enc0_vocab_file": "words.json"}, "enc0_vocab_file numbers the words itself"),
        ({"enc0_pretrained_embedding_file": "v.txt"}, "=v.txt is a file of the auxiliary channel"),
        ({"preset": "no such"}, "preset must be"),
        ({"split": "random"}, r"split must be a Split such as Split\('time', time='when'\)"),
        ({"split": Split(), "validation": ROWS}, "The validation data are given, but the split"),
        ({"validation": 1.5}, "between 0 and 1"),
        ({"in0": "usr"}, "in0 names the column 'usr', .*nearest is 'user'"),
        ({"in1": None}, "in0, label speak of a table, so in1 must name its columns too"),
        ({"learning_rte": 1}, "learning_rte"),
        ({"in0": "in1", "in1": "in0"}, "in0 names in1 and in1 names in0, but these are also"),
        ({"in0": "in0", "in1": ["in0"]}, "in0 names in0 and in1 names in0, but"),
    ],
    ids=["vocab 0", "vocab 1", "classes", "names", "numbers", "words", "vectors", "preset", "split",
         "twice", "share", "column", "one side", "hyperparameter", "swapped", "one for both"],
)  # fmt: skip
def test_a_contradiction_is_one_sentence(given: dict[str, Any], words: str) -> None:
    rows = [
        {**row, "score": row["stars"] + 0.5, "in0": row["user"], "in1": row["film"]} for row in ROWS
    ]
    with pytest.raises((CustomerError, TypeError), match=words) as caught:
        Object2Vec.from_table(rows, **{"label": "stars", **COLUMNS, **SMALL, **given})
    assert re.fullmatch(r"[^\n]+", str(caught.value))


def test_columns_may_have_the_names_of_their_own_sides() -> None:
    rows = [{"in0": row["user"], "in1": row["film"], "stars": row["stars"]} for row in ROWS]
    model = Object2Vec.from_table(rows, in0="in0", in1="in1", label="stars", **SMALL)
    frame = pd.DataFrame(rows)
    np.testing.assert_array_equal(model.predict(rows), model.predict(frame))
    # dicts were asked for a label of another name than the table has
    assert model.evaluate(rows) == model.evaluate(frame)


def test_without_labels_validation_gets_negatives(caplog: pytest.LogCaptureFixture) -> None:
    split = {"validation": 0.2, "test": 0.2}
    settings = {**SMALL, "output_layer": "softmax", "epochs": 12, "learning_rate": 0.03}
    model = Object2Vec.from_table(positive(ROWS), in0="user", in1="film", **split, **settings)
    rate = model.hyperparameters["negative_sampling_rate"]
    assert rate > 0 and model.classes_ == [0, 1]
    parts = table_pairs(
        positive(ROWS), TableChoice(in0="user", in1="film", split=Split(**split))
    ).pairs
    judged = with_negatives(parts["validation"], rate, 0, [parts["train"], parts["test"]])
    assert len(judged) == (1 + rate) * len(parts["validation"])
    records = [
        {"in0": judged.in0[at].tolist(), "in1": judged.in1[at].tolist(),
         "label": int(judged.labels[at])}
        for at in range(len(judged))
    ]  # fmt: skip
    best = min(epoch["validation_cross_entropy"] for epoch in model.history)
    assert model.evaluate(records)["cross_entropy"] == pytest.approx(best, rel=1e-5)
    # of the pairs alone another loss comes out: they are one class of the two
    alone = [record for record in records if record["label"]]
    assert abs(model.evaluate(alone)["cross_entropy"] - best) > 0.05
    assert model.evaluate(positive(ROWS)) == model.evaluate(pd.DataFrame(positive(ROWS)))
    assert model.evaluate(positive(ROWS))["accuracy"] > 0.5


def movies(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The ratings of MovieLens for training and for tests, with features of both sides."""
    users = pd.read_csv(
        folder / "u.user", sep="|", names=["user", "age", "sex", "work", "zip"], index_col=0
    ).drop(columns="zip")
    genres = pd.read_csv(folder / "u.genre", sep="|", names=["genre", "number"]).genre
    films = pd.read_csv(folder / "u.item", sep="|", encoding="latin-1", header=None, index_col=0)
    flags = films[list(range(5, 5 + len(genres)))].to_numpy(bool)
    features = pd.DataFrame(
        {"title": films[1], "genres": [list(genres[flag]) for flag in flags]}, index=films.index
    )
    base, test = (
        pd.read_csv(folder / name, sep="\t", names=["user", "film", "stars", "time"])
        .join(users, "user")
        .join(features, "film")
        for name in ("ua.base", "ua.test")
    )
    return base, test


@pytest.mark.slow
def test_ratings_of_movielens_with_features(data_dir: Path, tmp_path: Path) -> None:
    base, test = movies(data_dir / "ml-100k")
    model = Object2Vec.from_table(
        base,
        in0=[{"name": "user", "repeat": 3}, "age", "sex", "work"],
        in1=[{"name": "film", "repeat": 3}, "genres"],
        label="stars",
        test=test,
        epochs=3,
        learning_rate=0.01,
        seed=1,
    )
    found = model.evaluate(test)["mean_squared_error"]
    truth = test.stars.to_numpy()
    assert found < 0.95 * float(np.mean((truth - base.stars.mean()) ** 2))
    scored = model.predict(test, output="pandas")
    assert np.mean((scored.predicted - truth) ** 2) == pytest.approx(found, rel=1e-5)
    model.save(tmp_path / "model")
    loaded = Object2Vec.load(tmp_path / "model")
    people = test[["user", "age", "sex", "work"]].to_dict("records")
    films = test[["film", "genres"]].to_dict("records")
    pairs = list(zip(ids(model, "in0", people), ids(model, "in1", films)))
    test.to_parquet(tmp_path / "test.parquet")
    for asked in (
        pairs,
        list(zip(people, films)),
        tmp_path / "test.parquet",
        test.to_dict("records"),
    ):
        np.testing.assert_array_equal(loaded.predict(asked), scored.predicted)
    # someone new is not the same as everyone: age and work are known
    new = [{"age": 20, "work": "student", "sex": "F"}, {"age": 55, "work": "retired", "sex": "M"}]
    assert not np.array_equal(*loaded.embed(in0=new))


def test_a_table_goes_through_a_pipeline() -> None:
    model = Object2Vec(**SMALL, transform_side="in1")
    settings = {"label": "stars", "validation": 0.2, **COLUMNS}
    steps = Pipeline([("vectors", model), ("scale", StandardScaler())])
    found = steps.fit_transform(FRAME, **{f"vectors__{name}": v for name, v in settings.items()})
    vectors = model.embed(in1=FRAME)
    np.testing.assert_allclose(found, StandardScaler().fit_transform(vectors), atol=1e-5)
    for rows in (FRAME, ROWS, FRAME[["film", "genres"]]):
        np.testing.assert_array_equal(model.transform(rows), vectors)
    with pytest.raises(CustomerError, match=r"y and label='stars' both say what the labels are"):
        model.fit(ROWS, y=FRAME.stars, **{**COLUMNS, "label": "stars"})


@pytest.mark.parametrize("label", ["stars", None])
def test_refit_takes_the_rows_kept_back_too(label: Optional[str], capsys: Any) -> None:
    rows = ROWS if label else positive(ROWS)
    options = {"in0": "user", "in1": "film", "label": label, "refit": True, **SMALL, "verbose": 1}
    model = Object2Vec.from_table(rows, split=Split(validation=0.3), **options)
    assert len(model.refit_history) == model.best_epoch + 1  # type: ignore[operator]
    said = capsys.readouterr().out
    assert f"Recipe {'ratings' if label else 'interactions'}, because " in said
    assert f"Rows read: {len(rows)}." in said
    # what is trained anew are all rows, and of the negatives only those that training draws
    assert f" on {len(rows)} pairs" in said
    with pytest.raises(CustomerError, match="refit needs validation pairs"):
        Object2Vec.from_table(rows, **options)


def test_whole_texts_alone_are_learnt_from(rng: np.random.Generator) -> None:
    """A column on both sides: parts of a text find it by words that stand in other parts."""
    topics = [[f"word{topic}of{number}" for number in range(30)] for topic in range(20)]
    texts = [" ".join(rng.choice(topics[row % 20], size=40)) for row in range(400)]
    model = Object2Vec.from_table(
        [{"text": text} for text in texts], in0="text", in1="text",
        tied_token_embedding_weight=True, enc0_max_seq_len=5, enc1_max_seq_len=20,
        enc0_random_crop=True, enc1_random_crop=True, epochs=6, enc_dim=32, seed=1,
        mini_batch_size=32, learning_rate=0.01,
    )  # fmt: skip
    assert model.hyperparameters["enc1_max_seq_len"] == 20
    asked = [" ".join(rng.choice(words, size=5)) for words in topics]
    scores = model.scores(asked, texts[:20])
    assert np.mean(scores.argmax(1) == np.arange(20)) > 0.9


def test_whole_texts_are_judged_by_parts_wherever_they_are(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    """A text is no question for itself: in validation, test, `evaluate` and studies alike."""
    rows = [{"text": " ".join(f"w{n}" for n in rng.integers(400, size=40))} for _ in range(120)]
    texts: dict[str, Any] = {"in0": "text", "in1": "text", "tied_token_embedding_weight": True}
    texts.update(enc_dim=8, epochs=1, seed=1, validation=rows[80:100], test=rows[100:])
    model = Object2Vec.from_table(rows[:80], **texts)
    told = {name[11:]: own for name, own in model.history[0].items() if name[:11] == "validation_"}
    assert model.evaluate(rows[80:100]) == pytest.approx(told, rel=1e-5)
    found = model.evaluate(rows[80:100], task="ranking", resamples=0)
    assert found["cross_entropy"] == pytest.approx(told["cross_entropy"], rel=1e-5)
    # of the texts themselves nearly all are found
    assert found["hit_rate@10"] > told["accuracy"] + 0.2
    studied, study = object2vec.tune(
        rows[:80], in0="text", in1="text", tied_token_embedding_weight=True, enc_dim=8, epochs=1,
        validation=rows[80:100], test=rows[100:], search=["learning_rate"], trials=1, seed=1,
        model_dir=tmp_path / "tuned",
    )  # fmt: skip
    assert study.test == pytest.approx(studied.evaluate(rows[100:]), rel=1e-5)


def test_another_table_is_read_as_long_as_training_takes_it() -> None:
    """For validation: whole, so that a negative is never a positive pair of the other table."""
    rows = [{"in": "a b c d", "out": "a b c d"}, {"in": "c d a b", "out": "c d a b"}]
    texts = [{"name": name, "kind": "text"} for name in ("in", "out")]
    choice = TableChoice(in0=texts[0], in1=texts[1], tied=True, max_length=2)
    inputs = table_pairs(rows, choice).inputs
    pairs, report = encode_table(inputs, rows)
    assert pairs.in0.lengths.tolist() == pairs.in1.lengths.tolist() == [2, 2]
    assert report.truncated == 4
    pairs, report = encode_table(inputs, rows, kept_lens=(3, 10**6))
    assert pairs.in0.lengths.tolist() == [3, 3]
    assert pairs.in1.lengths.tolist() == [4, 4]
    assert report.truncated == 4


@pytest.mark.parametrize(
    ("given", "follows"),
    [
        ({"token_weighting": "learned"}, ("enc0_network", "pooled_embedding")),
        ({"output_layer": "in_batch_softmax"}, ("scorer", "dot")),
        ({"ensemble_size": 2}, ("scorer", "dot")),
    ],
    ids=["weights", "in-batch", "ensemble"],
)
def test_what_a_recipe_gives_may_be_asked_for_alone(
    given: dict[str, Any], follows: tuple[str, str]
) -> None:
    """It was refused, before the recipe chose, for what the defaults are."""
    name, value = follows
    rows = [{"user": row["user"], "film": row["film"]} for row in ROWS]
    model = Object2Vec(**{**SMALL, **given})
    assert name not in model.hyperparameters
    model.fit(rows, in0="user", in1="film")
    assert model.hyperparameters[name] == value
    with pytest.raises(CustomerError, match=f"'{next(iter(given))}' can be"):
        Object2Vec(**{**SMALL, **given}).fit(rows, in0="user", in1="film", preset=None)
    with pytest.raises(CustomerError, match=f"'{next(iter(given))}' can be"):
        Object2Vec(enc0_max_seq_len=3, enc0_vocab_size=9, **given)


@pytest.mark.parametrize("metric", ["mean_absolute_error", "mean_squared_error"])
def test_a_measure_of_numbers_waits_for_a_table_of_numbers(metric: str) -> None:
    rows = [{"user": f"u{row % 5}", "film": f"f{row % 7}", "stars": row % 4} for row in range(40)]
    asked = {"early_stopping_metric": metric, "epochs": 1, "enc_dim": 4}
    sides = {"in0": "user", "in1": "film"}
    model = Object2Vec.from_table(rows, **sides, label="stars", validation=0.2, **asked)
    assert f"validation_{metric}" in model.history[0]
    with pytest.raises(CustomerError, match=r"^'early_stopping_metric' can be 'loss'"):
        Object2Vec.from_table(rows, **sides, validation=0.2, **asked)
    with pytest.raises(CustomerError, match=r"^'early_stopping_metric' can be 'loss'"):
        Object2Vec(enc0_max_seq_len=1, enc0_vocab_size=4, early_stopping_metric=metric)


def test_a_file_of_one_column_is_both_sides(tmp_path: Path) -> None:
    """Whole texts are given once; it was refused, as no pair."""
    path = tmp_path / "texts.csv"
    texts = ["a cat sat on the mat", '"two dogs, far away"', "birds sing in the trees"]
    path.write_text("text\n" + "".join(f"{text}\n" for text in texts * 5))
    given = {"in0": "text", "in1": "text", "tied_token_embedding_weight": True, "epochs": 1}
    model = Object2Vec.from_table(str(path), **given, enc_dim=8)
    assert model.hyperparameters["output_layer"] == "in_batch_softmax"
    assert model.vectors("in1", str(path)).vectors.shape == (3, 8)
    with pytest.raises(CustomerError, match="holds one column only, 'text'; give separator='…'"):
        Object2Vec.from_table(str(path), in0="user", in1="text")
