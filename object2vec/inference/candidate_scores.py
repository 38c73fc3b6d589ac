# SPDX-License-Identifier: Apache-2.0
"""Scores of any objects of in0 with the same candidates, which are encoded once."""

from __future__ import annotations

from typing import Optional

import numpy as np

from object2vec.data.arrays import TokenLists
from object2vec.inference.predictor import Predictor
from object2vec.inference.sound_answers import finite


class CandidateScores:
    """Scores objects of in0 with candidates.

    Parameters
    ----------
    predictor : Predictor
        The model, as it is now.
    candidates : TokenLists
        ``m`` objects of in1.
    classes : tuple of int, optional
        See `Predictor.candidate_scores`.
    """

    def __init__(
        self, predictor: Predictor, candidates: TokenLists, classes: Optional[tuple[int, ...]]
    ) -> None:
        self._predictor = predictor
        self._vectors = predictor.embeddings(1, candidates)
        self._pairs = predictor.every_pair(classes)

    def of(self, in0: TokenLists) -> np.ndarray:
        """What orders the candidates, float32 ``(n, m)``: log odds, or numbers where no classes.

        Raises
        ------
        UnsoundModelError
            A value is no finite number.
        """
        scores = self._pairs.scores(self._predictor.embeddings(0, in0), self._vectors)
        return finite(scores, "rows of scores")
