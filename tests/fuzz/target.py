# SPDX-License-Identifier: Apache-2.0
"""What a target of fuzzing is, and what it may answer to an input."""

from __future__ import annotations

import random
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Optional, Union

import object2vec
from object2vec.errors import CustomerError, PlatformError

ALLOWED = (CustomerError, PlatformError)
# A sentence with a long path in it is far below.
LONGEST_SENTENCE = 2000
_PACKAGE = str(Path(object2vec.__file__).parent)
JsonValue = Union[None, bool, int, float, str, list["JsonValue"], dict[str, "JsonValue"]]


class Wrong(Exception):
    """The code under test did what it must never do.

    Parameters
    ----------
    kind : str
        What it did, in words that are the same for all inputs of this kind.
    detail : str
        What else helps to understand it.

    Attributes
    ----------
    data : bytes, optional
        What to keep instead of the input, where more than one input is needed.
    """

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(kind)
        self.kind = kind
        self.detail = detail
        self.data: Optional[bytes] = None


class Target(ABC):
    """A part of the product that takes what somebody else made.

    Attributes
    ----------
    name : str
        As in ``--target``.
    share : int
        Its part of the time, against the other targets'.
    isolated : bool
        Whether inputs are checked in a child process, which may die of one.
    """

    name: str
    share = 1
    isolated = True

    def prepare(self, folder: Path) -> None:  # noqa: B027 - most need it, not all
        """Make what `check` needs, in the process that checks; `folder` is empty and its own."""

    def close(self) -> None:  # noqa: B027
        """End what `prepare` started."""

    @abstractmethod
    def inputs(self, rng: random.Random) -> Iterator[bytes]:
        """Inputs without end, which depend on `rng` alone."""

    @abstractmethod
    def check(self, data: bytes) -> bool:
        """Hand an input to the product; True if it is accepted, False if it is refused.

        Raises
        ------
        Exception
            Whatever is no answer that the product may give.
        """

    def finish(self) -> None:  # noqa: B027
        """Look once more at the whole, after the last input.

        Raises
        ------
        Wrong
        """


def kind_of(error: BaseException) -> str:
    """An error's type and the place in the package where it came up."""
    if isinstance(error, Wrong):
        return error.kind
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(_PACKAGE)] or frames
    place = f" in {Path(ours[-1].filename).name}, {ours[-1].name}" if ours else ""
    return f"{type(error).__name__}{place}"


def check_sentence(error: BaseException, longest: int = LONGEST_SENTENCE) -> None:
    """See that a refusal can be read: one line of bounded length without control characters."""
    text = str(error)
    place = kind_of(error)
    if not text.strip():
        raise Wrong(f"a refusal without a word: {place}")
    if len(text) > longest:
        found = f"{len(text)} characters: {text[:300]}"
        raise Wrong(f"a refusal of unbounded length: {place}", found)
    if any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in text):
        raise Wrong(f"a refusal with control characters: {place}", repr(text[:500]))
