# SPDX-License-Identifier: Apache-2.0
"""The one place that chooses how a training is computed, and says why.

It imports no MXNet before it builds what it chose.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from object2vec.backend.mxnet_types import Context
from object2vec.compiled.library import is_switched_off, why_operators, why_unfit
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.training.row_updates import moves_used_rows_alone

if TYPE_CHECKING:
    from object2vec.model.network import Object2VecNetwork
    from object2vec.training.training_way import TrainingWay


@dataclass(frozen=True)
class Choice:
    """A way, and why.

    Attributes
    ----------
    is_compiled : bool
        Whether the compiled part trains, or MXNet's operators.
    line : str
        For the log.
    level : int
        That of the line: a warning where the user can have a faster way.
    """

    is_compiled: bool
    line: str
    level: int = logging.INFO


def choose_way(hyperparameters: Hyperparameters, contexts: Sequence[Context]) -> Choice:
    """Choose between the compiled part and MXNet's operators.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        All settings.
    contexts : sequence of mxnet.Context
        The devices.

    Raises
    ------
    CustomerError
        OBJECT2VEC_COMPILED holds something else than 0 or 1.
    """
    is_switched_off()  # refuses a wrong value, on every device
    if [context.device_type for context in contexts] != ["cpu"]:
        devices = ", ".join(map(str, contexts))
        return _operators(f"the compiled part is for one CPU, and this trains on {devices}")
    found = why_operators()
    if found is not None:
        reason, is_fallback = found
        return _operators(reason, logging.WARNING if is_fallback else logging.INFO)
    unsuited = _why_unsuited(hyperparameters)
    if unsuited is not None:
        return _operators(unsuited)
    line = f"Training computes by the compiled part: {hyperparameters.optimizer} on one CPU."
    return Choice(True, line)


def is_compiled_expected(hyperparameters: Hyperparameters) -> bool:
    """Whether `choose_way` will choose the compiled part on a CPU, if nothing fails meanwhile.

    It can be asked before MXNet is imported.

    Raises
    ------
    CustomerError
        As for `choose_way`.
    """
    return why_unfit() is None and _why_unsuited(hyperparameters) is None


def build_way(
    choice: Choice,
    hyperparameters: Hyperparameters,
    network: Object2VecNetwork,
    contexts: Sequence[Context],
) -> TrainingWay[Any]:
    """Build what was chosen.

    Parameters
    ----------
    choice : Choice
        From `choose_way`.
    hyperparameters : Hyperparameters
        All settings.
    network : Object2VecNetwork
        Initialized on ``contexts``.
    contexts : sequence of mxnet.Context
        The devices.
    """
    if choice.is_compiled:
        # loads the compiled part
        from object2vec.training.compiled_way import CompiledWay

        return CompiledWay(hyperparameters, network, contexts[0])
    from object2vec.training.operator_way import OperatorWay

    return OperatorWay(hyperparameters, network, contexts)


def _operators(reason: str, level: int = logging.INFO) -> Choice:
    return Choice(False, f"Training computes by MXNet's operators: {reason}.", level)


def _why_unsuited(hyperparameters: Hyperparameters) -> Optional[str]:
    optimizer = hyperparameters.optimizer
    if optimizer not in ("adam", "adamw"):
        return f"the compiled part has adam and adamw alone, and the optimizer is {optimizer}"
    if hyperparameters.clip_gradient:
        return "the compiled part does not clip gradients, and clip_gradient is not 0"
    if moves_used_rows_alone(hyperparameters):
        return None
    if optimizer == "adam":
        return "with weight_decay, adam moves all rows of dense token tables at each step"
    return "with this weight_decay, adamw takes more than half of each weight away at each step"
