# SPDX-License-Identifier: Apache-2.0
"""Tests of hard negatives: which objects they are, how many are drawn, what training does."""

from __future__ import annotations

import itertools
import logging
import tracemalloc
from typing import Any

import numpy as np
import pytest
from small_jobs import VOCAB, arrays, random_pairs, settings

from object2vec.backend.mxnet_import import mx
from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.in_batch import MOST_CANDIDATES
from object2vec.data.negative_sampling import NegativeSampler, count_nearest
from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.inference.predictor import Predictor
from object2vec.model.network import Object2VecNetwork
from object2vec.training.hard_negatives import HardNegatives
from object2vec.training.loop import train
from object2vec.training.memory_estimate import estimate_memory

HARD: dict[str, Any] = {
    "enc0_network": "pooled_embedding",
    "scorer": "dot",
    "negative_sampling_rate": 2,
    "hard_negative_share": 0.5,
}


def predictor_of(hyperparameters: Hyperparameters) -> Predictor:
    mx.random.seed(3)
    network = Object2VecNetwork(hyperparameters)
    network.initialize([mx.cpu()])
    network.hybridize()
    return Predictor(network, mx.cpu())


def pairs_of_few_objects(rng: np.random.Generator, number: int = 200) -> PairDataset:
    """Pairs of 20 and of 30 distinct lists, each of which stands in several rows.

    No two lists have the same mean, as (6, 8) and (8, 6, 8, 6), by which both are equally near.
    """
    objects = [rng.integers(VOCAB, size=size).tolist() for size in rng.integers(1, 9, size=60)]
    means = [(np.bincount(tokens, minlength=VOCAB) / len(tokens)).tobytes() for tokens in objects]
    unique = list(dict(zip(means, objects)).values())
    in0 = [list(unique[at]) for at in rng.integers(20, size=number)]
    in1 = [list(unique[at]) for at in rng.integers(20, len(unique), size=number)]
    labels = (rng.random(number) < 0.4).astype(np.float32)
    return PairDataset(TokenLists.from_lists(in0), TokenLists.from_lists(in1), labels)


def key(lists: TokenLists, row: int) -> tuple[int, ...]:
    return tuple(lists[row].tolist())


def expected(pairs: PairDataset, predictor: Predictor) -> dict[tuple[int, ...], set[Any]]:
    """The nearest in1 of each in0 of a positive pair, from the scores of all rows with all rows."""
    classes = None if predictor.hyperparameters.is_regression else (1,)
    scores = predictor.candidate_scores(pairs.in0, pairs.in1, classes, as_log_odds=True)
    rows = range(len(pairs))
    count = count_nearest(len({key(pairs.in1, row) for row in rows}))
    positive = [row for row in rows if pairs.labels[row] != 0]
    known = {(key(pairs.in0, row), key(pairs.in1, row)) for row in positive}
    found: dict[tuple[int, ...], set[Any]] = {}
    for row in positive:
        own = key(pairs.in0, row)
        of_objects = {key(pairs.in1, other): scores[row, other] for other in rows}
        others = [other for other in of_objects if (own, other) not in known]
        found[own] = set(sorted(others, key=lambda other: -of_objects[other])[:count])
    return found


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"scorer": "cosine"},
        {"output_layer": "mean_squared_error"},
        {"enc0_network": "hcnn", "enc0_layers": 1},
        {"enc0_network": "bilstm"},
        {"token_weighting": "learned"},
        {"tied_token_embedding_weight": True, "tied_encoders": True},
        {"ensemble_size": 2},
    ],
    ids=["dot", "cosine", "numbers", "hcnn", "bilstm", "weights", "tied", "ensemble"],
)
def test_they_are_what_the_model_scores_highest(
    given: dict[str, Any], rng: np.random.Generator
) -> None:
    """Of distinct objects, without an in0's own; and a sampler hands out no other."""
    pairs = pairs_of_few_objects(rng)
    hyperparameters = settings(**{**HARD, "hard_negative_share": 1, **given})
    predictor = predictor_of(hyperparameters)
    hard = HardNegatives(pairs, hyperparameters, 1)
    hard.find(predictor)
    sampler = NegativeSampler(pairs, 200, harder=hard.draw)
    drawn = sampler.draw(rng)
    found: dict[tuple[int, ...], set[Any]] = {}
    for row0, row1 in zip(drawn.in0[len(pairs) :].tolist(), drawn.in1[len(pairs) :].tolist()):
        found.setdefault(key(pairs.in0, row0), set()).add(key(pairs.in1, row1))
    assert found == expected(pairs, predictor)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_is_kept(share: float, rng: np.random.Generator) -> None:
    pairs = pairs_of_few_objects(rng)
    hyperparameters = settings(**{**HARD, "hard_negative_share": share})
    hard = HardNegatives(pairs, hyperparameters, 1)
    rows = np.repeat(np.flatnonzero(pairs.labels), 100)
    assert (hard.draw(rows, rng) == -1).all()
    hard.find(predictor_of(hyperparameters))
    drawn = hard.draw(rows, rng)
    error = 6 * np.sqrt(0.25 / len(rows))
    assert abs(np.mean(drawn >= 0) - share) <= error * (0 < share < 1)


