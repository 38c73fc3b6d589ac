# SPDX-License-Identifier: Apache-2.0
"""Losses, accuracy and errors over any number of batches, from sums and counts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Optional

#: What is reported of each channel that is scored, whatever the output layer.
REPORTED = (
    *("perplexity", "cross_entropy", "accuracy", "micro_f1"),
    *("mean_squared_error", "mean_absolute_error"),
)


class MetricAccumulator:
    """Means over records of any number of batches, from sums and counts.

    Parameters
    ----------
    output_layer : str
        ``mean_squared_error`` selects mean_squared_error and mean_absolute_error, ``multi_label``
        cross_entropy and micro_f1, the others perplexity, cross_entropy and accuracy.
    """

    def __init__(self, output_layer: str) -> None:
        self._output_layer = output_layer
        self.reset()

    @classmethod
    def of(cls, output_layer: str, sums: Iterable[float], count: int) -> MetricAccumulator:
        """With the sums over `count` records, as `Predictor.loss_sums` gives them."""
        found = cls(output_layer)
        loss, score, *possible = sums
        found.update(loss, score, count, *possible)
        return found

    def reset(self) -> None:
        """Forget everything; an epoch begins."""
        self.loss_sum = 0.0
        self.score_sum = 0.0
        self.possible = 0.0
        self.count = 0

    def update(
        self, loss_sum: float, score_sum: float, count: int, possible: Optional[float] = None
    ) -> None:
        """Add a batch.

        Parameters
        ----------
        loss_sum : float
            Sum over the records of the cross-entropy in nats, or of the squared error.
        score_sum : float
            Number of records classified right, or the sum of the absolute errors, or for
            multi_label twice the number of classes that are predicted right.
        count : int
            Records in the batch.
        possible : float, optional
            What the score is a share of; the records by default, for multi_label the number of
            classes that are predicted and of those that are labels.
        """
        self.loss_sum += float(loss_sum)
        self.score_sum += float(score_sum)
        self.possible += float(count if possible is None else possible)
        self.count += int(count)

    @property
    def loss(self) -> float:
        """Mean cross-entropy or squared error a record, which early stopping looks at."""
        if self.count == 0:
            raise ValueError("no record was added, so there is no mean")
        return self.loss_sum / self.count

    def values(self) -> dict[str, float]:
        """All metrics by name, in the order of the original's lines.

        Raises
        ------
        ValueError
            No record was added.
        """
        loss = self.loss
        # as in scikit-learn, F1 is 0 where nothing is predicted and nothing a label
        score = self.score_sum / self.possible if self.possible else 0.0
        if self._output_layer == "mean_squared_error":
            return {"mean_squared_error": loss, "mean_absolute_error": score}
        if self._output_layer == "multi_label":
            return {"cross_entropy": loss, "micro_f1": score}
        return {"perplexity": _exp(loss), "cross_entropy": loss, "accuracy": score}


def _exp(value: float) -> float:
    """exp; infinite where Python's own raises an error."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
