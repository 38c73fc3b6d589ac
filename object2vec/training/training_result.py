# SPDX-License-Identifier: Apache-2.0
"""What a training leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from object2vec.inference.predictor import Predictor


@dataclass
class TrainingResult:
    """A finished training.

    Attributes
    ----------
    predictor : Predictor
        With the best model.
    history : list of dict
        For each finished epoch ``epoch`` and the values ``train_…`` and ``validation_…``.
    best_epoch : int
        From 0; -1 if training was interrupted in the first epoch. The loss tells it, or the metric
        of early stopping in its place.
    best_loss : float
        Its validation loss, or its training loss without a validation channel.
    test_metrics : dict or None
        Values of the test channel by metric name.
    stopped_early, interrupted : bool
        Whether early stopping, or the caller, ended it before the last epoch.
    stopped_by : sequence of str
        Callbacks that ended it.
    refit_history : list of dict
        That of the training that gave the model, where `refit` trained twice.
    data : dict
        What the pairs are like; see `data.summary`.
    is_last_kept : bool
        Whether `best_epoch` is the last one, whatever the losses.
    """

    predictor: Predictor
    history: list[dict[str, float]]
    best_epoch: int
    best_loss: float
    test_metrics: Optional[dict[str, float]] = None
    stopped_early: bool = False
    interrupted: bool = False
    stopped_by: Sequence[str] = ()
    refit_history: list[dict[str, float]] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    is_last_kept: bool = False

    def metrics(self) -> dict[str, Any]:
        """What is kept beside the model."""
        refit = {"refit_history": self.refit_history} if self.refit_history else {}
        return {
            "best_epoch": self.best_epoch,
            "best_loss": self.best_loss,
            "history": self.history,
            **refit,
            **({"data": self.data} if self.data else {}),
        }
