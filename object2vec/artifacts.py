"""The model directory: open formats only, written so that a kill never leaves half a model."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

from object2vec.errors import CustomerError
from object2vec.files import atomic_write
from object2vec.hyperparameters import Hyperparameters, parse
from object2vec.manifest import (
    FORMAT,
    FORMAT_VERSION,
    MANIFEST,
    check_files,
    read_json,
    read_manifest,
    sha256,
)
from object2vec.mxnet_import import mx
from object2vec.network import INPUT_NAMES, Object2VecNetwork
from object2vec.version import __version__

_STEM = r"(parameters|hyperparameters|metrics|scores|enc[01]|vocabulary[01])"
_OWN_FILE = re.compile(
    rf"{_STEM}-[0-9a-f]{{12}}\.(params|json)"
    # what a kill leaves of `_add_file` and of `atomic_write`
    rf"|\.\.?{_STEM}\.part(\.[0-9a-f]{{12}}\.tmp)?|\.model\.json\.[0-9a-f]{{12}}\.tmp"
)
_PathLike = Union[str, os.PathLike]


@dataclass(frozen=True)
class LoadedModel:
    """What a model directory holds.

    Attributes
    ----------
    hyperparameters : Hyperparameters
        What the model was trained with.
    network : Object2VecNetwork
        With its parameters on the device.
    metrics : dict
        What training reported.
    vocabularies : tuple
        The gluonnlp vocabularies of in0 and in1, None where none was given.
    complete : bool
        False for a model saved before its first epoch ended.
    """

    hyperparameters: Hyperparameters
    network: Object2VecNetwork
    metrics: dict[str, Any]
    vocabularies: tuple[Any, Any]
    complete: bool


def save_model(
    folder: _PathLike,
    network: Object2VecNetwork,
    *,
    metrics: Optional[dict[str, Any]] = None,
    vocabularies: tuple[Any, Any] = (None, None),
    complete: bool = True,
) -> None:
    """Write a model, replacing an older one in one step.

    Files are named by their content and ``model.json``, which lists them, is renamed into place
    last: until then the older model stands. Foreign files in the folder are left alone.

    Parameters
    ----------
    folder : path
        Made if it is missing.
    network : Object2VecNetwork
        Initialized.
    metrics : dict, optional
        JSON values.
    vocabularies : tuple, optional
        gluonnlp vocabularies of in0 and in1, or None each.
    complete : bool
        False marks weights from before the first epoch's end.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, dict[str, Any]] = {}

    def add_text(stem: str, text: str) -> str:
        return _add_file(folder, stem, "json", lambda stream: stream.write(text.encode()), files)

    symbols = {
        "scores": (network.scoring_symbol(), [*INPUT_NAMES[0], *INPUT_NAMES[1]]),
        "enc0": (network.encoder_symbol(0), list(INPUT_NAMES[0])),
        "enc1": (network.encoder_symbol(1), list(INPUT_NAMES[1])),
    }
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "object2vec_version": __version__,
        "complete": complete,
        "hyperparameters": add_text(
            "hyperparameters", json.dumps(network.hyperparameters.to_dict(), indent=1)
        ),
        "metrics": add_text("metrics", json.dumps(metrics or {}, indent=1)),
        "networks": {
            name: {"symbol": add_text(name, symbol.tojson()), "inputs": inputs}
            for name, (symbol, inputs) in symbols.items()
        },
        "parameters": _add_parameters(folder, network, files),
        "vocabularies": {
            f"in{side}": add_text(f"vocabulary{side}", vocabulary.to_json())
            if vocabulary is not None
            else None
            for side, vocabulary in enumerate(vocabularies)
        },
        "files": files,
    }
    with atomic_write(folder / MANIFEST) as stream:
        stream.write(json.dumps(manifest, indent=1).encode())
    for path in folder.iterdir():
        if _OWN_FILE.fullmatch(path.name) and path.name not in files:
            with contextlib.suppress(OSError):
                path.unlink()


def _add_parameters(
    folder: Path, network: Object2VecNetwork, files: dict[str, dict[str, Any]]
) -> str:
    arrays = {
        f"arg:{name}": parameter.data(parameter.list_ctx()[0])
        for name, parameter in network.params.items()
    }
    # MXNet writes to names only; the open stream then brings the same file to the disk
    return _add_file(
        folder, "parameters", "params", lambda stream: mx.nd.save(stream.name, arrays), files
    )


def _add_file(
    folder: Path,
    stem: str,
    ending: str,
    write: Callable[[Any], Any],
    files: dict[str, dict[str, Any]],
) -> str:
    part = folder / f".{stem}.part"
    with atomic_write(part) as stream:
        write(stream)
    digest = sha256(part)
    name = f"{stem}-{digest[:12]}.{ending}"
    os.replace(part, folder / name)
    files[name] = {"bytes": (folder / name).stat().st_size, "sha256": digest}
    return name


def load_model(folder: _PathLike, context: Optional[Any] = None) -> LoadedModel:
    """Read a model directory.

    Parameters
    ----------
    folder : path
        What `save_model` wrote.
    context : mxnet.Context, optional
        The device to load to; the CPU by default.

    Raises
    ------
    CustomerError
        If the folder holds no model, the original's ``model_algo-1``, a model of another format
        version, or a damaged file.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    hyperparameters, _ = parse(read_json(folder / manifest["hyperparameters"]))
    network = Object2VecNetwork(hyperparameters)
    for parameter in network.params.values():
        parameter.grad_req = "null"
    network.params.initialize(init="zeros", ctx=context or mx.cpu(0), force_reinit=True)
    _set_parameters(folder / manifest["parameters"], network)
    return LoadedModel(
        hyperparameters,
        network,
        read_json(folder / manifest["metrics"]),
        tuple(_read_vocabulary(folder, manifest["vocabularies"][key]) for key in ("in0", "in1")),
        manifest["complete"],
    )


def restore_parameters(folder: _PathLike, network: Object2VecNetwork) -> None:
    """Give a network, on all its devices, the parameters of a model directory.

    Raises
    ------
    CustomerError
        If the folder holds no model or that of another network.
    """
    folder = Path(folder)
    _set_parameters(folder / read_manifest(folder)["parameters"], network)


def _set_parameters(path: Path, network: Object2VecNetwork) -> None:
    arrays = mx.nd.load(str(path))
    for name, parameter in network.params.items():
        array = arrays.get(f"arg:{name}")
        if array is None or array.shape != parameter.shape:
            found = "is missing" if array is None else f"has the shape {array.shape}"
            raise CustomerError(
                f"Parameter {name} {found} in {path}, but the hyperparameters beside it ask for "
                f"{parameter.shape}; the model directory mixes two models: save it anew."
            )
        parameter.set_data(array)


def _read_vocabulary(folder: Path, name: Optional[str]) -> Any:
    if name is None:
        return None
    import gluonnlp  # only here, because most models have no vocabulary

    return gluonnlp.Vocab.from_json((folder / name).read_text(encoding="utf-8"))
