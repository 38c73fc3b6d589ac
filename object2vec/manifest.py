"""The manifest of a model directory: which files belong to it, checked without MXNet."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from object2vec.errors import CustomerError
from object2vec.files import PathLike
from object2vec.version import __version__

FORMAT = "object2vec"
FORMAT_VERSION = 1
MANIFEST = "model.json"
_ORIGINAL_MODEL = "model_algo-1"
_MANIFEST_KEYS = (
    "complete", "files", "hyperparameters", "metrics", "networks", "parameters", "vocabularies"
)  # fmt: skip


def read_manifest(folder: PathLike) -> dict[str, Any]:
    """Read and check ``model.json``.

    Raises
    ------
    CustomerError
        If the folder holds no model, the original's ``model_algo-1``, or a model of another format
        version.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        refuse_original_model(folder)
        raise CustomerError(
            f"{folder} holds no model: {MANIFEST} is missing; give the folder that training wrote."
        )
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise CustomerError(
            f"{path} is not the manifest of an object2vec model; give the folder that training "
            "wrote."
        )
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise CustomerError(
            f"{path} says format_version {version}, but object2vec {__version__} reads version "
            f"{FORMAT_VERSION}; load it with object2vec {manifest.get('object2vec_version')}."
        )
    missing = [key for key in _MANIFEST_KEYS if key not in manifest]
    if missing:
        raise CustomerError(
            f"{path} lacks {', '.join(missing)}; the model directory is damaged: "
            "copy or train it again."
        )
    for name in manifest["files"]:
        if Path(name).name != name:
            raise CustomerError(
                f"{path} lists the file {name!r}, which is not in its own folder; the model "
                "directory is damaged: copy or train it again."
            )
    return manifest


def check_files(folder: PathLike, manifest: dict[str, Any]) -> None:
    """Compare the files of a model with what its manifest says of them.

    Raises
    ------
    CustomerError
        If a file is missing, cut off or changed.
    """
    for name, expected in manifest["files"].items():
        _check_file(Path(folder) / name, expected)


def refuse_original_model(folder: PathLike) -> None:
    """Refuse a model of Amazon's Object2Vec.

    Raises
    ------
    CustomerError
        If the folder holds a file ``model_algo-1``.
    """
    path = Path(folder) / _ORIGINAL_MODEL
    if path.is_file():
        raise CustomerError(
            f"{path} is a model of Amazon SageMaker's built-in Object2Vec, whose format is not "
            "published, so it cannot be read here: train again with object2vec."
        )


def read_json(path: Path) -> Any:
    """Read a JSON file of a model.

    Raises
    ------
    CustomerError
        If it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CustomerError(
            f"{path} cannot be read as JSON ({error}); the model directory is damaged: "
            "copy or train it again."
        ) from error


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _check_file(path: Path, expected: dict[str, Any]) -> None:
    if not path.is_file():
        raise CustomerError(
            f"{path} is missing, though {MANIFEST} lists it; copy the whole model directory."
        )
    size = path.stat().st_size
    if size != expected["bytes"]:
        raise CustomerError(
            f"{path} has {size} bytes instead of {expected['bytes']}; the file is cut off or "
            "damaged: copy or train the model again."
        )
    if sha256(path) != expected["sha256"]:
        raise CustomerError(
            f"{path} does not have the content that {MANIFEST} lists (its SHA-256 differs); "
            "copy or train the model again."
        )
