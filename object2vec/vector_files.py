"""Reads files of word vectors, text or gluonnlp's .npz, into a matrix by token id."""

from __future__ import annotations

import contextlib
import io
import pickletools
import shutil
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO, Optional

import numpy as np
import orjson

from object2vec.errors import CustomerError
from object2vec.files import open_input, rejoined

_SNIFFED_BYTES = 1 << 20
_ROWS_AT_ONCE = 4096
_BOM = b"\xef\xbb\xbf"
_OF_NUMBERS = b"0123456789.eE+- \t"
_ZIP_MAGIC = b"PK\x03\x04"
_NPZ_TOKENS, _NPZ_VECTORS = "idx_to_token.npy", "idx_to_vec.npy"

# Why lines are left out, in the words of the log.
WRONG_WIDTH, NO_NUMBERS, NO_UTF8, REPEATED = (
    "of a wrong width",
    "with something else than finite numbers",
    "with a word that is not UTF-8",
    "with a word that came before",
)


class VectorTable:
    """A matrix by token id that is filled from a file.

    Parameters
    ----------
    ids : mapping of bytes to int
        The wanted words, in UTF-8.
    vocab_size, width : int
        Shape of the matrix.

    Attributes
    ----------
    matrix : numpy.ndarray
        float32, ``(vocab_size, width)``; zero where the file gave nothing.
    known : numpy.ndarray
        bool, ``(vocab_size,)``: rows that the file gave.
    vectors : int
        Vectors of the right width in the file, wanted or not.
    skipped : collections.Counter
        Lines that were left out, by reason.
    """

    def __init__(self, ids: Mapping[bytes, int], vocab_size: int, width: int) -> None:
        self.ids = ids
        self.width = width
        self.matrix = np.zeros((vocab_size, width), dtype=np.float32)
        self.known = np.zeros(vocab_size, dtype=bool)
        self.vectors = 0
        self.skipped: Counter[str] = Counter()

    def row_of(self, word: bytes) -> Optional[int]:
        """The row to fill for a word; None if it is not wanted or was there before."""
        row = self.ids.get(word)
        if row is None:
            return None
        if self.known[row]:
            self.skipped[REPEATED] += 1
            return None
        return row


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
                    _read_npz(archive, path, table, width_name)
                return
            _check_width(path, _width_of_text(head, path), table, width_name)
            _read_text(rejoined(head, stream), table)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise CustomerError(f"{path} is damaged: {error}") from None
    except OSError as error:
        raise CustomerError(f"Cannot read {path}: {error.strerror or error}") from None


def _check_width(path: Path, width: int, table: VectorTable, width_name: str) -> None:
    if width != table.width:
        raise CustomerError(
            f"The vectors of {path} have width {width}, but the token table has width "
            f"{table.width}: set {width_name} to {width} or give another file"
        )


def _width_of_text(head: bytes, path: Path) -> int:
    """The width that most of the first lines have; tokens with spaces make single ones longer."""
    if b"\0" in head:
        raise CustomerError(
            f"{path} is a binary file; pretrained vectors must be text (a word and its numbers a "
            "line), so write a word2vec .bin file as text first, for example with gensim: "
            "KeyedVectors.load_word2vec_format(name, binary=True).save_word2vec_format(new_name)"
        )
    lines = head.removeprefix(_BOM).split(b"\n")
    if len(head) == _SNIFFED_BYTES and len(lines) > 1:
        lines.pop()
    counts = [len(line.split()) for line in lines]
    widths = Counter(count - 1 for count in counts if count > 2)
    if not widths:
        raise CustomerError(
            f"{path} holds no word vectors: each line must be a word and its numbers, "
            "separated by spaces"
        )
    return widths.most_common(1)[0][0]


def _read_text(stream: BinaryIO, table: VectorTable) -> None:
    width = table.width
    skipped = table.skipped
    for number, raw in enumerate(stream):
        line = raw.rstrip()
        if number == 0:
            line = line.removeprefix(_BOM)
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
    return values.astype(np.float32) if _fit_float32(values) else None


def _fit_float32(values: np.ndarray) -> bool:
    return bool(np.all(np.abs(values) <= np.finfo(np.float32).max))


def _is_utf8(word: bytes) -> bool:
    try:
        word.decode()
    except UnicodeDecodeError:
        return False
    return True


