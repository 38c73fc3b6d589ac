# SPDX-License-Identifier: Apache-2.0
"""Random windows and tokens left out: what a batch gets, how often, and that only training does."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from small_jobs import random_pairs, settings

from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.augmentation import (
    Augmentation,
    AugmentedPairs,
    drop_tokens,
    judged_parts,
)
from object2vec.data.batching import Batch, TrainingBatches
from object2vec.data.dataset import from_records
from object2vec.training.loop import train


def rows_of(lists: TokenLists) -> list[list[int]]:
    return [row.tolist() for row in lists]


def numbered(lengths: list[int], start: int = 0) -> TokenLists:
    """Lists of numbers that each stand nowhere else, in rising order."""
    tokens = np.arange(start, start + sum(lengths), dtype=np.int32)
    return TokenLists.from_lengths(tokens, np.array(lengths))


def pairs_of(in0: TokenLists, in1: TokenLists) -> PairDataset:
    return PairDataset(in0, in1, np.ones(len(in0), np.float32))


def is_window(part: list[int], whole: list[int]) -> bool:
    return part == [] or (part == list(range(part[0], part[0] + len(part))) and {*part} <= {*whole})


# --- tokens left out -------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.01, 0.5, 0.99])
def test_each_token_is_left_out_as_often_as_asked(rate: float, rng: np.random.Generator) -> None:
    lists = numbered([4000] * 20)
    kept = drop_tokens(lists, rate, rng)
    assert len(kept) == 20
    share = len(kept.tokens) / len(lists.tokens)
    assert abs(share - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / 80_000)
    for part, whole in zip(kept, lists):
        assert (np.diff(part) > 0).all()
        assert {*part.tolist()} <= {*whole.tolist()}


def test_one_token_stays_whichever_it_is(rng: np.random.Generator) -> None:
    lists = numbered([0, 1, 3, 1, 0] * 3000)
    kept = drop_tokens(lists, 0.99, rng)
    assert ((kept.lengths > 0) == (lists.lengths > 0)).all()
    single = lists.lengths == 1
    assert rows_of(kept.take(single)) == rows_of(lists.take(single))
    first = np.concatenate(
        [kept[row] - lists[row][0] for row in np.flatnonzero(lists.lengths == 3)]
    )
    counts = np.bincount(first, minlength=3)
    # each of 3,000 lists keeps one or, in 3 of 100, more
    assert abs(counts - counts.mean()).max() < 5 * np.sqrt(3000 * 2 / 9)


def test_no_list_needs_no_token(rng: np.random.Generator) -> None:
    assert len(drop_tokens(numbered([]), 0.5, rng)) == 0
    assert rows_of(drop_tokens(numbered([0, 0]), 0.5, rng)) == [[], []]


# --- random windows --------------------------------------------------------------------------


def test_windows_of_longer_lists_each_as_often(rng: np.random.Generator) -> None:
    in0, in1 = numbered([5, 2, 3, 0]), numbered([1, 9, 4, 7], start=100)
    lists = AugmentedPairs(pairs_of(in0, in1), Augmentation(crops=(3, None)))
    assert [lengths.tolist() for lengths in lists.lengths] == [[3, 2, 3, 0], [1, 9, 4, 7]]
    rows = np.tile(np.arange(4), 3000)
    taken0, taken1 = lists.take(rows, rows[::-1], rng)
    assert rows_of(taken1) == rows_of(in1.take(rows[::-1]))
    starts = Counter()
    for row, part in zip(rows.tolist(), rows_of(taken0)):
        assert len(part) == min(3, len(in0[row]))
        assert is_window(part, in0[row].tolist())
        if row == 0:
            starts[part[0]] += 1
    assert set(starts) == {0, 1, 2}
    assert abs(np.array([*starts.values()]) - 1000).max() < 5 * np.sqrt(3000 * 2 / 9)


def test_windows_of_in1_alone(rng: np.random.Generator) -> None:
    in0, in1 = numbered([5, 2]), numbered([5, 9], start=100)
    lists = AugmentedPairs(pairs_of(in0, in1), Augmentation(crops=(None, 4)))
    taken0, taken1 = lists.take(np.arange(2), np.arange(2), rng)
    assert rows_of(taken0) == rows_of(in0)
    assert [len(part) for part in taken1] == [4, 4]
    assert all(is_window(*both) for both in zip(rows_of(taken1), rows_of(in1)))


@pytest.mark.parametrize("crops", [(3, 6), (6, 3), (50, 50), (1, 1)])
@pytest.mark.parametrize("length", [2, 3, 7, 20])
def test_an_object_given_once_is_parted(
    crops: tuple[int, int], length: int, rng: np.random.Generator
) -> None:
    both = numbered([length] * 1000)
    lists = AugmentedPairs(pairs_of(both, both), Augmentation(crops=crops))
    rows = np.arange(1000)
    in0, in1 = lists.take(rows, rows, rng)
    most0, least0 = min(crops[0], length // 2), min(max(crops[0] // 8, 1), length // 2)
    starts, lengths = set(), set()
    for row in rows.tolist():
        window, rest = in0[row].tolist(), in1[row].tolist()
        lengths.add(len(window))
        assert is_window(window, both[row].tolist())
        # of what is left without the window, in1 has a window as well
        left = [token for token in both[row].tolist() if token not in window]
        assert len(rest) == min(crops[1], len(left))
        assert rest == left[left.index(rest[0]) :][: len(rest)]
        starts.add((window[0] - both[row][0], rest[0] - both[row][0]))
    assert len(starts) > 1 or (length == 2 and len(starts) == 2)
    assert lengths == set(range(least0, most0 + 1))
    first = {start for start, _ in starts}
    assert set(range(length - most0 + 1)) <= first <= set(range(length - least0 + 1))


def test_lengths_do_not_tell_negatives_of_parted_objects(rng: np.random.Generator) -> None:
    both = numbered([4, 10, 30, 30])
    lists = AugmentedPairs(pairs_of(both, both), Augmentation(crops=(8, 20)))
    rows0, rows1 = np.repeat(np.arange(4), 4), np.tile(np.arange(4), 4)
    found: Counter[tuple[bool, int, int]] = Counter()
    for _ in range(300):
        in0, in1 = lists.take(rows0, rows1, rng)
        assert (in0.lengths >= 1).all() and (in0.lengths <= np.array([2, 5, 8, 8])[rows0]).all()
        is_own = rows0 == rows1
        lacking = (both.take(rows1).lengths - in1.lengths)[rows1 < 2]
        found += Counter(
            zip(is_own[rows1 < 2].tolist(), rows1[rows1 < 2].tolist(), lacking.tolist())
        )
        assert (in1.lengths[rows1 >= 2] == 20).all()
        for row, (part, whole) in enumerate(zip(in1, both.take(rows1))):
            assert (np.diff(part) > 0).all()
            assert {*part.tolist()} <= {*whole.tolist()}
            assert rows0[row] != rows1[row] or not {*part.tolist()} & {*in0[row].tolist()}
    # of an own in1 and of another's as much is missing, each as often; there are three others
    for row, shares in enumerate(([1 / 8, 7 / 8], [1 / 8, 1 / 8, 1 / 8, 1 / 8, 4 / 8])):
        for lacking, share in enumerate(shares, 1):
            for own, draws in ((True, 300), (False, 900)):
                spread = np.sqrt(draws * share * (1 - share))
                assert abs(found[own, row, lacking] - draws * share) < 6 * spread


def test_only_equal_lists_are_parted(rng: np.random.Generator) -> None:
    in0 = TokenLists.from_lists([[1, 2, 3, 4], [1, 2, 3, 4], [7], [], [1, 2]])
    in1 = TokenLists.from_lists([[1, 2, 3, 4], [1, 2, 3, 5], [7], [], [1, 2, 3]])
    lists = AugmentedPairs(pairs_of(in0, in1), Augmentation(crops=(9, 9)))
    taken0, taken1 = lists.take(np.arange(5), np.arange(5), rng)
    assert taken0.lengths[0] in (1, 2) and taken0.lengths[1:].tolist() == [4, 1, 0, 2]
    assert taken1.lengths.tolist() == [4 - taken0.lengths[0], 4, 1, 0, 3]
    # with windows on one side alone, nothing is
    for crops in ((9, None), (None, 9)):
        alone = AugmentedPairs(pairs_of(in0, in1), Augmentation(crops=crops))
        taken0, taken1 = alone.take(np.arange(5), np.arange(5), rng)
        assert rows_of(taken0) == rows_of(in0)
        assert rows_of(taken1) == rows_of(in1)


def test_equal_lists_among_many_are_found(rng: np.random.Generator) -> None:
    """More than are compared at once."""
    number = 400_000
    in0, in1 = (
        TokenLists.from_lengths(
            rng.integers(2, size=3 * number).astype(np.int32), np.full(number, 3)
        )
        for _ in range(2)
    )
    lists = AugmentedPairs(pairs_of(in0, in1), Augmentation(crops=(3, 3)))
    rows = np.arange(number)
    taken, _ = lists.take(rows, rows, rng)
    equal = (in0.tokens == in1.tokens).reshape(-1, 3).all(axis=1)
    assert 0 < equal.sum() < number
    assert np.array_equal(taken.lengths == 1, equal)


# --- in batches ------------------------------------------------------------------------------

EVERYTHING = Augmentation(token_dropout=0.3, crops=(6, 4))


def flat(batches: list[Batch]) -> list[Any]:
    return [(rows_of(batch.in0), rows_of(batch.in1), batch.labels.tolist()) for batch in batches]


@pytest.mark.parametrize("bucket_width", [0, 3])
def test_anew_each_epoch_and_by_the_seed(bucket_width: int, rng: np.random.Generator) -> None:
    pairs = random_pairs(rng, 60, longest=12, shortest=3)

    def epochs(seed: int) -> list[Any]:
        batches = TrainingBatches(
            pairs,
            8,
            bucket_width=bucket_width,
            negative_sampling_rate=1,
            augmentation=EVERYTHING,
            seed=seed,
        )
        return [flat(list(batches.epoch())) for _ in range(2)]

    once = epochs(5)
    assert once == epochs(5)
    assert once != epochs(6)
    assert once[0] != once[1]


def test_lists_fit_their_bucket(rng: np.random.Generator) -> None:
    pairs = random_pairs(rng, 200, longest=30)
    batches = TrainingBatches(pairs, 16, bucket_width=4, augmentation=EVERYTHING)
    widths = {bucket.widths for bucket in batches.buckets()}
    assert max(width for width, _ in widths) == 8
    assert max(width for _, width in widths) == 4
    for batch in batches.epoch():
        assert batch.widths in widths
        assert batch.in0.lengths.max() <= min(6, batch.widths[0])
        assert batch.in1.lengths.max() <= min(4, batch.widths[1])


def test_without_augmentation_the_draws_are_those_of_before(rng: np.random.Generator) -> None:
    """The generator is not touched where nothing is asked for."""
    pairs = random_pairs(rng, 40)
    plain = flat(list(TrainingBatches(pairs, 8, seed=3).epoch()))
    order = np.random.default_rng(3).permutation(40)
    taken = pairs.take(order)
    assert [row for in0, _, _ in plain for row in in0] == rows_of(taken.in0)
    assert [row for _, in1, _ in plain for row in in1] == rows_of(taken.in1)


# --- in training -----------------------------------------------------------------------------


def test_hyperparameters_decide() -> None:
    given = settings(
        enc0_max_seq_len=5, enc1_max_seq_len=7, enc1_network="bilstm", enc1_random_crop=True,
        token_dropout=0.25,
    )  # fmt: skip
    assert Augmentation.of(given) == Augmentation(0.25, (None, 7))
    assert Augmentation.of(settings()) == Augmentation()


def test_lists_are_read_whole_where_windows_are_taken() -> None:
    given = settings(enc0_max_seq_len=2, enc0_random_crop=True, enc1_network="hcnn")
    records = [{"in0": [1, 2, 3], "in1": [4, 5, 6], "label": 1}]
    pairs = from_records(records, given)
    assert rows_of(pairs.in0) == [[1, 2, 3]]
    assert rows_of(pairs.in1) == [[4, 5]]
    assert pairs.truncated == 2


@pytest.mark.parametrize("network", ["pooled_embedding", "hcnn", "bilstm"])
def test_only_training_is_augmented(network: str, rng: np.random.Generator) -> None:
    """Validation is what a model of the first tokens gives, the training loss is not."""
    given: dict[str, Any] = {"enc0_network": network, "enc0_max_seq_len": 4, "epochs": 1}
    pairs = random_pairs(rng, 60, longest=9, shortest=6)
    cut = PairDataset(pairs.in0.truncate(4), pairs.in1.truncate(4), pairs.labels)
    augmented = settings(**given, enc0_random_crop=True, token_dropout=0.4)
    result = train(augmented, pairs, pairs, pairs)
    metrics = result.history[0]
    sums = result.predictor.loss_sums(cut)
    np.testing.assert_allclose(metrics["validation_cross_entropy"], sums[0] / 60, rtol=1e-6)
    np.testing.assert_allclose(result.test_metrics["cross_entropy"], sums[0] / 60, rtol=1e-6)
    plain = train(settings(**given), cut, cut)
    assert metrics["train_cross_entropy"] != plain.history[0]["train_cross_entropy"]


def test_what_is_given_once_is_judged_by_parts(rng: np.random.Generator) -> None:
    """Else a whole text has to be found by its own beginning, which needs no training."""
    given: dict[str, Any] = {"enc0_max_seq_len": 4, "enc1_max_seq_len": 6, "epochs": 1}
    given.update(dict.fromkeys(("enc0_network", "enc1_network"), "pooled_embedding"))
    both = random_pairs(rng, 40, longest=20, shortest=12).in0
    other = random_pairs(rng, 20, longest=9, shortest=7)
    labels = (rng.random(60) < 0.5).astype(np.float32)
    pairs = PairDataset(
        TokenLists.concatenate([both, other.in0]),
        TokenLists.concatenate([both, other.in1]),
        labels,
        7,
        rng.uniform(1, 2, 60).astype(np.float32),
    )
    crops = {"enc0_random_crop": True, "enc1_random_crop": True, "pair_weights": True}
    cropped = settings(**given, **crops)
    judged = judged_parts(pairs, settings(**given, **crops, token_dropout=0.5))
    for row in range(60):
        in0, in1 = judged.in0[row].tolist(), judged.in1[row].tolist()
        whole = pairs.in0[row].tolist(), pairs.in1[row].tolist()
        if row < 40:
            assert len(in0) <= 4 and len(in1) == 6
            assert not Counter(in0 + in1) - Counter(whole[0])
        else:
            assert (in0, in1) == whole
    assert judged.labels is labels and judged.weights is pairs.weights and judged.truncated == 7
    again = judged_parts(pairs, cropped)
    assert (rows_of(again.in0), rows_of(again.in1)) == (rows_of(judged.in0), rows_of(judged.in1))
    assert judged_parts(pairs, settings(**given, enc0_random_crop=True)) is pairs
    assert judged_parts(other, cropped) is other

    result = train(cropped, pairs, pairs, pairs)
    expected = result.predictor.loss_sums(judged)[0] / 60
    for told in (
        result.history[0]["validation_cross_entropy"],
        result.test_metrics["cross_entropy"],
    ):
        np.testing.assert_allclose(told, expected, rtol=1e-6)


def test_windows_teach_what_stands_behind_the_cut(rng: np.random.Generator) -> None:
    """The label is told by a list's last token, which its first ones do not hold."""
    labels = rng.integers(2, size=300)
    in0 = [[*rng.integers(10, 40, size=3).tolist(), int(label)] for label in labels]
    in1 = [[5]] * 300
    pairs = PairDataset(
        TokenLists.from_lists(in0), TokenLists.from_lists(in1), labels.astype(np.float32)
    )
    given = {
        "enc0_network": "pooled_embedding", "enc0_max_seq_len": 1, "enc0_vocab_size": 50,
        "epochs": 15,
        "learning_rate": 0.05, "comparator_list": "concat",
    }  # fmt: skip
    ends = PairDataset(TokenLists.from_lists([row[-1:] for row in in0]), pairs.in1, pairs.labels)
    found = train(settings(**given, enc0_random_crop=True), pairs).predictor
    sums = found.loss_sums(ends)
    assert sums[1] / 300 > 0.95
