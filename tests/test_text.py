# SPDX-License-Identifier: Apache-2.0
"""Tests of text.py and of the guards of errors and the log: what goes out is short and prints."""

from __future__ import annotations

import io
import json
import logging
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from object2vec.errors import CustomerError, failure_text
from object2vec.hyperparameters.checked import parse
from object2vec.hyperparameters.rules import OF_IN_BATCH_SOFTMAX
from object2vec.hyperparameters.table import HYPERPARAMETERS
from object2vec.logs import LOGGER_NAME, LineFormatter, logging_to
from object2vec.serving.worker import WorkerFormatter
from object2vec.text import (
    LONGEST_SENTENCE,
    bounded,
    counted,
    escaped,
    named,
    names,
    quoted,
    shown,
    whole_number,
)

pytestmark = pytest.mark.own_way

# A line break, an escape code, a line of Unicode, a turn of direction, half a character.
HOSTILE = "a\nb\r\x1b[2J\u2028\u202e\ud800\x85\x00"
HOSTILE_ESCAPED = r"a\nb\r\x1b[2J\u2028\u202e\ud800\x85\x00"
MEGABYTES = 5_000_000
fixed = settings(derandomize=True, max_examples=100)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.fixture(scope="module")
def huge_values() -> list[Any]:
    return [
        "k" * MEGABYTES,
        "\x1b" * MEGABYTES,
        {"k" * MEGABYTES: 1},
        {"a": {"b": ["k" * MEGABYTES]}},
        list(range(MEGABYTES // 10)),
        nested(1000),
        nested(100_000),
        10**5000,
        -(10**5000),
        [10**5000],
        b"k" * MEGABYTES,
    ]


def test_huge_values_are_shown_short(huge_values: list[Any]) -> None:
    assert all(0 < len(shown(value)) <= 60 for value in huge_values)
    assert all(0 < len(quoted(value)) <= 80 for value in huge_values)
    assert shown(10**5000) == quoted(10**5000) == "a number of about 5000 digits"


@pytest.mark.parametrize(
    ("value", "as_json", "as_python"),
    [
        ([1, 2.5, None, True, "x"], '[1,2.5,null,true,"x"]', "[1, 2.5, None, True, 'x']"),
        ({"a": [], "b": {}}, '{"a":[],"b":{}}', "{'a': [], 'b': {}}"),
        ((1, ()), "(1,())", "(1, ())"),
        ([(1,), {"a": (2,)}], '[(1),{"a":(2)}]', "[(1,), {'a': (2,)}]"),
        ('say "é"', '"say \\"é\\""', "'say \"é\"'"),
        (math.nan, "nan", "nan"),
        (HOSTILE, r'"a\nb\r\u001b[2J\u2028\u202e\ud800\x85\u0000"', f"'{HOSTILE_ESCAPED}'"),
        ("x" * 100, '"' + "x" * 56 + "...", "'" + "x" * 76 + "..."),
    ],
)
def test_values_are_shown_as_they_are_written(value: Any, as_json: str, as_python: str) -> None:
    assert (shown(value), quoted(value)) == (as_json, as_python)


def test_an_object_that_cannot_be_shown_is_named() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert shown([Broken()]) == quoted([Broken()]) == "[<Broken>]"


@settings(derandomize=True, max_examples=40)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_all_values_are_shown_in_print(value: Any) -> None:
    assert shown(value).isprintable() and len(shown(value)) <= 60
    assert quoted(value).isprintable() and len(quoted(value)) <= 80


@fixed
@given(st.text(), st.integers(10, 40))
def test_bounded_text_prints_and_keeps_both_ends(text: str, limit: int) -> None:
    out = bounded(text, limit)
    assert out.isprintable() and len(out) <= limit
    if len(escaped(text)) <= limit:
        assert out == escaped(text)
    else:
        half = limit // 2
        assert out[half] == "…" and out[:half] == escaped(text)[:half]
        assert escaped(text).endswith(out[half + 1 :])


def test_names() -> None:
    assert named(HOSTILE) == HOSTILE_ESCAPED
    assert len(named("x" * 5000)) == 300
    assert names(["a", "b\n"]) == r"a, b\n"
    assert names(map(str, range(100))) == "0, 1, 2, 3, 4, 5, 6, 7, …"
    assert names([]) == ""


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1), ("50", 50), ("0050", 50), ("0" * 5000 + "7", 7), ("0", None), ("51", None),
        ("9" * 5000, None), ("", None), ("-1", None), ("+1", None), (" 1", None), ("1_0", None),
        ("²", None), ("٣", None), ("1.0", None),
    ],
)  # fmt: skip
def test_whole_numbers_of_any_length(text: str, number: int | None) -> None:
    assert whole_number(text, 1, 50) == number


