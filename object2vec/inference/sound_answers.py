# SPDX-License-Identifier: Apache-2.0
"""Refuses what a model answers where it is no number."""

from __future__ import annotations

import numpy as np

from object2vec.errors import UnsoundModelError


def finite(values: np.ndarray, what: str) -> np.ndarray:
    """Return what the model answers, if it is finite.

    JSON has no NaN and no infinity. As ids were checked before, only the weights can be the cause.

    Raises
    ------
    UnsoundModelError
        A value is no finite number.
    """
    sound = np.isfinite(values)
    if sound.all():
        return values
    count = len(values) - np.count_nonzero(sound.reshape(len(values), -1).all(axis=1))
    raise UnsoundModelError(
        f"The model does not give finite numbers, so its weights are not sound: {count} of "
        f"{len(values)} {what} hold NaN or infinity; train it again or take another model."
    )
