# SPDX-License-Identifier: Apache-2.0
"""Weights of a table's rows: how much each counts as a pair."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from object2vec.errors import CustomerError
from object2vec.prepare.table_batch import Batch
from object2vec.raw_values.cell_values import number
from object2vec.text import quoted

_SMALLEST, _LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


def encoded_weights(name: str, batch: Batch, kept: np.ndarray) -> np.ndarray:
    """The weights of a batch, float32 ``(rows,)``; NaN where one is missing.

    Parameters
    ----------
    name : str
        Their column.
    batch : Batch
        With it.
    kept : numpy.ndarray
        bool, shape ``(rows,)``: rows that will be pairs; errors name no other.

    Raises
    ------
    CustomerError
        If one is no finite number above 0.
    """
    found = batch.distinct(name)
    values = np.array([_encoded(value) for value in found.values], np.float64)
    weights = values[found.codes] if len(values) else np.zeros(0)
    sound = np.isnan(weights) | ((weights >= _SMALLEST) & (weights <= _LARGEST))
    wrong = np.flatnonzero(~sound & kept)
    if len(wrong):
        row = int(wrong[0])
        raise CustomerError(
            f"The weight {quoted(name)} must be a finite 32-bit number above 0, found "
            f"{quoted(found.values[found.codes[row]])} ({batch.place(row)}): leave out a row that "
            "is not to count."
        )
    weights[~sound] = np.nan
    return weights.astype(np.float32)


def _encoded(value: Any) -> float:
    """A number, NaN where it is missing, -1 for what is no number."""
    found = number(value)
    if found is None:
        return -1.0
    return found if math.isfinite(found) or math.isnan(found) else -1.0
