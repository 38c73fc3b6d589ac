# SPDX-License-Identifier: Apache-2.0
"""`object2vec index`: objects of a side, embedded and kept in the model directory."""

from __future__ import annotations

import argparse
from typing import Any

from object2vec.cli.model_option import add_model_option, loaded_model
from object2vec.cli.parser import add_command
from object2vec.cli.streams import say
from object2vec.cli.table_options import add_layout_options, layout_of
from object2vec.errors import CustomerError
from object2vec.text import counted, named

_EXAMPLES = """\
The server answers {"in1": …, "nearest": 10} from an index; `object2vec nearest` takes it where
there is one. An older index of the same side is replaced; training into the folder drops it.

examples:
  object2vec index --model-dir model
  object2vec index --model-dir from-table --side in0 --metric euclidean
  object2vec index --model-dir from-table --objects ratings.csv

"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "index", "keep a side's embeddings in the model, to be searched", _EXAMPLES
    )
    add_model_option(parser, "the folder that training wrote")
    parser.add_argument(
        "--side",
        choices=("in0", "in1"),
        default="in1",
        help="whose objects are to be found (default: in1)",
    )
    parser.add_argument(
        "--objects",
        metavar="FILE",
        help="a table with the side's columns (CSV, TSV, JSON Lines, Parquet; needs pyarrow), or "
        "JSON Lines whose key in0 or in1 holds an object; default: all of the vocabulary",
    )
    parser.add_argument("--name", metavar="COLUMN", help="the column of --objects with the names")
    parser.add_argument(
        "--metric",
        choices=("cosine", "dot", "euclidean"),
        default="cosine",
        help="how objects of this side are compared (default: cosine)",
    )
    parser.add_argument(
        "--kind",
        choices=("auto", "exact", "cells"),
        default="auto",
        help="exact: a search compares all; cells: it looks into the nearest cells alone (needs "
        "faiss: pip install 'object2vec[neighbours]'); auto: cells for more than 100,000 objects",
    )
    parser.add_argument(
        "--recall",
        type=float,
        default=0.95,
        metavar="SHARE",
        help="of cells, which share of the 10 nearest is to be found (default: 0.95)",
    )
    parser.add_argument(
        "--others",
        metavar="FILE",
        help="of cells, objects of the other side, by which those for these are chosen; default: "
        "those of the vocabulary",
    )
    add_layout_options(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from object2vec.files import check_model_folder
    from object2vec.model.model_archives import is_archive

    if is_archive(options.model_dir):
        raise CustomerError(
            f"{named(options.model_dir)} is an archive, into which no index can be written: unpack "
            "it and name the folder."
        )
    check_model_folder(options.model_dir, "--model-dir")
    with loaded_model(options.model_dir) as model:
        index = model.build_index(
            options.side,
            options.objects,
            name=options.name,
            metric=options.metric,
            kind=options.kind,
            recall=options.recall,
            others=options.others,
            layout=layout_of(options),
        )
        model.save(options.model_dir)
    say(f"Wrote an index of {counted(len(index), 'object')} of {index.side}. {_told(index)}")
    return 0


def _told(index: Any) -> str:
    cells = index.stored.cells
    if not cells:
        return "A search compares all of them."
    parts = [
        f"for {asked} a search looks into {own.probes:,} of {len(own.centroids):,} cells and finds "
        f"{own.recall:.1%} of the 10 nearest"
        for asked, own in cells.items()
    ]
    others = {"in0", "in1"} - cells.keys()
    parts += [f"for {asked} all of them are scored" for asked in others]
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."
