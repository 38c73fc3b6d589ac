# SPDX-License-Identifier: Apache-2.0
"""What all trainings of a study share; a worker's process gets it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from object2vec.data.arrays import PairDataset
from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import Hyperparameters, parse
from object2vec.training.early_stopping import LOSS
from object2vec.training.stopping_metric import LOWER_IS_BETTER
from object2vec.tuning.space import Range

if TYPE_CHECKING:
    from object2vec.pretrained.auxiliary_channel import Auxiliary
    from object2vec.raw_values.inputs import Inputs

#: Raised where a study of an older one would be read wrongly.
_VERSION = 1


@dataclass(frozen=True, eq=False)
class Plan:
    """What trainings share.

    Attributes
    ----------
    configuration : mapping
        Hyperparameters as `checked.parse` takes them, unless they are searched.
    space : mapping of str to Range
        What is searched.
    datasets : mapping of str to PairDataset
        ``train``, ``validation`` and, if given, ``test``.
    study : Path
        The file of SQLite.
    model_dir : Path
        Where the best model is written.
    auxiliary : Auxiliary, optional
        Pretrained vectors and vocabularies.
    inputs : Inputs, optional
        What the ids stand for.
    refit : bool
        Whether the best setting is trained anew on train and validation pairs.
    prunes : bool
        Whether trainings are ended that are worse than others were at their epoch.
    seed : int
        Of each training, and of the draws; the study has it.
    threads : int, optional
        Of a worker, where no variable says it.
    """

    configuration: Mapping[str, Any]
    space: Mapping[str, Range]
    datasets: Mapping[str, PairDataset]
    study: Path
    model_dir: Path
    auxiliary: Optional[Auxiliary] = None
    inputs: Optional[Inputs] = None
    refit: bool = False
    prunes: bool = True
    seed: int = 0
    threads: Optional[int] = None

    def hyperparameters(self, setting: Mapping[str, Any]) -> Hyperparameters:
        """Those of one training.

        Raises
        ------
        CustomerError
            They do not go together.
        """
        return parse({**self.configuration, **setting, "_seed": self.seed})[0]

    @property
    def metric(self) -> str:
        """By what trainings are judged, as it is called in a history."""
        hyperparameters = self.hyperparameters({})
        metric = hyperparameters.early_stopping_metric
        if metric == LOSS:
            metric = "mean_squared_error" if hyperparameters.is_regression else "cross_entropy"
        return f"validation_{metric}"

    @property
    def direction(self) -> str:
        """``minimize`` or ``maximize``."""
        metric = self.hyperparameters({}).early_stopping_metric
        return "minimize" if metric in LOWER_IS_BETTER else "maximize"

    def identity(self) -> dict[str, Any]:
        """What has to be the same where a study goes on, as JSON knows it."""
        given = {name: value for name, value in self.configuration.items() if value is not None}
        return {
            "version": _VERSION,
            "metric": self.metric,
            "given": {
                name: str(value)
                for name, value in sorted(given.items())
                if name not in self.space and name != "_seed"
            },
            "space": {name: one.words() for name, one in self.space.items()},
            "data": {name: _digest(pairs) for name, pairs in self.datasets.items()},
        }

    def joined(self) -> PairDataset:
        """Train and validation pairs, without negatives that were drawn to judge by."""
        validation = self.datasets["validation"]
        if self.inputs is not None and self.inputs.label.kind == "none":
            validation = validation.take(np.flatnonzero(validation.labels != 0))
        return PairDataset.concatenate([self.datasets["train"], validation])


def check_validation(datasets: Mapping[str, Any]) -> None:
    """Raise a CustomerError if there is nothing by which trainings could be judged."""
    if datasets.get("validation") is None:
        raise CustomerError(
            "A study judges its trainings by validation pairs, but there are none: give a file, or "
            "of a table a share of its rows such as 0.1."
        )


def _digest(pairs: PairDataset) -> str:
    found = hashlib.sha256()
    weights = np.zeros(0, np.float32) if pairs.weights is None else pairs.weights
    for lists in (pairs.in0, pairs.in1):
        for array in (lists.tokens, lists.offsets):
            found.update(np.ascontiguousarray(array).data)
    for array in (pairs.labels, weights):
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()[:16]
