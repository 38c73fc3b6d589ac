# SPDX-License-Identifier: Apache-2.0
"""Embeddings with the names of the objects that they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from object2vec.export.vector_files import vector_target, write_vectors
from object2vec.extras import extra_module
from object2vec.files import PathLike

_BLOCK_BYTES = 1 << 25


def rows_of_a_block(width: int) -> int:
    """How many vectors are computed or written at once: about 32 MiB."""
    return max(1, _BLOCK_BYTES // (width * np.dtype(np.float32).itemsize))


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

    @property
    def width(self) -> int:
        """Elements of a vector: enc_dim."""
        return int(self.vectors.shape[1])

    def blocks(self) -> Iterator[tuple[Sequence[str], np.ndarray]]:
        """Names and vectors of some rows at a time, in order."""
        rows = rows_of_a_block(self.width)
        for start in range(0, len(self), rows):
            yield self.names[start : start + rows], self.vectors[start : start + rows]

    def save(self, path: PathLike, format: Optional[str] = None) -> None:
        """Write a file that other tools read, as a whole or not at all.

        Parameters
        ----------
        path : path-like
            Replaced where it exists. Its suffix tells the format.
        format : str, optional
            ``word2vec`` (.txt, .vec) or ``word2vec-binary`` (.bin), in which white space in names
            becomes underscores; ``npy``, beside which the names stand in a file with the suffix
            .names.jsonl, a JSON text a line; ``parquet`` or ``arrow`` (.arrow, .feather) with the
            columns ``name`` and ``embedding``; ``projector`` (.tsv) of TensorFlow's Embedding
            Projector, beside which the names stand in a file with the suffix .metadata.tsv.

        Raises
        ------
        CustomerError
            There is no such format, two names would be the same in it, or the file cannot be
            written.
        PlatformError
            There is no space left.
        """
        write_vectors(self, vector_target(path, format))

    def to_pandas(self) -> Any:
        """A frame with the columns 0 to enc_dim - 1 whose index are the names.

        Raises
        ------
        CustomerError
            If pandas is missing.
        """
        pandas = extra_module("pandas", "A frame needs pandas", "pandas 'numpy<2'")
        return pandas.DataFrame(self.vectors, index=pandas.Index(self.names, name="name"))
