# SPDX-License-Identifier: Apache-2.0
"""What a model must be able to do, to be served."""

from __future__ import annotations

from typing import Optional, Protocol

import numpy as np

from object2vec.data.arrays import TokenLists
from object2vec.neighbours.kept_indexes import Indexed
from object2vec.raw_values.inputs import Inputs


class Model(Indexed, Protocol):
    """What answers requests: a `Predictor`, or two of them on different devices."""

    @property
    def inputs(self) -> Optional[Inputs]:
        """Which raw value has which id; None for a model that takes ids only."""

    @property
    def way(self) -> str:
        """How it answers, and why, in a sentence."""

    @property
    def is_fallback(self) -> bool:
        """Whether that is slower than this machine could, for want of the compiled part."""

    def scores(
        self, in0: TokenLists, in1: TokenLists, max_seq_lens: Optional[tuple[int, int]] = None
    ) -> np.ndarray:
        """Score pairs; see `Predictor.scores`."""
