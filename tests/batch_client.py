# SPDX-License-Identifier: Apache-2.0
"""What SageMaker's batch transform does with a file of lines, against a server of the tests."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import local

from mms_server import JSON_LINES, MmsServer

from object2vec.serving.batch_transform import SINGLE_RECORD
from object2vec.serving.settings import MEBIBYTE


class BatchClient(contextlib.ExitStack):
    """Cuts a file and sends it as SageMaker's batch transform does."""

    def __init__(self, server: MmsServer) -> None:
        super().__init__()
        self.server = server
        self.parameters = server.get("/execution-parameters").json()
        self._threads = local()

    def cut(self, lines: list[bytes]) -> Iterator[bytes]:
        """The bodies of the requests."""
        if self.parameters["BatchStrategy"] == SINGLE_RECORD:
            yield from lines
            return
        limit = self.parameters["MaxPayloadInMB"] * MEBIBYTE
        body = bytearray()
        for line in lines:
            if body and len(body) + len(line) > limit:
                yield bytes(body)
                body.clear()
            body += line
        yield bytes(body)

    def ask(self, body: bytes) -> bytes:
        """One request over the thread's own connection."""
        if not hasattr(self._threads, "connection"):
            self._threads.connection = http.client.HTTPConnection(
                self.server.host, self.server.port, timeout=600
            )
            self.callback(self._threads.connection.close)
        connection = self._threads.connection
        connection.request("POST", "/invocations", body, {"Content-Type": JSON_LINES})
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 200, content[:1000]
        return content

    def transform(self, lines: list[bytes]) -> bytes:
        """The joined answers."""
        with ThreadPoolExecutor(self.parameters["MaxConcurrentTransforms"]) as pool:
            return b"".join(pool.map(self.ask, self.cut(lines)))
