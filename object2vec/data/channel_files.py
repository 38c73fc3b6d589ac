# SPDX-License-Identifier: Apache-2.0
"""Finds the files of a channel, and says what else is there."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import NamedTuple

from object2vec.errors import CustomerError
from object2vec.files import PathLike
from object2vec.logs import LOGGER_NAME
from object2vec.text import counted, named, names

# What Spark leaves beside its data: _SUCCESS, _committed_77, .part-00000.crc. A folder such as
# _year=2024 is a partition by a column of that name.
_PASSED_OVER = re.compile(r"\.|_[^=]*$")
_MAY_BE_PAIRS = re.compile(r"(.*/)?_[^/]*\.jsonl?(\.gz)?", re.IGNORECASE | re.DOTALL)
_logger = logging.getLogger(LOGGER_NAME)


class ChannelFiles(NamedTuple):
    """What lies in a channel.

    Attributes
    ----------
    files : list of Path
        Those to read, in the order of reading.
    empty : list of str
        Names of files without a byte.
    passed_over : list of str
        Names that begin with ``_`` or ``.``; of such a folder only its own name.
    """

    files: list[Path]
    empty: list[str]
    passed_over: list[str]


def channel_files(path: PathLike, channel: str) -> ChannelFiles:
    """What lies in a channel; of a channel that is a file the name does not matter.

    Raises
    ------
    CustomerError
        Nothing is there, or it cannot be listed.
    """
    root = Path(path)
    found = ChannelFiles([], [], [])
    try:
        if root.is_dir():
            _look_below(root, root, found, set())
            return found
        if root.is_file():
            return found._replace(files=[root]) if root.stat().st_size else found
    except OSError as error:
        raise CustomerError(
            f"Cannot list the {channel} channel, {named(error.filename)}: {error.strerror}"
        ) from None
    if root.exists():
        raise CustomerError(f"The {channel} channel is neither a file nor a folder: {named(root)}")
    raise CustomerError(
        f"The {channel} channel does not exist: there is no file or folder {named(root)}"
    )


def _look_below(folder: Path, root: Path, found: ChannelFiles, seen: set[str]) -> None:
    real = os.path.realpath(folder)
    # A link that leads back to a folder above would never end.
    if real in seen:
        return
    seen.add(real)
    for entry in sorted(folder.iterdir()):
        if _PASSED_OVER.match(entry.name):
            found.passed_over.append(str(entry.relative_to(root)))
        elif entry.is_dir():
            _look_below(entry, root, found, seen)
        elif entry.is_file():
            if entry.stat().st_size:
                found.files.append(entry)
            else:
                found.empty.append(str(entry.relative_to(root)))
        else:
            kind = "neither a file nor a folder" if entry.exists() else "a link to nothing"
            # SageMaker's other input mode gives pipes.
            advice = "; the job's input mode must be File" if entry.is_fifo() else ""
            raise CustomerError(
                f"{named(entry)} is {kind}: each name in a channel must be that of a file of pairs "
                f"or of a folder of them{advice}"
            )


def log_passed_over(found: ChannelFiles, channel: str) -> None:
    """Tell in one line what was passed over in a channel, if anything was."""
    passed_over = found.passed_over
    if passed_over:
        accident = any(_MAY_BE_PAIRS.fullmatch(name) for name in passed_over)
        _logger.log(
            logging.WARNING if accident else logging.INFO,
            "Passing over %s in the %s channel, beginning with '_' or '.': %s",
            counted(len(passed_over), "name"), channel, names(passed_over),
        )  # fmt: skip


def without_pair(path: PathLike, found: ChannelFiles) -> str:
    """What a channel without pairs holds, to follow its name in a sentence."""
    if not os.path.isdir(path):
        return "holds blank lines only" if found.files else "is empty"
    parts = []
    if found.files:
        blank = names(file.relative_to(path) for file in found.files)
        parts.append(f"{counted(len(found.files), 'file')} of blank lines ({blank})")
    if found.empty:
        parts.append(f"{counted(len(found.empty), 'empty file')} ({names(found.empty)})")
    if found.passed_over:
        parts.append(
            f"{counted(len(found.passed_over), 'name')} beginning with '_' or '.' and so passed "
            f"over ({names(found.passed_over)})"
        )
    return f"holds {' and '.join(parts) or 'no file'}"
