# SPDX-License-Identifier: Apache-2.0
"""What a network costs to compute, in floating point operations, told by its hyperparameters."""

from __future__ import annotations

import math

from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.model.parameter_shapes import encoder_prefixes, parameter_shapes

# Reading an element of a table takes as long as this many operations.
_OF_A_READ = 20.0


class Costs:
    """The operations of a network; counted once, for each request asks for them.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        Of the network.
    """

    def __init__(self, hyperparameters: Hyperparameters) -> None:
        sizes = {
            name: math.prod(shape) for name, shape in parameter_shapes(hyperparameters).items()
        }
        self._of_encoders = [_sum(sizes, prefix) for prefix in encoder_prefixes(hyperparameters)]
        self._of_scorer = _sum(sizes, "mlp_") + _sum(sizes, "output_layer_")
        if hyperparameters.is_similarity:
            self._of_scorer += hyperparameters.enc_dim
        self._is_contrastive = hyperparameters.is_contrastive
        encoders = hyperparameters.encoders
        self._widths = [encoder.token_embedding_dim for encoder in encoders]
        self._has_sequences = any(encoder.network != "pooled_embedding" for encoder in encoders)

    def of_step(self, pairs: int) -> float:
        """Those of a training step, infinite where an encoder reads the tokens in their order."""
        # in-batch softmax compares all with all, in both directions
        compared = 2.0 * pairs if self._is_contrastive else 1.0
        return math.inf if self._has_sequences else 3 * compared * self.of_scoring(pairs)

    def of_scoring(self, pairs: int) -> float:
        """Those of scoring embedded pairs."""
        return 2.0 * pairs * self._of_scorer

    def of_encoding(self, side: int, tokens: int) -> float:
        """Those of embedding lists of so many tokens together."""
        # each token meets each weight of a convolution or an LSTM once
        return tokens * (2.0 * self._of_encoders[side] + _OF_A_READ * self._widths[side])


def _sum(sizes: dict[str, int], prefix: str) -> int:
    return sum(size for name, size in sizes.items() if name.startswith(prefix))
