# SPDX-License-Identifier: Apache-2.0
"""What the commands' parsers have in common: mistakes in one sentence, the layout of help."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any, NoReturn

from object2vec.errors import CustomerError
from object2vec.text import bounded, quoted

EXIT_CODES = """\
exit codes:
  0 done   1 something in your input   2 a fault of object2vec   3 the machine (disk, memory)
  130 stopped by Ctrl-C   141 the reader of the output went away
"""


class Parser(argparse.ArgumentParser):
    """Reports a wrong option like every other mistake: one sentence, exit code 1."""

    lists_hyperparameters = False

    def error(self, message: str) -> NoReturn:
        raise CustomerError(f"{bounded(message, 600)} (see {self.prog} --help).")

    def format_help(self) -> str:
        text = super().format_help()
        if not self.lists_hyperparameters:
            return text
        # Only help needs the texts, so that the declaration is not imported for anything else.
        from object2vec.hyperparameters.table import help_items

        lines = ["", "hyperparameters, for -p NAME=VALUE and --hyperparameters:"]
        for name, description in help_items():
            lines.append(f"  {name}")
            lines += textwrap.wrap(
                description, 92, initial_indent=" " * 6, subsequent_indent=" " * 6
            )
        return text + "\n".join(lines) + "\n"


def add_command(commands: Any, name: str, summary: str, examples: str = "") -> Parser:
    """A command's parser, with the exit codes below its examples.

    Parameters
    ----------
    commands : argparse's action for subcommands
        Where the command is added.
    name : str
        What is typed.
    summary : str
        Its line in the list of commands; begins in lower case.
    examples : str, optional
        What stands below the options.

    Returns
    -------
    Parser
        For the command's options and ``set_defaults(run=…)``.
    """
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=examples + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    assert isinstance(parser, Parser)
    return parser


def whole_number(text: str) -> int:
    """The value of an option that is a whole number; ``type=`` of argparse."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is no whole number") from None


def real_number(text: str) -> float:
    """The value of an option that is a number; ``type=`` of argparse."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is no number") from None
