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
from object2vec.prepare.tokens import AS_LIST, separator_of, tags, words
from object2vec.prepare.values import canonical, canonical_all, number

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
