# SPDX-License-Identifier: Apache-2.0
"""The few measures that training reports, of any pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from object2vec.data.arrays import PairDataset
from object2vec.data.augmentation import judged_parts
from object2vec.evaluation.metrics import MetricAccumulator

if TYPE_CHECKING:
    from object2vec.inference.predictor import Predictor


def reported(predictor: Predictor, pairs: PairDataset) -> dict[str, float]:
    """Measure a model as validation and test do.

    Parameters
    ----------
    predictor : Predictor
        The model.
    pairs : PairDataset
        With labels, and with the lists whole; see `judged_parts`.

    Returns
    -------
    dict of str to float
        By name; see `Object2Vec.evaluate`.
    """
    settings = predictor.hyperparameters
    sums = predictor.loss_sums(judged_parts(pairs, settings))
    return MetricAccumulator.of(settings.output_layer, sums, len(pairs)).values()
