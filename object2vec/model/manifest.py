# SPDX-License-Identifier: Apache-2.0
"""The manifest of a model directory, ``model.json``: what it says, checked field by field."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Optional

from object2vec.errors import CustomerError
from object2vec.files import PathLike, open_regular
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.text import quoted, shown
from object2vec.version import __version__

FORMAT = "object2vec"
FORMAT_VERSIONS = (1, 2)
MANIFEST = "model.json"
ARCHIVE = "model.tar.gz"
DAMAGED = "the model directory is damaged: copy or train it again"
ORIGINAL_MODEL = "model_algo-1"
_NETWORKS = ("scores", "enc0", "enc1")
_INPUTS = ("in0", "in1")
_KEYS = (
    "complete", "files", "hyperparameters", "metrics", "networks", "parameters", "vocabularies"
)  # fmt: skip
# A name that cannot lead out of the folder, into a hidden file or over several lines of a log.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_FILES = 100
_MOST_LEVELS = 50
_TOO_DEEP = "it is nested too deeply"
_MIB = 1 << 20
# Bytes that a file may have; a parameter file's size follows from the hyperparameters.
_LARGEST_MANIFEST = _MIB
_LARGEST_HYPERPARAMETERS = _MIB
_LARGEST_METRICS = 16 * _MIB
_LARGEST_INPUTS = 256 * _MIB
_LARGEST_OTHER = 1024 * _MIB
# An array's size follows from the index that it belongs to.
_LARGEST_ARRAY = 16 * 1024 * _MIB
_ARRAY = ".npy"


@dataclass(frozen=True)
class ListedFile:
    """What a manifest says of a file: its size in bytes and its SHA-256 in hexadecimal digits."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """A checked ``model.json``: every file that it names is listed, with a plain name.

    Attributes
    ----------
    digest : str
        The SHA-256 of ``model.json``. It tells models apart, because the manifest holds the
        SHA-256 of all other files.
    complete : bool
        False for a model saved before its first epoch ended.
    hyperparameters, metrics, parameters : str
        Names of files.
    vocabularies : tuple of str, optional
        Names of the files of in0 and in1, None where there is none.
    files : mapping of str to ListedFile
        All files but ``model.json``.
    inputs : str, optional
        Name of the file that says which raw value has which id; None for a model of ids alone.
    indexes : mapping of str to str
        By side, the names of the files of indexes, where there are some.
    """

    digest: str
    complete: bool
    hyperparameters: str
    metrics: str
    parameters: str
    vocabularies: tuple[Optional[str], ...]
    files: Mapping[str, ListedFile]
    inputs: Optional[str] = None
    indexes: Mapping[str, str] = field(default_factory=dict)


def format_version(hyperparameters: Hyperparameters) -> int:
    """The version that a model's manifest says.

    It is 2 where an extension is used, so that readers of before refuse what they would not know,
    and 1 elsewhere: these models are what they were.
    """
    return FORMAT_VERSIONS[hyperparameters.is_extended]


def read_manifest(folder: PathLike) -> Manifest:
    """Read and check ``model.json``.

    Raises
    ------
    CustomerError
        If the folder holds no model, the original's ``model_algo-1``, a model of another format
        version, or a manifest that is not sound.
    """
    return parse_manifest(manifest_bytes(folder), Path(folder) / MANIFEST)


def manifest_bytes(folder: PathLike) -> bytes:
    """The content of ``model.json``, not yet checked.

    Raises
    ------
    CustomerError
        If the folder holds no such file, or one that is no manifest at first sight.
    """
    path = Path(folder) / MANIFEST
    try:
        with open_regular(path) as stream:
            content = stream.read(_LARGEST_MANIFEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        refuse_original_model(folder)
        raise _no_model(Path(folder)) from None
    except OSError as error:
        raise CustomerError(f"{path} cannot be read: {error.strerror}.") from None
    if len(content) > _LARGEST_MANIFEST:
        raise CustomerError(f"{path} has more than {_LARGEST_MANIFEST} bytes; {DAMAGED}.")
    return content


def _no_model(folder: Path) -> CustomerError:
    archive = folder / ARCHIVE
    if archive.is_file():
        return CustomerError(f"{folder} holds a model only as an archive: give {archive} instead.")
    return CustomerError(
        f"{folder} holds no model: {MANIFEST} is missing; give the folder that training wrote."
    )


def parse_manifest(content: bytes, path: Path) -> Manifest:
    """Check the content of ``model.json``.

    Parameters
    ----------
    content : bytes
        JSON.
    path : Path
        Where it was read, for errors.

    Raises
    ------
    CustomerError
        For the first thing that is not right.
    """
    values = parse_json(content, path)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise CustomerError(
            f"{path} is not the manifest of an object2vec model; give the folder that training "
            "wrote."
        )
    version = values.get("format_version")
    if type(version) is not int or version not in FORMAT_VERSIONS:
        writer = _shown(values.get("object2vec_version")).strip('"')
        raise CustomerError(
            f"{path} says format_version {_shown(version)}, but object2vec {__version__} reads "
            f"version {' and '.join(map(str, FORMAT_VERSIONS))}; load it with object2vec {writer}."
        )
    missing = [key for key in _KEYS if key not in values]
    if missing:
        raise CustomerError(f"{path} lacks {', '.join(missing)}; {DAMAGED}.")
    return _Checker(path, values).manifest(hashlib.sha256(content).hexdigest())


class _Checker:
    """Takes the fields of a manifest one by one; each method refuses what is not right."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self._path = path
        self._values = values
        self._files: dict[str, ListedFile] = {}

    def manifest(self, digest: str) -> Manifest:
        values = self._values
        if not isinstance(values["complete"], bool):
            self._refuse("'complete'", values["complete"], "true or false")
        listed = self._object(values["files"], "'files'")
        if len(listed) > _MOST_FILES:
            self._refuse("'files'", f"{len(listed)} files", f"at most {_MOST_FILES}")
        self._files = {self._plain(name): self._listed(name, listed[name]) for name in listed}
        vocabularies = self._object(values["vocabularies"], "'vocabularies'", _INPUTS)
        manifest = Manifest(
            digest=digest,
            complete=values["complete"],
            hyperparameters=self._named(
                values["hyperparameters"], "'hyperparameters'", _LARGEST_HYPERPARAMETERS
            ),
            metrics=self._named(values["metrics"], "'metrics'", _LARGEST_METRICS),
            parameters=self._named(values["parameters"], "'parameters'", None),
            vocabularies=tuple(
                None
                if vocabularies[key] is None
                else self._named(vocabularies[key], f"the vocabulary of {key!r}")
                for key in _INPUTS
            ),
            files=self._files,
            inputs=None
            if values.get("inputs") is None
            else self._named(values["inputs"], "'inputs'", _LARGEST_INPUTS),
            indexes=self._indexes(),
        )
        self._check_networks()
        for name, file in self._files.items():
            if name != manifest.parameters:
                most = _LARGEST_ARRAY if name.endswith(_ARRAY) else _LARGEST_OTHER
                self._bounded(name, file, most)
        return manifest

    def _indexes(self) -> dict[str, str]:
        if "indexes" not in self._values:
            return {}
        indexes = self._object(self._values["indexes"], "'indexes'")
        for side in indexes.keys() - set(_INPUTS):
            self._refuse("a side in 'indexes'", side, "in0 or in1")
        return {side: self._named(name, f"the index of {side}") for side, name in indexes.items()}

    def _check_networks(self) -> None:
        networks = self._object(self._values["networks"], "'networks'", _NETWORKS)
        for key, value in networks.items():
            where = f"the network {quoted(key)}"
            network = self._object(value, where, ("symbol", "inputs"))
            self._named(network["symbol"], f"the symbol of {where}")
            inputs = network["inputs"]
            if not isinstance(inputs, list) or not all(isinstance(item, str) for item in inputs):
                self._refuse(f"the inputs of {where}", inputs, "a list of names")

    def _object(self, value: Any, where: str, keys: tuple[str, ...] = ()) -> dict[str, Any]:
        if not isinstance(value, dict) or not all(key in value for key in keys):
            wanted = f"an object with {', '.join(keys)}" if keys else "an object"
            self._refuse(where, value, wanted)
        return dict(value)

    def _plain(self, name: str) -> str:
        if not _PLAIN_NAME.fullmatch(name):
            raise CustomerError(
                f"{self._path} lists the file {quoted(name)}, which is not in its own folder "
                f"or not made of letters, digits, '.', '_' and '-'; {DAMAGED}."
            )
        return name

    def _listed(self, name: str, value: Any) -> ListedFile:
        where = f"the file {quoted(name)}"
        entry = self._object(value, where, ("bytes", "sha256"))
        size, digest = entry["bytes"], entry["sha256"]
        if type(size) is not int or not 0 <= size < 1 << 63:
            self._refuse(f"'bytes' of {where}", size, "a number of bytes")
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            self._refuse(f"'sha256' of {where}", digest, "64 hexadecimal digits")
        return ListedFile(size, digest)

    def _named(self, name: Any, where: str, most: Optional[int] = _LARGEST_OTHER) -> str:
        """The name of a listed file of at most so many bytes."""
        if not isinstance(name, str) or name not in self._files:
            self._refuse(where, name, "the name of a file that is listed in 'files'")
        if most is not None:
            self._bounded(name, self._files[name], most)
        return str(name)

    def _bounded(self, name: str, file: ListedFile, most: int) -> None:
        if file.size > most:
            self._refuse(f"'bytes' of the file {name!r}", file.size, f"at most {most}")

    def _refuse(self, where: str, found: Any, wanted: str) -> NoReturn:
        raise CustomerError(
            f"{self._path} gives {_shown(found)} for {where}, but it should be {wanted}; {DAMAGED}."
        )


