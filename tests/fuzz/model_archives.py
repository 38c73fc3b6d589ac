# SPDX-License-Identifier: Apache-2.0
"""Fuzzes model.tar.gz: headers and data of its members, and the bytes of the whole."""

from __future__ import annotations

import gzip
import io
import random
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from object2vec.inference.predictor import Predictor

from . import models
from .mutation import INTEGERS, mutate_bytes
from .target import ALLOWED, Target, Wrong, check_sentence

_BLOCK = tarfile.BLOCKSIZE
_CHECKSUM = slice(148, 156)
_KINDS = b"0\x00157234675SLKxgXNVDM"
_NAMES = (
    "../model.json", "/model.json", "a/b/model.json", "./model.json", "model/model.json", "..", "",
    ".", "._model.json", "model_algo-1", "model.json", "code/x.py", "n" * 300, "ü\x1b[2J", "a//b",
)  # fmt: skip
# Where a number of a header stands, and in how many bytes.
_NUMBERS = ((100, 8), (124, 12), (136, 12), (329, 8), (386, 12), (483, 12))


class ModelArchiveTarget(Target):
    """Loads an archive; an input is its bytes."""

    name = "model-archives"
    share = 2

    def prepare(self, folder: Path) -> None:
        self._path = folder / "model.tar.gz"
        self._temporary = folder / "temporary"
        self._temporary.mkdir()
        # MXNet and the compiled part are loaded before the memory is limited.
        Predictor.load(models.save("pooled", folder / "first"))

    def inputs(self, rng: random.Random) -> Iterator[bytes]:
        sound = [_archive(kind, form) for kind in models.MODELS for form in (0, 1, 2)]
        while True:
            data = rng.choice(sound)
            how = rng.random()
            if how < 0.75:
                data = _mutate_headers(data, rng)
            elif how < 0.85:
                data = mutate_bytes(data, rng)
            if rng.random() < 0.5:
                data = gzip.compress(data, 1, mtime=0)
                data = mutate_bytes(data, rng) if how > 0.85 else data
            yield data

    def check(self, data: bytes) -> bool:
        self._path.write_bytes(data)
        kept, tempfile.tempdir = tempfile.tempdir, str(self._temporary)
        try:
            Predictor.load(self._path)
        except ALLOWED as error:
            check_sentence(error)
            return False
        finally:
            tempfile.tempdir = kept
            left = list(self._temporary.iterdir())
            for path in left:
                path.unlink()
            if left:
                raise Wrong("a temporary file is left")
        return True


def _archive(kind: str, form: int) -> bytes:
    """A tar archive of a model, in one of tar's forms."""
    folder = Path(tempfile.mkdtemp())
    try:
        models.save(kind, folder)
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w", format=form) as tar:
            for path in sorted(folder.iterdir()):
                info = tar.gettarinfo(path, f"model/{path.name}" if form else path.name)
                info.mtime, info.uname, info.gname = 1.5 if form else 1, "", ""
                info.uid = info.gid = 0
                tar.addfile(info, io.BytesIO(path.read_bytes()))
        return target.getvalue()
    finally:
        shutil.rmtree(folder)


def _mutate_headers(data: bytes, rng: random.Random) -> bytes:
    """Change a header or two, move or repeat members; most often the checksums are made right."""
    blocks = [data[start : start + _BLOCK] for start in range(0, len(data), _BLOCK)]
    headers = [number for number, block in enumerate(blocks) if block[257:262] == b"ustar"]
    for number in rng.sample(headers, min(len(headers), rng.choice((1, 1, 2)))):
        block = bytearray(blocks[number])
        how = rng.randrange(6)
        if how == 0:
            block[156] = rng.choice(_KINDS)
        elif how == 1:
            name = rng.choice(_NAMES).encode()[:100]
            block[:100] = name.ljust(100, b"\0")
        elif how == 2:
            start, width = rng.choice(_NUMBERS)
            value = rng.choice(INTEGERS) % (1 << 8 * (width - 1))
            text = b"%0*o" % (width - 1, value) + b"\0"
            wide = bytes([rng.choice((0x80, 0xFF))]) + value.to_bytes(width - 1, "big")
            block[start : start + width] = wide if len(text) > width else text
        elif how == 3:
            block = bytearray(mutate_bytes(bytes(block), rng).ljust(_BLOCK, b"\0")[:_BLOCK])
        elif how == 4:
            blocks[number] = rng.choice(blocks)
            continue
        else:
            blocks.insert(number, blocks[rng.choice(headers)])
            break
        if rng.random() < 0.9:
            block[_CHECKSUM] = b" " * 8
            block[_CHECKSUM] = b"%06o\0 " % sum(block)
        blocks[number] = bytes(block)
    return b"".join(blocks)
