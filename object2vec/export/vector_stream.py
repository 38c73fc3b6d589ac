# SPDX-License-Identifier: Apache-2.0
"""Embeddings of many named objects block by block, so that millions need no more memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from object2vec.export.vectors import Vectors

if TYPE_CHECKING:
    from object2vec.data.arrays import TokenLists
    from object2vec.inference.predictor import Predictor

_BLOCK_BYTES = 1 << 25


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

    def blocks(self, rows: int = 0) -> Iterator[Vectors]:
        """All of them in order, `rows` at a time; by default so many as have about 32 MiB.

        Raises
        ------
        UnsoundModelError
            A value is no finite number.
        """
        rows = rows or max(1, _BLOCK_BYTES // (self.width * np.dtype(np.float32).itemsize))
        for start in range(0, len(self), rows):
            part = slice(start, min(start + rows, len(self)))
            vectors = self.predictor.embeddings(int(self.side[-1]), self.lists.take(part))
            yield Vectors(self.side, list(self.names[part]), vectors)

    def all(self) -> Vectors:
        """All of them at once."""
        vectors = self.predictor.embeddings(int(self.side[-1]), self.lists)
        return Vectors(self.side, list(self.names), vectors)
