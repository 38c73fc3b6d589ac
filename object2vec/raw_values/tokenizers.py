# SPDX-License-Identifier: Apache-2.0
r"""Splits a text into words and a string of tags into tags.

The tokenizer is called ``words-1``. A text is brought into Unicode's form NFKC (or NFC, or left as
it is), lower-cased where asked, ``’`` becomes ``'``, and what `WORD` finds are its tokens: letters
and digits of any script, with apostrophes inside; each Han and Kana sign is one by itself, because
these scripts write no space. Punctuation separates and is dropped. A change of these rules gets
a new name, so that a model goes on with those that it was trained by.
"""

from __future__ import annotations

import re
import unicodedata
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
_IN_LIST = re.compile(r""""((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s,\[\]"'][^,\[\]"']*)""")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def words(text: str, *, lower: bool = True, form: str = "NFKC") -> list[str]:
    """The tokens of a text, in order.

    Parameters
    ----------
    text : str
        Any text.
    lower : bool
        Whether to lower-case it.
    form : str
        One of `NORMAL_FORMS`.
    """
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
    found = []
    for match in _IN_LIST.finditer(text):
        tag = next(part for part in match.groups() if part is not None)
        tag = (tag if match.lastindex == 3 else _ESCAPE.sub(r"\1", tag)).strip()
        if tag:
            found.append(tag)
    return found


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
