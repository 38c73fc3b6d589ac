# SPDX-License-Identifier: Apache-2.0
"""Negatives: as many as asked, label 0, never a given positive pair, anew each epoch."""

from __future__ import annotations

import logging
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from small_jobs import arrays, random_pairs, settings

from object2vec.data.arrays import TOKENS_AT_ONCE, PairDataset, TokenLists
from object2vec.data.batching import TrainingBatches
from object2vec.data.negative_sampling import (
    Joined,
    NegativeSampler,
    fingerprints,
    with_judged_negatives,
    with_negatives,
)
from object2vec.training.loop import train

Pair = tuple[tuple[int, ...], tuple[int, ...]]


def contents(pairs: PairDataset, joined: Joined) -> list[Pair]:
    return [
        (tuple(map(int, pairs.in0[first])), tuple(map(int, pairs.in1[second])))
        for first, second in zip(joined.in0.tolist(), joined.in1.tolist())
    ]


def positives(pairs: PairDataset) -> list[Pair]:
    rows = np.flatnonzero(pairs.labels != 0)
    return contents(pairs, Joined(rows, rows, pairs.labels[rows]))


def sparse_pairs(rng: np.random.Generator, number: int = 280) -> PairDataset:
    """Pairs of a few distinct objects, so that a blind draw often hits a positive one."""
    objects = [[token, token + 1] for token in range(18)] + [[], [3]]
    choice = rng.integers(len(objects), size=(number, 2))
    in0, in1 = (TokenLists.from_lists([objects[at] for at in column]) for column in choice.T)
    return PairDataset(in0, in1, (rng.random(number) < 0.3).astype(np.float32))


@pytest.mark.parametrize("rate", [1, 3, 10])
def test_rate_and_labels(rate: int, rng: np.random.Generator) -> None:
    pairs = random_pairs(rng, 90, vocab=1000, shortest=1)
    drawn = NegativeSampler(pairs, rate).draw(rng)
    number = int(np.count_nonzero(pairs.labels))
    assert len(drawn.labels) == len(drawn.in0) == len(drawn.in1) == 90 + rate * number
    assert np.array_equal(drawn.in0[:90], np.arange(90))
    assert np.array_equal(drawn.in1[:90], np.arange(90))
    assert np.array_equal(drawn.labels[:90], pairs.labels)
    assert not drawn.labels[90:].any()
    assert drawn.labels.dtype == np.float32
    per_positive = Counter(drawn.in0[90:].tolist())
    assert per_positive == {int(row): rate for row in np.flatnonzero(pairs.labels)}


def test_never_a_given_positive_pair(rng: np.random.Generator) -> None:
    """Pairs are compared by content: equal lists in other rows count as well."""
    pairs = sparse_pairs(rng)
    sampler = NegativeSampler(pairs, 5)
    given = set(positives(pairs))
    assert len(given) < np.count_nonzero(pairs.labels)
    for _ in range(5):
        drawn = sampler.draw(rng)
        negatives = contents(pairs, drawn)[len(pairs) :]
        assert len(negatives) == 5 * np.count_nonzero(pairs.labels)
        assert not given & set(negatives)


def test_given_negatives_stay_and_may_be_drawn(rng: np.random.Generator) -> None:
    pairs = PairDataset(
        TokenLists.from_lists([[1], [1]]),
        TokenLists.from_lists([[1], [2]]),
        np.array([1, 0], np.float32),
    )
    drawn = NegativeSampler(pairs, 4).draw(rng)
    assert contents(pairs, drawn)[2:] == [((1,), (2,))] * 4


@pytest.mark.parametrize("labels", [[2.0, 0.0, 1.0, 5.0], [-0.5, 0.0, 3.25, 1e-9]])
def test_positive_means_not_zero(labels: list[float], rng: np.random.Generator) -> None:
    """With more classes and with real labels alike."""
    pairs = PairDataset(
        TokenLists.from_lists([[row] for row in range(4)]),
        TokenLists.from_lists([[row] for row in range(4)]),
        np.array(labels, np.float32),
    )
    drawn = NegativeSampler(pairs, 2).draw(rng)
    assert sorted(drawn.in0[4:].tolist()) == [0, 0, 2, 2, 3, 3]


