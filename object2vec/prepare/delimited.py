# SPDX-License-Identifier: Apache-2.0
"""Reads CSV and its like: blocks of whole records, which pyarrow parses at once."""

from __future__ import annotations

import codecs
import io
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Optional

from object2vec.errors import CustomerError
from object2vec.files import open_input
from object2vec.prepare.arrow import arrow_module
from object2vec.prepare.table_batch import Batch
from object2vec.raw_values.option_names import option, option_with
from object2vec.text import named, quoted, shown

# Larger blocks hold fewer dictionaries to join; they take some times their size of memory.
BLOCK_BYTES = 1 << 24
LONGEST_RECORD = 1 << 26
SEPARATORS = (",", "\t", ";", "|")
_HEAD_BYTES = 1 << 20
# The mark of UTF-16-LE is the beginning of that of UTF-32-LE.
_OTHER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


@dataclass(frozen=True)
class Layout:
    """How a file of rows is written.

    Parameters
    ----------
    separator : str
        One character; empty: the one of `SEPARATORS` that the first line holds most of.
    quotes : bool
        Whether a field in double quotes may hold separators and line breaks.
    encoding : str
        Of the text, such as ``utf-8`` or ``latin-1``.
    header : bool
        Whether the first row names the columns; else their names are ``0``, ``1``, ….
    """

    separator: str = ""
    quotes: bool = True
    encoding: str = "utf-8"
    header: bool = True


class _Record(NamedTuple):
    """A record as it is written, the line that it begins in, and where it ends in its block."""

    text: bytes
    line: int
    end: int


