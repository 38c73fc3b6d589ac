# SPDX-License-Identifier: Apache-2.0
"""The model directory: round trips, kills in the middle of writing, damage and foreign files."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_jobs import arrays, random_network, random_pairs, settings

from object2vec.data.arrays import TokenLists
from object2vec.errors import CustomerError
from object2vec.inference.predictor import Predictor
from object2vec.model import model_directory
from object2vec.model.network import Object2VecNetwork
from tests.commands import BARE

TESTS = Path(__file__).parent
GIVEN = {"enc0_network": "hcnn", "enc1_network": "bilstm", "num_classes": 3}


@pytest.fixture
def network(rng: np.random.Generator) -> Object2VecNetwork:
    return random_network(settings(**GIVEN), rng)


@pytest.fixture
def folder(tmp_path: Path, network: Object2VecNetwork) -> Path:
    model_directory.save_model(tmp_path / "model", network, metrics={"best_epoch": 2})
    return tmp_path / "model"


def manifest(folder: Path) -> dict:
    return json.loads((folder / "model.json").read_text())


def refusal(folder: Path) -> str:
    with pytest.raises(CustomerError) as caught:
        model_directory.load_model(folder)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_metrics_are_replaced_and_nothing_else(
    folder: Path, network: Object2VecNetwork, rng: np.random.Generator
) -> None:
    before, digest = manifest(folder), model_directory.load_model(folder).digest
    changed = model_directory.rewrite_metrics(folder, {"history": [{"epoch": 0}]}, digest)
    loaded = model_directory.load_model(folder, expected_digest=changed)
    assert loaded.metrics == {"history": [{"epoch": 0}]}
    after = manifest(folder)
    older, newer = before.pop("metrics"), after.pop("metrics")
    assert before["files"].pop(older) != after["files"].pop(newer) and before == after
    assert not (folder / older).exists() and (folder / newer).exists()
    # that of another job is left alone
    model_directory.save_model(folder, random_network(settings(**GIVEN), rng))
    kept = (folder / "model.json").read_bytes()
    with pytest.raises(CustomerError, match="holds another model"):
        model_directory.rewrite_metrics(folder, {}, changed)
    assert (folder / "model.json").read_bytes() == kept


def test_round_trip(folder: Path, network: Object2VecNetwork, rng: np.random.Generator) -> None:
    loaded = model_directory.load_model(folder)
    assert loaded.hyperparameters == network.hyperparameters
    assert loaded.metrics == {"best_epoch": 2}
    assert loaded.vocabularies == (None, None)
    assert loaded.complete
    before, after = arrays(network), arrays(loaded.network)
    assert list(before) == list(after)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)
    pairs = random_pairs(rng, 6)
    np.testing.assert_allclose(
        Predictor.load(folder).scores(pairs.in0, pairs.in1),
        Predictor(network).scores(pairs.in0, pairs.in1),
        rtol=1e-5,
        atol=1e-6,
    )


def test_vocabularies_travel_along(tmp_path: Path, network: Object2VecNetwork) -> None:
    import gluonnlp  # needs the import of mxnet that object2vec prepares

    vocabulary = gluonnlp.Vocab(
        gluonnlp.data.count_tokens(["été", "a b", "c"]), unknown_token=None, padding_token=None,
        bos_token=None, eos_token=None,
    )  # fmt: skip
    model_directory.save_model(tmp_path, network, vocabularies=(vocabulary, None))
    in0, in1 = model_directory.load_model(tmp_path).vocabularies
    assert in0.idx_to_token == vocabulary.idx_to_token
    assert in1 is None


def test_incomplete_mark(tmp_path: Path, network: Object2VecNetwork) -> None:
    model_directory.save_model(tmp_path, network, complete=False)
    assert not model_directory.load_model(tmp_path).complete


@pytest.mark.parametrize("name", [b"a b", "ü".encode(), b"back\\slash", b"not UTF-8 \xff\xfe"])
def test_any_name_of_a_folder(name: bytes, tmp_path: Path, network: Object2VecNetwork) -> None:
    folder = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))
    model_directory.save_model(folder, network)
    assert model_directory.load_model(folder).complete


def test_only_open_formats(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.json", *manifest(folder)["files"]}
    for name in names:
        assert name.endswith((".json", ".params"))
        if name.endswith(".json"):
            json.loads((folder / name).read_text())


def test_saving_anew_replaces_the_model_alone(folder: Path, rng: np.random.Generator) -> None:
    before = set(manifest(folder)["files"])
    foreign = ["model_algo-1", "readme.txt", "parameters-x.params", "code/inference.py"]
    for name in foreign:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("foreign")
    other = random_network(settings(**GIVEN), rng)
    model_directory.save_model(folder, other, metrics={"best_epoch": 3})
    loaded = model_directory.load_model(folder)
    assert loaded.metrics == {"best_epoch": 3}
    np.testing.assert_array_equal(
        arrays(loaded.network)["embed_0_weight"], arrays(other)["embed_0_weight"]
    )
    after = set(manifest(folder)["files"])
    assert before != after
    kept = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert kept == {"model.json", *after, *foreign}
    assert all((folder / name).read_text() == "foreign" for name in foreign)


def test_a_failed_save_leaves_the_older_model(
    folder: Path, network: Object2VecNetwork, rng: np.random.Generator
) -> None:
    with pytest.raises(TypeError):
        model_directory.save_model(
            folder, random_network(settings(**GIVEN), rng), metrics={"x": {1}}
        )
    np.testing.assert_array_equal(
        arrays(model_directory.load_model(folder).network)["embed_0_weight"],
        arrays(network)["embed_0_weight"],
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(
    folder: Path, network: Object2VecNetwork, value: float
) -> None:
    before = (folder / "model.json").read_bytes()
    kept = network.params["mlp_fc0_bias"].data().asnumpy()
    network.params["mlp_fc0_bias"].data()[1] = value
    with pytest.raises(CustomerError, match=r"mlp_fc0_bias in .* holds NaN or infinity"):
        model_directory.save_model(folder, network)
    assert (folder / "model.json").read_bytes() == before
    np.testing.assert_array_equal(
        arrays(model_directory.load_model(folder).network)["mlp_fc0_bias"], kept
    )


_SAVER = """
import sys
sys.path.insert(0, sys.argv[2])
import numpy as np
from object2vec.backend.mxnet_import import mx
from object2vec.model.model_directory import save_model
from small_jobs import random_network, settings

