# SPDX-License-Identifier: Apache-2.0
"""The inference formats: what a request may look like, and what its answer looks like."""

from __future__ import annotations

import io
import json
import time
from typing import Any, Optional

import numpy as np
import pytest

from object2vec.errors import CustomerError
from object2vec.serving.answer_formats import Answer, format_answer
from object2vec.serving.instances import InstanceFormat, Request, group_instances
from object2vec.serving.media_types import (
    JSON,
    JSON_LINES,
    ContentType,
    NotAcceptableError,
    UnsupportedMediaTypeError,
    choose_accept,
    parse_content_type,
)
from object2vec.serving.request_formats import parse_body, parse_lines, read_requests

pytestmark = pytest.mark.own_way

MODEL = InstanceFormat((100, 50))


def content(request: Request) -> list[dict[str, list[int]]]:
    """The instances of a request, put back in their order."""
    rows: list[Any] = [None] * request.count
    for group in request.groups:
        for k, position in enumerate(group.positions.tolist()):
            lists: dict[str, Any] = {"in0": group.in0, "in1": group.in1}
            rows[position] = {n: v[k].tolist() for n, v in lists.items() if v is not None}
    return rows


@pytest.mark.parametrize(
    ("header", "media_type", "limits"),
    [
        (None, JSON, None),
        ("", JSON, None),
        ("application/json", JSON, None),
        ("Application/JSON; charset=utf-8", JSON, None),
        ("application/jsonlines", JSON_LINES, None),
        ("application/json-lines", JSON_LINES, None),
        ("application/x-jsonlines;charset=UTF-8", JSON_LINES, None),
        ("application/json; infer_max_seqlens=50,60", JSON, (50, 60)),
        (
            'application/jsonlines;charset=utf-8; INFER_MAX_SEQLENS = "1, 5000"',
            JSON_LINES,
            (1, 5000),
        ),
    ],
)
def test_content_types(
    header: Optional[str], media_type: str, limits: Optional[tuple[int, int]]
) -> None:
    assert parse_content_type(header) == ContentType(media_type, limits)


@pytest.mark.parametrize("header", ["text/csv", "application/x-npy", "json", "*/*"])
def test_other_content_types_are_refused_with_415(header: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match="application/jsonlines") as caught:
        parse_content_type(header)
    assert caught.value.http_status == 415
    assert header in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["50", "50,60,70", "0,5", "5,5001", "a,b", "5,", "-1,5", "5.0,6", "²,5", "5," + "9" * 5000],
    ids=lambda value: value[:20],
)
def test_bad_limits_are_refused(text: str) -> None:
    with pytest.raises(CustomerError, match="two whole numbers from 1 to 5000") as caught:
        parse_content_type(f"application/json; infer_max_seqlens={text}")
    assert caught.value.http_status == 400


@pytest.mark.parametrize(
    ("accept", "own", "chosen"),
    [
        (None, JSON_LINES, JSON_LINES),
        ("", JSON, JSON),
        ("*/*", JSON_LINES, JSON_LINES),
        ("application/*", JSON, JSON),
        ("application/json", JSON_LINES, JSON),
        ("APPLICATION/JSONLINES; charset=utf-8", JSON, JSON_LINES),
        ("text/csv, application/json", JSON_LINES, JSON),
        ("application/json;q=0.5, application/jsonlines", JSON, JSON_LINES),
        ("application/json;q=0, */*;q=0.1", JSON_LINES, JSON_LINES),
    ],
)
def test_accept(accept: Optional[str], own: str, chosen: str) -> None:
    assert choose_accept(accept, ContentType(own)) == chosen


@pytest.mark.parametrize("accept", ["text/csv", "text/html, image/*", "application/json;q=0"])
def test_what_cannot_be_written_is_refused_with_406(accept: str) -> None:
    with pytest.raises(NotAcceptableError, match="application/jsonlines") as caught:
        choose_accept(accept, ContentType(JSON))
    assert caught.value.http_status == 406


