# SPDX-License-Identifier: Apache-2.0
"""Builds the optimizer: MXNet's own, told how to treat the sparse gradients of token tables."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

from object2vec.backend.mxnet_import import mx
from object2vec.compiled.kernels import AdamState, AdamStep, UsedRows
from object2vec.hyperparameters.checked import Hyperparameters


class _DenseUpdate:
    """Mixed into an optimizer that would treat the rows without a gradient in another way."""

    def update(self, index: int, weight: Any, grad: Any, state: Any) -> None:
        dense = grad.tostype("default") if grad.stype == "row_sparse" else grad
        super().update(index, weight, dense, state)  # type: ignore[misc]


class _DenseAdaGrad(_DenseUpdate, mx.optimizer.AdaGrad):
    pass


class _DenseRMSProp(_DenseUpdate, mx.optimizer.RMSProp):
    pass


class _DenseAdaDelta(_DenseUpdate, mx.optimizer.AdaDelta):
    pass


class _Adam(mx.optimizer.Adam):
    """MXNet's adam, on the CPU with one operation for all parameters with a dense gradient.

    Attributes
    ----------
    tables : sequence of AdamState
        Token tables that are moved in the same operation, those of one CPU.
    used, vector_gradients : sequence
        What `AdamStep` is to be told of them at the next step.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.aggregate_num = sys.maxsize  # all parameters at once
        self.tables: Sequence[AdamState] = ()
        self.used: Sequence[UsedRows] = ()
        self.vector_gradients: Sequence[Sequence[Any]] = ()
        self._steps: dict[Any, AdamStep] = {}

    def update_multi_precision(
        self, index: Sequence[int], weight: Sequence[Any], grad: Sequence[Any], state: Sequence[Any]
    ) -> None:
        ours = []
        for arrays in zip(index, weight, grad, state):
            if weight[0].context.device_type != "cpu" or arrays[2].stype == "row_sparse":
                super().update_multi_precision(*arrays)
            else:
                ours.append(arrays)
        if ours:
            self._update_on_cpu(*zip(*ours))

    def _update_on_cpu(
        self, index: Sequence[int], weight: Sequence[Any], grad: Sequence[Any], state: Sequence[Any]
    ) -> None:
        self._update_count(index)
        context = weight[0].context
        step = self._steps.get(context)
        if step is None or not step.is_of(weight, grad):
            moved = [
                AdamState(array, mean, variance, decay)
                for array, (mean, variance), decay in zip(weight, state, self._get_wds(index))
            ]
            step = self._steps[context] = AdamStep(moved, grad, self.tables)
        step(
            self.used,
            self.vector_gradients,
            rate=self.rate_of_step(self._index_update_count[index[0]]),
            beta1=self.beta1,
            beta2=self.beta2,
            epsilon=self.epsilon,
            rescale=self.rescale_grad,
        )

    def rate_of_step(self, step: int) -> float:
        """The learning rate of a step, from 1, with its bias correction."""
        rate = self.learning_rate * math.sqrt(1.0 - self.beta2**step)
        return rate / (1.0 - self.beta1**step)


def build_optimizer(hyperparameters: Hyperparameters) -> Any:
    """Build the optimizer that the hyperparameters name.

    Gradients of token tables always come as the touched rows. With storage type ``row_sparse`` only
    those rows are updated, moments and weight decay included; with ``dense`` all rows are, if they
    move at all without a gradient (see `defers`).

    Returns
    -------
    mxnet.optimizer.Optimizer
        With MXNet's constants; adadelta has no learning rate.
    """
    lazy = hyperparameters.token_embedding_storage_type == "row_sparse"
    # without weight decay a gradient of 0 moves no row in sgd and adagrad, and adam defers its rows
    lazy = lazy or not hyperparameters.weight_decay
    rate: dict[str, Any] = {"learning_rate": hyperparameters.learning_rate}
    decay = {"wd": hyperparameters.weight_decay}
    if hyperparameters.optimizer == "adam":
        return _Adam(lazy_update=lazy, **rate, **decay)
    if hyperparameters.optimizer == "sgd":
        return mx.optimizer.SGD(lazy_update=lazy, **rate, **decay)
    if hyperparameters.optimizer == "adagrad":
        return (mx.optimizer.AdaGrad if lazy else _DenseAdaGrad)(**rate, **decay)
    if hyperparameters.optimizer == "rmsprop":
        return _DenseRMSProp(**rate, **decay)
    return _DenseAdaDelta(**decay)


def defers(hyperparameters: Hyperparameters) -> bool:
    """Whether rows move without a gradient, but need not do so before a batch uses them.

    So it is with dense adam without weight decay (see `deferred_adam`).
    """
    return (
        hyperparameters.optimizer == "adam"
        and hyperparameters.token_embedding_storage_type == "dense"
        and not hyperparameters.weight_decay
    )


def takes_vectors(optimizer: Any) -> bool:
    """Whether the optimizer has `tables`, and moves their rows by the gradients of vectors."""
    return isinstance(optimizer, _Adam) and optimizer.lazy_update
