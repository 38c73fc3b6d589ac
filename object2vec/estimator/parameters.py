# SPDX-License-Identifier: Apache-2.0
"""The parameters of the Python API as they were given, in the way of scikit-learn."""

from __future__ import annotations

import copy
import functools
import inspect
import numbers
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, Optional, TypeVar, cast

import numpy as np

from object2vec.errors import CustomerError
from object2vec.estimator.options import OPTIONS, check_options, fixed_seed
from object2vec.hyperparameters.checked import Hyperparameters, parse
from object2vec.hyperparameters.given import LogLine
from object2vec.hyperparameters.table import BY_NAME
from object2vec.hyperparameters.values import as_python, nearest
from object2vec.prepare.recipes import possible_settings
from object2vec.prepare.table_hyperparameters import of_members
from object2vec.text import quoted

_SIZES = ("enc0_max_seq_len", "enc0_vocab_size")
_WIDTH = 80
_LONGEST_VALUE = 300
_GLUE = "\0"

_Self = TypeVar("_Self", bound="Parameterized")
_Init = TypeVar("_Init", bound=Callable[..., None])


def noting_given(init: _Init) -> _Init:
    """Let an ``__init__`` of `Parameterized` note which parameters it is given: it sees all."""

    @functools.wraps(init)
    def noting(self: Any, *args: Any, **given: Any) -> None:
        self._named = self._chosen(given)
        init(self, *args, **given)

    return cast(_Init, noting)


def _parsed(
    stand_ins: Mapping[str, Any], values: Mapping[str, Any]
) -> tuple[tuple[str, ...], Hyperparameters, list[LogLine]]:
    """Check values beside what stands for sizes of a table, whose recipe may give more.

    Returns the names of what is not settled, the hyperparameters and their log lines.
    """
    mistakes = []
    for follow in ({}, *(possible_settings() if stand_ins else ())):
        found = of_members(follow, values)
        beside = {**{name: found[name] for name in found.keys() - values.keys()}, **stand_ins}
        try:
            return tuple(beside), *parse({**beside, **values})
        except CustomerError as error:
            mistakes.append(error)
    # what no recipe mends
    raise min(mistakes, key=lambda error: len(str(error)))


class Parameterized:
    """What takes hyperparameters by name, in the way of scikit-learn's estimators.

    They are kept as the objects that were given, since ``sklearn.base.clone`` compares identities.
    """

    #: Of `Object2Vec` itself: subclasses may take fewer, or others.
    _defaults: ClassVar[Mapping[str, Any]]
    _given: Mapping[str, Any]
    _hyperparameters: Hyperparameters
    _lines: Sequence[LogLine]
    #: Sizes that are to follow from a table, and all that did; pickles of 0.1 have neither.
    _open: Sequence[str] = ()  # sizes that must follow from a table
    _unsettled: Sequence[str] = ()  # these, and what a recipe must give
    _found: Optional[Hyperparameters] = None
    #: Parameters that were given, which win over a recipe even where they equal their defaults.
    _named: Collection[str] = ()

    def __sklearn_clone__(self: _Self) -> _Self:
        """What ``sklearn.base.clone`` gives: not fitted, with the same parameters given."""
        copied = type(self)(**copy.deepcopy(self.get_params()))
        copied._named = self._named
        return copied

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters as they were given, as scikit-learn asks for them.

        Parameters
        ----------
        deep : bool
            Without meaning here: no parameter has parameters of its own.

        Returns
        -------
        dict
            What the class takes to make an estimator of the same parameters, not fitted.
        """
        return {
            name: self._given[name] if name in self._given else getattr(self, name, default)
            for name, default in self._parameters().items()
        }

    def set_params(self: _Self, **params: Any) -> _Self:
        """Change parameters for the next `fit`; a fitted model answers as before until then.

        Parameters
        ----------
        **params
            Some of those of the class.

        Returns
        -------
        Object2Vec
            Itself.

        Raises
        ------
        CustomerError
            Says what would be right; nothing is changed then.
        """
        known = self._parameters()
        for name in params:
            if name not in known:
                raise CustomerError(
                    f"{quoted(name)} is no parameter of {type(self).__name__}"
                    f"{nearest(name, known) or ' (get_params gives them all)'}."
                )
        own = {name: value for name, value in params.items() if name in self._defaults}
        self._take({**self._given, **own})
        self._named = frozenset(self._named) | self._chosen(params)
        for name in params.keys() - own.keys():
            setattr(self, name, params[name])
        return self

    def _take(self, given: Mapping[str, Any]) -> None:
        check_options(given)
        values = self._values(given)
        self._open = tuple(name for name in _SIZES if name not in values)
        # the smallest ones stand for them, so that all other values are checked at once
        stand_ins = {
            name: values.get(name.replace("enc0", "enc1"), BY_NAME[name].minimum)
            for name in self._open
        }
        self._unsettled, self._hyperparameters, self._lines = _parsed(stand_ins, values)
        self._found = None
        self._given = given

    def _values(self, given: Mapping[str, Any], named: Collection[str] = ()) -> dict[str, Any]:
        """Hyperparameters that differ from their defaults, or are among the `named` ones."""
        # a default is not handed on: what is given counts when a rule replaces or ignores it
        values = {
            name: as_python(value)
            for name, value in given.items()
            if not (value is None or name in (*OPTIONS, "seed"))
            and (name in named or not self._is_default(name, value))
        }
        return {**values, "_seed": fixed_seed(given)}

    def _is_default(self, name: str, value: Any) -> bool:
        return _equals(self._defaults.get(name), value)

    def __repr__(self) -> str:
        defaults, given = self._parameters(), self.get_params()
        changed = [
            f"{name}={_text(value)}"
            for name, value in given.items()
            if not (_equals(defaults[name], value) or _text(defaults[name]) == _text(value))
        ]
        start = f"{type(self).__name__}("
        # as scikit-learn lays it out; no value is broken at its blanks
        glued = [text.replace(" ", _GLUE) for text in changed]
        lines = textwrap.wrap(
            f"{', '.join(glued)})",
            _WIDTH - len(start),
            break_long_words=False,
            break_on_hyphens=False,
        )
        return (start + f"\n{' ' * len(start)}".join(lines)).replace(_GLUE, " ")

    @classmethod
    def _chosen(cls, given: Collection[str]) -> frozenset[str]:
        """Those of the given parameters that somebody chose.

        Who gives all of them, as ``Object2Vec(**model.get_params())`` does, chose none.
        """
        return frozenset() if set(cls._parameters()) <= set(given) else frozenset(given)

    @classmethod
    def _parameters(cls) -> dict[str, Any]:
        """Names and defaults of what the class takes, which may be a subclass."""
        parameters = inspect.signature(cls).parameters.values()
        kinds = {parameter.kind for parameter in parameters}
        named = {
            parameter.name: parameter.default
            for parameter in parameters
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        }
        takes_more = inspect.Parameter.VAR_KEYWORD in kinds
        return {**cls._defaults, **named} if takes_more else named


def _text(value: Any) -> str:
    return quoted(list(value) if isinstance(value, tuple) else value, _LONGEST_VALUE)


def _equals(default: Any, value: Any) -> bool:
    # other types may compare element by element, or answer with something that is no bool
    is_plain = isinstance(value, (str, numbers.Number, np.generic))
    if type(value) in (tuple, list) and all(isinstance(item, str) for item in value):
        value, is_plain = tuple(value), True  # scikit-learn's clone copies tuples
    return value is default or (is_plain and bool(value == default))
