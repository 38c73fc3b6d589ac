# SPDX-License-Identifier: Apache-2.0
"""Files of vectors: what each format's own reader makes of them; names; full disks; the command."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas
import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest
from gensim.models import KeyedVectors

from object2vec import Object2Vec
from object2vec.cli import main
from object2vec.errors import CustomerError, PlatformError
from object2vec.export.vectors import Vectors

NAMES = ["Heat", "Star Wars (1977)", "naïve café", "tab\there", "two\nlines", "nul\0", "-1e5", "ö"]
WORDS = ["Heat", "Star_Wars_(1977)", "naïve_café", "tab_here", "two_lines", "nul_"]
PLAIN = [name for name in NAMES if name.isprintable() and " " not in name]
ROWS = [{"user": f"u {n % 5}", "film": f"Film {n % 7}", "stars": n % 3} for n in range(60)]


@pytest.fixture(scope="module")
def model() -> Object2Vec:
    model = Object2Vec(enc_dim=6, epochs=1, seed=1, mini_batch_size=20)
    return model.fit(ROWS, in0="user", in1="film", label="stars")


@pytest.fixture(scope="module")
def model_dir(model: Object2Vec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "model"
    model.save(folder)
    return folder


def vectors_of(names: list[str], rng: np.random.Generator) -> Vectors:
    """Values of all sizes that a float32 may have."""
    values = rng.normal(size=(len(names), 5)) * 10.0 ** rng.integers(-30, 30, (len(names), 5))
    values[0, :3] = (0, -0.0, 3.4028235e38)
    return Vectors("in1", names, values.astype(np.float32))


def word2vec_text(path: Path) -> tuple[list[str], np.ndarray]:
    """As gensim's reader takes it apart."""
    header, *lines = path.read_bytes().split(b"\n")[:-1]
    count, width = map(int, header.split())
    cells = [line.decode().rstrip().split(" ") for line in lines]
    values = np.array([[np.float32(cell) for cell in row[1:]] for row in cells])
    assert values.shape == (count, width)
    return [row[0] for row in cells], values


def word2vec_binary(path: Path) -> tuple[list[str], np.ndarray]:
    header, _, rest = path.read_bytes().partition(b"\n")
    count, width = map(int, header.split())
    names, rows = [], []
    for _ in range(count):
        name, _, rest = rest.partition(b" ")
        names.append(name.decode())
        rows.append(np.frombuffer(rest[: 4 * width], "<f4"))
        rest = rest[4 * width :]
    assert rest == b""
    return names, np.stack(rows)


