# SPDX-License-Identifier: Apache-2.0
"""Losses, accuracy and errors over any number of batches, from sums and counts."""

from __future__ import annotations

import math

#: What is reported of each channel that is scored, whatever the output layer.
REPORTED = (
    *("perplexity", "cross_entropy", "accuracy"),
    *("mean_squared_error", "mean_absolute_error"),
)


class MetricAccumulator:
    """Means over records of any number of batches, from sums and counts.

    Parameters
    ----------
    is_regression : bool
        Selects mean_squared_error and mean_absolute_error; otherwise perplexity, cross_entropy
        and accuracy.
    """

    def __init__(self, is_regression: bool) -> None:
        self.is_regression = is_regression
        self.reset()

    def reset(self) -> None:
        """Forget everything; an epoch begins."""
        self.loss_sum = 0.0
        self.score_sum = 0.0
        self.count = 0

    def update(self, loss_sum: float, score_sum: float, count: int) -> None:
        """Add a batch.

        Parameters
        ----------
        loss_sum : float
            Sum over the records of the cross-entropy in nats, or of the squared error.
        score_sum : float
            Number of records classified right, or the sum of the absolute errors.
        count : int
            Records in the batch.
        """
        self.loss_sum += float(loss_sum)
        self.score_sum += float(score_sum)
        self.count += int(count)

    @property
    def loss(self) -> float:
        """Mean cross-entropy or squared error a record, which early stopping looks at."""
        return self._mean(self.loss_sum)

    def values(self) -> dict[str, float]:
        """All metrics by name, in the order of the original's lines.

        Raises
        ------
        ValueError
            No record was added.
        """
        loss, score = self._mean(self.loss_sum), self._mean(self.score_sum)
        if self.is_regression:
            return {"mean_squared_error": loss, "mean_absolute_error": score}
        return {"perplexity": _exp(loss), "cross_entropy": loss, "accuracy": score}

    def _mean(self, total: float) -> float:
        if self.count == 0:
            raise ValueError("no record was added, so there is no mean")
        return total / self.count


def _exp(value: float) -> float:
    """exp; infinite where Python's own raises an error."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
