# SPDX-License-Identifier: Apache-2.0
"""Bad requests to a real server: status and text of each, and the next good one is answered."""

from __future__ import annotations

import base64
import gzip
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional, Union

import mms_server
import pytest
import serving_models
from mms_server import JSON, JSON_LINES, MmsServer

pytestmark = pytest.mark.slow

LIMITS = "two whole numbers from 1 to 5000, for in0 and in1, such as infer_max_seqlens=50,60."


@dataclass(frozen=True)
class Bad:
    """A request, and the status and a part of the text that it must be answered with."""

    name: str
    body: Union[str, bytes]
    status: int
    text: str
    content_type: Optional[str] = JSON
    accept: Optional[str] = None
    encoding: Optional[str] = None


DEEP: list[Any] = []
for _ in range(899):
    DEEP = [DEEP]


def of(*instances: Any) -> str:
    return json.dumps({"instances": list(instances)})


REQUESTS = [
    # the body as a whole
    Bad("empty body", "", 400, "The body is empty; application/json means"),
    Bad("no JSON", "hello", 400, 'application/json means {"instances": ['),
    Bad("cut off", '{"instances": [{"in0": [1', 400, "is not valid JSON"),
    Bad("trailing comma", '{"instances": [{"in0": [1]},]}', 400, "at character 28"),
    Bad("single quotes", "{'instances': []}", 400, "as Python prints it"),
    Bad("a word of Python", '{"instances": None}', 400, "is not valid JSON"),
    Bad("two documents", '{"instances": []}{"instances": []}', 400, "is not valid JSON"),
    Bad("NaN", '{"instances": [{"in0": [NaN]}]}', 400, "is not valid JSON"),
    Bad("no UTF-8", b'{"instances": "\xff"}', 400, "is not valid JSON"),
    Bad("UTF-16", '{"instances": []}'.encode("utf-16"), 400, "is in UTF-16; send UTF-8"),
    Bad("base64", base64.b64encode(b'{"instances": []}'), 400, "raw-in-base64-out, or --body"),
    Bad("base64 of lines", base64.b64encode(b'{"in0":[1]}\n'), 400, "fileb://", JSON_LINES),
    Bad("gzip, unsaid", gzip.compress(b'{"instances": []}'), 400, "compressed with gzip"),
    Bad("encoded twice", '"{\\"instances\\": []}"', 400, "it was encoded twice"),
    Bad("no type", "5", 400, "no Content-Type, so that this was read as", None),
    Bad("NUL bytes", b"\0" * 100, 400, "is not valid JSON"),
    Bad("deep nesting", "[" * 100_000, 400, "is not valid JSON"),
    Bad("a list", '[{"in0": [1]}]', 400, "instead of instances"),
    Bad("a number", "5", 400, "holds 5 instead of instances"),
    Bad("null", "null", 400, "holds null instead of instances"),
    Bad("another key", '{"data": []}', 400, "an object with the keys data instead of instances"),
    Bad("an empty object", "{}", 400, "an object with the keys (none)"),
    Bad("instances is an object", '{"instances": {"in0": [1]}}', 400, "instances must be a list"),
    Bad("instances is null", '{"instances": null}', 400, "instances must be a list, not null"),
    Bad("instances is a string", '{"instances": "x"}', 400, 'instances must be a list, not "x"'),
    # one instance
    Bad("a list as instance", of([1, 2]), 400, "found [1,2] (instance 0, counting from 0)"),
    Bad("a number as instance", of({"in0": [1]}, 7), 400, "found 7 (instance 1"),
    Bad("null as instance", of(None), 400, "must be an object with in0, in1 or both, found null"),
    Bad("neither input", of({"label": 1}), 400, 'found ["label"] (instance 0'),
    Bad("an empty instance", of({}), 400, "must hold in0 and in1 for scores"),
    Bad("wrong case", of({"IN0": [1]}), 400, 'found ["IN0"]'),
    Bad("in0 is a number", of({"in0": 3, "in1": [1]}), 400, "found 3: write [3] (instance 0"),
    Bad("in1 is a string", of({"in0": [1], "in1": "a"}), 400, "in1 must be a list of token ids"),
    Bad("in0 is null", of({"in0": None}), 400, "in0 must be a list of token ids"),
    Bad("in0 is an object", of({"in0": {"a": 1}}), 400, "in0 must be a list of token ids"),
    Bad("a nested list", of({"in0": [[1]]}), 400, "in0 must hold integers only, found [1]"),
    Bad("a float", of({"in0": [1, 2.5]}), 400, "found 2.5 at position 1"),
    Bad("a whole float", of({"in0": [1.0]}), 400, "write 1 instead of 1.0"),
    Bad("a string as id", of({"in0": ["7"]}), 400, "write 7 without quotes"),
    Bad("a boolean as id", of({"in0": [True]}), 400, "found true at position 0"),
    Bad("null as id", of({"in0": [None]}), 400, "found null at position 0"),
    Bad("a negative id", of({"in0": [-1]}), 400, "negative; ids run from 0 to 49"),
    Bad("id is vocab_size", of({"in0": [50]}), 400, "not less than vocab_size=50 (instance 0"),
    Bad("id of the other side", of({"in1": [60]}), 400, "not less than vocab_size=60"),
    Bad("id of 33 bits", of({"in0": [2**32]}), 400, "not less than vocab_size=50"),
    Bad("id of 64 bits", of({"in0": [2**63]}), 400, "not less than vocab_size=50"),
    Bad("id of 200 digits", '{"instances":[{"in0":[' + "9" * 200 + "]}]}", 400, "in0"),
    Bad("id with exponent", '{"instances":[{"in0":[1e1]}]}', 400, "write 10 instead of 10.0"),
    Bad("a bad one among many", of(*[{"in0": [1]}] * 999, {"in0": [99]}), 400, "(instance 999,"),
    Bad("bad beyond the cut", of({"in0": [1] * 400 + [99]}), 400, '"99"'),
    Bad("lone surrogate", '{"instances": ["\\ud800"]}', 400, "error"),
    Bad("hostile text", of({"in0": ["\n[PID] x\n[METRICS]y\n"]}), 400, "must hold integers only"),
    Bad("a key of 5 MB", '{"%s": 1}' % ("k" * 5_000_000), 400, "an object with the keys kkk"),
    Bad("an instance's key of 5 MB", of({"k" * 5_000_000: 1}), 400, 'found ["kkk'),
    Bad("a value of 5 MB", of({"in0": ["k" * 5_000_000]}), 400, 'found "kkk'),
    Bad("hostile key", of({"\n[PID] x\x1b[2J\u202e": 1}), 400, r"\n[PID] x\u001b[2J\u202e"),
    Bad("900 brackets", of({"in0": DEEP}), 400, "found [[[["),
    Bad("in0 twice", '{"instances": [{"in0": [1], "in0": [2]}]}', 400, "(at character 29)"),
    Bad("instances twice", '{"instances": [], "instances": []}', 400, '"instances" stands twice'),
    # JSON Lines
    Bad("in1 twice", '{"in1": [1], "in1": [1]}', 400, "in one object", JSON_LINES),
    Bad("a bad line", '{"in0": [1]}\n{"in0": [1}\n', 400, "line 2 is not valid", JSON_LINES),
    Bad("blank lines count", '\n\n{"in0": [1]}\n5', 400, "found 5 (line 4)", JSON_LINES),
    Bad("JSON sent as lines", '{\n"instances": []}', 400, "line 1 is not valid", JSON_LINES),
    Bad("a document sent as line", of({"in0": [1]}), 400, "this is application/json", JSON_LINES),
    Bad("lines sent as JSON", '{"in0": [1]}\n{"in0": [2]}\n', 400, "is JSON Lines, whose"),
    Bad("a bad id in a line", '{"in1": [1, 99]}', 400, '"99" is not less than', JSON_LINES),
    Bad("far line", '{"in0": [1]}\n' * 200_000 + "x", 400, "line 200001 is not", JSON_LINES),
    # Content-Type
    Bad("CSV", "1,2", 415, "accepted are application/json and application/jsonlines", "text/csv"),
    Bad("pickled arrays", b"\x93NUMPY", 415, "'application/x-npy'", "application/x-npy"),
    Bad("plain text", of(), 415, "'text/plain' is not supported", "text/plain"),
    Bad("a form", "a=1", 415, "-H 'Content-Type: appli", "application/x-www-form-urlencoded"),
    Bad("files", "--x--\r\n", 415, "'multipart/form-data'", "multipart/form-data; boundary=x"),
    Bad("nonsense type", of(), 415, "not supported", "?;;"),
    Bad("gzip", gzip.compress(of().encode()), 415, "'gzip' is not supported", encoding="gzip"),
    # infer_max_seqlens
    *(
        Bad(f"infer_max_seqlens={value!r}", of(), 400, LIMITS, f"{JSON}; infer_max_seqlens={value}")
        for value in ("", "5", "5,", "0,5", "5,5001", "-1,5", "1.5,2", "a,b", "1,2,3", "٣,٣")
    ),
    Bad("5,000 digits", of(), 400, LIMITS, f"{JSON}; infer_max_seqlens={'9' * 5000}"),
    # Accept
    Bad("CSV wanted", of(), 406, "answers are application/json and", accept="text/csv"),
    Bad("nothing wanted", of(), 406, "cannot be served", accept="application/json;q=0"),
    Bad("pickles wanted", of(), 406, "'application/x-npy' cannot", accept="application/x-npy"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: Any) -> Iterator[MmsServer]:
    folder = tmp_path_factory.mktemp("served")
    model_dir = serving_models.train("softmax", folder / "model")
    with mms_server.serving(model_dir, folder / "log", workers=2) as running:
        yield running


def test_there_are_at_least_fifty() -> None:
    assert len({bad.name for bad in REQUESTS}) == len(REQUESTS) >= 50


def test_each_is_refused_with_its_reason_and_does_no_harm(server: MmsServer) -> None:
    good = of({"in0": [1, 2], "in1": [3]})
    expected = server.invoke(good)
    assert expected.status == 200
    before = server.workers()
    assert len(before) == 2
    wrong = []
    for bad in REQUESTS:
        body = bad.body.encode() if isinstance(bad.body, str) else bad.body
        fields = {
            "Content-Type": bad.content_type,
            "Accept": bad.accept,
            "Content-Encoding": bad.encoding,
        }
        # As bytes, because a header may hold more than Latin letters.
        headers = {name: value.encode() for name, value in fields.items() if value is not None}
        response = server.send("POST", "/invocations", body, headers)  # type: ignore[arg-type]
        text = response.body.decode()
        try:
            sentence = response.json()["error"]
        except ValueError:
            sentence = text
        sound = (
            response.status == bad.status
            and response.headers.get("content-type") == JSON
            and bad.text in (text if bad.text == "error" else sentence)
            and "Traceback" not in text
            and ".py" not in text
            and len(text) < 1000
        )
        after = server.invoke(good)
        if not sound or after.body != expected.body:
            wrong.append((bad.name, response.status, text, after.status))
    assert not wrong
    assert server.workers() == before
    log = server.log.read_text(errors="replace")
    assert "Traceback" not in log
    # The server reads its workers' lines in quadratic time.
    assert max(map(len, log.splitlines())) < 2000


def test_what_is_no_http_at_all_is_survived(server: MmsServer) -> None:
    for data in (b"\0\xff\x16\x03", b"GET\r\n\r\n", b"POST /invocations HTTP/1.1\r\nContent-Le"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(data)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        # The client promises a body and leaves.
        connection.sendall(b"POST /invocations HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{")
    assert server.invoke(of({"in0": [1]})).status == 200


def test_the_server_s_own_refusals_are_json_without_a_traceback(server: MmsServer) -> None:
    for path, method, status in (
        ("/", "GET", 404),
        ("/nowhere", "GET", 404),
        ("/models", "GET", 404),
        ("/models/model", "DELETE", 404),
        ("/predictions/other", "POST", 404),
        ("/models/model/invoke", "POST", 404),
        ("/predictions/model", "POST", 404),
        ("/invocations?model_name=other", "POST", 400),
        ("/ping", "POST", 405),
        ("/execution-parameters", "DELETE", 405),
    ):
        response = server.get(path, method, b"{}" if method == "POST" else None)
        assert (path, response.status) == (path, status)
        assert response.headers["content-type"] == JSON
        assert b"Exception in" not in response.body and b"\tat " not in response.body
    assert server.ping() == 200
