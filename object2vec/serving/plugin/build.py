# SPDX-License-Identifier: Apache-2.0
"""Build front.jar from the Java source beside it, or check that it is what the source gives.

``python -m object2vec.serving.plugin.build [--check]``; needs a Java compiler (``javac`` on the
PATH or in JAVA_HOME) and multi-model-server, whose jar holds the classes that these build on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
JAR = HERE / "front.jar"
SOURCES = tuple(sorted(HERE.glob("*.java")))
# Class files of Java 8, the oldest that the model server runs on.
_RELEASE = "8"
# The jar's bytes must not depend on the day.
_TIME = (1980, 1, 1, 0, 0, 0)


def compile_classes() -> dict[str, bytes]:
    """Compile the source.

    Returns
    -------
    dict
        What the jar holds: names and contents.

    Raises
    ------
    FileNotFoundError
        If there is no Java compiler or no multi-model-server.
    subprocess.CalledProcessError
        If the source does not compile.
    """
    home = os.environ.get("JAVA_HOME")
    javac = str(Path(home, "bin", "javac")) if home else shutil.which("javac")
    if javac is None:
        raise FileNotFoundError("there is no javac on the PATH (Debian: openjdk-17-jdk-headless)")
    server = find_spec("mms")
    if server is None or server.origin is None:
        raise FileNotFoundError("multi-model-server is not installed")
    library = Path(server.origin).parent / "frontend" / "model-server.jar"
    with tempfile.TemporaryDirectory() as target:
        options = ["-nowarn", "-Xlint:-options", "-g:none", "--release", _RELEASE, "-d", target]
        subprocess.run(
            [javac, *options, "-cp", str(library), *map(str, SOURCES)],
            check=True,
            capture_output=True,
            text=True,
        )
        classes = sorted(Path(target).rglob("*.class"))
        return {str(path.relative_to(target)): path.read_bytes() for path in classes}


def jar_entries() -> dict[str, bytes]:
    """What the built jar holds: names and contents."""
    with zipfile.ZipFile(JAR) as jar:
        return {name: jar.read(name) for name in jar.namelist()}


def write_jar(entries: dict[str, bytes]) -> None:
    """Write the jar; the same entries always give the same bytes."""
    with zipfile.ZipFile(JAR, "w", zipfile.ZIP_DEFLATED) as jar:
        for name, content in sorted(entries.items()):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            jar.writestr(entry, content)


def main() -> int:
    """Build, or with ``--check`` compare only; returns the exit code."""
    try:
        entries = compile_classes()
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        print(f"{error}\n{getattr(error, 'stderr', '')}".strip(), file=sys.stderr)
        return 1
    if "--check" not in sys.argv[1:]:
        write_jar(entries)
    elif jar_entries() != entries:
        print(f"{JAR} is not what its source gives; build it again.", file=sys.stderr)
        return 1
    print(f"{JAR}: {', '.join(sorted(entries))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
