# SPDX-License-Identifier: Apache-2.0
"""Writes files of vectors: which format, where to, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np

from object2vec.errors import CustomerError
from object2vec.export.vector_formats import FORMATS, Format, Source
from object2vec.files import PathLike, atomic_writes, check_output_file, unwritable
from object2vec.text import named, quoted


class Target(NamedTuple):
    """A format and the files that it writes: the vectors, and the names where they stand apart."""

    format: Format
    paths: tuple[Path, ...]


def vector_target(path: PathLike, format: Optional[str] = None) -> Target:
    """Check, before anything is computed, that vectors can be written to a file.

    Parameters
    ----------
    path : path-like
        The file, whose suffix decides the format.
    format : str, optional
        The name of one of `vector_formats.FORMATS`, in its place.

    Raises
    ------
    CustomerError
        There is no such format, a package is missing, or the file cannot be written.
    PlatformError
        There is no space left.
    """
    path = Path(path)
    found = _format_of(path, format)
    if found.needs_arrow:
        from object2vec.prepare.arrow import arrow_module

        arrow_module()
    paths = [path]
    if found.companion is not None:
        stem = path.stem if path.suffix in found.suffixes else path.name
        paths.append(path.with_name(f"{stem}{found.companion}"))
    for each in paths:
        check_output_file(each)
    return Target(found, tuple(paths))


def _format_of(path: Path, name: Optional[str]) -> Format:
    known = ", ".join(f"{each.name} ({', '.join(each.suffixes)})" for each in FORMATS)
    if name is not None:
        found = next((each for each in FORMATS if each.name == name), None)
        if found is None:
            raise CustomerError(f"The format must be one of {known}, found {quoted(name)}.")
        return found
    found = next((each for each in FORMATS if path.suffix in each.suffixes), None)
    if found is None:
        raise CustomerError(
            f"The name {named(path)} tells no format: end it as one of {known}, or give the format "
            "by its name."
        )
    return found


def write_vectors(source: Source, target: Target) -> None:
    """Write vectors and names, as a whole or not at all.

    Raises
    ------
    CustomerError
        Two names would be the same, or the files cannot be written.
    PlatformError
        There is no space left.
    """
    names = target.format.written_names(source.names)
    try:
        with atomic_writes(*target.paths) as streams:
            target.format.write(streams, _renamed(source, names), len(names), source.width)
    except OSError as error:
        raise unwritable(target.paths[0], error, "file") from None


def _renamed(source: Source, names: list[str]) -> Iterator[tuple[Sequence[str], np.ndarray]]:
    start = 0
    for own, vectors in source.blocks():
        yield names[start : start + len(own)], vectors
        start += len(own)
