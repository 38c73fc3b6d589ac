# SPDX-License-Identifier: Apache-2.0
"""`object2vec validate`: checks hyperparameters and data, trains nothing."""

from __future__ import annotations

import argparse
from typing import Any

from object2vec.cli.job_options import add_job_options, base_folder, job_of_files, names_files
from object2vec.cli.parser import add_command

_EXAMPLES = """\
examples:
  object2vec validate --train ratings.csv --in0 user --in1 film,genres --label rating
  object2vec validate --train train.jsonl --hyperparameters hyperparameters.json
  object2vec validate --base /opt/ml

"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "validate", "check hyperparameters and data, train nothing", _EXAMPLES
    )
    add_job_options(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from object2vec.job.job_inputs import job_from_environment, read_inputs, summary
    from object2vec.logs import warnings_told
    from object2vec.sagemaker.environment import Environment

    with warnings_told():
        if names_files(options):
            job = job_of_files(options)
        else:
            job = job_from_environment(Environment(base_folder(options)))
        print(summary(read_inputs(job)))
    return 0
