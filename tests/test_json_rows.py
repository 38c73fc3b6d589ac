# SPDX-License-Identifier: Apache-2.0
"""Rows of JSON Lines: no column of a row twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from object2vec.errors import CustomerError
from object2vec.prepare.table_choice import TableChoice
from object2vec.prepare.table_pairs import table_pairs
from object2vec.prepare.tables import json_records, open_table

SOUND = r"""{"user": "a: b", "film": "\"x\" : y", "stars": 4}
{"user" : "\"user\": 1", "film": {"no": {"cell": 1}}, "stars": 5}
"""
CHOICE = TableChoice(in0="user", in1="stars")


@pytest.mark.parametrize(
    "row",
    [
        '{"user": "u1", "stars": 3, "user": "u2"}',
        '{"user": "u1", "stars": 3, "us\\u0065r": "u2"}',
        '{"user": "u: 1", "stars": 3, "film" : 1, "film"\t: 2}',
        '{"user": 12345678901234567890, "stars": 3, "stars": 4}',
        '{"user": {"name": 1, "name": 2}, "stars": 3}',
    ],
    ids=["plain", "escaped", "blanks", "long integer", "object"],
)
def test_a_row_that_holds_a_column_twice_is_refused(row: str, tmp_path: Path) -> None:
    """The last value was taken."""
    path = tmp_path / "rows.jsonl"
    path.write_text(SOUND + row + "\n")
    read: list[Any] = [
        lambda: table_pairs(path, CHOICE),
        lambda: list(open_table(path).batches(["stars"])),
        lambda: list(json_records(path)),
    ]
    for use in read:
        with pytest.raises(CustomerError, match="stands twice in one object,") as caught:
            use()
        assert str(caught.value).endswith(f"({path}, line 3).")


def test_colons_in_texts_are_no_columns(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(SOUND)
    assert table_pairs(path, CHOICE).report.rows == 2
    assert [row["user"] for row in json_records(path)] == ["a: b", '"user": 1']
