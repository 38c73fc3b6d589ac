# SPDX-License-Identifier: Apache-2.0
"""Fuzzes a running server over HTTP: bodies, headers, methods, paths, bytes that are no HTTP."""

from __future__ import annotations

import contextlib
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mms_server import starting

from object2vec.inference.predictor import Predictor
from object2vec.serving.replies import reply_to
from object2vec.serving.settings import Settings

from . import models
from .mutation import mutate_bytes
from .raw_http import exchange, is_sound_header, request_bytes
from .request_bodies import Bodies
from .target import Target, Wrong

_WORKERS = 2
_INPUTS_BETWEEN_LOOKS = 25
# A sound request is answered within this time; what is no whole request may get no answer.
_ANSWER_SECONDS = 30.0
_BROKEN_SECONDS = 1.0
# The one refusal of a request as it is written that HTTP counts among the server's errors.
_UNKNOWN_VERSION = 505
_PROBE = b'{"instances": [{"in0": [1, 2], "in1": {"genres": "War"}}, {"in0": "u1"}, {"in0": [4]}]}'
_JSON = {"Content-Type": "application/json"}
_METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "PATCH", "CONNECT", "FOO", "post")
_PATHS = (
    "/ping", "/invocations", "/execution-parameters", "/", "/ping/", "/ping?x=%zz", "/invocations/",
    "/invocations?" + "a=&" * 2000, "//invocations", "/models", "/models/model", "/%2e%2e/ping",
    "/models/model/invoke", "/predictions/model", "/api-description", "/../../etc/passwd", "*",
    "/models?url=file:///etc/passwd", "http://example.com/ping", "/" + "p" * 5000, "/\xfc", "/%00",
)  # fmt: skip
_ODD_HEADERS = (
    ("Content-Length", "-1"), ("Content-Length", "5, 5"), ("Content-Length", "9" * 30),
    ("Content-Length", "0x10"), ("Content-Length", "5"), ("Transfer-Encoding", "chunked"),
    ("Transfer-Encoding", "gzip, chunked"), ("Expect", "100-continue"), ("Expect", "x"),
    ("Connection", "close"), ("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"),
    ("Upgrade", "websocket"), ("Host", ""), ("Host", "h" * 3000), ("X-Long", "x" * 7000),
    ("X-Long", "x" * 70_000), ("Cookie", "a=b;" * 500), ("Content-Type", "application/json"),
    ("Content-Encoding", "gzip"), ("X-Amzn-Trace-Id", "\x7f\x80\xff"), ("Range", "bytes=0-1"),
)  # fmt: skip
_CHUNKED = b"POST /invocations HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
_NO_HTTP = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\r\n" * 50, b"\x00" * 500, b"GET /ping\r\n\r\n",
    b"GET /ping HTTP/9.9\r\n\r\n", b"POST /invocations HTTP/1.0\r\n\r\n", b"A" * 20_000,
    _CHUNKED + b"ffffffffff\r\n", _CHUNKED + b"-1\r\n\r\n", _CHUNKED + b"2\r\n{}\r\n0\r\n\r\n",
    b"GET /ping HTTP/1.1\r\n" + b"a: b\r\n" * 3000 + b"\r\n", b"GET  /ping  HTTP/1.1\n\n",
    b"GET /ping HTTP/1.1\r\n no: name\r\n\r\n", b"GET /ping HTTP/1.1\r\nwithout colon\r\n\r\n",
)  # fmt: skip


