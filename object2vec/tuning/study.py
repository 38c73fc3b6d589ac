# SPDX-License-Identifier: Apache-2.0
"""Runs a study: its workers, its end, what it found. MXNet is in the workers alone."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Optional

from object2vec.errors import AlgorithmError, CustomerError
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.resources import cpu_text, whole_cores
from object2vec.text import counted, quoted
from object2vec.tuning import worker
from object2vec.tuning.plan import Plan
from object2vec.tuning.results import Tuning
from object2vec.tuning.space import start_of
from object2vec.tuning.storage import (
    ERROR,
    SETTING,
    START,
    held,
    open_study,
    optuna_module,
    prepare_study,
    set_attribute,
    trials_of,
)
from object2vec.tuning.trials import COMPLETE, Trial

MOST_TRIALS = 100_000
MOST_JOBS = 1024
_DEATHS = 3  # of workers one after the other that have ended no trial
_ANSWER_SECONDS = 1.0


def run_study(
    plan: Plan,
    resolved: Hyperparameters,
    *,
    trials: int,
    jobs: int = 1,
    seconds: Optional[float] = None,
    seed: Optional[int] = None,
    told: Callable[[str], None] = lambda line: None,
) -> Tuning:
    """Train until there are so many trials, and keep the best model.

    A study whose file exists goes on: what has ended counts, what was cut off is tried again.

    Parameters
    ----------
    plan : Plan
        What trainings share; its seed and threads are set here.
    resolved : Hyperparameters
        Of the first training, which searches nothing.
    trials : int
        How many trials the study is to have: complete, pruned and failed ones.
    jobs : int
        How many trainings run at a time, each in a process of its own.
    seconds : float, optional
        After them no further trial begins.
    seed : int, optional
        Of each training and of the draws; drawn by default.
    told : callable
        Is told of each trial that has ended.

    Returns
    -------
    Tuning

    Raises
    ------
    CustomerError
        The file holds another study, or not one trial was complete.
    AlgorithmError
        Workers end again and again.
    """
    _check_counts(trials, jobs, seconds)
    threads = max(1, whole_cores(cpu_text()) // jobs) if jobs > 1 else None
    with held(plan.study):
        identity = {**plan.identity(), "direction": plan.direction}
        seed = prepare_study(plan.study, identity, seed)
        plan = replace(plan, seed=seed, threads=threads)
        study = open_study(plan.study)
        study.set_user_attr(START, json.loads(json.dumps(_started(plan, resolved))))
        if not study.get_trials(deepcopy=False):
            study.enqueue_trial(start_of(plan.space, resolved), user_attrs={SETTING: {}})
        end = None if seconds is None else time.monotonic() + seconds
        with _Team(plan, study, told) as team:
            team.run(trials, jobs, end)
            ended = trials_of(study)
            if not any(trial.state == COMPLETE for trial in ended):
                raise CustomerError(_nothing_complete(ended))
            test = team.finish()
        return _tuning(plan, study, resolved, test)


def _tuning(
    plan: Plan, study: Any, resolved: Hyperparameters, test: Optional[dict[str, float]]
) -> Tuning:
    return Tuning(
        metric=plan.metric,
        direction=plan.direction,
        best=study.best_trial.number,
        trials=trials_of(study),
        space={name: one.words() for name, one in plan.space.items()},
        start=_started(plan, resolved),
        test=test,
        model_dir=str(plan.model_dir),
        refit=plan.refit,
    )


def _started(plan: Plan, resolved: Hyperparameters) -> dict[str, Any]:
    """The values of what is searched with which the first training is made."""
    start = resolved.to_dict()
    return {name: start[name] for name in plan.space if name in start}


class _Worker:
    """A process, and the end of the connection to it."""

    def __init__(self, plan: Plan, place: int) -> None:
        own, other = socket.socketpair()
        program = (
            f"import sys; sys.path[:] = {sys.path!r}; from object2vec.tuning.worker import main; "
            f"main({other.fileno()}, {os.getpid()}, {place})"
        )
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program],
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                # what MXNet writes there belongs to no output of ours
                stdout=subprocess.DEVNULL,
            )
        self.connection = Connection(own.detach())
        self.place = place
        self.trial: Optional[int] = None
        # a worker that ended at once does not read it
        with contextlib.suppress(BrokenPipeError):
            self.connection.send(plan)

    def ask(self, what: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.connection.send(what)

    def end(self) -> None:
        self.connection.close()
        self._process.terminate()
        try:
            self._process.wait(_ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def code(self) -> Optional[int]:
        """Its exit code, waiting a moment for it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(_ANSWER_SECONDS)
        return None


