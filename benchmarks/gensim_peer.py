# SPDX-License-Identifier: Apache-2.0
"""gensim's models of documents and words on the documents of a workload: another task of its kind.

They learn vectors from the words themselves, without pairs, labels or an MLP. Their speed stands
beside that of the pair network; it is no peer of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gensim.models import Doc2Vec, Word2Vec

from benchmarks.workloads import Turn
from object2vec.hyperparameters.checked import Hyperparameters

VARIANTS = ("gensim doc2vec", "gensim word2vec")


class Contestant:
    """Trains one model on both sides of all pairs of a turn, each list being a document.

    Parameters
    ----------
    settings : Hyperparameters
        The job; it gives the width of the vectors.
    turn : Turn
        The batches of a turn.
    variant : str
        One of `VARIANTS`.
    threads : int
        Workers of gensim.
    """

    def __init__(self, settings: Hyperparameters, turn: Turn, variant: str, threads: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        # its fastest way: each worker reads a part of a file by itself
        self._path = str(Path(self._folder.name, "documents"))
        with open(self._path, "w", encoding="ascii") as stream:
            stream.writelines(_documents(turn))
        self._pairs = sum(map(len, turn.epoch()))
        kind = Doc2Vec if variant == "gensim doc2vec" else Word2Vec
        self._model: Any = kind(
            vector_size=settings.enc0.token_embedding_dim, min_count=1, workers=threads
        )
        self._model.build_vocab(corpus_file=self._path)

    def train_turn(self) -> int:
        """Train on all documents once; returns the number of pairs."""
        model = self._model
        model.train(
            corpus_file=self._path,
            total_examples=model.corpus_count,
            total_words=model.corpus_total_words,
            epochs=1,
        )
        return self._pairs


def _documents(turn: Turn) -> Iterator[str]:
    for batch in turn.epoch():
        for lists in batch.sides:
            ends = lists.offsets.tolist()
            tokens = lists.tokens.tolist()
            for begin, end in zip(ends[:-1], ends[1:]):
                yield " ".join(map(str, tokens[begin:end])) + "\n"
