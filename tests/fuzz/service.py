# SPDX-License-Identifier: Apache-2.0
"""Fuzzes requests in process: what a worker makes of a body and its headers."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from object2vec.inference.predictor import Predictor
from object2vec.logs import LOGGER_NAME
from object2vec.serving.replies import Reply, reply_to
from object2vec.serving.settings import Settings

from . import models
from .request_bodies import Bodies
from .target import Target, Wrong, check_sentence

_STATUSES = {200, 400, 406, 413, 415}
_FORMATS = {"application/json", "application/jsonlines"}


class ServiceTarget(Target):
    """Requests to a model of each encoder; an input is the JSON text of model, headers and body."""

    name = "requests"
    share = 2

    def prepare(self, folder: Path) -> None:
        self._models = {
            kind: Predictor.load(models.save(kind, folder / kind)) for kind in models.MODELS
        }
        self._settings = Settings()
        self._errors = _Errors()
        logging.getLogger(LOGGER_NAME).addHandler(self._errors)

    def inputs(self, rng: random.Random) -> Iterator[bytes]:
        bodies = Bodies(rng)
        while True:
            model = rng.choice((*models.MODELS, models.RAW, models.RAW))
            # to a model of ids now and then, too
            raw = rng.random() < (0.9 if model == models.RAW else 0.1)
            headers, body = bodies.request(raw=raw)
            request = {
                "model": model,
                "headers": headers,
                "body": body.decode("latin-1"),
            }
            yield json.dumps(request).encode()

    def check(self, data: bytes) -> bool:
        request = json.loads(data)
        model = self._models[request["model"]]
        self._errors.last = None
        body = request["body"].encode("latin-1")
        reply = reply_to(model, bytearray(body), request["headers"], self._settings)
        if self._errors.last is not None:
            raise self._errors.last
        check_reply(reply, model)
        return reply.status == 200


class _Errors(logging.Handler):
    """Keeps the exception that was logged last: the reply does not tell it."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last: Any = None

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.exc_info[1] if record.exc_info else None


def check_reply(reply: Reply, model: Predictor) -> None:
    """See that a reply is one of those that are documented, and holds finite numbers."""
    if reply.status not in _STATUSES:
        raise Wrong(f"the status {reply.status}", repr(reply.body[:500]))
    if reply.media_type not in _FORMATS:
        raise Wrong("a reply of another media type", reply.media_type)
    if reply.status != 200:
        check_sentence(Exception(json.loads(reply.body)["error"]))
        return
    if reply.media_type == "application/json":
        rows = json.loads(reply.body)["predictions"]
    else:
        rows = [json.loads(line) for line in reply.body.splitlines()]
    settings = model.hyperparameters
    widths = {
        "scores": settings.classes or 1,
        "embeddings": settings.enc_dim,
    }
    for row in rows:
        ((key, values),) = row.items()
        if len(values) != widths[key] or not np.isfinite(np.array(values, dtype=float)).all():
            raise Wrong("an answer that is not finite or of a wrong width", str(row)[:500])
