# SPDX-License-Identifier: Apache-2.0
"""A loaded model: scores of pairs and embeddings of objects, in batches that fit into memory."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Optional, Union

import numpy as np

from object2vec.backend.engine import answering, check_devices, one_at_a_time
from object2vec.backend.kvstore import count_gpus
from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Context
from object2vec.data.arrays import PairDataset, Rows, TokenLists
from object2vec.data.chunks import compute_in_chunks, length_sorted_chunks
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.inference.choose_inference import choose_inference
from object2vec.inference.every_pair import (
    BestSoFar,
    EveryPair,
    EverySimilarity,
    Top,
    blocks_of,
    every_pair,
    probabilities,
)
from object2vec.inference.similarities import retrieval_sums
from object2vec.inference.sound_answers import finite
from object2vec.logs import LOGGER_NAME
from object2vec.model import model_directory
from object2vec.model.costs import Costs
from object2vec.model.network import Object2VecNetwork
from object2vec.model.stored_index import StoredIndex
from object2vec.raw_values.inputs import Inputs

_logger = logging.getLogger(LOGGER_NAME)

# Attributes that a pickle does not hold: its files stand for them.
_OWN = (
    *("network", "vocabularies", "metrics", "complete", "inputs", "indexes", "way"),
    *("is_fallback", "kept"),
    *("_context", "_inference", "_costs"),
)


class Predictor:
    """Computes scores and embeddings with one copy of a network.

    Several threads may call it; they are answered one after the other.

    Parameters
    ----------
    network : Object2VecNetwork
        Initialized on ``context``.
    context : mxnet.Context, optional
        The device; the CPU by default.
    vocabularies : tuple, optional
        The gluonnlp vocabularies of in0 and in1, None where none was given.
    metrics : dict, optional
        What training reported of the model.
    complete : bool
        False for a model saved before its first epoch ended.
    inputs : Inputs, optional
        Which raw value has which id; None for a model of ids alone.
    indexes : mapping of str to StoredIndex, optional
        By side, the objects among which the nearest are looked for.

    Attributes
    ----------
    way : str
        A sentence that says how it computes, and why.
    is_fallback : bool
        Whether operators answer because the compiled part cannot be used, so that it is slower than
        need be.
    kept : dict
        What others keep with it, as long as it is in memory.

    Notes
    -----
    It can be pickled and deep-copied, also while other threads ask it. A pickle holds the files of
    its model directory and is read back as strictly as a directory is.
    """

    def __init__(
        self,
        network: Object2VecNetwork,
        context: Optional[Context] = None,
        vocabularies: tuple[Any, Any] = (None, None),
        metrics: Optional[dict[str, Any]] = None,
        complete: bool = True,
        inputs: Optional[Inputs] = None,
        indexes: Optional[Mapping[str, StoredIndex]] = None,
    ) -> None:
        self.network = network
        self.vocabularies = vocabularies
        self.metrics = metrics or {}
        self.complete = complete
        self.inputs = inputs
        self.indexes = dict(indexes or {})
        self.kept: dict[Any, Any] = {}
        self._context = context or mx.cpu(0)
        self._inference, self.way, self.is_fallback = choose_inference(network, self._context)
        self._costs = Costs(network.hyperparameters)

    @classmethod
    def load(
        cls,
        model_dir: Union[str, os.PathLike[str]],
        context: Optional[Context] = None,
        expected_digest: Optional[str] = None,
    ) -> Predictor:
        """Load a model directory.

        Parameters
        ----------
        model_dir : path
            A model directory, or a ``model.tar.gz`` of one.
        context : mxnet.Context, optional
            The device; the CPU by default.
        expected_digest : str, optional
            The digest, from `manifest.read_manifest`, of the model that it has to be.

        Raises
        ------
        CustomerError
            If there is no model, a damaged one, one of an unknown format, or another one than the
            expected.
        PlatformError
            If an archive cannot be unpacked for lack of room.
        """
        context = context or mx.cpu(0)
        predictor = cls.__new__(cls)
        predictor._take(model_directory.load_model(model_dir, context, expected_digest), context)
        return predictor

    @classmethod
    def unpacked(cls, files: Mapping[str, bytes], device: tuple[str, int]) -> Predictor:
        """Make a Predictor of what a pickle holds; pickles name this method.

        Parameters
        ----------
        files : mapping of str to bytes
            From `model_directory.pack_model`.
        device : tuple of str and int
            Type and number of the device that the model was on. A model of a GPU comes to the GPU
            of this number, or to another one, and to the CPU where there is none.

        Raises
        ------
        CustomerError
            If the files are no sound model.
        """
        device_type, number = device
        gpus = count_gpus() if device_type == "gpu" else 0
        context = mx.gpu(number % gpus) if gpus else mx.cpu(0)
        predictor = cls.__new__(cls)
        predictor._take(model_directory.unpack_model(files, context), context)
        return predictor

    def __reduce__(self) -> tuple[Any, ...]:
        files = model_directory.pack_model(
            self.network,
            metrics=self.metrics,
            vocabularies=self.vocabularies,
            complete=self.complete,
            inputs=self.inputs,
            indexes=self.indexes,
        )
        device = self._context.device_type, self._context.device_id
        others = {name: value for name, value in vars(self).items() if name not in _OWN}
        return type(self).unpacked, (files, device), others or None

    def _take(self, loaded: model_directory.LoadedModel, context: Context) -> None:
        loaded.network.hybridize()
        Predictor.__init__(
            self, loaded.network, context, loaded.vocabularies, loaded.metrics, loaded.complete,
            loaded.inputs, loaded.indexes,
        )  # fmt: skip

    @property
    def hyperparameters(self) -> Hyperparameters:
        """What the model was trained with."""
        return self.network.hyperparameters

    def warn_of_fallback(self) -> None:
        """Log a warning if this is slower than it need be, and why."""
        if self.is_fallback:
            _logger.warning("%s", self.way)

    def embeddings(
        self, side: int, lists: TokenLists, max_seq_len: Optional[int] = None
    ) -> np.ndarray:
        """Embed objects.

        Parameters
        ----------
        side : int
            0 for in0's encoder, 1 for in1's.
        lists : TokenLists
            ``n`` lists of ids below the encoder's vocab_size.
        max_seq_len : int, optional
            Longer lists are cut to this length; the encoder's own max_seq_len by default.

        Returns
        -------
        numpy.ndarray
            float32, shape ``(n, enc_dim)``.

        Raises
        ------
        UnsoundModelError
            A value is no finite number.
        """
        lists = self._cut(side, lists, max_seq_len)
        return finite(self._embed(side, lists), f"embeddings of in{side}")

    def _embed(self, side: int, lists: TokenLists) -> np.ndarray:
        def embed(rows: Rows) -> np.ndarray:
            part = lists.take(rows)
            with self._answering({side: part}):
                return self._inference.embed(side, part)

        chunks = length_sorted_chunks(lists.lengths, *self._elements(side))
        shape = (len(lists), self.hyperparameters.enc_dim)
        return compute_in_chunks(chunks, shape, embed)

    def scores(
        self,
        in0: TokenLists,
        in1: TokenLists,
        max_seq_lens: Optional[tuple[int, int]] = None,
    ) -> np.ndarray:
        """Score pairs.

        Parameters
        ----------
        in0, in1 : TokenLists
            ``n`` lists each, of ids below the encoders' vocab_size.
        max_seq_lens : tuple of int, optional
            Longer lists are cut to these lengths; the encoders' own max_seq_len by default.

        Returns
        -------
        numpy.ndarray
            float32; probabilities ``(n, num_classes)`` for softmax and multi_label, whose own have
            not the sum 1, numbers ``(n,)`` for mean_squared_error, dot products or cosines ``(n,)``
            for in_batch_softmax.

        Raises
        ------
        UnsoundModelError
            A value is no finite number.
        """
        limits = max_seq_lens or (None, None)
        in0, in1 = self._cut(0, in0, limits[0]), self._cut(1, in1, limits[1])
        values = compute_in_chunks(
            self._pair_chunks(in0, in1),
            (len(in0), *self.hyperparameters.score_shape),
            lambda rows: self._score(in0.take(rows), in1.take(rows)),
        )
        return finite(values, "scores")

    def candidate_scores(
        self,
        in0: TokenLists,
        candidates: TokenLists,
        classes: Optional[tuple[int, ...]] = None,
        *,
        as_log_odds: bool = False,
    ) -> np.ndarray:
        """Score each object of in0 with every candidate of in1, each object being encoded once.

        Parameters
        ----------
        in0, candidates : TokenLists
            ``n`` and ``m`` lists of ids below the encoders' vocab_size; longer ones than their
            max_seq_len are cut.
        classes : tuple of int, optional
            The classes, not all, whose probability together is the score; needed but for
            mean_squared_error.
        as_log_odds : bool
            Give the logarithms of odds in the place of probabilities: their order is the same, and
            they tell apart what is near 1.

        Returns
        -------
        numpy.ndarray
            float32, shape ``(n, m)``.

        Raises
        ------
        UnsoundModelError
            A value is no finite number.
        """
        values = np.empty((len(in0), len(candidates)), np.float32)
        for rows, columns, part in self._every_pair(in0, candidates, classes):
            values[rows, columns] = part
        return values if as_log_odds or classes is None else probabilities(values)

    def best_candidates(
        self,
        in0: TokenLists,
        candidates: TokenLists,
        k: int,
        classes: Optional[tuple[int, ...]] = None,
    ) -> Top:
        """Find the candidates with the highest scores for each object of in0.

        Parameters
        ----------
        in0, candidates, classes
            See `candidate_scores`, which also says what is raised.
        k : int
            How many of each, at least 1; all where there are fewer.

        Returns
        -------
        Top
            Of all scores, a block is held at a time.
        """
        best = BestSoFar(len(in0), min(k, len(candidates)))
        for rows, columns, part in self._every_pair(in0, candidates, classes):
            best.add(rows, columns.start, part)
        top = best.top()
        return top if classes is None else Top(top.indices, probabilities(top.scores))

    def every_pair(
        self, classes: Optional[tuple[int, ...]] = None
    ) -> Union[EveryPair, EverySimilarity]:
        """What scores every pair of embeddings; see `every_pair.every_pair`."""
        with one_at_a_time:
            return every_pair(self.network, self._context, classes)

    def _every_pair(
        self, in0: TokenLists, candidates: TokenLists, classes: Optional[tuple[int, ...]]
    ) -> Iterator[tuple[slice, slice, np.ndarray]]:
        """Rows, columns and scores of blocks of all pairs, the candidates in their order."""
        vectors = self.embeddings(0, in0)
        pairs = self.every_pair(classes)
        for columns in blocks_of(len(candidates), self.hyperparameters.enc_dim):
            others = self.embeddings(1, candidates.take(columns))
            for rows in blocks_of(len(in0), pairs.outputs * len(others)):
                part = pairs.scores(vectors[rows], others)
                yield rows, columns, finite(part, "rows of scores")

    def loss_sums(
        self,
        pairs: PairDataset,
        scored: Callable[[int], Any] = lambda count: None,
        outputs: Optional[np.ndarray] = None,
    ) -> np.ndarray:
        """Sum up what `losses.Loss` reports over all pairs, by their weights if these have any.

        The weights are divided by their mean, so that a sum is n times a weighted mean.

        Parameters
        ----------
        pairs : PairDataset
            Labelled pairs; lists that are longer than max_seq_len are cut to it.
        scored : callable
            Called with the number of pairs of each batch.
        outputs : numpy.ndarray, optional
            float32, shape ``(n, num_classes)`` or ``(n,)``: receives the raw outputs.

        Returns
        -------
        numpy.ndarray
            float64, shape ``(2,)``: cross-entropy and right answers, or squared and absolute error;
            for multi_label ``(3,)``.
        """
        in0, in1 = self._cut(0, pairs.in0, None), self._cut(1, pairs.in1, None)
        if self.hyperparameters.is_contrastive:
            with np.errstate(invalid="ignore"):
                cut = PairDataset(in0, in1, pairs.labels, weights=pairs.weights)
                return self._retrieval_sums(cut, scored)
        sums: Any = 0.0
        weights = pairs.relative_weights
        for rows in self._pair_chunks(in0, in1):
            found = self._score(in0.take(rows), in1.take(rows), as_logits=True)
            if outputs is not None:
                outputs[rows] = found
            with np.errstate(invalid="ignore"):  # the caller reports a loss of NaN
                own = None if weights is None else weights[rows]
                sums += self._sums(found.astype(np.float64), pairs.labels[rows], own)
            scored(len(found))
        return sums

    def _retrieval_sums(self, pairs: PairDataset, scored: Callable[[int], Any]) -> np.ndarray:
        with one_at_a_time:
            scale = self.network.loss.scale(self._context)
        return retrieval_sums(pairs, self.hyperparameters, scale, self._embed, scored)

    def _score(self, in0: TokenLists, in1: TokenLists, *, as_logits: bool = False) -> np.ndarray:
        with self._answering({0: in0, 1: in1}):
            return self._inference.score(in0, in1, as_logits=as_logits)

    def _sums(
        self, outputs: np.ndarray, labels: np.ndarray, weights: Optional[np.ndarray] = None
    ) -> np.ndarray:
        if self.hyperparameters.is_regression:
            differences = outputs - labels
            values = np.stack([np.square(differences), np.abs(differences)])
        elif self.hyperparameters.is_multi_label:
            entropies = np.logaddexp(0, outputs) - outputs * labels
            entropies *= self._class_weights(labels)
            predicted = outputs > 0
            right = 2 * (predicted * labels).sum(axis=1)
            values = np.stack([entropies.mean(axis=1), right, (predicted + labels).sum(axis=1)])
        else:
            classes = labels.astype(np.int64)
            outputs -= outputs.max(axis=1, keepdims=True)
            of_labels = np.take_along_axis(outputs, classes[:, None], axis=1)[:, 0]
            entropies = np.log(np.exp(outputs).sum(axis=1)) - of_labels
            entropies *= self._class_weights(classes)
            values = np.stack([entropies, outputs.argmax(axis=1) == classes])
        return values.sum(axis=1) if weights is None else values @ weights.astype(np.float64)

    def _class_weights(self, labels: np.ndarray) -> Any:
        """What cross-entropies are multiplied by, of the shape of the labels, or 1."""
        given = self.hyperparameters.class_weights
        if given is None:
            return 1.0
        factors = np.array(given, np.float64)
        return np.where(labels > 0, factors, 1.0) if labels.ndim == 2 else factors[labels]

    def _answering(self, sides: dict[int, TokenLists]) -> contextlib.AbstractContextManager[None]:
        check_devices([self._context])
        costs = self._costs
        operations = sum(costs.of_encoding(side, x.tokens.size) for side, x in sides.items())
        if len(sides) == 2:
            operations += costs.of_scoring(len(sides[0]))
        return answering(operations)

    def _cut(self, side: int, lists: TokenLists, limit: Optional[int]) -> TokenLists:
        return lists.truncate(limit or self.hyperparameters.encoders[side].max_seq_len)

    def _pair_chunks(self, in0: TokenLists, in1: TokenLists) -> Iterator[Rows]:
        elements = [sum(values) for values in zip(self._elements(0), self._elements(1))]
        return length_sorted_chunks(np.maximum(in0.lengths, in1.lengths), elements[0], elements[1])

    def _elements(self, side: int) -> tuple[int, int]:
        settings = self.hyperparameters
        return self._inference.elements_per_token(side), 4 * settings.enc_dim + settings.mlp_dim