def test_anew_each_epoch(rng: np.random.Generator) -> None:
    pairs = random_pairs(rng, 50, vocab=1000, shortest=1)
    batches = TrainingBatches(pairs, 8, negative_sampling_rate=2, seed=1)

    def negatives() -> Counter[Pair]:
        given = {
            (tuple(first.tolist()), tuple(second.tolist()))
            for first, second in zip(pairs.in0, pairs.in1)
        }
        found = (
            (tuple(first.tolist()), tuple(second.tolist()))
            for batch in batches.epoch()
            for first, second in zip(batch.in0, batch.in1)
        )
        return Counter(pair for pair in found if pair not in given)

    first, second = negatives(), negatives()
    assert first
    assert first != second


@pytest.mark.parametrize("power", [0.0, 0.5, 0.75, 1.0])
def test_objects_are_drawn_by_a_power_of_their_counts(
    power: float, rng: np.random.Generator
) -> None:
    """Equal lists are one object, in whichever rows they stand."""
    counts = np.array([1, 4, 16, 64, 256])
    objects = [[], [1], [1, 2], [2, 1], [3]]
    in1 = [ids for ids, count in zip(objects, counts) for _ in range(count)]
    order = rng.permutation(len(in1))
    # each in0 is of its own, so that no draw is refused but that of its own pair
    pairs = PairDataset(
        TokenLists.of_each(np.arange(len(in1), dtype=np.int32)),
        TokenLists.from_lists(in1).take(order),
        np.ones(len(in1), np.float32),
    )
    drawn = NegativeSampler(pairs, 200, power=power).draw(rng)
    found = Counter(pair[1] for pair in contents(pairs, drawn)[len(in1) :])
    shares = counts**power / (counts**power).sum()
    # a pair's own object is drawn again, by the other objects' shares
    refused = counts / counts.sum()
    expected = sum(
        share * np.where(np.arange(5) == own, 0, shares / (1 - shares[own]))
        for own, share in enumerate(refused)
    )
    total = sum(found.values())
    # the commonest object, whose own draws are refused most often, is left out by 1 % of its pairs
    left_out = 1 - total / (200 * len(in1))
    for at, ids in enumerate(objects):
        error = 6 * np.sqrt(expected[at] * (1 - expected[at]) / total)
        assert abs(found[tuple(ids)] / total - expected[at]) < error + left_out


def test_the_power_1_draws_as_ever(rng: np.random.Generator) -> None:
    """Rows, not objects, so that a seed's negatives stay what they were."""
    pairs = random_pairs(rng, 90, vocab=1000, shortest=1)
    number = 3 * int(np.count_nonzero(pairs.labels))
    drawn = NegativeSampler(pairs, 3).draw(np.random.default_rng(7))
    again = NegativeSampler(pairs, 3, power=1.0).draw(np.random.default_rng(7))
    assert drawn.in1.tolist() == again.in1.tolist()
    first = np.random.default_rng(7).integers(90, size=number)
    assert np.mean(drawn.in1[90:] == first) > 0.9


def test_judged_negatives_are_drawn_by_the_same_power() -> None:
    """The object 0 has three quarters of the pairs, a hundred others one each."""
    in1 = TokenLists.of_each(np.concatenate([np.zeros(300), np.arange(1, 101)]).astype(np.int32))
    in0 = TokenLists.of_each(np.arange(400, dtype=np.int32))
    pairs = PairDataset(in0, in1, np.ones(400, np.float32))
    shares = []
    for power in (1.0, 0.0):
        parts = {"train": pairs.take(np.arange(2)), "validation": pairs}
        found = with_judged_negatives(parts, 4, power)["validation"]
        others = (found.in0.tokens >= 300) & (found.labels == 0)
        assert others.sum() == 400
        shares.append(np.mean(found.in1.tokens[others] == 0))
    assert shares[0] > 0.6
    assert shares[1] < 0.05


