# SPDX-License-Identifier: Apache-2.0
"""Embeddings of many named objects block by block, so that millions need no more memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from object2vec.export.vectors import Vectors, rows_of_a_block

if TYPE_CHECKING:
    import numpy as np

    from object2vec.data.arrays import TokenLists
    from object2vec.inference.predictor import Predictor


@dataclass(frozen=True, eq=False)
class VectorStream:
    """Distinct objects of one side, embedded when they are asked for.

    Parameters
    ----------
    predictor : Predictor
        The model.
    side : str
        ``in0`` or ``in1``.
    names : sequence of str
        n names, each once.
    lists : TokenLists
        n lists.
    """

    predictor: Predictor
    side: str
    names: Sequence[str]
    lists: TokenLists

    def __len__(self) -> int:
        return len(self.names)

    @property
    def width(self) -> int:
        """Elements of a vector: enc_dim."""
        return self.predictor.hyperparameters.enc_dim

    def blocks(self, rows: int = 0) -> Iterator[tuple[Sequence[str], np.ndarray]]:
        """Names and vectors, `rows` at a time, in order.

        Raises
        ------
        UnsoundModelError
            A value is no finite number.
        """
        rows = rows or rows_of_a_block(self.width)
        for start in range(0, len(self), rows):
            part = slice(start, min(start + rows, len(self)))
            lists = self.lists.take(part)
            yield self.names[part], self.predictor.embeddings(int(self.side[-1]), lists)

    def all(self) -> Vectors:
        """All of them at once."""
        vectors = self.predictor.embeddings(int(self.side[-1]), self.lists)
        return Vectors(self.side, list(self.names), vectors)
