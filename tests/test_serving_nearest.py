# SPDX-License-Identifier: Apache-2.0
"""Requests for the nearest objects: to a real server, in both formats, and in process."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mms_server
import pytest
import serving_models
from mms_server import JSON_LINES, MmsServer

from object2vec import Object2Vec
from object2vec.cli import main
from object2vec.inference.predictor import Predictor
from object2vec.serving import devices
from object2vec.serving.replies import Reply, reply_to
from object2vec.serving.service import _prepare_indexes
from object2vec.serving.settings import Settings

ROWS = [
    {"user": f"u{user}", "film": film, "liked": ("no", "yes")[user % 3 == number % 3]}
    for user in range(20)
    for number, film in enumerate(["Heat", "Alien", '"},{"', "Le Frère, 愛", "5", "Ran", "Up"])
]
FILMS = [row["film"] for row in ROWS[:7]]
SETTINGS = Settings.from_environment({})
LARGE = 20000000000000000001  # no float holds it


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [*ROWS, {"user": LARGE, "film": "Up", "liked": "yes"}]
    model = Object2Vec(enc_dim=8, epochs=10, learning_rate=0.05, seed=1)
    model.fit(rows, in0="user", in1="film", label="liked", label_kind="class")
    model.build_index("in1", kind="cells", recall=1.0)
    model.build_index("in0", metric="euclidean")
    folder = tmp_path_factory.mktemp("served") / "model"
    model.save(folder)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Object2Vec:
    return Object2Vec.load(folder)


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return Predictor.load(folder)


def ask(predictor: Any, *instances: Any, lines: bool = False) -> Reply:
    if lines:
        body = "".join(json.dumps(instance) + "\n" for instance in instances)
        return reply_to(predictor, body, {"Content-Type": JSON_LINES}, SETTINGS)
    body = json.dumps({"instances": instances})
    return reply_to(predictor, body, {"Content-Type": "application/json"}, SETTINGS)


def rows_of(reply: Reply) -> list[dict[str, Any]]:
    assert reply.status == 200, reply.body
    if reply.media_type == JSON_LINES:
        return [json.loads(line) for line in reply.body.splitlines()]
    found: list[dict[str, Any]] = json.loads(reply.body)["predictions"]
    return found


def expected(found: Any) -> dict[str, Any]:
    return {"nearest": [{"name": n.name, "score": pytest.approx(n.score, abs=1e-6)} for n in found]}


@pytest.fixture(scope="module")
def answers(model: Object2Vec) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Instances, and what each should be answered."""
    (heat,) = (model.inputs.vocabularies["in1.0"].places["Heat"],)
    users = model.nearest(in0="u2", among="in0", k=2)
    kept = model.nearest(in0="u2", k=7, leave_out=["Up", "5"])
    return [
        ({"in1": "Heat", "nearest": 3}, expected(model.nearest(in1="Heat", k=3))),
        ({"in1": [heat], "nearest": 3}, expected(model.nearest(in1="Heat", k=3))),
        ({"in1": {"film": 5}, "nearest": 9}, expected(model.nearest(in1="5", k=9))),
        ({"in0": "u2", "nearest": 3}, expected(model.nearest(in0="u2", k=3))),
        ({"in0": "u2", "nearest": 7, "leave_out": ["Up", 5, "new"]}, expected(kept)),
        ({"in0": "u2", "nearest": 2, "among": "in0"}, expected(users)),
        ({"in0": LARGE, "nearest": 1}, expected(model.nearest(in0=str(LARGE), k=1))),
        (
            {"in1": "Up", "nearest": 2, "among": "in0", "leave_out": [LARGE]},
            expected(model.nearest(in1="Up", among="in0", k=2, leave_out=[str(LARGE)])),
        ),
        (
            {"in0": "u2", "in1": "Up"},
            {"scores": pytest.approx(model.predict([("u2", "Up")])[0].tolist(), abs=1e-6)},
        ),
        (
            {"in1": "Up"},
            {"embeddings": pytest.approx(model.embed(in1=["Up"])[0].tolist(), abs=1e-6)},
        ),
    ]


