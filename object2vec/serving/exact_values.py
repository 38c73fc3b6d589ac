# SPDX-License-Identifier: Apache-2.0
"""Raw values of a request as they were written: integers of any size, no column twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from object2vec.data.record_checks import INPUTS
from object2vec.data.repeated_keys import repeated_sentence
from object2vec.errors import CustomerError
from object2vec.raw_values.exact_json import may_hold_long_integer, parse_exactly


def exact_instances(
    text: bytes,
    instances: Sequence[Any],
    select: Callable[[Any], Sequence[Any]],
    other_keys: int,
    name: Callable[[int], str],
) -> Sequence[Any]:
    """The instances of a text of JSON as its writer meant them.

    Parameters
    ----------
    text : bytes
        Sound JSON.
    instances : sequence
        What the fast parser made of it.
    select : callable
        Takes them from the parsed text.
    other_keys : int
        How many keys the text has outside of the instances.
    name : callable
        Names the instance at a position, for error texts.

    Raises
    ------
    CustomerError
        An object of columns holds one of them twice, or brackets are nested too deeply.
    """
    if not _may_repeat(text, instances, other_keys) and not may_hold_long_integer(text):
        return instances
    found = select(parse_exactly(text, _object))
    for position, instance in enumerate(found):
        for side in INPUTS:
            value = instance.get(side) if isinstance(instance, dict) else None
            if type(value) is _Repeating:
                raise CustomerError(f"{repeated_sentence(value.key)} ({side} of {name(position)})")
    return found


def _may_repeat(text: bytes, instances: Sequence[Any], keys: int) -> bool:
    """Whether an object in the place of a raw value may hold a key twice."""
    has_objects = False
    for instance in instances:
        if type(instance) is dict:
            keys += len(instance)
            for side in INPUTS:
                value = instance.get(side)
                if type(value) is dict:
                    keys += len(value)
                    has_objects = True
    # Each key has its colon; others stand in strings and in objects that nobody reads.
    return has_objects and text.count(b":") != keys


class _Repeating(dict[str, Any]):
    """An object that holds a key twice."""

    key = ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    seen: set[str] = set()
    repeating = _Repeating(fields)
    repeating.key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return repeating
