# SPDX-License-Identifier: Apache-2.0
"""Reads files of word vectors, text or gluonnlp's .npz, into a matrix by token id."""

from __future__ import annotations

import codecs
import contextlib
import io
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Optional, cast

import numpy as np
import orjson

from object2vec.errors import CustomerError
from object2vec.files import open_input, rejoined
from object2vec.pretrained.npz_vectors import read_npz
from object2vec.pretrained.vector_table import (
    NO_NUMBERS,
    NO_UTF8,
    WRONG_WIDTH,
    VectorTable,
    fit_float32,
)
from object2vec.text import named

_SNIFFED_BYTES = 1 << 20
_LONGEST_LINE = 1 << 24
_OF_NUMBERS = b"0123456789.eE+- \t"
_ZIP_MAGIC = b"PK\x03\x04"


def read_vectors(path: Path, table: VectorTable, width_name: str) -> None:
    """Fill a table from a file, in one pass.

    Parameters
    ----------
    path : pathlib.Path
        Text as of GloVe, word2vec or fastText (``word v1 v2 …`` a line, gzipped or not), or the
        .npz of gluonnlp's ``TokenEmbedding.serialize``.
    table : VectorTable
        Takes the vectors of its words.
    width_name : str
        The hyperparameter that says the table's width, for errors.

    Raises
    ------
    CustomerError
        The file cannot be read, is of another kind, or its vectors have another width.
    """
    try:
        with open_input(path) as stream:
            head = stream.read(_SNIFFED_BYTES)
            if head.startswith(_ZIP_MAGIC):
                with _sought_in(head, stream) as archive:
                    read_npz(archive, path, table, width_name)
                return
            table.check_width(path, _width_of_text(head, path), width_name)
            _read_text(rejoined(head, stream), path, table)
    except (zlib.error, EOFError) as error:
        raise CustomerError(f"{named(path)} is damaged: {error}") from None
    except OSError as error:
        raise CustomerError(f"Cannot read {named(path)}: {error.strerror or error}") from None


def _width_of_text(head: bytes, path: Path) -> int:
    """The width that most of the first lines have; tokens with spaces make single ones longer."""
    if b"\0" in head:
        raise CustomerError(
            f"{named(path)} holds zero bytes, so it is a binary file; pretrained vectors must be "
            "text (a word and its numbers a line), so write a word2vec .bin file as text first, "
            "for example with gensim: "
            "KeyedVectors.load_word2vec_format(name, binary=True).save_word2vec_format(new_name)"
        )
    lines = head.removeprefix(codecs.BOM_UTF8).split(b"\n")
    if len(head) == _SNIFFED_BYTES and len(lines) > 1:
        lines.pop()
    counts = [len(line.split()) for line in lines]
    widths = Counter(count - 1 for count in counts if count > 2)
    if not widths:
        raise CustomerError(
            f"{named(path)} holds no word vectors: each line must be a word and its numbers, "
            "separated by spaces"
        )
    return widths.most_common(1)[0][0]


def _read_text(stream: BinaryIO, path: Path, table: VectorTable) -> None:
    width = table.width
    skipped = table.skipped
    for number, raw in enumerate(iter(partial(stream.readline, _LONGEST_LINE), b"")):
        if len(raw) == _LONGEST_LINE:
            raise CustomerError(
                f"Line {number + 1} of {named(path)} is longer than {_LONGEST_LINE >> 20} MiB; "
                "each line must be a word and its numbers"
            )
        line = raw.rstrip()
        if number == 0:
            line = line.removeprefix(codecs.BOM_UTF8)
            if _is_header(line):
                continue
        if line.count(b" ") == width:
            space = line.index(b" ")
            word, numbers = line[:space], line[space + 1 :]
        elif line:
            fields = line.rsplit(None, width)
            if len(fields) <= width or _all_numbers(b" ".join(fields[0].split()[1:])):
                skipped[WRONG_WIDTH] += 1
                continue
            word, numbers = fields[0], b" ".join(fields[1:])
        else:
            continue
        table.vectors += 1
        row = table.row_of(word)
        if row is not None:
            values = _finite(numbers)
            if values is None:
                skipped[NO_NUMBERS] += 1
            elif len(values) != width:
                skipped[WRONG_WIDTH] += 1
            else:
                table.matrix[row] = values
                table.known[row] = True
        elif not _is_utf8(word):
            skipped[NO_UTF8] += 1


def _is_header(line: bytes) -> bool:
    """Whether the line is word2vec's first one, the number of vectors and their width."""
    fields = line.split()
    return len(fields) == 2 and all(field.isdigit() for field in fields)


def _all_numbers(rest: bytes) -> bool:
    """Whether what seems to be the rest of a token are numbers; False if there is no rest."""
    return bool(rest) and _finite(rest) is not None


def _finite(numbers: bytes) -> Optional[np.ndarray]:
    """The numbers of a line as float32, or None if one is no finite number."""
    try:
        if numbers.translate(None, _OF_NUMBERS):
            return None
        # Twice as fast as float, but ".5" and "+1" are no JSON.
        values = np.array(orjson.loads(b"[%b]" % numbers.replace(b" ", b",")), dtype=np.float64)
    except orjson.JSONDecodeError:
        try:
            values = np.array(list(map(float, numbers.split())), dtype=np.float64)
        except ValueError:
            return None
    return values.astype(np.float32) if fit_float32(values) else None


def _is_utf8(word: bytes) -> bool:
    try:
        word.decode()
    except UnicodeDecodeError:
        return False
    return True


@contextlib.contextmanager
def _sought_in(head: bytes, stream: BinaryIO) -> Iterator[BinaryIO]:
    """A file to seek in with the contents of a stream, whose first bytes are read."""
    if isinstance(stream, io.BufferedReader) and stream.seekable():
        yield stream
        return
    # a pipe has no way back, and in gzip it is a long one
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(rejoined(head, stream), copy)
        yield cast(BinaryIO, copy)
