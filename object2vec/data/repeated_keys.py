# SPDX-License-Identifier: Apache-2.0
"""Finds keys that stand twice in one JSON object: parsers silently keep the last value."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Optional

import orjson

_ESCAPE = re.compile(rb"\\.", re.DOTALL)
# The only other way to write letters and digits.
_ESCAPED_LETTER = re.compile(rb"\\u00[3-7]")
# In a text without escapes: a string, whether a colon makes it a key, or a brace.
_TOKEN = re.compile(rb'("[^"]*")\s*(:?)|[{}]')


def may_repeat(text: bytes, expected: Mapping[str, int]) -> bool:
    """Whether an object of a text may hold one of some keys twice; fast, for sound texts.

    Parameters
    ----------
    text : bytes
        Sound JSON.
    expected : mapping of str to int
        For each key, made of letters and digits, how many objects are known to hold it.
    """
    if any(text.count(b'"%b"' % key.encode()) != count for key, count in expected.items()):
        return True
    return b"\\u00" in text and _ESCAPED_LETTER.search(text) is not None


def repeated_key(text: bytes, keys: Collection[str]) -> Optional[tuple[str, int]]:
    """The first of some keys that stands twice in one object, nested or not.

    Parameters
    ----------
    text : bytes
        Sound JSON.
    keys : collection of str
        Other keys may stand there as often as they like.

    Returns
    -------
    tuple of str and int, or None
        The key, and how many characters stand before it.
    """
    seen: list[set[str]] = []
    for token in _TOKEN.finditer(_ESCAPE.sub(b"__", text)):
        if token[0] == b"{":
            seen.append(set())
        elif token[0] == b"}":
            seen.pop()
        elif token[2]:
            key = orjson.loads(text[slice(*token.span(1))])
            if key in seen[-1]:
                return key, len(text[: token.start()].decode())
            if key in keys:
                seen[-1].add(key)
    return None


def repeated_sentence(key: str) -> str:
    """What is wrong with such an object."""
    return f'The key "{key}" stands twice in one object, so that one of its values would be lost'
