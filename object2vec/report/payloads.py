# SPDX-License-Identifier: Apache-2.0
"""What the page's map knows of a side, packed: JSON and arrays, gzipped, in letters and digits."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from object2vec.report.object_columns import ObjectColumn
from object2vec.report.projections import Projection
from object2vec.text import escaped

_TYPES = {1: "u1", 2: "u2", 4: "u4"}
#: Of a name, in characters; names are cut to the first of these at which the page is small enough.
NAME_LENGTHS = (160, 100, 64, 40, 24)


@dataclass(frozen=True, eq=False)
class MapSide:
    """The objects of a side as the map shows them.

    Parameters
    ----------
    side, title, note : str
        ``in0`` or ``in1``; what its objects are called; what has to be known of them.
    names : sequence of str
        Of n objects.
    projections : sequence of Projection
        At least one.
    rows, cosines : numpy.ndarray
        Shape ``(n, k)``: each object's neighbours and how near these are.
    columns : sequence of ObjectColumn
        What colours them.
    """

    side: str
    title: str
    note: str
    names: Sequence[str]
    projections: Sequence[Projection]
    rows: np.ndarray
    cosines: np.ndarray
    columns: Sequence[ObjectColumn] = ()


def packed_side(side: MapSide, longest: int) -> str:
    """What the page's script unpacks (``page/payload.js``), in letters that HTML leaves alone.

    A header in JSON, its length in four bytes before it; then the arrays that it lists. The lowest
    byte of a number comes first.

    Parameters
    ----------
    side : MapSide
        The side.
    longest : int
        Longer names are cut to so many characters.
    """
    arrays: list[tuple[str, str, np.ndarray]] = []

    def add(name: str, values: np.ndarray) -> None:
        if values.dtype.kind == "f":
            arrays.append((name, "f4", values.astype("<f4")))
        else:
            size = _bytes_for(int(values.max(initial=0)))
            arrays.append((name, _TYPES[size], values.astype(f"<u{size}")))

    add("neighbours", side.rows)
    # from -1 to 1 in steps of 1 / 127: two decimals are shown
    add("cosines", np.rint((side.cosines.astype(np.float64) + 1) * 127).astype(np.uint8))
    for place, projection in enumerate(side.projections):
        add(f"map{place}", projection.places)
        if projection.objects is not None:
            add(f"objects{place}", projection.objects)
    for place, column in enumerate(side.columns):
        add(f"column{place}", column.values)
    header: dict[str, Any] = {
        "side": side.side,
        "note": side.note,
        "names": [cut(name, longest) for name in side.names],
        "each": side.rows.shape[1],
        "maps": [{"title": found.title, "note": found.note} for found in side.projections],
        "columns": [column.header() for column in side.columns],
        "arrays": [
            {"name": name, "type": kind, "count": values.size} for name, kind, values in arrays
        ],
    }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    parts = [len(text).to_bytes(4, "little"), text, *(values.tobytes() for _, _, values in arrays)]
    # without a time, so that equal contents give equal bytes
    return base64.b64encode(gzip.compress(b"".join(parts), 6, mtime=0)).decode()


def cut(name: str, longest: int) -> str:
    """A name as it is shown: signs that do not print as Python escapes them, and not too long."""
    name = escaped(name[: 2 * longest])
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _bytes_for(largest: int) -> int:
    return next(size for size in _TYPES if largest < 256**size)
