"""Builds the optimizer: MXNet's own, told how to treat the sparse gradients of token tables."""

from __future__ import annotations

from typing import Any

from object2vec.hyperparameters import Hyperparameters
from object2vec.mxnet_import import mx


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
        return mx.optimizer.Adam(lazy_update=lazy, **rate, **decay)
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
