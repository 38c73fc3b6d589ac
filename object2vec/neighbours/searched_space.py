# SPDX-License-Identifier: Apache-2.0
"""Embeddings as cells hold them and are asked by them: for each question another space."""

from __future__ import annotations

from typing import Optional, Protocol, Union

import numpy as np

from object2vec.data.arrays import Rows, TokenLists
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.inference.every_pair import EveryPair, EverySimilarity
from object2vec.inference.search_space import SearchSpace, search_space
from object2vec.inference.similarities import comparable
from object2vec.model.stored_index import StoredIndex
from object2vec.neighbours.exact_search import Found
from object2vec.raw_values.inputs import SIDES


class Answering(Protocol):
    """A model as an index needs it: a `Predictor`, or two of them on different devices."""

    @property
    def hyperparameters(self) -> Hyperparameters:
        """What the model was trained with."""

    def embeddings(
        self, side: int, lists: TokenLists, max_seq_len: Optional[int] = None
    ) -> np.ndarray:
        """Embed objects; see `Predictor.embeddings`."""

    def every_pair(
        self, classes: Optional[tuple[int, ...]] = None
    ) -> Union[EveryPair, EverySimilarity]:
        """What scores pairs of embeddings; see `Predictor.every_pair`."""


def default_classes(hyperparameters: Hyperparameters) -> Optional[tuple[int, ...]]:
    """The class of two whose probability is the score; None of numbers and of similarities."""
    return (1,) if hyperparameters.classes == 2 else None


class SearchedSpace:
    """How the objects of an index are compared with an object of its own side.

    Parameters
    ----------
    stored : StoredIndex
        The objects.

    Attributes
    ----------
    is_distance : bool
        Whether the smallest Euclidean distance is looked for, not the largest product.
    """

    def __init__(self, stored: StoredIndex) -> None:
        self._stored = stored
        self.is_distance = stored.metric == "euclidean"

    def __len__(self) -> int:
        return len(self._stored)

    def queries(self, embeddings: np.ndarray) -> np.ndarray:
        """What is asked about, float32 ``(q, enc_dim)``, as it is compared, ``(q, width)``."""
        return comparable(embeddings, "cosine" if self._stored.metric == "cosine" else "dot")

    def objects(self, rows: Rows) -> np.ndarray:
        """Some objects of the index as they are compared, float32 ``(m, width)``."""
        return self.queries(self._stored.vectors[rows])

    def told(self, found: Found) -> Found:
        """What a search gives, with the scores that are told of it."""
        return found


class ScoredSpace(SearchedSpace):
    """How the objects of an index are compared with one of the other side: by the model's scores.

    Parameters
    ----------
    stored : StoredIndex
        The objects.
    space : SearchSpace
        The model's.
    """

    def __init__(self, stored: StoredIndex, space: SearchSpace) -> None:
        super().__init__(stored)
        self.is_distance = False
        self._space, self._side = space, SIDES.index(stored.side)

    def queries(self, embeddings: np.ndarray) -> np.ndarray:
        return self._vectors(1 - self._side, embeddings)

    def objects(self, rows: Rows) -> np.ndarray:
        return self._vectors(self._side, self._stored.vectors[rows])

    def told(self, found: Found) -> Found:
        scale, bias = np.float32(self._space.scale), np.float32(self._space.bias)
        return Found(found.places, scale * found.scores + bias)

    def _vectors(self, side: int, embeddings: np.ndarray) -> np.ndarray:
        return comparable(self._space.vectors(side, embeddings), self._space.metric)


def searched_space(stored: StoredIndex, asked: str, model: Answering) -> Optional[SearchedSpace]:
    """The space in which objects of a side are compared with those of an index, None without one.

    Parameters
    ----------
    stored : StoredIndex
        The objects of the index.
    asked : str
        ``in0`` or ``in1``: whose objects are asked about.
    model : Predictor
        What gives the scores.
    """
    if asked == stored.side:
        return SearchedSpace(stored)
    settings = model.hyperparameters
    if settings.classes is not None and settings.classes > 2:
        return None
    space = search_space(model.every_pair(default_classes(settings)))
    return None if space is None else ScoredSpace(stored, space)
