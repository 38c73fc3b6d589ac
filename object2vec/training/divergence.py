# SPDX-License-Identifier: Apache-2.0
"""The error about a loss that has become NaN or infinite."""

from __future__ import annotations

import math

import numpy as np

from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.pretrained.auxiliary_channel import Auxiliary


class Divergence:
    """Finds the reason of such a loss.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        What is trained.
    auxiliary : Auxiliary
        With the pretrained vectors.
    labels : numpy.ndarray
        Those of the train channel, float32; see `PairDataset`.
    """

    def __init__(
        self, hyperparameters: Hyperparameters, auxiliary: Auxiliary, labels: np.ndarray
    ) -> None:
        self._settings = hyperparameters
        self._auxiliary = auxiliary
        self._largest_label = float(np.abs(labels).max())

    def error(self, which: str, loss: float, epoch: int, has_moved: bool = True) -> CustomerError:
        """Make the error.

        Parameters
        ----------
        which : str
            'training' or 'validation'.
        loss : float
            NaN or infinite.
        epoch : int
            From 0.
        has_moved : bool
            Whether a step was taken before.
        """
        became = "NaN" if math.isnan(loss) else "infinite"
        if not has_moved:
            return CustomerError(
                f"The loss of the first batch, before anything was learnt, is {became}: a label or "
                "a pretrained vector is too large for the squares of 32-bit numbers."
            )
        if self._is_too_large():
            return CustomerError(
                f"The {which} loss became {became} in epoch {epoch}: a label or a pretrained "
                "vector is too large for the squares of 32-bit numbers."
            )
        # it was finite until the parameters changed; adadelta alone has no learning rate
        has_rate = self._settings.optimizer != "adadelta"
        advice = "; a lower 'learning_rate' usually mends this" if has_rate else ""
        return CustomerError(f"The {which} loss became {became} in epoch {epoch}{advice}.")

    def _is_too_large(self) -> bool:
        """Whether a step may meet an infinite number whatever the learning rate."""
        settings = self._settings
        vectors = [given.matrix[given.known] for given in self._auxiliary.vectors if given]
        largest = max((float(np.abs(matrix).max(initial=0.0)) for matrix in vectors), default=0.0)
        # vectors are multiplied with each other, and the product may be squared
        squares = [largest**4, self._largest_label**2 if settings.is_regression else 0.0]
        return settings.mini_batch_size * max(squares) > float(np.finfo(np.float32).max)
