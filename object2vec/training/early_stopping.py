# SPDX-License-Identifier: Apache-2.0
"""Decides after each epoch whether training goes on, and which epoch was the best."""

from __future__ import annotations

import logging
import math
from typing import Optional

from object2vec.logs import LOGGER_NAME

LOSS = "loss"
_logger = logging.getLogger(LOGGER_NAME)


class EarlyStopping:
    """The original's rule, a window of recent losses and not the best loss of all.

    An epoch is judged once ``patience`` earlier losses exist. It is good if the lowest of the last
    ``patience`` losses exceeds its own by more than ``tolerance``; a good epoch resets the count of
    bad ones. Training stops when more than ``patience`` epochs were bad. The best epoch is the one
    of the lowest loss, whatever the tolerance. Another measure takes the place of the loss where
    one is named, and one that is better when it is higher is good in the other direction.

    Parameters
    ----------
    patience : int
        Length of the window and allowed bad epochs, at least 1.
    tolerance : float
        What counts as an improvement, in units of the loss, or of what is named in its place.
    metric : str
        What the epochs are judged by, for the log.
    higher_is_better : bool
        Whether it grows with quality.

    Attributes
    ----------
    best_loss : float
        The best epoch's loss, infinite before the first.
    lowest_loss : float
        The lowest of all epochs.
    best_value : float
        By which the best epoch was chosen: its loss, or the measure in its place.
    best_epoch : int
        Its epoch, from 0; -1 before the first.
    """

    def __init__(
        self,
        patience: int,
        tolerance: float,
        metric: str = LOSS,
        higher_is_better: bool = False,
    ) -> None:
        self._patience = patience
        self._tolerance = tolerance
        self._metric = metric
        self._higher = higher_is_better
        self._values: list[float] = []
        self._bad = 0
        self.best_loss = self.lowest_loss = math.inf
        self.best_value = -math.inf if higher_is_better else math.inf
        self.best_epoch = -1

    def add(self, loss: float, value: Optional[float] = None) -> bool:
        """Take the next epoch and tell whether it is the best so far.

        Parameters
        ----------
        loss : float
            Its loss.
        value : float, optional
            What it is judged by, where that is not the loss.
        """
        value = loss if value is None else value
        epoch = len(self._values)
        window = self._values[-self._patience :]
        self._values.append(value)
        self.lowest_loss = min(self.lowest_loss, loss)
        if epoch >= self._patience:
            self._judge(window, value)
        if self._gain(self.best_value, value) > 0:
            self.best_loss, self.best_value, self.best_epoch = loss, value, epoch
            return True
        return False

    @property
    def should_stop(self) -> bool:
        """Whether too many epochs were bad."""
        return self._bad > self._patience

    def _gain(self, before: float, now: float) -> float:
        return now - before if self._higher else before - now

    def _judge(self, window: list[float], value: float) -> None:
        metric, extreme = self._metric, "max" if self._higher else "min"
        plural = "losses" if metric == LOSS else metric
        best = max(window) if self._higher else min(window)
        _logger.info("patience %s: %s", plural, window)
        _logger.info("%s patience %s: %s", extreme, plural, best)
        _logger.info("current %s: %s", metric, value)
        _logger.info("absolute %s difference: %s", metric, abs(best - value))
        if self._gain(best, value) > self._tolerance:
            self._bad = 0
            return
        self._bad += 1
        _logger.info("Bad epoch: %s has not improved (enough). Bad count:%d", metric, self._bad)
        if self.should_stop:
            _logger.info("Bad epochs exceeded patience. Stopping training early!")


class EveryEpoch:
    """In the place of `EarlyStopping`: training goes on to the end, and the last epoch is kept."""

    should_stop = False

    def __init__(self) -> None:
        self.best_loss = self.lowest_loss = self.best_value = math.inf
        self.best_epoch = -1

    def add(self, loss: float, value: Optional[float] = None) -> bool:
        """See `EarlyStopping`."""
        self.best_loss = self.lowest_loss = self.best_value = loss
        self.best_epoch += 1
        return True
