# SPDX-License-Identifier: Apache-2.0
"""The shapes of the network, and its losses as NumPy computes them."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from numpy_model import NumpyModel
from small_jobs import arrays, random_network, random_pairs, settings

from object2vec.backend.mxnet_import import mx
from object2vec.model.network import Object2VecNetwork

pytestmark = pytest.mark.own_way

COMPARATORS = [
    ",".join(order)
    for number in (1, 2, 3)
    for order in permutations(("hadamard", "concat", "abs_diff"), number)
]


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


@pytest.mark.parametrize(
    ("optimizer", "is_small"),
    [("adam", True), ("adamw", True), ("sgd", False), ("adadelta", False)],
    ids=["adam", "adamw", "sgd", "adadelta"],
)
def test_convolutions_start_small_where_steps_do_not_shrink_with_gradients(
    optimizer: str, is_small: bool, seed: int
) -> None:
    """Of four layers sgd learns nothing from small ones: their gradients vanish."""
    network = Object2VecNetwork(
        settings(enc0_network="hcnn", enc0_layers=2, enc_dim=64, optimizer=optimizer)
    )
    mx.random.seed(seed)
    network.initialize([mx.cpu()])
    for layer, channels in enumerate((6, 32)):
        found = np.abs(network.params[f"source_{layer}_weight"].data().asnumpy()).max()
        usual = (6 / (3 * channels + 3 * 32)) ** 0.5
        largest = (3 * channels) ** -0.5 if is_small else usual
        assert 0.9 * largest < found <= largest * 1.0001


@pytest.mark.parametrize("output", [2, 5, "mean_squared_error"])
@pytest.mark.parametrize(
    "given",
    [
        *({"comparator_list": names} for names in COMPARATORS),
        *(
            {"mlp_activation": activation, "mlp_layers": layers}
            for activation in ("linear", "relu", "tanh")
            for layers in (0, 1, 3)
        ),
    ],
    ids=lambda given: "-".join(map(str, given.values())),
)
def test_losses_are_those_of_numpy(
    given: dict[str, str], output: int | str, rng: np.random.Generator
) -> None:
    """The one that training descends and those that it reports."""
    head = {"output_layer": output} if isinstance(output, str) else {"num_classes": output}
    hyperparameters = settings(enc0_network="pooled_embedding", **given, **head)
    network = random_network(hyperparameters, rng)
    model = NumpyModel(hyperparameters.to_dict(), arrays(network))
    pairs = random_pairs(rng, 14, classes=output if isinstance(output, int) else None)
    lists = list(pairs.in0), list(pairs.in1)
    expected = np.array(model.losses(*lists, pairs.labels))
    vectors = [mx.nd.array(model.embeddings(side, lists[side])) for side in (0, 1)]
    for hybridized in (False, True):
        if hybridized:
            network.hybridize()
        objective, sums = network.loss(*vectors, mx.nd.array(pairs.labels))
        found = np.concatenate([objective.asnumpy(), sums.asnumpy()]) / len(pairs)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
