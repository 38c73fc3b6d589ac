# SPDX-License-Identifier: Apache-2.0
r"""Splits a text into words and a string of tags into tags.

The tokenizer is called ``words-1``. A text is brought into Unicode's form NFKC (or NFC, or left as
it is), lower-cased where asked, ``’`` becomes ``'``, and what `WORD` finds are its tokens: letters
and digits of any script, with apostrophes inside; each Han and Kana sign is one by itself, because
these scripts write no space. Punctuation separates and is dropped; so does the end of more than
65,536 characters in which no blank and no Han sign stands. A change of these rules gets
a new name, so that a model goes on with those that it was trained by.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Optional

import orjson

from object2vec.raw_values.cell_values import canonical

TOKENIZER = "words-1"
NORMAL_FORMS = ("NFKC", "NFC", "none")
#: A separator that stands for a list written as text: ``["Drama", "Crime"]``, ``['Drama']``.
AS_LIST = "[]"
_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
WORD = re.compile(rf"[{_ALONE}]|[^\W_{_ALONE}]+(?:'[^\W_{_ALONE}]+)*")
_ASCII_WORD = re.compile(r"[a-zA-Z0-9]+(?:'[a-zA-Z0-9]+)*")
# Marks above and below a letter are put in order in a time that grows with the square of their
# number; no language writes more than a few.
_MOST_MARKS = 100
_MAYBE_MARKS = re.compile(rf"(?:[^\w\s\x00-\x7f]|[\uff9e\uff9f]){{{_MOST_MARKS + 1},}}")
# Of a list as text: a quote, or a tag without quotes.
_PART = re.compile(r"""["']|[^\s,\[\]"'][^,\[\]"']*""")
_ENDS = {mark: re.compile(rf"\\.|{mark}", re.DOTALL) for mark in "\"'"}
_PIECE = 1 << 15  # characters
_CUT = re.compile(r"[\s\u4e00-\u9fff]")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def words(
    text: str, *, lower: bool = True, form: str = "NFKC", most: Optional[int] = None
) -> list[str]:
    """The tokens of a text, in order.

    Parameters
    ----------
    text : str
        Any text.
    lower : bool
        Whether to lower-case it.
    form : str
        One of `NORMAL_FORMS`.
    most : int, optional
        Only so many of the first ones: of a text of megabytes, little more is looked at.
    """
    found: list[str] = []
    for piece in _pieces(text):
        found += _words(piece, lower, form)
        if most is not None and len(found) >= most:
            return found[:most]
    return found


def _pieces(text: str) -> Iterator[str]:
    """A long text in pieces that no word, normal form or letter case reaches across."""
    start = 0
    while len(text) - start > 2 * _PIECE:
        cut = _CUT.search(text, start + _PIECE, start + 2 * _PIECE)
        end = cut.start() if cut else start + 2 * _PIECE
        yield text[start:end]
        start = end
    yield text[start:]


def _words(text: str, lower: bool, form: str) -> list[str]:
    if text.isascii():
        # All normal forms leave it alone, and fewer classes of letters are found faster.
        return _ASCII_WORD.findall(text.lower() if lower else text)
    text = _normal(text, form)
    if lower:
        # "İ".lower() leaves a mark by itself
        text = _normal(text.lower(), form)
    return WORD.findall(text.replace("\u2019", "'"))


def _normal(text: str, form: str) -> str:
    if form == "none":
        return text
    if len(text) > _MOST_MARKS:
        text = _MAYBE_MARKS.sub(_without_many_marks, text)
    return unicodedata.normalize("NFKC" if form == "NFKC" else "NFC", text)


def _without_many_marks(found: re.Match[str]) -> str:
    """A text of which no run of marks is longer than `_MOST_MARKS`."""
    kept, run = [], 0
    for sign in found[0]:
        run = run + 1 if unicodedata.combining(unicodedata.normalize("NFKD", sign)[0]) else 0
        if run <= _MOST_MARKS:
            kept.append(sign)
    return "".join(kept)


def tags(text: str, separator: str) -> list[str]:
    """The tags of a string, stripped of blanks, without empty ones.

    Parameters
    ----------
    text : str
        Such as ``"Drama|Crime"``.
    separator : str
        What stands between tags, or `AS_LIST` for a list as Python or JSON writes it.
    """
    if separator != AS_LIST:
        return [tag for part in text.split(separator) if (tag := part.strip())]
    found = _of_json(text)
    if found is not None:
        return found
    return list(_of_list(text))


def _of_list(text: str) -> Iterator[str]:
    """The tags of a list that is no JSON; a quote that nothing ends is passed over."""
    endless: set[str] = set()
    at = 0
    while match := _PART.search(text, at):
        at, tag = match.end(), match[0]
        if tag in _ENDS:
            if tag in endless:
                continue
            end = next((m.start() for m in _ENDS[tag].finditer(text, at) if m[0] == tag), None)
            if end is None:
                # No later one of the same kind ends either: each is the second part of an escape.
                endless.add(tag)
                continue
            tag, at = _ESCAPE.sub(r"\1", text[at:end]), end + 1
        if tag := tag.strip():
            yield tag


def _of_json(text: str) -> Optional[list[str]]:
    try:
        values = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return None
    if type(values) is not list or not all(isinstance(v, (str, int, float)) for v in values):
        return None
    found = [canonical(value) or "" for value in values]
    return [tag for part in found if (tag := part.strip())]


def separator_of(texts: list[str]) -> str:
    """The separator that a sample of strings of tags shows, ``|`` where it shows none."""
    listed = [text for text in texts if text[:1] == "[" and text[-1:] == "]"]
    if listed and 2 * len(listed) >= len(texts):
        return AS_LIST
    counts = {mark: sum(mark in text for text in texts) for mark in ("|", ";", ",")}
    return max(counts, key=lambda mark: counts[mark])
