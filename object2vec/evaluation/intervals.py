# SPDX-License-Identifier: Apache-2.0
"""Confidence intervals by bootstrap: measures of many samples drawn from the same records."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Optional

import numpy as np

from object2vec.errors import CustomerError
from object2vec.evaluation.checked_arrays import is_whole
from object2vec.evaluation.results import Measure
from object2vec.text import quoted

#: A measure of records by how much each of them counts, float64 ``(n,)``; NaN where not defined.
Statistic = Callable[[Optional[np.ndarray]], float]
MOST_RESAMPLES = 100_000


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are found: percentiles of the measures of resamples (Efron, 1979).

    Parameters
    ----------
    resamples : int
        How many samples of the size of the data are drawn with replacement; 0 for no intervals.
    confidence : float
        Between 0 and 1: 0.95 gives the percentiles 2.5 and 97.5.
    seed : int
        Equal seeds give equal intervals.

    Raises
    ------
    CustomerError
        Says of the first wrong one what would be right.
    """

    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if not is_whole(self.resamples) or not 0 <= self.resamples <= MOST_RESAMPLES:
            raise CustomerError(
                f"resamples must be a whole number from 0 to {MOST_RESAMPLES}, found "
                f"{quoted(self.resamples)}."
            )
        if isinstance(self.confidence, (str, bool)) or not 0 < self.confidence < 1:
            raise CustomerError(
                f"confidence must be a number between 0 and 1, such as 0.95, found "
                f"{quoted(self.confidence)}."
            )
        if not is_whole(self.seed) or self.seed < 0:
            raise CustomerError(f"seed must be a whole number from 0, found {quoted(self.seed)}.")

    def measures(
        self,
        count: int,
        statistics: Mapping[str, Mapping[str, Statistic]],
        weights: Optional[np.ndarray] = None,
    ) -> dict[str, dict[str, Measure]]:
        """Measure several things by the same resamples.

        Parameters
        ----------
        count : int
            How many records.
        statistics : mapping of str to mapping of str to Statistic
            By what is measured, such as the model and a baseline, and by the measure's name.
        weights : numpy.ndarray, optional
            Shape ``(count,)``, above 0: how much each record counts.

        Returns
        -------
        dict of str to dict of str to Measure
            Without those that are not defined for the data. A resample for which a measure is not
            defined, such as one of a single class, does not count for its interval.
        """
        values = {
            (who, name): value
            for who, own in statistics.items()
            for name, statistic in own.items()
            if not np.isnan(value := statistic(weights))
        }
        found: dict[tuple[str, str], list[float]] = {key: [] for key in values}
        rng = np.random.default_rng(self.seed)
        for _ in range(self.resamples):
            drawn = np.bincount(rng.integers(count, size=count), minlength=count).astype(float)
            if weights is not None:
                drawn *= weights
            for who, name in values:
                found[who, name].append(statistics[who][name](drawn))
        result: dict[str, dict[str, Measure]] = {who: {} for who in statistics}
        for (who, name), value in values.items():
            result[who][name] = Measure(float(value), *self.ends(np.array(found[who, name])))
        return result

    def ends(self, values: np.ndarray) -> tuple[Optional[float], Optional[float]]:
        """The interval that holds the middle of the resamples' values."""
        if not len(values):
            return None, None
        tail = (1 - self.confidence) / 2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # all are NaN
            low, high = np.nanquantile(values, [tail, 1 - tail])
        return (None, None) if np.isnan(low) else (float(low), float(high))


def mean_of(values: np.ndarray) -> Statistic:
    """The mean of ``(n,)`` values."""
    exact = values.astype(np.float64)

    def mean(weights: Optional[np.ndarray]) -> float:
        if weights is None:
            return float(exact.mean())
        return float(exact @ weights / weights.sum())

    return mean


def root_of(statistic: Statistic) -> Statistic:
    """The root of another measure."""
    return lambda weights: float(np.sqrt(statistic(weights)))
