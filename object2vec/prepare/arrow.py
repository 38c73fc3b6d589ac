# SPDX-License-Identifier: Apache-2.0
"""Imports pyarrow where tables are read, and says in one sentence where it is missing."""

from __future__ import annotations

import importlib
from typing import Any

from object2vec.errors import CustomerError

_EXTRA = "pip install 'object2vec[table]'"


def arrow_module(name: str = "") -> Any:
    """The module ``pyarrow``, or one of its own, such as ``csv``.

    Raises
    ------
    CustomerError
        If it is not installed, or cannot be loaded.
    """
    try:
        return importlib.import_module(f"pyarrow.{name}" if name else "pyarrow")
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "pyarrow":
            raise CustomerError(
                f"Tables are read with pyarrow, which is missing: {_EXTRA}."
            ) from None
        raise CustomerError(
            f"Tables are read with pyarrow, which does not load ({error}): {_EXTRA} installs a "
            "version that does."
        ) from None