def test_headers_are_quoted_short_and_in_print() -> None:
    for hostile in ("k" * 5000, "a\nb\x1b[2J\u2028\u202e\ud800"):
        for ask in (
            lambda header: parse_content_type(header),
            lambda header: parse_content_type(f"application/json; infer_max_seqlens={header}"),
            lambda header: choose_accept(header, ContentType(JSON)),
        ):
            with pytest.raises(CustomerError) as caught:
                ask(hostile)
            text = str(caught.value)
            assert len(text) < 500 and text.isprintable()


def test_json_body_keeps_order_kinds_and_ignores_other_keys() -> None:
    instances: list[dict[str, Any]] = [
        {"in0": [6, 17], "in1": [16, 21], "label": 1},
        {"in1": [3]},
        {"in0": []},
        {"in0": [99], "in1": [49], "id": "x"},
        {"in1": []},
    ]
    request = parse_body(json.dumps({"instances": instances, "other": 1}), JSON, MODEL)
    assert content(request) == [
        {k: v for k, v in instance.items() if k.startswith("in")} for instance in instances
    ]


@pytest.mark.parametrize(
    "make", [str, lambda text: text.encode(), lambda text: bytearray(text, "utf-8")]
)
def test_bodies_of_every_type_that_servers_hand_over(make: Any) -> None:
    lines = '{"in0": [1]}\n\n{"in0": [2], "in1": [3]}\r\n'
    assert content(parse_body(make(lines), JSON_LINES, MODEL)) == [
        {"in0": [1]},
        {"in0": [2], "in1": [3]},
    ]
    assert content(parse_body(make('{"instances": [{"in1": [4]}]}'), JSON, MODEL)) == [{"in1": [4]}]


def test_byte_order_marks_are_skipped() -> None:
    mark = b"\xef\xbb\xbf"
    assert parse_body(mark + b'{"in0": [1]}', JSON_LINES, MODEL).count == 1
    assert parse_body(mark + b'{"instances": [{"in0": [1]}]}', JSON, MODEL).count == 1


