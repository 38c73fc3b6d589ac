# SPDX-License-Identifier: Apache-2.0
"""The nearest neighbours of every object, exactly, by cosine."""

from __future__ import annotations

import numpy as np

_BLOCK = 1 << 23  # cosines that are held at once
# Cosines of which one alone, the highest, is compared with those of other groups at first.
_STRIDES = 64


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
    size = len(unit)
    count = min(count, size - 1)
    rows = np.empty((size, count), np.int64)
    cosines = np.empty((size, count), np.float32)
    strides = max(1, min(_STRIDES, size // max(count, 1)))
    groups = -(-size // strides)
    step = max(1, _BLOCK // (strides * groups))
    whole = np.full((step, strides * groups), -np.inf, np.float32)
    for start in range(0, size if count else 0, step):
        part = whole[: min(step, size - start)]
        np.matmul(unit[start : start + step], unit.T, out=part[:, :size])
        own = np.arange(len(part))
        part[own, own + start] = -np.inf
        # what is among the best lies in a group whose best is among the best ones of groups
        best_of_each = part.reshape(len(part), strides, groups).max(axis=1)
        chosen = np.argpartition(best_of_each, -count, axis=1)[:, -count:]
        held = (chosen[:, None, :] + groups * np.arange(strides)[:, None]).reshape(len(part), -1)
        # rows in their order, so that the stable sort leaves equal ones in it
        held.sort(axis=1)
        values = np.take_along_axis(part, held, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, :count]
        rows[start : start + step] = np.take_along_axis(held, order, axis=1)
        cosines[start : start + step] = np.take_along_axis(values, order, axis=1)
    return rows, np.clip(cosines, -1, 1)
