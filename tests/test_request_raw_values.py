# SPDX-License-Identifier: Apache-2.0
"""Raw values in requests, from bytes to ids: in any mixture, exact, counted."""

from __future__ import annotations

import io
import json
import logging
from dataclasses import replace
from typing import Any, Optional

import numpy as np
import pytest
from test_formats import content

from object2vec.data.arrays import TokenLists
from object2vec.errors import CustomerError
from object2vec.model.stored_index import StoredIndex
from object2vec.raw_values.encode_values import encode_side
from object2vec.raw_values.inputs import Bins, Column, Inputs, Label, Side, Vocabulary
from object2vec.raw_values.lookups import Lookups, SideLookups, lookups_in
from object2vec.serving.instances import InstanceFormat
from object2vec.serving.media_types import JSON, JSON_LINES
from object2vec.serving.request_formats import parse_body, read_requests
from object2vec.serving.unseen_values import UnseenValues

# in0: user 0 to 4, age 5 to 8; in1: genres 0 to 3.
INPUTS = Inputs(
    Side((Column("user", "id", "in0.0", repeat=2), Column("age", "number", "in0.1"))),
    Side((Column("genres", "tags", "in1.0"),), 9),
    Label("none"),
    {
        "in0.0": Vocabulary(("Ann", "20000000000000000001", "7", "1e3")),
        "in0.1": Bins((18.0, 65.0)),
        "in1.0": Vocabulary(("Crime", "Drama", "War")),
    },
)
RAW = InstanceFormat((9, 4), INPUTS)
IDS = InstanceFormat((9, 4))
AGELESS = 5


def ids(instances: list[Any], media_type: str = JSON, taken: InstanceFormat = RAW) -> list[Any]:
    if media_type == JSON:
        return content(parse_body(json.dumps({"instances": instances}), JSON, taken))
    lines = "".join(json.dumps(instance) + "\n" for instance in instances)
    return content(parse_body(lines, JSON_LINES, taken))


@pytest.mark.parametrize("media_type", [JSON, JSON_LINES])
def test_raw_values_and_ids_stand_in_one_body(media_type: str) -> None:
    given = [
        {"in0": "Ann", "in1": ["War", "x"]},
        {"in0": [8, 1], "in1": "Crime|Drama"},
        {"in1": [3, 2]},
        {"in0": {"user": 7, "age": 65}, "in1": [1]},
        {"in0": {"age": "17.9"}},
        {"in0": None},
        {"in1": {}},
    ]
    assert ids(given, media_type) == [
        {"in0": [1, 1, AGELESS], "in1": [3, 0]},
        {"in0": [8, 1], "in1": [1, 2]},
        {"in1": [3, 2]},
        {"in0": [3, 3, 8], "in1": [1]},
        {"in0": [0, 0, 6]},
        {"in0": [0, 0, AGELESS]},
        {"in1": []},
    ]


@pytest.mark.parametrize("media_type", [JSON, JSON_LINES])
def test_integers_of_any_size_are_the_values_that_they_are(media_type: str) -> None:
    for value, place in ((20000000000000000001, 2), (20000000000000000000, 0), (7.0, 3), (-7, 0)):
        assert ids([{"in0": value}], media_type) == [{"in0": [place, place, AGELESS]}]
        nested = {"in0": {"user": value, "age": 1}, "in1": "20000000000000000001"}
        assert ids([nested], media_type)[0]["in0"] == [place, place, 6]
    # JSON has one number for both
    assert ids([{"in0": {"user": "1e3"}}, {"in0": 1000.0}], media_type) == [
        {"in0": [4, 4, AGELESS]}, {"in0": [0, 0, AGELESS]}
    ]  # fmt: skip


@pytest.mark.parametrize("media_type", [JSON, JSON_LINES])
@pytest.mark.parametrize(
    "value",
    [
        '{"user": "Ann", "user": "Ann"}',
        '{"user":1,"age":2,"\\u0075ser":3}',
        '{ "age" :1, "user" : ":" ,"user":20000000000000000001}',
        '{"x": 1, "user": "a", "x": 2, "age": ":"}',
    ],
    ids=["plain", "escaped", "blanks", "unknown"],
)
def test_a_column_that_stands_twice_is_refused(value: str, media_type: str) -> None:
    line = f'{{"in1": [1], "in0": {value}}}'
    body = f'{{"instances": [{{"in1": [1]}}, {line}]}}' if media_type == JSON else f"\n{line}\n"
    place = "instance 1, counting from 0" if media_type == JSON else "line 2"
    with pytest.raises(CustomerError, match="stands twice in one object") as caught:
        parse_body(body, media_type, RAW)
    assert str(caught.value).endswith(f"(in0 of {place})")


def test_what_nobody_reads_may_stand_twice() -> None:
    line = b'{"in0": {"user": "Ann"}, "meta": {"user": 1, "user": 2}, "x": "a:b", "x": 1}'
    assert content(parse_body(line, JSON_LINES, RAW)) == [{"in0": [1, 1, AGELESS]}]
    document = b'{"instances": [%b], "y": 1, "y": {"user": 1, "user": 1}}' % line
    assert content(parse_body(document, JSON, RAW)) == [{"in0": [1, 1, AGELESS]}]