def test_empty_bodies() -> None:
    assert parse_body(b'{"instances": []}', JSON, MODEL).count == 0
    assert parse_body(b"\n\n", JSON_LINES, MODEL).count == 0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not valid JSON"),
        (b'[{"in0": [1]}]', "instances"),
        (b'{"in0": [1], "in1": [2]}', "keys in0, in1 instead of instances"),
        (b"{}", "keys (none)"),
        (b'{"instances": {"in0": [1]}}', "instances must be a list"),
        (
            b'{"instances": [[1, 2]]}',
            "must be an object with in0, in1 or both, found [1,2] (instance 0, counting from 0)",
        ),
        (
            b'{"instances": [{"in0": [1]}, {"label": 1}]}',
            'found ["label"] (instance 1, counting from 0)',
        ),
        (
            b'{"instances": [{"in0": [1]}, {"in0": [100]}]}',
            'Vocab id "100" is not less than vocab_size=100 (instance 1',
        ),
        (
            b'{"instances": [{"in0": [1], "in1": [50]}]}',
            'Inconsistent vocab for in1 found. Vocab id "50"',
        ),
        (b'{"instances": [{"in0": [-1]}]}', '"-1" is negative'),
        (b'{"instances": [{"in0": 5}]}', "write [5]"),
        (b'{"instances": [{"in0": null}]}', "in0 must be a list"),
        (b'{"instances": [{"in0": [1.5]}]}', "integers only, found 1.5"),
        (b'{"instances": [{"in0": [true]}]}', "found true"),
        (b'{"instances": [{"in0": ["1"]}]}', "without quotes"),
        (b'{"instances": [{"in0": [123456789012345678901234567890]}]}', "in0"),
        (b"\xff\xff", "not valid JSON"),
        (b'{"instances": [{"in0": [1]}, {"in0": [1], "in0": [2]}]}', '"in0" stands twice'),
        (b'{"instances": [{"in0": [1], "\\u0069n0": [2]}]}', "(at character 29)"),
        ('{"é": 1, "instances": [], "instances": []}'.encode(), "(at character 27)"),
        (b'{"instances": [{"in0": %b1%b}]}' % (b"[" * 1000, b"]" * 1000), "found [[[[[[["),
        (b'{"instances": [{"in0": %b1%b}]}' % (b"[" * 100_000, b"]" * 100_000), "not valid JSON"),
        (b'{"instances": %b' % (b"[" * 100_000), "not valid JSON"),
        (b'{"instances": [{"in0": [%b]}]}' % (b"9" * 5000), "not valid JSON"),
        (b'{"instances": [{"in0": [%b]}]}' % (b"9" * 300), "integers only, found 1e+300"),
        (b'{"%b": 1}' % (b"k" * 5000), "kkk instead of instances"),
        (b'{"instances": [{"%b": 1}]}' % (b"k" * 5000), 'found ["kkk'),
        (b'{"instances": [{"a\\nb\\u202e": 1}]}', r'found ["a\nb\u202e"]'),
        (b'{"a\\nb\\u202e": 1}', r"keys a\nb\u202e instead"),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_bad_json_bodies_say_what_is_wrong(body: bytes, words: str) -> None:
    with pytest.raises(CustomerError) as caught:
        parse_body(body, JSON, MODEL)
    assert words in str(caught.value)
    assert caught.value.http_status == 400


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"in0": [1]', "line 3 is not valid JSON"),
        (b"[1]", "found [1] (line 3)"),
        (b"{}", "found [] (line 3)"),
        (b'{"in0": [1], "in1": ["a"]}', "(line 3)"),
        (b'{"in0": [1], "in1": [50]}', "vocab_size=50 (line 3)"),
        (b'{"in0": [1], "in1": [2], "in1": [3]}', '"in1" stands twice'),
        (b'{"in0": [1], "in\\u0030": [3], "text": "in0"}', '"in0" stands twice'),
        (b'{"in0": %b1%b}' % (b"[" * 1000, b"]" * 1000), "found [[[[[[["),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_bad_lines_are_named(line: bytes, words: str) -> None:
    with pytest.raises(CustomerError) as caught:
        parse_lines([b'{"in0": [1], "in1": [2]}', b"", line], MODEL)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [{"in0": [1]}]}',
        b'{"key": 1, "instances": [{"in0": [1]}]}\n',
        b'{"instances": [{"in0": [1]}',
        json.dumps({"instances": [{"in0": [1]}]}, indent=1).encode(),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_a_document_sent_as_lines_is_told_its_content_type(body: bytes) -> None:
    hint = "; this is application/json, not application/jsonlines (predict: --content-type app"
    with pytest.raises(CustomerError) as caught:
        parse_body(body, JSON_LINES, MODEL)
    assert hint in str(caught.value)
    assert "line 1" in str(caught.value)
    with pytest.raises(CustomerError) as nested:
        parse_body(b'{"instances": [{"instances": []}]}', JSON, MODEL)
    assert "application/" not in str(nested.value)


def test_lines_that_lost_their_ends_are_told_the_option_of_curl() -> None:
    with pytest.raises(CustomerError) as caught:
        parse_body(b'{"in0": [1]}{"in0": [2]}', JSON_LINES, MODEL)
    assert "several JSON objects on one line" in str(caught.value)
    assert str(caught.value).endswith("(curl: --data-binary, not -d)")


@pytest.mark.parametrize("body", [b"", b" \r\n", b"\xef\xbb\xbf", b" " * 9000])
def test_an_empty_body_of_json_is_called_empty(body: bytes) -> None:
    with pytest.raises(CustomerError, match=r"^The body is empty; application/json means \{"):
        parse_body(body, JSON, MODEL)


def test_other_keys_may_stand_twice_and_strings_may_look_like_keys() -> None:
    for text in (b'"text": "in0", "text": "\\"in0\\": caf\\u00e9"', b'"a": {"in0": 1, "b": "c"}'):
        instance = b'{"in0": [1], %b}' % text
        assert content(parse_lines([instance], MODEL)) == [{"in0": [1]}]
        body = b'{"instances": [%b, %b], "x": 1, "x": "instances"}' % (instance, instance)
        assert content(parse_body(body, JSON, MODEL)) == [{"in0": [1]}] * 2


