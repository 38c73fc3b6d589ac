# SPDX-License-Identifier: Apache-2.0
"""What becomes of raw values: columns, vocabularies and labels, and which ids they have.

Ids of a side are shared out among its vocabularies in the order of its columns. Of each, the first
id stands for values that it does not know; where it counts missing values, the next one stands for
these; its values or bins follow. So the unknown token of a side of one column has the id 0. The ids
of a tokenizer of a file are its own, with its own unknown token among them.
No id is kept for padding: the length of a list decides what is padding, never an id.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Optional, Union

import numpy as np

from object2vec.data.arrays import TokenLists
from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.hyperparameters.table import BY_NAME
from object2vec.raw_values.cell_values import canonical
from object2vec.raw_values.tokenizer_files import TokenizerFile
from object2vec.raw_values.tokenizers import AS_LIST, TOKENIZER, tags
from object2vec.text import named

SIDES = ("in0", "in1")
KINDS = ("id", "text", "tags", "number")
LABEL_KINDS = ("number", "class", "tags", "none")
#: Ids that a side may have, and tokens that one list may have: what the hyperparameters allow.
MOST_IDS = int(BY_NAME["enc0_vocab_size"].maximum)
MOST_TOKENS = int(BY_NAME["enc0_max_seq_len"].maximum)
MOST_CLASSES = int(BY_NAME["num_classes"].maximum)
MOST_REPEATS = 100
#: Places in a vocabulary, counting from its first id; the second only where missing values count.
UNKNOWN = 0
MISSING = 1
_FEWEST_IDS = int(BY_NAME["enc0_vocab_size"].minimum)
_FEWEST_CLASSES = int(BY_NAME["num_classes"].minimum)


class _StartingWithUnknown:
    """Whose first id stands for what it does not know, and the next one for missing values."""

    counts_missing: bool
    unknown: Optional[int] = UNKNOWN

    @property
    def missing(self) -> Optional[int]:
        """The id of a missing value, counting from the first one, or None."""
        return MISSING if self.counts_missing else None


@dataclass(frozen=True, eq=False)
class Vocabulary(_StartingWithUnknown):
    """The values that have an id of their own.

    Parameters
    ----------
    values : tuple of str
        In the order of their ids, each once.
    counts_missing : bool
        Whether a missing value has an id.
    """

    values: tuple[str, ...]
    counts_missing: bool = False

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The id of each value, counting from this vocabulary's first one."""
        start = 1 + self.counts_missing
        return dict(zip(self.values, range(start, start + len(self.values))))

    def __len__(self) -> int:
        """How many ids it takes."""
        return 1 + self.counts_missing + len(self.values)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Vocabulary)
            and self.values == other.values
            and self.counts_missing == other.counts_missing
        )


@dataclass(frozen=True)
class Bins(_StartingWithUnknown):
    """The bins of a column of numbers.

    Parameters
    ----------
    edges : tuple of float
        Ascending; bin i holds the numbers from ``edges[i - 1]`` on that are below ``edges[i]``, the
        first all that are below, the last all from the last edge on.
    counts_missing : bool
        Whether a missing value has an id.
    """

    edges: tuple[float, ...]
    counts_missing: bool = False

    def __len__(self) -> int:
        """How many ids it takes."""
        return 1 + self.counts_missing + len(self.edges) + 1


@dataclass(frozen=True)
class TokenIds:
    """The ids of a tokenizer of a file, which are those of its tokens.

    Parameters
    ----------
    file : TokenizerFile
        The tokenizer.
    counts_missing : bool
        Whether a missing value has an id: the one behind those of the tokenizer.
    """

    file: TokenizerFile
    counts_missing: bool = False

    @property
    def places(self) -> Mapping[str, int]:
        """The id of each token, counting from the first one."""
        return self.file.ids

    @property
    def unknown(self) -> Optional[int]:
        """The id of what the tokenizer does not know, or None."""
        return self.file.unknown

    @property
    def missing(self) -> Optional[int]:
        """The id of a missing value, or None."""
        return self.file.size if self.counts_missing else None

    def __len__(self) -> int:
        """How many ids it takes."""
        return self.file.size + self.counts_missing


Values = Union[Vocabulary, Bins, TokenIds]


