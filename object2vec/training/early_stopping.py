# SPDX-License-Identifier: Apache-2.0
"""Decides after each epoch whether training goes on, and which epoch was the best."""

from __future__ import annotations

import logging
import math

from object2vec.logs import LOGGER_NAME

_logger = logging.getLogger(LOGGER_NAME)


class EarlyStopping:
    """The original's rule, a window of recent losses and not the best loss of all.

    An epoch is judged once ``patience`` earlier losses exist. It is good if the lowest of the last
    ``patience`` losses exceeds its own by more than ``tolerance``; a good epoch resets the count of
    bad ones. Training stops when more than ``patience`` epochs were bad. The best epoch is the one
    of the lowest loss, whatever the tolerance.

    Parameters
    ----------
    patience : int
        Length of the window and allowed bad epochs, at least 1.
    tolerance : float
        What counts as an improvement, in units of the loss.

    Attributes
    ----------
    best_loss : float
        Lowest loss so far, infinite before the first.
    best_epoch : int
        Its epoch, from 0; -1 before the first.
    """

    def __init__(self, patience: int, tolerance: float) -> None:
        self._patience = patience
        self._tolerance = tolerance
        self._losses: list[float] = []
        self._bad = 0
        self.best_loss = math.inf
        self.best_epoch = -1

    def add(self, loss: float) -> bool:
        """Take the next epoch's loss and tell whether it is the best so far."""
        epoch = len(self._losses)
        window = self._losses[-self._patience :]
        self._losses.append(loss)
        if epoch >= self._patience:
            self._judge(window, loss)
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, epoch
            return True
        return False

    @property
    def should_stop(self) -> bool:
        """Whether too many epochs were bad."""
        return self._bad > self._patience

    def _judge(self, window: list[float], loss: float) -> None:
        lowest = min(window)
        _logger.info("patience losses: %s", window)
        _logger.info("min patience losses: %s", lowest)
        _logger.info("current loss: %s", loss)
        _logger.info("absolute loss difference: %s", abs(lowest - loss))
        if lowest - loss > self._tolerance:
            self._bad = 0
            return
        self._bad += 1
        _logger.info("Bad epoch: loss has not improved (enough). Bad count:%d", self._bad)
        if self.should_stop:
            _logger.info("Bad epochs exceeded patience. Stopping training early!")


class EveryEpoch:
    """In the place of `EarlyStopping`: training goes on to the end, and the last epoch is kept."""

    should_stop = False

    def __init__(self) -> None:
        self.best_loss = math.inf
        self.best_epoch = -1

    def add(self, loss: float) -> bool:
        """See `EarlyStopping`."""
        self.best_loss = loss
        self.best_epoch += 1
        return True
