# SPDX-License-Identifier: Apache-2.0
"""Writes a network as models of ONNX: all in one file, or weights beside it where they are many."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Optional

import numpy as np

from object2vec.errors import CustomerError
from object2vec.export.onnx_graph import IR_VERSION, OPSET, Graph, Weight, onnx_module
from object2vec.export.onnx_network import ENCODERS, SCORES, NetworkGraph
from object2vec.files import (
    PathLike,
    atomic_writes,
    check_model_folder,
    check_output_file,
    unwritable,
)
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.model.network import Object2VecNetwork
from object2vec.model.symbols import INPUT_NAMES
from object2vec.text import named, quoted
from object2vec.version import __version__

GRAPHS = (*ENCODERS, SCORES)
SUFFIX = ".onnx"
# A file of protobuf holds 2 GiB at most.
_MOST_WITHIN = (1 << 31) - (1 << 24)
_PAGE = 4096  # so that a reader can map each weight into its memory
_DATA = "weights.data"


class Target(NamedTuple):
    """The file of each graph, and that of their weights where they stand apart."""

    paths: Mapping[str, Path]
    data: Path


def onnx_target(path: PathLike, graph: Optional[str] = None) -> Target:
    """Check, before a model is loaded, that graphs can be written.

    Parameters
    ----------
    path : path-like
        A file that ends with .onnx, for one graph, or a folder.
    graph : str, optional
        One of `GRAPHS`; by default all of them in a folder, and the scores in a file.

    Raises
    ------
    CustomerError
        There is no such graph, onnx is missing, or the place cannot be written to.
    PlatformError
        There is no space left.
    """
    if graph is not None and graph not in GRAPHS:
        raise CustomerError(f"The graph must be one of {', '.join(GRAPHS)}, found {quoted(graph)}.")
    onnx_module()
    path = Path(path)
    if path.suffix == SUFFIX:
        target = Target({graph or SCORES: path}, path.with_name(f"{path.name}.data"))
    else:
        if path.is_file():
            raise CustomerError(
                f"{named(path)} is a file whose name does not end with {SUFFIX}: name one that "
                "does, or a folder."
            )
        check_model_folder(path)
        chosen = GRAPHS if graph is None else (graph,)
        target = Target({name: path / f"{name}{SUFFIX}" for name in chosen}, path / _DATA)
    for each in (*target.paths.values(), target.data):
        if path.suffix == SUFFIX or path.is_dir():
            check_output_file(each)
    return target


def write_onnx(
    network: Object2VecNetwork, target: Target, external_data: Optional[bool] = None
) -> tuple[Path, ...]:
    """Write graphs, as a whole or not at all.

    Parameters
    ----------
    network : Object2VecNetwork
        Initialized.
    target : Target
        Of `onnx_target`.
    external_data : bool, optional
        Whether the weights stand in a file of their own, which the graphs share; by default where
        they have more than 2 GiB, which a single file cannot hold.

    Returns
    -------
    tuple of pathlib.Path
        What was written.

    Raises
    ------
    CustomerError
        The files cannot be written, or the weights are too many for a file.
    PlatformError
        There is no space left.
    """
    settings = network.hyperparameters
    graphs = {name: _graph(network, name) for name in target.paths}
    largest = max(sum(w.size for w in graph.weights.values()) for graph in graphs.values())
    if external_data is None:
        external_data = largest > _MOST_WITHIN
    elif not external_data and largest > _MOST_WITHIN:
        raise CustomerError(
            f"The weights have {largest:,} bytes, but a file of ONNX holds 2 GiB at most: let them "
            "stand in a file of their own (external_data)."
        )
    folder = target.data.parent
    paths = (*target.paths.values(), *([target.data] if external_data else []))
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_writes(*reversed(paths)) as streams:
            streams.reverse()
            places = _write_data(streams[-1], graphs) if external_data else {}
            for stream, (name, graph) in zip(streams, graphs.items()):
                proto = _model(graph, name, settings, places, target.data.name)
                stream.write(proto.SerializeToString())
    except BaseException as error:
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise unwritable(paths[0], error, "place") from None
        raise
    return paths


def _graph(network: Object2VecNetwork, name: str) -> Graph:
    found = NetworkGraph(network)
    if name == SCORES:
        found.scores()
    else:
        found.encoder(ENCODERS.index(name), output=name)
    return found.graph


def _write_data(stream: BinaryIO, graphs: Mapping[str, Graph]) -> dict[str, int]:
    """Write each weight once, and give the place of its first byte."""
    weights: dict[str, Weight] = {}
    for graph in graphs.values():
        weights.update(graph.weights)
    places = {}
    for name, weight in weights.items():
        stream.write(bytes(-stream.tell() % _PAGE))
        places[name] = stream.tell()
        weight.write(stream.write)
    return places


def _model(
    graph: Graph, name: str, settings: Hyperparameters, places: Mapping[str, int], data: str
) -> Any:
    helper, onnx = onnx_module("helper"), onnx_module()
    kinds = onnx.TensorProto
    sides = (0, 1) if name == SCORES else (ENCODERS.index(name),)
    inputs = []
    for side in sides:
        tokens, lengths = INPUT_NAMES[side]
        shape = ["batch", f"length{side}"]
        inputs.append(helper.make_tensor_value_info(tokens, kinds.INT64, shape))
        inputs.append(helper.make_tensor_value_info(lengths, kinds.INT64, ["batch"]))
    width = settings.score_shape if name == SCORES else (settings.enc_dim,)
    output = helper.make_tensor_value_info(name, kinds.FLOAT, ["batch", *width])
    numpy_helper = onnx_module("numpy_helper")
    made = helper.make_graph(
        graph.nodes,
        f"object2vec_{name}",
        inputs,
        [output],
        [numpy_helper.from_array(np.asarray(a), own) for own, a in graph.constants.items()],
    )
    for own, weight in graph.weights.items():
        # filled where it stands: adding it later would copy it
        _fill(made.initializer.add(), own, weight, places.get(own), data)
    model = helper.make_model(
        made,
        producer_name="object2vec",
        producer_version=__version__,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    said = {
        INPUT_NAMES[side][0]: f"ids below {settings.encoders[side].vocab_size}, at most "
        f"{settings.encoders[side].max_seq_len} of a list"
        for side in sides
    }
    helper.set_model_props(model, said)
    return model


def _fill(tensor: Any, name: str, weight: Weight, place: Optional[int], data: str) -> None:
    kinds = onnx_module().TensorProto
    tensor.name, tensor.data_type = name, kinds.FLOAT
    tensor.dims.extend(weight.shape)
    if place is None:
        content = io.BytesIO()  # gives its bytes without a copy
        weight.write(content.write)
        tensor.raw_data = content.getvalue()
        return
    tensor.data_location = kinds.EXTERNAL
    for key, value in (("location", data), ("offset", place), ("length", weight.size)):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
