# SPDX-License-Identifier: Apache-2.0
"""What is said of a table before it is read: its columns, its label, the rows kept back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Union

from object2vec.prepare.columns import Columns
from object2vec.prepare.delimited import Layout
from object2vec.prepare.recipes import AUTO
from object2vec.prepare.splits import Split
from object2vec.raw_values.inputs import MOST_TOKENS


@dataclass(frozen=True)
class TableChoice:
    """How a table becomes pairs.

    Parameters
    ----------
    in0, in1, label, label_kind, tied, max_length, split, layout, preset
        As `table_pairs` takes them.
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
