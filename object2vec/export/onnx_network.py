# SPDX-License-Identifier: Apache-2.0
"""The encoders and the scorer in operators of ONNX, as `model/` has them in those of MXNet."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from object2vec.export.onnx_graph import Graph, Weight
from object2vec.hyperparameters.checked import EncoderHyperparameters
from object2vec.model.model_directory import element_blocks
from object2vec.model.network import Object2VecNetwork
from object2vec.model.parameter_shapes import encoder_prefixes, table_names
from object2vec.model.similarity import EPSILON
from object2vec.model.symbols import INPUT_NAMES

#: What graphs give, as a model directory calls them.
ENCODERS, SCORES = ("enc0", "enc1"), "scores"
# MXNet has the gates in the order in, forget, cell, out, ONNX in, out, forget, cell.
_GATES = [0, 3, 1, 2]
_DIRECTIONS = {"forward": "forward", "backward": "reverse"}


class _Lists(NamedTuple):
    """Token vectors ``(batch, length, width)`` and which of them are real.

    `mask` is bool ``(batch, length)``, `lengths` int64 ``(batch,)``, from 0 to length.
    """

    vectors: str
    mask: str
    lengths: str


class NetworkGraph:
    """One graph of a network.

    Parameters
    ----------
    network : Object2VecNetwork
        Initialized.
    """

    def __init__(self, network: Object2VecNetwork) -> None:
        self.graph = Graph()
        self._network, self._settings = network, network.hyperparameters

    def encoder(self, side: int, output: str = "") -> str:
        """From ``source`` and ``source_length`` (or ``target…``) to the embeddings."""
        encoder = self._settings.encoders[side]
        prefix = encoder_prefixes(self._settings)[side]
        lists = self._look_up(side)
        if encoder.network == "hcnn":
            vectors = self._hcnn(lists, encoder, prefix)
        elif encoder.network == "bilstm":
            vectors = self._bilstm(lists, encoder, prefix)
        else:
            vectors = self._mean(lists)
        return self.graph.add("Identity", vectors, output=output or f"embedding{side}")

    def scores(self, output: str = SCORES) -> str:
        """From both inputs to what `Predictor.scores` gives."""
        graph, settings = self.graph, self._settings
        sides = [self.encoder(side) for side in (0, 1)]
        raw = (self._similarity if settings.is_similarity else self._mlp)(*sides)
        if settings.output_layer == "softmax":
            return graph.add("Softmax", raw, axis=1, output=output)
        if settings.output_layer == "multi_label":
            return graph.add("Sigmoid", raw, output=output)
        return graph.add("Identity", raw, output=output)

    def _weight(self, name: str) -> str:
        array = self._network.params[name].list_data()[0]
        return self.graph.weight(name, Weight(array.shape, lambda: element_blocks(array)))

    def _array(self, name: str) -> np.ndarray:
        array = self._network.params[name].list_data()[0]
        found: np.ndarray = np.concatenate(list(element_blocks(array))).reshape(array.shape)
        return found

    def _look_up(self, side: int) -> _Lists:
        graph = self.graph
        tokens, given = INPUT_NAMES[side]
        length = graph.add("Gather", graph.add("Shape", tokens), graph.integers(1), axis=0)
        positions = graph.add("Range", graph.integers(0), length, graph.integers(1))
        lengths = graph.add("Max", graph.add("Min", given, length), graph.integers(0))
        mask = graph.add("Less", positions, graph.unsqueezed(lengths, 1))
        # what stands in the padding need be no id
        known = graph.add("Where", mask, tokens, graph.integers(0))
        table = self._weight(table_names(self._settings)[min(side, self._last_table)])
        return _Lists(graph.add("Gather", table, known, axis=0), mask, lengths)

    @property
    def _last_table(self) -> int:
        return len(table_names(self._settings)) - 1

    def _masked(self, vectors: str, mask: str, instead: float = 0.0) -> str:
        return self.graph.add("Where", mask, vectors, self.graph.number(instead))

    def _mean(self, lists: _Lists) -> str:
        graph = self.graph
        masked = self._masked(lists.vectors, graph.unsqueezed(lists.mask, 2))
        counts = graph.cast(graph.add("Max", lists.lengths, graph.integers(1)), np.float32)
        return graph.add("Div", graph.summed(masked, 1), graph.unsqueezed(counts, 1))

    def _hcnn(self, lists: _Lists, encoder: EncoderHyperparameters, prefix: str) -> str:
        graph, width = self.graph, encoder.cnn_filter_width
        mask = graph.unsqueezed(lists.mask, 1)  # (batch, 1, length)
        x = self._masked(lists.vectors, graph.unsqueezed(lists.mask, 2))
        x = graph.add("Transpose", x, perm=[0, 2, 1])  # (batch, token_dim, length)
        maxima = []
        for layer in range(encoder.layers):
            weight, bias = (self._weight(f"{prefix}{layer}_{part}") for part in ("weight", "bias"))
            # a filter of even width reaches one token further to the right
            pads = [(width - 1) // 2, width // 2]
            x = graph.add("Conv", x, weight, bias, kernel_shape=[width], pads=pads)
            x = self._masked(graph.add("Relu", x), mask)  # (batch, filters, length)
            maxima.append(graph.highest(x, 2))
        return graph.add("Concat", *maxima, axis=1) if len(maxima) > 1 else maxima[0]

    def _bilstm(self, lists: _Lists, encoder: EncoderHyperparameters, prefix: str) -> str:
        graph = self.graph
        # a list without tokens is read as one of a single token, and set to zero at the end
        steps = graph.cast(graph.add("Max", lists.lengths, graph.integers(1)), np.int32)
        x = graph.add("Transpose", lists.vectors, perm=[1, 0, 2])  # (length, batch, token_dim)
        both: list[str] = []
        for layer in range(encoder.layers):
            if layer:
                x = graph.add("Concat", *both, axis=2)
            both = [self._lstm(x, steps, f"{prefix}{layer}_{name}") for name in _DIRECTIONS]
        mask = graph.unsqueezed(graph.add("Transpose", lists.mask, perm=[1, 0]), 2)
        # below all outputs of an LSTM
        maxima = [graph.highest(self._masked(y, mask, -1.0), 0) for y in both]
        found = graph.add("Concat", *maxima, axis=1)
        any_token = graph.add("Greater", lists.lengths, graph.integers(0))
        return self._masked(found, graph.unsqueezed(any_token, 1))

    def _lstm(self, x: str, steps: str, name: str) -> str:
        """Outputs ``(length, batch, hidden_size)`` of one direction, each at its token."""
        graph = self.graph
        hidden_size = self._network.params[f"{name}_h2h_weight"].shape[1]

        def in_order(part: str) -> np.ndarray:
            array = self._array(f"{name}_{part}")
            return array.reshape(4, hidden_size, -1)[_GATES].reshape(1, 4 * hidden_size, -1)

        biases = [in_order(f"{part}_bias")[..., 0] for part in ("i2h", "h2h")]
        y = graph.add(
            "LSTM",
            x,
            graph.weight(f"{name}_W", Weight.of(in_order("i2h_weight"))),
            graph.weight(f"{name}_R", Weight.of(in_order("h2h_weight"))),
            graph.weight(f"{name}_B", Weight.of(np.concatenate(biases, axis=1))),
            steps,
            hidden_size=hidden_size,
            direction=_DIRECTIONS[name.rsplit("_", 1)[1]],
        )
        return graph.add("Squeeze", y, graph.integers([1]))

    def _mlp(self, vectors0: str, vectors1: str) -> str:
        graph, settings = self.graph, self._settings
        compared: list[str] = []
        for name in settings.comparator_list:
            if name == "hadamard":
                compared.append(graph.add("Mul", vectors0, vectors1))
            elif name == "concat":
                compared += [vectors0, vectors1]
            else:
                compared.append(graph.add("Abs", graph.add("Sub", vectors0, vectors1)))
        x = graph.add("Concat", *compared, axis=1) if len(compared) > 1 else compared[0]
        for layer in range(settings.mlp_layers):
            x = self._dense(x, f"mlp_fc{layer}")
            if settings.mlp_activation != "linear":
                x = graph.add({"tanh": "Tanh", "relu": "Relu"}[settings.mlp_activation], x)
        x = self._dense(x, "output_layer")
        return graph.add("Squeeze", x, graph.integers([1])) if settings.is_regression else x

    def _dense(self, x: str, name: str) -> str:
        weight, bias = (self._weight(f"{name}_{part}") for part in ("weight", "bias"))
        return self.graph.add("Gemm", x, weight, bias, transB=1)

    def _similarity(self, vectors0: str, vectors1: str) -> str:
        graph, settings = self.graph, self._settings
        if settings.scorer == "cosine":
            vectors0, vectors1 = self._unit(vectors0), self._unit(vectors1)
        score = graph.summed(graph.add("Mul", vectors0, vectors1), 1)
        if settings.is_contrastive:
            return score
        if "output_layer_log_scale" in self._network.params:
            scale = graph.add("Exp", self._weight("output_layer_log_scale"))
            score = graph.add("Mul", score, scale)
        score = graph.add("Add", score, self._weight("output_layer_bias"))
        if settings.is_regression:
            return score
        column = graph.unsqueezed(score, 1)
        zeros = graph.add("ConstantOfShape", graph.add("Shape", column))
        return graph.add("Concat", zeros, column, axis=1)

    def _unit(self, vectors: str) -> str:
        graph = self.graph
        squares = graph.summed(graph.add("Mul", vectors, vectors), 1, keep=True)
        length = graph.add("Sqrt", graph.add("Add", squares, graph.number(EPSILON)))
        return graph.add("Div", vectors, length)
