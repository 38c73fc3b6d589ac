# SPDX-License-Identifier: Apache-2.0
"""Small models, trained in a second, that the tests of serving share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from object2vec import Object2Vec

VOCAB = 50
MODELS: dict[str, dict[str, Any]] = {
    "softmax": {
        "enc0_network": "hcnn",
        "enc0_token_embedding_dim": 6,
        "enc1_network": "pooled_embedding",
        "enc1_max_seq_len": 20,
        "enc1_vocab_size": VOCAB + 10,
        "num_classes": 3,
    },
    "regression": {
        "enc0_network": "bilstm",
        "enc0_token_embedding_dim": 6,
        "output_layer": "mean_squared_error",
    },
}


def train(kind: str, folder: Path, **more: Any) -> Path:
    """Train a model of `MODELS` and save it into `folder`."""
    rng = np.random.default_rng(3)
    settings = MODELS[kind]
    pairs = [
        {
            "in0": rng.integers(VOCAB, size=rng.integers(1, 9)).tolist(),
            "in1": rng.integers(VOCAB, size=rng.integers(1, 9)).tolist(),
            "label": int(rng.integers(settings.get("num_classes", 2))),
        }
        for _ in range(64)
    ]
    common = {"enc0_max_seq_len": 12, "enc0_vocab_size": VOCAB, "enc_dim": 8, "mlp_dim": 5}
    model = Object2Vec(
        **{**common, **settings, "epochs": 4, "seed": 1, "learning_rate": 0.05, **more}
    )
    model.fit(pairs).save(folder)
    return folder


def instances(rng: np.random.Generator, number: int, longest: int = 15) -> list[dict[str, Any]]:
    """Pairs of random ids, some longer than the encoders take."""
    return [
        {
            name: rng.integers(VOCAB, size=rng.integers(1, longest)).tolist()
            for name in ("in0", "in1")
        }
        for _ in range(number)
    ]
