# SPDX-License-Identifier: Apache-2.0
"""Reads the auxiliary channel: vocabularies, and pretrained vectors by token id."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import numpy as np

from object2vec.errors import CustomerError
from object2vec.files import PathLike
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.logs import LOGGER_NAME
from object2vec.pretrained.vector_files import read_vectors
from object2vec.pretrained.vector_table import VectorTable
from object2vec.pretrained.vocabularies import as_vocab, read_vocabulary
from object2vec.text import counted, named, names, shown

if TYPE_CHECKING:
    import gluonnlp

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


def read_auxiliary(
    folder: Optional[PathLike],
    hyperparameters: Hyperparameters,
    words_of: Optional[Callable[[str], tuple[dict[str, int], list[tuple[int, int]]]]] = None,
) -> Auxiliary:
    """Read the files that the hyperparameters name.

    With tied token tables a file that is given on one side only serves both.

    Parameters
    ----------
    folder : path-like or None
        The auxiliary channel; None if the job has none.
    hyperparameters : Hyperparameters
        The names of the files, sizes and widths of the tables.
    words_of : callable, optional
        What the ids of ``in0`` and of ``in1`` are called where no vocabulary file says it, see
        `Inputs.words`; of a table's inputs.

    Raises
    ------
    CustomerError
        A file is missing, cannot be read, or does not fit.
    """
    sources = _sources(hyperparameters, words_of is not None)
    words: dict[_Source, dict[str, int]] = {}
    twins: dict[_Source, list[tuple[int, int]]] = {}
    vectors: dict[_Source, TokenVectors] = {}
    for side, source in enumerate(sources):
        if source.vocab_file and source not in words:
            path = auxiliary_file(folder, source.vocab_file, f"enc{side}_vocab_file")
            words[source] = read_vocabulary(path, source.vocab_size)
        elif source.vector_file and source.raw_side and words_of is not None:
            if source not in words:
                words[source], twins[source] = words_of(source.raw_side)
        elif source.vector_file and not source.vocab_file:
            raise CustomerError(
                f"enc{side}_pretrained_embedding_file={source.vector_file} needs "
                f'enc{side}_vocab_file, the name of a JSON file {{"word": id, …}} in the auxiliary '
                "channel, which says which word an id stands for"
            )
    for side, source in enumerate(sources):
        if source.vector_file and source not in vectors:
            path = auxiliary_file(
                folder, source.vector_file, f"enc{side}_pretrained_embedding_file"
            )
            pooled = hyperparameters.encoders[side].network == "pooled_embedding"
            width_name = "enc_dim" if pooled else f"enc{side}_token_embedding_dim"
            vectors[source] = _read_pretrained(path, words[source], source, side, width_name)
            for word_id, other in twins.get(source, ()):
                vectors[source].matrix[other] = vectors[source].matrix[word_id]
                vectors[source].known[other] = vectors[source].known[word_id]
    vocabularies = {source: as_vocab(ids) for source, ids in words.items() if not source.raw_side}
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
    #: Whose raw values the words are; empty where a file names them.
    raw_side: str = ""

    @property
    def words_name(self) -> str:
        """Where the words come from, for sentences."""
        return self.raw_side or self.vocab_file


def _sources(hyperparameters: Hyperparameters, has_raw: bool) -> tuple[_Source, _Source]:
    encoders = hyperparameters.encoders
    vocab_files = [encoder.vocab_file for encoder in encoders]
    vector_files = [encoder.pretrained_embedding_file for encoder in encoders]
    tied = hyperparameters.tied_token_embedding_weight
    if tied:
        vocab_files = [vocab_files[side] or vocab_files[1 - side] for side in (0, 1)]
        vector_files = [vector_files[side] or vector_files[1 - side] for side in (0, 1)]
    first, second = (
        _Source(
            vocab_files[side],
            vector_files[side],
            encoder.vocab_size,
            encoder.token_embedding_dim,
            # tied sides have one vocabulary
            f"in{0 if tied else side}" if has_raw and not vocab_files[side] else "",
        )
        for side, encoder in enumerate(encoders)
    )
    return first, second


def auxiliary_file(folder: Optional[PathLike], name: str, parameter: str) -> Path:
    """The path of a file of the auxiliary channel.

    Parameters
    ----------
    folder : path-like or None
        The channel; None if there is none.
    name : str
        Of the file.
    parameter : str
        What names it, for errors.

    Raises
    ------
    CustomerError
        The channel or the file is missing.
    """
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
            f"{source.words_name}, such as {', '.join(map(shown, islice(words, 3)))}; it holds "
            f"{table.vectors} vectors{such if table.vectors else ''}"
            f"{f', and lines that were left out: {reasons}' if reasons else ''}"
        )
    _logger.info(
        "enc%d: %d of %s of %s found in %s (%s of width %d); %s without one and %s without a word "
        "start at random",
        side, found, counted(len(words), "word"), source.words_name, path.name,
        counted(table.vectors, "vector"), table.width,
        counted(len(words) - found, "word"), counted(source.vocab_size - len(words), "id"),
    )  # fmt: skip
    if reasons:
        _logger.warning("Lines of %s that were left out: %s", path.name, reasons)
    return TokenVectors(table.matrix, table.known)
