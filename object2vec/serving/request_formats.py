# SPDX-License-Identifier: Apache-2.0
"""Bytes to instances: the formats of requests, without knowing HTTP."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Optional, Union

import orjson

from object2vec.data.record_checks import INPUTS
from object2vec.data.repeated_keys import may_repeat, repeated_key, repeated_sentence
from object2vec.errors import CustomerError
from object2vec.serving.exact_values import exact_instances
from object2vec.serving.instances import (
    INSTANCE,
    InstanceFormat,
    Request,
    group_instances,
    join_requests,
)
from object2vec.serving.media_types import JSON_LINES, untyped_body
from object2vec.serving.mistaken_bodies import IS_DOCUMENT, likeness, mistake, mistaken_string
from object2vec.text import names, shown

# A chunk of a stream stays within both, so that memory does not grow with the input.
_CHUNK_BYTES = 1 << 20
_CHUNK_LINES = 1024


class UnreadableBodyError(CustomerError):
    """The body, or a line of it, is not in the format that it was read in."""


def parse_body(
    body: Union[str, bytes, bytearray], media_type: str, taken: InstanceFormat
) -> Request:
    """Parse a whole request body.

    Parameters
    ----------
    body : str, bytes or bytearray
        ``{"instances": [...]}`` for `JSON`, an instance a line for `JSON_LINES`.
    media_type : str
        `JSON` or `JSON_LINES`.
    taken : InstanceFormat
        Of the model.

    Raises
    ------
    CustomerError
        Names the instance (or line), the field, what was found and what would be right; an
        `UnreadableBodyError` where it is the body as a whole.
    """
    data = body.encode("utf-8") if isinstance(body, str) else bytes(body)
    if media_type == JSON_LINES:
        return join_requests([parse_lines(*chunk) for chunk in _line_chunks(data, taken)])
    return _parse_json(data, taken)


def parse_lines(lines: Sequence[bytes], taken: InstanceFormat, first_line: int = 1) -> Request:
    """Parse one JSON object a line; blank lines are skipped but counted.

    Parameters
    ----------
    lines : sequence of bytes
        Lines with or without their line ends.
    taken : InstanceFormat
        Of the model.
    first_line : int, default 1
        Number of the first line, for error texts.

    Raises
    ------
    CustomerError
        Names the line.
    """
    instances: list[Any] = []
    texts: list[bytes] = []
    numbers: list[int] = []
    for number, line in enumerate(lines, first_line):
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if not line.strip():
            continue
        try:
            instance = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            begins = first_line == 1 and not instances
            found = mistake(line) if begins else None
            like = likeness(b"\n".join(lines[:_CHUNK_LINES])) if begins and not found else ""
            text = f"line {number} is not valid JSON: {_reason(error)}{like}"
            raise UnreadableBodyError(
                f"The body {found} (line {number})." if found else text
            ) from None
        repeated = _repeated_input(instance, line)
        if repeated is not None:
            raise CustomerError(f"{repeated_sentence(repeated)} (line {number})")
        instances.append(instance)
        texts.append(line)
        numbers.append(number)

    def name(position: int) -> str:
        return f"line {numbers[position]}"

    def exact() -> list[Any]:
        found: list[Any] = []
        for number, text, instance in zip(numbers, texts, instances):
            found += exact_instances(text, [instance], _alone, 0, f"line {number}".format)
        return found

    return group_instances(instances, taken, name, f"; this {IS_DOCUMENT}", exact)


def read_requests(stream: BinaryIO, taken: InstanceFormat) -> Iterator[Request]:
    """Parse a stream of JSON Lines in chunks of bounded size, in order.

    Lines are handed on as they arrive, so that a slow writer is answered at once, and those before
    a wrong one are handed on before its error.

    Parameters
    ----------
    stream : BinaryIO
        A buffered binary stream.
    taken : InstanceFormat
        Of the model.
    """
    first_line = 1
    for lines in _arriving_lines(stream):
        for start in range(0, len(lines), _CHUNK_LINES):
            part = lines[start : start + _CHUNK_LINES]
            try:
                request = parse_lines(part, taken, first_line)
            except CustomerError as error:
                right = _right_lines(part, taken)
                yield parse_lines(right, taken, first_line)
                raise error
            first_line += len(part)
            if request.count:
                yield request


def _right_lines(lines: list[bytes], taken: InstanceFormat) -> list[bytes]:
    """The lines before the first wrong one."""
    for position, line in enumerate(lines):
        try:
            parse_lines([line], taken)
        except CustomerError:
            return lines[:position]
    return lines


def _arriving_lines(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Yield whole lines as they arrive; the parts of a long one are joined once, at its end."""
    read = getattr(stream, "read1", stream.read)
    begun = bytearray()
    while data := read(_CHUNK_BYTES):
        *lines, rest = data.split(b"\n")
        if not lines:
            begun += rest
            continue
        lines[0] = bytes(begun) + lines[0]
        begun = bytearray(rest)
        yield lines
    if begun:
        yield [bytes(begun)]


