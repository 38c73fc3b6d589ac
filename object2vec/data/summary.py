# SPDX-License-Identifier: Apache-2.0
"""What pairs are like, in few numbers that a model keeps: lengths, frequencies, labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import numpy as np

from object2vec.data.arrays import PairDataset, TokenLists

# Bars that a histogram has at most.
_MOST_BARS = 24


def summary(
    channels: Mapping[str, Optional[PairDataset]], classes: Optional[int]
) -> dict[str, Any]:
    """Describe the pairs of each channel, as values of JSON of a few kilobytes.

    Parameters
    ----------
    channels : mapping of str to PairDataset
        By name; None is left out.
    classes : int, optional
        Number of classes, None where labels are numbers.

    Returns
    -------
    dict
        Of each channel ``pairs``, ``labels``, whether they are ``weighted``, and of each side
        ``in0`` and ``in1`` the number of tokens, of distinct ones, and histograms: ``lengths`` of
        lists in tokens, and ``frequencies``, how many tokens occur how often. A bar is ``[first,
        last, count]``.
    """
    return {
        name: _of_pairs(pairs, classes) for name, pairs in channels.items() if pairs is not None
    }


def _of_pairs(pairs: PairDataset, classes: Optional[int]) -> dict[str, Any]:
    return {
        "pairs": len(pairs),
        "in0": _of_lists(pairs.in0),
        "in1": _of_lists(pairs.in1),
        "labels": _of_labels(pairs.labels, classes),
        "weighted": pairs.weights is not None,
    }


def _of_lists(lists: TokenLists) -> dict[str, Any]:
    counts = np.bincount(lists.tokens) if len(lists.tokens) else np.zeros(0, np.int64)
    counts = counts[counts > 0]
    return {
        "tokens": len(lists.tokens),
        "distinct": len(counts),
        "lengths": whole_bars(lists.lengths),
        "frequencies": doubling_bars(counts),
    }


def _of_labels(labels: np.ndarray, classes: Optional[int]) -> dict[str, Any]:
    if not len(labels):
        return {}
    if labels.ndim == 2:
        return {"counts": labels.sum(axis=0, dtype=np.float64).astype(np.int64).tolist()}
    values = labels.astype(np.float64)
    if classes is not None:
        return {"counts": np.bincount(values.astype(np.int64), minlength=classes).tolist()}
    distinct = np.unique(values[:100_000])
    found: dict[str, Any] = {"mean": float(values.mean()), "deviation": float(values.std())}
    if len(distinct) <= _MOST_BARS:
        distinct, counts = np.unique(values, return_counts=True)
        if len(distinct) <= _MOST_BARS:
            bars = [
                [value, value, count] for value, count in zip(distinct.tolist(), counts.tolist())
            ]
            return {**found, "bars": bars}
    counts, edges = np.histogram(values, _MOST_BARS)
    bars = [list(bar) for bar in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist())]
    return {**found, "bars": bars}


def whole_bars(values: np.ndarray) -> list[list[int]]:
    """A histogram of whole numbers from 0: of each one, or of equally many where they are many.

    Examples
    --------
    >>> whole_bars(np.array([1, 1, 3]))
    [[1, 1, 2], [2, 2, 0], [3, 3, 1]]
    """
    if not len(values):
        return []
    low, high = int(values.min()), int(values.max())
    width = -(-(high - low + 1) // _MOST_BARS)
    counts = np.bincount((values - low) // width)
    return [
        [low + place * width, min(low + (place + 1) * width - 1, high), count]
        for place, count in enumerate(counts.tolist())
    ]


def doubling_bars(counts: np.ndarray) -> list[list[int]]:
    """A histogram of whole numbers from 1 whose bars each reach twice as far as the one before.

    Examples
    --------
    >>> doubling_bars(np.array([1, 1, 2, 5]))
    [[1, 1, 2], [2, 3, 1], [4, 7, 1]]
    """
    if not len(counts):
        return []
    # exact for all whole numbers that a float holds
    places = np.frexp(counts.astype(np.float64))[1] - 1
    return [
        [2**place, 2 ** (place + 1) - 1, count]
        for place, count in enumerate(np.bincount(places).tolist())
    ]
