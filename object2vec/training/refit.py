# SPDX-License-Identifier: Apache-2.0
"""Trains anew on train and validation pairs, for as many epochs as served the validation best."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Optional

from object2vec.data.arrays import PairDataset
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.logs import LOGGER_NAME
from object2vec.text import counted
from object2vec.training.callbacks import Callback
from object2vec.training.loop import train
from object2vec.training.readable_log import ReadableLog
from object2vec.training.training_log import JobStart
from object2vec.training.training_result import TrainingResult

_logger = logging.getLogger(LOGGER_NAME)


def train_and_refit(
    hyperparameters: Hyperparameters,
    train_pairs: PairDataset,
    validation: Optional[PairDataset],
    test: Optional[PairDataset] = None,
    *,
    start: Optional[JobStart] = None,
    callbacks: Sequence[Callback] = (),
    readable: Optional[ReadableLog] = None,
    validation_positives: Optional[PairDataset] = None,
    **settings: Any,
) -> TrainingResult:
    """Find the best epoch by the validation pairs, then train on these too.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        With a seed, which both trainings take.
    train_pairs, validation, test : PairDataset
        Validation is needed. Test pairs are scored once, with the model that is kept.
    start, readable
        As for `train`.
    callbacks : sequence of Callback
        Told of the first training alone: the second has no validation, and is not to be stopped.
    validation_positives : PairDataset, optional
        The validation pairs without negatives that were drawn for them, which training draws anew;
        all of them by default.
    **settings
        What else `train` takes.

    Returns
    -------
    TrainingResult
        That of the first training, with the second one's model, test metrics and, as
        ``refit_history``, history.

    Raises
    ------
    CustomerError
        As `train`.
    """
    assert validation is not None
    readable = readable or ReadableLog(lambda line: None)
    settings["readable"] = readable
    found = train(
        hyperparameters, train_pairs, validation, start=start, callbacks=callbacks, **settings
    )
    del found.predictor  # two models would be in memory at once
    epochs = counted(found.best_epoch + 1, "epoch")
    again = validation if validation_positives is None else validation_positives
    everything = PairDataset.concatenate([train_pairs, again])
    _logger.info(
        "Epoch %d is the best. Training anew on train and validation pairs together, %d, for %s "
        "with the same seed and without early stopping.",
        found.best_epoch,
        len(everything),
        epochs,
    )
    readable.say(f"epoch {found.best_epoch} is the best: anew, on all pairs, for {epochs}")
    kept = train(
        hyperparameters, everything, test=test, fixed_epochs=found.best_epoch + 1, **settings
    )
    found.predictor, found.test_metrics = kept.predictor, kept.test_metrics
    found.refit_history = kept.history
    return found
