# SPDX-License-Identifier: Apache-2.0
"""model.tar.gz: loaded as it is, without trusting what it says of itself, and nothing left."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mms_server import PATIENCE, clean_environment, free_port, serving, wait_for
from small_jobs import random_network, settings

from object2vec import Object2Vec
from object2vec.cli import main
from object2vec.errors import CustomerError, PlatformError
from object2vec.inference.predictor import Predictor
from object2vec.model import model_directory
from object2vec.model.model_files import check_model, model_manifest

Write = Callable[[tarfile.TarFile], None]


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    model_directory.save_model(
        tmp_path / "model", random_network(settings(), rng), metrics={"a": 1}
    )
    return tmp_path / "model"


def packed(folder: Path, *options: str, name: str = "model.tar.gz") -> Path:
    """An archive as people make it: by tar."""
    target = folder.parent / name
    subprocess.run(["tar", "caf", str(target), *options], check=True, cwd=folder.parent)
    return target


def handmade(folder: Path, *changes: Write, prefix: str = "") -> Path:
    """An archive of all files of a model, and of what `changes` add."""
    with tarfile.open(folder.parent / "model.tar.gz", "w:gz") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, prefix + path.name)
        for change in changes:
            change(tar)
    return folder.parent / "model.tar.gz"


def entry(name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, **more: Any) -> Write:
    def write(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.size = kind, len(content)
        for key, value in more.items():
            setattr(info, key, value)
        tar.addfile(info, io.BytesIO(content))

    return write


def refusal(path: Path, kind: type[Exception] = CustomerError) -> str:
    with pytest.raises(kind) as caught:
        Object2Vec.load(path)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 1000
    assert str(path) in text
    return text


def scores(path: Path) -> bytes:
    return bytes(Object2Vec.load(path).predict([([1, 2], [3])]).tobytes())


@pytest.mark.parametrize(
    "options",
    [
        ("-C", "model", "."),
        ("model",),
        ("--format=ustar", "-C", "model", "."),
        ("--format=pax", "model"),
        ("--format=gnu", "-C", "model", "."),
        ("--format=v7", "model"),
    ],
    ids=" ".join,
)
def test_archives_of_tar_are_loaded(options: tuple[str, ...], folder: Path) -> None:
    archive, expected = packed(folder, *options), scores(folder)
    shutil.move(folder, folder.parent / "elsewhere")
    assert scores(archive) == expected
    predictor = Predictor.load(archive)
    assert predictor.metrics == {"a": 1}
    check_model(archive)
    digest = model_manifest(folder.parent / "elsewhere").digest
    assert model_manifest(archive).digest == digest
    assert Predictor.load(archive, expected_digest=digest).complete
    with pytest.raises(CustomerError, match="another model than before"):
        Predictor.load(archive, expected_digest="0" * 64)


def test_an_archive_without_gzip_of_any_name_or_behind_a_link_is_loaded(folder: Path) -> None:
    archive = packed(folder, "-C", "model", ".", name="ä odd.tar")
    link = folder.parent / "link"
    link.symlink_to(archive)
    assert scores(link) == scores(archive) == scores(folder)


def test_what_others_add_is_passed_over(folder: Path) -> None:
    more = [
        entry("._model", b"apple", mtime=1.5),
        entry("model/._model.json", b"apple"),
        entry("model/.parameters.0123456789ab.part", b"half"),
        entry("model/readme.txt", bytes(3 << 20)),
        entry("code/inference.py", b"raise SystemExit"),
        entry("code/model.txt", b"none"),
        entry("model/.ipynb_checkpoints", b"", tarfile.DIRTYPE),
        entry("model/.ipynb_checkpoints/model.json", b"{"),
        entry("a/b/c/model.json", b"{"),
    ]
    assert scores(handmade(folder, *more, prefix="model/")) == scores(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (entry("../evil"), "leads out"),
        (entry("/etc/evil"), "leads out"),
        (entry("a/../../evil"), "leads out"),
        (entry("a/b/../../../c"), "leads out"),
        (entry("code/link", b"", tarfile.SYMTYPE, linkname="/"), "a link, a device or a pipe"),
        (entry("link", b"", tarfile.SYMTYPE, linkname="model.json"), "a link, a device or a pipe"),
        (entry("link", b"", tarfile.LNKTYPE, linkname="model.json"), "a link, a device or a pipe"),
        (entry("._link", b"", tarfile.SYMTYPE, linkname="/"), "a link, a device or a pipe"),
        (entry("null", b"", tarfile.CHRTYPE, devmajor=1, devminor=3), "a device or a pipe"),
        (entry("pipe", b"", tarfile.FIFOTYPE), "a link, a device or a pipe"),
        (entry("odd", b"", b"Z"), "a link, a device or a pipe"),
        (entry("sparse", b"", pax_headers={"GNU.sparse.size": "9"}), "a link, a device or a pipe"),
        (entry("model.json"), "'model.json' twice"),
        (entry("../\x1b[2J\n" + "k" * 3000 + "/a/b"), "leads out"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_members_of_any_other_kind_are_refused(change: Write, words: str, folder: Path) -> None:
    text = refusal(handmade(folder, change))
    assert words in text and "tar czf model.tar.gz -C model ." in text


def test_what_stands_beside_a_model_at_the_top_is_passed_over(folder: Path) -> None:
    assert scores(handmade(folder, entry("code/inference.py", b"raise"))) == scores(folder)
    two = handmade(folder, entry("other/model.json", b"{}"))
    assert "holds a model in '' and one in 'other'" in refusal(two)


@pytest.mark.parametrize("name", ["file", "._file", "a/b/c/file"])
def test_too_many_or_too_large_members_are_refused(name: str, folder: Path) -> None:
    many = [entry(f"{name}{number}", b"") for number in range(201)]
    assert "more than 200 members" in refusal(handmade(folder, *many))
    with gzip.open(folder.parent / "model.tar.gz", "wb") as target:
        info = tarfile.TarInfo(name)
        info.size = 40 << 30
        target.write(info.tobuf(tarfile.GNU_FORMAT))
    assert "more than 34359738368 bytes" in refusal(folder.parent / "model.tar.gz")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_headers_of_gigabytes_take_no_memory(kind: bytes, folder: Path) -> None:
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, 3 << 30
    path = folder.parent / "model.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as target:
        target.write(tarfile.TarInfo("first").tobuf())
        target.write(info.tobuf(tarfile.GNU_FORMAT))
        target.write(b"0" * 1024)
    assert "its headers are too long" in refusal(path)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_headers_without_end_are_refused(kind: bytes, folder: Path) -> None:
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, 512
    path = folder.parent / "model.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as target:
        block = info.tobuf(tarfile.USTAR_FORMAT) + b"9 path=a\n".ljust(512, b"\0")
        target.write(block * 20_000)
    assert "is damaged or cut off" in refusal(path)


def test_headers_that_cost_much_time_are_refused(folder: Path) -> None:
    """tarfile looks through a header of digits in a time that grows with its length squared."""
    info = tarfile.TarInfo("header")
    info.type, info.size = tarfile.XHDTYPE, 1 << 20
    path = folder.parent / "model.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as target:
        target.write(tarfile.TarInfo("first").tobuf())
        target.write(info.tobuf(tarfile.USTAR_FORMAT) + b"1" * (1 << 20))
    begun = time.process_time()
    assert "its headers are too long" in refusal(path)
    assert time.process_time() - begun < 20


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.3, 0.7, 0.99])
def test_archives_that_are_cut_off_are_told(share: float, folder: Path) -> None:
    path = packed(folder, "-C", "model", ".")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    text = refusal(path)
    assert "cut off" in text or "no archive" in text


def test_whatever_bit_changes_the_error_is_ours(folder: Path, rng: np.random.Generator) -> None:
    expected = scores(folder)
    for suffix in ("tar.gz", "tar"):
        path = packed(folder, "-C", "model", ".", name=f"model.{suffix}")
        sound = path.read_bytes()
        for position in rng.integers(0, len(sound), 60):
            content = bytearray(sound)
            content[position] ^= 1 << int(rng.integers(8))
            path.write_bytes(bytes(content))
            try:
                assert scores(path) == expected
            except CustomerError as error:
                assert str(path) in str(error) and "\n" not in str(error)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no archive of a model"),
        (b"hello", "is no archive of a model"),
        (b'{"format": "object2vec"}' * 99, "is no archive of a model"),
        # Python 3.9 takes zeros alone for no archive.
        (bytes(10240), "holds no model: model.json is missing|is no archive of a model"),
        (gzip.compress(b"hello" * 300, mtime=0), "is no archive of a model"),
        (b"\x1f\x8bnonsense" * 100, "is damaged or cut off"),
        (b"BZh9" * 100, "was packed by bzip2"),
        (b"\xfd7zXZ\0" * 100, "was packed by xz"),
        (b"\x28\xb5\x2f\xfd" * 100, "was packed by zstd"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_archive_is_told(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_bytes(content)
    text = refusal(tmp_path / "model.tar.gz")
    assert re.search(words, text) and "the folder that training wrote" in text


def test_a_zip_is_told(folder: Path) -> None:
    path = folder.parent / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(folder / "model.json", "model.json")
    assert "was packed by zip; unpack it and give the folder, or" in refusal(path)


def test_a_model_of_the_original_gets_its_sentence(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model_algo-1").write_bytes(b"PK original")
    path = packed(tmp_path / "model", "-C", "model", ".")
    assert "is a model of Amazon SageMaker's built-in Object2Vec" in refusal(path)


def test_a_folder_that_holds_an_archive_alone_is_told(folder: Path) -> None:
    archive = packed(folder, "-C", "model", ".")
    (folder.parent / "channel").mkdir()
    shutil.move(archive, folder.parent / "channel/model.tar.gz")
    text = refusal(folder.parent / "channel")
    assert text.endswith(f"give {folder.parent / 'channel/model.tar.gz'} instead.")
    # beside a model it is a foreign file
    shutil.copy(folder.parent / "channel/model.tar.gz", folder)
    scores(folder)


@pytest.mark.parametrize("damage", ["missing", "size", "sum", "renamed", "large"])
def test_the_manifest_is_believed_no_more_than_in_a_folder(damage: str, folder: Path) -> None:
    manifest = json.loads((folder / "model.json").read_text())
    parameters = folder / manifest["parameters"]
    words = {
        "missing": "is missing, though model.json lists it",
        "size": "bytes instead of",
        "sum": "SHA-256 differs",
        "renamed": "is named in another way",
        "large": "but the hyperparameters ask for",
    }[damage]
    if damage == "missing":
        parameters.unlink()
    elif damage == "size":
        parameters.write_bytes(parameters.read_bytes()[:-1])
    elif damage == "sum":
        parameters.write_bytes(parameters.read_bytes()[:-1] + b"\xff")
    elif damage == "renamed":
        old, new = manifest["hyperparameters"], "odd.json"
        (folder / old).rename(folder / new)
        text = json.dumps(manifest).replace(old, new)
        (folder / "model.json").write_text(text)
    else:
        parameters.write_bytes(parameters.read_bytes() + bytes(1 << 20))
        manifest["files"][parameters.name]["bytes"] += 1 << 20
        (folder / "model.json").write_text(json.dumps(manifest))
    assert words in refusal(packed(folder, "-C", "model", "."))


def test_an_unreadable_archive_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(folder, "-C", "model", ".")
    if os.getuid() == 0:
        pytest.skip("root reads everything")
    path.chmod(0)
    assert "Permission denied" in refusal(path)


def test_nothing_is_left(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    path = packed(folder, "-C", "model", ".")
    before, handles = sorted(tmp_path.rglob("*")), len(os.listdir("/proc/self/fd"))
    scores(path)
    (tmp_path / "model.tar.gz").write_bytes(path.read_bytes()[:-2000])
    refusal(tmp_path / "model.tar.gz")
    assert sorted(tmp_path.rglob("*")) == before
    assert len(os.listdir("/proc/self/fd")) == handles


@pytest.mark.parametrize("problem", ["missing", "full"])
def test_a_temporary_folder_that_will_not_do_is_told(
    problem: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packed(folder, "-C", "model", ".")
    # no program can write there, root neither; and nothing can be kept there
    place = {"missing": "/proc/self/fdinfo", "full": "/dev/full"}[problem]
    if problem == "missing":
        monkeypatch.setattr(tempfile, "tempdir", place)
    else:
        small = os.statvfs_result((4096, 4096, 100, 1, 1, 9, 9, 9, 0, 255))
        monkeypatch.setattr(os, "statvfs", lambda _path: small)
    text = refusal(path, PlatformError)
    assert "TMPDIR" in text and "give the folder" in text


_LIMITED = """
import resource, sys
import object2vec
from object2vec.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.exit(main(["predict", "--model-dir", sys.argv[1], "--input", sys.argv[2]]))
"""


@pytest.mark.slow
def test_a_disk_that_is_full_while_unpacking_ends_in_one_sentence(folder: Path) -> None:
    path, requests = packed(folder, "-C", "model", "."), folder.parent / "in.jsonl"
    requests.write_text('{"in0": [1]}\n')
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _LIMITED, str(path), str(requests)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith("Platform Error: ") and len(done.stderr.splitlines()) == 1
    assert "TMPDIR" in done.stderr


def test_predict_answers_from_an_archive(
    folder: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    requests = folder.parent / "in.jsonl"
    requests.write_text('{"in0": [1], "in1": [2]}\n{"in1": [2]}\n')
    found = []
    for path in (folder, packed(folder, "-C", "model", ".")):
        assert main(["predict", "--model-dir", str(path), "--input", str(requests)]) == 0
        found.append(capsysbinary.readouterr().out)
    assert found[0] == found[1] != b""


def test_an_archive_that_changes_while_it_is_read_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was looked at is not taken for what is then unpacked."""
    from object2vec.model import model_files

    path = packed(folder, "-C", "model", ".", name="model.tar")
    check = model_files._check_room

    def change(*given: Any) -> None:
        check(*given)
        content = bytearray(path.read_bytes())
        content[content.index(b"parameters-")] ^= 1
        path.write_bytes(bytes(content))

    monkeypatch.setattr(model_files, "_check_room", change)
    refusal(path)


