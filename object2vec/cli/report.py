# SPDX-License-Identifier: Apache-2.0
"""`object2vec report`: one page of HTML about a trained model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from object2vec.cli.model_option import add_model_option, loaded_model
from object2vec.cli.parser import add_command, whole_number
from object2vec.cli.streams import say
from object2vec.cli.table_options import add_layout_options, layout_of

_EXAMPLES = """\
The page holds everything and loads nothing: curves of the training, measures beside baselines, what
the pairs are like, a map of the embeddings to search and zoom, and for each object its nearest
neighbours. With --data (pairs with labels, as evaluate takes them) it shows where the model errs.
--objects names tables with a row for each object: the column called as the first one of in0 or in1
says which (of a model of ids the column in0 or in1), others colour it. t-SNE needs scikit-learn
and most of the time; --projections pca does without it.

examples:
  object2vec report --model-dir from-table --projections pca --output report.html
  object2vec report --model-dir from-table --data ratings.csv --objects ratings.csv \\
      --colour-by genres --projections pca --output report.html

"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "report", "a page that shows what a model learnt", _EXAMPLES)
    add_model_option(parser)
    parser.add_argument("--output", required=True, metavar="FILE", help="the page, in HTML")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="PATH",
        help="pairs with labels, to judge the model by; may be repeated",
    )
    parser.add_argument(
        "--seen",
        metavar="PATH",
        help="pairs that were known before, as a rule those for training: what baselines know",
    )
    parser.add_argument(
        "--objects",
        action="append",
        default=[],
        metavar="PATH",
        help="a table with a row for each object; may be repeated",
    )
    parser.add_argument(
        "--colour-by",
        type=_columns,
        metavar="COLUMN,…",
        help="its columns that colour the map (default: the first six that make groups or a scale)",
    )
    parser.add_argument(
        "--name", metavar="COLUMN", help="its column that objects are called by, such as a title"
    )
    parser.add_argument(
        "--projections",
        type=_columns,
        metavar="NAME,…",
        help="pca, tsne and umap (default: those whose packages are installed)",
    )
    parser.add_argument(
        "--points",
        type=whole_number,
        metavar="N",
        help="how many objects the map shows at most (default: 50000)",
    )
    parser.add_argument(
        "--study",
        metavar="FILE",
        help="the study that the model is from, as tune --study or tune --output wrote it: its "
        "trials",
    )
    parser.add_argument("--title", metavar="TEXT", help="default: the model's folder")
    add_layout_options(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from object2vec.files import check_not_read, check_output_file

    # found in no time, as what is wrong with the model
    check_output_file(options.output)
    check_not_read(options.output, [options.model_dir, options.study])
    study = None
    if options.study is not None:
        from object2vec.tuning.results import Tuning

        study = Tuning.load(options.study)
    with loaded_model(options.model_dir) as model:
        from object2vec.report.page import MOST_POINTS

        model.report(
            options.output,
            options.data,
            seen=options.seen,
            objects=options.objects,
            colours=options.colour_by,
            name=options.name,
            projections=options.projections,
            points=MOST_POINTS if options.points is None else options.points,
            title=options.title or folder_title(options.model_dir),
            layout=layout_of(options),
            study=study,
        )
    say(f"The report is in {options.output}.")
    return 0


def folder_title(folder: str) -> str:
    """What a page about the model in a folder is called."""
    return Path(folder).resolve().name or "Object2Vec model"


def _columns(text: str) -> list[str]:
    return [name for name in text.split(",") if name]
