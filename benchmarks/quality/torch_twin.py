# SPDX-License-Identifier: Apache-2.0
"""Object2Vec's networks for sentence pairs in PyTorch, trained as InferSent is; needs PyTorch."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.quality.texts import words
from benchmarks.torch_networks import Loss, encoder_of
from object2vec.data.arrays import TokenLists
from object2vec.data.layouts import pad
from object2vec.hyperparameters.checked import Hyperparameters, parse

_UNKNOWN = 0
_SORTED_TOGETHER = 64  # batches, whose pairs are sorted by length before they are cut apart
_PATIENCE = 2  # epochs without a better one
_CHUNK = 512


class Twin:
    """Two encoders, comparator, MLP and softmax, with one table of tokens for both sides.

    Parameters
    ----------
    premises, hypotheses : sequence of str
        The texts of the pairs.
    labels : numpy.ndarray
        int64 ``(pairs,)``.
    classes : int
        How many there are.
    shared : bool
        Whether both sides have one encoder, as InferSent has.
    seed : int
        What decides first weights and the order of the pairs.
    **settings
        Hyperparameters of Object2Vec: networks, sizes, rate, batch.
    """

    def __init__(
        self,
        premises: Sequence[str],
        hypotheses: Sequence[str],
        labels: np.ndarray,
        classes: int,
        *,
        shared: bool,
        seed: int,
        **settings: Any,
    ) -> None:
        torch.manual_seed(seed)
        self._rng = np.random.default_rng(seed)
        split = [list(map(words, texts)) for texts in (premises, hypotheses)]
        counts = Counter(word for texts in split for text in texts for word in text)
        self._ids = {word: place + 1 for place, (word, _) in enumerate(counts.most_common())}
        self.settings = _parsed(settings, len(self._ids) + 1, classes)
        self._table = nn.Embedding(len(self._ids) + 1, self.settings.enc0.token_embedding_dim)
        nn.init.uniform_(self._table.weight, -0.07, 0.07)
        # Conv1d, or padded one-way LSTMs: the fastest where the lists of a batch are alike
        encoders = [encoder_of(self.settings, side, "conv1d") for side in (0, 1)]
        self._network = Loss(self.settings, encoders[:1] * 2 if shared else encoders)
        self._pairs = [self._lists(texts) for texts in split]
        self._labels = torch.from_numpy(labels)

    def _lists(self, texts: Sequence[Sequence[str]]) -> TokenLists:
        return TokenLists.from_lists(
            [[self._ids.get(word, _UNKNOWN) for word in text] or [_UNKNOWN] for text in texts]
        )

    def train(self, premises: Sequence[str], hypotheses: Sequence[str], right: np.ndarray) -> None:
        """Train until these validation pairs are answered no better; the best epoch is kept."""
        parameters = [*self._table.parameters(), *self._network.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=self.settings.learning_rate)
        best, waited, kept = -1.0, 0, copy.deepcopy(self._states())
        for _ in range(self.settings.epochs):
            self._network.train()
            for rows in self._batches():
                optimizer.zero_grad()
                inputs = [self._inputs(lists.take(rows)) for lists in self._pairs]
                self._network(inputs, self._labels[torch.from_numpy(rows)])[0].backward()
                optimizer.step()
            accuracy = float(np.mean(self.answers(premises, hypotheses).argmax(1) == right))
            waited += 1
            if accuracy > best:
                best, waited, kept = accuracy, 0, copy.deepcopy(self._states())
            if waited >= _PATIENCE:
                break
        for module, state in zip((self._table, self._network), kept):
            module.load_state_dict(state)

    def _states(self) -> list[dict[str, torch.Tensor]]:
        return [self._table.state_dict(), self._network.state_dict()]

    def _batches(self) -> Iterator[np.ndarray]:
        size = self.settings.mini_batch_size
        order = self._rng.permutation(len(self._labels))
        lengths = sum(lists.lengths for lists in self._pairs)
        batches = []
        for start in range(0, len(order), size * _SORTED_TOGETHER):
            rows = order[start : start + size * _SORTED_TOGETHER]
            rows = rows[np.argsort(lengths[rows], kind="stable")]
            batches += [rows[at : at + size] for at in range(0, len(rows), size)]
        for place in self._rng.permutation(len(batches)):
            yield batches[place]

    def _inputs(self, lists: TokenLists) -> tuple[torch.Tensor, ...]:
        lengths = torch.from_numpy(lists.lengths)
        rows = torch.from_numpy(pad(lists, int(lists.lengths.max())))
        vectors = self._table(rows)
        if self.settings.enc0.network != "pooled_embedding":
            return vectors, lengths
        inside = torch.arange(vectors.shape[1]) < lengths[:, None]
        return ((vectors * inside[:, :, None]).sum(1) / lengths[:, None],)

    @torch.no_grad()
    def embeddings(self, texts: Sequence[str], side: int = 0) -> np.ndarray:
        """float32 ``(texts, enc_dim)``, by the encoder of a side."""
        self._network.eval()
        lists = self._lists(list(map(words, texts)))
        order = np.argsort(lists.lengths, kind="stable")
        found = np.empty((len(lists), self.settings.enc_dim), np.float32)
        for at in range(0, len(order), _CHUNK):
            rows = order[at : at + _CHUNK]
            encoded = self._network.encoders[side](*self._inputs(lists.take(rows)))
            found[rows] = encoded.numpy()
        return found

    @torch.no_grad()
    def answers(self, premises: Sequence[str], hypotheses: Sequence[str]) -> np.ndarray:
        """float32 ``(pairs, classes)``, before softmax."""
        sides = [
            torch.from_numpy(self.embeddings(texts, side))
            for side, texts in enumerate((premises, hypotheses))
        ]
        return self._network.scorer(*sides).numpy()


def _parsed(settings: dict[str, Any], vocabulary: int, classes: int) -> Hyperparameters:
    sizes = {"enc0_vocab_size": vocabulary, "enc0_max_seq_len": 5000, "num_classes": classes}
    return parse({**sizes, "tied_token_embedding_weight": True, **settings})[0]
