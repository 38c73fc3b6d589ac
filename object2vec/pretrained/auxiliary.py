# SPDX-License-Identifier: Apache-2.0
"""Reads the auxiliary channel: vocabularies, and pretrained vectors by token id."""

from __future__ import annotations

import logging
import os
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import numpy as np

from object2vec.errors import CustomerError
from object2vec.files import PathLike, open_input
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.json_objects import Pairs, parse_pairs
from object2vec.logs import LOGGER_NAME
from object2vec.pretrained.vector_files import read_vectors
from object2vec.pretrained.vector_table import VectorTable
from object2vec.text import counted, named, names, shown

if TYPE_CHECKING:
    import gluonnlp

_LARGEST_VOCABULARY = 1 << 28  # bytes, unpacked
_logger = logging.getLogger(LOGGER_NAME)


@dataclass(frozen=True, eq=False)
class TokenVectors:
    """Pretrained vectors of one token table.

    Parameters
    ----------
    matrix : numpy.ndarray
        float32, shape ``(vocab_size, width)``; zero where nothing is known.
    known : numpy.ndarray
        bool, shape ``(vocab_size,)``: rows that the file gave. The others, ids without a word
        among them, keep the random start that a table without pretrained vectors has.
    """

    matrix: np.ndarray
    known: np.ndarray


@dataclass(frozen=True)
class Auxiliary:
    """What the auxiliary channel gives to the two encoders; both may share one object.

    Parameters
    ----------
    vectors : tuple of (TokenVectors or None)
        Of encoder 0 and 1.
    vocabularies : tuple of (gluonnlp.Vocab or None)
        Of encoder 0 and 1.
    """

    vectors: tuple[Optional[TokenVectors], Optional[TokenVectors]] = (None, None)
    vocabularies: tuple[Optional[gluonnlp.Vocab], Optional[gluonnlp.Vocab]] = (None, None)


def read_auxiliary(folder: Optional[PathLike], hyperparameters: Hyperparameters) -> Auxiliary:
    """Read the files that the hyperparameters name.

    With tied token tables a file that is given on one side only serves both.

    Parameters
    ----------
    folder : path-like or None
        The auxiliary channel; None if the job has none.
    hyperparameters : Hyperparameters
        The names of the files, sizes and widths of the tables.

    Raises
    ------
    CustomerError
        A file is missing, cannot be read, or does not fit.
    """
    sources = _sources(hyperparameters)
    words: dict[_Source, dict[str, int]] = {}
    vectors: dict[_Source, TokenVectors] = {}
    for side, source in enumerate(sources):
        if source.vocab_file and source not in words:
            path = _find(folder, source.vocab_file, f"enc{side}_vocab_file")
            words[source] = read_vocabulary(path, source.vocab_size)
        elif source.vector_file and not source.vocab_file:
            raise CustomerError(
                f"enc{side}_pretrained_embedding_file={source.vector_file} needs "
                f'enc{side}_vocab_file, the name of a JSON file {{"word": id, …}} in the auxiliary '
                "channel, which says which word an id stands for"
            )
    for side, source in enumerate(sources):
        if source.vector_file and source not in vectors:
            path = _find(folder, source.vector_file, f"enc{side}_pretrained_embedding_file")
            pooled = hyperparameters.encoders[side].network == "pooled_embedding"
            width_name = "enc_dim" if pooled else f"enc{side}_token_embedding_dim"
            vectors[source] = _read_pretrained(path, words[source], source, side, width_name)
    vocabularies = {source: as_vocab(ids) for source, ids in words.items()}
    first, second = sources
    return Auxiliary(
        (vectors.get(first), vectors.get(second)),
        (vocabularies.get(first), vocabularies.get(second)),
    )


@dataclass(frozen=True)
class _Source:
    """All that decides what is read for one side; equal sources are read once and shared."""

    vocab_file: str
    vector_file: str
    vocab_size: int
    width: int


def _sources(hyperparameters: Hyperparameters) -> tuple[_Source, _Source]:
    encoders = hyperparameters.encoders
    vocab_files = [encoder.vocab_file for encoder in encoders]
    vector_files = [encoder.pretrained_embedding_file for encoder in encoders]
    if hyperparameters.tied_token_embedding_weight:
        vocab_files = [vocab_files[side] or vocab_files[1 - side] for side in (0, 1)]
        vector_files = [vector_files[side] or vector_files[1 - side] for side in (0, 1)]
    first, second = (
        _Source(
            vocab_files[side],
            vector_files[side],
            encoder.vocab_size,
            encoder.token_embedding_dim,
        )
        for side, encoder in enumerate(encoders)
    )
    return first, second


def _find(folder: Optional[PathLike], name: str, parameter: str) -> Path:
    if folder is None or not os.path.isdir(folder):
        place = "the job has no auxiliary channel"
        if folder is not None:
            place = f"{named(folder)} is no folder"
        raise CustomerError(f"{parameter}={name} is a file of the auxiliary channel, but {place}")
    path = Path(folder) / name
    if not os.path.isfile(path):
        try:
            files = sorted(entry for entry in os.listdir(folder) if entry[0] != ".")
        except OSError as error:
            raise CustomerError(
                f"Cannot list the auxiliary channel, {named(folder)}: {error.strerror}"
            ) from None
        raise CustomerError(
            f"{parameter}={name} is not in the auxiliary channel {named(folder)}, "
            f"which holds {names(files) or 'no file'}"
        )
    return path


