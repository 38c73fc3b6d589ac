# SPDX-License-Identifier: Apache-2.0
"""A matrix of vectors by token id that a file of word vectors fills."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

import numpy as np

from object2vec.errors import CustomerError
from object2vec.text import named

_FIRST_WORDS = 3

# Why lines are left out, in the words of the log.
WRONG_WIDTH, NO_NUMBERS, NO_UTF8, REPEATED = (
    "of a wrong width",
    "with something else than finite numbers",
    "with a word that is not UTF-8",
    "with a word that came before",
)


class VectorTable:
    """A matrix by token id that is filled from a file.

    Parameters
    ----------
    ids : mapping of bytes to int
        The wanted words, in UTF-8.
    vocab_size, width : int
        Shape of the matrix.

    Attributes
    ----------
    matrix : numpy.ndarray
        float32, ``(vocab_size, width)``; zero where the file gave nothing.
    known : numpy.ndarray
        bool, ``(vocab_size,)``: rows that the file gave.
    vectors : int
        Vectors of the right width in the file, wanted or not.
    skipped : collections.Counter
        Lines that were left out, by reason.
    first_words : list of str
        A few words of the file, for errors.
    """

    def __init__(self, ids: Mapping[bytes, int], vocab_size: int, width: int) -> None:
        self.ids = ids
        self.width = width
        self.matrix = np.zeros((vocab_size, width), dtype=np.float32)
        self.known = np.zeros(vocab_size, dtype=bool)
        self.vectors = 0
        self.skipped: Counter[str] = Counter()
        self.first_words: list[str] = []

    def row_of(self, word: bytes) -> Optional[int]:
        """The row to fill for a word; None if it is not wanted or was there before."""
        if len(self.first_words) < _FIRST_WORDS:
            self.first_words.append(word.decode(errors="replace"))
        row = self.ids.get(word)
        if row is None:
            return None
        if self.known[row]:
            self.skipped[REPEATED] += 1
            return None
        return row

    def check_width(self, path: Path, width: int, width_name: str) -> None:
        """Raise a CustomerError where the vectors of a file have another width.

        Parameters
        ----------
        path : pathlib.Path
            The file.
        width : int
            Of its vectors.
        width_name : str
            The hyperparameter that says the table's width.
        """
        if width != self.width:
            raise CustomerError(
                f"The vectors of {named(path)} have width {width}, but the token table has width "
                f"{self.width}: set {width_name} to {width} or give another file"
            )

    def put(self, row: int, values: np.ndarray) -> None:
        """Fill a row, or count it as left out where a value is no finite float32."""
        if fit_float32(values):
            self.matrix[row] = values
            self.known[row] = True
        else:
            self.skipped[NO_NUMBERS] += 1


def fit_float32(values: np.ndarray) -> bool:
    """Whether all values are finite as float32."""
    return bool(np.all(np.abs(values) <= np.finfo(np.float32).max))
