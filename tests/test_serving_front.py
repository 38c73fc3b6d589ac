# SPDX-License-Identifier: Apache-2.0
"""What stands before Python in a real server: limits of form, room and time, order, and the end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Optional

import mms_server
import numpy as np
import psutil
import pytest
import serving_models
from mms_server import JSON, JSON_LINES, MmsServer

pytestmark = pytest.mark.slow

GOOD = json.dumps({"instances": [{"in0": [1, 2], "in1": [3]}]})
READ_SECONDS = 3
IDLE_SECONDS = 4
LIMIT = 6 << 20
POST = b"POST /invocations HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: Any) -> Path:
    return serving_models.train("softmax", tmp_path_factory.mktemp("model") / "model")


@pytest.fixture(scope="module")
def server(model_dir: Path, tmp_path_factory: Any) -> Iterator[MmsServer]:
    environment = {
        "OBJECT2VEC_READ_SECONDS": str(READ_SECONDS),
        "OBJECT2VEC_IDLE_SECONDS": str(IDLE_SECONDS),
    }
    log = tmp_path_factory.mktemp("log") / "log"
    with mms_server.serving(model_dir, log, workers=2, environment=environment) as running:
        running.wait_for_all_workers(2)  # whose seconds tests count
        yield running


def connect(server: MmsServer, data: bytes = b"", timeout: float = 60) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=timeout)
    connection.sendall(data)
    return connection


def until_closed(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    with connection:
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def statuses(answers: bytes) -> list[int]:
    """Of answers that follow each other on a connection."""
    found = []
    while answers:
        head, end, rest = answers.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 ") and end, answers[:200]
        found.append(int(head.split()[1]))
        (length,) = [
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        ] or [0]
        answers = rest[length:]
    return found


def in_time(seconds: float, attempt: Callable[[], None]) -> None:
    """Try, and again where it failed later than the server was to wait for its client.

    A busy machine holds up the client, too; what fails in time, or each time, has failed.
    """
    for tries_left in range(4, -1, -1):
        began = time.monotonic()
        try:
            return attempt()
        except (AssertionError, OSError):
            if not tries_left or time.monotonic() - began < seconds:
                raise


def short(value: object) -> str:
    """A parameter's name in the name of its test."""
    return ascii(value)[:50]


def invocation(instances: list[dict[str, Any]]) -> bytes:
    body = "".join(json.dumps(instance) + "\n" for instance in instances).encode()
    head = b"Content-Type: application/jsonlines\r\nContent-Length: %d\r\n\r\n" % len(body)
    return POST + head + body


# --- methods, paths and types


def test_a_query_is_not_heeded(server: MmsServer) -> None:
    response = server.get("/invocations?model_name=other", "POST", b'{"instances": [{"in0": [1]}]}')
    assert response.status == 200
    assert list(response.json()["predictions"][0]) == ["embeddings"]


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/ping", 200, None),
        ("HEAD", "/ping", 200, None),
        ("OPTIONS", "/ping", 204, "GET, HEAD, OPTIONS"),
        ("POST", "/ping", 405, "GET, HEAD, OPTIONS"),
        ("GET", "/ping?from=probe", 200, None),
        ("HEAD", "/execution-parameters", 200, None),
        ("PUT", "/execution-parameters", 405, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/invocations", 204, "POST, OPTIONS"),
        ("GET", "/invocations", 405, "POST, OPTIONS"),
        ("HEAD", "/invocations", 405, "POST, OPTIONS"),
        ("PUT", "/invocations", 405, "POST, OPTIONS"),
        ("DELETE", "/invocations", 405, "POST, OPTIONS"),
        ("TRACE", "/invocations", 405, "POST, OPTIONS"),
        ("OPTIONS", "*", 204, "GET, HEAD, POST, OPTIONS"),
        ("OPTIONS", "/", 404, None),
        ("GET", "/api-description", 404, None),
        ("POST", "/models/model/invoke", 404, None),
        ("POST", "/predictions/model", 404, None),
        ("POST", "/model/predict", 404, None),
        ("GET", "/%70ing", 404, None),
        ("BREW", "/nowhere", 404, None),
    ],
)
def test_methods_and_paths(
    server: MmsServer, method: str, path: str, status: int, allow: Optional[str]
) -> None:
    response = server.get(path, method)
    assert (response.status, response.headers.get("allow")) == (status, allow)
    if method == "HEAD" or status == 204:
        assert response.body == b""
    elif status >= 400:
        assert response.headers["content-type"] == JSON and response.json()["error"]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://localhost/ping", 200),
        ("HTTP://127.0.0.1:8080/ping?a=b", 200),
        ("https://x/execution-parameters", 200),
        ("http://x/invocations", 405),
        ("http://x", 404),
        ("http://x?/ping", 404),
        ("http:///ping", 404),
        ("ftp://x/ping", 404),
        ("ping", 404),
    ],
)
def test_targets_may_be_whole_urls(server: MmsServer, target: str, status: int) -> None:
    head = f"GET {target} HTTP/1.1\r\nHost: y\r\nConnection: close\r\n\r\n"
    assert statuses(until_closed(connect(server, head.encode()))) == [status]


