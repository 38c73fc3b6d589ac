# SPDX-License-Identifier: Apache-2.0
"""Fuzzes the hyperparameters of a job, from the file that holds them to the typed ones."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

from object2vec.hyperparameters.checked import parse
from object2vec.hyperparameters.table import BY_NAME, HYPERPARAMETERS, Hyperparameter
from object2vec.sagemaker.environment import Environment

from .mutation import any_json, dump, hypothesis_values, mutate_bytes, mutate_json, repeat_key
from .target import ALLOWED, JsonValue, Target, Wrong, check_sentence

# One sentence for each wrong value, and there may be some dozens of them.
_LONGEST = 20_000


class HyperparameterTarget(Target):
    """hyperparameters.json, read and parsed; what is accepted must survive being written."""

    name = "hyperparameters"

    def prepare(self, folder: Path) -> None:
        self._environment = Environment(folder)
        self._environment.hyperparameters_file.parent.mkdir(parents=True)

    def inputs(self, rng: random.Random) -> Iterator[bytes]:
        odd = hypothesis_values(any_json(), rng)
        while True:
            given = _sound_job(rng)
            kind = rng.random()
            if kind < 0.35:
                yield dump(given, rng)
            elif kind < 0.55:
                given[rng.choice(list(BY_NAME))] = next(odd)
                yield dump(given, rng)
            elif kind < 0.85:
                yield dump(mutate_json(given, rng, lambda: next(odd)), rng)
            elif kind < 0.9:
                yield repeat_key(dump(given, rng), rng)
            else:
                yield mutate_bytes(dump(given, rng), rng)

    def check(self, data: bytes) -> bool:
        self._environment.hyperparameters_file.write_bytes(data)
        try:
            found, lines = parse(self._environment.read_hyperparameters())
        except ALLOWED as error:
            check_sentence(error, _LONGEST)
            return False
        written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        if parse(written)[0] != found:
            raise Wrong("hyperparameters that change when they are written and read", str(written))
        if any("\n" in line.text for line in lines):
            raise Wrong("a line of the log that holds a line break")
        return True


def _sound_job(rng: random.Random) -> dict[str, JsonValue]:
    """Hyperparameters most of which a job may have; two of them may exclude each other."""
    given: dict[str, JsonValue] = {"enc0_max_seq_len": "50", "enc0_vocab_size": "1000"}
    for item in rng.sample(HYPERPARAMETERS, rng.choice((0, 1, 2, 3, 5, 9, len(HYPERPARAMETERS)))):
        value = _sound_value(item, rng)
        given[item.name] = rng.choice((value, str(value), str(value), json.dumps(value)))
    return given


def _sound_value(item: Hyperparameter, rng: random.Random) -> JsonValue:
    if item.kind in ("integer", "auto_integer"):
        low, high = int(item.minimum or 0), int(item.maximum or 0)
        number = rng.choice((low, high, rng.randint(low, min(high, low + 50))))
        return "auto" if item.kind == "auto_integer" and rng.random() < 0.3 else number
    if item.kind == "continuous":
        low, high = float(item.minimum or 0), float(item.maximum or 0)
        return rng.choice((low, high, rng.uniform(low, high)))
    if item.kind == "boolean":
        return rng.random() < 0.5
    if item.kind == "file_name":
        return rng.choice(("", "glove.txt", "a-b_c.json.gz"))
    if item.kind == "comparators":
        return ", ".join(rng.sample(item.choices, rng.randint(1, len(item.choices))))
    if item.kind == "columns":
        return rng.choice(("user", ["film", "genres"], '"film, long", genres', "ü", "a b"))
    if item.kind == "column":
        return rng.choice(("rating", "label, or what"))
    if item.kind == "class_weights":
        return rng.choice(("balanced", [0.5, 2], "1, 3", [1, 2, 3]))
    return rng.choice(item.choices)
