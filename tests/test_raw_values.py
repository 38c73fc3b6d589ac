# SPDX-License-Identifier: Apache-2.0
"""One value is the same value wherever it comes from: a file, a frame, a request."""

from __future__ import annotations

import datetime
import decimal
import math
import time
import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from object2vec.errors import CustomerError
from object2vec.raw_values import tokenizers
from object2vec.raw_values.cell_values import canonical, canonical_all, number
from object2vec.raw_values.encode_values import encode_side
from object2vec.raw_values.inputs import Column, Inputs, Label, Side, Vocabulary
from object2vec.raw_values.tokenizers import AS_LIST, NORMAL_FORMS, separator_of, tags, words

pytestmark = pytest.mark.own_way

UUID = uuid.UUID("12345678123456781234567812345678")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("u17", "u17"), (17, "17"), (17.0, "17"), ("17.0", "17"), (np.float32(17), "17"),
        (np.int64(-3), "-3"), (-3.0, "-3"), (10**30, "1" + "0" * 30), (1e22, "1" + "0" * 22),
        ("007", "007"), ("007.0", "007.0"), ("-0.0", "0"), (-0.0, "0"), (0.5, "0.5"),
        (decimal.Decimal("17.00"), "17"), (True, "true"), (np.bool_(False), "false"),
        (UUID, str(UUID)), (datetime.date(2020, 1, 2), "2020-01-02"), (b"x", "x"),
        (None, None), (math.nan, None), ("", None), (np.float64("nan"), None), (" ", " "),
        ("1.0.0", "1.0.0"), (".0", ".0"),
    ],
)  # fmt: skip
def test_canonical(value: Any, text: str) -> None:
    assert canonical(value) == text
    assert canonical_all([value]) == [canonical(value)]


@pytest.mark.parametrize(
    "value", [{"a": 1}, object(), b"\xff", 10**5000], ids=["dict", "object", "bytes", "digits"]
)
def test_no_value_of_a_cell(value: Any) -> None:
    with pytest.raises(CustomerError):
        canonical(value)


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans()))
def test_the_text_of_a_value_stands_for_itself(value: Any) -> None:
    text = canonical(value)
    assert canonical(text) == text
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        assert canonical(float(value)) == text or value == 0


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("3.5", 3.5), (" 4 ", 4.0), (True, 1.0), ("true", None), ("1_000", None), ("inf", None),
     ("abc", None), (7, 7.0), (datetime.date(2020, 1, 2), None), (1e400, None)],
)  # fmt: skip
def test_number(value: Any, wanted: Any) -> None:
    assert number(value) == wanted


@pytest.mark.parametrize("value", ["", None, "NaN", "NULL", "n/a", math.nan])
def test_missing_number(value: Any) -> None:
    assert math.isnan(number(value) or 0.0)


def test_words() -> None:
    assert words("A soccer game, isn't it?") == ["a", "soccer", "game", "isn't", "it"]
    assert words("Don’t ﬁnd CAFE\u0301!") == ["don't", "find", "café"]
    assert words("Don't", lower=False) == ["Don't"]
    assert words("日本の映画 2019年") == ["日", "本", "の", "映", "画", "2019", "年"]
    assert words("snake_case x-ray") == ["snake", "case", "x", "ray"]
    assert words("?!") == []


@settings(max_examples=200)
@given(st.text(st.characters(max_codepoint=126)))
def test_ascii_takes_no_way_of_its_own(text: str) -> None:
    assert words(text + " é") == [*words(text), "é"]


@pytest.mark.parametrize("form", ["NFKC", "NFC"])
@pytest.mark.parametrize("marks", ["\u0301\u0316", "\u0f73\u0301", "\uff9e\u0316\u0301"])
@pytest.mark.timeout(20)
def test_a_run_of_marks_takes_no_time(marks: str, form: str) -> None:
    text = "cafe" + marks * 100_000 + " noir"
    start = time.monotonic()
    assert words(text, form=form)[-1] == "noir"
    assert time.monotonic() - start < 5


