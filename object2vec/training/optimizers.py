# SPDX-License-Identifier: Apache-2.0
"""Builds the optimizer: MXNet's own, told how to treat the sparse gradients of token tables."""

from __future__ import annotations

from typing import Any

from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import NDArray
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.training.deferred_adam import BETA1, BETA2, EPSILON
from object2vec.training.row_updates import moves_used_rows_alone


class _DenseUpdate:
    """Mixed into an optimizer: rows without a gradient are updated as if it were 0."""

    def update(self, index: int, weight: NDArray, grad: NDArray, state: Any) -> None:
        dense = grad.tostype("default") if grad.stype == "row_sparse" else grad
        super().update(index, weight, dense, state)  # type: ignore[misc]


class _DenseAdaGrad(_DenseUpdate, mx.optimizer.AdaGrad):
    pass


class _DenseRMSProp(_DenseUpdate, mx.optimizer.RMSProp):
    pass


class _DenseAdaDelta(_DenseUpdate, mx.optimizer.AdaDelta):
    pass


def build_optimizer(hyperparameters: Hyperparameters) -> Any:
    """Build the optimizer that the hyperparameters name.

    Gradients of token tables are always row-sparse; `row_updates` says which rows a step updates.

    Returns
    -------
    mxnet.optimizer.Optimizer
        With MXNet's constants; adadelta has no learning rate.
    """
    lazy = moves_used_rows_alone(hyperparameters)
    rate: dict[str, Any] = {"learning_rate": hyperparameters.learning_rate}
    decay = {"wd": hyperparameters.weight_decay}
    if hyperparameters.optimizer == "adam":
        constants = {"beta1": BETA1, "beta2": BETA2, "epsilon": EPSILON}
        return mx.optimizer.Adam(lazy_update=lazy, **constants, **rate, **decay)
    if hyperparameters.optimizer == "sgd":
        return mx.optimizer.SGD(lazy_update=lazy, **rate, **decay)
    if hyperparameters.optimizer == "adagrad":
        return (mx.optimizer.AdaGrad if lazy else _DenseAdaGrad)(**rate, **decay)
    if hyperparameters.optimizer == "rmsprop":
        return _DenseRMSProp(**rate, **decay)
    return _DenseAdaDelta(**decay)
