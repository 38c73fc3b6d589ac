# SPDX-License-Identifier: Apache-2.0
"""`object2vec embed`: a file of embeddings with names, of a vocabulary or of given objects."""

from __future__ import annotations

import argparse
from typing import Any

from object2vec.cli.model_option import add_model_option, loaded_model
from object2vec.cli.parser import add_command
from object2vec.cli.streams import say
from object2vec.cli.table_options import add_layout_options, layout_of
from object2vec.text import counted, named

_EXAMPLES = """\
Each object is written once, however often it stands in the input. Formats, by the output's suffix:
  word2vec (.txt, .vec), word2vec-binary (.bin)   as gensim's KeyedVectors reads them; white space
                                                  in names becomes underscores
  npy (.npy)               NumPy's array; the names stand in .names.jsonl, a JSON text a line
  parquet, arrow (.feather) the columns name and embedding; need pyarrow
  projector (.tsv)         for TensorFlow's Embedding Projector; the names stand in .metadata.tsv

examples:
  object2vec embed --model-dir from-table --side in0 --output users.parquet
  object2vec embed --model-dir from-table --side in1 --input ratings.csv --output films.txt
  object2vec embed --model-dir model --side in1 --output films.tsv

"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "embed", "embeddings of many objects, as a file", _EXAMPLES)
    add_model_option(parser)
    parser.add_argument(
        "--side", required=True, choices=("in0", "in1"), help="whose objects, and so whose encoder"
    )
    parser.add_argument(
        "--input",
        metavar="FILE",
        help="a table with the side's columns (CSV, TSV, JSON Lines, Parquet; needs pyarrow), or "
        "JSON Lines whose key in0 or in1 holds an object; default: all objects of the side's "
        "vocabulary",
    )
    parser.add_argument(
        "--name", metavar="COLUMN", help="the column of the input whose values are the names"
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="what is written")
    parser.add_argument(
        "--format", metavar="FORMAT", help="of the output, in the place of what its suffix says"
    )
    add_layout_options(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from object2vec.export.vector_files import vector_target
    from object2vec.files import check_not_read

    # found in no time, as what is wrong with the model
    for path in vector_target(options.output, options.format).paths:
        check_not_read(path, [options.model_dir, options.input])
    with loaded_model(options.model_dir) as model:
        count = model.save_vectors(
            options.output,
            options.side,
            options.input,
            format=options.format,
            name=options.name,
            layout=layout_of(options),
        )
    say(
        f"Wrote the embeddings of {counted(count, 'object')} of {options.side} to "
        f"{named(options.output)}."
    )
    return 0
