# SPDX-License-Identifier: Apache-2.0
"""Raw values through every door: requests to a real server, the command line, the Python API."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mms_server
import numpy as np
import psutil
import pytest
import serving_models
from batch_client import BatchClient
from mms_server import JSON, JSON_LINES, MmsServer, Response

from object2vec import Object2Vec
from object2vec.cli import main
from object2vec.inference.predictor import Predictor
from object2vec.raw_values.encode_values import object_lists
from object2vec.serving.batch_transform import execution_parameters
from object2vec.serving.instances import InstanceFormat
from object2vec.serving.settings import Settings

pytestmark = pytest.mark.slow

BATCH = Settings.from_environment({"SAGEMAKER_BATCH": "true"})
# One object each, by raw values and by ids in any mixture.
INSTANCES: list[dict[str, Any]] = [
    {"in0": "u3", "in1": "Drama|War"},
    {"in0": {"user": "u3", "age": 35}, "in1": {"genres": ["Drama", "War"], "film": 104}},
    {"in0": [1, 8], "in1": {"film": "104", "plot": "A soccer game …"}},
    {"in0": {"user": "new", "age": "41.5"}, "in1": [0, 3]},
    {"in0": "new", "in1": ["Crime", "Children's"]},
    {"in0": {"age": 20}},
    {"in0": None, "label": 5, "meta": {"user": 1}},
    {"in1": {"plot": "Ein MÄRCHEN, 愛と死", "genres": []}},
    {"in1": 17},
    {"in1": True},
    {"in1": []},
    {"in0": 20000000000000000001},
]


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return serving_models.train_raw(tmp_path_factory.mktemp("raw") / "model")


@pytest.fixture(scope="module")
def server(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MmsServer]:
    log = tmp_path_factory.mktemp("served") / "log"
    # the limit of a body is 100 MB so
    environment = {"SAGEMAKER_BATCH": "true"}
    with mms_server.serving(model_dir, log, workers=2, environment=environment) as running:
        yield running


def lines(instances: list[Any]) -> str:
    return "".join(json.dumps(instance) + "\n" for instance in instances)


def ids_of(model_dir: Path, instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same instances, each side of them as its list of ids."""
    taken = InstanceFormat.of(Predictor.load(model_dir))
    found = []
    for instance in instances:
        sides = {}
        for side, size in zip(("in0", "in1"), taken.vocab_sizes):
            if side in instance:
                lists = object_lists(taken.inputs, side, [instance[side]], size, str)
                sides[side] = lists.tokens.tolist()
        found.append(sides)
    return found


def test_raw_values_and_ids_give_the_same_bits_through_every_door(
    server: MmsServer, model_dir: Path, tmp_path: Path
) -> None:
    ids = ids_of(model_dir, INSTANCES)
    # the ids of columns that are not given are those of missing values
    assert ids[0] == {"in0": [5, 5, 10], "in1": [2, 4, 8, 19]}
    assert ids[1]["in0"] == [5, 5, 13] and ids[3]["in0"] == [0, 0, 13]
    by_http = server.invoke(lines(INSTANCES), JSON_LINES)
    assert by_http.status == 200, by_http.body
    assert server.invoke(lines(ids), JSON_LINES).body == by_http.body
    document = json.dumps({"instances": INSTANCES}, ensure_ascii=False)
    rows = [json.loads(line) for line in by_http.body.splitlines()]
    assert server.invoke(document).json() == {"predictions": rows}
    for number, given in enumerate((INSTANCES, ids)):
        source, target = tmp_path / f"{number}.jsonl", tmp_path / "answers.jsonl"
        source.write_text(lines(given))
        command = ["predict", "--model-dir", str(model_dir), "--input", str(source)]
        assert main([*command, "--output", str(target)]) == 0
        assert target.read_bytes() == by_http.body
    model = Object2Vec.load(model_dir)
    scores = np.array([row["scores"] for row in rows if "scores" in row], np.float32)
    vectors = {
        side: np.array([row["embeddings"] for one, row in zip(ids, rows) if list(one) == [side]])
        for side in ("in0", "in1")
    }
    for given in (INSTANCES, ids):
        pairs = [one for one in given if {"in0", "in1"} <= one.keys()]
        np.testing.assert_array_equal(scores, model.predict(pairs))
        for side, other in (("in0", "in1"), ("in1", "in0")):
            alone = [one[side] for one in given if other not in one]
            found = model.embed(**{side: alone})
            np.testing.assert_array_equal(vectors[side].astype(np.float32), found)


