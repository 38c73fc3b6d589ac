# SPDX-License-Identifier: Apache-2.0
"""From a table of raw values to a fitted model that answers raw values, in Python."""

from __future__ import annotations

import csv
import json
import logging
import pickle
import re
import sys
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd
import pyarrow
import pytest
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from object2vec import Object2Vec
from object2vec.data.negative_sampling import with_negatives
from object2vec.errors import CustomerError
from object2vec.prepare.splits import Split
from object2vec.prepare.table_pairs import encode_table, table_pairs
from object2vec.raw_values.encode_values import encode_side

USERS, FILMS = 12, 20
GENRES = ("Drama|War", "Crime", "Comedy|Crime", "War")
SMALL: dict[str, Any] = {"enc_dim": 8, "epochs": 2, "mini_batch_size": 64, "seed": 3}
COLUMNS: dict[str, Any] = {"in0": "user", "in1": ["film", "genres"]}


def rows_of(count: int) -> list[dict[str, Any]]:
    """Each user meets each film once before any twice; odd users like odd films."""
    rows = []
    for row in range(count):
        user, film = row % USERS, (row // USERS * 7 + row) % FILMS
        likes = user % 2 == film % 2
        rows.append(
            {"user": f"u{user}", "film": f"Film, {film}", "genres": GENRES[film % 4],
             "stars": 4 + film % 2 if likes else 1 + film % 2, "liked": "yes" if likes else "no"}
        )  # fmt: skip
    return rows


ROWS = rows_of(230)
FRAME = pd.DataFrame(ROWS)


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def ids(model: Object2Vec, side: str, values: Any) -> list[list[int]]:
    assert model.inputs is not None
    lists = encode_side(model.inputs, side, values)
    return [part.tolist() for part in np.split(lists.tokens, lists.offsets[1:-1])]


@pytest.fixture(scope="module")
def stars() -> Object2Vec:
    return Object2Vec.from_table(ROWS, label="stars", validation=0.2, **COLUMNS, **SMALL)


@pytest.fixture(scope="module")
def liked() -> Object2Vec:
    return Object2Vec.from_table(FRAME, label="liked", **COLUMNS, **SMALL)


def test_sizes_and_settings_follow_from_the_table(stars: Object2Vec) -> None:
    found = stars.hyperparameters
    assert found["enc0_vocab_size"] == USERS + 1 and found["enc0_max_seq_len"] == 1
    # unknown ones and missing ones of two columns, films, and four genres
    assert found["enc1_vocab_size"] == 2 + FILMS + 2 + 4
    # the recipe repeats the film
    assert found["enc1_max_seq_len"] == 3 + 2
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


def test_raw_values_answer_bit_for_bit_as_their_ids(stars: Object2Vec) -> None:
    pairs = list(zip(ids(stars, "in0", [row["user"] for row in ROWS]), ids(stars, "in1", [
        {"film": row["film"], "genres": row["genres"]} for row in ROWS
    ])))  # fmt: skip
    expected = stars.predict(pairs)
    assert len(set(expected.tolist())) > 100
    objects = [(row["user"], {"film": row["film"], "genres": row["genres"]}) for row in ROWS]
    fields = [{"in0": in0, "in1": in1} for in0, in1 in objects]
    mixed = [(ROWS, objects, fields, pairs)[at % 4][at] for at in range(len(ROWS))]
    for asked in (ROWS, iter(ROWS), FRAME, objects, fields, pd.DataFrame(fields), mixed):
        np.testing.assert_array_equal(stars.predict(asked), expected)
    films = ["Film, 1", {"film": "Film, 2"}, {"film": "Film, 3", "genres": ["War"]}]
    np.testing.assert_array_equal(stars.embed(in1=films), stars.embed(in1=ids(stars, "in1", films)))
    np.testing.assert_array_equal(
        stars.embed(in1=[ids(stars, "in1", films[:1])[0], *films[1:]]), stars.embed(in1=films)
    )
    for values in (FRAME, pyarrow.Table.from_pandas(FRAME)):
        np.testing.assert_array_equal(
            stars.embed(in1=values), stars.embed(in1=[pair[1] for pair in pairs])
        )


def test_files_of_requests_and_rows(liked: Object2Vec, tmp_path: Path) -> None:
    """JSON Lines with in0 and in1, of ids and raw values, and with the table's own columns."""
    raw = [
        {"in0": row["user"], "in1": {"film": row["film"], "genres": row["genres"]},
         "label": row["liked"]}
        for row in ROWS
    ]  # fmt: skip
    raw[3] = {"in0": ids(liked, "in0", ["u3"])[0], "in1": ids(liked, "in1", [raw[3]["in1"]])[0],
              "label": liked.classes_.index(ROWS[3]["liked"])}  # type: ignore[union-attr]  # fmt: skip
    for name, rows in (("requests", raw), ("rows", ROWS)):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        np.testing.assert_array_equal(liked.predict(path), liked.predict(ROWS))
        assert liked.evaluate(str(path)) == pytest.approx(liked.evaluate(ROWS), rel=1e-6)
        assert len(liked.predict(path, output="pandas")) == len(ROWS)
    path.write_text('{"in0": "u1", "in1": "Film, 1"}\n{"in0": "u1"\n')
    with pytest.raises(CustomerError, match=r"Broken JSON .*rows\.jsonl, line 2\)"):
        liked.predict(path)


def test_evaluate_takes_tables_records_and_ids(liked: Object2Vec, tmp_path: Path) -> None:
    expected = liked.evaluate(ROWS)
    scores = liked.predict(ROWS)
    right = [liked.classes_[at] == row["liked"] for at, row in zip(scores.argmax(1), ROWS)]  # type: ignore[index]
    assert expected["accuracy"] == pytest.approx(np.mean(right))
    raw = [
        {"in0": row["user"], "in1": {"film": row["film"], "genres": row["genres"]},
         "label": row["liked"]}
        for row in ROWS
    ]  # fmt: skip
    numbered = [
        {"in0": in0, "in1": in1, "label": liked.classes_.index(row["liked"])}  # type: ignore[union-attr]
        for row, in0, in1 in zip(
            raw, ids(liked, "in0", FRAME.user), ids(liked, "in1", [row["in1"] for row in raw])
        )
        for row in [{"liked": row["label"]}]
    ]
    path = write_csv(tmp_path / "table.csv", ROWS)
    for asked in (
        FRAME,
        path,
        iter(ROWS),
        raw,
        numbered,
        pd.DataFrame(raw),
        raw[:9] + numbered[9:],
    ):
        assert liked.evaluate(asked) == pytest.approx(expected, rel=1e-6)


def test_a_model_keeps_its_inputs(liked: Object2Vec, tmp_path: Path) -> None:
    liked.save(tmp_path)
    for other in (Object2Vec.load(tmp_path), pickle.loads(pickle.dumps(liked))):
        assert other.inputs == liked.inputs and other.classes_ == ["no", "yes"]
        np.testing.assert_array_equal(other.predict(FRAME), liked.predict(FRAME))


def test_unseen_values_are_told_once(stars: Object2Vec, caplog: pytest.LogCaptureFixture) -> None:
    asked = [("u1", "Film, 1"), ("new", "Film, 1"), ([0], [0]), ("also new", {"film": "no film"})]
    with caplog.at_level(logging.WARNING, "object2vec"):
        answers = stars.predict(asked)
    (line,) = caplog.messages
    assert "2 of 3 values of in0 and 1 of 6 values of in1" in line
    assert answers[1] == stars.predict([([0], ids(stars, "in1", ["Film, 1"])[0])])[0]
    caplog.clear()
    assert stars.embed(in0=["new", "newer"]).shape == (2, 8)
    assert len(caplog.messages) == 1
    caplog.clear()
    stars.embed(in0=["u1", [0]])
    assert not caplog.messages
    unseen = [{**row, "user": "new"} for row in ROWS[:5]]
    with pytest.raises(CustomerError, match=r"No value of .*user.* is known to in0"):
        stars.evaluate(unseen)


def test_an_unknown_object_is_embedded_by_its_features(stars: Object2Vec) -> None:
    cold = stars.embed(in1=[{"film": "new", "genres": "War"}, {"genres": "War"}, {"film": "new"}])
    assert not np.array_equal(cold[0], cold[2])
    assert stars.inputs is not None
    place = stars.inputs.first_ids("in1")[1] + stars.inputs.vocabularies["in1.1"].places["War"]  # type: ignore[union-attr]
    np.testing.assert_array_equal(
        cold, stars.embed(in1=[[*3 * [0], place], [*3 * [1], place], [*3 * [0], 23]])
    )


def test_classes_have_their_names(liked: Object2Vec) -> None:
    assert liked.classes_ == ["no", "yes"]
    found = liked.predict(FRAME, output="pandas")
    assert list(found) == [*FRAME, "probability_no", "probability_yes"]
    pd.testing.assert_frame_equal(found[list(FRAME)], FRAME)
    np.testing.assert_array_equal(found.iloc[:, -2:].to_numpy(), liked.predict(FRAME))
    numbers = Object2Vec.from_table(
        ROWS, in0="user", in1="film", label="stars", output_layer="softmax", **SMALL
    )
    assert numbers.classes_ == [0, 1, 2, 3, 4, 5] == list(range(numbers.predict(ROWS).shape[1]))


def test_tables_give_tables(stars: Object2Vec, tmp_path: Path) -> None:
    scores = stars.predict(ROWS)
    shuffled = FRAME.iloc[::-1]
    found = stars.predict(shuffled, output="pandas")
    assert found.index.equals(shuffled.index) and "predicted" not in shuffled
    np.testing.assert_array_equal(found["predicted"], scores[::-1])
    path = write_csv(tmp_path / "table.csv", ROWS)
    for asked in (path, ROWS, iter(ROWS), pyarrow.Table.from_pandas(FRAME)):
        found = stars.predict(asked, output="pandas")
        # a file with separators holds texts
        texts = {"stars": FRAME.stars.astype(str) if asked is path else FRAME.stars}
        pd.testing.assert_frame_equal(found, FRAME.assign(**texts, predicted=scores))
    for asked in (path, ROWS, FRAME, pyarrow.Table.from_pandas(FRAME)):
        table = stars.predict(asked, output="arrow")
        assert table.column_names == [*FRAME, "predicted"]
        np.testing.assert_array_equal(table["predicted"].to_numpy(), scores)
    pairs = [("u1", {"film": "Film, 1"}), ([1], [3])]
    for output in ("pandas", "arrow"):
        found = stars.predict(pairs, output=output)
        np.testing.assert_array_equal(found["predicted"], stars.predict(pairs))
        with pytest.raises(CustomerError, match=r"has a column .predicted. already"):
            stars.predict(stars.predict(ROWS, output=output), output=output)
    with pytest.raises(CustomerError, match=r"numpy, pandas or arrow, found .frame."):
        stars.predict(ROWS, output="frame")


def test_embeddings_have_their_objects_as_index(stars: Object2Vec) -> None:
    users = stars.embed(in0=["u3", "u1"], output="pandas")
    assert users.index.tolist() == ["u3", "u1"] and users.index.name == "user"
    assert list(users) == list(range(8))
    np.testing.assert_array_equal(users.loc["u1"], stars.embed(in0=["u1"])[0])
    objects = [{"film": "Film, 1", "genres": ["War"]}, {"film": "Film, 2", "genres": "Crime"}]
    films = stars.embed(in1=objects, output="pandas")
    assert films.index.names == ["film", "genres"]
    assert films.index.tolist() == [("Film, 1", ("War",)), ("Film, 2", "Crime")]
    np.testing.assert_array_equal(films, stars.embed(in1=objects))
    assert stars.embed(in1=[[3, 4], [5]], output="pandas").index.tolist() == [(3, 4), (5,)]
    assert stars.embed(in1=FRAME, output="pandas").index.names == ["film", "genres"]
    table = stars.embed(in1=objects, output="arrow")
    assert table.column_names == ["film", "genres", "embedding"]
    np.testing.assert_array_equal(np.stack(table["embedding"].to_numpy()), films)


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
    found = table_pairs(ROWS, label="stars", split=Split(validation=0.2), **COLUMNS)
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
        ({"preset": "no such"}, "preset must be"),
        ({"split": "random"}, r"split must be a Split such as Split\('time', time='when'\)"),
        ({"split": Split(), "validation": ROWS}, "The validation data are given, but the split"),
        ({"validation": 1.5}, "between 0 and 1"),
        ({"in0": "usr"}, "in0 names the column 'usr', .*nearest is 'user'"),
        ({"in1": None}, "in0, label speak of a table, so in1 must name its columns too"),
        ({"learning_rte": 1}, "learning_rte"),
    ],
    ids=["vocab 0", "vocab 1", "classes", "names", "numbers", "words", "preset", "split", "twice",
         "share", "column", "one side", "hyperparameter"],
)  # fmt: skip
def test_a_contradiction_is_one_sentence(given: dict[str, Any], words: str) -> None:
    rows = [{**row, "score": row["stars"] + 0.5} for row in ROWS]
    with pytest.raises((CustomerError, TypeError), match=words) as caught:
        Object2Vec.from_table(rows, **{"label": "stars", **COLUMNS, **SMALL, **given})
    assert re.fullmatch(r"[^\n]+", str(caught.value))


