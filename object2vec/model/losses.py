# SPDX-License-Identifier: Apache-2.0
"""The loss that training minimizes, and the sums that it reports for the same pairs."""

from __future__ import annotations

import math
from typing import Any, Optional, Union

from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Block, Context, Tensor
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.model.encoders import side_by_side
from object2vec.model.similarity import log_scale, members_outputs, scale_of, unit

_NEVER = 1e9  # is subtracted from logits whose probability is to be 0


class Loss(mx.gluon.HybridBlock):
    """Two embeddings and the labels to the sum to minimize and the sums to report.

    The first output, ``(1,)``, is the sum over the pairs of the cross-entropy, or of half the
    squared error: its gradients at the output are softmax - onehot and prediction - label, those of
    MXNet's SoftmaxOutput and LinearRegressionOutput. For multi_label it is the sum of the pairs'
    mean binary cross-entropies over the classes. The second, ``(2,)``, holds the sums over the
    pairs of cross-entropy and of right answers, or of squared and of absolute error; for
    multi_label, ``(3,)``, of the cross-entropy, and the two of which the quotient is micro-F1:
    twice the classes that are predicted right, and the classes that are predicted and those that
    are labels. In each sum a pair counts by its weight, where weights ``(n,)`` are given; in the
    cross-entropies a label counts by the weight of its class, where there are class_weights. Of an
    ensemble the first output adds up what each member would minimize alone, and the second judges
    the mean that they score.

    Parameters
    ----------
    scorer : mxnet.gluon.HybridBlock
        What gives the raw output.
    hyperparameters : Hyperparameters
        Output layer and class_weights.
    """

    def __init__(self, scorer: Block, hyperparameters: Hyperparameters) -> None:
        super().__init__(prefix="")
        self._settings = hyperparameters
        self.scorer = scorer

    def hybrid_forward(
        self,
        F: Any,
        vector0: Tensor,
        vector1: Tensor,
        labels: Tensor,
        weights: Optional[Tensor] = None,
    ) -> tuple[Tensor, Tensor]:
        """Compute both sums; see the class."""
        output, size = self.scorer(vector0, vector1), self._settings.ensemble_size
        objective, reported = self._judge(F, output, labels, weights)
        if size > 1:
            # a row for each member of each pair, which learns as if it were alone
            members = members_outputs(F, output, vector0, vector1, self._settings)
            labels = F.repeat(labels, repeats=size, axis=0)
            weights = None if weights is None else F.repeat(weights, repeats=size)
            objective, _ = self._judge(F, members, labels, weights)
        return _sums(F, objective, reported)

    def _judge(
        self, F: Any, output: Tensor, labels: Tensor, weights: Optional[Tensor]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        if self._settings.is_multi_label:
            # binary cross-entropy of the sigmoid, without its overflow: ln(1 + e^x) - x y
            entropies = F.Activation(output, act_type="softrelu") - output * labels
            if self._settings.class_weights is not None:
                entropies = entropies * (1 - labels + self._weighted(F, labels))
            objective = _sum(F, F.mean(entropies, axis=1), weights)
            predicted = output > 0
            right = _sum(F, F.sum(predicted * labels, axis=1), weights)
            either = _sum(F, F.sum(predicted + labels, axis=1), weights)
            return objective, (F.relu(objective), 2 * right, either)
        if self._settings.is_regression:
            difference = output - labels
            squares = _sum(F, F.square(difference), weights)
            return 0.5 * squares, (squares, _sum(F, F.abs(difference), weights))
        entropies = -F.pick(F.log_softmax(output, axis=1), labels, axis=1)
        if self._settings.class_weights is not None:
            classes = F.one_hot(labels, depth=self._settings.num_classes)
            entropies = entropies * F.sum(self._weighted(F, classes), axis=1)
        # rounding makes the logarithm of a probability of 1 a little positive
        right = F.argmax(output, axis=1) == labels
        reported = _sum(F, F.relu(entropies), weights), _sum(F, right, weights)
        return _sum(F, entropies, weights), reported

    def _weighted(self, F: Any, classes: Tensor) -> Tensor:
        """Zeros and ones ``(n, num_classes)``, each one replaced by its class's weight."""
        factors = self._settings.class_weights
        columns = [
            factor * F.slice_axis(classes, axis=1, begin=place, end=place + 1)
            for place, factor in enumerate(factors or ())
        ]
        return side_by_side(F, columns, [1] * len(columns))


class InBatchLoss(mx.gluon.HybridBlock):
    """Two embeddings, of n pairs, to the sum to minimize and the sums to report.

    A pair's in1 is to be found by its in0 among the in1 of all pairs, and its in0 by its in1: what
    is minimized is the mean of both cross-entropies (InfoNCE, van den Oord et al. 2018, arXiv
    1807.03748; in both directions as in CLIP, Radford et al. 2021, arXiv 2103.00020). The logits
    are the similarities divided by the temperature. Left out are the answers of other pairs that
    have the same in0 or the same in1, for they are right as well. From each logit
    popularity_correction times the logarithm of the answer's share of the training pairs is
    subtracted (logQ correction, Yi et al. 2019, doi 10.1145/3298689.3346996). On several devices
    each has the pairs of its part of a batch.

    The first output, ``(1,)``, is the sum over the pairs; the second, ``(2,)``, holds that sum and
    the number of pairs whose in1 is found first. Of an ensemble the first output adds up what each
    member would minimize alone, and the second judges the mean that they score.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        Scorer, temperature, correction.
    """

    def __init__(self, hyperparameters: Hyperparameters) -> None:
        super().__init__(prefix="")
        self._settings = hyperparameters
        assert hyperparameters.temperature is not None
        self._scale = 1 / hyperparameters.temperature
        if hyperparameters.learn_temperature:
            self.log_scale = log_scale(self.params, math.log(self._scale))

    def scale(self, context: Context) -> float:
        """What similarities are multiplied by: 1 / temperature, as it is at the time.

        The similarities of an ensemble's members are added up, and so divided by their number.
        """
        scale = self._scale
        if self._settings.learn_temperature:
            scale = scale_of(float(self.log_scale.data(context).asscalar()))
        return scale / self._settings.ensemble_size

    def hybrid_forward(
        self,
        F: Any,
        vector0: Tensor,
        vector1: Tensor,
        objects: Tensor,
        *more: Tensor,
        **parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Compute both sums; see the class.

        ``objects`` and, with popularity_correction, the first of ``more`` are what
        `in_batch.PairObjects` gives, ``(n, 2)`` each. One more are weights ``(n,)``, by which pairs
        count in each sum.
        """
        more_of_objects = 1 if self._settings.popularity_correction else 0
        log_shares = more[0] if more_of_objects else None
        weights = more[-1] if len(more) > more_of_objects else None
        if self._settings.scorer == "cosine":
            vector0, vector1 = unit(F, vector0), unit(F, vector1)
        if self._settings.learn_temperature:
            vector0 = F.broadcast_mul(vector0, F.exp(parameters["log_scale"]))
        else:
            vector0 = vector0 * self._scale
        excluded = self._excluded(F, objects)
        corrections = None
        if log_shares is not None:
            corrections = F.transpose(self._settings.popularity_correction * log_shares)
        size = self._settings.ensemble_size
        objective, first = self._judge(F, vector0 / size, vector1, excluded, corrections, weights)
        reported = F.relu(objective), first
        if size > 1:
            cut0, cut1 = (
                F.split(vectors, num_outputs=size, axis=1) for vectors in (vector0, vector1)
            )
            objectives = [
                self._judge(F, part0, part1, excluded, corrections, weights)[0]
                for part0, part1 in zip(cut0, cut1)
            ]
            objective = F.add_n(*objectives)
        return _sums(F, objective, reported)

    def _judge(
        self,
        F: Any,
        vector0: Tensor,
        vector1: Tensor,
        excluded: Tensor,
        corrections: Optional[Tensor],
        weights: Optional[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """The sum to minimize, and of the pairs whose in1 is found first."""
        # (n, n): a row for each in0, a column for each in1
        logits = F.dot(vector0, vector1, transpose_b=True)
        logits = F.broadcast_sub(logits, excluded)
        # (n, n) each: a row for each pair that asks, a column for each that may be the answer
        found = [logits, F.transpose(logits)]
        if corrections is not None:
            found = [
                F.broadcast_sub(each, F.slice_axis(corrections, axis=0, begin=side, end=side + 1))
                for side, each in zip((1, 0), found)
            ]
        places = F.contrib.arange_like(vector0, axis=0)
        entropies = [-F.pick(F.log_softmax(logits, axis=1), places, axis=1) for logits in found]
        first = _sum(F, F.argmax(found[0], axis=1) == places, weights)
        return 0.5 * _sum(F, entropies[0] + entropies[1], weights), first

    @staticmethod
    def _excluded(F: Any, objects: Tensor) -> Tensor:
        """What takes the answers that do not count out of a softmax, ``(n, n)``."""
        same = []
        for side in (0, 1):
            column = F.slice_axis(objects, axis=1, begin=side, end=side + 1)
            same.append(F.broadcast_equal(column, F.transpose(column)))
        places = F.expand_dims(F.contrib.arange_like(objects, axis=0), axis=1)
        others = F.broadcast_not_equal(places, F.transpose(places))
        return _NEVER * others * F.broadcast_maximum(*same)


def build_loss(hyperparameters: Hyperparameters, scorer: Block) -> Union[Loss, InBatchLoss]:
    """Build the loss of the hyperparameters' output layer."""
    if hyperparameters.is_contrastive:
        return InBatchLoss(hyperparameters)
    return Loss(scorer, hyperparameters)


def _sum(F: Any, values: Tensor, weights: Optional[Tensor]) -> Tensor:
    return F.sum(values if weights is None else values * weights)


def _sums(F: Any, objective: Tensor, reported: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    sums = [F.reshape(F.BlockGrad(value), shape=(1,)) for value in reported]
    return F.reshape(objective, shape=(1,)), F.concat(*sums, dim=0)
