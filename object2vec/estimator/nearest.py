# SPDX-License-Identifier: Apache-2.0
"""The Python API of nearest objects: which are found, and the index that is saved with a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

import numpy as np

from object2vec.data.arrays import TokenLists
from object2vec.data.negative_sampling import fingerprints
from object2vec.errors import CustomerError
from object2vec.estimator.asked_objects import (
    Objects,
    asked_pairs,
    looked_up,
    tell_unseen,
)
from object2vec.estimator.named_objects import (
    NamedLists,
    check_side,
    given_objects,
    vocabulary_objects,
)
from object2vec.estimator.scored_candidates import in_list, scored_classes
from object2vec.evaluation.ranking import check_k
from object2vec.model.stored_index import METRICS, StoredIndex
from object2vec.neighbours.build_index import EXACT_UP_TO, KINDS, with_cells
from object2vec.neighbours.index import Index
from object2vec.neighbours.kept_indexes import index_of
from object2vec.raw_values.encode_values import nearest as nearest_name
from object2vec.raw_values.inputs import SIDES, Inputs
from object2vec.raw_values.lookups import Lookups, are_known
from object2vec.raw_values.option_names import option
from object2vec.text import names, quoted

if TYPE_CHECKING:
    from object2vec.inference.predictor import Predictor
    from object2vec.prepare.delimited import Layout

_MOST_SUGGESTED = 3


class Neighbour(NamedTuple):
    """An object that was found, and its score: the higher the nearer, of a distance the lower."""

    name: str
    score: float


class Neighbours(list[Any]):
    """What `Finding.nearest` gives: a list of `Neighbour`, or of lists of them.

    Parameters
    ----------
    found : iterable
        What it holds.
    way : str
        How the objects were searched, in a sentence.
    seconds : float
        How long that took, without embedding what was asked about.
    """

    def __init__(self, found: Iterable[Any], way: str, seconds: float) -> None:
        super().__init__(found)
        self.way, self.seconds = way, seconds


class Finding:
    """What finds the nearest objects, where there is a model."""

    _predictor: Optional[Predictor]

    def nearest(
        self,
        in0: Any = None,
        in1: Any = None,
        k: int = 10,
        *,
        among: str = "in1",
        leave_out: Any = None,
        seen: Any = None,
        objects: Any = None,
        name: Optional[str] = None,
        metric: Optional[str] = None,
        class_: Any = None,
        layout: Optional[Layout] = None,
    ) -> Neighbours:
        """Find the nearest objects of one side to objects of the same side, or of the other.

        Objects of one side are compared by their embeddings, and none is found for itself. Those of
        the other side are ranked by the model's own scores, as `scores` gives them.

        Parameters
        ----------
        in0, in1 : object or iterable
            What is asked about; exactly one of the two is given. A single object, or several in a
            list, as `embed` takes them.
        k : int
            How many of each; fewer are found where there are no more.
        among : str
            ``in0`` or ``in1``: the side whose objects are found.
        leave_out : iterable, optional
            Objects of `among` that are not to be found. These, and what is asked about, may be
            called as the index calls them.
        seen : path, iterable of pairs, pandas.DataFrame, or table of Arrow, optional
            Pairs as `predict` takes them, such as the table that the model was trained on: what
            stands in them beside the object that is asked about is not to be found. Only for
            objects of the other side.
        objects, name : as for vectors
            The objects among which the nearest are found, and the column that names them, as for
            `vectors`. By default those of the index, if there is one, else all of the vocabulary.
        metric : str, optional
            How objects of one side are compared: ``cosine``, ``dot`` or ``euclidean``. By default
            as the index says, else by the cosine.
        class_ : optional
            For objects of the other side, of which one of `classes_` the scores are the
            probabilities; see `scores`.
        layout : object2vec.prepare.delimited.Layout, optional
            How files with separators are written.

        Returns
        -------
        Neighbours
            A list of ``(name, score)``, the nearest first; for several objects a list of such
            lists. The score is the cosine, the dot product, the Euclidean distance, or what
            `scores` gives. Its ``way`` says how the objects were searched, and ``seconds`` how long
            that took, without embedding what was asked about.

        Raises
        ------
        CustomerError
            One sentence that names the first object that is not right, or that training has not
            seen; or an argument, and what would be right.

        Examples
        --------
        >>> from object2vec import Object2Vec
        >>> model = Object2Vec(enc0_max_seq_len=1, enc0_vocab_size=4, enc_dim=8, epochs=1, seed=1)
        >>> pairs = [{"in0": [1], "in1": [2], "label": 1}, {"in0": [1], "in1": [3], "label": 0}]
        >>> model = model.fit(pairs)
        >>> len(model.nearest(in1=[2], k=10))
        3
        >>> [len(found) for found in model.nearest(in0=[[1], [3]], k=2, leave_out=[[0]])]
        [2, 2]
        """
        predictor = self._fitted()
        if (in0 is None) == (in1 is None):
            raise CustomerError("nearest takes exactly one of in0 and in1.")
        asked, given = ("in0", in0) if in0 is not None else ("in1", in1)
        check_k(k)
        check_side(among)
        if metric is not None and asked != among:
            raise CustomerError(
                f"{option('metric')} compares objects of one side, but for {asked} objects of "
                f"{among} are ranked by the model's scores: leave it out."
            )
        if asked == among and class_ is not None:
            raise CustomerError(
                f"{option('class_')} chooses scores of {asked} with the other side, but objects of "
                f"{among} are compared by their embeddings: leave it out."
            )
        if asked == among and seen is not None:
            raise CustomerError(
                f"seen holds pairs, which say nothing of objects of {among} for those of {asked}: "
                "leave it out, or give leave_out."
            )
        classes = None if asked == among else scored_classes(self.classes_, class_)
        several = in_list(predictor.inputs, given)
        index = self._index(among, objects, name, metric, layout)
        own_index = index if asked == among else index_of(predictor, asked)
        lists, lookups = _looked_up(predictor, asked, several, own_index)
        _refuse_unknown(predictor.inputs, asked, lists, several)
        tell_unseen({asked: lookups})
        left_out = self._left_out(index, asked, lists, leave_out, seen, layout)
        result = index.nearest(asked, lists, int(k), left_out, classes)
        found = [
            [
                Neighbour(index.names[place], score)
                for place, score in zip(each.places.tolist(), each.scores.tolist())
            ]
            for each in result.found
        ]
        own = found if several is given else found[0]
        return Neighbours(own, result.way, result.seconds)

    def build_index(
        self,
        side: str = "in1",
        objects: Any = None,
        *,
        name: Optional[str] = None,
        metric: str = "cosine",
        kind: str = "auto",
        recall: float = 0.95,
        others: Any = None,
        layout: Optional[Layout] = None,
    ) -> Index:
        """Embed objects of a side and keep them with the model, for `nearest` and for servers.

        `save` writes the index into the model directory. A later one of the same side takes its
        place, and `fit` leaves none.

        Parameters
        ----------
        side : str
            ``in0`` or ``in1``: whose objects are to be found.
        objects, name : as for vectors
            The objects, and the column that names them, as for `vectors`; by default all of the
            vocabulary.
        metric : str
            How objects of this side are compared: ``cosine``, ``dot`` or ``euclidean``.
        kind : str
            ``exact``: a search compares all. ``cells``: it looks into the nearest ones of the cells
            that the objects are shared out among; needs faiss
            (``pip install 'object2vec[neighbours]'``). ``auto``: cells for more than 100,000
            objects.
        recall : float
            Of cells, the share of the 10 nearest that is to be found; above 0, and at most 1, for
            which all cells are looked into.
        others : iterable, optional
            Of cells, objects of the other side, by which the cells for these are chosen; by default
            those of the vocabulary. Without any, their objects are scored with all of the index.
        layout : object2vec.prepare.delimited.Layout, optional
            How files with separators are written.

        Returns
        -------
        Index
            Its ``recall`` tells what share of the 10 nearest is found.

        Raises
        ------
        CustomerError
            An argument is not right, no vocabulary holds the side's objects, or faiss is missing.
        """
        predictor = self._fitted()
        check_side(side)
        _check_choice("metric", metric, METRICS)
        _check_choice("kind", kind, KINDS)
        if isinstance(recall, bool) or not isinstance(recall, (int, float)) or not 0 < recall <= 1:
            raise CustomerError(f"recall must be above 0 and at most 1, found {quoted(recall)}.")
        stored = self._stored(side, objects, name, metric, layout)
        if kind == "cells" or (kind == "auto" and len(stored) > EXACT_UP_TO):
            other = SIDES[1 - SIDES.index(side)]
            asking = self._asking(other, others, layout)
            stored = with_cells(stored, predictor, others=asking, recall=float(recall))
        predictor.indexes[side] = stored
        index = index_of(predictor, side)
        assert index is not None
        return index

    @property
    def indexes(self) -> dict[str, Index]:
        """The indexes that are kept with the model, by the side whose objects they hold."""
        if self._predictor is None:
            return {}
        found = {side: index_of(self._predictor, side) for side in self._predictor.indexes}
        return {side: index for side, index in found.items() if index is not None}

    def _index(
        self,
        side: str,
        objects: Any,
        name: Optional[str],
        metric: Optional[str],
        layout: Optional[Layout],
    ) -> Index:
        """What is searched: the index that is kept, or one of all objects that are asked for."""
        predictor = self._fitted()
        if metric is not None:
            _check_choice("metric", metric, METRICS)
        if objects is not None:
            stored = self._stored(side, objects, name, metric or "cosine", layout)
            return Index(stored, predictor)
        _check_name(name)
        kept = index_of(predictor, side)
        if kept is not None and metric in (None, kept.metric):
            return kept
        key = ("vocabulary", side, metric or "cosine")
        if key not in predictor.kept:
            stored = self._stored(side, None, name, metric or "cosine", layout)
            predictor.kept[key] = Index(stored, predictor)
        found = predictor.kept[key]
        assert isinstance(found, Index)
        return found

    def _stored(
        self, side: str, objects: Any, name: Optional[str], metric: str, layout: Optional[Layout]
    ) -> StoredIndex:
        predictor = self._fitted()
        named = _named(predictor, side, objects, name, layout)
        # what a table cannot hold but a Python text can has no place in JSON
        sound = tuple(text.encode(errors="replace").decode() for text in named.names)
        vectors = predictor.embeddings(SIDES.index(side), named.lists)
        return StoredIndex(side, sound, named.lists, vectors, metric)

    def _asking(self, side: str, objects: Any, layout: Optional[Layout]) -> Optional[TokenLists]:
        """Objects of the side that asks; None where no vocabulary has them all."""
        predictor = self._fitted()
        if objects is not None:
            return given_objects(predictor, side, objects, None, layout).lists
        try:
            return vocabulary_objects(predictor, side).lists
        except CustomerError:
            return None

    def _left_out(
        self,
        index: Index,
        asked: str,
        lists: TokenLists,
        leave_out: Any,
        seen: Any,
        layout: Optional[Layout],
    ) -> list[np.ndarray]:
        """For each object that is asked about the places of those that are not to be found."""
        predictor = self._fitted()
        always = np.zeros(0, np.int64)
        if leave_out is not None:
            given = in_list(predictor.inputs, leave_out)
            looked = looked_up(predictor.inputs, predictor.hyperparameters, index.side, given)
            called = given if isinstance(given, (list, tuple)) else ()
            left_out = index.stored.left_out(called, looked.lists, predictor.inputs)
            if not len(left_out.places):
                tell_unseen({index.side: looked.lookups})
            always = index.places(left_out)
        if seen is None:
            return [always] * len(lists)
        sides = asked_pairs(predictor.inputs, predictor.hyperparameters, seen, layout)
        encoders = predictor.hyperparameters.encoders
        askers, found = (
            sides[number].truncate(encoders[number].max_seq_len)
            for number in (SIDES.index(asked), SIDES.index(index.side))
        )
        numbers = fingerprints(askers)
        own = lists.truncate(encoders[SIDES.index(asked)].max_seq_len)
        each = (found.take(np.flatnonzero(numbers == number)) for number in fingerprints(own))
        known = (index.stored.left_out((), lists, predictor.inputs) for lists in each)
        return [np.union1d(always, index.places(left_out)) for left_out in known]

    def _fitted(self) -> Predictor:
        raise NotImplementedError

    @property
    def classes_(self) -> Optional[list[Any]]:
        """See `Answering.classes_`."""
        raise NotImplementedError


def _named(
    predictor: Predictor,
    side: str,
    objects: Any,
    name: Optional[str],
    layout: Optional[Layout],
) -> NamedLists:
    if objects is not None:
        return given_objects(predictor, side, objects, name, layout)
    _check_name(name)
    return vocabulary_objects(predictor, side)


def _check_name(name: Optional[str]) -> None:
    if name is not None:
        raise CustomerError(
            f"The column {quoted(name)} cannot name objects that are not given: give the table "
            "that holds it as objects."
        )


def _check_choice(option: str, value: Any, choices: Sequence[str]) -> None:
    if value not in choices:
        raise CustomerError(f"{option} must be {' or '.join(choices)}, found {quoted(value)}.")


def _looked_up(predictor: Predictor, side: str, values: Any, index: Optional[Index]) -> Objects:
    """Objects of a side, which may be called as the index of that side calls them."""
    looked = looked_up(predictor.inputs, predictor.hyperparameters, side, values)
    if index is None or not isinstance(values, (list, tuple)):
        return looked
    lists = index.stored.called(values, looked.lists, predictor.inputs)
    return looked if lists is looked.lists else Objects(lists, Lookups())


def _refuse_unknown(inputs: Optional[Inputs], side: str, lists: TokenLists, values: Any) -> None:
    """Refuse an object of which training has seen nothing: it has no place among the others."""
    if inputs is None:
        return
    unknown = np.flatnonzero(~are_known(inputs, side, lists))
    if not len(unknown):
        return
    row = int(unknown[0])
    value = values[row] if isinstance(values, (list, tuple)) else f"number {row}, counting from 0,"
    raise CustomerError(
        f"Training has seen nothing of the object {quoted(value)} of {side}"
        f"{_suggestion(inputs, side, value)}."
    )


def _suggestion(inputs: Inputs, side: str, value: Any) -> str:
    """Values that one may have meant."""
    if not isinstance(value, str):
        return ""
    words: Iterable[str] = inputs.words(side)[0]
    folded = value.casefold()
    holding = [word for word in words if folded and folded in word.casefold()]
    if holding:
        return f" (there are {names(sorted(holding, key=len), _MOST_SUGGESTED)})"
    return nearest_name(value, words)
