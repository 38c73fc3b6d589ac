"""The process of the command `object2vec`: takes signals before anything heavy is imported."""

from __future__ import annotations

import sys

_EXIT_INTERRUPTED = 130  # as in cli.py, which is not imported yet


def main() -> int:
    """Run the command; what both ``object2vec`` and ``python -m object2vec`` call.

    Returns
    -------
    int
        Exit code.
    """
    stop = None
    if sys.argv[1:2] == ["train"]:
        from object2vec.stop_request import StopRequest

        stop = StopRequest()
        stop.listen()
    try:
        from object2vec import cli
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return _EXIT_INTERRUPTED
    code = cli.main(stop=stop)
    if stop is not None:
        stop.ignore()
    return code


if __name__ == "__main__":
    sys.exit(main())