class HttpTarget(Target):
    """``object2vec serve`` with two workers.

    An input is the JSON text of the pieces to send on a connection; one that was found broken only
    when the server was looked at is a list of all since it was found whole.
    """

    name = "http"
    share = 5
    isolated = False

    def prepare(self, folder: Path) -> None:
        self._model_dir = models.save(models.RAW, folder / "model")
        model = Predictor.load(self._model_dir)
        self._expected = json.loads(reply_to(model, _PROBE, _JSON, Settings()).body)
        self._log = folder / "log"
        self._recent: list[Any] = []
        self._start()

    def close(self) -> None:
        self._running.close()

    def inputs(self, rng: random.Random) -> Iterator[bytes]:
        bodies = Bodies(rng, longest=700_000)
        while True:
            yield json.dumps(_connection(bodies, rng)).encode()

    def check(self, data: bytes) -> bool:
        given = json.loads(data)
        if isinstance(given, list):
            for one in given:
                self._send(one)
            self._look()
            return True
        self._recent.append(given)
        accepted = self._send(given)
        if len(self._recent) >= _INPUTS_BETWEEN_LOOKS:
            self._look()
        return accepted

    def finish(self) -> None:
        self._look()

    def _start(self) -> None:
        with contextlib.ExitStack() as running:
            # one that does not become ready is not left behind
            server = starting(self._model_dir, self._log, workers=_WORKERS)
            self._server = running.enter_context(server)
            self._server.wait_until_ready()
            self._workers = self._server.workers()
            self._read = 0
            self._running = running.pop_all()

    def _send(self, given: dict[str, Any]) -> bool:
        """Send what is to be sent; True if an answer is a success."""
        pieces = [piece.encode("latin-1") for piece in given["pieces"]]
        methods = given["methods"]
        seconds = _ANSWER_SECONDS if methods else _BROKEN_SECONDS
        answers = []
        # A server may close the connection at any time of a broken request.
        broken = contextlib.suppress(OSError) if not methods else contextlib.nullcontext()
        with broken:
            answers = exchange(self._server.port, pieces, methods, seconds, given["hang_up"])
        allowed = () if methods else (_UNKNOWN_VERSION,)
        bad = [one for one in answers if one.status >= 500 and one.status not in allowed]
        if bad:
            method = methods[0] if methods else "broken bytes"
            raise Wrong(f"the status {bad[0].status} for {method}", repr(bad[0].body[:500]))
        if methods and len(answers) < len(methods):
            raise Wrong("no answer to a whole request", f"{len(answers)} of {len(methods)}")
        counts = given["counts"]
        if counts and [_count(answer.body) for answer in answers] != counts:
            raise Wrong("answers out of order on one connection", str(counts))
        return any(answer.status < 300 for answer in answers)

    def _look(self) -> None:
        """See that the server is whole: workers, answers, log."""
        recent, self._recent = self._recent, []
        try:
            self._check_server()
        except Wrong as wrong:
            if recent:
                wrong.data = json.dumps(recent).encode()
            raise
        finally:
            if self._server.process.poll() is not None:
                self._start()

    def _check_server(self) -> None:
        if self._server.process.poll() is not None:
            text = self._log.read_text(errors="replace")[-2000:]
            raise Wrong("the server ended", text)
        reply = self._server.invoke(_PROBE, timeout=_ANSWER_SECONDS)
        if reply.status != 200 or not _equal(json.loads(reply.body), self._expected):
            raise Wrong("a wrong answer to a right request", f"{reply.status} {reply.body[:500]!r}")
        if self._server.get("/ping").status != 200:
            raise Wrong("/ping says that the server is not healthy")
        workers = self._server.workers()
        if workers != self._workers:
            before, self._workers = self._workers, workers
            raise Wrong("a worker was lost", f"{before} before, now {workers}")
        text = self._log.read_text(errors="replace")
        new, self._read = text[self._read :], len(text)
        found = re.search(r"Traceback|Worker died|OutOfMemory", new)
        if found:
            start = max(0, found.start() - 500)
            raise Wrong(f"{found[0]} in the log", new[start : found.end() + 1500])


def _connection(bodies: Bodies, rng: random.Random) -> dict[str, Any]:
    """What to send: pieces, and what is known of the answers."""
    how = rng.random()
    if how < 0.45:
        headers, body = bodies.request(raw=rng.random() < 0.6)
        headers = {name: value for name, value in headers.items() if is_sound_header(name, value)}
        return _sound([request_bytes("POST", "/invocations", headers, body)], ["POST"])
    if how < 0.55:
        return _pipelined(bodies, rng)
    if how < 0.65:
        method, path = rng.choice(_METHODS), rng.choice(_PATHS)
        body = bodies.body(False) if rng.random() < 0.3 else b""
        return _broken([request_bytes(method, path, _JSON, body)])
    headers, body = bodies.request()
    headers = {name: value for name, value in headers.items() if is_sound_header(name, value)}
    if how < 0.75:
        more = rng.sample(_ODD_HEADERS, rng.randint(1, 3))
        return _broken([request_bytes("POST", "/invocations", headers, body, more)])
    whole = request_bytes("POST", "/invocations", headers, body)
    if how < 0.85:
        return _broken([mutate_bytes(whole, rng)])
    if how < 0.95:
        cut = rng.randrange(len(whole))
        return {**_broken([whole[:cut]]), "hang_up": True}
    return _broken(
        [mutate_bytes(rng.choice(_NO_HTTP), rng) if how > 0.98 else rng.choice(_NO_HTTP)]
    )


def _pipelined(bodies: Bodies, rng: random.Random) -> dict[str, Any]:
    """Several requests at once on a connection, each with another number of instances."""
    counts = rng.sample(range(1, 60), rng.randint(2, 5))
    requests = [
        request_bytes(
            "POST",
            "/invocations",
            _JSON,
            json.dumps({"instances": [{"in0": [1, 2], "in1": [3]}] * count}).encode(),
        )
        for count in counts
    ]
    # All in one piece, or in pieces that end anywhere.
    whole = b"".join(requests)
    cuts = sorted(rng.randrange(len(whole)) for _ in range(rng.choice((0, 0, 3))))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)])]
    return {**_sound(pieces, ["POST"] * len(counts)), "counts": counts}


def _sound(pieces: list[bytes], methods: list[str]) -> dict[str, Any]:
    return {**_broken(pieces), "methods": methods}


def _broken(pieces: list[bytes]) -> dict[str, Any]:
    texts = [piece.decode("latin-1") for piece in pieces]
    return {"pieces": texts, "methods": [], "counts": [], "hang_up": False}


def _count(body: bytes) -> int:
    try:
        return len(json.loads(body)["predictions"])
    except (ValueError, KeyError, TypeError):
        return -1


def _equal(found: Any, expected: Any) -> bool:
    rows, others = found["predictions"], expected["predictions"]
    return len(rows) == len(others) and all(
        row.keys() == other.keys()
        and all(np.allclose(row[key], other[key], atol=1e-5) for key in row)
        for row, other in zip(rows, others)
    )
