# SPDX-License-Identifier: Apache-2.0
"""Reads and writes ``inputs.json``: open JSON with a version, from outside, and so only data."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from object2vec.errors import CustomerError
from object2vec.files import PathLike, atomic_write, open_regular
from object2vec.json_objects import parse_json
from object2vec.raw_values.inputs import Bins, Column, Inputs, Label, Side, TokenIds, Values
from object2vec.raw_values.inputs_fields import (
    COMMON,
    FORMAT,
    LONGEST_NAME,
    OF_KIND,
    VERSION,
    VERSION_WITH_STEMS,
    VERSION_WITH_TAGS,
    VERSION_WITH_TOKENIZER,
    InputsChecker,
)
from object2vec.raw_values.option_names import option
from object2vec.raw_values.tokenizer_files import LARGEST as LARGEST_TOKENIZER
from object2vec.raw_values.tokenizers import TOKENIZER
from object2vec.text import named, shown

FILE = "inputs.json"
_LARGEST = 256 << 20  # bytes
# Each value of a JSON list or object but the last has a comma behind it: this bounds the memory
# that a file takes once it is parsed.
_MOST_MARKS = 16_000_000


def check_name(name: str, option: str) -> None:
    """Raise a CustomerError unless `read_inputs` takes this name of the option's column."""
    if not 1 <= len(name) <= LONGEST_NAME:
        raise CustomerError(
            f"{option} names the column {shown(name)}, whose name has {len(name)} characters "
            f"instead of 1 to {LONGEST_NAME}: rename it."
        )


def read_inputs(path: PathLike) -> Inputs:
    """Read a file as `parse_inputs` does.

    Raises
    ------
    CustomerError
        If it cannot be read, or is not sound.
    """
    content = _content(path, _LARGEST)
    return parse_inputs(content, str(path), lambda name: _content(Path(path).with_name(name)))


def _content(path: PathLike, most: int = LARGEST_TOKENIZER) -> bytes:
    try:
        with open_regular(path) as stream:
            return stream.read(most + 1)
    except OSError as error:
        raise CustomerError(f"{named(path)} cannot be read: {error.strerror}.") from None


def write_inputs(path: PathLike, inputs: Inputs) -> None:
    """Write a file as a whole or not at all, and beside it the tokenizers that it names.

    Raises
    ------
    CustomerError
        If the vocabularies are larger than a file may be.
    """
    content = inputs_bytes(inputs)
    for name, file in inputs.tokenizers.items():
        with atomic_write(Path(path).with_name(name)) as stream:
            stream.write(file.content)
    with atomic_write(path) as stream:
        stream.write(content)


def inputs_bytes(inputs: Inputs) -> bytes:
    """The content of ``inputs.json``: equal inputs give equal bytes.

    Raises
    ------
    CustomerError
        If the vocabularies are larger than a file may be.
    """
    fields = {
        "format": FORMAT,
        "version": _version(inputs),
        "tied": inputs.tied,
        "in0": _side_fields(inputs.in0),
        "in1": _side_fields(inputs.in1),
        "label": _label_fields(inputs.label),
    }
    content = b"{\n%b,\n%b}\n" % (
        b",\n".join(_member(name, value) for name, value in fields.items()),
        b'"vocabularies": {\n%b\n}'
        % b",\n".join(
            _member(name, _vocabulary_fields(vocabulary))
            for name, vocabulary in sorted(inputs.vocabularies.items())
        ),
    )
    if len(content) > _LARGEST or _marks(content) > _MOST_MARKS:
        raise CustomerError(
            f"The vocabularies would make a {FILE} of {len(content) >> 20} MiB, but it may have "
            f"{_LARGEST >> 20} MiB and {_MOST_MARKS:,} commas: raise "
            f"{option('min_count')} or lower {option('max_size')}."
        )
    return content


def _version(inputs: Inputs) -> int:
    """The earliest one that can be read."""
    columns = (*inputs.in0.columns, *inputs.in1.columns)
    if any(column.stem is not None for column in columns):
        return VERSION_WITH_STEMS
    if inputs.label.kind == "tags":
        return VERSION_WITH_TAGS
    return VERSION_WITH_TOKENIZER if inputs.tokenizers else VERSION


def _member(name: str, value: Any) -> bytes:
    """A key and its value on one line, readable where UTF-8 can write it."""
    for ascii_only in (False, True):
        with contextlib.suppress(UnicodeEncodeError):
            key, text = (
                json.dumps(part, ensure_ascii=ascii_only, allow_nan=False) for part in (name, value)
            )
            return f"{key}: {text}".encode()
    raise AssertionError("ASCII can be encoded")


def _side_fields(side: Side) -> dict[str, Any]:
    columns = []
    for column in side.columns:
        fields: dict[str, Any] = {name: getattr(column, name) for name in COMMON}
        fields.update((name, getattr(column, name)) for name in OF_KIND[_form(column)])
        columns.append(fields)
    return {"columns": columns, "max_length": side.max_length}


def _form(column: Column) -> str:
    if column.tokenizer != TOKENIZER:
        return "tokenized"
    return column.kind if column.stem is None else "stemmed"


def _label_fields(label: Label) -> dict[str, Any]:
    if label.kind == "none":
        return {"kind": "none"}
    if label.kind in ("class", "tags"):
        fields = {"kind": label.kind, "name": label.name, "classes": list(label.classes)}
        return {**fields, "separator": label.separator} if label.kind == "tags" else fields
    return {"kind": "number", "name": label.name, "num_classes": label.num_classes}


def _vocabulary_fields(vocabulary: Values) -> dict[str, Any]:
    if isinstance(vocabulary, TokenIds):
        file = vocabulary.file
        return {
            "counts_missing": vocabulary.counts_missing,
            **{"tokenizer": file.name, "size": file.size, "unknown": file.unknown},
        }
    if isinstance(vocabulary, Bins):
        return {"counts_missing": vocabulary.counts_missing, "edges": list(vocabulary.edges)}
    return {"counts_missing": vocabulary.counts_missing, "values": vocabulary.values}


def _no_tokenizer(name: str) -> bytes:
    raise CustomerError(f"There is no file {name} beside {FILE}.")


def parse_inputs(
    content: bytes, source: str = FILE, tokenizer: Callable[[str], bytes] = _no_tokenizer
) -> Inputs:
    """Check the content of ``inputs.json``.

    Parameters
    ----------
    content : bytes
        JSON of at most 256 MiB.
    source : str
        Name of the file, for errors.
    tokenizer : callable
        Gives the content of the tokenizer of a name, or raises a CustomerError.

    Raises
    ------
    CustomerError
        For the first thing that is not right: one sentence that names the file and the field.
    """
    name = named(source)
    if len(content) > _LARGEST:
        raise CustomerError(
            f"{name} has more than {_LARGEST >> 20} MiB, the most that it may have."
        )
    if _marks(content) > _MOST_MARKS:
        raise CustomerError(
            f"{name} has more than {_MOST_MARKS:,} commas and opening brackets, the most that it "
            "may have."
        )
    try:
        values = parse_json(content)
    except ValueError as error:
        raise CustomerError(f"{name} {error}.") from None
    return InputsChecker(name, tokenizer).inputs(values)


def _marks(content: bytes) -> int:
    return sum(content.count(mark) for mark in (b",", b"[", b"{"))
