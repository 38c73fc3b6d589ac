# SPDX-License-Identifier: Apache-2.0
"""The log for people: of `train` on the command line, and of `fit` with verbose."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path
from typing import Any

import pytest
from small_jobs import without_mxnets_line

from object2vec import Object2Vec
from object2vec.cli import main
from object2vec.errors import CustomerError
from object2vec.training.metric_lines import METRIC_DEFINITIONS
from tests.commands import one_sentence, write_lines

GIVEN: dict[str, Any] = {
    "enc0_max_seq_len": 1,
    "enc0_vocab_size": 20,
    "enc0_network": "pooled_embedding",
    "enc_dim": 8,
    "mlp_dim": 16,
    "mlp_activation": "relu",
    "learning_rate": 0.02,
    "epochs": 30,
    "early_stopping_patience": 1,
}
PAIRS = [
    {"in0": [a, 1], "in1": [b], "label": int((a < 10) == (b < 10))}
    for a in range(20)
    for b in range(20)
]
NUMBER = r"\d+\.\d*(?:e[+-]\d\d)?"
EPOCH = re.compile(
    rf"epoch (\d+): training cross_entropy {NUMBER}, accuracy {NUMBER}"
    rf"(?:; validation cross_entropy ({NUMBER}), accuracy {NUMBER})?"
    r"; [\d,]+ pairs/s(?:; (?:(best so far)|best: epoch (\d+)))?"
)
STAMPED = re.compile(r"\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d (INFO|WARNING) \d+\] ")


@pytest.fixture
def job(tmp_path: Path) -> list[str]:
    """The options of a job of named files."""
    files = {"train": PAIRS, "validation": PAIRS[::7], "test": PAIRS[::5]}
    paths = {name: write_lines(tmp_path / f"{name}.jsonl", rows) for name, rows in files.items()}
    given = [f"-p{name}={value}" for name, value in {**GIVEN, "_seed": 3}.items()]
    options = [text for name, path in paths.items() for text in (f"--{name}", str(path))]
    return ["train", *options, "--model-dir", str(tmp_path / "model"), *given]


def contract(base: Path, **given: Any) -> list[str]:
    """The same under SageMaker's contract."""
    for channel, rows in (("train", PAIRS), ("validation", PAIRS[::7])):
        folder = base / "input/data" / channel
        folder.mkdir(parents=True)
        write_lines(folder / "part.jsonl", rows)
    (base / "input/config").mkdir()
    values = {name: str(value) for name, value in {**GIVEN, **given}.items()}
    (base / "input/config/hyperparameters.json").write_text(json.dumps(values))
    return ["train", "--base", str(base)]


