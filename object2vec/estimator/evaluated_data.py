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
from object2vec.data.negative_sampling import Joined, joined_pairs, judged_negatives
from object2vec.errors import CustomerError
from object2vec.estimator.asked_objects import (
    asked_objects,
    columns_of,
    labelled_pairs,
    readable,
    repeatable,
)
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.hyperparameters.table import INT32_MAX
from object2vec.raw_values.inputs import SIDES, Inputs, Label, Vocabulary
from object2vec.text import quoted

if TYPE_CHECKING:
    from object2vec.prepare.delimited import Layout

_NO_WORD = 0  # what stands for values of columns that are no texts


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
    with_words : bool
        Whether the words of texts are wanted.
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
    with_words: bool = True


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
                "label names a column of a table, but this model was trained on ids: its pairs "
                "have their labels under the key label."
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
    drawn = _drawn(inputs, hyperparameters, pairs) if request.draws_negatives else None
    words = None
    if request.with_words:
        words = _words(inputs, hyperparameters, request, sources, others, (pairs, known, more))
    if words is not None and drawn is not None:
        words = replace(words, in0=words.in0.take(drawn.in0), in1=words.in1.take(drawn.in1))
    if drawn is not None:
        pairs = joined_pairs(pairs, drawn)
    if request.relevant_from is not None:
        pairs = replace(pairs, labels=(pairs.labels >= request.relevant_from).astype(np.float32))
        # what was known before is no recommendation, whatever its label
        known = None if known is None else replace(known, labels=np.ones_like(known.labels))
    return Asked(pairs, known, more, words)


@dataclass(frozen=True)
class _Reading:
    inputs: Optional[Inputs]
    hyperparameters: Hyperparameters
    request: DataRequest

    def pairs(self, data: Any, channel: str) -> PairDataset:
        weight = self.request.weight if channel == "evaluated" else None
        return labelled_pairs(
            self.inputs, self.hyperparameters, data, channel, self.request.layout, weight
        )


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
            from object2vec.prepare.tables import json_records, open_by_names

            if inputs is not None:
                table = open_by_names(given, inputs.in0.names, own, layout=self._layout)
                if "in1" not in table.names or "in1" in own:
                    return table
            given = list(json_records(given))
        if isinstance(given, list) and "in1" not in own:
            return [
                one["in1"] if isinstance(one, Mapping) and "in1" in one else one for one in given
            ]
        return given


def _drawn(
    inputs: Optional[Inputs], hyperparameters: Hyperparameters, pairs: PairDataset
) -> Optional[Joined]:
    """The negatives of pairs that are all positive for want of labels, None where there are any."""
    rate = hyperparameters.negative_sampling_rate
    if inputs is None or inputs.label.kind != "none" or not rate or not np.all(pairs.labels):
        return None
    return judged_negatives(pairs, rate, power=hyperparameters.negative_sampling_power)


def _words(
    inputs: Optional[Inputs],
    hyperparameters: Hyperparameters,
    request: DataRequest,
    sources: Mapping[str, Any],
    others: _Candidates,
    ids: tuple[PairDataset, Optional[PairDataset], Optional[TokenLists]],
) -> Optional[Words]:
    """The words of both sides, None where these are no texts."""
    pairs, known, more = ids
    if inputs is None or any(_holds_ids(data) for data in sources.values()):
        # ids of one vocabulary are words, whatever they are called
        single = pairs.in0.are_single() and pairs.in1.are_single()
        if single or not hyperparameters.tied_token_embedding_weight:
            return None
        return Words(pairs.in0, pairs.in1, None if known is None else known.in1, more)
    texts = [any(column.kind == "text" for column in inputs.side(s).columns) for s in SIDES]
    if not all(texts):
        return None
    every = _Numbered()
    own = replace(
        inputs,
        vocabularies={
            column.vocabulary: _NumberedWords(every if column.kind == "text" else None)
            for side in SIDES
            for column in inputs.side(side).columns
        },
    )
    # neither the model's vocabulary nor its lengths cut texts here
    enc0, enc1 = (
        replace(encoder, vocab_size=INT32_MAX, max_seq_len=INT32_MAX)
        for encoder in hyperparameters.encoders
    )
    limits = replace(hyperparameters, enc0=enc0, enc1=enc1)
    reading = _Reading(own, limits, request)
    read = {
        name: None if data is None else reading.pairs(data, name) for name, data in sources.items()
    }
    found, before = read["evaluated"], read["seen"]
    assert found is not None
    further = others.lists(own, limits)
    return Words(
        _texts_only(found.in0),
        _texts_only(found.in1),
        None if before is None else _texts_only(before.in1),
        None if further is None else _texts_only(further),
    )


def _holds_ids(data: Any) -> bool:
    """Whether pairs of a model that knows texts are given by ids."""
    if not isinstance(data, list) or columns_of(data) is not None:
        return False
    return any(
        isinstance(row, Mapping) and any(isinstance(row.get(side), list) for side in SIDES)
        for row in data
    )


class _Numbered(dict[str, int]):
    """Gives each text that is asked for a number from 1 on."""

    def get(self, key: str, default: Any = None) -> int:
        return self.setdefault(key, len(self) + 1)


class _NumberedWords(Vocabulary):
    """A vocabulary that learns each word when it first sees it, or knows nothing."""

    unknown = None

    def __init__(self, numbers: Optional[_Numbered]) -> None:
        super().__init__(())
        # in the place of what a vocabulary finds out of its values
        vars(self)["places"] = {} if numbers is None else numbers

    def __len__(self) -> int:
        # all vocabularies of a side begin with the same id
        return 0


def _texts_only(lists: TokenLists) -> TokenLists:
    kept = lists.tokens != _NO_WORD
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])[lists.offsets]
    return TokenLists.from_lengths(lists.tokens[kept], np.diff(ends))


def check_number(name: str, value: Any) -> None:
    """Raise a CustomerError unless an option is a finite number or None."""
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if value is not None and not (is_number and np.isfinite(value)):
        raise CustomerError(f"{name} must be a number, found {quoted(value)}.")
