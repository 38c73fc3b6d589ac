# SPDX-License-Identifier: Apache-2.0
"""Makes the bodies and headers of requests, most of them nearly right."""

from __future__ import annotations

import random
from typing import Any

from small_jobs import VOCAB

from .mutation import (
    any_json,
    any_text,
    dump,
    hypothesis_values,
    mutate_bytes,
    mutate_json,
    repeat_key,
)
from .raw_values import raw_value
from .target import JsonValue

_TYPES = (
    "application/json", "application/jsonlines", "application/json", "application/jsonlines",
    "application/x-jsonlines", "application/json; charset=utf-8", "Application/JSON",
    "application/json; infer_max_seqlens=5,7", "application/jsonlines;infer_max_seqlens=1,5000",
    'application/json; infer_max_seqlens="3, 4"',
)  # fmt: skip
_ODD_TYPES = (
    "", " ", "text/plain", "text/csv", "application/x-npy", "application/x-www-form-urlencoded",
    "multipart/form-data", "multipart/form-data; boundary=x", "application/json;;;", ";", "=",
    "application/json; infer_max_seqlens=0,1", "application/json; infer_max_seqlens=5",
    "application/json; infer_max_seqlens=" + "9" * 5000 + ",1",
    "application/json; infer_max_seqlens=1,-1", "application/json; infer_max_seqlens=",
    "application/json; infer_max_seqlens=1e3,5", "application/" + "j" * 5000,
    "application/json; infer_max_seqlens=1,2; infer_max_seqlens=3,x",
)  # fmt: skip
_ACCEPTS = (
    "", "*/*", "application/json", "application/jsonlines", "application/*;q=0.5",
    "application/json;q=0.1, application/jsonlines;q=0.9",
)  # fmt: skip
_ODD_ACCEPTS = (
    "text/html", "application/json;q=0", "application/json;q=nan", "application/json;q=inf",
    "application/json;q=" + "9" * 5000, "a" * 5000, ",", ";q=1", "*/*;q=-1", "*", "," * 3000,
)  # fmt: skip


class Bodies:
    """Draws requests from `rng` alone; `longest` repeats make the longest bodies."""

    def __init__(self, rng: random.Random, longest: int = 100_000) -> None:
        self._rng = rng
        self._longest = longest
        self._odd = hypothesis_values(any_json(), rng)
        self._text = hypothesis_values(any_text(), rng)

    def request(self, *, raw: bool = False) -> tuple[dict[str, str], bytes]:
        """Headers and a body, with raw values in it or without; about half of them are right."""
        headers = self._headers()
        return headers, self.body("lines" in headers.get("Content-Type", ""), raw=raw)

    def instances(self, *, raw: bool) -> list[JsonValue]:
        """Sound instances of the three kinds, in any mixture."""
        rng = self._rng
        kinds = rng.choice((("in0",), ("in1",), ("in0", "in1"), ("in0", "in1"), None))
        number = rng.choice((0, 1, 1, 1, 2, 3, 9, 30))
        longest = rng.choice((1, 4, 15, 15, 60))
        return [
            {
                name: raw_value(name, rng)
                if raw and rng.random() < 0.6
                else [rng.randrange(VOCAB) for _ in range(rng.randint(1, longest))]
                for name in kinds or rng.choice((("in0",), ("in1",), ("in0", "in1")))
            }
            for _ in range(number)
        ]

    def body(self, lines: bool, *, raw: bool = False) -> bytes:
        """A body of JSON Lines, or of JSON."""
        rng = self._rng
        instances: Any = self.instances(raw=raw)
        kind = rng.random()
        if 0.5 < kind < 0.8 and instances:
            place = rng.randrange(len(instances))
            instances[place] = mutate_json(instances[place], rng, self._next_odd)
        document: JsonValue = instances
        if lines:
            end = rng.choice((b"\n", b"\n", b"\r\n", b"\n\n"))
            data = end.join(dump(instance, rng).replace(b"\n", b" ") for instance in instances)
            data += rng.choice((b"", b"\n"))
        else:
            document = {"instances": instances}
            if 0.75 < kind < 0.8:
                document = mutate_json(document, rng, self._next_odd)
            data = dump(document, rng)
        if 0.8 < kind < 0.85:
            data = repeat_key(data, rng)
        elif kind > 0.98:
            data = self._long(data)
        elif kind > 0.85:
            data = mutate_bytes(data, rng)
        return data

    def _next_odd(self) -> JsonValue:
        return next(self._odd)

    def _headers(self) -> dict[str, str]:
        rng = self._rng
        headers: dict[str, str] = {}
        if rng.random() < 0.97:
            headers["Content-Type"] = self._one_of(_TYPES, _ODD_TYPES)
        if rng.random() < 0.5:
            headers["Accept"] = self._one_of(_ACCEPTS, _ODD_ACCEPTS)
        if rng.random() < 0.02:
            headers["Content-Encoding"] = rng.choice(("gzip", "identity", "", "x" * 3000))
        if rng.random() < 0.05:
            headers[rng.choice(("X-Amzn-SageMaker-Custom-Attributes", "X-A"))] = next(self._text)
        return headers

    def _one_of(self, sound: tuple[str, ...], odd: tuple[str, ...]) -> str:
        rng = self._rng
        how = rng.random()
        if how < 0.85:
            return rng.choice(sound)
        if how < 0.93:
            return rng.choice(odd)
        if how < 0.97:
            return mutate_bytes(rng.choice(sound).encode(), rng).decode("latin-1")
        return next(self._text)

    def _long(self, data: bytes) -> bytes:
        """A long body, of one kind of waste."""
        rng = self._rng
        number = rng.choice((20_000, 20_000, self._longest))
        return rng.choice(
            (
                b'{"' + b"k" * number + b'": 1}',
                b'{"instances": [{"in0": [' + b"1," * number + b"1]}]}",
                b'{"in0": [' + b"1, " * number + b"1]}",
                b"[" * number,
                b'{"instances": [' + b"{}," * number + b"{}]}",
                b"\n" * number,
                b"a=&" * number,
                b" " * number + data,
                b'{"instances": [{"in0": ["' + b"\\u0000" * number + b'"]}]}',
                b'{"instances": ' + b'{"a":' * number + b"1" + b"}" * number + b"}",
                b'{"in0": [1], "in1": [' + b"9" * number + b"]}",
                b'{"in0": [' + b"1,\\" * number,
                b'{"in1": "' + rng.choice((b"Drama|", b"a ", "é ".encode(), b"x")) * number + b'"}',
                b'{"in1": [' + b'"Drama",' * number + b'"War"]}',
                b'{"in1": {"plot": "e' + "\u0301".encode() * number + b'"}}',
                b'{"in1": {"in0": "[\\"' + rb"\\\"" * number + b'"}}',
                b'{"in0": {"' + b"k" * number + b'": 1}}',
                b'{"in0": {"user": ' + b"[" * min(number, 900) + b"]" * min(number, 900) + b"}}",
                b'{"in0": {' + b'"user": 1,' * number + b'"age": 2}}',
            )
        )
