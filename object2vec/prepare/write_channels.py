# SPDX-License-Identifier: Apache-2.0
"""Writes a table as channels: JSON Lines of ids for each split, and ``inputs.json``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Optional

import numpy as np

from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.channel_files import channel_files
from object2vec.errors import CustomerError
from object2vec.files import PathLike, atomic_write, unwritable
from object2vec.hyperparameters.table import SPLITS
from object2vec.prepare.arrow import arrow_module
from object2vec.prepare.find_inputs import Fit, Progress
from object2vec.prepare.table_choice import TableChoice
from object2vec.prepare.table_pairs import (
    Block,
    TableEncoder,
    asked_splits,
    check_splits,
    make_request,
)
from object2vec.prepare.table_report import Report
from object2vec.raw_values.inputs import Inputs
from object2vec.raw_values.inputs_file import FILE, inputs_bytes
from object2vec.text import named, names

AUXILIARY = "auxiliary"


def write_channels(
    folder: PathLike, source: Any, choice: TableChoice, *, progress: Progress = None
) -> tuple[Inputs, Report]:
    """Write the channels of a job: ``train/train.jsonl``, …, ``auxiliary/inputs.json``.

    The table is read several times and never held as a whole. Each file is written as a whole or
    not at all; after an error the folder is as it was.

    Parameters
    ----------
    folder : path-like
        Where to; it is made if it does not exist.
    source, choice, progress
        As of `table_pairs`.

    Returns
    -------
    inputs : Inputs
        What was written to ``inputs.json``.
    report : Report
        What became of the rows.

    Raises
    ------
    CustomerError
        As `table_pairs`, or if the folder cannot be written to, lies in the table itself, or
        holds other files that training would read as pairs of this table.
    """
    request = make_request(source, choice, progress)
    wanted = asked_splits(choice.split)
    try:
        _check_folder(Path(folder), wanted, source)
    except OSError as error:
        raise unwritable(folder, error, "folder") from None
    encoder = TableEncoder(Fit(request).inputs(), choice.max_length, weight=request.weight)
    with _writing(Path(folder), [*wanted, AUXILIARY]), contextlib.ExitStack() as files:
        # The files come to their places in turn from the last one opened to the first: what
        # describes the others comes last.
        auxiliary = files.enter_context(atomic_write(Path(folder) / AUXILIARY / FILE))
        streams = {
            SPLITS.index(name): files.enter_context(
                atomic_write(Path(folder) / name / f"{name}.jsonl")
            )
            for name in wanted
        }
        _write_blocks(encoder.blocks(request), streams)
        check_splits(encoder.report, choice.split)
        auxiliary.write(inputs_bytes(encoder.inputs))
        tokenizers = [
            files.enter_context(atomic_write(Path(folder) / AUXILIARY / name))
            for name in encoder.inputs.tokenizers
        ]
        for stream, file in zip(tokenizers, encoder.inputs.tokenizers.values()):
            stream.write(file.content)
        # A full disk is found out before the first of the files is in its place.
        for stream in (*streams.values(), *tokenizers, auxiliary):
            stream.flush()
    return encoder.inputs, encoder.report


def _write_blocks(blocks: Iterator[Block], streams: Mapping[int, BinaryIO]) -> None:
    """Write the pairs of each block to the stream of their split, beside reading the next one."""

    def write(block: Block) -> None:
        if len(streams) == 1:
            write_lines(streams[0], block.pairs)
            return
        for number, stream in streams.items():
            write_lines(stream, block.pairs.take(block.splits == number))

    with ThreadPoolExecutor(1, "object2vec-write") as writer:
        written: Optional[Future[None]] = None
        for block in blocks:
            if written is not None:
                written.result()
            written = writer.submit(write, block)
        if written is not None:
            written.result()


def _check_folder(folder: Path, wanted: list[str], source: Any) -> None:
    """Refuse a folder whose other files would be read as pairs too, or that is the source's."""
    targets = {name: folder / name / f"{name}.jsonl" for name in SPLITS}
    given = source if isinstance(source, (list, tuple)) else [source]
    for path in (item for item in given if isinstance(item, (str, os.PathLike))):
        for name in wanted:
            # resolve() has an error of its own for links in a circle
            target = Path(os.path.realpath(targets[name]))
            if Path(os.path.realpath(path)) in (target, *target.parents):
                raise CustomerError(
                    f"{named(targets[name])} lies in the table {named(path)} itself: name a folder "
                    "outside of it."
                )
    for target in (*(targets[name] for name in wanted), folder / AUXILIARY / FILE):
        if target.exists() and not target.is_file():
            raise CustomerError(
                f"{named(target)} is no file, and so cannot be replaced by one: delete it, or name "
                "another folder."
            )
    for name, target in targets.items():
        if not target.parent.is_dir():
            continue
        found = channel_files(target.parent, name).files
        others = [path for path in found if name not in wanted or path != target]
        if others:
            raise CustomerError(
                f"{named(target.parent)} holds {names(path.name for path in others)} already, "
                "which is of an earlier table: delete it, or name another folder."
            )


