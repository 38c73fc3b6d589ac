# SPDX-License-Identifier: Apache-2.0
"""Checks the instances of a request and sorts them into groups by the inputs that they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from object2vec.data.arrays import TokenLists
from object2vec.data.record_checks import INPUTS, pack_lists
from object2vec.errors import CustomerError
from object2vec.model.stored_index import LeftOut, StoredIndex
from object2vec.raw_values.encode_values import object_lists
from object2vec.raw_values.inputs import Inputs
from object2vec.raw_values.lookups import SideLookups, lookups_in
from object2vec.serving.mistaken_bodies import mistaken_string
from object2vec.serving.nearest_instances import LEAVE_OUT, NEAREST, Ask, ask_of
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
    indexes : mapping of str to StoredIndex, optional
        By the side whose objects they hold.
    classes : int, optional
        How many classes it tells, if any.
    """

    vocab_sizes: tuple[int, int]
    inputs: Optional[Inputs] = None
    indexes: Optional[Mapping[str, StoredIndex]] = None
    classes: Optional[int] = None

    @classmethod
    def of(cls, model: Model) -> InstanceFormat:
        """What `model` takes."""
        enc0, enc1 = model.hyperparameters.encoders
        sizes = enc0.vocab_size, enc1.vocab_size
        return cls(sizes, model.inputs, model.indexes, model.hyperparameters.classes)

    def called(self, side: str, values: Sequence[Any], lists: TokenLists) -> TokenLists:
        """See `StoredIndex.called`; the lists as they are where there is no index of the side."""
        index = (self.indexes or {}).get(side)
        return lists if index is None else index.called(values, lists, self.inputs)


@dataclass(frozen=True, eq=False)
class Group:
    """The instances of a request that hold the same inputs.

    Parameters
    ----------
    positions : numpy.ndarray
        int64 ``(k,)``, where these instances stand in the request.
    in0, in1 : TokenLists, optional
        k lists each; None for an input that these instances lack.
    ask : Ask, optional
        Where they ask for the nearest objects.
    left_out : tuple of LeftOut
        Of these, the objects that are not to be found, for each instance.
    """

    positions: np.ndarray
    in0: Optional[TokenLists]
    in1: Optional[TokenLists]
    ask: Optional[Ask] = None
    left_out: tuple[LeftOut, ...] = ()


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
    positions: dict[tuple[tuple[bool, bool], Optional[Ask]], list[int]] = {}
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
        ask = None
        if NEAREST in instance:
            ask = ask_of(instance, held, tuple(taken.indexes or ()), taken.classes, name(position))
        positions.setdefault((held, ask), []).append(position)
    groups = []
    lookups = SideLookups()
    is_exact = taken.inputs is None
    for (held, ask), members in positions.items():
        lists: list[Optional[TokenLists]] = [None, None]
        where = partial(_name_of_member, name, members)
        left_out: tuple[LeftOut, ...] = ()
        if ask is not None:
            instances, is_exact = (instances if is_exact else exact() or instances), True
            left_out = _left_out([instances[position] for position in members], ask, taken, where)
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
                    if ask is not None and taken.inputs is not None:
                        before, packed = packed, taken.called(field, values, packed)
                        if packed is not before:
                            # what an index knows by its name is not unseen
                            was, now = (
                                lookups_in(taken.inputs, field, p) for p in (before, packed)
                            )
                            counts.unseen += now.unseen - was.unseen
                lists[side] = packed
        places = np.array(members, dtype=np.int64)
        groups.append(Group(places, lists[0], lists[1], ask, left_out))
    return Request(len(instances), tuple(groups), lookups)


def _left_out(
    instances: Sequence[Mapping[str, Any]], ask: Ask, taken: InstanceFormat, where: Name
) -> tuple[LeftOut, ...]:
    index = (taken.indexes or {})[ask.among]
    size = taken.vocab_sizes[INPUTS.index(ask.among)]
    found = []
    for row, instance in enumerate(instances):
        values = instance.get(LEAVE_OUT, [])
        name = partial(_name_of_left_out, where(row))
        lists = object_lists(taken.inputs, ask.among, values, size, name)
        found.append(index.left_out(values, lists, taken.inputs))
    return tuple(found)


def _name_of_left_out(instance: str, index: int) -> str:
    return f"object {index} of {LEAVE_OUT}, counting from 0, of {instance}"


def _name_of_member(name: Name, members: Sequence[int], index: int) -> str:
    return name(members[index])


def join_requests(requests: Sequence[Request]) -> Request:
    """One request with the instances of all, in order."""
    if len(requests) == 1:
        return requests[0]
    kinds: dict[tuple[bool, bool, Optional[Ask]], list[Group]] = {}
    count = 0
    lookups = SideLookups()
    for request in requests:
        for group in request.groups:
            moved = replace(group, positions=group.positions + count)
            kind = (group.in0 is None, group.in1 is None, group.ask)
            kinds.setdefault(kind, []).append(moved)
        count += request.count
        lookups.add(request.lookups)
    groups = []
    for (_, _, ask), members in kinds.items():
        positions = np.concatenate([group.positions for group in members])
        sides = []
        for field in INPUTS:
            # all of them hold this input, or none does
            lists = [found for group in members if (found := getattr(group, field)) is not None]
            sides.append(TokenLists.concatenate(lists) if lists else None)
        left_out = tuple(chain.from_iterable(group.left_out for group in members))
        groups.append(Group(positions, sides[0], sides[1], ask, left_out))
    return Request(count, tuple(groups), lookups)
