# SPDX-License-Identifier: Apache-2.0
"""What a model is judged by: pairs, what was known before, further candidates, their words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.evaluation.retrieval import Prints


@dataclass(frozen=True, eq=False)
class Words:
    """The words of the same objects, whether or not the model knows them; one id for each word.

    Attributes
    ----------
    in0, in1 : TokenLists
        Of the pairs.
    known : TokenLists or None
        Of in1 of the pairs that were known before.
    others : TokenLists or None
        Of further candidates.
    """

    in0: TokenLists
    in1: TokenLists
    known: Optional[TokenLists] = None
    others: Optional[TokenLists] = None


@dataclass(frozen=True, eq=False)
class Asked:
    """What a model is judged by.

    Attributes
    ----------
    pairs : PairDataset
        With their labels.
    known : PairDataset or None
        Pairs that were known before, such as those for training.
    others : TokenLists or None
        Candidates of in1 beside those of the pairs.
    words : Words or None
        Where both sides are texts.
    prints : Prints or None
        Which objects are the same by their raw values; None where their ids say it.
    """

    pairs: PairDataset
    known: Optional[PairDataset] = None
    others: Optional[TokenLists] = None
    words: Optional[Words] = None
    prints: Optional[Prints] = None
