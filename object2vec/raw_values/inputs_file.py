# SPDX-License-Identifier: Apache-2.0
"""Reads and writes ``inputs.json``: open JSON with a version, from outside, and so only data."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Sequence
from typing import Any, NoReturn, Optional, Union

from object2vec.errors import CustomerError
from object2vec.files import PathLike, atomic_write, open_regular
from object2vec.json_objects import parse_json
from object2vec.raw_values.inputs import (
    KINDS,
    LABEL_KINDS,
    MOST_CLASSES,
    MOST_IDS,
    MOST_REPEATS,
    MOST_TOKENS,
    SIDES,
    Bins,
    Column,
    Inputs,
    Label,
    Side,
    Vocabulary,
)
from object2vec.raw_values.tokenizers import NORMAL_FORMS, TOKENIZER
from object2vec.text import named, shown

FILE = "inputs.json"
FORMAT = "object2vec inputs"
VERSION = 1
#: Columns that a side may have.
MOST_COLUMNS = 100
_LARGEST = 256 << 20  # bytes
# Each value of a JSON list or object but the last has a comma behind it: this bounds the memory
# that a file takes once it is parsed.
_MOST_MARKS = 16_000_000
_LONGEST_NAME = 300
_LONGEST_SEPARATOR = 20
_MOST_BINS = 10_000
_TOP = ("format", "version", "tied", "in0", "in1", "label", "vocabularies")
_OF_KIND = {
    "id": (),
    "text": ("tokenizer", "lower", "form"),
    "tags": ("separator", "explode"),
    "number": (),
}  # fmt: skip
_COMMON = ("name", "kind", "vocabulary", "repeat")


def check_name(name: str, option: str) -> None:
    """Raise a CustomerError unless `read_inputs` takes this name of the option's column."""
    if not 1 <= len(name) <= _LONGEST_NAME:
        raise CustomerError(
            f"{option} names the column {shown(name)}, whose name has {len(name)} characters "
            f"instead of 1 to {_LONGEST_NAME}: rename it."
        )


def read_inputs(path: PathLike) -> Inputs:
    """Read a file as `parse_inputs` does.

    Raises
    ------
    CustomerError
        If it cannot be read, or is not sound.
    """
    try:
        with open_regular(path) as stream:
            content = stream.read(_LARGEST + 1)
    except OSError as error:
        raise CustomerError(f"{named(path)} cannot be read: {error.strerror}.") from None
    return parse_inputs(content, str(path))


def write_inputs(path: PathLike, inputs: Inputs) -> None:
    """Write a file as a whole or not at all.

    Raises
    ------
    CustomerError
        If the vocabularies are larger than a file may be.
    """
    content = inputs_bytes(inputs)
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
        "version": VERSION,
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
            f"{_LARGEST >> 20} MiB and {_MOST_MARKS:,} commas: raise min_count or lower max_size."
        )
    return content


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
        fields: dict[str, Any] = {name: getattr(column, name) for name in _COMMON}
        for name in _OF_KIND[column.kind]:
            fields[name] = TOKENIZER if name == "tokenizer" else getattr(column, name)
        columns.append(fields)
    return {"columns": columns, "max_length": side.max_length}


def _label_fields(label: Label) -> dict[str, Any]:
    if label.kind == "none":
        return {"kind": "none"}
    if label.kind == "class":
        return {"kind": "class", "name": label.name, "classes": list(label.classes)}
    return {"kind": "number", "name": label.name, "num_classes": label.num_classes}


def _vocabulary_fields(vocabulary: Union[Vocabulary, Bins]) -> dict[str, Any]:
    if isinstance(vocabulary, Bins):
        return {"counts_missing": vocabulary.counts_missing, "edges": list(vocabulary.edges)}
    return {"counts_missing": vocabulary.counts_missing, "values": vocabulary.values}


