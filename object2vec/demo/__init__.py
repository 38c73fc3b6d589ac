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

    Raises
    ------
    CustomerError
        The folder cannot be written to; nothing is trained then.
    """
    from object2vec.demo.ratings import load_ratings
    from object2vec.demo.report import show
    from object2vec.files import check_model_folder

    check_model_folder(model_dir, "--model-dir")
    show(load_ratings, model_dir)
    return 0
