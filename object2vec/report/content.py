# SPDX-License-Identifier: Apache-2.0
"""All that a report tells, before it is a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Protocol, runtime_checkable

from object2vec.evaluation.results import Evaluation
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.raw_values.inputs import Inputs
from object2vec.report.charts import Spread
from object2vec.report.payloads import MapSide


@dataclass(frozen=True, eq=False)
class Judged:
    """What a model is worth on some data.

    Parameters
    ----------
    title : str
        Of the data, such as a file's name.
    evaluation : Evaluation
        The measures, beside the baselines.
    spreads : sequence of Spread
        Predicted beside true numbers; empty where classes are predicted.
    """

    title: str
    evaluation: Evaluation
    spreads: Sequence[Spread] = ()


@runtime_checkable
class Tuned(Protocol):
    """What a study of trainings found, as a page needs it: `object2vec.Tuning`."""

    @property
    def metric(self) -> str: ...
    @property
    def direction(self) -> str: ...
    @property
    def best(self) -> int: ...
    @property
    def trials(self) -> Sequence[Any]: ...
    @property
    def space(self) -> Mapping[str, str]: ...
    @property
    def start(self) -> Mapping[str, Any]: ...
    @property
    def best_setting(self) -> Mapping[str, Any]: ...
    def ranked(self) -> Sequence[Any]: ...


@dataclass(frozen=True, eq=False)
class Content:
    """What stands in a report.

    Parameters
    ----------
    title : str
        Of the page, such as the model's folder.
    hyperparameters : Hyperparameters
        Of the model.
    metrics : mapping
        What its training reported, as the model directory keeps it: ``history``, ``best_epoch`` and
        ``data``, of which older models lack some.
    inputs : Inputs, optional
        Which raw value has which id.
    complete : bool
        Whether an epoch was finished.
    summaries : mapping of str to dict
        Of further data, by their names: see `data.summary`.
    judged : sequence of Judged
        What the model is worth, by data.
    sides : sequence of MapSide
        What the map shows.
    unmapped : sequence of str
        Why a side has no map, in sentences.
    versions : mapping of str to str
        Of what made the page.
    tuned : Tuned, optional
        The study that the model is from.
    """

    title: str
    hyperparameters: Hyperparameters
    metrics: Mapping[str, Any]
    inputs: Optional[Inputs] = None
    complete: bool = True
    summaries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    judged: Sequence[Judged] = ()
    sides: Sequence[MapSide] = ()
    unmapped: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    tuned: Optional[Tuned] = None

    @property
    def history(self) -> list[Mapping[str, Any]]:
        """The metrics of each epoch; empty where the model keeps none."""
        return list(self.metrics.get("history", []))

    @property
    def best(self) -> Optional[Mapping[str, Any]]:
        """The metrics of the epoch whose model was kept."""
        wanted = self.metrics.get("best_epoch")
        return next((own for own in self.history if own.get("epoch") == wanted), None)

    @property
    def kept(self) -> str:
        """Which epoch's model was kept, "best" or "last": see `training.loop.train`."""
        judged = any(name.startswith("validation_") for own in self.history for name in own)
        return "best" if judged or not self.hyperparameters.draws_hard_negatives else "last"

    @property
    def data(self) -> Mapping[str, Any]:
        """The summaries of the channels of the training, then of further data."""
        kept = self.metrics.get("data")
        return {**(kept if isinstance(kept, Mapping) else {}), **self.summaries}

    def called(self, side: str) -> str:
        """The columns of a side, or its name."""
        if self.inputs is None:
            return side
        return ", ".join(self.inputs.side(side).names)
