# SPDX-License-Identifier: Apache-2.0
"""The option that names a trained model, and the model, for all commands that take one."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from object2vec.estimator.estimator import Object2Vec


_MODEL = "a trained model: the folder that training wrote, or a model.tar.gz of it"


def add_model_option(parser: argparse.ArgumentParser, help: str = _MODEL) -> None:
    """Add ``--model-dir``."""
    parser.add_argument("--model-dir", required=True, metavar="DIR", help=help)


def check_model_dir(folder: str) -> None:
    """Refuse what is no model, before MXNet is imported: found in no time.

    Raises
    ------
    CustomerError
        It is none. An archive is checked when it is loaded, for which it is unpacked once.
    """
    from object2vec.model.model_archives import is_archive
    from object2vec.model.model_files import check_model

    if not is_archive(folder):
        check_model(folder)


@contextlib.contextmanager
def loaded_model(folder: str) -> Iterator[Object2Vec]:
    """The model, in a process whose variables are set for MXNet; warnings go to standard error.

    Raises
    ------
    CustomerError
        There is no sound model.
    """
    from object2vec.backend import own_process
    from object2vec.logs import warnings_told

    check_model_dir(folder)
    with warnings_told():
        own_process.tune()
        from object2vec.estimator.estimator import Object2Vec

        yield Object2Vec.load(folder)
