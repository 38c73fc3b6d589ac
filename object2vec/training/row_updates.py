# SPDX-License-Identifier: Apache-2.0
"""Which rows of a token table a training step updates, told by the hyperparameters alone."""

from __future__ import annotations

from object2vec.hyperparameters.checked import Hyperparameters

# The most that a step's decoupled decay may take of a weight for `deferred_adam` to be exact.
_MOST_SHRINKAGE = 0.5


def moves_used_rows_alone(hyperparameters: Hyperparameters) -> bool:
    """Whether a step may leave alone the rows that its batch does not use.

    Storage type ``row_sparse`` asks for that; moments and weight decay of such rows rest too. With
    ``dense`` and without weight decay a gradient of 0 changes no row in sgd and adagrad, and the
    rows of adam and adamw are deferred.
    """
    is_sparse = hyperparameters.token_embedding_storage_type == "row_sparse"
    is_still = hyperparameters.optimizer in ("sgd", "adagrad")
    decays = bool(hyperparameters.table_weight_decay)
    return is_sparse or (is_still and not decays) or defers(hyperparameters)


def defers(hyperparameters: Hyperparameters) -> bool:
    """Whether rows change without a gradient, but the change can wait until a batch uses them.

    This holds of dense adam without weight decay, and of dense adamw, whose decay does not hang on
    the gradient, unless a step takes away more than half of a weight (see `deferred_adam`).
    """
    if hyperparameters.token_embedding_storage_type != "dense":
        return False
    decay = hyperparameters.table_weight_decay
    if hyperparameters.optimizer == "adamw":
        return hyperparameters.learning_rate * decay <= _MOST_SHRINKAGE
    return hyperparameters.optimizer == "adam" and not decay
