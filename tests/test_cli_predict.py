# SPDX-License-Identifier: Apache-2.0
"""`object2vec predict`: predictions from files, pipes and standard input."""

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

from object2vec import Object2Vec
from object2vec.cli import main
from tests.commands import OPTIONS, PAIRS, one_sentence, process, write_lines


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    data = write_lines(folder / "pairs.jsonl", PAIRS)
    model = folder / "model"
    assert main(["train", "--train", str(data), "--model-dir", str(model), *OPTIONS]) == 0
    return model


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


@pytest.mark.slow
def test_a_long_stream_through_real_pipes(trained: Path) -> None:
    rows = [{"in0": [i % 5], "in1": [i // 5 % 5]} for i in range(5000)]
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    done = process("predict", "--model-dir", str(trained), input=text)
    assert done.returncode == 0, done.stderr
    scores = np.array([json.loads(line)["scores"] for line in done.stdout.splitlines()])
    expected = Object2Vec.load(trained).predict(rows)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
