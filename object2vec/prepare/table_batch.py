# SPDX-License-Identifier: Apache-2.0
"""Some rows of a table in columns of pyarrow, and where each of them stands."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Callable, Optional, Protocol
from uuid import UUID

import numpy as np

from object2vec.errors import CustomerError
from object2vec.prepare.arrow import arrow_module
from object2vec.raw_values.cell_values import canonical, canonical_all, number
from object2vec.raw_values.inputs import Column
from object2vec.text import named, quoted


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of a table.

    Parameters
    ----------
    columns : mapping of str to pyarrow.Array
        Equally long.
    rows : int
        How many.
    place : callable
        Says of a row, counting from 0, where it stands: ``ratings.csv, line 17``.
    """

    columns: Mapping[str, Any]
    rows: int
    place: Callable[[int], str]

    def distinct(self, name: str) -> Distinct:
        """The different values of a column.

        Raises
        ------
        CustomerError
            If Python cannot hold one, or values of this type are none of a cell.
        """
        array = self.columns[name]
        # A date beyond the year 9999, a time zone that is unknown, bytes that are no UTF-8, or
        # a type that pyarrow finds no different values of.
        faults = (arrow_module().ArrowException, ArithmeticError, LookupError, ValueError)
        try:
            return distinct(array)
        except faults:
            pass
        for row in range(self.rows):
            try:
                array[row].as_py()
            except faults as error:
                reason = named(error)
                types = arrow_module().types
                if isinstance(error, OverflowError) and not types.is_duration(array.type):
                    reason = "it lies outside of the years 1 to 9999"
                raise CustomerError(
                    f"A value of the type {named(array.type)} cannot be read: {reason} "
                    f"(column {quoted(name)}, {self.place(row)})."
                ) from None
        raise CustomerError(
            f"A column must hold texts, numbers, dates, UUIDs or lists of these, found the type "
            f"{named(array.type)} (column {quoted(name)}, {self.place(0)} or below)."
        )


class Table(Protocol):
    """A table that can be read several times.

    Attributes
    ----------
    title : str
        Its name in sentences.
    names : list of str
        Its columns.
    """

    title: str
    names: list[str]

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """The rows in batches, in order, only these columns."""


class Distinct:
    """The different values of a column of a batch.

    Parameters
    ----------
    values : list, optional
        Plain Python values, each once; None is the missing one. They are made of `array` without.
    codes : numpy.ndarray
        int, shape ``(rows,)``: the place of each row's value.
    array : pyarrow.Array, optional
        The values, without the missing one.
    has_missing : bool
        Whether a missing one follows on `array`.
    """

    def __init__(
        self,
        values: Optional[list[Any]],
        codes: np.ndarray,
        array: Any = None,
        has_missing: bool = False,
    ) -> None:
        self.codes = codes
        self._array = array
        self._has_missing = has_missing
        if values is not None:
            # in the place of the property
            self.__dict__["values"] = values

    @cached_property
    def values(self) -> list[Any]:
        """Plain Python values, each once; None is the missing one."""
        return list(self._array.to_pylist()) + [None] * self._has_missing

    def __len__(self) -> int:
        return len(self.values) if self._array is None else len(self._array) + self._has_missing

    @cached_property
    def texts(self) -> Any:
        """What `canonical` makes of each value, in Arrow, null where it is missing.

        None where that needs Python: of other types than text, and of texts that may be numbers.
        """
        arrow, compute = arrow_module(), arrow_module("compute")
        if self._array is None or not arrow.types.is_string(self._array.type):
            return None
        if compute.any(compute.ends_with(self._array, ".0")).as_py():
            return None
        empty = compute.equal(self._array, "")
        texts = self._array
        if compute.any(empty).as_py():
            texts = compute.if_else(empty, arrow.scalar(None, arrow.string()), texts)
        missing = [arrow.nulls(1, arrow.string())] * self._has_missing
        return arrow.concat_arrays([texts, *missing])