def test_a_dense_set_says_so_in_one_sentence(
    rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    """Every combination is positive: no negative, one line, and the given pairs all the same."""
    grid = [(first, second) for first in range(4) for second in range(4)]
    pairs = PairDataset(
        TokenLists.from_lists([[first] for first, _ in grid]),
        TokenLists.from_lists([[second] for _, second in grid]),
        np.ones(16, np.float32),
    )
    with caplog.at_level(logging.INFO, logger="object2vec"):
        drawn = NegativeSampler(pairs, 3).draw(rng)
    assert len(drawn.labels) == 16
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    text = caplog.records[0].getMessage()
    assert "48 of 48 negatives" in text
    assert text.count(". ") == 0


def dense_pairs(objects: int, positive_share: float, rng: np.random.Generator) -> PairDataset:
    """Every combination of some objects; of the positive ones hardly a negative is left."""
    tokens = np.arange(objects, dtype=np.int32)
    first, second = np.repeat(tokens, objects), np.tile(tokens, objects)
    labels = (rng.random(len(first)) < positive_share).astype(np.float32)
    labels[:2] = 0, 1
    return PairDataset(TokenLists.of_each(first), TokenLists.of_each(second), labels)


def test_what_is_counted_is_what_was_drawn(rng: np.random.Generator) -> None:
    """Before the first epoch and after each."""
    pairs = dense_pairs(6, 1.0, rng)
    planned = 10 * int(pairs.labels.sum())
    batches = TrainingBatches(pairs, 8, negative_sampling_rate=10, seed=5)
    counts = [batches.negatives]
    for _ in range(6):
        seen = sum(len(batch) for batch in batches.epoch())
        assert seen == len(pairs) + batches.negatives
        counts.append(batches.negatives)
    assert counts[0] == counts[1]
    assert all(count < planned for count in counts)
    assert len(set(counts[1:])) > 1


@pytest.mark.parametrize("head", ["softmax", "mean_squared_error"])
def test_training_starts_from_the_shares_of_what_is_drawn(
    head: str, rng: np.random.Generator
) -> None:
    pairs = dense_pairs(5, 1.0, rng)
    hyperparameters = settings(
        enc0_network="pooled_embedding",
        output_layer=head,
        negative_sampling_rate=4,
        comparator_list="concat",
    )
    batches = TrainingBatches(pairs, 32, negative_sampling_rate=4, seed=hyperparameters.seed)
    labels = np.concatenate([batch.labels for batch in batches.epoch()])
    assert len(labels) < 5 * len(pairs)
    before = train(hyperparameters, pairs, stop=lambda: True).predictor.network
    bias = arrays(before)["output_layer_bias"]
    if head == "softmax":
        counts = np.bincount(labels.astype(int), minlength=2) + 1
        np.testing.assert_allclose(bias, np.log(counts / counts.sum()), rtol=1e-5)
    else:
        np.testing.assert_allclose(bias, labels.mean(), rtol=1e-5)


def test_the_loss_is_compared_with_what_the_best_epoch_drew(
    rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    """A weight decay that lets nothing be learnt: the loss stays the entropy of what was drawn."""
    pairs = dense_pairs(5, 1.0, rng)
    hyperparameters = settings(
        enc0_network="pooled_embedding",
        negative_sampling_rate=4,
        epochs=3,
        weight_decay=5000,
        learning_rate=1e-6,
    )
    result = train(hyperparameters, pairs)
    batches = TrainingBatches(pairs, 32, negative_sampling_rate=4, seed=hyperparameters.seed)
    for _ in range(result.best_epoch + 1):
        labels = np.concatenate([batch.labels for batch in batches.epoch()])
    share = labels.astype(np.float64).mean()
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    (text,) = [message for message in caplog.messages if "nothing was learnt" in message]
    assert f"shares, {entropy:.5g}: " in text


def test_one_pair_has_no_other(rng: np.random.Generator) -> None:
    one = TokenLists.from_lists([[1, 2]])
    drawn = NegativeSampler(PairDataset(one, one, np.ones(1, np.float32)), 2).draw(rng)
    assert len(drawn.labels) == 1


def test_no_positive_pair_needs_no_negative(rng: np.random.Generator) -> None:
    pairs = random_pairs(rng, 9)
    nothing = PairDataset(pairs.in0, pairs.in1, np.zeros(9, np.float32))
    assert len(NegativeSampler(nothing, 3).draw(rng).labels) == 9


def test_fingerprints_tell_lists_apart(rng: np.random.Generator) -> None:
    lists = [[], [0], [0, 0], [0, 0, 0], [1], [1, 0], [0, 1], [1, 2, 3], [3, 2, 1], [2**31 - 1]]
    lists += [rng.integers(3, size=6).tolist() for _ in range(200)]
    prints = fingerprints(TokenLists.from_lists(lists))
    assert prints.dtype == np.uint64
    by_content: dict[tuple[int, ...], set[int]] = {}
    for ids, value in zip(lists, prints.tolist()):
        by_content.setdefault(tuple(ids), set()).add(value)
    assert all(len(values) == 1 for values in by_content.values())
    assert len({value for values in by_content.values() for value in values}) == len(by_content)
    again = fingerprints(TokenLists.from_lists(lists[::-1]))
    assert again.tolist() == prints.tolist()[::-1]


def test_many_lists_are_numbered_some_at_a_time(rng: np.random.Generator) -> None:
    """With memory for a few of them, and as each is by itself."""
    lengths = rng.integers(0, 800, size=12_000)
    lengths[7] = TOKENS_AT_ONCE + 5
    tokens = rng.integers(2**31, size=int(lengths.sum()), dtype=np.int32)
    lists = TokenLists.from_lengths(tokens, lengths)
    tracemalloc.start()
    try:
        prints = fingerprints(lists)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # at once it is more than 40 bytes a token
    assert peak < 64 * TOKENS_AT_ONCE < 15 * len(tokens)
    rows = [0, 6, 7, 8, *rng.integers(len(lists), size=20), len(lists) - 1]
    assert prints[rows].tolist() == [fingerprints(lists.take(np.array([k])))[0] for k in rows]


def test_negatives_that_stay() -> None:
    """Of pairs that are judged: the same whenever the seed is, and no positive of any part."""
    # Data that stay: in some draws an object goes with nearly all others, and gets fewer negatives.
    rng = np.random.default_rng(1)
    parts = [sparse_pairs(rng, number) for number in (60, 280, 90)]
    judged = PairDataset(parts[0].in0, parts[0].in1, np.ones(60, np.float32), truncated=7)
    found = with_negatives(judged, 3, 5, parts[1:])
    assert found.truncated == 7
    assert found.labels.tolist() == [1] * 60 + [0] * 180
    rows = Joined(*2 * [np.arange(len(found))], found.labels)
    drawn, known = contents(found, rows), {pair for part in parts[1:] for pair in positives(part)}
    assert drawn[:60] == positives(judged)
    assert [in0 for in0, _ in drawn[60:]] == [pair[0] for pair in drawn[:60] for _ in range(3)]
    assert {in1 for _, in1 in drawn} <= {in1 for _, in1 in drawn[:60]}
    assert not set(drawn[60:]) & (known | set(drawn[:60]))
    # without them, some of the negatives would be positives of another part
    assert set(contents(with_negatives(judged, 3, 5), rows)[60:]) & known
    again, other = (with_negatives(judged, 3, seed, parts[1:]) for seed in (5, 6))
    assert contents(again, rows) == drawn != contents(other, rows)
