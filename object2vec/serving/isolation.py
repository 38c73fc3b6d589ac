# SPDX-License-Identifier: Apache-2.0
"""Python processes that import what this one does, and nothing of the current folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Optional

import object2vec

# The very package that runs here is taken, wherever it was found.
_PRELUDE = """\
import sys

own = sys.path[:]
sys.path[:] = {path}
sys.path += [entry for entry in own if entry not in sys.path]

import importlib.util

spec = importlib.util.spec_from_file_location("object2vec", {package})
sys.modules["object2vec"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["object2vec"])
"""


def python_command() -> list[str]:
    """The start of a command line; a file or ``-c`` and a program follow.

    Isolated, Python takes no module from the current folder and heeds no variable: what PYTHONPATH
    names comes through `prelude`.
    """
    options = ["-I", "-B"] if sys.dont_write_bytecode else ["-I"]
    return [sys.executable, *options]


def prelude() -> str:
    """Lines of Python, in ASCII, that give a process the modules of this one."""
    return _PRELUDE.format(path=ascii(module_path()), package=ascii(os.fspath(_package_file())))


def module_path() -> list[str]:
    """Where this process finds modules, without the current folder.

    ``python -m`` puts that in front, and so does an empty entry of PYTHONPATH. An entry that names
    the folder is meant, and stays.
    """
    here = _current_folder()
    meant = {os.path.abspath(entry) for entry in _named_entries()} if here else set()
    entries = []
    for entry in sys.path:
        if not os.path.isabs(entry):
            if not here or not entry:
                continue
            entry = os.path.abspath(entry)
        if entry != here or entry in meant:
            entries.append(entry)
    return entries


def _named_entries() -> list[str]:
    if sys.flags.ignore_environment:
        return []
    return [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]


def _current_folder() -> Optional[str]:
    try:
        return os.getcwd()
    except OSError:  # deleted
        return None


def _package_file() -> Path:
    assert object2vec.__file__ is not None
    return Path(object2vec.__file__).absolute()
