# SPDX-License-Identifier: Apache-2.0
"""Tells from its beginning what a file is that should have been JSON Lines."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple, Optional

LOOKED_AT_BYTES = 1 << 16
ON_ONE_LINE = "several JSON objects on one line"
#: What to do with a table in the place of pairs.
TABLE_ADVICE = (
    "name its columns by --in0, --in1 and --label, in a job by _in0, _in1 and _label, or write "
    "each row as one JSON object a line"
)
_TABLES = ("Parquet", "TSV", "CSV", "CSV with semicolons", "a table with bars")
_ROWS_LOOKED_AT = 10
# Blank lines; a tab may be an empty cell.
_BLANK = re.compile(r"\A(\s*\n)? *")


class ForeignFormat(NamedTuple):
    """What a text or a file seems to be.

    Attributes
    ----------
    name : str
        Such as "CSV" or "a zip archive"; it continues "This looks like".
    advice : str
        What to do instead, such as "unpack it first".
    """

    name: str
    advice: str

    @property
    def is_table(self) -> bool:
        """Whether it holds rows of columns, as tables that are trained on do."""
        return self.name in _TABLES


def recognise(head: bytes) -> Optional[ForeignFormat]:
    """What a text is that cannot be read as JSON Lines; slow, for errors only.

    Parameters
    ----------
    head : bytes
        Its beginning; not more than `LOOKED_AT_BYTES` of it are looked at.

    Returns
    -------
    ForeignFormat or None
        None where it resembles nothing known; sound JSON Lines resemble nothing.
    """
    if len(head) > LOOKED_AT_BYTES:
        head = head[:LOOKED_AT_BYTES]
        head = head[: head.rfind(b"\n") + 1] or head
    for magic, found in _BINARY:
        if magic.match(head):
            return found
    text = _BLANK.sub("", head.decode("utf-8-sig", errors="replace"), count=1)
    return next((found for resembles, found in _TEXT if resembles(text)), None)


def _length_of_object(text: str) -> int:
    """How many characters the JSON object at the beginning has, 0 if none is there."""
    try:
        return json.JSONDecoder().raw_decode(text)[1] if text.startswith("{") else 0
    except (ValueError, RecursionError):
        return 0


def _spans_lines(text: str) -> bool:
    length = _length_of_object(text)
    # An object that is longer than what is looked at cannot be parsed; most often its first line is
    # an opening brace alone.
    return "\n" in text[:length] if length else bool(re.match(r'\{[ \t\r]*\n\s*"', text))


def _after_object(pattern: str) -> Callable[[str], bool]:
    follows = re.compile(pattern)

    def resembles(text: str) -> bool:
        length = _length_of_object(text)
        return bool(length and follows.match(text, length))

    return resembles


def _beginning(pattern: str) -> Callable[[str], bool]:
    begins = re.compile(pattern)
    return lambda text: begins.match(text) is not None


def _columns(mark: str) -> Callable[[str], bool]:
    """Whether the first rows all have two columns or more, with a mark between them."""

    def resembles(text: str) -> bool:
        first = text.split("\n", 1)[0]
        if mark not in first or "\0" in text or re.match(r'[{\[]|[^,;]*":', first):
            return False
        try:
            rows = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
            return all(len(row) > 1 for row in islice(rows, _ROWS_LOOKED_AT) if row)
        except csv.Error:
            return False

    return resembles


_ROWS = "write each row as one JSON object a line"
_PANDAS = f"{_ROWS}, as pandas does by to_json(name, orient='records', lines=True)"
_UNPACK = "unpack it first (of packed files, those of gzip alone are read)"
_UTF_8 = "write it in UTF-8"

_BINARY = tuple(
    (re.compile(magic, re.DOTALL), ForeignFormat(name, advice))
    for magic, name, advice in (
        (rb"PAR1", "Parquet", _PANDAS),
        (rb"ORC", "ORC", _PANDAS),
        (rb"Obj\x01", "Avro", _PANDAS),
        (rb"ARROW1|FEA1", "Arrow or Feather", _PANDAS),
        (rb"\xd0\xcf\x11\xe0", "an Excel file", _PANDAS),
        (rb"PK\x03\x04.{26}(\[Content_Types\]|_rels/|xl/)", "an Excel file", _PANDAS),
        (rb"\x89HDF", "HDF5", _PANDAS),
        (rb"SQLite format 3\0", "an SQLite database", _PANDAS),
        (rb"\x93NUMPY", "a NumPy array", _ROWS),
        (rb"\x80[\x02-\x05]", "a Python pickle", _PANDAS),
        (rb"\n#\xd7\xce", "RecordIO", _ROWS),
        (rb"PK(\x03\x04|\x05\x06)", "a zip archive", _UNPACK),
        (rb"\x1f\x8b", "gzip inside gzip", "pack it once only"),
        (rb"BZh[1-9]", "bzip2", _UNPACK),
        (rb"\xfd7zXZ", "xz", _UNPACK),
        (rb"\x28\xb5\x2f\xfd", "Zstandard", _UNPACK),
        (rb"7z\xbc\xaf", "a 7-Zip archive", _UNPACK),
        (rb".{257}ustar", "a tar archive", "unpack it into the folder"),
        (rb"\xff\xfe\0\0|\0\0\xfe\xff|([ -~]\0{3}){2}|(\0{3}[ -~]){2}", "UTF-32", _UTF_8),
        (rb"\xff\xfe|\xfe\xff|([ -~]\0){4}|(\0[ -~]){4}", "UTF-16", _UTF_8),
    )
)

_TEXT = tuple(
    (resembles, ForeignFormat(name, advice))
    for resembles, name, advice in (
        (_beginning(r"\[?\s*\{\s*'"), "dicts as Python prints them", "write them by json.dumps"),
        (
            _beginning(r"\[\s*\{"),
            "a JSON array of objects",
            "write one object a line without the brackets and commas around them, as jq -c '.[]' "
            "does",
        ),
        (
            _spans_lines,
            "a JSON object over several lines",
            "write each object on one line, as jq -c . does",
        ),
        (
            _after_object(r"\s*,\s*(\{|$)"),
            "JSON objects with commas between them",
            "leave these commas away",
        ),
        (
            _after_object(r"[ \t]*\{"),
            ON_ONE_LINE,
            "write each object on a line of its own, as jq -c . does",
        ),
        (_beginning(r"<(\?xml|!|[A-Za-z])"), "XML or HTML", _ROWS),
        (_beginning(r"__label__"), "a file for fastText", _ROWS),
        (_beginning(r"[-+.0-9]+([ \t]+[0-9]+:[-+.0-9eE]+)+\s"), "LIBSVM", _ROWS),
        (_columns("\t"), "TSV", _ROWS),
        (_columns(","), "CSV", _ROWS),
        (_columns(";"), "CSV with semicolons", _ROWS),
        (_columns("|"), "a table with bars", _ROWS),
    )
)
