# SPDX-License-Identifier: Apache-2.0
"""One request, as a server hands it over, to one reply with status, type and body."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Optional, Union

import orjson

from object2vec.errors import CustomerError, Object2VecError
from object2vec.logs import LOGGER_NAME
from object2vec.serving.answer_formats import answer_pieces, infer
from object2vec.serving.instances import InstanceFormat, Request
from object2vec.serving.media_types import (
    JSON,
    UnsupportedMediaTypeError,
    choose_accept,
    parse_content_type,
    untyped_body,
)
from object2vec.serving.model import Model
from object2vec.serving.request_formats import UnreadableBodyError, parse_body
from object2vec.serving.settings import LARGEST_ANSWER_MB, MEBIBYTE, Settings
from object2vec.serving.unseen_values import UnseenValues
from object2vec.text import LONGEST_SENTENCE, bounded, quoted

_logger = logging.getLogger(LOGGER_NAME)
_FLOAT_BYTES = 4
_unseen_values = UnseenValues()


class AnswerTooLargeError(CustomerError):
    """The request asks for more than one answer may hold."""

    http_status = 413


@dataclass(frozen=True)
class Reply:
    """Status, media type and body of an HTTP answer."""

    status: int
    media_type: str
    body: bytes

    @property
    def phrase(self) -> str:
        """The status in words."""
        return HTTPStatus(self.status).phrase


def reply_to(
    model: Model,
    body: Union[str, bytes, bytearray, None],
    headers: Mapping[str, str],
    settings: Settings,
) -> Reply:
    """Answer a request; whatever is wrong with it or with us becomes a reply, too.

    Parameters
    ----------
    model : Model
    body : bytes, bytearray, str or None
        None where the server found no body.
    headers : mapping
        Names in any letter case.
    settings : Settings
        Default format and the limit of an answer.
    """
    try:
        return _reply(model, body, {name.lower(): headers[name] for name in headers}, settings)
    except Object2VecError as error:
        if error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return _fault(error)
        return _error(error.http_status, str(error))
    except MemoryError as error:
        return _fault(error, "There is not enough memory for this request; send fewer instances.")
    except Exception as error:
        return _fault(error)


def _reply(
    model: Model,
    body: Union[str, bytes, bytearray, None],
    headers: Mapping[str, str],
    settings: Settings,
) -> Reply:
    typed = bool(headers.get("content-type", "").strip())
    content_type = parse_content_type(headers.get("content-type"))
    data = body.encode("utf-8") if isinstance(body, str) else bytes(body or b"")
    if not typed:
        content_type = replace(content_type, media_type=untyped_body(data))
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedMediaTypeError(
            f"Content-Encoding {quoted(encoding)} is not supported; send the body as it is."
        )
    accept = headers.get("accept", "").strip()
    default = settings.default_accept or content_type.media_type
    media_type = choose_accept(accept, replace(content_type, media_type=default))
    if body is None:
        raise CustomerError("The request has no body; it should hold the instances.")
    try:
        request = parse_body(data, content_type.media_type, InstanceFormat.of(model))
    except UnreadableBodyError as error:
        if typed:
            raise
        raise CustomerError(
            f"{error} The request has no Content-Type, so that this was read as "
            f"{content_type.media_type}."
        ) from None
    _unseen_values.count(request.lookups)
    _check_size(_count_numbers(request, model) * _FLOAT_BYTES, settings)
    answer = infer(request, model, content_type.max_seq_lens)
    pieces, size = [], 0
    for piece in answer_pieces(answer, media_type):
        size += len(piece)
        # Before memory is taken for the rest.
        _check_size(size, settings)
        pieces.append(piece)
    return Reply(HTTPStatus.OK, media_type, b"".join(pieces))


def _count_numbers(request: Request, model: Model) -> int:
    settings = model.hyperparameters
    classes = settings.classes or 1
    total = 0
    for group in request.groups:
        width = settings.enc_dim if group.in0 is None or group.in1 is None else classes
        if group.ask is not None:
            width = group.ask.k
        total += len(group.positions) * width
    return total


def _check_size(size: int, settings: Settings) -> None:
    if size > settings.answer_bytes:
        raise AnswerTooLargeError(
            f"The answer would be longer than {settings.answer_bytes // MEBIBYTE} MB; send fewer "
            "instances at once, or raise OBJECT2VEC_MAX_ANSWER_IN_MB (at most "
            f"{LARGEST_ANSWER_MB}) where the server starts."
        )


def _fault(error: BaseException, text: Optional[str] = None) -> Reply:
    # Which lines went wrong is for who runs the server, not for who sent the request.
    _logger.error("A request failed:", exc_info=error)
    if text is None and isinstance(error, Object2VecError):
        text = str(error)
    text = text or "object2vec failed on this request; the server's log has the reason."
    return _error(HTTPStatus.INTERNAL_SERVER_ERROR, text)


def _error(status: int, text: str) -> Reply:
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        _logger.warning("%d: %s", status, text)
    return Reply(int(status), JSON, orjson.dumps({"error": bounded(text, LONGEST_SENTENCE)}))
