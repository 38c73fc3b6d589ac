# SPDX-License-Identifier: Apache-2.0
"""Shapes told by the hyperparameters alone are those of the network."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_jobs import random_network, settings

from object2vec.model.model_directory import save_model
from object2vec.model.network import Object2VecNetwork
from object2vec.model.parameter_files import file_size
from object2vec.model.parameter_shapes import parameter_shapes

pytestmark = pytest.mark.own_way

PAIRS = list(itertools.product(("hcnn", "bilstm", "pooled_embedding"), repeat=2))
OTHERS: list[dict[str, Any]] = [
    {},
    {"enc_dim": 9, "mlp_layers": 3, "num_classes": 5, "comparator_list": "concat,abs_diff"},
    {"mlp_layers": 0, "output_layer": "mean_squared_error", "comparator_list": "hadamard"},
    {"enc0_layers": 3, "enc1_layers": 2, "enc0_cnn_filter_width": 4, "enc_dim": 11},
    {"enc1_vocab_size": 31, "enc1_token_embedding_dim": 7},
    {"output_layer": "multi_label", "num_classes": 5},
    {"scorer": "dot"},
    {"scorer": "cosine", "output_layer": "mean_squared_error"},
    {"scorer": "dot", "output_layer": "in_batch_softmax"},
    {"scorer": "cosine", "output_layer": "in_batch_softmax", "learn_temperature": True},
]


@pytest.mark.parametrize("others", OTHERS, ids=str)
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_names_order_and_shapes(pair: tuple[str, str], others: dict[str, Any]) -> None:
    given = settings(**{"enc0_network": pair[0], "enc1_network": pair[1], **others})
    network = Object2VecNetwork(given)
    expected = {name: value.shape for name, value in network.params.items()}
    assert list(parameter_shapes(given).items()) == list(expected.items())


def test_size_of_the_file(tmp_path: Path, rng: np.random.Generator) -> None:
    given = settings(enc0_network="hcnn", enc1_network="bilstm")
    save_model(tmp_path, random_network(given, rng))
    (path,) = tmp_path.glob("*.params")
    assert path.stat().st_size == file_size(parameter_shapes(given))


@pytest.mark.parametrize("network", ["hcnn", "bilstm", "pooled_embedding"])
@pytest.mark.parametrize("tied", ["tied_token_embedding_weight", "tied_encoders"])
def test_tied(network: str, tied: str) -> None:
    given = settings(enc0_network=network, **{tied: True})
    expected = {name: value.shape for name, value in Object2VecNetwork(given).params.items()}
    assert list(parameter_shapes(given).items()) == list(expected.items())
