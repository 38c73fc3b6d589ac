# SPDX-License-Identifier: Apache-2.0
"""Each broken model directory ends in one sentence, whatever is wrong with it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from broken_models import Broken, all_broken, file_of, manifest_of, put, write_manifest
from small_jobs import random_network, settings

from object2vec.backend.mxnet_import import mx
from object2vec.errors import CustomerError
from object2vec.model import model_directory
from object2vec.model.model_files import check_model

BROKEN = all_broken()
# What is not seen before all numbers are read.
LATE = ("a number is", "parameters: changed", "sha256 of parameters: another")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import gluonnlp  # needs the import of mxnet that object2vec prepares

    folder = tmp_path_factory.mktemp("sound") / "model"
    given = {"enc0_network": "hcnn", "enc1_network": "bilstm", "num_classes": 3}
    network = random_network(settings(**given), np.random.default_rng(1))
    vocabulary = gluonnlp.Vocab(
        gluonnlp.data.count_tokens(["a", "b", "c"]), unknown_token=None, padding_token=None,
        bos_token=None, eos_token=None,
    )  # fmt: skip
    metrics = {"best_epoch": 1, "history": [{"epoch": 0}]}
    model_directory.save_model(folder, network, metrics=metrics, vocabularies=(vocabulary, None))
    return folder


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "model")
    return tmp_path / "model"


def test_the_copies_are_sound_and_the_ways_differ(copy: Path) -> None:
    model_directory.load_model(copy)
    check_model(copy)
    assert max(Counter(way.name for way in BROKEN).values()) == 1
    assert len(BROKEN) > 150


@pytest.mark.parametrize("way", BROKEN, ids=lambda way: way.name)
def test_one_sentence(way: Broken, copy: Path) -> None:
    way.apply(copy)
    with pytest.raises(CustomerError) as caught:
        model_directory.load_model(copy)
    text = str(caught.value)
    assert way.words in text
    assert text.isprintable()
    assert text.endswith((".", "…"))
    assert len(text) < 700 + 3 * len(str(copy))
    if not any(late in way.name for late in LATE):
        with pytest.raises(CustomerError) as caught:
            check_model(copy)
        assert str(caught.value) == text


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", *command],
        input='{"in0": [1]}\n',
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "parameters: -1 axes and 64 bytes",
        "parameters: a number is nan",
        "parameters: a pipe",
        "hyperparameters: enc0_vocab_size is 3000000",
        "manifest: deep lists",
        "files is {}",
        "vocabulary: token_to_idx is []",
    ],
)
def test_the_command_says_it(name: str, copy: Path) -> None:
    (way,) = (way for way in BROKEN if way.name == name)
    way.apply(copy)
    done = run("-m", "object2vec", "predict", "--model-dir", str(copy))
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("Customer Error: ")
    assert done.stderr.count("\n") == 1


def test_a_table_that_the_file_lacks_takes_no_memory(copy: Path) -> None:
    """Hyperparameters of a table of 8 GB, beside a file of some kB."""
    text = file_of(copy, "hyperparameters").read_text()
    text = text.replace('"enc0_vocab_size": 23', '"enc0_vocab_size": 2000000')
    text = text.replace('"enc0_token_embedding_dim": 6', '"enc0_token_embedding_dim": 1000')
    put(copy, "hyperparameters", text.encode())
    code = """
import resource, sys
from object2vec.model.model_files import check_model
from object2vec.errors import CustomerError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    check_model(sys.argv[1])
except CustomerError as error:
    print(error)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
assert grown < 30_000, grown
assert "mxnet" not in sys.modules
"""
    done = run("-c", code, str(copy))
    assert done.returncode == 0, done.stderr
    assert "embed_0_weight has the shape (23, 6)" in done.stdout
    assert "ask for (2000000, 1000)" in done.stdout


def test_restoring_changes_nothing_where_the_file_is_not_sound(copy: Path) -> None:
    (way,) = (way for way in BROKEN if way.name == "parameters: a number is nan")
    way.apply(copy)
    given = {"enc0_network": "hcnn", "enc1_network": "bilstm", "num_classes": 3}
    network = random_network(settings(**given), np.random.default_rng(2))
    before = {name: value.data().asnumpy() for name, value in network.params.items()}
    with pytest.raises(CustomerError, match=r"embed_0_weight in .* holds NaN"):
        model_directory.restore_parameters(copy, network)
    for name, value in network.params.items():
        np.testing.assert_array_equal(value.data().asnumpy(), before[name])


def test_arrays_from_another_device_and_in_another_order(copy: Path) -> None:
    path = file_of(copy, "parameters")
    stored = mx.nd.load(str(path))
    names = list(stored)[::-1]
    mx.nd.save(str(path), {name: stored[name] for name in names})
    content = bytearray(path.read_bytes())
    device = 24 + 12 + 8 * stored[names[0]].ndim
    content[device] = 2  # a GPU
    put(copy, "parameters", bytes(content))
    loaded = model_directory.load_model(copy).network
    for name, value in loaded.params.items():
        np.testing.assert_array_equal(value.data().asnumpy(), stored[f"arg:{name}"].asnumpy())


def test_what_is_not_known_yet_is_passed_over(copy: Path) -> None:
    """A later version may say more in the same format."""
    manifest = manifest_of(copy)
    (copy / "more-1.json").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    manifest["files"]["more-1.json"] = {"bytes": 0, "sha256": empty}
    manifest["more"] = {"a": [1]}
    write_manifest(copy, manifest)
    model_directory.load_model(copy)
