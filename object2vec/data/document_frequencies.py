# SPDX-License-Identifier: Apache-2.0
"""How rare tokens are: inverse document frequencies over token lists."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from object2vec.data.arrays import TokenLists


def inverse_document_frequencies(inputs: Sequence[TokenLists], vocab_size: int) -> np.ndarray:
    """Weigh each token by how few lists hold it.

    ``ln((1 + n) / (1 + df)) + 1`` for a token that ``df`` of ``n`` lists hold: the smooth form of
    scikit-learn's TfidfTransformer. All are then divided by their mean over the tokens of all
    lists, so that a mean of weighted vectors is about as long as one of vectors.

    Parameters
    ----------
    inputs : sequence of TokenLists
        All lists, such as those of in0 and of in1.
    vocab_size : int
        Ids are below it.

    Returns
    -------
    numpy.ndarray
        float32, shape ``(vocab_size,)``; 0 for a token that no list holds,
        such as that of unknown words: nothing would train its random vector.
    """
    holding, occurring = np.zeros(vocab_size, np.int64), np.zeros(vocab_size, np.int64)
    for lists in inputs:
        occurring += np.bincount(lists.tokens, minlength=vocab_size)
        for _, part in lists.parts():
            numbers = np.repeat(np.arange(len(part), dtype=np.int64), part.lengths)
            once = np.unique(numbers * vocab_size + part.tokens)
            holding += np.bincount(once % vocab_size, minlength=vocab_size)
    number = sum(map(len, inputs))
    weights = np.log((1 + number) / (1 + holding)) + 1
    total = occurring.sum()
    mean = weights @ occurring / total if total else 1.0
    weights[occurring == 0] = 0
    return (weights / mean).astype(np.float32)
