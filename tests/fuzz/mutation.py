# SPDX-License-Identifier: Apache-2.0
"""Makes wrong values of right ones: of bytes, of JSON values, and hypothesis's values between."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from .target import JsonValue

INTEGERS = (
    -1, 0, 1, 2, 7, 127, 128, 255, 256, 4999, 5000, 5001, 65535, 1 << 31, (1 << 31) - 1, -(1 << 31),
    (1 << 32) - 1, 1 << 32, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, -(1 << 63), (1 << 64) - 1,
    1 << 64, 10**30,
)  # fmt: skip
PIECES = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\r\n", b"\n", b"\r",
    b"\x0b", b"\x1b[31m", b"\xe2\x80\xa8", b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1e-999",
    b"-0", b"-0.0", b"0x10", b"01", b".5", b"null", b"true", b"false", b"{}", b"[]", b'""', b'"',
    b"\\", b"\\u0000", b"\\ud800", b"[", b"]", b"{", b"}", b",", b":", b" ", b"\t", b"//", b"1_0",
    b"9" * 25, b"9" * 5000, b"[" * 1100, b'{"a":' * 1100, b"k" * 5000, "ü".encode(), "𝟙".encode(),
)  # fmt: skip
_MAX_REPEATS = 400
_VALUES_AT_ONCE = 120


def hypothesis_values(strategy: st.SearchStrategy[Any], rng: random.Random) -> Iterator[Any]:
    """Values of a strategy without end, which depend on `rng` alone.

    Hypothesis draws some at a time, and they come again in another order before it draws anew:
    it is far slower than what is fuzzed.
    """
    while True:
        values = _draw(strategy, rng.getrandbits(32))
        for _ in range(40):
            rng.shuffle(values)
            # Who takes one may change it.
            yield from map(deepcopy, values)


def _draw(strategy: st.SearchStrategy[Any], number: int) -> list[Any]:
    values: list[Any] = []

    @seed(number)
    @settings(
        max_examples=_VALUES_AT_ONCE,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(value: Any) -> None:
        values.append(value)

    draw()
    return values


def any_text() -> st.SearchStrategy[str]:
    """Any characters, lone surrogates and control characters among them."""
    return st.text(st.characters(), max_size=30)


def any_json() -> st.SearchStrategy[JsonValue]:
    """Any value that Python writes as JSON."""
    single = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.integers(-2, 60)
        | st.floats()
        | any_text()
        | st.sampled_from(INTEGERS)
    )
    return st.recursive(
        single,
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(any_text(), inner, max_size=4),
        max_leaves=8,
    )


def dump(value: JsonValue, rng: random.Random) -> bytes:
    """A JSON text in one of its spellings; lone surrogates become bytes that are no UTF-8."""
    spelling = rng.random()
    text = json.dumps(
        value,
        ensure_ascii=spelling < 0.6,
        indent=1 if spelling > 0.95 else None,
        separators=(",", ":") if spelling < 0.3 else None,
    )
    return text.encode("utf-8", "surrogatepass")


def mutate_bytes(data: bytes, rng: random.Random, pieces: tuple[bytes, ...] = PIECES) -> bytes:
    """Change a few places of a byte string."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        data = _change(data, rng, pieces)
    return data


def _change(data: bytes, rng: random.Random, pieces: tuple[bytes, ...]) -> bytes:
    start = rng.randrange(len(data) + 1)
    end = min(len(data), start + rng.choice((1, 1, 2, 4, 8, 40, 400)))
    how = rng.randrange(9)
    if how == 0 and data:
        position = rng.randrange(len(data))
        flipped = bytes([data[position] ^ 1 << rng.randrange(8)])
        return data[:position] + flipped + data[position + 1 :]
    if how == 1:
        return data[:start] + rng.randbytes(end - start) + data[end:]
    if how == 2:
        return data[:start] + rng.choice(pieces) + data[start:]
    if how == 3:
        return data[:start] + rng.choice(pieces) + data[end:]
    if how == 4:
        return data[:start] + data[end:]
    if how == 5:
        return data[:end] + data[start:]
    if how == 6:
        return data[:start] + data[start:end] * rng.randrange(2, _MAX_REPEATS) + data[end:]
    if how == 7 and rng.random() < 0.3:
        return data[:start]
    width = rng.choice((1, 2, 4, 8))
    number = rng.choice(INTEGERS) % (1 << 8 * width)
    return data[:start] + number.to_bytes(width, "little") + data[start + width :]


def mutate_json(value: JsonValue, rng: random.Random, odd: Callable[[], JsonValue]) -> JsonValue:
    """A copy of a JSON value that differs at one place or two.

    Parameters
    ----------
    value : JSON value
    rng : random.Random
    odd : callable
        Makes what takes a value's place.
    """
    copy: JsonValue = json.loads(json.dumps(value))
    for _ in range(rng.choice((1, 1, 1, 2))):
        copy = _change_one(copy, rng, odd)
    return copy


def _change_one(value: JsonValue, rng: random.Random, odd: Callable[[], JsonValue]) -> JsonValue:
    if not isinstance(value, (list, dict)) or not value or rng.random() < 0.03:
        return _other(value, rng, odd)
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = rng.choice(keys)
    inner: Any = value
    if isinstance(inner[key], (list, dict)) and rng.random() < 0.7:
        inner[key] = _change_one(inner[key], rng, odd)
        return value
    how = rng.randrange(8)
    if how == 0:
        del inner[key]
    elif how == 1 and isinstance(value, dict):
        value[_other_name(key, rng)] = value.pop(key)
    elif how == 1:
        inner.insert(key, odd())
    elif how == 2 and isinstance(value, dict):
        value[_other_name(key, rng)] = odd()
    elif how == 2:
        inner.extend([inner[key]] * rng.randrange(1, _MAX_REPEATS))
    elif how == 3 and len(keys) > 1:
        other = rng.choice(keys)
        inner[key], inner[other] = inner[other], inner[key]
    else:
        inner[key] = _other(inner[key], rng, odd)
    return value


def _other(value: JsonValue, rng: random.Random, odd: Callable[[], JsonValue]) -> JsonValue:
    how = rng.randrange(8)
    if isinstance(value, (int, float)) and how < 3:
        return value + rng.choice((-1, 1, 0.5, 0.0, 1 << 31, 1 << 64))
    if isinstance(value, str) and how < 3:
        return mutate_bytes(value.encode("utf-8", "surrogatepass"), rng).decode(errors="replace")
    if how == 3:
        return [value]
    if how == 4:
        return str(value)
    if how == 5:
        return rng.choice(INTEGERS)
    return odd()


def _other_name(name: str, rng: random.Random) -> str:
    return rng.choice((name.upper(), f"{name} ", f" {name}", f"{name}_", name[1:], "", "k" * 5000))


def repeat_key(text: bytes, rng: random.Random) -> bytes:
    """Give an object of a JSON text one of its keys twice."""
    objects = [position for position, byte in enumerate(text) if byte == ord("{")]
    keys = [b'"in0"', b'"in1"', b'"label"', b'"instances"', b'"a"', b'"user"', b'"genres"']
    if not objects:
        return text
    place = rng.choice(objects) + 1
    return text[:place] + rng.choice(keys) + b":[1]," + text[place:]
