# SPDX-License-Identifier: Apache-2.0
"""The options of `prepare`, `train` and `validate` that say what a table is: columns, rows kept."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from object2vec.cli.parser import whole_number
from object2vec.errors import CustomerError
from object2vec.hyperparameters.table import LABEL_KINDS, PRESETS
from object2vec.text import named, names

if TYPE_CHECKING:
    from object2vec.prepare.delimited import Layout
    from object2vec.prepare.splits import Split
    from object2vec.prepare.table_choice import TableChoice

#: Of the rows, where a kind of split is named and no share.
VALIDATION_SHARE = 0.1
# As a user says them, and as the room calls them.
_SPLITS = {"random": "random", "user": "group", "time": "time", "leave-one-out": "leave_one_out"}
_SIDES = ("in0", "in1")
# All but those of the sides and the shares, by the names that argparse gives them; what each is
# where it is not given.
_FURTHER: dict[str, Any] = {
    **dict.fromkeys(("label", "label_kind", "max_length", "split", "by", "time", "seed")),
    **dict.fromkeys(("separator", "encoding")),
    **dict.fromkeys(("tied", "keep_case", "no_header", "no_quotes"), False),
    **{"explode": [], "special_tokens": []},
}
_BY_COLUMN = (
    *("kind", "repeat", "bins", "tag_separator", "min_count", "max_size", "stem", "tokenizer"),
)


def add_column_options(group: argparse._ActionsContainer, *, required: bool) -> None:
    """Add `--in0`, `--in1` and those of the label."""
    for side in _SIDES:
        group.add_argument(
            f"--{side}",
            required=required,
            action="append",
            metavar="COLUMNS",
            help=f"those of {side}",
        )
    group.add_argument(
        "--label", metavar="COLUMN", help="default: none, each row is a positive pair"
    )
    group.add_argument(
        "--label-kind",
        choices=LABEL_KINDS,
        help="number, class: names of classes, or tags: several of them a row, as in Drama|Crime "
        "(default: tags where labels are lists, numbers where all labels are)",
    )
    group.add_argument(
        "--weight", metavar="COLUMN", help="how much a row counts (default: all count alike)"
    )
    group.add_argument(
        "--preset",
        metavar="NAME",
        help=f"the recipe to train by: {', '.join(PRESETS)}, or auto, the one that fits (default: "
        "auto)",
    )


def add_further_options(parser: argparse.ArgumentParser) -> None:
    """Add what else may be said of the columns, of rows kept back and of the files."""
    _add_kinds(parser.add_argument_group("columns of in0 and in1"))
    _add_split(parser.add_argument_group("rows kept back"))
    add_layout_options(parser)


def _add_kinds(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--tied", action="store_true", help="in0 and in1 share their ids")
    group.add_argument(
        "--max-length",
        type=whole_number,
        metavar="N",
        help="cut longer lists of tokens (default: 5000)",
    )
    for option, value, text in (
        ("--kind", "COLUMN=KIND", "id, text, tags or number; may be repeated"),
        (
            "--repeat",
            "COLUMN=N",
            "how often its tokens stand in a list, its weight in a mean (default: what the recipe "
            "asks for)",
        ),
        ("--bins", "COLUMN=N", "how many bins of a number, or their edges: 10,20,50"),
        ("--tag-separator", "COLUMN=TEXT", "what stands between tags; [] for lists as in JSON"),
        ("--explode", "COLUMN", "each of its tags makes a pair of its own"),
        (
            "--tokenizer",
            "[COLUMN=]FILE",
            "a tokenizer.json of Hugging Face, which splits texts and whose ids these then have "
            "(needs tokenizers: pip install 'object2vec[tokenizers]')",
        ),
        ("--special-tokens", "COLUMN", "add those of its tokenizer, such as [CLS]"),
        (
            "--stem",
            "COLUMN=LANGUAGE",
            "bring the words of a text to their stems, as in plot=english (needs snowballstemmer: "
            "pip install 'object2vec[stems]')",
        ),
        ("--min-count", "[COLUMN=]N", "what is rarer in the rows for training gets no id"),
        ("--max-size", "[COLUMN=]N", "only so many values, the most frequent ones, get an id"),
    ):
        group.add_argument(option, action="append", default=[], metavar=value, help=text)
    group.add_argument(
        "--keep-case", action="store_true", help="do not lower-case texts (default: lower-cased)"
    )


def _add_split(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--split",
        choices=tuple(_SPLITS),
        help="each row by itself (random, the default); all rows of a user together; the latest "
        "ones by --time; or of each user the last row",
    )
    group.add_argument(
        "--by", metavar="COLUMN", help="who the user is (default: the first column of in0)"
    )
    group.add_argument("--time", metavar="COLUMN", help="numbers or ISO dates")
    group.add_argument("--seed", type=whole_number, metavar="N", help="of the draws (default: 0)")


def add_layout_options(parser: argparse.ArgumentParser) -> None:
    """Add those that say how files of rows are written."""
    group = parser.add_argument_group("files with separators")
    group.add_argument(
        "--no-header", action="store_true", help="the first row is data; columns are 0, 1, 2, …"
    )
    group.add_argument(
        "--separator", metavar="CHARACTER", help="or tab; default: the first line decides"
    )
    group.add_argument(
        "--no-quotes", action="store_true", help="double quotes are signs like any other"
    )
    group.add_argument("--encoding", metavar="NAME", help="default: utf-8")


def share(text: str) -> float:
    """A share of the rows; ``type=`` of argparse."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no share of the rows, as 0.1 is") from None


