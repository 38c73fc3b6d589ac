# SPDX-License-Identifier: Apache-2.0
"""The loss that training minimizes, and the sums that it reports for the same pairs."""

from __future__ import annotations

from typing import Any

from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Tensor
from object2vec.model.scorer import Scorer


class Loss(mx.gluon.HybridBlock):
    """Two embeddings and the labels to the sum to minimize and the sums to report.

    The first output, ``(1,)``, is the sum over the pairs of the cross-entropy, or of half the
    squared error: its gradients at the output are softmax - onehot and prediction - label, those of
    MXNet's SoftmaxOutput and LinearRegressionOutput. The second, ``(2,)``, holds the sums over the
    pairs of cross-entropy and of right answers, or of squared and of absolute error.

    Parameters
    ----------
    scorer : Scorer
        What gives the raw output.
    is_regression : bool
        Whether the output layer is mean_squared_error.
    """

    def __init__(self, scorer: Scorer, is_regression: bool) -> None:
        super().__init__(prefix="")
        self._is_regression = is_regression
        self.scorer = scorer

    def hybrid_forward(
        self, F: Any, vector0: Tensor, vector1: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute both sums; see the class."""
        output = self.scorer(vector0, vector1)
        if self._is_regression:
            difference = output - labels
            squares = F.sum(F.square(difference))
            reported = (squares, F.sum(F.abs(difference)))
            objective = 0.5 * squares
        else:
            entropies = -F.pick(F.log_softmax(output, axis=1), labels, axis=1)
            objective = F.sum(entropies)
            # rounding makes the logarithm of a probability of 1 a little positive
            reported = (F.sum(F.relu(entropies)), F.sum(F.argmax(output, axis=1) == labels))
        sums = [F.reshape(F.BlockGrad(value), shape=(1,)) for value in reported]
        return F.reshape(objective, shape=(1,)), F.concat(*sums, dim=0)
