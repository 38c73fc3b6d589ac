# SPDX-License-Identifier: Apache-2.0
"""Labels of a table: numbers, names of classes, or none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Optional

import numpy as np

from object2vec.errors import CustomerError
from object2vec.hyperparameters.table import LABEL_KINDS
from object2vec.prepare.table_batch import Batch, is_list
from object2vec.raw_values.cell_values import MISSING_NUMBERS, canonical, number
from object2vec.raw_values.encode_values import nearest
from object2vec.raw_values.inputs import MOST_CLASSES, Label
from object2vec.raw_values.option_names import option_with
from object2vec.raw_values.tokenizers import separator_of
from object2vec.text import names, quoted

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_MOST_NAMES = 1000


class LabelFinder:
    """Finds out in the first pass what the labels of a column are.

    Parameters
    ----------
    name : str
        The column.
    kind : str
        ``number``, ``class``, ``tags``, or ``auto``: tags where cells are lists, numbers where all
        are.
    first : Batch
        The first rows, which show how tags are separated.

    Attributes
    ----------
    are_tags : bool
        Whether a cell may hold several names.
    """

    def __init__(self, name: str, kind: str, first: Batch) -> None:
        if kind not in LABEL_KINDS:
            raise CustomerError(
                f"The kind of a label must be one of {names(LABEL_KINDS)}, found {quoted(kind)}."
            )
        self._name = name
        self.are_tags = kind == "tags" or (kind == "auto" and is_list(first.columns[name]))
        if self.are_tags:
            texts = [v for v in first.distinct(name).values if isinstance(v, str) and v]
            self._label = Label("tags", name, separator=separator_of(texts))
        self._kind = kind
        self._names: dict[str, None] = {}
        self._first: dict[bool, tuple[Any, Callable[[], str]]] = {}
        self._most = -math.inf
        self._are_classes = True

    def look(self, batch: Batch, kept: np.ndarray) -> None:
        """Take note of a batch.

        Raises
        ------
        CustomerError
            If labels are of two kinds, or of too many classes.
        """
        found = batch.distinct(self._name)
        used = np.bincount(found.codes[kept], minlength=len(found.values)) > 0
        for place in np.flatnonzero(used):
            value = found.values[place]
            if self.are_tags:
                for name in self._label.names_of(value) or ():
                    self._add_name(name)
                continue
            text = canonical(value)
            if text is None:
                continue
            as_number = number(value) if self._kind != "class" else None
            if as_number is None or math.isnan(as_number):
                self._add_name(text)
            else:
                self._most = max(self._most, as_number)
                self._are_classes &= as_number >= 0 and as_number.is_integer()
            if text.strip().lower() not in MISSING_NUMBERS:
                self._check_kinds(as_number is not None, value, place, found.codes, batch)

    def _add_name(self, text: str) -> None:
        self._names[text] = None
        if len(self._names) > _MOST_NAMES:
            raise self._too_many()

    def _check_kinds(
        self, is_number: bool, value: Any, place: int, codes: np.ndarray, batch: Batch
    ) -> None:
        def here() -> str:
            return batch.place(int(np.flatnonzero(codes == place)[0]))

        if is_number not in self._first:
            # to find a place may take long, and most tables need none
            self._first[is_number] = value, here
        # As a text among names it is one of them.
        mixed = self._kind == "number" or len(self._first) == 2
        if not is_number and _is_infinite(value) and (mixed or not isinstance(value, str)):
            raise self._not_finite(value, here)
        if len(self._first) == 2 and _is_infinite(self._first[False][0]):
            raise self._not_finite(*self._first[False])
        if self._kind == "number" and not is_number:
            raise CustomerError(
                f"The label {quoted(self._name)} must be a number, found {self._found(False)}."
            )
        if len(self._first) == 2:
            raise CustomerError(
                f"The label {quoted(self._name)} is of two kinds, a number as "
                f"{self._found(True)} and a name as {self._found(False)}: make it one, or give "
                f"{option_with('label_kind', quoted('class'))} to take all as names."
            )

    def _not_finite(self, value: Any, place: Callable[[], str]) -> CustomerError:
        return CustomerError(
            f"The label {quoted(self._name)} must be a finite number, found {quoted(value)} "
            f"({place()})."
        )

    def _found(self, is_number: bool) -> str:
        value, place = self._first[is_number]
        return f"{quoted(value)} ({place()})"

    def label(self) -> Label:
        """What the labels are.

        Raises
        ------
        CustomerError
            If there is none, or if there are too many classes.
        """
        if not (self._names if self.are_tags else self._first):
            raise CustomerError(f"The column {quoted(self._name)} holds no label.")
        if True in self._first:
            classes = self._are_classes and self._most < MOST_CLASSES
            return Label("number", self._name, num_classes=int(self._most) + 1 if classes else None)
        if len(self._names) > MOST_CLASSES:
            raise self._too_many()
        found = tuple(sorted(self._names, key=_order))
        if self.are_tags:
            return replace(self._label, classes=found)
        return Label("class", self._name, found)

    def _too_many(self) -> CustomerError:
        hint = "in1 can name the column instead, of which each tag makes a pair of its own"
        if not self.are_tags:
            separated = any("|" in name or name[:1] + name[-1:] == "[]" for name in self._names)
            tags = option_with("label_kind", quoted("tags"))
            hint = f"give {tags} to take each for several names" if separated else ""
        return CustomerError(
            f"The label {quoted(self._name)} has more than {MOST_CLASSES} different names "
            f"({names(self._names)}), but num_classes is {MOST_CLASSES} at most"
            f"{': ' if hint else ''}{hint}."
        )


def _is_infinite(value: Any) -> bool:
    """Whether a label is a number beyond all that a float holds."""
    try:
        return math.isinf(float(value))
    except OverflowError:
        return True
    except (TypeError, ValueError):
        return False


def _order(text: str) -> tuple[bool, float, str]:
    """Numbers before words, by their size."""
    found = number(text)
    is_number = found is not None and not math.isnan(found)
    return not is_number, found if is_number and found is not None else 0.0, text


def encoded_labels(
    label: Label, batch: Batch, kept: np.ndarray, num_classes: Optional[int] = None
) -> np.ndarray:
    """The labels of a batch, float32 ``(rows,)``; NaN where one is missing.

    Those of the kind tags are ``(rows, num_classes)``; see `PairDataset`.

    Parameters
    ----------
    label : Label
        What they are.
    batch : Batch
        With the label's column.
    kept : numpy.ndarray
        bool, shape ``(rows,)``: rows that will be pairs; errors name no other.
    num_classes : int, optional
        Numbers must be classes, below it; None for any number.

    Raises
    ------
    CustomerError
        If one is no number, no such class, or the name of none.
    """
    if label.kind == "none":
        return np.ones(batch.rows, np.float32)
    if label.kind == "tags":
        return _encoded_tags(label, batch, kept, num_classes or max(2, len(label.classes)))
    found = batch.distinct(label.name)
    places = {name: place for place, name in enumerate(label.classes)}
    values = np.array([_encoded(value, label, places) for value in found.values], np.float64)
    labels = values[found.codes] if len(values) else np.zeros(0)
    sound = np.abs(labels) <= _FLOAT32_MAX
    if num_classes is not None:
        sound &= (labels >= 0) & (labels < num_classes) & (labels == np.floor(labels))
    wrong = np.flatnonzero(~(np.isnan(labels) | sound) & kept)
    if len(wrong):
        row = int(wrong[0])
        value = found.values[found.codes[row]]
        wanted = "a finite 32-bit number"
        if num_classes is not None:
            wanted = f"a whole number from 0 to {num_classes - 1}"
        if label.kind == "class":
            near = nearest(value, label.classes)
            wanted = f"one of {names(label.classes, MOST_CLASSES)}{near}"
        raise CustomerError(
            f"The label {quoted(label.name)} must be {wanted}, found {quoted(value)} "
            f"({batch.place(row)})."
        )
    labels[~(np.abs(labels) <= _FLOAT32_MAX)] = np.nan
    return labels.astype(np.float32)


def _encoded_tags(label: Label, batch: Batch, kept: np.ndarray, num_classes: int) -> np.ndarray:
    found = batch.distinct(label.name)
    places = {name: place for place, name in enumerate(label.classes)}
    labels = np.zeros((len(found.values), num_classes), np.float32)
    used = np.bincount(found.codes[kept], minlength=len(found.values)) > 0
    for number_of_value in np.flatnonzero(used):
        own = label.names_of(found.values[number_of_value])
        if own is None:
            labels[number_of_value] = np.nan
        for name in own or ():
            if name not in places:
                row = int(np.flatnonzero((found.codes == number_of_value) & kept)[0])
                raise CustomerError(
                    f"The label {quoted(label.name)} must hold some of "
                    f"{names(label.classes, MOST_CLASSES)}{nearest(name, label.classes)}, found "
                    f"{quoted(name)} ({batch.place(row)})."
                )
            labels[number_of_value, places[name]] = 1
    return labels[found.codes]


def has_label(values: Sequence[Any], are_tags: bool) -> list[bool]:
    """Whether each cell has a label; an empty list, of tags, is one."""
    if not are_tags:
        return [canonical(value) is not None for value in values]
    return [isinstance(value, list) or canonical(value) is not None for value in values]


def _encoded(value: Any, label: Label, places: dict[str, int]) -> float:
    found: Optional[float]
    if label.kind == "class":
        text = canonical(value)
        found = math.nan if text is None else places.get(text)
    else:
        found = number(value)
    return math.inf if found is None else found
