# SPDX-License-Identifier: Apache-2.0
"""Small models with random weights, one of each kind that a target asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from small_jobs import VOCAB, random_network, settings

from object2vec.backend.mxnet_import import mx
from object2vec.model.model_directory import save_model
from object2vec.pretrained.vocabularies import as_vocab

from .raw_values import INPUTS

RAW = "raw"
_SETTINGS: dict[str, dict[str, Any]] = {
    "hcnn": {"enc1_network": "pooled_embedding", "enc1_vocab_size": VOCAB + 10, "num_classes": 3},
    "bilstm": {"enc0_network": "bilstm", "output_layer": "mean_squared_error"},
    "pooled": {
        "enc0_network": "pooled_embedding",
        "tied_token_embedding_weight": True,
        "token_embedding_storage_type": "row_sparse",
    },
    "similarity": {
        "enc0_network": "hcnn",
        "scorer": "cosine",
        "output_layer": "in_batch_softmax",
        "learn_temperature": True,
        "tied_encoders": True,
    },
    "many labels": {
        "enc0_network": "pooled_embedding",
        "output_layer": "multi_label",
        "num_classes": 3,
        "class_weights": (0.5, 2.0, 1.0),
    },
    # It takes raw values besides.
    RAW: {"enc0_network": "pooled_embedding", "num_classes": 2},
}
MODELS = tuple(_SETTINGS)


def save(kind: str, folder: Path) -> Path:
    """Write the model directory of a kind, with vocabularies where the encoders are tied."""
    # Names that do not count on from those of other networks in this process.
    with mx.name.NameManager():
        network = random_network(settings(**_SETTINGS[kind]), np.random.default_rng(1))
        vocabulary = as_vocab({f"word{token}": token for token in range(VOCAB)})
        tied = network.hyperparameters.tied_token_embedding_weight
        save_model(
            folder,
            network,
            vocabularies=(vocabulary, vocabulary) if tied else (None, None),
            inputs=INPUTS if kind == RAW else None,
        )
    return folder
