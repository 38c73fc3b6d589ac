# SPDX-License-Identifier: Apache-2.0
"""Measures of classes, held equal to scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from object2vec.errors import CustomerError
from object2vec.evaluation import classification
from object2vec.evaluation.classification import ClassCounts, micro_f1_by_threshold

pytestmark = pytest.mark.own_way

Records = list[tuple[int, int]]
records = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40)
# few values, so that there are many ties
scored = st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=40).filter(
    lambda found: len({label for label, _ in found}) == 2
)


@given(records)
def test_counts_of_classes_as_scikit_learn(found: Records) -> None:
    labels, predicted = np.array(found).T
    counts = ClassCounts.of(labels, predicted, 6)
    assert classification.accuracy(labels, predicted) == metrics.accuracy_score(labels, predicted)
    matrix = metrics.confusion_matrix(labels, predicted, labels=range(6))
    assert np.array_equal(classification.confusion_matrix(labels, predicted, 6), matrix)
    each = metrics.precision_recall_fscore_support(
        labels, predicted, labels=range(6), zero_division=0
    )
    for own, their in zip((counts.precision, counts.recall, counts.f1, counts.labelled), each):
        assert own == pytest.approx(their)
    for average in ("micro", "macro"):
        theirs = metrics.precision_recall_fscore_support(
            labels, predicted, average=average, zero_division=0
        )
        for name, their in zip(("precision", "recall", "f1"), theirs):
            assert getattr(counts, f"{average}_{name}") == pytest.approx(their)


def test_several_classes_a_record_as_scikit_learn(rng: np.random.Generator) -> None:
    labels, predicted = rng.random((2, 50, 7)) < 0.2
    labels[:, 3] = predicted[:, 3] = False  # a class that never occurs
    counts = ClassCounts.of(labels, predicted)
    occurring = [0, 1, 2, 4, 5, 6]
    for average in ("micro", "macro"):
        theirs = metrics.precision_recall_fscore_support(
            labels, predicted, labels=occurring, average=average, zero_division=0
        )
        for name, their in zip(("precision", "recall", "f1"), theirs):
            assert getattr(counts, f"{average}_{name}") == pytest.approx(their)
    nothing = np.zeros((2, 3), bool)
    assert (
        ClassCounts.of(nothing, nothing).micro_f1 == ClassCounts.of(nothing, nothing).macro_f1 == 0
    )


@given(scored)
def test_areas_as_scikit_learn(found: list[tuple[bool, int]]) -> None:
    labels, scores = (np.array(part) for part in zip(*found))
    own = classification.auc(labels, scores)
    assert own == pytest.approx(metrics.roc_auc_score(labels, scores))
    own = classification.average_precision(labels, scores)
    assert own == pytest.approx(metrics.average_precision_score(labels, scores))


def test_area_of_several_classes_as_scikit_learn(rng: np.random.Generator) -> None:
    scores = rng.dirichlet(np.ones(4), 60)
    labels = rng.integers(4, size=60)
    labels[:4] = range(4)
    own = classification.auc(labels, scores)
    assert own == pytest.approx(metrics.roc_auc_score(labels, scores, multi_class="ovr"))
    present = labels != 2
    ones = [classification.auc(labels[present] == c, scores[present, c]) for c in (0, 1, 3)]
    assert classification.auc(labels[present], scores[present]) == pytest.approx(np.mean(ones))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_loss_as_scikit_learn(rng: np.random.Generator, dtype: type) -> None:
    probabilities = rng.dirichlet(np.ones(3), 40).astype(dtype)
    probabilities[0] = 0, 0, 1
    labels = rng.integers(3, size=40)
    labels[0] = 0
    theirs = metrics.log_loss(labels, probabilities, labels=range(3))
    assert classification.log_loss(labels, probabilities) == pytest.approx(theirs, rel=1e-6)
    of_one = probabilities[:, 1]
    theirs = metrics.log_loss(labels == 1, of_one)
    assert classification.log_loss(labels == 1, of_one) == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        pytest.param(lambda: classification.accuracy([0, 1], [0]), "as many labels", id="lengths"),
        pytest.param(
            lambda: classification.accuracy([0, 1.5], [0, 1]),
            "found 1.5 at position 1",
            id="no class",
        ),
        pytest.param(
            lambda: classification.confusion_matrix([0, 3], [0, 1], 3),
            "from 0 to 2, found 3 at position 1",
            id="too large",
        ),
        pytest.param(lambda: classification.accuracy([], []), "are empty", id="empty"),
        pytest.param(lambda: classification.accuracy(["a"], ["a"]), "must be numbers", id="text"),
        pytest.param(
            lambda: classification.auc([1, 1], [0.5, 0.7]),
            "all 2 records are of one class",
            id="one class",
        ),
        pytest.param(
            lambda: classification.auc([1, 1], [[0.5, 0.5]] * 2),
            "are of one class",
            id="one class of several",
        ),
        pytest.param(
            lambda: classification.auc([1, 0], [np.nan, 0.7]),
            "1 of 2 of the scores are NaN",
            id="NaN",
        ),
        pytest.param(
            lambda: classification.average_precision([0, 0], [1, 2]),
            "none of 2 records",
            id="none positive",
        ),
        pytest.param(
            lambda: classification.log_loss([0, 1], [0.5, 1.5]), "of record 1 must be", id="above 1"
        ),
        pytest.param(
            lambda: classification.log_loss([0], [[0.5, 0.4]]), "found the sum 0.9", id="sum"
        ),
        pytest.param(
            lambda: ClassCounts.of(np.zeros((2, 2)), np.zeros((2, 2))),
            "must be bools",
            id="several classes as numbers",
        ),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(call: Any, words: str) -> None:
    with pytest.raises(CustomerError, match=words):
        call()


@pytest.mark.parametrize("weighted", [False, True])
def test_micro_f1_of_each_threshold(weighted: bool, rng: np.random.Generator) -> None:
    """As counted for each by itself; scores are equal to each other and to thresholds."""
    labels = rng.random((200, 4)) < 0.3
    scores = rng.integers(10, size=(200, 4)) / 10 + labels * 0.2
    weights = rng.uniform(0.5, 2, 200).astype(np.float32) if weighted else None
    thresholds = np.append(rng.permutation(np.arange(-1, 14) / 10), 0.25)
    found = micro_f1_by_threshold(labels, scores, thresholds, weights)
    expected = [
        ClassCounts.of(labels, scores > threshold, weights=weights).micro_f1
        for threshold in thresholds
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    nothing = np.zeros((3, 2), bool)
    assert micro_f1_by_threshold(nothing, scores[:3, :2], np.array([5.0])).tolist() == [0]
