# SPDX-License-Identifier: Apache-2.0
"""Sends bytes on a connection and reads the HTTP answers that come back."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})[^\r\n]*\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_PAUSE_SECONDS = 0.02
_BLOCK_BYTES = 1 << 16


@dataclass(frozen=True)
class Answer:
    """Status and body of an answer."""

    status: int
    body: bytes


def is_sound_header(name: str, value: str) -> bool:
    """Whether a header can stand in a request as it is."""
    return value.isascii() and value.isprintable() and name.isascii()


def request_bytes(
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    more: Iterable[tuple[str, str]] = (),
) -> bytes:
    """A request with its Content-Length; ``more`` headers may say otherwise."""
    fields = [("Host", "localhost"), *headers.items(), ("Content-Length", str(len(body))), *more]
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace") + body


def exchange(
    port: int, pieces: Sequence[bytes], methods: Sequence[str], seconds: float, hang_up: bool
) -> list[Answer]:
    """Send pieces, then read.

    Parameters
    ----------
    port : int
    pieces : sequence of bytes
        Sent one after the other, with short pauses.
    methods : sequence of str
        Of the requests that ask for an answer; if there are none, one answer is waited for.
    seconds : float
        How long answers are waited for.
    hang_up : bool
        Whether the connection is closed without reading.

    Raises
    ------
    OSError
        If the server closes the connection while something is sent.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(_PAUSE_SECONDS)
            connection.sendall(piece)
        if hang_up:
            time.sleep(_PAUSE_SECONDS)
            return []
        return _read(connection, methods, seconds)


def _read(connection: socket.socket, methods: Sequence[str], seconds: float) -> list[Answer]:
    end = time.monotonic() + seconds
    data = bytearray()
    answers: list[Answer] = []
    while len(answers) < max(1, len(methods)) and time.monotonic() < end:
        connection.settimeout(max(0.01, end - time.monotonic()))
        try:
            block = connection.recv(_BLOCK_BYTES)
        except (TimeoutError, socket.timeout, ConnectionResetError):
            break
        data += block
        answers = _parse(bytes(data), methods, ended=not block)
        if not block:
            break
    return answers


def _parse(data: bytes, methods: Sequence[str], ended: bool) -> list[Answer]:
    """The whole answers at the start of the data."""
    answers: list[Answer] = []
    while True:
        status = _STATUS_LINE.match(data)
        head, blank, rest = data.partition(b"\r\n\r\n")
        if not status or not blank:
            return answers
        code = int(status[1])
        method = methods[len(answers)] if len(answers) < len(methods) else "POST"
        length = _LENGTH.search(head + b"\r\n")
        if method == "HEAD" or code < 200 or code in (204, 304):
            size = 0
        elif length:
            size = int(length[1])
        else:
            size = len(rest) if ended else len(rest) + 1
        if len(rest) < size:
            return answers
        if code >= 200:
            answers.append(Answer(code, rest[:size]))
        data = rest[size:]
