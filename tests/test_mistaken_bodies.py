# SPDX-License-Identifier: Apache-2.0
"""Bodies that are no JSON: which mistake of a client they come from, and which are only broken."""

from __future__ import annotations

import base64
import gzip
import json
import time
from typing import Any
from urllib.parse import quote

import pytest

from object2vec.errors import CustomerError
from object2vec.serving.instances import InstanceFormat
from object2vec.serving.media_types import JSON, JSON_LINES
from object2vec.serving.mistaken_bodies import mistake, mistaken_string
from object2vec.serving.request_formats import parse_body

pytestmark = pytest.mark.own_way

MODEL = InstanceFormat((100, 100))
DOCUMENT = '{"instances": [{"in0": [1], "in1": [2]}]}'
LINES = '{"in0": [1], "in1": [2]}\n{"in0": [3]}\n'
AWS = "--cli-binary-format raw-in-base64-out, or --body fileb://FILE"


def encoded(text: str) -> bytes:
    return base64.b64encode(text.encode())


def decoded(text: str) -> bytes:
    """What a lenient decoder makes of text that is not base64: it skips what does not belong."""
    kept = "".join(sign for sign in text if sign.isalnum())
    return base64.b64decode(kept[: len(kept) // 4 * 4])


@pytest.mark.parametrize("text", [DOCUMENT, LINES], ids=["JSON", "JSON Lines"])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (encoded, AWS),
        (lambda text: encoded(text).rstrip(b"="), AWS),
        (lambda text: encoded("\ufeff \n" + text), AWS),
        (lambda text: base64.urlsafe_b64encode(text.encode()), AWS),
        (lambda text: base64.encodebytes((text * 100).encode()), AWS),
        (lambda text: b"\r\n".join(map(base64.b64encode, text.encode().split(b"\n"))), AWS),
        (lambda text: encoded(text * 100_000), AWS),
        (decoded, AWS),
        (lambda text: gzip.compress(text.encode()), "compressed with gzip"),
        (lambda text: text.encode("utf-16"), "in UTF-16"),
        (lambda text: text.encode("utf-16-le"), "in UTF-16"),
        (lambda text: text.encode("utf-16-be"), "in UTF-16"),
        (lambda text: text.replace('"', "'").encode(), "json.dumps writes it"),
        (lambda text: repr(text.encode()).encode(), "Python prints bytes"),
        (lambda text: f"'{text}'".encode(), "a shell should have taken away"),
        (lambda text: text.replace('"', '\\"').encode(), "a shell should have taken away"),
        (lambda text: text.replace('"', "").encode(), "no quotes around its names"),
        (lambda text: quote(text).encode(), "encoded as in a URL"),
        (lambda text: b"@body.json", "a file's name"),
        (lambda text: b"fileb://body.json\n", "a file's name"),
        (lambda text: json.dumps(text).encode(), "was encoded twice"),
        (lambda text: json.dumps(encoded(text).decode()).encode(), AWS),
    ],
)
def test_mistakes_are_named_in_either_format(make: Any, words: str, text: str) -> None:
    for media_type in (JSON, JSON_LINES):
        with pytest.raises(CustomerError) as caught:
            parse_body(make(text), media_type, MODEL)
        assert words in str(caught.value)
        assert len(str(caught.value)) < 300


def test_instances_that_are_strings_of_json_are_named() -> None:
    body = json.dumps({"instances": [{"in0": [1]}, '{"in0": [1]}']})
    with pytest.raises(CustomerError, match=r"An instance is a string that holds JSON.*instance 1"):
        parse_body(body, JSON, MODEL)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"abcd",
        b"AAAA",
        b"null",
        b"0123456789abcdef",
        b"{",
        b'{"instances": [{"in0": [1]},]}',
        b'{"instances": [{"in0": [1',
        b'{"instances": None}',
        b'{"instances": [{"in0": [NaN]}]}',
        b'{"in0": [1]} {"in0": [2]}',
        b'{"text": "\xff"}',
        b"[[[[",
        b"1,2,3\n4,5,6",
        b"\0" * 100,
        b"\x93NUMPY\x01\0v\0{'descr': '<f8'}",
        encoded("just a text"),
        b"/8j/" * 1000,
    ],
)
def test_what_is_merely_broken_is_no_mistake(body: bytes) -> None:
    assert mistake(body) is None
    for media_type in (JSON, JSON_LINES):
        try:
            parse_body(body, media_type, MODEL)
        except CustomerError as error:
            told = str(error)
            assert " is " not in told or "is not valid JSON" in told or "body is empty" in told


def test_only_strings_of_json_are_mistaken_strings() -> None:
    for value in ("", "a", "in0", "[PID] x", "1", '"', "abcd", 5, None, {"a": "{}"}):
        assert mistaken_string(value) is None
    assert mistaken_string(DOCUMENT) and mistaken_string("[]") and mistaken_string(" {}")


def test_later_lines_are_not_looked_at() -> None:
    body = b'{"in0": [1]}\n' + encoded(LINES)
    with pytest.raises(CustomerError, match="line 2 is not valid JSON"):
        parse_body(body, JSON_LINES, MODEL)


def test_a_long_body_costs_no_more_than_a_short_one() -> None:
    for body in (b"A" * 100_000_000, b" " * 100_000_000, b"{'" * 50_000_000):
        began = time.process_time()
        for _ in range(100):
            mistake(body)
        assert time.process_time() - began < 1
