# SPDX-License-Identifier: Apache-2.0
"""`object2vec export`: a trained network as graphs of ONNX."""

from __future__ import annotations

import argparse
from typing import Any

from object2vec.cli.model_option import add_model_option, check_model_dir
from object2vec.cli.parser import add_command
from object2vec.cli.streams import say
from object2vec.text import named

_EXAMPLES = """\
The graphs take ids, int64: source and target (batch, length), padded at the end, and how many of
each list are real, source_length and target_length (batch). They give what predict gives: scores,
or the embeddings enc0 and enc1. Raw values become ids outside, by the model's inputs.json.

examples:
  object2vec export --model-dir model --onnx graphs
  object2vec export --model-dir model --onnx films.onnx --graph enc1

"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "export", "a model for other runtimes: ONNX", _EXAMPLES)
    add_model_option(parser)
    parser.add_argument(
        "--onnx",
        required=True,
        metavar="PATH",
        help="a file that ends with .onnx, for one graph, or a folder for enc0.onnx, enc1.onnx and "
        "scores.onnx; weights of more than 2 GiB stand in a file beside; needs onnx: "
        "pip install 'object2vec[onnx]'",
    )
    parser.add_argument(
        "--graph",
        choices=("enc0", "enc1", "scores"),
        help="which graph alone; default: all in a folder, scores in a file",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from object2vec.backend import own_process
    from object2vec.export.onnx_graph import onnx_module
    from object2vec.logs import warnings_told

    # found in no time, as what is wrong with the model
    onnx_module()
    check_model_dir(options.model_dir)
    with warnings_told():
        own_process.tune()
        from object2vec.export.onnx_files import onnx_target, write_onnx
        from object2vec.inference.predictor import Predictor

        target = onnx_target(options.onnx, options.graph)
        written = write_onnx(Predictor.load(options.model_dir).network, target)
    say(f"Wrote {', '.join(map(named, written))}.")
    return 0
