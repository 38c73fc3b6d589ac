# SPDX-License-Identifier: Apache-2.0
"""Instances that ask for the nearest objects: ``{"in1": …, "nearest": 10}``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from object2vec.data.arrays import TokenLists
from object2vec.data.record_checks import INPUTS
from object2vec.errors import CustomerError
from object2vec.model.stored_index import LeftOut
from object2vec.neighbours.kept_indexes import index_of
from object2vec.text import shown

if TYPE_CHECKING:
    from object2vec.serving.model import Model

NEAREST, AMONG, LEAVE_OUT = "nearest", "among", "leave_out"
#: How many may be asked for.
MOST = 1_000


class Ask(NamedTuple):
    """How many objects of which side an instance asks for."""

    k: int
    among: str


def ask_of(
    instance: Mapping[str, Any],
    held: tuple[bool, bool],
    indexed: Sequence[str],
    classes: Optional[int],
    where: str,
) -> Ask:
    """What an instance asks for that has the key `NEAREST`.

    Parameters
    ----------
    instance : mapping
        With in0 or in1.
    held : tuple of bool
        Which of both it has.
    indexed : sequence of str
        The sides of which the model has an index.
    classes : int, optional
        How many the model has, if any.
    where : str
        Names the instance.

    Raises
    ------
    CustomerError
        It asks for what cannot be given.
    """
    k, among = instance[NEAREST], instance.get(AMONG, "in1")
    if type(k) is not int or not 1 <= k <= MOST:
        raise CustomerError(
            f"nearest must be a whole number from 1 to {MOST}, found {shown(k)} ({where})"
        )
    if held == (True, True):
        raise CustomerError(
            "An instance with nearest must hold either in0 or in1, which the nearest are looked "
            f"for, but not both ({where})"
        )
    if among not in INPUTS:
        raise CustomerError(f"among must be in0 or in1, found {shown(among)} ({where})")
    if among not in indexed:
        kept = f", but one of {indexed[0]} alone" if indexed else ""
        raise CustomerError(
            f"The model has no index of {among}, among which the nearest are to be found{kept}: "
            f"make it by object2vec index --model-dir … --side {among}, with --objects where these "
            f"are texts or of several columns, and start the server anew ({where})"
        )
    if classes is not None and classes > 2 and not held[INPUTS.index(among)]:
        raise CustomerError(
            f"The model tells {classes} classes, none of which is what objects of {among} are to "
            f"be ranked by: ask for the nearest to one of {among} itself ({where})"
        )
    left_out = instance.get(LEAVE_OUT, [])
    if not isinstance(left_out, list):
        raise CustomerError(
            f"leave_out must be a list of objects of {among}, found {shown(left_out)} ({where})"
        )
    return Ask(k, among)


def nearest_rows(
    model: Model,
    side: int,
    lists: TokenLists,
    ask: Ask,
    left_out: Sequence[LeftOut],
    max_seq_len: Optional[int],
) -> list[list[dict[str, Any]]]:
    """What is answered to instances: for each a list of names with scores, the nearest first.

    Parameters
    ----------
    model : Predictor
        With an index of ``ask.among``.
    side : int
        Whose objects are asked about.
    lists : TokenLists
        These objects, ``n``.
    ask : Ask
        Of all instances.
    left_out : sequence of LeftOut
        For each instance the objects that are not to be found.
    max_seq_len : int, optional
        Of the encoder, for this request.
    """
    index = index_of(model, ask.among)
    assert index is not None
    places = [index.places(own) for own in left_out]
    found = index.nearest(INPUTS[side], lists, ask.k, places, max_seq_len=max_seq_len).found
    return [
        [
            {"name": index.names[place], "score": score}
            for place, score in zip(own.places.tolist(), own.scores)
        ]
        for own in found
    ]