def positive(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["liked"] == "yes"]


def test_without_labels_validation_gets_negatives(caplog: pytest.LogCaptureFixture) -> None:
    split = {"validation": 0.2, "test": 0.2}
    settings = {**SMALL, "epochs": 12, "learning_rate": 0.03}
    model = Object2Vec.from_table(positive(ROWS), in0="user", in1="film", **split, **settings)
    rate = model.hyperparameters["negative_sampling_rate"]
    assert rate > 0 and model.classes_ == [0, 1]
    parts = table_pairs(positive(ROWS), in0="user", in1="film", split=Split(**split)).pairs
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


def test_raw_values_need_no_pyarrow(stars: Object2Vec, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = stars.predict(ROWS), stars.embed(in1=["Film, 1"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    np.testing.assert_array_equal(stars.predict(ROWS), expected[0])
    np.testing.assert_array_equal(stars.embed(in1=["Film, 1"]), expected[1])
    assert len(stars.predict(ROWS, output="pandas")) == len(ROWS)
    for needs in (
        lambda: stars.predict(FRAME),
        lambda: stars.evaluate(ROWS),
        lambda: stars.predict(ROWS, output="arrow"),
        lambda: Object2Vec.from_table(ROWS, label="stars", **COLUMNS),
    ):
        with pytest.raises(CustomerError, match=r"pip install 'object2vec\[table\]'"):
            needs()


def test_rows_that_lack_a_value(stars: Object2Vec, caplog: pytest.LogCaptureFixture) -> None:
    """Each row is answered, and those without a value are not judged, which a line says."""
    holes = FRAME.copy()
    holes.loc[1, "user"] = None
    holes.loc[2, "stars"] = np.nan
    caplog.set_level(logging.WARNING, "object2vec")
    scores = stars.predict(holes)
    assert len(scores) == len(FRAME) and "1 of 230 values of in0" in caplog.messages[-1]
    assert scores[1] == stars.predict([{**ROWS[1], "user": "new"}])[0]
    np.testing.assert_array_equal(np.delete(scores, 1), np.delete(stars.predict(ROWS), 1))
    caplog.clear()
    kept = FRAME.drop([1, 2])
    assert stars.evaluate(holes) == stars.evaluate(kept)
    (line,) = caplog.messages
    assert line.startswith("Left out 2 rows without a value of in0, of in1 or of the label")


def test_tags_that_were_pairs_are_asked_one_at_a_time() -> None:
    genres = {"name": "genres", "explode": True}
    model = Object2Vec.from_table(ROWS, in0="film", in1=genres, **SMALL)
    assert model.embed(in1=["War", ["Crime"]]).shape == (2, 8)
    for ask in (
        lambda: model.embed(in1=["War", "Comedy|Crime"]),
        lambda: model.predict([("Film, 1", "War"), ("Film, 1", ["Comedy", "Crime"])]),
    ):
        with pytest.raises(CustomerError, match=r"in1 holds 2 of 'genres' .* \(instance 1, count"):
            ask()
    with pytest.raises(CustomerError, match="in1 holds 2 of 'genres'"):
        model.predict(ROWS)


def test_what_is_no_pair_is_refused(stars: Object2Vec, tmp_path: Path) -> None:
    for ask, words in (
        (lambda: stars.predict([{"usr": "u1", "film": "Film, 1"}]),
         r"Instance 0, .* columns user and film, genres, but holds usr, .* nearest is 'usr'"),
        (lambda: stars.predict(FRAME.rename(columns={"film": "Films"})), "nearest is 'Films'"),
        (lambda: stars.predict([("u1", {"filn": "Film, 1"})]), "in1 has no column 'filn'"),
        (lambda: stars.predict({"in0": "u1", "in1": "Film, 1"}), "Pairs must be an iterable"),
        (lambda: stars.predict(tmp_path / "none.csv"), "There is no table"),
        (lambda: stars.embed(in1="Film, 1"), "The objects of in1 must be a list"),
        (lambda: stars.embed(in1="Film, 1", output="pandas"), "The objects of in1 must be a list"),
        (lambda: stars.embed(in1=[["Film, 1"]]), "in1 must hold integers only"),
        (lambda: stars.evaluate(FRAME.drop(columns="stars")), "label names the column 'stars'"),
        (lambda: stars.evaluate([{"in0": "u1", "in1": "Film, 1"}]), "label is missing"),
        (lambda: stars.evaluate([]), "holds no pair"),
    ):  # fmt: skip
        with pytest.raises(CustomerError, match=words) as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_a_label_of_no_class_is_refused(liked: Object2Vec) -> None:
    for rows in (
        [{**ROWS[0], "liked": "perhaps"}],
        [{"in0": "u1", "in1": "Film, 1", "label": "perhaps"}],
        [{"in0": "u1", "in1": "Film, 1", "label": 2}],
    ):
        with pytest.raises(CustomerError, match="label"):
            liked.evaluate(rows)
    stars = Object2Vec.from_table(
        ROWS, in0="user", in1="film", label="stars", output_layer="softmax", **SMALL
    )
    with pytest.raises(CustomerError, match="a whole number from 0 to 5, found 6"):
        stars.evaluate([{**ROWS[0], "stars": 6}])


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
    with pytest.raises(CustomerError, match=r"y is for pairs without labels; of a table"):
        model.fit(ROWS, y=FRAME.stars, **COLUMNS)


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
