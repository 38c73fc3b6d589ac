# SPDX-License-Identifier: Apache-2.0
"""The fields of ``inputs.json``, checked one by one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Optional

from object2vec.errors import CustomerError
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
    TokenIds,
    Values,
    Vocabulary,
)
from object2vec.raw_values.stems import languages
from object2vec.raw_values.tokenizer_files import NAME, TokenizerFile
from object2vec.raw_values.tokenizers import NORMAL_FORMS, TOKENIZER
from object2vec.text import shown

FORMAT = "object2vec inputs"
VERSION = 1
#: Of files that name a tokenizer, which earlier versions cannot run.
VERSION_WITH_TOKENIZER = 2
#: Of files whose labels are tags.
VERSION_WITH_TAGS = 3
#: Of files with a column of stems.
VERSION_WITH_STEMS = 4
VERSIONS = (VERSION, VERSION_WITH_TOKENIZER, VERSION_WITH_TAGS, VERSION_WITH_STEMS)
#: Columns that a side may have.
MOST_COLUMNS = 100
LONGEST_NAME = 300
_LONGEST_SEPARATOR = 20
_MOST_BINS = 10_000
_TOP = ("format", "version", "tied", "in0", "in1", "label", "vocabularies")
OF_KIND = {
    "id": (),
    "text": ("tokenizer", "lower", "form"),
    # of a text whose words are brought to their stems
    "stemmed": ("tokenizer", "lower", "form", "stem"),
    # of a text that is split by a tokenizer of a file
    "tokenized": ("tokenizer", "special_tokens"),
    "tags": ("separator", "explode"),
    "number": (),
}  # fmt: skip
COMMON = ("name", "kind", "vocabulary", "repeat")


class InputsChecker:
    """Takes the fields one by one; each method refuses what is not right."""

    def __init__(self, source: str, tokenizer: Callable[[str], bytes]) -> None:
        self._source = source
        self._tokenizer = tokenizer

    def inputs(self, values: Any) -> Inputs:
        if type(values) is not dict or values.get("format") != FORMAT:
            raise CustomerError(
                f"{self._source} describes no inputs: it should be an object with "
                f'"format": "{FORMAT}", as `object2vec` writes it.'
            )
        version = values.get("version")
        if type(version) is not int or version not in VERSIONS:
            wanted = " or ".join(map(str, VERSIONS))
            self._refuse("version", version, f"{wanted}, which this object2vec reads")
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

    def _vocabularies(self, given: Any) -> dict[str, Values]:
        if type(given) is not dict or len(given) > 2 * MOST_COLUMNS:
            self._refuse("vocabularies", given, f"an object of {2 * MOST_COLUMNS} names at most")
        found: dict[str, Values] = {}
        files: dict[str, TokenizerFile] = {}
        for name, fields in given.items():
            where = f"vocabularies.{shown(name)}"
            self._text(name, where)
            kinds = (kind for kind in ("edges", "tokenizer") if kind in (fields or ()))
            kind = next(kinds, "values") if type(fields) is dict else "values"
            more = ("size", "unknown") if kind == "tokenizer" else ()
            self._object(fields, where, ("counts_missing", kind, *more))
            missing = self._boolean(fields["counts_missing"], f"{where}.counts_missing")
            if kind == "tokenizer":
                found[name] = TokenIds(self._file(fields, where, files), missing)
            elif kind == "edges":
                edges = self._edges(fields["edges"], f"{where}.edges")
                found[name] = Bins(edges, missing)
            else:
                values = self._values(fields["values"], f"{where}.values")
                found[name] = Vocabulary(values, missing)
        return found

    def _file(
        self, fields: dict[str, Any], where: str, files: dict[str, TokenizerFile]
    ) -> TokenizerFile:
        """The tokenizer of a vocabulary, which must be the one that is meant."""
        name = fields["tokenizer"]
        if type(name) is not str or not NAME.fullmatch(name):
            self._refuse(f"{where}.tokenizer", name, "as in tokenizer-0123456789ab.json")
        if name not in files:
            file = files[name] = TokenizerFile(self._tokenizer(name), name)
            if file.name != name:
                raise CustomerError(
                    f"{self._source} names {name}, but the file of this name has another content."
                )
        file = files[name]
        for key in ("size", "unknown"):
            if type(fields[key]) is bool or fields[key] != getattr(file, key):
                self._refuse(f"{where}.{key}", fields[key], shown(getattr(file, key)))
        return file

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

    def _side(self, given: Any, name: str, vocabularies: dict[str, Values]) -> Side:
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

    def _column(self, given: Any, where: str, vocabularies: dict[str, Values]) -> Column:
        kind = given.get("kind") if type(given) is dict else None
        if type(kind) is not str or kind not in KINDS:
            self._refuse(f"{where}.kind", kind, f"one of {', '.join(KINDS)}")
        vocabulary = given.get("vocabulary")
        own = vocabularies.get(vocabulary) if type(vocabulary) is str else None
        form = kind
        if kind == "text" and isinstance(own, TokenIds):
            form = "tokenized"
        elif kind == "text" and "stem" in given:
            form = "stemmed"
        self._object(given, where, (*COMMON, *OF_KIND[form]))
        wanted = {"number": Bins, "tokenized": TokenIds}.get(form, Vocabulary)
        if not isinstance(own, wanted):
            field = "edges" if kind == "number" else "values"
            self._refuse(f"{where}.vocabulary", vocabulary, f"one of 'vocabularies' with {field}")
        options = {name: given[name] for name in OF_KIND[form]}
        if kind == "text":
            known = own.file.name if isinstance(own, TokenIds) else TOKENIZER
            if options["tokenizer"] != known:
                self._refuse(f"{where}.tokenizer", options["tokenizer"], shown(known))
        if form == "tokenized":
            self._boolean(options["special_tokens"], f"{where}.special_tokens")
        if form in ("text", "stemmed"):
            if type(options["form"]) is not str or options["form"] not in NORMAL_FORMS:
                self._refuse(f"{where}.form", options["form"], f"one of {', '.join(NORMAL_FORMS)}")
            self._boolean(options["lower"], f"{where}.lower")
        if form == "stemmed":
            if not options["lower"]:
                why = "true, for the rules of stems are those of words in lower case"
                self._refuse(f"{where}.lower", False, why)
            spoken = languages()
            if options["stem"] not in spoken:
                self._refuse(f"{where}.stem", options["stem"], f"one of {', '.join(spoken)}")
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
        further = {"class": ("classes",), "tags": ("classes", "separator")}
        self._object(given, "label", ("kind", "name", *further.get(kind, ("num_classes",))))
        name = self._text(given["name"], "label.name")
        if kind in further:
            classes = self._values(given["classes"], "label.classes", MOST_CLASSES)
            if len(classes) < 1:
                self._refuse("label.classes", [], "a list of one name or more")
            if kind == "class":
                return Label(kind, name, classes)
            separator = self._text(given["separator"], "label.separator", _LONGEST_SEPARATOR)
            return Label(kind, name, classes, separator=separator)
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

    def _text(self, value: Any, where: str, longest: int = LONGEST_NAME) -> str:
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
