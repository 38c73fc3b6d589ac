# SPDX-License-Identifier: Apache-2.0
"""What the usual tier keeps of a grid."""

from __future__ import annotations

from itertools import combinations, product

import pytest
from grids import covering, crossed

pytestmark = pytest.mark.own_way


@pytest.mark.parametrize("together", [1, 2, 3])
def test_all_values_that_are_to_meet_do(together: int) -> None:
    sizes = (5, 3, 4, 2)
    kept = covering(sizes, together)
    for columns in combinations(range(len(sizes)), together):
        met = {tuple(place[column] for column in columns) for place in kept}
        assert met == set(product(*(range(sizes[column]) for column in columns)))
    assert len(kept) < {1: 6, 2: 24, 3: 72}[together]
    assert kept == covering(sizes, together)


def test_all_combinations_are_there_once_and_some_are_full() -> None:
    cases = list(crossed("abc", "de", "fg"))
    assert ["".join(values) for values, _ in cases] == [
        "".join(values) for values in product("abc", "de", "fg")
    ]
    assert sorted({mark.name for _, marks in cases for mark in marks}) == ["full"]
    assert [] in [marks for _, marks in cases]
    assert all(marks == [] for _, marks in crossed("abc", "de"))
