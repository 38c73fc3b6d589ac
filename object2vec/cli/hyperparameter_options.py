# SPDX-License-Identifier: Apache-2.0
"""The options `--hyperparameters FILE` and `-p NAME=VALUE`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from object2vec.errors import CustomerError
from object2vec.text import named


def add_hyperparameter_options(options: argparse._ActionsContainer) -> None:
    """Add both to a parser or to a group of its options."""
    options.add_argument(
        "--hyperparameters", metavar="FILE", help="a JSON object of names and values"
    )
    options.add_argument(
        "-p",
        metavar="NAME=VALUE",
        dest="parameters",
        action="append",
        default=[],
        help="one hyperparameter; may be repeated and wins over the file",
    )


def hyperparameter_options(options: argparse.Namespace) -> list[str]:
    """Those of the two options that are given."""
    given = ["--hyperparameters"] if options.hyperparameters is not None else []
    return given + (["-p"] if options.parameters else [])


def configuration(options: argparse.Namespace) -> dict[str, Any]:
    """The hyperparameters as they are given, unchecked.

    Raises
    ------
    CustomerError
        The file is no JSON object or cannot be read, or a ``-p`` is not of the form NAME=VALUE.
    """
    return {**_read_file(options.hyperparameters), **_given(options.parameters)}


def _read_file(file: Optional[str]) -> Mapping[str, Any]:
    if file is None:
        return {}
    from object2vec.sagemaker.environment import read_json_object

    return read_json_object(Path(file))


def _given(parameters: Sequence[str]) -> dict[str, str]:
    values = {}
    for parameter in parameters:
        name, sign, value = parameter.partition("=")
        if not sign or not name:
            raise CustomerError(
                f"-p {named(parameter)} must have the form NAME=VALUE, as in -p epochs=5."
            )
        values[name.strip()] = value
    return values
