# SPDX-License-Identifier: Apache-2.0
"""Builds the optimizer: MXNet's own, told how to treat the sparse gradients of token tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import NDArray
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.model.network import is_table
from object2vec.training.deferred_adam import BETA1, BETA2, EPSILON
from object2vec.training.row_updates import moves_used_rows_alone


class _OwnTableDecay:
    """Mixed into an optimizer: token tables have a weight decay of their own.

    Attributes
    ----------
    table_decay : float
    """

    table_decay = 0.0

    def _get_wds(self, indices: Sequence[int]) -> list[float]:
        decays = super()._get_wds(indices)  # type: ignore[misc]
        parameters = (self.param_dict[index] for index in indices)  # type: ignore[attr-defined]
        return [
            self.table_decay if is_table(parameter) else decay
            for parameter, decay in zip(parameters, decays)
        ]


class _DenseUpdate(_OwnTableDecay):
    """Mixed into an optimizer: rows without a gradient are updated as if it were 0."""

    def update(self, index: int, weight: NDArray, grad: NDArray, state: Any) -> None:
        dense = grad.tostype("default") if grad.stype == "row_sparse" else grad
        super().update(index, weight, dense, state)  # type: ignore[misc]


class _Adam(_OwnTableDecay, mx.optimizer.Adam):
    pass


class _SGD(_OwnTableDecay, mx.optimizer.SGD):
    pass


class _AdaGrad(_OwnTableDecay, mx.optimizer.AdaGrad):
    pass


class _DenseAdaGrad(_DenseUpdate, mx.optimizer.AdaGrad):
    pass


class _DenseRMSProp(_DenseUpdate, mx.optimizer.RMSProp):
    pass


class _DenseAdaDelta(_DenseUpdate, mx.optimizer.AdaDelta):
    pass


class _AdamW(_OwnTableDecay, mx.optimizer.Adam):
    """Adam with decoupled weight decay: Loshchilov and Hutter 2019, arXiv 1711.05101.

    What a step takes away of a weight hangs on the learning rate and the decay alone. Of a token
    table it is, as all of the step, the rows with a gradient, where `lazy_update` says so.
    """

    def update(self, index: int, weight: NDArray, grad: NDArray, state: Any) -> None:
        decay = super()._get_wds([index])[0]
        if decay:
            # of sgd's step, w -= lr * (rescale_grad * grad + wd * w), the decay alone is left
            mx.nd.sgd_update(
                weight,
                grad,
                lr=self._get_lr(index),
                wd=decay,
                rescale_grad=0.0,
                lazy_update=self.lazy_update,
                out=weight,
            )
        super().update(index, weight, grad, state)

    def _get_wd(self, index: int) -> float:
        return 0.0  # nothing is added to the gradient


def build_optimizer(hyperparameters: Hyperparameters) -> Any:
    """Build the optimizer that the hyperparameters name.

    Gradients of token tables are always row-sparse; `row_updates` says which rows a step updates.

    Returns
    -------
    mxnet.optimizer.Optimizer
        With MXNet's constants, for a Trainer; adadelta has no learning rate.
    """
    optimizer = _build(hyperparameters)
    optimizer.table_decay = hyperparameters.table_weight_decay
    return optimizer


def _build(hyperparameters: Hyperparameters) -> Any:
    lazy = moves_used_rows_alone(hyperparameters)
    rate: dict[str, Any] = {"learning_rate": hyperparameters.learning_rate}
    decay = {"wd": hyperparameters.weight_decay}
    if hyperparameters.optimizer in ("adam", "adamw"):
        constants = {"beta1": BETA1, "beta2": BETA2, "epsilon": EPSILON}
        kind = _Adam if hyperparameters.optimizer == "adam" else _AdamW
        return kind(lazy_update=lazy, **constants, **rate, **decay)
    if hyperparameters.optimizer == "sgd":
        return _SGD(lazy_update=lazy, **rate, **decay)
    if hyperparameters.optimizer == "adagrad":
        return (_AdaGrad if lazy else _DenseAdaGrad)(**rate, **decay)
    if hyperparameters.optimizer == "rmsprop":
        return _DenseRMSProp(**rate, **decay)
    return _DenseAdaDelta(**decay)
