# SPDX-License-Identifier: Apache-2.0
"""The command: options, help, exit codes, predictions from files, pipes and standard input."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from object2vec import Object2Vec, __version__
from object2vec.cli import main
from object2vec.hyperparameters.checked import HYPERPARAMETERS

PAIRS = [{"in0": [a], "in1": [b], "label": int(a == b)} for a in range(5) for b in range(5)]
OPTIONS = [
    *("-p", "enc0_max_seq_len=1", "-p", "enc0_vocab_size=5", "-p", "enc_dim=4"),
    *("-p", "enc0_network=pooled_embedding", "-p", "epochs=1", "-p", "mlp_dim=4"),
]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    data = write_lines(folder / "pairs.jsonl", PAIRS)
    model = folder / "model"
    assert main(["train", "--train", str(data), "--model-dir", str(model), *OPTIONS]) == 0
    return model


def process(*arguments: str, **keywords: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "object2vec", *arguments],
        capture_output=True,
        timeout=120,
        check=False,
        **keywords,
    )


def one_sentence(text: str) -> str:
    assert len(text.strip().splitlines()) == 1
    assert "Traceback" not in text
    return text


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


@pytest.mark.parametrize("command", ["train", "validate", "predict", "describe", "demo"])
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
        (["predict", "--model-dir", "m", "--content-type", "text/csv"], "application/jsonlines"),
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


def test_predictions_equal_those_of_python(trained: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"in0": [1], "in1": [2], "label": 9},
        {"in0": [3]},
        {"in1": [4]},
        {"in0": [0], "in1": []},
    ]
    source, target = write_lines(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    arguments = ["--model-dir", str(trained), "--input", str(source), "--output", str(target)]
    assert main(["predict", *arguments]) == 0
    answers = [json.loads(line) for line in target.read_text().splitlines()]
    assert [list(answer) for answer in answers] == [
        ["scores"],
        ["embeddings"],
        ["embeddings"],
        ["scores"],
    ]
    model = Object2Vec.load(trained)
    scores = model.predict([([1], [2]), ([0], [])])
    np.testing.assert_allclose([answers[0]["scores"], answers[3]["scores"]], scores, atol=1e-6)
    np.testing.assert_allclose(answers[1]["embeddings"], model.embed(in0=[[3]])[0], atol=1e-6)
    np.testing.assert_allclose(answers[2]["embeddings"], model.embed(in1=[[4]])[0], atol=1e-6)


def test_json_in_and_lines_out_and_the_other_way(
    trained: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    request = tmp_path / "request.json"
    request.write_text('{"instances": [{"in0": [1], "in1": [2]}, {"in1": [2]}]}')
    command = ["predict", "--model-dir", str(trained), "--input", str(request)]
    assert main([*command, "--content-type", "application/json"]) == 0
    document = json.loads(capsysbinary.readouterr().out)
    assert [list(row) for row in document["predictions"]] == [["scores"], ["embeddings"]]
    accept = ["--content-type", "application/json", "--accept", "application/jsonlines"]
    assert main([*command, *accept]) == 0
    lines = capsysbinary.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == document["predictions"]
    packed = tmp_path / "lines.gz"
    packed.write_bytes(gzip.compress(b'{"in0": [1], "in1": [2]}\n{"in1": [2]}\n'))
    command[-1] = str(packed)
    assert main([*command, "--accept", "application/json"]) == 0
    assert json.loads(capsysbinary.readouterr().out) == document


def test_shorter_limits_cut_the_inputs(
    trained: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    source = write_lines(tmp_path / "in.jsonl", [{"in0": [1, 2], "in1": [3, 4]}])
    command = ["predict", "--model-dir", str(trained), "--input", str(source), "--content-type"]
    answers = {}
    for limits in ("1,1", "2,2"):
        assert main([*command, f"application/jsonlines; infer_max_seqlens={limits}"]) == 0
        answers[limits] = json.loads(capsysbinary.readouterr().out)["scores"]
    model = Object2Vec.load(trained)
    np.testing.assert_allclose(answers["1,1"], model.predict([([1], [3])])[0], atol=1e-6)
    assert answers["1,1"] != answers["2,2"]


def test_a_long_stream_through_real_pipes(trained: Path) -> None:
    rows = [{"in0": [i % 5], "in1": [i // 5 % 5]} for i in range(5000)]
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    done = process("predict", "--model-dir", str(trained), input=text)
    assert done.returncode == 0, done.stderr
    scores = np.array([json.loads(line)["scores"] for line in done.stdout.splitlines()])
    expected = Object2Vec.load(trained).predict(rows)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("source", "packed"),
    [("<(cat {0})", False), ("<(gzip -c {0})", True), ("/dev/stdin", False), ("pipe", True)],
    ids=["substitution", "gzip", "stdin", "named"],
)
def test_no_line_of_a_pipe_is_lost(
    trained: Path, tmp_path: Path, source: str, packed: bool
) -> None:
    rows = [{"in0": [i % 5], "in1": [i // 5 % 5]} for i in range(5000)]
    file, target = write_lines(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    command = f"{sys.executable} -m object2vec predict --model-dir {trained} --output {target}"
    writer = f"gzip -c {file}" if packed else f"cat {file}"
    if source == "pipe":
        os.mkfifo(tmp_path / "pipe")
        script = f"{writer} >{tmp_path}/pipe & {command} --input {tmp_path}/pipe"
    elif source == "/dev/stdin":
        script = f"{writer} | {command} --input {source}"
    else:
        script = f"{command} --input {source.format(file)}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    scores = np.array([json.loads(line)["scores"] for line in target.read_text().splitlines()])
    np.testing.assert_allclose(scores, Object2Vec.load(trained).predict(rows), atol=1e-6)


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


def test_each_line_is_answered_when_it_comes(trained: Path) -> None:
    command = [sys.executable, "-m", "object2vec", "predict", "--model-dir", str(trained)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as talk:
        assert talk.stdin is not None and talk.stdout is not None
        for line in (b'{"in0": [1]}\n', b'{"in0": [1], "in1": [2]}\n'):
            talk.stdin.write(line)
            talk.stdin.flush()
            assert json.loads(talk.stdout.readline())
        talk.stdin.close()
        assert talk.wait(timeout=60) == 0


def test_a_bad_line_is_named_and_no_half_output_is_left(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_lines(tmp_path / "in.jsonl", [{"in0": [1]}, {"in0": [5]}])
    target = tmp_path / "out.jsonl"
    arguments = ["--model-dir", str(trained), "--input", str(source), "--output", str(target)]
    assert main(["predict", *arguments]) == 1
    sentence = one_sentence(capsys.readouterr().err)
    assert 'Vocab id "5" is not less than vocab_size=5 (line 2)' in sentence
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"in0,in1\n1,50\n1,71\n", "this looks like CSV: write each row as one JSON object a line"),
        (b"PAR1\x15\x04", "this looks like Parquet: "),
        (b"{'in0': [1]}\n", "is written as Python prints it, in single quotes; JSON has double"),
    ],
    ids=["csv", "parquet", "dicts"],
)
def test_an_input_of_another_format_is_named(
    content: bytes,
    words: str,
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = tmp_path / "input"
    source.write_bytes(content)
    assert main(["predict", "--model-dir", str(trained), "--input", str(source)]) == 1
    assert words in one_sentence(capsys.readouterr().err)


@pytest.mark.parametrize("damage", ["cut", "broken", "sum"])
def test_a_damaged_gzip_input_is_told_in_one_sentence(
    trained: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = gzip.compress(b'{"in0": [1]}\n' * 9)
    source = tmp_path / "in.gz"
    source.write_bytes(
        {
            "cut": packed[:-9],
            "broken": packed[:10] + b"\xff" * 20,
            "sum": packed[:-8] + b"\0" * 8,
        }[damage]
    )
    assert main(["predict", "--model-dir", str(trained), "--input", str(source)]) == 1
    sentence = one_sentence(capsys.readouterr().err)
    assert sentence.startswith(f"Customer Error: The gzip file {source} is damaged")


@pytest.mark.parametrize(("name", "option"), [("stdin", "--input"), ("stdout", "--output")])
def test_a_closed_stream_is_told_in_one_sentence(
    name: str,
    option: str,
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = ["predict", "--model-dir", str(trained)]
    if name == "stdout":
        arguments += ["--input", str(write_lines(tmp_path / "in.jsonl", [{"in0": [1]}]))]
    with monkeypatch.context() as patched:
        patched.setattr(sys, name, None)
        code = main(arguments)
    assert code == 1
    assert option in one_sentence(capsys.readouterr().err)


def test_the_name_of_standard_output_is_no_file_to_replace(trained: Path, tmp_path: Path) -> None:
    target, link = tmp_path / "out.jsonl", tmp_path / "stdout"
    # As /dev/stdout is, in a folder where a mistake does no harm.
    link.symlink_to("/proc/self/fd/1")
    target.write_text("what was there\n")
    with target.open("ab") as stream:
        command = [sys.executable, "-m", "object2vec", "predict", "--model-dir", str(trained)]
        done = subprocess.run(
            [*command, "--output", str(link)],
            input=b'{"in0": [1]}\n',
            stdout=stream,
            stderr=subprocess.PIPE,
            timeout=120,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")
    first, answer = target.read_text().splitlines()
    assert first == "what was there"
    assert "embeddings" in json.loads(answer)
    assert link.is_symlink()


def test_numbers_that_are_not_finite_are_no_prediction(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from object2vec.inference.predictor import Predictor
    from object2vec.model.model_directory import save_model

    predictor = Predictor.load(trained)
    for parameter in predictor.network.params.values():
        parameter.set_data(parameter.data() * 0 + 1e38)
    save_model(tmp_path / "model", predictor.network)
    asked = write_lines(tmp_path / "ask.jsonl", [{"in0": [1], "in1": [2]}])
    output = tmp_path / "answers.jsonl"
    arguments = ["--model-dir", str(tmp_path / "model"), "--input", str(asked)]
    assert main(["predict", *arguments, "--output", str(output)]) == 1
    assert "does not give finite numbers" in one_sentence(capsys.readouterr().err)
    assert not output.exists()


def test_the_originals_model_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model_algo-1").write_bytes(b"\x00")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    assert main(["predict", "--model-dir", str(tmp_path)]) == 1
    assert "not published" in one_sentence(capsys.readouterr().err)


def test_a_reader_that_goes_away_is_no_error_of_ours(trained: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "object2vec", "predict", "--model-dir", str(trained)],
        input=b'{"in0": [1]}\n',
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=120,
        check=False,
    )
    os.close(write)
    assert done.returncode == 141
    assert done.stderr == b""
