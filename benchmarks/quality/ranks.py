# SPDX-License-Identifier: Apache-2.0
"""Measures of rankings with one right candidate a question."""

from __future__ import annotations

import numpy as np


def ranks(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Place of each row's right column, from 1; of equal ones half come before.

    Parameters
    ----------
    scores : numpy.ndarray
        ``(questions, candidates)``.
    right : numpy.ndarray
        ``(questions,)``.
    """
    own = scores[np.arange(len(right)), right][:, None]
    return 1 + (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2
