# SPDX-License-Identifier: Apache-2.0
"""What a user's own code is told after each epoch, and how it ends a training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

import numpy as np

from object2vec.errors import CustomerError
from object2vec.text import bounded, quoted


class Callback:
    """Told of each epoch of a training, and can end it: the base class of your own.

    `fit` takes any number of them, in a list. Whatever has such a method will do; it need not be a
    subclass.

    Examples
    --------
    >>> from object2vec import Callback
    >>> class GoodEnough(Callback):
    ...     def on_epoch_end(self, metrics):
    ...         print(metrics["epoch"], metrics["validation_accuracy"])
    ...         return metrics["validation_accuracy"] > 0.9
    """

    def on_epoch_end(self, metrics: dict[str, float]) -> Optional[bool]:
        """Take note of an epoch; it is called after the epoch was judged, and kept if it is best.

        What it raises ends the training and comes out of `fit`.

        Parameters
        ----------
        metrics : dict of str to float
            That epoch's entry of the history, a copy: ``epoch``, from 0, ``train_…`` and, with
            validation pairs, ``validation_…``.

        Returns
        -------
        bool or None
            True ends the training; the best epoch's model is kept. Else it goes on.
        """


def checked_callbacks(callbacks: Iterable[Any]) -> tuple[Any, ...]:
    """The callbacks that were given.

    Raises
    ------
    CustomerError
        They are no list, or one of them is none.
    """
    if isinstance(callbacks, (str, Mapping)) or not isinstance(callbacks, Iterable):
        raise CustomerError(
            f"callbacks must be a list of object2vec.Callback, found {quoted(callbacks)}."
        )
    given = tuple(callbacks)
    for position, callback in enumerate(given):
        if isinstance(callback, type) or not callable(getattr(callback, "on_epoch_end", None)):
            hint = "a class, of which an instance is needed" if isinstance(callback, type) else ""
            raise CustomerError(
                f"Callback {position}, counting from 0, must have a method on_epoch_end(metrics), "
                f"as object2vec.Callback has; found {hint or quoted(callback)}."
            )
    return given


def who_stops(callbacks: Sequence[Any], metrics: Mapping[str, float]) -> list[str]:
    """Tell all callbacks of an epoch; the names of those that end the training.

    Raises
    ------
    CustomerError
        One of them answers with something else than True, False or None.
    """
    names = []
    for callback in callbacks:
        answer = callback.on_epoch_end(dict(metrics))
        name = bounded(type(callback).__name__, 60)
        # NumPy's comparisons give bools of its own
        if not (answer is None or isinstance(answer, (bool, np.bool_))):
            raise CustomerError(
                f"on_epoch_end of the callback {name} must return True, False or None, found "
                f"{quoted(answer)}."
            )
        if answer:
            names.append(name)
    return names
