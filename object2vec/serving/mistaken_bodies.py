# SPDX-License-Identifier: Apache-2.0
"""Bodies that are no JSON but what clients make of it by mistake, and the way out."""

from __future__ import annotations

import base64
import codecs
import re
from collections.abc import Callable
from typing import Any, Optional

from object2vec.data.foreign_formats import ON_ONE_LINE, recognise
from object2vec.serving.media_types import is_document

#: Of a JSON document that was taken for JSON Lines; the rest of a sentence.
IS_DOCUMENT = (
    "is application/json, not application/jsonlines (predict: --content-type application/json)"
)

# A mistake shows at the beginning, however long the body is.
_LOOKED_AT = 4096
_BEGINS_AS_JSON = re.compile(rb'\s*[\[{]\s*(?:["{\[]|[\]}]\s*$)')
_BASE64 = re.compile(rb"([A-Za-z0-9+/]{4,})(?:=|$)")
# What such a decoder finds in JSON of ours.
_NAMES_IN_BASE64 = (b"instances", b"in0", b"in1", b"label")
_ITSELF = "send the text itself"


def mistake(body: bytes) -> Optional[str]:
    """What a body that is not valid JSON is.

    Parameters
    ----------
    body : bytes
        The body, or its first line; no more than the first 4 kB are looked at.

    Returns
    -------
    str or None
        The rest of a sentence that begins with "The body"; None for bodies that merely hold an
        error.
    """
    start = body[:_LOOKED_AT].lstrip().removeprefix(codecs.BOM_UTF8).lstrip()
    return next((text for applies, text in _MISTAKES if applies(start)), None)


def likeness(start: bytes) -> str:
    """What a body is that is no JSON Lines from its beginning on.

    Parameters
    ----------
    start : bytes
        Its beginning.

    Returns
    -------
    str
        The rest of a sentence, with its semicolon; empty where it resembles nothing known.
    """
    if is_document(start):
        return f"; this {IS_DOCUMENT}"
    found = recognise(start)
    if found is None:
        return ""
    hint = " (curl: --data-binary, not -d)" if found.name == ON_ONE_LINE else ""
    if found.is_table:
        hint = " (predict: a table of the model's own columns is named by --input)"
    return f"; this looks like {found.name}: {found.advice}{hint}"


def mistaken_string(value: Any) -> Optional[str]:
    """What a JSON string is that stands where an object should.

    Parameters
    ----------
    value : object
        What JSON gave; only strings can be such mistakes.

    Returns
    -------
    str or None
        The rest of a sentence that begins with what holds the string.
    """
    if not isinstance(value, str):
        return None
    start = value[:_LOOKED_AT].encode("utf-8", "replace")
    if _BEGINS_AS_JSON.match(start):
        return "is a string that holds JSON: it was encoded twice; encode it once"
    return _BASE64_TEXT if _is_base64(start) else None


def _is_base64(start: bytes) -> bool:
    """Whether it decodes to JSON; text with brackets, quotes or colons is not base64 at all."""
    found = _BASE64.match(start.translate(bytes.maketrans(b"-_", b"+/"), b" \t\r\n"))
    if found is None:
        return False
    text = found[1]
    # One sign alone says nothing.
    text = text[: len(text) - (len(text) % 4 == 1)]
    decoded = base64.b64decode(text + b"=" * (-len(text) % 4))
    return _BEGINS_AS_JSON.match(decoded.removeprefix(codecs.BOM_UTF8)) is not None


def _was_decoded(start: bytes) -> bool:
    """Whether it is what a decoder that skips foreign signs makes of JSON."""
    return not start.isascii() and base64.b64encode(start[:12]).startswith(_NAMES_IN_BASE64)


def _matches(pattern: bytes) -> Callable[[bytes], bool]:
    matched = re.compile(pattern).match
    return lambda start: matched(start) is not None


_BASE64_TEXT = (
    f"is base64, which decodes to JSON; {_ITSELF}: AWS CLI 2 needs --cli-binary-format "
    "raw-in-base64-out, or --body fileb://FILE"
)
_MISTAKES: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (_is_base64, _BASE64_TEXT),
    (
        _was_decoded,
        "is what decoding of base64 makes of plain JSON; AWS CLI 2 takes --body for base64, unless "
        "it has --cli-binary-format raw-in-base64-out, or --body fileb://FILE",
    ),
    (_matches(rb"\x1f\x8b"), f"is compressed with gzip; {_ITSELF}"),
    (
        _matches(rb"\xff\xfe|\xfe\xff|[\[{\s]\0|\0[\[{\s]"),
        "is in UTF-16; send UTF-8",
    ),
    (
        _matches(rb"\[?\s*\{\s*'"),
        "is written as Python prints it, in single quotes; JSON has double quotes: json.dumps "
        "writes it",
    ),
    (
        _matches(rb"b(['\"])\s*[\[{]"),
        "is written as Python prints bytes; send the bytes themselves",
    ),
    (
        _matches(rb"'\s*[\[{]|[\[{]\s*\\\""),
        "holds quotes or backslashes that a shell should have taken away; put the JSON into a file "
        "and send that (curl: --data-binary @FILE)",
    ),
    (
        _matches(rb"\[?\s*\{\s*[A-Za-z_]\w*\s*:"),
        "has no quotes around its names, which a shell may have taken away; put the JSON into a "
        "file and send that (curl: --data-binary @FILE)",
    ),
    (_matches(rb"%7[Bb]|%5[Bb]"), f"is encoded as in a URL; {_ITSELF}"),
    (
        _matches(rb"(?:@|fileb?://)\S+\s*$"),
        "is a file's name; send what stands in the file",
    ),
)
