# SPDX-License-Identifier: Apache-2.0
"""Checks records such as ``{"label": 1, "in0": [6], "in1": [2, 3]}`` and packs them in arrays."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, NoReturn, Optional

import numpy as np

from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.errors import AlgorithmError, CustomerError
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.text import shown

EXAMPLE = '{"label": 1, "in0": [6, 17], "in1": [16, 21]}'
NO_NEGATIVES = (
    "{} with output_layer=in_batch_softmax, which takes every pair for one of objects that belong "
    "together: leave the others out"
)
INPUTS = ("in0", "in1")
FIELDS = (*INPUTS, "label")
WEIGHT = "weight"
_DIGITS = re.compile(r"\s*[0-9]{1,10}\s*")
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FLOAT32_TINY = float(np.finfo(np.float32).tiny)
_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}


@dataclass(frozen=True)
class Rules:
    """What the hyperparameters say about a pair.

    Parameters
    ----------
    vocab_sizes, max_seq_lens : tuple of int
        Of in0 and in1.
    num_classes : int or None
        None where the label is any finite number.
    multi_label : bool
        The label is a list of classes.
    all_positive : bool
        Every pair is one of objects that belong together: the label is not 0, and may be missing.
    kept_lens : tuple of int, optional
        What lists are cut to, where that is more than the maximum.
    weighted : bool
        Whether a pair may say under ``weight`` how much it counts; else that is any other key.
    """

    vocab_sizes: tuple[int, int]
    max_seq_lens: tuple[int, int]
    num_classes: Optional[int]
    all_positive: bool = False
    kept_lens: Optional[tuple[int, int]] = None
    weighted: bool = False
    multi_label: bool = False

    @classmethod
    def of(cls, hyperparameters: Hyperparameters) -> Rules:
        enc0, enc1 = hyperparameters.encoders
        return cls(
            (enc0.vocab_size, enc1.vocab_size),
            (enc0.max_seq_len, enc1.max_seq_len),
            hyperparameters.classes,
            hyperparameters.is_contrastive,
            (enc0.kept_len, enc1.kept_len),
            hyperparameters.pair_weights,
            hyperparameters.is_multi_label,
        )

    @property
    def known_fields(self) -> tuple[str, ...]:
        """What a pair may have that means something."""
        return (*FIELDS, WEIGHT) if self.weighted else FIELDS

    @property
    def fields(self) -> tuple[str, ...]:
        """What a pair must have."""
        return INPUTS if self.all_positive else FIELDS


def pack_checked(records: Sequence[Any], rules: Rules, where: Callable[[int], str]) -> PairDataset:
    """Check and pack records; ``where(i)`` says where record ``i`` stands.

    Raises
    ------
    CustomerError
        For the first record that breaks a rule.
    """
    packed = pack(records, rules)
    if packed is None:
        for position, record in enumerate(records):
            check_record(record, rules, partial(where, position))
        raise AlgorithmError("records that pass each check alone cannot be packed together")
    return packed


def pack(
    records: Sequence[Any], rules: Rules, *, may_hold_booleans: bool = True
) -> Optional[PairDataset]:
    """Pack records at once, or return None if one of them breaks a rule.

    Parameters
    ----------
    records : sequence
        Mappings with plain Python lists and numbers.
    rules : Rules
        Ids are checked before the lists are cut, so that the cut does not decide whether a file is
        sound.
    may_hold_booleans : bool
        False where there are none, which saves time: booleans would pass for integers elsewhere.
    """
    try:
        columns = [[record[name] for record in records] for name in INPUTS]
        if rules.all_positive:
            labels = [record.get("label", 1) for record in records]
        else:
            labels = [record["label"] for record in records]
        weights = [record.get(WEIGHT, 1) for record in records] if rules.weighted else []
    except (AttributeError, KeyError, TypeError, IndexError):
        return None
    sides = []
    truncated = 0
    kept_lens = rules.kept_lens or rules.max_seq_lens
    for values, vocab_size, max_len, kept_len in zip(
        columns, rules.vocab_sizes, rules.max_seq_lens, kept_lens
    ):
        lists = pack_lists(values, vocab_size, may_hold_booleans=may_hold_booleans)
        if lists is None:
            return None
        truncated += int(np.count_nonzero(lists.lengths > max_len))
        sides.append(lists.truncate(kept_len))
    if rules.multi_label:
        assert rules.num_classes is not None
        packed_labels = pack_classes(labels, rules.num_classes, may_hold_booleans=may_hold_booleans)
    else:
        packed_labels = _pack_labels(labels, rules)
    packed_weights = _pack_weights(weights) if rules.weighted else None
    if packed_labels is None or (packed_weights is None and rules.weighted):
        return None
    return PairDataset(sides[0], sides[1], packed_labels, truncated, packed_weights)


def pack_lists(
    values: list[Any], vocab_size: int, *, may_hold_booleans: bool = True
) -> Optional[TokenLists]:
    """Pack lists of ids at once, or return None if one is no list of ids below `vocab_size`."""
    if not set(map(type, values)) <= {list}:
        return None
    flat: list[Any] = []
    for value in values:
        flat += value
    if may_hold_booleans and not set(map(type, flat)) <= {int}:
        return None
    try:
        # Unlike NumPy, struct refuses floats and strings instead of converting them, and is faster.
        tokens = np.frombuffer(struct.pack(f"{len(flat)}i", *flat), dtype=np.int32)
    except struct.error:
        return None
    if len(tokens) and (tokens.min() < 0 or tokens.max() >= vocab_size):
        return None
    return TokenLists.from_lengths(tokens, np.fromiter(map(len, values), np.int64, len(values)))


def pack_checked_lists(
    values: list[Any], name: str, vocab_size: int, where: Callable[[int], str]
) -> TokenLists:
    """Check and pack the lists of the input `name`; ``where(i)`` says where list ``i`` stands.

    Raises
    ------
    CustomerError
        For the first value that is not a list of ids below `vocab_size`.
    """
    lists = pack_lists(values, vocab_size)
    if lists is None:
        # The search for the wrong list is slow, and rarely needed.
        for position, value in enumerate(values):
            check_list(value, name, vocab_size, partial(where, position))
        raise AlgorithmError("lists that pass each check alone cannot be packed together")
    return lists


def pack_classes(
    labels: list[Any], num_classes: int, *, may_hold_booleans: bool = True
) -> Optional[np.ndarray]:
    """Pack lists of classes, or return None if one is no list of integers below `num_classes`.

    Returns
    -------
    numpy.ndarray
        float32, shape ``(n, num_classes)``: 1 for each class that is in a list, and 0 elsewhere.
    """
    lists = pack_lists(labels, num_classes, may_hold_booleans=may_hold_booleans)
    if lists is None:
        return None
    packed = np.zeros((len(lists), num_classes), np.float32)
    packed[np.repeat(np.arange(len(lists)), lists.lengths), lists.tokens] = 1
    return packed


def _pack_labels(labels: list[Any], rules: Rules) -> Optional[np.ndarray]:
    if not set(map(type, labels)) <= {int, float}:
        return None
    try:
        values = np.array(labels, dtype=np.float64)
    except OverflowError:
        return None
    if rules.num_classes is None:
        sound = np.abs(values) <= _FLOAT32_MAX
    else:
        sound = (values >= 0) & (values < rules.num_classes) & (values == np.floor(values))
    if rules.all_positive:
        sound &= np.abs(values) >= _FLOAT32_TINY
    return values.astype(np.float32) if sound.all() else None


def _pack_weights(weights: list[Any]) -> Optional[np.ndarray]:
    if not set(map(type, weights)) <= {int, float}:
        return None
    try:
        values = np.array(weights, dtype=np.float64)
    except OverflowError:
        return None
    sound = (values >= _FLOAT32_TINY) & (values <= _FLOAT32_MAX)
    return values.astype(np.float32) if sound.all() else None


def check_record(record: Any, rules: Rules, where: Callable[[], str]) -> None:
    """Raise a CustomerError if `record` breaks a rule; slow, for the search of the wrong record.

    Raises
    ------
    CustomerError
        One sentence that names the field, what was found, what would be right, and the place.
    """
    if not isinstance(record, Mapping):
        _refuse(f"A pair must be one JSON object such as {EXAMPLE}, found {_kind(record)}", where)
    for name, vocab_size in zip(INPUTS, rules.vocab_sizes):
        if name not in record:
            # raw values, of which something has to say what they are
            is_row = record and not any(other in record for other in INPUTS)
            hint = "; the columns of a table have to be named: in0, in1 and label" if is_row else ""
            _refuse(
                f"{name} is missing: a pair looks like {EXAMPLE}, {_fields(record)}{hint}", where
            )
        check_list(record[name], name, vocab_size, where)
    if "label" in record:
        _check_label(record["label"], rules, where)
    elif not rules.all_positive:
        _refuse(f"label is missing: a pair looks like {EXAMPLE}, {_fields(record)}", where)
    if rules.weighted and WEIGHT in record:
        weight = record[WEIGHT]
        if type(weight) not in (int, float) or not _FLOAT32_TINY <= weight <= _FLOAT32_MAX:
            _refuse(
                f"weight must be a finite 32-bit number above 0, found {shown(weight)}: leave out "
                "a pair that is not to count",
                where,
            )


def check_positive(pairs: PairDataset, hyperparameters: Hyperparameters, channel: str) -> None:
    """See that no pair is negative where none may be; files of pairs are checked line by line.

    Raises
    ------
    CustomerError
        One sentence that names the first.
    """
    if hyperparameters.is_contrastive and not pairs.labels.all():
        position = int(np.flatnonzero(pairs.labels == 0)[0])
        found = f"The label of pair {position}, counting from 0, of the {channel} data must not be"
        raise CustomerError(f"{NO_NEGATIVES.format(f'{found} 0')}.")


def check_list(value: Any, name: str, vocab_size: int, where: Callable[[], str]) -> None:
    """Raise a CustomerError if `value` is not a list of ids below `vocab_size`."""
    if type(value) is int:
        found = shown(value)
        _refuse(f"{name} must be a list of token ids, found {found}: write [{found}]", where)
    if type(value) is not list:
        _refuse(f"{name} must be a list of token ids such as [6, 17], found {shown(value)}", where)
    for position, token in enumerate(value):
        if type(token) is not int:
            hint = ""
            if type(token) is float and token.is_integer() and abs(token) < 1e15:
                hint = f": write {token:.0f} instead of {shown(token)}"
            elif type(token) is str and _DIGITS.fullmatch(token):
                hint = f": write {token.strip()} without quotes"
            _refuse(
                f"{name} must hold integers only, found {shown(token)} "
                f"at position {position}{hint}",
                where,
            )
        if not 0 <= token < vocab_size:
            _refuse(_vocab_sentence(name, token, vocab_size), where)


def _vocab_sentence(name: str, token: int, vocab_size: int) -> str:
    """The original's sentence on an id that the vocabulary of input `name` does not hold."""
    if token < 0:
        reason = f"negative; ids run from 0 to {vocab_size - 1}"
    else:
        reason = f"not less than vocab_size={vocab_size}"
    return f'Inconsistent vocab for {name} found. Vocab id "{shown(token)}" is {reason}'


