# SPDX-License-Identifier: Apache-2.0
"""Answers of a model as tables of pandas or Arrow, beside what it was asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np

from object2vec.data.record_checks import INPUTS
from object2vec.errors import CustomerError
from object2vec.estimator.asked_objects import columns_of
from object2vec.extras import extra_module
from object2vec.raw_values.inputs import Inputs
from object2vec.text import quoted, shown

OUTPUTS = ("numpy", "pandas", "arrow")
_WHOLE = "^-?(0|[1-9][0-9]{0,17})$"
_REAL = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?$"
PREDICTED, PROBABILITY, EMBEDDING = "predicted", "probability_", "embedding"


def check_output(output: str) -> None:
    """Raise a CustomerError unless answers can be given so, with what is installed."""
    if output not in OUTPUTS:
        raise CustomerError(f"output must be numpy, pandas or arrow, found {shown(output)}.")
    if output == "arrow":
        _arrow()
    if output == "pandas":
        _pandas()


def _arrow(part: str = "") -> Any:
    from object2vec.prepare.arrow import arrow_module

    return arrow_module(part)


def _pandas() -> Any:
    return extra_module("pandas", "output='pandas' needs pandas", "pandas 'numpy<2'")


def scored(
    pairs: Any,
    scores: np.ndarray,
    classes: Optional[Sequence[Any]],
    output: str,
) -> Any:
    """A table of pairs and their scores.

    Parameters
    ----------
    pairs : open table, frame, table of Arrow, or list of mappings or tuples
        What was asked.
    scores : numpy.ndarray
        float32, shape ``(n,)`` or ``(n, num_classes)``.
    classes : sequence, optional
        The names of the second axis.
    output : str
        ``pandas`` or ``arrow``.

    Raises
    ------
    CustomerError
        If a column of `pairs` has the name of one that comes on top.
    """
    if classes is None:
        found = {PREDICTED: scores}
    else:
        found = {f"{PROBABILITY}{name}": scores[:, at] for at, name in enumerate(classes)}
    table = (_as_frame if output == "pandas" else _as_arrow)(pairs)
    for name in found:
        if name in (table.columns if output == "pandas" else table.column_names):
            raise CustomerError(
                f"The table has a column {shown(name)} already, where predict writes its own: "
                "rename it."
            )
    if output == "pandas":
        pandas = _pandas()
        more = pandas.DataFrame(found, index=table.index)
        return pandas.concat([table, more], axis=1)
    for name, column in found.items():
        table = table.append_column(name, _arrow().array(column))
    return table


def embedded(
    values: Any, vectors: np.ndarray, inputs: Optional[Inputs], side: str, output: str
) -> Any:
    """A table of objects and their embeddings.

    Parameters
    ----------
    values : frame, table of Arrow, or list
        What was asked.
    vectors : numpy.ndarray
        float32, shape ``(n, enc_dim)``.
    inputs : Inputs, optional
        None for a model that takes ids alone.
    side : str
        ``in0`` or ``in1``.
    output : str
        ``pandas``: a frame whose index are the objects. ``arrow``: columns of the objects, and
        ``embedding``, fixed-size lists of float32.
    """
    names = [side] if inputs is None else inputs.side(side).names
    columns = _object_columns(values, names)
    if output == "pandas":
        pandas = _pandas()
        keys = [[_hashable(value) for value in column] for column in columns.values()]
        if len(keys) == 1:
            index = pandas.Index(keys[0], name=next(iter(columns)), tupleize_cols=False)
        else:
            index = pandas.MultiIndex.from_arrays(keys, names=list(columns))
        return pandas.DataFrame(vectors, index=index)
    arrow = _arrow()
    from object2vec.prepare.table_batch import column_of

    arrays = {
        name: column_of(column, name, "instance {}, counting from 0".format)
        for name, column in columns.items()
    }
    flat = arrow.array(np.ascontiguousarray(vectors).ravel())
    arrays[EMBEDDING] = arrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    return arrow.table(arrays)


def _object_columns(values: Any, names: Sequence[str]) -> dict[str, list[Any]]:
    """The objects column by column: the side's columns that are given, or one of plain values."""
    if columns_of(values) is not None:
        if hasattr(values, "iloc"):
            return {name: values[name].tolist() for name in names}
        table = _arrow().table(values)
        return {name: table[name].to_pylist() for name in names}
    used = [
        name
        for place, name in enumerate(names)
        if any(name in v if isinstance(v, Mapping) else place == 0 for v in values)
    ] or [names[0]]
    rows = [value if isinstance(value, Mapping) else {names[0]: value} for value in values]
    return {name: [row.get(name) for row in rows] for name in used}


def _hashable(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    return tuple(value) if isinstance(value, (list, set, frozenset)) else value


def _records(pairs: Sequence[Any]) -> list[dict[str, Any]]:
    return [dict(zip(INPUTS, pair)) if isinstance(pair, tuple) else dict(pair) for pair in pairs]


def _as_text(value: Any) -> Any:
    """A dict, which is no cell of a table of Arrow with other values, as JSON."""
    return json.dumps(value, default=str) if isinstance(value, Mapping) else value


def _as_frame(pairs: Any) -> Any:
    pandas = _pandas()
    if hasattr(pairs, "iloc"):
        return pairs.copy()
    if columns_of(pairs) is not None:
        return _as_arrow(pairs).to_pandas()
    return pandas.DataFrame(_records(pairs))


def _as_arrow(pairs: Any) -> Any:
    arrow = _arrow()
    if hasattr(pairs, "to_batches"):
        return pairs
    if not hasattr(pairs, "iloc") and hasattr(pairs, "__arrow_c_stream__"):
        return arrow.table(pairs)
    from object2vec.prepare.tables import open_table

    if columns_of(pairs) is None:
        pairs = [{n: _as_text(v) for n, v in record.items()} for record in _records(pairs)]
        if not pairs:
            return arrow.table({name: arrow.array([], arrow.string()) for name in INPUTS})
    table = open_table(pairs)
    for name in table.names:
        if table.names.count(name) > 1:
            raise CustomerError(
                f"{table.title} has two columns {quoted(name)}, of which a table of answers would "
                "lose one: rename it, or take output='numpy'."
            )
    batches = [arrow.table(dict(batch.columns)) for batch in table.batches(table.names)]
    if not batches:
        return arrow.table({name: arrow.array([], arrow.string()) for name in table.names})
    found = arrow.concat_tables(batches, promote_options="permissive")
    # files alone came here as an open table
    return _with_numbers(found) if table is pairs else found


def _with_numbers(table: Any) -> Any:
    """A table of files, of whose columns of text those that hold numbers alone are numbers.

    What is written as no number is, such as 007, stays text.
    """
    arrow, compute = _arrow(), _arrow("compute")
    for at, name in enumerate(table.column_names):
        column = table.column(at)
        if not (arrow.types.is_string(column.type) or arrow.types.is_large_string(column.type)):
            continue
        column = compute.if_else(compute.equal(column, ""), arrow.scalar(None, column.type), column)
        known = column.drop_null()
        for form, kind in ((_WHOLE, arrow.int64()), (_REAL, arrow.float64())):
            if len(known) and compute.all(compute.match_substring_regex(known, form)).as_py():
                table = table.set_column(at, name, column.cast(kind))
                break
    return table
