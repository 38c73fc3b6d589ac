# SPDX-License-Identifier: Apache-2.0
"""Reads pairs for training: a channel's files, an iterable of records or a data frame."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import count, islice
from typing import Any, Optional

from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.channel_files import channel_files, log_passed_over, without_pair
from object2vec.data.content_types import check_content_type
from object2vec.data.json_lines import read_file
from object2vec.data.record_checks import (
    EXAMPLE,
    INPUTS,
    Rules,
    pack_checked,
    pack_checked_lists,
    plain,
)
from object2vec.errors import CustomerError
from object2vec.files import PathLike
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.text import named, names, quoted

_RECORDS_AT_ONCE = 4096


def read_channel(
    path: PathLike,
    hyperparameters: Hyperparameters,
    *,
    content_type: Optional[str] = None,
    channel: str = "train",
) -> PairDataset:
    """Read a channel of JSON Lines, gzipped or not.

    Parameters
    ----------
    path : path-like
        A file, or a folder whose files, also those of sub-folders, are read in sorted order but
        for empty ones; what has a name that begins with ``_`` or ``.`` is passed over.
    hyperparameters : Hyperparameters
        Vocabulary sizes, maximum lengths, and kind of the label.
    content_type : str, optional
        What the job says of the channel; None if it says nothing.
    channel : str
        Name of the channel, for errors.

    Returns
    -------
    PairDataset
        Lists cut to encN_max_seq_len, but whole with encN_random_crop.

    Raises
    ------
    CustomerError
        One sentence with file and line: wrong content type, nothing to read, a file that cannot
        be read, or a line that is not a sound pair.
    """
    check_content_type(content_type, channel)
    rules = Rules.of(hyperparameters)
    found = channel_files(path, channel)
    log_passed_over(found, channel)
    pairs = PairDataset.concatenate(
        block for file in found.files for block in read_file(file, rules)
    )
    if not len(pairs):
        raise CustomerError(
            f"The {channel} channel holds no pair: {named(path)} {without_pair(path, found)}"
            f"; each line must hold one pair such as {EXAMPLE}"
        )
    return pairs


def from_records(
    records: Any, hyperparameters: Hyperparameters, *, channel: str = "train"
) -> PairDataset:
    """Read pairs from an iterable of mappings or from a data frame, with a file's checks.

    Parameters
    ----------
    records : iterable of mapping, or data frame
        Fields or columns in0, in1 and label. Lists may be lists, tuples or NumPy arrays.
    hyperparameters : Hyperparameters
        Vocabulary sizes, maximum lengths, and kind of the label.
    channel : str
        Name of the channel, for errors.

    Raises
    ------
    CustomerError
        One sentence that names the instance, counting from 0 as in the order of an answer.
    """
    rules = Rules.of(hyperparameters)
    rows = _rows(records, channel, rules)
    pairs = PairDataset.concatenate(_record_blocks(rows, rules, channel))
    if not len(pairs):
        raise CustomerError(f"The {channel} channel holds no pair: no record was given")
    return pairs


def read_pairs(data: Any, hyperparameters: Hyperparameters, channel: str) -> PairDataset:
    """Read labelled pairs from a path as `read_channel` does, from others as `from_records`."""
    if isinstance(data, (str, os.PathLike)):
        return read_channel(data, hyperparameters, channel=channel)
    return from_records(data, hyperparameters, channel=channel)


def unlabelled_pairs(pairs: Any) -> tuple[list[Any], list[Any]]:
    """The lists of in0 and those of in1 of pairs that are to be scored, unchecked.

    Parameters
    ----------
    pairs : iterable of mappings or (in0, in1) tuples, or data frame
        Other fields are ignored.

    Raises
    ------
    CustomerError
        One sentence that names what lacks in0 or in1.
    """
    if hasattr(pairs, "columns") and hasattr(pairs, "to_dict"):
        missing = [name for name in INPUTS if name not in pairs.columns]
        if missing:
            raise CustomerError(f"The data frame has no column {missing[0]!r}.")
        return pairs["in0"].tolist(), pairs["in1"].tolist()
    if isinstance(pairs, (str, bytes, os.PathLike, Mapping)) or not isinstance(pairs, Iterable):
        raise CustomerError(
            'Pairs must be an iterable of mappings such as {"in0": [6, 17], "in1": [16]}, not '
            f"a {type(pairs).__name__}."
        )
    columns: tuple[list[Any], list[Any]] = ([], [])
    for position, pair in enumerate(pairs):
        if isinstance(pair, Mapping) and all(name in pair for name in INPUTS):
            values = [pair[name] for name in INPUTS]
        elif isinstance(pair, tuple) and len(pair) == 2:
            values = list(pair)
        else:
            raise CustomerError(
                f"Instance {position}, counting from 0, must hold in0 and in1 to be scored; embed "
                "takes single inputs."
            )
        for column, value in zip(columns, values):
            column.append(value)
    return columns


def token_lists(values: Iterable[Any], name: str, vocab_size: int, max_len: int) -> TokenLists:
    """Check and pack the lists of one input, such as those to embed.

    Parameters
    ----------
    values : iterable
        Lists, tuples or NumPy arrays of token ids.
    name : str
        "in0" or "in1", for errors.
    vocab_size, max_len : int
        Ids are below `vocab_size`; lists are cut to `max_len`.

    Raises
    ------
    CustomerError
        One sentence that names the instance, counting from 0.
    """
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise CustomerError(
            f"{name} must be a list of lists such as [[6, 17], [3]], "
            f"found a {type(values).__name__}"
        )
    rows = [plain(value) for value in values]
    return pack_checked_lists(rows, name, vocab_size, _instance).truncate(max_len)


def _rows(records: Any, channel: str, rules: Rules) -> Iterator[Any]:
    """The records of an iterable or of a data frame, known by its columns and to_dict."""
    if hasattr(records, "columns") and hasattr(records, "to_dict"):
        missing = [name for name in rules.fields if name not in records.columns]
        if missing:
            raise CustomerError(
                f"The data frame of the {channel} channel has no column {missing[0]!r}; "
                f"it has {names(records.columns)}"
            )
        present = [name for name in rules.known_fields if name in records.columns]
        columns = (records[name].tolist() for name in present)
        return (dict(zip(present, row)) for row in zip(*columns))
    if isinstance(records, (str, bytes, Mapping)) or not isinstance(records, Iterable):
        raise CustomerError(
            f"The {channel} channel must be an iterable of pairs such as {EXAMPLE}, "
            f"found a {type(records).__name__}"
        )
    return iter(records)


def _record_blocks(rows: Iterator[Any], rules: Rules, channel: str) -> Iterator[PairDataset]:
    for start in count(0, _RECORDS_AT_ONCE):
        block = [
            {name: plain(value) for name, value in row.items()} if isinstance(row, Mapping) else row
            for row in islice(rows, _RECORDS_AT_ONCE)
        ]
        if not block:
            return
        where = partial(_record_place, channel, start)
        other = next((at for at, row in enumerate(block) if not isinstance(row, Mapping)), None)
        yield pack_checked(block[:other], rules, where)
        if other is not None:
            raise CustomerError(
                f"A pair must be a dict with in0, in1 and label, such as {EXAMPLE}, found "
                f"{quoted(block[other])} ({where(other)})"
            )


def _record_place(channel: str, start: int, position: int) -> str:
    return f"{channel}, {_instance(start + position)}"


def _instance(position: int) -> str:
    return f"instance {position}, counting from 0"
