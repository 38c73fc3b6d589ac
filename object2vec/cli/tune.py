# SPDX-License-Identifier: Apache-2.0
"""`object2vec tune`: searches hyperparameters by a study of trainings."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from object2vec.cli.job_options import add_job_options, job_of_files, names_files
from object2vec.cli.parser import add_command, real_number, whole_number
from object2vec.cli.streams import add_result_options, check_output, tell
from object2vec.errors import CustomerError

_EXAMPLES = """\
The first trial is the training that object2vec train would make. What -p gives is fixed; all else
that has a documented range is searched, or what --search names. Trials are judged by the validation
loss of their best epoch, or by what -p early_stopping_metric names. What is worse than three
quarters of the others at its epoch is ended. The best model is written to --model-dir.
Needs Optuna: pip install 'object2vec[tune]'.

A study that was killed goes on with the same command: what has ended is kept in --study.

examples:
  object2vec tune --train ratings.csv --in0 user --in1 film --label rating --validation 0.1 \\
      --trials 3 --search learning_rate=0.001:0.03 --search enc_dim=16,32 -p epochs=2 \\
      --model-dir tuned --study study.db
  object2vec tune --train train.jsonl --validation validation.jsonl --test test.jsonl \\
      --hyperparameters hyperparameters.json -p enc_dim=32 -p epochs=1 --search mlp_dim=16:64 \\
      --trials 2 --model-dir tuned

"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "tune", "search hyperparameters, keep the best model", _EXAMPLES)
    parser.lists_hyperparameters = True
    add_job_options(parser)
    group = parser.add_argument_group("the study")
    group.add_argument(
        "--trials", type=whole_number, default=20, metavar="N",
        help="how many trials the study is to have (default: 20)",
    )  # fmt: skip
    group.add_argument(
        "--search",
        action="append",
        default=[],
        metavar="NAME[=RANGE]",
        help="what is searched: NAME, NAME=LOW:HIGH or NAME=A,B,C (and the value of the "
        "first trial); may be repeated",
    )
    group.add_argument(
        "--study", metavar="FILE", help="file of SQLite that keeps the trials (default: none)"
    )
    group.add_argument(
        "--jobs", type=whole_number, default=1, metavar="N",
        help="trainings at a time, each a process of its own (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--timeout", type=real_number, metavar="SECONDS", help="after them no trial begins"
    )
    group.add_argument(
        "--no-pruning", action="store_true", help="let every trial train to its own end"
    )
    group.add_argument(
        "--refit",
        action="store_true",
        help="train the best setting anew on train and validation data, for as many epochs",
    )
    group.add_argument("--quiet", action="store_true", help="no line a trial")
    add_result_options(group)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from object2vec.job.job_inputs import read_inputs
    from object2vec.logs import warnings_told, watched
    from object2vec.tuning.plan import Plan, check_validation
    from object2vec.tuning.space import first_training, read_search, space_of
    from object2vec.tuning.storage import check_study_file, optuna_module
    from object2vec.tuning.study import print_line, run_study, silent, study_file

    if not names_files(options):
        raise CustomerError("--train is missing: it names the training data.")
    if options.model_dir is None:
        raise CustomerError("--model-dir is missing: it says where the best model is written.")
    # before hours are spent on trials
    check_output(
        options.output,
        *(options.train, options.validation, options.test, options.auxiliary, options.study),
        *(options.hyperparameters, options.model_dir),
    )
    optuna_module()
    search = read_search(options.search)
    with warnings_told(), study_file(options.study) as study:
        check_study_file(study)
        job = job_of_files(options)
        inputs = read_inputs(job, progress=watched() and not options.quiet)
        check_validation(inputs.datasets)
        from object2vec.hyperparameters.given import GivenHyperparameters

        given = GivenHyperparameters(job.configuration).given
        configuration, resolved = first_training(
            inputs.configuration, inputs.hyperparameters, given, search
        )
        plan = Plan(
            configuration=configuration,
            space=space_of(configuration, resolved, given, search),
            datasets=inputs.datasets,
            study=study,
            model_dir=Path(options.model_dir),
            auxiliary=inputs.auxiliary,
            inputs=inputs.raw,
            refit=options.refit,
            prunes=not options.no_pruning,
        )
        found = run_study(
            plan,
            resolved,
            trials=options.trials,
            jobs=options.jobs,
            seconds=options.timeout,
            seed=resolved.seed,
            told=silent if options.quiet or options.json else print_line,
        )
    tell(found, options)
    return 0
