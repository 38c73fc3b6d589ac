# SPDX-License-Identifier: Apache-2.0
"""Text from outside on its way into a sentence or out of the process: bounded and escaped."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Optional

LONGEST_NAME = 300
#: More than our longest sentence has, which lists an error for every hyperparameter.
LONGEST_SENTENCE = 20_000
_LONGEST_INTEGER = 256  # bits
_DEEPEST = 40  # brackets in brackets
_PYTHON_COMMA = ", "


def escaped(text: str, keep: str = "") -> str:
    r"""Text in which all that does not print is written as Python escapes it, such as ``\x1b``.

    Line breaks, escape codes of terminals, marks that turn the direction of writing and lone
    surrogates are such characters; those in `keep` stay.
    """
    if text.isprintable():
        return text
    return "".join(
        mark if mark.isprintable() or mark in keep else mark.encode("unicode_escape").decode()
        for mark in text
    )


def bounded(text: str, limit: int = LONGEST_NAME, keep: str = "") -> str:
    """Escaped text of at most `limit` characters; of a longer one both ends are left.

    It takes no longer for a text of megabytes.
    """
    half = limit // 2
    if len(text) > limit:
        text = f"{text[:half]}…{text[-half:]}"
    text = escaped(text, keep)
    return text if len(text) <= limit else f"{text[:half]}…{text[half + 1 - limit :]}"


def on_one_line(text: str) -> str:
    """Text of a line: white space and control characters, such as ESC, are single blanks."""
    if not text.isprintable():
        text = "".join(" " if unicodedata.category(mark) == "Cc" else mark for mark in text)
    return " ".join(text.split())


def named(name: object) -> str:
    """The name of a file, a channel or a header as it stands in a sentence, without quotes."""
    return bounded(str(name))


def names(given: Iterable[Any], most: int = 8) -> str:
    """The first names of many, separated by commas."""
    found = list(islice(given, most + 1))
    text = ", ".join(bounded(str(name), 60) for name in found[:most])
    return f"{text}, …" if len(found) > most else text


def counted(number: int, noun: str) -> str:
    """``1 pair``, ``2,000 pairs``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def in_columns(rows: Sequence[Sequence[str]], *, numbers: bool = False) -> str:
    """Rows of cells below each other; with `numbers` all columns but the first end in one place."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at and numbers else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    )


def whole_number(text: str, low: int, high: int) -> Optional[int]:
    """The number that plain digits of any length write, or None if it is not from low to high."""
    if not (text.isascii() and text.isdigit()):
        return None
    # One digit more than the largest has; Python refuses to read thousands of them.
    number = int(text.lstrip("0")[: len(str(high)) + 1] or "0")
    return number if low <= number <= high else None


def shown(value: Any, limit: int = 60) -> str:
    """A value as JSON writes it, shortened for a sentence; that takes no longer for a large one."""
    return _first(_pieces(value, limit, _as_json, ","), limit)


def quoted(value: Any, limit: int = 80) -> str:
    """A value as Python writes it, shortened for a sentence; see `shown`."""
    return _first(_pieces(value, limit, _as_python, _PYTHON_COMMA), limit)


def _first(pieces: Iterator[str], limit: int) -> str:
    text = ""
    for piece in pieces:
        text += piece
        if len(text) > limit:
            return f"{text[: limit - 3]}..."
    return text


def _pieces(
    value: Any, limit: int, scalar: Callable[[Any, int], str], comma: str, depth: int = 0
) -> Iterator[str]:
    """The text of a value, piece by piece, so that no more of it is looked at than is shown."""
    if type(value) not in (list, tuple, dict):
        yield scalar(value, limit)
        return
    start, end = ("{", "}") if type(value) is dict else ("[", "]")
    if type(value) is tuple:
        start, end = "(", ")"
    if depth == _DEEPEST:
        yield f"{start}...{end}"
        return
    joint = start
    for item in value:
        yield joint
        yield from _pieces(item, limit, scalar, comma, depth + 1)
        if type(value) is dict:
            yield comma.replace(",", ":")
            yield from _pieces(value[item], limit, scalar, comma, depth + 1)
        joint = comma
    if not value:
        yield start
    elif type(value) is tuple and len(value) == 1 and comma == _PYTHON_COMMA:
        yield ","
    yield end


def _as_json(value: Any, limit: int) -> str:
    if type(value) is str:
        return escaped(json.dumps(value[:limit], ensure_ascii=False))
    if value is None or type(value) is bool:
        return json.dumps(value)
    return _as_python(value, limit)


def _as_python(value: Any, limit: int) -> str:
    if type(value) is str:
        return repr(value[:limit])
    if isinstance(value, int) and value.bit_length() > _LONGEST_INTEGER:
        # Python refuses to write thousands of digits.
        return f"a number of about {value.bit_length() * 0.30103:.0f} digits"
    try:
        return escaped(repr(value)[: limit + 1])
    except Exception:
        # Whatever class of the user's it is, its error shall not take the place of ours.
        return f"<{type(value).__name__}>"
