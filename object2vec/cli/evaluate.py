# SPDX-License-Identifier: Apache-2.0
"""`object2vec evaluate`: what a model is worth on data, beside what it is to beat."""

from __future__ import annotations

import argparse
import logging
import sys
from typing import Any

from object2vec.cli.parser import MODEL_HELP, add_command, real_number, whole_number
from object2vec.cli.streams import opened_output
from object2vec.cli.table_options import add_layout_options, layout_of

_EXAMPLES = """\
The data are pairs with labels: JSON Lines with in0, in1 and label, or a table with the columns of
the model (CSV, TSV, JSON Lines, Parquet; needs pyarrow). Measures stand in a table, with intervals
by bootstrap, beside baselines: guesses from the labels of --seen, popularity, TF-IDF of texts.

examples:
  object2vec evaluate --model-dir model --input test.jsonl
  object2vec evaluate --model-dir model --input test.jsonl --seen train.jsonl --output worth.json
  object2vec evaluate --model-dir from-table --input ratings.csv --task ranking --relevant-from 4 \\
      --k 10,20 --json

"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "evaluate", "measure a model on labelled pairs", _EXAMPLES)
    parser.add_argument("--model-dir", required=True, metavar="DIR", help=MODEL_HELP)
    parser.add_argument("--input", required=True, metavar="PATH", help="pairs with their labels")
    parser.add_argument(
        "--seen",
        metavar="PATH",
        help="pairs that were known before, as a rule those for training: left out of rankings; "
        "what baselines know",
    )
    parser.add_argument(
        "--task",
        choices=("auto", "labels", "ranking", "correlation"),
        default="auto",
        help="labels that are predicted, where what belongs together is ranked, or how scores go "
        "with labels that are numbers (default: auto, ranking for in_batch_softmax, else labels)",
    )
    parser.add_argument(
        "--label", metavar="COLUMN", help="that of the labels (default: as in training)"
    )
    parser.add_argument(
        "--weight", metavar="COLUMN", help="how much a row counts (default: all count alike)"
    )
    _add_ranking(parser.add_argument_group("a ranking"))
    intervals = parser.add_argument_group("intervals")
    intervals.add_argument(
        "--resamples",
        type=whole_number,
        default=1000,
        metavar="N",
        help="samples of the bootstrap (default: 1000; 0: no intervals)",
    )
    intervals.add_argument(
        "--confidence", type=real_number, default=0.95, metavar="SHARE", help="(default: 0.95)"
    )
    intervals.add_argument(
        "--seed", type=whole_number, default=0, metavar="N", help="of all draws (default: 0)"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print JSON instead of a table")
    output.add_argument("--output", metavar="FILE", help="write JSON there as well")
    add_layout_options(parser)
    parser.set_defaults(run=_run)


def _add_ranking(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--k", type=_whole_numbers, metavar="N,…", help="how far down hits count (default: 10)"
    )
    group.add_argument(
        "--relevant-from",
        type=real_number,
        metavar="LABEL",
        help="the smallest label of a pair that belongs together (default: any but 0)",
    )
    group.add_argument("--candidates", metavar="PATH", help="further objects of in1 to rank among")
    group.add_argument(
        "--sampled",
        type=whole_number,
        metavar="N",
        help="rank among so many drawn candidates (default: all)",
    )
    group.add_argument(
        "--by",
        choices=("score", "cosine", "dot"),
        default="score",
        help="what orders candidates (default: the model's score)",
    )
    group.add_argument(
        "--hybrid",
        type=real_number,
        metavar="WEIGHT",
        help="rank as well by the score plus so many times TF-IDF's, where both sides are texts",
    )


def _run(options: argparse.Namespace) -> int:
    from object2vec.backend import own_process
    from object2vec.logs import logging_to
    from object2vec.model.model_archives import is_archive
    from object2vec.model.model_files import check_model

    # found in no time; the model's loader would need MXNet first
    if not is_archive(options.model_dir):
        check_model(options.model_dir)
    with logging_to(sys.stderr, logging.WARNING):
        own_process.tune()
        from object2vec.estimator.estimator import Object2Vec

        found = Object2Vec.load(options.model_dir).evaluate(
            options.input,
            layout=layout_of(options),
            **{
                name: getattr(options, name)
                for name in (
                    *("task", "seen", "candidates", "label", "weight", "relevant_from", "k"),
                    *("by", "sampled", "hybrid", "resamples", "confidence", "seed"),
                )
            },
        )
    text = found.to_json() + "\n"
    if options.output is not None:
        with opened_output(options.output) as target:
            target.write(text.encode())
    sys.stdout.write(text if options.json else f"{found}\n")
    return 0


def _whole_numbers(text: str) -> list[int]:
    return [whole_number(part) for part in text.split(",")]
