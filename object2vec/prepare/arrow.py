# SPDX-License-Identifier: Apache-2.0
"""Imports pyarrow where tables are read, and says in one sentence where it is missing."""

from __future__ import annotations

import sys
from typing import Any

from object2vec.extras import extra_module
from object2vec.interruption import is_checked


def arrow_module(name: str = "") -> Any:
    """The module ``pyarrow``, or one of its own, such as ``csv``.

    Raises
    ------
    CustomerError
        If it is not installed, or cannot be loaded.
    """
    module = f"pyarrow.{name}" if name else "pyarrow"
    found = extra_module(module, "Tables are read with pyarrow", "'object2vec[table]'")
    if is_checked():
        # pyarrow puts handlers of its own in the place of ours while it reads, and loses signals.
        sys.modules["pyarrow"].enable_signal_handlers(False)
    return found
