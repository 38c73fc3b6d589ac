# SPDX-License-Identifier: Apache-2.0
"""One network's model by each way of computing, asked through one interface."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from small_jobs import chosen

from object2vec.backend.mxnet_import import mx
from object2vec.data.arrays import TokenLists
from object2vec.data.layouts import pad
from object2vec.inference.compiled_inference import CompiledInference
from object2vec.inference.operator_inference import OperatorInference
from object2vec.inference.predictor import Predictor
from object2vec.model.model_directory import save_model
from object2vec.model.network import Object2VecNetwork

COMPILED, OPERATORS, SYMBOL = "compiled", "operators", "exported symbol"
# The latter two also as they are before hybridize has made graphs of them.
PLAIN = "plain "
PREDICTING = TRAINING = (COMPILED, OPERATORS)
ANSWERING = (*PREDICTING, SYMBOL)
EVERY = (*ANSWERING, PLAIN + OPERATORS, PLAIN + SYMBOL)
_INFERENCE = {COMPILED: CompiledInference, OPERATORS: OperatorInference}
CPU = mx.cpu(0)


class Model(Protocol):
    """What every way answers; see `Predictor`."""

    def embeddings(self, side: int, lists: TokenLists) -> np.ndarray: ...

    def scores(self, in0: TokenLists, in1: TokenLists) -> np.ndarray: ...


Padding = Callable[[TokenLists], np.ndarray]


def narrow(lists: TokenLists) -> np.ndarray:
    """Lists padded to the longest, int32 ``(n, length)``."""
    return pad(lists, int(lists.lengths.max(initial=1)))


class ExportedModel:
    """The graphs of a model directory as MXNet's own ``SymbolBlock``, on padded lists.

    Parameters
    ----------
    folder : Path
        The model directory.
    hybridized : bool
        Whether the blocks are compiled.
    """

    def __init__(self, folder: Path, *, hybridized: bool) -> None:
        manifest = json.loads((folder / "model.json").read_text())
        self._blocks: dict[str, tuple[Any, list[str]]] = {}
        parameters = str(folder / manifest["parameters"])
        for name, graph in manifest["networks"].items():
            inputs = [mx.sym.var(given) for given in graph["inputs"]]
            with warnings.catch_warnings():
                # it infers types before it knows the inputs', and says so
                warnings.filterwarnings("ignore", "Cannot decide type", UserWarning)
                block = mx.gluon.SymbolBlock(mx.sym.load(str(folder / graph["symbol"])), inputs)
                block.load_parameters(parameters, ignore_extra=True)
            block.hybridize(hybridized)
            self._blocks[name] = block, graph["inputs"]

    def embeddings(self, side: int, lists: TokenLists, padding: Padding = narrow) -> np.ndarray:
        """Embed lists."""
        return self._ask(f"enc{side}", {("source", "target")[side]: lists}, padding)

    def scores(self, in0: TokenLists, in1: TokenLists, padding: Padding = narrow) -> np.ndarray:
        """Score pairs."""
        return self._ask("scores", {"source": in0, "target": in1}, padding)

    def _ask(self, name: str, given: dict[str, TokenLists], padding: Padding) -> np.ndarray:
        block, names = self._blocks[name]
        inputs = {}
        for side, lists in given.items():
            padded = padding(lists)
            inputs[side] = mx.nd.array(padded)
            inputs[f"{side}_length"] = mx.nd.array(lists.lengths)
        return block(*(inputs[name] for name in names)).asnumpy()


def by(way: str, network: Object2VecNetwork, folder: Path) -> Model:
    """The model by a way; the exported one is written into the folder."""
    if SYMBOL in way:
        save_model(folder, network)
        return loaded(way, folder)
    if not way.startswith(PLAIN):
        network.hybridize()
    with chosen(way.removeprefix(PLAIN)):
        return _checked(way, Predictor(network, CPU))


def loaded(way: str, folder: Path) -> Model:
    """The model of a model directory by a way."""
    if SYMBOL in way:
        return ExportedModel(folder, hybridized=not way.startswith(PLAIN))
    with chosen(way.removeprefix(PLAIN)):
        return _checked(way, Predictor.load(folder))


def _checked(way: str, predictor: Predictor) -> Predictor:
    assert type(predictor._inference) is _INFERENCE[way.removeprefix(PLAIN)]
    return predictor
