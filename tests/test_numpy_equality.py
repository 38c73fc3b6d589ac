# SPDX-License-Identifier: Apache-2.0
"""Encoders, comparators, heads and losses equal an independent NumPy computation to 1e-5."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy_model import NumpyModel
from small_jobs import arrays, random_lists, random_network, random_pairs, settings

from object2vec.backend.mxnet_import import mx
from object2vec.data.arrays import TokenLists
from object2vec.inference.predictor import Predictor
from object2vec.model.encoder_inputs import embed
from object2vec.model.model_directory import save_model
from object2vec.model.network import Object2VecNetwork

CPU = mx.cpu(0)
ENCODERS = [
    {"enc0_network": "pooled_embedding", "enc_dim": enc_dim, "enc0_token_embedding_dim": enc_dim}
    for enc_dim in (4, 7)
]
HCNN = (  # layers, enc_dim, filter width
    "1 4 1, 1 7 2, 1 8 3, 2 8 4, 2 9 5, 2 5 3, 3 7 3, 3 9 2, 4 8 3, 4 7 6, 4 11 9, 4 4 8"
)
ENCODERS += [
    dict(zip(("enc0_layers", "enc_dim", "enc0_cnn_filter_width"), map(int, case.split())))
    | {"enc0_network": "hcnn"}
    for case in HCNN.split(",")
]
ENCODERS += [
    {"enc0_network": "bilstm", "enc0_layers": layers, "enc_dim": enc_dim}
    for layers, enc_dim in [(1, 4), (1, 5), (2, 6), (2, 7), (3, 8), (4, 9)]
]
COMPARATORS = [
    order
    for number in (1, 2, 3)
    for order in permutations(("hadamard", "concat", "abs_diff"), number)
]
HEADS = [
    {"output_layer": "softmax", "num_classes": 2},
    {"output_layer": "softmax", "num_classes": 5},
    {"output_layer": "mean_squared_error"},
]


def label(given: dict[str, Any]) -> str:
    return "-".join(
        "".join(value) if isinstance(value, tuple) else str(value) for value in given.values()
    )


def close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def numpy_model(network: Object2VecNetwork) -> NumpyModel:
    return NumpyModel(network.hyperparameters.to_dict(), arrays(network))


def encode(network: Object2VecNetwork, side: int, lists: TokenLists, width: int) -> np.ndarray:
    return embed(network, side, lists, CPU, width).asnumpy()


@pytest.mark.parametrize("given", ENCODERS, ids=label)
def test_embeddings(given: dict[str, Any], rng: np.random.Generator) -> None:
    """Of both encoders, each list alone and all together, with and without needless padding."""
    network = random_network(settings(**given), rng)
    model = numpy_model(network)
    lists = random_lists(rng, 12)
    expected = [model.embeddings(side, list(lists)) for side in (0, 1)]
    assert np.abs(expected[0] - expected[1]).max() > 1e-3  # weights are separate
    for hybridized in (False, True):
        if hybridized:
            network.hybridize()
        for side in (0, 1):
            for width in (9, 9, 14):  # a second call of a hybridized block takes another way
                close(encode(network, side, lists, width), expected[side])
            for row in range(3):
                alone = lists.take(np.array([row]))
                width = max(1, int(alone.lengths[0]))
                close(encode(network, side, alone, width), expected[side][row : row + 1])


@pytest.mark.parametrize(("enc_dim", "layers"), [(7, 1), (9, 2), (11, 4), (10, 4), (5, 3), (4, 4)])
def test_sizes_that_do_not_divide(enc_dim: int, layers: int) -> None:
    """The first layers of hcnn get one filter more, and an LSTM's forward half is one wider."""
    network = Object2VecNetwork(
        settings(
            enc0_network="hcnn",
            enc0_layers=layers,
            enc0_cnn_filter_width=2,
            enc1_network="bilstm",
            enc1_layers=layers,
            enc_dim=enc_dim,
        )
    )
    filters = [network.params[f"source_{layer}_weight"].shape[0] for layer in range(layers)]
    assert sum(filters) == enc_dim
    assert filters == sorted(filters, reverse=True)
    assert filters[0] - filters[-1] <= 1
    for layer in range(layers):
        halves = [
            network.params[f"target_{layer}_{direction}_h2h_weight"].shape
            for direction in ("forward", "backward")
        ]
        wide, narrow = (enc_dim + 1) // 2, enc_dim // 2
        assert halves == [(4 * wide, wide), (4 * narrow, narrow)]


