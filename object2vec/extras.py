# SPDX-License-Identifier: Apache-2.0
"""Imports packages that only some uses need, and says in one sentence where one is missing."""

from __future__ import annotations

import importlib
from typing import Any

from object2vec.errors import CustomerError


def extra_module(name: str, purpose: str, install: str) -> Any:
    """A module of a package that is not always installed.

    Parameters
    ----------
    name : str
        Of the module, such as ``pyarrow.csv``.
    purpose : str
        The beginning of the error's sentence, which ends with the package: ``Tables are read with
        pyarrow``.
    install : str
        What pip installs it by, as a shell takes it: ``'object2vec[table]'``.

    Raises
    ------
    CustomerError
        The package is not installed, or cannot be loaded.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name.partition(".")[0]:
            raise CustomerError(f"{purpose}, which is missing: pip install {install}.") from None
        raise CustomerError(
            f"{purpose}, which does not load ({error}): pip install {install} installs a version "
            "that does."
        ) from None