network = random_network(settings(enc0_vocab_size=20000), np.random.default_rng(0))
number = 0
while True:
    for parameter in network.params.values():
        parameter.set_data(mx.nd.full(parameter.shape, number))
    save_model(sys.argv[1], network, metrics={"number": number})
    print(number, flush=True)
    number += 1
"""


@pytest.mark.slow
def test_kill_while_saving(tmp_path: Path, seed: int) -> None:
    """Killed at any moment, the folder holds a whole model, at least as new as the last report."""
    folder = tmp_path / "model"
    wait = random.Random(seed)
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", BARE + _SAVER, str(folder), str(TESTS)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=TESTS.parent,
        )
        assert process.stdout is not None
        with process:
            try:
                assert process.stdout.readline().strip() == "0"
                time.sleep(wait.uniform(0, 0.15))
            finally:
                process.send_signal(signal.SIGKILL)
            reported = int((["0", *process.stdout.read().split()])[-1])
        assert process.returncode == -signal.SIGKILL
        loaded = model_directory.load_model(folder)
        assert reported <= loaded.metrics["number"] <= reported + 1
        for value in arrays(loaded.network).values():
            assert np.all(value == loaded.metrics["number"])


def test_leftovers_of_a_kill_are_cleared_away(folder: Path, network: Object2VecNetwork) -> None:
    leftovers = [".parameters.part", "..parameters.part.0123456789ab.tmp"]
    leftovers += [".model.json.0123456789ab.tmp", "parameters-0123456789ab.params"]
    for name in leftovers:
        (folder / name).write_bytes(b"half")
    model_directory.save_model(folder, network)
    assert not [name for name in leftovers if (folder / name).exists()]
    model_directory.load_model(folder)


def test_truncated_parameters(folder: Path) -> None:
    path = folder / manifest(folder)["parameters"]
    path.write_bytes(path.read_bytes()[:-7])
    text = refusal(folder)
    assert str(path) in text
    assert "bytes" in text


@pytest.mark.parametrize("kind", ["parameters", "hyperparameters", "metrics"])
def test_changed_file(folder: Path, kind: str) -> None:
    path = folder / manifest(folder)[kind]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    text = refusal(folder)
    assert str(path) in text
    assert "SHA-256" in text


def test_missing_file(folder: Path) -> None:
    path = folder / manifest(folder)["networks"]["enc1"]["symbol"]
    path.unlink()
    text = refusal(folder)
    assert f"{path} is missing" in text


@pytest.mark.parametrize("version", [0, 3, "1", None])
def test_other_format_version(folder: Path, version: object) -> None:
    content = {**manifest(folder), "format_version": version, "object2vec_version": "9.8"}
    (folder / "model.json").write_text(json.dumps(content))
    text = refusal(folder)
    assert f"format_version {json.dumps(version)}" in text
    assert "object2vec 9.8" in text


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"format": "other"}', "\xff"])
def test_unsound_manifest(folder: Path, content: str) -> None:
    (folder / "model.json").write_bytes(content.encode("latin-1"))
    assert str(folder / "model.json") in refusal(folder)


@pytest.mark.parametrize(
    "key", ["files", "hyperparameters", "parameters", "metrics", "vocabularies", "complete"]
)
def test_manifest_without_a_key(folder: Path, key: str) -> None:
    content = manifest(folder)
    del content[key]
    (folder / "model.json").write_text(json.dumps(content))
    text = refusal(folder)
    assert str(folder / "model.json") in text
    assert key in text


def test_originals_model(tmp_path: Path) -> None:
    (tmp_path / "model_algo-1").write_bytes(b"\x00\x01")
    text = refusal(tmp_path)
    assert "model_algo-1" in text
    assert "built-in" in text


@pytest.mark.parametrize("exists", [False, True])
def test_no_model(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "nothing"
    if exists:
        folder.mkdir()
    assert "model.json is missing" in refusal(folder)


def test_parameters_of_another_network(folder: Path, rng: np.random.Generator) -> None:
    other = random_network(settings(**GIVEN, enc0_cnn_filter_width=5), rng)
    with pytest.raises(CustomerError, match="source_0_weight"):
        model_directory.restore_parameters(folder, other)


def test_a_loaded_model_has_no_gradients(folder: Path) -> None:
    """A model that only answers needs no second copy of its tables."""
    for parameter in model_directory.load_model(folder).network.params.values():
        assert parameter.grad_req == "null"


def test_tied_model_holds_one_table(tmp_path: Path, rng: np.random.Generator) -> None:
    tied = {"enc0_network": "hcnn", "tied_token_embedding_weight": True}
    network = random_network(settings(**tied), rng)
    model_directory.save_model(tmp_path, network)
    tables = [name for name in arrays(network) if name.startswith("embed")]
    assert tables == ["embed_shared_weight"]
    lists = TokenLists.from_lists([[1, 2], [0]])
    np.testing.assert_allclose(
        Predictor.load(tmp_path).embeddings(1, lists),
        Predictor(network).embeddings(1, lists),
        rtol=1e-5,
        atol=1e-6,
    )