def _line_chunks(
    data: bytes, taken: InstanceFormat
) -> Iterator[tuple[list[bytes], InstanceFormat, int]]:
    """Cut a body into arguments for `parse_lines`: parsed values take far more room than ids."""
    start, first_line = 0, 1
    while start < len(data):
        end = data.find(b"\n", start + _CHUNK_BYTES)
        end = len(data) if end < 0 else end
        lines = data[start:end].split(b"\n")
        yield lines, taken, first_line
        start, first_line = end + 1, first_line + len(lines)


def _parse_json(data: bytes, taken: InstanceFormat) -> Request:
    wanted = 'application/json means {"instances": [{"in0": [...], "in1": [...]}, ...]}'
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        found = mistake(data) or f"is not valid JSON: {_reason(error)}; {wanted}"
        if not data.strip():
            found = f"is empty; {wanted}"
        if untyped_body(data) == JSON_LINES:
            found = f"is JSON Lines, whose Content-Type is {JSON_LINES}; {wanted}"
        raise UnreadableBodyError(f"The body {found}.") from None
    if not isinstance(document, dict) or "instances" not in document:
        found = shown(document)
        if isinstance(document, dict):
            found = f"an object with the keys {names(document) or '(none)'}"
        text = mistaken_string(document) or f"holds {found} instead of instances: {wanted}"
        raise UnreadableBodyError(f"The body {text}.")
    _check_keys(data, document)
    instances = document["instances"]
    if not isinstance(instances, list):
        raise CustomerError(f"instances must be a list, not {shown(instances)}: {wanted}.")
    return group_instances(
        instances,
        taken,
        exact=lambda: exact_instances(
            data, instances, lambda parsed: parsed["instances"], len(document), INSTANCE
        ),
    )


def _alone(instance: Any) -> list[Any]:
    return [instance]


def _repeated_input(instance: Any, text: bytes) -> Optional[str]:
    """The input that an instance holds twice."""
    # Where there are no strings beside the keys, each key stands there once.
    if type(instance) is not dict or text.count(b'"') == 2 * len(instance):
        return None
    if not may_repeat(text, {name: int(name in instance) for name in INPUTS}):
        return None
    found = repeated_key(text, INPUTS)
    return found[0] if found else None


def _check_keys(data: bytes, document: dict[str, Any]) -> None:
    """Refuse a body that holds one of the keys that are read twice in one object."""
    given = document["instances"]
    instances = [item for item in given if type(item) is dict] if type(given) is list else []
    expected = {name: sum(name in item for item in instances) for name in INPUTS}
    if may_repeat(data, {"instances": 1, **expected}):
        repeated = repeated_key(data, ("instances", *INPUTS))
        if repeated is not None:
            key, position = repeated
            raise CustomerError(f"{repeated_sentence(key)} (at character {position + 1})")


def _reason(error: orjson.JSONDecodeError) -> str:
    return f"{error.msg} at character {error.pos + 1}"
