# SPDX-License-Identifier: Apache-2.0
"""A Hugging Face tokenizer of a file: data from outside, checked and bounded before it is used."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn, Optional

from object2vec.errors import CustomerError
from object2vec.extras import extra_module
from object2vec.files import PathLike, open_regular
from object2vec.hyperparameters.table import BY_NAME
from object2vec.json_objects import parse_json
from object2vec.text import bounded, named, quoted, shown

#: As models and the auxiliary channel name such a file: by the SHA-256 of its content.
NAME = re.compile(r"tokenizer-[0-9a-f]{12}\.json")
LARGEST = 64 << 20  # bytes; those that are known have 35 MB at most
# See `inputs_file`: this bounds the memory that the parsed file takes.
_MOST_MARKS = 8_000_000
_MOST_IDS = int(BY_NAME["enc0_vocab_size"].maximum)
# What no file that is known comes near, but a hostile one could make last for hours or fill the
# memory: longest tokens and words, steps, regular expressions, what a character may grow to.
_LONGEST_TOKEN = 1000
_LONGEST_PATTERN = 2000
_MOST_STEPS = 64
_MOST_GROWTH = 128
_MOST_SPECIAL = 100
_MOST_COPIES = 4
#: Of a longer text only so many characters are looked at: 50 for each token that a list may have.
LONGEST_TEXT = 1 << 18
_CHARACTERS_AT_ONCE = 1 << 20


class TokenizerFile:
    """A tokenizer and the file that it was read from.

    Its own normaliser and its own unknown token apply; what it says of padding, truncation and
    dropout does not.

    Parameters
    ----------
    content : bytes
        A ``tokenizer.json`` of the package ``tokenizers``.
    source : str
        Its name, for errors.

    Attributes
    ----------
    content : bytes
        As it was given.
    name : str
        What the file is called beside an ``inputs.json``.
    size : int
        How many ids there are: one more than the largest.
    unknown : int or None
        The id of what it does not know; None where it knows all, or leaves it out.

    Raises
    ------
    CustomerError
        The file is not sound, or the package is missing.
    """

    def __init__(self, content: bytes, source: str = "tokenizer.json") -> None:
        self.content = content
        self.name = f"tokenizer-{hashlib.sha256(content).hexdigest()[:12]}.json"
        self._source = named(source)
        if len(content) > LARGEST:
            self._refuse(f"it has more than {LARGEST >> 20} MiB")
        if sum(content.count(mark) for mark in (b",", b"[", b"{")) > _MOST_MARKS:
            self._refuse(f"it has more than {_MOST_MARKS:,} commas and opening brackets")
        try:
            values = parse_json(content)
        except ValueError as error:
            self._refuse(f"it {error}")
        try:
            fault = _fault(values)
        except RecursionError:
            fault = "it is nested too deeply"
        if fault:
            self._refuse(fault)
        with self._telling("cannot be read by the package tokenizers"):
            self._tokenizer = _package().Tokenizer.from_buffer(content)
            self._tokenizer.no_padding()
            self._tokenizer.no_truncation()
            if getattr(self._tokenizer.model, "dropout", None) is not None:
                self._tokenizer.model.dropout = None
            self._ids: Mapping[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
            added = self._tokenizer.num_special_tokens_to_add(False)
        self.size = max(self._ids.values(), default=-1) + 1
        if not 0 < self.size <= _MOST_IDS:
            self._refuse(f"its ids must run from 0 to {_MOST_IDS - 1:,} at most")
        if added > _MOST_SPECIAL:
            self._refuse(f"it adds {added:,} special tokens to each text")
        self.unknown = self._unknown(values["model"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenizerFile) and self.content == other.content

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"TokenizerFile({self._source})"

    def __reduce__(self) -> tuple[Any, ...]:
        return TokenizerFile, (self.content, self._source)

    @property
    def ids(self) -> Mapping[str, int]:
        """The id of each token as the file writes it, special ones too."""
        return self._ids

    def lists(
        self, texts: Sequence[str], special_tokens: bool = False, most: Optional[int] = None
    ) -> list[list[int]]:
        """The ids of each text.

        Parameters
        ----------
        texts : sequence of str
            Of each, the first `LONGEST_TEXT` characters count.
        special_tokens : bool
            Whether to add the special ones, such as ``[CLS]`` and ``[SEP]``.
        most : int, optional
            Only so many of the first ids.

        Raises
        ------
        CustomerError
            The tokenizer does not get on with a text.
        """
        encode = self._tokenizer.encode_batch_fast
        found: list[list[int]] = []
        for part in _parts(texts):
            with self._telling(f"cannot split {quoted(part[0])} or a text after it"):
                encodings = encode(part, add_special_tokens=special_tokens)
                found += [encoding.ids[:most] for encoding in encodings]
        return found

    def _unknown(self, model: Mapping[str, Any]) -> Optional[int]:
        kind = type(self._tokenizer.model).__name__
        if kind == "Unigram":
            if model.get("unk_id") is None and not model.get("byte_fallback"):
                self._refuse("its unk_id is missing, the id of what it does not know")
            unknown: Optional[int] = model.get("unk_id")
            return unknown
        token = model.get("unk_token")
        place = self._ids.get(token) if isinstance(token, str) else None
        if place is None and kind in ("WordPiece", "WordLevel"):
            self._refuse(f"its unknown token {shown(token)} has no id")
        return place

    def _refuse(self, fault: str) -> NoReturn:
        raise CustomerError(f"{self._source} is no sound tokenizer of Hugging Face: {fault}.")

    @contextlib.contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        try:
            yield
        except CustomerError:
            raise
        except BaseException as error:
            # What Rust calls a panic is no Exception.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            reason = bounded(str(error).strip().rstrip(".")) or type(error).__name__
            raise CustomerError(f"The tokenizer {self._source} {what}: {reason}.") from None


def read_tokenizer(path: PathLike) -> TokenizerFile:
    """Read a ``tokenizer.json``.

    Raises
    ------
    CustomerError
        It cannot be read or is not sound, or the package is missing.
    """
    try:
        with open_regular(path) as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise CustomerError(
            f"The tokenizer {named(path)} cannot be read: {error.strerror}."
        ) from None
    return _made(content, str(path))


@functools.lru_cache(maxsize=2)
def _made(content: bytes, source: str) -> TokenizerFile:
    # both sides of a table often name the same file
    return TokenizerFile(content, source)


def _package() -> Any:
    purpose = "A tokenizer of Hugging Face is run by the package tokenizers"
    return extra_module("tokenizers", purpose, "'object2vec[tokenizers]'")


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts as Rust takes them, so many at once that what is made of them stays small."""
    part: list[str] = []
    characters = 0
    for text in texts:
        text = text[:LONGEST_TEXT]
        # half of a surrogate pair is no text in UTF-8
        part.append(text if text.isascii() else text.encode(errors="replace").decode())
        characters += len(text)
        if characters >= _CHARACTERS_AT_ONCE:
            yield part
            part, characters = [], 0
    if part:
        yield part


