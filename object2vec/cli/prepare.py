# SPDX-License-Identifier: Apache-2.0
"""`object2vec prepare`: makes the channels of a job of a table, and names the training."""

from __future__ import annotations

import argparse
import contextlib
import csv
import logging
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from object2vec.cli.parser import add_command, whole_number
from object2vec.cli.streams import say
from object2vec.errors import CustomerError
from object2vec.logs import watched
from object2vec.text import counted, named, names

if TYPE_CHECKING:
    from object2vec.prepare.splits import Split
    from object2vec.raw_values.inputs import Inputs

# As a user says them, and as the room calls them.
_SPLITS = {"random": "random", "user": "group", "time": "time", "leave-one-out": "leave_one_out"}
_VALIDATION = 0.1
_WIDTH = 96
_EXAMPLES = """\
A table is CSV, TSV or another text with separators, JSON Lines or Parquet, the first ones gzipped
or not; the content decides. Needs pyarrow: pip install 'object2vec[table]'.

Written are train/train.jsonl, validation/… and test/… where asked for, and auxiliary/inputs.json,
which says what has which id. The command that trains on them goes to standard output, what became
of the rows to standard error. Vocabularies come from the rows for training alone; values that these
do not hold share one id.

Several columns of a side: --in1 film,genres, or --in1 film --in1 genres; a name that holds a comma
stands in double quotes. Without a header the columns are 0, 1, 2, … A column's kind is guessed from
its first rows unless --kind says it: id (one value, one token), text (its words), tags (a list, or
a text with a separator) or number (the token of its bin).

examples:
  object2vec prepare --input ratings.csv --in0 user --in1 film,genres --label rating \\
      --validation 0.1 --output channels
  object2vec prepare --input events.tsv --no-header --in0 0 --in1 1 --label 2 \\
      --split leave-one-out --time 3 --test 0.1 --output by-user

"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "prepare", "make training data of a table", _EXAMPLES)
    parser.add_argument(
        "--input", required=True, nargs="+", metavar="PATH", help="a file, several, or a folder"
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="where the channels are written"
    )
    for side in ("in0", "in1"):
        parser.add_argument(
            f"--{side}", required=True, action="append", metavar="COLUMNS", help=f"those of {side}"
        )
    parser.add_argument(
        "--label", metavar="COLUMN", help="default: none, each row is a positive pair"
    )
    parser.add_argument(
        "--label-kind",
        choices=("auto", "number", "class"),
        default="auto",
        help="number, or class: names of classes (default: numbers where all labels are)",
    )
    parser.add_argument(
        "--preset",
        metavar="NAME",
        default="auto",
        help="the recipe of the command that is printed: ratings, interactions, text_pair, "
        "text_tags, documents, or auto, the one that fits (default: %(default)s)",
    )
    _add_columns(parser.add_argument_group("columns of in0 and in1"))
    _add_split(parser.add_argument_group("rows kept back"))
    _add_layout(parser.add_argument_group("files with separators"))
    parser.set_defaults(run=_run)


def _add_columns(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--tied", action="store_true", help="in0 and in1 share their ids")
    group.add_argument(
        "--max-length",
        type=whole_number,
        metavar="N",
        help="cut longer lists of tokens (default: 5000)",
    )
    for option, value, text in (
        ("--kind", "COLUMN=KIND", "id, text, tags or number; may be repeated"),
        ("--repeat", "COLUMN=N", "how often its tokens stand in a list: its weight in a mean"),
        ("--bins", "COLUMN=N", "how many bins of a number, or their edges: 10,20,50"),
        ("--tag-separator", "COLUMN=TEXT", "what stands between tags; [] for lists as in JSON"),
        ("--explode", "COLUMN", "each of its tags makes a pair of its own"),
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
    of_split = f", or {_VALIDATION} with --split and without --test"
    for name in ("validation", "test"):
        group.add_argument(
            f"--{name}",
            type=_share,
            metavar="SHARE",
            help="share of the rows, such as 0.1; any share is one row with leave-one-out "
            f"(default: 0{of_split if name == 'validation' else ''})",
        )
    group.add_argument(
        "--by", metavar="COLUMN", help="who the user is (default: the first column of in0)"
    )
    group.add_argument("--time", metavar="COLUMN", help="numbers or ISO dates")
    group.add_argument("--seed", type=whole_number, metavar="N", help="of the draws (default: 0)")


def _add_layout(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--no-header", action="store_true", help="the first row is data; columns are 0, 1, 2, …"
    )
    group.add_argument(
        "--separator", metavar="CHARACTER", help="or tab; default: the first line decides"
    )
    group.add_argument(
        "--no-quotes", action="store_true", help="double quotes are signs like any other"
    )
    group.add_argument("--encoding", metavar="NAME", default="utf-8", help="default: %(default)s")


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no share of the rows, as 0.1 is") from None


def _run(options: argparse.Namespace) -> int:
    sides = [_column_names(options, side) for side in ("in0", "in1")]
    columns = _columns(options, sides)
    split = _split(options, sides[0][0])
    from object2vec.logs import logging_to
    from object2vec.prepare.delimited import Layout
    from object2vec.prepare.recipes import recipe
    from object2vec.prepare.write_channels import write_channels
    from object2vec.raw_values.inputs import MOST_TOKENS

    separator = options.separator or ""
    with logging_to(sys.stderr, logging.WARNING), _progress() as progress:
        inputs, report = write_channels(
            options.output,
            options.input[0] if len(options.input) == 1 else options.input,
            in0=columns[0],
            in1=columns[1],
            label=options.label,
            label_kind=options.label_kind,
            tied=options.tied,
            max_length=MOST_TOKENS if options.max_length is None else options.max_length,
            split=split,
            layout=Layout(
                separator="\t" if separator in ("tab", "\\t") else separator,
                quotes=not options.no_quotes,
                encoding=options.encoding,
                header=not options.no_header,
            ),
            progress=progress,
            preset=options.preset,
        )
    chosen = recipe(inputs, options.preset)
    for line in (*report.lines(), *_found(inputs), chosen.why):
        say(line)
    folder = Path(options.output)
    channels = [name for name, pairs in report.pairs.items() if pairs]
    if inputs.label.kind == "none" and "validation" in channels:
        channels.remove("validation")
        say(
            "The command leaves the pairs for validation out: all are positive, and their loss "
            "alone is lowest for a model that calls every pair positive."
        )
    say(f"Written to {named(folder)}. To train on it:")
    print(_training_command(folder, channels, chosen.settings))
    return 0


def _column_names(options: argparse.Namespace, side: str) -> list[str]:
    found: list[str] = []
    with contextlib.suppress(csv.Error):
        for text in getattr(options, side):
            found += next(csv.reader([text], skipinitialspace=True, strict=True), []) or [""]
        if all(found):
            return found
    given = names(getattr(options, side))
    raise CustomerError(f"--{side} must name columns, as in user,age, found {given}.")


def _columns(options: argparse.Namespace, sides: list[list[str]]) -> list[list[dict[str, Any]]]:
    """The columns of both sides as `columns.ColumnChoice` takes them."""
    known = list(dict.fromkeys(sides[0] + sides[1]))
    given: dict[str, dict[str, Any]] = {name: {"name": name} for name in known}
    readers: dict[str, Callable[[str, str], Any]] = {
        "kind": lambda text, _: text,
        "repeat": _whole,
        "bins": _bins,
        "tag_separator": lambda text, _: text,
        "min_count": _whole,
        "max_size": _whole,
    }
    if options.keep_case:
        for name in known:
            given[name]["lower"] = False
    for key, read in readers.items():
        option = "--" + key.replace("_", "-")
        for_all = key in ("min_count", "max_size")
        # What holds for all columns first, so that a column's own wins wherever it stands.
        for text in sorted(getattr(options, key), key=lambda text: "=" in text):
            column, value = _of_column(text, known, option, for_all)
            for name in known if column is None else [column]:
                given[name]["separator" if key == "tag_separator" else key] = read(value, option)
    for name in options.explode:
        if name not in given:
            raise _unknown(name, known, "--explode")
        given[name]["explode"] = True
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


def _unknown(name: str, known: Sequence[str], option: str) -> CustomerError:
    return CustomerError(
        f"{option} names the column {named(name)}, which is none of in0 and in1: these are "
        f"{names(known)}."
    )


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


def _split(options: argparse.Namespace, user: str) -> Optional[Split]:
    shares = [share for share in (options.validation, options.test) if share]
    if options.split is None and not shares:
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
    from object2vec.prepare.splits import Split

    validation, test = options.validation, options.test
    return Split(
        _SPLITS[kind],
        validation=(0.0 if test else _VALIDATION) if validation is None else validation,
        test=test or 0.0,
        by=(options.by or user) if kind in ("user", "leave-one-out") else None,
        time=options.time,
        seed=options.seed or 0,
    )


@contextlib.contextmanager
def _progress() -> Iterator[Optional[Callable[[str, int], None]]]:
    """A bar for each pass over the table, where somebody looks on."""
    if not watched():
        yield None
        return
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def show(name: str, rows: int) -> None:
        if name not in bars:
            for bar in bars.values():
                bar.close()
            bars[name] = tqdm(desc=name.capitalize(), unit=" rows", leave=False)
        bars[name].update(rows - bars[name].n)

    try:
        yield show
    finally:
        for bar in bars.values():
            bar.close()


def _found(inputs: Inputs) -> Iterator[str]:
    """The sizes and kinds that were found, in sentences."""
    from object2vec.prepare.recipes import learns_numbers

    for name, side in (("in0", inputs.in0), ("in1", inputs.in1)):
        kinds = ", ".join(f"{named(column.name)} ({column.kind})" for column in side.columns)
        yield (
            f"{name}: {kinds}; {counted(inputs.vocab_size(name), 'id')}, lists of up to "
            f"{counted(side.max_length, 'token')}."
        )
    label = inputs.label
    if label.kind == "none":
        yield "label: none, each pair is positive; training draws negative pairs."
    elif label.kind == "class":
        yield f"label: {named(label.name)}, the classes {names(label.classes, 30)}."
    elif learns_numbers(inputs):
        yield f"label: {named(label.name)}, numbers; with --label-kind class they are classes."
    else:
        yield f"label: {named(label.name)}, the classes 0 and 1."


def _training_command(folder: Path, channels: Sequence[str], settings: Mapping[str, str]) -> str:
    parts = [f"--{name} {shlex.quote(str(folder / name))}" for name in channels]
    parts.append("--model-dir model")
    parts += [f"-p {name}={value}" for name, value in settings.items()]
    lines = ["object2vec train"]
    for part in parts:
        if len(lines[-1]) + 1 + len(part) > _WIDTH:
            lines[-1] += " \\"
            lines.append(f"    {part}")
        else:
            lines[-1] += f" {part}"
    return "\n".join(lines)