def test_a_stream_of_any_length_comes_in_chunks_and_in_order() -> None:
    instances = [{"in0": [i % 100], "in1": [i % 50] * (i % 4)} for i in range(5000)]
    text = "".join(json.dumps(instance) + "\n" for instance in instances).encode()
    requests = list(read_requests(io.BytesIO(text), MODEL))
    assert len(requests) > 1
    assert [row for request in requests for row in content(request)] == instances


def test_the_lines_before_a_wrong_one_are_handed_on() -> None:
    good = b'{"in0": [1]}\n' * 2500
    requests = read_requests(io.BytesIO(good + b"{bad\n" + good), MODEL)
    found = 0
    with pytest.raises(CustomerError, match="line 2501"):
        for request in requests:
            found += request.count
    assert found == 2500


def test_a_stream_may_end_without_a_line_end_and_names_its_lines() -> None:
    good = b'{"in0": [1]}\n' * 3000
    assert sum(r.count for r in read_requests(io.BytesIO(good + b'{"in0": [2]}'), MODEL)) == 3001
    with pytest.raises(CustomerError, match="line 3001"):
        list(read_requests(io.BytesIO(good + b'{"in0": [-2]}'), MODEL))


def test_a_line_cut_by_the_reader_is_joined() -> None:
    class Trickle(io.BytesIO):
        def read1(self, _size: Optional[int] = -1) -> bytes:
            return super().read1(7)

    lines = b'{"in0": [1, 2, 3]}\n{"in1": [4]}\n'
    rows = [row for r in read_requests(Trickle(lines), MODEL) for row in content(r)]
    assert rows == [{"in0": [1, 2, 3]}, {"in1": [4]}]


def test_a_long_line_costs_what_it_is_long_however_it_arrives() -> None:
    class Trickle(io.BytesIO):
        def read1(self, _size: Optional[int] = -1) -> bytes:
            return super().read1(256)

    line = b'{"in0": [1], "comment": "' + b"x" * 8_000_000 + b'"}\n'
    began = time.process_time()
    rows = [row for r in read_requests(Trickle(line), MODEL) for row in content(r)]
    # Joined anew with each piece, it would take the processor at least four times as long.
    assert time.process_time() - began < 5
    assert rows == [{"in0": [1]}]


def test_answers_stand_in_the_order_of_the_request() -> None:
    scores = np.array([[0.25, 0.75], [1.0, 0.0]], np.float32)
    answer = Answer(
        3,
        (
            (np.array([0, 2]), "scores", scores),
            (np.array([1]), "embeddings", np.array([[0.5, 2.0, -1.0]], np.float32)),
        ),
    )
    rows = [{"scores": [0.25, 0.75]}, {"embeddings": [0.5, 2.0, -1.0]}, {"scores": [1.0, 0.0]}]
    assert json.loads(format_answer(answer, JSON)) == {"predictions": rows}
    lines = format_answer(answer, JSON_LINES).decode()
    assert lines.endswith("\n")
    assert [json.loads(line) for line in lines.splitlines()] == rows


@pytest.mark.parametrize("media_type", [JSON, JSON_LINES])
def test_an_empty_answer(media_type: str) -> None:
    expected = b'{"predictions":[]}' if media_type == JSON else b""
    assert format_answer(Answer(0, ()), media_type) == expected


def test_every_float32_survives_the_round_trip(rng: np.random.Generator) -> None:
    bits = rng.integers(0, 2**32, 20000, dtype=np.uint64).astype(np.uint32)
    values = bits.view(np.float32)
    values = values[np.isfinite(values)]
    edges = np.array([0.0, -0.0, 1e-45, 3.4028235e38, 0.1, 1 / 3, 16777217], np.float32)
    values = np.concatenate([values, edges])
    answer = Answer(1, ((np.array([0]), "embeddings", values[None, :]),))
    for media_type in (JSON, JSON_LINES):
        document = json.loads(format_answer(answer, media_type))
        row = document["predictions"][0] if media_type == JSON else document
        read = np.array(row["embeddings"], np.float64).astype(np.float32)
        np.testing.assert_array_equal(read.view(np.uint32), values.view(np.uint32))


def test_numpy_lists_are_not_json_and_are_refused_by_name() -> None:
    with pytest.raises(CustomerError, match="instance 0"):
        group_instances([{"in0": "6 17"}], MODEL)