@pytest.mark.parametrize(("objects", "count"), [(1, 1), (18, 5), (199, 50), (10**6, 50)])
def test_of_few_objects_a_quarter_is_near(objects: int, count: int) -> None:
    assert count_nearest(objects) == count


def test_of_many_objects_others_are_searched_each_time(rng: np.random.Generator) -> None:
    """What was not searched is never drawn from the nearest."""
    number = MOST_CANDIDATES + 5_000
    in1 = TokenLists.of_each(np.arange(number, dtype=np.int32))
    in0 = TokenLists.of_each(np.repeat(np.arange(3, dtype=np.int32), number // 3))
    pairs = PairDataset(in0, in1, (np.arange(number) % 2).astype(np.float32))
    hyperparameters = settings(**{**HARD, "hard_negative_share": 1}, enc0_vocab_size=number)
    predictor = predictor_of(hyperparameters)
    hard = HardNegatives(pairs, hyperparameters, 1)
    rows = np.repeat(np.flatnonzero(pairs.labels)[:1], 5_000)
    found = []
    for _ in range(2):
        hard.find(predictor)
        found.append(set(hard.draw(rows, rng).tolist()))
        assert len(found[-1]) == 50
    # of the nearest 50 of all, two thirds are searched each time
    assert 5 < len(found[0] & found[1]) < 50
    scores = predictor.candidate_scores(in0.take(rows[:1]), in1, (1,), as_log_odds=True)[0]
    scores[: number // 3][pairs.labels[: number // 3] != 0] = -np.inf
    ranks = {int(row): rank for rank, row in enumerate(np.argsort(-scores))}
    for rows_found in found:
        assert max(ranks[row] for row in rows_found) < 150


def test_who_belongs_to_all_but_one(rng: np.random.Generator) -> None:
    """That one is all that is near; other draws come from all objects, which are refused."""
    in0 = TokenLists.from_lists([[1]] * 12)
    in1 = TokenLists.from_lists([[token] for token in range(12)])
    labels = np.ones(12, np.float32)
    labels[7] = 0
    pairs = PairDataset(in0, in1, labels)
    hyperparameters = settings(**{**HARD, "hard_negative_share": 1})
    hard = HardNegatives(pairs, hyperparameters, 1)
    hard.find(predictor_of(hyperparameters))
    rows = np.repeat(np.flatnonzero(labels), 50)
    assert set(hard.draw(rows, rng).tolist()) == {-1, 7}
    drawn = NegativeSampler(pairs, 9, harder=hard.draw).draw(rng)
    assert set(drawn.in1[12:].tolist()) == {7}


def test_no_positive_pair_asks_for_nothing(rng: np.random.Generator) -> None:
    given = pairs_of_few_objects(rng)
    pairs = PairDataset(given.in0, given.in1, np.zeros(len(given), np.float32))
    hyperparameters = settings(**HARD)
    hard = HardNegatives(pairs, hyperparameters, 1)
    hard.find(predictor_of(hyperparameters))
    assert hard.draw(np.zeros(0, np.int64), rng).tolist() == []
    assert len(NegativeSampler(pairs, 2, harder=hard.draw).draw(rng).labels) == len(pairs)


@pytest.mark.parametrize(
    ("count", "length", "given"),
    [
        (400_000, 1, {}),
        (40_000, 1, {"scorer": "cosine", "enc_dim": 2048}),
        (20_000, 400, {"enc_dim": 64}),
    ],
    ids=["many", "wide-cosine", "long"],
)
def test_what_memory_finding_takes_is_estimated(
    count: int, length: int, given: dict[str, Any], rng: np.random.Generator
) -> None:
    """Of many objects; two blocks of the search take what all of them do."""
    numbers = [rng.integers(objects, size=count) for objects in (count // 5, 20_000)]
    tokens = rng.integers(count // 5, size=(20_000, length), dtype=np.int32)
    in0 = TokenLists.of_each(numbers[0].astype(np.int32))
    in1 = TokenLists.from_lengths(tokens[numbers[1]].ravel(), np.full(count, length))
    pairs = PairDataset(in0, in1, np.ones(count, np.float32))
    hyperparameters = settings(
        **{**HARD, **given}, enc0_vocab_size=count // 5, enc0_max_seq_len=length
    )
    (part,) = (
        part
        for part in estimate_memory(hyperparameters, [pairs]).peak
        if part.name == "the search of hard negatives"
    )
    predictor = predictor_of(hyperparameters)
    parts = -(-MOST_CANDIDATES * max(length, 64) // (1 << 16))
    questions = itertools.count()
    tracemalloc.start()
    try:
        hard = HardNegatives(pairs, hyperparameters, 1)
        hard.find(predictor, lambda: next(questions) == parts + 2)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.8 * part.least < kept < 1.2 * part.least
    assert 0.8 * part.bytes < peak < 1.2 * part.bytes


def test_a_stop_is_heard(rng: np.random.Generator) -> None:
    pairs = pairs_of_few_objects(rng)
    hyperparameters = settings(**{**HARD, "hard_negative_share": 1})
    hard = HardNegatives(pairs, hyperparameters, 1)
    hard.find(predictor_of(hyperparameters), lambda: True)
    assert (hard.draw(np.flatnonzero(pairs.labels), rng) == -1).all()


@pytest.mark.parametrize("sides", [(1, 300), (300, 1)], ids=["asking", "searched"])
def test_a_stop_is_heard_between_few_tokens(
    sides: tuple[int, int], rng: np.random.Generator
) -> None:
    """An encoder of sequences would take minutes for all long lists of a side."""
    number = 1_000
    lists = [
        TokenLists.from_lengths(
            rng.integers(VOCAB, size=number * length, dtype=np.int32), np.full(number, length)
        )
        for length in sides
    ]
    pairs = PairDataset(lists[0], lists[1], np.ones(number, np.float32))
    hyperparameters = settings(**HARD, enc0_max_seq_len=300)
    encoded = []

    class Counted(Predictor):
        def embeddings(self, side: int, lists: TokenLists, *limit: Any) -> np.ndarray:
            encoded.append(len(lists.tokens))
            return super().embeddings(side, lists, *limit)

    given = predictor_of(hyperparameters)
    hard = HardNegatives(pairs, hyperparameters, 1)
    hard.find(Counted(given.network, mx.cpu()))
    assert sum(encoded) > 300 * 900
    assert max(encoded) <= 1 << 16
    questions = itertools.count()
    encoded.clear()
    hard.find(Counted(given.network, mx.cpu()), lambda: next(questions) == 2)
    assert len(encoded) == 2


@pytest.mark.parametrize("devices", [1, 2])
def test_training_meets_them_from_the_second_epoch_on(
    devices: int, rng: np.random.Generator
) -> None:
    """Its loss says so: until then it is that of a training without, and then it is higher."""
    pairs = pairs_of_few_objects(rng, 400)
    contexts = [mx.cpu(number) for number in range(devices)]
    losses = {}
    for share in (0, 1):
        hyperparameters = settings(
            **{**HARD, "hard_negative_share": share},
            epochs=4,
            learning_rate=0.01,
            early_stopping_patience=5,
        )
        result = train(hyperparameters, pairs, pairs, contexts=contexts)
        losses[share] = [record["train_cross_entropy"] for record in result.history]
    assert losses[0][0] == losses[1][0]
    assert losses[0][1] != losses[1][1]
    assert losses[1][3] > 1.01 * losses[0][3]


def test_a_seed_repeats_them(rng: np.random.Generator) -> None:
    pairs = pairs_of_few_objects(rng)
    hyperparameters = settings(**HARD, epochs=4)
    first, second = (train(hyperparameters, pairs) for _ in range(2))
    assert first.history == second.history
    for name, array in arrays(first.predictor.network).items():
        np.testing.assert_array_equal(array, arrays(second.predictor.network)[name], err_msg=name)


def test_without_validation_the_last_epoch_is_kept(
    rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    """Its loss is the highest of all; nothing is said of a model that knows only the shares."""
    pairs = random_pairs(rng, 200, shortest=1)
    hyperparameters = settings(
        **{**HARD, "hard_negative_share": 1}, epochs=6, learning_rate=1e-6, weight_decay=5000
    )
    with caplog.at_level(logging.INFO, logger="object2vec"):
        result = train(hyperparameters, pairs)
    assert (result.best_epoch, len(result.history), result.stopped_early) == (5, 6, False)
    told = [message for message in caplog.messages if "cannot be compared" in message]
    assert told == [
        "Losses of epochs whose negatives differ in hardness cannot be compared, and there is no "
        "validation channel: training goes on to its last epoch, which is kept."
    ]
    assert not any("nothing was learnt" in message for message in caplog.messages)


def test_validation_chooses_the_epoch(rng: np.random.Generator) -> None:
    pairs = pairs_of_few_objects(rng)
    hyperparameters = settings(**HARD, epochs=30, learning_rate=0.1, early_stopping_patience=1)
    result = train(hyperparameters, pairs, random_pairs(rng, 50, shortest=1))
    assert result.stopped_early
    assert result.best_epoch < len(result.history) - 1


def test_a_model_that_left_all_bounds_is_told_of(rng: np.random.Generator) -> None:
    """The only step of an epoch makes it infinite, after a loss that was none."""
    pairs = pairs_of_few_objects(rng)
    hyperparameters = settings(
        **HARD, epochs=3, optimizer="sgd", learning_rate=1, weight_decay=1e4, mini_batch_size=8
    )
    with pytest.raises(CustomerError) as raised:
        train(hyperparameters, pairs)
    assert "loss became" in str(raised.value)
    assert "a lower 'learning_rate' usually mends this" in str(raised.value)