def refuse_original_model(folder: PathLike) -> None:
    """Refuse a model of Amazon's Object2Vec.

    Raises
    ------
    CustomerError
        If the folder holds a file ``model_algo-1``.
    """
    path = Path(folder) / ORIGINAL_MODEL
    if path.is_file():
        raise original_model(path)


def original_model(path: Path) -> CustomerError:
    """The error about a model of Amazon's Object2Vec."""
    return CustomerError(
        f"{path} is a model of Amazon SageMaker's built-in Object2Vec, whose format is not "
        "published, so it cannot be read here: train again with object2vec."
    )


def parse_json(content: bytes, path: Path) -> Any:
    """Parse a JSON file of a model.

    Raises
    ------
    CustomerError
        If it is not JSON in UTF-8, is nested too deeply, or names something twice.
    """
    try:
        values = json.loads(content.decode("utf-8"), object_pairs_hook=_unique)
        if not _is_deep(values):
            return values
        reason = _TOO_DEEP
    except RecursionError:
        reason = _TOO_DEEP
    except ValueError as error:
        reason = str(error)
    raise CustomerError(f"{path} cannot be read as JSON ({reason}); {DAMAGED}.")


def _is_deep(value: Any) -> bool:
    """Whether lists and objects are nested so deeply that code which walks them may fail."""
    level = [value]
    for _ in range(_MOST_LEVELS):
        containers = [item for item in level if isinstance(item, (dict, list))]
        level = [
            child
            for item in containers
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True


def _shown(value: Any) -> str:
    # A container is named by its kind: its content may be of any size and depth.
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return shown(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"it names {quoted(name)} twice")
        values[name] = value
    return values