def is_share(given: Optional[str]) -> bool:
    """Whether an option names a share of the rows, rather than a path or nothing."""
    if given is None or os.path.lexists(given):
        return False
    with contextlib.suppress(ValueError):
        float(given)
        return True
    return False


def share_of(given: Optional[str]) -> Optional[float]:
    """The share of the rows that an option names, 0 where it names a path instead."""
    if given is None:
        return None
    return float(given) if is_share(given) else 0.0


def names_columns(options: argparse.Namespace) -> bool:
    """Whether the options say which columns in0 and in1 are.

    Raises
    ------
    CustomerError
        They do so for one side only, or something is said of columns without them.
    """
    given = [side for side in _SIDES if getattr(options, side) is not None]
    if len(given) == len(_SIDES):
        return True
    if given:
        from object2vec.prepare.table_choice import BOTH_SIDES

        (missing,) = set(_SIDES) - set(given)
        raise CustomerError(f"--{missing} is missing: {BOTH_SIDES}.")
    further = {**_FURTHER, **{name: [] for name in _BY_COLUMN}}
    others = [name for name, nothing in further.items() if getattr(options, name) != nothing]
    if others:
        option = others[0].replace("_", "-")
        raise CustomerError(f"--{option} can only be used together with --in0 and --in1.")
    return False


def table_choice(
    options: argparse.Namespace, validation: Optional[float], test: Optional[float]
) -> TableChoice:
    """What the options say of a table.

    Parameters
    ----------
    options : argparse.Namespace
        With `--in0` and `--in1`.
    validation, test : float, optional
        The shares of the rows that are kept back.

    Raises
    ------
    CustomerError
        Something in them is not right; columns that are not in the table are found later.
    """
    sides = [_column_names(options, side) for side in _SIDES]
    files = _tokenizers(options, list(dict.fromkeys(sides[0] + sides[1])))
    columns = _columns(options, sides, files)
    split = _split(options, sides[0][0], validation, test)
    from object2vec.prepare.table_choice import TableChoice
    from object2vec.raw_values.inputs import MOST_TOKENS

    return TableChoice(
        in0=columns[0],
        in1=columns[1],
        label=options.label,
        label_kind=options.label_kind or "auto",
        weight=options.weight,
        tied=options.tied,
        max_length=MOST_TOKENS if options.max_length is None else options.max_length,
        split=split,
        layout=layout_of(options),
        preset=options.preset or "auto",
        tokenizer=files.get(None),
    )


def layout_of(options: argparse.Namespace) -> Layout:
    """How files of rows are written, as the options say."""
    from object2vec.prepare.delimited import Layout

    separator = options.separator or ""
    return Layout(
        separator="\t" if separator in ("tab", "\\t") else separator,
        quotes=not options.no_quotes,
        encoding="utf-8" if options.encoding is None else options.encoding,
        header=not options.no_header,
    )


def _column_names(options: argparse.Namespace, side: str) -> list[str]:
    from object2vec.hyperparameters.values import column_names

    with contextlib.suppress(ValueError):
        return [name for text in getattr(options, side) for name in column_names(text)]
    given = names(getattr(options, side))
    raise CustomerError(f"--{side} must name columns, as in user,age, found {given}.")


def _tokenizers(options: argparse.Namespace, known: Sequence[str]) -> dict[Optional[str], str]:
    """The files by their columns, by None that of all texts."""
    found: dict[Optional[str], str] = {}
    for text in options.tokenizer:
        # the name of a file may hold the sign itself
        is_file = os.path.lexists(text)
        column, file = (None, text) if is_file else _of_column(text, known, "--tokenizer", True)
        _say(found, column, file, "--tokenizer")
    return found


