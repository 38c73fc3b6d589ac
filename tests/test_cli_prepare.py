# SPDX-License-Identifier: Apache-2.0
"""`object2vec prepare`: channels of tables, and the command that it prints to train on them."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shlex
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from shell_examples import ROOT, blocks, examples

from object2vec import Object2Vec
from object2vec.cli import main
from object2vec.data.arrays import TokenLists
from object2vec.inference.predictor import Predictor
from object2vec.prepare.delimited import Layout
from object2vec.prepare.splits import Split
from object2vec.prepare.table_choice import TableChoice
from object2vec.prepare.write_channels import write_channels
from object2vec.raw_values.encode_values import encode_side
from object2vec.raw_values.inputs_file import read_inputs
from tests.commands import here, one_sentence, process, write_table

# `process` or, sooner, `here`
Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The rows of table.jsonl and table.csv in the current folder."""
    monkeypatch.chdir(tmp_path)
    return write_table()


def prepare(*arguments: str, run: Run = here) -> tuple[str, str]:
    """Run it, and give the command that it prints, and what it says."""
    done = run("prepare", *arguments, "--output", "channels")
    said = done.stderr.decode()
    assert done.returncode == 0, said
    return done.stdout.decode(), said


def run_printed(command: str, *more: str, run: Run = here) -> str:
    """Type the command into a shell as it was printed."""
    typed = " ".join([command.rstrip("\n"), *more])
    if run is process:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = in_shell(typed, PATH=path)
    else:
        words = in_shell(f'object2vec() {{ printf "%s\\0" "$@"; }}\n{typed}').stdout
        done = here(*words.decode().split("\0")[:-1])
    log = done.stdout.decode()
    assert done.returncode == 0, log + done.stderr.decode()
    assert "is replaced by" not in log and "were cut" not in log, log
    return log


def in_shell(script: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["sh", "-e", "-c", script],
        env={**os.environ, **variables}, capture_output=True, timeout=300, check=False,
    )  # fmt: skip


def predicted(in0: TokenLists, in1: TokenLists, run: Run = here) -> list[Any]:
    """What `object2vec predict` answers to pairs of ids."""
    lines = [
        json.dumps({"in0": in0[row].tolist(), "in1": in1[row].tolist()}) for row in range(len(in0))
    ]
    done = run("predict", "--model-dir", "model", input=("\n".join(lines) + "\n").encode())
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["scores"] for line in done.stdout.splitlines()]


