# SPDX-License-Identifier: Apache-2.0
"""A whole training job under the contract: log, files, signals and exit codes."""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
from small_jobs import without_mxnets_line

from object2vec.cli import main
from object2vec.errors import (
    EXIT_INTERRUPTED,
    AlgorithmError,
    CustomerError,
    PlatformError,
    failure_text,
)
from object2vec.interruption import checkpoint
from object2vec.job import job_inputs
from object2vec.job.job_inputs import Job
from object2vec.job.stop_request import StopRequest
from object2vec.job.training_job import explained, run
from object2vec.sagemaker.environment import Environment
from object2vec.training.metric_lines import METRIC_DEFINITIONS

LINE = re.compile(r"\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d (INFO|WARNING|ERROR) \d+\] ")
END_SECONDS = 120  # for a job to end, on a busy machine too
SETTINGS = {
    "enc0_max_seq_len": "3",
    "enc0_vocab_size": "20",
    "enc0_network": "pooled_embedding",
    "enc_dim": "8",
    "mlp_dim": "8",
    "mlp_activation": "relu",
    "learning_rate": "0.01",
    "epochs": "2",
    "_seed": "1",
}


def pairs(count: int, rng: np.random.Generator, length: int = 1) -> str:
    """Pairs whose label says whether both objects are of the same half of the vocabulary."""
    lines = []
    for _ in range(count):
        first, second = rng.integers(0, 20, 2).tolist()
        label = int((first < 10) == (second < 10))
        lines.append(json.dumps({"in0": [first] * length, "in1": [second], "label": label}))
    return "\n".join(lines) + "\n"


def build(
    base: Path,
    rng: np.random.Generator,
    *,
    channels: tuple[str, ...] = ("train", "validation", "test"),
    count: int = 200,
    length: int = 1,
    **settings: Any,
) -> None:
    files = {
        "config/hyperparameters.json": json.dumps({**SETTINGS, **settings}),
        "config/inputdataconfig.json": json.dumps(
            {name: {"ContentType": "application/jsonlines"} for name in channels}
        ),
        "config/resourceconfig.json": json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]}),
        **{f"data/{name}/part-0.jsonl": pairs(count, rng, length) for name in channels},
    }
    for name, content in files.items():
        path = base / "input" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@contextlib.contextmanager
