# SPDX-License-Identifier: Apache-2.0
"""inputs.json: what is written is read again, and what is not sound ends in one sentence."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from object2vec.errors import CustomerError
from object2vec.raw_values.inputs import Bins, Column, Inputs, Label, Side, Vocabulary
from object2vec.raw_values.inputs_file import inputs_bytes, parse_inputs, read_inputs, write_inputs

pytestmark = pytest.mark.own_way


def sound() -> Inputs:
    user = Side(
        (
            Column("user", "id", "in0.0", repeat=3),
            Column("age", "number", "in0.1"),
            Column("bio", "text", "in0.2", lower=False, form="NFC"),
        ),
        9,
    )
    film = Side((Column("genres", "tags", "in1.0", separator="[]", explode=True),), 1)
    vocabularies = {
        "in0.0": Vocabulary(("u1", "Zoë", "a\nb", "\ud800"), True),
        "in0.1": Bins((-1.5, 18.0, 1e300), True),
        "in0.2": Vocabulary(("likes", "'"), True),
        "in1.0": Vocabulary(("Drama",)),
    }
    return Inputs(user, film, Label("class", "mood", ("bad", "good")), vocabularies)


def test_what_is_written_is_read_again() -> None:
    content = inputs_bytes(sound())
    assert parse_inputs(content) == sound()
    assert inputs_bytes(parse_inputs(content)) == content
    assert "Zoë" in inputs_bytes(parse_inputs(content.replace(b"\\ud800", b"x"))).decode()


def test_sizes_and_ids() -> None:
    inputs = sound()
    assert inputs.first_ids("in0") == (0, 6, 12)
    assert inputs.sizes() == {
        "enc0_vocab_size": 16, "enc0_max_seq_len": 9,
        "enc1_vocab_size": 2, "enc1_max_seq_len": 1, "num_classes": 2,
    }  # fmt: skip


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "inputs.json"
    write_inputs(path, sound())
    assert read_inputs(path) == sound()
    (tmp_path / "link.json").symlink_to(path)
    with pytest.raises(CustomerError, match=r"link\.json cannot be read: it is a symbolic link"):
        read_inputs(tmp_path / "link.json")


def test_tied_sides_share_ids() -> None:
    column = Column("a", "text", "in0.0")
    sides = Side((column,), 4), Side((Column("b", "text", "in0.0"),), 4)
    tied = Inputs(*sides, Label("none"), {"in0.0": Vocabulary(("x", "y"))}, True)
    assert parse_inputs(inputs_bytes(tied)) == tied
    untied = inputs_bytes(tied).replace(b'"tied": true', b'"tied": false')
    with pytest.raises(CustomerError, match=r'gives "in0\.0" for vocabulary, but'):
        parse_inputs(untied)


Change = Callable[[dict[str, Any]], Any]


def put(*path: Any, to: Any) -> Change:
    def change(values: dict[str, Any]) -> None:
        place: Any = values
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return change


def drop(*path: Any) -> Change:
    def change(values: dict[str, Any]) -> None:
        place: Any = values
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return change


COLUMN = ("in0", "columns", 0)
IDS = ("vocabularies", "in0.0", "values")
EDGES = ("vocabularies", "in0.1", "edges")
DEEP: Any = []
for _ in range(200):
    DEEP = [DEEP]
WAYS: dict[str, tuple[Change, str]] = {
    "another format": (put("format", to="x"), "describes no inputs"),
    "a later version": (put("version", to=5), "gives 5 for version"),
    "a version that is true": (put("version", to=True), "gives true for version"),
    "an unknown key": (put("more", to=1), 'holds the unknown "more" in the whole'),
    "no label": (drop("label"), 'lacks "label" in the whole'),
    "tied is 1": (put("tied", to=1), "gives 1 for tied"),
    "a side is a list": (put("in0", to=[]), "gives a list of 0 for in0"),
    "no column": (put("in0", "columns", to=[]), "in0.columns"),
    "101 columns": (put("in0", "columns", to=[{}] * 101), "a list of 101 for in0.columns"),
    "a column is deep": (put(*COLUMN, to=DEEP), "gives null for in0.columns[0].kind"),
    "a kind is unknown": (put(*COLUMN, "kind", to="pickle"), '"pickle" for in0.columns[0].kind'),
    "a kind is a list": (put(*COLUMN, "kind", to=["id"]), "in0.columns[0].kind"),
    "a kind is another": (put(*COLUMN, "kind", to="number"), "in0.columns[0].vocabulary"),
    "a name is empty": (put(*COLUMN, "name", to=""), "in0.columns[0].name"),
    "a name is long": (put(*COLUMN, "name", to="x" * 301), "in0.columns[0].name"),
    "two columns of a name": (put(*COLUMN, "name", to="age"), "the names in in0.columns"),
    "repeat is 0": (put(*COLUMN, "repeat", to=0), "in0.columns[0].repeat"),
    "repeat is huge": (put(*COLUMN, "repeat", to=10**9), "in0.columns[0].repeat"),
    "repeat is 1.0": (put(*COLUMN, "repeat", to=1.0), "in0.columns[0].repeat"),
    "no vocabulary of that name": (put(*COLUMN, "vocabulary", to="x"), "columns[0].vocabulary"),
    "a vocabulary twice": (put(*COLUMN, "vocabulary", to="in0.2"), "that of one column only"),
    "an option of another kind": (put(*COLUMN, "lower", to=True), 'the unknown "lower"'),
    "a tokenizer": (put("in0", "columns", 2, "tokenizer", to="exec"), "columns[2].tokenizer"),
    "a form": (put("in0", "columns", 2, "form", to="NFD"), "columns[2].form"),
    "lower is 1": (put("in0", "columns", 2, "lower", to=1), "columns[2].lower"),
    "no separator": (put("in1", "columns", 0, "separator", to=""), "columns[0].separator"),
    "max_length is 0": (put("in0", "max_length", to=0), "in0.max_length"),
    "max_length is 5001": (put("in0", "max_length", to=5001), "in0.max_length"),
    "values is an object": (put(*IDS, to={}), "vocabularies.\"in0.0\".values"),
    "a value is a number": (put(*IDS, 1, to=7), "gives 7 for vocabularies.\"in0.0\".values[1]"),
    "a value twice": (put(*IDS, 1, to="u1"), "a value that no other one equals"),
    "both values and edges": (put(*EDGES[:2], "values", to=[]), 'holds the unknown "values"'),
    "edges fall": (put(*EDGES, to=[2, 1]), "gives 1.0 for vocabularies.\"in0.1\".edges[1]"),
    "an edge is infinite": (put(*EDGES, to=[10**400]), "a finite number"),
    "an edge is true": (put(*EDGES, to=[True]), "a finite number"),
    "10,000 edges": (put(*EDGES, to=list(range(10_000))), "fewer than 10,000 numbers"),
    "a vocabulary that nothing names": (
        put("vocabularies", "x", to={"counts_missing": False, "values": []}), "named by a column"),
    "vocabularies is null": (put("vocabularies", to=None), "gives null for vocabularies"),
    "a label of no kind": (put("label", "kind", to="x"), "label.kind"),
    "31 classes": (put("label", "classes", to=[str(n) for n in range(31)]), "label.classes"),
    "no class": (put("label", "classes", to=[]), "label.classes"),
    "a class twice": (put("label", "classes", to=["a", "a"]), "label.classes[1]"),
    "num_classes beside classes": (put("label", "num_classes", to=2), '"num_classes" in label'),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_one_sentence(way: str) -> None:
    change, words = WAYS[way]
    values = json.loads(inputs_bytes(sound()))
    change(values)
    refused(json.dumps(values).encode(), words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is broken JSON"),
        (b"\xff\xfe{}", "is not UTF-8 text"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"format": 1, "format": 1}', 'holds "format" twice'),
        (b"[" + b"[]," * 9_000_000 + b"[]]", "more than 16,000,000 commas"),
        (b'{"version": NaN}', "NaN is no finite number"),
        (b"[" + b"9" * 10_000 + b"]", "thousands of digits"),
        (b"null", "describes no inputs"),
    ],
    ids=["nothing", "UTF-16", "deep lists", "deep objects", "a key twice", "marks", "NaN", "digits",
         "null"],
)  # fmt: skip
def test_broken_json(content: bytes, words: str) -> None:
    refused(content, words)


@pytest.mark.slow
def test_a_huge_file_is_not_parsed() -> None:
    refused(b'{"format": "' + bytes(257 << 20) + b'"}', "more than 256 MiB")


@pytest.mark.slow
def test_too_many_ids() -> None:
    values = json.loads(inputs_bytes(sound()))
    values["vocabularies"]["in0.0"]["values"] = [str(n) for n in range(2_999_995)]
    refused(json.dumps(values).encode(), "3000000 ids at most")


def refused(content: bytes, words: str) -> None:
    with pytest.raises(CustomerError) as caught:
        parse_inputs(content, "x/inputs.json")
    text = str(caught.value)
    assert words in text
    assert text.startswith("x/inputs.json ")
    assert text.isprintable() and text.endswith(".") and len(text) < 700


@pytest.mark.slow
def test_a_million_values_load_fast() -> None:
    values = tuple(f"user-{number}" for number in range(1_000_000))
    side = Side((Column("film", "id", "in1.0"),))
    inputs = Inputs(
        Side((Column("user", "id", "in0.0"),)), side, Label("none"),
        {"in0.0": Vocabulary(values), "in1.0": Vocabulary(("x",))},
    )  # fmt: skip
    content = inputs_bytes(inputs)
    start = time.process_time()
    found = parse_inputs(content)
    assert len(found.vocabularies["in0.0"].places) == 1_000_000  # type: ignore[union-attr]
    assert time.process_time() - start < 4