def test_the_page_names_the_methods_that_are_answered(server: MmsServer) -> None:
    page = Path(__file__).parent.parent.joinpath("docs/serving.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z]+) (/[a-z-]+)` \|", page, re.MULTILINE)
    assert {path for _, path in rows} == {"/invocations", "/ping", "/execution-parameters"}
    for named, path in rows:
        methods = {"GET": {"GET", "HEAD", "OPTIONS"}, "POST": {"POST", "OPTIONS"}}[named]
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            body = GOOD.encode() if method in ("POST", "PUT", "PATCH") else None
            response = server.get(path, method, body)
            if method not in methods:
                assert response.status == 405
                assert response.headers["allow"] == ", ".join([named, *sorted(methods - {named})])
            else:
                assert response.status in (200, 204)
    assert "405 (with `Allow`)" in page


@pytest.mark.parametrize(
    ("method", "path", "text"),
    [
        ("GET", "/invocations?a=1", "GET is not answered at /invocations; POST is."),
        ("POST", "/ping", "POST is not answered at /ping; GET and HEAD are."),
        (
            "!#$%&'*+-.^_`|~9",
            "/ping",
            "!#$%&'*+-.^_`|~9 is not answered at /ping; GET and HEAD are.",
        ),
        ("M" * 999, "/invocations", "This method is not answered at /invocations; POST is."),
    ],
    ids=["get", "post", "signs", "long"],
)
def test_a_method_that_is_not_answered_is_told_those_that_are(
    server: MmsServer, method: str, path: str, text: str
) -> None:
    response = server.get(path, method)
    assert (response.status, response.json()) == (405, {"error": text})


def test_a_flood_of_refusals_does_not_flood_the_log(server: MmsServer) -> None:
    # Those of other tests are told within this time.
    time.sleep(2)
    before = server.log.stat().st_size
    began = time.monotonic()
    for _ in range(2000):
        assert statuses(until_closed(connect(server, b"rubbish\r\n\r\n"))) == [400]
    seconds = time.monotonic() - began
    told = r"(\d+) more requests were refused, too many to log each"

    def logged() -> tuple[str, int]:
        text = server.log.read_bytes()[before:].decode()
        return text, sum(map(int, re.findall(told, text)))

    mms_server.wait_for(
        lambda: logged()[0].count("400: ") + logged()[1] == 2000,
        mms_server.PATIENCE,
        "all are counted",
    )
    text, _ = logged()
    assert 100 <= text.count("400: ") == text.count('"-" 400') <= 100 * (seconds + 2)
    # an ordinary request is logged as ever
    assert server.invoke(GOOD).status == 200
    assert "POST /invocations HTTP/1.1" in server.log.read_bytes()[before:].decode()


