# SPDX-License-Identifier: Apache-2.0
"""What computes is chosen once, told in one line, and never needed: operators do all of it."""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
from cpu_isas import ISAS
from small_jobs import arrays, random_network, random_pairs, settings, training_way

import object2vec
from object2vec import resources
from object2vec.backend.mxnet_import import mx
from object2vec.compiled import library
from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.batching import Batch
from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import parse
from object2vec.inference.operator_inference import OperatorInference
from object2vec.inference.predictor import Predictor
from object2vec.model.model_directory import save_model
from object2vec.training.choose_way import choose_way, is_compiled_expected
from object2vec.training.loop import train
from object2vec.training.metric_lines import METRIC_DEFINITIONS

CPU, TWO, GPU = [mx.cpu(0)], [mx.cpu(0), mx.cpu(1)], [mx.gpu(0)]
PACKAGE = Path(object2vec.__file__).parent
JOB = {
    "enc0_max_seq_len": 5,
    "enc0_vocab_size": 20,
    "enc0_network": "bilstm",
    "enc0_token_embedding_dim": 4,
    "enc_dim": 8,
    "mlp_dim": 5,
    "epochs": 2,
    "_seed": 3,
}


@pytest.fixture
def usable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled part, or the test is skipped, whatever the variable says."""
    monkeypatch.delenv(library.VARIABLE, raising=False)
    reason = library.why_unusable()
    if reason is not None:
        pytest.skip(f"here the compiled part cannot be used: {reason}")


CHOICES: list[tuple[dict[str, Any], list[Any], Optional[str]]] = [
    ({}, CPU, None),
    ({"token_embedding_storage_type": "row_sparse", "weight_decay": 0.1}, CPU, None),
    ({"weight_decay": 0.1}, CPU, "with weight_decay, adam moves all rows of dense token tables"),
    ({"optimizer": "sgd"}, CPU, "has adam and adamw alone, and the optimizer is sgd"),
    ({"weight_decay": 0.1, "token_embedding_weight_decay": 0.0}, CPU, None),
    ({"token_embedding_weight_decay": 0.1}, CPU, "with weight_decay, adam moves all rows of dense"),
    ({"clip_gradient": 1.0}, CPU, "the compiled part does not clip gradients, and clip_gradient"),
    ({"learning_rate_schedule": "linear", "warmup_epochs": 1.0}, CPU, None),
    ({"optimizer": "adamw", "weight_decay": 0.1}, CPU, None),
    (
        {"optimizer": "adamw", "learning_rate": 1, "weight_decay": 0.6},
        CPU,
        "more than half of each",
    ),
    ({}, TWO, r"is for one CPU, and this trains on cpu\(0\), cpu\(1\)"),
    ({}, GPU, r"is for one CPU, and this trains on gpu\(0\)"),
]


@pytest.mark.parametrize(("given", "contexts", "reason"), CHOICES)
@pytest.mark.usefixtures("usable")
def test_the_choice(given: dict[str, Any], contexts: list[Any], reason: Optional[str]) -> None:
    choice = choose_way(settings(**given), contexts)
    assert choice.is_compiled == (reason is None)
    assert re.search(reason or "by the compiled part: adamw? on one CPU", choice.line)
    assert choice.level == logging.INFO
    if contexts is CPU:
        assert is_compiled_expected(settings(**given)) == choice.is_compiled
    assert not any(re.search(metric.regex, choice.line) for metric in METRIC_DEFINITIONS)


def test_the_variable_forces_operators(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setenv(library.VARIABLE, "0")
    choice = choose_way(settings(), CPU)
    assert (choice.is_compiled, choice.level) == (False, logging.INFO)
    assert choice.line.endswith("by MXNet's operators: OBJECT2VEC_COMPILED is 0.")
    assert not is_compiled_expected(settings())
    predictor = Predictor(random_network(settings(), rng))
    assert isinstance(predictor._inference, OperatorInference)
    assert not predictor.is_fallback
    assert predictor.way == "The model answers by MXNet's operators: OBJECT2VEC_COMPILED is 0."


@pytest.mark.parametrize("value", ["", "1"])
@pytest.mark.usefixtures("usable")
def test_the_variable_may_say_what_is_so_anyway(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(library.VARIABLE, value)
    assert choose_way(settings(), CPU).is_compiled


@pytest.mark.parametrize("value", ["no", "00", " 0", "2", "x" * 10_000])
def test_another_value_is_a_mistake(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.VARIABLE, value)
    for contexts in (CPU, GPU):
        with pytest.raises(CustomerError, match=r"^OBJECT2VEC_COMPILED='.* should be 0, ") as told:
            choose_way(settings(), contexts)
        assert len(str(told.value)) < 300


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("flags\t\t: fpu sse2 avx2 avx fma", None),
        ("flags\t\t: fpu sse2 avx", "this CPU has no AVX2 and no FMA"),
        ("flags\t\t: fpu avx2", "this CPU has no FMA"),
        ("", "this CPU has no AVX2 and no FMA"),
    ],
)
@pytest.mark.usefixtures("usable")
def test_an_old_cpu(
    flags: str, reason: Optional[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}\n", encoding="ascii")
    monkeypatch.setattr(resources, "_PROC", tmp_path)
    assert library.why_unusable() == reason
    choice = choose_way(settings(), CPU)
    assert choice.is_compiled == (reason is None)
    if reason is not None:
        assert choice.level == logging.WARNING
        assert choice.line.endswith(f": the compiled part cannot be used, for {reason}.")


@pytest.mark.usefixtures("usable")
def test_another_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert library.why_unusable() == "it is for x86_64, and this machine is aarch64"


@pytest.mark.usefixtures("usable")
def test_a_cpu_that_the_library_has_no_functions_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the kernel names other instructions than the library finds."""
    passed_over = ctypes.c_int.in_dll(library.load().loaded, "object2vec_isas_passed_over")
    monkeypatch.setattr(passed_over, "value", len(ISAS))
    found = library._loaded.__wrapped__()
    assert found == "it has functions for no instruction set of this CPU"


