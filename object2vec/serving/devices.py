# SPDX-License-Identifier: Apache-2.0
"""Which network of a model answers from which device."""

from __future__ import annotations

import logging
from typing import Any, Optional

from object2vec.backend.kvstore import count_gpus
from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Context
from object2vec.files import PathLike
from object2vec.inference.predictor import Predictor
from object2vec.logs import LOGGER_NAME
from object2vec.serving.model import Model

_logger = logging.getLogger(LOGGER_NAME)


class SplitModel:
    """Scores from one device, embeddings from another.

    Parameters
    ----------
    scoring, embedding : Predictor
        Two copies of the same model.
    """

    def __init__(self, scoring: Predictor, embedding: Predictor) -> None:
        self.hyperparameters = scoring.hyperparameters
        self.inputs = scoring.inputs
        self.indexes = scoring.indexes
        self.kept: dict[Any, Any] = {}
        self.every_pair = scoring.every_pair
        self.scores = scoring.scores
        self.embeddings = embedding.embeddings
        self.way = f"For scores: {scoring.way} For embeddings: {embedding.way}"
        self.is_fallback = scoring.is_fallback or embedding.is_fallback


def load(
    model_dir: PathLike,
    preferred_mode: Optional[str] = None,
    gpu: Optional[int] = None,
    *,
    expected_digest: Optional[str] = None,
) -> Model:
    """Load a model for serving.

    Parameters
    ----------
    model_dir : path
        A model directory.
    preferred_mode : str, optional
        ``classification`` puts the scoring network onto the GPU and answers embeddings from the
        CPU, ``embedding`` the other way round; None puts both onto the GPU. Ignored without one.
    gpu : int, optional
        Number of the GPU; the first by default, the CPU where there is none.
    expected_digest : str, optional
        The `manifest.Manifest.digest` of the model that it has to be.

    Raises
    ------
    CustomerError
        If the folder holds no sound model, or another one.
    """
    count = count_gpus()
    if not count:
        if preferred_mode is not None:
            _logger.info("INFERENCE_PREFERRED_MODE=%s is ignored: no GPU here.", preferred_mode)
        return Predictor.load(model_dir, expected_digest=expected_digest)
    device = mx.gpu((gpu or 0) % count)
    if preferred_mode is None:
        return Predictor.load(model_dir, device, expected_digest)
    return _split(model_dir, preferred_mode, device, mx.cpu(0), expected_digest)


def _split(
    model_dir: PathLike,
    preferred_mode: str,
    device: Context,
    other: Context,
    expected_digest: Optional[str] = None,
) -> SplitModel:
    preferred, rest = (Predictor.load(model_dir, one, expected_digest) for one in (device, other))
    _logger.info(
        "INFERENCE_PREFERRED_MODE=%s: on %s; the rest on %s.", preferred_mode, device, other
    )
    pair = (preferred, rest) if preferred_mode == "classification" else (rest, preferred)
    return SplitModel(*pair)
