# SPDX-License-Identifier: Apache-2.0
"""Judges a model by labels of pairs: classes, numbers, or how alike two objects are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Optional

import numpy as np

from object2vec.assessment.asked import Asked
from object2vec.evaluation.calibration import Calibration
from object2vec.evaluation.classification import confusion_matrix, micro_f1_by_threshold
from object2vec.evaluation.guesses import (
    guessed_classes,
    guessed_label_sets,
    guessed_numbers,
)
from object2vec.evaluation.intervals import Bootstrap
from object2vec.evaluation.results import MODEL, Confusion, Evaluation, Histogram
from object2vec.evaluation.statistics import (
    Statistics,
    of_classes,
    of_label_sets,
    of_numbers,
    of_scores,
    of_similarities,
)
from object2vec.evaluation.tfidf import pair_cosines
from object2vec.inference.predictor import Predictor
from object2vec.inference.similarities import similarities
from object2vec.inference.sound_answers import finite

TFIDF = "TF-IDF"
#: Above this probability a pair has a class, where it may have several.
THRESHOLD = 0.5
_THRESHOLDS = np.arange(1, 100) / 100
_WORTH_TELLING = 0.01  # of micro F1, by another threshold
_RESIDUAL_BINS = 20
_NO_KNOWN = "Without known pairs the baseline knows the labels that it is judged by."


def assess_labels(
    predictor: Predictor,
    asked: Asked,
    names: Optional[Sequence[Any]],
    bootstrap: Bootstrap,
    threshold: float = THRESHOLD,
) -> Evaluation:
    """Judge a model by what it predicts: classes, of which a pair has one or several, or numbers.

    Parameters
    ----------
    predictor : Predictor
        The model.
    asked : Asked
        Pairs with such labels.
    names : sequence, optional
        What the classes are called; None of numbers.
    bootstrap : Bootstrap
        How intervals are found.
    threshold : float
        See `assess_label_sets`.
    """
    if predictor.hyperparameters.is_multi_label:
        return assess_label_sets(predictor, asked, bootstrap, threshold)
    if names is None:
        return assess_numbers(predictor, asked, bootstrap)
    return assess_classes(predictor, asked, names, bootstrap)


def assess_classes(
    predictor: Predictor, asked: Asked, names: Sequence[Any], bootstrap: Bootstrap
) -> Evaluation:
    """Judge predicted classes.

    Parameters
    ----------
    predictor : Predictor
        A model with classes.
    asked : Asked
        Labels are numbers of classes.
    names : sequence
        What the classes are called.
    bootstrap : Bootstrap
        How intervals are found.
    """
    pairs, count = asked.pairs, len(names)
    labels = pairs.labels.astype(np.int64)
    outputs = np.empty((len(pairs), count), np.float32)
    predictor.loss_sums(pairs, outputs=outputs)
    log_probabilities = _log_softmax(finite(outputs, "scores"))
    statistics = {MODEL: of_classes(labels, log_probabilities)}
    for name, guess in guessed_classes(pairs, asked.known, count).items():
        statistics[name] = of_classes(labels, guess)
    if count == 2 and asked.words is not None:
        cosines = pair_cosines(asked.words.in0, asked.words.in1)
        statistics[TFIDF] = of_scores([labels == 1], [cosines])
    predicted = log_probabilities.argmax(axis=1)
    confident = np.minimum(np.exp(log_probabilities.max(axis=1)), 1)
    return _evaluation(
        "classes", asked, statistics, bootstrap,
        confusion=Confusion(
            [str(name) for name in names], confusion_matrix(labels, predicted, count).tolist()
        ),
        reliability=Calibration(confident, predicted == labels).bins(),
    )  # fmt: skip


def assess_label_sets(
    predictor: Predictor, asked: Asked, bootstrap: Bootstrap, threshold: float = THRESHOLD
) -> Evaluation:
    """Judge predicted classes of which a pair may have several; see `assess_classes`.

    Parameters
    ----------
    predictor, asked, bootstrap
        See `assess_classes`.
    threshold : float
        Between 0 and 1: a pair has the classes whose probability is above it, and a baseline's
        those whose share is.
    """
    pairs = asked.pairs
    labels = pairs.labels > 0
    outputs = np.empty(labels.shape, np.float32)
    predictor.loss_sums(pairs, outputs=outputs)
    log_odds = finite(outputs, "scores").astype(np.float64)
    least = _log_odds(threshold)
    statistics = {MODEL: of_label_sets(labels, log_odds, least)}
    for name, guess in guessed_label_sets(pairs, asked.known).items():
        statistics[name] = of_label_sets(labels, guess, least)
    found = _evaluation("label sets", asked, statistics, bootstrap)
    by_threshold = micro_f1_by_threshold(labels, log_odds, _log_odds(_THRESHOLDS), pairs.weights)
    best = int(by_threshold.argmax())
    notes = list(found.notes)
    if by_threshold[best] > found["micro_f1"] + _WORTH_TELLING:
        notes.append(
            f"With the threshold {_THRESHOLDS[best]:g} in the place of {threshold:g}, the best one "
            f"here, micro_f1 would be {by_threshold[best]:.4f}: choose it on validation pairs."
        )
    return replace(found, settings={**found.settings, "threshold": threshold}, notes=notes)


def assess_numbers(predictor: Predictor, asked: Asked, bootstrap: Bootstrap) -> Evaluation:
    """Judge predicted numbers; see `assess_classes`."""
    pairs = asked.pairs
    labels = pairs.labels.astype(np.float64)
    predicted = predictor.scores(pairs.in0, pairs.in1).astype(np.float64)
    statistics = {MODEL: of_numbers(labels, predicted)}
    for name, guess in guessed_numbers(pairs, asked.known, asked.prints).items():
        statistics[name] = of_numbers(labels, guess)
    counts, edges = np.histogram(predicted - labels, _RESIDUAL_BINS)
    return _evaluation(
        "numbers", asked, statistics, bootstrap,
        residuals=Histogram(edges.tolist(), counts.tolist()),
    )  # fmt: skip


def assess_correlation(predictor: Predictor, asked: Asked, bootstrap: Bootstrap) -> Evaluation:
    """Judge how the scores of pairs, and the cosines of their embeddings, go with their labels.

    The score of a pair is the predicted number, the dot product or cosine of a model that learns
    these, the probability of the second of two classes, or the mean number of several.
    """
    pairs = asked.pairs
    labels = pairs.labels.astype(np.float64)
    scores = predictor.scores(pairs.in0, pairs.in1).astype(np.float64)
    notes = []
    if scores.ndim == 2:
        classes = scores.shape[1]
        scores = scores @ np.arange(classes)
        if classes > 2:
            notes.append(
                f"The model's score of a pair is the mean number of its class, of 0 to "
                f"{classes - 1}: where these are in no order, it says nothing."
            )
    vectors = [predictor.embeddings(side, own) for side, own in enumerate((pairs.in0, pairs.in1))]
    cosines = similarities(vectors[0], vectors[1], "cosine").astype(np.float64)
    statistics = {
        MODEL: of_similarities(labels, scores),
        "cosine of embeddings": of_similarities(labels, cosines),
    }
    if asked.words is not None:
        of_words = pair_cosines(asked.words.in0, asked.words.in1)
        statistics[TFIDF] = of_similarities(labels, of_words)
    found = _evaluation("correlation", asked, statistics, bootstrap)
    return replace(found, notes=[*notes, *found.notes])


def _evaluation(
    task: str, asked: Asked, statistics: dict[str, Statistics], bootstrap: Bootstrap, **more: Any
) -> Evaluation:
    pairs = asked.pairs
    found = bootstrap.measures(len(pairs), statistics, pairs.weights)
    measures = found.pop(MODEL)
    lacking = [name for name in statistics[MODEL] if name not in measures]
    notes = [f"Not defined for these labels: {', '.join(lacking)}."] if lacking else []
    if asked.known is None and task != "correlation":
        notes.append(_NO_KNOWN)
    settings = {"weighted": pairs.weights is not None, **vars(bootstrap)}
    return Evaluation(task, len(pairs), measures, found, settings=settings, notes=notes, **more)


def _log_odds(probabilities: Any) -> Any:
    return np.log(probabilities) - np.log1p(-probabilities)


def _log_softmax(outputs: np.ndarray) -> np.ndarray:
    exact = outputs.astype(np.float64)
    exact -= exact.max(axis=1, keepdims=True)
    return exact - np.log(np.exp(exact).sum(axis=1, keepdims=True))
