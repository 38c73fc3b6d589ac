# SPDX-License-Identifier: Apache-2.0
"""`object2vec demo`: trains on film ratings and shows what was learned."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from object2vec.cli.parser import add_command


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "demo", "train on film ratings and show what was learned")
    parser.add_argument(
        "--model-dir",
        metavar="DIR",
        default="object2vec-demo-model",
        help="where the model is written (default: %(default)s)",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from object2vec.backend import own_process
    from object2vec.demo import run

    own_process.tune()
    return run(Path(options.model_dir))
