# SPDX-License-Identifier: Apache-2.0
"""What lets an estimator stand in a scikit-learn Pipeline: labels beside the pairs, transform."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from object2vec.data.dataset import unlabelled_pairs
from object2vec.data.record_checks import INPUTS
from object2vec.errors import CustomerError
from object2vec.text import quoted


class PipelineStep:
    """What scikit-learn asks of a step; `Object2Vec` has ``fit``, ``embed`` and the parameters."""

    _given: Mapping[str, Any]
    _predictor: Any

    def transform(self, X: Any) -> np.ndarray:
        """Embed one side of each pair, that of the parameter `transform_side`.

        Parameters
        ----------
        X : iterable of mappings or (in0, in1) tuples, pandas.DataFrame, or what `embed` takes
            Pairs, or rows of the table that was fitted, of which the other side may be missing
            where they are mappings or a data frame; or the objects of that side alone.

        Returns
        -------
        numpy.ndarray
            float32 ``(n, enc_dim)``.

        Raises
        ------
        CustomerError
            Nothing is fitted yet, or X holds something else.
        """
        side = self._given.get("transform_side", INPUTS[0])
        return self.embed(**{side: _side_of(X, side)})  # type: ignore[attr-defined]

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> np.ndarray:
        """Fit, then embed one side of the same pairs; see `fit` and `transform`.

        Parameters
        ----------
        X : iterable of mappings or (in0, in1) tuples, or pandas.DataFrame
            Pairs.
        y : sequence, optional
            Their labels, where the pairs do not hold them.
        **fit_params
            As for `fit`.

        Returns
        -------
        numpy.ndarray
            float32 ``(n, enc_dim)``.
        """
        if isinstance(X, Iterator):
            X = list(X)
        return self.fit(X, y=y, **fit_params).transform(X)  # type: ignore[attr-defined]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that `transform` gives: ``object2vec0``, ``object2vec1``, ….

        Parameters
        ----------
        input_features : ignored
            scikit-learn hands it over.
        """
        width = self._fitted().hyperparameters.enc_dim  # type: ignore[attr-defined]
        name = type(self).__name__.lower()
        return np.array([f"{name}{number}" for number in range(width)], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return self._predictor is not None

    def __sklearn_tags__(self) -> Any:
        # asked for by scikit-learn alone, from 1.6 on
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=[]),
            input_tags=InputTags(two_d_array=False, dict=True),
        )


def are_labels(values: Any, pairs: Any) -> bool:
    """Whether these are labels of the pairs, one number, name or list each, and no other pairs.

    scikit-learn hands labels to `fit` as the second argument.
    """
    if hasattr(values, "ndim"):  # an array, a data frame or a column of one
        return bool(values.ndim == 1) or _are_indicators(values)
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence) or not values:
        return False
    if isinstance(values[0], str):  # names of classes, or of files
        return hasattr(pairs, "__len__") and len(pairs) == len(values) and not _are_paths(pairs)
    return isinstance(values[0], (int, float, np.generic, list))


def with_label_column(table: Any, labels: Any, label: Any) -> tuple[Any, str]:
    """A table of raw values with its labels, and the name of their column.

    Parameters
    ----------
    table : pandas.DataFrame or iterable of mappings
        The rows.
    labels : sequence
        One for each row, in their order; a pandas.Series keeps its name, if that is free.
    label
        The column that was named besides.

    Raises
    ------
    CustomerError
        There is one, the labels are not as many, or the table is a file.
    """
    if label is not None:
        raise CustomerError(
            f"y and label={quoted(label)} both say what the labels are: leave out one of the two."
        )
    is_frame = hasattr(table, "columns") and hasattr(table, "assign")
    if not is_frame and (_are_paths(table) or hasattr(table, "columns")):
        raise CustomerError(
            "y is for a pandas.DataFrame or dicts; of another table, label names the column."
        )
    rows: Any = table if is_frame else list(table)
    given = _values(labels)
    _check_count(len(rows), len(given))
    taken = set(rows.columns) if is_frame else {name for row in rows for name in row}
    name = getattr(labels, "name", None)
    if is_frame and isinstance(name, str) and name in taken and rows[name].tolist() == given:
        return rows, name
    if not isinstance(name, str) or name in taken:
        name = "label"
        while name in taken:
            name += "_"
    if is_frame:
        return rows.assign(**{name: given}), name
    return [{**row, name: value} for row, value in zip(rows, given)], name


