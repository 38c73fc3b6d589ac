# SPDX-License-Identifier: Apache-2.0
"""The one place that chooses how a loaded model answers, and says why."""

from __future__ import annotations

from typing import Any, Optional

from object2vec.compiled.library import is_switched_off, why_unusable
from object2vec.inference.operator_inference import OperatorInference
from object2vec.model.network import Object2VecNetwork


def choose_inference(network: Object2VecNetwork, context: Any) -> tuple[Any, str, bool]:
    """Build what answers: the compiled part on a CPU that it can be used on, else operators.

    Parameters
    ----------
    network : Object2VecNetwork
        Initialized on ``context``, and not once more from here on.
    context : mxnet.Context
        The device.

    Returns
    -------
    tuple
        An `OperatorInference` or a `CompiledInference`; a sentence that says which and why; whether
        the user can have a faster one.

    Raises
    ------
    CustomerError
        OBJECT2VEC_COMPILED holds something else than 0 or 1.
    """
    is_off = is_switched_off()
    unusable: Optional[str] = None
    if context.device_type != "cpu":
        reason = f"the compiled part is for CPUs, and this model is on {context}"
    else:
        unusable = why_unusable()
        if unusable is None:
            # loads the compiled part
            from object2vec.inference.compiled_inference import CpuInference

            line = "The model answers by the compiled part, on the CPU."
            return CpuInference(network, context), line, False
        reason = unusable if is_off else f"the compiled part cannot be used, for {unusable}"
    line = f"The model answers by MXNet's operators: {reason}."
    return OperatorInference(network, context), line, unusable is not None and not is_off