def check_pairs(given: dict[str, Any], rng: np.random.Generator, scale: float = 0.3) -> None:
    hyperparameters = settings(**given)
    network = random_network(hyperparameters, rng, scale)
    model = numpy_model(network)
    classes = None if hyperparameters.is_regression else hyperparameters.num_classes
    pairs = random_pairs(rng, 14, classes=classes)
    expected = model.scores(list(pairs.in0), list(pairs.in1))
    trained, *reported = model.losses(list(pairs.in0), list(pairs.in1), pairs.labels)
    for hybridized in (False, True):
        if hybridized:
            network.hybridize()
        predictor = Predictor(network)
        close(predictor.scores(pairs.in0, pairs.in1), expected)
        close(predictor.loss_sums(pairs) / len(pairs), np.array(reported))
        vectors = [
            embed(network, side, lists, CPU, 11)
            for side, lists in enumerate((pairs.in0, pairs.in1))
        ]
        objective, sums = network.loss(*vectors, mx.nd.array(pairs.labels))
        close(objective.asnumpy() / len(pairs), np.array([trained]))
        close(sums.asnumpy() / len(pairs), np.array(reported))


@pytest.mark.parametrize("head", HEADS, ids=label)
@pytest.mark.parametrize("comparators", COMPARATORS, ids="-".join)
def test_comparators(
    comparators: tuple[str, ...], head: dict[str, Any], rng: np.random.Generator
) -> None:
    check_pairs(
        {"enc0_network": "pooled_embedding", "comparator_list": ",".join(comparators), **head}, rng
    )


@pytest.mark.parametrize("head", HEADS, ids=label)
@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("activation", ["linear", "relu", "tanh"])
def test_activations(
    activation: str, layers: int, head: dict[str, Any], rng: np.random.Generator
) -> None:
    given = {"enc0_network": "hcnn", "mlp_activation": activation, "mlp_layers": layers}
    check_pairs({**given, **head}, rng)


MIXED = [
    {"enc0_network": first, "enc1_network": second, "tied_token_embedding_weight": tied, **head}
    for first in ("hcnn", "bilstm", "pooled_embedding")
    for second in ("enc0", "hcnn", "bilstm", "pooled_embedding")
    for tied, head in ((False, HEADS[0]), (True, HEADS[2]))
]


def widths(given: dict[str, Any]) -> dict[str, Any]:
    """Token widths that suit a pooled encoder and a tied table, unequal where they may be."""
    if given["tied_token_embedding_weight"]:
        return {"enc0_token_embedding_dim": 8, "enc1_token_embedding_dim": 8}
    if given["enc1_network"] in ("enc0", "pooled_embedding"):
        return {}
    return {"enc1_token_embedding_dim": 7, "enc1_vocab_size": 25, "enc1_max_seq_len": 10}


@pytest.mark.parametrize("given", MIXED, ids=label)
def test_encoder_pairs(given: dict[str, Any], rng: np.random.Generator) -> None:
    check_pairs({**given, **widths(given)}, rng)


def test_lists_beyond_max_seq_len_are_cut(rng: np.random.Generator) -> None:
    hyperparameters = settings(
        enc0_network="bilstm", enc0_max_seq_len=4, enc1_network="hcnn", enc1_max_seq_len=3
    )
    network = random_network(hyperparameters, rng)
    model = numpy_model(network)
    lists = [random_lists(rng, 8), random_lists(rng, 8)]
    cut = [[ids[:limit] for ids in side] for side, limit in zip(lists, (4, 3))]
    predictor = Predictor(network)
    close(predictor.scores(*lists), model.scores(*cut))
    close(predictor.embeddings(1, lists[1]), model.embeddings(1, cut[1]))
    shorter = [[ids[:2] for ids in lists[0]], [ids[:5] for ids in lists[1]]]
    close(predictor.scores(*lists, max_seq_lens=(2, 5)), model.scores(*shorter))
    close(predictor.embeddings(0, lists[0], 2), model.embeddings(0, shorter[0]))


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


def test_symbols_load_without_object2vec(tmp_path: Path, rng: np.random.Generator) -> None:
    """``SymbolBlock`` in a process of its own, on padding that holds random ids."""
    folders, expected = [], []
    dropped = {"enc0_layers": 2, "mlp_activation": "relu", "tied_token_embedding_weight": True}
    cases = [
        *MIXED,
        {"enc0_network": "hcnn", "enc1_network": "bilstm", "dropout": 1.0, **dropped},
        {"enc0_network": "pooled_embedding", "enc1_network": "enc0", "dropout": 0.5, **dropped},
    ]
    for number, given in enumerate(cases):
        folder = tmp_path / str(number)
        network = random_network(settings(**given, **widths(given)), rng)
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
        model = numpy_model(network)
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
        [sys.executable, "-I", "-W", "ignore", "-c", _WITHOUT_OBJECT2VEC, *map(str, folders)],
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


def test_exported_parameters_alone_suffice(tmp_path: Path, rng: np.random.Generator) -> None:
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
    close(Predictor.load(tmp_path).scores(pairs.in0, pairs.in1), scores)
