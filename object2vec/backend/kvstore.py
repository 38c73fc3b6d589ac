# SPDX-License-Identifier: Apache-2.0
"""Chooses the devices and the KVStore that adds up their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Context
from object2vec.errors import CustomerError


def count_gpus() -> int:
    """Number of GPUs that MXNet can use; 0 for a build without CUDA."""
    try:
        return int(mx.context.num_gpus())
    except mx.MXNetError:  # a CUDA build on a host whose driver does not answer
        return 0


def choose_contexts(num_gpus: Union[str, int]) -> list[Context]:
    """Choose the devices to train on.

    Parameters
    ----------
    num_gpus : str or int
        ``"auto"`` for every GPU there is and the CPU where there is none, else the number of GPUs;
        0 is the CPU.

    Returns
    -------
    list of mxnet.Context

    Raises
    ------
    CustomerError
        If more GPUs are asked for than there are.
    """
    present = count_gpus()
    wanted = present if num_gpus == "auto" else int(num_gpus)
    if wanted > present:
        raise CustomerError(
            f"Hyperparameter '_num_gpus' is {wanted}, but this machine has {present} GPUs that "
            "MXNet can use; give a smaller number or 'auto'."
        )
    return [mx.gpu(number) for number in range(wanted)] or [mx.cpu(0)]


def choose_kvstore(name: str, contexts: Sequence[Context]) -> str:
    """Translate hyperparameter ``_kvstore`` into a KVStore type.

    ``auto_gpu`` is ``device`` where there are GPUs and ``local`` elsewhere; ``auto_cpu`` is
    ``local``.
    """
    if name == "auto_gpu":
        return "device" if contexts[0].device_type == "gpu" else "local"
    return "local" if name == "auto_cpu" else name
