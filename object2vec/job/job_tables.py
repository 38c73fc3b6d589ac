# SPDX-License-Identifier: Apache-2.0
"""Channels of a job that hold tables, and what the ids of its pairs stand for."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional, Union

from object2vec.data.arrays import PairDataset
from object2vec.data.content_types import table_parameters
from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.hyperparameters.given import GivenHyperparameters
from object2vec.hyperparameters.table import AUTO, BY_NAME, SPLITS, TABLE_NAMES
from object2vec.logs import LOGGER_NAME
from object2vec.prepare.delimited import Layout
from object2vec.prepare.find_inputs import Progress
from object2vec.prepare.inputs_summary import found_lines
from object2vec.prepare.table_batch import Table
from object2vec.prepare.table_choice import BOTH_SIDES, TableChoice
from object2vec.prepare.table_hyperparameters import (
    check_weight,
    cut_pairs,
    fitted_inputs,
    joined_settings,
    of_recipe,
)
from object2vec.prepare.table_pairs import encode_table, table_pairs
from object2vec.prepare.tables import holds_table, open_by_names, open_table
from object2vec.pretrained.auxiliary_channel import auxiliary_file
from object2vec.raw_values.inputs import Inputs
from object2vec.raw_values.inputs_file import FILE, read_inputs
from object2vec.raw_values.option_names import HYPERPARAMETERS, calling_options
from object2vec.sagemaker.environment import Channel
from object2vec.text import named

_SIZES = ("max_seq_len", "vocab_size")
# What rules between hyperparameters may still overrule, whatever is wrong with it.
_OVERRULED = ("num_classes", "enc0_token_embedding_dim", "enc1_token_embedding_dim")
# What makes both sides share a token table, whose rows then need one meaning.
_OF_ONE_TABLE = ("tied_token_embedding_weight", "tied_encoders")
_logger = logging.getLogger(LOGGER_NAME)


class JobTables:
    """Reads the tables of a job, and settles the hyperparameters that follow from them.

    Parameters
    ----------
    configuration : mapping
        Hyperparameters as they are given.
    channels : mapping of str to Channel
        Those of the job.
    choice : TableChoice, optional
        How tables become pairs; None where `inputs` says it. Without a layout each channel's
        content type says how its files are written.
    inputs : Inputs, optional
        What was found before, in the table that ``inputs.json`` was made of.
    preset : str, optional
        The recipe beside `inputs`; None takes nothing but sizes.
    names : mapping, optional
        What errors call options; see `option_names`. None leaves it as it is.

    Attributes
    ----------
    inputs : Inputs or None
        What turns raw values into the ids of the pairs; None until `find`.
    told : list of str
        What was found in the tables, in sentences.
    """

    def __init__(
        self,
        configuration: Mapping[str, Any],
        channels: Mapping[str, Channel],
        choice: Optional[TableChoice] = None,
        inputs: Optional[Inputs] = None,
        preset: Optional[str] = None,
        names: Optional[Mapping[str, str]] = None,
    ) -> None:
        self.inputs = inputs
        self._names = names
        # without JSON around them, but for what parse refuses
        self._plain = GivenHyperparameters(configuration).given
        self._given = {
            name: value
            for name, value in configuration.items()
            if name not in TABLE_NAMES and (name in self._plain or name not in BY_NAME)
        }
        self._preset = preset if choice is None else choice.preset
        self._channels = channels
        self._choice = choice
        train = channels.get("train")
        self._title = named(train.path) if choice is not None and train is not None else FILE
        self._ready: dict[str, PairDataset] = {}
        self.told: list[str] = []

    @property
    def splits(self) -> list[str]:
        """The data channels of the job, with those that rows of the channel train are kept for."""
        split = None if self._choice is None else self._choice.split
        return [
            name
            for name in SPLITS
            if name in self._channels or (split is not None and getattr(split, name, 0.0) > 0)
        ]

    def has_read(self, name: str) -> bool:
        """Whether pairs of this split came with those of the channel train."""
        return name in self._ready

    def holds_positives(self) -> bool:
        """Whether the table has no labels, so that all pairs are positive."""
        return self.inputs is not None and self.inputs.label.kind == "none"

    def check_given(self) -> None:
        """Check each hyperparameter that is given by itself, before any table is read.

        Raises
        ------
        CustomerError
            Holds one sentence for each error found.
        """
        sizes = {f"enc0_{key}": int(BY_NAME[f"enc0_{key}"].minimum) for key in _SIZES}
        found = GivenHyperparameters({**sizes, **self._given})
        errors = {k: text for k, text in found.value_errors.items() if k not in _OVERRULED}
        sentences = [*found.name_errors, *(errors[name] for name in BY_NAME if name in errors)]
        if sentences:
            raise CustomerError(" ".join(sentences))

    def find(self, progress: Progress) -> None:
        """Find the inputs in the channel train, and make pairs of its rows.

        Raises
        ------
        CustomerError
            One sentence about the first thing that is not right, with its file and line.
        """
        assert self._choice is not None
        with self._calling_options():
            table = self._open("train")
            pairs, self.inputs, report = table_pairs(table, self._choice, progress=progress)
        self._ready = pairs
        self.told = [*report.lines(), *found_lines(self.inputs)]

    def configuration(self) -> dict[str, Any]:
        """The hyperparameters that are given, and those that follow from the data.

        Sizes follow always, what else training needs where a recipe is chosen, as it is for a
        table that is read here.

        Raises
        ------
        CustomerError
            The recipe does not fit.
        """
        inputs = self.inputs
        assert inputs is not None
        if self._preset is None:
            found = joined_settings(inputs, {}, self._plain)
        else:
            train = self._ready.get("train")
            pairs = None if train is None else len(train)
            found, told = of_recipe(inputs, self._preset, pairs, self._plain)
            self.told += told
        weighted = {} if self._weight is None else {"pair_weights": True}
        return {**found, **self._given, **weighted}

    def settle(self, hyperparameters: Hyperparameters) -> None:
        """Check that a network takes what the inputs make, cut lists as it does, and log them.

        Raises
        ------
        CustomerError
            A size that is given is too small, or the labels are no classes.
        """
        inputs = self.inputs
        assert inputs is not None
        if self.told:
            _logger.info("%s", " ".join(self.told))
        self.inputs = fitted_inputs(inputs, hyperparameters, self._title)

    def read(
        self, name: str, hyperparameters: Hyperparameters, progress: Progress
    ) -> Optional[PairDataset]:
        """The pairs of a channel, or None where it holds ids.

        Raises
        ------
        CustomerError
            One sentence about the first thing that is not right, with its file and line.
        """
        inputs = self.inputs
        assert inputs is not None
        if name in self._ready:
            check_weight(hyperparameters, self._weight)
            return cut_pairs(self._ready.pop(name), hyperparameters)
        if not self._holds_table(name):
            return None
        with self._calling_options():
            check_weight(hyperparameters, self._weight)
            pairs, report = encode_table(
                inputs,
                self._open(name),
                num_classes=hyperparameters.classes,
                kept_lens=[encoder.kept_len for encoder in hyperparameters.encoders],
                weight=self._weight,
                progress=progress,
            )
        # all rows of another table are of one split
        report.pairs = {name: len(pairs)}
        _logger.info("%s", " ".join(report.lines()))
        self.told += report.lines()
        return pairs

    @property
    def _weight(self) -> Optional[Union[str, int]]:
        """The column of weights of a table whose columns are named."""
        return None if self._choice is None else self._choice.weight

    def _calling_options(self) -> AbstractContextManager[None]:
        return nullcontext() if self._names is None else calling_options(self._names)

    def _open(self, name: str) -> Table:
        """The table of a channel; its content type says how files with separators are written."""
        choice, channel = self._choice, self._channels[name]
        if choice is not None and choice.layout is not None:
            return open_table(channel.path, choice.layout)
        said = table_parameters(channel.content_type, f"The {name} channel")
        layout = Layout(encoding=said.charset or "utf-8")
        if said.header is not None:
            return open_table(channel.path, replace(layout, header=said.header))
        return open_by_names(channel.path, self._columns(), layout=layout)

    def _columns(self) -> list[str]:
        """The names of all columns that are read."""
        if self._choice is not None:
            sides = (self._choice.in0, self._choice.in1)
            found = [str(name) for side in sides if isinstance(side, list) for name in side]
            further = (self._choice.label, self._choice.weight)
            return found + [str(name) for name in further if name is not None]
        assert self.inputs is not None
        return self.inputs.names + ([self.inputs.label.name] if self.inputs.label.name else [])

    def _holds_table(self, name: str) -> bool:
        """Whether a channel holds a table, rather than pairs of ids."""
        if self._choice is not None:
            return True
        assert self.inputs is not None
        return holds_table(self._channels[name].path, name, self._columns())


def job_tables(
    configuration: Mapping[str, Any],
    channels: Mapping[str, Channel],
    choice: Optional[TableChoice],
) -> Optional[JobTables]:
    """What a job knows of raw values: nothing where its channels hold ids alone.

    Parameters
    ----------
    configuration, channels
        Of the job.
    choice : TableChoice, optional
        Where the columns are named.

    Raises
    ------
    CustomerError
        The ``inputs.json`` of the channel auxiliary is not sound.
    """
    auxiliary = channels.get("auxiliary")
    path = None if auxiliary is None else Path(auxiliary.path, FILE)
    has_file = path is not None and os.path.lexists(path)
    found = GivenHyperparameters(configuration)
    given = [name for name in TABLE_NAMES if name in found.given]
    wrong = [found.value_errors[name] for name in given if name in found.value_errors]
    if wrong:
        raise CustomerError(" ".join(wrong))
    preset = found.values["_preset"]
    names = HYPERPARAMETERS if choice is None else None
    if given and given != ["_preset"]:
        if choice is not None:
            raise CustomerError(
                f"The columns are named twice, by --in0 and by {given[0]}: once will do."
            )
        folder = None if auxiliary is None else auxiliary.path
        choice = _choice_of(found.values, given, folder)
    elif preset is not None and choice is not None:
        choice = replace(choice, preset=preset)
    elif preset is not None and not has_file:
        raise CustomerError(
            f"A preset needs the columns of in0 and in1, or an {FILE} in the auxiliary channel."
        )
    if choice is not None and has_file:
        raise CustomerError(
            f"{named(path)} says what the columns of in0 and in1 are, and so do the columns that "
            "are named: leave one of them out."
        )
    if choice is None and not has_file:
        return None
    if choice is not None and any(found.values[name] is True for name in _OF_ONE_TABLE):
        choice = replace(choice, tied=True)
    inputs = read_inputs(path) if path is not None and has_file else None
    return JobTables(configuration, channels, choice, inputs, preset, names)


def _choice_of(
    values: Mapping[str, Any], given: Sequence[str], auxiliary: Optional[Path]
) -> TableChoice:
    """What the hyperparameters say of the columns."""
    missing = [name for name in TABLE_NAMES[:2] if values[name] is None]
    if missing:
        raise CustomerError(
            f"{given[0]} is given, but {' and '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing: {BOTH_SIDES}."
        )
    name = values["_tokenizer"]
    return TableChoice(
        in0=list(values["_in0"]),
        in1=list(values["_in1"]),
        label=values["_label"],
        label_kind=values["_label_kind"] or AUTO,
        weight=values["_weight"],
        preset=values["_preset"] or AUTO,
        tokenizer=auxiliary_file(auxiliary, name, "_tokenizer") if name else None,
    )
