# SPDX-License-Identifier: Apache-2.0
"""What an evaluation found: plain values that print as tables and become JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, Union

from object2vec.errors import CustomerError
from object2vec.text import bounded, in_columns, shown

#: Measures that are better if smaller, whatever stands behind an @; of all others more is better.
SMALLER_IS_BETTER = (
    *("cross_entropy", "perplexity", "calibration_error", "hamming_loss"),
    *("mean_squared_error", "root_mean_squared_error", "mean_absolute_error", "mean_rank"),
)
#: Neither more nor less of them is better.
DESCRIPTIVE = ("popularity_share",)
MODEL = "model"


@dataclass(frozen=True)
class Measure:
    """A measure with its confidence interval.

    Attributes
    ----------
    value : float
        What was measured.
    low, high : float or None
        The ends of the interval by bootstrap; None where there is none.
    """

    value: float
    low: Optional[float] = None
    high: Optional[float] = None


@dataclass(frozen=True)
class Confusion:
    """How often each class was predicted for each.

    Attributes
    ----------
    classes : list of str
        Their names, in order.
    counts : list of list of int or float
        A row a label, a column a prediction; sums of weights where pairs have these.
    """

    classes: list[str]
    counts: list[list[Union[int, float]]]


@dataclass(frozen=True)
class ReliabilityBin:
    """Pairs whose predicted class has a probability from `low` on, up to `high`.

    Attributes
    ----------
    low, high : float
        The ends of the bin; the upper one belongs to it, the lower one does not.
    count : int
        How many pairs.
    confidence : float or None
        Their mean probability of the predicted class; None of an empty bin.
    accuracy : float or None
        How many of them are predicted right; None of an empty bin.
    """

    low: float
    high: float
    count: int
    confidence: Optional[float]
    accuracy: Optional[float]


@dataclass(frozen=True)
class Histogram:
    """How many values lie between the edges.

    Attributes
    ----------
    edges : list of float
        One more than there are counts, ascending.
    counts : list of int
        How many values lie from one edge on, below the next; the last edge belongs to the last.
    """

    edges: list[float]
    counts: list[int]


@dataclass(frozen=True)
class Evaluation:
    """What a model is worth on some data, beside its baselines.

    ``evaluation["auc"]`` is the value of a measure of the model; `to_dict` gives everything.

    Attributes
    ----------
    task : str
        ``classes``, ``label sets``, ``numbers``, ``ranking`` or ``correlation``.
    count : int
        How many were judged: pairs, or queries of a ranking.
    measures : dict of str to Measure
        Those of the model, in the order in which they are told.
    baselines : dict of str to dict of str to Measure
        The same of what the model is to beat, by its name; not all measures are defined for each.
    settings : dict of str to object
        What was asked: confidence, resamples, seed, candidates and the like.
    confusion : Confusion or None
        Of classes.
    reliability : list of ReliabilityBin or None
        Of classes: how often the model is right when it is how sure.
    residuals : Histogram or None
        Of numbers: predicted minus label.
    notes : list of str
        What has to be known of the figures, in sentences.
    """

    task: str
    count: int
    measures: dict[str, Measure]
    baselines: dict[str, dict[str, Measure]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    confusion: Optional[Confusion] = None
    reliability: Optional[list[ReliabilityBin]] = None
    residuals: Optional[Histogram] = None
    notes: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> float:
        return self.measures[name].value

    def __iter__(self) -> Iterator[str]:
        return iter(self.measures)

    def values(self) -> dict[str, float]:
        """The measures of the model, by name, without intervals."""
        return {name: measure.value for name, measure in self.measures.items()}

    def to_dict(self) -> dict[str, Any]:
        """All of it as dicts, lists, texts and numbers; infinity and NaN become None."""
        return {key: _plain(value) for key, value in dataclasses.asdict(self).items()}

    def to_json(self, indent: Optional[int] = 2) -> str:
        """`to_dict` as a text of JSON."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Evaluation:
        """Make one of what `to_dict` gave.

        Raises
        ------
        CustomerError
            It is something else.
        """
        try:
            return cls._from_dict(found)
        except KeyError as error:
            fault = f"it has no {error}"
        except (AttributeError, TypeError, ValueError):
            fault = f"found {shown(found, 200)}"
        raise CustomerError(f"This is not what Evaluation.to_dict gives: {fault}.")

    @classmethod
    def _from_dict(cls, found: Mapping[str, Any]) -> Evaluation:
        confusion, reliability, residuals = (
            found.get(name) for name in ("confusion", "reliability", "residuals")
        )
        return cls(
            task=found["task"],
            count=found["count"],
            measures=_measures(found["measures"]),
            baselines={name: _measures(own) for name, own in found["baselines"].items()},
            settings=dict(found["settings"]),
            confusion=None if confusion is None else Confusion(**confusion),
            reliability=None
            if reliability is None
            else [ReliabilityBin(**one) for one in reliability],
            residuals=None if residuals is None else Histogram(**residuals),
            notes=list(found["notes"]),
        )

    def table(self) -> str:
        """Measures in rows; the model, its interval and its baselines in columns, as text."""
        others = list(self.baselines.values())
        rows = list(dict.fromkeys(name for own in (self.measures, *others) for name in own))
        has_intervals = any(measure.low is not None for measure in self.measures.values())
        head = ["", MODEL, *self.baselines]
        if has_intervals:
            head.insert(2, f"{self.settings.get('confidence', 0.95):.4g} interval")
        cells = [head]
        for name in rows:
            own = self.measures.get(name)
            row = [name, _value(own), *(_value(other.get(name)) for other in others)]
            if has_intervals:
                row.insert(2, _interval(own))
            cells.append(row)
        return in_columns(cells, numbers=True)

    def __str__(self) -> str:
        parts = [self.table()]
        if self.confusion is not None:
            parts.append(_confusion_text(self.confusion))
        parts.append("\n".join(self.notes))
        return "\n\n".join(part for part in parts if part)


def is_smaller_better(name: str) -> Optional[bool]:
    """Whether less of a measure is better; None where neither is."""
    kind = name.split("@")[0]
    return None if kind in DESCRIPTIVE else kind in SMALLER_IS_BETTER


def _measures(found: Mapping[str, Any]) -> dict[str, Measure]:
    return {name: Measure(**_floats(own)) for name, own in found.items()}


def _floats(own: Mapping[str, Any]) -> dict[str, Any]:
    # what JSON cannot hold has become None
    value, low, high = own["value"], own.get("low"), own.get("high")
    return {
        **own,
        "value": math.nan if value is None else float(value),
        "low": None if low is None else float(low),
        "high": None if high is None else float(high),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(own) for key, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(own) for own in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _value(measure: Optional[Measure]) -> str:
    return "" if measure is None else _number(measure.value)


def _interval(measure: Optional[Measure]) -> str:
    if measure is None or measure.low is None or measure.high is None:
        return ""
    return f"{_number(measure.low)} to {_number(measure.high)}"


def _number(value: float) -> str:
    if abs(value) >= 1e12:
        return f"{value:.6g}"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.1f}"


def _confusion_text(confusion: Confusion) -> str:
    classes = [bounded(name, 40) for name in confusion.classes]
    rows = [
        [name, *(f"{count:g}" if isinstance(count, float) else str(count) for count in counts)]
        for name, counts in zip(classes, confusion.counts)
    ]
    return in_columns([["label \\ predicted", *classes], *rows], numbers=True)
