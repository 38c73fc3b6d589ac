# SPDX-License-Identifier: Apache-2.0
"""The Python API of a fitted model: what it predicts, embeds and is worth."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union, overload

from object2vec.assessment.reported import reported
from object2vec.data.record_checks import check_positive
from object2vec.errors import CustomerError
from object2vec.estimator.answer_tables import check_output, embedded, scored
from object2vec.estimator.asked_objects import (
    asked_objects,
    asked_pairs,
    judged_pairs,
    readable,
    repeatable,
)
from object2vec.estimator.evaluate import EvaluationRequest, check_plain, evaluated
from object2vec.estimator.evaluated_data import DataRequest
from object2vec.estimator.scored_candidates import in_list, scored_classes
from object2vec.evaluation.ranking import check_k

if TYPE_CHECKING:
    import numpy as np
    import pandas

    from object2vec.evaluation.results import Evaluation
    from object2vec.inference.every_pair import Top
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
        classes = None if self._predictor is None else self._predictor.hyperparameters.classes
        if classes is None:
            return None
        found = self.inputs.label.classes if self.inputs is not None else ()
        return [*found, *range(len(found), classes)]

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
            float32: probabilities ``(n, num_classes)``, for multi_label of each class by itself,
            or predicted numbers ``(n,)`` for mean_squared_error, and dot products or cosines
            ``(n,)`` for in_batch_softmax; in the order of the pairs. A value that is missing, or
            was not seen in training, counts as unknown; a warning in the log says how many are.

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

    def scores(
        self, in0: Any, candidates: Any, k: Optional[int] = None, *, class_: Any = None
    ) -> Union[np.ndarray, Top]:
        """Score objects of in0 with every one of many candidates of in1.

        What `predict` gives for all these pairs, but each object is encoded once, and no pair is
        made. Where nothing but linear layers follows the comparators (``mlp_layers=0``, or
        ``mlp_activation="linear"``), ``hadamard`` and ``concat`` are one product of matrices.

        Parameters
        ----------
        in0 : iterable, pandas.DataFrame or table of Arrow
            Objects as `embed` takes them; or a single one: a list of ids, or a text, a number or a
            dict of a model that was trained on a table.
        candidates : iterable, pandas.DataFrame or table of Arrow
            Objects of in1, as `embed` takes them.
        k : int, optional
            Give the k best candidates of each in0 alone.
        class_ : optional
            Which one of `classes_` the scores are the probabilities of: the second one by default;
            needed where there are more than two, and for multi_label.

        Returns
        -------
        numpy.ndarray or Top
            float32, shape ``(n, m)``, n being 1 for a single object: probabilities, or predicted
            numbers for mean_squared_error. With `k` two arrays ``(n, k)``, best first: int64
            ``indices`` into the candidates and float32 ``scores``; k is m where m is less. They are
            in the order of the scores before rounding, which probabilities near 1 do not show.

        Raises
        ------
        CustomerError
            One sentence that names the first object that is not right, or says what k or class_
            should be.

        Examples
        --------
        >>> from object2vec import Object2Vec
        >>> model = Object2Vec(enc0_max_seq_len=1, enc0_vocab_size=4, enc_dim=8, epochs=1, seed=1)
        >>> pairs = [{"in0": [1], "in1": [2], "label": 1}, {"in0": [1], "in1": [3], "label": 0}]
        >>> model.fit(pairs).scores([1], [[0], [2], [3]]).shape
        (1, 3)
        >>> model.scores([[1], [2]], [[0], [2], [3]], k=2).indices.shape
        (2, 2)
        """
        predictor = self._fitted()
        if k is not None:
            check_k(k)
        is_one = not predictor.hyperparameters.is_multi_label
        classes = scored_classes(self.classes_, class_, has_opposite=is_one)
        first, second = (
            asked_objects(predictor.inputs, predictor.hyperparameters, side, objects)
            for side, objects in (("in0", in_list(predictor.inputs, in0)), ("in1", candidates))
        )
        if k is None:
            return predictor.candidate_scores(first, second, classes)
        return predictor.best_candidates(first, second, int(k), classes)

    @overload
    def evaluate(
        self, pairs: Table, *, layout: Optional[Layout] = None, task: None = None
    ) -> dict[str, float]: ...

    @overload
    def evaluate(
        self,
        pairs: Table,
        *,
        layout: Optional[Layout] = None,
        task: str,
        seen: Optional[Table] = None,
        candidates: Any = None,
        label: Optional[str] = None,
        weight: Optional[Union[str, int]] = None,
        relevant_from: Optional[float] = None,
        k: Union[int, Sequence[int], None] = None,
        by: str = "score",
        sampled: Optional[int] = None,
        hybrid: Optional[float] = None,
        threshold: Optional[float] = None,
        resamples: int = 1000,
        confidence: float = 0.95,
        seed: int = 0,
    ) -> Evaluation: ...

    def evaluate(
        self,
        pairs: Table,
        *,
        layout: Optional[Layout] = None,
        task: Optional[str] = None,
        seen: Optional[Table] = None,
        candidates: Any = None,
        label: Optional[str] = None,
        weight: Optional[Union[str, int]] = None,
        relevant_from: Optional[float] = None,
        k: Union[int, Sequence[int], None] = None,
        by: str = "score",
        sampled: Optional[int] = None,
        hybrid: Optional[float] = None,
        threshold: Optional[float] = None,
        resamples: int = 1000,
        confidence: float = 0.95,
        seed: int = 0,
    ) -> Union[dict[str, float], Evaluation]:
        """Score labelled pairs against their labels, or rank what belongs together.

        Parameters
        ----------
        pairs : path, iterable of mappings, pandas.DataFrame, or table of Arrow
            As for `fit`; a model that was trained on a table takes one with the same columns, and
            raw values in the place of ids. A label that is a text names a class. Where there are no
            labels, negatives are drawn as for the validation of `fit`, from these pairs alone.
        layout : object2vec.prepare.delimited.Layout, optional
            How files with separators are written, as in training.
        task : str, optional
            Without it, the few measures that training reports. ``labels``: all measures of classes
            or numbers. ``ranking``: where the in1 of a pair stands among all candidates for its
            in0. ``correlation``: how scores and cosines go with labels that are numbers, as of
            semantic textual similarity. ``auto``: ``ranking`` for in_batch_softmax, else
            ``labels``. All that follows belongs to a task.
        seen : like pairs, optional
            What was known before, as a rule the pairs for training: in a ranking they are no
            candidates for their in0 again, and tell what is popular; of labels they tell the means
            and shares that baselines guess. Without it a baseline of labels knows those that it is
            judged by.
        candidates : like what `embed` takes as in1, or path, optional
            Objects of in1 that are ranked beside those of `pairs` and `seen`.
        label : str, optional
            The column of the labels, where it is another one than in training.
        weight : str or int, optional
            The column of weights of a table: how much a pair counts; not for rankings.
        relevant_from : float, optional
            The smallest label of a pair that belongs together, such as 4 stars; by default any but
            0.
        k : int or sequence of int, optional
            How far down a ranking hits count; 10 by default.
        by : str
            What orders candidates: the model's ``score``, or ``cosine`` or ``dot`` of embeddings.
        sampled : int, optional
            Rank among so many candidates that are drawn for each query, instead of all. Such
            figures are higher, and may order models otherwise (Krichene and Rendle, 2020).
        hybrid : float, optional
            Rank by the score plus so many times the cosine of TF-IDF vectors, too; where both sides
            are texts.
        threshold : float, optional
            Of multi_label: a pair has the classes whose probability is above it; 0.5 by default.
        resamples : int
            How often the bootstrap draws pairs or queries for the intervals; 0 for no intervals.
        confidence : float
            Of the intervals.
        seed : int
            Of all draws.

        Returns
        -------
        dict of str to float, or Evaluation
            Without a task ``cross_entropy``, ``accuracy`` and ``perplexity``, or
            ``mean_squared_error`` and ``mean_absolute_error``; means over the pairs. For
            multi_label ``cross_entropy``, the mean over pairs and classes, and ``micro_f1`` of the
            classes whose probability is above 0.5. For in_batch_softmax the first three are of
            finding each in1 by its in0 among all in1 of the pairs, at most 10,000. Texts that are
            given once, as both sides, are judged by parts, as in validation. Rows of a table that
            lack a value are left out. With a task an `object2vec.Evaluation`.

        Raises
        ------
        CustomerError
            One sentence that names the first pair that is not right; also where no value at all of
            a column was seen in training.
        """
        predictor = self._fitted()
        data = DataRequest(pairs, seen, candidates, layout, label, weight, relevant_from)
        request = EvaluationRequest(
            task, k, by, sampled, hybrid, threshold, resamples, confidence, seed
        )
        if task is not None:
            return evaluated(predictor, self.classes_, request, data)
        check_plain(request, data)
        judged = judged_pairs(predictor.inputs, predictor.hyperparameters, pairs, layout)
        check_positive(judged, predictor.hyperparameters, "evaluated")
        return reported(predictor, judged)

    def _fitted(self) -> Predictor:
        if self._predictor is None:
            raise CustomerError("This Object2Vec is not fitted yet: call fit, or load a model.")
        return self._predictor
