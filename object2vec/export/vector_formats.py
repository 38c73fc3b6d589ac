# SPDX-License-Identifier: Apache-2.0
"""The formats of files of vectors, each written block by block."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Optional, Protocol

import numpy as np
import orjson

from object2vec.errors import CustomerError
from object2vec.text import quoted

Blocks = Iterable[tuple[Sequence[str], np.ndarray]]
#: Columns of Arrow and Parquet.
NAME, EMBEDDING = "name", "embedding"
_FLOAT = np.dtype("<f4")


class Source(Protocol):
    """Vectors and their names, at once or block by block."""

    @property
    def names(self) -> Sequence[str]:
        """Each once."""

    @property
    def width(self) -> int:
        """Elements of a vector."""

    def blocks(self) -> Iterator[tuple[Sequence[str], np.ndarray]]:
        """Names, and float32 ``(rows, width)``, in order."""


Write = Callable[[Sequence[BinaryIO], Blocks, int, int], None]


@dataclass(frozen=True)
class Format:
    """How vectors and names stand in one file or in two.

    Attributes
    ----------
    name : str
        As `--format` calls it.
    suffixes : tuple of str
        What names of such files end with; the first one is the usual one.
    write : callable
        ``write(streams, blocks, count, width)``.
    companion : str, optional
        What takes the suffix's place in the name of the second file, which holds the names.
    as_written : callable
        A name as the file holds it.
    needs_arrow : bool
        Whether pyarrow writes it.
    """

    name: str
    suffixes: tuple[str, ...]
    write: Write
    companion: Optional[str] = None
    as_written: Callable[[str], str] = lambda name: name
    needs_arrow: bool = False

    def written_names(self, names: Sequence[str]) -> list[str]:
        """The names as the file holds them, all of them UTF-8.

        Raises
        ------
        CustomerError
            Two would be the same.
        """
        found = [self.as_written(_sound(name)) for name in names]
        if len(set(found)) < len(found):
            seen: dict[str, str] = {}
            for name, own in zip(names, found):
                if own in seen:
                    raise CustomerError(
                        f"The names {quoted(seen[own])} and {quoted(name)} would both be "
                        f"{quoted(own)} in the format {self.name}: take npy or arrow, which keep "
                        "names as they are, or name the objects by another column."
                    )
                seen[own] = name
        return found


def _sound(name: str) -> str:
    """A name that UTF-8 can write: surrogates that are no pair become question marks."""
    return name if name.isascii() else name.encode(errors="replace").decode()


def _one_word(name: str) -> str:
    """A name in which white space and control characters are underscores.

    Readers of word2vec's format split lines at white space, gensim's at blanks.
    """
    if name.isprintable() and " " not in name:
        return name
    return "".join("_" if mark.isspace() or _is_control(mark) else mark for mark in name)


def _one_cell(name: str) -> str:
    """A name in which what may end a cell or a line is a blank."""
    if name.isprintable():
        return name
    return "".join(" " if _is_control(mark) else mark for mark in name)


def _is_control(mark: str) -> bool:
    return unicodedata.category(mark) in ("Cc", "Zl", "Zp")


def _write_word2vec(streams: Sequence[BinaryIO], blocks: Blocks, count: int, width: int) -> None:
    (stream,) = streams
    stream.write(b"%d %d\n" % (count, width))
    for names, vectors in blocks:
        rows = zip(names, _texts(vectors, b" "))
        stream.write(b"".join(b"%b %b\n" % (name.encode(), row) for name, row in rows))


def _write_word2vec_binary(
    streams: Sequence[BinaryIO], blocks: Blocks, count: int, width: int
) -> None:
    (stream,) = streams
    stream.write(b"%d %d\n" % (count, width))
    for names, vectors in blocks:
        rows = np.ascontiguousarray(vectors, _FLOAT)
        stream.write(
            b"".join(b"%b %b" % (n.encode(), row.tobytes()) for n, row in zip(names, rows))
        )


def _write_npy(streams: Sequence[BinaryIO], blocks: Blocks, count: int, width: int) -> None:
    header = {"descr": _FLOAT.str, "fortran_order": False, "shape": (count, width)}
    np.lib.format.write_array_header_1_0(streams[0], header)
    for names, vectors in blocks:
        streams[0].write(np.ascontiguousarray(vectors, _FLOAT).data)
        lines = (json.dumps(name, ensure_ascii=False) for name in names)
        streams[1].write("".join(f"{line}\n" for line in lines).encode())


def _write_projector(streams: Sequence[BinaryIO], blocks: Blocks, count: int, width: int) -> None:
    for names, vectors in blocks:
        streams[0].write(b"".join(b"%b\n" % row for row in _texts(vectors, b"\t")))
        # no header: the projector takes one only where there are several columns
        streams[1].write("".join(f"{name}\n" for name in names).encode())


def _texts(vectors: np.ndarray, separator: bytes) -> list[bytes]:
    """Each row as the shortest decimals that are read back as the same float32."""
    if not len(vectors):
        return []
    rows = np.ascontiguousarray(vectors, np.float32)
    text = orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY)
    return text[2:-2].replace(b"],[", b"\n").replace(b",", separator).split(b"\n")


def _write_parquet(streams: Sequence[BinaryIO], blocks: Blocks, count: int, width: int) -> None:
    from object2vec.prepare.arrow import arrow_module

    parquet, schema = arrow_module("parquet"), _schema(width)
    # numbers that hardly repeat gain nothing by a dictionary
    with parquet.ParquetWriter(streams[0], schema, use_dictionary=[NAME]) as writer:
        for names, vectors in blocks:
            writer.write_batch(_batch(names, vectors, schema))


def _write_arrow(streams: Sequence[BinaryIO], blocks: Blocks, count: int, width: int) -> None:
    from object2vec.prepare.arrow import arrow_module

    schema = _schema(width)
    with arrow_module("ipc").new_file(streams[0], schema) as writer:
        for names, vectors in blocks:
            writer.write_batch(_batch(names, vectors, schema))


def _schema(width: int) -> Any:
    from object2vec.prepare.arrow import arrow_module

    arrow = arrow_module()
    return arrow.schema(
        [
            arrow.field(NAME, arrow.string(), nullable=False),
            arrow.field(EMBEDDING, arrow.list_(arrow.float32(), width), nullable=False),
        ]
    )


def _batch(names: Sequence[str], vectors: np.ndarray, schema: Any) -> Any:
    from object2vec.prepare.arrow import arrow_module

    arrow = arrow_module()
    flat = arrow.array(np.ascontiguousarray(vectors, np.float32).ravel())
    embeddings = arrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    return arrow.record_batch([arrow.array(names, arrow.string()), embeddings], schema=schema)


FORMATS = (
    Format("word2vec", (".txt", ".vec"), _write_word2vec, as_written=_one_word),
    Format("word2vec-binary", (".bin",), _write_word2vec_binary, as_written=_one_word),
    Format("npy", (".npy",), _write_npy, ".names.jsonl"),
    Format("parquet", (".parquet",), _write_parquet, needs_arrow=True),
    Format("arrow", (".arrow", ".feather"), _write_arrow, needs_arrow=True),
    Format("projector", (".tsv",), _write_projector, ".metadata.tsv", _one_cell),
)
