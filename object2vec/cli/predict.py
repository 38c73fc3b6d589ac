# SPDX-License-Identifier: Apache-2.0
"""`object2vec predict`: scores of pairs and embeddings, from a file or standard input."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from object2vec.cli.model_option import add_model_option, check_model_dir
from object2vec.cli.parser import add_command
from object2vec.cli.streams import check_output, opened_input, opened_output, say
from object2vec.cli.table_options import add_layout_options, layout_of
from object2vec.errors import CustomerError
from object2vec.text import named

if TYPE_CHECKING:
    from object2vec.raw_values.inputs import Inputs
    from object2vec.serving.instances import Request

# What may be said of a table, whose content decides.
_TABLE_TYPES = (
    *("text/csv", "text/tab-separated-values"),
    *("application/x-parquet", "application/vnd.apache.parquet"),
)
_ROWS_AT_ONCE = 4096
_EXAMPLES = """\
An instance with in0 and in1 is answered by its scores, one with a single input by its embedding.
JSON Lines are answered line by line as they come, whatever their number; other keys are ignored.
A model that was trained on a table takes raw values, as the table holds them, beside lists of ids,
and a table with its columns too (CSV, TSV, JSON Lines, Parquet; needs pyarrow): each row is
answered by a line of JSON, by scores where both sides' columns are there.

examples:
  echo '{"in0": [1], "in1": [50]}' | object2vec predict --model-dir model
  echo '{"in0": "u17", "in1": {"film": "Heat"}}' | object2vec predict --model-dir from-table
  object2vec predict --model-dir model --input pairs.jsonl --output scores.jsonl
  object2vec predict --model-dir model --input request.json --content-type application/json
  object2vec predict --model-dir from-table --input ratings.csv --output scores.jsonl

"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "predict", "scores of pairs, or embeddings", _EXAMPLES)
    add_model_option(parser)
    parser.add_argument("--input", metavar="FILE", help="default: standard input")
    parser.add_argument("--output", metavar="FILE", help="default: standard output")
    parser.add_argument(
        "--content-type",
        metavar="TYPE",
        help="of the input: application/jsonlines (default), application/json or, of a table, "
        "text/csv, also with '; infer_max_seqlens=50,60' to cut in0 and in1 at other lengths than "
        "in training; a file that is a table needs none",
    )
    parser.add_argument("--accept", metavar="TYPE", help="of the output; default: as the input")
    add_layout_options(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from object2vec.backend import own_process
    from object2vec.logs import warnings_told
    from object2vec.serving.media_types import JSON_LINES, choose_accept, parse_content_type

    kind, _, parameters = (options.content_type or JSON_LINES).partition(";")
    is_table = kind.strip().lower() in _TABLE_TYPES
    content_type = parse_content_type(f"{JSON_LINES if is_table else kind};{parameters}")
    accept = choose_accept(options.accept, content_type)
    check_output(options.output, options.input, options.model_dir)
    check_model_dir(options.model_dir)
    streaming = content_type.media_type == accept == JSON_LINES
    with warnings_told(), opened_input(options.input) as source:
        own_process.tune()
        # these import MXNet
        from object2vec.inference.predictor import Predictor
        from object2vec.raw_values.lookups import SideLookups
        from object2vec.serving.answer_formats import format_answer, infer
        from object2vec.serving.instances import InstanceFormat
        from object2vec.serving.request_formats import parse_body, read_requests

        predictor = Predictor.load(options.model_dir)
        predictor.warn_of_fallback()
        taken = InstanceFormat.of(predictor)
        lookups = SideLookups()
        if is_table or (options.content_type is None and _is_table(options.input, taken.inputs)):
            requests = _table_requests(options, taken.inputs, accept == JSON_LINES)
        elif streaming:
            requests = read_requests(source, taken)
        else:
            requests = iter([parse_body(source.read(), content_type.media_type, taken)])
        answered = 0
        with opened_output(options.output) as target:
            for request in requests:
                answered += request.count
                answer = infer(request, predictor, content_type.max_seq_lens)
                target.write(format_answer(answer, accept))
                target.flush()
                lookups.add(request.lookups)
    if not answered:
        # no failure: the server answers a request without instances, too
        asked = "Standard input" if options.input is None else named(options.input)
        say(f"{asked} holds no instance, so there is no answer.")
    if lookups.unseen:
        say(lookups.sentence())
    return 0


def _is_table(path: Optional[str], inputs: Optional[Inputs]) -> bool:
    """Whether a file holds rows with columns of the model rather than instances."""
    if path is None or inputs is None or not Path(path).is_file():
        return False
    from object2vec.prepare.tables import file_holds_table

    columns, is_row = set(inputs.names), inputs.is_row

    def is_asked(row: dict[str, Any]) -> bool:
        held = row.keys()
        of_table = not held & {"in0", "in1"} or (columns <= held and is_row(held))
        return bool(held & columns) and of_table

    return file_holds_table(path, is_asked)


def _table_requests(
    options: argparse.Namespace, inputs: Optional[Inputs], as_lines: bool
) -> Iterator[Request]:
    """The rows of a table as requests of bounded size.

    Raises
    ------
    CustomerError
        It is none that this model can be asked about.
    """
    import numpy as np

    from object2vec.data.content_types import table_parameters
    from object2vec.prepare.row_lists import open_asked_table, row_lists
    from object2vec.prepare.tables import open_table
    from object2vec.raw_values.inputs import SIDES
    from object2vec.raw_values.lookups import SideLookups, lookups_in
    from object2vec.serving.instances import Group, Request

    if inputs is None:
        raise CustomerError(
            "This model was trained on ids and takes no table: it does not know what has which id."
        )
    if options.input is None:
        raise CustomerError("A table must be a file: name it by --input.")
    if not as_lines:
        raise CustomerError("A table is answered in application/jsonlines only, a line for a row.")
    layout = layout_of(options)
    said = table_parameters(options.content_type, "The input")
    if said.charset is not None and options.encoding is None:
        layout = replace(layout, encoding=said.charset)
    source = options.input
    if said.header is not None and layout.header:
        source = open_table(source, replace(layout, header=said.header))
    table = open_asked_table(inputs, source, layout)
    for found in row_lists(inputs, table):
        count = len(next(lists for lists in found if lists is not None))
        for start in range(0, count, _ROWS_AT_ONCE):
            rows = slice(start, min(start + _ROWS_AT_ONCE, count))
            sides = [None if lists is None else lists.take(rows) for lists in found]
            lookups = SideLookups()
            for name, lists in zip(SIDES, sides):
                if lists is not None:
                    lookups.of(name).add(lookups_in(inputs, name, lists))
            positions = np.arange(rows.stop - rows.start)
            yield Request(len(positions), (Group(positions, sides[0], sides[1]),), lookups)