@pytest.mark.parametrize("lines", [False, True], ids=["a document", "lines"])
def test_each_instance_is_answered(
    lines: bool, predictor: Predictor, answers: list[tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    found = rows_of(ask(predictor, *[instance for instance, _ in answers], lines=lines))
    assert found == [answer for _, answer in answers]
    assert {n["name"] for n in found[0]["nearest"]} < set(FILMS) - {"Heat"}


def test_many_lines_keep_their_answers(predictor: Predictor) -> None:
    """Requests are parsed in chunks, and their answers written in pieces."""
    instances = [
        {"in1": FILMS[number % 7], "nearest": 1 + number % 2, "leave_out": [FILMS[number % 5]]}
        for number in range(2500)
    ]
    found = rows_of(ask(predictor, *instances, lines=True))
    few = rows_of(ask(predictor, *instances[:70]))
    assert found[:70] == few and found[70:140] == few and len(found) == 2500
    for instance, answer in zip(instances, found):
        names = [neighbour["name"] for neighbour in answer["nearest"]]
        assert len(names) == instance["nearest"]
        assert not {instance["in1"], *instance["leave_out"]} & set(names)


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "a text": ({"in1": "Up", "nearest": "10"}, "nearest must be a whole number from 1 to 1000"),
    "true": ({"in1": "Up", "nearest": True}, "nearest must be"),
    "a half": ({"in1": "Up", "nearest": 1.5}, "nearest must be"),
    "null": ({"in1": "Up", "nearest": None}, "nearest must be"),
    "none": ({"in1": "Up", "nearest": 0}, "found 0 (instance 1, counting from 0)"),
    "too many": ({"in1": "Up", "nearest": 1001}, "nearest must be"),
    "both": ({"in0": "u1", "in1": "Up", "nearest": 1}, "but not both"),
    "neither": ({"nearest": 1}, "must hold in0 and in1"),
    "another side": ({"in1": "Up", "nearest": 1, "among": "film"}, "among must be in0 or in1"),
    "a list of sides": ({"in1": "Up", "nearest": 1, "among": ["in0"]}, "among must be"),
    "one left out": ({"in1": "Up", "nearest": 1, "leave_out": "Heat"}, "must be a list"),
    "what is none": (
        {"in1": "Up", "nearest": 1, "leave_out": ["Heat", {"fim": 1}]},
        "no column 'fim' (the nearest is 'film'); its columns are film (object 1 of leave_out, "
        "counting from 0, of instance 1, counting from 0)",
    ),
    "an id": ({"in1": "Up", "nearest": 1, "leave_out": [[99]]}, "object 0 of leave_out"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_told_in_a_sentence(fault: str, predictor: Predictor) -> None:
    instance, words = FAULTS[fault]
    reply = ask(predictor, {"in1": "Up"}, instance)
    assert reply.status == 400, reply.body
    text = json.loads(reply.body)["error"]
    assert words in text and "\n" not in text


def test_a_column_that_stands_twice_is_refused(predictor: Predictor) -> None:
    body = '{"in1": "Up", "nearest": 1, "leave_out": [{"film": "Up", "film": "Heat"}]}'
    reply = reply_to(predictor, body, {"Content-Type": JSON_LINES}, SETTINGS)
    assert reply.status == 400 and b"leave_out of line 1" in reply.body


def test_without_an_index_it_is_said_how_to_make_one(tmp_path: Path) -> None:
    serving_models.train("softmax", tmp_path)
    predictor = Predictor.load(tmp_path)
    for instance in ({"in1": [1], "nearest": 3}, {"in0": [1], "nearest": 3, "among": "in0"}):
        reply = ask(predictor, instance)
        assert reply.status == 400
        side = instance.get("among", "in1")
        assert json.loads(reply.body)["error"].startswith(
            f"The model has no index of {side}, among which the nearest are to be found: make it "
            f"by object2vec index --model-dir … --side {side}, with --objects where these are texts"
        )
    # of three classes none is the one to rank by
    model = Object2Vec.load(tmp_path)
    model.build_index("in1", objects=[[number, 2] for number in range(9)])
    model.save(tmp_path)
    reply = ask(Predictor.load(tmp_path), {"in0": [1], "nearest": 3, "among": "in0"})
    assert b"are to be found, but one of in1 alone: make it" in reply.body
    predictor = Predictor.load(tmp_path)
    assert ask(predictor, {"in0": [1], "nearest": 3}).status == 400
    (row,) = rows_of(ask(predictor, {"in1": [4, 2], "nearest": 8}))
    assert {n["name"] for n in row["nearest"]} == {f"{n} 2" for n in range(9) if n != 4}


def test_longer_lists_are_known_by_their_first_tokens(tmp_path: Path) -> None:
    serving_models.train("regression", tmp_path)
    model = Object2Vec.load(tmp_path)
    model.build_index("in0", objects=[[number, 2, 3] for number in range(6)])
    predictor = model._fitted()
    instance = {"in0": [1, 2, 3], "nearest": 5, "among": "in0"}
    whole = ask(predictor, instance)
    headers = {"Content-Type": "application/json; infer_max_seqlens=1,1"}
    cut = reply_to(predictor, json.dumps({"instances": [instance]}), headers, SETTINGS)
    names = [{n["name"] for n in rows_of(reply)[0]["nearest"]} for reply in (whole, cut)]
    assert names[0] == names[1] == {f"{n} 2 3" for n in range(6) if n != 1}
    scores = [[n["score"] for n in rows_of(reply)[0]["nearest"]] for reply in (whole, cut)]
    assert scores[0] != scores[1]


def test_a_server_without_faiss_answers_the_rest(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    predictor = Predictor.load(folder)
    monkeypatch.setitem(sys.modules, "faiss", None)
    _prepare_indexes(predictor)
    assert "pip install 'object2vec[neighbours]'" in caplog.text
    reply = ask(predictor, {"in1": "Up", "nearest": 1})
    assert reply.status == 400 and b"object2vec[neighbours]" in reply.body
    assert ask(predictor, {"in1": "Up"}, {"in0": "u1", "nearest": 2, "among": "in0"}).status == 200


def test_models_on_two_devices_answer_alike(folder: Path, predictor: Predictor) -> None:
    split = devices.SplitModel(predictor, Predictor.load(folder))
    instances = [{"in1": "Up", "nearest": 3}, {"in0": "u1", "nearest": 3}]
    assert ask(split, *instances).body == ask(predictor, *instances).body


def test_predict_answers_as_the_server_does(
    folder: Path, predictor: Predictor, tmp_path: Path, capsysbinary: Any
) -> None:
    instances = [{"in1": "Up", "nearest": 3}, {"in0": "u1", "in1": "Up"}]
    source = tmp_path / "asked.jsonl"
    source.write_text("".join(json.dumps(instance) + "\n" for instance in instances))
    assert main(["predict", "--model-dir", str(folder), "--input", str(source)]) == 0
    assert capsysbinary.readouterr().out == ask(predictor, *instances, lines=True).body


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MmsServer]:
    with mms_server.serving(folder, tmp_path_factory.mktemp("log") / "log") as running:
        yield running


@pytest.mark.slow
def test_a_real_server(
    server: MmsServer,
    predictor: Predictor,
    answers: list[tuple[dict[str, Any], dict[str, Any]]],
) -> None:
    instances = [instance for instance, _ in answers]
    whole = server.invoke(json.dumps({"instances": instances}))
    assert whole.status == 200 and whole.json()["predictions"] == [row for _, row in answers]
    assert whole.body == ask(predictor, *instances).body
    lines = "".join(json.dumps(instance) + "\n" for instance in instances)
    by_line = server.invoke(lines, JSON_LINES)
    assert by_line.status == 200 and by_line.body == ask(predictor, *instances, lines=True).body
    for instance, words in FAULTS.values():
        refused = server.invoke(json.dumps({"instances": [{"in1": "Up"}, instance]}))
        assert refused.status == 400 and words in refused.json()["error"]
    assert server.invoke(lines, JSON_LINES).body == by_line.body
