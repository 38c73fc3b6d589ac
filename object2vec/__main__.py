# SPDX-License-Identifier: Apache-2.0
"""The process of the command `object2vec`: takes signals before anything heavy is imported."""

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


def main() -> int:
    """Run the command; what both ``object2vec`` and ``python -m object2vec`` call.

    Returns
    -------
    int
        Exit code.
    """
    stop = None
    if sys.argv[1:2] == ["train"]:
        from object2vec.job.stop_request import StopRequest

        stop = StopRequest()
        stop.listen()
    try:
        from object2vec import cli
    except KeyboardInterrupt:
        from object2vec.errors import EXIT_INTERRUPTED

        print("Stopped.", file=sys.stderr)
        return EXIT_INTERRUPTED
    code = cli.main(stop=stop)
    if stop is not None:
        stop.ignore()
    return code


if __name__ == "__main__":
    _leave_current_folder()
    sys.exit(main())
