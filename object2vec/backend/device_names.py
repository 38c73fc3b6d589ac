# SPDX-License-Identifier: Apache-2.0
"""Devices by the names that users give them: ``cpu``, ``gpu``, ``gpu:1``, or several."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Optional, Union

from object2vec.backend.mxnet_types import Context
from object2vec.errors import CustomerError
from object2vec.text import counted, quoted

Device = Union[str, Sequence[str]]

_NAME = re.compile(r"(cpu|gpu)(?::(\d{1,2}))?")
_MOST_CPUS = 16  # contexts for which MXNet's engine has threads
_RIGHT = "'cpu', 'gpu', one with a number such as 'gpu:1', or a list of these"


def device_ids(device: Optional[Device]) -> Optional[list[tuple[str, int]]]:
    """Kind and number of each device, without a look at what the machine has.

    Parameters
    ----------
    device : str or sequence of str, optional
        ``cpu`` and ``gpu`` are the first of their kind.

    Returns
    -------
    list of tuple, or None
        Such as ``[("gpu", 0), ("gpu", 1)]``; None where nothing was given.

    Raises
    ------
    CustomerError
        Other names, none, the same one twice, or CPU and GPU together.

    Examples
    --------
    >>> device_ids(["gpu:0", "gpu:1"])
    [('gpu', 0), ('gpu', 1)]
    """
    if device is None:
        return None
    names = [device] if isinstance(device, str) or not isinstance(device, Sequence) else device
    found = [_NAME.fullmatch(name) if isinstance(name, str) else None for name in names]
    ids = [(match[1], int(match[2] or 0)) for match in found if match]
    if not names or len(ids) < len(names) or ("cpu", _MOST_CPUS) <= max(ids) < ("gpu", 0):
        raise CustomerError(f"device should be {_RIGHT}, found {quoted(device)}.")
    if len(set(ids)) < len(ids) or len({kind for kind, _ in ids}) > 1:
        raise CustomerError(
            f"device should name different devices of one kind, found {quoted(device)}."
        )
    return ids


def contexts_of(device: Optional[Device]) -> Optional[list[Context]]:
    """The devices as MXNet knows them, None where nothing was given.

    Raises
    ------
    CustomerError
        As `device_ids`, or a GPU is named that MXNet does not find.
    """
    ids = device_ids(device)
    if ids is None:
        return None
    from object2vec.backend.kvstore import count_gpus
    from object2vec.backend.mxnet_import import mx

    if ids[0][0] == "cpu":
        return [mx.cpu(number) for _, number in ids]
    present = count_gpus()
    if max(number for _, number in ids) >= present:
        there = counted(present, "GPU") if present else "no GPU"
        raise CustomerError(
            f"device is {quoted(device)}, but MXNet finds {there} on this machine; give another "
            "one, or None for the GPUs that there are and else the CPU."
        )
    return [mx.gpu(number) for _, number in ids]


def named_gpus(device: Optional[Device]) -> Optional[int]:
    """How many GPUs are named, 0 where CPUs are, None where nothing was given; see `device_ids`."""
    ids = device_ids(device)
    return None if ids is None else sum(kind == "gpu" for kind, _ in ids)
