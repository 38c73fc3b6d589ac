# SPDX-License-Identifier: Apache-2.0
"""JSON as it was written: integers of more than 64 bits, and keys that stand twice in an object."""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Optional

from object2vec.errors import CustomerError

#: From here on, and down from its negative, the fast parser makes floats of integers.
LEAST_LOST = 2.0**63
_LONG_INTEGER = re.compile(rb"[0-9]{19}")


def may_hold_long_integer(text: bytes) -> bool:
    """Whether the fast parser may make a float of an integer: it has 19 digits or more."""
    return _LONG_INTEGER.search(text) is not None


def parse_exactly(text: bytes, make_object: Optional[Callable[[Any], Any]] = None) -> Any:
    """Parse what the fast parser has found sound, with integers as they are.

    Parameters
    ----------
    text : bytes
        Sound JSON in UTF-8.
    make_object : callable, optional
        Makes an object of its list of keys and values; a dict without.

    Raises
    ------
    CustomerError
        Its brackets are nested too deeply.
    """
    try:
        return json.loads(text, object_pairs_hook=make_object)
    except RecursionError:
        raise CustomerError("The brackets of the JSON are nested too deeply.") from None


class Repeating(dict[str, Any]):
    """An object that holds a key twice."""

    key = ""


def remembering(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its keys and values, a `Repeating` where a key stands twice."""
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    seen: set[str] = set()
    repeating = Repeating(fields)
    repeating.key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return repeating
