# SPDX-License-Identifier: Apache-2.0
"""Fuzzes the auxiliary channel: vocabularies, and pretrained vectors as text or .npz."""

from __future__ import annotations

import gzip
import io
import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from small_jobs import VOCAB, settings

from object2vec.pretrained.auxiliary_channel import read_auxiliary

from .mutation import PIECES, any_json, dump, hypothesis_values, mutate_bytes, mutate_json
from .target import ALLOWED, JsonValue, Target, Wrong, check_sentence

_WIDTH = 6
_WORDS = ("the", "cat", "sat", "ü", "a b", "…", "1", "2", "x" * 300, "\u3000", "<unk>", "é́")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_NUMBERS = (b"0.5", b"-1e-3", b"1e39", b"nan", b"inf", b"1e400", b"0x1p3", b".5", b"+1", b"1_0")
_NPY_PIECES = (
    *PIECES, b"\x93NUMPY\x01\x00", b"\x93NUMPY\x03\x00", b"\x93NUMPY\xff\xff", b"'descr': '|O'",
    b"'<f8'", b"'<M8'", b"'|V99'", b"(12, 6)", b"(-1, 6)", b"(99999999999, 6)", b"True",
    b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"cos\nsystem\n", b"\x80\x04", b"\x8c\x03the",
)  # fmt: skip


class VectorFileTarget(Target):
    """A vocabulary and a file of vectors; an input is the JSON text of both."""

    name = "vector-files"

    def prepare(self, folder: Path) -> None:
        self._folder = folder
        self._job = settings(
            enc0_vocab_file="vocabulary.json", enc0_pretrained_embedding_file="vectors"
        )

    def inputs(self, rng: random.Random) -> Iterator[bytes]:
        odd = hypothesis_values(any_json(), rng)
        while True:
            words: JsonValue = {word: token for token, word in enumerate(_WORDS)}
            if rng.random() < 0.15:
                words = mutate_json(words, rng, lambda: next(odd))
            vocabulary = dump(words, rng)
            if rng.random() < 0.05:
                vocabulary = mutate_bytes(vocabulary, rng)
            vectors = _npz(rng) if rng.random() < 0.5 else _text(rng)
            texts = {"vocabulary": vocabulary, "vectors": vectors}
            yield json.dumps(
                {name: text.decode("latin-1") for name, text in texts.items()}
            ).encode()

    def check(self, data: bytes) -> bool:
        texts = json.loads(data)
        for name, file in (("vocabulary", "vocabulary.json"), ("vectors", "vectors")):
            (self._folder / file).write_bytes(texts[name].encode("latin-1"))
        try:
            found = read_auxiliary(self._folder, self._job)
        except ALLOWED as error:
            check_sentence(error)
            return False
        vectors = found.vectors[0]
        assert vectors is not None
        if vectors.matrix.shape != (VOCAB, _WIDTH) or not np.isfinite(vectors.matrix).all():
            raise Wrong("vectors that are not finite or of a wrong shape", str(vectors.matrix))
        if vectors.matrix[~vectors.known].any() or not vectors.known.any():
            raise Wrong("vectors of words that the file does not have")
        return True


def _text(rng: random.Random) -> bytes:
    """Lines of a word and its numbers, some of them wrong."""
    lines = [b"%d %d" % (len(_WORDS), _WIDTH)] if rng.random() < 0.3 else []
    for word in _WORDS:
        width = _WIDTH if rng.random() < 0.95 else rng.randrange(9)
        values = [b"%.3f" % rng.gauss(0, 1) for _ in range(width)]
        if values and rng.random() < 0.1:
            values[rng.randrange(len(values))] = rng.choice(_NUMBERS)
        lines.append(rng.choice((b" ", b" ", b" ", b"\t", b"  ")).join([word.encode(), *values]))
    data = rng.choice((b"\n", b"\n", b"\r\n")).join(lines) + b"\n"
    if rng.random() < 0.4:
        data = mutate_bytes(data, rng)
    if rng.random() < 0.3:
        data = gzip.compress(data, 1, mtime=0)
        data = mutate_bytes(data, rng) if rng.random() < 0.6 else data
    return data


def _npz(rng: random.Random) -> bytes:
    """What gluonnlp writes, or something near: strange arrays, members and methods of packing."""
    text = rng.choice(("object", "object", "unicode", "bytes"))
    words: Any = np.array(_WORDS, dtype=object)
    if text == "unicode":
        words = words.astype(str)
    elif text == "bytes":
        words = np.array([word.encode()[:40] for word in _WORDS])
    kind = rng.choice(("<f4", "<f4", "<f4", "<f8", ">f4", "<f2", "<i4", "<c8"))
    generator = np.random.default_rng(rng.getrandbits(32))
    vectors = generator.normal(size=(len(_WORDS), _WIDTH)).astype(kind)
    if rng.random() < 0.1:
        vectors = np.asfortranarray(vectors)
    if rng.random() < 0.1:
        vectors = vectors[: rng.randrange(len(_WORDS))]
    members = {"idx_to_token": words, "idx_to_vec": vectors}
    packed = io.BytesIO()
    # The time in a zip archive would make each run's bytes others.
    with zipfile.ZipFile(packed, "w", rng.choice(_METHODS)) as archive:
        for name, array in members.items():
            member = io.BytesIO()
            np.save(member, array, allow_pickle=True)
            data = member.getvalue()
            if rng.random() < 0.25:
                data = mutate_bytes(data, rng, _NPY_PIECES)
            if rng.random() < 0.15:
                # The header alone, where most can be said wrongly.
                data = mutate_bytes(data[:128], rng, _NPY_PIECES) + data[128:]
            info = zipfile.ZipInfo(f"{name}.npy" if rng.random() < 0.97 else f"../{name}.npy")
            info.compress_type = archive.compression
            archive.writestr(info, data)
    data = packed.getvalue()
    return mutate_bytes(data, rng) if rng.random() < 0.3 else data
