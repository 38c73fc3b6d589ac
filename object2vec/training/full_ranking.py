# SPDX-License-Identifier: Apache-2.0
"""Validation by ranking: each in0's positive pairs among all objects of in1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from object2vec.data.arrays import PairDataset
from object2vec.data.in_batch import MOST_CANDIDATES
from object2vec.evaluation.ranking import Ranks, ranks_of
from object2vec.evaluation.retrieval import Retrieval
from object2vec.text import counted

if TYPE_CHECKING:
    from object2vec.inference.predictor import Predictor

#: Objects of in0 that are ranked for at most; more are drawn.
MOST_QUERIES = 1_000


class FullRanking:
    """Ranks the distinct in1 of train and validation for each distinct in0 of validation.

    The queries are the in0 of validation's positive pairs, those with another label than 0; the in1
    of these are what should stand first. The in1 of a query's positive pairs in train are no
    candidates for it, unless validation holds them too. Of more than `MOST_QUERIES` or
    `MOST_CANDIDATES` so many are drawn by the seed; what belongs to a query in validation is always
    among its candidates.

    Parameters
    ----------
    train, validation : PairDataset
        Validation holds one positive pair at least.
    seed : int
        Of the draws.
    """

    def __init__(self, train: PairDataset, validation: PairDataset, seed: int) -> None:
        self._asked = Retrieval.of(
            validation,
            train,
            most_queries=MOST_QUERIES,
            most_candidates=MOST_CANDIDATES,
            seed=seed,
        )

    def ranks(self, predictor: Predictor) -> Ranks:
        """The ranks of validation's positive pairs; those of equal scores count as the worst one.

        Raises
        ------
        UnsoundModelError
            The model gives no finite numbers.
        """
        # what is not of class 0 is positive
        count = predictor.hyperparameters.classes
        classes = None if count is None else tuple(range(1, count))
        asked = self._asked
        scores = predictor.candidate_scores(asked.in0, asked.in1, classes=classes, as_log_odds=True)
        return Ranks.concatenate(
            [ranks_of(scores[block], *asked.masks(block)) for block in asked.blocks()]
        )

    def line(self) -> str:
        """What is ranked, in a sentence."""
        asked = self._asked
        told = [
            f"{of:,} distinct objects of in{side}"
            if len(lists) == of
            else f"{counted(len(lists), 'object')} of in{side} drawn out of {of:,} distinct ones"
            for side, (lists, of) in enumerate(zip((asked.in0, asked.in1), asked.distinct))
        ]
        return (
            f"Validation ranks, for {told[0]} with {counted(asked.relevant.shape[1], 'pair')} of "
            f"another label than 0, {told[1]} of train and validation, without those of an in0's "
            "own pairs of such labels in train."
        )
