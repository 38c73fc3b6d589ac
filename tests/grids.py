# SPDX-License-Identifier: Apache-2.0
"""Grids of cases, of which a covering part is in the usual tier and the rest in ``full``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations, product
from typing import Any

import pytest


def covering(sizes: Sequence[int], together: int) -> set[tuple[int, ...]]:
    """Few of all places of a grid: any values of ``together`` different columns meet in one.

    Parameters
    ----------
    sizes : sequence of int
        How many values each column has.
    together : int
        1: each value comes; 2: each two of different columns come together; and so on.

    Returns
    -------
    set of tuple of int
        Places, each with the number of its value in each column; the same for the same arguments.
    """
    places = list(product(*map(range, sizes)))
    missing = {met for place in places for met in _meetings(place, together)}
    uses: Counter[tuple[int, int]] = Counter()
    chosen = set()
    while missing:
        place = max(
            places,
            key=lambda place: (
                sum(met in missing for met in _meetings(place, together)),
                -sum(uses[value] for value in enumerate(place)),
            ),
        )
        chosen.add(place)
        missing.difference_update(_meetings(place, together))
        uses.update(enumerate(place))
    return chosen


def crossed(*columns: Sequence[Any], together: int = 2) -> Iterator[tuple[Any, Any]]:
    """All combinations of some columns' values, each with a list of its marks: ``full`` or none."""
    usual = covering([len(column) for column in columns], together)
    for place in product(*(range(len(column)) for column in columns)):
        values = tuple(column[number] for column, number in zip(columns, place))
        yield values, [] if place in usual else [pytest.mark.full]


def _meetings(place: tuple[int, ...], together: int) -> Iterator[tuple[tuple[int, int], ...]]:
    return combinations(enumerate(place), together)
