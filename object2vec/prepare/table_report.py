# SPDX-License-Identifier: Apache-2.0
"""What became of a table's rows, in numbers and in sentences."""

from __future__ import annotations

from dataclasses import dataclass, field

from object2vec.hyperparameters.table import SPLITS
from object2vec.raw_values.inputs import SIDES
from object2vec.text import counted


@dataclass
class Report:
    """What became of a table's rows.

    Attributes
    ----------
    rows : int
        Rows of the table.
    left_out : int
        Rows without a value of in0, of in1 or of the label.
    first_left_out : str
        Where the first of them stands.
    pairs : dict of str to int
        Pairs of each split; an exploded row makes several.
    tokens, unknown : dict of str to int
        Of in0 and in1: tokens, and those among them that stand for values without an id.
    truncated : int
        Lists that were cut to the maximum length.
    """

    rows: int = 0
    left_out: int = 0
    first_left_out: str = ""
    pairs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SIDES, 0))
    unknown: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SIDES, 0))
    truncated: int = 0

    def lines(self) -> list[str]:
        """The report in sentences."""
        parts = [f"{n:,} for {split}" for split, n in self.pairs.items() if n]
        found = [f"Rows read: {self.rows:,}. Pairs made: {', '.join(parts) or 'none'}."]
        if self.left_out:
            found.append(
                f"Left out {counted(self.left_out, 'row')} without a value of in0, of in1 or of "
                f"the label, the first: {self.first_left_out}."
            )
        for side in SIDES:
            if self.unknown[side]:
                found.append(
                    f"Of {counted(self.tokens[side], 'token')} of {side}, {self.unknown[side]:,} "
                    "stand for values that have no id of their own."
                )
        if self.truncated:
            found.append(f"Cut to the maximum length: {counted(self.truncated, 'list')}.")
        return found
