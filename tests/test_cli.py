# SPDX-License-Identifier: Apache-2.0
"""The command: options, help, exit codes; `validate` and `describe`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from object2vec import __version__
from object2vec.cli import main
from object2vec.hyperparameters.table import HYPERPARAMETERS
from tests.commands import OPTIONS, PAIRS, one_sentence, write_lines


def test_version_and_describe_need_no_mxnet() -> None:
    program = (
        "import sys; from object2vec.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "assert not {'mxnet', 'numpy'} & set(sys.modules)"
    )
    for argument, words in (("--version", __version__), ("describe", "SupportedHyperParameters")):
        done = subprocess.run(
            [sys.executable, "-c", program, argument], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert words in done.stdout


def test_describe_prints_what_lies_in_the_repository(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe"]) == 0
    described = json.loads(capsys.readouterr().out)
    names = [h["Name"] for h in described["TrainingSpecification"]["SupportedHyperParameters"]]
    assert names == [h.name for h in HYPERPARAMETERS]


@pytest.mark.parametrize(
    "command",
    ["prepare", "train", "validate", "tune", "predict", "evaluate", "describe", "demo"],
)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "exit codes:" in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_help_of_train_lists_every_hyperparameter(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert {h.name for h in HYPERPARAMETERS} <= set(lines)


def test_a_bare_call_shows_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 1
    assert "commands:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fly"], "invalid choice: 'fly'"),
        (["\x1b[2J" + "k" * 5000], "invalid choice: "),
        (["serve", "--model-dir", "m", "--port", "9" * 5000], "argument --port: '999"),
        (["validate", "--train", "x", "-p", "k" * 5000], "NAME=VALUE"),
        (["predict", "--model-dir", "m", "--content-type", "k" * 5000], "is not supported"),
        (["train", "--tarin", "x"], "--tarin"),
        (["predict"], "--model-dir"),
        (["train", "--train", "x"], "--model-dir is missing"),
        (["train", "--train", "x", "--base", "/b", "--model-dir", "m"], "exclude each other"),
        (["train", "--base", "/no/such/folder"], "/no/such/folder does not exist"),
        (["train", "-p", "epochs=1", "--validation", "x"], "--validation, -p can only be used"),
        (["validate", "--train", "x", "-p", "epochs"], "NAME=VALUE"),
        (["validate", "--train", "x", "--hyperparameters", "/no/file"], "Cannot read /no/file"),
        (["validate", "--train", "/no/file", *OPTIONS], "/no/file"),
        (["validate", "--train", "/no/file", *OPTIONS, "-p", "epochs=0"], "'epochs'"),
        (["predict", "--model-dir", "/no/model"], "/no/model"),
        (["predict", "--model-dir", "m", "--content-type", "text/html"], "application/jsonlines"),
        (["predict", "--model-dir", "m", "--accept", "text/csv"], "application/jsonlines"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_mistakes_end_in_one_sentence(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OBJECT2VEC_BASE", raising=False)
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert words in one_sentence(captured.err)
    assert captured.err.startswith("Customer Error: ") and len(captured.err) < 1000
    assert captured.err.strip().isprintable()


def test_the_base_may_come_from_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OBJECT2VEC_BASE", str(tmp_path))
    assert main(["train"]) == 1
    assert (tmp_path / "output/failure").read_text() == capsys.readouterr().err.strip()


@pytest.mark.parametrize(
    "text",
    ["{", "[1]", "", "[" * 100_000, '{"a": ' * 1000, '{"a": 1, "a": 2}', "9" * 5000],
    ids=lambda value: value[:20],
)
def test_a_broken_hyperparameter_file(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "h.json"
    file.write_text(text)
    assert main(["validate", "--train", "x", "--hyperparameters", str(file)]) == 1
    assert str(file) in one_sentence(capsys.readouterr().err)


def test_options_win_over_the_hyperparameter_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_lines(tmp_path / "pairs.jsonl", PAIRS)
    file = tmp_path / "h.json"
    file.write_text(json.dumps({"enc0_max_seq_len": 1, "enc0_vocab_size": 3, "enc_dim": 8}))
    command = ["validate", "--train", str(data), "--hyperparameters", str(file)]
    assert main(command) == 1
    assert "vocab_size=3" in capsys.readouterr().err
    assert main([*command, "-p", "enc0_vocab_size=5"]) == 0


def test_validate_says_what_it_found_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_lines(tmp_path / "pairs.jsonl", PAIRS)
    assert main(["validate", "--train", str(data), "--validation", str(data), *OPTIONS]) == 0
    out = capsys.readouterr().out
    assert "train: 25 pairs, 25 and 25 tokens, labels 0: 20, 1: 5" in out
    assert "validation: 25 pairs" in out
    assert list(tmp_path.iterdir()) == [data]


def test_hyperparameters_may_come_from_a_pipe(tmp_path: Path) -> None:
    data = write_lines(tmp_path / "pairs.jsonl", PAIRS)
    settings = {"enc0_max_seq_len": 1, "enc0_vocab_size": 5, "enc_dim": 8}
    (tmp_path / "h.json").write_text(json.dumps(settings, indent=3000))
    command = f"{sys.executable} -m object2vec validate --train {data}"
    done = subprocess.run(
        ["bash", "-c", f"{command} --hyperparameters <(cat {tmp_path}/h.json)"],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"are sound" in done.stdout
