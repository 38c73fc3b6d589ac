# SPDX-License-Identifier: Apache-2.0
"""Dot products and cosines of embeddings in NumPy, pair by pair and of all with all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.in_batch import candidates
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.model.similarity import EPSILON

_CHUNK = 1 << 22  # similarities that are there at a time

Embed = Callable[[int, TokenLists], np.ndarray]


def comparable(vectors: np.ndarray, scorer: str) -> np.ndarray:
    """Embeddings whose products are a scorer's similarities: as they are, or of the length 1.

    Parameters
    ----------
    vectors : numpy.ndarray
        float32, shape ``(n, enc_dim)``.
    scorer : str
        'dot' or 'cosine'.
    """
    if scorer == "dot":
        return vectors
    squares = np.einsum("nd,nd->n", vectors, vectors)[:, None]
    return vectors / np.sqrt(squares + np.float32(EPSILON))


def similarities(vectors0: np.ndarray, vectors1: np.ndarray, scorer: str) -> np.ndarray:
    """The similarities of pairs, float32 ``(n,)``; for the parameters see `comparable`."""
    sides = (comparable(vectors, scorer) for vectors in (vectors0, vectors1))
    return np.einsum("nd,nd->n", *sides)


def scores_of(
    values: np.ndarray, hyperparameters: Hyperparameters, scale: float, bias: float
) -> np.ndarray:
    """What `model.similarity.Similarity` makes of similarities ``(n,)``, before softmax."""
    if hyperparameters.is_contrastive:
        return values
    output = np.float32(scale) * values + np.float32(bias)
    return output if hyperparameters.is_regression else np.stack([0 * output, output], axis=1)


def retrieval_sums(
    pairs: PairDataset,
    hyperparameters: Hyperparameters,
    scale: float,
    embed: Embed,
    scored: Callable[[int], object],
) -> np.ndarray:
    """Judge how a model for in_batch_softmax finds each pair's in1 by its in0.

    It is looked for among all different in1 of the pairs, so that the measure is the same whatever
    batches a model was trained in. Of more than `MOST_CANDIDATES` that many are drawn by the seed,
    and the pair's own in1 comes on top.

    Parameters
    ----------
    pairs : PairDataset
        All are positive.
    hyperparameters : Hyperparameters
        Scorer and seed.
    scale : float
        1 / temperature.
    embed : callable
        Gives the embeddings of lists of a side.
    scored : callable
        Is told how many pairs were scored, chunk by chunk.

    Returns
    -------
    numpy.ndarray
        float64, shape ``(2,)``: the sum of the cross-entropies, without popularity_correction, and
        how many in1 are found first, before all others; by the pairs' relative weights, if any.
    """
    rows, own = candidates(pairs.in1, hyperparameters.seed or 0)
    answers = comparable(embed(1, pairs.in1.take(rows)), hyperparameters.scorer)
    step = max(1, _CHUNK // max(len(rows), hyperparameters.enc_dim))
    sums, weights = np.zeros(2), pairs.relative_weights
    for start in range(0, len(pairs), step):
        part = pairs.take(np.arange(start, min(start + step, len(pairs))))
        asked = comparable(embed(0, part.in0), hyperparameters.scorer) * np.float32(scale)
        places = own[start : start + step]
        found = _found(asked, part.in1, answers, places, hyperparameters, embed)
        sums += found.sum(axis=1) if weights is None else found @ weights[start : start + step]
        scored(len(part))
    return sums


def _found(
    asked: np.ndarray,
    in1: TokenLists,
    answers: np.ndarray,
    own: np.ndarray,
    hyperparameters: Hyperparameters,
    embed: Embed,
) -> np.ndarray:
    logits = asked @ answers.T
    drawn = np.flatnonzero(own >= 0)
    right = np.empty(len(asked), np.float32)
    right[drawn] = logits[drawn, own[drawn]]
    logits[drawn, own[drawn]] = -np.inf
    others = np.flatnonzero(own < 0)
    if len(others):
        vectors = comparable(embed(1, in1.take(others)), hyperparameters.scorer)
        right[others] = np.einsum("nd,nd->n", asked[others], vectors)
    best = logits.max(axis=1)
    highest = np.maximum(best, right)
    with np.errstate(under="ignore"):
        total = np.exp(logits - highest[:, None]).sum(axis=1, dtype=np.float64)
        total += np.exp((right - highest).astype(np.float64))
    entropies = np.log(total) + (highest - right)
    return np.stack([entropies, right > best])
