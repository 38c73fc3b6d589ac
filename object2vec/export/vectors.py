# SPDX-License-Identifier: Apache-2.0
"""Embeddings with the names of the objects that they belong to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Vectors:
    """The embeddings of distinct objects of one side, and what these are called.

    Parameters
    ----------
    side : str
        ``in0`` or ``in1``.
    names : list of str
        n names, each once.
    vectors : numpy.ndarray
        float32, shape ``(n, enc_dim)``; row i belongs to ``names[i]``.
    """

    side: str
    names: list[str]
    vectors: np.ndarray

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.names) != len(self.vectors):
            raise ValueError(
                f"{len(self.names)} names, but vectors of the shape {self.vectors.shape}"
            )

    def __len__(self) -> int:
        return len(self.names)
