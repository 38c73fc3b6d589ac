# SPDX-License-Identifier: Apache-2.0
"""Writers and readers of one model directory at the same time, in real processes."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from small_jobs import arrays, random_lists, random_network, settings, topic_pairs

from object2vec.errors import CustomerError
from object2vec.files import locked_folder
from object2vec.inference.predictor import Predictor
from object2vec.model import model_directory
from object2vec.model.manifest import read_manifest
from object2vec.model.model_files import ModelFiles, read_model
from object2vec.model.network import Object2VecNetwork
from object2vec.training.loop import train
from tests.commands import BARE

TESTS = Path(__file__).parent
_BOTH = """
import sys, time
sys.path.insert(0, sys.argv[2])
import numpy as np
from object2vec.backend.mxnet_import import mx
from object2vec.model.model_directory import load_model, save_model
from small_jobs import random_network, settings

folder, number = sys.argv[1], int(sys.argv[3])
"""
_WRITER = """
rng = np.random.default_rng(number)
network = random_network(settings(enc0_vocab_size=5000), rng)
while True:
    value = number + rng.integers(1000) * 2
    for parameter in network.params.values():
        parameter.set_data(mx.nd.full(parameter.shape, value))
    save_model(folder, network, metrics={"number": int(value)})
    print(value, flush=True)
    time.sleep(rng.uniform(0, 0.02))
"""
_READER = """
seen = set()
for _ in range(number):
    loaded = load_model(folder)
    value = loaded.metrics["number"]
    for name, parameter in loaded.network.params.items():
        assert np.all(parameter.data().asnumpy() == value), (name, value)
    seen.add(value)
print(len(seen))
"""


@contextmanager
def running(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", BARE + program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=TESTS.parent,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_two_writers_and_two_readers(tmp_path: Path) -> None:
    folder = str(tmp_path / "model")
    with (
        running(_BOTH + _WRITER, folder, str(TESTS), "0") as even,
        running(_BOTH + _WRITER, folder, str(TESTS), "1") as odd,
    ):
        for writer in (even, odd):
            assert writer.stdout is not None
            assert writer.stdout.readline().strip().isdigit()
            # the pipe is emptied, so that the writer goes on
            threading.Thread(target=writer.stdout.read, daemon=True).start()
        with (
            running(_BOTH + _READER, folder, str(TESTS), "80") as first,
            running(_BOTH + _READER, folder, str(TESTS), "80") as second,
        ):
            for reader in (first, second):
                output, errors = reader.communicate(timeout=200)
                assert reader.returncode == 0, errors
                assert int(output) > 1
        for writer in (even, odd):
            assert writer.poll() is None
    # what the two kills left is cleared away, and the model stands
    model_directory.load_model(folder)


def given_models(rng: np.random.Generator) -> list[Object2VecNetwork]:
    return [random_network(settings(enc0_network="hcnn"), rng) for _ in range(2)]


def test_a_replaced_model_answers_as_before(tmp_path: Path, rng: np.random.Generator) -> None:
    first, second = given_models(rng)
    folder = tmp_path / "model"
    model_directory.save_model(folder, first)
    predictor = Predictor.load(folder)
    lists = random_lists(rng, 8)
    before = predictor.embeddings(0, lists)
    for path in folder.iterdir():
        path.write_bytes(b"")  # in place: a mapped file would become shorter
    model_directory.save_model(folder, second)
    np.testing.assert_array_equal(predictor.embeddings(0, lists), before)
    shutil.rmtree(folder)
    np.testing.assert_array_equal(predictor.embeddings(0, lists), before)


def test_a_digest_tells_models_apart(tmp_path: Path, rng: np.random.Generator) -> None:
    first, second = given_models(rng)
    digest = model_directory.save_model(tmp_path / "a", first)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert read_manifest(tmp_path / "b").digest == digest
    assert model_directory.load_model(tmp_path / "b", expected_digest=digest).digest == digest
    Predictor.load(tmp_path / "b", expected_digest=digest)
    other = model_directory.save_model(tmp_path / "b", second)
    assert other != digest
    for load in (Predictor.load, model_directory.load_model):
        with pytest.raises(CustomerError, match="holds another model than before"):
            load(tmp_path / "b", expected_digest=digest)
    with pytest.raises(CustomerError, match="holds another model than before"):
        model_directory.restore_parameters(tmp_path / "b", second, digest)


def test_a_job_does_not_take_over_the_model_of_another(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """Two jobs of the same hyperparameters write to one folder: the shapes cannot tell it."""
    given = settings(epochs=3, mini_batch_size=8)
    other = random_network(given, rng)

    def stop() -> bool:
        if not (tmp_path / "model.json").exists():
            return False
        model_directory.save_model(tmp_path, other)
        return True

    with pytest.raises(CustomerError, match="holds another model than before"):
        train(given, topic_pairs(rng, 32, is_regression=False), model_dir=tmp_path, stop=stop)
    np.testing.assert_array_equal(
        arrays(model_directory.load_model(tmp_path).network)["embed_0_weight"],
        arrays(other)["embed_0_weight"],
    )


def test_reading_starts_anew_where_the_model_was_replaced(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    first, second = given_models(rng)
    digests = [model_directory.save_model(tmp_path, first)]
    seen = []

    def use(files: ModelFiles) -> str:
        seen.append(files.manifest.digest)
        if len(seen) == 1:
            digests.append(model_directory.save_model(tmp_path, second))
            raise CustomerError("A file has gone.")
        return files.manifest.digest

    assert read_model(tmp_path, use) == digests[1]
    assert seen == digests

    def fail(files: ModelFiles) -> str:
        seen.append(files.manifest.digest)
        raise CustomerError("A file has gone.")

    with pytest.raises(CustomerError, match="A file has gone"):
        read_model(tmp_path, fail)
    assert len(seen) == 3


def test_files_that_are_open_stay(tmp_path: Path, rng: np.random.Generator) -> None:
    first, second = given_models(rng)
    model_directory.save_model(tmp_path, first, metrics={"number": 1})

    def use(files: ModelFiles) -> int:
        model_directory.save_model(tmp_path, second, metrics={"number": 2})
        files.check(files.manifest.parameters)
        files.check_others()
        return int(files.metrics()["number"])

    assert read_model(tmp_path, use) == 1


_HOLDER = """
import sys, time
from object2vec.files import locked_folder
with locked_folder(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


def test_the_lock(tmp_path: Path, rng: np.random.Generator) -> None:
    (first, _) = given_models(rng)
    model_directory.save_model(tmp_path, first)
    with running(_HOLDER, str(tmp_path)) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(CustomerError, match="give each job a folder of its own"):
            locked_folder(tmp_path, seconds=0.1).__enter__()
        model_directory.load_model(tmp_path)  # readers do not wait
        waiting = threading.Thread(target=model_directory.save_model, args=(tmp_path, first))
        waiting.start()
        time.sleep(0.2)
        assert waiting.is_alive()
        holder.send_signal(signal.SIGKILL)
        waiting.join(60)
        assert not waiting.is_alive()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"model.json", *json.loads((tmp_path / "model.json").read_text())["files"]}


def test_threads_of_one_process_write_one_after_the_other(tmp_path: Path) -> None:
    inside = []

    def write() -> None:
        for _ in range(5):
            with locked_folder(tmp_path):
                inside.append(1)
                assert len(inside) == 1
                time.sleep(0.002)
                inside.pop()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not inside
