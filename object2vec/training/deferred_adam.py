# SPDX-License-Identifier: Apache-2.0
"""Dense adam on a token table that updates a row only when a batch needs it, to the same values.

Without weight decay a row that no batch uses has the gradient 0, and adam keeps updating it by its
decaying momentum. After the row's last gradient at step t its moments are m and v; step t + j
subtracts ::

    rate(t + j) * b1**j * m / (sqrt(b2**j * v) + epsilon)

The sum of these over the missed steps has a closed form: with ``a_j = rate(t + j) * b1**j`` and
``q = sqrt(b2)`` it is ``A * m / (h * sqrt(v) + epsilon)``, where A is the sum of the ``a_j`` and h
the harmonic mean of ``q**j`` weighted by them. That is exact where sqrt(v) is much larger or much
smaller than epsilon. In between the error is below a part in 100,000, as the weights decay (b1**j)
before q**j changes noticeably. So the whole table need not be read and written at every step.

With decoupled weight decay a step first takes away its rate times the decay of each weight, so that
it keeps the part ``k``. Of what step t + j subtracts the product of the ``k`` of all later steps
remains, which goes into ``a_j``; of the weight itself the product of all of them, also where a row
never had a gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Optional

import numpy as np

from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import NDArray

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # adam's constants, MXNet's defaults
_ROWS_AT_ONCE = 1 << 14  # rows that catch up together at an epoch's end
_MEMORY = 200  # steps after which momentum has decayed below a float's last digit


class DeferredRows:
    """What one table's rows have missed, and how they catch up with it.

    Parameters
    ----------
    rows : int
        Rows of the table.
    beta1, beta2 : float
        Adam's constants.
    """

    def __init__(self, rows: int, beta1: float = BETA1, beta2: float = BETA2) -> None:
        self._beta1, self._beta2 = beta1, beta2
        self._steps = 0
        self._last = np.full(rows, -1, np.int64)  # the step of a row's last gradient
        ages = np.arange(_MEMORY, 0, -1)
        decay = beta1**ages
        # rows: weights of the sum, and of the sum divided by q**j; columns: the oldest step first
        self._weights = np.stack([decay, decay * np.sqrt(beta2) ** -ages.astype(float)])
        self._sums = np.zeros((2, 1024))  # columns: the step of a row's last gradient
        # what all steps before that of the index have left of a weight, as a logarithm
        self._kept = np.zeros(1025)

    def touch(self, rows: np.ndarray, rate: float, shrinkage: float = 0.0) -> None:
        """Note that one more step was taken, with a gradient for `rows`.

        Parameters
        ----------
        rows : numpy.ndarray
            Integers, shape ``(n,)``, none twice.
        rate : float
            The step's learning rate with its bias correction.
        shrinkage : float
            The part of each weight that the step's decoupled decay takes away, below 1.
        """
        if self._steps == self._sums.shape[1]:
            self._sums = np.concatenate([self._sums, np.zeros_like(self._sums)], axis=1)
            self._kept = np.concatenate([self._kept, np.zeros(self._steps)])
        now = self._kept[self._steps + 1] = self._kept[self._steps] + math.log1p(-shrinkage)
        known = min(self._steps, _MEMORY)
        weights = rate * self._weights[:, _MEMORY - known :]
        if now:
            # as if what follows the earlier step had left all of a weight: `missed` takes it off
            weights *= np.exp(self._kept[self._steps - known + 1 : self._steps + 1] - now)
        # a row whose last gradient was at an earlier step misses this one
        self._sums[:, self._steps - known : self._steps] += weights
        self._last[rows] = self._steps
        self._steps += 1

    def missed(self, rows: Optional[np.ndarray] = None) -> tuple[np.ndarray, np.ndarray]:
        """Which rows are behind, and the factors that bring them up to date.

        Parameters
        ----------
        rows : numpy.ndarray, optional
            Integers, shape ``(n,)``, none twice; all rows by default.

        Returns
        -------
        tuple of numpy.ndarray
            The rows that are behind, int32 ``(k,)``, and float32 ``(5, k, 1)``: A, h squared,
            beta1 and beta2 to the power of the number of missed steps, and the part of each weight
            that these took away.
        """
        now = self._steps - 1
        last = self._last if rows is None else self._last[rows]
        moves = (last >= 0) | (self._kept[last + 1] > self._kept[self._steps])
        behind = np.flatnonzero(moves & (last < now))
        last = last[behind]
        chosen = behind if rows is None else rows[behind]
        # a row without a gradient has no momentum, so any sums will do
        sums, gaps = np.where(last >= 0, self._sums[:, last], 1.0), now - last
        kept = self._kept[self._steps] - self._kept[last + 1]
        factors = np.stack(
            [
                sums[0] * np.exp(kept),
                (sums[0] / sums[1]) ** 2,
                self._beta1**gaps,
                self._beta2**gaps,
                -np.expm1(kept),
            ]
        )
        return chosen.astype(np.int32), factors.astype(np.float32)[:, :, None]

    def all_missed(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """What `missed` gives for all rows, in parts; after the last part no row is behind."""
        rows, factors = self.missed()
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            yield rows[part], factors[:, part]
        if self._kept[self._steps]:
            self._last[:] = self._steps - 1
        else:
            self._last[self._last >= 0] = self._steps - 1


def adam_rate(learning_rate: float, step: int) -> float:
    """The learning rate of a step, from 1, with its bias correction."""
    return learning_rate * math.sqrt(1.0 - BETA2**step) / (1.0 - BETA1**step)


def catch_up(
    weight: NDArray,
    mean: NDArray,
    variance: NDArray,
    rows: np.ndarray,
    factors: np.ndarray,
    epsilon: float,
) -> None:
    """Apply missed steps to some rows, in place, by MXNet's operators.

    Parameters
    ----------
    weight, mean, variance : NDArray
        A table and its moments, float32 ``(rows, width)``.
    rows : numpy.ndarray
        int32 ``(k,)``.
    factors : numpy.ndarray
        float32 ``(5, k, 1)``, from `DeferredRows.missed`.
    epsilon : float
        Adam's constant.
    """
    decays = bool(factors[4].any())
    rows, factors = (
        mx.nd.array(array, ctx=weight.context, dtype=array.dtype) for array in (rows, factors)
    )
    rate_sum, variance_scale, beta1_power, beta2_power, shrinkage = factors
    positions = rows.reshape((1, -1))
    w, m, v = (mx.nd.take(array, rows) for array in (weight, mean, variance))
    if decays:
        w = w - mx.nd.broadcast_mul(w, shrinkage)
    # with these constants adam keeps both moments and subtracts mean / (sqrt(variance) + epsilon)
    mx.nd.adam_update(
        w,
        m,
        mx.nd.broadcast_mul(m, rate_sum),
        mx.nd.broadcast_mul(v, variance_scale),
        lr=1.0,
        beta1=1.0,
        beta2=1.0,
        epsilon=epsilon,
        out=w,
    )
    m = mx.nd.broadcast_mul(m, beta1_power)
    v = mx.nd.broadcast_mul(v, beta2_power)
    for array, values in ((weight, w), (mean, m), (variance, v)):
        mx.nd._internal._scatter_set_nd(array, values, positions, shape=array.shape, out=array)
