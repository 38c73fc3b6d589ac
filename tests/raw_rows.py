# SPDX-License-Identifier: Apache-2.0
"""Rows of raw values, and what their values are as ids: what tests of the Python API share."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from object2vec import Object2Vec
from object2vec.raw_values.encode_values import encode_side

USERS, FILMS = 12, 20
GENRES = ("Drama|War", "Crime", "Comedy|Crime", "War")
SMALL: dict[str, Any] = {"enc_dim": 8, "epochs": 2, "mini_batch_size": 64, "seed": 3}
COLUMNS: dict[str, Any] = {"in0": "user", "in1": ["film", "genres"]}


def rows_of(count: int) -> list[dict[str, Any]]:
    """Each user meets each film once before any twice; odd users like odd films."""
    rows = []
    for row in range(count):
        user, film = row % USERS, (row // USERS * 7 + row) % FILMS
        likes = user % 2 == film % 2
        rows.append(
            {"user": f"u{user}", "film": f"Film, {film}", "genres": GENRES[film % 4],
             "stars": 4 + film % 2 if likes else 1 + film % 2, "liked": "yes" if likes else "no"}
        )  # fmt: skip
    return rows


ROWS = rows_of(230)
FRAME = pd.DataFrame(ROWS)


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def ids(model: Object2Vec, side: str, values: Any) -> list[list[int]]:
    assert model.inputs is not None
    lists = encode_side(model.inputs, side, values)
    return [part.tolist() for part in np.split(lists.tokens, lists.offsets[1:-1])]


def positive(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["liked"] == "yes"]


def stars_model() -> Object2Vec:
    """A model of numbers, with validation."""
    return Object2Vec.from_table(ROWS, label="stars", validation=0.2, **COLUMNS, **SMALL)


def liked_model() -> Object2Vec:
    """A model of two classes with names."""
    return Object2Vec.from_table(FRAME, label="liked", **COLUMNS, **SMALL)
