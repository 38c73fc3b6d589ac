# SPDX-License-Identifier: Apache-2.0
"""What a model of a table answers: raw values, rows and ids alike, as arrays and tables."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pytest
from raw_rows import COLUMNS, FRAME, ROWS, SMALL, ids, write_csv

from object2vec import Object2Vec
from object2vec.cli import main
from object2vec.errors import CustomerError
from object2vec.prepare.delimited import Layout
from object2vec.prepare.tables import open_by_names


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


@pytest.mark.parametrize("mark", [",", "~"], ids=["comma", "tilde"])
def test_files_without_a_header(mark: str, tmp_path: Path) -> None:
    path, layout = tmp_path / "table.txt", Layout(mark, header=False)
    columns = ["user", "genres", "stars"]
    FRAME[columns].to_csv(path, sep=mark, header=False, index=False)
    model = Object2Vec.from_table(path, in0=0, in1=1, label=2, layout=layout, **SMALL)
    expected = model.predict(FRAME[columns].set_axis(["0", "1", "2"], axis=1))
    given = {} if mark == "," else {"layout": layout}
    np.testing.assert_array_equal(model.predict(path, **given), expected)
    found = model.predict(path, output="pandas", **given)
    assert list(found) == ["0", "1", "2", "predicted"]
    np.testing.assert_array_equal(found["predicted"], expected)
    error = model.evaluate(path, **given)["mean_squared_error"]
    assert error == pytest.approx(np.mean((expected - FRAME.stars) ** 2), rel=1e-5)


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
        cold, stars.embed(in1=[[*6 * [0], place], [*6 * [1], place], [*6 * [0], 23]])
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
        pd.testing.assert_frame_equal(found, FRAME.assign(predicted=scores))
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


def test_numbers_of_a_file_come_back_as_numbers(stars: Object2Vec, tmp_path: Path) -> None:
    path = tmp_path / "asked.csv"
    path.write_text(
        "user,film,genres,stars,share,code,note\n"
        'u1,"Film, 1",War,4,0.5,007,\nu2,"Film, 2",Crime,,-2e3,12,1\n'
    )
    found = stars.predict(path, output="pandas")
    kinds = {name: found[name].dtype.kind for name in ("user", "stars", "share", "code", "note")}
    assert kinds == {"user": "O", "stars": "f", "share": "f", "code": "O", "note": "f"}
    assert (found.stars - found.predicted).notna().tolist() == [True, False]
    assert stars.predict(path, output="arrow")["stars"].to_pylist() == [4, None]
    assert found.code.tolist() == ["007", "12"] and found.share.tolist() == [0.5, -2000.0]


@pytest.mark.parametrize(
    ("first", "header"),
    [("u1,3,5", False), ("1,3,5", False), ("0,3,5", False), ("0,1,2", True), ("1,0", True),
     ("0,1,stars", True)],
    ids=lambda value: str(value).replace(",", "_"),
)  # fmt: skip
def test_only_a_header_that_counts_the_columns_is_one(
    first: str, header: bool, tmp_path: Path
) -> None:
    path = tmp_path / "asked.csv"
    path.write_text(f"{first}\n{first}\n")

    def has_header(*groups: list[str]) -> bool:
        table = open_by_names(path, *groups)
        return sum(batch.rows for batch in table.batches(table.names[:1])) == 1

    assert has_header(["0"], ["1"]) == header
    assert has_header(["user"], ["1"])
    # of two sides one may be there alone, but then not both positions
    assert has_header(["0"], ["7"]) == ("0" in first.split(","))


def test_a_row_that_holds_the_number_of_a_column_is_answered(tmp_path: Path) -> None:
    """It was taken for a header: a row less was answered, by embeddings instead of scores."""
    rows = [(user, film, 1 + (user + film) % 5) for user in range(8) for film in range(1, 9)]
    paths = [tmp_path / name for name in ("train.csv", "asked.csv")]
    for path, some in zip(paths, (rows, rows[2:6])):
        path.write_text("".join("{},{},{}\n".format(*row) for row in some))
    bare = Layout(header=False)
    model = Object2Vec.from_table(
        paths[0], in0="0", in1="1", label="2", layout=bare, **{**SMALL, "epochs": 1}
    )
    expected = model.predict([row[:2] for row in rows[2:6]])
    assert rows[2][:2] == (0, 3)
    np.testing.assert_array_equal(model.predict(paths[1]), expected)
    assert model.predict(paths[1], output="pandas")["predicted"].tolist() == expected.tolist()
    assert model.evaluate(paths[1]) == model.evaluate(paths[1], layout=bare)
    model.save(tmp_path / "model")
    answers = tmp_path / "answers"
    asked = ["--input", str(paths[1]), "--output", str(answers)]
    assert main(["predict", "--model-dir", str(tmp_path / "model"), *asked]) == 0
    found = [json.loads(line)["scores"] for line in answers.read_text().splitlines()]
    np.testing.assert_allclose(np.ravel(found), expected, rtol=1e-6)