def java_seconds(server: MmsServer) -> float:
    times = server.java().cpu_times()
    return times.user + times.system


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"a=&" * 1_500_000),
        ("Application/X-WWW-Form-Urlencoded;charset=utf-8", b"a=&" * 1_500_000),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: x; name="a"\r\n' * 80_000,
        ),
        ("multipart/mixed; boundary=x", b"--x\r\n\r\n" * 500_000),
        ("text/csv", b"1," * 1_000_000),
        ("x" * 5000, b"{}"),
    ],
    ids=short,
)
def test_types_that_are_not_read_are_refused_unread(
    server: MmsServer, content_type: str, body: bytes
) -> None:
    workers = {pid: psutil.Process(pid).cpu_times().user for pid in server.workers()}
    before = java_seconds(server)
    response = server.invoke(body, content_type)
    assert response.status == 415
    assert "application/json and application/jsonlines" in response.json()["error"]
    assert len(response.body) < 400
    # parsed by the server, the first costs 16 seconds
    assert java_seconds(server) - before < 4
    for pid, seconds in workers.items():
        assert psutil.Process(pid).cpu_times().user - seconds < 1
    assert max(map(len, server.log.read_text().splitlines())) < 400


# --- what others could read differently


@pytest.mark.parametrize(
    "data",
    [
        POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        POST + b"Content-Length: 2, 2\r\n\r\n{}",
        POST + b"Content-Length: +2\r\n\r\n{}",
        POST + b"Content-Length: -2\r\n\r\n{}",
        POST + b"Content-Length: 0x2\r\n\r\n{}",
        POST + b"Content-Length: \r\n\r\n{}",
        POST + b"Content-Length: 99999999999999999999\r\n\r\n{}",
        POST + b"Content-Length : 2\r\n\r\n{}",
        POST + b"Content-Length: 2\r\n ,2\r\n\r\n{}",
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, xchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n",
        POST + b'Transfer-Encoding: chunked\r\n\r\n2;a="\r\n{}\r\n0\r\n\r\n"\r\n',
        POST + b"Transfer-Encoding: chunked\r\n\r\n2;\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 40 + b"2\r\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n",
        b"POST /invocations HTTP/1.1\nContent-Length: 0\n\n",
        b"\x01\x00GET /ping HTTP/1.1\r\n\r\n",
        b"GET  /ping HTTP/1.1\r\n\r\n",
        b"GET /ping\tHTTP/1.1\r\n\r\n",
        b"GET /ping\r\n\r\n",
        b"GET /ping HTTP/1.1 \r\n\r\n",
        b"GET /ping XTTP/1.1\r\n\r\n",
        b"G(T /ping HTTP/1.1\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /ping HTTP/1.1\r\n: no name\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nHost: a\rb\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nHost: a\0b\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        POST + b"Content-Type: text/csv\r\nContent-Type: application/json\r\n\r\n",
    ],
    ids=short,
)
def test_what_is_not_clear_is_refused_and_the_connection_ends(
    server: MmsServer, data: bytes
) -> None:
    hidden = b"GET /ping HTTP/1.1\r\n\r\n"
    for cut in (len(data), len(data) // 2):
        connection = connect(server, data[:cut])
        if cut < len(data):
            time.sleep(0.02)
            with contextlib.suppress(OSError):
                connection.sendall(data[cut:])
        with contextlib.suppress(OSError):
            connection.sendall(hidden)
        answers = until_closed(connection)
        assert statuses(answers) == [400], answers
        assert b"connection: close" in answers and b'{"error": "' in answers


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /ping HTTP/2.0\r\n\r\n", 505),
        (b"POST /invocations?" + b"a=&" * 500_000, 431),
        (b"GET /ping HTTP/1.1\r\nX: " + b"x" * 20_000, 431),
        (b"GET /ping HTTP/1.1\r\n" + b"X: y\r\n" * 4000, 431),
        (POST + b"Expect: the-unexpected\r\nContent-Length: 5\r\n\r\n", 417),
    ],
    ids=short,
)
def test_other_heads_that_are_not_served(server: MmsServer, data: bytes, status: int) -> None:
    assert statuses(until_closed(connect(server, data))) == [status]


