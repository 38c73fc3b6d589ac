# SPDX-License-Identifier: Apache-2.0
"""Turns raw values into token lists: the one way for tables, requests and lists in Python."""

from __future__ import annotations

import difflib
import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Optional

import numpy as np

from object2vec.data.arrays import TokenLists
from object2vec.data.record_checks import pack_checked_lists, pack_lists
from object2vec.errors import CustomerError
from object2vec.raw_values.cell_values import canonical, canonical_all, number
from object2vec.raw_values.inputs import (
    MOST_TOKENS,
    SIDES,
    UNKNOWN,
    Bins,
    Column,
    Inputs,
    TokenIds,
    Values,
)
from object2vec.raw_values.lookups import Lookups
from object2vec.raw_values.stems import stems
from object2vec.raw_values.tokenizers import AS_LIST, tags, words
from object2vec.text import names, quoted, shown

_MOST_VALUES = 1_000_000  # of one list of tags
_TOO_MANY_TAGS = f"A list may hold {_MOST_VALUES:,} tags at most."
_ONLY_IDS = "; this model was trained on ids and takes nothing else"

Where = Callable[[int], str]
_instance: Where = "instance {}, counting from 0".format


def object_lists(
    inputs: Optional[Inputs],
    side: str,
    values: list[Any],
    vocab_size: int,
    where: Where,
    lookups: Optional[Lookups] = None,
) -> TokenLists:
    """The token lists of objects, some of which may be given by their ids and others by raw values.

    Parameters
    ----------
    inputs : Inputs, optional
        None for a model that was trained on ids, which takes nothing else.
    side : str
        ``"in0"`` or ``"in1"``.
    values : list
        Plain Python values. A list of integers holds ids, of a model of tags too; a list that
        holds anything else is one of tags. What is no list is as `encode_side` takes it.
    vocab_size : int
        Ids are below it.
    where : callable
        ``where(i)`` says in errors where object i stands.
    lookups : Lookups, optional
        Counts the raw values.

    Returns
    -------
    TokenLists
        n lists, not cut to the maximum length.

    Raises
    ------
    CustomerError
        For a value that is neither.
    """
    if inputs is None:
        try:
            return pack_checked_lists(values, side, vocab_size, where)
        except CustomerError as error:
            hint = _ONLY_IDS if any(map(_looks_raw, values)) else ""
            raise CustomerError(f"{error.message}{hint}") from None
    packed = pack_lists(values, vocab_size)
    if packed is not None:
        return packed
    takes_tags = inputs.side(side).columns[0].kind == "tags"
    is_ids = np.array([_is_ids(value, takes_tags) for value in values], bool)
    places = [np.flatnonzero(is_ids), np.flatnonzero(~is_ids)]
    given, raw = ([values[place] for place in part] for part in places)
    parts = [
        pack_checked_lists(given, side, vocab_size, lambda i: where(int(places[0][i]))),
        encode_side(inputs, side, raw, lambda i: where(int(places[1][i])), lookups),
    ]
    return TokenLists.concatenate(parts).take(np.argsort(np.concatenate(places)))


def _is_ids(value: Any, takes_tags: bool) -> bool:
    return type(value) is list and (not takes_tags or set(map(type, value)) <= {int})


def _looks_raw(value: Any) -> bool:
    return type(value) is not list or any(type(item) is str for item in value)


