# SPDX-License-Identifier: Apache-2.0
"""Counts what was looked up in vocabularies, and says how much of it they did not hold."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from object2vec.data.arrays import TokenLists
from object2vec.raw_values.inputs import SIDES, Inputs
from object2vec.text import counted


@dataclass
class Lookups:
    """Counts what was looked up for one side.

    Attributes
    ----------
    values : int
        How many values, words and tags.
    unseen : int
        Those of them that had no id of their own.
    """

    values: int = 0
    unseen: int = 0

    def add(self, others: Lookups) -> None:
        """Count the others, too."""
        self.values += others.values
        self.unseen += others.unseen


@dataclass
class SideLookups:
    """Counts what was looked up for both sides."""

    in0: Lookups = field(default_factory=Lookups)
    in1: Lookups = field(default_factory=Lookups)

    def of(self, side: str) -> Lookups:
        """The counts of ``"in0"`` or ``"in1"``."""
        return self.in0 if side == SIDES[0] else self.in1

    @property
    def unseen(self) -> int:
        """How many values of both sides had no id of their own."""
        return self.in0.unseen + self.in1.unseen

    def add(self, others: SideLookups) -> None:
        """Count the others, too."""
        self.in0.add(others.in0)
        self.in1.add(others.in1)

    def sentence(self) -> str:
        """How many values had no id of their own, and what became of them."""
        told = " and ".join(
            f"{self.of(side).unseen:,} of {counted(self.of(side).values, 'value')} of {side}"
            for side in SIDES
            if self.of(side).unseen
        )
        return (
            f"Unknown to the model are {told}, which are missing or were not seen in training: the "
            "token of unknown values stands for them."
        )


def are_known(inputs: Inputs, side: str, lists: TokenLists) -> np.ndarray:
    """Whether training has seen something of each object, bool ``(n,)``."""
    seen = ~np.isin(lists.tokens, np.array(inputs.unknown_ids(side), np.int32))
    rows = np.repeat(np.arange(len(lists)), lists.lengths)
    return np.bincount(rows, weights=seen, minlength=len(lists)) > 0


def lookups_in(inputs: Inputs, side: str, lists: TokenLists) -> Lookups:
    """Count the values that lists of a side were encoded from."""
    firsts = np.array(inputs.first_ids(side), np.int32)
    columns = np.searchsorted(firsts, lists.tokens, side="right") - 1
    repeats = np.array([column.repeat for column in inputs.side(side).columns])
    is_unseen = lists.tokens == np.array(inputs.unknown_ids(side), np.int32)[columns]
    counts = (np.bincount(part, minlength=len(firsts)) for part in (columns, columns[is_unseen]))
    return Lookups(*(int(np.sum(count // repeats)) for count in counts))