# A package without its extension, in processes of their own


@pytest.fixture(params=["missing", "broken"])
def without_extension(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Variables for a process that finds the package without an extension that can be loaded."""
    copy = tmp_path / "package" / "object2vec"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    if request.param == "broken":
        (copy / "compiled" / "_kernels.abi3.so").write_bytes(b"\x7fELF of nothing")
    others = {name: value for name, value in os.environ.items() if name != library.VARIABLE}
    return {**others, "PYTHONPATH": str(copy.parent)}


def run(environment: dict[str, str], *arguments: str, cwd: Path, text: str = "") -> Any:
    return subprocess.run(
        [sys.executable, "-m", "object2vec", *arguments],
        env=environment, cwd=cwd, input=text, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def write_job(folder: Path, rng: np.random.Generator) -> None:
    pairs = random_pairs(rng, 40, longest=5, vocab=20)
    lines = [
        json.dumps({"in0": in0.tolist(), "in1": in1.tolist(), "label": int(label)})
        for in0, in1, label in zip(pairs.in0, pairs.in1, pairs.labels)
    ]
    (folder / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "job.json").write_text(json.dumps(JOB), encoding="utf-8")


TRAIN = ("train", "--hyperparameters", "job.json", "--train", "train.jsonl", "--model-dir", "model")
PAIR = '{"in0": [1, 2], "in1": [3]}\n'


@pytest.mark.slow
def test_without_the_extension_operators_train_and_answer(
    without_extension: dict[str, str], tmp_path: Path, rng: np.random.Generator
) -> None:
    write_job(tmp_path, rng)
    done = run(without_extension, *TRAIN, cwd=tmp_path)
    log = done.stdout + done.stderr
    assert done.returncode == 0, log
    told = [line for line in log.splitlines() if "compiled part" in line]
    assert len(told) == 1 and told[0].startswith("WARNING: "), log
    assert "Training computes by MXNet's operators: the compiled part cannot be used" in told[0]
    command = ("predict", "--model-dir", "model")
    answer = run(without_extension, *command, cwd=tmp_path, text=PAIR)
    assert answer.returncode == 0, answer.stderr
    told = [line for line in answer.stderr.splitlines() if "compiled part" in line]
    assert len(told) == 1 and "The model answers by MXNet's operators: the compiled" in told[0]
    # what is installed here answers the same, and has nothing to tell
    as_usual = {**os.environ, library.VARIABLE: ""}
    expected = run(as_usual, *command, cwd=tmp_path, text=PAIR)
    assert expected.returncode == 0 and not expected.stderr
    scores = [json.loads(one.stdout)["scores"] for one in (answer, expected)]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "predict"])
def test_a_wrong_variable_ends_a_command_with_one_sentence(
    command: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    write_job(tmp_path, rng)
    save_model(tmp_path / "model", random_network(parse(JOB)[0], rng))
    arguments = TRAIN if command == "train" else ("predict", "--model-dir", "model")
    done = run({**os.environ, library.VARIABLE: "off"}, *arguments, cwd=tmp_path, text=PAIR)
    assert done.returncode == CustomerError.exit_code
    log = done.stdout + done.stderr
    assert "OBJECT2VEC_COMPILED='off' should be 0, which" in log
    assert "Traceback" not in log


# The lines of a training


@pytest.mark.parametrize(
    ("contexts", "store"),
    [
        (CPU, "none, for the gradients of one device need not be added up"),
        (TWO, "local"),
    ],
)
def test_the_store_is_told_as_it_is(
    contexts: list[Any], store: str, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="object2vec"):
        train(settings(epochs=1), random_pairs(rng, 8), contexts=contexts)
    lines = [record.getMessage() for record in caplog.records]
    assert f"Create Store: {store}" in lines
    assert sum(line.startswith("Training computes by ") for line in lines) == 1


# What a way holds and what it leaves behind

given_way = pytest.mark.parametrize("name", ["compiled", "operators"])


def held() -> int:
    """Moments and trainers that are there; counted without the garbage collector's help."""
    kinds = ("AdamState", "Trainer", "DeferredRows")
    return sum(type(one).__name__ in kinds for one in gc.get_objects())


@given_way
def test_a_released_way_holds_no_moments(name: str, rng: np.random.Generator) -> None:
    job = settings(enc0_network="hcnn", enc0_layers=1)
    network = random_network(job, rng)
    before = held()
    way = training_way(name, job, network)
    pairs = random_pairs(rng, 8)
    batch = Batch(pairs.in0, pairs.in1, pairs.labels, (12, 12))
    way.step(way.prepare(batch))
    way.flush()
    assert held() > before
    moved = arrays(network)
    way.release()
    assert held() == before
    # the network stays, and another way may follow
    for parameter, value in arrays(network).items():
        np.testing.assert_array_equal(value, moved[parameter])
    again = training_way(name, job, network)
    again.step(again.prepare(batch))
    again.flush()
    assert np.any(arrays(network)["embed_0_weight"] != moved["embed_0_weight"])


@given_way
def test_a_failure_while_a_batch_is_prepared_ends_the_training(
    name: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes from another thread, while steps are queued."""
    monkeypatch.setenv(library.VARIABLE, "" if name == "compiled" else "0")
    job = settings(enc0_network="bilstm", mini_batch_size=4)
    kind = type(training_way(name, job, random_network(job, rng)))
    prepare, batches = kind.prepare, []

    def fail_at_the_third(way: Any, batch: Batch) -> Any:
        batches.append(batch)
        if len(batches) == 3:
            raise MemoryError("no memory left for finding the rows in use")
        return prepare(way, batch)

    monkeypatch.setattr(kind, "prepare", fail_at_the_third)
    pairs = random_pairs(rng, 40)
    with pytest.raises(MemoryError, match="for finding the rows in use"):
        train(job, pairs)
    assert len(batches) == 3
    monkeypatch.undo()
    assert len(train(settings(epochs=1), pairs).history) == 1


@given_way
def test_what_is_behind_catches_up_at_a_flush(name: str, rng: np.random.Generator) -> None:
    """Rows that one batch alone looks up move on at `flush`, and end as in steps with all rows."""
    job = settings(enc0_network="pooled_embedding", learning_rate=0.01)
    network = random_network(job, rng)
    way = training_way(name, job, network)
    first, later = (
        Batch(pairs.in0, pairs.in1, pairs.labels, (3, 3))
        for pairs in (lists_of(tokens) for tokens in (range(0, 8), range(8, 16)))
    )
    way.step(way.prepare(first))
    mx.nd.waitall()
    seen = arrays(network)["embed_0_weight"]
    for _ in range(5):
        way.step(way.prepare(later))
    mx.nd.waitall()
    np.testing.assert_array_equal(arrays(network)["embed_0_weight"][:8], seen[:8])
    way.flush()
    moved = arrays(network)["embed_0_weight"]
    assert np.all(np.any(moved[:8] != seen[:8], axis=1))
    way.flush()
    np.testing.assert_array_equal(arrays(network)["embed_0_weight"], moved)


def lists_of(tokens: range) -> PairDataset:
    lists = TokenLists.from_lists([[token] for token in tokens])
    return PairDataset(lists, lists, np.ones(len(lists), np.float32))


@pytest.mark.usefixtures("usable")
@pytest.mark.parametrize("share", [0.0, 0.0001, 0.5, 0.999])
def test_a_library_that_is_cut_off(
    share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To load it would be the end of the process, by SIGBUS."""
    content = Path(library._extension_file()).read_bytes()
    path = tmp_path / "_kernels.abi3.so"
    path.write_bytes(content[: int(len(content) * share)])
    monkeypatch.setattr(library, "_extension_file", lambda: str(path))
    monkeypatch.setattr(library, "_loaded", library._loaded.__wrapped__)
    assert library.why_unusable() == "its file is cut off: install object2vec again"
    path.write_bytes(content)
    assert library.why_unusable() is None
