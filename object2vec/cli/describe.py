# SPDX-License-Identifier: Apache-2.0
"""`object2vec describe`: prints the JSON documents that SageMaker takes."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from object2vec.cli.hyperparameter_options import (
    add_hyperparameter_options,
    configuration,
    hyperparameter_options,
)
from object2vec.cli.parser import add_command
from object2vec.cli.streams import say
from object2vec.errors import CustomerError

_EXAMPLES = """\
With --tuning-job, hyperparameters that are given are the same in all jobs; what --search names, or
else all that is not given, is searched. The objective is the validation loss, or what
-p _tuning_objective_metric names.

examples:
  object2vec describe >hyperparams.json
  object2vec describe --metric-definitions >metrics.json
  object2vec describe --tuning-job --hyperparameters hyperparameters.json \\
      --search learning_rate --search enc_dim >tuning.json

"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "describe",
        "print hyperparams.json, what SageMaker's CreateAlgorithm takes",
        _EXAMPLES,
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--metric-definitions",
        action="store_true",
        help="print the metrics of the log instead, as a job with an image of one's own names them",
    )
    instead.add_argument(
        "--tuning-job",
        action="store_true",
        help="print objective, ranges and metrics instead, as CreateHyperParameterTuningJob takes "
        "them",
    )
    add_hyperparameter_options(parser)
    parser.add_argument(
        "--search",
        metavar="NAME",
        action="append",
        default=[],
        help="a hyperparameter that the tuning job searches, given or not; may be repeated",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from object2vec.sagemaker.algorithm import json_text, metric_definitions, render

    given = hyperparameter_options(options) + (["--search"] if options.search else [])
    if given and not options.tuning_job:
        raise CustomerError(f"{' and '.join(given)} can only be used together with --tuning-job.")
    if options.metric_definitions:
        sys.stdout.write(json_text(metric_definitions()))
    elif options.tuning_job:
        from object2vec.sagemaker.tuning_job import describe

        described, notes = describe(configuration(options), options.search)
        for note in notes:
            say(note)
        sys.stdout.write(json_text(described))
    else:
        sys.stdout.write(render())
    return 0
