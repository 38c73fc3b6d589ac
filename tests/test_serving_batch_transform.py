# SPDX-License-Identifier: Apache-2.0
"""Batch transform: a client that heeds /execution-parameters has every file answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mms_server
import numpy as np
import orjson
import pytest
import serving_models
from batch_client import BatchClient
from mms_server import JSON, JSON_LINES

from object2vec import Object2Vec
from object2vec.serving.answer_formats import Answer, format_answer
from object2vec.serving.batch_transform import (
    MULTI_RECORD,
    NUMBER_BYTES,
    SINGLE_RECORD,
    ExecutionParameters,
    execution_parameters,
    longest_answer,
)
from object2vec.serving.settings import MEBIBYTE, Settings

BATCH = Settings.from_environment({"SAGEMAKER_BATCH": "true"})


def parameters(workers: int, enc_dim: int, scores: int = 2, **more: int) -> ExecutionParameters:
    limits = {"payload_bytes": BATCH.payload_bytes, "answer_bytes": BATCH.answer_bytes, **more}
    return execution_parameters(workers, enc_dim=enc_dim, scores=scores, **limits)


# --- the calculation


@pytest.mark.parametrize("workers", [1, 2, 3, 16, 60, 100, 101, 256])
@pytest.mark.parametrize("enc_dim", [4, 64, 163, 164, 1024, 4096, 10_000])
@pytest.mark.parametrize("scores", [1, 30])
def test_sagemaker_s_rule_and_the_largest_answer_are_kept(
    workers: int, enc_dim: int, scores: int
) -> None:
    found = parameters(workers, enc_dim, scores)
    assert found.payload_mb >= 1 and 1 <= found.at_once <= workers
    assert found.payload_mb * found.at_once <= 100
    if found.strategy == MULTI_RECORD:
        numbers = {"embeddings": enc_dim, "scores": scores}
    else:
        numbers = {"scores": scores}
        assert longest_answer(1 << 20, embeddings=enc_dim) > BATCH.answer_bytes
    assert longest_answer(found.payload_mb << 20, **numbers) <= BATCH.answer_bytes
    if (found.payload_mb + 1) * found.at_once <= 100:
        assert longest_answer((found.payload_mb + 1) << 20, **numbers) > BATCH.answer_bytes


def test_known_values() -> None:
    assert parameters(1, 4) == ExecutionParameters(MULTI_RECORD, 32, 1)
    assert parameters(2, 4) == ExecutionParameters(MULTI_RECORD, 32, 2)
    assert parameters(4, 4) == ExecutionParameters(MULTI_RECORD, 25, 4)
    assert parameters(2, 128) == ExecutionParameters(MULTI_RECORD, 1, 2)
    assert parameters(2, 4096) == ExecutionParameters(SINGLE_RECORD, 50, 2)
    # as container/README.md tells
    assert parameters(1, 164).strategy == MULTI_RECORD
    assert parameters(1, 165).strategy == SINGLE_RECORD
    assert parameters(1, 149, raw_values=True).strategy == MULTI_RECORD
    assert parameters(1, 150, raw_values=True).strategy == SINGLE_RECORD
    assert parameters(200, 4) == ExecutionParameters(MULTI_RECORD, 1, 100)
    assert parameters(2, 4096, 30) == ExecutionParameters(SINGLE_RECORD, 9, 2)
    assert parameters(2, 4096, answer_bytes=1 << 20) == ExecutionParameters(SINGLE_RECORD, 1, 2)
    assert parameters(2, 1024, answer_bytes=2047 << 20).strategy == MULTI_RECORD
    assert parameters(1, 4, payload_bytes=6 << 20).payload_mb == 6
    assert json.loads(parameters(2, 4096).to_json()) == {
        "MaxConcurrentTransforms": 2,
        "BatchStrategy": "SINGLE_RECORD",
        "MaxPayloadInMB": 50,
    }


def test_no_float32_is_longer_than_counted(rng: np.random.Generator) -> None:
    bits = rng.integers(0, 2**32, 2_000_000, dtype=np.uint64).astype(np.uint32)
    small = -rng.random(2_000_000, np.float32) * np.float32(2) ** rng.integers(-30, 3, 2_000_000)
    for values in (bits.view(np.float32), small.astype(np.float32)):
        text = orjson.dumps(values[np.isfinite(values)], option=orjson.OPT_SERIALIZE_NUMPY)
        lengths = [len(number) for number in text[1:-1].split(b",")]
        assert 14 <= max(lengths) < NUMBER_BYTES


@pytest.mark.parametrize("media_type", [JSON, JSON_LINES])
@pytest.mark.parametrize(("key", "line"), [("embeddings", 11), ("scores", 20)])
def test_a_real_answer_of_longest_numbers_is_as_long_as_counted(
    key: str, line: int, media_type: str
) -> None:
    rows, width = 1000, 30
    # sixteen characters
    longest = np.float32(-1.23456784e-05)
    text = orjson.dumps(np.array([longest]), option=orjson.OPT_SERIALIZE_NUMPY)
    values = np.full((rows, width), longest)
    answer = format_answer(Answer(rows, ((np.arange(rows), key, values),)), media_type)
    counted = longest_answer(rows * line - 1, **{key: width})
    missing = rows * width * (NUMBER_BYTES - len(text) + 1)
    assert counted - 5 * rows <= len(answer) + missing <= counted


# --- a client of a real server


def wide_model(folder: Path, enc_dim: int, **more: Any) -> Path:
    return serving_models.train(
        "softmax",
        folder,
        enc0_network="pooled_embedding",
        enc1_network="enc0",
        enc_dim=enc_dim,
        epochs=1,
        **more,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("enc_dim", "count", "strategy"),
    [
        (4, 30_000, MULTI_RECORD),
        (1024, 3000, SINGLE_RECORD),
        # the answer as a whole has 270 MB
        (4096, 6000, SINGLE_RECORD),
        (10_000, 600, SINGLE_RECORD),
    ],
)
def test_a_file_is_answered_with_the_server_s_own_defaults(
    tmp_path: Path, enc_dim: int, count: int, strategy: str
) -> None:
    model_dir = wide_model(tmp_path / "model", enc_dim)
    pairs = [{"in0": [i % 50], "in1": [i % 49]} for i in range(0, count, 6)]
    single = [{"in0": [i % 50]} for i in range(count - len(pairs))]
    assert len(single) % 500 == 0
    lines = [json.dumps(instance).encode() + b"\n" for instance in [*single, *pairs]]
    environment = {"SAGEMAKER_BATCH": "true"}
    with (
        mms_server.serving(
            model_dir, tmp_path / "log", workers=2, environment=environment
        ) as server,
        BatchClient(server) as client,
    ):
        assert client.parameters["BatchStrategy"] == strategy
        rows = client.transform(lines).splitlines()
    assert len(rows) == len(lines)
    model = Object2Vec.load(model_dir)
    vectors = model.embed(in0=[[token] for token in range(50)])
    for start in range(0, len(single), 500):
        got = [orjson.loads(row)["embeddings"] for row in rows[start : start + 500]]
        which = np.arange(start, start + len(got)) % 50
        np.testing.assert_allclose(got, vectors[which], atol=1e-6)
    scores = [orjson.loads(row)["scores"] for row in rows[len(single) :]]
    np.testing.assert_allclose(scores, model.predict(pairs), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("enc_dim", "classes", "lines"),
    [(8, 3, [b'{"in0":[]}\n']), (4, 30, [b'{"in0":[],"in1":[]}\n', b'{"in1":[]}\n'])],
    ids=["embeddings", "scores"],
)
def test_the_largest_payload_of_the_shortest_lines_is_answered(
    tmp_path: Path, enc_dim: int, classes: int, lines: list[bytes]
) -> None:
    model_dir = wide_model(tmp_path / "model", enc_dim, num_classes=classes)
    environment = {"SAGEMAKER_BATCH": "true", "OBJECT2VEC_MAX_ANSWER_IN_MB": "60"}
    with mms_server.serving(model_dir, tmp_path / "log", environment=environment) as server:
        client = BatchClient(server)
        assert client.parameters["BatchStrategy"] == MULTI_RECORD
        size = client.parameters["MaxPayloadInMB"] * MEBIBYTE
        for line in lines:
            # The last line feed may be missing.
            count = (size + 1) // len(line)
            answer = server.invoke((line * count)[:-1], JSON_LINES)
            assert answer.status == 200 and answer.body.count(b"\n") == count
            # A client that does not heed the parameters: four characters a number are too many.
            numbers = classes if line.count(b"in") == 2 else enc_dim
            more = server.invoke(line * (60 * MEBIBYTE // (4 * numbers) + 1), JSON_LINES)
            assert more.status == 413 and "OBJECT2VEC_MAX_ANSWER_IN_MB" in more.json()["error"]
