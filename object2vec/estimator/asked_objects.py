# SPDX-License-Identifier: Apache-2.0
"""What a model is asked about: ids or raw values, in records, frames or tables, as token lists."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

import numpy as np

from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.dataset import from_records, read_pairs, token_lists, unlabelled_pairs
from object2vec.data.negative_sampling import with_negatives
from object2vec.data.record_checks import FIELDS, plain
from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.logs import LOGGER_NAME
from object2vec.raw_values.cell_values import canonical
from object2vec.raw_values.encode_values import nearest, object_lists
from object2vec.raw_values.inputs import SIDES, Inputs, Label
from object2vec.raw_values.lookups import Lookups, SideLookups, lookups_in
from object2vec.raw_values.option_names import option
from object2vec.text import names, quoted

if TYPE_CHECKING:
    from object2vec.prepare.delimited import Layout

_logger = logging.getLogger(LOGGER_NAME)
_instance = "instance {}, counting from 0".format


class Objects(NamedTuple):
    """Token lists of a side, and how many values were looked up for them."""

    lists: TokenLists
    lookups: Lookups


def asked_pairs(
    inputs: Optional[Inputs],
    hyperparameters: Hyperparameters,
    pairs: Any,
    layout: Optional[Layout] = None,
) -> list[TokenLists]:
    """The token lists of in0 and of in1 of pairs that are to be scored, one list for each pair.

    Parameters
    ----------
    inputs : Inputs, optional
        None for a model that takes ids alone.
    hyperparameters : Hyperparameters
        Of the model.
    pairs : path-like, frame, table of Arrow, or iterable of mappings or tuples
        See `Object2Vec.predict`.
    layout : Layout, optional
        How files with separators are written.

    Raises
    ------
    CustomerError
        One sentence that names the first pair that is not right.
    """
    encoders = hyperparameters.encoders
    if inputs is None:
        return [
            token_lists(values, side, encoder.vocab_size, encoder.max_seq_len)
            for values, side, encoder in zip(unlabelled_pairs(pairs), SIDES, encoders)
        ]
    if _are_files(pairs):
        pairs = readable(inputs, pairs, layout)
    if _is_table(inputs, pairs):
        found = _of_rows(inputs, pairs, SIDES)
    else:
        sides = unlabelled_pairs(_pairs(inputs, pairs))
        found = [
            _objects(inputs, hyperparameters, side, values) for side, values in zip(SIDES, sides)
        ]
    tell_unseen({side: objects.lookups for side, objects in zip(SIDES, found)})
    return [objects.lists for objects in found]


def asked_objects(
    inputs: Optional[Inputs], hyperparameters: Hyperparameters, side: str, values: Any
) -> TokenLists:
    """The token lists of objects of one side; see `Object2Vec.embed`.

    Raises
    ------
    CustomerError
        One sentence that names the first object that is not right.
    """
    found = looked_up(inputs, hyperparameters, side, values)
    tell_unseen({side: found.lookups})
    return found.lists


def looked_up(
    inputs: Optional[Inputs], hyperparameters: Hyperparameters, side: str, values: Any
) -> Objects:
    """As `asked_objects`, without a word about unseen values."""
    encoder = hyperparameters.encoders[SIDES.index(side)]
    if inputs is None:
        lists = token_lists(values, side, encoder.vocab_size, encoder.max_seq_len)
        return Objects(lists, Lookups())
    if columns_of(values) is not None:
        (found,) = _of_rows(inputs, values, [side])
    else:
        if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
            raise CustomerError(
                f"The objects of {side} must be a list, found {quoted(values)}: put one object "
                "into a list of its own."
            )
        objects = [_own(inputs, side, value) for value in values]
        found = _objects(inputs, hyperparameters, side, objects)
    return found


def readable(inputs: Optional[Inputs], given: Any, layout: Optional[Layout] = None) -> Any:
    """What is asked, so that it can be read several times.

    Files are opened once: those that hold rows of the table are an open table, others a list of
    records.
    """
    if _are_files(given):
        if inputs is None:
            return given
        from object2vec.prepare.tables import open_by_names

        table = open_by_names(given, inputs.in0.names, inputs.in1.names, layout=layout)
        is_table = not _is_path(given) or _is_table(inputs, table)
        return table if is_table else _records_of(given)
    return repeatable(given)


def repeatable(given: Any) -> Any:
    """What is given, an iterable that is no table as a list."""
    is_one = columns_of(given) is not None or isinstance(given, (str, bytes, Mapping))
    return given if is_one or not isinstance(given, Iterable) else list(given)


def labelled_pairs(
    inputs: Optional[Inputs],
    hyperparameters: Hyperparameters,
    data: Any,
    channel: str,
    layout: Optional[Layout] = None,
    weight: Optional[Union[str, int]] = None,
    *,
    told: bool = True,
    tells_unseen: bool = True,
) -> PairDataset:
    """Pairs with their labels, cut to the model's lengths; those of a model without labels are 1.

    Parameters
    ----------
    inputs : Inputs, optional
        None for a model that takes ids alone.
    hyperparameters : Hyperparameters
        Of the model.
    data : path-like, frame, table of Arrow, or iterable of mappings
        See `Object2Vec.evaluate`.
    channel : str
        What the pairs are for, for errors.
    layout : Layout, optional
        How files with separators are written.
    weight : str or int, optional
        The column of weights, where the data are a table.
    told : bool
        Whether to log what is left out.
    tells_unseen : bool
        Whether to log what is unknown.

    Raises
    ------
    CustomerError
        One sentence that names the first pair that is not right.
    """
    if inputs is None:
        _check_no_column(weight)
        return read_pairs(data, hyperparameters, channel)
    data = readable(inputs, data, layout)
    if _is_table(inputs, data) or _are_rows(inputs, data):
        from object2vec.prepare.table_pairs import encode_table

        kept_lens = [encoder.kept_len for encoder in hyperparameters.encoders]
        pairs, report = encode_table(
            inputs, data, num_classes=hyperparameters.classes, kept_lens=kept_lens, weight=weight
        )
        if told and report.left_out:
            _logger.warning("%s", report.lines()[1])
        sides = zip(SIDES, (pairs.in0, pairs.in1))
        if tells_unseen:
            tell_unseen({side: lookups_in(inputs, side, lists) for side, lists in sides})
        return pairs
    _check_no_column(weight)
    records = _ids(inputs, hyperparameters, data, tells_unseen=tells_unseen)
    return from_records(records, hyperparameters, channel=channel)


def _check_no_column(weight: Optional[Union[str, int]]) -> None:
    """Raise a CustomerError where weights are asked for of pairs that have no columns."""
    if weight is not None:
        raise CustomerError(
            f"{option('weight')} names a column of a table, but these pairs are no table: leave it "
            "out; with pair_weights their weights stand under the key weight."
        )


def judged_pairs(
    inputs: Optional[Inputs],
    hyperparameters: Hyperparameters,
    data: Any,
    layout: Optional[Layout] = None,
) -> PairDataset:
    """As `labelled_pairs`; where all are positive for want of labels, negatives are drawn."""
    pairs = labelled_pairs(inputs, hyperparameters, data, "evaluated", layout)
    rate = hyperparameters.negative_sampling_rate
    if inputs is not None and inputs.label.kind == "none" and rate and np.all(pairs.labels):
        return with_negatives(pairs, rate, power=hyperparameters.negative_sampling_power)
    return pairs


def columns_of(data: Any) -> Optional[list[str]]:
    """The names of the columns of a frame, of a table of Arrow or of an open one, else None."""
    if hasattr(data, "batches") and hasattr(data, "names"):
        return list(data.names)
    if hasattr(data, "columns") and hasattr(data, "iloc"):
        return [str(name) for name in data.columns]
    if hasattr(data, "to_batches") and hasattr(data, "column_names"):
        return list(data.column_names)
    if hasattr(data, "__arrow_c_stream__"):
        found = list(getattr(data, "columns", ()))
        # the columns of a batch of Arrow are arrays
        return found if all(isinstance(name, str) for name in found) else list(data.schema.names)
    return None


def _is_path(data: Any) -> bool:
    return isinstance(data, (str, os.PathLike))


def _are_files(data: Any) -> bool:
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return bool(data) and all(map(_is_path, data))
    return _is_path(data)


def _is_table(inputs: Inputs, data: Any) -> bool:
    """Whether data are rows with the columns of the inputs, not pairs with in0 and in1."""
    known = columns_of(data)
    return known is not None and (set(inputs.names) <= set(known) or inputs.is_row(known))


def _are_rows(inputs: Inputs, data: Any) -> bool:
    """Whether data are dicts of the table's columns, with the label as the table calls it."""
    if not (isinstance(data, list) and data and isinstance(data[0], Mapping)):
        return False
    held, label = data[0].keys(), inputs.label.name
    is_labelled = label in held and "label" not in held
    return inputs.is_row(held) or (is_labelled and set(inputs.names) <= held)


