# SPDX-License-Identifier: Apache-2.0
"""`object2vec predict`: scores of pairs and embeddings, from a file or standard input."""

from __future__ import annotations

import argparse
import logging
import sys
from typing import Any

from object2vec.cli.parser import MODEL_HELP, add_command
from object2vec.cli.streams import opened_input, opened_output

_EXAMPLES = """\
An instance with in0 and in1 is answered by its scores, one with a single input by its embedding.
JSON Lines are answered line by line as they come, whatever their number; other keys are ignored.

examples:
  echo '{"in0": [1], "in1": [50]}' | object2vec predict --model-dir model
  object2vec predict --model-dir model --input pairs.jsonl --output scores.jsonl
  object2vec predict --model-dir model --input request.json --content-type application/json

"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "predict", "scores of pairs, or embeddings", _EXAMPLES)
    parser.add_argument("--model-dir", required=True, metavar="DIR", help=MODEL_HELP)
    parser.add_argument("--input", metavar="FILE", help="default: standard input")
    parser.add_argument("--output", metavar="FILE", help="default: standard output")
    parser.add_argument(
        "--content-type",
        metavar="TYPE",
        default="application/jsonlines",
        help="of the input: application/jsonlines (default) or application/json, also with "
        "'; infer_max_seqlens=50,60' to cut in0 and in1 at other lengths than in training",
    )
    parser.add_argument("--accept", metavar="TYPE", help="of the output; default: as the input")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from object2vec.backend import own_process
    from object2vec.logs import logging_to
    from object2vec.model.model_archives import is_archive
    from object2vec.model.model_files import check_model
    from object2vec.serving.answer_formats import format_answer, infer
    from object2vec.serving.instances import InstanceFormat
    from object2vec.serving.media_types import JSON_LINES, choose_accept, parse_content_type
    from object2vec.serving.request_formats import parse_body, read_requests

    content_type = parse_content_type(options.content_type)
    accept = choose_accept(options.accept, content_type)
    # Found in no time; the model's loader would need MXNet first. An archive is unpacked once.
    if not is_archive(options.model_dir):
        check_model(options.model_dir)
    streaming = content_type.media_type == accept == JSON_LINES
    with logging_to(sys.stderr, logging.WARNING), opened_input(options.input) as source:
        own_process.tune()
        from object2vec.inference.predictor import Predictor

        predictor = Predictor.load(options.model_dir)
        predictor.warn_of_fallback()
        with opened_output(options.output) as target:
            taken = InstanceFormat.of(predictor)
            if streaming:
                requests = read_requests(source, taken)
            else:
                requests = iter([parse_body(source.read(), content_type.media_type, taken)])
            for request in requests:
                answer = infer(request, predictor, content_type.max_seq_lens)
                target.write(format_answer(answer, accept))
                target.flush()
    return 0