def test_a_model_of_ids_says_that_it_takes_nothing_else() -> None:
    hint = "; this model was trained on ids and takes nothing else"
    for value in ("Ann", {"user": "Ann"}, 17, None, True, ["Ann"], 1.5):
        for media_type in (JSON, JSON_LINES):
            with pytest.raises(CustomerError) as caught:
                ids([{"in0": [1]}, {"in0": value}], media_type, IDS)
            text = str(caught.value)
            assert text.startswith("in0 must") and text.endswith(hint)
    for wrong in ([9], [1.5], [[1]], [None]):
        with pytest.raises(CustomerError) as caught:
            ids([{"in0": wrong}], JSON, IDS)
        assert hint not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"usr": 1}, "in0 has no column 'usr' (the nearest is 'user'); its columns are user, age"),
        ({"user": [1]}, "(in0, column 'user' of instance 1, counting from 0)"),
        ({"user": {"a": {}}}, "(in0, column 'user' of instance 1, counting from 0)"),
        ({"age": {"a": 1}}, "(in0, column 'age' of instance 1, counting from 0)"),
        (["Ann"], 'in0 must hold integers only, found "Ann"'),
        ([1, 9], 'Vocab id "9" is not less than vocab_size=9'),
    ],
    ids=["column", "list", "object", "age", "list of a text", "id"],
)
def test_refusals_name_instance_side_and_column(value: Any, words: str) -> None:
    with pytest.raises(CustomerError) as caught:
        ids([{"in1": "Drama"}, {"in0": value}])
    assert words in str(caught.value) and "instance 1" in str(caught.value)


def test_values_are_counted_each_once_and_ids_never() -> None:
    def count(instances: list[Any]) -> tuple[int, int]:
        lookups = parse_body(json.dumps({"instances": instances}), JSON, RAW).lookups
        sides = lookups.in0, lookups.in1
        return sum(side.values for side in sides), sum(side.unseen for side in sides)

    assert count([{"in0": [0]}, {"in1": [0, 0]}]) == (0, 0)
    assert count([{"in0": {"user": "Ann", "age": 3}, "in1": ["War", "x", "y"]}]) == (5, 2)
    assert count([{"in0": {"user": "Eve", "age": 3}}, {"in0": [0]}, {"in1": "x"}]) == (3, 2)
    lists = encode_side(INPUTS, "in0", [{"user": "Eve", "age": 3}, {"user": "Ann"}])
    assert lookups_in(INPUTS, "in0", lists) == Lookups(4, 2)


def test_what_an_index_knows_by_its_name_is_not_unseen() -> None:
    lists = TokenLists.from_lengths(np.array([2, 3, 1], np.int32), np.array([2, 1], np.int32))
    index = StoredIndex("in1", ("Heat", "Alien"), lists, np.eye(2, dtype=np.float32))
    taken = replace(RAW, indexes={"in1": index})
    asked = [{"in1": value, "nearest": 1} for value in ("Heat", "x", [0], "Alien", "War")]
    request = parse_body(json.dumps({"instances": asked}), JSON, taken)
    assert content(request) == [{"in1": given} for given in ([2, 3], [0], [0], [1], [3])]
    assert request.lookups.in1 == Lookups(4, 1)


def test_what_is_left_out_is_known_by_its_ids_or_by_its_name() -> None:
    lists = TokenLists.from_lengths(np.array([2, 0, 0], np.int32), np.array([1, 1, 1], np.int32))
    index = StoredIndex("in1", ("Drama", "new 1", "new 2"), lists, np.eye(3, dtype=np.float32))
    taken = replace(RAW, indexes={"in1": index})
    asked = {"in0": "Ann", "nearest": 1, "leave_out": ["Drama", "new 2", "unheard of", [0], [3]]}
    (group,) = parse_body(json.dumps({"instances": [asked]}), JSON, taken).groups
    (left_out,) = group.left_out
    assert [left_out.lists[row].tolist() for row in range(2)] == [[2], [3]]
    assert len(left_out.lists) == 2 and left_out.places.tolist() == [2]


def test_streams_hold_raw_values_and_count_them() -> None:
    lines = b'{"in0": "Ann"}\n{"in0": "Eve", "in1": [1]}\n' * 3000
    found = list(read_requests(io.BytesIO(lines + b'{"in0": {"user": 1}}'), RAW))
    assert len(found) > 1 and sum(request.count for request in found) == 6001
    assert sum(request.lookups.unseen for request in found) == 6000 + 3001 + 1
    with pytest.raises(CustomerError, match=r"line 6001\)"):
        list(read_requests(io.BytesIO(lines + b'{"in0": {"x": 1}}'), RAW))


def test_the_log_hears_once_a_minute_of_values_that_are_unknown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    unseen = UnseenValues(lambda: now)

    def lines(in0: Lookups, at: float, in1: Optional[Lookups] = None) -> list[Optional[str]]:
        nonlocal now
        now = at
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="object2vec"):
            unseen.count(SideLookups(in0, in1 or Lookups()))
        told = [record.getMessage() for record in caplog.records]
        return [line.partition(" are ")[2].partition(", which")[0] for line in told]

    assert lines(Lookups(7, 0), 0) == []
    assert lines(Lookups(3, 1), 1) == ["1 of 10 values of in0"]
    assert lines(Lookups(5, 5), 2) == lines(Lookups(1000, 0), 60.9) == []
    assert lines(Lookups(1, 0), 61) == ["5 of 1,006 values of in0"]
    assert lines(Lookups(1, 0), 200) == []
    assert lines(Lookups(1, 1), 201, Lookups(1, 1)) == [
        "1 of 2 values of in0 and 1 of 1 value of in1"
    ]
