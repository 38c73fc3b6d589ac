# SPDX-License-Identifier: Apache-2.0
"""Opens tables of every kind: files, folders, frames of pandas, tables of Arrow, records."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Optional, Union

import orjson

from object2vec.data.channel_files import channel_files, log_passed_over
from object2vec.data.foreign_formats import LOOKED_AT_BYTES, recognise
from object2vec.data.record_checks import INPUTS
from object2vec.errors import CustomerError
from object2vec.files import READING_ERRORS, PathLike, open_input, unreadable
from object2vec.prepare.arrow import arrow_module
from object2vec.prepare.delimited import DelimitedFile, Layout
from object2vec.prepare.json_rows import JsonRows, batch_of, keys_of
from object2vec.prepare.table_batch import Batch, Table, column_of
from object2vec.raw_values.encode_values import nearest
from object2vec.raw_values.option_names import option_with
from object2vec.text import named, names, quoted

ROWS_AT_ONCE = 1 << 18
_RECORDS_AT_ONCE = 1 << 14
# What may be a table in spite of looking like something known.
_READABLE = ("LIBSVM", "a file for fastText", "UTF-16", "UTF-32")


def open_table(source: Any, layout: Optional[Layout] = None) -> Table:
    """Open a table.

    Parameters
    ----------
    source : path-like, list of path-like, frame of pandas, table of Arrow, or list of dicts
        A file or a folder of files, or several, in CSV, TSV or another text with separators, in
        JSON Lines (all of these gzipped or not) or in Parquet: the content decides. What exports
        Arrow's C stream, as frames of polars do, is taken too, and a table that is open already.
    layout : Layout, optional
        How files with separators are written.

    Raises
    ------
    CustomerError
        If there is no table, or it cannot be read.
    """
    if isinstance(source, _OPEN):
        return source
    layout = Layout() if layout is None else layout
    if not isinstance(layout, Layout):
        raise CustomerError(
            f"layout must be a Layout such as Layout(encoding='latin-1'), found {quoted(layout)}."
        )
    if isinstance(source, (str, os.PathLike)):
        return _Files(_listed(source), named(source), layout)
    if hasattr(source, "iloc") and hasattr(source, "columns"):
        return _Frame(source)
    if hasattr(source, "to_batches") and hasattr(source, "column_names"):
        return _ArrowTable(source)
    if hasattr(source, "__arrow_c_stream__"):
        return _ArrowTable(arrow_module().table(source))
    if isinstance(source, Sequence) and not isinstance(source, bytes):
        if not source:
            raise CustomerError("The table is empty: no row and no file was given.")
        if all(isinstance(item, (str, os.PathLike)) for item in source):
            paths = [path for item in source for path in _listed(item)]
            return _Files(paths, f"{len(paths)} files", layout)
        if all(isinstance(item, Mapping) for item in source):
            return _Records(source)
    raise CustomerError(
        "A table must be a path, a list of paths, a frame of pandas, a table of Arrow or a list of "
        f"dicts, found a {type(source).__name__}."
    )


def open_by_names(source: Any, *groups: Sequence[str], layout: Optional[Layout] = None) -> Table:
    """Open a table whose columns have the names that they had in training.

    Where all of them are positions, such as ``0`` and ``1``, files have no header, as in training,
    unless it counts the columns itself, as pandas writes it.

    Parameters
    ----------
    source
        As of `open_table`; one that is open already stays as it is.
    *groups : sequence of str
        Columns; of several groups a table may hold only one, such as those of in0.
    layout : Layout, optional
        How files with separators are written otherwise.

    Raises
    ------
    CustomerError
        As `open_table`.
    """
    table = open_table(source, layout)
    layout = Layout() if layout is None else layout
    every = [name for group in groups for name in group]
    if isinstance(source, _OPEN) or not layout.header or not all(map(str.isdecimal, every)):
        return table
    known = table.names
    # what the first row holds may be such a number too
    has_positions = all(int(name) < len(known) for name in every)
    counted = [set(group) <= set(known) for group in groups]
    if all(counted) or (any(counted) and not has_positions):
        return table
    return open_table(source, replace(layout, header=False))


def column_name(table: Table, given: Union[str, int], option: str) -> str:
    """The name of a column that is given by name or by position.

    Raises
    ------
    CustomerError
        If the table has none such, or two.
    """
    known = table.names
    if isinstance(given, int) and not isinstance(given, bool):
        if not 0 <= given < len(known):
            raise CustomerError(
                f"{option} names the column {given}, but {table.title} has "
                f"{len(known)} columns, 0 to {len(known) - 1}."
            )
        if known[given] != str(given) in known:
            raise CustomerError(
                f"{option} names the column {given}, which may be the one at this position, "
                f"{quoted(known[given])}, or the one of this name: give the name, as a text."
            )
        return column_name(table, known[given], option)
    if not isinstance(given, str) or given not in known:
        raise CustomerError(_lacks(table, given, option))
    if known.count(given) > 1:
        raise CustomerError(f"{table.title} has two columns {quoted(given)}: name each once.")
    return given


def _lacks(table: Table, given: Any, option: str) -> str:
    """The sentence about a column that a table lacks, with what may have been overlooked."""
    known = table.names
    is_delimited = isinstance(table, _Files) and table.is_delimited
    names_column = f"{option} names the column {quoted(given)}"
    separator, without = option_with("separator", "'…'"), option_with("header", "False")
    if is_delimited and len(known) == 1:
        advice = (
            f"; give {separator} where another character than , ; | and the tab stands between "
            "the columns"
        )
        return (
            f"{names_column}, but {table.title} holds one column only, {quoted(known[0])}"
            f"{advice if separator else ''}."
        )
    hint = ""
    has_positions = known == [str(place) for place in range(len(known))]
    if (
        is_delimited
        and without
        and not has_positions
        and any(re.fullmatch(r"-?\d+(\.\d+)?", name) for name in known)
    ):
        hint = f" (where that is a row of data, say {without}, and call the columns 0, 1, 2, …)"
    return (
        f"{names_column}, which {table.title} does not have{nearest(given, known)}; it has "
        f"{names(known)}{hint}."
    )


def holds_table(path: PathLike, channel: str, columns: Sequence[str]) -> bool:
    """Whether a channel holds a table rather than pairs of ids; its first file decides.

    Parameters
    ----------
    path : path-like
        A file or a folder.
    channel : str
        Its name, for errors.
    columns : sequence of str
        One of them at least stands in each row of JSON Lines.

    Raises
    ------
    CustomerError
        If there is nothing, or it cannot be listed.
    """
    files = channel_files(path, channel).files
    if not files:
        return False

    def is_row(record: dict[str, Any]) -> bool:
        is_pair = all(isinstance(record.get(name), list) for name in INPUTS)
        return not is_pair and any(name in record for name in columns)

    try:
        return file_holds_table(files[0], is_row)
    except READING_ERRORS:
        return False


def file_holds_table(path: PathLike, is_row: Callable[[dict[str, Any]], bool]) -> bool:
    """Whether a file holds a table; of JSON Lines the first object is asked whether it is a row.

    Raises
    ------
    OSError, EOFError or zlib.error
        See `files.READING_ERRORS`.
    """
    with open_input(path) as stream:
        head = stream.read(LOOKED_AT_BYTES)
    line = head.lstrip(b"\xef\xbb\xbf \t\r\n").split(b"\n", 1)[0]
    if not line.startswith(b"{"):
        found = recognise(head)
        return found is not None and found.is_table
    try:
        return is_row(orjson.loads(line))
    except orjson.JSONDecodeError:
        return False


def json_records(source: Any) -> Iterator[dict[str, Any]]:
    """The objects of JSON Lines, of a file or of a folder's files, one by one.

    Raises
    ------
    CustomerError
        One sentence with the file and the line of what is none.
    """
    for path in _listed(source):
        with _readable(path):
            yield from JsonRows(path).records()


def _listed(source: Any) -> list[Path]:
    path = Path(source)
    if not path.exists():
        raise CustomerError(f"There is no table {named(source)}, neither a file nor a folder.")
    if not path.is_dir() and not path.is_file():
        raise CustomerError(
            f"A table is read several times and must be a file or a folder, not a pipe or a device "
            f"such as {named(source)}."
        )
    found = channel_files(source, "table")
    log_passed_over(found, "table")
    if not found.files:
        raise CustomerError(f"{named(source)} is empty: a table has a row for each pair.")
    return found.files


class _Files:
    """One file after the other; columns may stand in another order in each."""

    def __init__(self, paths: Sequence[Path], title: str, layout: Layout) -> None:
        with _readable(paths[0]):
            first = _open_file(paths[0], layout)
        self._paths = paths
        self._layout = layout
        self.title = first.title if len(paths) == 1 else title
        self.names = first.names
        self.is_delimited = isinstance(first, DelimitedFile)

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        for path in self._paths:
            with _readable(path):
                table = _open_file(path, self._layout)
                for name in columns:
                    column_name(table, name, "The table")
                yield from table.batches(columns)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except READING_ERRORS as error:
        raise CustomerError(f"{unreadable(path, error)}.") from None


def _open_file(path: Path, layout: Layout) -> Table:
    with open_input(path) as stream:
        head = stream.read(LOOKED_AT_BYTES)
    if head[:4] == b"PAR1":
        return _ParquetFile(path)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:1] == b"{":
        return JsonRows(path)
    found = recognise(head)
    if found is not None and not found.is_table and found.name not in _READABLE:
        raise CustomerError(
            f"{named(path)} looks like {found.name}; a table is CSV, TSV, JSON Lines or Parquet."
        )
    return DelimitedFile(path, layout)


class _ParquetFile:
    def __init__(self, path: Path) -> None:
        self.title = named(path)
        self._path = path
        with self._file() as file:
            self.names = list(file.schema_arrow.names)

    @contextlib.contextmanager
    def _file(self) -> Iterator[Any]:
        arrow, parquet = arrow_module(), arrow_module("parquet")
        try:
            with parquet.ParquetFile(self._path) as file:
                yield file
        except arrow.ArrowException as error:
            reason = str(error).splitlines()[0] if str(error) else "it is damaged"
            raise CustomerError(f"{self.title} cannot be read as Parquet: {reason}.") from None

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        with self._file() as file:
            first = 0
            wanted = list(dict.fromkeys(columns))
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=wanted):
                arrays = {name: batch.column(batch.schema.get_field_index(name)) for name in wanted}
                yield Batch(arrays, batch.num_rows, partial(_row_of, self.title, first))
                first += batch.num_rows


class _ArrowTable:
    title = "the table"

    def __init__(self, table: Any) -> None:
        self._table = table
        self.names = list(table.column_names)

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        wanted = list(dict.fromkeys(columns))
        first = 0
        for batch in self._table.select(wanted).to_batches(ROWS_AT_ONCE):
            arrays = {name: batch.column(at) for at, name in enumerate(wanted)}
            yield Batch(arrays, batch.num_rows, partial(_row_of, self.title, first))
            first += batch.num_rows


class _Frame:
    title = "the data frame"

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self.names = [str(name) for name in frame.columns]

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        places = {name: self.names.index(name) for name in columns}
        for first in range(0, len(self._frame), ROWS_AT_ONCE):
            rows = self._frame.iloc[first : first + ROWS_AT_ONCE]
            place = partial(_row_of, self.title, first)
            arrays = {
                name: _of_series(rows.iloc[:, at], name, place) for name, at in places.items()
            }
            yield Batch(arrays, len(rows), place)


def _of_series(series: Any, name: str, place: Any) -> Any:
    if series.dtype == object:
        return column_of(series.tolist(), name, place)
    arrow = arrow_module()
    try:
        array = arrow.array(series, from_pandas=True)
    except (arrow.ArrowException, TypeError):
        return column_of(series.tolist(), name, place)
    return array.combine_chunks() if hasattr(array, "combine_chunks") else array


class _Records:
    title = "the list of records"

    def __init__(self, records: Sequence[Mapping[Any, Any]]) -> None:
        self._records = records
        self.names = keys_of(records[:1000])

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        for first in range(0, len(self._records), _RECORDS_AT_ONCE):
            rows = self._records[first : first + _RECORDS_AT_ONCE]
            yield batch_of(rows, columns, partial(_row_of, self.title, first))


def _row_of(title: str, first: int, row: int) -> str:
    return f"{title}, row {first + row}, counting from 0"


_OPEN = (_Files, _Frame, _ArrowTable, _Records)
