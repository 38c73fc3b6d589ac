# SPDX-License-Identifier: Apache-2.0
"""The arrays that measures are given, checked."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from object2vec.errors import CustomerError


def numbers(values: Any, what: str, *, infinite: bool = False) -> np.ndarray:
    """Values as an array of floats that holds no NaN.

    Parameters
    ----------
    values : array of numbers
        Of any shape, with one element at least.
    what : str
        For sentences, in the plural: "the scores".
    infinite : bool
        Whether infinity is allowed.

    Returns
    -------
    numpy.ndarray
        The same array where it is float32 or float64, else float64.

    Raises
    ------
    CustomerError
        They are no numbers, or there are none, or one is NaN or infinite.
    """
    found = np.asarray(values)
    if found.dtype.kind not in "biuf":
        raise CustomerError(f"{what} must be numbers, found the type {found.dtype}.")
    if not found.size:
        raise CustomerError(f"{what} are empty, so there is nothing to measure.")
    if found.dtype not in (np.float32, np.float64):
        found = found.astype(np.float64)
    wrong = np.isnan(found) if infinite else ~np.isfinite(found)
    if wrong.any():
        place = tuple(int(at) for at in np.argwhere(wrong)[0])
        where = place[0] if len(place) == 1 else place
        kinds = "NaN" if infinite else "NaN or infinite"
        raise CustomerError(
            f"{np.count_nonzero(wrong)} of {found.size} of {what} are {kinds}, the first at "
            f"position {where}: only numbers can be measured."
        )
    return found


def alike(labels: Any, predictions: Any) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions, float64 of one length.

    Raises
    ------
    CustomerError
        As `numbers`; or they are not one-dimensional, or not of one length.
    """
    first = numbers(labels, "the labels").astype(np.float64)
    second = numbers(predictions, "the predictions").astype(np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise CustomerError(
            "Labels and predictions must be one-dimensional and equally many, found the shapes "
            f"{first.shape} and {second.shape}."
        )
    return first, second


def class_numbers(labels: Any, what: str, num_classes: Optional[int] = None) -> np.ndarray:
    """Numbers of classes, int64 ``(n,)``.

    Raises
    ------
    CustomerError
        One is no whole number from 0, or not below `num_classes`.
    """
    found = numbers(labels, what)
    if found.ndim != 1:
        raise CustomerError(f"{what} must be one-dimensional, found the shape {found.shape}.")
    wrong = (found < 0) | (found != np.floor(found))
    if num_classes is not None:
        wrong |= found >= num_classes
    if wrong.any():
        most = "" if num_classes is None else f" to {num_classes - 1}"
        raise CustomerError(
            f"{what} must be numbers of classes, from 0{most}, found {found[wrong][0]:g} at "
            f"position {int(np.flatnonzero(wrong)[0])}."
        )
    return found.astype(np.int64)


def is_whole(value: object) -> bool:
    """Whether a value is an integer of Python's or NumPy's, and no bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))
