# SPDX-License-Identifier: Apache-2.0
"""A model's answer to a request, and its bytes: the formats of answers, without knowing HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

import numpy as np
import orjson

from object2vec.serving.media_types import JSON
from object2vec.serving.nearest_instances import NEAREST, nearest_rows

if TYPE_CHECKING:
    from object2vec.serving.instances import Request
    from object2vec.serving.model import Model

_PIECE_ROWS = 256


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model says of a request.

    Parameters
    ----------
    count : int
        Number of instances.
    parts : tuple of (numpy.ndarray, str, numpy.ndarray or list)
        For each group its positions ``(k,)``, the key of its values (``scores``, ``embeddings`` or
        ``nearest``) and the values, float32 ``(k, width)``, or k lists of names with scores.
    """

    count: int
    parts: tuple[tuple[np.ndarray, str, Any], ...]


def infer(
    request: Request, predictor: Model, max_seq_lens: Optional[tuple[int, int]] = None
) -> Answer:
    """Answer a request: scores where both inputs are held, the embedding where one is, or the
    nearest objects where these are asked for.

    Parameters
    ----------
    request : Request
    predictor : Predictor
        A loaded model, or what takes its place.
    max_seq_lens : tuple of int, optional
        The encoders' maximum lengths for this request.
    """
    parts: list[tuple[np.ndarray, str, Any]] = []
    for group in request.groups:
        if group.in0 is not None and group.in1 is not None:
            key, values = "scores", predictor.scores(group.in0, group.in1, max_seq_lens)
        else:
            side = 0 if group.in0 is not None else 1
            lists = group.in0 if group.in0 is not None else group.in1
            assert lists is not None
            limit = None if max_seq_lens is None else max_seq_lens[side]
            if group.ask is not None:
                found = nearest_rows(predictor, side, lists, group.ask, group.left_out, limit)
                parts.append((group.positions, NEAREST, found))
                continue
            key, values = "embeddings", predictor.embeddings(side, lists, limit)
        rows = np.ascontiguousarray(values, dtype=np.float32)
        parts.append((group.positions, key, rows.reshape(len(group.positions), -1)))
    return Answer(request.count, tuple(parts))


def format_answer(answer: Answer, media_type: str) -> bytes:
    """Write an answer in the order of its request; a float32 survives the round trip.

    Parameters
    ----------
    answer : Answer
    media_type : str
        `JSON` gives ``{"predictions": [{"scores": [...]}, ...]}``, `JSON_LINES` an object a line,
        each ended by a line feed.
    """
    return b"".join(answer_pieces(answer, media_type))


def answer_pieces(answer: Answer, media_type: str) -> Iterator[bytes]:
    """`format_answer` piece by piece, so that a large answer is copied once."""
    rows: list[Any] = [None] * answer.count
    for positions, key, values in answer.parts:
        for position, value in zip(positions.tolist(), values):
            rows[position] = {key: value}
    has_names = any(key == NEAREST for _, key, _ in answer.parts)
    if media_type == JSON:
        yield b'{"predictions":['
    for start in range(0, answer.count, _PIECE_ROWS):
        # Far faster than a call for each row.
        text = orjson.dumps(rows[start : start + _PIECE_ROWS], option=orjson.OPT_SERIALIZE_NUMPY)
        if media_type == JSON:
            yield b"," * (start > 0) + text[1:-1]
        elif has_names:
            for row in rows[start : start + _PIECE_ROWS]:
                yield orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n"
        else:
            # Between numbers, these bytes stand at a row's end only.
            yield text[1:-1].replace(b"},{", b"}\n{") + b"\n"
    if media_type == JSON:
        yield b"]}"
