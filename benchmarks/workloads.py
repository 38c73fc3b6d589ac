# SPDX-License-Identifier: Apache-2.0
"""The training jobs that are measured: their hyperparameters, their pairs and their batches."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np

from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.batching import Batch, TrainingBatches
from object2vec.hyperparameters.checked import Hyperparameters, parse

SEED = 7
_SNLI_PAIRS = 18_000
_Maker = Callable[[int, np.random.Generator], PairDataset]


@dataclass(frozen=True)
class Workload:
    """A training job to measure.

    Attributes
    ----------
    name : str
        Such as ``W2-64``.
    hyperparameters : dict
        Public names and values.
    pairs : int
        Pairs in the data.
    make : callable
        Makes so many pairs with a generator of random numbers.
    batches : int
        Batches in a turn, some seconds long.
    real : callable, optional
        Reads the real pairs from the folder OBJECT2VEC_DATA.
    any_storage : bool
        Whether dense and row_sparse updates compete with each other.
    has_words : bool
        Whether the lists are documents that models of words could learn from.
    """

    name: str
    hyperparameters: dict[str, Any]
    pairs: int
    make: _Maker
    batches: int
    real: Optional[Callable[[Path], PairDataset]] = None
    any_storage: bool = False
    has_words: bool = False

    def settings(self, **changes: Any) -> Hyperparameters:
        """The hyperparameters, with some of them changed."""
        return parse({**self.hyperparameters, "_seed": SEED, **changes})[0]

    def dataset(self, use_real: bool = False) -> PairDataset:
        """The pairs, the same ones at every call.

        Parameters
        ----------
        use_real : bool
            Read them from OBJECT2VEC_DATA where this workload has real ones.
        """
        if use_real and self.real is not None:
            return self.real(Path(os.environ["OBJECT2VEC_DATA"]))
        return self.make(self.pairs, np.random.default_rng(SEED))


class Turn:
    """The batches of one turn: the same ones in the same order for every contestant.

    Where pairs are bucketed, batches differ much in size: all of an epoch are sorted by their cost
    and every k-th is taken, so that the turn is an epoch in small.

    Parameters
    ----------
    settings : Hyperparameters
        What decides batch size and buckets.
    dataset : PairDataset
        The pairs.
    batches : int
        How many batches; 0 for a whole epoch.
    """

    def __init__(self, settings: Hyperparameters, dataset: PairDataset, batches: int) -> None:
        self._settings = settings
        self._dataset = dataset
        self._chosen: Optional[set[int]] = None
        if batches and settings.bucket_width:
            costs = [len(batch) * sum(batch.widths) for batch in self._all()]
            order = np.argsort(costs, kind="stable")
            steps = (np.arange(batches) + 0.5) * len(order) / batches
            self._chosen = set(order[steps.astype(int)].tolist())
        elif batches:
            self._chosen = set(range(batches))

    def _all(self) -> Iterator[Batch]:
        return TrainingBatches(
            self._dataset,
            self._settings.mini_batch_size,
            bucket_width=self._settings.bucket_width,
            seed=SEED,
        ).epoch()

    @cached_property
    def pairs(self) -> int:
        """How many pairs a turn has; counted once, in the turn that warms up."""
        return sum(len(batch) for batch in self.epoch())

    def epoch(self) -> Iterator[Batch]:
        """Yield the batches, formed anew from the pairs."""
        if self._chosen is None:
            yield from self._all()
            return
        for position, batch in enumerate(islice(self._all(), max(self._chosen) + 1)):
            if position in self._chosen:
                yield batch


def _single_tokens(size: int, count: int, rng: np.random.Generator) -> TokenLists:
    # popular things come first: the share of a thing falls with the square root of its rank
    tokens = (size * rng.random(count) ** 2).astype(np.int32)
    return TokenLists.from_lengths(tokens, np.ones(count, np.int64))


def _ratings(users: int, things: int) -> _Maker:
    def make(count: int, rng: np.random.Generator) -> PairDataset:
        in0, in1 = _single_tokens(users, count, rng), _single_tokens(things, count, rng)
        taste, kind = rng.normal(size=(users, 3)), rng.normal(size=(things, 3))
        liking = (taste[in0.tokens] * kind[in1.tokens]).sum(axis=1) + rng.normal(size=count)
        labels = np.clip(np.rint(3.5 + 0.5 * liking), 1, 5).astype(np.float32)
        return PairDataset(in0, in1, labels)

    return make


def _word_tokens(size: int, count: int, rng: np.random.Generator) -> np.ndarray:
    # log-uniform: the word of rank r comes in proportion to 1 / r
    return (size ** rng.random(count)).astype(np.int32) % size


def _texts(size: int, length: int) -> _Maker:
    def make(count: int, rng: np.random.Generator) -> PairDataset:
        lengths = np.full(count, length)
        in0, in1 = (
            TokenLists.from_lengths(_word_tokens(size, count * length, rng), lengths)
            for _ in range(2)
        )
        return PairDataset(in0, in1, rng.integers(0, 2, count).astype(np.float32))

    return make


def _sentences(size: int, means: tuple[float, float], longest: int) -> _Maker:
    def make(count: int, rng: np.random.Generator) -> PairDataset:
        sides = []
        for mean in means:
            lengths = mean * rng.lognormal(-0.09, 0.42, count)
            lengths = np.clip(np.rint(lengths), 2, longest).astype(np.int64)
            sides.append(TokenLists.from_lengths(_word_tokens(size, lengths.sum(), rng), lengths))
        return PairDataset(sides[0], sides[1], rng.integers(0, 3, count).astype(np.float32))

    return make


def _movielens(folder: Path) -> PairDataset:
    rows = np.loadtxt(folder / "ml-100k" / "ua.base", dtype=np.int32, usecols=(0, 1, 2))
    ones = np.ones(len(rows), np.int64)
    in0, in1 = (TokenLists.from_lengths(rows[:, side].copy(), ones) for side in (0, 1))
    return PairDataset(in0, in1, rows[:, 2].astype(np.float32))


def _snli(folder: Path) -> PairDataset:
    numbers: dict[str, int] = {}
    sides: tuple[list[list[int]], list[list[int]]] = ([], [])
    labels = []
    path = folder / "snli" / "cat_subset_train.tsv.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            label, _, *sentences = line.rstrip("\n").split("\t")
            for side, sentence in zip(sides, sentences):
                words = sentence.lower().replace(".", " .").replace(",", " ,").split()
                side.append([numbers.setdefault(word, len(numbers)) for word in words])
            labels.append(float(label) - 1)
    in0, in1 = map(TokenLists.from_lists, sides)
    return PairDataset(in0, in1, np.array(labels, np.float32))


def _documents(vocabulary: int) -> dict[str, Any]:
    return {
        "enc0_network": "pooled_embedding",
        "enc1_network": "pooled_embedding",
        "enc0_vocab_size": vocabulary,
        "enc1_vocab_size": vocabulary,
        "enc0_max_seq_len": 50,
        "enc1_max_seq_len": 50,
        "tied_token_embedding_weight": True,
        "token_embedding_storage_type": "row_sparse",
        "enc_dim": 300,
        "comparator_list": "hadamard",
        "mlp_layers": 2,
        "mlp_dim": 512,
        "mlp_activation": "relu",
        "dropout": 0.4,
        "mini_batch_size": 512,
    }


def _rating_job(sizes: tuple[int, int], enc_dim: int, activation: str) -> dict[str, Any]:
    return {
        "enc0_network": "pooled_embedding",
        "enc1_network": "pooled_embedding",
        "enc0_vocab_size": sizes[0],
        "enc1_vocab_size": sizes[1],
        "enc0_max_seq_len": 1,
        "enc1_max_seq_len": 1,
        "enc_dim": enc_dim,
        "mlp_layers": 1,
        "mlp_dim": 256,
        "mlp_activation": activation,
        "output_layer": "mean_squared_error",
    }


def _sentence_job(network: str, enc_dim: int) -> dict[str, Any]:
    return {
        "enc0_network": network,
        "enc1_network": network,
        "enc0_vocab_size": 40_000,
        "enc1_vocab_size": 40_000,
        "enc0_max_seq_len": 82,
        "enc1_max_seq_len": 82,
        "enc_dim": enc_dim,
        "mlp_layers": 2,
        "mlp_dim": 512,
        "num_classes": 3,
        "bucket_width": 8,
    }


def _films(batch_size: int, batches: int) -> Workload:
    hyperparameters = {
        **_rating_job((944, 1_684), 300, "tanh"),
        "mini_batch_size": batch_size,
        "token_embedding_storage_type": "row_sparse",
    }
    make = _ratings(944, 1_684)
    return Workload(
        f"W2-{batch_size}", hyperparameters, 90_570, make, batches, _movielens, any_storage=True
    )


def _books(storage: str, batches: int) -> Workload:
    hyperparameters = {
        **_rating_job((12_347, 985), 1024, "relu"),
        "mini_batch_size": 64,
        "token_embedding_storage_type": storage,
    }
    return Workload(f"G-{storage}", hyperparameters, 841_039, _ratings(12_347, 985), batches)


def _sentence_pairs(name: str, network: str, enc_dim: int, size: int, batches: int) -> Workload:
    return Workload(
        f"{name}-{enc_dim}-{size}",
        {**_sentence_job(network, enc_dim), "mini_batch_size": size},
        _SNLI_PAIRS,
        _sentences(40_000, (14, 8), 82),
        batches,
        _snli,
    )


WORKLOADS: tuple[Workload, ...] = (
    Workload("W1", _documents(267_522), 100_000, _texts(267_522, 50), 30, has_words=True),
    Workload("W1-3M", _documents(3_000_000), 100_000, _texts(3_000_000, 50), 30),
    _films(64, 500),
    _films(2048, 40),
    _books("dense", 250),
    _books("row_sparse", 600),
    _sentence_pairs("W3", "hcnn", 512, 32, 120),
    _sentence_pairs("W3", "hcnn", 512, 256, 40),
    _sentence_pairs("W3", "hcnn", 4096, 32, 10),
    _sentence_pairs("W3", "hcnn", 4096, 256, 6),
    _sentence_pairs("W4", "bilstm", 512, 32, 40),
    _sentence_pairs("W4", "bilstm", 512, 256, 12),
    _sentence_pairs("W4", "bilstm", 1024, 32, 16),
    _sentence_pairs("W4", "bilstm", 1024, 256, 6),
)


@lru_cache(maxsize=1)
def _by_name() -> dict[str, Workload]:
    return {workload.name: workload for workload in WORKLOADS}


def find(name: str) -> list[Workload]:
    """The workload of that name, or those whose names begin with it.

    Raises
    ------
    ValueError
        If there is none.
    """
    known = _by_name()
    if name in known:
        return [known[name]]
    found = [known[key] for key in known if key.startswith(f"{name}-")]
    if not found:
        raise ValueError(f"{name!r} is no workload; there are {', '.join(known)}")
    return found
