# SPDX-License-Identifier: Apache-2.0
"""The Python API of a fitted model: what it predicts, embeds and is worth."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

from object2vec.errors import CustomerError
from object2vec.estimator.answer_tables import check_output, embedded, scored
from object2vec.estimator.asked_objects import (
    asked_objects,
    asked_pairs,
    judged_pairs,
    readable,
    repeatable,
)
from object2vec.evaluation.metrics import MetricAccumulator

if TYPE_CHECKING:
    import pandas

    from object2vec.inference.predictor import Predictor
    from object2vec.prepare.delimited import Layout
    from object2vec.raw_values.inputs import Inputs

    Records = Union[Iterable[Mapping[str, Any]], pandas.DataFrame]
    PathLike = Union[str, os.PathLike[str]]
    Data = Union[PathLike, Records]
    Table = Union[Data, Sequence[PathLike]]


class Answering:
    """What answers with a model, where there is one."""

    _predictor: Optional[Predictor]

    @property
    def inputs(self) -> Optional[Inputs]:
        """What the ids of a fitted model stand for; None where it was trained on ids."""
        return None if self._predictor is None else self._predictor.inputs

    @property
    def classes_(self) -> Optional[list[Any]]:
        """What the columns of `predict` are: names of classes, else their numbers from 0 on.

        None of a model that predicts numbers, or is not fitted.
        """
        if self._predictor is None or self._predictor.hyperparameters.is_regression:
            return None
        found = self.inputs.label.classes if self.inputs is not None else ()
        return [*found, *range(len(found), self._predictor.hyperparameters.num_classes)]

    def predict(
        self, pairs: Data, output: str = "numpy", *, layout: Optional[Layout] = None
    ) -> Any:
        """Score pairs.

        Parameters
        ----------
        pairs : iterable of mappings or (in0, in1) tuples, pandas.DataFrame, path, table of Arrow
            ``in0`` and ``in1`` are lists of token ids; a label is ignored. A model that was trained
            on a table takes raw values in their place: the value of a side's first column, or a
            dict of its columns. It takes rows of that table as well, whose columns are found by
            their names. Ids, values and rows may stand beside each other in an iterable.
        output : str
            ``numpy``; or ``pandas`` or ``arrow`` for a table: the columns of `pairs`, and
            ``predicted``, or ``probability_…`` for each of `classes_`.
        layout : object2vec.prepare.delimited.Layout, optional
            How files with separators are written, as in training.

        Returns
        -------
        numpy.ndarray, pandas.DataFrame or pyarrow.Table
            float32: probabilities ``(n, num_classes)``, or predicted numbers ``(n,)`` for
            mean_squared_error; in the order of the pairs. A value that is missing, or was not
            seen in training, counts as unknown; a warning in the log says how many are.

        Raises
        ------
        CustomerError
            One sentence that names the first pair that is not right.
        """
        predictor = self._fitted()
        check_output(output)
        if output != "numpy":
            pairs = readable(predictor.inputs, pairs, layout)
        in0, in1 = asked_pairs(predictor.inputs, predictor.hyperparameters, pairs, layout)
        scores = predictor.scores(in0, in1)
        return scores if output == "numpy" else scored(pairs, scores, self.classes_, output)

    def embed(self, in0: Any = None, in1: Any = None, output: str = "numpy") -> Any:
        """Embed objects of one side.

        Parameters
        ----------
        in0, in1 : iterable, pandas.DataFrame or table of Arrow
            Lists of token ids; exactly one of the two is given and chooses the encoder. Of a model
            that was trained on a table also raw values: of the side's first column, dicts of its
            columns, of which absent ones count as missing, or a frame that has them all.
        output : str
            ``numpy``; ``pandas`` for a frame with the columns 0 to enc_dim - 1 whose index are the
            objects; ``arrow`` for a table with the column ``embedding``, a list each.

        Returns
        -------
        numpy.ndarray, pandas.DataFrame or pyarrow.Table
            float32 ``(n, enc_dim)``. Of unseen values see `predict`.

        Raises
        ------
        CustomerError
            One sentence that names the first object that is not right.
        """
        predictor = self._fitted()
        check_output(output)
        if (in0 is None) == (in1 is None):
            raise CustomerError("embed takes exactly one of in0 and in1.")
        side, values = ("in0", in0) if in0 is not None else ("in1", in1)
        if output != "numpy":
            values = repeatable(values)
        lists = asked_objects(predictor.inputs, predictor.hyperparameters, side, values)
        vectors = predictor.embeddings(int(side[-1]), lists)
        if output == "numpy":
            return vectors
        return embedded(values, vectors, predictor.inputs, side, output)

    def evaluate(self, pairs: Table, *, layout: Optional[Layout] = None) -> dict[str, float]:
        """Score labelled pairs against their labels.

        Parameters
        ----------
        pairs : path, iterable of mappings, pandas.DataFrame, or table of Arrow
            As for `fit`; a model that was trained on a table takes one with the same columns, and
            raw values in the place of ids. A label that is a text names a class. Where there are no
            labels, negatives are drawn as for the validation of `fit`, from these pairs alone.
        layout : object2vec.prepare.delimited.Layout, optional
            How files with separators are written, as in training.

        Returns
        -------
        dict of str to float
            ``cross_entropy``, ``accuracy`` and ``perplexity``, or ``mean_squared_error`` and
            ``mean_absolute_error``; means over the pairs. Rows of a table that lack a value are
            left out.

        Raises
        ------
        CustomerError
            One sentence that names the first pair that is not right; also where no value at all of
            a column was seen in training.
        """
        predictor = self._fitted()
        data = judged_pairs(predictor.inputs, predictor.hyperparameters, pairs, layout)
        accumulator = MetricAccumulator(predictor.hyperparameters.is_regression)
        loss, score = predictor.loss_sums(data)
        accumulator.update(loss, score, len(data))
        return accumulator.values()

    def _fitted(self) -> Predictor:
        if self._predictor is None:
            raise CustomerError("This Object2Vec is not fitted yet: call fit, or load a model.")
        return self._predictor
