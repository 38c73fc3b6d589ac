# SPDX-License-Identifier: Apache-2.0
"""Reads vocabulary files, ``{"word": id}``, and holds them as gluonnlp does."""

from __future__ import annotations

import logging
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from object2vec.errors import CustomerError
from object2vec.files import open_input
from object2vec.json_objects import Pairs, parse_pairs
from object2vec.logs import LOGGER_NAME
from object2vec.text import counted, named, shown

if TYPE_CHECKING:
    import gluonnlp

_LARGEST_VOCABULARY = 1 << 28  # bytes, unpacked
_logger = logging.getLogger(LOGGER_NAME)


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
