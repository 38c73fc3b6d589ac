# SPDX-License-Identifier: Apache-2.0
"""The log lines that machines read, and the definitions by which SageMaker reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional, Union

from object2vec.hyperparameters.table import QUALITY_METRICS, SPLITS

MINIMIZE = "Minimize"
MAXIMIZE = "Maximize"

#: Which way each quality metric improves; the log marks the two as <loss> and <score>.
_DIRECTIONS = {
    "cross_entropy": MINIMIZE,
    "mean_squared_error": MINIMIZE,
    "accuracy": MAXIMIZE,
    "micro_f1": MAXIMIZE,
}
_MARKS = {MINIMIZE: "<loss>", MAXIMIZE: "<score>"}


@dataclass(frozen=True)
class MetricDefinition:
    """A metric that tuning jobs and the console read from the log.

    Attributes
    ----------
    name : str
        For example 'validation:accuracy'.
    regex : str
        Its one group is the value.
    direction : str
        'Minimize' or 'Maximize', as CreateAlgorithm spells them.
    objective : bool
        Whether a tuning job may optimise it.
    """

    name: str
    regex: str
    direction: str
    objective: bool = False


def _quality_definition(split: str, metric: str) -> MetricDefinition:
    direction = _DIRECTIONS[metric]
    # The test channel is scored once, after training, so its line has no epoch.
    epoch = "" if split == "test" else r" epoch=\S+,"
    return MetricDefinition(
        f"{split}:{metric}",
        rf"#quality_metric: host=\S+,{epoch} {split} {metric} {_MARKS[direction]}=(\S+)",
        direction,
        objective=split != "train",
    )


METRIC_DEFINITIONS: tuple[MetricDefinition, ...] = (
    *(_quality_definition(split, metric) for split in SPLITS for metric in QUALITY_METRICS),
    MetricDefinition("train:progress", r"#progress_metric: host=\S+, completed (\S+) %", MAXIMIZE),
    MetricDefinition(
        "train:throughput",
        r"#throughput_metric: host=\S+, train throughput=(\S+) records/second",
        MAXIMIZE,
    ),
)


def quality_metric_line(
    host: str, split: str, metric: str, value: float, epoch: Optional[int] = None
) -> str:
    """One value of a registered quality metric.

    Parameters
    ----------
    host : str
        Name of this machine, for example 'algo-1'.
    split : str
        'train', 'validation' or 'test'.
    metric : str
        'cross_entropy', 'accuracy', 'micro_f1' or 'mean_squared_error'.
    value : float
        Mean over the records.
    epoch : int, optional
        Counted from 0; left out for the test channel.

    Examples
    --------
    >>> quality_metric_line("algo-1", "train", "accuracy", 0.875, epoch=0)
    '#quality_metric: host=algo-1, epoch=0, train accuracy <score>=0.875'
    """
    when = "" if epoch is None else f" epoch={epoch},"
    mark = _MARKS[_DIRECTIONS[metric]]
    return f"#quality_metric: host={host},{when} {split} {metric} {mark}={float(value)!r}"


def quality_metric_lines(
    host: str, split: str, values: Mapping[str, float], epoch: Optional[int] = None
) -> list[str]:
    """The lines of all registered metrics among `values`; the others are for people alone."""
    return [
        quality_metric_line(host, split, metric, value, epoch)
        for metric, value in values.items()
        if metric in _DIRECTIONS
    ]


def score_lines(host: str, values: Mapping[str, float]) -> list[str]:
    """The test channel's scores, one a line: ``#test_score (algo-1) : ('accuracy', 0.93)``."""
    return [f"#test_score ({host}) : {(name, float(value))!r}" for name, value in values.items()]


