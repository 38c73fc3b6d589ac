# SPDX-License-Identifier: Apache-2.0
"""One cell of a table or of a request as text or as a number, the same wherever it comes from."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Optional

from object2vec.errors import CustomerError
from object2vec.text import quoted

#: What stands for no number in a column of numbers, in lower case.
MISSING_NUMBERS = frozenset({"", "nan", "na", "n/a", "#n/a", "null", "none", "<na>"})
_MOST_DIGITS = 4000  # Python refuses to write more


def canonical(value: Any) -> Optional[str]:
    """A value as the text that names it in a vocabulary, or None where it is missing or empty.

    Texts stand for themselves; integers for their digits, of any size. A whole number that was
    made a float on its way (pandas does so to a column in which one is missing) is that number:
    17, 17.0, "17" and "17.0" are the same value.

    Raises
    ------
    CustomerError
        If the value is none of a single cell, such as a dict.
    """
    if type(value) is str:
        return _of_text(value)
    if value is None:
        return None
    if hasattr(value, "tolist") and not hasattr(value, "__len__"):
        value = value.tolist()  # a scalar of NumPy
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _of_text(str(value))
    if isinstance(value, (int, numbers.Integral)):
        return _digits(int(value))
    if isinstance(value, (float, Decimal)):
        return _of_real(value)
    if value != value:
        return None  # pandas' NaT
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    if isinstance(value, bytes):
        return _of_bytes(value)
    if type(value).__name__ == "NAType":
        return None
    if type(value).__name__ == "UUID":
        return str(value)
    raise CustomerError(
        f"A value must be a text, a number, a date or a UUID, found {quoted(value)}."
    )


def canonical_all(values: Sequence[Any]) -> list[Optional[str]]:
    """`canonical` of each value; of many texts in a third of the time."""
    return [
        value if type(value) is str and value and value[-2:] != ".0" else canonical(value)
        for value in values
    ]


def number(value: Any) -> Optional[float]:
    """A value as a finite number; NaN where it is missing, None where it is no number."""
    if type(value) is str:
        text = value.strip()
        if text.lower() in MISSING_NUMBERS:
            return math.nan
        try:
            found = float(text)
        except ValueError:
            return None
        # float() takes 1_000, which no table means as a number
        return found if math.isfinite(found) and "_" not in text else None
    text_of_it = canonical(value)
    if text_of_it in ("true", "false") and not isinstance(value, str):
        return float(text_of_it == "true")
    return math.nan if text_of_it is None else number(text_of_it)


def _of_text(text: str) -> Optional[str]:
    if text[-2:] == ".0":
        whole = text[:-2]
        digits = whole[1:] if whole[:1] == "-" else whole
        if digits.isdigit() and digits.isascii() and (digits[0] != "0" or digits == "0"):
            return "0" if whole == "-0" else whole
    return text or None


def _of_real(value: Any) -> Optional[str]:
    if value != value:
        return None
    if isinstance(value, float):
        return _digits(int(value)) if value.is_integer() else repr(value)
    if value.is_finite() and abs(value.adjusted()) < _MOST_DIGITS and value == int(value):
        return _digits(int(value))
    return str(value)


def _digits(value: int) -> str:
    if value.bit_length() * 0.30103 >= _MOST_DIGITS:
        raise CustomerError(f"An integer of more than {_MOST_DIGITS} digits is no value of a cell.")
    return str(value)


def _of_bytes(value: bytes) -> Optional[str]:
    try:
        return _of_text(value.decode())
    except UnicodeDecodeError:
        raise CustomerError(f"A value must be text in UTF-8, found {quoted(value)}.") from None