def started(
    base: Path, *, direct: bool = False, **keywords: Any
) -> Iterator[subprocess.Popen[str]]:
    """A job of the folder, or one that names the folder's files directly; killed if a test fails
    before it ended."""
    given = ["--base", str(base)]
    if direct:
        given = ["--model-dir", f"{base}/model"]
        given += ["--hyperparameters", f"{base}/input/config/hyperparameters.json"]
        for channel in os.listdir(base / "input/data"):
            given += [f"--{channel}", f"{base}/input/data/{channel}"]
    with subprocess.Popen(
        [sys.executable, "-m", "object2vec", "train", *given],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **keywords,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def wait_for(process: subprocess.Popen[str], words: str) -> str:
    """Read the log up to a line that holds `words`."""
    assert process.stdout is not None
    seen = []
    for text in process.stdout:
        seen.append(text)
        if words in text:
            return "".join(seen)
    raise AssertionError("".join(seen) + process.communicate(timeout=END_SECONDS)[1])


@pytest.mark.parametrize("output_layer", ["softmax", "mean_squared_error"])
def test_a_job_trains_and_every_metric_is_in_its_log(
    tmp_path: Path,
    rng: np.random.Generator,
    capsys: pytest.CaptureFixture[str],
    output_layer: str,
) -> None:
    build(tmp_path, rng, output_layer=output_layer)
    assert main(["train", "--base", str(tmp_path)]) == 0
    log = capsys.readouterr().out
    assert (tmp_path / "model/model.json").is_file()
    assert not (tmp_path / "output").exists()
    metrics = {
        "softmax": ("cross_entropy", "accuracy"),
        "mean_squared_error": ("mean_squared_error",),
    }[output_layer]
    wanted = {f"{split}:{m}" for split in ("train", "validation", "test") for m in metrics}
    found = {d.name for d in METRIC_DEFINITIONS if re.search(d.regex, log)}
    assert found == wanted | {"train:progress", "train:throughput"}


def test_the_log_has_the_lines_of_the_original(
    tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    build(tmp_path, rng, channels=("train", "validation", "sm_drivers"), length=5, enc1_layers="2")
    assert main(["train", "--base", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    for line in lines:
        if line.startswith("#metrics "):
            assert json.loads(line[len("#metrics ") :])["Dimensions"]["Algorithm"] == "ObjectToVec"
        else:
            assert LINE.match(line), line
    text = "\n".join(lines)
    folder = tmp_path / "input/data"
    for words in (
        "Reading default configuration",
        f"Merging with provided configuration from {tmp_path}/input/config/hyperparameters.json",
        "Setting token embedding dim to be 8",
        "Final configuration: {'enc0_max_seq_len': 3",
        "Ignoring the channel 'sm_drivers'",
        f"Creating data iterator for {folder}/train",
        f"Creating data iterator for {folder}/validation",
        "One or more sequences have been truncated because they exceeded max_seq_len",
        "Source words: 600",
        "Target words: 200",
        "0 sentence pairs discarded",
    ):
        assert words in text
    # One line a channel, however many lists were cut.
    assert text.count("have been truncated") == 2
    assert text.index("Final configuration") < text.index("Creating data iterator")


@pytest.mark.parametrize(
    ("name", "channels", "warned"),
    [
        ("validation:cross_entropy", ("train",), True),
        ("validation:cross_entropy", ("train", "test"), True),
        ("test:accuracy", ("train", "validation"), True),
        ("validation:accuracy", ("train", "validation"), False),
        ("test:accuracy", ("train", "test"), False),
        ("train:accuracy", ("train",), False),
        ("train:progress", ("train",), False),
    ],
)
@pytest.mark.parametrize("command", ["train", "validate"])
def test_an_objective_metric_without_its_channel_is_warned_of(
    tmp_path: Path,
    rng: np.random.Generator,
    capsys: pytest.CaptureFixture[str],
    command: str,
    name: str,
    channels: tuple[str, ...],
    warned: bool,
) -> None:
    build(tmp_path, rng, channels=channels, count=9, epochs="1", _tuning_objective_metric=name)
    assert main([command, "--base", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    log = captured.out if command == "train" else captured.err
    there = ", ".join(channels)
    sentence = (
        f"The objective metric {name} is never reported without the channel "
        f"{name.split(':')[0]!r}; channels of the job: {there}."
    )
    assert (sentence in log) == warned
    assert log.count("never reported") == warned
    if warned and command == "train":
        assert log.index(sentence) < log.index("Creating data iterator")


def test_channels_of_other_names_are_told_with_the_right_one(
    tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    build(tmp_path, rng, channels=("train", "val", "training", "code", "aux"), epochs="1")
    assert main(["validate", "--base", str(tmp_path)]) == 0
    said = capsys.readouterr().err
    assert "WARNING" in said
    assert "Ignoring the channel 'val': Object2Vec does not use it (did you mean 'val" in said
    assert "Ignoring the channel 'aux': Object2Vec does not use it (did you mean 'aux" in said
    assert "'training'" not in said and "'code'" not in said  # nothing to be warned of


@pytest.mark.parametrize(
    ("channels", "told"),
    [
        (("training", "validation"), "validation, training (rename training to train)."),
        (("Train",), "Train (rename Train to train)."),
        (
            ("train_data", "training"),
            "train_data, training (rename one of train_data, training to train).",
        ),
        (("val", "sm_drivers"), "channels of the job: sm_drivers, val."),
        ((), "channels of the job: none."),
    ],
)
@pytest.mark.parametrize("configured", [True, False])
def test_without_the_train_channel_those_that_are_there_are_named(
    tmp_path: Path,
    rng: np.random.Generator,
    capsys: pytest.CaptureFixture[str],
    channels: tuple[str, ...],
    told: str,
    configured: bool,
) -> None:
    build(tmp_path, rng, channels=channels)
    if not configured:
        (tmp_path / "input/config/inputdataconfig.json").unlink()
    assert main(["train", "--base", str(tmp_path)]) == 1
    failure = (tmp_path / "output/failure").read_text()
    assert failure.startswith("Customer Error: The channel 'train' is missing, which holds ")
    assert failure.strip().endswith(told)


@pytest.mark.parametrize("vectors", [False, True])
@pytest.mark.parametrize("tied", ["false", "true"])
def test_a_vocabulary_with_an_id_outside_the_table_trains_and_serves(
    tmp_path: Path,
    rng: np.random.Generator,
    capsys: pytest.CaptureFixture[str],
    vectors: bool,
    tied: str,
) -> None:
    given = {"enc0_vocab_file": "vocab.json", "tied_token_embedding_weight": tied}
    if vectors:
        given["enc0_pretrained_embedding_file"] = "vectors.txt"
    build(tmp_path, rng, channels=("train", "auxiliary"), epochs="1", **given)
    folder = tmp_path / "input/data/auxiliary"
    words = {f"w{token}": token for token in range(18)}
    (folder / "vocab.json").write_text(json.dumps({**words, "<unk>": 20}))
    (folder / "vectors.txt").write_text("w3 1 2 3 4 5 6 7 8\n<unk> 1 1 1 1 1 1 1 1\n")
    assert main(["train", "--base", str(tmp_path)]) == 0
    log = capsys.readouterr().out
    assert log.count("Left out of the vocabulary vocab.json: 1 word whose ids") == 1
    assert 'such as "<unk>" with the id 20; ids are integers from 0 to 19' in log
    stored = json.loads((tmp_path / "model/model.json").read_text())["vocabularies"]
    assert {side for side, name in stored.items() if name} == {"in0", "in1"}
    for name in stored.values():
        kept = json.loads((tmp_path / "model" / name).read_text())
        assert kept["token_to_idx"] == words
    body = tmp_path / "body.jsonl"
    body.write_text('{"in0": [19], "in1": [3]}\n{"in1": [3]}\n')
    answers = tmp_path / "answers.jsonl"
    given_files = ["--input", str(body), "--output", str(answers)]
    assert main(["predict", "--model-dir", str(tmp_path / "model"), *given_files]) == 0
    scores, embedding = map(json.loads, answers.read_text().splitlines())
    assert np.isfinite(scores["scores"]).all() and len(embedding["embeddings"]) == 8
    if vectors:
        assert embedding["embeddings"] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_an_id_outside_the_table_in_the_data_is_refused_whatever_the_vocabulary_holds(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    build(tmp_path, rng, channels=("train", "auxiliary"), enc0_vocab_file="vocab.json")
    (tmp_path / "input/data/auxiliary/vocab.json").write_text('{"sun": 0, "<unk>": 20}')
    line = '{"label": 1, "in0": [20], "in1": [1]}\n'
    (tmp_path / "input/data/train/part-0.jsonl").write_text(line)
    assert main(["train", "--base", str(tmp_path)]) == 1
    failure = (tmp_path / "output/failure").read_text()
    assert 'Vocab id "20" is not less than vocab_size=20' in failure


def test_one_of_something_is_written_so(
    tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    build(tmp_path, rng, channels=("train",), count=1, length=5, enc0_network="bilstm")
    assert main(["validate", "--base", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("in0: bilstm, 1 layer, 20 tokens")
    assert "\ntrain: 1 pair, 3 and 1 token, 1 sequence cut, labels" in said


def test_a_failure_keeps_the_first_reason_of_a_job(tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    environment.write_failure("The cause.")
    environment.write_failure("What came of it.")
    assert environment.failure_file.read_text() == "The cause."


def test_a_loss_that_is_not_finite_is_the_users_to_mend(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    build(
        tmp_path,
        rng,
        channels=("train",),
        output_layer="mean_squared_error",
        mlp_activation="linear",
        optimizer="sgd",
        learning_rate="1",
        epochs="20",
    )
    data = tmp_path / "input/data/train/part-0.jsonl"
    sound = data.read_text()
    data.write_text(sound.replace('"label": 1', '"label": 1e30'))
    assert main(["train", "--base", str(tmp_path)]) == 1
    assert "a label or a pretrained vector" in (tmp_path / "output/failure").read_text()
    data.write_text(sound.replace('"label": 1', '"label": 1e9'))
    assert main(["train", "--base", str(tmp_path)]) == 1
    assert "learning_rate" in (tmp_path / "output/failure").read_text()


def test_a_failure_does_not_outlive_the_next_job(tmp_path: Path, rng: np.random.Generator) -> None:
    build(tmp_path, rng, channels=("train",), epochs="1")
    (tmp_path / "output").mkdir(exist_ok=True)
    (tmp_path / "output/failure").write_text("Customer Error: what an earlier job left.")
    assert main(["train", "--base", str(tmp_path)]) == 0
    assert not (tmp_path / "output/failure").exists()


def test_a_fault_of_ours_says_so_and_leaves_the_traceback_to_the_log(
    tmp_path: Path,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(*_args: Any, **_keywords: Any) -> None:
        raise KeyError("boom")

    build(tmp_path, rng, channels=("train",))
    monkeypatch.setattr(job_inputs, "read_channel", broken)
    assert main(["train", "--base", str(tmp_path)]) == 2
    failure = (tmp_path / "output/failure").read_text()
    assert failure == "Algorithm Error: KeyError: 'boom'"
    captured = capsys.readouterr()
    assert "Traceback" in captured.out
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (MemoryError(), PlatformError, "memory"),
        (OSError(errno.ENOSPC, "No space left on device", "/m/x"), PlatformError, "/m/x"),
        (PermissionError(errno.EACCES, "Permission denied", "/m"), PlatformError, "/m cannot be"),
        (CustomerError("mine"), CustomerError, "mine"),
        (AlgorithmError("ours"), AlgorithmError, "ours"),
        (OSError("odd"), OSError, "odd"),
        (ValueError("odd"), ValueError, "odd"),
    ],
)
def test_what_errors_are_explained_as(error: Exception, kind: type, words: str) -> None:
    known = explained(error)
    assert type(known) is kind
    assert words in failure_text(known)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cudaMalloc retry failed: out of memory", "memory"),
        ("std::bad_alloc", "memory"),
        ("Check failed: fwrite(ptr) == size: FileStream.Write incomplete", "disk"),
    ],
)
def test_what_the_machine_refuses_mxnet_is_not_our_fault(text: str, words: str) -> None:
    from object2vec.backend.mxnet_import import mx

    known = explained(mx.base.MXNetError(text))
    assert isinstance(known, PlatformError)
    assert words in str(known)
    other = mx.base.MXNetError("Check failed: shape")
    assert explained(other) is other


@pytest.mark.parametrize("command", ["train", "validate"])
def test_a_model_folder_that_is_a_file_is_found_before_the_data_are_read(
    command: str, tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    build(tmp_path, rng, channels=("train",))
    model, data = tmp_path / "model", tmp_path / "input/data/train/part-0.jsonl"
    model.write_text("a file where the folder should be")
    data.write_text("no pair\n")
    sentence = f"Customer Error: {model} is a file, not a folder; name a folder for the model."
    assert main([command, "--base", str(tmp_path)]) == 1
    assert capsys.readouterr().err == sentence + "\n"
    if command == "train":
        assert (tmp_path / "output/failure").read_text() == sentence
    given = [f"-p{name}={value}" for name, value in SETTINGS.items()]
    assert main([command, "--train", str(data), "--model-dir", str(data), *given]) == 1
    assert f"--model-dir {data} is a file, not a folder" in capsys.readouterr().err
    assert data.read_text() == "no pair\n"


def test_a_job_of_named_files_ends_with_the_place_of_its_model(
    tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    build(tmp_path, rng, channels=("train",))
    data, model = tmp_path / "input/data/train/part-0.jsonl", tmp_path / "of" / "mine"
    given = [f"-p{name}={value}" for name, value in SETTINGS.items()]
    assert main(["train", "--train", str(data), "--model-dir", str(model), *given]) == 0
    best = json.loads(next(model.glob("metrics*")).read_text())["best_epoch"]
    saved = f"The model of epoch {best}, the best one, is saved in {model}."
    assert capsys.readouterr().out.splitlines()[-1] == saved
    direct = ["train", "--train", str(data), "--model-dir", str(model), "--log", "sagemaker"]
    assert main([*direct, *given]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"] {saved}")
    assert main(["train", "--base", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("#metrics {")


@pytest.mark.parametrize("command", ["train", "validate"])
def test_the_look_at_the_model_folder_leaves_nothing(
    command: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    data, model = tmp_path / "train.jsonl", tmp_path / "of" / "a" / "model"
    data.write_text(pairs(5, rng) + "no pair\n")
    given = [f"-p{name}={value}" for name, value in SETTINGS.items()]
    assert main([command, "--train", str(data), "--model-dir", str(model), *given]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["train.jsonl"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "name"), [(signal.SIGTERM, 0, "SIGTERM"), (signal.SIGINT, 130, "Ctrl-C")]
)
def test_a_signal_keeps_the_best_model_and_ends_well(
    number: int, code: int, name: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    # six epochs of two thousand steps at least: it does not stop early before the signal comes
    given = {"epochs": "100", "early_stopping_patience": "5", "learning_rate": "1e-6"}
    build(tmp_path, rng, **given, mini_batch_size="2")
    lines = pairs(4000, rng)
    (tmp_path / "input/data/train/part-0.jsonl").write_text(lines)
    with started(tmp_path) as process:
        wait_for(process, "completed 1.0 % of epochs")
        process.send_signal(number)
        out, err = process.communicate(timeout=END_SECONDS)
    assert process.returncode == code, err
    assert f"Stopped by {name}; the model is saved in {tmp_path / 'model'}" in out
    assert not (tmp_path / "output/failure").exists()
    model = json.loads((tmp_path / "model/model.json").read_text())
    assert model["complete"] is True


@pytest.mark.slow
def test_sigterm_in_the_first_epoch_saves_what_there_is_and_marks_it(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    build(tmp_path, rng, channels=("train",), mini_batch_size="1")
    (tmp_path / "input/data/train/part-0.jsonl").write_text(pairs(60000, rng))
    with started(tmp_path) as process:
        wait_for(process, "Epoch: 0, batches: 100,")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 0, err
    assert json.loads((tmp_path / "model/model.json").read_text())["complete"] is False


def test_sigterm_while_the_data_are_read_saves_nothing(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    build(tmp_path, rng, channels=("train",))
    # a few megabytes that hold so many pairs that their reading does not come to its end
    train = tmp_path / "input/data/train/part-0.jsonl"
    train.write_bytes(1_000 * gzip.compress(train.read_bytes() * 2_000))
    with started(tmp_path) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Creating data iterator" in line:
                break
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 0, err
    assert "nothing was saved" in out
    assert not (tmp_path / "model").exists()
    assert not (tmp_path / "output/failure").exists()


def wait_in_blocks() -> None:
    """As long reading does, which asks between its blocks whether it shall go on."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        checkpoint()
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, EXIT_INTERRUPTED)]
)
def test_signals_while_reading_end_the_job_and_are_given_back(number: int, code: int) -> None:
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    failures: list[str] = []

    def read_job() -> Job:
        os.kill(os.getpid(), number)
        wait_in_blocks()
        raise AssertionError("the signal should have ended the reading")

    assert run(read_job, failures.append) == code
    assert failures == []
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_stop_only_remembers_until_a_second_ctrl_c() -> None:
    stop = StopRequest()
    with stop.listening():
        assert not stop()
        os.kill(os.getpid(), signal.SIGINT)
        deadline = time.monotonic() + 60
        while not stop() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)


def test_a_job_in_another_thread_leaves_the_signals_alone() -> None:
    codes: list[Optional[int]] = []
    failures: list[str] = []

    def read_job() -> Job:
        raise CustomerError("not this time")

    thread = threading.Thread(target=lambda: codes.append(run(read_job, failures.append)))
    thread.start()
    thread.join(timeout=60)
    assert codes == [1]
    assert failures == ["Customer Error: not this time"]


def hold_back_sigterm() -> None:
    """In a child: it comes when there is someone to take it, not while the interpreter starts."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def test_sigterm_before_the_first_import_saves_nothing(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    build(tmp_path, rng, channels=("train",))
    with started(tmp_path, preexec_fn=hold_back_sigterm) as process:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=END_SECONDS)
    assert (process.returncode, err) == (0, "")
    assert "Stopped by SIGTERM before the training began: nothing was saved." in out
    assert "Number of GPUs" not in out
    assert sorted(os.listdir(tmp_path)) == ["input"]


@pytest.mark.slow
def test_sigterm_while_the_interpreter_goes_down_changes_nothing(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    build(tmp_path, rng, channels=("train",))
    program = (
        "import atexit, os, signal, sys\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGTERM)\n"
        f"sys.argv = ['object2vec', 'train', '--base', {str(tmp_path)!r}]\n"
        "from object2vec.__main__ import main\n"
        "sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, without_mxnets_line(done.stderr)) == (0, "")
    assert json.loads((tmp_path / "model/model.json").read_text())["complete"] is True
    assert not (tmp_path / "output").exists()


def test_what_a_signal_made_of_an_interrupted_step_is_no_failure() -> None:
    failures: list[str] = []

    def read_job() -> Job:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            wait_in_blocks()
        except BaseException as error:
            raise RuntimeError("Error calling __set_name__") from error
        raise AssertionError("the signal should have ended the reading")

    assert run(read_job, failures.append) == 0
    assert failures == []


def test_a_signal_whose_exception_is_lost_still_ends_the_reading() -> None:
    failures: list[str] = []

    def read_job() -> Job:
        with contextlib.suppress(BaseException):
            os.kill(os.getpid(), signal.SIGTERM)
            wait_in_blocks()
        raise CustomerError("the rest of the reading")

    assert run(read_job, failures.append) == 0
    assert failures == []


def test_a_signal_while_a_failure_is_told_changes_nothing_of_it() -> None:
    failures: list[str] = []

    def read_job() -> Job:
        raise CustomerError("a real one")

    def report(text: str) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
        failures.append(text)

    assert run(read_job, report) == 1
    assert failures == ["Customer Error: a real one"]


@pytest.mark.slow
@pytest.mark.parametrize("direct", [False, True], ids=["base", "train"])
def test_sigterm_at_any_moment_is_no_failure(
    tmp_path: Path, rng: np.random.Generator, direct: bool
) -> None:
    build(tmp_path, rng, mini_batch_size="50", learning_rate="1e-6")
    end, length, runs = time.monotonic() + 12, 0.0, 0
    while time.monotonic() < end or runs < 4:
        base = tmp_path / str(runs)
        shutil.copytree(tmp_path / "input", base / "input")
        began = time.monotonic()
        with started(base, direct=direct, preexec_fn=hold_back_sigterm) as process:
            if runs:  # the first one measures
                time.sleep(rng.uniform(0, 1.05 * length))
                process.send_signal(signal.SIGTERM)
                if runs % 2:
                    time.sleep(rng.uniform(0, 0.1))
                    process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=END_SECONDS)
        length = length or time.monotonic() - began
        assert (process.returncode, without_mxnets_line(err)) == (0, ""), out
        assert not (base / "output").exists()
        manifest = base / "model/model.json"
        assert manifest.exists() != ("nothing was saved" in out), out
        if manifest.exists():
            model = json.loads(manifest.read_text())
            assert {*model["files"], "model.json"} == set(os.listdir(base / "model"))
            assert model["complete"] is ("marked as incomplete" not in out)
        runs += 1