def test_infer_max_seqlens_cuts_raw_values_too(server: MmsServer) -> None:
    for content_type in (JSON, JSON_LINES):
        whole = {"in0": {"user": "u3", "age": 35}, "in1": "Drama|War"}
        cut = {"in0": "u3", "in1": "Drama"}
        bodies = [
            json.dumps({"instances": [one]} if content_type == JSON else one)
            for one in (whole, cut)
        ]
        limited = server.invoke(bodies[0], f"{content_type}; infer_max_seqlens=1,1")
        expected = server.invoke(bodies[1], f"{content_type}; infer_max_seqlens=1,1")
        assert limited.status == 200 and limited.body == expected.body
        assert server.invoke(bodies[0], content_type).body != limited.body


def test_strings_that_look_like_mistaken_bodies_are_values(server: MmsServer) -> None:
    odd = ['{"in0": [1]}', "[]", "eyJpbnN0YW5jZXMiOiBbXX0=", "@file", "in0", '"', "\x00\n", "a: b"]
    body = json.dumps({"instances": [{"in0": value, "in1": value} for value in odd]})
    for content_type in (JSON, None):
        assert server.invoke(body, content_type).status == 200
        text = lines([{"in0": value} for value in odd])
        assert server.invoke(text, None if content_type is None else JSON_LINES).status == 200