def with_labels(pairs: Any, labels: Any) -> list[dict[str, Any]]:
    """Pairs and their labels together.

    Parameters
    ----------
    pairs : iterable of mappings or (in0, in1) tuples, or pandas.DataFrame
        With or without labels of their own.
    labels : sequence
        One for each pair, in their order; lists of classes where pairs have several, or an array
        ``(n, num_classes)`` of zeros and ones.

    Raises
    ------
    CustomerError
        They are not equally many, or a pair has another label of its own.
    """
    if isinstance(pairs, (str, os.PathLike)):
        raise CustomerError("y is for pairs without labels; those of a file hold their own.")
    pairs = pairs if hasattr(pairs, "columns") else list(pairs)
    columns = unlabelled_pairs(pairs)
    given = _values(labels)
    _check_count(len(columns[0]), len(given))
    for position, (own, label) in enumerate(zip(_own_labels(pairs), given)):
        if own is not None and own != label:
            raise CustomerError(
                f"Instance {position}, counting from 0, has the label {quoted(own)}, and y gives "
                f"it {quoted(label)}: leave out one of the two."
            )
    return [{"in0": in0, "in1": in1, "label": label} for in0, in1, label in zip(*columns, given)]


def _are_indicators(labels: Any) -> bool:
    """Whether an array says of each class whether a pair has it, as scikit-learn's do."""
    return isinstance(labels, np.ndarray) and labels.ndim == 2


def _values(labels: Any) -> list[Any]:
    if _are_indicators(labels):
        return [np.flatnonzero(row).tolist() for row in labels]
    return list(np.asarray(labels).tolist() if hasattr(labels, "ndim") else labels)


def _check_count(pairs: int, labels: int) -> None:
    if labels != pairs:
        raise CustomerError(
            f"y must hold a label for each pair: there are {pairs:,} pairs and {labels:,} labels."
        )


def _are_paths(data: Any) -> bool:
    if isinstance(data, (list, tuple)):
        return bool(data) and _are_paths(data[0])
    return isinstance(data, (str, bytes, os.PathLike))


def _own_labels(pairs: Any) -> Iterable[Any]:
    if hasattr(pairs, "columns"):
        return pairs["label"].tolist() if "label" in pairs.columns else ()
    return [pair.get("label") if isinstance(pair, Mapping) else None for pair in pairs]


def _side_of(given: Any, side: str) -> Any:
    """The objects of one side, where pairs are given; else what was given."""
    if isinstance(given, (str, bytes, os.PathLike, Mapping)):
        raise CustomerError(
            f"transform takes pairs, or the objects of {side}, found a {type(given).__name__}."
        )
    if hasattr(given, "columns"):
        return given[side].tolist() if side in given.columns else given
    if hasattr(given, "ndim") or not isinstance(given, Iterable):
        return given
    return [_one_side(position, value, side) for position, value in enumerate(given)]


def _one_side(position: int, value: Any, side: str) -> Any:
    if isinstance(value, tuple) and len(value) == 2 and not isinstance(value[0], Integral):
        return value[INPUTS.index(side)]
    if not isinstance(value, Mapping) or not set(INPUTS) & set(value):
        return value
    if side not in value:
        raise CustomerError(
            f"Instance {position}, counting from 0, has no {side}, which transform_side names."
        )
    return value[side]
