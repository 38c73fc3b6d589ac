# SPDX-License-Identifier: Apache-2.0
"""Turns class_weights=balanced into numbers, by the labels that are trained on."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from object2vec.data.arrays import PairDataset
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.hyperparameters.table import BALANCED, BY_NAME
from object2vec.logs import LOGGER_NAME

_logger = logging.getLogger(LOGGER_NAME)


def with_class_weights(hyperparameters: Hyperparameters, train: PairDataset) -> Hyperparameters:
    """The hyperparameters with a number for each class, where they ask for balanced weights.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        As they are given.
    train : PairDataset
        What is trained on; the model keeps the numbers, so that its loss means the same later on.
    """
    if hyperparameters.class_weights != BALANCED:
        return hyperparameters
    weights = balanced(train, hyperparameters)
    told = ", ".join(f"{number}: {weight:.4g}" for number, weight in enumerate(weights))
    _logger.info("Balanced class weights: %s", told)
    return replace(hyperparameters, class_weights=tuple(weights.tolist()))


def balanced(train: PairDataset, hyperparameters: Hyperparameters) -> np.ndarray:
    """Weights by which all classes count alike, float64 ``(num_classes,)``.

    For softmax ``n / (k n_c)`` for the ``n_c`` pairs of class c of n pairs of k classes that occur,
    as in scikit-learn; negatives that are drawn count as class 0. For multi_label the pairs without
    a class divided by those with it, as PyTorch's pos_weight is meant. Pairs count by their
    weights. The weight is 1 of a class that no pair has, or all have.
    """
    of_pairs = np.ones(len(train)) if train.weights is None else train.weights.astype(np.float64)
    classes = hyperparameters.num_classes
    if hyperparameters.is_multi_label:
        having = of_pairs @ train.labels
        parts, wholes = of_pairs.sum() - having, having
    else:
        wholes = np.bincount(train.labels.astype(np.int64), of_pairs, minlength=classes)
        wholes[0] += hyperparameters.negative_sampling_rate * wholes[1:].sum()
        parts = np.full(classes, wholes.sum() / np.count_nonzero(wholes))
    known = (parts > 0) & (wholes > 0)
    weights = np.where(known, parts, 1.0) / np.where(known, wholes, 1.0)
    item = BY_NAME["class_weights"]
    return np.clip(weights, item.minimum, item.maximum)