def parse_inputs(content: bytes, source: str = FILE) -> Inputs:
    """Check the content of ``inputs.json``.

    Parameters
    ----------
    content : bytes
        JSON of at most 256 MiB.
    source : str
        Name of the file, for errors.

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
    return _Checker(name).inputs(values)


def _marks(content: bytes) -> int:
    return sum(content.count(mark) for mark in (b",", b"[", b"{"))


class _Checker:
    """Takes the fields one by one; each method refuses what is not right."""

    def __init__(self, source: str) -> None:
        self._source = source

    def inputs(self, values: Any) -> Inputs:
        if type(values) is not dict or values.get("format") != FORMAT:
            raise CustomerError(
                f"{self._source} describes no inputs: it should be an object with "
                f'"format": "{FORMAT}", as `object2vec` writes it.'
            )
        version = values.get("version")
        if type(version) is not int or version != VERSION:
            self._refuse("version", version, f"{VERSION}, the one that this object2vec reads")
        self._object(values, "the whole", _TOP)
        tied = self._boolean(values["tied"], "tied")
        vocabularies = self._vocabularies(values["vocabularies"])
        sides = [self._side(values[name], name, vocabularies) for name in SIDES]
        inputs = Inputs(sides[0], sides[1], self._label(values["label"]), vocabularies, tied)
        self._check_shares(inputs)
        return inputs

    def _check_shares(self, inputs: Inputs) -> None:
        used = [[c.vocabulary for c in inputs.side(name).columns] for name in SIDES]
        if inputs.tied and used[0] != used[1]:
            self._refuse("vocabulary", used[1], f"those of in0, {shown(used[0])}, for tied is true")
        both = used[0] if inputs.tied else used[0] + used[1]
        for name in both:
            if both.count(name) > 1:
                self._refuse("vocabulary", name, "that of one column only")
        for name in inputs.vocabularies:
            if name not in both:
                self._refuse("vocabularies", name, "named by a column")
        for side in SIDES:
            size = inputs.vocab_size(side)
            if size > MOST_IDS:
                self._refuse(f"the vocabularies of {side}", size, f"{MOST_IDS} ids at most")

    def _vocabularies(self, given: Any) -> dict[str, Union[Vocabulary, Bins]]:
        if type(given) is not dict or len(given) > 2 * MOST_COLUMNS:
            self._refuse("vocabularies", given, f"an object of {2 * MOST_COLUMNS} names at most")
        found: dict[str, Union[Vocabulary, Bins]] = {}
        for name, fields in given.items():
            where = f"vocabularies.{shown(name)}"
            self._text(name, where)
            kind = "edges" if type(fields) is dict and "edges" in fields else "values"
            self._object(fields, where, ("counts_missing", kind))
            missing = self._boolean(fields["counts_missing"], f"{where}.counts_missing")
            if kind == "edges":
                edges = self._edges(fields["edges"], f"{where}.edges")
                found[name] = Bins(edges, missing)
            else:
                values = self._values(fields["values"], f"{where}.values")
                found[name] = Vocabulary(values, missing)
        return found

    def _values(self, values: Any, where: str, most: int = MOST_IDS) -> tuple[str, ...]:
        if type(values) is not list or len(values) > most:
            self._refuse(where, values, f"a list of {most:,} texts at most")
        if not set(map(type, values)) <= {str}:
            place = next(i for i, value in enumerate(values) if type(value) is not str)
            self._refuse(f"{where}[{place}]", values[place], "a text")
        if len(set(values)) < len(values):
            seen: set[str] = set()
            place = next(i for i, v in enumerate(values) if v in seen or seen.add(v))  # type: ignore[func-returns-value]
            self._refuse(f"{where}[{place}]", values[place], "a value that no other one equals")
        return tuple(values)

    def _edges(self, edges: Any, where: str) -> tuple[float, ...]:
        if type(edges) is not list or len(edges) >= _MOST_BINS:
            self._refuse(where, edges, f"a list of fewer than {_MOST_BINS:,} numbers")
        for place, edge in enumerate(edges):
            if not _is_finite(edge):
                self._refuse(f"{where}[{place}]", edge, "a finite number")
        edges = [float(edge) for edge in edges]
        for place, (low, high) in enumerate(zip(edges, edges[1:]), 1):
            if not low < high:
                self._refuse(f"{where}[{place}]", high, f"a number above {low}")
        return tuple(edges)

    def _side(
        self, given: Any, name: str, vocabularies: dict[str, Union[Vocabulary, Bins]]
    ) -> Side:
        self._object(given, name, ("columns", "max_length"))
        columns = given["columns"]
        if type(columns) is not list or not 1 <= len(columns) <= MOST_COLUMNS:
            self._refuse(f"{name}.columns", columns, f"a list of 1 to {MOST_COLUMNS} columns")
        found = tuple(
            self._column(column, f"{name}.columns[{place}]", vocabularies)
            for place, column in enumerate(columns)
        )
        self._values([column.name for column in found], f"the names in {name}.columns")
        exploded = any(column.explode for column in found)
        if exploded and len(found) > 1:
            self._refuse(f"{name}.columns", len(found), "one column, for it is exploded")
        length = self._integer(given["max_length"], f"{name}.max_length", 1, MOST_TOKENS)
        return Side(found, length)

    def _column(
        self, given: Any, where: str, vocabularies: dict[str, Union[Vocabulary, Bins]]
    ) -> Column:
        kind = given.get("kind") if type(given) is dict else None
        if type(kind) is not str or kind not in KINDS:
            self._refuse(f"{where}.kind", kind, f"one of {', '.join(KINDS)}")
        self._object(given, where, (*_COMMON, *_OF_KIND[kind]))
        vocabulary = given["vocabulary"]
        wanted = Bins if kind == "number" else Vocabulary
        if type(vocabulary) is not str or not isinstance(vocabularies.get(vocabulary), wanted):
            field = "edges" if kind == "number" else "values"
            self._refuse(f"{where}.vocabulary", vocabulary, f"one of 'vocabularies' with {field}")
        options = {name: given[name] for name in _OF_KIND[kind]}
        if kind == "text":
            tokenizer = options.pop("tokenizer")
            if tokenizer != TOKENIZER or type(tokenizer) is not str:
                self._refuse(f"{where}.tokenizer", tokenizer, shown(TOKENIZER))
            if type(options["form"]) is not str or options["form"] not in NORMAL_FORMS:
                self._refuse(f"{where}.form", options["form"], f"one of {', '.join(NORMAL_FORMS)}")
            self._boolean(options["lower"], f"{where}.lower")
        if kind == "tags":
            self._text(options["separator"], f"{where}.separator", _LONGEST_SEPARATOR)
            self._boolean(options["explode"], f"{where}.explode")
        return Column(
            name=self._text(given["name"], f"{where}.name"),
            kind=kind,
            vocabulary=vocabulary,
            repeat=self._integer(given["repeat"], f"{where}.repeat", 1, MOST_REPEATS),
            **options,
        )

    def _label(self, given: Any) -> Label:
        kind = given.get("kind") if type(given) is dict else None
        if type(kind) is not str or kind not in LABEL_KINDS:
            self._refuse("label.kind", kind, f"one of {', '.join(LABEL_KINDS)}")
        if kind == "none":
            self._object(given, "label", ("kind",))
            return Label(kind)
        self._object(
            given, "label", ("kind", "name", "classes" if kind == "class" else "num_classes")
        )
        name = self._text(given["name"], "label.name")
        if kind == "class":
            classes = self._values(given["classes"], "label.classes", MOST_CLASSES)
            if len(classes) < 1:
                self._refuse("label.classes", [], "a list of one name or more")
            return Label(kind, name, classes)
        number: Optional[int] = given["num_classes"]
        if number is not None:
            self._integer(number, "label.num_classes", 1, MOST_CLASSES)
        return Label(kind, name, num_classes=number)

    def _object(self, given: Any, where: str, keys: Sequence[str]) -> None:
        if type(given) is not dict:
            self._refuse(where, given, f"an object of {', '.join(keys)}")
        for key in keys:
            if key not in given:
                raise CustomerError(f"{self._source} lacks {shown(key)} in {where}.")
        for key in given:
            if key not in keys:
                raise CustomerError(
                    f"{self._source} holds the unknown {shown(key)} in {where}, which has "
                    f"{', '.join(keys)} only."
                )

    def _boolean(self, value: Any, where: str) -> bool:
        if type(value) is not bool:
            self._refuse(where, value, "true or false")
        return bool(value)

    def _integer(self, value: Any, where: str, low: int, high: int) -> int:
        if type(value) is not int or not low <= value <= high:
            self._refuse(where, value, f"an integer from {low} to {high}")
        return int(value)

    def _text(self, value: Any, where: str, longest: int = _LONGEST_NAME) -> str:
        if type(value) is not str or not 1 <= len(value) <= longest:
            self._refuse(where, value, f"a text of 1 to {longest} characters")
        return str(value)

    def _refuse(self, where: str, found: Any, wanted: str) -> NoReturn:
        raise CustomerError(
            f"{self._source} gives {_kind(found)} for {where}, but it should be {wanted}."
        )


def _is_finite(value: Any) -> bool:
    if type(value) not in (int, float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _kind(value: Any) -> str:
    # A container is named by its kind: its content may be of any size and depth.
    if isinstance(value, dict):
        return "an object"
    return f"a list of {len(value)}" if isinstance(value, list) else shown(value)