def encode_side(
    inputs: Inputs,
    side: str,
    values: Iterable[Any],
    where: Where = _instance,
    lookups: Optional[Lookups] = None,
) -> TokenLists:
    """Encode raw values of one side, as a table with the same values is encoded.

    Parameters
    ----------
    inputs : Inputs
        What training kept.
    side : str
        ``"in0"`` or ``"in1"``.
    values : iterable
        For each object a dict of its columns, of which absent ones count as missing, or a value
        of the first column alone.
    where : callable
        ``where(i)`` says in errors where object i stands.
    lookups : Lookups, optional
        Counts the values.

    Returns
    -------
    TokenLists
        n lists, not cut to the side's maximum length; `Inputs.unseen` counts unknown tokens.

    Raises
    ------
    CustomerError
        One sentence that names the instance and the field.
    ValueError
        Another side.
    """
    if side not in SIDES:
        raise ValueError(f"side must be 'in0' or 'in1', found {side!r}")
    if isinstance(values, (str, bytes, Mapping)):
        raise CustomerError(
            f"The objects of {side} must be a list, found {shown(values)}: put one object into a "
            "list of its own."
        )
    columns = inputs.side(side).columns
    cells = _cells(columns, side, values, where)
    parts = []
    for column, first, rows in zip(columns, inputs.first_ids(side), cells):
        encoder = ColumnEncoder(column, inputs.vocabularies[column.vocabulary], first)
        try:
            parts.append(encoder.encode(rows))
        except CustomerError:
            _name_offender(encoder, rows, side, where)
            raise
        if lookups is not None:
            tokens = parts[-1].tokens
            lookups.add(Lookups(len(tokens), int(np.count_nonzero(tokens == encoder.unknown))))
    lists = joined(parts, [column.repeat for column in columns])
    check_exploded(inputs, side, lists, where)
    return lists


def check_exploded(inputs: Inputs, side: str, lists: TokenLists, where: Where) -> None:
    """Refuse several tags in an object where each was a pair of its own: one has to be asked about.

    Raises
    ------
    CustomerError
        Names the first such object by ``where(i)``.
    """
    column = inputs.side(side).columns[0]
    several = np.flatnonzero(lists.lengths > 1)
    if column.explode and len(several):
        raise CustomerError(
            f"{side} holds {lists.lengths[several[0]]} of {quoted(column.name)} in one object, but "
            "the model was trained on each by itself: ask about one at a time "
            f"({where(int(several[0]))})."
        )


def _cells(
    columns: Sequence[Column], side: str, values: Iterable[Any], where: Where
) -> list[list[Any]]:
    cells: list[list[Any]] = [[] for _ in columns]
    known = [column.name for column in columns]
    for position, value in enumerate(values):
        if not isinstance(value, Mapping):
            cells[0].append(value)
            for rows in cells[1:]:
                rows.append(None)
            continue
        for key in value:
            if key not in known:
                raise CustomerError(
                    f"{side} has no column {quoted(key)}{nearest(key, known)}; its columns are "
                    f"{names(known)} ({where(position)})."
                )
        for rows, name in zip(cells, known):
            rows.append(value.get(name))
    return cells


def _name_offender(encoder: ColumnEncoder, rows: list[Any], side: str, where: Where) -> None:
    for position, row in enumerate(rows):
        try:
            encoder.encode([row])
        except CustomerError as error:
            raise CustomerError(
                f"{error.message.rstrip('.')} ({side}, column {quoted(encoder.column.name)} of "
                f"{where(position)})."
            ) from None


def nearest(name: object, known: Iterable[str]) -> str:
    """``, did you mean 'user'?``-like words for a sentence, or nothing."""
    close = difflib.get_close_matches(str(name)[:300], [str(k)[:300] for k in known], 1)
    if not close:
        folded = {str(k).casefold(): str(k) for k in known}
        close = [folded[str(name).casefold()]] if str(name).casefold() in folded else []
    return f" (the nearest is {quoted(close[0])})" if close else ""


