# SPDX-License-Identifier: Apache-2.0
"""What labels are guessed to be without a model: means and shares of labels that are known."""

from __future__ import annotations

from typing import Optional

import numpy as np

from object2vec.data.arrays import PairDataset
from object2vec.evaluation.retrieval import Prints


def guessed_numbers(
    pairs: PairDataset, known: Optional[PairDataset], prints: Optional[Prints] = None
) -> dict[str, np.ndarray]:
    """Numbers that are guessed for pairs.

    Parameters
    ----------
    pairs : PairDataset
        What is guessed for.
    known : PairDataset, optional
        Where labels are known from, such as the pairs for training.
    prints : Prints, optional
        Which objects are the same; by default those whose token lists are.

    Returns
    -------
    dict of str to numpy.ndarray
        float64 ``(n,)`` each. ``global mean`` of the known labels; ``in0 mean`` and ``in1 mean``,
        those of the known pairs with the same object, or the global mean where there is none.
        Without known pairs ``mean of these labels`` alone.
    """
    if known is None:
        return {"mean of these labels": np.full(len(pairs), _mean(pairs))}
    overall = _mean(known)
    prints = Prints.of(pairs, known) if prints is None else prints
    return {
        "global mean": np.full(len(pairs), overall),
        "in0 mean": _means(prints.in0, prints.known0, known, overall),
        "in1 mean": _means(prints.in1, prints.known1, known, overall),
    }


def guessed_classes(
    pairs: PairDataset, known: Optional[PairDataset], num_classes: int
) -> dict[str, np.ndarray]:
    """Logarithms of the probabilities of classes that are guessed for every pair.

    Parameters
    ----------
    pairs, known
        See `guessed_numbers`.
    num_classes : int
        How many classes.

    Returns
    -------
    dict of str to numpy.ndarray
        float64 ``(n, num_classes)``: ``class prior``, the shares of the classes in the known
        labels, or ``shares of these classes``. A class that does not occur in the known labels
        counts as if it did once, so that its probability is not 0.
    """
    name, source = _source(pairs, known)
    counts = np.bincount(source.labels.astype(np.int64), source.weights, minlength=num_classes)
    asked = np.bincount(pairs.labels.astype(np.int64), minlength=num_classes) > 0
    counts = np.where((counts == 0) & asked, 1, counts)
    with np.errstate(divide="ignore"):
        shares = np.log(counts / counts.sum())
    return {name: np.tile(shares, (len(pairs), 1))}


def guessed_label_sets(pairs: PairDataset, known: Optional[PairDataset]) -> dict[str, np.ndarray]:
    """Logarithms of the odds of classes that are guessed for every pair.

    As `guessed_classes`, where a pair may have several classes. A class that no known pair has, or
    each, counts as if half a pair were otherwise.
    """
    name, source = _source(pairs, known)
    weights = np.ones(len(source)) if source.weights is None else source.weights.astype(np.float64)
    counts, total = weights @ source.labels, weights.sum()
    counts = np.clip(counts, weights.min() / 2, total - weights.min() / 2)
    return {name: np.tile(np.log(counts / (total - counts)), (len(pairs), 1))}


def _source(pairs: PairDataset, known: Optional[PairDataset]) -> tuple[str, PairDataset]:
    return ("shares of these classes", pairs) if known is None else ("class prior", known)


def _mean(pairs: PairDataset) -> float:
    return float(np.average(pairs.labels.astype(np.float64), weights=pairs.weights))


def _means(
    wanted: np.ndarray, held: np.ndarray, known: PairDataset, otherwise: float
) -> np.ndarray:
    prints, places = np.unique(held, return_inverse=True)
    weights = np.ones(len(known)) if known.weights is None else known.weights.astype(np.float64)
    totals = np.bincount(places, weights * known.labels) / np.bincount(places, weights)
    found = np.minimum(np.searchsorted(prints, wanted), len(prints) - 1)
    return np.where(prints[found] == wanted, totals[found], otherwise)