def test_a_connection_goes_on_as_the_client_wishes(server: MmsServer) -> None:
    assert statuses(until_closed(connect(server, b"GET /ping HTTP/1.0\r\n\r\n"))) == [200]
    closing = b"GET /ping HTTP/1.1\r\nConnection: close\r\n\r\n"
    assert statuses(until_closed(connect(server, b"\r\n" + closing))) == [200]
    kept = b"GET /ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    # an error does not end it, where all of the request was read
    bad = POST + b"Content-Length: 1\r\n\r\n{"
    data = kept + bad + b"GET /nowhere HTTP/1.1\r\n\r\n" + closing + closing
    assert statuses(until_closed(connect(server, data))) == [200, 400, 404, 200]


# --- bodies


def chunks(body: bytes, size: int) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_bodies_in_chunks(server: MmsServer, size: int) -> None:
    body = GOOD.encode() + b" " * (300_000 if size > 7 else 0)
    head = (
        b"Connection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: Chunked\r\n\r\n"
    )
    answer = until_closed(connect(server, POST + head + chunks(body, size)))
    assert statuses(answer) == [200]
    assert answer.endswith(server.invoke(GOOD).body)


def test_a_body_above_the_limit_is_413_with_both_sizes(server: MmsServer) -> None:
    response = server.invoke(b" " * (LIMIT + 1))
    assert response.status == 413
    text = response.json()["error"]
    assert f"has {LIMIT + 1} bytes, and at most {LIMIT} (6 MB)" in text
    assert "SAGEMAKER_MAX_PAYLOAD_IN_MB" in text
    assert f"413: {text}" in server.log.read_text()
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks(b" " * (LIMIT + 1), 1 << 20)
    announced = POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n"
    for data in (chunked, announced):
        answer = until_closed(connect(server, data))
        assert statuses(answer) == [413]
        assert b"has more than %d bytes, and at most %d (6 MB) are taken" % (LIMIT, LIMIT) in answer
        assert b"SAGEMAKER_MAX_PAYLOAD_IN_MB" in answer
    assert server.log.read_text().count("413: The body has more than") == 2
    # the most that is taken
    assert server.invoke(GOOD.encode().ljust(LIMIT)).status == 200


def test_a_client_that_sends_all_of_a_body_above_the_limit_gets_the_413(server: MmsServer) -> None:
    piece = b" " * 100_000
    head = POST + b"Content-Length: %d\r\n\r\n" % (1000 * len(piece))
    with connect(server, head) as connection:
        # longer than the server waits for a client that does nothing
        for _ in range(26):
            connection.sendall(piece)
            time.sleep(0.5)
        answer = until_closed(connection)
    assert statuses(answer) == [413] and b"has 100000000 bytes" in answer
    # one that does nothing
    began = time.monotonic()
    with connect(server, head) as connection:
        assert statuses(until_closed(connection)) == [413]
        with pytest.raises(OSError):
            while time.monotonic() - began < 30:
                connection.sendall(b" ")
                time.sleep(0.5)


def test_a_client_that_asks_before_it_sends(server: MmsServer) -> None:
    ask = POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    with connect(server, ask % len(GOOD)) as connection:
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(GOOD.encode())
        assert statuses(connection.recv(10_000)) == [200]
    assert statuses(until_closed(connect(server, ask % (LIMIT + 1)))) == [413]


# --- order


def test_pipelined_requests_are_answered_one_by_one_in_their_order(server: MmsServer) -> None:
    many = [{"in0": [token] * 30} for token in range(40)] * 60
    requests = [
        many if number % 2 == 0 else [{"in0": [number], "in1": [1]}] for number in range(12)
    ]
    data = b"".join(map(invocation, requests))
    alone = [until_closed_body(server, request) for request in requests]
    answers = until_closed(connect(server, data + b"GET /ping HTTP/1.0\r\n\r\n"))
    assert statuses(answers) == [200] * 13
    for body in alone:
        _, _, answers = answers.partition(b"\r\n\r\n")
        assert answers.startswith(body)


