# SPDX-License-Identifier: Apache-2.0
"""The compiled scorer gives what its formulas say, and an LSTM in chunks what it gives in one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_jobs import random_lists, random_network, settings

from object2vec.backend.mxnet_import import mx
from object2vec.data.arrays import TokenLists
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.inference import compiled_inference
from object2vec.inference.compiled_inference import CompiledInference
from object2vec.model.network import Object2VecNetwork

pytestmark = [pytest.mark.own_way, pytest.mark.usefixtures("isa")]

CPU = mx.cpu(0)
# none; within one reading of the weights, just that, more; weights in panels, several chunks
COUNTS = [0, 1, 2, 3, 4, 5, 31, 32, 97, 300]
ENCODERS = ["pooled_embedding", "hcnn", "bilstm"]


def expected_scores(
    job: Hyperparameters, network: Object2VecNetwork, vectors: list[np.ndarray]
) -> np.ndarray:
    """Of embeddings, in double precision."""
    a, b = (array.astype(float) for array in vectors)
    parts = {"hadamard": [a * b], "concat": [a, b], "abs_diff": [np.abs(a - b)]}
    x = np.concatenate([part for name in job.comparator_list for part in parts[name]], axis=1)
    functions = {"linear": np.array, "relu": lambda z: np.maximum(z, 0), "tanh": np.tanh}
    layers = network.scorer.layers(CPU)
    for number, (weight, bias) in enumerate(layers):
        x = x @ weight.asnumpy().astype(float).T + bias.asnumpy()
        if number < len(layers) - 1:
            x = functions[job.mlp_activation](x)
    if job.is_regression:
        return x[:, 0]
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def check(job: Hyperparameters, rng: np.random.Generator, counts: list[int]) -> None:
    network = random_network(job, rng, scale=(job.enc_dim + job.mlp_dim) ** -0.5)
    inference = CompiledInference(network, CPU)
    for count in counts:
        in0, in1 = (random_lists(rng, count) for _ in range(2))
        vectors = [inference.embed(side, lists) for side, lists in enumerate((in0, in1))]
        found = inference.score(in0, in1)
        assert found.dtype == np.float32
        expected = expected_scores(job, network, vectors)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("enc_dim", [4, 17, 70, 300])
@pytest.mark.parametrize("mlp_dim", [2, 15, 16, 67, 130])
def test_every_size(enc_dim: int, mlp_dim: int, rng: np.random.Generator) -> None:
    check(settings(enc_dim=enc_dim, mlp_dim=mlp_dim, mlp_layers=2), rng, COUNTS)


@pytest.mark.parametrize("output", [2, 3, 16, 17, 30, "mean_squared_error"], ids=str)
@pytest.mark.parametrize("activation", ["linear", "relu", "tanh"])
@pytest.mark.parametrize("layers", [0, 1, 4])
def test_every_head(layers: int, activation: str, output: Any, rng: np.random.Generator) -> None:
    head = {"output_layer": output} if isinstance(output, str) else {"num_classes": output}
    job = settings(mlp_layers=layers, mlp_activation=activation, mlp_dim=40, **head)
    check(job, rng, [1, 3, 40])


@pytest.mark.parametrize(
    "names",
    ["hadamard", "concat", "abs_diff", "abs_diff, concat", "concat, hadamard, abs_diff"],
)
def test_every_comparator(names: str, rng: np.random.Generator) -> None:
    check(settings(comparator_list=names, enc_dim=21, mlp_dim=20), rng, [1, 5, 33])


@pytest.mark.parametrize("layers", [1, 3])
def test_an_lstm_of_many_chunks_answers_in_order(
    layers: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = settings(enc0_network="bilstm", enc0_layers=layers)
    inference = CompiledInference(random_network(job, rng), CPU)
    lists = random_lists(rng, 60)
    expected = inference.embed(0, lists)
    monkeypatch.setattr(compiled_inference, "_LSTM_CHUNK", 1000)
    np.testing.assert_allclose(inference.embed(0, lists), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("count", [1, 40])
def test_nan_stays_nan(count: int, activation: str, rng: np.random.Generator) -> None:
    network = random_network(settings(mlp_activation=activation), rng)
    lists = TokenLists.from_lists([[1]] * count)
    others = TokenLists.from_lists([[2]] * (count - 1) + [[3]])
    inference = CompiledInference(network, CPU)
    assert np.isfinite(inference.score(lists, others)).all()
    table = network.params["embed_0_weight"]
    values = table.data().asnumpy()
    values[3] = np.nan
    network.params["embed_1_weight"].set_data(mx.nd.array(values))
    found = np.isnan(inference.score(lists, others))
    np.testing.assert_array_equal(found, [[False] * 2] * (count - 1) + [[True] * 2])


def test_large_outputs_are_certain(rng: np.random.Generator) -> None:
    network = random_network(settings(num_classes=3), rng)
    network.params["output_layer_bias"].set_data(mx.nd.array([500.0, -500.0, 300.0]))
    lists = random_lists(rng, 5)
    found = CompiledInference(network, CPU).score(lists, lists)
    np.testing.assert_allclose(found, [[1, 0, 0]] * 5, atol=1e-30)
