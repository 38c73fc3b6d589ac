# SPDX-License-Identifier: Apache-2.0
"""What a model is worth on pairs, as a report tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Optional

import numpy as np

from object2vec.assessment.asked import Asked
from object2vec.data.arrays import PairDataset
from object2vec.evaluation.intervals import Bootstrap
from object2vec.evaluation.results import Evaluation
from object2vec.inference.predictor import Predictor
from object2vec.report.charts import Spread
from object2vec.report.content import Judged

#: Pairs of a ranking; each is asked about among all candidates.
MOST_QUERIES = 5_000
_MOST_SPREADS = 12
_SEED = 0


def judge(
    predictor: Predictor, classes: Optional[Sequence[Any]], title: str, asked: Asked
) -> Judged:
    """Judge a model by pairs with the labels that it predicts, or by how it ranks.

    Parameters
    ----------
    predictor : Predictor
        The model.
    classes : sequence, optional
        What its classes are called.
    title : str
        What the pairs are called.
    asked : Asked
        What it is judged by, and what baselines know.
    """
    from object2vec.assessment.assess_pairs import assess_labels
    from object2vec.assessment.assess_ranking import Ranking, assess_ranking

    # as evaluate has it, so that both tell the same
    bootstrap = Bootstrap()
    if predictor.hyperparameters.is_contrastive:
        found = assess_ranking(predictor, _drawn(asked), Ranking(), bootstrap)
    else:
        found = assess_labels(predictor, asked, classes, bootstrap)
    return Judged(title, found, spreads_of(predictor, asked.pairs, found))


def spreads_of(predictor: Predictor, pairs: PairDataset, evaluation: Evaluation) -> list[Spread]:
    """Predicted beside true numbers, of each true number or of twelfths of them."""
    if evaluation.task != "numbers" or not predictor.hyperparameters.is_regression:
        return []
    predicted = predictor.scores(pairs.in0, pairs.in1).astype(np.float64)
    labels = pairs.labels.astype(np.float64)
    marks = np.unique(labels)
    if len(marks) > _MOST_SPREADS:
        marks = np.unique(np.quantile(labels, np.linspace(0, 1, _MOST_SPREADS + 1)))
        places = np.clip(np.searchsorted(marks, labels, side="right") - 1, 0, len(marks) - 2)
    else:
        places = np.searchsorted(marks, labels)
    found = []
    for place in np.unique(places):
        own = places == place
        low, middle, high = np.quantile(predicted[own], (0.1, 0.5, 0.9))
        at = float(np.median(labels[own]))
        found.append(Spread(at, float(low), float(middle), float(high), int(own.sum())))
    return found


def _drawn(asked: Asked) -> Asked:
    pairs = asked.pairs
    if len(pairs) <= MOST_QUERIES:
        return asked
    rows = np.sort(np.random.default_rng(_SEED).permutation(len(pairs))[:MOST_QUERIES])
    return replace(asked, pairs=pairs.take(rows), words=None, prints=None)
