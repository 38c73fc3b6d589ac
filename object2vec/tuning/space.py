# SPDX-License-Identifier: Apache-2.0
"""What a study searches: the documented ranges, or those that a user gives."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import Hyperparameters, parse
from object2vec.hyperparameters.given import GivenHyperparameters
from object2vec.hyperparameters.table import (
    BY_NAME,
    HYPERPARAMETERS,
    Hyperparameter,
    TuningRange,
    number_text,
)
from object2vec.hyperparameters.values import nearest
from object2vec.prepare.table_hyperparameters import of_members
from object2vec.sagemaker.tuning_job import searched_ranges, vain_search, without_effect
from object2vec.text import quoted
from object2vec.tuning.storage import optuna_module

#: Names alone, or with a range (two numbers) or choices (a list) of their own, or None.
Search = Union[Sequence[str], Mapping[str, Any]]

# These say what the data are read as, or what trainings are judged by: one for all of a study.
_OF_ALL = frozenset(
    {
        *("output_layer", "num_classes", "class_weights", "pair_weights", "early_stopping_metric"),
        *("tied_token_embedding_weight", "tied_encoders"),
        *(
            f"enc{side}_{name}"
            for side in (0, 1)
            for name in (
                *("max_seq_len", "vocab_size", "random_crop", "vocab_file"),
                *("pretrained_embedding_file", "freeze_pretrained_embedding"),
            )
        ),
    }
)
# What encoders have alike where they are tied.
_OF_FORM = frozenset(
    f"enc{side}_{name}" for side in (0, 1) for name in ("network", "layers", "cnn_filter_width")
)
_WHOLE = ("integer", "auto_integer")
# From this quotient of the two ends on, sizes are drawn by their logarithm.
_WIDE = 100
# Where a range that begins with 0 is drawn by its logarithm, it begins with this.
_LEAST = {"weight_decay": 1e-6, "token_embedding_weight_decay": 1e-6}


@dataclass(frozen=True)
class Range:
    """What is drawn for one hyperparameter.

    Attributes
    ----------
    name : str
        The hyperparameter.
    low, high : int or float
        The ends, which belong to it; of choices 0.
    log : bool
        Whether the logarithm is drawn evenly.
    choices : tuple
        What is chosen from, where there are no ends.
    """

    name: str
    low: Union[int, float] = 0
    high: Union[int, float] = 0
    log: bool = False
    choices: tuple[Any, ...] = ()

    def distribution(self) -> Any:
        """Optuna's distribution."""
        distributions = optuna_module().distributions
        if self.choices:
            return distributions.CategoricalDistribution(self.choices)
        if isinstance(self.low, int):
            return distributions.IntDistribution(self.low, int(self.high), log=self.log)
        return distributions.FloatDistribution(self.low, self.high, log=self.log)

    def nearest(self, value: Any) -> Any:
        """The value, or the nearest one that may be drawn."""
        return value if self.choices else min(max(value, self.low), self.high)

    def words(self) -> str:
        """The range in words."""
        if self.choices:
            return ", ".join(map(str, self.choices))
        ends = f"{number_text(self.low)} to {number_text(self.high)}"
        return f"{ends} (log)" if self.log else ends


def first_training(
    configuration: Mapping[str, Any],
    resolved: Hyperparameters,
    fixed: Collection[str],
    search: Search = (),
) -> tuple[dict[str, Any], Hyperparameters]:
    """With what a study starts: what `train` would take, but for what would refuse its trainings.

    A width that is searched is that of one model, as one that is given; most are no multiple of the
    number of models that a recipe has. Nor does a recipe tie encoders where the form of each is
    searched for itself.

    Parameters
    ----------
    configuration, resolved, fixed, search
        As of `space_of`.

    Returns
    -------
    dict and Hyperparameters
        The configuration and what is made of it.
    """
    found = dict(configuration)
    has_two_forms = configuration.get("enc1_network") != "enc0"
    if "tied_encoders" not in fixed and has_two_forms and _OF_FORM & set(search):
        found.pop("tied_encoders", None)
    is_searched = not search or "enc_dim" in search
    if is_searched and not {"enc_dim", "ensemble_size"} & set(fixed):
        found = of_members(found, {"enc_dim": None})
    if found == configuration:
        return found, resolved
    return found, parse({**found, "_seed": resolved.seed})[0]


def space_of(
    configuration: Mapping[str, Any],
    resolved: Hyperparameters,
    fixed: Collection[str],
    search: Search = (),
) -> dict[str, Range]:
    """What is searched, by name.

    Parameters
    ----------
    configuration : mapping
        Hyperparameters that trainings share unless they are searched, as `checked.parse` takes
        them, with those of a recipe.
    resolved : Hyperparameters
        Made of it: the first training.
    fixed : collection of str
        Names of what a user has given, which is not searched unless `search` names it.
    search : sequence of str, or mapping
        Names of what is searched; empty: all that has a documented range and is not fixed. A
        mapping gives ranges: two numbers in a tuple, or a list of choices; None for the documented
        one.

    Raises
    ------
    CustomerError
        Something cannot be searched, has no effect, or its range is none.
    """
    known = GivenHyperparameters(configuration)
    own = dict(search) if isinstance(search, Mapping) else dict.fromkeys(search)
    for name, given in own.items():
        _check_name(name, given)
    documented = [name for name, given in own.items() if given is None]
    found: dict[str, Range] = {}
    if documented or not own:
        kept = set(fixed) - set(documented)
        for name, tunable in searched_ranges(known, resolved, documented, kept).items():
            found[name] = _of_table(BY_NAME[name], tunable)
    idle = sorted(set(own) & without_effect(known, resolved))
    if idle:
        raise vain_search(known, idle)
    for name, given in own.items():
        if given is not None:
            found[name] = _of_user(BY_NAME[name], given)
    start = resolved.to_dict()
    return {
        name: _with_choice(one, start.get(name))
        for name, one in ((item.name, found.get(item.name)) for item in HYPERPARAMETERS)
        if one is not None
    }


