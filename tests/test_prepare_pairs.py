# SPDX-License-Identifier: Apache-2.0
"""Pairs, splits and channels of real and small tables, against counts made another way."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from object2vec.data.dataset import read_channel
from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import parse
from object2vec.prepare import count_values
from object2vec.prepare.delimited import Layout
from object2vec.prepare.splits import Split
from object2vec.prepare.table_choice import TableChoice
from object2vec.prepare.table_pairs import encode_table, table_pairs
from object2vec.prepare.write_channels import write_channels, write_lines
from object2vec.raw_values.encode_values import encode_side
from object2vec.raw_values.inputs import Bins, Inputs, Vocabulary
from object2vec.raw_values.inputs_file import inputs_bytes, parse_inputs, read_inputs
from object2vec.raw_values.tokenizers import words

pytestmark = pytest.mark.own_way

NO_HEADER = Layout(header=False)
PEOPLE = pd.DataFrame(
    {
        "user": ["a", "b", "a", "c", None],
        "age": [20.0, None, 35.0, 60.0, 20.0],
        "film": ["x", "y", "z", "x", "y"],
        "genres": ["D|C", "", "C", "D", "D|H"],
    }
)


def values_of(inputs: Inputs, name: str) -> tuple[str, ...]:
    vocabulary = inputs.vocabularies[name]
    assert isinstance(vocabulary, Vocabulary)
    return vocabulary.values


def test_ratings(data_dir: Path) -> None:
    found = table_pairs(
        data_dir / "ml-100k/ua.base", TableChoice(in0=0, in1=1, label=2, layout=NO_HEADER)
    )
    rows = np.loadtxt(data_dir / "ml-100k/ua.base", np.int64)
    for side, column in (("in0", 0), ("in1", 1)):
        counts = Counter(map(str, rows[:, column].tolist()))
        wanted = sorted(counts, key=lambda value: (-counts[value], value))
        assert list(values_of(found.inputs, f"{side}.0")) == wanted
        ids = {value: place for place, value in enumerate(wanted, 1)}
        tokens = getattr(found.pairs["train"], side).tokens
        assert tokens.tolist() == [ids[str(value)] for value in rows[:, column].tolist()]
    np.testing.assert_array_equal(found.pairs["train"].labels, rows[:, 2])
    test, report = encode_table(found.inputs, data_dir / "ml-100k/ua.test", layout=NO_HEADER)
    unseen = set(np.loadtxt(data_dir / "ml-100k/ua.test", np.int64)[:, 1]) - set(rows[:, 1])
    assert len(test) == 9430 and report.unknown["in1"] >= len(unseen) > 0


def test_plots_and_genres(data_dir: Path) -> None:
    path = data_dir / "movies/top10K-TMDB-movies.csv.gz"
    found = table_pairs(path, TableChoice(in0="plot", in1={"name": "genres", "explode": True}))
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))
    genres = [json.loads(row["genres"].replace("'", '"')) for row in rows if row["plot"]]
    assert len(found.pairs["train"]) == sum(map(len, genres))
    texts = [row["plot"] for row in rows if row["plot"]]
    assert found.inputs.in0.max_length == max(len(words(text)) for text in texts)
    lists = encode_side(found.inputs, "in0", texts)
    repeated = lists.take(np.repeat(np.arange(len(texts)), [len(each) for each in genres]))
    np.testing.assert_array_equal(found.pairs["train"].in0.tokens, repeated.tokens)
    np.testing.assert_array_equal(found.pairs["train"].in0.offsets, repeated.offsets)


def test_features_have_names_spaces_bins_weights_and_missing_values() -> None:
    found = table_pairs(
        PEOPLE,
        TableChoice(
            in0=[
                {"name": "user", "repeat": 2},
                {"name": "age", "kind": "number", "bins": [30, 50]},
            ],
            in1=["film", {"name": "genres", "separator": "|"}],
        ),
    )
    # user: unknown 0, missing 1, a 2, b 3, c 4; age: unknown 5, missing 6, below 30 7, 8, 9
    in0 = [found.pairs["train"].in0[row].tolist() for row in range(5)]
    assert in0 == [[2, 2, 7], [3, 3, 6], [2, 2, 8], [4, 4, 9], [1, 1, 7]]
    # film: x 2, y 3, z 4; genres: unknown 5, missing 6, D 7, C 8, H 9
    in1 = [found.pairs["train"].in1[row].tolist() for row in range(5)]
    assert in1 == [[2, 7, 8], [3, 6], [4, 8], [2, 7], [3, 7, 9]]
    assert found.inputs.sizes() == {
        "enc0_vocab_size": 10, "enc0_max_seq_len": 3,
        "enc1_vocab_size": 10, "enc1_max_seq_len": 3, "num_classes": 2,
    }  # fmt: skip
    cold = [{"user": "new", "age": 35}, {"age": "35"}, "a", {"age": "old"}]
    lists = encode_side(found.inputs, "in0", cold)
    assert [lists[row].tolist() for row in range(4)] == [[0, 0, 8], [1, 1, 8], [2, 2, 6], [1, 1, 5]]
    assert found.inputs.unseen("in0", lists) == 3


cells = st.one_of(
    st.none(), st.text(max_size=6), st.integers(), st.floats(allow_nan=True), st.booleans()
)
records = st.fixed_dictionaries(
    {
        "id": cells,
        "number": st.one_of(st.none(), st.floats(allow_infinity=False), st.text(max_size=3)),
        "text": st.one_of(st.none(), st.text(max_size=30)),
        "tags": st.one_of(st.none(), st.lists(st.text(max_size=3), max_size=3)),
    }
)


@settings(max_examples=60)
@given(st.lists(records, min_size=1, max_size=12))
def test_requests_are_encoded_as_tables_are(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["other"] = "x"
    rows.append({"id": "one", "number": 1, "text": "some words", "tags": ["t"], "other": "x"})
    columns = [{"name": name, "kind": name} for name in ("id", "number", "text", "tags")]
    found = table_pairs(rows, TableChoice(in0=columns, in1="other"))
    inputs = parse_inputs(inputs_bytes(found.inputs))
    named = [{key: value for key, value in row.items() if key != "other"} for row in rows]
    lists = encode_side(inputs, "in0", named)
    pairs = found.pairs["train"]
    if found.report.left_out == 0:
        np.testing.assert_array_equal(lists.tokens, pairs.in0.tokens)
        np.testing.assert_array_equal(lists.offsets, pairs.in0.offsets)


@pytest.mark.parametrize("both", [True, False], ids=["one column", "two columns"])
def test_a_column_that_is_both_sides_is_counted_once(both: bool) -> None:
    frame = pd.DataFrame({"a": ["x y", "y z", "w"], "b": ["x y", "y z", "w"]})
    sides = [{"name": name, "kind": "text", "min_count": 2} for name in ("a", "a" if both else "b")]
    made = table_pairs(frame, TableChoice(in0=sides[0], in1=sides[1], tied=True))
    (found,) = made.inputs.vocabularies.values()
    assert isinstance(found, Vocabulary)
    assert sorted(found.values) == (["y"] if both else ["w", "x", "y", "z"])


def test_tied_texts_share_ids() -> None:
    rows = [{"a": "the cat sat", "b": "a dog"}, {"a": "a dog", "b": "the bird"}]
    given = {"kind": "text"}
    found = table_pairs(
        rows, TableChoice(in0={"name": "a", **given}, in1={"name": "b", **given}, tied=True)
    )
    pairs = found.pairs["train"]
    assert pairs.in0[1].tolist() == pairs.in1[0].tolist()
    assert found.inputs.vocab_size("in0") == found.inputs.vocab_size("in1") == 7


def test_labels() -> None:
    rows = [{"a": 1, "b": 2, "l": label} for label in ("good", "bad", "good")]
    found = table_pairs(rows, TableChoice(in0="a", in1="b", label="l"))
    assert found.inputs.label.classes == ("bad", "good")
    assert found.pairs["train"].labels.tolist() == [1, 0, 1]
    with pytest.raises(CustomerError, match=r"one of bad, good \(the nearest is 'good'\), found"):
        encode_table(found.inputs, [{"a": 1, "b": 2, "l": "goood"}])
    names = table_pairs(
        [{"a": 1, "b": 2, "l": label} for label in ("10", "9", "1")],
        TableChoice(in0="a", in1="b", label="l", label_kind="class"),
    )  # fmt: skip
    assert names.inputs.label.classes == ("1", "9", "10")
    assert names.inputs.sizes()["num_classes"] == 3


def test_nothing_known() -> None:
    found = table_pairs(PEOPLE, TableChoice(in0="user", in1="film"))
    with pytest.raises(CustomerError, match=r'No value of "film" in .* is known to in1'):
        encode_table(found.inputs, [{"user": "a", "film": "new"}])
    with pytest.raises(CustomerError, match=r"no column 'usr' \(the nearest is 'user'\).*inst"):
        encode_side(found.inputs, "in0", ["a", {"usr": "a"}])
    with pytest.raises(CustomerError, match="column 'user' of instance 1"):
        encode_side(found.inputs, "in0", ["a", {"user": {"a": 1}}])
    for one in ("a", {"user": "a"}):
        with pytest.raises(CustomerError, match=r"of in0 must be a list, found .*list of its own"):
            encode_side(found.inputs, "in0", one)
    with pytest.raises(ValueError, match="side must be 'in0' or 'in1', found 'in2'"):
        encode_side(found.inputs, "in2", ["a"])


def test_quantile_bins(rng: np.random.Generator) -> None:
    numbers = rng.normal(size=5000)
    frame = pd.DataFrame({"a": ["x"] * 5000, "n": numbers, "b": "y"})
    found = table_pairs(frame, TableChoice(in0=["a", {"name": "n", "bins": 4}], in1="b"))
    edges = found.inputs.vocabularies["in0.1"]
    assert isinstance(edges, Bins)
    counts = np.bincount(found.pairs["train"].in0.tokens[1::2] - 5)
    assert len(edges.edges) == 3 and np.abs(counts - 1250).max() <= 2


def events(rng: np.random.Generator) -> pd.DataFrame:
    n = 3000
    return pd.DataFrame(
        {"u": rng.integers(100, size=n), "f": rng.integers(50, size=n), "row": np.arange(n) % 29,
         "t": rng.permutation(n)}
    )  # fmt: skip


SPLITS = {
    "random": Split("random", 0.2, 0.1, seed=5),
    "group": Split("group", 0.2, 0.1, by="u", seed=5),
    "time": Split("time", 0.2, 0.1, time="t"),
    "leave_one_out": Split("leave_one_out", 0.2, 0.1, by="u", time="t"),
    "leave_a_random_one_out": Split("leave_one_out", 0.2, 0, by="u", seed=5),
}


@pytest.mark.parametrize("name", SPLITS)
def test_splits(
    name: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    frame = events(rng)
    order = {"name": "t", "kind": "id"}
    found = table_pairs(frame, TableChoice(in0="u", in1=["f", order], split=SPLITS[name]))
    monkeypatch.setattr("object2vec.prepare.tables.ROWS_AT_ONCE", 7)
    again = table_pairs(frame, TableChoice(in0="u", in1=["f", order], split=SPLITS[name]))
    assert inputs_bytes(again.inputs) == inputs_bytes(found.inputs)
    for split, pairs in found.pairs.items():
        np.testing.assert_array_equal(pairs.in0.tokens, again.pairs[split].in0.tokens)
    assert sum(map(len, found.pairs.values())) == 3000
    sizes = {split: len(pairs) for split, pairs in found.pairs.items()}
    users = frame["u"].nunique()
    if name == "time":
        assert sizes == {"train": 2100, "validation": 600, "test": 300}
        assert set(values_of(found.inputs, "in1.1")) == {str(n) for n in range(2100)}
    elif name == "random":
        assert 450 < sizes["validation"] < 750 and 200 < sizes["test"] < 400
    elif name == "group":
        seen = set(map(int, values_of(found.inputs, "in0.0")))
        assert sizes["train"] == int(frame["u"].isin(seen).sum())
        assert found.report.unknown["in0"] == 3000 - sizes["train"]
    elif name == "leave_one_out":
        assert sizes == {"train": 3000 - 2 * users, "validation": users, "test": users}
        last = frame.sort_values("t").groupby("u").tail(2)["t"]
        assert set(map(str, last)).isdisjoint(values_of(found.inputs, "in1.1"))
    else:
        assert sizes == {"train": 3000 - users, "validation": users}


def test_channels_are_what_pairs_are(tmp_path: Path, rng: np.random.Generator) -> None:
    frame = events(rng)
    frame["label"] = rng.integers(5, size=len(frame)) / 2
    given: dict[str, Any] = {
        "in0": ["u", {"name": "row", "kind": "number"}], "in1": "f", "label": "label",
        "split": Split("random", 0.2, 0.1),
    }  # fmt: skip
    found = table_pairs(frame, TableChoice(**given))
    inputs, _ = write_channels(tmp_path / "new/out", frame, TableChoice(**given))
    assert inputs == found.inputs == read_inputs(tmp_path / "new/out/auxiliary/inputs.json")
    sizes = {name: str(n) for name, n in inputs.sizes().items()}
    hyperparameters, _ = parse(
        {**sizes, "output_layer": "mean_squared_error", "enc1_network": "hcnn"}
    )
    for name, pairs in found.pairs.items():
        read = read_channel(tmp_path / "new/out" / name, hyperparameters)
        np.testing.assert_array_equal(read.in0.tokens, pairs.in0.tokens)
        np.testing.assert_array_equal(read.in1.tokens, pairs.in1.tokens)
        np.testing.assert_array_equal(read.in0.offsets, pairs.in0.offsets)
        np.testing.assert_array_equal(read.labels, pairs.labels)


def test_lines_of_odd_labels() -> None:
    rows = [{"a": 1, "b": 2, "l": label} for label in (0.1, -3, 1e-7, 3e38)]
    stream = io.BytesIO()
    pairs = table_pairs(rows, TableChoice(in0="a", in1="b", label="l")).pairs["train"]
    write_lines(stream, pairs)
    labels = [json.loads(line)["label"] for line in stream.getvalue().splitlines()]
    np.testing.assert_array_equal(np.array(labels, np.float32), pairs.labels)


def test_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("u,f,r\n" + "a,x,1\n" * 100 + "b,y,1,2\n")
    with pytest.raises(CustomerError, match="line 102, has 4 fields"):
        write_channels(
            tmp_path / "out", tmp_path / "a.csv", TableChoice(in0="u", in1="f", label="r")
        )
    (tmp_path / "b.csv").write_text("u,f\na,x\n")
    with pytest.raises(CustomerError, match="No row of the table's 1 falls to validation"):
        write_channels(
            tmp_path / "out",
            tmp_path / "b.csv",
            TableChoice(in0="u", in1="f", split=Split("random", 1e-9)),
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]
    (tmp_path / "file").write_text("")
    with pytest.raises(CustomerError, match="cannot be written to"):
        write_channels(tmp_path / "file/out", tmp_path / "b.csv", TableChoice(in0="u", in1="f"))


def test_mxnet_stays_away() -> None:
    code = (
        "import sys; from object2vec.prepare import table_pairs, write_channels; "
        "assert not {'mxnet', 'pyarrow', 'pandas'} & set(sys.modules); "
        "sys.modules['pyarrow'] = None; from object2vec.prepare.arrow import arrow_module; "
        "arrow_module()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "object2vec[table]" in done.stderr, done.stderr


@pytest.mark.parametrize("further", [False, True], ids=["alone", "beside another"])
def test_values_get_the_same_ids_in_arrow_as_in_python(
    further: bool, rng: np.random.Generator, tmp_path: Path
) -> None:
    """Texts are looked up in Arrow, but for those that may be numbers."""
    plain = [*"abcdé", "東", "", "1", "-0", "x.0y", "null", " a"]
    for values in (plain, [*plain, "1.0", "-3.0", "00.0", "a.0"]):
        rows = [
            {"u": str(rng.choice(values)), "v": str(rng.choice(values)), "f": f"f{row % 5}"}
            for row in range(300)
        ]
        path = tmp_path / "table.csv"
        path.write_text("u,v,f\n" + "".join('"{u}","{v}",{f}\n'.format(**row) for row in rows))
        in0 = ["u", "v"] if further else "u"
        choice = TableChoice(in0=_ids_of(in0, min_count=20), in1="f")
        found = table_pairs(path, choice)
        kept = [row for row in rows if row["u"] or (further and row["v"])]
        assert len(kept) == len(found.pairs["train"])
        names = found.inputs.in0.names
        expected = encode_side(
            found.inputs, "in0", [{name: row[name] for name in names} for row in kept]
        )
        lists = found.pairs["train"].in0
        np.testing.assert_array_equal(lists.tokens, expected.tokens)
        np.testing.assert_array_equal(lists.offsets, expected.offsets)
        # the same rows from Python
        again = table_pairs([{k: v or None for k, v in row.items()} for row in rows], choice)
        assert again.inputs == found.inputs


def _ids_of(columns: Any, **more: Any) -> Any:
    given = columns if isinstance(columns, list) else [columns]
    return [{"name": name, "kind": "id", "repeat": 1, **more} for name in given]


def test_texts_are_counted_across_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count_values, "_FEW_PARTS", 3)
    counter = count_values.ValueCounter()
    counter.add(["b", "a", "b"], np.array([1, 2, 3]))
    assert counter.most_frequent(1, 9) == ("b", "a")
    for _ in range(5):
        counter.add(["a", "c"], np.array([1, 2**40]))
    counter.add(pa.array(["d", "b"]), np.array([1, 9]))
    assert counter.most_frequent(1, 9) == ("c", "b", "a", "d")
    assert counter.most_frequent(2, 2) == ("c", "b")
    assert count_values.ValueCounter().most_frequent(1, 9) == ()
