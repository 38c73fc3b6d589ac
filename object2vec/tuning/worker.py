# SPDX-License-Identifier: Apache-2.0
"""A process that trains for a study: asks what to try, trains it, tells what it is worth."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import warnings
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Optional

from object2vec.errors import Object2VecError, failure_text
from object2vec.logs import LOGGER_NAME, logging_to
from object2vec.tuning.plan import Plan
from object2vec.tuning.storage import (
    BEST_EPOCH,
    EPOCHS,
    ERROR,
    SAVED,
    SETTING,
    open_study,
    optuna_module,
)

if TYPE_CHECKING:
    from object2vec.data.arrays import PairDataset
    from object2vec.training.training_result import TrainingResult

# What a worker is asked, and what it answers with the number of a trial, or a result.
TRY, SAVE, FINISH = "try", "save", "finish"
ASKED, ENDED, SAVED_BEST, FINISHED, BROKEN = "asked", "ended", "saved", "finished", "broken"
# Of trainings that end, so many are waited for before one is called worse, and so many epochs of
# it; then those are ended that are worse than three quarters. Half would end all whose learning
# rate falls later than the others'.
_UNPRUNED, _UNPRUNED_EPOCHS, _KEPT_PERCENT = 5, 2, 75.0
_DRAWN_EVENLY = 6  # trials before Optuna goes by what it has seen
_logger = logging.getLogger(LOGGER_NAME)


def main(handle: int, parent: int, place: int) -> None:
    """Work until the other end of the connection closes.

    Parameters
    ----------
    handle : int
        A file descriptor of the connection.
    parent : int
        The process at its other end; without it there is nothing to do.
    place : int
        Which of the workers this is, from 0.
    """
    # Ctrl-C reaches all processes of a terminal; the one that started this one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(handle)
    # the other end may be gone at any time: killed, or stopped
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _work(connection, parent, place)


def _work(connection: Connection, parent: int, place: int) -> None:
    from object2vec.backend import own_process
    from object2vec.backend.openmp import VARIABLE

    plan: Plan = connection.recv()
    if plan.threads is not None and not os.environ.get(VARIABLE):
        os.environ[VARIABLE] = str(plan.threads)
    own_process.tune()
    with logging_to(sys.stderr, logging.ERROR):
        worker = _Worker(plan, connection, parent, place)
        while True:
            asked = connection.recv()
            try:
                worker.answer(asked)
            except Object2VecError as error:
                connection.send((BROKEN, failure_text(error)))


class _Worker:
    def __init__(self, plan: Plan, connection: Connection, parent: int, place: int) -> None:
        optuna = optuna_module()
        self._plan, self._connection, self._parent = plan, connection, parent
        self._states = optuna.trial.TrialState
        self._distributions = {name: one.distribution() for name, one in plan.space.items()}
        # its samplers that draw jointly are called experimental
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        begun = len(open_study(plan.study).get_trials(deepcopy=False))
        sampler = optuna.samplers.TPESampler(
            # other draws for each worker, and where a study goes on
            seed=plan.seed + 1009 * place + begun,
            n_startup_trials=_DRAWN_EVENLY, multivariate=True, constant_liar=True,
        )  # fmt: skip
        self._study = open_study(plan.study, sampler=sampler, pruner=pruner_of(plan.prunes))
        self._last: Optional[tuple[int, TrainingResult]] = None

    def answer(self, asked: str) -> None:
        if asked == TRY:
            self._last = None  # two models would be in memory at once
            self._connection.send((ENDED, self._try()))
        elif asked == SAVE:
            assert self._last is not None
            self._save(*self._last)
            self._connection.send((SAVED_BEST, self._last[0]))
        else:
            self._connection.send((FINISHED, self._finish()))

    def _try(self) -> int:
        trial = self._study.ask(self._distributions)
        # what is known of a start, or of what was cut off, is exact
        setting = trial.user_attrs.get(SETTING)
        if setting is None:
            setting = dict(trial.params)
            trial.set_user_attr(SETTING, setting)
        self._connection.send((ASKED, trial.number))
        reporter = Reporter(trial, self._plan.metric)
        try:
            result = self._train(setting, callbacks=(reporter,))
        except Exception as error:
            self._failed(trial, error)
            return int(trial.number)
        trial.set_user_attr(EPOCHS, len(result.history))
        trial.set_user_attr(BEST_EPOCH, result.best_epoch)
        if reporter.pruned:
            self._study.tell(trial, state=self._states.PRUNED)
            return int(trial.number)
        value = result.history[result.best_epoch][self._plan.metric]
        self._last = trial.number, result
        self._study.tell(trial, value)
        return int(trial.number)

    def _failed(self, trial: Any, error: Exception) -> None:
        from object2vec.job.training_job import explained

        known = explained(error)
        if not isinstance(known, Object2VecError):
            _logger.error("The traceback of the failure:", exc_info=error)
        text = known.message if isinstance(known, Object2VecError) else f"{error!r:.300}"
        trial.set_user_attr(ERROR, text)
        self._study.tell(trial, state=self._states.FAIL)

    def _train(self, setting: dict[str, Any], **options: Any) -> TrainingResult:
        from object2vec.training.loop import train
        from object2vec.training.memory_estimate import estimate_memory

        plan = self._plan
        hyperparameters = plan.hyperparameters(setting)
        pairs = plan.datasets["train"]
        validation: Optional[PairDataset] = plan.datasets["validation"]
        if "fixed_epochs" in options:
            pairs, validation = plan.joined(), None
        estimate_memory(hyperparameters, [pairs, *([validation] if validation else [])]).check()
        return train(
            hyperparameters, pairs, validation, auxiliary=plan.auxiliary, inputs=plan.inputs,
            stop=self._stop_without_parent, **options,
        )  # fmt: skip

    def _stop_without_parent(self) -> bool:
        if os.getppid() != self._parent:
            # who goes on with the study begins this trial anew
            os._exit(1)
        return False

    def _save(self, number: int, result: TrainingResult) -> None:
        from object2vec.model.model_directory import save_model

        predictor = result.predictor
        digest = save_model(
            self._plan.model_dir,
            predictor.network,
            metrics=result.metrics(),
            vocabularies=predictor.vocabularies,
            complete=predictor.complete,
            inputs=predictor.inputs,
        )
        self._study.set_user_attr(SAVED, {"trial": number, "digest": digest})

    def _finish(self) -> Optional[dict[str, float]]:
        """See that the best trial's model lies in its folder; what it reaches on test pairs."""
        from object2vec.assessment.reported import reported
        from object2vec.inference.predictor import Predictor

        plan, best = self._plan, self._study.best_trial
        setting = best.user_attrs[SETTING]
        if plan.refit:
            epochs = best.user_attrs[BEST_EPOCH] + 1
            self._save(best.number, self._train(setting, fixed_epochs=epochs))
        elif not self._is_saved(best.number):
            self._save(best.number, self._train(setting))
        self._last = None
        test = plan.datasets.get("test")
        if test is None:
            return None
        return reported(Predictor.load(plan.model_dir), test)

    def _is_saved(self, number: int) -> bool:
        """Whether the folder holds the model of a trial as it was written."""
        import hashlib

        from object2vec.errors import CustomerError
        from object2vec.model.manifest import manifest_bytes

        saved = self._study.user_attrs.get(SAVED) or {}
        try:
            digest = hashlib.sha256(manifest_bytes(self._plan.model_dir)).hexdigest()
        except CustomerError:
            return False
        return bool(saved == {"trial": number, "digest": digest})


class Reporter:
    """Tells a study what an epoch is worth, and ends a training that others were better than."""

    def __init__(self, trial: Any, metric: str) -> None:
        self._trial, self._metric = trial, metric
        self.pruned = False

    def on_epoch_end(self, metrics: dict[str, float]) -> bool:
        """See `Callback`."""
        self._trial.report(metrics[self._metric], int(metrics["epoch"]))
        self.pruned = bool(self._trial.should_prune())
        return self.pruned


def pruner_of(prunes: bool) -> Any:
    """What tells which trainings are ended before their time."""
    pruners = optuna_module().pruners
    if not prunes:
        return pruners.NopPruner()
    return pruners.PercentilePruner(_KEPT_PERCENT, _UNPRUNED, _UNPRUNED_EPOCHS)
