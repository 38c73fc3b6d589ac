# SPDX-License-Identifier: Apache-2.0
"""Reads the rows of JSON Lines, and makes batches of records."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from object2vec.data.json_lines import whole_lines
from object2vec.data.repeated_keys import repeated_sentence
from object2vec.errors import CustomerError
from object2vec.files import open_input
from object2vec.prepare.table_batch import Batch, column_of
from object2vec.raw_values.exact_json import (
    Repeating,
    may_hold_long_integer,
    parse_exactly,
    remembering,
)
from object2vec.text import named, shown

# A key ends so, and what ends so may stand in a text too.
_KEY_ENDS = re.compile(rb'"\s*:')


class JsonRows:
    """A file of JSON Lines, a row each.

    Parameters
    ----------
    path : Path
        The file, gzipped or not.
    """

    def __init__(self, path: Path) -> None:
        self.title = named(path)
        self._path = path
        # Of a column that is missing in the first rows nothing is known.
        self.names = keys_of([record for _, records in self._blocks(1) for record in records])

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """The rows in batches, only these columns."""
        for lines, records in self._blocks():
            yield batch_of(records, columns, partial(self._place, lines))

    def records(self) -> Iterator[dict[str, Any]]:
        """The rows one by one, as they are written."""
        for _, records in self._blocks():
            yield from records

    def _place(self, lines: Sequence[int], row: int) -> str:
        return f"{self.title}, line {lines[row]}"

    def _blocks(self, most: int = 0) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
        line = 1
        with open_input(self._path) as stream:
            for number, block in enumerate(whole_lines(stream, self._path), 1):
                lines, records = [], []
                exactly = may_hold_long_integer(block)
                for at, text in enumerate(block.split(b"\n"), line):
                    if text.strip():
                        lines.append(at)
                        records.append(self._record(text, at, exactly))
                yield lines, records
                line += block.count(b"\n")
                if number == most:
                    return

    def _record(self, text: bytes, line: int, exactly: bool) -> dict[str, Any]:
        try:
            record = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            reason = error.msg.split(": line ")[0]
            raise self._fault(
                f"Broken JSON at column {error.colno}, {reason}: each line must hold one row such "
                'as {"user": "u17", "film": "Heat", "rating": 4}',
                line,
            ) from None
        # Each key has its colon; others stand in texts and in objects that nobody reads.
        may_repeat = type(record) is dict and text.count(b":") != len(record)
        if exactly or (may_repeat and len(_KEY_ENDS.findall(text)) != len(record)):
            try:
                record = parse_exactly(text, remembering)
            except CustomerError as error:
                raise self._fault(error.message.rstrip("."), line) from None
            for found in (record, *(record.values() if isinstance(record, dict) else ())):
                if type(found) is Repeating:
                    raise self._fault(repeated_sentence(found.key), line)
        if type(record) is not dict:
            raise self._fault(f"A row must be one JSON object, found {shown(record)}", line)
        return record

    def _fault(self, sentence: str, line: int) -> CustomerError:
        return CustomerError(f"{sentence} ({self.title}, line {line}).")


def keys_of(records: Iterable[Mapping[Any, Any]]) -> list[str]:
    """The columns of records, in the order in which they come."""
    return list(dict.fromkeys(str(key) for record in records for key in record))


def batch_of(
    records: Sequence[Mapping[Any, Any]], columns: Sequence[str], place: Callable[[int], str]
) -> Batch:
    """Records as a batch; ``place(i)`` says where record i stands."""
    arrays = {
        name: column_of([record.get(name) for record in records], name, place) for name in columns
    }
    return Batch(arrays, len(records), place)
