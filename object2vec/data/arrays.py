# SPDX-License-Identifier: Apache-2.0
"""Token lists and labelled pairs in flat arrays: four bytes a token instead of a Python list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Optional, Union

import numpy as np

Rows = Union[np.ndarray, slice]

#: Of lists that are worked on some at a time: small beside any training, large beside a call.
TOKENS_AT_ONCE = 1 << 20


@dataclass(frozen=True, eq=False)
class TokenLists:
    """Many lists of token ids in two flat arrays.

    List ``i`` is ``tokens[offsets[i]:offsets[i + 1]]``.

    Parameters
    ----------
    tokens : numpy.ndarray
        int32, shape ``(total,)``.
    offsets : numpy.ndarray
        int64, shape ``(n + 1,)``; starts with 0 and ends with ``total``.
    """

    tokens: np.ndarray
    offsets: np.ndarray

    def __post_init__(self) -> None:
        if self.tokens.dtype != np.int32 or self.offsets.dtype != np.int64:
            raise ValueError(
                f"tokens must be int32 and offsets int64, not {self.tokens.dtype} and "
                f"{self.offsets.dtype}"
            )
        if self.offsets.ndim != 1 or len(self.offsets) == 0 or self.offsets[-1] != len(self.tokens):
            raise ValueError("offsets must be one-dimensional and end with the number of tokens")

    @classmethod
    def from_lists(cls, lists: Iterable[Sequence[int]]) -> TokenLists:
        """Pack lists of ids that are known to be sound (`dataset.token_lists` checks them)."""
        rows = list(lists)
        tokens = np.array(list(chain.from_iterable(rows)), dtype=np.int32)
        return cls.from_lengths(tokens, np.fromiter(map(len, rows), np.int64, len(rows)))

    @classmethod
    def from_lengths(cls, tokens: np.ndarray, lengths: np.ndarray) -> TokenLists:
        """Pack ids ``(total,)`` that are already joined, given each list's length ``(n,)``."""
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return cls(tokens, offsets)

    @classmethod
    def of_each(cls, tokens: np.ndarray) -> TokenLists:
        """A list of its own for each of the ids, int32 of any shape."""
        return cls(tokens.ravel(), np.arange(tokens.size + 1))

    @classmethod
    def concatenate(cls, parts: Sequence[TokenLists]) -> TokenLists:
        """Join lists one after the other."""
        lengths = np.concatenate([part.lengths for part in parts])
        return cls.from_lengths(np.concatenate([part.tokens for part in parts]), lengths)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        """The ids of one list, int32 ``(length,)``, a view."""
        if not -len(self) <= row < len(self):
            raise IndexError(f"list {row} of {len(self)}")
        row %= len(self)
        return self.tokens[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Number of ids of each list, int64 ``(n,)``."""
        return self.offsets[1:] - self.offsets[:-1]

    @property
    def mean_weights(self) -> np.ndarray:
        """The weight that each id has in the mean over its list, float32 ``(n,)``: 1 / length."""
        return (1.0 / np.maximum(self.lengths, 1)).astype(np.float32)

    def parts(self, most: int = TOKENS_AT_ONCE) -> Iterator[tuple[int, TokenLists]]:
        """All lists in order, some at a time, so that work on them takes memory for these alone.

        Parameters
        ----------
        most : int
            Tokens of a part; a list that is longer is a part by itself.

        Yields
        ------
        int
            The row of the part's first list.
        TokenLists
            The part; its tokens are a view.
        """
        first = 0
        while first < len(self):
            start = self.offsets[first]
            end = int(np.searchsorted(self.offsets, start + most, side="right")) - 1
            # lists without tokens take room, too
            end = min(max(end, first + 1), first + most)
            offsets = self.offsets[first : end + 1] - start
            yield first, TokenLists(self.tokens[start : self.offsets[end]], offsets)
            first = end

    def are_single(self) -> bool:
        """Whether every list holds exactly one id."""
        return len(self.tokens) == len(self) and bool(np.all(self.lengths == 1))

    def truncate(self, max_len: int) -> TokenLists:
        """Keep the first `max_len` ids of each list; the same object when none is longer."""
        lengths = self.lengths
        if len(self.tokens) <= max_len or lengths.max() <= max_len:
            return self
        return self._gather(self.offsets[:-1], np.minimum(lengths, max_len))

    def take(self, index: Rows) -> TokenLists:
        """The lists at the positions `index` (integers, or a mask of length n), in that order.

        ``slice(None)`` stands for all of them: the same object.
        """
        if isinstance(index, slice):
            if index == slice(None):
                return self
            index = np.arange(len(self))[index]
        # takes time for the index alone, not for all lists: each batch of a large set calls it
        rows = np.flatnonzero(index) if index.dtype == bool else index
        starts = self.offsets[rows]
        return self._gather(starts, self.offsets[rows + 1] - starts)

    def _gather(self, starts: np.ndarray, lengths: np.ndarray) -> TokenLists:
        ends = np.cumsum(lengths)
        positions = np.repeat(starts - ends + lengths, lengths)
        positions += np.arange(len(positions), dtype=np.int64)
        return TokenLists.from_lengths(self.tokens[positions], lengths)


@dataclass(frozen=True, eq=False)
class PairDataset:
    """Labelled pairs: list ``i`` of `in0` belongs to list ``i`` of `in1` and to ``labels[i]``.

    Parameters
    ----------
    in0, in1 : TokenLists
        n lists each, cut to the encoders' max_seq_len; whole where training takes random windows.
    labels : numpy.ndarray
        float32, shape ``(n,)``: a class number or a real number; or ``(n, num_classes)``: 1 for
        each class that a pair has, and 0 for the others.
    truncated : int
        How many lists of both inputs were longer than that.
    weights : numpy.ndarray, optional
        float32, shape ``(n,)``, above 0: how much a pair counts; None where all count alike.
    """

    in0: TokenLists
    in1: TokenLists
    labels: np.ndarray
    truncated: int = 0
    weights: Optional[np.ndarray] = None

    def __post_init__(self) -> None:
        if not len(self.in0) == len(self.in1) == len(self.labels):
            raise ValueError(
                f"in0, in1 and labels must be equally long, not {len(self.in0)}, "
                f"{len(self.in1)} and {len(self.labels)}"
            )
        if self.labels.dtype != np.float32:
            raise ValueError(f"labels must be float32, not {self.labels.dtype}")
        if self.weights is not None and self.weights.shape != self.labels.shape[:1]:
            raise ValueError(f"{len(self.labels)} pairs, but weights {self.weights.shape}")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: np.ndarray) -> PairDataset:
        """The pairs at the positions `index` (integers, or a mask of length n), in that order."""
        weights = None if self.weights is None else self.weights[index]
        in0, in1 = self.in0.take(index), self.in1.take(index)
        return PairDataset(in0, in1, self.labels[index], weights=weights)

    @property
    def relative_weights(self) -> Optional[np.ndarray]:
        """The weights, divided by their mean: sums over all pairs become weighted means times n."""
        return None if self.weights is None else by_mean(self.weights)

    @classmethod
    def concatenate(cls, blocks: Iterable[PairDataset]) -> PairDataset:
        """Join datasets; blocks from a generator are freed field by field."""
        tokens: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        lengths: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        labels: list[np.ndarray] = []
        weights: list[np.ndarray] = []
        is_weighted, truncated = False, 0
        for block in blocks:
            for side, lists in enumerate((block.in0, block.in1)):
                tokens[side].append(lists.tokens)
                lengths[side].append(lists.lengths.astype(np.int32))
            labels.append(block.labels)
            is_weighted |= block.weights is not None
            own = np.ones(len(block), np.float32) if block.weights is None else block.weights
            weights.append(own)
            truncated += block.truncated
        in0, in1 = (
            TokenLists.from_lengths(_join(tokens[side], np.int32), _join(lengths[side], np.int32))
            for side in (0, 1)
        )
        joined = _join(weights, np.float32) if is_weighted else None
        return cls(in0, in1, _join(labels, np.float32), truncated, joined)


def by_mean(weights: np.ndarray) -> np.ndarray:
    """Weights ``(n,)`` divided by their mean, float32."""
    return (weights / weights.mean(dtype=np.float64)).astype(np.float32)


def _join(parts: list[np.ndarray], dtype: type) -> np.ndarray:
    """Concatenate arrays and empty their list, so that one field at a time takes memory twice."""
    joined = np.concatenate(parts) if parts else np.zeros(0, dtype)
    parts.clear()
    return joined
