# SPDX-License-Identifier: Apache-2.0
"""Chooses MXNet's engine for the work at hand, before MXNet is imported."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from object2vec.hyperparameters.checked import Hyperparameters

VARIABLE = "MXNET_ENGINE_TYPE"
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


def choose_engine(training: Optional[Hyperparameters] = None) -> None:
    """Let MXNet run every operator at once, in the thread that calls it, where that is faster.

    Handing an operator over to a thread of the engine costs more than many a small one takes.
    Without it hcnn and bilstm train as fast or faster. Only pooled_embedding on both sides trains
    slower (27,000 pairs a second instead of 39,000): there the main thread prepares the next
    operators meanwhile. Inference on a CPU runs no operators, and so needs no threads for them.

    MXNet reads the choice, `VARIABLE`, once for the life of a process, so the first call counts,
    and processes that this one starts inherit it. It is left alone where the user has set it, once
    MXNet is imported, and on a machine with an NVIDIA driver: GPUs need the engine's own threads to
    be kept busy.

    Parameters
    ----------
    training : Hyperparameters, optional
        Those of the job that is about to start; None for inference.
    """
    if "mxnet" in sys.modules or NVIDIA_DRIVER.exists():
        return
    if training is not None and all(
        encoder.network == "pooled_embedding" for encoder in training.encoders
    ):
        return
    os.environ.setdefault(VARIABLE, "NaiveEngine")
