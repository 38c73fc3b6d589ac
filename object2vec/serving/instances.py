# SPDX-License-Identifier: Apache-2.0
"""Checks the instances of a request and sorts them into groups by the inputs that they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from object2vec.data.arrays import TokenLists
from object2vec.data.record_checks import INPUTS, pack_lists
from object2vec.errors import CustomerError
from object2vec.raw_values.encode_values import object_lists
from object2vec.raw_values.inputs import Inputs
from object2vec.raw_values.lookups import SideLookups
from object2vec.serving.mistaken_bodies import mistaken_string
from object2vec.text import shown

if TYPE_CHECKING:
    from object2vec.serving.model import Model

Name = Callable[[int], str]
INSTANCE: Name = "instance {}, counting from 0".format


@dataclass(frozen=True)
class InstanceFormat:
    """What a model takes for in0 and in1.

    Parameters
    ----------
    vocab_sizes : tuple of int
        Ids of in0 and in1 are below them.
    inputs : Inputs, optional
        Which raw value has which id; None for a model that takes ids only.
    """

    vocab_sizes: tuple[int, int]
    inputs: Optional[Inputs] = None

    @classmethod
    def of(cls, model: Model) -> InstanceFormat:
        """What `model` takes."""
        enc0, enc1 = model.hyperparameters.encoders
        return cls((enc0.vocab_size, enc1.vocab_size), model.inputs)


@dataclass(frozen=True, eq=False)
class Group:
    """The instances of a request that hold the same inputs.

    Parameters
    ----------
    positions : numpy.ndarray
        int64 ``(k,)``, where these instances stand in the request.
    in0, in1 : TokenLists, optional
        k lists each; None for an input that these instances lack.
    """

    positions: np.ndarray
    in0: Optional[TokenLists]
    in1: Optional[TokenLists]


@dataclass(frozen=True, eq=False)
class Request:
    """`count` instances, sorted into groups by the inputs that they hold.

    Parameters
    ----------
    count : int
        How many instances there are.
    groups : tuple of Group
        All of them.
    lookups : SideLookups
        How many raw values they held.
    """

    count: int
    groups: tuple[Group, ...]
    lookups: SideLookups


def group_instances(
    instances: Sequence[Any],
    taken: InstanceFormat,
    name: Name = INSTANCE,
    of_document: str = "",
    exact: Callable[[], Sequence[Any]] = tuple,
) -> Request:
    """Check instances and sort them into groups by the inputs that they hold.

    Parameters
    ----------
    instances : sequence
        Mappings with ``in0``, ``in1`` or both; other keys are ignored.
    taken : InstanceFormat
        Of the model.
    name : callable
        Names the instance at a position, for error texts.
    of_document : str
        What the error adds of an instance that holds instances itself.
    exact : callable
        Gives the instances once more, parsed so that no raw value is changed; see
        `exact_values.exact_instances`. It is asked where there are such values.

    Raises
    ------
    CustomerError
        Names an instance that is not sound, the field and the reason.
    """
    positions: dict[tuple[bool, bool], list[int]] = {}
    for position, instance in enumerate(instances):
        if not isinstance(instance, Mapping):
            found = mistaken_string(instance)
            text = f"must be an object with in0, in1 or both, found {shown(instance)}"
            raise CustomerError(f"An instance {found or text} ({name(position)})")
        held = ("in0" in instance, "in1" in instance)
        if held == (False, False):
            hint = of_document if "instances" in instance else ""
            raise CustomerError(
                "An instance must hold in0 and in1 for scores, or one of them for its embedding, "
                f"found {shown(list(instance))}{hint} ({name(position)})"
            )
        positions.setdefault(held, []).append(position)
    groups = []
    lookups = SideLookups()
    is_exact = taken.inputs is None
    for held, members in positions.items():
        lists: list[Optional[TokenLists]] = [None, None]
        where = partial(_name_of_member, name, members)
        for side, field in enumerate(INPUTS):
            if held[side]:
                size = taken.vocab_sizes[side]
                packed = pack_lists([instances[position][field] for position in members], size)
                if packed is None:
                    if not is_exact:
                        instances, is_exact = exact() or instances, True
                    values = [instances[position][field] for position in members]
                    counts = lookups.of(field)
                    packed = object_lists(taken.inputs, field, values, size, where, counts)
                lists[side] = packed
        groups.append(Group(np.array(members, dtype=np.int64), lists[0], lists[1]))
    return Request(len(instances), tuple(groups), lookups)


def _name_of_member(name: Name, members: Sequence[int], index: int) -> str:
    return name(members[index])


def join_requests(requests: Sequence[Request]) -> Request:
    """One request with the instances of all, in order."""
    if len(requests) == 1:
        return requests[0]
    kinds: dict[tuple[bool, bool], list[Group]] = {}
    count = 0
    lookups = SideLookups()
    for request in requests:
        for group in request.groups:
            moved = Group(group.positions + count, group.in0, group.in1)
            kinds.setdefault((group.in0 is None, group.in1 is None), []).append(moved)
        count += request.count
        lookups.add(request.lookups)
    groups = []
    for members in kinds.values():
        positions = np.concatenate([group.positions for group in members])
        sides = []
        for field in INPUTS:
            # all of them hold this input, or none does
            lists = [found for group in members if (found := getattr(group, field)) is not None]
            sides.append(TokenLists.concatenate(lists) if lists else None)
        groups.append(Group(positions, *sides))
    return Request(count, tuple(groups), lookups)
