# SPDX-License-Identifier: Apache-2.0
"""Where a model's files are written to: a folder, or memory."""

from __future__ import annotations

import abc
import io
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from object2vec.files import atomic_write
from object2vec.model.array_files import write_array
from object2vec.model.model_files import PACKED
from object2vec.model.parameter_files import Stream, sha256_of

Write = Callable[[BinaryIO], Any]
DigestOf = Callable[[Stream], str]


class Target(abc.ABC):
    """Where a model's files go; `files` is what the manifest says of them."""

    def __init__(self, place: Path) -> None:
        self.files: dict[str, dict[str, Any]] = {}
        self.place = place

    @abc.abstractmethod
    def add(self, stem: str, ending: str, write: Write, digest_of: DigestOf) -> str:
        """Take a file and give its name, which its content decides."""

    def add_bytes(self, stem: str, content: bytes) -> str:
        """Take a file of JSON and give its name."""
        return self.add(stem, "json", lambda stream: stream.write(content), sha256_of)

    def add_text(self, stem: str, text: str) -> str:
        """As `add_bytes`, of JSON that is there as a text."""
        return self.add_bytes(stem, text.encode())

    def add_array(self, stem: str, array: np.ndarray, dtype: str) -> str:
        """Take an array and give the name of its file."""
        return self.add(stem, "npy", lambda stream: write_array(stream, array, dtype), sha256_of)

    def _list(self, stem: str, ending: str, size: int, digest: str) -> str:
        name = f"{stem}-{digest[:12]}.{ending}"
        self.files[name] = {"bytes": size, "sha256": digest}
        return name


class Folder(Target):
    """A folder: each file comes there whole."""

    def add(self, stem: str, ending: str, write: Write, digest_of: DigestOf) -> str:
        # a random name, for file systems without locks, where two writers may come here at once
        part = self.place / f".{stem}.{secrets.token_hex(6)}.part"
        with atomic_write(part) as stream:
            write(stream)
        # checked before it gets its name: a file that cannot be loaded must not replace a sound one
        with part.open("rb") as reader:
            digest = digest_of(reader)
        name = self._list(stem, ending, part.stat().st_size, digest)
        os.replace(part, self.place / name)
        return name


class Memory(Target):
    """The memory of this process, so that no temporary folder is needed."""

    def __init__(self) -> None:
        super().__init__(PACKED)
        self.contents: dict[str, bytes] = {}

    def add(self, stem: str, ending: str, write: Write, digest_of: DigestOf) -> str:
        stream = io.BytesIO()
        write(stream)
        stream.seek(0)
        content = stream.getvalue()
        name = self._list(stem, ending, len(content), digest_of(stream))
        self.contents[name] = content
        return name
