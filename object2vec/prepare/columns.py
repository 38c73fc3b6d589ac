# SPDX-License-Identifier: Apache-2.0
"""What a user says of the columns of a side, and what is guessed of them from the first rows."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Optional, Union

from object2vec.errors import CustomerError
from object2vec.prepare.table_batch import Distinct, Table
from object2vec.prepare.tables import column_name
from object2vec.raw_values.cell_values import number
from object2vec.raw_values.encode_values import nearest
from object2vec.raw_values.inputs import KINDS, MOST_IDS, MOST_REPEATS
from object2vec.raw_values.inputs_fields import MOST_COLUMNS
from object2vec.raw_values.option_names import option
from object2vec.raw_values.stems import languages
from object2vec.raw_values.tokenizer_files import TokenizerFile, read_tokenizer
from object2vec.raw_values.tokenizers import NORMAL_FORMS, separator_of
from object2vec.text import names, shown

_MOST_BINS = 10_000
_SAMPLE = 2000
# From how many words on, in the mean, strings are taken for text; titles have fewer.
_WORDS_OF_TEXT = 5.0
# Above so many different numbers a further column of a side is put into bins.
_FEW_NUMBERS = 32


@dataclass(frozen=True)
class ColumnChoice:
    """A column of a side as a user gives it.

    Parameters
    ----------
    name : str or int
        Its name, or its position counting from 0.
    kind : str
        ``id``, ``text``, ``tags``, ``number``, or ``auto``, which is guessed from the first rows.
    repeat : int, optional
        How often its tokens stand in a list: its weight in a mean. None is what the recipe asks
        for, see `recipes.advised`.
    min_count : int
        A rarer value, word or tag has no id of its own.
    max_size : int
        So many of them, the most frequent ones, have.
    bins : int or sequence of float
        Of numbers: how many quantile bins, or the edges between them.
    separator : str, optional
        Of tags in a string; ``[]`` for lists as Python or JSON writes them. None is guessed.
    lower, form : bool, str
        Of a text; see `tokenizers.words`.
    stem : str, optional
        Of a text: the language by whose rules its words are brought to their stems, such as
        ``english``; see `stems`.
    tokenizer : path-like or TokenizerFile, optional
        Of a text: a ``tokenizer.json`` of Hugging Face's package ``tokenizers``, which splits it
        in place of `tokenizers.words`. Its ids are the vocabulary, its own normaliser applies, and
        its own unknown token stands for what it does not know.
    special_tokens : bool
        Of a text with a tokenizer: whether to add its special tokens, such as ``[CLS]``.
    explode : bool
        Of tags: whether each makes a pair of its own.
    """

    name: Union[str, int]
    kind: str = "auto"
    repeat: Optional[int] = None
    min_count: int = 1
    max_size: int = MOST_IDS
    bins: Union[int, Sequence[float]] = 10
    separator: Optional[str] = None
    lower: bool = True
    form: str = "NFKC"
    explode: bool = False
    tokenizer: Union[str, os.PathLike[str], TokenizerFile, None] = None
    special_tokens: bool = False
    stem: Optional[str] = None


_DEFAULTS = ColumnChoice("")
Columns = Union[str, int, Mapping[str, Any], ColumnChoice, Sequence[Any]]


def choices(given: Columns, side: str, table: Table) -> tuple[ColumnChoice, ...]:
    """The columns of a side, checked, by the names that the table has.

    Raises
    ------
    CustomerError
        If one is not in the table, stands twice, or has an option that is not right.
    """
    called = option(side)
    several = isinstance(given, Sequence) and not isinstance(given, str)
    items = list(given) if several else [given]  # type: ignore[arg-type]
    if not 1 <= len(items) <= MOST_COLUMNS:
        raise CustomerError(f"{called} must name 1 to {MOST_COLUMNS} columns, not {len(items)}.")
    found = tuple(_choice(item, side, table) for item in items)
    known = [choice.name for choice in found]
    for name in known:
        if known.count(name) > 1:
            raise CustomerError(f"{called} names the column {shown(name)} twice.")
    if len(found) > 1 and any(choice.explode for choice in found):
        raise CustomerError(f"{side} has {len(found)} columns, but only a single one is exploded.")
    return found


def _choice(given: Any, side: str, table: Table) -> ColumnChoice:
    if isinstance(given, Mapping):
        known = [field.name for field in fields(ColumnChoice)]
        for key in given:
            if key not in known:
                raise CustomerError(
                    f"A column of {side} has no option {shown(key)}{nearest(key, known)}; it has "
                    f"{names(known, len(known))}."
                )
        if "name" not in given:
            raise CustomerError(f"A column of {side} lacks its 'name', found {shown(dict(given))}.")
        given = ColumnChoice(**given)
    if not isinstance(given, ColumnChoice):
        given = ColumnChoice(given)
    if not isinstance(given.name, (str, int)) or isinstance(given.name, bool):
        raise CustomerError(
            f"A column of {side} must be given by its name or position, found {shown(given.name)}."
        )
    choice = replace(given, name=column_name(table, given.name, option(side)))
    if isinstance(choice.tokenizer, (str, os.PathLike)):
        choice = replace(choice, tokenizer=read_tokenizer(choice.tokenizer))
    _check(choice, side)
    return choice


def _check(choice: ColumnChoice, side: str) -> None:
    def refuse(field: str, wanted: str) -> None:
        called = option("tag separator" if field == "separator" else field)
        raise CustomerError(
            f"{called} of the column {shown(choice.name)} of {side} must be {wanted}, found "
            f"{shown(getattr(choice, field))}."
        )

    if choice.kind not in (*KINDS, "auto"):
        refuse("kind", f"auto or one of {', '.join(KINDS)}")
    for field, most in (("repeat", MOST_REPEATS), ("min_count", 2**31), ("max_size", MOST_IDS)):
        value = getattr(choice, field)
        if field == "repeat" and value is None:
            continue
        if type(value) is not int or not 1 <= value <= most:
            refuse(field, f"an integer from 1 to {most:,}")
    if choice.form not in NORMAL_FORMS:
        refuse("form", f"one of {', '.join(NORMAL_FORMS)}")
    for field in ("lower", "explode", "special_tokens"):
        if type(getattr(choice, field)) is not bool:
            refuse(field, "True or False")
    if choice.explode and choice.kind not in ("tags", "auto"):
        refuse("kind", "tags, for it is exploded")
    if choice.stem is not None:
        _check_stem(choice, refuse)
    if choice.tokenizer is not None:
        _check_tokenizer(choice, refuse)
    if choice.separator is not None and not (
        isinstance(choice.separator, str) and 1 <= len(choice.separator) <= 20
    ):
        refuse("separator", "a text of 1 to 20 characters")
    if type(choice.bins) is int:
        if not 2 <= choice.bins <= _MOST_BINS:
            refuse("bins", f"from 2 to {_MOST_BINS:,}, or a list of edges")
        return
    edges = list(choice.bins) if isinstance(choice.bins, Sequence) else [math.nan]
    numbers = all(type(edge) in (int, float) and math.isfinite(edge) for edge in edges)
    if not numbers or not 1 <= len(edges) < _MOST_BINS or sorted(set(edges)) != edges:
        refuse("bins", "an integer, or a list of ascending numbers, the edges")


def _check_stem(choice: ColumnChoice, refuse: Callable[[str, str], None]) -> None:
    if choice.stem not in (known := languages()):
        refuse("stem", f"one of {', '.join(known)}")
    if choice.kind not in ("text", "auto"):
        refuse("kind", "text, for its words are brought to stems")
    if not choice.lower:
        refuse("lower", "True, for the rules of stems are those of words in lower case")


def _check_tokenizer(choice: ColumnChoice, refuse: Callable[[str, str], None]) -> None:
    if not isinstance(choice.tokenizer, TokenizerFile):
        refuse("tokenizer", "the path of a tokenizer.json")
    if choice.kind not in ("text", "auto"):
        refuse("kind", "text, for it has a tokenizer")
    for field in ("lower", "form", "stem", "min_count", "max_size"):
        default = getattr(_DEFAULTS, field)
        if getattr(choice, field) != default:
            refuse(field, f"left out, for its tokenizer decides (it is {default} then)")


def decided(choice: ColumnChoice, found: Distinct, is_list: bool, further: bool) -> ColumnChoice:
    """A choice whose kind and separator are no longer open.

    Parameters
    ----------
    choice : ColumnChoice
        As it was given.
    found : Distinct
        The values of the first rows.
    is_list : bool
        Whether they are lists.
    further : bool
        Whether another column of the side stands before it: numbers of many values are then a
        feature, to be put into bins.
    """
    texts = [value for value in found.values[:_SAMPLE] if isinstance(value, str) and value]
    kind = choice.kind
    if kind == "auto":
        kind = "tags" if is_list or choice.explode or choice.separator else _kind(found, further)
        kind = kind if choice.tokenizer is None and choice.stem is None else "text"
    separator = choice.separator or separator_of(texts)
    return replace(choice, kind=kind, separator=separator)


def _kind(found: Distinct, further: bool) -> str:
    values = [value for value in found.values[:_SAMPLE] if value not in (None, "")]
    texts = [value for value in values if isinstance(value, str)]
    if further and len(values) > _FEW_NUMBERS:
        parsed = [number(value) for value in values if not hasattr(value, "isoformat")]
        if parsed and None not in parsed:
            return "number"
    if not texts or len(texts) < len(values):
        return "id"
    if sum(len(text.split()) for text in texts) >= _WORDS_OF_TEXT * len(texts):
        return "text"
    listed = sum(text[0] == "[" and text[-1] == "]" for text in texts)
    barred = sum("|" in text for text in texts)
    return "tags" if 2 * listed >= len(texts) or 5 * barred >= len(texts) else "id"