def test_a_last_epoch_that_is_kept_is_not_called_the_best(
    job: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where hard negatives make losses of epochs unlike, and there is no validation."""
    place = job.index("--validation")
    given = ("scorer=dot", "negative_sampling_rate=1", "hard_negative_share=0.5", "epochs=3")
    options = [*job[:place], *job[place + 2 :], *(f"-p{text}" for text in given)]
    assert main(options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("training goes on to its last epoch, which is kept." in line for line in lines)
    assert lines[-1].startswith("The model of epoch 2, the last one, is saved in ")


def test_a_line_an_epoch_tells_all_of_it(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(job) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    by = r"the compiled part|MXNet's operators"
    assert re.fullmatch(
        r"training on 400 pairs \(400 lists cut\), validating on 58 pairs \(58 lists cut\); "
        r"pooled_embedding and pooled_embedding of width 8, softmax; at most 30 epochs; cpu\(0\), "
        rf"by ({by}); seed 3",
        lines[0],
    )
    kept = json.loads(next((tmp_path / "model").glob("metrics*")).read_text())
    history, best = kept["history"], kept["best_epoch"]
    epochs = [EPOCH.fullmatch(line) for line in lines[1 : 1 + len(history)]]
    lowest = None
    for number, (match, told) in enumerate(zip(epochs, history)):
        assert match, lines[1 + number]
        assert int(match[1]) == number
        loss = told["validation_cross_entropy"]
        assert float(match[2]) == pytest.approx(loss, rel=1e-3)
        if lowest is None or loss < history[lowest]["validation_cross_entropy"]:
            lowest = number
            assert match[3] and not match[4]
        else:
            assert int(match[4]) == lowest
    assert lowest == best and len(history) < 30
    last = len(history) - 1
    assert lines[1 + len(history) :] == [
        f"stopped after epoch {last}: more than 1 epoch did not improve the loss by 0.01",
        lines[-2],
        f"The model of epoch {best}, the best one, is saved in {tmp_path}/model.",
    ]
    assert re.fullmatch(rf"test: cross_entropy {NUMBER}, accuracy {NUMBER}", lines[-2])
    assert captured.err == ""


def test_the_log_of_sagemaker_is_a_choice_with_named_files(
    job: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*job, "--log", "sagemaker"]) == 0
    out = capsys.readouterr().out
    assert not any(EPOCH.fullmatch(line) for line in out.splitlines())
    assert all(line.startswith("#metrics {") or STAMPED.match(line) for line in out.splitlines())
    found = {entry.name for entry in METRIC_DEFINITIONS if re.search(entry.regex, out)}
    metrics = {f"{split}:{m}" for split in ("train", "validation", "test")
               for m in ("cross_entropy", "accuracy")}  # fmt: skip
    assert found == metrics | {"train:progress", "train:throughput"}


@pytest.mark.slow
@pytest.mark.both_ways
@pytest.mark.parametrize("named", ["--base", "the variable"])
def test_the_contract_has_sagemakers_log_and_the_other_by_choice(
    named: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = contract(tmp_path)
    if named != "--base":
        monkeypatch.setenv("OBJECT2VEC_BASE", command.pop())
        command.pop()
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("#metrics {") or STAMPED.match(line) for line in lines)
    assert lines[-1].startswith("#metrics {")
    assert main([*command, "--log", "plain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("training on 400 pairs") and EPOCH.fullmatch(lines[1])
    assert lines[-1].endswith(f", the best one, is saved in {tmp_path}/model.")


def test_quiet_leaves_errors_alone(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*job, "--quiet"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, without_mxnets_line(captured.err)) == ("", "")
    assert (tmp_path / "model/model.json").is_file()
    assert main([*job, "--quiet", "-p", "learning_rate=7"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "'learning_rate'" in one_sentence(captured.err)


def test_quiet_under_the_contract_still_writes_the_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = contract(tmp_path, epochs=0)
    assert main([*command, "--quiet"]) == 1
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    assert " ERROR " in line and "'epochs'" in line
    assert (tmp_path / "output/failure").read_text() == one_sentence(captured.err).strip()


def test_warnings_are_told_to_people_too(
    job: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*job, "-p", "learning_rate=1e-6", "-p", "epochs=1"]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WARNING: ")]
    (line,) = [line for line in told if "little or nothing was learnt" in line]
    assert line.startswith("WARNING: The best validation loss, ")


@pytest.mark.parametrize("options", [["--log", "json"], ["--quiet", "--log", "plain"]], ids=str)
def test_wrong_options_are_told(
    options: list[str], job: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*job, *options]) == 1
    sentence = one_sentence(capsys.readouterr().err)
    assert "argument --log: " in sentence and "object2vec train --help" in sentence


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_the_command(job: list[str]) -> None:
    command = [sys.executable, "-m", "object2vec", *job]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        err = process.stderr.read().decode()
        assert process.wait(timeout=120) == 141
    assert without_mxnets_line(err) == ""


@pytest.mark.slow
def test_names_that_the_output_cannot_write_are_escaped(job: list[str], tmp_path: Path) -> None:
    model = os.fsencode(tmp_path) + b"/\xffn\xc3\xa4mlich\n1"
    command = [*map(os.fsencode, [sys.executable, "-m", "object2vec", *job]), b"--model-dir", model]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False)
    assert (done.returncode, without_mxnets_line(done.stderr.decode())) == (0, "")
    last = done.stdout.decode("ascii").splitlines()[-1]
    assert last.endswith(f"is saved in {tmp_path}/\\udcffn\\xe4mlich\\n1.")
    assert os.path.isfile(model + b"/model.json")


def in_terminal(*command: str) -> tuple[str, str]:
    """Standard output, and what a terminal shows of standard error."""
    reader, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 25, 120, 0, 0))
    shown: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            while True:
                shown.append(os.read(reader, 1 << 16))

    # a terminal holds little that nobody reads, and the command would wait for that
    thread = threading.Thread(target=read)
    thread.start()
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=terminal, timeout=240, check=False
        )
    finally:
        os.close(terminal)
        thread.join()
        os.close(reader)
    text = b"".join(shown).decode()
    assert done.returncode == 0, text
    return done.stdout.decode(), text


@pytest.mark.slow
def test_a_terminal_has_a_bar_beside_the_lines(job: list[str]) -> None:
    command = [sys.executable, "-m", "object2vec", *job]
    out, shown = in_terminal(*command)
    assert sum(bool(EPOCH.fullmatch(line)) for line in out.splitlines()) >= 3
    assert "Epoch 0:" in shown and "/400 [" in shown
    out, shown = in_terminal(*command, "--quiet")
    assert out == "" and "Epoch 0:" not in shown


# verbose of the class, what fit takes; whether there are lines, and a bar in a terminal
SHOWN: list[tuple[Any, dict[str, Any], bool, bool]] = [
    (None, {}, False, True),
    (0, {}, False, False),
    (1, {}, True, True),
    (True, {"progress": False}, True, False),
    (0, {"verbose": 1}, True, True),
    (1, {"verbose": False}, False, False),
    (0, {"progress": True}, False, True),
]
MARK = "=====\n"
FITS = f"""
import sys
from object2vec import Object2Vec
pairs = {PAIRS[:60]!r}
for verbose, fit, *_ in {SHOWN!r}:
    for stream in (sys.stdout, sys.stderr):
        print({MARK!r}, end="", file=stream, flush=True)
    Object2Vec(**{GIVEN!r}, seed=3, verbose=verbose).fit(pairs, pairs[::3], **fit)
"""


def parts(text: str) -> list[str]:
    return text.replace("\r\n", "\n").split(MARK)[1:]


@pytest.mark.slow
def test_what_verbose_shows_in_a_terminal() -> None:
    out, shown = in_terminal(sys.executable, "-W", "ignore", "-c", FITS)
    assert len(parts(out)) == len(parts(shown)) == len(SHOWN)
    for case, lines, bars in zip(SHOWN, parts(out), parts(shown)):
        assert any(EPOCH.fullmatch(line) for line in lines.splitlines()) == case[2], case
        assert (lines != "") == case[2], case
        assert ("Epoch 0:" in bars) == case[3], case


def test_without_a_terminal_verbose_is_a_line_an_epoch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = Object2Vec(**GIVEN, seed=3, verbose=1).fit(PAIRS[:60], PAIRS[::7], refit=True)
    captured = capsys.readouterr()
    assert without_mxnets_line(captured.err) == ""
    lines = captured.out.splitlines()
    epochs = [line for line in lines if EPOCH.fullmatch(line)]
    assert len(epochs) == len(model.history) + len(model.refit_history)
    assert sum(line.startswith("training on ") for line in lines) == 2
    assert model.best_epoch is not None
    count = f"{model.best_epoch + 1} epoch{'s' * (model.best_epoch > 0)}"
    anew = lines.index(f"epoch {model.best_epoch} is the best: anew, on all pairs, for {count}")
    assert f"; {count}; cpu(0)" in lines[anew + 1] and "validating" not in lines[anew + 1]
    assert not any("best" in line for line in lines[anew + 1 :])
    for given in ({}, {"verbose": 0}):
        Object2Vec(**{**GIVEN, "epochs": 1}, seed=3, **given).fit(PAIRS[:60])
        captured = capsys.readouterr()
        assert (captured.out, without_mxnets_line(captured.err)) == ("", "")


NOTEBOOK = """
import sys, types
# what a kernel of a notebook has, as far as tqdm.auto and we ask for it
kernel = types.SimpleNamespace(config={"IPKernelApp": {}})
sys.modules["IPython"] = types.ModuleType("IPython")
sys.modules["IPython"].get_ipython = lambda: kernel
"""


@pytest.mark.slow
def test_a_notebook_has_a_bar_as_a_terminal_has() -> None:
    """Where the widgets are missing tqdm.auto falls back to the bar of a terminal."""
    for program, seen in ((NOTEBOOK + FITS, True), (FITS, False)):
        command = [sys.executable, "-W", "ignore", "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
        for (_, fit, _, bar), bars in zip(SHOWN, parts(done.stderr)):
            assert ("Epoch 0:" in bars) == (bar and (seen or fit == {"progress": True}))


@pytest.mark.parametrize("verbose", [2, -1, "yes", 0.5, [1]], ids=str)
def test_other_values_of_verbose_are_refused(verbose: Any) -> None:
    words = "^verbose should be 0 for silence, 1 for a line an epoch, or None; found "
    with pytest.raises(CustomerError, match=words):
        Object2Vec(**GIVEN, verbose=verbose)
    with pytest.raises(CustomerError, match=words):
        Object2Vec(**GIVEN).fit(PAIRS, verbose=verbose)
