# SPDX-License-Identifier: Apache-2.0
"""The space in which the order of dot products or cosines is that of a model's own scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Union

import numpy as np

from object2vec.inference.every_pair import Bilinear, EveryPair, EverySimilarity


@dataclass(frozen=True)
class SearchSpace:
    """Where the nearest objects of in1 to one of in0, or the other way round, are those with the
    highest scores.

    Attributes
    ----------
    metric : str
        ``dot`` or ``cosine``; see `similarities.comparable`.
    scale : float
        Above 0.
    bias : float
        A score of `EveryPair` is scale · similarity + bias.
    """

    metric: str
    scale: float
    bias: float
    _sign: int = 1
    _bilinear: Optional[Bilinear] = None

    def vectors(self, side: int, embeddings: np.ndarray) -> np.ndarray:
        """Objects of a side in this space.

        Parameters
        ----------
        side : int
            0 for in0, 1 for in1.
        embeddings : numpy.ndarray
            float32, shape ``(n, enc_dim)``.

        Returns
        -------
        numpy.ndarray
            float32, shape ``(n, width)``, the width being the same for both sides.
        """
        if self._bilinear is None:
            return embeddings if side or self._sign > 0 else -embeddings
        parts = []
        if self._bilinear.product is not None:
            parts.append(embeddings if side else embeddings * self._bilinear.product)
        if self._bilinear.own is not None:
            # the product of [w0·a, 1] and [1, w1·b]
            own = np.ones((len(embeddings), 2), np.float32)
            own[:, side] = embeddings @ self._bilinear.own[side]
            parts.append(own)
        return np.concatenate(parts, axis=1)


def search_space(pairs: Union[EveryPair, EverySimilarity]) -> Optional[SearchSpace]:
    """The space of a scorer, None where it has none.

    Dot product and cosine have one, and so have hadamard and concat where nothing but linear layers
    follows on them and a single number comes out of these: for mean_squared_error, and for two
    classes, of whose probability it is the logarithm of the odds. The output weights of hadamard
    are multiplied into in0's embeddings; for concat each side gets two columns.

    Parameters
    ----------
    pairs : EveryPair or EverySimilarity
        From `every_pair.every_pair`; its classes are those that the order is of.
    """
    if isinstance(pairs, EverySimilarity):
        sign = -1 if pairs.scale < 0 else 1
        return SearchSpace(pairs.scorer, float(abs(pairs.scale)), float(pairs.bias), sign)
    bilinear = pairs.bilinear
    return None if bilinear is None else SearchSpace("dot", 1.0, bilinear.bias, 1, bilinear)
