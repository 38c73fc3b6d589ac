# SPDX-License-Identifier: Apache-2.0
"""The parameters of the Python API that are no hyperparameters: seed, device, verbose, side."""

from __future__ import annotations

import logging
import numbers
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np

from object2vec.backend.device_names import contexts_of, device_ids, named_gpus
from object2vec.data.arrays import PairDataset
from object2vec.data.record_checks import INPUTS
from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.logs import LOGGER_NAME, watched
from object2vec.text import quoted
from object2vec.training.callbacks import Callback, checked_callbacks
from object2vec.training.readable_log import ReadableLog
from object2vec.training.training_log import JobStart

if TYPE_CHECKING:
    from object2vec.pretrained.auxiliary_channel import Auxiliary
    from object2vec.raw_values.inputs import Inputs
    from object2vec.training.training_result import TrainingResult

_logger = logging.getLogger(LOGGER_NAME)
RandomState = Union[int, np.random.RandomState, np.random.Generator]

#: `seed` is one, under the name _seed; what is here goes by other ways.
OPTIONS = ("random_state", "device", "verbose", "transform_side")
_SEEDS = 2**31


def check_options(given: Mapping[str, Any]) -> None:
    """Check them as they are given to the constructor.

    Raises
    ------
    CustomerError
        Says of the first wrong one what would be right.
    """
    device_ids(given.get("device"))
    check_verbose(given.get("verbose"))
    side = given.get("transform_side", INPUTS[0])
    if not isinstance(side, str) or side not in INPUTS:
        raise CustomerError(f"transform_side should be 'in0' or 'in1', found {quoted(side)}.")
    seed, state = given.get("seed"), given.get("random_state")
    if state is None:
        return
    if not (_is_seed(state) or isinstance(state, (np.random.RandomState, np.random.Generator))):
        raise CustomerError(
            f"random_state should be a whole number from 0 to {_SEEDS - 1}, a "
            f"numpy.random.RandomState or Generator, or None; found {quoted(state)}."
        )
    if seed is not None and not (_is_seed(state) and state == seed):
        raise CustomerError(
            f"seed is {quoted(seed)} and random_state is {quoted(state)}, but both are names of "
            "one thing: give one of them."
        )


def check_verbose(verbose: Any) -> None:
    """Raise a CustomerError unless it is 0, 1, a bool or None."""
    is_number = isinstance(verbose, (numbers.Integral, np.bool_))
    if verbose is not None and not (is_number and verbose in (0, 1)):
        raise CustomerError(
            f"verbose should be 0 for silence, 1 for a line an epoch, or None; found "
            f"{quoted(verbose)}."
        )


def fixed_seed(given: Mapping[str, Any]) -> Any:
    """The seed that every `fit` takes; None where each one draws its own."""
    state = given.get("random_state")
    return int(state) if state is not None and _is_seed(state) else given.get("seed")


class FitOptions:
    """What a `fit` goes by besides its data, checked before these are read.

    Parameters
    ----------
    given : mapping
        The estimator's parameters.
    hyperparameters : Hyperparameters
        Made of them.
    callbacks, verbose, progress
        As `fit` takes them.

    Attributes
    ----------
    hyperparameters : Hyperparameters
        With the seed that a given generator draws.
    sized : Hyperparameters
        The same for the device that is named, by which memory is estimated.

    Raises
    ------
    CustomerError
        One of them is wrong, or there is no such device.
    """

    def __init__(
        self,
        given: Mapping[str, Any],
        hyperparameters: Hyperparameters,
        callbacks: Iterable[Callback],
        verbose: Optional[int],
        progress: Optional[bool],
    ) -> None:
        verbose = given.get("verbose") if verbose is None else verbose
        check_verbose(verbose)
        self._callbacks = checked_callbacks(callbacks)
        self._readable = ReadableLog() if verbose else None
        self._progress = (verbose != 0 and watched()) if progress is None else progress
        device = given.get("device")
        self._contexts = contexts_of(device)
        self._state = given.get("random_state")
        self._gpus = named_gpus(device)
        self.hyperparameters = self.sized = hyperparameters
        if self._state is not None:
            self._draw_seed()
        self._size()

    @property
    def shows_progress(self) -> bool:
        """Whether bars are shown."""
        return self._progress

    def take(self, hyperparameters: Hyperparameters) -> None:
        """Go by hyperparameters that were found in the data, with the seed that was drawn."""
        self.hyperparameters = replace(hyperparameters, seed=self.hyperparameters.seed)
        self._size()

    def say(self, line: str) -> None:
        """Tell the log, and those who watch by `verbose`."""
        _logger.info("%s", line)
        if self._readable is not None:
            self._readable.say(line)

    def _size(self) -> None:
        gpus = {} if self._gpus is None else {"num_gpus": self._gpus}
        self.sized = replace(self.hyperparameters, **gpus)  # type: ignore[arg-type]

    def check_refit(self, validation: Any) -> None:
        """Prepare for two trainings, which need a seed in common.

        Raises
        ------
        CustomerError
            There is no validation.
        """
        if validation is None:
            raise CustomerError("refit needs validation pairs, which tell the best epoch.")
        self._draw_seed()

    def train(
        self,
        pairs: PairDataset,
        validation: Optional[PairDataset],
        test: Optional[PairDataset],
        *,
        auxiliary: Optional[Auxiliary],
        start: JobStart,
        inputs: Optional[Inputs],
        refit: bool,
        validation_positives: Optional[PairDataset],
    ) -> TrainingResult:
        """Train, and with `refit` once more; see `training.loop.train` and `training.refit`."""
        from object2vec.training.loop import train
        from object2vec.training.refit import train_and_refit

        run = (
            partial(train_and_refit, validation_positives=validation_positives) if refit else train
        )
        return run(
            self.hyperparameters,
            pairs,
            validation,
            test,
            auxiliary=auxiliary,
            start=start,
            contexts=self._contexts,
            progress=self._progress,
            callbacks=self._callbacks,
            readable=self._readable,
            inputs=inputs,
        )

    def _draw_seed(self) -> None:
        if self.hyperparameters.seed is not None:
            return
        seed = secrets.randbits(31)
        if isinstance(self._state, np.random.RandomState):
            seed = int(self._state.randint(_SEEDS - 1))
        elif isinstance(self._state, np.random.Generator):
            seed = int(self._state.integers(_SEEDS))
        self.hyperparameters = replace(self.hyperparameters, seed=seed)


def _is_seed(state: Any) -> bool:
    is_number = isinstance(state, numbers.Integral) and not isinstance(state, (bool, np.bool_))
    return is_number and 0 <= int(state) < _SEEDS
