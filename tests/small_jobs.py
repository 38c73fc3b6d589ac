# SPDX-License-Identifier: Apache-2.0
"""Small hyperparameter sets, token lists and networks that several tests share."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any, Optional

import numpy as np
import pytest

from object2vec.backend.mxnet_import import mx
from object2vec.compiled.library import VARIABLE, why_unusable
from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.batching import Batch
from object2vec.data.in_batch import PairObjects
from object2vec.hyperparameters.checked import Hyperparameters, parse
from object2vec.model.network import Object2VecNetwork
from object2vec.training.choose_way import Choice, build_way

VOCAB = 23
# A maximum over time that two times share is no place for a slope, and MXNet gives its gradient to
# both: hcnn therefore gets many filters, so that not all are dead, and no n-gram twice in a list.
NETWORKS: list[dict[str, Any]] = [
    {"enc0_network": "pooled_embedding"},
    {"enc0_network": "pooled_embedding", "tied_token_embedding_weight": True},
    {"enc0_network": "hcnn", "enc0_layers": 2, "enc0_cnn_filter_width": 2, "enc_dim": 33},
    {"enc0_network": "bilstm", "enc0_layers": 2, "enc_dim": 7},
    {
        "enc0_network": "hcnn",
        "enc0_layers": 1,
        "enc1_network": "bilstm",
        "tied_token_embedding_weight": True,
    },
    {
        "enc0_network": "bilstm",
        "enc1_network": "pooled_embedding",
        "enc0_token_embedding_dim": 8,
        "tied_token_embedding_weight": True,
    },
]


def without_mxnets_line(err: str) -> str:
    """Standard error without what MXNet's adam and sgd tell of themselves; nothing keeps them."""
    if why_unusable() is None:
        return err
    return re.sub(r"^\[[\d:]+\] \S*utils\.h:\d+: Optimizer with lazy_update = True .*\n", "", err)


def settings(**given: Any) -> Hyperparameters:
    """Parse small hyperparameters, those given on top."""
    small = {
        "enc0_max_seq_len": 12,
        "enc0_vocab_size": VOCAB,
        "enc0_token_embedding_dim": 6,
        "enc_dim": 8,
        "mlp_dim": 5,
        "mlp_layers": 1,
        "_seed": 1,
    }
    if given.get("enc1_network", "enc0") != "enc0":
        small["enc1_token_embedding_dim"] = 6
    return parse({**small, **given})[0]


def batch_of(
    pairs: PairDataset, wider: int = 0, hyperparameters: Optional[Hyperparameters] = None
) -> Batch:
    """All pairs as one batch, padded to the longest lists and `wider` beyond.

    Hyperparameters are needed where a loss takes something else than labels.
    """
    objects: tuple[np.ndarray, ...] = ()
    if hyperparameters is not None and hyperparameters.is_contrastive:
        rows = np.arange(len(pairs))
        objects = PairObjects(pairs, hyperparameters.popularity_correction > 0).of(rows, rows)
    widths = [int(lists.lengths.max(initial=1)) + wider for lists in (pairs.in0, pairs.in1)]
    return Batch(pairs.in0, pairs.in1, pairs.labels, (widths[0], widths[1]), objects)


def random_lists(
    rng: np.random.Generator, number: int, longest: int = 9, vocab: int = VOCAB, shortest: int = 0
) -> TokenLists:
    """Lists of random ids; the first is the shortest possible and the second the longest."""
    lengths = rng.integers(shortest, longest + 1, size=number)
    lengths[:2] = (shortest, longest)[:number]
    return TokenLists.from_lists([rng.integers(vocab, size=length).tolist() for length in lengths])


def random_pairs(
    rng: np.random.Generator,
    number: int,
    longest: int = 9,
    vocab: int = VOCAB,
    classes: Optional[int] = 2,
    shortest: int = 0,
    *,
    many_labels: bool = False,
) -> PairDataset:
    """Pairs of random lists with random labels: classes, or real numbers where classes is None.

    With many labels a pair has each class or not, ``(number, classes)``.
    """
    if many_labels:
        labels = rng.integers(2, size=(number, classes or 2))
    else:
        labels = rng.normal(size=number) if classes is None else rng.integers(classes, size=number)
    in0, in1 = (random_lists(rng, number, longest, vocab, shortest) for _ in range(2))
    return PairDataset(in0, in1.take(rng.permutation(number)), labels.astype(np.float32))


def topic_pairs(rng: np.random.Generator, number: int, is_regression: bool) -> PairDataset:
    """Pairs of one token each whose label says whether both are of the same half."""
    tokens = rng.integers(20, size=(2, number)).astype(np.int32)
    sides = [TokenLists.from_lengths(row, np.ones(number, np.int64)) for row in tokens]
    same = (tokens[0] < 10) == (tokens[1] < 10)
    labels = same * 3.0 - 1 if is_regression else same
    return PairDataset(sides[0], sides[1], labels.astype(np.float32))


def random_network(
    hyperparameters: Hyperparameters, rng: np.random.Generator, scale: float = 0.3
) -> Object2VecNetwork:
    """A network on the CPU whose every parameter, biases too, is drawn anew."""
    network = Object2VecNetwork(hyperparameters)
    network.initialize([mx.cpu(0)])
    for parameter in network.params.values():
        parameter.set_data(mx.nd.array(rng.normal(0, scale, parameter.shape)))
    return network


@contextlib.contextmanager
def chosen(way: str) -> Iterator[None]:
    """The environment in which a user has chosen ``compiled``, skipped where it cannot be, or
    ``operators``."""
    if way == "compiled" and os.environ.get(VARIABLE) == "0":
        skip_without_compiled_part()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(VARIABLE, {"compiled": "1", "operators": "0"}[way])
        if way == "compiled":
            skip_without_compiled_part()
        yield


def training_way(name: str, hyperparameters: Hyperparameters, network: Object2VecNetwork) -> Any:
    """``compiled``, skipped where it cannot be, or ``operators``, on the CPU."""
    with chosen(name):
        choice = Choice(is_compiled=name == "compiled", line="")
        return build_way(choice, hyperparameters, network, [mx.cpu(0)])


def skip_without_compiled_part() -> None:
    """Skip a test of the compiled part where it cannot be used."""
    reason = why_unusable()
    if reason is not None:
        pytest.skip(f"the compiled part is tested where it can be used; here {reason}")


def arrays(network: Object2VecNetwork) -> dict[str, np.ndarray]:
    """All parameters under their exported names."""
    return {
        name: parameter.data(parameter.list_ctx()[0]).asnumpy().copy()
        for name, parameter in network.params.items()
    }


def step_of_caught_up(way: Any, prepared: Any) -> None:
    """What `TrainingWay.step` does on one device with rows that have caught up."""
    (shard,) = prepared.shards
    with mx.autograd.record():
        vectors = way.look_up(shard.inputs)
        objective, _ = way._network.loss(*way.encode(shard.inputs, vectors), *shard.targets)
    objective.backward()
    way.apply(prepared, [vectors])
