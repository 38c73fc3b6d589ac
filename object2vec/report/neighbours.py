# SPDX-License-Identifier: Apache-2.0
"""The nearest neighbours of every object, exactly, by cosine."""

from __future__ import annotations

import numpy as np

_BLOCK = 1 << 24  # cosines that are held at once


def nearest_of_each(vectors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the vectors that point most nearly the same way as each vector, itself left out.

    Parameters
    ----------
    vectors : numpy.ndarray
        float32, shape ``(n, width)``; the cosine with a vector of zeros is 0.
    count : int
        How many of each; all where there are fewer.

    Returns
    -------
    rows : numpy.ndarray
        int64, shape ``(n, count)``, the nearest first, of equal ones the first row first.
    cosines : numpy.ndarray
        float32, shape ``(n, count)``.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1)
    count = min(count, len(unit) - 1)
    rows = np.empty((len(unit), count), np.int64)
    cosines = np.empty((len(unit), count), np.float32)
    step = max(1, _BLOCK // len(unit))
    for start in range(0, len(unit) if count else 0, step):
        part = unit[start : start + step] @ unit.T
        own = np.arange(len(part))
        part[own, own + start] = -np.inf
        # rows in their order, so that the stable sort leaves equal ones in it
        best = np.sort(np.argpartition(part, -count, axis=1)[:, -count:], axis=1)
        values = np.take_along_axis(part, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        rows[start : start + step] = np.take_along_axis(best, order, axis=1)
        cosines[start : start + step] = np.take_along_axis(values, order, axis=1)
    return rows, np.clip(cosines, -1, 1)
