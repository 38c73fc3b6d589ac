# SPDX-License-Identifier: Apache-2.0
"""The native library with which the model server listens on files, where programs may be loaded.

Without it the server would open its management to all users of the machine. Netty unpacks it into
the folder for temporary files, which often forbids programs (``noexec``); it looks into Java's
``java.library.path`` first. ``python -m object2vec.serving.native_library`` unpacks it beside this
module, for an image or an installation that its users cannot write to.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import platform
import secrets
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from object2vec.errors import PlatformError
from object2vec.serving.mms_files import server_jar

# Names of machines, Python's and netty's.
_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch_64", "arm64": "aarch_64"}
INSTALLED = Path(__file__).absolute().parent / "native"


def library_folder(home: Path) -> Path:
    """A folder that holds the library, unpacked there if need be.

    Parameters
    ----------
    home : Path
        The server's own folder, which is tried first.

    Raises
    ------
    PlatformError
        If there is no folder to write to from which a library may be loaded.
    """
    name, content = _library()
    tried = []
    for folder in (home / "native", INSTALLED, *_caches()):
        path = folder / name
        if not _is_same(path, content):
            try:
                _write(path, content)
            except OSError:
                tried.append(f"{folder} cannot be written")
                continue
        if _may_be_loaded(path):
            return folder
        tried.append(f"{folder} forbids programs")
    raise PlatformError(
        f"{name}, with which the server keeps its management from other users, can be loaded from "
        f"nowhere ({'; '.join(tried)}); run `{sys.executable} -m {__spec__.name}` once as a user "
        "who may write there, or let TMPDIR name a folder that is not mounted noexec."
    )


def _library() -> tuple[str, bytes]:
    machine = _MACHINES.get(platform.machine().lower())
    if machine is None:
        raise PlatformError(
            f"Multi Model Server cannot listen on files on a {platform.machine()}, and would open "
            "its management to all users; serve on x86-64."
        )
    name = f"libnetty_transport_native_epoll_{machine}.so"
    with zipfile.ZipFile(server_jar()) as jar:
        return name, jar.read(f"META-INF/native/{name}")


def _caches() -> Iterator[Path]:
    for base in (os.environ.get("XDG_CACHE_HOME"), os.path.expanduser("~/.cache")):
        if base and os.path.isabs(base):
            yield Path(base, "object2vec")


def _is_same(path: Path, content: bytes) -> bool:
    """Whether the file is the library, and nobody but this user and root can change it."""
    try:
        if any(not _is_safe(part) for part in (path, path.parent)):
            return False
        return path.read_bytes() == content
    except OSError:
        return False


def _is_safe(path: Path) -> bool:
    found = path.stat()
    return found.st_uid in (0, os.geteuid()) and not found.st_mode & 0o022


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not _is_safe(path.parent):
        raise PermissionError(f"{path.parent} can be changed by others")
    part = path.with_name(f".{secrets.token_hex(6)}.part")
    try:
        part.write_bytes(content)
        part.chmod(0o755)
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def _may_be_loaded(path: Path) -> bool:
    """Ask the kernel, as a loader of libraries does."""
    try:
        with path.open("rb") as stream:
            mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()
    except OSError:
        return False
    return True


def main() -> int:
    """Unpack the library beside this module; returns the exit code."""
    name, content = _library()
    _write(INSTALLED / name, content)
    print(INSTALLED / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
