# SPDX-License-Identifier: Apache-2.0
"""Cuts a request of any size into chunks that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from object2vec.data.arrays import Rows


def length_sorted_chunks(
    lengths: np.ndarray, elements_per_token: int, elements_per_row: int, max_elements: int = 1 << 24
) -> Iterator[Rows]:
    """Cut rows into chunks of similar length whose work fits into memory.

    Parameters
    ----------
    lengths : numpy.ndarray
        int64, shape ``(n,)``: each row's number of tokens.
    elements_per_token, elements_per_row : int
        Elements that the network holds for one token and for one row.
    max_elements : int
        Elements that one chunk may need (4 bytes each).

    Yields
    ------
    numpy.ndarray or slice
        Row numbers; each row is in one chunk. ``slice(None)`` where one chunk holds all.
    """

    def rows_that_fit(longest: int) -> int:
        return max(1, max_elements // (max(1, longest) * elements_per_token + elements_per_row))

    if 0 < len(lengths) <= rows_that_fit(int(lengths.max())):
        yield slice(None)
        return
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        rows = rows_that_fit(int(lengths[order[start]]))
        yield order[start : start + rows]
        start += rows


def compute_in_chunks(
    chunks: Iterable[Rows], shape: tuple[int, ...], compute: Callable[[Rows], np.ndarray]
) -> np.ndarray:
    """Compute the output of a request chunk by chunk.

    Parameters
    ----------
    chunks : iterable of numpy.ndarray or slice
        As of `length_sorted_chunks`.
    shape : tuple of int
        Of the whole output, the number of rows first.
    compute : callable
        Gives the float32 outputs of a chunk's rows.
    """
    output = np.empty(shape, np.float32)
    for rows in chunks:
        part = compute(rows)
        if isinstance(rows, slice):  # all of them
            return part
        output[rows] = part
    return output
