# SPDX-License-Identifier: Apache-2.0
"""`object2vec serve`: answers requests over HTTP."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Any

from object2vec.cli.model_option import add_model_option
from object2vec.cli.parser import add_command, whole_number

_EXAMPLES = """\
POST /invocations takes application/json and application/jsonlines; GET /ping answers 200 while a
worker can answer. Needs the serving parts: pip install 'object2vec[serve]'.

examples:
  object2vec serve --model-dir model
  curl -H 'Content-Type: application/json' http://127.0.0.1:8080/invocations \\
      -d '{"instances": [{"in0": [1], "in1": [50]}]}'

"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "serve", "answer requests over HTTP", _EXAMPLES)
    add_model_option(parser)
    parser.add_argument(
        "--port",
        type=whole_number,
        metavar="PORT",
        help="default: $SAGEMAKER_BIND_TO_PORT or 8080; at most 32766",
    )
    parser.add_argument(
        "--workers",
        type=whole_number,
        metavar="N",
        help="Python processes that answer (default: $SAGEMAKER_MODEL_SERVER_WORKERS, or as many "
        "as cores and memory allow)",
    )
    parser.add_argument(
        "--host",
        metavar="ADDRESS",
        help="where to listen (default: 127.0.0.1, this machine only; 0.0.0.0: everywhere)",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from object2vec.serving.stopping import Stopped, noted_signals

    # Before the heavier imports: from here on SIGTERM is no failure.
    with noted_signals(until_exit=True) as stop, contextlib.suppress(Stopped):
        from object2vec.logs import logging_to
        from object2vec.serving.server import LOOPBACK, serve

        with logging_to(sys.stdout):
            return serve(
                options.model_dir,
                host=options.host or LOOPBACK,
                port=options.port,
                workers=options.workers,
                stop=stop,
            )
    return 0
