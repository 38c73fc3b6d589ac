# SPDX-License-Identifier: Apache-2.0
"""The model directory: open formats only, written so that a kill never leaves half a model."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Optional

import numpy as np

from object2vec.backend.engine import one_at_a_time
from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Context, NDArray
from object2vec.errors import CustomerError
from object2vec.files import PathLike, atomic_write, locked_folder
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.model.manifest import FORMAT, MANIFEST, Manifest, format_version
from object2vec.model.model_files import ModelFiles, read_model, read_packed
from object2vec.model.network import Object2VecNetwork
from object2vec.model.parameter_files import BLOCK, ParameterFile, Stream, write_parameters
from object2vec.model.parameter_shapes import parameter_shapes
from object2vec.model.stored_index import StoredIndex, index_bytes
from object2vec.model.symbols import INPUT_NAMES, encoder_symbol, scoring_symbol
from object2vec.model.written_files import Folder, Memory, Target
from object2vec.raw_values.inputs import Inputs
from object2vec.raw_values.inputs_file import FILE as INPUTS_FILE
from object2vec.raw_values.inputs_file import inputs_bytes
from object2vec.version import __version__

_STEM = (
    r"(parameters|hyperparameters|metrics|inputs|tokenizer|scores|enc[01]|vocabulary[01]"
    r"|(index|vectors|tokens|lengths|centroids|cells|codebook)[01])"
)
_OWN_FILE = re.compile(
    rf"{_STEM}-[0-9a-f]{{12}}\.(params|json|npy)"
    # what a kill leaves of `Folder.add` and of `atomic_write`
    rf"|\.\.?{_STEM}(\.[0-9a-f]{{12}})?\.part(\.[0-9a-f]{{12}}\.tmp)?"
    r"|\.model\.json\.[0-9a-f]{12}\.tmp"
)


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
    inputs : Inputs, optional
        Which raw value has which id; None for a model of ids alone.
    indexes : mapping of str to StoredIndex
        By the side whose objects they hold.
    """

    hyperparameters: Hyperparameters
    network: Object2VecNetwork
    metrics: dict[str, Any]
    vocabularies: tuple[Any, Any]
    complete: bool
    digest: str
    inputs: Optional[Inputs] = None
    indexes: Mapping[str, StoredIndex] = field(default_factory=dict)