def _check_label(label: Any, rules: Rules, where: Callable[[], str]) -> None:
    num_classes = rules.num_classes
    if rules.multi_label:
        assert num_classes is not None
        _check_classes(label, num_classes, where)
    elif num_classes is None:
        if type(label) not in (int, float):
            _refuse(f"label must be a number, found {shown(label)}{_of_lists(label)}", where)
        if not abs(label) <= _FLOAT32_MAX:
            _refuse(f"label must be a finite 32-bit number, found {shown(label)}", where)
        if rules.all_positive and abs(label) < _FLOAT32_TINY:
            _refuse(NO_NEGATIVES.format(f"label must not be {shown(label)}"), where)
    elif type(label) not in (int, float) or not (0 <= label < num_classes and label % 1 == 0):
        _refuse(
            f"label must be an integer class from 0 to {num_classes - 1} "
            f"(num_classes={num_classes}), found {shown(label)}{_of_lists(label)}",
            where,
        )


def _check_classes(label: Any, num_classes: int, where: Callable[[], str]) -> None:
    if type(label) is not list:
        hint = f": write [{label}]" if type(label) is int else ""
        _refuse(
            "label must be a list of classes such as [0, 1] with output_layer=multi_label, found "
            f"{shown(label)}{hint}",
            where,
        )
    for position, number in enumerate(label):
        if type(number) is not int or not 0 <= number < num_classes:
            _refuse(
                f"label must hold integer classes from 0 to {num_classes - 1} "
                f"(num_classes={num_classes}), found {shown(number)} at position {position}",
                where,
            )


def _of_lists(label: Any) -> str:
    return "; lists of classes are of output_layer=multi_label" if type(label) is list else ""


def plain(value: Any) -> Any:
    """A cell as plain Python: NumPy arrays and scalars, Series and tuples become lists, numbers."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if type(value) is tuple:
        value = list(value)
    if type(value) is list and not set(map(type, value)) <= {int}:
        value = [item.item() if isinstance(item, np.generic) else item for item in value]
    return value


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _fields(record: Mapping[Any, Any]) -> str:
    names = ", ".join(shown(name) for name in list(record)[:8])
    return f"found only {names}" if names else "found an empty object"


def _refuse(sentence: str, where: Callable[[], str]) -> NoReturn:
    raise CustomerError(f"{sentence} ({where()})")