# ------------------------------------------------------------------------------------ last guards


def test_an_error_is_one_short_line_whatever_it_quotes() -> None:
    assert str(CustomerError(f"'{HOSTILE}' is no name.")) == f"'{HOSTILE_ESCAPED}' is no name."
    error = CustomerError(f"found {'k' * MEGABYTES} instead.")
    assert len(str(error)) == LONGEST_SENTENCE
    assert str(error).startswith("found kkk") and str(error).endswith("kkk instead.")
    assert len(failure_text(ValueError("k" * MEGABYTES))) == LONGEST_SENTENCE
    assert failure_text(ValueError("\x1b[2J")) == r"Algorithm Error: ValueError: \x1b[2J"


def test_an_error_of_every_hyperparameter_stays_whole() -> None:
    # any text may name a column
    is_name = {item.name: item.kind in ("column", "columns") for item in HYPERPARAMETERS}
    wrong = {name: 10**4000 if is_name[name] else "k" * 5000 for name in is_name}
    with pytest.raises(CustomerError) as caught:
        parse({**wrong, **{f"{'u' * 5000}{n}": 1 for n in range(100)}})
    text = str(caught.value)
    # these are ignored without in_batch_softmax
    assert all(f"'{name}' should" in text for name in wrong.keys() - {*OF_IN_BATCH_SOFTMAX})
    assert "80 more names are unknown." in text
    assert len(text) < LONGEST_SENTENCE


def logged(*arguments: Any, **more: Any) -> list[str]:
    stream = io.StringIO()
    with logging_to(stream):
        logging.getLogger(LOGGER_NAME).error(*arguments, **more)
    return stream.getvalue().split("\n")[:-1]


def test_a_log_line_is_one_short_line_whatever_it_quotes(huge_values: list[Any]) -> None:
    (line,) = logged("found %s", HOSTILE)
    assert line.endswith(f"] found {HOSTILE_ESCAPED}")
    (line,) = logged("found %s", "k" * MEGABYTES)
    assert len(line) < LONGEST_SENTENCE + 100
    configuration = {"a": [1, (2,), {"b": None}], "c": 0.5, "d": "e"}
    (line,) = logged("given: %s, %d", configuration, 3)
    assert line.endswith(f"] given: {configuration}, 3")
    (line,) = logged("given: %s", configuration)
    assert line.endswith(f"] given: {configuration}")
    for huge in huge_values:
        (line,) = logged("given: %s", {"a": huge})
        assert "given: {'a': " in line and len(line) < LONGEST_SENTENCE + 100
    (line,) = logged("\tTraining metrics: %s", {"a": 1})
    assert line.endswith("\tTraining metrics: {'a': 1}")


def test_metrics_stay_whole() -> None:
    document = {"Host": "h\u2028", **{f"metric {n}": n for n in range(1000)}}
    (line,) = logged(f"#metrics {json.dumps(document)}")
    assert json.loads(line.removeprefix("#metrics ")) == document
    (line,) = logged("#metrics %s", HOSTILE)
    assert line == f"#metrics {HOSTILE_ESCAPED}"


@pytest.mark.parametrize("formatter", [LineFormatter(), WorkerFormatter()])
def test_tracebacks_are_short_and_print(formatter: logging.Formatter) -> None:
    try:
        raise ValueError(f"{HOSTILE} {'k' * MEGABYTES}\n" * 3)
    except ValueError as error:
        record = logging.LogRecord("a", 40, "f", 1, "It failed:", (), (type(error), error, None))
    lines = formatter.format(record).split("\n")
    assert all(line.isprintable() and len(line) <= 1100 for line in lines)
    assert sum(map(len, lines)) < 20_000
    assert sum("ValueError" in line for line in lines) == 1
    assert r"b\r\x1b[2J\u2028" in "".join(lines)


def test_the_worker_indents_what_follows_a_first_line() -> None:
    try:
        raise ValueError("x\n[PID] 1")
    except ValueError as error:
        record = logging.LogRecord("a", 40, "f", 1, "It failed:", (), (type(error), error, None))
    first, *rest = WorkerFormatter().format(record).split("\n")
    assert first.endswith("It failed:") and rest
    assert all(line.startswith("    ") for line in rest)


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 pairs"), (1, "1 pair"), (2, "2 pairs"), (12345, "12,345 pairs")]
)
def test_a_count_agrees_with_its_noun(number: int, text: str) -> None:
    assert counted(number, "pair") == text
