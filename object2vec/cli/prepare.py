# SPDX-License-Identifier: Apache-2.0
"""`object2vec prepare`: makes the channels of a job of a table, and names the training."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from object2vec.cli.parser import add_command
from object2vec.cli.streams import say
from object2vec.cli.table_options import (
    VALIDATION_SHARE,
    add_column_options,
    add_further_options,
    share,
    table_choice,
)
from object2vec.job.stop_request import StoppedBeforeTraining, StopRequest
from object2vec.logs import watched
from object2vec.text import named

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
    add_column_options(parser, required=True)
    for name in ("validation", "test"):
        otherwise = f", or {VALIDATION_SHARE} with --split and without --test"
        parser.add_argument(
            f"--{name}",
            type=share,
            metavar="SHARE",
            help="share of the rows to keep back, such as 0.1; any share is one row with "
            f"leave-one-out (default: 0{otherwise if name == 'validation' else ''})",
        )
    add_further_options(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    choice = table_choice(options, options.validation, options.test)
    from object2vec.logs import warnings_told
    from object2vec.prepare.inputs_summary import found_lines
    from object2vec.prepare.progress_bar import table_progress
    from object2vec.prepare.recipes import recipe
    from object2vec.prepare.write_channels import write_channels

    logged = warnings_told()
    with _ending_in_order(), logged, table_progress(watched()) as progress:
        inputs, report = write_channels(
            options.output,
            options.input[0] if len(options.input) == 1 else options.input,
            choice,
            progress=progress,
        )
    chosen = recipe(inputs, choice.preset)
    for line in (*report.lines(), *found_lines(inputs), chosen.why):
        say(line)
    folder = Path(options.output)
    channels = [name for name, pairs in report.pairs.items() if pairs]
    say(f"Written to {named(folder)}. To train on it:")
    print(_training_command(folder, channels, chosen.name))
    return 0


@contextlib.contextmanager
def _ending_in_order() -> Iterator[None]:
    """Let SIGTERM, as Ctrl-C does, take away what is half written before it ends the process."""
    stop = StopRequest()
    try:
        with stop.listening(), stop.interrupting():
            yield
    except StoppedBeforeTraining:
        # its handler is again the one that was there before
        if stop.signal is not None:
            signal.raise_signal(stop.signal)
        raise KeyboardInterrupt from None


def _training_command(folder: Path, channels: Sequence[str], preset: str) -> str:
    parts = [f"--{name} {shlex.quote(str(folder / name))}" for name in (*channels, "auxiliary")]
    # sizes follow from the inputs.json of the auxiliary folder, other settings from the recipe
    parts += [f"--preset {preset}", "--model-dir model"]
    lines = ["object2vec train"]
    for part in parts:
        if len(lines[-1]) + 1 + len(part) > _WIDTH:
            lines[-1] += " \\"
            lines.append(f"    {part}")
        else:
            lines[-1] += f" {part}"
    return "\n".join(lines)