def _fault(values: Any) -> str:
    """What is wrong with the content of a file, beside what the package finds itself."""
    model = values.get("model") if isinstance(values, dict) else None
    if not isinstance(model, dict):
        return "it should be an object with a 'model', as tokenizers' save writes it"
    most = model.get("max_input_chars_per_word", 0)
    if type(most) is not int or most > _LONGEST_TOKEN:
        return f"max_input_chars_per_word must be {_LONGEST_TOKEN:,} at most, found {shown(most)}"
    if any(len(token) > _LONGEST_TOKEN for token in _tokens(values, model)):
        return f"it holds a token of more than {_LONGEST_TOKEN:,} characters"
    growth = 1
    steps = [*_steps(values.get("normalizer")), *_steps(values.get("pre_tokenizer"))]
    if len(steps) > _MOST_STEPS:
        return f"it takes more than {_MOST_STEPS} steps"
    for step in steps:
        pattern = _pattern(step)
        if len(pattern) > _LONGEST_PATTERN:
            return f"it holds a pattern of more than {_LONGEST_PATTERN:,} characters"
        growth *= _growth(step, pattern)
    if growth > _MOST_GROWTH:
        return f"its normaliser makes {growth:,} characters of one, which may be {_MOST_GROWTH}"
    copies = _copies(values.get("post_processor"))
    if copies > _MOST_COPIES:
        return f"its template repeats a text {copies:,} times, which may be {_MOST_COPIES}"
    return ""


def _tokens(values: Mapping[str, Any], model: Mapping[str, Any]) -> Iterator[str]:
    vocabulary, added = model.get("vocab"), values.get("added_tokens")
    if isinstance(vocabulary, dict):
        yield from vocabulary
    elif isinstance(vocabulary, list):
        yield from (item[0] for item in vocabulary if isinstance(item, list) and item
                    and isinstance(item[0], str))  # fmt: skip
    for token in added if isinstance(added, list) else ():
        content = token.get("content") if isinstance(token, dict) else None
        if isinstance(content, str):
            yield content


def _steps(step: Any) -> Iterator[Mapping[str, Any]]:
    """A normaliser or a pre-tokenizer, a sequence of them step by step."""
    if isinstance(step, dict):
        inner = step.get("normalizers", step.get("pretokenizers"))
        if isinstance(inner, list):
            for item in inner:
                yield from _steps(item)
        else:
            yield step


def _copies(step: Any) -> int:
    """How often a text stands in what a post-processor makes of it at most."""
    if not isinstance(step, dict):
        return 1
    inner, single = step.get("processors"), step.get("single")
    if isinstance(inner, list):
        return math.prod(map(_copies, inner))
    pieces = single if isinstance(single, list) else ()
    return max(1, sum(isinstance(piece, dict) and "Sequence" in piece for piece in pieces))


def _pattern(step: Mapping[str, Any]) -> str:
    pattern = step.get("pattern")
    found = next(iter(pattern.values()), "") if isinstance(pattern, dict) else pattern
    return found if isinstance(found, str) else ""


def _growth(step: Mapping[str, Any], pattern: str) -> int:
    """How many characters a step of a normaliser makes of one at most."""
    kind, content = step.get("type"), step.get("content")
    if kind == "ByteLevel":
        return 4
    if kind == "Replace" and isinstance(content, str):
        given = step["pattern"]
        is_text = isinstance(given, dict) and "String" in given and pattern != ""
        # a regular expression may match between any two characters
        return max(1, -(-len(content) // len(pattern))) if is_text else 1 + len(content)
    if kind == "Precompiled":
        try:
            charsmap = base64.b64decode(step["precompiled_charsmap"])
        except (KeyError, TypeError, ValueError):
            return 1  # the package refuses it
        texts = charsmap[4 + int.from_bytes(charsmap[:4], "little") :].split(b"\0")
        return max(1, *map(len, texts))
    if kind == "Prepend" and isinstance(content := step.get("prepend"), str):
        return 1 + len(content) // _LONGEST_TOKEN
    return 1
