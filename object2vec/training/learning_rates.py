# SPDX-License-Identifier: Apache-2.0
"""The learning rate of each step: warm-up, and the fall to 0 at the end of all epochs."""

from __future__ import annotations

import math

from object2vec.hyperparameters.checked import Hyperparameters


def learning_rate_of(hyperparameters: Hyperparameters, begun: float, ended: float) -> float:
    """The learning rate of one step, without adam's bias correction.

    It rises along a straight line over ``warmup_epochs`` and then stays, or falls to 0 over the
    rest of ``epochs``: along a straight line, or along half a cosine (Loshchilov and Hutter 2017,
    arXiv 1608.03983, without restarts). A training that ends earlier, or is told to take fewer
    epochs, walks the first part of the same way.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        ``learning_rate``, ``learning_rate_schedule``, ``warmup_epochs`` and ``epochs``.
    begun, ended : float
        When the step begins and ends, in epochs from the training's beginning: in epoch 2, after
        half of its pairs, it is 2.5.
    """
    warmup, epochs = hyperparameters.warmup_epochs, hyperparameters.epochs
    rate = hyperparameters.learning_rate
    if begun < warmup:
        # by its end, so that the first step does not stand still
        return rate * min(1.0, ended / warmup)
    if hyperparameters.learning_rate_schedule == "constant":
        return rate
    # by its beginning, so that the last step does not stand still
    left = min(1.0, max(0.0, (epochs - begun) / (epochs - warmup))) if warmup < epochs else 0.0
    if hyperparameters.learning_rate_schedule == "cosine":
        left = (1.0 - math.cos(math.pi * left)) / 2
    return rate * left