@contextlib.contextmanager
def _sought_in(head: bytes, stream: BinaryIO) -> Iterator[IO[bytes]]:
    """A file to seek in with the contents of a stream, whose first bytes are read."""
    if isinstance(stream, io.BufferedReader) and stream.seekable():
        yield stream
        return
    # a pipe has no way back, and in gzip it is a long one
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(rejoined(head, stream), copy)
        yield copy


def _read_npz(file: IO[bytes], path: Path, table: VectorTable, width_name: str) -> None:
    """Read gluonnlp's format without gluonnlp, whose reader unpickles what the file holds."""
    with zipfile.ZipFile(file) as archive:
        if not {_NPZ_TOKENS, _NPZ_VECTORS} <= set(archive.namelist()):
            raise CustomerError(
                f"{path} is a zip archive without {_NPZ_TOKENS} and {_NPZ_VECTORS}: give the text "
                "file that it holds, or the .npz of gluonnlp's TokenEmbedding.serialize"
            )
        try:
            with archive.open(_NPZ_TOKENS) as member:
                words = _npz_words(member)
            with archive.open(_NPZ_VECTORS) as member:
                _read_npz_vectors(member, path, words, table, width_name)
        except (ValueError, RuntimeError) as error:
            raise CustomerError(f"{path} is no .npz file of gluonnlp: {error}") from None


def _npy_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran order, and type of the array that follows."""
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(member)
    return np.lib.format.read_array_header_2_0(member)


def _npz_words(member: IO[bytes]) -> list[str]:
    shape, _, dtype = _npy_header(member)
    if len(shape) != 1 or dtype.kind not in "OUS":
        raise ValueError(f"idx_to_token must be a list of strings, found {dtype} {shape}")
    data = member.read()
    if dtype.kind == "O":
        words = _strings_of_pickle(data)
    else:
        words = np.frombuffer(data, dtype).tolist()
        if dtype.kind == "S":
            words = [word.decode(errors="replace") for word in words]
    if len(words) != shape[0]:
        raise ValueError(f"idx_to_token must hold {shape[0]} strings, found {len(words)}")
    return words


def _strings_of_pickle(data: bytes) -> list[str]:
    """The strings of a pickled object array, read as data: nothing is unpickled, no code run."""
    words: list[str] = []
    # A string that the pickle holds already is only referred to, by its number.
    memo: dict[Any, Optional[str]] = {}
    last: Optional[str] = None
    in_list = False
    for opcode, argument, _ in pickletools.genops(data):
        name = opcode.name
        if name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if name == "MEMOIZE" else argument] = last
            continue
        is_reference = name in ("BINGET", "LONG_BINGET")
        value = memo.get(argument) if is_reference else argument
        last = value if isinstance(value, str) and (is_reference or "UNICODE" in name) else None
        if name == "EMPTY_LIST":
            in_list = True
        elif in_list and name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
            return words
        elif in_list and last is not None:
            words.append(last)
        elif in_list and name not in ("MARK", "APPEND", "APPENDS", "FRAME"):
            break
    raise ValueError("idx_to_token holds something else than strings")


def _read_npz_vectors(
    member: IO[bytes], path: Path, words: list[str], table: VectorTable, width_name: str
) -> None:
    shape, fortran_order, dtype = _npy_header(member)
    if len(shape) != 2 or shape[0] != len(words) or dtype.kind != "f" or fortran_order:
        raise ValueError(
            f"idx_to_vec must be a matrix of {len(words)} rows of floats in C order, "
            f"found {dtype} {shape}"
        )
    _check_width(path, shape[1], table, width_name)
    for start in range(0, shape[0], _ROWS_AT_ONCE):
        block = words[start : start + _ROWS_AT_ONCE]
        size = len(block) * shape[1] * dtype.itemsize
        data = member.read(size)
        if len(data) < size:
            raise EOFError("idx_to_vec ends too early")
        for word, values in zip(block, np.frombuffer(data, dtype).reshape(len(block), -1)):
            table.vectors += 1
            row = table.row_of(word.encode(errors="replace"))
            if row is None:
                continue
            if _fit_float32(values):
                table.matrix[row] = values
                table.known[row] = True
            else:
                table.skipped[NO_NUMBERS] += 1
