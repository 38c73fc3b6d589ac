# SPDX-License-Identifier: Apache-2.0
"""Sorts given hyperparameters by their names and reads their values, or tells what is wrong."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from object2vec.hyperparameters.table import (
    BY_NAME,
    HYPERPARAMETERS,
    IGNORED_NAMES,
    IGNORED_PREFIX,
)
from object2vec.hyperparameters.values import nearest, read_value, without_json
from object2vec.text import bounded, names, quoted

_MOST_UNKNOWN = 20  # names that are told of one by one


class LogLine(NamedTuple):
    """A line for the caller to log: a level of `logging`, and the text."""

    level: int
    text: str


class GivenHyperparameters:
    """What is given, each value read by itself, before the rules between values.

    Parameters
    ----------
    raw : Mapping
        Public name to value; see `object2vec.hyperparameters.checked.parse`.

    Attributes
    ----------
    given : dict of str to Any
        The known names, without None, JSON taken off.
    values : dict of str to Any
        All names; the default where nothing is given or what is given is wrong.
    name_errors : list of str
        A sentence for each.
    value_errors : dict of str to str
        By name.
    logged : dict of LogLine to None
        In order, each line once.
    """

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.name_errors: list[str] = []
        self.value_errors: dict[str, str] = {}
        self.logged: dict[LogLine, None] = {}
        self._unknown = 0
        self.given: dict[str, Any] = {}
        for name, value in raw.items():
            self._sort(name if isinstance(name, str) else quoted(name), value)
        more = self._unknown - _MOST_UNKNOWN
        if more > 0:
            self.name_errors.append(
                f"{more} more {'name is' if more == 1 else 'names are'} unknown."
            )
        self.values = {item.name: item.default for item in HYPERPARAMETERS}
        self._read_given()
        required = (item.name for item in HYPERPARAMETERS if item.required)
        missing = [f"'{name}'" for name in required if name not in self.given]
        if missing:
            self.name_errors.append(
                f"No value(s) were specified for {', '.join(missing)} which are required "
                "hyperparameter(s)."
            )

    def _sort(self, name: str, value: Any) -> None:
        """Put one given item where it belongs: known, ignored or unknown."""
        if name in BY_NAME:
            self.given[name] = value
        elif name in IGNORED_NAMES or name.startswith(IGNORED_PREFIX):
            self.log(
                logging.INFO,
                f"Ignoring the hyperparameter '{bounded(name, 80)}': it has no use here.",
            )
        else:
            self._unknown += 1
            if self._unknown > _MOST_UNKNOWN:
                return
            hint = nearest(name, BY_NAME) or " ('object2vec describe' lists all names)"
            self.name_errors.append(
                f"'{bounded(name, 80)}' does not match any of the regexes: no hyperparameter has "
                f"this name{hint}."
            )

    def _read_given(self) -> None:
        """Turn what is given into values; None and JSON's null count as not given."""
        as_json = []
        for name, raw in list(self.given.items()):
            try:
                value, was_json = without_json(BY_NAME[name], raw)
                as_json += [name] if was_json else []
                if value is None:
                    del self.given[name]
                    continue
                self.given[name] = value
                self.values[name] = read_value(BY_NAME[name], value)
            except ValueError as error:
                self.value_errors[name] = f"'{name}' {error}."
        if as_json:
            self.log(logging.INFO, f"Unpacked from JSON: {names(as_json, 40)}.")

    def log(self, level: int, text: str) -> None:
        """Note a line for the log, once."""
        self.logged[LogLine(level, text)] = None
