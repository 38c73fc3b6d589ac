# SPDX-License-Identifier: Apache-2.0
"""Which format a request is in and which its answer takes: Content-Type and Accept."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

import orjson

from object2vec.errors import CustomerError
from object2vec.text import named, quoted, whole_number

JSON = "application/json"
JSON_LINES = "application/jsonlines"

ALIASES = {
    JSON: JSON,
    JSON_LINES: JSON_LINES,
    "application/json-lines": JSON_LINES,
    "application/jsonl": JSON_LINES,
    "application/x-jsonlines": JSON_LINES,
    "application/x-ndjson": JSON_LINES,
}
ACCEPTED = f"{JSON} and {JSON_LINES}"
_MAX_SEQ_LEN = 5000
_BLANK = re.compile(rb"(?:\xef\xbb\xbf)?\s*")
_DOCUMENT = re.compile(rb'\{\s*"instances"')


class UnsupportedMediaTypeError(CustomerError):
    """The request's content type is not one that is read here."""

    http_status = 415


class NotAcceptableError(CustomerError):
    """None of the types that the request accepts can be written here."""

    http_status = 406


@dataclass(frozen=True)
class ContentType:
    """A request's content type, resolved.

    Parameters
    ----------
    media_type : str
        `JSON` or `JSON_LINES`.
    max_seq_lens : tuple of int, optional
        The encoders' maximum lengths for this request, from ``infer_max_seqlens``.
    """

    media_type: str
    max_seq_lens: Optional[tuple[int, int]] = None


def parse_content_type(header: Optional[str]) -> ContentType:
    """Read a Content-Type, in any letter case and with any parameters.

    Parameters
    ----------
    header : str, optional
        Such as ``application/json; infer_max_seqlens=50,60``; without one, JSON is meant.

    Raises
    ------
    UnsupportedMediaTypeError
        The type is not read here.
    CustomerError
        ``infer_max_seqlens`` is not two lengths from 1 to 5000.
    """
    if header is None or not header.strip():
        return ContentType(JSON)
    name, parameters = _split_header(header)
    media_type = ALIASES.get(name)
    if media_type is None:
        raise UnsupportedMediaTypeError(
            f"Content type {quoted(name)} is not supported; accepted are {ACCEPTED}."
        )
    limits = parameters.get("infer_max_seqlens")
    return ContentType(media_type, None if limits is None else _parse_limits(limits))


def untyped_body(body: bytes) -> str:
    """The media type of a body that came without a Content-Type.

    Parameters
    ----------
    body : bytes
        The whole body; of a document of instances only the beginning is looked at.

    Returns
    -------
    str
        `JSON_LINES` if the first line is a whole object and either more lines follow or it is an
        instance itself; else `JSON`, also for an object that is spread over lines.
    """
    begin = _skip_blanks(body, 0)
    if is_document(body):
        return JSON
    end = body.find(b"\n", begin)
    line = body[begin:] if end < 0 else body[begin:end]
    if not (line.startswith(b"{") and line.rstrip().endswith(b"}")):
        return JSON
    try:
        first = orjson.loads(line)
    except orjson.JSONDecodeError:
        return JSON
    follows = end >= 0 and _skip_blanks(body, end) < len(body)
    is_line = "instances" not in first and (follows or "in0" in first or "in1" in first)
    return JSON_LINES if is_line else JSON


def is_document(body: bytes) -> bool:
    """Whether a body, of which the beginning will do, is one object that opens with instances."""
    return _DOCUMENT.match(body, _skip_blanks(body, 0)) is not None


def _skip_blanks(body: bytes, start: int) -> int:
    blanks = _BLANK.match(body, start)
    return blanks.end() if blanks else start


def choose_accept(header: Optional[str], content_type: ContentType) -> str:
    """Choose the answer's media type.

    Parameters
    ----------
    header : str, optional
        An Accept header, also a list with weights; the best weight that can be served wins.
        None, an empty one and ``*/*`` mean the request's own type.
    content_type : ContentType
        Of the request.

    Returns
    -------
    str
        `JSON` or `JSON_LINES`.

    Raises
    ------
    NotAcceptableError
        Nothing in the list can be written here.
    """
    if header is None or not header.strip():
        return content_type.media_type
    best, best_weight = "", 0.0
    for item in header.split(","):
        name, parameters = _split_header(item)
        own = name in ("*/*", "application/*")
        media_type = content_type.media_type if own else ALIASES.get(name)
        weight = _weight(parameters.get("q", "1"))
        if media_type is not None and weight > best_weight:
            best, best_weight = media_type, weight
    if not best:
        raise NotAcceptableError(
            f"Accept {quoted(header.strip())} cannot be served; answers are {ACCEPTED}."
        )
    return best


def _split_header(header: str) -> tuple[str, dict[str, str]]:
    name, *items = header.split(";")
    pairs: Iterable[tuple[str, str, str]] = (item.partition("=") for item in items)
    parameters = {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
    return name.strip().lower(), parameters


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _parse_limits(text: str) -> tuple[int, int]:
    parts = [part.strip() for part in text.split(",")]
    limits = [whole_number(part, 1, _MAX_SEQ_LEN) for part in parts]
    if len(limits) == 2 and limits[0] is not None and limits[1] is not None:
        return limits[0], limits[1]
    raise CustomerError(
        f"infer_max_seqlens={named(text)} is not two whole numbers from 1 to {_MAX_SEQ_LEN}, for "
        "in0 and in1, such as infer_max_seqlens=50,60."
    )
