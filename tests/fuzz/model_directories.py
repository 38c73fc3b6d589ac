# SPDX-License-Identifier: Apache-2.0
"""Fuzzes model directories: each file in them, and what they are named by."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional, Union

import numpy as np

from object2vec.data.arrays import TokenLists
from object2vec.errors import UnsoundModelError
from object2vec.inference.predictor import Predictor
from object2vec.serving.replies import reply_to
from object2vec.serving.settings import Settings

from . import models
from .mutation import INTEGERS, any_json, dump, hypothesis_values, mutate_bytes, mutate_json
from .service import check_reply
from .target import ALLOWED, JsonValue, Target, Wrong, check_sentence

MANIFEST = "model.json"
_ARRAY_MAGIC = struct.pack("<I", 0xF993FAC9)
_ARRAY_HEAD_BYTES = 56
_FLOATS = (float("nan"), float("inf"), -float("inf"), 3e38, -3e38, 1e20, 1e-45, 0.0)
_PLACES = (
    "/dev/zero", "/dev/null", "/proc/self/mem", "../model.json", "..", ".", "", "/", "/etc/passwd",
    "model.json", "sub/file", "n" * 5000, "nul\x00", "\ud800",
)  # fmt: skip
_BODY = b'{"instances": [{"in0": [1, 2], "in1": [3]}, {"in0": [4]}, {"in1": [5, 6]}]}'
_RAW_BODY = b'{"instances": [{"in0": {"user": "u1", "age": 20}, "in1": {"genres": ["War"]}}]}'
# A link to a place, a named pipe or a folder in a file's stead.
Entry = Union[bytes, dict[str, str]]
Files = dict[str, Entry]


class ModelDirectoryTarget(Target):
    """Loads a directory and answers one request; an input is the JSON text of all its files.

    Bytes stand there in base64, anything else as an object that says what it is.
    """

    name = "model-directories"
    share = 3

    def prepare(self, folder: Path) -> None:
        self._folder = folder / "model"
        self._settings = Settings()
        # MXNet and the compiled part are loaded before the memory is limited.
        Predictor.load(models.save("pooled", folder / "first"))

    def inputs(self, rng: random.Random) -> Iterator[bytes]:
        sound = [_sound_files(kind) for kind in models.MODELS]
        odd = hypothesis_values(any_json(), rng)
        while True:
            files = dict(rng.choice(sound))
            for _ in range(rng.choice((1, 1, 1, 2))):
                _mutate(files, rng, lambda: next(odd))
            yield _pack(files)

    def check(self, data: bytes) -> bool:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        _unpack(data, self._folder)
        try:
            model = Predictor.load(self._folder)
        except ALLOWED as error:
            check_sentence(error)
            return False
        reply = reply_to(model, _BODY, {}, self._settings)
        if reply.status == 500 and b"finite" in reply.body:
            return False
        check_reply(reply, model)
        if reply.status != 200:
            return False
        raw = reply_to(model, _RAW_BODY, {}, self._settings)
        if raw.status != 500 or b"finite" not in raw.body:
            check_reply(raw, model)
        try:
            _ask_last_tokens(model)
        except UnsoundModelError:
            # A huge weight, finite itself, that only these ids meet: said so, as it should be.
            return False
        return True


def _ask_last_tokens(model: Predictor) -> None:
    """Look up the last id of each table: a table that is too short shows."""
    lists = [
        TokenLists.from_lists([[encoder.vocab_size - 1] * 2])
        for encoder in model.hyperparameters.encoders
    ]
    for side in (0, 1):
        values = model.embeddings(side, lists[side])
        if not np.isfinite(values).all():
            raise Wrong("an embedding that is not finite beside an answer that is")


def _sound_files(kind: str) -> Files:
    with tempfile.TemporaryDirectory() as folder:
        models.save(kind, Path(folder))
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def _mutate(files: Files, rng: random.Random, odd: Callable[[], JsonValue]) -> None:
    """Change one file of a model; most often the manifest is made to fit."""
    how = rng.random()
    if how < 0.25:
        _mutate_json_file(files, MANIFEST, rng, odd)
        return
    names = sorted(name for name in files if name != MANIFEST)
    if how < 0.55:
        name = next((name for name in names if name.startswith("parameters")), "")
        entry = files.get(name)
        if isinstance(entry, bytes):
            _replace(files, name, _mutate_parameters(entry, rng), rng)
    elif how < 0.7:
        starts = ("inputs", "hyperparameters")[how < 0.65 or rng.random() < 0.3]
        name = next((name for name in names if name.startswith(starts)), "")
        _mutate_json_file(files, name, rng, odd)
    elif how < 0.8:
        _mutate_json_file(files, rng.choice(names), rng, odd)
    elif how < 0.88:
        _rename(files, rng)
    elif how < 0.95:
        name = rng.choice([*names, MANIFEST])
        files[name] = rng.choice(
            ({"link": rng.choice(_PLACES[:9])}, {"link": name}, {"pipe": ""}, {"folder": ""})
        )
    else:
        del files[rng.choice(names)]


def _mutate_json_file(
    files: Files, name: str, rng: random.Random, odd: Callable[[], JsonValue]
) -> None:
    entry = files.get(name)
    if not isinstance(entry, bytes):
        return
    try:
        value = json.loads(entry)
    except (ValueError, RecursionError):
        value = None
    if value is None or rng.random() < 0.15:
        data = mutate_bytes(entry, rng)
    else:
        changed = mutate_json(value, rng, odd)
        if name == MANIFEST and isinstance(changed, dict) and rng.random() < 0.2:
            changed[rng.choice(("parameters", "hyperparameters", "metrics"))] = rng.choice(_PLACES)
        data = dump(changed, rng)
    _replace(files, name, data, rng)


def _replace(files: Files, name: str, data: bytes, rng: random.Random) -> None:
    """Put other bytes into a file and, most often, into the manifest what is now listed of it."""
    files[name] = data
    document = _manifest(files)
    if name == MANIFEST or document is None or rng.random() < 0.1:
        return
    if isinstance(document.get("files"), dict):
        digest = hashlib.sha256(data).hexdigest()
        document["files"][name] = {"bytes": len(data), "sha256": digest}
        files[MANIFEST] = json.dumps(document).encode()


def _rename(files: Files, rng: random.Random) -> None:
    """Let the manifest name a file by another name, most often everywhere."""
    names = sorted(name for name in files if name != MANIFEST)
    manifest = files.get(MANIFEST)
    if not isinstance(manifest, bytes) or not names:
        return
    old = rng.choice(names)
    new = rng.choice((*_PLACES, rng.choice(names), f"../model/{old}", f"./{old}"))
    before, after = json.dumps(old).encode(), json.dumps(new).encode()
    files[MANIFEST] = manifest.replace(before, after, rng.choice((-1, 1)))
    document = _manifest(files)
    if document is not None and rng.random() < 0.3:
        # A list without entries must not switch the checks off.
        document["files"] = {}
        files[MANIFEST] = json.dumps(document).encode()


def _manifest(files: Files) -> Optional[dict[str, Any]]:
    """The manifest, if it still is a JSON object."""
    entry = files.get(MANIFEST)
    try:
        document = json.loads(entry) if isinstance(entry, bytes) else None
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _mutate_parameters(data: bytes, rng: random.Random) -> bytes:
    """Change heads, names or numbers of a file of parameters."""
    heads = [
        position for position in range(0, len(data) - 4) if data.startswith(_ARRAY_MAGIC, position)
    ]
    how = rng.random()
    if how < 0.55 and heads:
        start = rng.choice((0, *heads)) + 4 * rng.randrange(_ARRAY_HEAD_BYTES // 4)
        width = rng.choice((4, 4, 8))
        number = rng.choice((*INTEGERS, 3, 4, 5, 6, 8, 12, 23, 33, 40)) % (1 << 8 * width)
        return data[:start] + number.to_bytes(width, "little") + data[start + width :]
    if how < 0.75:
        start = rng.randrange(len(data)) // 4 * 4
        number = struct.pack("<f", rng.choice(_FLOATS))
        return data[:start] + number * rng.choice((1, 1, 30)) + data[start + 4 :]
    if how < 0.9:
        # The names stand at the end.
        cut = max(0, len(data) - 600)
        return data[:cut] + mutate_bytes(data[cut:], rng)
    return mutate_bytes(data, rng)


def _pack(files: Files) -> bytes:
    packed = {
        name: base64.b64encode(entry).decode() if isinstance(entry, bytes) else entry
        for name, entry in files.items()
    }
    return json.dumps(packed).encode()


def _unpack(data: bytes, folder: Path) -> None:
    for name, entry in json.loads(data).items():
        path = folder / name
        if isinstance(entry, str):
            path.write_bytes(base64.b64decode(entry))
        elif "link" in entry:
            path.symlink_to(entry["link"] or "nothing")
        elif "pipe" in entry:
            os.mkfifo(path)
        else:
            path.mkdir()
