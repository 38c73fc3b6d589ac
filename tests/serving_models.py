# SPDX-License-Identifier: Apache-2.0
"""Small models, trained in a second, that the tests of serving share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import numpy as np

from object2vec import Object2Vec
from object2vec.inference.predictor import Predictor
from object2vec.model.model_directory import save_model
from object2vec.prepare.columns import ColumnChoice
from object2vec.prepare.table_choice import TableChoice
from object2vec.prepare.table_pairs import table_pairs

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


# A table of every kind of column: an id, a number; tags, an id, a text.
RAW_TABLE = [
    {
        "user": f"u{i % 7}",
        "age": 20 + i % 5 * 10,
        "genres": ("Drama|War", "Comedy", "Crime|Drama", "Children's")[i % 4],
        "film": 100 + i % 9,
        "plot": ("A soccer game in the rain.", "Two men rob a bank", "Ein Märchen, 愛と死")[i % 3],
        "liked": ("no", "yes")[i % 2 ^ i % 3 % 2],
    }
    for i in range(126)
]


def train_raw(folder: Path, names: Optional[str] = None, **more: Any) -> Path:
    """Train a model on RAW_TABLE, which it takes raw values of, and save it into `folder`.

    Its columns are renamed to `names`, a character each.
    """
    user, age, genres, film, plot, liked = names or RAW_TABLE[0]
    found = table_pairs(
        [dict(zip(names or row, row.values())) for row in RAW_TABLE],
        TableChoice(
            in0=[
                ColumnChoice(user, "id", repeat=2),
                ColumnChoice(age, "number", bins=[25, 35, 45]),
            ],
            in1=[ColumnChoice(genres, "tags"), film, ColumnChoice(plot, "text")],
            label=liked,
        ),
    )
    pairs = found.pairs["train"]
    records = [
        {"in0": pairs.in0[i].tolist(), "in1": pairs.in1[i].tolist(), "label": int(pairs.labels[i])}
        for i in range(len(pairs))
    ]
    networks = {f"enc{side}_network": "pooled_embedding" for side in (0, 1)}
    small = {"enc_dim": 8, "mlp_dim": 5, "epochs": 9, "seed": 1, "learning_rate": 0.05}
    settings = {**networks, **found.inputs.sizes(), **small, **more}
    Object2Vec(**settings).fit(records).save(folder)
    save_model(folder, Predictor.load(folder).network, inputs=found.inputs)
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
