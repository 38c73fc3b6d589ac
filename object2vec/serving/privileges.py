# SPDX-License-Identifier: Apache-2.0
"""Serving in a container that starts as root: what only root can read, and the end of rights."""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import shutil
import signal
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from object2vec.errors import CustomerError, PlatformError
from object2vec.model.manifest import MANIFEST, read_manifest

USER = "object2vec"
MODEL_DIR = "/opt/ml/model"
_COPY_PREFIX = "object2vec-model-"
_CHUNK = 1 << 26
# Bits of a set of capabilities, from linux/capability.h.
_SETGID, _SETUID, _SETPCAP = 6, 7, 8


def without_rights(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """How the container's first process goes on, in order to serve.

    Root is given up for the user `object2vec`, with all capabilities, and no program can bring
    them back. A model that only root can read is copied before, to where the user can read it.

    Parameters
    ----------
    arguments : sequence of str
        Options of `object2vec serve`; ``--model-dir`` is /opt/ml/model where it is missing.

    Returns
    -------
    tuple of two lists of str
        A command that gives the rights up and runs the command that follows it; and the options
        with which `object2vec serve` then finds the model.

    Raises
    ------
    CustomerError
        If only root can read the model and it is not sound.
    PlatformError
        If a root without the right to become another user starts it, or there is no space for the
        copy.
    """
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("--model-dir", type=Path, default=Path(MODEL_DIR))
    known, others = options.parse_known_args(arguments)
    model_dir = known.model_dir
    drop = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all"]
    if os.geteuid() == 0:
        capabilities = _capabilities()
        if not capabilities >= {_SETUID, _SETGID}:
            raise PlatformError(
                "The container started as root without the capabilities SETUID and SETGID, so the "
                "server cannot become another user: start it as one (--user), or add the two "
                "(--cap-add SETUID --cap-add SETGID)."
            )
        user = pwd.getpwnam(USER)
        model_dir = readable(model_dir, user.pw_uid, user.pw_gid)
        drop += [f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        if _SETPCAP in capabilities:
            drop.append("--bounding-set=-all")
    return drop, ["--host", "0.0.0.0", "--model-dir", str(model_dir), *others]


def readable(model_dir: Path, uid: int, gid: int) -> Path:
    """A folder with this model that a user can read: its own, or else a copy of it.

    Only root can call it.

    Raises
    ------
    CustomerError
        If only root can read the model and it is not sound.
    PlatformError
        If there is no space for the copy.
    """
    if _can_read(model_dir, uid, gid):
        return model_dir
    is_archive = model_dir.is_file()
    names = [model_dir.name] if is_archive else [MANIFEST, *read_manifest(model_dir).files]
    try:
        _remove_copies()
        copy = Path(tempfile.mkdtemp(prefix=_COPY_PREFIX))
        try:
            _copy(model_dir.parent if is_archive else model_dir, names, copy)
        except BaseException:
            shutil.rmtree(copy)
            raise
    except OSError as error:
        raise PlatformError(
            f"Only root can read all of {model_dir}, and it cannot be copied for the server's user "
            f"({error.strerror}): mount a folder for temporary files (--tmpfs /tmp), or let "
            "everybody read the model."
        ) from None
    # It stays root's: the server can read it, and not change it.
    copy.chmod(0o755)
    print(f"Only root can read all of {model_dir}: the server reads a copy in {copy}.", flush=True)
    return copy / model_dir.name if is_archive else copy


def _capabilities() -> set[int]:
    """The effective capabilities of this process, as bits."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (bits,) = (int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    return {bit for bit in range(bits.bit_length()) if bits >> bit & 1}


def _remove_copies() -> None:
    """Remove what an earlier start of the same container has left."""
    for path in Path(tempfile.gettempdir()).glob(f"{_COPY_PREFIX}*"):
        # Another user may have put something of this name there.
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == 0:
            shutil.rmtree(path)


def _can_read(model_dir: Path, uid: int, gid: int) -> bool:
    """Whether no file of a model is refused to a user: asked by becoming that user."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    status = 1
    try:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        # What else is wrong with the model is for the server to say.
        if model_dir.is_file():
            os.close(os.open(model_dir, os.O_RDONLY | os.O_NONBLOCK))
            os._exit(0)
        with contextlib.suppress(CustomerError, FileNotFoundError):
            os.close(os.open(model_dir / MANIFEST, os.O_RDONLY | os.O_NONBLOCK))
            for name in read_manifest(model_dir).files:
                os.close(os.open(model_dir / name, os.O_RDONLY | os.O_NONBLOCK))
        status = 0
    except PermissionError:
        pass
    finally:
        os._exit(status)


def _copy(model_dir: Path, names: Sequence[str], copy: Path) -> None:
    folder = os.open(model_dir, os.O_RDONLY | os.O_DIRECTORY)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, folder)
        sources = []
        for name in names:
            sources.append(_open(folder, name, model_dir))
            stack.callback(os.close, sources[-1])
        needed = sum(os.fstat(source).st_size for source in sources)
        space = os.statvfs(copy)
        free = space.f_bavail * space.f_frsize
        if needed > free:
            raise PlatformError(
                f"Only root can read all of {model_dir}, and its copy for the server's user needs "
                f"{needed:,} bytes, but {copy.parent} has {free:,}: "
                "give it more, or let everybody read the model."
            )
        for name, source in zip(names, sources):
            target = os.open(copy / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
            stack.callback(os.close, target)
            while os.sendfile(target, source, None, _CHUNK):
                # It is blocked as long as nobody else can take it.
                if signal.SIGTERM in signal.sigpending():
                    print("Stopped by SIGTERM before the server started.", flush=True)
                    raise SystemExit(0)


def _open(folder: int, name: str, model_dir: Path) -> int:
    """Open a plain file: root must not be led to another one by a link."""
    if Path(name).name != name:
        raise CustomerError(f"{model_dir / MANIFEST} lists {name!r}, which is not in its folder.")
    try:
        source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        raise CustomerError(f"{model_dir / name} cannot be read: {error.strerror}.") from None
    if not stat.S_ISREG(os.fstat(source).st_mode):
        os.close(source)
        raise CustomerError(f"{model_dir / name} is not a plain file.")
    return source
