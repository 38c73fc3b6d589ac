# SPDX-License-Identifier: Apache-2.0
"""What `Object2Vec.scores` is asked: one object or several, and the probability of which class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

from object2vec.data.record_checks import plain
from object2vec.errors import CustomerError
from object2vec.raw_values.inputs import Inputs
from object2vec.raw_values.option_names import option
from object2vec.text import names, quoted


def in_list(inputs: Optional[Inputs], values: Any) -> Any:
    """Objects of a side as they are given; a single one in a list of its own."""
    if inputs is None:
        given = plain(values)
        is_one = (
            isinstance(given, (list, tuple))
            and bool(given)
            and not isinstance(plain(given[0]), (list, tuple))
        )
    else:
        is_one = not isinstance(values, Iterable) or isinstance(values, (str, Mapping))
    return [values] if is_one else values


def scored_classes(
    classes: Optional[Sequence[Any]], chosen: Any, *, has_opposite: bool = True
) -> Optional[tuple[int, ...]]:
    """The class whose probability is the score of a pair; see `Object2Vec.scores`.

    Parameters
    ----------
    classes : sequence, optional
        Their names; None of a model that predicts numbers.
    chosen
        One of the names, or None.
    has_opposite : bool
        Whether each pair has one class, so that the first of two is the opposite of the second.

    Raises
    ------
    CustomerError
        There is no such class, or one of several must be chosen.
    """
    if classes is None:
        if chosen is None:
            return None
        raise CustomerError(
            f"{option('class_')} is {quoted(chosen)}, but this model predicts numbers and has no "
            "classes: leave it out."
        )
    if chosen is None and len(classes) == 2 and has_opposite:
        return (1,)
    chosen = plain(chosen)
    places = [place for place, name in enumerate(classes) if _is_same(name, chosen)]
    if not places:
        raise CustomerError(
            f"{option('class_')} must be the one of the {len(classes)} classes {names(classes)} "
            f"whose probabilities are the scores, found {quoted(chosen)}."
        )
    return (places[0],)


def _is_same(name: Any, chosen: Any) -> bool:
    return type(name) is type(chosen) and bool(name == chosen)
