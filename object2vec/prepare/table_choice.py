# SPDX-License-Identifier: Apache-2.0
"""What is said of a table before it is read: its columns, its label, the rows kept back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Union

from object2vec.files import PathLike
from object2vec.prepare.columns import Columns
from object2vec.prepare.delimited import Layout
from object2vec.prepare.recipes import AUTO
from object2vec.prepare.splits import Split
from object2vec.raw_values.inputs import MOST_TOKENS

#: What is said where one side is missing.
BOTH_SIDES = (
    "a pair has columns of in0 and of in1 (where there is one object alone, such as a text with "
    "labels, in1 is a column that holds the same value in all rows)"
)


@dataclass(frozen=True)
class TableChoice:
    """How a table becomes pairs.

    Parameters
    ----------
    in0, in1 : str, int, dict, ColumnChoice, or a list of these
        The column or the columns of each side; see `columns.ColumnChoice`.
    label : str or int, optional
        The label's column; None for pairs that are all positive, whose label is 1.
    label_kind : str
        ``number``, ``class``, ``tags``, or ``auto``, which takes tags where labels are lists, and
        numbers where all labels are.
    tied : bool
        Whether both sides share their vocabularies, column by column.
    max_length : int
        Longer lists of tokens are cut.
    split : Split, optional
        How rows are shared out; None leaves all to train. Vocabularies and bins come from the
        rows of train alone, names of classes from all.
    layout : Layout, optional
        How files with separators are written.
    tokenizer : path-like, optional
        Splits the texts of all text columns that name none of their own; see
        `columns.ColumnChoice`.
    weight : str or int, optional
        The column that says how much a row counts; None where all count alike.
    preset : str
        See `recipes.recipe`; one that does not fit is refused before anything is encoded.
    """

    in0: Columns
    in1: Columns
    label: Optional[Union[str, int]] = None
    label_kind: str = "auto"
    tied: bool = False
    max_length: int = MOST_TOKENS
    split: Optional[Split] = None
    layout: Optional[Layout] = None
    preset: str = AUTO
    tokenizer: Optional[PathLike] = None
    weight: Optional[Union[str, int]] = None
