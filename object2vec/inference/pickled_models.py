# SPDX-License-Identifier: Apache-2.0
"""How a loaded model is pickled: as the files of its directory, which are read back strictly.

It stands apart so that a pickle names a module that imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from object2vec.inference.predictor import Predictor


def restored(
    files: Mapping[str, bytes], device: tuple[str, int], kind: Optional[type[Predictor]] = None
) -> Predictor:
    """What a pickle calls.

    Parameters
    ----------
    files : mapping of str to bytes
        From `model_directory.pack_model`.
    device : tuple of str and int
        Kind and number of the device that the model was on. A model of a GPU comes to the GPU of
        this number, or to another one, and to the CPU where there is none.
    kind : type, optional
        A subclass of Predictor.

    Raises
    ------
    CustomerError
        If the files are no sound model.
    """
    from object2vec.inference.predictor import Predictor

    return (kind or Predictor).unpacked(files, device)
