# SPDX-License-Identifier: Apache-2.0
"""Tests of repeated_keys.py: keys that stand twice, found by another parser too."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from object2vec.data.repeated_keys import may_repeat, repeated_key

pytestmark = pytest.mark.own_way

KEYS = ("in0", "in1", "label")


def write(value: Any, escape: bool) -> str:
    """JSON of lists of pairs as objects, so that keys may repeat; `escape` hides letters."""
    if isinstance(value, tuple):
        fields = (f"{write(key, escape)} : {write(item, escape)}" for key, item in value)
        return "{" + ", ".join(fields) + "}"
    if isinstance(value, list):
        return "[" + ",".join(write(item, escape) for item in value) + "]"
    if isinstance(value, str) and escape:
        return '"' + "".join(f"\\u{ord(letter):04x}" for letter in value) + '"'
    return json.dumps(value)


KEY = st.sampled_from([*KEYS, "other", 'in0"', "\\in0", "é", "{", "\u2028", "a:"])
VALUE = st.recursive(
    st.integers(-9, 9) | KEY,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(st.tuples(KEY, inner), max_size=4).map(tuple)
    ),
    max_leaves=12,
)


@pytest.mark.slow
@settings(derandomize=True, max_examples=200)
@given(st.lists(st.tuples(KEY, VALUE), max_size=5).map(tuple), st.booleans())
def test_repeated_keys_are_found(fields: tuple[Any, ...], escape: bool) -> None:
    found = set()

    def hook(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        found.update(name for name in names if names.count(name) > 1 and name in KEYS)

    text = write(fields, escape)
    json.loads(text, object_pairs_hook=hook)
    orjson.loads(text)
    repeated = repeated_key(text.encode(), KEYS)
    assert (repeated is not None) == bool(found)
    if repeated is not None:
        key, position = repeated
        assert key in found
        assert json.JSONDecoder().raw_decode(text, position)[0] == key
    if found:
        held = orjson.loads(text)
        assert may_repeat(text.encode(), {key: int(key in held) for key in KEYS})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"in0": 1, "in1": 2, "label": 3, "text": "caf\\u00e9 \\n"}', False),
        (b'{"in0": 1, "in1": 2, "label": 3, "in0": 3}', True),
        (b'{"in0": 1, "in1": 2, "label": 3, "\\u0069n0": 3}', True),
        (b'{"in0": 1, "in1": 2, "l\\u0061bel": 3}', True),
    ],
)
def test_sound_lines_are_done_with_at_once(text: bytes, expected: bool) -> None:
    assert may_repeat(text, dict.fromkeys(KEYS, 1)) is expected


def test_strings_of_megabytes_and_deep_nesting_are_no_matter() -> None:
    assert repeated_key(b'{"a": "' + rb"\"" * 1_000_000 + b'", "in0": 1}', KEYS) is None
    deep = b'{"a":' * 100_000 + b'{"in0":1,"in0":2}' + b"}" * 100_000
    found = repeated_key(deep, KEYS)
    assert found is not None and found[0] == "in0"