def test_what_is_no_long_run_of_marks_is_left_alone() -> None:
    # circled letters, signs of units and dashes are no words as they stand
    text = "\u24b6" * 2000 + " " + "\u338f" * 2000 + "\u2014" * 2000 + "e\u0301" * 2000
    assert words(text) == ["a" * 2000, "kg" * 2000, "\xe9" * 2000]
    assert words("e" + "\u0301\u0316" * 200) == words("e" + "\u0301\u0316" * 100)


def test_tags() -> None:
    assert tags("Drama| Crime ||", "|") == ["Drama", "Crime"]
    assert tags("['Drama', \"Rock 'n' Roll\", 'It\\'s']", AS_LIST) == [
        "Drama", "Rock 'n' Roll", "It's"]  # fmt: skip
    assert tags('["caf\\u00e9", 3.0, true]', AS_LIST) == ["café", "3", "true"]
    assert tags("[Drama, Crime]", AS_LIST) == ["Drama", "Crime"]
    assert tags("[]", AS_LIST) == []
    assert separator_of(["['a']", "[]"]) == AS_LIST
    assert separator_of(["a|b", "a"]) == "|"
    assert separator_of(["a;b", "c;d", "e,f"]) == ";"


@pytest.mark.parametrize("mark", ['"', "'"])
def test_quotes_that_nothing_ends_cost_no_more_than_their_length(mark: str) -> None:
    began = time.process_time()
    assert len(tags(f"[{mark}" + f"\\{mark}" * 200_000, "[]")) == 200_000
    # a search from each quote to the end would take minutes
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[Schindler's List, Heat]", ["Schindler", "s List", "Heat"]),
        (r"""["a\"b", 'c\'d', e"f, "g]""", ['a"b', "c'd", "e", "f,", "g"]),
        ("['a, b', \"c]", ["a, b", "c"]),
        ("[a, , ' ', b c ]", ["a", "b c"]),
    ],
)
def test_lists_that_are_no_json(text: str, expected: list[str]) -> None:
    assert tags(text, "[]") == expected


def test_a_long_text_gives_the_words_of_its_parts(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    signs = list("aB'’Σσςé\u0301İ愛あ\u3099\u1100\u1161\ufdfa_.1\n\xa0´가 ")
    texts = []
    for _ in range(300):
        parts = ["".join(rng.choice(signs, rng.integers(5))) for _ in range(12)]
        texts.append(" ".join(parts))
    options = [{"form": form, "lower": lower} for form in NORMAL_FORMS for lower in (True, False)]
    whole = [[words(text, **option) for option in options] for text in texts]
    monkeypatch.setattr(tokenizers, "_PIECE", 5)
    for text, expected in zip(texts, whole):
        assert [words(text, **option) for option in options] == expected
        assert words(text, most=3, **options[0]) == expected[0][:3]


def test_of_a_text_of_megabytes_as_much_is_read_as_a_list_may_hold() -> None:
    inputs = Inputs(
        Side((Column("plot", "text", "in0.0"),), 5),
        Side((Column("user", "id", "in1.0"),)),
        Label("none"),
        {"in0.0": Vocabulary(("é", "b")), "in1.0": Vocabulary(("u",))},
    )
    began = time.process_time()
    lists = encode_side(inputs, "in0", ["é b " * 5_000_000, "é b"])
    assert time.process_time() - began < 2
    assert lists.lengths.tolist() == [5001, 2]
    assert lists[0][:2].tolist() == lists[1].tolist() == [1, 2]


def test_too_many_tags_are_refused_however_they_are_written() -> None:
    inputs = Inputs(
        Side((Column("a", "tags", "in0.0"),), 5),
        Side((Column("b", "tags", "in1.0", separator="[]"),), 5),
        Label("none"),
        {"in0.0": Vocabulary(("x",)), "in1.0": Vocabulary(("x",))},
    )
    for side, name, value in (
        ("in0", "a", ["x"] * 1_000_001),
        ("in0", "a", "x|" * 1_000_001),
        ("in1", "b", "[" + "x," * 1_000_001 + "x]"),
    ):
        match = rf"1,000,000 tags at most \({side}, column '{name}' of instance 0"
        with pytest.raises(CustomerError, match=match):
            encode_side(inputs, side, [value])
