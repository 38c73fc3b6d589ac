# SPDX-License-Identifier: Apache-2.0
"""Errors and correlations of numbers, held equal to scikit-learn's and SciPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from object2vec.errors import CustomerError
from object2vec.evaluation.correlation import pearson, spearman
from object2vec.evaluation.regression import (
    mean_absolute_error,
    mean_squared_error,
    root_mean_squared_error,
)

pytestmark = pytest.mark.own_way


def test_errors_as_scikit_learn(rng: np.random.Generator) -> None:
    labels, predictions = rng.standard_normal((2, 100)).astype(np.float32)
    exact = labels.astype(np.float64), predictions.astype(np.float64)
    squared = metrics.mean_squared_error(*exact)
    assert mean_squared_error(labels, predictions) == pytest.approx(squared)
    assert root_mean_squared_error(labels, predictions) == pytest.approx(squared**0.5)
    theirs = metrics.mean_absolute_error(*exact)
    assert mean_absolute_error(labels, predictions) == pytest.approx(theirs)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=30))
def test_correlations_with_ties_as_scipy(found: list[tuple[int, int]]) -> None:
    labels, predictions = np.array(found).T
    if len(set(labels)) == 1 or len(set(predictions)) == 1:
        with pytest.raises(CustomerError, match="is not defined, because all"):
            pearson(labels, predictions)
        return
    assert pearson(labels, predictions) == pytest.approx(
        stats.pearsonr(labels, predictions)[0], abs=1e-12
    )
    assert spearman(labels, predictions) == pytest.approx(
        stats.spearmanr(labels, predictions)[0], abs=1e-12
    )


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_correlation_of_any_scale(rng: np.random.Generator, scale: float) -> None:
    labels = rng.standard_normal(50)
    predictions = labels + rng.standard_normal(50)
    expected = stats.pearsonr(labels, predictions)[0]
    assert pearson(labels * scale, predictions) == pytest.approx(expected)
    assert pearson(1e6 + labels, predictions) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        pytest.param(
            lambda: mean_squared_error([1, np.nan], [1, 2]),
            "1 of 2 of the labels are NaN or infinite, the first at position 1",
            id="NaN",
        ),
        pytest.param(lambda: mean_squared_error([1], [1, 2]), r"\(1,\) and \(2,\)", id="lengths"),
        pytest.param(lambda: mean_squared_error([[1]], [[1]]), "one-dimensional", id="dimensions"),
        pytest.param(
            lambda: pearson([1, 1], [1, 2]),
            "Pearson's correlation is not defined, because all 2 labels are equal",
            id="labels are equal",
        ),
        pytest.param(
            lambda: spearman([1, 2], [3, 3]),
            "all 2 predictions are equal",
            id="predictions are equal",
        ),
        pytest.param(lambda: mean_absolute_error([], []), "are empty", id="empty"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(call: Any, words: str) -> None:
    with pytest.raises(CustomerError, match=words):
        call()
