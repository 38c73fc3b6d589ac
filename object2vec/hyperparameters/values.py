# SPDX-License-Identifier: Apache-2.0
"""Reads one given value as its hyperparameter declares it, or says what would be right."""

from __future__ import annotations

import contextlib
import csv
import difflib
import json
import math
import numbers
import re
from collections.abc import Iterable
from typing import Any, Optional, Union, cast

from object2vec.hyperparameters.table import (
    AUTO,
    BALANCED,
    COMPARATORS,
    METRIC_NAMES,
    Hyperparameter,
)
from object2vec.text import quoted

_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_LISTS = ("comparators", "columns", "class_weights")
# The published sentence similarity job uses the file glove.840B-trim.txt, so '-' is allowed.
_FILE_NAME = re.compile(r"[A-Za-z0-9._-]{0,255}")


def without_json(item: Hyperparameter, raw: Any) -> tuple[Any, bool]:
    """A value, and whether it came as JSON in a string, as some of SageMaker's estimators send it.

    One JSON string is unwrapped, ``'"hcnn"'``; a list of JSON or of Python's ``str`` serves
    comparators, columns and weights, and ``null``, but for the name of a file, is no value. What
    JSON writes without quotes is read as it is anyway.

    Raises
    ------
    ValueError
        As `read_value` does, for JSON inside JSON.
    """
    raw = as_python(raw)
    text = raw.strip() if isinstance(raw, str) else ""
    if text == "null" and item.kind != "file_name":
        return None, True
    value = _decoded(item, text)
    if value is None:
        return raw, False
    if isinstance(value, str) and _decoded(item, value.strip()) is not None:
        raise ValueError(f"should be written as JSON once at most, but {quoted(raw)} was given")
    return value, True


def _decoded(item: Hyperparameter, text: str) -> Optional[Union[str, list[Any]]]:
    """The string or the list that a text is in JSON, or None."""
    is_list = item.kind in _LISTS and text.startswith("[")
    if not (is_list or text.startswith('"')):
        return None
    # A list as Python writes it has apostrophes; no comparator, and hardly a column, has one.
    for written in (text, text.replace("'", '"')) if is_list else (text,):
        with contextlib.suppress(ValueError, RecursionError):
            return cast(Union[str, list[Any]], json.loads(written))
    return None


def as_python(raw: Any) -> Any:
    """NumPy's scalars and arrays as Python's own types."""
    return raw.tolist() if hasattr(raw, "shape") and hasattr(raw, "tolist") else raw


def read_value(item: Hyperparameter, raw: Any) -> Any:
    """One value as its declaration types it.

    Parameters
    ----------
    item : Hyperparameter
        The declaration.
    raw : Any
        A string without JSON, or the real type; NumPy's count as Python's.

    Returns
    -------
    int, float, bool, str, tuple of str or tuple of float
        Depending on ``item.kind``.

    Raises
    ------
    ValueError
        Its text continues a sentence that begins with the name: what is allowed, what was given.
    """
    raw = as_python(raw)
    if isinstance(raw, str):
        raw = raw.strip()
    given = f"but {quoted(raw)} was given"
    if item.kind == "integer":
        return _integer(item, raw, f"should be an integer within range {item.range_text}, {given}")
    if item.kind == "auto_integer":
        hint = nearest(raw, (AUTO,)) if isinstance(raw, str) else ""
        rule = f"should be '{AUTO}' or an integer within range {item.range_text}, {given}{hint}"
        return AUTO if isinstance(raw, str) and raw == AUTO else _integer(item, raw, rule)
    if item.kind == "continuous":
        return _continuous(item, raw, given)
    if item.kind == "boolean":
        if isinstance(raw, str) and raw.lower() in ("true", "false"):
            return raw.lower() == "true"
        if isinstance(raw, bool):
            return raw
        raise ValueError(f"should be True or False, {given}")
    if item.kind == "comparators":
        return _comparators(raw, given)
    if item.kind == "columns":
        return _columns(raw, given)
    if item.kind == "class_weights":
        return _class_weights(item, raw, given)
    if not isinstance(raw, str):
        raise ValueError(f"should be a string, {given}")
    if item.kind == "file_name":
        if not _FILE_NAME.fullmatch(raw) or (raw and not raw.strip(".")):
            raise ValueError(
                "should be the name of a file in the auxiliary channel, made of at most 255 "
                f"letters, digits, '.', '_' and '-' and without a folder, {given}"
            )
        return raw
    if item.kind == "column":
        if not raw:
            raise ValueError(f"should be the name of a column, {given}")
        return raw
    if item.kind == "metric_name":
        if raw and raw not in METRIC_NAMES:
            hint = nearest(raw, METRIC_NAMES)
            raise ValueError(f"should be one of {', '.join(METRIC_NAMES)}, {given}{hint}")
        return raw
    if raw not in item.choices:
        hint = nearest(raw, item.choices)
        raise ValueError(f"should be {words(item.choices)}, {given}{hint}")
    return raw


