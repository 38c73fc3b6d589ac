# SPDX-License-Identifier: Apache-2.0
"""Which rows of a token table a training step updates, told by the hyperparameters alone."""

from __future__ import annotations

from object2vec.hyperparameters.checked import Hyperparameters


def moves_used_rows_alone(hyperparameters: Hyperparameters) -> bool:
    """Whether a step may leave alone the rows that its batch does not use.

    Storage type ``row_sparse`` asks for that; moments and weight decay of such rows rest too. With
    ``dense`` and without weight decay a gradient of 0 changes no row in sgd and adagrad, and adam's
    rows are deferred.
    """
    is_sparse = hyperparameters.token_embedding_storage_type == "row_sparse"
    is_still = hyperparameters.optimizer in ("adam", "sgd", "adagrad")
    return is_sparse or (is_still and not hyperparameters.weight_decay)


def defers(hyperparameters: Hyperparameters) -> bool:
    """Whether rows change without a gradient, but the change can wait until a batch uses them.

    This holds of dense adam without weight decay (see `deferred_adam`).
    """
    return (
        hyperparameters.optimizer == "adam"
        and hyperparameters.token_embedding_storage_type == "dense"
        and not hyperparameters.weight_decay
    )
