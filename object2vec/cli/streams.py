# SPDX-License-Identifier: Apache-2.0
"""Where a command reads and writes: files, pipes, standard input, output and error."""

from __future__ import annotations

import argparse
import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Optional, Union

from object2vec.errors import CustomerError
from object2vec.text import named

if TYPE_CHECKING:
    from object2vec.evaluation.results import Evaluation
    from object2vec.tuning.results import Tuning


def say(sentence: str) -> None:
    """Write a line to standard error, if it is open; print takes standard output for None."""
    if sys.stderr is not None:
        print(sentence, file=sys.stderr, flush=True)


@contextlib.contextmanager
def opened_input(file: Optional[str]) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked where gzip packed them; by default of standard input.

    Raises
    ------
    CustomerError
        It cannot be read, or is a damaged gzip file.
    """
    if file is None:
        if sys.stdin is None:
            raise CustomerError("Standard input is closed: name the input by --input.")
        if sys.stdin.isatty():
            say("Reading from the terminal; Ctrl-D ends the input.")
        yield sys.stdin.buffer
        return
    import gzip
    import zlib

    from object2vec.files import open_input

    try:
        stream = open_input(file)
    except OSError as error:
        raise CustomerError(f"{named(file)} cannot be read: {error.strerror}.") from None
    try:
        with stream:
            yield stream
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CustomerError(
            f"The gzip file {named(file)} is damaged or incomplete: {error}"
        ) from None


@contextlib.contextmanager
def opened_output(file: Optional[str]) -> Iterator[BinaryIO]:
    """Where bytes go that are a file once they are complete; by default standard output.

    Raises
    ------
    CustomerError
        It cannot be written.
    """
    if file is None or _is_standard_output(file):
        if sys.stdout is None:
            raise CustomerError("Standard output is closed: name the output by --output.")
        yield sys.stdout.buffer
        return
    from object2vec.files import atomic_write

    check_output(file)
    with open(file, "wb") if _is_special(file) else atomic_write(file) as stream:
        yield stream


def check_output(file: Optional[str], *sources: Optional[str]) -> None:
    """Refuse an output of `opened_output` before time is spent on what it is to hold.

    Parameters
    ----------
    file : str, optional
        The output.
    *sources : str, optional
        What is read, which the output may not take the place of.

    Raises
    ------
    CustomerError
        It is a folder, is read as well, or its folder does not exist or may not be written to.
    PlatformError
        There is no space left.
    """
    if file is None or _is_standard_output(file) or _is_special(file):
        return
    from object2vec.files import check_not_read, check_output_file

    check_output_file(file)
    check_not_read(file, sources)


def add_result_options(group: argparse._ActionsContainer) -> None:
    """Add ``--json`` and ``--output``, which `tell` goes by."""
    group.add_argument("--json", action="store_true", help="print JSON instead of a table")
    group.add_argument("--output", metavar="FILE", help="write JSON there as well")


def tell(found: Union[Evaluation, Tuning], options: argparse.Namespace) -> None:
    """Print what was found as a table or as JSON, and write it to a file where one is named."""
    text = found.to_json() + "\n"
    if options.output is not None:
        with opened_output(options.output) as target:
            target.write(text.encode())
    sys.stdout.write(text if options.json else f"{found}\n")


def _is_special(file: str) -> bool:
    """Whether it is a pipe or a device, which no finished file can take the place of."""
    try:
        mode = os.stat(file).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _is_standard_output(file: str) -> bool:
    """Whether a name such as /dev/stdout leads there; a file in its place would be lost."""
    try:
        return os.path.samestat(os.stat(file), os.fstat(1))
    except OSError:
        return False
