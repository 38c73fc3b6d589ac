# SPDX-License-Identifier: Apache-2.0
"""What batch transform is told of its requests: how many at once, how large, of how many lines.

SageMaker asks ``GET /execution-parameters`` before it cuts a file into requests, where the job does
not say these values itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from object2vec.serving.settings import MEBIBYTE

MULTI_RECORD = "MULTI_RECORD"
SINGLE_RECORD = "SINGLE_RECORD"
# SageMaker's rule for the product of both; a payload is a whole number.
_MOST_MB_AT_ONCE = 100
# The longest text of a float32, such as -0.0000123456789, and the comma behind it.
NUMBER_BYTES = 17
# The shortest line that is answered by each key, of ids and of raw values, and what stands around
# the answers.
_LINES = {"embeddings": b'{"in0":[]}\n', "scores": b'{"in0":[],"in1":[]}\n'}
_RAW_LINES = {"embeddings": b'{"in0":1}\n', "scores": b'{"in0":1,"in1":1}\n'}
_AROUND_ROW = b'{"":[]}\n'
_AROUND_ALL = b'{"predictions":[]}'


@dataclass(frozen=True)
class ExecutionParameters:
    """The answer of ``GET /execution-parameters``.

    Parameters
    ----------
    strategy : str
        `MULTI_RECORD`: a request holds as many lines as fit; `SINGLE_RECORD`: one.
    payload_mb : int
        The largest request, in MB.
    at_once : int
        Requests that are sent at the same time.
    """

    strategy: str
    payload_mb: int
    at_once: int

    def to_json(self) -> str:
        """As SageMaker reads it."""
        return json.dumps(
            {
                "MaxConcurrentTransforms": self.at_once,
                "BatchStrategy": self.strategy,
                "MaxPayloadInMB": self.payload_mb,
            }
        )


def execution_parameters(
    workers: int,
    payload_bytes: int,
    answer_bytes: int,
    enc_dim: int,
    scores: int,
    *,
    raw_values: bool = False,
) -> ExecutionParameters:
    """The parameters with which every file of lines is answered, whatever stands in its lines.

    Parameters
    ----------
    workers : int
        Requests that are answered at the same time.
    payload_bytes, answer_bytes : int
        What a request and an answer may be long.
    enc_dim : int
        Numbers of an embedding.
    scores : int
        Numbers of a pair's answer.
    raw_values : bool
        Whether a line may hold other values than lists of ids.
    """
    shortest = _RAW_LINES if raw_values else _LINES
    at_once = min(workers, _MOST_MB_AT_ONCE)
    most = min(payload_bytes // MEBIBYTE, _MOST_MB_AT_ONCE // at_once)

    def largest(**numbers: int) -> int:
        sizes = range(most, 0, -1)
        fits = (
            n for n in sizes if longest_answer(n * MEBIBYTE, shortest, **numbers) <= answer_bytes
        )
        return next(fits, 0)

    of_any = largest(embeddings=enc_dim, scores=scores)
    if of_any:
        return ExecutionParameters(MULTI_RECORD, of_any, at_once)
    # Good for a job too that sets the other strategy itself because it has no lines but pairs.
    return ExecutionParameters(SINGLE_RECORD, largest(scores=scores) or 1, at_once)


def longest_answer(body_bytes: int, shortest: Mapping[str, bytes] = _LINES, **numbers: int) -> int:
    """Bytes that the answer to a body of lines may have, at most.

    Parameters
    ----------
    body_bytes : int
        Length of the body; its last line may lack the line feed.
    shortest : mapping of str to bytes
        The shortest line that is answered by each key.
    **numbers : int
        The keys of the answers that its lines may have, and how many numbers each holds.
    """
    most = 0
    for key, count in numbers.items():
        row = len(_AROUND_ROW) + len(key) + count * NUMBER_BYTES
        # Rounded up; a body of several kinds has no longer answer than one of the worst kind.
        most = max(most, -(-(body_bytes + 1) * row // len(shortest[key])))
    return most + len(_AROUND_ALL)
