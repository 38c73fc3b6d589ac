# SPDX-License-Identifier: Apache-2.0
"""Reads small JSON files strictly: no key twice, no NaN, and every fault a ValueError."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from object2vec.text import shown


def parse_json(data: bytes) -> Any:
    """Parse a JSON file, with or without a byte order mark.

    Raises
    ------
    ValueError
        Its text continues a sentence that begins with the file's name.
    """
    return _parse(data, _unique)


def parse_pairs(data: bytes) -> Any:
    """Parse a JSON file as `parse_json` does, but each object into `Pairs`."""
    return _parse(data, Pairs)


class Pairs(list[Any]):
    """The keys and values of a JSON object in order, repeated keys included."""


def _parse(data: bytes, make_object: Any) -> Any:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    try:
        return json.loads(text, object_pairs_hook=make_object, parse_constant=_refuse_constant)
    except _Refused:
        raise
    except RecursionError:
        raise ValueError("is broken JSON: its brackets are nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is broken JSON: {error}") from None
    except ValueError:
        # Python converts no more than 4,300 digits
        raise ValueError("holds a number of thousands of digits") from None


class _Refused(ValueError):
    """What the parser lets pass."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Refused(f"holds {shown(key)} twice in one object")
            seen.add(key)
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise _Refused(f"is broken JSON: {name} is no finite number")