@dataclass(frozen=True)
class Column:
    """One column of a side.

    Parameters
    ----------
    name : str
        In tables and requests; of a table without a header the position, counting from 0.
    kind : str
        ``id``: one value, one token. ``text``: the tokens of a text. ``tags``: a list, or a string
        with a separator, a token each. ``number``: the token of its bin.
    vocabulary : str
        Name of its vocabulary or bins in the inputs.
    repeat : int
        How often its tokens stand in a list: its weight in a mean.
    tokenizer : str
        Of a text: `tokenizers.TOKENIZER`, or the name of a `TokenizerFile`, whose ids its
        vocabulary then is.
    lower, form : bool, str
        Of a text without such a file; see `tokenizers.words`.
    stem : str, optional
        Of such a text: the language by whose rules words are brought to their stems, see `stems`.
    special_tokens : bool
        Of a text with one: whether its special tokens are added, such as ``[CLS]``.
    separator : str
        Of tags in a string; see `tokenizers.tags`.
    explode : bool
        Of tags in a table: whether each makes a pair of its own.
    """

    name: str
    kind: str
    vocabulary: str
    repeat: int = 1
    tokenizer: str = TOKENIZER
    lower: bool = True
    form: str = "NFKC"
    stem: Optional[str] = None
    special_tokens: bool = False
    separator: str = "|"
    explode: bool = False


@dataclass(frozen=True)
class Side:
    """The columns of in0 or of in1, and how many tokens a list of it may have."""

    columns: tuple[Column, ...]
    max_length: int = 1

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return [column.name for column in self.columns]


@dataclass(frozen=True)
class Label:
    """What the labels are.

    Parameters
    ----------
    kind : str
        ``number``: they stand for themselves. ``class``: names, numbered in the order of `classes`.
        ``tags``: several such names, or none. ``none``: there are none, all pairs are positive and
        have the label 1.
    name : str
        Of the column, empty where there is none.
    classes : tuple of str
        Of the kinds class and tags.
    num_classes : int, optional
        Of the kind number: one more than the largest, where all were class numbers.
    separator : str
        Of tags in a string; see `tokenizers.tags`.
    """

    kind: str
    name: str = ""
    classes: tuple[str, ...] = ()
    num_classes: Optional[int] = None
    separator: str = "|"

    def names_of(self, value: Any) -> Optional[list[str]]:
        """The names in a cell of the kind tags, None where it is missing; ``[]`` holds none.

        Raises
        ------
        CustomerError
            It is none of a cell.
        """
        if hasattr(value, "tolist"):
            value = value.tolist()
        if isinstance(value, (list, tuple)):
            texts = [canonical(item) for item in value]
            return [name for text in texts if text and (name := text.strip())]
        text = canonical(value)
        if text is None:
            return None
        return [] if text.strip() == AS_LIST else tags(text, self.separator)