def start_of(space: Mapping[str, Range], resolved: Hyperparameters) -> dict[str, Any]:
    """Where a search starts: the values of the first training, or what is nearest to them."""
    values = resolved.to_dict()
    return {name: one.nearest(values[name]) for name, one in space.items() if name in values}


def read_search(texts: Sequence[str]) -> dict[str, Any]:
    """What a command line says: NAME, NAME=LOW:HIGH or NAME=A,B,C.

    Raises
    ------
    CustomerError
        An end is no number.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, sign, given = text.partition("=")
        name = name.strip()
        if not sign:
            found[name] = None
        elif ":" in given:
            try:
                low, high = (_number(part) for part in given.split(":"))
            except ValueError:
                raise CustomerError(
                    f"--search {quoted(text)} must name two numbers, as in "
                    "learning_rate=0.0001:0.1."
                ) from None
            found[name] = (low, high)
        else:
            found[name] = [_choice(name, part.strip()) for part in given.split(",")]
    return found


def _check_name(name: str, given: Any) -> None:
    item = BY_NAME.get(name)
    if item is None or item.hidden:
        raise CustomerError(
            f"There is no hyperparameter {quoted(name)} to search"
            f"{nearest(name, [one for one in BY_NAME if not one.startswith('_')])}."
        )
    if name in _OF_ALL:
        raise CustomerError(
            f"{name} cannot be searched: it says what all trainings of a study learn from, or are "
            "judged by."
        )
    if given is None and item.tunable is None:
        raise CustomerError(
            f"{name} has no documented range: give one, as in --search {name}=LOW:HIGH or "
            f"--search {name}=A,B, in Python {{{name!r}: (low, high)}} or {{{name!r}: [a, b]}}."
        )


def _of_table(item: Hyperparameter, tunable: TuningRange) -> Range:
    if tunable.choices:
        return Range(item.name, choices=tunable.choices)
    is_log = tunable.scale == "Logarithmic" or item.name in _LEAST
    low = _LEAST.get(item.name, tunable.minimum) if not tunable.minimum else tunable.minimum
    return _between(item, low, tunable.maximum, is_log)


def _between(item: Hyperparameter, low: float, high: float, is_log: bool) -> Range:
    is_log = low > 0 and (is_log or high / low >= _WIDE)
    if item.kind in _WHOLE:
        return Range(item.name, int(low), int(high), is_log)
    return Range(item.name, float(low), float(high), is_log)


def _of_user(item: Hyperparameter, given: Any) -> Range:
    is_number = item.kind in (*_WHOLE, "continuous")
    if isinstance(given, tuple) and len(given) == 2 and is_number:
        for end in given:
            _check_value(item, end)
        low, high = given
        if not low < high:
            raise CustomerError(
                f"The range of {item.name} must begin below its end, found {low} to {high}."
            )
        return _between(item, low, high, _is_logarithmic(item))
    choices = tuple(given) if isinstance(given, (list, tuple)) else ()
    if not choices:
        raise CustomerError(
            f"{item.name} must be searched in a range, a tuple of two numbers, or among a list of "
            f"choices, found {quoted(given)}."
        )
    for choice in choices:
        _check_value(item, choice)
    return Range(item.name, choices=tuple(dict.fromkeys(choices)))


def _is_logarithmic(item: Hyperparameter) -> bool:
    tunable = item.tunable
    return item.name in _LEAST or (tunable is not None and tunable.scale == "Logarithmic")


def _check_value(item: Hyperparameter, value: Any) -> None:
    """Raise a CustomerError if a training would refuse a value by itself."""
    wrong = GivenHyperparameters({item.name: value}).value_errors.get(item.name)
    if wrong is None and isinstance(value, (list, dict)):
        wrong = f"'{item.name}' must be one value, found {quoted(value)}."
    if wrong is not None:
        raise CustomerError(wrong)


def _with_choice(one: Range, start: Any) -> Range:
    """A range that has the first training's value among its choices."""
    if not one.choices or start is None or start in one.choices:
        return one
    is_list = isinstance(start, list)
    value = ",".join(start) if is_list else start
    if value in one.choices:
        return one
    return Range(one.name, choices=(value, *one.choices))


def _choice(name: str, text: str) -> Any:
    """A choice of a command line as what it stands for."""
    item = BY_NAME.get(name)
    if item is not None and item.kind in (*_WHOLE, "continuous"):
        try:
            return _number(text)
        except ValueError:
            return text
    return text


def _number(text: str) -> Union[int, float]:
    number = float(text)
    return int(number) if number.is_integer() and "." not in text and "e" not in text else number
