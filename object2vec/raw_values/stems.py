# SPDX-License-Identifier: Apache-2.0
"""Brings words to their stems by the rules of Snowball, where a column of texts asks for it.

``murders`` and ``murdered`` then are the token ``murder``: of few texts, more of what a rare word
means is learnt. The package snowballstemmer has the rules, a language each (snowballstem.org).
"""

from __future__ import annotations

import functools
import threading
from typing import Any, Optional

from object2vec.extras import extra_module

# No language of these has longer words; other ones are left as they are, whatever a stemmer does.
_LONGEST = 64
_CACHED = 1 << 17  # stems of a language, about 20 MB
# A stemmer keeps its word in itself, so each thread has its own.
_own = threading.local()


def languages() -> list[str]:
    """Those that have rules, such as ``english``.

    Raises
    ------
    CustomerError
        If the package is missing.
    """
    return sorted(_package().algorithms())


def stems(words: list[str], language: str) -> list[str]:
    """The stems of words in lower case, one each.

    Parameters
    ----------
    words : list of str
        As `tokenizers.words` gives them.
    language : str
        One of `languages`.
    """
    found = _cache(language)
    return [found(word) for word in words]


@functools.cache
def _cache(language: str) -> Any:
    """A function of a word, one a language."""
    return functools.lru_cache(maxsize=_CACHED)(functools.partial(_stem, language))


def _stem(language: str, word: str) -> str:
    if len(word) > _LONGEST:
        return word
    own: Optional[dict[str, Any]] = getattr(_own, "stemmers", None)
    if own is None:
        own = _own.stemmers = {}
    if language not in own:
        own[language] = _package().stemmer(language)
    stem: str = own[language].stemWord(word)
    return stem or word


def _package() -> Any:
    return extra_module(
        "snowballstemmer", "Words are brought to stems with snowballstemmer", "'object2vec[stems]'"
    )
