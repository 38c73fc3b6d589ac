# SPDX-License-Identifier: Apache-2.0
"""The model directory: open formats only, written so that a kill never leaves half a model."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

from object2vec.engine import one_at_a_time
from object2vec.errors import CustomerError
from object2vec.files import atomic_write, locked_folder
from object2vec.hyperparameters import Hyperparameters
from object2vec.manifest import FORMAT, FORMAT_VERSION, MANIFEST, Manifest
from object2vec.model_files import ModelFiles, read_model
from object2vec.mxnet_import import mx
from object2vec.network import INPUT_NAMES, Object2VecNetwork
from object2vec.parameter_files import ParameterFile
from object2vec.parameter_shapes import parameter_shapes
from object2vec.version import __version__

_STEM = r"(parameters|hyperparameters|metrics|scores|enc[01]|vocabulary[01])"
_OWN_FILE = re.compile(
    rf"{_STEM}-[0-9a-f]{{12}}\.(params|json)"
    # what a kill leaves of `_add_file` and of `atomic_write`
    rf"|\.\.?{_STEM}(\.[0-9a-f]{{12}})?\.part(\.[0-9a-f]{{12}}\.tmp)?"
    r"|\.model\.json\.[0-9a-f]{12}\.tmp"
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
    digest : str
        Tells this model from every other; see `Manifest.digest`.
    """

    hyperparameters: Hyperparameters
    network: Object2VecNetwork
    metrics: dict[str, Any]
    vocabularies: tuple[Any, Any]
    complete: bool
    digest: str


