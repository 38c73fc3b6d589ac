"""``python -m object2vec``: the command `object2vec`."""

from __future__ import annotations

import os
import sys


def _leave_current_folder() -> None:
    """Take back that for ``-m`` Python puts the current folder in front of the path."""
    if sys.flags.isolated or getattr(sys.flags, "safe_path", False):
        return
    try:
        here = os.getcwd()
    except OSError:  # deleted
        here = ""
    if sys.path[0] in ("", here):
        del sys.path[0]


if __name__ == "__main__":
    _leave_current_folder()
    from object2vec.cli import main

    sys.exit(main())