@dataclass(frozen=True)
class Inputs:
    """All that is needed to turn raw values into ids: the content of ``inputs.json``.

    Parameters
    ----------
    in0, in1 : Side
        The two sides.
    label : Label
        The labels.
    vocabularies : mapping of str to Vocabulary, Bins or TokenIds
        By name; each belongs to one column of a side, of tied sides to one column of each.
    tied : bool
        Whether both sides share their vocabularies, column by column, and so their ids.
    """

    in0: Side
    in1: Side
    label: Label
    vocabularies: Mapping[str, Values]
    tied: bool = False

    def side(self, name: str) -> Side:
        """The side ``"in0"`` or ``"in1"``."""
        return self.in0 if name == "in0" else self.in1

    @property
    def names(self) -> list[str]:
        """The names of the columns of in0, then of in1."""
        return self.in0.names + self.in1.names

    def is_row(self, names: Collection[str]) -> bool:
        """Whether a record with these keys is a row of the table, not a pair of in0 and in1.

        A column may be called in0 or in1: what has all of several columns is a row.
        """
        columns = set(self.names)
        return not set(SIDES) <= set(names) or (columns <= set(names) and not columns <= set(SIDES))

    def first_ids(self, side: str) -> tuple[int, ...]:
        """The first id of each column's vocabulary."""
        firsts, total = [], 0
        for column in self.side(side).columns:
            firsts.append(total)
            total += len(self.vocabularies[column.vocabulary])
        return tuple(firsts)

    def unknown_ids(self, side: str) -> tuple[int, ...]:
        """The id of each column that stands for unknown values, -1 where there is none."""
        vocabularies = (self.vocabularies[column.vocabulary] for column in self.side(side).columns)
        return tuple(
            -1 if vocabulary.unknown is None else first + vocabulary.unknown
            for first, vocabulary in zip(self.first_ids(side), vocabularies)
        )

    @property
    def tokenizers(self) -> dict[str, TokenizerFile]:
        """The tokenizers of files, by the names that these have beside an ``inputs.json``."""
        files = (v.file for v in self.vocabularies.values() if isinstance(v, TokenIds))
        return {file.name: file for file in files}

    def words(self, side: str) -> tuple[dict[str, int], list[tuple[int, int]]]:
        """What the ids of a side are called, for those who know words alone.

        Returns
        -------
        ids : dict of str to int
            Of each value, word, tag or token the id, of several columns' the first one.
        twins : list of tuple of int
            That id, and another one of the same word in a later column.
        """
        ids: dict[str, int] = {}
        twins = []
        for column, first in zip(self.side(side).columns, self.first_ids(side)):
            vocabulary = self.vocabularies[column.vocabulary]
            if isinstance(vocabulary, Bins):
                continue
            for word, place in vocabulary.places.items():
                known = ids.setdefault(word, first + place)
                if known != first + place:
                    twins.append((known, first + place))
        return ids, twins

    def vocab_size(self, side: str) -> int:
        """How many ids a side has."""
        columns = self.side(side).columns
        return max(_FEWEST_IDS, sum(len(self.vocabularies[c.vocabulary]) for c in columns))

    def index(self) -> None:
        """Build now what the first look-up would: of millions of values that takes seconds."""
        for vocabulary in self.vocabularies.values():
            if isinstance(vocabulary, Vocabulary):
                _ = vocabulary.places

    def sizes(self) -> dict[str, int]:
        """The hyperparameters that follow from the data.

        Returns
        -------
        dict
            ``encN_vocab_size`` and ``encN_max_seq_len`` of both encoders, and ``num_classes``
            unless the labels are real numbers.
        """
        sizes = {}
        for number, name in enumerate(SIDES):
            sizes[f"enc{number}_vocab_size"] = self.vocab_size(name)
            sizes[f"enc{number}_max_seq_len"] = self.side(name).max_length
        label = self.label
        classes = len(label.classes) if label.kind in ("class", "tags") else label.num_classes
        if self.label.kind == "none":
            classes = _FEWEST_CLASSES
        if classes is not None:
            sizes["num_classes"] = max(_FEWEST_CLASSES, classes)
        return sizes

    def check_fit(self, hyperparameters: Hyperparameters, source: str) -> None:
        """Check that a network takes the ids and the classes that these inputs make.

        Parameters
        ----------
        hyperparameters : Hyperparameters
            Of the network.
        source : str
            Where these inputs were read, for errors.

        Raises
        ------
        CustomerError
            If there are more ids or classes than the network has, or labels of another kind.
        """
        if (self.label.kind == "tags") != hyperparameters.is_multi_label:
            raise CustomerError(
                f"{named(source)} says that the labels are of the kind {self.label.kind}, but "
                f"output_layer is {hyperparameters.output_layer}: they belong to different models."
            )
        for side, encoder in zip(SIDES, hyperparameters.encoders):
            size = self.vocab_size(side)
            if size > encoder.vocab_size:
                raise CustomerError(
                    f"{named(source)} has {size:,} ids for {side}, but "
                    f"enc{side[-1]}_vocab_size is {encoder.vocab_size:,}: they belong to different "
                    "models."
                )
        classes, most = len(self.label.classes), hyperparameters.classes
        if most is not None and classes > most:
            raise CustomerError(
                f"{named(source)} names {classes:,} classes, but num_classes is "
                f"{most:,}: they belong to different models."
            )

    def unseen(self, side: str, lists: TokenLists) -> int:
        """How many tokens of encoded lists stand for values that the vocabularies do not know."""
        unseen = np.isin(lists.tokens, np.array(self.unknown_ids(side), np.int32))
        return int(np.count_nonzero(unseen))