def test_batch_transform_sends_raw_values(server: MmsServer, model_dir: Path) -> None:
    with BatchClient(server) as client:
        limit = client.parameters["MaxPayloadInMB"] << 20
        rows = [{"in0": f"u{i % 9}", "in1": {"film": 95 + i % 20}} for i in range(3000)]
        # so that the file is cut
        filling = {"in1": "Drama", "comment": "x" * (limit // 2)}
        given = [*rows[:1500], filling, *rows[1500:], filling, filling]
        answers = client.transform([line.encode() + b"\n" for line in lines(given).splitlines()])
    found = [json.loads(line) for line in answers.splitlines()]
    assert len(found) == len(given)
    scores = np.array([row["scores"] for row in found if "scores" in row], np.float32)
    expected = Object2Vec.load(model_dir).predict(ids_of(model_dir, rows))
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_payloads_allow_for_lines_that_are_shorter_than_any_list(server: MmsServer) -> None:
    limits = BATCH.payload_bytes, BATCH.answer_bytes
    found = server.get("/execution-parameters").json()["MaxPayloadInMB"]
    assert found == execution_parameters(2, *limits, 8, 2, raw_values=True).payload_mb
    assert found < execution_parameters(2, *limits, 8, 2).payload_mb
    line = b'{"in0":1}\n'
    answer = server.invoke(line * 1000, JSON_LINES)
    assert answer.status == 200
    assert (found << 20) * len(answer.body) / (1000 * len(line)) < BATCH.answer_bytes


LONG = "k" * 10_000_000


def bad_values() -> list[tuple[str, str, str]]:
    """Names, values and what is said; made by the test alone, for some are of many megabytes."""
    return [
        (
            "column",
            '{"usr": "u1"}',
            "in0 has no column 'usr' (the nearest is 'user'); its columns are",
        ),
        ("object", '{"user": {"a": 1}}', "(in0, column 'user' of instance 1, counting from 0)"),
        ("list", '{"user": ["u1"]}', "A value must be a text, a number"),
        ("list as id", '["u1"]', 'in0 must hold integers only, found "u1" at position 0'),
        ("id", "[9999]", "not less than vocab_size="),
        ("twice", '{"user": "u1", "user": "u2"}', 'The key "user" stands twice in one object'),
        ("twice, escaped", '{"user": "a:b", "us\\u0065r": "u2"}', "(in0 of instance 1, counting"),
        ("deep", '{"user": %s}' % ("[" * 900 + "]" * 900), "column 'user'"),
        ("deeper", "[" * 100_000, "is not valid JSON"),
        ("NaN", "NaN", "is not valid JSON"),
        ("infinity", '{"age": 1e999}', "is not valid JSON"),
        ("4,000 digits", "9" * 4000, "is not valid JSON"),
        ("surrogate", '"\\ud800"', "is not valid JSON"),
        ("control character", '"\x01"', "is not valid JSON"),
        ("a key of 10 MB", json.dumps({LONG: 1}), "in0 has no column 'kkk"),
        (
            "a million columns",
            json.dumps({str(i): i for i in range(1_000_000)}),
            "has no column '0'",
        ),
    ]


def good_values() -> list[tuple[str, str]]:
    return [
        ("text", json.dumps({"plot": "soccer " + "wé " * 2_500_000})),
        ("one word", json.dumps({"plot": LONG})),
        ("marks", json.dumps({"plot": "e" + "\u0301" * 2_000_000}, ensure_ascii=False)),
        ("tags", json.dumps(["Drama"] * 1_000_000)),
        ("a string of tags", json.dumps("Drama|" * 900_000)),
        ("id", json.dumps({"film": LONG})),
        ("300 digits", '{"film": %s}' % ("9" * 300)),
        (
            "control characters",
            json.dumps({"film": "".join(map(chr, range(32))), "plot": "\u202e"}),
        ),
        ("list in a text", json.dumps({"genres": "[" + '"\\"' * 500_000})),
    ]


def document(side: str, value: str) -> str:
    return f'{{"instances": [{{"in0": [1]}}, {{"{side}": {value}}}]}}'


def asked(server: MmsServer, body: str, content_type: str = JSON) -> tuple[Response, float]:
    began = time.monotonic()
    return server.invoke(body, content_type), time.monotonic() - began


def test_what_is_no_value_is_refused_in_a_sentence_and_does_no_harm(server: MmsServer) -> None:
    good = document("in0", '{"user": "u1", "age": 20}')
    expected = server.invoke(good).body
    before = server.workers()
    wrong = []
    for name, value, words in bad_values():
        for content_type in (JSON, JSON_LINES):
            if content_type == JSON:
                body = document("in0", value)
            else:
                body = f'{{"in0": [1]}}\n{{"in0": {value}}}'
                words = words.replace("instance 1, counting", "line 2").replace(" from 0", "")
            answer, seconds = asked(server, body, content_type)
            sentence = answer.json()["error"]
            sound = answer.status == 400 and words in sentence and len(sentence) < 1000
            if not sound or seconds > 20 or server.invoke(good).body != expected:
                wrong.append((name, content_type, answer.status, sentence, seconds))
    assert not wrong
    assert server.workers() == before
    assert "Traceback" not in server.log.read_text(errors="replace")


def test_huge_and_odd_values_are_answered_in_bounded_time_and_memory(server: MmsServer) -> None:
    before = server.workers()
    for name, value in good_values():
        answer, seconds = asked(server, document("in1", value))
        assert (name, answer.status) == (name, 200), answer.body[:500]
        assert seconds < 30, name
    assert server.workers() == before
    peaks = [psutil.Process(pid).memory_info().rss >> 20 for pid in before]
    assert max(peaks) < 1500
    too_many = server.invoke(document("in1", json.dumps(["Drama"] * 1_000_001)))
    assert too_many.status == 400
    assert "1,000,000 tags at most (in1, column 'genres' of instance 1" in too_many.json()["error"]


def test_values_that_the_model_does_not_know_are_told_once_a_minute(
    server: MmsServer, model_dir: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for _ in range(200):
        assert server.invoke(document("in0", '"nobody"')).status == 200
    told = re.findall(r"Unknown to the model are [\d,]+ of .*", server.log.read_text())
    minutes = (time.time() - psutil.Process(server.process.pid).create_time()) / 60
    assert 1 <= len(told) <= 2 * (minutes + 1)
    source = tmp_path / "some.jsonl"
    source.write_text(lines([{"in0": "nobody"}, {"in0": "u1"}, {"in0": [0]}, {"in1": "Drama|x"}]))
    assert main(["predict", "--model-dir", str(model_dir), "--input", str(source)]) == 0
    told = "Unknown to the model are 1 of 4 values of in0 and 1 of 4 values of in1, which are"
    assert told in capsys.readouterr().err
