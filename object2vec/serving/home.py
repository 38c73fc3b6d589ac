# SPDX-License-Identifier: Apache-2.0
"""The folder of a server that runs: for this user alone, and good for sockets."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from object2vec.errors import PlatformError
from object2vec.logs import LOGGER_NAME

_logger = logging.getLogger(LOGGER_NAME)

# The longest of the sockets below the folder; the kernel takes 107 bytes.
_LONGEST_SOCKET = "tmp/.mms.sock.65535"
_LONGEST_PATH = 107
# Java reads others by the rules of the locale, or not at all.
_PLAIN = re.compile(r"[A-Za-z0-9/._+,@=~-]+")


@contextlib.contextmanager
def server_home() -> Iterator[Path]:
    """Make the folder, below TMPDIR or where that will not do elsewhere; remove it at the end.

    Raises
    ------
    PlatformError
        If there is no place for it.
    """
    home = _make()
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _make() -> Path:
    problems = []
    for base in _bases():
        try:
            home = Path(tempfile.mkdtemp(prefix="object2vec-", dir=base))
        except OSError as error:
            problems.append(f"{base!r} cannot be written: {error.strerror}")
            continue
        problem = _problem(home)
        if problem is None:
            if problems:
                _logger.info("The server's files are in %s: %s.", home, "; ".join(problems))
            return home
        shutil.rmtree(home, ignore_errors=True)
        problems.append(f"{base!r} {problem}")
    raise PlatformError(
        f"There is no folder for the server's files and sockets: {'; '.join(problems)}; let TMPDIR "
        "name a folder with a short path."
    )


def _bases() -> list[str]:
    found = [tempfile.gettempdir()] if _has_temporary_folder() else []
    found += [os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", "/var/tmp"]
    return list(dict.fromkeys(base for base in found if os.path.isabs(base)))


def _has_temporary_folder() -> bool:
    try:
        tempfile.gettempdir()
    except OSError:
        return False
    return True


def _problem(home: Path) -> Optional[str]:
    if not _PLAIN.fullmatch(str(home)):
        return "has a name that Java cannot read in every locale"
    path = home / _LONGEST_SOCKET
    length = len(os.fsencode(path))
    if length > _LONGEST_PATH:
        return f"is too long by {length - _LONGEST_PATH} bytes for the path of a socket"
    try:
        path.parent.mkdir()
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(path))
        path.unlink()
    except OSError as error:
        return f"takes no sockets: {error.strerror}"
    return None