def _of_rows(inputs: Inputs, source: Any, sides: Sequence[str]) -> list[Objects]:
    from object2vec.prepare.row_lists import AskedTable, open_asked_table, row_lists
    from object2vec.prepare.tables import column_name

    table, held = open_asked_table(inputs, source)
    for side in set(sides) - set(held):
        column_name(table, inputs.side(side).columns[0].name, side)
    blocks = list(row_lists(inputs, AskedTable(table, tuple(sides))))
    nothing = TokenLists.of_each(np.zeros(0, np.int32))
    found = []
    for side in sides:
        lists = TokenLists.concatenate([nothing, *(getattr(block, side) for block in blocks)])
        found.append(Objects(lists, lookups_in(inputs, side, lists)))
    return found


def _objects(
    inputs: Inputs, hyperparameters: Hyperparameters, side: str, values: list[Any]
) -> Objects:
    values = [plain(value) for value in values]
    size, lookups = hyperparameters.encoders[SIDES.index(side)].vocab_size, Lookups()
    return Objects(object_lists(inputs, side, values, size, _instance, lookups), lookups)


def _records_of(path: Any) -> list[Any]:
    from object2vec.prepare.tables import json_records

    return list(json_records(path))


def _own(inputs: Inputs, side: str, value: Any) -> Any:
    """An object of a side, also of a row of the table, which holds columns of the other side."""
    if not isinstance(value, Mapping):
        return value
    own, other = (set(inputs.side(name).names) for name in (side, SIDES[1 - SIDES.index(side)]))
    is_row = bool(value.keys() & (other - own)) and bool(value.keys() & own)
    return {name: value[name] for name in value if name in own} if is_row else value


