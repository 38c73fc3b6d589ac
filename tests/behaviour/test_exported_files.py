# SPDX-License-Identifier: Apache-2.0
"""The files of a model directory are enough to answer, without object2vec."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import ways
from numpy_model import NumpyModel
from small_jobs import arrays, random_network, random_pairs, settings

from object2vec.backend.mxnet_import import mx
from object2vec.model.model_directory import save_model
from tests.commands import BARE

pytestmark = pytest.mark.own_way

CASES = [
    {"enc0_network": "pooled_embedding"},
    {"enc0_network": "hcnn", "enc0_layers": 2, "output_layer": "mean_squared_error"},
    {"enc0_network": "hcnn", "enc1_network": "bilstm", "enc1_vocab_size": 25},
    {
        "enc0_network": "bilstm",
        "enc1_network": "pooled_embedding",
        "enc0_token_embedding_dim": 8,
        "tied_token_embedding_weight": True,
        "mlp_activation": "relu",
        "dropout": 1.0,
    },
]


_WITHOUT_OBJECT2VEC = """
import json, sys
from pathlib import Path
import numpy
if "bool" not in vars(numpy):
    numpy.bool = bool
import mxnet as mx

for folder in map(Path, sys.argv[1:]):
    manifest = json.loads((folder / "model.json").read_text())
    inputs = dict(numpy.load(folder / "inputs.npz"))
    answers = {}
    for name, graph in manifest["networks"].items():
        block = mx.gluon.SymbolBlock(
            mx.sym.load(str(folder / graph["symbol"])),
            [mx.sym.var(given) for given in graph["inputs"]],
        )
        block.load_parameters(str(folder / manifest["parameters"]), ignore_extra=True)
        for hybridized in (False, True):
            block.hybridize(hybridized)
            values = [mx.nd.array(inputs[given]) for given in graph["inputs"]]
            answers[f"{name}_{hybridized}"] = block(*values).asnumpy()
    numpy.savez(folder / "answers.npz", **answers)
assert not [name for name in sys.modules if name.startswith("object2vec")]
"""


def close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_symbols_load_without_object2vec(tmp_path: Path, rng: np.random.Generator) -> None:
    """``SymbolBlock`` in a process of its own, on padding that holds random ids."""
    folders, expected = [], []
    for number, given in enumerate(CASES):
        folder = tmp_path / str(number)
        network = random_network(settings(**given), rng)
        save_model(folder, network)
        pairs = random_pairs(rng, 7, classes=None)
        inputs = {}
        for name, lists in zip(("source", "target"), (pairs.in0, pairs.in1)):
            padded = rng.integers(23, size=(len(pairs), 11))
            for row, ids in enumerate(lists):
                padded[row, : len(ids)] = ids
            inputs[name] = padded.astype(np.float32)
            inputs[f"{name}_length"] = lists.lengths.astype(np.float32)
        np.savez(folder / "inputs.npz", **inputs)
        model = NumpyModel(network.hyperparameters.to_dict(), arrays(network))
        lists = list(pairs.in0), list(pairs.in1)
        folders.append(folder)
        expected.append(
            {
                "scores": model.scores(*lists),
                "enc0": model.embeddings(0, lists[0]),
                "enc1": model.embeddings(1, lists[1]),
            }
        )
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-W",
            "ignore",
            "-c",
            BARE + _WITHOUT_OBJECT2VEC,
            *map(str, folders),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for folder, wanted in zip(folders, expected):
        answers = np.load(folder / "answers.npz")
        assert len(answers.files) == 2 * len(wanted)
        for name, value in wanted.items():
            for hybridized in (False, True):
                close(answers[f"{name}_{hybridized}"], value)


@pytest.mark.parametrize("way", ways.PREDICTING)
def test_exported_parameters_alone_suffice(
    way: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    """The files of a model directory are what the NumPy computation reads, names included."""
    given = {"enc0_network": "hcnn", "enc1_network": "bilstm", "tied_token_embedding_weight": True}
    network = random_network(settings(**given), rng)
    save_model(tmp_path, network)
    manifest = json.loads((tmp_path / "model.json").read_text())
    stored = mx.nd.load(str(tmp_path / manifest["parameters"]))
    parameters = {name.partition(":")[2]: value.asnumpy() for name, value in stored.items()}
    assert sorted(parameters) == sorted(
        ["embed_shared_weight", "mlp_fc0_weight", "mlp_fc0_bias"]
        + ["output_layer_weight", "output_layer_bias"]
        + [f"source_{layer}_{kind}" for layer in range(4) for kind in ("weight", "bias")]
        + [
            f"target_0_{direction}_{part}_{kind}"
            for direction in ("forward", "backward")
            for part in ("i2h", "h2h")
            for kind in ("weight", "bias")
        ]
    )
    hyperparameters = json.loads((tmp_path / manifest["hyperparameters"]).read_text())
    pairs = random_pairs(rng, 9)
    scores = NumpyModel(hyperparameters, parameters).scores(list(pairs.in0), list(pairs.in1))
    close(ways.loaded(way, tmp_path).scores(pairs.in0, pairs.in1), scores)
