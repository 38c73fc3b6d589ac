# SPDX-License-Identifier: Apache-2.0
"""Shares the objects of an index out among cells, as many of which are searched as recall takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

import numpy as np

from object2vec.data.arrays import TokenLists
from object2vec.model.stored_index import Cells, StoredIndex
from object2vec.neighbours.cell_search import (
    MEASURED,
    CellSearch,
    fewest_probes,
    shared_out,
    truly_nearest,
)
from object2vec.neighbours.searched_space import Answering, SearchedSpace, searched_space
from object2vec.raw_values.inputs import SIDES

#: Up to so many objects are all compared; more are shared out, unless it is said otherwise.
EXACT_UP_TO = 100_000
KINDS = ("auto", "exact", "cells")
# Queries by which the number of cells is chosen, and as many others by which recall is told.
_QUERIES = 500
_FEWEST_TO_HALVE = 100
_SEED = 1


def with_cells(
    stored: StoredIndex,
    model: Answering,
    *,
    others: Optional[TokenLists] = None,
    recall: float = 0.95,
) -> StoredIndex:
    """Share the objects of an index out among cells.

    Parameters
    ----------
    stored : StoredIndex
        The objects.
    model : Predictor
        What gives the scores.
    others : TokenLists, optional
        Objects of the other side, which ask by the model's scores: there are cells for them as well
        where these have a space that can be searched.
    recall : float
        Which share of the 10 nearest is to be found. As many cells are searched as that takes for
        some objects of the index, and of `others`, that are drawn; for 1 all.

    Raises
    ------
    CustomerError
        faiss is missing.
    """
    rng = np.random.default_rng(_SEED)
    drawn = rng.permutation(len(stored))[: 2 * _QUERIES]
    itself = [np.array([place]) for place in drawn]
    space = SearchedSpace(stored)
    cells = {stored.side: _cells(stored, space, stored.vectors[drawn], itself, recall)}
    asked = SIDES[1 - SIDES.index(stored.side)]
    other_space = searched_space(stored, asked, model)
    if others is not None and len(others) and other_space is not None:
        rows = rng.permutation(len(others))[: 2 * _QUERIES]
        embeddings = model.embeddings(SIDES.index(asked), others.take(rows))
        nothing = [np.zeros(0, np.int64)] * len(rows)
        cells[asked] = _cells(stored, other_space, embeddings, nothing, recall)
    return replace(stored, cells=cells)


def _cells(
    stored: StoredIndex,
    space: SearchedSpace,
    embeddings: np.ndarray,
    left_out: list[np.ndarray],
    recall: float,
) -> Cells:
    queries = space.queries(embeddings)
    searched = space.objects, len(space), space.is_distance
    truth = truly_nearest(*searched, queries, MEASURED, left_out)
    cells = shared_out(*searched, _SEED)
    first = second = slice(None)
    if len(queries) >= _FEWEST_TO_HALVE:
        first, second = slice(0, len(queries) // 2), slice(len(queries) // 2, None)
    most = len(cells.centroids)
    if recall == 1:
        cells = replace(cells, codebook=None, probes=most)
    while True:
        search = CellSearch(space.objects, cells, space.is_distance)
        probes = cells.probes
        if recall < 1:
            of_first = queries[first], truth[first], left_out[first]
            probes = fewest_probes(search, *of_first, recall, most)
            # no cells help where codes do not tell the nearest from others
            if cells.codebook is not None and search.recall(*of_first, probes) < recall:
                cells = replace(cells, codebook=None)
                continue
        found = search.recall(queries[second], truth[second], left_out[second], probes)
        return replace(cells, probes=probes, recall=round(found, 4))
