# SPDX-License-Identifier: Apache-2.0
"""The file of a study: made, opened again, and held by one process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import importlib
import json
import os
import secrets
import sqlite3
import stat
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

from object2vec.errors import CustomerError
from object2vec.extras import extra_module
from object2vec.text import named, names
from object2vec.tuning.trials import COMPLETE, FAILED, PRUNED, Trial

STUDY = "object2vec"
# What is kept beside the trials.
IDENTITY, SEED, SAVED, START = "identity", "seed", "saved", "start"
# What is kept of a trial.
SETTING, EPOCHS, BEST_EPOCH, ERROR, CUT_OFF = "setting", "epochs", "best_epoch", "error", "cut_off"
_WAITING = 60  # seconds for another process's writing
_MAGIC = b"SQLite format 3\0"
_OPTUNAS_TABLE = "studies"


def optuna_module() -> Any:
    """Import Optuna.

    Raises
    ------
    CustomerError
        It is not installed, or cannot be loaded.
    """
    optuna = extra_module("optuna", "Hyperparameters are tuned with Optuna", "'object2vec[tune]'")
    # it tells of each trial otherwise, and so do we
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def check_study_file(path: Path) -> None:
    """Refuse what is no file of a study, before data are read.

    Raises
    ------
    CustomerError
        It is a folder or something else than SQLite's, or its folder does not exist.
    """
    if not path.parent.is_dir():
        raise CustomerError(
            f"{named(path)} cannot be written: the folder {named(path.parent)} does not exist."
        )
    if not path.exists():
        return
    try:
        head = _head(path)
    except OSError as error:
        raise CustomerError(f"{named(path)} cannot be read: {error.strerror}.") from None
    if head and head != _MAGIC:
        raise CustomerError(
            f"{named(path)} is no file of a study, which is one of SQLite: name another one."
        )
    tables = _tables(path) if head else set()
    if tables and _OPTUNAS_TABLE not in tables:
        raise CustomerError(
            f"{named(path)} is a database that holds no study, but {names(sorted(tables))}: name "
            "another file."
        )


def is_database(path: Path) -> bool:
    """Whether a file is one of SQLite; not where it cannot be read, as is said later."""
    try:
        return _head(path) == _MAGIC
    except OSError:
        return False


def _head(path: Path) -> bytes:
    """Where SQLite's mark stands in a file; a pipe, which would be waited for, is refused."""
    if stat.S_ISFIFO(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is a pipe, not a file")
    with path.open("rb") as stream:
        return stream.read(len(_MAGIC))


def read_study(path: Path) -> dict[str, Any]:
    """What a study's file tells so far, as the arguments of a `Tuning`.

    Parameters
    ----------
    path : Path
        A file of SQLite, which another process may be writing. ``best`` is -1 where no trial is
        complete.

    Raises
    ------
    CustomerError
        It is damaged, or the file of something else.
    """
    check_study_file(path)
    if not _tables(path):
        raise CustomerError(f"{named(path)} holds no study, as it has no tables, or is damaged.")
    try:
        study = open_study(path)
    except KeyError:
        raise CustomerError(f"{named(path)} holds no study that object2vec has made.") from None
    identity = study.user_attrs.get(IDENTITY)
    if identity is None:
        raise CustomerError(f"{named(path)} holds no study that object2vec has made.")
    trials = trials_of(study)
    complete = [trial for trial in trials if trial.state == COMPLETE]
    return {
        "metric": identity["metric"],
        "direction": identity["direction"],
        "best": study.best_trial.number if complete else -1,
        "trials": trials,
        "space": identity["space"],
        # of a study of an older version what is nearest to it
        "start": study.user_attrs.get(START) or _first_params(study),
    }


def _first_params(study: Any) -> dict[str, Any]:
    trials = study.get_trials(deepcopy=False)
    first = next((one for one in trials if one.user_attrs.get(SETTING) == {}), None)
    return {} if first is None else dict(first.params)


def _tables(path: Path) -> set[str]:
    """The names of a database's tables; none of a file that is damaged, as is said later."""
    address = f"file:{urllib.parse.quote(str(path))}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
            found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return {name for (name,) in found}
    except sqlite3.Error:
        return set()


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a study, so that what seems to run in it was cut off; ``.lock`` behind its name.

    Raises
    ------
    CustomerError
        Another process holds it.
    """
    handle = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CustomerError(
                f"Another process works on the study {named(path)}: wait for it, take --jobs for "
                "more than one training at a time, or name another file."
            ) from None
        yield
    finally:
        os.close(handle)


def open_study(path: Path, **options: Any) -> Any:
    """Optuna's study of a file, which must hold it.

    Parameters
    ----------
    path : Path
        A file of SQLite.
    **options
        Sampler and pruner.
    """
    optuna = optuna_module()
    return optuna.load_study(study_name=STUDY, storage=_storage(path), **options)


def prepare_study(path: Path, identity: Mapping[str, Any], seed: Optional[int]) -> int:
    """Make a study, or see that one is the same, and say which seed it has.

    What was cut off is to be tried again.

    Parameters
    ----------
    path : Path
        The file, which `held` holds.
    identity : mapping
        See `Plan.identity`.
    seed : int, optional
        The one that is given.

    Raises
    ------
    CustomerError
        The file holds another study.
    """
    optuna = optuna_module()
    direction = identity["direction"]
    study = optuna.create_study(
        study_name=STUDY, storage=_storage(path), direction=direction, load_if_exists=True
    )
    known = study.user_attrs.get(IDENTITY)
    if known is None:
        if study.get_trials(deepcopy=False):
            raise CustomerError(
                f"{named(path)} holds a study that object2vec has not made: name another file."
            )
        seed = secrets.randbits(31) if seed is None else seed
        study.set_user_attr(SEED, seed)
        study.set_user_attr(IDENTITY, json.loads(json.dumps(identity)))
        return seed
    _check_same(path, known, json.loads(json.dumps(identity)))
    if seed is not None and seed != study.user_attrs[SEED]:
        raise CustomerError(
            f"The study {named(path)} has the seed {study.user_attrs[SEED]}, but {seed} is given: "
            "leave it out, or name another file."
        )
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        set_attribute(study, trial, CUT_OFF, True)
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        setting = trial.user_attrs.get(SETTING)
        if setting is not None:
            study.enqueue_trial(trial.params, user_attrs={SETTING: setting})
    return int(study.user_attrs[SEED])


def set_attribute(study: Any, trial: Any, name: str, value: Any) -> None:
    """Keep something of a trial that another process has begun."""
    study._storage.set_trial_user_attr(trial._trial_id, name, value)


def trials_of(study: Any) -> list[Trial]:
    """The trials that have ended, by their numbers; without those that were cut off."""
    optuna = optuna_module()
    states = {
        optuna.trial.TrialState.COMPLETE: COMPLETE,
        optuna.trial.TrialState.PRUNED: PRUNED,
        optuna.trial.TrialState.FAIL: FAILED,
    }
    return [
        Trial(
            number=trial.number,
            state=states[trial.state],
            value=trial.value,
            setting=dict(trial.user_attrs.get(SETTING) or {}),
            epochs=trial.user_attrs.get(EPOCHS, 0),
            best_epoch=trial.user_attrs.get(BEST_EPOCH),
            seconds=None if trial.duration is None else trial.duration.total_seconds(),
            error=trial.user_attrs.get(ERROR, ""),
        )
        for trial in study.get_trials(deepcopy=False, states=tuple(states))
        if not trial.user_attrs.get(CUT_OFF)
    ]


def _storage(path: Path) -> Any:
    engine, errors = (importlib.import_module(f"sqlalchemy.{name}") for name in ("engine", "exc"))
    url = engine.URL.create("sqlite", database=str(path)).render_as_string()
    try:
        return optuna_module().storages.RDBStorage(
            url, engine_kwargs={"connect_args": {"timeout": _WAITING}}
        )
    except (errors.DatabaseError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CustomerError(
            f"{named(path)} cannot be used as the file of a study: {reason}"
        ) from None


def _check_same(path: Path, known: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    parts = {"metric": "another measure", "space": "another search", "data": "other data"}
    parts["given"] = "other hyperparameters"
    different = [words for name, words in parts.items() if known.get(name) != asked[name]]
    if known.get("version") != asked["version"] or different:
        raise CustomerError(
            f"The study {named(path)} was made with {names(different) or 'another version'}: give "
            "the same again, or name another file."
        )