@pytest.mark.slow
def test_an_archive_is_served_and_nothing_of_it_is_left(folder: Path, tmp_path: Path) -> None:
    archive, temporary = packed(folder, "-C", "model", "."), tmp_path / "t"
    temporary.mkdir()
    body = '{"instances": [{"in0": [1], "in1": [2]}, {"in1": [2]}]}'
    with serving(archive, tmp_path / "log", environment={"TMPDIR": str(temporary)}) as server:
        before = server.invoke(body)
        assert before.status == 200
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: set(server.workers()) - {worker}, PATIENCE, "another worker")
        wait_for(lambda: server.invoke(body).status == 200, PATIENCE, "an answer of it")
        assert server.invoke(body).body == before.body
        server.process.kill()
    left = [path for path in temporary.rglob("*") if path.name.startswith("parameters")]
    assert left == []


@pytest.mark.slow
def test_a_damaged_archive_is_not_served(folder: Path, tmp_path: Path) -> None:
    archive = packed(folder, "-C", "model", ".")
    archive.write_bytes(archive.read_bytes()[:-900])
    done = subprocess.run(
        [sys.executable, "-m", "object2vec", "serve", "--model-dir", str(archive)],
        capture_output=True, text=True, timeout=120, check=False,
        env=clean_environment({"SAGEMAKER_BIND_TO_PORT": str(free_port())}),
    )  # fmt: skip
    assert done.returncode == 1
    assert f"{archive} is damaged or cut off" in done.stderr
