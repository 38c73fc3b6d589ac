# SPDX-License-Identifier: Apache-2.0
"""What `evaluate` is given, as token lists: pairs, known pairs, candidates, and their words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np

from object2vec.assessment.asked import Asked, Words
from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.negative_sampling import joined_pairs, judged_negatives
from object2vec.errors import CustomerError
from object2vec.estimator.asked_objects import (
    asked_objects,
    columns_of,
    labelled_pairs,
    readable,
    repeatable,
)
from object2vec.estimator.named_objects import objects_of_files
from object2vec.evaluation.retrieval import Prints
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.hyperparameters.table import INT32_MAX
from object2vec.raw_values.inputs import SIDES, Inputs, Label, Vocabulary
from object2vec.raw_values.option_names import option
from object2vec.text import quoted

if TYPE_CHECKING:
    from object2vec.prepare.delimited import Layout


@dataclass(frozen=True)
class DataRequest:
    """What is said of the data; see `Object2Vec.evaluate`.

    Parameters
    ----------
    pairs, seen, candidates
        The data.
    layout : Layout, optional
        How files with separators are written.
    label, weight : str, optional
        Columns.
    relevant_from : float, optional
        The smallest label of a positive pair.
    any_number : bool
        Whether labels are numbers, whatever the model predicts.
    draws_negatives : bool
        Whether pairs without labels get negatives, as in validation.
    with_raw : bool
        Whether it is wanted what raw values say that ids do not.
    """

    pairs: Any
    seen: Any = None
    candidates: Any = None
    layout: Optional[Layout] = None
    label: Optional[str] = None
    weight: Optional[Union[str, int]] = None
    relevant_from: Optional[float] = None
    any_number: bool = False
    draws_negatives: bool = False
    with_raw: bool = True

    def of_task(self, task: str, hyperparameters: Hyperparameters) -> DataRequest:
        """With what a task, but for ``auto``, asks of the data."""
        labels = task == "labels"
        return replace(
            self,
            any_number=task == "correlation",
            draws_negatives=labels,
            with_raw=not labels or hyperparameters.classes == 2 or self.seen is not None,
        )


def asked_data(
    inputs: Optional[Inputs], hyperparameters: Hyperparameters, request: DataRequest
) -> Asked:
    """Read all that a model is judged by.

    Parameters
    ----------
    inputs : Inputs, optional
        None for a model that takes ids alone.
    hyperparameters : Hyperparameters
        Of the model.
    request : DataRequest
        The data.

    Raises
    ------
    CustomerError
        One sentence that names the first thing that is not right.
    """
    if request.any_number or request.relevant_from is not None:
        hyperparameters = replace(hyperparameters, output_layer="mean_squared_error")
    if request.label is not None:
        if inputs is None:
            raise CustomerError(
                f"{option('label')} names a column of a table, but this model was trained on ids: "
                "its pairs have their labels under the key label."
            )
        kind = inputs.label.kind
        if request.any_number or request.relevant_from is not None or kind == "none":
            inputs = replace(inputs, label=Label("number", request.label))
        else:
            inputs = replace(inputs, label=replace(inputs.label, name=request.label))
    sources = {
        name: None if data is None else readable(inputs, repeatable(data), request.layout)
        for name, data in (("evaluated", request.pairs), ("seen", request.seen))
    }
    others = _Candidates(request.candidates, request.layout)
    reading = _Reading(inputs, hyperparameters, request)
    pairs = reading.pairs(sources["evaluated"], "evaluated")
    known = None if sources["seen"] is None else reading.pairs(sources["seen"], "seen")
    more = others.lists(inputs, hyperparameters)
    asked = Asked(pairs, known, more)
    if inputs is not None and request.with_raw and not any(map(_holds_ids, sources.values())):
        asked = _with_raw(asked, inputs, hyperparameters, request, sources, others)
    elif hyperparameters.tied_token_embedding_weight and not _are_single(pairs):
        # ids of one vocabulary are words, whatever they are called
        words = Words(pairs.in0, pairs.in1, None if known is None else known.in1, more)
        asked = replace(asked, words=words)
    if request.draws_negatives:
        asked = _with_negatives(asked, inputs, hyperparameters)
    pairs, known = asked.pairs, asked.known
    if request.relevant_from is not None:
        pairs = replace(pairs, labels=(pairs.labels >= request.relevant_from).astype(np.float32))
        # what was known before is no recommendation, whatever its label
        known = None if known is None else replace(known, labels=np.ones_like(known.labels))
    return replace(asked, pairs=pairs, known=known)


@dataclass(frozen=True)
class _Reading:
    inputs: Optional[Inputs]
    hyperparameters: Hyperparameters
    request: DataRequest
    told: bool = True

    def pairs(self, data: Any, channel: str) -> PairDataset:
        is_judged = channel == "evaluated"
        weight = self.request.weight if is_judged else None
        # the model answers for none of the pairs that were known before
        return labelled_pairs(
            self.inputs, self.hyperparameters, data, channel, self.request.layout, weight,
            told=self.told, tells_unseen=self.told and is_judged,
        )  # fmt: skip


class _Candidates:
    """Objects of in1 that are candidates as well, so that they can be read several times."""

    def __init__(self, given: Any, layout: Optional[Layout]) -> None:
        self._layout = layout
        self._given = given if isinstance(given, (str, os.PathLike)) else repeatable(given)

    def lists(
        self, inputs: Optional[Inputs], hyperparameters: Hyperparameters
    ) -> Optional[TokenLists]:
        if self._given is None:
            return None
        values = self._values(inputs)
        lists = asked_objects(inputs, hyperparameters, "in1", values)
        return lists.truncate(hyperparameters.enc1.kept_len)

    def _values(self, inputs: Optional[Inputs]) -> Any:
        """Objects as `Object2Vec.embed` takes them."""
        given, own = self._given, [] if inputs is None else inputs.in1.names
        if isinstance(given, (str, os.PathLike)):
            return objects_of_files(inputs, "in1", given, self._layout)
        if isinstance(given, list) and "in1" not in own:
            return [
                one["in1"] if isinstance(one, Mapping) and "in1" in one else one for one in given
            ]
        return given


def _with_negatives(
    asked: Asked, inputs: Optional[Inputs], hyperparameters: Hyperparameters
) -> Asked:
    """Add negatives to pairs that are all positive for want of labels."""
    rate, pairs = hyperparameters.negative_sampling_rate, asked.pairs
    if inputs is None or inputs.label.kind != "none" or not rate or not np.all(pairs.labels):
        return asked
    drawn = judged_negatives(pairs, rate, power=hyperparameters.negative_sampling_power)
    words = asked.words
    if words is not None:
        words = replace(words, in0=words.in0.take(drawn.in0), in1=words.in1.take(drawn.in1))
    return replace(asked, pairs=joined_pairs(pairs, drawn), words=words)


def _with_raw(
    asked: Asked,
    inputs: Inputs,
    hyperparameters: Hyperparameters,
    request: DataRequest,
    sources: Mapping[str, Any],
    others: _Candidates,
) -> Asked:
    """Add what raw values say that ids do not: which objects are the same, and all words."""
    numbers = _Numbers()
    own = replace(
        inputs,
        vocabularies={
            column.vocabulary: _Numbering(_Numbered(numbers, column.kind == "text"))
            for side in SIDES
            for column in inputs.side(side).columns
        },
    )
    # neither the model's vocabulary nor its lengths cut values here
    enc0, enc1 = (
        replace(encoder, vocab_size=INT32_MAX, max_seq_len=INT32_MAX)
        for encoder in hyperparameters.encoders
    )
    limits = replace(hyperparameters, enc0=enc0, enc1=enc1)
    reading = _Reading(own, limits, request, told=False)
    pairs = reading.pairs(sources["evaluated"], "evaluated")
    known = None if sources["seen"] is None else reading.pairs(sources["seen"], "seen")
    more = others.lists(own, limits)
    found = replace(asked, prints=Prints.of(pairs, known, more))
    if not all(any(c.kind == "text" for c in inputs.side(side).columns) for side in SIDES):
        return found
    words = Words(
        numbers.words(pairs.in0),
        numbers.words(pairs.in1),
        None if known is None else numbers.words(known.in1),
        None if more is None else numbers.words(more),
    )
    return replace(found, words=words)


def _are_single(pairs: PairDataset) -> bool:
    return pairs.in0.are_single() and pairs.in1.are_single()


def _holds_ids(data: Any) -> bool:
    """Whether pairs of a model that knows texts are given by ids."""
    if not isinstance(data, list) or columns_of(data) is not None:
        return False
    return any(
        isinstance(row, Mapping) and any(isinstance(row.get(side), list) for side in SIDES)
        for row in data
    )


class _Numbers:
    """Numbers of values, from 1 on, and of the words that texts of all columns share.

    A value has another number in each column, so that objects whose columns hold the same words,
    but not each the same ones, are told apart.
    """

    def __init__(self) -> None:
        # of each number its word's, 0 for what is no word
        self._words_of = [0]
        self._words: dict[str, int] = {}

    def next(self, value: str, is_word: bool) -> int:
        word = self._words.setdefault(value, 1 + len(self._words)) if is_word else 0
        self._words_of.append(word)
        return len(self._words_of) - 1

    def words(self, lists: TokenLists) -> TokenLists:
        """The words of texts alone, by the numbers that they have in all columns."""
        found = np.array(self._words_of, np.int32)[lists.tokens]
        kept = found > 0
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])[lists.offsets]
        return TokenLists.from_lengths(found[kept], np.diff(ends))


class _Numbered(dict[str, int]):
    """The numbers of a vocabulary's values: each that is asked for gets one."""

    def __init__(self, numbers: _Numbers, is_text: bool) -> None:
        super().__init__()
        self._numbers = numbers
        self._is_text = is_text

    def get(self, key: str, default: Any = None) -> int:
        found = super().get(key)
        if found is None:
            found = self[key] = self._numbers.next(key, self._is_text)
        return found


class _Numbering(Vocabulary):
    """A vocabulary that learns each value when it first sees it."""

    unknown = None

    def __init__(self, numbers: _Numbered) -> None:
        super().__init__(())
        # in the place of what a vocabulary finds out of its values
        vars(self)["places"] = numbers

    def __len__(self) -> int:
        # all vocabularies of a side begin with the same id
        return 0


def check_number(name: str, value: Any) -> None:
    """Raise a CustomerError unless an option is a finite number or None."""
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if value is not None and not (is_number and np.isfinite(value)):
        raise CustomerError(f"{name} must be a number, found {quoted(value)}.")
