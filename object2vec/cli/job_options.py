# SPDX-License-Identifier: Apache-2.0
"""The options of `train` and `validate` that say which job: its folder, or its files."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from object2vec.cli.hyperparameter_options import (
    add_hyperparameter_options,
    configuration,
    hyperparameter_options,
)
from object2vec.cli.table_options import (
    add_column_options,
    add_further_options,
    is_share,
    names_columns,
    share_of,
    table_choice,
)
from object2vec.errors import CustomerError

if TYPE_CHECKING:
    from object2vec.job.job_inputs import Job

BASE_VARIABLE = "OBJECT2VEC_BASE"
_DATA_OPTIONS = ("train", "validation", "test", "auxiliary")


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Add both groups of options to a command's parser."""
    contract = parser.add_argument_group("SageMaker's contract")
    contract.add_argument(
        "--base",
        metavar="DIR",
        help=f"folder of the job (default: ${BASE_VARIABLE} or /opt/ml)",
    )
    direct = parser.add_argument_group("files named directly")
    for name in _DATA_OPTIONS[:3]:
        direct.add_argument(
            f"--{name}",
            metavar="PATH" if name == "train" else "PATH|SHARE",
            help=f"{name} data: a file, JSON Lines of ids or with --in0 and --in1 a table, or a "
            f"folder of them{'' if name == 'train' else '; of a table also a share, as 0.1'}",
        )
    direct.add_argument(
        "--auxiliary",
        metavar="DIR",
        help="folder of pretrained vectors, vocabulary files, and inputs.json of prepare",
    )
    direct.add_argument("--model-dir", metavar="DIR", help="where the model is written")
    add_hyperparameter_options(direct)
    add_column_options(parser.add_argument_group("a table"), required=False)
    add_further_options(parser)


def names_files(options: argparse.Namespace) -> bool:
    """Whether the job is given by its files, rather than by the folder of SageMaker's contract."""
    return options.train is not None


def base_folder(options: argparse.Namespace) -> Path:
    """The folder of a job that follows SageMaker's contract.

    Raises
    ------
    CustomerError
        It does not exist, or options are given that belong to the other form.
    """
    given = [f"--{name}" for name in _DATA_OPTIONS[1:] if getattr(options, name) is not None]
    given += ["--model-dir"] if options.model_dir is not None else []
    given += ["--in0", "--in1"] if names_columns(options) else []
    given += ["--preset"] if options.preset is not None else []
    given += hyperparameter_options(options)
    if given:
        raise CustomerError(f"{', '.join(given)} can only be used together with --train.")
    from object2vec.sagemaker.environment import DEFAULT_BASE

    base = Path(options.base or os.environ.get(BASE_VARIABLE) or DEFAULT_BASE)
    if not base.is_dir():
        raise CustomerError(
            f"The folder {base} does not exist: name the job's folder with --base, or the data "
            "with --train, --model-dir and -p."
        )
    return base


def job_of_files(options: argparse.Namespace) -> Job:
    """The job whose files the options name.

    Raises
    ------
    CustomerError
        A folder of a job is named as well, or hyperparameters cannot be read.
    """
    from object2vec.job.job_inputs import Job
    from object2vec.sagemaker.environment import Channel

    if options.base is not None:
        raise CustomerError("--base and --train exclude each other.")
    paths = {name: getattr(options, name) for name in _DATA_OPTIONS}
    tables = None
    if names_columns(options):
        shares = {name: share_of(paths[name]) for name in ("validation", "test")}
        tables = table_choice(options, shares["validation"], shares["test"])
        paths.update(dict.fromkeys(name for name in shares if is_share(paths[name])))
    given = configuration(options)
    if options.preset is not None and tables is None:
        from object2vec.prepare.recipes import check_preset

        check_preset(options.preset)
        given["_preset"] = options.preset
    return Job(
        configuration=given,
        source=options.hyperparameters or "the command line",
        channels={
            name: Channel(path=Path(path), content_type=None)
            for name, path in paths.items()
            if path is not None
        },
        model_dir=None if options.model_dir is None else Path(options.model_dir),
        model_dir_option="--model-dir",
        tables=tables,
    )