def npy(path: Path) -> tuple[list[str], np.ndarray]:
    lines = path.with_suffix(".names.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines], np.load(path, allow_pickle=False)


def projector(path: Path) -> tuple[list[str], np.ndarray]:
    names = path.with_suffix(".metadata.tsv").read_text(encoding="utf-8").split("\n")[:-1]
    table = pandas.read_csv(path, sep="\t", header=None, dtype=np.float32)
    return names, table.to_numpy()


def parquet(path: Path) -> tuple[list[str], np.ndarray]:
    frame = pandas.read_parquet(path)
    return frame["name"].tolist(), np.stack(frame["embedding"].tolist())


def arrow(path: Path) -> tuple[list[str], np.ndarray]:
    with pyarrow.memory_map(str(path)) as source:
        table = pyarrow.ipc.open_file(source).read_all()
        flat = table["embedding"].combine_chunks().flatten().to_numpy().copy()
        return table["name"].to_pylist(), flat.reshape(table.num_rows, -1)


READERS = {
    "v.txt": word2vec_text, "v.vec": word2vec_text, "v.bin": word2vec_binary, "v.npy": npy,
    "v.tsv": projector, "v.parquet": parquet, "v.arrow": arrow, "v.feather": arrow,
}  # fmt: skip


@pytest.mark.parametrize("name", READERS)
def test_values_are_read_back_bit_by_bit(
    name: str, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("object2vec.export.vectors._BLOCK_BYTES", 60)  # three rows
    given = vectors_of([*PLAIN, "last"], rng)
    given.save(tmp_path / name)
    names, values = READERS[name](tmp_path / name)
    assert names == given.names
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values.view(np.int32), given.vectors.view(np.int32))
    # nothing else is left, such as a temporary file
    assert len(list(tmp_path.iterdir())) == 1 + (name in ("v.npy", "v.tsv"))


@pytest.mark.parametrize("name", ["v.txt", "v.bin"])
def test_gensim_reads_equal_values(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    given = vectors_of(NAMES, rng)
    given.save(tmp_path / name)
    found = KeyedVectors.load_word2vec_format(str(tmp_path / name), binary=name == "v.bin")
    assert found.index_to_key == [*WORDS, *NAMES[6:]]
    np.testing.assert_array_equal(found.vectors, given.vectors)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("v.txt", WORDS),
        ("v.bin", WORDS),
        ("v.tsv", ["Heat", "Star Wars (1977)", "naïve café", "tab here", "two lines", "nul "]),
        ("v.npy", NAMES[:6]),
        ("v.parquet", NAMES[:6]),
        ("v.arrow", NAMES[:6]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_names_come_as_the_format_takes_them(
    name: str, wanted: list[str], tmp_path: Path, rng: np.random.Generator
) -> None:
    vectors_of(NAMES, rng).save(tmp_path / name)
    assert READERS[name](tmp_path / name)[0] == [*wanted, *NAMES[6:]]


def test_half_a_pair_of_surrogates_becomes_a_question_mark(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    given = vectors_of(["a\ud800", "b"], rng)
    for name, read in READERS.items():
        given.save(tmp_path / name)
        assert read(tmp_path / name)[0] == ["a?", "b"]


def test_names_that_would_be_one_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    given = vectors_of(["a b", "c", "a_b"], rng)
    with pytest.raises(CustomerError, match="'a b' and 'a_b' would both be 'a_b' in the format wo"):
        given.save(tmp_path / "v.txt")
    assert list(tmp_path.iterdir()) == []
    given.save(tmp_path / "v.npy")


def test_a_frame_has_the_names_as_its_index(model: Object2Vec) -> None:
    found = model.vectors("in1")
    frame = found.to_pandas()
    assert frame.index.tolist() == found.names and frame.index.name == "name"
    np.testing.assert_array_equal(frame.to_numpy(), found.vectors)
    assert frame.columns.tolist() == list(range(6))


@pytest.mark.parametrize(
    ("path", "format", "sentence"),
    [
        ("v.xyz", None, "tells no format: end it as one of word2vec (.txt, .vec)"),
        ("v", None, "tells no format"),
        ("v.txt", "hdf5", "The format must be one of word2vec (.txt, .vec), "),
        ("no/v.txt", None, "no/v.txt cannot be written: the folder"),
        ("folder", "npy", "folder cannot be written: it is a folder."),
        ("/dev/null", "npy", "/dev/null cannot be written: it is no regular file."),
        ("taken.npy", None, "taken.names.jsonl cannot be written: it is a folder."),
        ("/proc/v.npy", None, "/proc/v.npy cannot be written to: "),
    ],
    ids=lambda value: "" if value is None else value[:12],
)
def test_a_target_that_cannot_be_is_refused_at_once(
    path: str, format: str, sentence: str, tmp_path: Path, model: Object2Vec
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "taken.names.jsonl").mkdir()
    with pytest.raises(CustomerError) as raised:
        model.save_vectors(tmp_path / path, "in1", format=format)
    assert sentence in str(raised.value)
    assert sorted(os.listdir(tmp_path)) == ["folder", "taken.names.jsonl"]


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may have more than 20,000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", READERS)
@pytest.mark.usefixtures("small_disk")
def test_where_writing_fails_the_older_file_stays(
    name: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    (tmp_path / name).write_text("older")
    given = vectors_of([str(n) for n in range(5000)], rng)
    with pytest.raises(CustomerError, match="cannot be written to: File too large; name another"):
        given.save(tmp_path / name)
    assert (tmp_path / name).read_text() == "older"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["v.txt", "v.npy", "v.parquet"])
def test_a_full_disk_is_the_machines_fault(
    name: str, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = vectors_of(PLAIN, rng)
    real = os.fsync

    def full(handle: int) -> None:
        if os.fstat(handle).st_size not in (0, 4096):  # not the probe
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PlatformError, match="No space is left on the disk of "):
        given.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_files_of_a_pair_are_never_of_two_ages(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors_of(["a"], rng).save(tmp_path / "v.npy")
    real, seen = os.replace, []

    def watched(source: Path, target: Path) -> None:
        seen.append(sorted(path.name for path in tmp_path.iterdir() if path.name[0] != "."))
        real(source, target)

    monkeypatch.setattr(os, "replace", watched)
    vectors_of(["b", "c"], rng).save(tmp_path / "v.npy")
    assert seen == [[], ["v.npy"]]
    assert npy(tmp_path / "v.npy")[0] == ["b", "c"]


def test_streaming_writes_the_same_bytes(
    model: Object2Vec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("object2vec.export.vectors._BLOCK_BYTES", 60)
    for name in READERS:
        model.vectors("in1").save(tmp_path / f"whole-{name}")
        assert model.save_vectors(tmp_path / name, "in1") == 7
        assert (tmp_path / name).read_bytes() == (tmp_path / f"whole-{name}").read_bytes()


def test_the_command_embeds_a_vocabulary_and_a_table(
    model: Object2Vec, model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "films.parquet"
    command = ["embed", "--model-dir", str(model_dir), "--side", "in1", "--output", str(output)]
    assert main(command) == 0
    assert f"Wrote the embeddings of 7 objects of in1 to {output}." in capsys.readouterr().err
    found, wanted = parquet(output), model.vectors("in1")
    assert found[0] == wanted.names
    np.testing.assert_array_equal(found[1], wanted.vectors)
    table = tmp_path / "titles.csv"
    table.write_text("film;title\nFilm 3;Third\nFilm 0;Zeroth\n")
    given = ["--input", str(table), "--name", "title", "--separator", ";", "--format", "npy"]
    assert main([*command, *given]) == 0
    (output.with_name("films.parquet.names.jsonl")).rename(output.with_suffix(".names.jsonl"))
    names, values = npy(output)
    assert names == ["Third", "Zeroth"]
    np.testing.assert_array_equal(values, model.embed(in1=["Film 3", "Film 0"]))


@pytest.mark.parametrize(
    ("more", "code", "sentence"),
    [
        (["--output", "v.what"], 1, "tells no format"),
        (["--output", "no/v.npy"], 1, "no/v.npy cannot be written: the folder"),
        (["--output", "v.npy", "--input", "none.csv"], 1, "There is no table none.csv"),
        (["--output", "v.npy", "--model-dir", "none"], 1, "none"),
        (["--output", "v.npy", "--side", "in2"], 1, "invalid choice: 'in2'"),
    ],
    ids=["format", "folder", "input", "model", "side"],
)
def test_the_command_names_a_mistake_in_one_line(
    more: list[str], code: int, sentence: str, model_dir: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["embed", "--model-dir", str(model_dir), "--side", "in1", *more]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Customer Error: ") and sentence in line
    assert list(tmp_path.iterdir()) == []


def test_a_missing_pyarrow_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pyarrow'] = None; from object2vec.cli import main\n"
        "sys.exit(main(['embed', '--model-dir', 'm', '--side', 'in0', '--output', 'v.arrow']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert "pip install 'object2vec[table]'" in done.stderr and "Traceback" not in done.stderr