def _integer(item: Hyperparameter, raw: Any, rule: str) -> int:
    if isinstance(raw, str) and _INTEGER.fullmatch(raw):
        # Python refuses to convert thousands of digits; nothing that long is in any range.
        number = int(raw) if len(raw) <= 100 else None
    elif isinstance(raw, numbers.Integral) and not isinstance(raw, bool):
        number = int(raw)
    else:
        raise ValueError(rule)
    if number is None or not item.minimum <= number <= item.maximum:
        raise ValueError(rule.replace("an integer within", "within"))
    return number


def _continuous(item: Hyperparameter, raw: Any, given: str) -> float:
    is_number = isinstance(raw, numbers.Real) and not isinstance(raw, bool)
    number = math.nan
    if is_number or (isinstance(raw, str) and _NUMBER.fullmatch(raw)):
        try:
            number = float(raw)
        except OverflowError:
            number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"should be a finite number within range {item.range_text}, {given}")
    if not item.minimum <= number <= item.maximum:
        raise ValueError(f"should be within range {item.range_text}, {given}")
    return number


def _comparators(raw: Any, given: str) -> tuple[str, ...]:
    parts = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(parts, (list, tuple)) or not all(isinstance(part, str) for part in parts):
        raise ValueError(f"should be a list of {', '.join(COMPARATORS)}, {given}")
    names = tuple(part.strip() for part in parts)
    for name in names:
        if name not in COMPARATORS:
            which = f", where {quoted(name, 40)} is none of them" if len(names) > 1 else ""
            raise ValueError(
                f"should be a comma separated list of {', '.join(COMPARATORS)}, {given}{which}"
                f"{nearest(name, COMPARATORS)}"
            )
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"should name at least one of {', '.join(COMPARATORS)}, each once, {given}"
        )
    return names


def _columns(raw: Any, given: str) -> tuple[str, ...]:
    try:
        found = column_names(raw) if isinstance(raw, str) else raw
    except ValueError:
        found = []
    if not found or not isinstance(found, (list, tuple)) or not all(map(_is_text, found)):
        raise ValueError(f"should be names of columns, separated by commas, {given}")
    return tuple(found)


def _class_weights(item: Hyperparameter, raw: Any, given: str) -> Union[str, tuple[float, ...]]:
    if isinstance(raw, str) and raw == BALANCED:
        return BALANCED
    parts = raw.split(",") if isinstance(raw, str) else raw
    hint = nearest(raw, (BALANCED,)) if isinstance(raw, str) else ""
    rule = f"should be '{BALANCED}' or a list of numbers, one for each class, {given}{hint}"
    if not isinstance(parts, (list, tuple)) or not parts:
        raise ValueError(rule)
    weights = []
    for part in map(as_python, parts):
        text = part.strip() if isinstance(part, str) else part
        is_number = isinstance(text, numbers.Real) and not isinstance(text, bool)
        if not is_number and not (isinstance(text, str) and _NUMBER.fullmatch(text)):
            raise ValueError(rule)
        try:
            weights.append(_continuous(item, text, f"but {quoted(part)} was given"))
        except ValueError as error:
            raise ValueError(f"should hold numbers, each of which {error}") from None
    return tuple(weights)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def column_names(text: str) -> list[str]:
    """The names in a text such as ``film,genres``; one that holds a comma stands in quotes.

    Raises
    ------
    ValueError
        If it holds an open quote, several lines, or an empty name.
    """
    try:
        rows = list(csv.reader([text], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ValueError(str(error)) from None
    if len(rows) != 1 or not rows[0] or not all(rows[0]):
        raise ValueError("an empty name")
    return rows[0]


def nearest(word: Any, names: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for the name nearest to `word`, or nothing where none is near."""
    by_lower = {name.lower(): name for name in names}
    found = difflib.get_close_matches(str(word)[:100].strip().lower(), by_lower, n=1)
    return f" (did you mean '{by_lower[found[0]]}'?)" if found else ""


def words(names: Iterable[str]) -> str:
    """``'a', 'b' or 'c'``."""
    *first, last = (f"'{name}'" for name in names)
    return f"{', '.join(first)} or {last}" if first else last
