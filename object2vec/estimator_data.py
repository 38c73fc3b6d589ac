# SPDX-License-Identifier: Apache-2.0
"""What `fit` trains on: pairs of ids, or a table and the hyperparameters that follow from it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

import numpy as np

from object2vec.asked_objects import labelled_pairs
from object2vec.data.arrays import PairDataset
from object2vec.data.dataset import read_pairs
from object2vec.data.negative_sampling import with_negatives
from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import Hyperparameters, parse
from object2vec.hyperparameters.table import BY_NAME
from object2vec.hyperparameters.values import read_value
from object2vec.logs import LOGGER_NAME
from object2vec.prepare.splits import Split
from object2vec.prepare.table_hyperparameters import cut_pairs, fitted_inputs, joined_settings
from object2vec.prepare.table_pairs import table_pairs
from object2vec.prepare.training_settings import training_settings
from object2vec.raw_values.inputs import SIDES, Inputs
from object2vec.text import named, names, quoted, shown
from object2vec.training.memory_estimate import estimate_memory

if TYPE_CHECKING:
    from object2vec.prepare.columns import Columns
    from object2vec.prepare.delimited import Layout

_logger = logging.getLogger(LOGGER_NAME)

#: Hyperparameters that follow from the data, recipe or not.
_NEEDED = ("output_layer", "num_classes", "negative_sampling_rate", "tied_token_embedding_weight")
_OF_WORDS = tuple(
    f"enc{number}_{key}"
    for number in range(len(SIDES))
    for key in ("vocab_file", "pretrained_embedding_file")
)


@dataclass(frozen=True)
class TableRequest:
    """What is said of a table that is to be trained on; see `Object2Vec.fit`."""

    in0: Optional[Columns] = None
    in1: Optional[Columns] = None
    label: Optional[Union[str, int]] = None
    label_kind: str = "auto"
    split: Optional[Split] = None
    preset: Optional[str] = "auto"
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
    hyperparameters : Hyperparameters
        Those of the recipe and of the data, but for those that were given.
    parts : tuple of (PairDataset or None)
        For training, validation and test.
    inputs : Inputs, optional
        What the ids stand for; None where ids were given.
    """

    hyperparameters: Hyperparameters
    parts: tuple[PairDataset, Optional[PairDataset], Optional[PairDataset]]
    inputs: Optional[Inputs] = None


def training_data(
    request: TableRequest, given: Mapping[str, Any], source: Any, kept_back: Mapping[str, Any]
) -> TrainingData:
    """Read what `fit` is given.

    Parameters
    ----------
    request : TableRequest
        The columns, or none.
    given : mapping
        Hyperparameters; they win over those of the recipe.
    source : path-like, list of path-like, frame, table of Arrow, or iterable of dicts
        See `dataset.read_pairs`, of a table `tables.open_table`.
    kept_back : mapping
        ``validation`` and ``test``: each other data, a share of a table's rows, or None.

    Raises
    ------
    CustomerError
        One sentence about the first thing that is not right.
    PlatformError
        The training cannot fit into the memory.
    """
    if request.is_asked():
        return _of_table(request, given, source, kept_back)
    missing = [name for name in ("enc0_max_seq_len", "enc0_vocab_size") if name not in given]
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
    hyperparameters = _parsed(given)
    estimate_memory(hyperparameters).check()
    train = read_pairs(source, hyperparameters, "train")
    validation, test = (
        None if data is None else read_pairs(data, hyperparameters, name)
        for name, data in kept_back.items()
    )
    return TrainingData(hyperparameters, (train, validation, test))


def _parsed(given: Mapping[str, Any]) -> Hyperparameters:
    hyperparameters, lines = parse(given)
    for line in lines:
        _logger.log(line.level, "%s", line.text)
    return hyperparameters


def _of_table(
    request: TableRequest, given: Mapping[str, Any], source: Any, kept_back: Mapping[str, Any]
) -> TrainingData:
    assert request.in0 is not None and request.in1 is not None
    for name in _OF_WORDS:
        if given.get(name):
            raise CustomerError(
                f"{name} numbers the words itself, but a table numbers its values: leave it out."
            )
    split = _split(request.split, kept_back)
    tied = given.get("tied_token_embedding_weight", False)
    found = table_pairs(
        source,
        in0=request.in0,
        in1=request.in1,
        label=request.label,
        label_kind=request.label_kind,
        tied=read_value(BY_NAME["tied_token_embedding_weight"], tied),
        split=split,
        layout=request.layout,
    )
    for line in found.report.lines():
        _logger.info("%s", line)
    settings = _recipe(found.inputs, request.preset)
    hyperparameters = _parsed(joined_settings(found.inputs, settings, given))
    inputs = fitted_inputs(found.inputs, hyperparameters, _title(source))
    parts = {name: cut_pairs(pairs, hyperparameters) for name, pairs in found.pairs.items()}
    rate = hyperparameters.negative_sampling_rate
    for name, data in kept_back.items():
        if data is not None and not _is_share(data):
            parts[name] = labelled_pairs(inputs, hyperparameters, data, name, request.layout)
        if name in parts and inputs.label.kind == "none" and rate and np.all(parts[name].labels):
            others = [pairs for other, pairs in parts.items() if other != name]
            parts[name] = with_negatives(parts[name], rate, others=others)
    everything = parts["train"], parts.get("validation"), parts.get("test")
    return TrainingData(hyperparameters, everything, inputs)


def _recipe(inputs: Inputs, preset: Optional[str]) -> dict[str, str]:
    if preset not in ("auto", None):
        raise CustomerError(f"preset must be auto or None, found {shown(preset)}.")
    settings = training_settings(inputs)
    if preset is None:
        return {name: settings[name] for name in _NEEDED if name in settings}
    return settings


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
