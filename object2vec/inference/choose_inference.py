# SPDX-License-Identifier: Apache-2.0
"""The one place that chooses how a loaded model answers, and says why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from object2vec.backend.mxnet_types import Context
from object2vec.compiled.library import is_switched_off, why_operators
from object2vec.inference.operator_inference import OperatorInference
from object2vec.model.network import Object2VecNetwork

if TYPE_CHECKING:
    from object2vec.inference.compiled_inference import CompiledInference


def choose_inference(
    network: Object2VecNetwork, context: Context
) -> tuple[Union[OperatorInference, CompiledInference], str, bool]:
    """Build what answers: the compiled part on a CPU where it can be used, else operators.

    Parameters
    ----------
    network : Object2VecNetwork
        Initialized on ``context``; it must not be initialized again.
    context : mxnet.Context
        The device.

    Returns
    -------
    tuple
        What answers; a sentence that says which it is, and why; whether operators answer because
        the compiled part cannot be used, against the user's wish.

    Raises
    ------
    CustomerError
        OBJECT2VEC_COMPILED holds something else than 0 or 1.
    """
    is_switched_off()  # refuses a wrong value, on every device
    if context.device_type == "cpu":
        found = why_operators()
        if found is None:
            # loads the compiled part
            from object2vec.inference.compiled_inference import CompiledInference

            line = "The model answers by the compiled part, on the CPU."
            return CompiledInference(network, context), line, False
        reason, is_fallback = found
    else:
        reason = f"the compiled part is for CPUs, and this model is on {context}"
        is_fallback = False
    line = f"The model answers by MXNet's operators: {reason}."
    return OperatorInference(network, context), line, is_fallback
