# SPDX-License-Identifier: Apache-2.0
"""The indexes of a model, made ready once and kept with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional, Protocol

from object2vec.model.stored_index import StoredIndex
from object2vec.neighbours.index import Index
from object2vec.neighbours.searched_space import Answering


class Indexed(Answering, Protocol):
    """A model that may hold indexes."""

    @property
    def indexes(self) -> Mapping[str, StoredIndex]:
        """By the side whose objects they hold."""

    @property
    def kept(self) -> dict[Any, Any]:
        """What is kept with it while it is in memory."""


def index_of(model: Indexed, side: str) -> Optional[Index]:
    """The index of a side's objects that is stored with a model, None where there is none."""
    stored = model.indexes.get(side)
    if stored is None:
        return None
    found = model.kept.get(("index", side))
    if not isinstance(found, Index) or found.stored is not stored:
        found = model.kept["index", side] = Index(stored, model)
    return found
