# SPDX-License-Identifier: Apache-2.0
"""`object2vec nearest`: the nearest objects to one of the same side, or of the other."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from object2vec.cli.model_option import add_model_option, loaded_model
from object2vec.cli.parser import add_command, whole_number
from object2vec.cli.streams import check_output, opened_output, say
from object2vec.cli.table_options import add_layout_options, layout_of
from object2vec.errors import CustomerError
from object2vec.text import on_one_line, quoted

if TYPE_CHECKING:
    from object2vec.estimator.estimator import Object2Vec
    from object2vec.estimator.nearest import Neighbours

_EXAMPLES = """\
Objects of one side are compared by their embeddings; those of the other side are ranked by the
model's scores. An object is given as a table holds it; as JSON where it begins with { or [, such as
several columns of a side; and by its ids to a model of ids: 50, or 3,7,9.
Each one that is found stands in a line of its own, behind its score.

examples:
  object2vec nearest --model-dir from-table --in0 u17 --among in0
  object2vec nearest --model-dir from-table --in0 u17 -k 5 --objects ratings.csv --seen ratings.csv
  object2vec nearest --model-dir model --in1 50 --in1 51 --json

"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "nearest", "the nearest objects to one, by name", _EXAMPLES)
    add_model_option(parser)
    for side in ("in0", "in1"):
        parser.add_argument(
            f"--{side}",
            action="append",
            metavar="OBJECT",
            help=f"an object of {side} that is asked about; may be repeated",
        )
    parser.add_argument(
        "-k", "--k", type=whole_number, default=10, metavar="N", help="how many (default: 10)"
    )
    parser.add_argument(
        "--among",
        choices=("in0", "in1"),
        default="in1",
        help="the side whose objects are found (default: in1)",
    )
    parser.add_argument(
        "--leave-out",
        action="append",
        metavar="OBJECT",
        help="one that is not to be found; may be repeated",
    )
    parser.add_argument(
        "--seen",
        metavar="FILE",
        help="a table or JSON Lines of pairs, such as those of training: what stands there beside "
        "the object that is asked about is not to be found",
    )
    parser.add_argument(
        "--objects",
        metavar="FILE",
        help="those among which the nearest are found, a table with the side's columns or JSON "
        "Lines; default: those of the index, else of the vocabulary",
    )
    parser.add_argument("--name", metavar="COLUMN", help="the column of --objects with the names")
    parser.add_argument(
        "--metric",
        choices=("cosine", "dot", "euclidean"),
        help="how objects of one side are compared (default: as the index says, else cosine)",
    )
    parser.add_argument(
        "--class",
        dest="class_",
        metavar="NAME",
        help="rank by the probability of this class (default: of two the second one)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="for each object that is asked about a line of JSON, as the server answers",
    )
    parser.add_argument("--output", metavar="FILE", help="default: standard output")
    add_layout_options(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if (options.in0 is None) == (options.in1 is None):
        raise CustomerError("Give the objects that are asked about by one of --in0 and --in1.")
    check_output(options.output, options.seen, options.objects, options.model_dir)
    with loaded_model(options.model_dir) as model:
        side, texts = ("in0", options.in0) if options.in0 is not None else ("in1", options.in1)
        left_out = options.leave_out
        found = model.nearest(
            **{side: [_object(model, text, side) for text in texts]},
            k=options.k,
            among=options.among,
            leave_out=left_out and [_object(model, text, options.among) for text in left_out],
            seen=options.seen,
            objects=options.objects,
            name=options.name,
            metric=options.metric,
            class_=_class(model, options.class_),
            layout=layout_of(options),
        )
    with opened_output(options.output) as target:
        target.write(_lines(texts, found, options.json).encode(errors="replace"))
    say(f"{found.way} It took {found.seconds:.3g} seconds.")
    return 0


def _object(model: Object2Vec, text: str, side: str) -> Any:
    """An object as it was written: a value, JSON, or ids."""
    if model.inputs is None:
        try:
            return [int(part) for part in text.strip("[] ").split(",") if part.strip()]
        except ValueError:
            raise CustomerError(
                f"{quoted(text)} is no object of {side}: this model was trained on ids, so write "
                "them as 50, or as 3,7,9."
            ) from None
    if text[:1] not in ("{", "["):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _class(model: Object2Vec, text: Any) -> Any:
    """A class by its name, or by its number where it has none."""
    if text is None:
        return None
    return next((name for name in model.classes_ or () if str(name) == text), text)


def _lines(texts: list[str], found: Neighbours, as_json: bool) -> str:
    if as_json:
        rows = ([neighbour._asdict() for neighbour in own] for own in found)
        return "".join(f"{json.dumps({'nearest': row}, ensure_ascii=False)}\n" for row in rows)
    lines = []
    for text, own in zip(texts, found):
        if len(texts) > 1:
            lines.append(on_one_line(text))
        lines += [f"{neighbour.score:.4f}\t{on_one_line(neighbour.name)}" for neighbour in own]
    return "".join(f"{line}\n" for line in lines)