def _pairs(inputs: Inputs, pairs: Any) -> Any:
    """Pairs of which those that are given by columns are tuples of two objects."""
    listed = isinstance(pairs, Iterable) and not isinstance(pairs, (str, bytes, Mapping))
    return pairs if columns_of(pairs) is not None or not listed else list(_each(inputs, pairs))


def _each(inputs: Inputs, pairs: Iterable[Any]) -> Iterator[Any]:
    columns = [inputs.side(side).names for side in SIDES]
    for position, pair in enumerate(pairs):
        if not isinstance(pair, Mapping) or not inputs.is_row(pair.keys()):
            yield pair
            continue
        sides = [{name: pair[name] for name in known if name in pair} for known in columns]
        if not all(sides):
            lacking = next(known for known, found in zip(columns, sides) if not found)
            raise CustomerError(
                f"Instance {position}, counting from 0, must hold in0 and in1 to be scored, or "
                f"their columns {names(columns[0])} and {names(columns[1])}, but holds "
                f"{names(pair)}{_nearest(lacking, pair)}; embed takes single inputs."
            )
        yield tuple(sides)


def _nearest(lacking: Sequence[str], pair: Mapping[Any, Any]) -> str:
    return next((found for name in lacking if (found := nearest(name, map(str, pair)))), "")


def _ids(inputs: Inputs, hyperparameters: Hyperparameters, data: Any, *, tells_unseen: bool) -> Any:
    """Records of raw values as records of ids and numbers; others as they are."""
    if columns_of(data) is not None:
        if not set(FIELDS) <= set(columns_of(data) or ()):
            return data
        columns = [data[name].tolist() for name in FIELDS]
        data = [dict(zip(FIELDS, row)) for row in zip(*columns)]
    if not isinstance(data, list):
        return data
    sound = [isinstance(row, Mapping) and set(SIDES) <= row.keys() for row in data]
    if not all(sound):
        return data
    sides = {s: _objects(inputs, hyperparameters, s, [row[s] for row in data]) for s in SIDES}
    if tells_unseen:
        tell_unseen({side: objects.lookups for side, objects in sides.items()})
    classes = {name: place for place, name in enumerate(inputs.label.classes)}
    none = inputs.label.kind == "none"
    records = []
    for position, row in enumerate(data):
        record = {side: sides[side].lists[position].tolist() for side in SIDES}
        if "label" in row:
            record["label"] = _classes_of(row["label"], inputs.label, classes, position)
        elif none:
            record["label"] = 1
        records.append(record)
    return records


def _classes_of(value: Any, label: Label, classes: Mapping[str, int], position: int) -> Any:
    """The number of a class, or of tags a list of these; what is neither as it is."""
    if label.kind != "tags":
        return _class_number(value, classes, position)
    if isinstance(value, str):
        value = label.names_of(value)
    value = plain(value)
    if not isinstance(value, list):
        return value
    return [_class_number(item, classes, position) for item in value]


def tell_unseen(sides: Mapping[str, Lookups]) -> None:
    """Say in one line how many values training has not seen."""
    lookups = SideLookups(**sides)
    if lookups.unseen:
        _logger.warning("%s", lookups.sentence())


def _class_number(label: Any, classes: Mapping[str, int], position: int) -> Any:
    """The number of a class that is given by its name; other labels as they are."""
    if isinstance(label, str):
        return classes.get(label, label)
    named_so = classes.get(canonical(label) or "") if isinstance(label, (int, float)) else None
    if named_so is None or named_so == label:
        return label
    other = next((name for name, number in classes.items() if number == label), None)
    if other is None:
        return named_so
    raise CustomerError(
        f"The label {label} may be the class of this name or the one of this number, "
        f"{quoted(other)}: give the name, as a text ({_instance(position)})."
    )
