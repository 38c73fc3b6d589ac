# SPDX-License-Identifier: Apache-2.0
"""Model directories that are broken by hand, in every way that the tests know of."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

Break = Callable[[Path], None]


class Broken(NamedTuple):
    """A way to break a model directory, and words of the error that it should end in."""

    name: str
    apply: Break
    words: str


def manifest_of(folder: Path) -> dict[str, Any]:
    """The content of ``model.json``."""
    return json.loads((folder / "model.json").read_text())


def write_manifest(folder: Path, content: Any) -> None:
    """Write ``model.json``."""
    (folder / "model.json").write_text(json.dumps(content))


def file_of(folder: Path, role: str) -> Path:
    """The file of a role: parameters, hyperparameters, metrics, symbol or vocabulary."""
    manifest = manifest_of(folder)
    if role == "symbol":
        return folder / manifest["networks"]["enc1"]["symbol"]
    return folder / (manifest["vocabularies"]["in0"] if role == "vocabulary" else manifest[role])


def put(folder: Path, role: str, content: bytes) -> None:
    """Replace a file and make size and checksum right, as whoever makes the folder can."""
    path = file_of(folder, role)
    path.write_bytes(content)
    manifest = manifest_of(folder)
    manifest["files"][path.name] = {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    write_manifest(folder, manifest)


def all_broken() -> list[Broken]:
    """Every way; names differ."""
    return [
        *_whole_manifests(),
        *_fields(),
        *_names(),
        *_listings(),
        *_kinds_of_file(),
        *_hyperparameters(),
        *_metrics(),
        *_vocabularies(),
        *_parameters(),
    ]


def _whole_manifests() -> Iterator[Broken]:
    contents: list[tuple[str, bytes, str]] = [
        ("nothing", b"", "cannot be read as JSON"),
        ("half an object", b'{"format": "object2vec"', "cannot be read as JSON"),
        ("not UTF-8", b"\xff\xfe{}", "cannot be read as JSON"),
        ("a byte order mark", b"\xef\xbb\xbf{}", "cannot be read as JSON"),
        ("zeros", bytes(100), "cannot be read as JSON"),
        ("deep lists", b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        ("rather deep lists", b"[" * 300 + b"]" * 300, "nested too deeply"),
        ("deep objects", b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "nested too deeply"),
        ("a long number", b'{"format": ' + b"9" * 5000 + b"}", "cannot be read as JSON"),
        ("a twin key", b'{"format": "object2vec", "format": "object2vec"}', "twice"),
        ("a long twin key", b'{"%b": 1, "%b": 2}' % ((b"k" * 5000,) * 2), "twice"),
        ("a list", b"[]", "is not the manifest"),
        ("a number", b"7", "is not the manifest"),
        ("null", b"null", "is not the manifest"),
        ("an empty object", b"{}", "is not the manifest"),
        ("two megabytes", b" " * (2 << 20) + b"{}", "has more than 1048576 bytes"),
    ]
    for name, content, words in contents:
        yield Broken(f"manifest: {name}", _rewriting(content), words)

    def is_link(folder: Path) -> None:
        (folder / "model.json").rename(folder / "elsewhere.json")
        (folder / "model.json").symlink_to("elsewhere.json")

    def is_pipe(folder: Path) -> None:
        (folder / "model.json").unlink()
        os.mkfifo(folder / "model.json")

    def is_folder(folder: Path) -> None:
        (folder / "model.json").unlink()
        (folder / "model.json").mkdir()

    yield Broken("manifest: a link", is_link, "is a symbolic link")
    yield Broken("manifest: a pipe", is_pipe, "is no regular file")
    yield Broken("manifest: a folder", is_folder, "is no regular file")


def _rewriting(content: bytes) -> Break:
    return lambda folder: (folder / "model.json").write_bytes(content) and None


def _changing(change: Callable[[dict[str, Any]], Any]) -> Break:
    def apply(folder: Path) -> None:
        manifest = manifest_of(folder)
        change(manifest)
        write_manifest(folder, manifest)

    return apply


def _setting(value: Any, *keys: str) -> Break:
    def change(manifest: dict[str, Any]) -> None:
        target = manifest
        for key in keys[:-1]:
            target = target[key]
        target[keys[-1]] = value

    return _changing(change)


def _fields() -> Iterator[Broken]:
    wrong: dict[str, list[Any]] = {
        "format": [None, 1, [], "other"],
        "format_version": [None, True, 1.0, "1", [], {}, 3, "x" * 5000],
        "complete": [None, 0, "true", []],
        "files": [None, [], "x", 3, {}],
        "hyperparameters": [None, 5, [], {}, True, "x" * 5000],
        "metrics": [None, 5, [], {}],
        "parameters": [None, 5, [], {}, False],
        "networks": [None, 5, [], "x", {}, {"scores": {}}, {"enc0": 1, "enc1": 2, "scores": 3}],
        "vocabularies": [None, 5, [], "x", {}, {"in0": None}, {"in0": 1, "in1": None}],
    }
    for key, values in wrong.items():
        for value in values:
            shown = json.dumps(value)[:40]
            yield Broken(f"{key} is {shown}", _setting(value, key), "model.json")
    for key in ("symbol", "inputs"):
        for value in (None, 5, {}, [1]):
            apply = _setting(value, "networks", "enc0", key)
            yield Broken(f"{key} is {value}", apply, "model.json gives")


BAD_NAMES = ["../x", "/dev/zero", "", ".", "..", "a/b", "a\0b", "a\nb", "ü", ".x", "x" * 300]


def _names() -> Iterator[Broken]:
    for name in BAD_NAMES:
        entry = {"bytes": 1, "sha256": "0" * 64}
        shown = ascii(name)[:20]
        yield Broken(f"lists {shown}", _setting(entry, "files", name), "not in its own folder")
    roles = ["hyperparameters", "metrics", "parameters"]
    places = [(role,) for role in roles]
    places += [("networks", "scores", "symbol"), ("vocabularies", "in1")]
    for keys in places:
        for name in ("../model/model.json", "/dev/zero", "model.json", "missing-0.json"):
            yield Broken(f"{keys[-1]} names {name}", _setting(name, *keys), "is listed in 'files'")


def _listings() -> Iterator[Broken]:
    for role in ("parameters", "symbol"):

        def setting(key: str, value: Any, role: str = role) -> Break:
            def apply(folder: Path) -> None:
                _setting(value, "files", file_of(folder, role).name, key)(folder)

            return apply

        for value in (None, -1, 1.5, True, "100", [], 1 << 70):
            yield Broken(f"bytes of {role}: {value}", setting("bytes", value), "a number of bytes")
        for value in (0, 1 << 40):
            yield Broken(f"bytes of {role}: {value}", setting("bytes", value), "bytes")
        for value in (None, 5, "", "0" * 63, "G" * 64, "A" * 64, []):
            shown = str(value)[:9]
            yield Broken(f"sha256 of {role}: {shown}", setting("sha256", value), "hexadecimal")
        yield Broken(f"sha256 of {role}: another", setting("sha256", "0" * 64), "SHA-256 differs")
    many = _changing(
        lambda manifest: manifest["files"].update(
            {f"more-{number}": {"bytes": 0, "sha256": "0" * 64} for number in range(200)}
        )
    )
    yield Broken("lists 200 files", many, "at most 100")


def _kinds_of_file() -> Iterator[Broken]:
    def linked(path: Path) -> None:
        path.rename(path.parent.parent / path.name)
        path.symlink_to(path.parent.parent / path.name)

    def replaced(make: Callable[[Path], Any]) -> Callable[[Path], None]:
        def apply(path: Path) -> None:
            path.unlink()
            make(path)

        return apply

    def make_socket(path: Path) -> None:
        # a short name, because a socket's path may have some hundred letters only
        before = os.getcwd()
        os.chdir(path.parent)
        try:
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(path.name)
        finally:
            os.chdir(before)

    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-1])

    def grown(path: Path) -> None:
        path.write_bytes(path.read_bytes() + b"\0")

    def flipped(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    kinds: list[tuple[str, Callable[[Path], None], str]] = [
        ("missing", Path.unlink, "is missing"),
        ("a link", linked, "is a symbolic link"),
        ("/dev/zero", replaced(lambda path: path.symlink_to("/dev/zero")), "is a symbolic link"),
        ("a pipe", replaced(os.mkfifo), "is no regular file"),
        ("a folder", replaced(Path.mkdir), "is no regular file"),
        ("a socket", replaced(make_socket), "cannot be read"),
        ("cut", cut, "bytes instead of"),
        ("longer", grown, "bytes instead of"),
        ("empty", lambda path: path.write_bytes(b"") and None, "bytes instead of"),
        ("changed", flipped, "SHA-256 differs"),
    ]
    for role in ("parameters", "hyperparameters", "metrics", "symbol", "vocabulary"):
        for name, break_file, words in kinds:

            def apply(
                folder: Path, role: str = role, break_file: Callable[[Path], None] = break_file
            ) -> None:
                break_file(file_of(folder, role))

            yield Broken(f"{role}: {name}", apply, words)


def _putting(role: str, content: bytes) -> Break:
    return lambda folder: put(folder, role, content)


def _setting_in(role: str, key: str, value: Any) -> Break:
    def apply(folder: Path) -> None:
        content = json.loads(file_of(folder, role).read_text())
        put(folder, role, json.dumps({**content, key: value}).encode())

    return apply


def _no_objects(role: str) -> Iterator[Broken]:
    contents: list[tuple[str, bytes]] = [
        ("nothing", b""),
        ("a list", b"[]"),
        ("null", b"null"),
        ("not UTF-8", b'{"\xff": 1}'),
        ("deep", b"[" * 100_000 + b"]" * 100_000),
        ("a twin key", b'{"a": 1, "a": 1}'),
        ("a long number", b'{"a": ' + b"9" * 5000 + b"}"),
    ]
    for name, content in contents:
        yield Broken(f"{role}: {name} inside", _putting(role, content), role)


def _hyperparameters() -> Iterator[Broken]:
    yield from _no_objects("hyperparameters")
    values: list[tuple[str, Any]] = [
        ("enc_dim", 10**400),
        ("enc_dim", "9" * 5000),
        ("enc_dim", 9),
        ("enc_dim", [[1]]),
        ("enc_dim", {"a": []}),
        ("enc0_vocab_size", 3_000_000),
        ("enc0_token_embedding_dim", None),
        ("enc0_network", "bilstm"),
        ("enc0_network", ["hcnn"]),
        ("num_classes", 4),
        ("dropout", float("nan")),
        ("comparator_list", [1]),
        ("comparator_list", [["hadamard"]]),
        ("mlp_layers", 3),
        ("unknown", 1),
        ("\ud800", 1),
        ("\x7f", 1),
        ("a\nb" * 2000, 1),
    ]
    for key, value in values:
        name = f"hyperparameters: {ascii(key)[1:-1][:20]} is {ascii(value)[:20]}"
        yield Broken(name, _setting_in("hyperparameters", key, value), "par")
    yield Broken("hyperparameters: large", _putting("hyperparameters", b" " * (2 << 20)), "at most")


def _metrics() -> Iterator[Broken]:
    yield from _no_objects("metrics")
    for value in (None, 5, "x", {}, [1], [[]]):
        yield Broken(
            f"metrics: history is {value}", _setting_in("metrics", "history", value), "history"
        )


def _vocabularies() -> Iterator[Broken]:
    yield from _no_objects("vocabulary")
    values: list[tuple[str, Any]] = [
        ("idx_to_token", None),
        ("idx_to_token", []),
        ("idx_to_token", [1, 2, 3]),
        ("idx_to_token", ["a", "a", "b"]),
        ("idx_to_token", ["a", None, "b"]),
        ("idx_to_token", "abc"),
        ("token_to_idx", None),
        ("token_to_idx", []),
        ("token_to_idx", {"a": 0}),
        ("token_to_idx", {"a": 0, "b": 0, "c": 0}),
        ("token_to_idx", {"a": 0, "b": "1", "c": 2}),
        ("token_to_idx", {"a": -3, "b": 10**30, "c": True}),
        ("unknown_token", 5),
        ("unknown_token", []),
        ("unknown_token", "nowhere"),
        ("reserved_tokens", 5),
        ("reserved_tokens", [[]]),
        ("reserved_tokens", ["a", "a"]),
        ("identifiers_to_tokens", []),
        ("identifiers_to_tokens", {"__class___token": "a"}),
        ("identifiers_to_tokens", {"unknown_token": "a"}),
        ("identifiers_to_tokens", {"a b_token": None}),
        ("identifiers_to_tokens", {"x_token": []}),
        ("more", 1),
    ]
    for key, value in values:
        name = f"vocabulary: {key} is {json.dumps(value)[:30]}"
        yield Broken(name, _setting_in("vocabulary", key, value), "no vocabulary of gluonnlp")


class _Layout(NamedTuple):
    """Where things stand in a sound parameter file of several arrays, the first of two axes."""

    content: bytes
    first: int = 24  # magic, storage type, number of axes, axes, device type and number, type
    axes: int = 24 + 12

    @property
    def names(self) -> int:
        """Where the number of names stands; the first name is ``arg:embed_0_weight``."""
        return self.content.index(b"arg:embed_0_weight") - 16

    def write(self, place: int, layout: str, *values: Any) -> bytes:
        """The content with some values overwritten."""
        content = bytearray(self.content)
        struct.pack_into(layout, content, place, *values)
        return bytes(content)


def _parameters() -> Iterator[Broken]:
    def whole(name: str, content: bytes) -> Broken:
        return Broken(f"parameters: {name}", _putting("parameters", content), "parameters-")

    def of(name: str, change: Callable[[_Layout], bytes]) -> Broken:
        def apply(folder: Path) -> None:
            layout = _Layout(file_of(folder, "parameters").read_bytes())
            changed = change(layout)
            assert changed != layout.content
            put(folder, "parameters", changed)

        return Broken(f"parameters: {name}", apply, "parameters-")

    head = struct.pack("<QQQ", 0x112, 0, 1)
    yield whole("nothing", b"")
    yield whole("random bytes", bytes(range(256)) * 20)
    yield whole("a head alone", head)
    yield whole("no arrays", struct.pack("<QQQQ", 0x112, 0, 0, 0))
    array = head + struct.pack("<IiI", 0xF993FAC9, 0, 0xFFFFFFFF)
    for tail in (0, 40, 64, 4096):
        yield whole(f"-1 axes and {tail} bytes", array + b"A" * tail)
    huge = struct.pack("<QQQ", 0x112, 0, 1 << 63)
    yield whole("2**63 arrays", huge + b"\0" * 100)

    yield of("another magic", lambda it: it.write(0, "<Q", 0x113))
    yield of("a reserved number", lambda it: it.write(8, "<Q", 1))
    for count in (0, 1, 1 << 31, (1 << 64) - 1):
        yield of(f"{count} arrays", lambda it, count=count: it.write(16, "<Q", count))
    for magic in (0, 0xF993FAC8, 0xF993FACA, 0xFFFFFFFF):
        name = f"array magic {magic:x}"
        yield of(name, lambda it, magic=magic: it.write(it.first, "<I", magic))
    for storage in (1, 2, -1, 7):
        name = f"storage type {storage}"
        yield of(name, lambda it, storage=storage: it.write(it.first + 4, "<i", storage))
    for axes in (0, 1, 3, 4, 33, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        name = f"{axes} axes"
        yield of(name, lambda it, axes=axes: it.write(it.first + 8, "<I", axes))
    shapes = [(0, 6), (-1, 6), (6, 23), (23, 7), (1 << 62, 4), (-(1 << 63), 6), (138, 1), (22, 6)]
    for shape in shapes:
        yield of(f"shape {shape}", lambda it, shape=shape: it.write(it.axes, "<qq", *shape))
    for device in (0, -1, 99):
        name = f"device {device}"
        yield of(name, lambda it, device=device: it.write(it.axes + 16, "<i", device))
    for kind in (1, 4, 6, -1, 99):
        name = f"type {kind}"
        yield of(name, lambda it, kind=kind: it.write(it.axes + 24, "<i", kind))
    for count in (0, 1, 1 << 40, (1 << 64) - 1):
        name = f"{count} names"
        yield of(name, lambda it, count=count: it.write(it.names, "<Q", count))
    for length in (0, 1, 1 << 40, (1 << 64) - 1):
        name = f"a name of {length} bytes"
        yield of(name, lambda it, length=length: it.write(it.names + 8, "<Q", length))
    renamed = {
        "a foreign name": b"arg:embed_9_weight",
        "a twin name": b"arg:embed_1_weight",
        "a state's name": b"aux:embed_0_weight",
        "a name with a zero": b"arg:embed_0\0weight",
        "a name not in ASCII": b"arg:embed_0_\xffeight",
    }
    for name, new in renamed.items():
        change = lambda it, new=new: it.content.replace(b"arg:embed_0_weight", new)  # noqa: E731
        yield of(name, change)
    yield of("bytes behind the end", lambda it: it.content + b"\0")
    yield of("many bytes behind the end", lambda it: it.content + it.content)
    for cut in (1, 8, 100, 700):
        yield of(f"{cut} bytes less", lambda it, cut=cut: it.content[:-cut])
    for value in ("nan", "inf", "-inf"):
        name = f"a number is {value}"
        yield of(name, lambda it, value=value: it.write(it.axes + 28 + 40, "<f", float(value)))
