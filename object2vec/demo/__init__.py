# SPDX-License-Identifier: Apache-2.0
"""The demo: film ratings in, predicted ratings and films that are alike out."""

from __future__ import annotations

from pathlib import Path


def run(model_dir: Path) -> int:
    """Train on film ratings, print what was learned, and leave the model in `model_dir`.

    Returns
    -------
    int
        Exit code 0.
    """
    from object2vec.demo.ratings import load_ratings
    from object2vec.demo.report import show

    show(load_ratings, model_dir)
    return 0