def until_closed_body(server: MmsServer, request: list[dict[str, Any]]) -> bytes:
    body = "".join(json.dumps(instance) + "\n" for instance in request)
    return server.invoke(body, JSON_LINES).body


def test_a_thousand_requests_in_one_packet(server: MmsServer) -> None:
    data = b"GET /ping HTTP/1.1\r\n\r\n" * 1000 + b"GET /ping HTTP/1.0\r\n\r\n"
    assert statuses(until_closed(connect(server, data))) == [200] * 1001


# --- time and room


def test_half_sent_requests_are_ended_and_stop_nobody(server: MmsServer) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    heads = (POST, POST + b"Content-Length: 100000\r\n\r\n" + b" " * 5000, b"G", b"")
    with contextlib.ExitStack() as stack:
        # more than the server keeps
        half = [stack.enter_context(connect(server, heads[n % 4])) for n in range(1100)]
        for _ in range(5):
            assert server.invoke(GOOD).status == 200
        ended = []
        for connection in half:
            with contextlib.suppress(ConnectionResetError):
                ended.append(connection.recv(4096).partition(b"\r\n")[0])
    # those that were closed to make room, and those that said nothing, are not answered
    assert set(ended) == {b"", b"HTTP/1.1 408 Request Timeout"}
    assert ended.count(b"HTTP/1.1 408 Request Timeout") > 500
    assert server.invoke(GOOD).status == 200


def test_refused_connections_make_room_before_one_that_is_kept_open(server: MmsServer) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    ping = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"

    def attempt() -> None:
        with contextlib.ExitStack() as stack:
            kept = stack.enter_context(connect(server, ping))
            assert kept.recv(4096).startswith(b"HTTP/1.1 200 ")
            for _ in range(1100):
                refused = stack.enter_context(connect(server, b"rubbish\r\n\r\n"))
                # answered, and held open by its client
                assert refused.recv(4096).startswith(b"HTTP/1.1 400 ")
            kept.sendall(ping)
            assert kept.recv(4096).startswith(b"HTTP/1.1 200 ")

    in_time(IDLE_SECONDS, attempt)


def test_half_sent_requests_make_room_before_one_whose_answer_took_long(server: MmsServer) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    body = GOOD.encode()
    request = POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    workers = server.wait_for_all_workers(2)

    def attempt() -> None:
        with contextlib.ExitStack() as stack:
            for pid in workers:
                os.kill(pid, signal.SIGSTOP)
                stack.callback(os.kill, pid, signal.SIGCONT)
            kept = stack.enter_context(connect(server, request))
            half = [stack.enter_context(connect(server, POST)) for _ in range(950)]
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
            assert statuses(kept.recv(10_000)) == [200]
            half += [stack.enter_context(connect(server, POST)) for _ in range(300)]
            kept.sendall(request)
            assert statuses(kept.recv(10_000)) == [200]

    in_time(IDLE_SECONDS, attempt)


def test_a_slow_upload_that_comes_on_is_waited_for(server: MmsServer) -> None:
    body = GOOD.encode().ljust(100_000)
    started = time.monotonic()
    with connect(server, POST + b"Content-Length: %d\r\n\r\n" % len(body)) as connection:
        for start in range(0, len(body), 5000):
            connection.sendall(body[start : start + 5000])
            time.sleep(0.25)
        assert time.monotonic() - started > READ_SECONDS + 1
        assert statuses(connection.recv(10_000)) == [200]


def test_a_connection_without_requests_is_closed(server: MmsServer) -> None:
    def attempt() -> None:
        with connect(server, b"GET /ping HTTP/1.1\r\n\r\n") as connection:
            assert statuses(connection.recv(10_000)) == [200]
            time.sleep(IDLE_SECONDS / 2)
            connection.sendall(b"GET /ping HTTP/1.1\r\n\r\n")
            assert statuses(connection.recv(10_000)) == [200]
            assert connection.recv(10_000) == b""

    in_time(IDLE_SECONDS, attempt)