def _columns(
    options: argparse.Namespace, sides: list[list[str]], tokenizers: Mapping[Optional[str], str]
) -> list[list[dict[str, Any]]]:
    """The columns of both sides as `columns.ColumnChoice` takes them."""
    known = list(dict.fromkeys(sides[0] + sides[1]))
    given: dict[str, dict[str, Any]] = {name: {"name": name} for name in known}
    readers: dict[str, Callable[[str, str], Any]] = {
        "kind": _text,
        "repeat": _whole,
        "bins": _bins,
        "tag_separator": _text,
        "stem": _text,
        "min_count": _whole,
        "max_size": _whole,
    }
    for name in known:
        if name in tokenizers:
            given[name]["tokenizer"] = tokenizers[name]
        elif options.keep_case:
            given[name]["lower"] = False
    for key, read in readers.items():
        option = "--" + key.replace("_", "-")
        said: dict[Optional[str], str] = {}
        for text in getattr(options, key):
            column, value = _of_column(text, known, option, key in ("min_count", "max_size"))
            _say(said, column, value, option)
        for name in known:
            # a column's own wins over what holds for all
            own = said.get(name, said.get(None))
            if own is not None:
                given[name]["separator" if key == "tag_separator" else key] = read(own, option)
    for key in ("explode", "special_tokens"):
        for name in getattr(options, key):
            if name not in given:
                raise _unknown(name, known, "--" + key.replace("_", "-"))
            given[name][key] = True
    return [[given[name] for name in side] for side in sides]


def _of_column(
    text: str, known: Sequence[str], option: str, for_all: bool
) -> tuple[Optional[str], str]:
    """The column and the value of COLUMN=VALUE; no column where the value is for all."""
    # A name may hold the sign itself, and so may a separator of tags.
    for name in sorted(known, key=len, reverse=True):
        if text.startswith(f"{name}="):
            return name, text[len(name) + 1 :]
    if for_all and "=" not in text:
        return None, text
    if "=" not in text:
        raise CustomerError(
            f"{option} {named(text)} must have the form COLUMN=VALUE, as in "
            f"{option} {shlex.quote(known[0])}=…"
        )
    raise _unknown(text.rpartition("=")[0], known, option)


def _say(said: dict[Optional[str], str], column: Optional[str], value: str, option: str) -> None:
    """Keep what an option says of a column, or by None of all, unless it said something else."""
    before = said.setdefault(column, value)
    if before != value:
        whom = "all columns" if column is None else f"the column {named(column)}"
        raise CustomerError(
            f"{option} must say one thing of {whom}, found {named(before)} and {named(value)}."
        )


def _unknown(name: str, known: Sequence[str], option: str) -> CustomerError:
    return CustomerError(
        f"{option} names the column {named(name)}, which is none of in0 and in1: these are "
        f"{names(known)}."
    )


def _text(text: str, option: str) -> str:
    return text


def _whole(text: str, option: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise CustomerError(f"{option} must be a whole number, found {named(text)}.") from None


def _bins(text: str, option: str) -> Union[int, list[float]]:
    try:
        return [float(edge) for edge in text.split(",")] if "," in text else int(text)
    except ValueError:
        raise CustomerError(
            f"{option} must be a whole number, or edges such as 10,20,50, found {named(text)}."
        ) from None


def _split(
    options: argparse.Namespace, user: str, validation: Optional[float], test: Optional[float]
) -> Optional[Split]:
    if options.split is None and not validation and not test:
        for option in ("by", "time", "seed"):
            if getattr(options, option) is not None:
                raise CustomerError(
                    f"--{option} can only be used together with --split, --validation or --test."
                )
        return None
    kind = options.split or "random"
    for option, kinds in (("by", ("user", "leave-one-out")), ("time", ("time", "leave-one-out"))):
        if getattr(options, option) is not None and kind not in kinds:
            raise CustomerError(
                f"--{option} can only be used together with --split {' or '.join(kinds)}."
            )
    if kind == "time" and options.time is None:
        raise CustomerError("--split time needs --time, the column that says when a row was.")
    if validation is not None and not validation and not test:
        raise CustomerError("--split needs a share of the rows to keep back, as --validation 0.1.")
    from object2vec.prepare.splits import Split

    return Split(
        _SPLITS[kind],
        validation=(0.0 if test else VALIDATION_SHARE) if validation is None else validation,
        test=test or 0.0,
        by=(options.by or user) if kind in ("user", "leave-one-out") else None,
        time=options.time,
        seed=options.seed or 0,
    )