class _Team:
    """The workers of a study."""

    def __init__(self, plan: Plan, study: Any, told: Callable[[str], None]) -> None:
        self._plan, self._study, self._told = plan, study, told
        self._workers: list[_Worker] = []
        self._deaths = 0

    def __enter__(self) -> _Team:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._workers:
            one.end()

    def run(self, trials: int, jobs: int, end: Optional[float]) -> None:
        """Hand out trials until there are enough."""
        to_begin = trials - len(trials_of(self._study))
        busy: list[_Worker] = []
        # Two that ask Optuna at once may be given the same trial: SQLite locks no row.
        asking: Optional[_Worker] = None
        to_ask: list[_Worker] = []

        def begin(one: _Worker) -> None:
            nonlocal to_begin
            if to_begin > 0 and (end is None or time.monotonic() < end):
                to_begin -= 1
                to_ask.append(one)
                busy.append(one)

        for place in range(min(jobs, to_begin)):
            begin(self._hire(place))
        while busy:
            if asking is None and to_ask:
                asking = to_ask.pop(0)
                asking.ask(worker.TRY)
            for connection in wait([one.connection for one in busy]):
                one = next(other for other in busy if other.connection is connection)
                try:
                    what, about = one.connection.recv()
                except (EOFError, ConnectionResetError):
                    asking = None if asking is one else asking
                    to_ask = [other for other in to_ask if other is not one]
                    busy.remove(one)
                    if not self._bury(one):
                        to_begin += 1
                    begin(self._hire(one.place))
                    continue
                asking = None if asking is one else asking
                if what == worker.ASKED:
                    one.trial = about
                    continue
                busy.remove(one)
                self._deaths = 0
                self._ended(one, what, about)
                begin(one)

    def finish(self) -> Optional[dict[str, float]]:
        """Let the best model be written, where it is not, and judged by the test pairs."""
        one = self._workers[0] if self._workers else self._hire(0)
        one.ask(worker.FINISH)
        found: Optional[dict[str, float]] = self._answer(one)
        return found

    def _ended(self, one: _Worker, what: str, about: Any) -> None:
        if what == worker.BROKEN:
            raise AlgorithmError(f"A worker of the study has failed: {about}")
        one.trial = None
        trial = next(t for t in reversed(trials_of(self._study)) if t.number == about)
        is_best = trial.state == COMPLETE and self._study.best_trial.number == about
        self._told(f"{trial.line()}{' (the best so far)' if is_best else ''}")
        if is_best:
            one.ask(worker.SAVE)
            # another one that is better must not be overwritten by this one; of a worker that ends
            # meanwhile `run` hears, and `finish` sees that the model is there
            with contextlib.suppress(EOFError, ConnectionResetError):
                self._received(one)

    def _answer(self, one: _Worker) -> Any:
        try:
            return self._received(one)
        except (EOFError, ConnectionResetError):
            raise AlgorithmError(
                f"A worker of the study ended while it wrote the model (code {one.code})."
            ) from None

    @staticmethod
    def _received(one: _Worker) -> Any:
        what, about = one.connection.recv()
        if what == worker.BROKEN:
            raise CustomerError(about.partition(": ")[2] or about)
        return about

    def _hire(self, place: int) -> _Worker:
        one = _Worker(self._plan, place)
        self._workers.append(one)
        return one

    def _bury(self, one: _Worker) -> bool:
        """Note that a worker ended by itself, and whether that has ended a trial."""
        self._workers.remove(one)
        code = one.code
        one.end()
        self._deaths += 1
        if self._deaths >= _DEATHS:
            raise AlgorithmError(
                f"{_DEATHS} workers of the study ended one after the other (code {code}): the "
                "machine may have too little memory for the trainings."
            )
        if one.trial is None:
            return False
        optuna = optuna_module()
        state = optuna.trial.TrialState
        trials = self._study.get_trials(deepcopy=False, states=(state.RUNNING,))
        for trial in trials:
            if trial.number == one.trial:
                reason = f"its process ended by itself (code {code})"
                set_attribute(self._study, trial, ERROR, reason)
                self._study.tell(trial.number, state=state.FAIL)
                self._told(f"trial {one.trial} failed: {reason}")
        return True


def _nothing_complete(ended: list[Trial]) -> str:
    reasons = [trial.error for trial in ended if trial.error]
    why = f", the first because: {reasons[0]}" if reasons else ""
    return f"Of {counted(len(ended), 'trial')} not one was complete{why}"


def _check_counts(trials: int, jobs: int, seconds: Optional[float]) -> None:
    for name, value, most in (("trials", trials, MOST_TRIALS), ("jobs", jobs, MOST_JOBS)):
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise CustomerError(
                f"{name} must be a whole number from 1 to {most:,}, found {quoted(value)}."
            )
    if seconds is not None and (isinstance(seconds, (str, bool)) or not seconds > 0):
        raise CustomerError(f"timeout must be seconds above 0, found {quoted(seconds)}.")


@contextlib.contextmanager
def study_file(given: Optional[Any]) -> Iterator[Path]:
    """The file of a study; without one a file that is gone afterwards."""
    import tempfile

    if given is not None:
        yield Path(given)
        return
    with tempfile.TemporaryDirectory(prefix="object2vec-") as folder:
        yield Path(folder, "study.db")


def print_line(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def silent(line: str) -> None:
    """Tell nothing."""
