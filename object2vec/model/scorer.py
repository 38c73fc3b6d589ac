# SPDX-License-Identifier: Apache-2.0
"""What turns two embeddings into the raw output: comparator, MLP and output layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Union

import numpy as np

from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Context, NDArray, Parameter, Tensor
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.model.encoders import dropout, side_by_side
from object2vec.model.parameter_shapes import compared_width
from object2vec.model.similarity import Similarity


class Scorer(mx.gluon.HybridBlock):
    """Comparator, MLP and output layer: two vectors ``(n, enc_dim)`` to the raw output.

    The raw output is ``(n, num_classes)`` before softmax or, for multi_label, the sigmoid, or
    ``(n,)`` for mean_squared_error.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        Sizes, comparators, activation, dropout and the output layer's kind.
    """

    def __init__(self, hyperparameters: Hyperparameters) -> None:
        super().__init__(prefix="")
        self._hyperparameters = hyperparameters
        self._layers: list[tuple[Parameter, Parameter]] = []
        columns = compared_width(hyperparameters)
        for layer in range(hyperparameters.mlp_layers):
            self._add_layer(f"mlp_fc{layer}", columns, hyperparameters.mlp_dim)
            columns = hyperparameters.mlp_dim
        self._add_layer("output_layer", columns, hyperparameters.classes or 1)

    def _add_layer(self, name: str, columns: int, outputs: int) -> None:
        weight = self.params.get(f"{name}_weight", shape=(outputs, columns), init=mx.init.Xavier())
        bias = self.params.get(f"{name}_bias", shape=(outputs,), init="zeros", wd_mult=0.0)
        setattr(self, f"{name}_weight", weight)
        setattr(self, f"{name}_bias", bias)
        self._layers.append((weight, bias))

    def start_from(self, output: np.ndarray, spread: float) -> None:
        """See `Object2VecNetwork.start_from`.

        With hadamard alone nothing is done: the products of small vectors have almost no gradient,
        and it is learning the mean that makes the vectors grow (else weight decay shrinks them to
        zero).
        """
        if self._hyperparameters.comparator_list != ("hadamard",):
            self.output_layer_bias.set_data(mx.nd.array(output))

    def layers(self, context: Context) -> list[tuple[NDArray, NDArray]]:
        """Weight and bias of each layer on a device, the output layer's last."""
        return [(weight.data(context), bias.data(context)) for weight, bias in self._layers]

    def hybrid_forward(
        self, F: Any, vector0: Tensor, vector1: Tensor, **parameters: Tensor
    ) -> Tensor:
        """Score; see the class."""
        settings = self._hyperparameters
        compared = []
        for name in settings.comparator_list:
            if name == "hadamard":
                compared.append(vector0 * vector1)
            elif name == "concat":
                compared += [vector0, vector1]
            else:
                compared.append(F.abs(vector0 - vector1))
        x = side_by_side(F, compared, [settings.enc_dim] * len(compared))
        for layer in range(settings.mlp_layers):
            x = self._dense(F, x, f"mlp_fc{layer}", settings.mlp_dim, parameters)
            if settings.mlp_activation != "linear":
                x = F.Activation(x, act_type=settings.mlp_activation)
                x = dropout(F, x, settings.dropout)
        if settings.is_regression:
            return F.reshape(self._dense(F, x, "output_layer", 1, parameters), shape=(-1,))
        return self._dense(F, x, "output_layer", settings.num_classes, parameters)

    @staticmethod
    def _dense(
        F: Any, x: Tensor, name: str, outputs: int, parameters: Mapping[str, Tensor]
    ) -> Tensor:
        weight, bias = parameters[f"{name}_weight"], parameters[f"{name}_bias"]
        return F.FullyConnected(x, weight, bias, num_hidden=outputs, flatten=False)


def build_scorer(hyperparameters: Hyperparameters) -> Union[Scorer, Similarity]:
    """Build what the hyperparameters' scorer and output layer name."""
    return (Similarity if hyperparameters.is_similarity else Scorer)(hyperparameters)