@contextlib.contextmanager
def _writing(folder: Path, names: list[str]) -> Iterator[None]:
    """Make the folders, and take them away again after an error where they are new."""
    made: list[Path] = []
    try:
        for path in (*reversed(folder.parents), folder, *(folder / name for name in names)):
            if not path.is_dir():
                path.mkdir()
                made.append(path)
        yield
    except BaseException as error:
        for path in reversed(made):
            with contextlib.suppress(OSError):
                path.rmdir()
        if isinstance(error, OSError):
            raise unwritable(folder, error, "folder") from None
        raise


def write_lines(stream: BinaryIO, pairs: PairDataset) -> None:
    """Write pairs as lines such as ``{"label": 4, "in0": [17], "in1": [23, 5]}``.

    Labels that may be several are lists, ``{"label": [0, 3], …``.
    Where they have weights, these come last: ``… "weight": 2.5}``.

    Parameters
    ----------
    stream : binary file
        Open for writing.
    pairs : PairDataset
        Finite labels; whole ones are written without a point.
    """
    if not len(pairs):
        return
    arrow, compute = arrow_module(), arrow_module("compute")
    start, between, middle, end, nothing = (
        arrow.scalar(text, arrow.large_string())
        for text in (
            *('{"label": ', ', "in0": [', '], "in1": ['),
            *("]}\n" if pairs.weights is None else "}\n", ""),
        )
    )
    lines = compute.binary_join_element_wise(
        start, _label_texts(pairs.labels), between, _list_texts(pairs.in0),
        middle, _list_texts(pairs.in1), *_weight_texts(pairs), end, nothing,
    )  # fmt: skip
    # The texts of an array stand one behind the other in its last buffer.
    _, offsets, data = lines.buffers()
    ends = np.frombuffer(offsets, np.int64)[[lines.offset, lines.offset + len(lines)]]
    stream.write(memoryview(data)[ends[0] : ends[1]])


def _weight_texts(pairs: PairDataset) -> list[Any]:
    if pairs.weights is None:
        return []
    arrow = arrow_module()
    return [arrow.scalar('], "weight": ', arrow.large_string()), _label_texts(pairs.weights)]


def _label_texts(labels: np.ndarray) -> Any:
    arrow, compute = arrow_module(), arrow_module("compute")
    large = arrow.large_string()
    if labels.ndim == 2:
        rows, classes = np.nonzero(labels)
        counts = np.bincount(rows, minlength=len(labels))
        lists = _list_texts(TokenLists.from_lengths(classes.astype(np.int32), counts))
        start, end, nothing = (arrow.scalar(text, large) for text in ("[", "]", ""))
        return compute.binary_join_element_wise(start, lists, end, nothing)
    if np.all((labels == np.floor(labels)) & (np.abs(labels) < 2**53)):
        return arrow.array(labels.astype(np.int64)).cast(large)
    distinct, places = np.unique(labels, return_inverse=True)
    # of a 32-bit number the shortest text that gives it again
    texts = arrow.array([str(label) for label in distinct], large)
    return compute.take(texts, arrow.array(places))


def _list_texts(lists: TokenLists) -> Any:
    arrow, compute = arrow_module(), arrow_module("compute")
    tokens = arrow.array(lists.tokens).cast(arrow.large_string())
    if lists.are_single():
        return tokens
    nested = arrow.LargeListArray.from_arrays(arrow.array(lists.offsets), tokens)
    return compute.binary_join(nested, arrow.scalar(", ", arrow.large_string()))