def save_model(
    folder: PathLike,
    network: Object2VecNetwork,
    *,
    metrics: Optional[dict[str, Any]] = None,
    vocabularies: tuple[Any, Any] = (None, None),
    complete: bool = True,
    inputs: Optional[Inputs] = None,
    indexes: Optional[Mapping[str, StoredIndex]] = None,
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
    inputs : Inputs, optional
        Which raw value has which id, where the model was trained on raw values.
    indexes : mapping of str to StoredIndex, optional
        By the side whose objects they hold.

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
        target = Folder(folder)
        content = _write_model(
            target, network, metrics or {}, vocabularies, complete, inputs, indexes or {}
        )
        with atomic_write(folder / MANIFEST) as stream:
            stream.write(content)
        for path in folder.iterdir():
            if _OWN_FILE.fullmatch(path.name) and path.name not in target.files:
                with contextlib.suppress(OSError):
                    path.unlink()
    return hashlib.sha256(content).hexdigest()


def rewrite_metrics(folder: PathLike, metrics: dict[str, Any], expected_digest: str) -> str:
    """Replace what training reported of a model, and nothing else of it.

    Parameters
    ----------
    folder : path
        What `save_model` wrote.
    metrics : dict
        JSON values.
    expected_digest : str
        What `save_model` gave: the model of another job is left alone.

    Returns
    -------
    str
        The model's new digest.

    Raises
    ------
    CustomerError
        If the folder holds another model, or another process has been writing to it for five
        minutes.
    """
    folder = Path(folder)
    with locked_folder(folder):
        content = (folder / MANIFEST).read_bytes()
        if hashlib.sha256(content).hexdigest() != expected_digest:
            raise CustomerError(
                f"{folder} holds another model than was saved: give each job a folder of its own."
            )
        manifest = json.loads(content)
        target, older = Folder(folder), manifest["metrics"]
        del manifest["files"][older]
        manifest["metrics"] = target.add_text("metrics", json.dumps(metrics, indent=1))
        manifest["files"] = {**manifest["files"], **target.files}
        content = json.dumps(manifest, indent=1).encode()
        with atomic_write(folder / MANIFEST) as stream:
            stream.write(content)
        if older not in target.files:
            with contextlib.suppress(OSError):
                (folder / older).unlink()
    return hashlib.sha256(content).hexdigest()


def pack_model(
    network: Object2VecNetwork,
    *,
    metrics: Optional[dict[str, Any]] = None,
    vocabularies: tuple[Any, Any] = (None, None),
    complete: bool = True,
    inputs: Optional[Inputs] = None,
    indexes: Optional[Mapping[str, StoredIndex]] = None,
) -> dict[str, bytes]:
    """The files that `save_model` writes, in memory, by their names; for its parameters see there.

    Raises
    ------
    CustomerError
        If a parameter is not finite.
    """
    target = Memory()
    content = _write_model(
        target, network, metrics or {}, vocabularies, complete, inputs, indexes or {}
    )
    return {MANIFEST: content, **target.contents}


def _write_model(
    target: Target,
    network: Object2VecNetwork,
    metrics: dict[str, Any],
    vocabularies: tuple[Any, Any],
    complete: bool,
    inputs: Optional[Inputs],
    indexes: Mapping[str, StoredIndex],
) -> bytes:
    """Write all files but the manifest, and give its content."""
    if inputs is not None:
        # what could not be loaded is not to replace what can
        inputs.check_fit(network.hyperparameters, INPUTS_FILE)

    add_text = target.add_text
    # one at a time, as tracing changes a block's state, which threads share; with its own name
    # manager, so that the nodes' numbers start anew and one model gives the same bytes each time
    with one_at_a_time, mx.name.NameManager():
        symbols = {
            "scores": (scoring_symbol(network), [*INPUT_NAMES[0], *INPUT_NAMES[1]]),
            "enc0": (encoder_symbol(network, 0), list(INPUT_NAMES[0])),
            "enc1": (encoder_symbol(network, 1), list(INPUT_NAMES[1])),
        }
        texts = {name: symbol.tojson() for name, (symbol, _) in symbols.items()}
    manifest = {
        "format": FORMAT,
        "format_version": format_version(network.hyperparameters),
        "object2vec_version": __version__,
        "complete": complete,
        "hyperparameters": add_text(
            "hyperparameters", json.dumps(network.hyperparameters.to_stored(), indent=1)
        ),
        "metrics": add_text("metrics", json.dumps(metrics, indent=1)),
        "networks": {
            name: {"symbol": add_text(name, texts[name]), "inputs": inputs}
            for name, (_, inputs) in symbols.items()
        },
        "parameters": _add_parameters(target, network),
        "vocabularies": {
            f"in{side}": add_text(f"vocabulary{side}", vocabulary.to_json())
            if vocabulary is not None
            else None
            for side, vocabulary in enumerate(vocabularies)
        },
        "files": target.files,
    }
    if inputs is not None:
        # absent elsewhere, so that the models of ids stay what they were, byte by byte
        manifest["inputs"] = target.add_bytes("inputs", inputs_bytes(inputs))
        for file in inputs.tokenizers.values():
            # it gets the name that the inputs call it by
            target.add_bytes("tokenizer", file.content)
    if indexes:
        # absent elsewhere, as the inputs are; who does not know them loads the model without
        manifest["indexes"] = {
            side: target.add_bytes(f"index{side[-1]}", index_bytes(index, target.add_array))
            for side, index in indexes.items()
        }
    return json.dumps(manifest, indent=1).encode()


def _add_parameters(target: Target, network: Object2VecNetwork) -> str:
    def write(stream: BinaryIO) -> None:
        arrays = {
            name: parameter.data(parameter.list_ctx()[0])
            for name, parameter in network.params.items()
        }
        write_parameters(
            stream, {name: (array.shape, element_blocks(array)) for name, array in arrays.items()}
        )

    def digest_of(stream: Stream) -> str:
        shapes = parameter_shapes(network.hyperparameters)
        return ParameterFile(stream, target.place, shapes).sha256()

    return target.add("parameters", "params", write, digest_of)


def element_blocks(array: NDArray) -> Iterator[np.ndarray]:
    """An array's elements in blocks, so that no second copy of a table exists."""
    for begin in range(0, array.size, BLOCK):
        with one_at_a_time:
            elements = array.reshape((-1,))[begin : begin + BLOCK].asnumpy()
        yield elements


def load_model(
    folder: PathLike, context: Optional[Context] = None, expected_digest: Optional[str] = None
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

    return read_model(folder, lambda files: _loaded(files, context), expected_digest)


def unpack_model(files: Mapping[str, bytes], context: Optional[Context] = None) -> LoadedModel:
    """Read what `pack_model` gave, as strictly as a model directory.

    Raises
    ------
    CustomerError
        If it is not sound.
    """
    return read_packed(files, lambda opened: _loaded(opened, context))


def _loaded(files: ModelFiles, context: Optional[Context]) -> LoadedModel:
    hyperparameters = files.hyperparameters()
    # before the network takes memory for what the hyperparameters say
    parameters = files.parameters(parameter_shapes(hyperparameters))
    metrics, vocabularies = files.metrics(), files.vocabularies()
    inputs = files.inputs(hyperparameters)
    indexes = files.indexes(hyperparameters)
    files.check_others()
    with one_at_a_time:
        network = Object2VecNetwork(hyperparameters)
        for parameter in network.params.values():
            parameter.grad_req = "null"
            parameter.initialize(mx.init.Zero(), ctx=context or mx.cpu(0), force_reinit=True)
    arrays = {name: parameter.data() for name, parameter in network.params.items()}
    _fill(arrays, parameters, files.manifest)
    return LoadedModel(
        hyperparameters,
        network,
        metrics,
        (_vocabulary(vocabularies[0], files.place), _vocabulary(vocabularies[1], files.place)),
        files.manifest.complete,
        files.manifest.digest,
        inputs,
        indexes,
    )


def restore_parameters(
    folder: PathLike, network: Object2VecNetwork, expected_digest: Optional[str] = None
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

    def read(files: ModelFiles) -> dict[str, NDArray]:
        parameters = files.parameters(parameter_shapes(network.hyperparameters))
        with one_at_a_time:
            arrays = {name: mx.nd.zeros(value.shape) for name, value in network.params.items()}
        _fill(arrays, parameters, files.manifest)
        return arrays

    arrays = read_model(folder, read, expected_digest)
    with one_at_a_time:
        for name, array in arrays.items():
            network.params[name].set_data(array)


def _fill(arrays: Mapping[str, NDArray], parameters: ParameterFile, manifest: Manifest) -> None:
    """Copy a file's elements block by block, so that no second copy of a table exists."""
    for name, begin, elements in parameters.blocks(manifest.files[manifest.parameters].sha256):
        with one_at_a_time:
            part = arrays[name].reshape((-1,))[begin : begin + len(elements)]
            part[:] = elements  # waits until it is copied


def _vocabulary(text: Optional[str], folder: Path) -> Any:
    if text is None:
        return None
    import gluonnlp  # only here, because most models have no vocabulary

    try:
        return gluonnlp.Vocab.from_json(text)
    except (AssertionError, LookupError, TypeError, ValueError) as error:
        raise CustomerError(f"gluonnlp cannot read a vocabulary in {folder}: {error}.") from None