def read_vocabulary(path: Path, vocab_size: int) -> dict[str, int]:
    """Read a JSON file ``{"word": id}``, gzipped or not.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    vocab_size : int
        Words whose ids are not from 0 to vocab_size-1 are left out, with a warning: no pair can
        hold them.

    Raises
    ------
    CustomerError
        The file cannot be read, is no such object, repeats a word or an id, holds an id that is no
        integer, or no word at all for the table.
    """
    try:
        with open_input(path) as stream:
            data = stream.read(_LARGEST_VOCABULARY + 1)
        if len(data) > _LARGEST_VOCABULARY:
            raise ValueError(f"holds more than {_LARGEST_VOCABULARY >> 20} MiB of text")
        fields = parse_pairs(data)
    except ValueError as error:
        raise CustomerError(f"The vocabulary file {named(path)} {error}") from None
    except (EOFError, zlib.error) as error:
        raise CustomerError(f"The vocabulary file {named(path)} is damaged: {error}") from None
    except OSError as error:
        raise CustomerError(f"Cannot read {named(path)}: {error.strerror or error}") from None
    if not isinstance(fields, Pairs) or not fields:
        raise CustomerError(
            f"The vocabulary file {named(path)} must hold one JSON object such as "
            '{"the": 0, "cat": 1}'
        )
    words: dict[str, int] = {}
    outside: dict[str, int] = {}
    word_of: dict[int, str] = {}
    rule = f"ids are integers from 0 to {vocab_size - 1} (vocab_size={vocab_size})"
    for word, token in fields:
        if type(token) is not int:
            raise CustomerError(
                f"The vocabulary file {named(path)} gives {shown(word)} the id {shown(token)}; "
                f"{rule}"
            )
        if word in words or word in outside:
            raise CustomerError(f"The vocabulary file {named(path)} holds {shown(word)} twice")
        if not 0 <= token < vocab_size:
            outside[word] = token
            continue
        if token in word_of:
            raise CustomerError(
                f"The vocabulary file {named(path)} gives the id {token} to both "
                f"{shown(word_of[token])} and {shown(word)}"
            )
        words[word] = token
        word_of[token] = word
    if outside:
        _leave_out(outside, words, path, rule)
    return words


def _leave_out(outside: Mapping[str, int], words: Mapping[str, int], path: Path, rule: str) -> None:
    """Tell of the words whose ids the table does not hold; an error if there are no others."""
    example = f"{shown(next(iter(outside)))} with the id {shown(next(iter(outside.values())))}"
    if not words:
        raise CustomerError(
            f"The vocabulary file {named(path)} holds only words whose ids are outside the token "
            f"table, such as {example}; {rule}"
        )
    _logger.warning(
        "Left out of the vocabulary %s: %s whose ids are outside the token table, such as %s; %s",
        named(path.name), counted(len(outside), "word"), example, rule,
    )  # fmt: skip


def as_vocab(words: Mapping[str, int]) -> gluonnlp.Vocab:
    """Hold words and their ids as a gluonnlp Vocab, which survives to_json and from_json.

    gluonnlp knows no gaps: an id below the largest one that has no word gets the made-up one
    ``<no word 7>``. An unknown word raises KeyError, as there is no id for it.
    """
    # Loads mxnet, which takes longer than to find a mistake in the files.
    from object2vec.backend.mxnet_import import mx  # noqa: F401
    import gluonnlp  # isort: skip

    ids = dict(words)
    taken = set(ids.values())
    for token in range(max(taken)):
        if token not in taken:
            name = f"<no word {token}>"
            while name in ids:
                name = f"<{name}>"
            ids[name] = token
    return gluonnlp.Vocab(
        Counter(ids.keys()),
        unknown_token=None,
        padding_token=None,
        bos_token=None,
        eos_token=None,
        token_to_idx=ids,
    )


def _read_pretrained(
    path: Path, words: Mapping[str, int], source: _Source, side: int, width_name: str
) -> TokenVectors:
    ids = {word.encode("utf-8", "surrogatepass"): token for word, token in words.items()}
    table = VectorTable(ids, source.vocab_size, source.width)
    read_vectors(path, table, width_name)
    found = int(table.known.sum())
    reasons = ", ".join(f"{count} {reason}" for reason, count in table.skipped.items())
    if not found:
        such = f" of words such as {', '.join(map(shown, table.first_words))}"
        raise CustomerError(
            f"{named(path)} has no vector for any of the {len(words)} words of "
            f"{source.vocab_file}, such as {', '.join(map(shown, islice(words, 3)))}; it holds "
            f"{table.vectors} vectors{such if table.vectors else ''}"
            f"{f', and lines that were left out: {reasons}' if reasons else ''}"
        )
    _logger.info(
        "enc%d: %d of %s of %s found in %s (%s of width %d); %s without one and %s without a word "
        "start at random",
        side, found, counted(len(words), "word"), source.vocab_file, path.name,
        counted(table.vectors, "vector"), table.width,
        counted(len(words) - found, "word"), counted(source.vocab_size - len(words), "id"),
    )  # fmt: skip
    if reasons:
        _logger.warning("Lines of %s that were left out: %s", path.name, reasons)
    return TokenVectors(table.matrix, table.known)
