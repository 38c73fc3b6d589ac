# SPDX-License-Identifier: Apache-2.0
"""Fuzzes ``inputs.json``, which comes with a model, and raw values that it then encodes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from object2vec.errors import CustomerError
from object2vec.raw_values.encode_values import object_lists
from object2vec.raw_values.inputs import MOST_IDS, SIDES, Inputs
from object2vec.raw_values.inputs_file import inputs_bytes, parse_inputs

from .mutation import any_json, dump, hypothesis_values, mutate_bytes, mutate_json, repeat_key
from .raw_values import INPUTS, raw_value
from .target import ALLOWED, JsonValue, Target, Wrong, check_sentence

_VALUES = 8


class InputsFileTarget(Target):
    """Reads a file and encodes values by it; an input is the JSON text of the file and these."""

    name = "inputs-files"

    def inputs(self, rng: random.Random) -> Iterator[bytes]:
        odd = hypothesis_values(any_json(), rng)
        sound: JsonValue = json.loads(inputs_bytes(INPUTS))
        while True:
            how = rng.random()
            document = mutate_json(sound, rng, lambda: next(odd)) if 0.3 < how < 0.85 else sound
            data = dump(document, rng)
            if how > 0.92:
                data = mutate_bytes(data, rng)
            elif how > 0.85:
                data = repeat_key(data, rng)
            values: dict[str, list[JsonValue]] = {}
            for side in SIDES:
                values[side] = [raw_value(side, rng) for _ in range(_VALUES)]
                if rng.random() < 0.3:
                    values[side][0] = mutate_json(values[side][0], rng, lambda: next(odd))
            yield json.dumps({"file": data.decode("latin-1"), "values": values}).encode()

    def check(self, data: bytes) -> bool:
        given = json.loads(data)
        try:
            inputs = parse_inputs(given["file"].encode("latin-1"))
        except ALLOWED as error:
            check_sentence(error)
            return False
        if parse_inputs(inputs_bytes(inputs)) != inputs:
            raise Wrong("other inputs after they were written and read")
        accepted = [_encode(inputs, side, given["values"][side]) for side in SIDES]
        return all(accepted)


def _encode(inputs: Inputs, side: str, values: list[JsonValue]) -> bool:
    size = inputs.vocab_size(side)
    if size > MOST_IDS:
        raise Wrong("more ids than a side may have", str(size))
    accepted = True
    for value in values:
        try:
            lists = object_lists(inputs, side, [value], size, "instance {}".format)
        except CustomerError as error:
            check_sentence(error)
            if side not in str(error) or "instance 0" not in str(error):
                raise Wrong("a refusal without side or instance", str(error)) from error
            accepted = False
            continue
        if len(lists) != 1 or not ((lists.tokens >= 0) & (lists.tokens < size)).all():
            raise Wrong("ids out of range", f"{lists.tokens.tolist()[:50]} of {size}")
    return accepted
