# SPDX-License-Identifier: Apache-2.0
"""Parses JSON Lines files into pairs, block by block of whole lines."""

from __future__ import annotations

import codecs
import contextlib
import gc
import re
import secrets
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import orjson

from object2vec.data.arrays import PairDataset
from object2vec.data.foreign_formats import TABLE_ADVICE, ForeignFormat, recognise
from object2vec.data.record_checks import EXAMPLE, FIELDS, Rules, check_record, pack, pack_checked
from object2vec.data.repeated_keys import may_repeat, repeated_key, repeated_sentence
from object2vec.errors import CustomerError
from object2vec.files import READING_ERRORS, open_input, unreadable
from object2vec.text import named

# So many bytes that the objects made of a block stay in the processor's cache; more are slower.
BLOCK_BYTES = 1 << 17
LONGEST_LINE = 1 << 28
# A number that is put between the lines of a block; random, so that no file can hold it on purpose.
_SEPARATOR = 1 << 60 | secrets.randbits(60)
_JOINT = b",%d," % _SEPARATOR
_NOT_A_NUMBER = re.compile(rb"[:,\[]\s*(-?(?:NaN|Infinity))\s*[,\]}]")


def read_file(path: Path, rules: Rules) -> Iterator[PairDataset]:
    """Yield the pairs of one file in blocks.

    Raises
    ------
    CustomerError
        The file cannot be read, or a line breaks a rule.
    """
    try:
        with open_input(path) as stream:
            line = 1
            for block in whole_lines(stream, path):
                yield parse_block(block, line, named(path), rules)
                line += block.count(b"\n")
    except READING_ERRORS as error:
        raise CustomerError(unreadable(path, error)) from None


def whole_lines(stream: BinaryIO, path: Path) -> Iterator[bytes]:
    """Yield the stream in blocks of about BLOCK_BYTES that end with a line, without its BOM."""
    pending: list[bytes] = []
    first = True
    while True:
        data = stream.read(BLOCK_BYTES)
        if first:
            first = False
            if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
                width = 32 if data[2:4] == b"\0\0" else 16
                raise CustomerError(
                    f"{named(path)} is written in UTF-{width}; JSON Lines are UTF-8"
                )
            if data.startswith(codecs.BOM_UTF8):
                data = data[len(codecs.BOM_UTF8) :]
                if not data:
                    continue
        end = data.rfind(b"\n") + 1
        if data and not end:
            pending.append(data)
            if len(pending) * BLOCK_BYTES > LONGEST_LINE:
                found = recognise(b"".join(pending[:2]))
                raise CustomerError(
                    f"{named(path)} holds a line of more than {LONGEST_LINE >> 20} MiB"
                    f"{f', which looks like {found.name}: {_advice(found)}' if found else ''}; "
                    f"each line must hold one pair such as {EXAMPLE}"
                )
            continue
        block = b"".join([*pending, data[:end]])
        if block:
            yield block
        if not data:
            return
        pending = [data[end:]]


def parse_block(block: bytes, first_line: int, source: str, rules: Rules) -> PairDataset:
    """Parse whole lines of JSON; blank ones are skipped.

    Parameters
    ----------
    block : bytes
        Lines separated by a newline; the last one may lack it.
    first_line : int
        Number of the block's first line, for errors.
    source : str
        Name of the file, for errors.
    rules : Rules
        What a pair must look like.

    Raises
    ------
    CustomerError
        For the first line that breaks a rule.
    """
    with _collector_paused():
        pairs = _parse_at_once(block, rules)
        return pairs if pairs is not None else _parse_line_by_line(block, first_line, source, rules)


def _parse_at_once(block: bytes, rules: Rules) -> PairDataset | None:
    """All lines as one JSON list, or None if one of them is irregular.

    A number between each two lines, found in its place afterwards, shows that no line ran into the
    next. As many quotes as three keys a line need show that no line holds a key twice.
    """
    body = block.strip()
    if not body:
        return pack([], rules)
    try:
        values = orjson.loads(b"[%b]" % body.replace(b"\n", _JOINT))
    except orjson.JSONDecodeError:
        return None
    lines = body.count(b"\n") + 1
    if len(values) != 2 * lines - 1 or values[1::2].count(_SEPARATOR) != lines - 1:
        return None
    fields = rules.known_fields
    if body.count(b'"') != 2 * len(FIELDS) * lines and _repeats(body, lines, fields):
        return None
    # Looking for a letter is much faster than for a word, and most blocks lack the letter.
    may_hold_booleans = (b"u" in body and b"true" in body) or (b"f" in body and b"false" in body)
    return pack(values[::2], rules, may_hold_booleans=may_hold_booleans)


def _repeats(body: bytes, lines: int, fields: tuple[str, ...]) -> bool:
    """Whether a line holds a key twice; for most blocks the first check decides."""
    if not may_repeat(body, dict.fromkeys(fields, lines)):
        return False
    return any(_repeated(line, fields) for line in body.split(b"\n"))


def _repeated(line: bytes, fields: tuple[str, ...]) -> str:
    """The field that a line holds twice, or nothing."""
    found = may_repeat(line, dict.fromkeys(fields, 1)) and repeated_key(line, fields)
    return found[0] if found else ""


def _parse_line_by_line(block: bytes, first_line: int, source: str, rules: Rules) -> PairDataset:
    records: list[object] = []
    numbers: list[int] = []
    for number, line in enumerate(block.split(b"\n"), first_line):
        text = line.strip()
        if not text:
            continue
        where = partial(_place, source, number)
        # A file whose first line is an object is no file of another format.
        if first_line == 1 and not records and not _is_object(text):
            _refuse_foreign(block, where())
        record = _decode(text, where())
        repeated = _repeated(text, rules.known_fields)
        if repeated:
            raise CustomerError(f"{repeated_sentence(repeated)} ({where()})")
        check_record(record, rules, where)
        records.append(record)
        numbers.append(number)
    return pack_checked(records, rules, lambda position: _place(source, numbers[position]))


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _refuse_foreign(head: bytes, where: str) -> None:
    """Raise a CustomerError that names the format of a file, if that is a known one."""
    found = recognise(head)
    if found is not None:
        raise CustomerError(
            f"This looks like {found.name}, not JSON Lines: {_advice(found)}; each line must hold "
            f"one pair such as {EXAMPLE} ({where})"
        )


def _advice(found: ForeignFormat) -> str:
    return TABLE_ADVICE if found.is_table else found.advice


def _place(source: str, number: int) -> str:
    return f"{source}, line {number}"


def _decode(text: bytes, where: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        literal = _NOT_A_NUMBER.search(text)
        if literal:
            raise CustomerError(
                f"{literal[1].decode()} is no JSON and no finite number ({where})"
            ) from None
        if "UTF-8" in error.msg:
            raise CustomerError(f"The line is not UTF-8 text ({where})") from None
        raise CustomerError(
            f"Broken JSON at column {error.colno}, {error.msg.split(': line ')[0]}: each line "
            f"must hold one pair such as {EXAMPLE} ({where})"
        ) from None


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause the garbage collector, which would search thousands of short-lived lists each time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
