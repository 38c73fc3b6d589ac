"""Which model a folder holds, told by the digest of its manifest, which lists all other files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Union

from object2vec.errors import CustomerError
from object2vec.manifest import MANIFEST


def model_digest(folder: Union[str, os.PathLike[str]]) -> str:
    """The SHA-256 of the manifest, in hexadecimal digits.

    Raises
    ------
    CustomerError
        If it cannot be read.
    """
    path = Path(folder, MANIFEST)
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CustomerError(f"{path} cannot be read: {error.strerror}.") from None


def check_digest(folder: Union[str, os.PathLike[str]], expected: str) -> None:
    """Make sure that a folder holds the model that it held before.

    Raises
    ------
    CustomerError
        If it holds another one, or none.
    """
    if model_digest(folder) != expected:
        raise CustomerError(
            f"{folder} holds another model than the one that this server was started with: start "
            "the server again to serve it."
        )
