# SPDX-License-Identifier: Apache-2.0
"""`object2vec evaluate`: what a model is worth on data, beside what it is to beat."""

from __future__ import annotations

import argparse
from typing import Any

from object2vec.cli.model_option import add_model_option, loaded_model
from object2vec.cli.parser import add_command, real_number, whole_number
from object2vec.cli.streams import add_result_options, check_output, tell
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
    add_model_option(parser)
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
    parser.add_argument(
        "--threshold",
        type=real_number,
        metavar="P",
        help="of several labels a pair: it has those whose probability is above this (default: "
        "0.5)",
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
    add_result_options(parser.add_argument_group("output"))
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
    sources = (options.input, options.seen, options.candidates, options.model_dir)
    check_output(options.output, *sources)
    with loaded_model(options.model_dir) as model:
        found = model.evaluate(
            options.input,
            layout=layout_of(options),
            **{
                name: getattr(options, name)
                for name in (
                    *("task", "seen", "candidates", "label", "weight", "relevant_from", "k"),
                    *("by", "sampled", "hybrid", "threshold"),
                    *("resamples", "confidence", "seed"),
                )
            },
        )
    tell(found, options)
    return 0


def _whole_numbers(text: str) -> list[int]:
    return [whole_number(part) for part in text.split(",")]
