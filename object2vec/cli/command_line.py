# SPDX-License-Identifier: Apache-2.0
"""The command `object2vec`: its commands, and what each ends with: a sentence, an exit code."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Optional

from object2vec.cli import (
    demo,
    describe,
    embed,
    evaluate,
    export,
    index,
    nearest,
    predict,
    prepare,
    report,
    serve,
    train,
    tune,
    validate,
)
from object2vec.cli.parser import EXIT_CODES, Parser
from object2vec.cli.streams import say
from object2vec.errors import EXIT_INTERRUPTED, AlgorithmError, CustomerError, failure_text
from object2vec.version import __version__

if TYPE_CHECKING:
    from object2vec.job.stop_request import StopRequest

EXIT_BROKEN_PIPE = 141
# In the order in which help lists them.
_COMMANDS = (
    prepare, train, validate, tune, predict, evaluate, report, embed, nearest, index, export, serve,
    describe, demo,
)  # fmt: skip
_EXAMPLES = """\
examples:
  object2vec demo                                        # a first look, in less than a minute

  # your own ratings, a table with these columns
  object2vec train --train ratings.csv --in0 user --in1 film --label rating --model-dir model

  # or ids, a line each: {"in0": [1], "in1": [50], "label": 5}
  # says that person 1 gave film 50 five stars; people have the numbers 1 to 943, films 1 to 1682,
  # and vocab_size is the highest number plus 1, or more
  object2vec train --train ratings.jsonl --model-dir model \\
      -p enc0_network=pooled_embedding -p enc0_max_seq_len=1 -p enc0_vocab_size=944 \\
      -p enc1_network=pooled_embedding -p enc1_max_seq_len=1 -p enc1_vocab_size=1684 \\
      -p enc_dim=64 -p comparator_list=hadamard -p mlp_layers=0 \\
      -p output_layer=mean_squared_error -p learning_rate=0.003 -p weight_decay=0.0003 \\
      -p mini_batch_size=256
  echo '{"in0": [1], "in1": [50]}' | object2vec predict --model-dir model

"""


def main(arguments: Optional[Sequence[str]] = None, *, stop: Optional[StopRequest] = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.
    stop : StopRequest, optional
        Takes signals already; for `train` alone, which else takes them while it runs.

    Returns
    -------
    int
        Exit code.
    """
    try:
        options = _parser().parse_args(arguments, argparse.Namespace(stop=stop))
        from object2vec.raw_values.option_names import COMMAND_LINE, calling_options

        with calling_options(COMMAND_LINE):
            return int(options.run(options))
    except KeyboardInterrupt:
        say("Stopped.")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Without this the interpreter complains once more when it flushes at its end.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except Exception as error:
        return _report(error)


def _report(error: Exception) -> int:
    if isinstance(error, CustomerError):
        say(failure_text(error))
        return error.exit_code
    # Heavier than an ordinary start needs, so it is imported only here.
    from object2vec.job.training_job import exit_code_of, explained
    from object2vec.logs import LOGGER_NAME, logging_to

    known = explained(error)
    code = exit_code_of(known)
    if code == AlgorithmError.exit_code:
        with logging_to(sys.stderr):
            logging.getLogger(LOGGER_NAME).error("The traceback of the failure:", exc_info=error)
    say(failure_text(known))
    return code


def _parser() -> Parser:
    parser = Parser(
        prog="object2vec",
        description="Learns embeddings of pairs of objects from their relation; Amazon "
        "SageMaker's Object2Vec on Apache MXNet.",
        epilog=_EXAMPLES + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"object2vec {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    # Through set_defaults rather than required=True, to answer a bare call with the whole help.
    parser.set_defaults(run=lambda _options: _print_help(parser))
    for command in _COMMANDS:
        command.add(commands)
    return parser


def _print_help(parser: argparse.ArgumentParser) -> int:
    parser.print_help(sys.stderr)
    return 1