def test_an_answer_that_nobody_fetches_is_dropped(server: MmsServer) -> None:
    pairs = [{"in0": [token]} for token in range(50)] * 2000
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(invocation(pairs))
        mms_server.wait_for(
            lambda: "did not fetch its answer" in server.log.read_text(),
            mms_server.PATIENCE,
            "the answer's end",
        )


# --- workers


def test_ping_tells_whether_any_worker_can_answer(server: MmsServer) -> None:
    first, second = server.workers()
    with stopped(first):
        assert server.ping() == 200
        with stopped(second):
            mms_server.wait_for(
                lambda: server.ping() == 503, mms_server.PATIENCE, "/ping tells of stopped workers"
            )
        mms_server.wait_for(
            lambda: server.ping() == 200, mms_server.PATIENCE, "/ping tells of the worker"
        )
    assert server.workers() == [first, second]


@contextlib.contextmanager
def stopped(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_busy_workers_are_healthy(server: MmsServer, rng: np.random.Generator) -> None:
    body = json.dumps({"instances": serving_models.instances(rng, 20_000)})
    with ThreadPoolExecutor(4) as pool:
        busy = [pool.submit(server.invoke, body) for _ in range(4)]
        while not all(future.done() for future in busy):
            assert server.ping() == 200
            time.sleep(0.02)
    assert [future.result().status for future in busy] == [200] * 4


# --- the end


@pytest.mark.parametrize("ending", ["answered", "grace time", "second signal"])
def test_sigterm_lets_what_is_at_work_finish(model_dir: Path, tmp_path: Path, ending: str) -> None:
    environment = {"OBJECT2VEC_DRAIN_SECONDS": "2" if ending == "grace time" else "60"}
    log = tmp_path / "log"
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(mms_server.serving(model_dir, log, environment=environment))
        processes = server.processes()
        (worker,) = server.workers()
        requests = [[{"in0": [number], "in1": [1]}] for number in range(12)]
        expected = [until_closed_body(server, request) for request in requests]
        stack.enter_context(stopped(worker))
        at_work = [stack.enter_context(connect(server)) for _ in requests]
        for connection, request in zip(at_work, requests):
            connection.sendall(invocation(request))
        # one of them is still being sent
        at_work.append(stack.enter_context(connect(server, invocation(requests[3])[:-5])))
        expected.append(expected[3])
        idle = stack.enter_context(connect(server, b"GET /ping HTTP/1.1\r\n\r\n"))
        idle.recv(10_000)
        server.process.terminate()
        mms_server.wait_for(
            lambda: b"The server is stopping" in server.get("/ping").body,
            mms_server.PATIENCE,
            "the drain",
        )
        assert server.ping() == 503
        refused = server.invoke(GOOD)
        assert refused.status == 503 and refused.headers["retry-after"] == "1"
        idle.sendall(b"GET /ping HTTP/1.1\r\n\r\n")
        assert statuses(until_closed(idle)) == [503]
        at_work[-1].sendall(invocation(requests[3])[-5:])
        assert server.process.poll() is None
        if ending == "second signal":
            server.process.terminate()
        elif ending == "answered":
            os.kill(worker, signal.SIGCONT)
            answers = [until_closed(connection) for connection in at_work]
            assert [statuses(answer) for answer in answers] == [[200]] * 13
            assert [answer.partition(b"\r\n\r\n")[2] for answer in answers] == expected
        assert server.process.wait(mms_server.PATIENCE) == 0
        mms_server.wait_until_gone(processes)
        if ending != "answered":
            assert all(hung_up(connection) == b"" for connection in at_work)


def hung_up(connection: socket.socket) -> bytes:
    """What came before the server closed, which it has done."""
    readable, _, _ = select.select([connection], [], [], 5)
    assert readable
    with contextlib.suppress(ConnectionResetError):
        return connection.recv(1000)
    return b""
