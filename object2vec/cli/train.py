# SPDX-License-Identifier: Apache-2.0
"""`object2vec train`: runs a training job."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Callable, Optional

from object2vec.cli.job_options import add_job_options, base_folder, job_of_files, names_files
from object2vec.cli.parser import add_command
from object2vec.cli.streams import say
from object2vec.cli.table_options import layout_of
from object2vec.errors import CustomerError
from object2vec.logs import LOGGER_NAME, ShortFormatter, logging_to, watched

if TYPE_CHECKING:
    from object2vec.job.job_inputs import Inputs, Job
    from object2vec.training.readable_log import ReadableLog

_EXAMPLES = """\
With --train the files are named directly; without it the job follows SageMaker's contract under
--base: input/config/hyperparameters.json, input/data/train, …, model, output/failure.

With --in0 and --in1 the data are tables: CSV, TSV or another text with separators, JSON Lines or
Parquet, gzipped or not. Sizes follow from the data and settings from a recipe; -p wins over both.
Vocabularies come from the rows for training alone; values that these do not hold share one id.
Tables need pyarrow: pip install 'object2vec[table]'. Several columns of a side: --in1 film,genres.

Without them a data file holds one pair of ids a line:
{"label": 1, "in0": [6, 17], "in1": [16, 21]}
A file of hyperparameters is an object: {"enc0_max_seq_len": 50, "enc0_vocab_size": 40000}
Training starts anew each time; its first epoch's model replaces an older one in the folder.

The log on standard output: with --train a line when training begins, a line an epoch and one when
it ended; under the contract the lines that SageMaker's console and tuning jobs read. --log takes
the other one; --quiet leaves only errors.

examples:
  object2vec train --train ratings.csv --in0 user --in1 film,genres --label rating \\
      --validation 0.1 --model-dir model
  object2vec train --train train.jsonl --validation validation.jsonl --model-dir model \\
      --hyperparameters hyperparameters.json -p epochs=5
  object2vec train --base /opt/ml

"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "train", "train a model", _EXAMPLES)
    parser.lists_hyperparameters = True
    add_job_options(parser)
    parser.add_argument(
        "--report",
        metavar="FILE",
        help="write a page about the model there once it is trained, as object2vec report does; it "
        "is judged by the test pairs, or else by those for validation",
    )
    log = parser.add_mutually_exclusive_group()
    log.add_argument(
        "--log",
        choices=("plain", "sagemaker"),
        help="how the log is written (default: plain with --train, else sagemaker)",
    )
    log.add_argument("--quiet", action="store_true", help="no log and no progress bar: errors only")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from object2vec.job.job_inputs import job_from_environment
    from object2vec.job.training_job import run
    from object2vec.sagemaker.environment import Environment

    finished = _reporter(options)
    logged, readable = _log(options)
    progress = watched() and not options.quiet
    with logged:
        if names_files(options):
            if options.model_dir is None:
                raise CustomerError("--model-dir is missing: it says where the model is written.")
            return run(
                lambda: job_of_files(options),
                say,
                progress=progress,
                stop=options.stop,
                readable=readable,
                finished=finished,
            )
        environment = Environment(base_folder(options))
        environment.clear_failure()

        def report(text: str) -> None:
            logging.getLogger(LOGGER_NAME).error("%s", text)
            environment.write_failure(text)
            say(text)

        return run(
            lambda: job_from_environment(environment),
            report,
            progress=progress,
            stop=options.stop,
            readable=readable,
            finished=finished,
        )


def _reporter(options: argparse.Namespace) -> Optional[Callable[[Job, Inputs], None]]:
    """What writes the page about a trained model, where one is wanted."""
    if options.report is None:
        return None
    from object2vec.files import check_not_read, check_output_file

    # before hours are spent on the training
    check_output_file(options.report)
    check_not_read(
        options.report,
        [
            *(options.train, options.validation, options.test, options.auxiliary),
            options.model_dir,
        ],
    )

    def write(job: Job, inputs: Inputs) -> None:
        from object2vec.assessment.asked import Asked
        from object2vec.cli.report import folder_title
        from object2vec.estimator.estimator import Object2Vec
        from object2vec.estimator.reporting import trained_request

        assert job.model_dir is not None
        pairs = inputs.datasets
        judged = next((name for name in ("test", "validation") if name in pairs), None)
        asked = {} if judged is None else {judged: Asked(pairs[judged], pairs["train"])}
        source = None if inputs.raw is None else os.fspath(job.channels["train"].path)
        layout = layout_of(options) if names_files(options) else None
        Object2Vec.load(job.model_dir).write_report(
            options.report,
            asked,
            trained_request(pairs["train"], source, layout),
            folder_title(os.fspath(job.model_dir)),
        )

    return write


def _log(
    options: argparse.Namespace,
) -> tuple[AbstractContextManager[None], Optional[ReadableLog]]:
    """What writes the log to standard output, and what is told for people."""
    from object2vec.training.readable_log import ReadableLog

    if options.quiet:
        return logging_to(sys.stdout, logging.ERROR), None
    if (options.log or ("plain" if names_files(options) else "sagemaker")) == "plain":
        return logging_to(sys.stdout, logging.WARNING, ShortFormatter()), ReadableLog()
    return logging_to(sys.stdout), None
