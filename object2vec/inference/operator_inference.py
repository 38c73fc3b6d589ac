# SPDX-License-Identifier: Apache-2.0
"""Embeddings and scores by MXNet's operators, on any device."""

from __future__ import annotations

import numpy as np

from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Context
from object2vec.data.arrays import TokenLists
from object2vec.model.encoder_inputs import PairInputs, embed
from object2vec.model.network import Object2VecNetwork


class OperatorInference:
    """Embeddings and scores of a network.

    Parameters
    ----------
    network : Object2VecNetwork
        Initialized on ``context``.
    context : mxnet.Context
        The device.
    """

    def __init__(self, network: Object2VecNetwork, context: Context) -> None:
        self._network, self._context = network, context

    def elements_per_token(self, side: int) -> int:
        """Elements that the encoder of in0 (0) or in1 (1) holds for a token at a time."""
        settings = self._network.hyperparameters
        encoder = settings.encoders[side]
        if encoder.network == "pooled_embedding":
            return 1
        if encoder.network == "bilstm":
            # the widest layer, held twice, with its four gates
            return 6 * max(encoder.token_embedding_dim, settings.enc_dim)
        # the tokens under a filter, the layers' outputs, these joined, and these once more by time
        channels = max(encoder.token_embedding_dim, -(-settings.enc_dim // encoder.layers))
        return encoder.cnn_filter_width * channels + 3 * settings.enc_dim

    def embed(self, side: int, lists: TokenLists) -> np.ndarray:
        """Embed objects of in0 (0) or in1 (1).

        Parameters
        ----------
        side : int
            Whose encoder.
        lists : TokenLists
            ``n`` lists, n at least 1.

        Returns
        -------
        numpy.ndarray
            float32, shape ``(n, enc_dim)``.
        """
        return embed(self._network, side, lists, self._context).asnumpy()

    def score(self, in0: TokenLists, in1: TokenLists, *, as_logits: bool = False) -> np.ndarray:
        """Score pairs.

        Parameters
        ----------
        in0, in1 : TokenLists
            ``n`` lists each, n at least 1.
        as_logits : bool
            Leave out softmax, or multi_label's sigmoid.

        Returns
        -------
        numpy.ndarray
            float32; ``(n, num_classes)`` for softmax and multi_label, ``(n,)`` for the other output
            layers.
        """
        network, context = self._network, self._context
        inputs = PairInputs(network, (in0, in1), (None, None), context)
        output = network.scorer(*inputs.embed())
        if not (as_logits or network.hyperparameters.classes is None):
            is_sigmoid = network.hyperparameters.is_multi_label
            output = mx.nd.sigmoid(output) if is_sigmoid else mx.nd.softmax(output, axis=1)
        return output.asnumpy()
