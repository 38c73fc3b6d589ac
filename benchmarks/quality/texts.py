# SPDX-License-Identifier: Apache-2.0
"""What several peers make of texts: words, TF-IDF vectors, means of word vectors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.ours import unit
from object2vec.raw_values import tokenizers

_ROW_LENGTH = 0.7  # about that of the random rows that Object2Vec starts from


def words(text: str) -> list[str]:
    """The words of a text, in small letters."""
    return re.findall(r"\w+", text.lower())


class WordMeans:
    """The mean of a text's word vectors, weighted by idf, less what all texts have in common.

    Needs scikit-learn.

    Parameters
    ----------
    texts : sequence of str
        Those that the weights come from.
    vectors : mapping of str to numpy.ndarray
        By word.
    width : int
        Of the vectors.
    """

    def __init__(self, texts: Sequence[str], vectors: Mapping[str, np.ndarray], width: int) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        counted = TfidfVectorizer(tokenizer=words, token_pattern=None, lowercase=False).fit(texts)
        self._weights = dict(zip(counted.get_feature_names_out(), counted.idf_))
        self._most = float(max(counted.idf_))
        self._vectors = vectors
        self._centre = np.zeros(width, np.float32)
        self._centre = np.mean(self._means(texts), axis=0)

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """float32 ``(texts, width)``, rows of length 1; zeros where no word is known."""
        return unit(self._means(texts) - self._centre)

    def _means(self, texts: Sequence[str]) -> np.ndarray:
        # each word is looked up once, as what FastText makes of a new one takes long
        rows: dict[str, int] = {}
        lists = [[word for word in words(text) if word in self._vectors] for text in texts]
        places = [[rows.setdefault(word, len(rows)) for word in known] for known in lists]
        if not rows:
            return np.tile(self._centre, (len(texts), 1))
        vectors = np.stack([self._vectors[word] for word in rows])
        weights = np.array([self._weights.get(word, self._most) for word in rows], np.float32)
        means = [weights[own] @ vectors[own] / weights[own].sum() if own else self._centre
                 for own in places]  # fmt: skip
        return np.stack(means)


class TfidfTexts:
    """Texts as the rows of a sparse matrix, of length 1; needs scikit-learn.

    Parameters
    ----------
    texts : sequence of str
        Those that the weights come from.
    **setting
        What `TfidfVectorizer` takes.
    """

    def __init__(self, texts: Sequence[str], **setting: Any) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._vectorizer = TfidfVectorizer(**setting).fit(texts)

    def of(self, texts: Sequence[str]) -> Any:
        """A matrix of SciPy, ``(texts, words)``."""
        return self._vectorizer.transform(texts)

    def cosines(self, left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        """float64 ``(left, right)``."""
        return (self.of(left) @ self.of(right).T).toarray()


def write_singular_vectors(texts: Sequence[str], width: int, seed: int, path: Path) -> None:
    """Write a vector for each word that stands in the texts twice, as Object2Vec starts from them.

    They are the right singular vectors of the texts' TF-IDF matrix, each word's numbers brought to
    one length: in latent semantic analysis, where they are not, frequent words have long vectors
    and rare ones hardly any. Needs scikit-learn.

    Parameters
    ----------
    texts : sequence of str
        The texts.
    width : int
        Of the vectors.
    seed : int
        Of the randomized SVD.
    path : pathlib.Path
        A file in the layout of gluonnlp's ``TokenEmbedding.serialize``.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

    counter = CountVectorizer(tokenizer=tokenizers.words, token_pattern=None, lowercase=False)
    counts = counter.fit_transform(texts)
    often = np.flatnonzero(np.asarray(counts.sum(axis=0)).ravel() >= 2)
    weighed = TfidfTransformer().fit_transform(counts[:, often])
    found = TruncatedSVD(width, n_iter=4, random_state=seed).fit(weighed).components_.T
    vectors = _ROW_LENGTH * unit(found).astype(np.float32)
    np.savez(path, idx_to_token=counter.get_feature_names_out()[often].astype(str),
             idx_to_vec=vectors)  # fmt: skip
