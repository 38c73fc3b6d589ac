# SPDX-License-Identifier: Apache-2.0
"""The log: lines in the original's format, which console, tuner and users' scripts read."""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import TracebackType
from typing import Optional, TextIO, Union

from object2vec.text import LONGEST_SENTENCE, bounded, escaped, quoted

LOGGER_NAME = "object2vec"

_BARE_START = "#metrics"
_LONGEST_TRACEBACK = 16_000
_LONGEST_TRACEBACK_LINE = 1000

_ExceptionInfo = Union[
    tuple[type[BaseException], BaseException, Optional[TracebackType]], tuple[None, None, None]
]


class LineFormatter(logging.Formatter):
    """``[06/17/2021 22:45:19 INFO 140683922831168] text``; the last field is the thread.

    A line that starts with ``#metrics`` is printed bare, so that what follows is plain JSON. Text
    from outside can neither begin a new line nor make one endless.
    """

    layout = "[%(asctime)s %(levelname)s %(thread)d] %(message)s"

    def __init__(self) -> None:
        super().__init__(self.layout, datefmt="%m/%d/%Y %H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        text = _message(record)
        if text.startswith(_BARE_START):
            return escaped(text)
        record = copy.copy(record)
        record.msg, record.args = bounded(text, LONGEST_SENTENCE, keep="\t"), ()
        record.exc_text = None  # another formatter's
        return super().format(record)

    def formatException(self, ei: _ExceptionInfo) -> str:
        lines = super().formatException(ei).split("\n")
        text = "\n".join(bounded(line, _LONGEST_TRACEBACK_LINE) for line in lines)
        return bounded(text, _LONGEST_TRACEBACK, keep="\n")


class ShortFormatter(LineFormatter):
    """``WARNING: text``, for people."""

    layout = "%(levelname)s: %(message)s"


def _message(record: logging.LogRecord) -> str:
    """The text of a record; a list or a mapping in it takes no longer, however large or deep."""
    args = record.args
    if not args:
        return record.getMessage()
    # A single mapping stands there alone.
    values = args if isinstance(args, tuple) else (args,)
    short = (
        quoted(value, LONGEST_SENTENCE) if type(value) in (dict, list, tuple) else value
        for value in values
    )
    return str(record.msg) % tuple(short)


class _ProgressAwareHandler(logging.StreamHandler):
    """Clears a progress bar before a line is written and draws it again below the line."""

    def emit(self, record: logging.LogRecord) -> None:
        with ExitStack() as stack:
            # Only a program that has imported tqdm can have a bar on the screen.
            tqdm = sys.modules.get("tqdm")
            if tqdm is not None:
                stack.enter_context(tqdm.tqdm.external_write_mode(file=self.stream))
            super().emit(record)


def write_line(line: str) -> None:
    """Write a line to standard output, above a progress bar where there is one.

    Characters that the output cannot write are escaped.
    """
    if sys.stdout is None:  # the shell closed it
        return
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    line = line.encode(encoding, "backslashreplace").decode(encoding)
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        print(line, flush=True)
    else:
        tqdm.tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()


def watched() -> bool:
    """Whether someone sees a progress bar: standard error is a terminal, or this is a notebook.

    There is no standard error where the shell closed it.
    """
    # as tqdm.auto finds it out
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    is_notebook = "IPKernelApp" in getattr(shell, "config", ())
    return is_notebook or (sys.stderr is not None and sys.stderr.isatty())


@contextmanager
def logging_to(
    stream: Optional[TextIO] = None,
    level: int = logging.INFO,
    formatter: Optional[logging.Formatter] = None,
) -> Iterator[None]:
    """Write the package's log to `stream` for the length of a ``with`` block.

    Parameters
    ----------
    stream : TextIO, optional
        Default: standard output, where SageMaker collects it.
    level : int, default logging.INFO
        Lines below this level are dropped.
    formatter : logging.Formatter, optional
        Default: `LineFormatter`.
    """
    handler = _ProgressAwareHandler(sys.stdout if stream is None else stream)
    handler.setFormatter(formatter or LineFormatter())
    with handling(handler, level):
        yield


def warnings_told() -> AbstractContextManager[None]:
    """Write what the package warns of to standard error, as people read it."""
    return logging_to(sys.stderr, logging.WARNING, ShortFormatter())


@contextmanager
def handling(handler: logging.Handler, level: int = logging.INFO) -> Iterator[None]:
    """Give the package's log to one handler alone for the length of a ``with`` block."""
    logger = logging.getLogger(LOGGER_NAME)
    before = (logger.level, logger.propagate)
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
