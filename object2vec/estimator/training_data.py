# SPDX-License-Identifier: Apache-2.0
"""What `fit` trains on: pairs of ids, or a table and the hyperparameters that follow from it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

import numpy as np

from object2vec.data.arrays import PairDataset
from object2vec.data.dataset import read_pairs
from object2vec.data.negative_sampling import with_judged_negatives
from object2vec.errors import CustomerError
from object2vec.estimator.asked_objects import labelled_pairs
from object2vec.estimator.options import FitOptions
from object2vec.estimator.pipeline import with_label_column, with_labels
from object2vec.hyperparameters.checked import parse
from object2vec.hyperparameters.given import LogLine
from object2vec.logs import LOGGER_NAME
from object2vec.prepare.columns import ColumnChoice, Columns
from object2vec.prepare.progress_bar import table_progress
from object2vec.prepare.recipes import AUTO, needed
from object2vec.prepare.splits import Split
from object2vec.prepare.table_choice import TableChoice
from object2vec.prepare.table_hyperparameters import (
    check_weight,
    cut_pairs,
    fitted_inputs,
    joined_settings,
    of_recipe,
)
from object2vec.prepare.table_pairs import table_pairs
from object2vec.raw_values.inputs import SIDES, Inputs
from object2vec.text import named, names, quoted
from object2vec.training.memory_estimate import estimate_memory

if TYPE_CHECKING:
    from object2vec.prepare.delimited import Layout
    from object2vec.pretrained.auxiliary_channel import Auxiliary

_logger = logging.getLogger(LOGGER_NAME)

_OF_WORDS = tuple(f"enc{number}_vocab_file" for number in range(len(SIDES)))


@dataclass(frozen=True)
class TableRequest:
    """What is said of a table that is to be trained on; see `Object2Vec.fit`."""

    in0: Optional[Columns] = None
    in1: Optional[Columns] = None
    label: Optional[Union[str, int]] = None
    label_kind: str = "auto"
    weight: Optional[Union[str, int]] = None
    split: Optional[Split] = None
    preset: Optional[str] = AUTO
    layout: Optional[Layout] = None

    def is_asked(self) -> bool:
        """Whether the data are a table.

        Raises
        ------
        CustomerError
            If something is said of a table, but not the columns of both sides.
        """
        if self.in0 is not None and self.in1 is not None:
            return True
        given = [name for name, value in vars(self).items() if value != _NOTHING[name]]
        if given:
            missing = [side for side in SIDES if getattr(self, side) is None]
            raise CustomerError(
                f"{names(given)} {'speaks' if len(given) == 1 else 'speak'} of a table, so "
                f"{' and '.join(missing)} must name its columns too."
            )
        return False


_NOTHING = vars(TableRequest())


class TrainingData(NamedTuple):
    """What training takes.

    Attributes
    ----------
    parts : tuple of (PairDataset or None)
        For training, validation and test.
    inputs : Inputs, optional
        What the ids stand for; None where ids were given.
    validation_positives : PairDataset, optional
        The validation pairs without negatives, where these were drawn.
    configuration : mapping
        What the hyperparameters were made of.
    auxiliary : Auxiliary, optional
        Pretrained vectors and vocabularies.
    """

    parts: tuple[PairDataset, Optional[PairDataset], Optional[PairDataset]]
    inputs: Optional[Inputs] = None
    validation_positives: Optional[PairDataset] = None
    configuration: Mapping[str, Any] = {}
    auxiliary: Optional[Auxiliary] = None


def id_data(
    train: Any,
    y: Any,
    kept_back: Mapping[str, Any],
    lines: Sequence[LogLine],
    missing: Sequence[str],
    options: FitOptions,
) -> TrainingData:
    """Read pairs of ids.

    Parameters
    ----------
    train, y
        See `Object2Vec.fit`.
    kept_back : mapping
        The data ``validation`` and ``test``, or None.
    lines : sequence of LogLine
        What the rules of hyperparameters have to say.
    missing : sequence of str
        Sizes that are not given.
    options : FitOptions
        With the hyperparameters.

    Raises
    ------
    CustomerError
        One sentence about the first thing that is not right.
    PlatformError
        The training cannot fit into the memory.
    """
    if missing:
        raise CustomerError(
            f"To train on ids, Object2Vec needs {names(missing)}; of a table of raw values they "
            "follow from the data, if in0 and in1 name its columns."
        )
    for name, data in kept_back.items():
        if _is_share(data):
            raise CustomerError(
                f"{name} can be a share, {data}, of a table's rows only: give in0 and in1, its "
                "columns, or other pairs."
            )
    _log(lines)
    hyperparameters = options.hyperparameters
    estimate_memory(options.sized).check()
    pairs = read_pairs(train if y is None else with_labels(train, y), hyperparameters, "train")
    validation, test = (
        None if data is None else read_pairs(data, hyperparameters, name)
        for name, data in kept_back.items()
    )
    return TrainingData((pairs, validation, test))


def table_data(
    request: TableRequest,
    source: Any,
    y: Any,
    kept_back: Mapping[str, Any],
    given: Mapping[str, Any],
    options: FitOptions,
) -> TrainingData:
    """Read a table, and give the options the hyperparameters that follow from it.

    Parameters
    ----------
    request : TableRequest
        The columns.
    source, y
        See `Object2Vec.fit`.
    kept_back : mapping
        ``validation`` and ``test``: each other data, a share of the table's rows, or None.
    given : mapping
        Hyperparameters that win over those of the recipe.
    options : FitOptions
        With the hyperparameters before they are known.

    Raises
    ------
    CustomerError
        One sentence about the first thing that is not right.
    """
    assert request.in0 is not None and request.in1 is not None
    label = request.label
    if y is not None:
        source, label = with_label_column(source, y, label)
    for name in _OF_WORDS:
        if given.get(name):
            raise CustomerError(
                f"{name} numbers the words itself, but a table numbers its values: leave it out."
            )
    preset = AUTO if request.preset is None else request.preset
    choice = TableChoice(
        in0=request.in0 if request.preset else _each_once(request.in0),
        in1=request.in1 if request.preset else _each_once(request.in1),
        label=label,
        label_kind=request.label_kind,
        weight=request.weight,
        tied=options.hyperparameters.tied_token_embedding_weight,
        split=_split(request.split, kept_back),
        layout=request.layout,
        preset=preset,
    )
    with table_progress(options.shows_progress) as progress:
        found = table_pairs(source, choice, progress=progress)
    for line in found.report.lines():
        options.say(line)
    wanted = {**given, **({} if request.weight is None else {"pair_weights": True})}
    if request.preset is None:
        configuration = joined_settings(found.inputs, needed(found.inputs), wanted)
    else:
        pairs = found.report.pairs["train"]
        configuration, told = of_recipe(found.inputs, preset, pairs, wanted)
        for line in told:
            options.say(line)
    hyperparameters, lines = parse(configuration)
    _log(lines)
    options.take(hyperparameters)
    inputs = fitted_inputs(found.inputs, hyperparameters, _title(source))
    parts = {name: cut_pairs(pairs, hyperparameters) for name, pairs in found.pairs.items()}
    for name, data in kept_back.items():
        if data is not None and not _is_share(data):
            parts[name] = labelled_pairs(
                inputs, hyperparameters, data, name, request.layout, weight=request.weight
            )
    validation = parts.get("validation")
    check_weight(hyperparameters, request.weight)
    if inputs.label.kind == "none":
        parts = with_judged_negatives(
            parts, hyperparameters.negative_sampling_rate, hyperparameters.negative_sampling_power
        )
    everything = parts["train"], parts.get("validation"), parts.get("test")
    return TrainingData(everything, inputs, validation, configuration)


def _each_once(columns: Columns) -> Columns:
    """Columns that a recipe shall not repeat."""
    if isinstance(columns, ColumnChoice):
        return columns if columns.repeat else replace(columns, repeat=1)
    if isinstance(columns, (list, tuple)):
        return [_each_once(column) for column in columns]
    return {"repeat": 1, **(columns if isinstance(columns, Mapping) else {"name": columns})}


def _log(lines: Sequence[LogLine]) -> None:
    for line in lines:
        _logger.log(line.level, "%s", line.text)


def _title(source: Any) -> str:
    return named(source) if isinstance(source, (str, os.PathLike)) else "the table"


def _is_share(data: Any) -> bool:
    return isinstance(data, (int, float, np.number)) and not isinstance(data, bool)


def _split(split: Optional[Split], kept_back: Mapping[str, Any]) -> Optional[Split]:
    """How rows are kept back, None where none are."""
    if split is not None and not isinstance(split, Split):
        raise CustomerError(
            f"split must be a Split such as Split('time', time='when'), found {quoted(split)}."
        )
    shares = {name: float(data) for name, data in kept_back.items() if _is_share(data)}
    if split is None:
        if not any(shares.values()):
            return None
        return Split(**{"validation": 0.0, **shares})  # type: ignore[arg-type]
    for name, data in kept_back.items():
        if data is not None and name not in shares and getattr(split, name):
            raise CustomerError(
                f"The {name} data are given, but the split keeps back a share of "
                f"{getattr(split, name)} for them too: give one of both, as in Split({name}=0)."
            )
    return replace(split, **shares)  # type: ignore[arg-type]