CASES: dict[str, tuple[list[str], dict[str, str], int]] = {
    "ratings": (
        ["--in0", "user,age", "--in1", "film", "--in1", "genres", "--label", "rating",
         "--validation", "0.2", "--test", "0.1", "--preset", "ratings"],
        {"output_layer": "mean_squared_error", "enc0_max_seq_len": "7", "enc1_max_seq_len": "8",
         "enc0_network": "pooled_embedding", "enc1_network": "pooled_embedding"},
        1,
    ),
    "text and classes": (
        ["--in0", "plot", "--in1", "genres", "--label", "liked", "--split", "user", "--by", "user"],
        {"output_layer": "softmax", "num_classes": "2", "enc0_max_seq_len": "6",
         "enc0_network": "pooled_embedding", "enc1_network": "pooled_embedding"},
        2,
    ),
    "numbers 0 and 1": (
        ["--in0", "user", "--in1", "film", "--label", "seen"],
        {"output_layer": "softmax", "num_classes": "2"},
        2,
    ),
    "ratings as classes": (
        ["--in0", "user", "--in1", "film", "--label", "rating", "--label-kind", "class"],
        {"output_layer": "softmax", "num_classes": "5"},
        5,
    ),
    "positive pairs": (
        ["--in0", "user", "--in1", "genres", "--explode", "genres", "--validation", "0.2"],
        {"output_layer": "in_batch_softmax", "scorer": "dot", "negative_sampling_rate": "0"},
        1,
    ),
    "tied texts": (
        ["--in0", "plot", "--in1", "film", "--kind", "film=text", "--label", "seen", "--tied"],
        {"tied_token_embedding_weight": "True", "enc0_vocab_size": "30", "enc1_vocab_size": "30"},
        2,
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.both_ways
@pytest.mark.parametrize("case", CASES)
@pytest.mark.timeout(400)
def test_the_printed_command_trains(case: str, table: list[dict[str, Any]]) -> None:
    arguments, wanted, scores = CASES[case]
    run = process if case == "ratings" else here
    command, said = prepare("--input", "table.csv", *arguments, run=run)
    assert "Rows read: 200." in said
    assert said.count("Recipe ") == 1
    # what follows from inputs.json and the recipe is left to them
    assert "-p" not in shlex.split(command)
    # so that the defaults' widths and epochs do not take minutes
    narrow = ["-p", "epochs=1", "-p", "enc_dim=16"]
    if "scorer" not in wanted:  # the others have no MLP
        narrow += ["-p", "mlp_dim=8"]
    run_printed(command, *narrow, run=run)
    inputs = read_inputs("channels/auxiliary/inputs.json")
    trained = Predictor.load("model")
    settings = trained.hyperparameters.to_dict()
    assert {name: str(settings[name]) for name in wanted} == wanted
    assert trained.inputs == inputs
    sides = [
        encode_side(
            inputs, name,
            [
                {c.name: row[c.name].split("|")[0] if c.explode else row[c.name]
                 for c in inputs.side(name).columns}
                for row in table[:9]
            ],
        )
        for name in ("in0", "in1")
    ]  # fmt: skip
    if case == "positive pairs":
        assert "--validation" in command
    answers = predicted(*sides, run=run)
    assert [len(answer) for answer in answers] == [scores] * len(sides[0])
    pairs = [(sides[0][row].tolist(), sides[1][row].tolist()) for row in range(len(sides[0]))]
    expected = Object2Vec.load("model").predict(pairs)
    np.testing.assert_allclose(np.squeeze(answers), np.squeeze(expected), atol=1e-6)


# that one command makes the same model, and what it learns, tests/test_cli_train_tables.py holds
@pytest.mark.full
@pytest.mark.timeout(400)
def test_movielens(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, test = (data_dir.resolve() / "ml-100k" / name for name in ("ua.base", "ua.test"))
    monkeypatch.chdir(tmp_path)
    columns = ["--no-header", "--in0", "0", "--in1", "1", "--label", "2"]
    options = [*columns, "--validation", "0.1", "--seed", "3"]
    command, said = prepare("--input", str(base), *options, run=process)
    assert "Rows read: 90,570." in said
    run_printed(command, "-p", "_seed=1", run=process)
    rows = np.loadtxt(test, np.int64)[:, :3]
    inputs = read_inputs("channels/auxiliary/inputs.json")
    lists = [encode_side(inputs, f"in{side}", rows[:, side].tolist()) for side in (0, 1)]
    error = np.mean((np.array(predicted(*lists, run=process))[:, 0] - rows[:, 2]) ** 2)
    # each person's mean is 1.09 off
    assert error < 0.95


def test_options_are_those_of_python(table: list[dict[str, Any]], tmp_path: Path) -> None:
    rows = "".join(f"{r['user']};{r['age']};{r['genres']};{r['plot']}\n" for r in table)
    Path("a.txt").write_text(rows.replace("u3", "ü3"), encoding="latin-1")
    Path("b.txt").write_text("new;7;War;Two CATS\n")
    prepare(
        *("--input", "a.txt", "b.txt", "--no-header", "--no-quotes", "--encoding", "latin-1"),
        *("--separator", ";", "--in0", "0,1,3", "--in1", "2", "--kind", "1=number"),
        *("--kind", "3=text", "--bins", "1=10,20.5,40", "--repeat", "0=3"),
        *("--tag-separator", "2=|", "--min-count", "3=1", "--min-count", "2", "--max-size", "0=5"),
        *("--keep-case", "--max-length", "7", "--split", "leave-one-out", "--time", "1"),
        *("--test", "0.1", "--validation", "0.1"),
    )
    common = {"min_count": 2, "lower": False}
    write_channels(
        tmp_path / "python",
        ["a.txt", "b.txt"],
        TableChoice(
            in0=[
                {"name": "0", "repeat": 3, "max_size": 5, **common},
                {"name": "1", "kind": "number", "bins": [10.0, 20.5, 40.0], **common},
                {"name": "3", "kind": "text", **common, "min_count": 1},
            ],
            in1={"name": "2", "separator": "|", **common},
            max_length=7,
            split=Split("leave_one_out", 0.1, 0.1, by="0", time="1"),
            layout=Layout(";", quotes=False, encoding="latin-1", header=False),
        ),
    )
    written = sorted(path.relative_to("python") for path in Path("python").rglob("*.json*"))
    assert len(written) == 4
    for path in written:
        assert ("channels" / path).read_bytes() == ("python" / path).read_bytes()


def test_the_same_table_in_any_format_gives_the_same_channels(table: list[dict[str, Any]]) -> None:
    frame = pd.read_csv("table.csv")
    frame.to_csv("table.tsv.gz", sep="\t", index=False)
    frame.to_parquet("table.parquet")
    Path("folder").mkdir()
    frame[:90].to_parquet("folder/a")
    frame[90:].to_csv("folder/b", index=False)
    found = set()
    for source in ("table.csv", "table.jsonl", "table.tsv.gz", "table.parquet", "folder"):
        options = ["--in0", "user,age", "--in1", "film", "--label", "liked", "--test", "0.2"]
        prepare("--input", source, *options)
        files = ("train/train.jsonl", "test/test.jsonl", "auxiliary/inputs.json")
        found.add(tuple(Path("channels", file).read_bytes() for file in files))
    ((train, test, _),) = found
    assert train.count(b"\n") + test.count(b"\n") == len(table)


GOOD = ["--input", "table.csv", "--in0", "user", "--in1", "film"]
MISTAKES: dict[str, tuple[Sequence[str], str]] = {
    "column": (["--label", "raing"], "'raing', which table.csv does not have (the nearest is"),
    "file": (["--input", "none.csv"], "There is no table none.csv"),
    "device": (["--input", "/dev/null"], "must be a file or a folder"),
    "side": (["--in0", "user,,age"], "--in0 must name columns"),
    "open quote": (["--in0", '"age'], "--in0 must name columns"),
    "two lines": (["--in0", "a\nb"], "--in0 must name columns"),
    "twice": (["--in0", "user"], '--in0 names the column "user" twice'),
    "kind": (["--kind", "film=word"], "--kind of the column"),
    "no kind": (["--kind", "text"], "must have the form COLUMN=VALUE, as in --kind user="),
    "other column": (["--kind", "plot=text"], "plot, which is none of in0 and in1"),
    "exploded": (["--explode", "plot"], "plot, which is none of in0 and in1"),
    "count": (["--min-count", "many"], "--min-count must be a whole number, found many"),
    "two kinds": (
        ["--kind", "film=text", "--kind", "film=id"],
        "--kind must say one thing of the column film, found text and id.",
    ),
    "two counts": (
        ["--min-count", "2", "--min-count", "user=1", "--min-count", "3"],
        "--min-count must say one thing of all columns, found 2 and 3.",
    ),
    "two tokenizers": (
        ["--tokenizer", "film=a.json", "--tokenizer", "film=b.json"],
        "--tokenizer must say one thing of the column film, found a.json and b.json.",
    ),
    "bins": (["--bins", "user=1,x"], "--bins must be a whole number, or edges"),
    "share": (["--validation", "1.5"], "must be between 0 and 1"),
    "no share": (["--test", "some"], "is no share of the rows"),
    "no time": (["--split", "time"], "--split time needs --time"),
    "useless time": (["--time", "time"], "--time can only be used together with --split,"),
    "useless by": (["--by", "user", "--test", "0.1"], "--by can only be used together with"),
    "seed": (["--test", "0.1", "--seed", "-1"], "seed of a split must be an integer from 0"),
    "length": (["--max-length", "0"], "--max-length must be an integer from 1 to 5000"),
    "encoding": (["--encoding", "utf-9"], "--encoding must be one that Python knows"),
    "empty split": (["--validation", "1e-9"], "falls to validation"),
    "preset": (["--preset", "ratings"], "but in0 is id, in1 is id and there are no labels: take"),
    "unknown preset": (["--preset", "rating"], "(the nearest is 'ratings')"),
    "tied": (["--tied", "--in1", "plot"], "Tied sides share vocabularies"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.usefixtures("table")
def test_a_mistake_is_one_sentence_and_writes_nothing(
    mistake: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, words = MISTAKES[mistake]
    before = sorted(Path().rglob("*"))
    assert main(["prepare", *GOOD, *arguments, "--output", "new/channels"]) == 1
    found = capsys.readouterr()
    assert words in one_sentence(found.err)
    assert found.out == ""
    assert sorted(Path().rglob("*")) == before


@pytest.mark.usefixtures("table")
def test_files_of_another_table_are_not_mixed_in(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["prepare", *GOOD, "--output", "channels"]
    assert main([*command, "--validation", "0.2"]) == 0
    written = Path("channels/validation/validation.jsonl").read_bytes()
    assert main([*command, "--validation", "0.2"]) == 0
    assert Path("channels/validation/validation.jsonl").read_bytes() == written
    capsys.readouterr()
    train = Path("channels/train/train.jsonl").read_bytes()
    assert main(command) == 1
    assert "channels/validation holds validation.jsonl already" in one_sentence(
        capsys.readouterr().err
    )
    Path("channels/train/more.jsonl").write_text('{"in0": [1], "in1": [1], "label": 1}\n')
    assert main([*command, "--validation", "0.3"]) == 1
    assert "channels/train holds more.jsonl already" in one_sentence(capsys.readouterr().err)
    assert Path("channels/train/train.jsonl").read_bytes() == train


@pytest.mark.parametrize("source", [".", "channels/train/train.jsonl"])
def test_a_table_is_not_written_over(
    source: str, table: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("channels/train").mkdir(parents=True)
    Path("channels/train/train.jsonl").write_text(Path("table.jsonl").read_text())
    Path("table.csv").unlink()
    command = ["prepare", "--input", source, *GOOD[2:], "--output", "channels"]
    assert main(command) == 1
    assert "channels/train/train.jsonl lies in the table" in one_sentence(capsys.readouterr().err)
    assert len(Path("channels/train/train.jsonl").read_text().splitlines()) == len(table)


@pytest.mark.parametrize("source", ["pipe", "loop", "/dev/stdin", "/dev/null", "none.csv"])
@pytest.mark.timeout(60)
def test_each_of_several_inputs_is_a_file_or_a_folder(
    source: str, table: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo("pipe")
    Path("loop").symlink_to("loop")
    command = ["prepare", "--input", "table.csv", source, *GOOD[2:], "--output", "channels"]
    assert main(command) == 1
    assert source in one_sentence(capsys.readouterr().err)
    assert not Path("channels").exists()
    Path("folder").mkdir()
    Path("table.jsonl").rename("folder/table.jsonl")
    assert main([*command[:3], "folder", *command[4:]]) == 0
    assert f"Rows read: {2 * len(table)}." in capsys.readouterr().err


@pytest.mark.usefixtures("table")
def test_an_output_of_links_in_a_circle(capsys: pytest.CaptureFixture[str]) -> None:
    Path("loop").symlink_to("loop")
    assert main(["prepare", *GOOD, "--output", "loop"]) == 1
    assert "loop cannot be written to" in one_sentence(capsys.readouterr().err)


@pytest.mark.parametrize("taken", ["train/train.jsonl", "test/test.jsonl", "auxiliary/inputs.json"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
@pytest.mark.usefixtures("table")
def test_what_is_no_file_is_not_replaced(
    make: Any, taken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["prepare", *GOOD, "--test", "0.2", "--output", "channels"]
    assert main(command) == 0
    target = Path("channels", taken)
    target.unlink()
    make(target)
    before = {path: path.read_bytes() for path in Path("channels").rglob("*.js*") if path.is_file()}
    assert len(before) == 2
    capsys.readouterr()
    assert main([*command, "--max-size", "3"]) == 1
    assert f"channels/{taken} is no file" in one_sentence(capsys.readouterr().err)
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.usefixtures("table")
def test_inputs_come_to_their_place_last(monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["prepare", *GOOD, "--test", "0.2", "--output", "channels"]
    assert main(command) == 0
    before = Path("channels/auxiliary/inputs.json").read_bytes()
    replace = os.replace

    def refuse(source: Path, target: Path) -> None:
        if target.name == "train.jsonl":
            raise PermissionError(13, "Permission denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    assert main([*command, "--max-size", "3"]) == 1
    assert Path("channels/auxiliary/inputs.json").read_bytes() == before
    monkeypatch.undo()


@pytest.mark.usefixtures("table")
def test_standard_error_may_be_closed() -> None:
    command = [sys.executable, "-m", "object2vec", "prepare", *GOOD, "--output", "channels"]
    shell = ["sh", "-c", f"{shlex.join(command)} 2>&-"]
    done = subprocess.run(shell, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("object2vec train --train channels/train ")


@pytest.mark.usefixtures("table")
def test_passes_have_a_bar_in_a_terminal() -> None:
    reader, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 25, 100, 0, 0))
    command = [sys.executable, "-m", "object2vec", "prepare", *GOOD, "--output", "channels"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, check=False)
    os.close(terminal)
    said = b""
    while True:
        try:
            said += os.read(reader, 1 << 16)
        except OSError:  # the other end is closed
            break
    os.close(reader)
    assert done.returncode == 0
    assert done.stdout.startswith(b"object2vec train --train channels/train ")
    assert b"Count: " in said and b"Encode: " in said and b"Rows read: 200." in said


def test_help_needs_neither_mxnet_nor_pyarrow() -> None:
    code = (
        "import sys; from object2vec.cli import main\n"
        "try: main(['prepare', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'mxnet', 'numpy', 'pyarrow', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "object2vec[table]" in done.stdout


@pytest.mark.usefixtures("table")
def test_a_missing_pyarrow_is_named() -> None:
    code = (
        "import sys; sys.modules['pyarrow'] = None; from object2vec.cli import main\n"
        f"code = main(['prepare', *{GOOD}, '--output', 'channels'])\n"
        "assert 'mxnet' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'object2vec[table]'" in one_sentence(done.stderr)
    assert not Path("channels").exists()


@pytest.mark.usefixtures("table")
def test_the_page_embeds_raw_values() -> None:
    Path("table.csv").rename("ratings.csv")
    (command,) = (c for c in examples()["docs/tables.md"] if "train --train ratings.csv" in c)
    small = ["-p", "epochs=1", "-p", "enc_dim=16"]
    assert main([*shlex.split(command.replace("\\\n", " "))[1:], *small]) == 0
    text = (ROOT / "docs/tables.md").read_text(encoding="utf-8")
    (code,) = (block for block in blocks(text, "py") if "embed" in block)
    names: dict[str, Any] = {}
    exec(code, names)  # the page's own text
    lists = encode_side(names["model"].inputs, "in1", [{"film": "Heat", "genres": "Crime|Drama"}])
    # an unknown film, as often as the recipe for ratings asks, of two known genres
    ids = lists[0].tolist()
    first_genre = names["model"].inputs.first_ids("in1")[1]
    assert ids[:6] == 6 * [0] and len(ids) == 8 and min(ids[6:]) > first_genre
    np.testing.assert_array_equal(names["vectors"], names["model"].embed(in1=[ids]))
