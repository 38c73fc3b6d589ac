# SPDX-License-Identifier: Apache-2.0
"""What was found in a table, in sentences: kinds of columns, sizes, labels."""

from __future__ import annotations

from collections.abc import Iterator

from object2vec.prepare.recipes import learns_numbers
from object2vec.raw_values.inputs import SIDES, Inputs
from object2vec.text import counted, named, names


def found_lines(inputs: Inputs) -> Iterator[str]:
    """The sizes and kinds that were found, a sentence for each side and for the label.

    Parameters
    ----------
    inputs : Inputs
        With the sides' maximum lengths.
    """
    for name in SIDES:
        side = inputs.side(name)
        kinds = ", ".join(f"{named(column.name)} ({column.kind})" for column in side.columns)
        yield (
            f"{name}: {kinds}; {counted(inputs.vocab_size(name), 'id')}, lists of up to "
            f"{counted(side.max_length, 'token')}."
        )
    label = inputs.label
    if label.kind == "none":
        yield "label: none, each pair is positive; negatives are made of other pairs."
    elif label.kind == "tags":
        classes = names(label.classes, 30)
        yield f"label: {named(label.name)}, tags, of which a pair may have several: {classes}."
    elif label.kind == "class":
        yield f"label: {named(label.name)}, the classes {names(label.classes, 30)}."
    elif learns_numbers(inputs):
        yield f"label: {named(label.name)}, numbers; of the kind class they would be classes."
    else:
        yield f"label: {named(label.name)}, the classes 0 and 1."
