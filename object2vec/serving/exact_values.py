# SPDX-License-Identifier: Apache-2.0
"""Raw values of a request as they were written: integers of any size, no column twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from object2vec.data.record_checks import INPUTS
from object2vec.data.repeated_keys import repeated_sentence
from object2vec.errors import CustomerError
from object2vec.raw_values.exact_json import LEAST_LOST, Repeating, parse_exactly, remembering
from object2vec.serving.nearest_instances import LEAVE_OUT, NEAREST

_SAFE = {int, str, bool, type(None)}


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
    instances : sequence of dict
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
    values = [instance[side] for instance in instances for side in INPUTS if side in instance]
    values += [value for instance in instances for value in _left_out(instance)]
    objects = [value for value in values if type(value) is dict]
    # Each key has its colon; others stand in strings and in objects that nobody reads.
    keys = other_keys + sum(map(len, instances)) + sum(map(len, objects))
    may_repeat = bool(objects) and text.count(b":") != keys
    if not may_repeat and not _hold_large_floats(values):
        return instances
    found = select(parse_exactly(text, remembering))
    for position, instance in enumerate(found):
        for side in INPUTS:
            value = instance.get(side)
            if type(value) is Repeating:
                raise CustomerError(f"{repeated_sentence(value.key)} ({side} of {name(position)})")
        for value in _left_out(instance):
            if type(value) is Repeating:
                where = f"{LEAVE_OUT} of {name(position)}"
                raise CustomerError(f"{repeated_sentence(value.key)} ({where})")
    return found


def _left_out(instance: Mapping[str, Any]) -> list[Any]:
    """What is not to be among the nearest objects, where these are asked for."""
    values = instance.get(LEAVE_OUT) if NEAREST in instance else None
    return values if isinstance(values, list) else []


def _hold_large_floats(values: Iterable[Any]) -> bool:
    """Whether there is a float, also in lists and objects, that may have been a long integer."""
    for value in values:
        kind = type(value)
        if kind is float:
            if abs(value) >= LEAST_LOST:
                return True
        elif kind in (list, dict):
            inner = value.values() if kind is dict else value
            if not set(map(type, inner)) <= _SAFE and _hold_large_floats(inner):
                return True
    return False