def save_model(
    folder: _PathLike,
    network: Object2VecNetwork,
    *,
    metrics: Optional[dict[str, Any]] = None,
    vocabularies: tuple[Any, Any] = (None, None),
    complete: bool = True,
) -> str:
    """Write a model, replacing an older one in one step.

    Files are named by their content and ``model.json``, which lists them, is renamed into place
    last: until then the older model stands. Foreign files in the folder are left alone. Of several
    writers one waits for the other, so that the folder holds the model of the last one, whole.

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

    Returns
    -------
    str
        The model's digest; see `Manifest.digest`.

    Raises
    ------
    CustomerError
        If a parameter is not finite, or another process has been writing to the folder for five
        minutes. The older model then stands.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with locked_folder(folder):
        return _write_model(folder, network, metrics or {}, vocabularies, complete)


def _write_model(
    folder: Path,
    network: Object2VecNetwork,
    metrics: dict[str, Any],
    vocabularies: tuple[Any, Any],
    complete: bool,
) -> str:
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
        "metrics": add_text("metrics", json.dumps(metrics, indent=1)),
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
    content = json.dumps(manifest, indent=1).encode()
    with atomic_write(folder / MANIFEST) as stream:
        stream.write(content)
    for path in folder.iterdir():
        if _OWN_FILE.fullmatch(path.name) and path.name not in files:
            with contextlib.suppress(OSError):
                path.unlink()
    return hashlib.sha256(content).hexdigest()


def _add_parameters(
    folder: Path, network: Object2VecNetwork, files: dict[str, dict[str, Any]]
) -> str:
    arrays = {
        f"arg:{name}": parameter.data(parameter.list_ctx()[0])
        for name, parameter in network.params.items()
    }

    def write(stream: Any) -> None:
        # MXNet writes to names only, and only to those in UTF-8
        mx.nd.save(f"/proc/self/fd/{stream.fileno()}", arrays)

    def digest_of(part: Path) -> str:
        # what could not be loaded is not to replace what can
        with part.open("rb") as stream:
            shapes = parameter_shapes(network.hyperparameters)
            return ParameterFile(stream, folder, shapes).sha256()

    return _add_file(folder, "parameters", "params", write, files, digest_of)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _add_file(
    folder: Path,
    stem: str,
    ending: str,
    write: Callable[[Any], Any],
    files: dict[str, dict[str, Any]],
    digest_of: Callable[[Path], str] = _sha256,
) -> str:
    # a name of its own, for file systems without locks
    part = folder / f".{stem}.{secrets.token_hex(6)}.part"
    with atomic_write(part) as stream:
        write(stream)
    digest = digest_of(part)
    name = f"{stem}-{digest[:12]}.{ending}"
    os.replace(part, folder / name)
    files[name] = {"bytes": (folder / name).stat().st_size, "sha256": digest}
    return name


def load_model(
    folder: _PathLike, context: Optional[Any] = None, expected_digest: Optional[str] = None
) -> LoadedModel:
    """Read a model directory; whatever happens to it later, the model stays what it is.

    Parameters
    ----------
    folder : path
        What `save_model` wrote.
    context : mxnet.Context, optional
        The device to load to; the CPU by default.
    expected_digest : str, optional
        The `LoadedModel.digest` of the model that it has to be.

    Raises
    ------
    CustomerError
        If the folder holds no model, the original's ``model_algo-1``, a model of another format
        version, a damaged file, or another model than the expected one.
    """

    def load(files: ModelFiles) -> LoadedModel:
        hyperparameters = files.hyperparameters()
        # before the network takes memory for what the hyperparameters say
        parameters = files.parameters(parameter_shapes(hyperparameters))
        metrics, vocabularies = files.metrics(), files.vocabularies()
        files.check_others()
        network = Object2VecNetwork(hyperparameters)
        with one_at_a_time:
            for parameter in network.params.values():
                parameter.grad_req = "null"
                parameter.initialize(mx.init.Zero(), ctx=context or mx.cpu(0), force_reinit=True)
        arrays = {name: parameter.data() for name, parameter in network.params.items()}
        _fill(arrays, parameters, files.manifest)
        return LoadedModel(
            hyperparameters,
            network,
            metrics,
            (_vocabulary(vocabularies[0], folder), _vocabulary(vocabularies[1], folder)),
            files.manifest.complete,
            files.manifest.digest,
        )

    return read_model(folder, load, expected_digest)


def restore_parameters(
    folder: _PathLike, network: Object2VecNetwork, expected_digest: Optional[str] = None
) -> None:
    """Give a network, on all its devices, the parameters of a model directory.

    Parameters
    ----------
    folder : path
        What `save_model` wrote.
    network : Object2VecNetwork
        Initialized; after an error it is what it was.
    expected_digest : str, optional
        What `save_model` gave; another job may have written to the folder since.

    Raises
    ------
    CustomerError
        If the folder holds no sound model, that of another network, or another than the expected.
    """

    def read(files: ModelFiles) -> dict[str, Any]:
        parameters = files.parameters(parameter_shapes(network.hyperparameters))
        with one_at_a_time:
            arrays = {name: mx.nd.zeros(value.shape) for name, value in network.params.items()}
        _fill(arrays, parameters, files.manifest)
        return arrays

    arrays = read_model(folder, read, expected_digest)
    with one_at_a_time:
        for name, array in arrays.items():
            network.params[name].set_data(array)


def _fill(arrays: Mapping[str, Any], parameters: ParameterFile, manifest: Manifest) -> None:
    """Copy a file's numbers block by block, so that no second copy of a table exists."""
    for name, begin, numbers in parameters.blocks(manifest.files[manifest.parameters].sha256):
        with one_at_a_time:
            part = arrays[name].reshape((-1,))[begin : begin + len(numbers)]
            part[:] = numbers  # waits until it is copied


def _vocabulary(text: Optional[str], folder: _PathLike) -> Any:
    if text is None:
        return None
    import gluonnlp  # only here, because most models have no vocabulary

    try:
        return gluonnlp.Vocab.from_json(text)
    except (AssertionError, LookupError, TypeError, ValueError) as error:
        raise CustomerError(f"gluonnlp cannot read a vocabulary in {folder}: {error}.") from None