def distinct(array: Any) -> Distinct:
    """The different values of an array of pyarrow."""
    arrow = arrow_module()
    if getattr(array.type, "extension_name", "") == "arrow.uuid":
        found = distinct(array.storage)
        values = [None if value is None else UUID(bytes=value) for value in found.values]
        return Distinct(values, found.codes)
    if arrow.types.is_float16(array.type):
        array = array.cast(arrow.float32())
    if is_list(array) or arrow.types.is_struct(array.type):
        return Distinct(array.to_pylist(), np.arange(len(array)))
    if not arrow.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    found = array.dictionary
    codes = array.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)
    if arrow.types.is_string(found.type) and not found.null_count:
        # Python does it for other types: a file may hold what is no UTF-8
        found.validate(full=True)
        return Distinct(None, codes, found, array.null_count > 0)
    values = found.to_pylist()
    if array.null_count:
        values.append(None)
    return Distinct(values, codes)


def is_list(array: Any) -> bool:
    """Whether each cell of an array of pyarrow is a list."""
    types = arrow_module().types
    kind = array.type
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def column_of(values: Sequence[Any], name: str, place: Callable[[int], str]) -> Any:
    """An array of pyarrow of any Python values: as they are where that is possible, else as text.

    Raises
    ------
    CustomerError
        If a value is none of a cell.
    """
    arrow = arrow_module()
    kinds = set(map(type, values)) - {type(None)}
    if len(kinds) <= 1 and not kinds & {dict}:
        try:
            return arrow.array(values, from_pandas=True)
        except (arrow.ArrowException, UnicodeError, OverflowError, TypeError, ValueError):
            pass
    listed = any(_is_bag(value) for value in values)
    cells: list[Any] = []
    for row, value in enumerate(values):
        try:
            if listed and _is_bag(value):
                cells.append([_sound(canonical(item)) for item in value])
            elif listed:
                text = _sound(canonical(value))
                cells.append(None if text is None else [text])
            else:
                cells.append(_sound(canonical(value)))
        except CustomerError as error:
            raise CustomerError(
                f"{error.message.rstrip('.')} (column {quoted(name)}, {place(row)})."
            ) from None
    return arrow.array(cells, arrow.list_(arrow.string()) if listed else arrow.string())


def _sound(text: Any) -> Any:
    """Text that UTF-8 can write: of two surrogates that are no pair it knows nothing."""
    return None if text is None else text.encode(errors="replace").decode()


def _is_bag(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, frozenset, np.ndarray))


class Read:
    """A batch whose columns' different values are found once."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self._found: dict[str, Distinct] = {}

    def distinct(self, name: str) -> Distinct:
        """The different values of a column."""
        if name not in self._found:
            self._found[name] = self.batch.distinct(name)
        return self._found[name]

    @contextlib.contextmanager
    def naming(self, name: str) -> Iterator[None]:
        """Say in an error about a value of this column where the first such row stands."""
        try:
            yield
        except CustomerError as error:
            raise CustomerError(
                f"{error.message.rstrip('.')} (column {quoted(name)}, "
                f"{self.batch.place(self._offender(name))} or below)."
            ) from None

    def _offender(self, name: str) -> int:
        found = self.distinct(name)
        for place, value in enumerate(found.values):
            items = value if isinstance(value, list) else [value]
            try:
                for item in items:
                    canonical(item)
            except CustomerError:
                return int(np.flatnonzero(found.codes == place)[0])
        return 0


def present(read: Read, columns: Sequence[Column]) -> np.ndarray:
    """Whether one of a side's columns has a value, bool ``(rows,)``."""
    kept = np.zeros(read.batch.rows, bool)
    for column in columns:
        found = read.distinct(column.name)
        if column.kind != "number" and found.texts is not None:
            has = found.texts.is_valid().to_numpy(zero_copy_only=False)
        else:
            with read.naming(column.name):
                has = np.array(_have_value(found.values, column.kind), bool)
        kept |= has[found.codes]
    return kept


def _have_value(values: list[Any], kind: str) -> list[bool]:
    if kind == "number":
        return [(found := number(value)) is None or not math.isnan(found) for value in values]
    if any(isinstance(value, list) for value in values):
        return [bool(value) for value in values]
    return [text is not None for text in canonical_all(values)]
