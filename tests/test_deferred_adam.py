# SPDX-License-Identifier: Apache-2.0
"""Deferred rows end where plain dense adam ends."""

from __future__ import annotations

import numpy as np
import pytest

from object2vec.backend.mxnet_import import mx
from object2vec.training.deferred_adam import DeferredRows, catch_up

pytestmark = pytest.mark.own_way

BETA1, BETA2, EPSILON, RATE = 0.9, 0.999, 1e-8, 0.01
ROWS, WIDTH = 40, 6


def step_size(step: int) -> float:
    return RATE * (1 - BETA2**step) ** 0.5 / (1 - BETA1**step)


class PlainAdam:
    """All rows at every step, in float64."""

    def __init__(self, weight: np.ndarray) -> None:
        self.weight = weight.astype(np.float64)
        self.mean, self.variance = np.zeros_like(self.weight), np.zeros_like(self.weight)

    def step(self, step: int, gradient: np.ndarray) -> None:
        self.mean = BETA1 * self.mean + (1 - BETA1) * gradient
        self.variance = BETA2 * self.variance + (1 - BETA2) * gradient**2
        self.weight -= step_size(step) * self.mean / (np.sqrt(self.variance) + EPSILON)


class Deferred:
    """The same with MXNet on the rows in use alone."""

    def __init__(self, weight: np.ndarray) -> None:
        self.arrays = [mx.nd.array(weight), mx.nd.zeros(weight.shape), mx.nd.zeros(weight.shape)]
        self.rows = DeferredRows(len(weight), BETA1, BETA2)

    def catch_up(self, rows: np.ndarray | None) -> int:
        behind, factors = self.rows.missed(rows)
        if len(behind):
            catch_up(*self.arrays, behind, factors, EPSILON)
        return len(behind)

    def step(self, step: int, rows: np.ndarray, gradient: np.ndarray) -> None:
        self.catch_up(rows)
        weight, mean, variance = self.arrays
        sparse = mx.nd.sparse.row_sparse_array(
            (gradient.astype(np.float32), rows), shape=weight.shape, dtype="float32"
        )
        mx.nd.adam_update(weight, sparse, mean, variance, lr=step_size(step), out=weight)
        self.rows.touch(rows, step_size(step))

    def settle(self) -> int:
        count = 0
        for behind, factors in self.rows.all_missed():
            catch_up(*self.arrays, behind, factors, EPSILON)
            count += len(behind)
        return count


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 1e-7, 1e-12], ids=["large", "epsilon", "tiny"])
def test_rows_end_where_plain_adam_ends(scale: float, rng: np.random.Generator) -> None:
    """Over gaps of every length, with gradients above, about and below epsilon."""
    start = rng.uniform(-0.07, 0.07, (ROWS, WIDTH)).astype(np.float32)
    plain, deferred = PlainAdam(start), Deferred(start)
    shares = rng.random(ROWS) ** 4  # some rows come nearly always, some hardly ever
    shares[-1] = 0.0
    for step in range(1, 701):
        rows = np.flatnonzero(rng.random(ROWS) < shares)
        gradient = np.zeros((ROWS, WIDTH))
        gradient[rows] = scale * rng.normal(size=(len(rows), WIDTH))
        plain.step(step, gradient)
        if len(rows):
            deferred.step(step, rows, gradient[rows])
        else:
            deferred.rows.touch(rows, step_size(step))
        if step in (350, 700):
            deferred.settle()
            for name, value in zip(("weight", "mean", "variance"), deferred.arrays):
                expected = getattr(plain, name)
                size = np.abs(expected).max()
                np.testing.assert_allclose(
                    value.asnumpy(), expected, rtol=2e-4, atol=2e-5 * size, err_msg=name
                )
    moved = np.abs(plain.weight - start)
    assert moved[:-1].max() > (0.05 if scale > 1e-9 else 1e-5)
    np.testing.assert_array_equal(deferred.arrays[0].asnumpy()[-1], start[-1])


def test_weights_follow_to_float_precision(rng: np.random.Generator) -> None:
    """A single gradient and then 1,000 steps without: the whole way is one closed sum."""
    start = rng.uniform(-0.07, 0.07, (ROWS, WIDTH)).astype(np.float32)
    plain, deferred = PlainAdam(start), Deferred(start)
    rows = np.arange(ROWS - 1)
    gradient = np.zeros((ROWS, WIDTH))
    gradient[:-1] = 10.0 ** rng.uniform(-11, 0, (ROWS - 1, WIDTH))
    plain.step(1, gradient)
    deferred.step(1, rows, gradient[:-1])
    for step in range(2, 1002):
        plain.step(step, np.zeros_like(gradient))
        deferred.rows.touch(rows[:0], step_size(step))
    deferred.settle()
    way = plain.weight - start
    np.testing.assert_allclose(deferred.arrays[0].asnumpy() - start, way, rtol=2e-5, atol=3e-8)


def test_settled_rows_are_not_behind(rng: np.random.Generator) -> None:
    deferred = Deferred(np.ones((ROWS, WIDTH), np.float32))
    for step, rows in enumerate(([1, 2], [2, 3], [4]), start=1):
        deferred.step(step, np.array(rows), np.ones((len(rows), WIDTH)))
    assert deferred.settle() == 3  # 1, 2 and 3; 4 is current, the others never had a gradient
    assert deferred.settle() == 0