class DelimitedFile:
    """A file of rows with a separator.

    Parameters
    ----------
    path : Path
        The file, gzipped or not.
    layout : Layout
        How it is written.

    Raises
    ------
    CustomerError
        If it holds no row, or one column only.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self.title = named(path)
        self._path = path
        self._header = layout.header
        self._encoding = encoding_of(layout.encoding)
        self._quotes = layout.quotes
        self._separator = layout.separator
        mark = self._separator
        if len(mark) > 1 or not mark.isascii() or mark in ('"', "\n", "\r", "\0"):
            raise CustomerError(
                f"{option('separator')} must be one ASCII character, such as ',', found "
                f"{quoted(mark)}."
            )
        with open_input(path) as stream:
            head = self._head(stream)
        if not self._separator:
            self._separator = _separator_of(head, path)
        first = self._first_record(head)
        self.names = first if self._header else [str(place) for place in range(len(first))]

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """The rows in batches, only these columns, all of text."""
        places = [self.names.index(name) for name in columns]
        skip = self._header
        for block, line in self._blocks():
            if skip:
                start = self._end_of_first(block)
                line += block.count(b"\n", 0, start)
                block = block[start:]
                skip = False
            if block.strip(b"\r\n"):
                yield self._parse(block, line, columns, places)

    def _parse(
        self, block: bytes, line: int, columns: Sequence[str], places: Sequence[int]
    ) -> Batch:
        arrow, reader = arrow_module(), arrow_module("csv")
        keys = [str(place) for place in range(len(self.names))]
        wanted = [keys[place] for place in places]
        quotes = self._quotes and b'"' in block
        try:
            table = reader.read_csv(
                arrow.BufferReader(block),
                read_options=reader.ReadOptions(
                    column_names=keys, block_size=len(block) + 1 if quotes else BLOCK_BYTES // 4
                ),
                parse_options=reader.ParseOptions(
                    delimiter=self._separator,
                    quote_char='"' if quotes else False,
                    newlines_in_values=quotes,
                ),
                convert_options=reader.ConvertOptions(
                    include_columns=list(dict.fromkeys(wanted)),
                    column_types=dict.fromkeys(wanted, arrow.string()),
                    strings_can_be_null=True,
                    null_values=[""],
                ),
            )
        except arrow.ArrowInvalid as error:
            raise self._fault(block, line, str(error)) from None
        arrays = [_whole(table.column(key)) for key in wanted]
        return Batch(dict(zip(columns, arrays)), table.num_rows, partial(self._place, block, line))

    def _place(self, block: bytes, line: int, row: int) -> str:
        found = next(islice(self._records(block, line), row, None), None)
        return f"{self.title}, line {line if found is None else found.line}"

    def _fault(self, block: bytes, line: int, reason: str) -> CustomerError:
        """What is wrong with a block that pyarrow does not take; slow."""
        try:
            block.decode()
        except UnicodeDecodeError as error:
            return self._not_text(block, line, error)
        for record in self._records(block, line):
            fields = self._fields(record.text)
            if len(fields) != len(self.names):
                return CustomerError(
                    f"{self.title}, line {record.line}, has {len(fields)} fields instead of "
                    f"{len(self.names)}: {shown(self._separator.join(fields))}."
                )
        return CustomerError(f"{self.title} cannot be read as a table: {reason.splitlines()[0]}.")

    def _not_text(self, data: bytes, line: int, error: UnicodeDecodeError) -> CustomerError:
        number = line + data.count(b"\n", 0, error.start)
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1)
        return CustomerError(
            f"{self.title}, line {number}, is not written in {self._encoding}: its byte "
            f"{column + 1} is 0x{data[error.start]:02x}; name the encoding that it has, such as "
            "latin-1."
        )

    def _not_encoded(self, error: UnicodeError) -> CustomerError:
        # Some codecs say no place, as UTF-16 does of a file without its mark at the beginning.
        return CustomerError(
            f"{self.title} is not written in {self._encoding} ({named(error)}): name the encoding "
            "that it has, such as utf-8 or utf-16-le."
        )

    def _records(self, block: bytes, line: int = 1) -> Iterator[_Record]:
        """The records that are not empty, one by one; `line` is the block's first.

        What csv refuses, such as a long field or a break of a single CR, is as pyarrow takes it.
        """
        field = _field(self._separator, self._quotes)
        records = re.compile(rb"(%b(?:%b%b)*)(?:\r\n|[\r\n]|\Z)" % (field, self._mark(), field))
        before = 0
        for match in records.finditer(block):
            line += block.count(b"\n", before, match.start())
            before = match.start()
            if match[1]:
                yield _Record(match[1], line, match.end())

    def _fields(self, record: bytes) -> list[str]:
        pattern = rb"(%b)(?:%b|\Z)" % (_field(self._separator, self._quotes), self._mark())
        fields, at = [], 0
        for match in re.finditer(pattern, record):
            fields.append(match[1])
            at = match.end(1)
            if at == len(record):
                break
        return [self._unquoted(field).decode(errors="replace") for field in fields]

    def _unquoted(self, field: bytes) -> bytes:
        if not self._quotes or field[:1] != b'"':
            return field
        found = re.match(rb'"([^"]*(?:""[^"]*)*)"?', field)
        assert found is not None
        return found[1].replace(b'""', b'"') + field[found.end() :]

    def _mark(self) -> bytes:
        return re.escape(self._separator.encode())

    def _head(self, stream: BinaryIO) -> bytes:
        """The beginning as UTF-8, whole lines where it holds one."""
        data = b""
        while len(data) < _HEAD_BYTES and (part := stream.read(_HEAD_BYTES - len(data))):
            data += part
        self._refuse_other_utf(data)
        try:
            text = codecs.getincrementaldecoder(self._encoding)().decode(data)
        except UnicodeDecodeError as error:
            raise self._not_text(data, 1, error) from None
        except UnicodeError as error:
            raise self._not_encoded(error) from None
        head = text.removeprefix("\ufeff").encode(errors="replace")
        if not head.strip():
            raise CustomerError(f"{self.title} holds no row: a table has a line for each pair.")
        return head

    def _refuse_other_utf(self, data: bytes) -> None:
        found = next((name for mark, name in _OTHER_MARKS if data.startswith(mark)), None)
        if found is not None and self._encoding == "utf-8":
            raise CustomerError(
                f"{self.title} is written in {found}: name that encoding, {found.lower()}, or "
                "write UTF-8."
            )

    def _first_record(self, head: bytes) -> list[str]:
        return self._fields(next(self._records(head)).text)

    def _end_of_first(self, block: bytes) -> int:
        """Where the first record ends in a block, in bytes."""
        return next((record.end for record in self._records(block)), len(block))

    def _blocks(self) -> Iterator[tuple[bytes, int]]:
        """Blocks of whole records in UTF-8, with the number of each one's first line."""
        pending, line = b"", 1
        with open_input(self._path) as stream:
            for data in self._decoded(stream):
                block = pending + data
                end = self._end_of_records(block)
                if end:
                    yield block[:end], line
                    line += block.count(b"\n", 0, end)
                pending = block[end:]
                if len(pending) > LONGEST_RECORD:
                    self._refuse_endless(pending, line)
        if pending:
            if self._quotes and _open_quote(pending, self._separator) is not None:
                self._refuse_endless(pending, line)
            yield pending, line

    def _refuse_endless(self, pending: bytes, line: int) -> None:
        start = _open_quote(pending, self._separator) if self._quotes else None
        if start is None:
            raise CustomerError(
                f"{self.title}, line {line}, has more than {LONGEST_RECORD >> 20} MiB."
            )
        line += pending.count(b"\n", 0, start)
        told = option_with("quotes", "False")
        advice = f", and {told} takes them as plain characters" if told else ""
        raise CustomerError(
            f"{self.title}, line {line}: a field begins with a double quote that nothing closes; "
            f"double quotes inside a quoted field are written twice{advice}."
        )

    def _decoded(self, stream: BinaryIO) -> Iterator[bytes]:
        if self._encoding == "utf-8":
            first = True
            while data := stream.read(BLOCK_BYTES):
                yield data.removeprefix(codecs.BOM_UTF8) if first else data
                first = False
            return
        decoder = codecs.getincrementaldecoder(self._encoding)()
        line, first = 1, True
        while True:
            data = stream.read(BLOCK_BYTES)
            try:
                text = decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                raise self._not_text(error.object, line, error) from None
            except UnicodeError as error:
                raise self._not_encoded(error) from None
            line += data.count(b"\n")
            yield (text.removeprefix("\ufeff") if first else text).encode(errors="replace")
            first = False
            if not data:
                return

    def _end_of_records(self, block: bytes) -> int:
        """Where the last record that the block holds as a whole ends."""
        end = block.rfind(b"\n") + 1
        if self._quotes and b'"' in block:
            spans = array("q")
            for field in _quoted_fields(block, self._separator):
                spans.extend(field.span())
            # Before the field that the last line break stands in, and the one before that, as long
            # as breaks stand in them; what closes a field at the end of the block may be the first
            # of two quotes, but then stands behind that break.
            while spans and end <= spans[-1]:
                if spans[-2] < end:
                    end = block.rfind(b"\n", 0, spans[-2]) + 1
                del spans[-2:]
        return end