class ColumnEncoder:
    """Encodes values of one column.

    Parameters
    ----------
    column : Column
        Its kind and options.
    vocabulary : Vocabulary, Bins or TokenIds
        Its values, bins or tokens.
    first : int
        The first id of the vocabulary in its side.

    Attributes
    ----------
    unknown : int
        The id that stands for unknown values, -1 where there is none.
    """

    def __init__(self, column: Column, vocabulary: Values, first: int) -> None:
        self.column = column
        self.first = first
        self.unknown = -1 if vocabulary.unknown is None else first + vocabulary.unknown
        self._vocabulary = vocabulary
        self._missing = vocabulary.missing

    def encode(self, values: Sequence[Any]) -> TokenLists:
        """The tokens of each value, n lists.

        Raises
        ------
        CustomerError
            If a value is none that this kind of column may hold.
        """
        if isinstance(self._vocabulary, Bins):
            return TokenLists.of_each(self._placed([self._bin(value) for value in values]))
        if isinstance(self._vocabulary, TokenIds):
            return self._tokenized(self._vocabulary, values)
        places = self._vocabulary.places
        if self.column.kind == "id":
            texts = canonical_all(values)
            missing = UNKNOWN if self._missing is None else self._missing
            found = [missing if text is None else places.get(text, UNKNOWN) for text in texts]
            return TokenLists.of_each(self._placed(found))
        flat: list[int] = []
        lengths = np.zeros(len(values), np.int64)
        for position, value in enumerate(values):
            # one more than a list can have, so that a cut is counted
            parts = parts_of(self.column, value, MOST_TOKENS + 1)
            if parts is not None:
                flat += [places.get(part, UNKNOWN) for part in parts]
                lengths[position] = len(parts)
            elif self._missing is not None:
                flat.append(self._missing)
                lengths[position] = 1
        return TokenLists.from_lengths(self._placed(flat), lengths)

    def _tokenized(self, vocabulary: TokenIds, values: Sequence[Any]) -> TokenLists:
        texts = [_text(value) for value in values]
        given = [text for text in texts if text is not None]
        found = iter(vocabulary.file.lists(given, self.column.special_tokens, MOST_TOKENS + 1))
        missing = [] if self._missing is None else [self._missing]
        lists = [missing if text is None else next(found) for text in texts]
        flat = [token for tokens in lists for token in tokens]
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        return TokenLists.from_lengths(self._placed(flat), lengths)

    def _bin(self, value: Any) -> int:
        assert isinstance(self._vocabulary, Bins)
        found = number(value)
        if found is None:
            return UNKNOWN
        if math.isnan(found):
            return UNKNOWN if self._missing is None else self._missing
        start = 1 + self._vocabulary.counts_missing
        return start + bisect_right(self._vocabulary.edges, found)

    def _placed(self, found: list[int]) -> np.ndarray:
        return np.array(found, np.int32) + np.int32(self.first)


def parts_of(column: Column, value: Any, most: Optional[int] = None) -> Optional[list[str]]:
    """The tokens of a text or the tags of a bag, None where the value is missing.

    Parameters
    ----------
    column : Column
        Its kind and options.
    value : object
        A text, or for tags a list too.
    most : int, optional
        Only so many of the first tokens of a text.

    Raises
    ------
    CustomerError
        If the value is none that this kind of column may hold.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if column.kind == "tags" and isinstance(value, (list, tuple)):
        if len(value) > _MOST_VALUES:
            raise CustomerError(_TOO_MANY_TAGS)
        texts = [canonical(item) for item in value]
        return [tag for text in texts if text and (tag := text.strip())]
    text = canonical(value)
    if text is None:
        return None
    if column.kind == "text":
        found = words(text, lower=column.lower, form=column.form, most=most)
        return found if column.stem is None else stems(found, column.stem)
    if text.count("," if column.separator == AS_LIST else column.separator) >= _MOST_VALUES:
        raise CustomerError(_TOO_MANY_TAGS)
    return tags(text, column.separator)


def _text(value: Any) -> Optional[str]:
    return canonical(value.tolist() if hasattr(value, "tolist") else value)


def joined(parts: Sequence[TokenLists], repeats: Sequence[int]) -> TokenLists:
    """Join each object's lists of several columns into one, a column's list `repeats` times."""
    if len(parts) == 1 and repeats[0] == 1:
        return parts[0]
    lengths = np.sum([part.lengths * times for part, times in zip(parts, repeats)], axis=0)
    ends = np.cumsum(lengths)
    tokens = np.empty(int(ends[-1]) if len(ends) else 0, np.int32)
    cursor = ends - lengths
    for part, times in zip(parts, repeats):
        own = np.arange(len(part.tokens)) - np.repeat(part.offsets[:-1], part.lengths)
        for _ in range(times):
            tokens[np.repeat(cursor, part.lengths) + own] = part.tokens
            cursor = cursor + part.lengths
    return TokenLists.from_lengths(tokens, lengths)
