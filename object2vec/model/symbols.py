# SPDX-License-Identifier: Apache-2.0
"""The graphs that a model directory holds, from tokens and lengths, for any binding of MXNet."""

from __future__ import annotations

from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Symbol
from object2vec.model.network import Object2VecNetwork

INPUT_NAMES = (("source", "source_length"), ("target", "target_length"))


def encoder_symbol(network: Object2VecNetwork, side: int) -> Symbol:
    """The graph from ``source`` and ``source_length`` (or ``target…``) to the embedding."""
    tokens, lengths = (mx.sym.var(name, dtype="float32") for name in INPUT_NAMES[side])
    table = network.table(side)
    rows, columns = table.shape
    # (batch, length, width)
    vectors = mx.sym.Embedding(tokens, table.var(), input_dim=rows, output_dim=columns)
    if network.is_pooled(side):
        masked = mx.sym.SequenceMask(vectors, lengths, use_sequence_length=True, axis=1)
        count = mx.sym.expand_dims(mx.sym.maximum(lengths, 1.0), axis=1)
        vectors = mx.sym.broadcast_div(mx.sym.sum(masked, axis=1), count)
    return network.encoders[side](vectors, lengths)


def scoring_symbol(network: Object2VecNetwork) -> Symbol:
    """The graph from both inputs' tokens and lengths to ``out_layer``, the scores."""
    output = network.scorer(*(encoder_symbol(network, side) for side in (0, 1)))
    if network.hyperparameters.classes is None:
        return mx.sym.identity(output, name="out_layer")
    if network.hyperparameters.is_multi_label:
        return mx.sym.sigmoid(output, name="out_layer")
    return mx.sym.softmax(output, axis=1, name="out_layer")
