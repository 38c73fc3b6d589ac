# SPDX-License-Identifier: Apache-2.0
"""Fuzzes training data in JSON Lines, gzipped or not."""

from __future__ import annotations

import gzip
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from small_jobs import VOCAB, settings

from object2vec.data.arrays import PairDataset
from object2vec.data.dataset import read_channel
from object2vec.hyperparameters.checked import Hyperparameters

from .mutation import any_json, dump, hypothesis_values, mutate_bytes, mutate_json, repeat_key
from .target import ALLOWED, JsonValue, Target, Wrong, check_sentence


class JsonLinesTarget(Target):
    """A channel of one file, read for each output layer, against Python's own parser."""

    name = "json-lines"

    def prepare(self, folder: Path) -> None:
        self._path = folder / "train.jsonl"
        self._jobs = (
            settings(num_classes=3),
            settings(output_layer="mean_squared_error"),
            settings(output_layer="in_batch_softmax", scorer="dot"),
            settings(output_layer="multi_label", num_classes=3),
        )

    def inputs(self, rng: random.Random) -> Iterator[bytes]:
        odd = hypothesis_values(any_json(), rng)
        while True:
            many = rng.random() < 0.25
            pairs = [_pair(rng, many) for _ in range(rng.choice((1, 1, 2, 5, 40)))]
            kind = rng.random()
            if 0.3 < kind < 0.75:
                place = rng.randrange(len(pairs))
                pairs[place] = mutate_json(pairs[place], rng, lambda: next(odd))
            end = rng.choice((b"\n", b"\n", b"\n", b"\r\n", b"\n\n", b" \n"))
            data = end.join(dump(pair, rng).replace(b"\n", b" ") for pair in pairs)
            data += rng.choice((b"", b"\n", b"\n\n", b"\r\n", b"\n \t\n"))
            if kind > 0.8:
                data = mutate_bytes(data, rng)
            elif kind > 0.75:
                data = repeat_key(data, rng)
            if rng.random() < 0.05:
                data = b"\xef\xbb\xbf" + data
            if rng.random() < 0.1:
                data = gzip.compress(data, 1, mtime=0)
                data = mutate_bytes(data, rng) if rng.random() < 0.5 else data
            yield data

    def check(self, data: bytes) -> bool:
        self._path.write_bytes(data)
        return bool(sum([self._check(data, job) for job in self._jobs]))

    def _check(self, data: bytes, job: Hyperparameters) -> bool:
        try:
            pairs = read_channel(self._path, job)
        except ALLOWED as error:
            check_sentence(error)
            return False
        _compare(pairs, data, job)
        return True


def _pair(rng: random.Random, many_labels: bool) -> JsonValue:
    pair: dict[str, JsonValue] = {
        name: [rng.randrange(VOCAB) for _ in range(rng.choice((1, 2, 5, 15)))]
        for name in ("in0", "in1")
    }
    if rng.random() < 0.95:
        labels = [rng.randrange(3) for _ in range(rng.randrange(4))]
        pair["label"] = labels if many_labels else rng.choice((0, 1, 2))
    if rng.random() < 0.1:
        pair["other"] = "ü"
    return pair


def _compare(pairs: PairDataset, data: bytes, job: Hyperparameters) -> None:
    """See that the pairs are those that Python's parser finds."""
    if data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    records = [json.loads(line.strip()) for line in lines if line.strip()]
    if len(records) != len(pairs):
        raise Wrong("another number of pairs than of lines", f"{len(pairs)}, {len(records)}")
    for side, encoder in enumerate(job.encoders):
        lists = (pairs.in0, pairs.in1)[side]
        for row, record in enumerate(records):
            if lists[row].tolist() != record[f"in{side}"][: encoder.max_seq_len]:
                raise Wrong("other ids than the line holds", f"line {row + 1}: {lists[row]}")
    if job.is_multi_label:
        expected = [[float(number in record["label"]) for number in range(3)] for record in records]
        if pairs.labels.tolist() != expected:
            raise Wrong("other labels than the lines hold", f"{expected}, {pairs.labels}")
        return
    missing = {"label": 1} if job.is_contrastive else {}
    labels = [np.float32({**missing, **record}["label"]) for record in records]
    if job.is_contrastive and 0 in labels:
        raise Wrong("a negative pair where none may be", f"{labels}")
    if not all(map(math.isfinite, pairs.labels.tolist())) or labels != pairs.labels.tolist():
        raise Wrong("other labels than the lines hold", f"{labels}, {pairs.labels}")
