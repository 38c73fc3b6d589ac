# SPDX-License-Identifier: Apache-2.0
"""Chooses what a model is judged by, and judges it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from object2vec.data.record_checks import check_positive
from object2vec.errors import CustomerError
from object2vec.estimator.evaluated_data import DataRequest, asked_data, check_number
from object2vec.evaluation.intervals import Bootstrap
from object2vec.raw_values.option_names import option
from object2vec.text import quoted

if TYPE_CHECKING:
    from object2vec.assessment.assess_ranking import Ranking
    from object2vec.evaluation.results import Evaluation
    from object2vec.hyperparameters.checked import Hyperparameters
    from object2vec.inference.predictor import Predictor

AUTO = "auto"
TASKS = (AUTO, "labels", "ranking", "correlation")
# What means something to rankings alone.
_OF_RANKING = ("candidates", "relevant_from", "k", "by", "sampled", "hybrid")


@dataclass(frozen=True)
class EvaluationRequest:
    """What `Object2Vec.evaluate` is asked, but for its data; see there."""

    task: Optional[str] = None
    k: Any = None
    by: str = "score"
    sampled: Optional[int] = None
    hybrid: Optional[float] = None
    threshold: Optional[float] = None
    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.task is not None and self.task not in TASKS:
            raise CustomerError(
                f"{option('task')} must be {', '.join(TASKS)}, found {quoted(self.task)}."
            )
        given = self.threshold
        is_number = isinstance(given, (int, float)) and not isinstance(given, bool)
        if given is not None and not (is_number and 0 < given < 1):
            raise CustomerError(
                f"{option('threshold')} must be a number between 0 and 1, such as 0.2, found "
                f"{quoted(given)}."
            )

    def task_of(self, hyperparameters: Hyperparameters) -> str:
        """The task, where it is left to the model: labels, but where it learns to find."""
        if self.task is not None and self.task != AUTO:
            return self.task
        return "ranking" if hyperparameters.is_contrastive else "labels"

    @property
    def bootstrap(self) -> Bootstrap:
        """How intervals are found."""
        return Bootstrap(self.resamples, self.confidence, self.seed)

    @property
    def ranking(self) -> Ranking:
        """How candidates are ranked."""
        from object2vec.assessment.assess_ranking import Ranking

        k = self.k
        if k is None:
            k = (10,)
        elif isinstance(k, Iterable) and not isinstance(k, (str, bytes)):
            k = tuple(k)
        else:
            k = (k,)
        return Ranking(k, self.by, self.sampled, self.hybrid)


def evaluated(
    predictor: Predictor,
    classes: Optional[Sequence[Any]],
    request: EvaluationRequest,
    data: DataRequest,
) -> Evaluation:
    """Judge a model; see `Object2Vec.evaluate`.

    Parameters
    ----------
    predictor : Predictor
        The model.
    classes : sequence, optional
        What its classes are called; None where it has none.
    request : EvaluationRequest
        What is asked.
    data : DataRequest
        By which data.

    Raises
    ------
    CustomerError
        One sentence about the first thing that is not right.
    """
    hyperparameters = predictor.hyperparameters
    bootstrap, ranking = request.bootstrap, request.ranking
    check_number(option("relevant_from"), data.relevant_from)
    task = request.task_of(hyperparameters)
    if task != "ranking":
        _check_unused(request, data, task)
    elif data.weight is not None:
        raise CustomerError(
            f"{option('weight')} means nothing to a ranking, whose queries all count alike, but "
            f"{option('task')} is 'ranking': leave it out."
        )
    if task == "labels" and hyperparameters.is_contrastive:
        raise CustomerError(
            f"{option('task')} is 'labels', but a model for in_batch_softmax predicts none: take "
            "'ranking' or 'correlation'."
        )
    if task != "labels" and hyperparameters.is_multi_label:
        raise CustomerError(
            f"{option('task')} is {quoted(task)}, but a pair of a model for multi_label has no one "
            "score: take 'labels'."
        )
    if request.threshold is not None and not hyperparameters.is_multi_label:
        raise CustomerError(
            f"{option('threshold')} means something to models for multi_label alone, but the "
            f"output_layer of this one is {quoted(hyperparameters.output_layer)}."
        )
    asked = asked_data(predictor.inputs, hyperparameters, data.of_task(task, hyperparameters))
    if task == "ranking":
        from object2vec.assessment.assess_ranking import assess_ranking

        if data.relevant_from is None:
            check_positive(asked.pairs, hyperparameters, "evaluated")
        return assess_ranking(predictor, asked, ranking, bootstrap, _relevant_classes(
            hyperparameters, classes, data.relevant_from
        ))  # fmt: skip
    from object2vec.assessment.assess_pairs import THRESHOLD, assess_correlation, assess_labels

    if task == "correlation":
        return assess_correlation(predictor, asked, bootstrap)
    threshold = THRESHOLD if request.threshold is None else request.threshold
    return assess_labels(predictor, asked, classes, bootstrap, threshold)


def check_plain(request: EvaluationRequest, data: DataRequest) -> None:
    """Raise a CustomerError if something is given that needs a task."""
    given = _given(request, data)
    if given:
        raise CustomerError(f"{given[0]} can only be used together with task, such as task='auto'.")


def _check_unused(request: EvaluationRequest, data: DataRequest, task: str) -> None:
    given = [name for name in _given(request, data) if name in _OF_RANKING]
    if given:
        raise CustomerError(
            f"{option(given[0])} means something to rankings alone, but {option('task')} is "
            f"{quoted(task)}."
        )


def _given(request: EvaluationRequest, data: DataRequest) -> list[str]:
    """The names of what differs from its default."""
    plain = {**vars(DataRequest(data.pairs, layout=data.layout)), **vars(EvaluationRequest())}
    found = {**vars(data), **vars(request)}
    return [
        name
        for name, value in found.items()
        if value is not plain[name]
        and not (isinstance(value, (str, int, float)) and value == plain[name])
    ]


def _relevant_classes(
    hyperparameters: Hyperparameters,
    classes: Optional[Sequence[Any]],
    relevant_from: Optional[float],
) -> Optional[tuple[int, ...]]:
    """The classes whose probability is the score of a pair, None for all but the first."""
    if classes is None or relevant_from is None:
        return None
    if any(isinstance(name, str) for name in classes):
        return None
    found = tuple(place for place, name in enumerate(classes) if name >= relevant_from)
    return found if 0 < len(found) < len(classes) else None