def _field(separator: str, quotes: bool) -> bytes:
    """A pattern of one field, which matches anywhere and never has to go back."""
    plain = rb"[^%b\r\n]*" % re.escape(separator.encode())
    return rb'(?:"[^"]*(?:""[^"]*)*"?)?' + plain if quotes else plain


def encoding_of(name: str) -> str:
    """The name of an encoding of text as Python writes it.

    Raises
    ------
    CustomerError
        If there is none of that name.
    """
    try:
        found = codecs.lookup(name).name
        "".encode(found)
    except (LookupError, ValueError, TypeError):
        raise CustomerError(
            f"{option('encoding')} must be one that Python knows, such as utf-8 or latin-1, found "
            f"{quoted(name)}."
        ) from None
    return "utf-8" if found == "utf-8-sig" else found


def _quoted_fields(block: bytes, separator: str) -> Iterator[re.Match[bytes]]:
    """All quoted fields; group 1 is empty where the block does not close one."""
    mark = re.escape(separator.encode())
    # A quote opens a field at its beginning only; in one it is written twice.
    fields = re.compile(rb'(?:(?<=[\r\n])|(?<=%b)|\A)"[^"]*(?:""[^"]*)*("?)' % mark)
    return fields.finditer(block)


def _open_quote(block: bytes, separator: str) -> Optional[int]:
    """Where a quoted field begins that does not end in the block, if there is one."""
    last = max(_quoted_fields(block, separator), key=re.Match.start, default=None)
    return last.start() if last is not None and not last[1] else None


def _separator_of(head: bytes, path: Path) -> str:
    if re.search(r"\.(tsv|tab)(\.gz)?$", path.name, re.IGNORECASE):
        return "\t"
    lines = [line for line in islice(io.BytesIO(head), 20) if line.strip()]
    counts = {mark: lines[0].count(mark.encode()) for mark in SEPARATORS}
    if re.search(r"\.csv(\.gz)?$", path.name, re.IGNORECASE) and counts[","]:
        return ","
    return max(SEPARATORS, key=lambda mark: counts[mark])


def _whole(column: Any) -> Any:
    """A chunked array as one array."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
