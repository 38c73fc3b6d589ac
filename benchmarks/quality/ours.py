# SPDX-License-Identifier: Apache-2.0
"""Object2Vec as a contestant, through its Python API: by a recipe, or in a published setting."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import numpy as np

from benchmarks.quality.exams import Answer, Lessons
from benchmarks.turns import ROOT
from object2vec import Object2Vec
from object2vec.raw_values.encode_values import encode_side

PUBLISHED = json.loads(
    Path(ROOT, "tests/data/published_hyperparameters.json").read_text(encoding="utf-8")
)
# Where they come from a table they need not be given, and a job's devices are no parameters.
_OF_THE_DATA = ("max_seq_len", "vocab_size", "_file")


class Ours:
    """Trains on a table that is made of the lessons.

    Parameters
    ----------
    name : str
        Begins with ``ours``.
    columns : dict
        What `Object2Vec.from_table` is told of the data: columns, one vocabulary for both sides,
        where long texts are cut.
    table : callable
        Rows of the lessons and a seed to a data frame.
    answers : callable
        A fitted model to its ways of answering.
    preset : str, optional
        The recipe; None for the defaults of the hyperparameters.
    settings : dict, optional
        Hyperparameters: none for a recipe.
    stops : bool
        Whether the validation part decides the epoch; the model is then trained anew on both
        parts, where the task wants that. Else all is trained at once.
    """

    needs: tuple[str, ...] = ()
    is_seeded = True

    def __init__(
        self,
        name: str,
        columns: dict[str, Any],
        table: Callable[[Any, int], Any],
        answers: Callable[[Object2Vec], dict[str, Answer]],
        *,
        preset: Optional[str],
        settings: Optional[dict[str, Any]] = None,
        stops: bool,
    ) -> None:
        self.name = name
        self.given: dict[str, Any] = {}
        self._columns, self._table, self._answers = columns, table, answers
        self._preset, self._settings, self._stops = preset, settings or {}, stops

    def grid(self) -> list[dict[str, Any]]:
        """The one setting, with what was given on the command line."""
        return [{"preset": self._preset, **self._settings, **self.given}]

    def fit(self, lessons: Lessons, setting: dict[str, Any], seed: int) -> dict[str, Answer]:
        """Train; see `exams.Contestant`."""
        columns: dict[str, Any] = {**self._columns, **setting, "seed": seed}
        if self._stops:
            columns["validation"] = self._table(lessons.validation, seed)
            columns["refit"] = lessons.with_validation
            rows = lessons.train
        else:
            rows = lessons.rows
        return self._answers(Object2Vec.from_table(self._table(rows, seed), **columns))


def published(name: str) -> dict[str, Any]:
    """A published set of hyperparameters, without what a table says by itself."""
    return {
        key: {"true": True, "false": False}.get(value, value)
        for key, value in PUBLISHED[name].items()
        if not key.startswith("_") and not key.endswith(_OF_THE_DATA)
    }


def all_scores(model: Object2Vec, in0: list[Any], in1: list[Any]) -> np.ndarray:
    """How well each object of one side goes with each of the other, by the model's own scorer.

    Parameters
    ----------
    model : Object2Vec
        Fitted on a table.
    in0, in1 : list
        Raw values, as `Object2Vec.embed` takes them.

    Returns
    -------
    numpy.ndarray
        float32 ``(len(in0), len(in1))``: the odds, as a logarithm, of the last class, the predicted
        number, or the similarity.
    """
    predictor, inputs = model._fitted(), model.inputs
    assert inputs is not None
    lists = encode_side(inputs, "in0", in0), encode_side(inputs, "in1", in1)
    settings = predictor.hyperparameters
    last = (settings.num_classes - 1,) if settings.output_layer == "softmax" else None
    return predictor.candidate_scores(*lists, classes=last, as_log_odds=True)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1; those of length 0 stay."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def by_embeddings(embed: Callable[[Any], tuple[np.ndarray, np.ndarray]]) -> dict[str, Answer]:
    """Two ways of answering with exported embeddings of both sides: dot product and cosine."""

    def dot(questions: Any) -> np.ndarray:
        left, right = embed(questions)
        return left @ right.T

    def cosine(questions: Any) -> np.ndarray:
        left, right = embed(questions)
        return unit(left) @ unit(right).T

    return {"dot product": dot, "cosine": cosine}
