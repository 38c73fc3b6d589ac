# SPDX-License-Identifier: Apache-2.0
"""Inputs that a model keeps, and raw values for them, most of them sound."""

from __future__ import annotations

import random
from typing import Any

from object2vec.raw_values.inputs import Bins, Column, Inputs, Label, Side, Vocabulary

from .target import JsonValue

INPUTS = Inputs(
    Side((Column("user", "id", "u", repeat=2), Column("age", "number", "a"))),
    Side((Column("genres", "tags", "g"), Column("plot", "text", "p"), Column("in0", "tags", "l",
          separator="[]"))),
    Label("class", "liked", ("no", "yes")),
    {
        "u": Vocabulary(("u1", "17", "20000000000000000001", "ü"), counts_missing=True),
        "a": Bins((18.0, 65.5), counts_missing=True),
        "g": Vocabulary(("Drama", "War", "1.5")),
        "p": Vocabulary(("soccer", "don't", "愛", "märchen")),
        "l": Vocabulary(("a", "b")),
    },
)  # fmt: skip
_TEXTS = (
    "u1", "17", "17.0", "Drama|War", "A soccer game", "Ein MÄRCHEN, 愛!", "don’t", "", " ", "ü",
    '["a", "b"]', "['a', \"b\\\"\"", "[" * 50, '["' + '\\"' * 300, "e" + "\u0301" * 300, "\u202e\n",
    "18", "1e5", "nan", "-0.0", "x" * 5000, "\ufdfa" * 200, "|" * 300, "in0", '{"in0": [1]}', ":",
)  # fmt: skip
_SCALARS = (17, 17.0, -3, 18, 65.5, 20000000000000000001, 10**40, 1.5, True, None, 1e300)


def raw_value(side: str, rng: random.Random) -> JsonValue:
    """What stands for an object of a side: a value, tags, or an object of columns."""
    if rng.random() < 0.4:
        return _cell(rng, tags=side == "in1")
    columns = [column.name for column in INPUTS.side(side).columns]
    chosen = rng.sample(columns, rng.randint(0, len(columns)))
    return {name: _cell(rng, tags=name in ("genres", "in0")) for name in chosen}


def _cell(rng: random.Random, *, tags: bool) -> Any:
    if tags and rng.random() < 0.4:
        return [rng.choice((*_TEXTS, *_SCALARS)) for _ in range(rng.choice((1, 2, 9)))]
    return rng.choice((*_TEXTS, *_SCALARS))
