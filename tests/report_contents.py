# SPDX-License-Identifier: Apache-2.0
"""What reports tell of made-up models, of any size, for tests of pages."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
from small_jobs import settings

from object2vec.report.content import Content
from object2vec.report.neighbours import nearest_of_each
from object2vec.report.object_columns import column_of
from object2vec.report.payloads import MapSide
from object2vec.report.projections import WHOLE, Projection

HOSTILE = "</script><img src=x onerror=\"window.hostile = 1\"><b>&amp; 'quoted' \u202e"
HISTORY = [
    {"epoch": 0, "train_cross_entropy": 0.7, "validation_cross_entropy": 0.72},
    {"epoch": 1, "train_cross_entropy": 0.5, "validation_cross_entropy": 0.6},
    {"epoch": 2, "train_cross_entropy": 0.3, "validation_cross_entropy": 0.65},
]


def map_side(
    rng: np.random.Generator, count: int, names: Optional[list[str]] = None, exact: bool = True
) -> MapSide:
    """A side whose object 0 lies in the left lower corner of its map, 1 in the right upper one.

    Exact neighbours of many objects take long; the page takes any.
    """
    vectors = rng.normal(size=(count, 8)).astype(np.float32)
    places = rng.integers(WHOLE // 10, WHOLE // 10 * 9, size=(count, 2)).astype(np.uint16)
    places[:2] = (0, 0), (WHOLE, WHOLE)
    if exact:
        rows, cosines = nearest_of_each(vectors, 10)
    else:
        rows = (np.arange(count)[:, None] + rng.integers(1, count, size=(count, 10))) % count
        cosines = np.sort(rng.uniform(0.2, 1, size=(count, 10)).astype(np.float32))[:, ::-1]
    groups = rng.integers(12, size=count)
    tags = [["red"], ["green", "blue"], []]
    given = [*(f"kind {group}" for group in groups[2:])]
    columns = [
        column_of("kind", ["kind 0", "kind 1", *given]),
        column_of("tags", [tags[place % 3] for place in range(count)]),
        column_of("size", rng.integers(1, 1000, size=count).tolist()),
    ]
    if names is None:
        names = [f"Film number {place} ({1950 + place % 70})" for place in range(count)]
    projections = [
        Projection("One", "The first map.", places),
        Projection("Another", "A second map.", places[::-1].copy(), np.arange(count)),
    ]
    return MapSide("in1", "film", "", names, projections, rows, cosines, columns)


def content(*sides: MapSide, **more: Any) -> Content:
    """What a report tells of a model of classes, without data."""
    given = {"title": "A model", "metrics": {"history": HISTORY, "best_epoch": 1}, **more}
    return Content(hyperparameters=settings(), sides=sides, **given)