def progress_metric_line(
    host: str, done_epochs: int, epochs: int, *, finished: bool = False
) -> str:
    """How much of the training is done.

    Parameters
    ----------
    done_epochs, epochs : int
        Epochs completed, and at most to be done.
    finished : bool
        Training is over, early or not: the last line, whose words differ.

    Examples
    --------
    >>> progress_metric_line("algo-1", 1, 20)
    '#progress_metric: host=algo-1, completed 5.0 % of epochs'
    >>> progress_metric_line("algo-1", 7, 20, finished=True)
    '#progress_metric: host=algo-1, completed 100 % epochs'
    """
    if finished:
        return f"#progress_metric: host={host}, completed 100 % epochs"
    percent = round(100.0 * done_epochs / epochs, 2)
    return f"#progress_metric: host={host}, completed {percent} % of epochs"


def throughput_metric_line(host: str, records_per_second: float) -> str:
    """Training speed of one epoch, in records (pairs, negatives included) a second."""
    value = float(records_per_second)
    return f"#throughput_metric: host={host}, train throughput={value!r} records/second"


def human_line(values: Mapping[str, float]) -> str:
    """The values for people, three decimals each, with the original's blank at the end.

    Examples
    --------
    >>> human_line({"perplexity": 1.3511, "cross_entropy": 0.3009})
    'perplexity: 1.351 cross_entropy: 0.301 '
    """
    return "".join(f"{name}: {value:.3f} " for name, value in values.items())


Number = Union[int, float]


def metrics_line(
    host: str,
    start: float,
    end: float,
    values: Mapping[str, Union[Number, Iterable[Number]]],
    *,
    epoch: Optional[int] = None,
    meta: Optional[str] = None,
) -> str:
    """A ``#metrics {…}`` line: times and counters of one span of the job, as JSON.

    Parameters
    ----------
    start, end : float
        Ends of the span, in seconds since 1970.
    values : Mapping
        Name to one measurement or several; times are in milliseconds. A name without any
        measurement is left out.
    epoch : int, optional
        Counted from 0.
    meta : str, optional
        What the counters count: 'init_train_data_iter', 'training_data_iter', 'test_data_iter'.

    Returns
    -------
    str
        One line; it stands alone in the log, without the logger's prefix.
    """
    dimensions: dict[str, Union[str, int]] = {
        "Algorithm": "ObjectToVec",
        "Host": host,
        "Operation": "training",
    }
    if epoch is not None:
        dimensions["epoch"] = epoch
    if meta is not None:
        dimensions["Meta"] = meta
    summaries = {}
    for name, given in values.items():
        numbers = list(given) if isinstance(given, Iterable) else [given]
        if numbers:
            summaries[name] = {
                "sum": float(sum(numbers)),
                "count": len(numbers),
                "min": min(numbers),
                "max": max(numbers),
            }
    document: dict[str, Any] = {
        "StartTime": start,
        "EndTime": end,
        "Dimensions": dimensions,
        "Metrics": summaries,
    }
    return f"#metrics {json.dumps(document, allow_nan=False)}"


class RecordCounters:
    """Counts what an iterator over one channel hands out, for the ``#metrics`` lines.

    Call `reset` at the start of each pass and `add` for each batch.
    """

    def __init__(self) -> None:
        self.records = self.batches = 0
        self.most_records = self.most_batches = 0
        self.records_since_reset = self.batches_since_reset = 0
        self.resets = 0

    def reset(self) -> None:
        """A new pass over the channel begins."""
        self.resets += 1
        self.records_since_reset = self.batches_since_reset = 0

    def add(self, records: int, batches: int = 1) -> None:
        """Count `records` pairs that came in `batches` batches."""
        self.records += records
        self.batches += batches
        self.records_since_reset += records
        self.batches_since_reset += batches
        self.most_records = max(self.most_records, self.records_since_reset)
        self.most_batches = max(self.most_batches, self.batches_since_reset)

    def values(self) -> dict[str, int]:
        """The counters under the names that the original prints."""
        return {
            "Total Records Seen": self.records,
            "Total Batches Seen": self.batches,
            "Max Records Seen Between Resets": self.most_records,
            "Max Batches Seen Between Resets": self.most_batches,
            "Reset Count": self.resets,
            "Number of Records Since Last Reset": self.records_since_reset,
            "Number of Batches Since Last Reset": self.batches_since_reset,
        }
