# SPDX-License-Identifier: Apache-2.0
"""The Python API: one object to fit, ask, evaluate, save and load."""

from __future__ import annotations

import inspect
import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np

from object2vec.backend.device_names import Device, contexts_of
from object2vec.data.arrays import TokenLists
from object2vec.data.dataset import read_pairs, token_lists, unlabelled_pairs
from object2vec.data.record_checks import INPUTS
from object2vec.errors import CustomerError
from object2vec.estimator_history import Trained
from object2vec.estimator_options import FitOptions, RandomState
from object2vec.estimator_parameters import Parameterized
from object2vec.estimator_pipeline import PipelineStep, are_labels, with_labels
from object2vec.evaluation.metrics import MetricAccumulator
from object2vec.files import check_model_folder
from object2vec.logs import LOGGER_NAME
from object2vec.training.memory_estimate import estimate_memory
from object2vec.training.training_log import JobStart

if TYPE_CHECKING:
    import pandas

    from object2vec.inference.predictor import Predictor
    from object2vec.training.callbacks import Callback

    Records = Union[Iterable[Mapping[str, Any]], pandas.DataFrame]
    PathLike = Union[str, os.PathLike[str]]
    Data = Union[PathLike, Records]

_logger = logging.getLogger(LOGGER_NAME)


class Object2Vec(PipelineStep, Trained, Parameterized):
    """Learns embeddings of pairs of objects, each a list of token ids, from a label of the pair.

    The hyperparameters of the training job are parameters here, under the same names, but for those
    that begin with ``_``: of them there is only ``_seed``, which is `seed` here. What the table in
    the README says of them holds.

    Parameters
    ----------
    enc0_max_seq_len, enc1_max_seq_len : int
        Longest list in tokens, longer ones are cut; enc1: default enc0's.
    enc0_vocab_size, enc1_vocab_size : int
        Ids run from 0 to vocab_size - 1; enc1: default enc0's.
    enc0_network, enc1_network : str
        ``hcnn``, ``bilstm`` or ``pooled_embedding``; enc1 also ``enc0``, which replaces every
        enc1 value by enc0's.
    enc0_layers, enc1_layers : int or "auto"
    enc0_cnn_filter_width, enc1_cnn_filter_width : int
    enc0_token_embedding_dim, enc1_token_embedding_dim : int
    enc0_pretrained_embedding_file, enc1_pretrained_embedding_file : str
        File in the folder that `fit` takes as `auxiliary`.
    enc0_freeze_pretrained_embedding, enc1_freeze_pretrained_embedding : bool
    enc0_vocab_file, enc1_vocab_file : str
        File in the folder that `fit` takes as `auxiliary`.
    enc_dim : int
        Width of an embedding.
    comparator_list : str or sequence of str
        Some of ``hadamard``, ``concat``, ``abs_diff``, in their order.
    mlp_layers, mlp_dim : int
    mlp_activation : str
        ``tanh``, ``relu`` or ``linear``.
    output_layer : str
        ``softmax`` for classes, ``mean_squared_error`` for numbers.
    num_classes : int
    dropout : float
    tied_token_embedding_weight : bool
    token_embedding_storage_type : str
        ``dense`` or ``row_sparse``.
    optimizer : str
        ``adadelta``, ``adagrad``, ``adam``, ``sgd`` or ``rmsprop``.
    learning_rate, weight_decay : float
    mini_batch_size, epochs : int
    early_stopping_patience : int
    early_stopping_tolerance : float
    bucket_width : int
    negative_sampling_rate : int
    seed : int, optional
        Makes a run on the CPU repeatable; drawn for each `fit` by default.
    random_state : int, numpy.random.RandomState or numpy.random.Generator, optional
        scikit-learn's name of the seed; a generator gives each `fit` one.
    device : str or sequence of str, optional
        Where `fit` computes: ``cpu``, ``gpu`` (the first one), ``gpu:1``, or a list of several of a
        kind, which share each batch; the model then answers from the first. Default: all GPUs that
        there are, else the CPU.
    verbose : int, optional
        1: `fit` prints what it trains, a line an epoch and why it ended to standard output, and
        shows a progress bar where someone watches, in a terminal or a notebook. 0: neither.
        Default: the bar alone. Python's logger ``object2vec`` gets the log in any case.
    transform_side : str
        ``in0`` or ``in1``: what `transform` embeds.

    Attributes
    ----------
    history : list of dict
        The metrics of each epoch, in order; empty before `fit`. Its ``to_pandas()`` is a table.
    refit_history : list of dict
        The same of the second training of ``fit(…, refit=True)``; else empty.

    Raises
    ------
    CustomerError
        Says of each wrong value what would be right.

    Notes
    -----
    An Object2Vec, fitted or not, can be pickled, copied and cloned by scikit-learn. A fitted one is
    pickled as the files of its model directory, which are read back as strictly as a directory is.

    Examples
    --------
    >>> from object2vec import Object2Vec
    >>> model = Object2Vec(enc0_max_seq_len=1, enc0_vocab_size=4, enc0_network="pooled_embedding",
    ...                    enc_dim=8, epochs=1, seed=1)
    >>> pairs = [{"in0": [1], "in1": [2], "label": 1}, {"in0": [1], "in1": [3], "label": 0}]
    >>> model.fit(pairs).predict(pairs).shape
    (2, 2)
    >>> model.embed(in0=[[1], [2], [3]]).shape
    (3, 8)
    """

    def __init__(
        self,
        *,
        enc0_max_seq_len: int,
        enc0_vocab_size: int,
        enc0_network: str = "hcnn",
        enc0_layers: Union[int, str] = "auto",
        enc0_cnn_filter_width: int = 3,
        enc0_token_embedding_dim: int = 300,
        enc0_pretrained_embedding_file: str = "",
        enc0_freeze_pretrained_embedding: bool = True,
        enc0_vocab_file: str = "",
        enc1_max_seq_len: Optional[int] = None,
        enc1_vocab_size: Optional[int] = None,
        enc1_network: str = "enc0",
        enc1_layers: Union[int, str] = "auto",
        enc1_cnn_filter_width: int = 3,
        enc1_token_embedding_dim: int = 300,
        enc1_pretrained_embedding_file: str = "",
        enc1_freeze_pretrained_embedding: bool = True,
        enc1_vocab_file: str = "",
        enc_dim: int = 4096,
        comparator_list: Union[str, Sequence[str]] = ("hadamard", "concat", "abs_diff"),
        mlp_layers: int = 2,
        mlp_dim: int = 512,
        mlp_activation: str = "linear",
        output_layer: str = "softmax",
        num_classes: int = 2,
        dropout: float = 0.0,
        tied_token_embedding_weight: bool = False,
        token_embedding_storage_type: str = "dense",
        optimizer: str = "adam",
        learning_rate: float = 0.0004,
        weight_decay: float = 0.0,
        mini_batch_size: int = 32,
        epochs: int = 30,
        early_stopping_patience: int = 3,
        early_stopping_tolerance: float = 0.01,
        bucket_width: int = 0,
        negative_sampling_rate: int = 0,
        seed: Optional[int] = None,
        random_state: Optional[RandomState] = None,
        device: Optional[Device] = None,
        verbose: Optional[int] = None,
        transform_side: str = "in0",
    ) -> None:
        values = dict(locals())
        del values["self"]
        self._set(values)

    def _set(self, given: dict[str, Any]) -> None:
        self._take(given)
        self._keep(None, {})

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Every hyperparameter by its public name, resolved and typed, as `fit` takes it."""
        return self._hyperparameters.to_dict()

    def fit(
        self,
        train: Data,
        validation: Optional[Data] = None,
        test: Optional[Data] = None,
        auxiliary: Optional[PathLike] = None,
        *,
        y: Any = None,
        callbacks: Iterable[Callback] = (),
        refit: bool = False,
        verbose: Optional[int] = None,
        progress: Optional[bool] = None,
    ) -> Object2Vec:
        """Train from scratch and keep the best epoch's model.

        A second call starts anew: it goes on from nothing that an earlier one has learnt. After an
        error the earlier model stays.

        Parameters
        ----------
        train, validation, test : path, iterable of mappings, or pandas.DataFrame
            Pairs with ``in0``, ``in1`` and ``label``; a path is a JSON Lines file or a folder of
            them. Validation decides when to stop and which epoch is best.
        auxiliary : path, optional
            Folder of the pretrained vectors and vocabulary files.
        y : sequence, optional
            The labels of `train`, where its pairs (also ``(in0, in1)`` tuples) hold none. As
            scikit-learn does, it may also be given as the second argument.
        callbacks : iterable of Callback
            Told of each epoch; any of them can end the training. The best epoch's model is kept.
        refit : bool
            Once validation has told the best epoch, train anew on train and validation pairs
            together: for as many epochs, with the same seed, without callbacks and early stopping.
            `history`, `best_epoch` and `best_loss` stay those of the first training, which
            validation has judged; `refit_history` is that of the second.
        verbose : int, optional
            For this call in place of the parameter of the same name.
        progress : bool, optional
            Whether to show a progress bar on standard error, in place of what `verbose` says.

        Returns
        -------
        Object2Vec
            Itself.

        Raises
        ------
        CustomerError
            The data do not fit the hyperparameters, the loss is no longer finite, or there is no
            such device.
        PlatformError
            The training cannot fit into the memory.
        """
        begun = time.time()
        for line in self._lines:
            _logger.log(line.level, "%s", line.text)
        if y is None and are_labels(validation):
            y, validation = validation, None
        options = FitOptions(self._given, self._hyperparameters, callbacks, verbose, progress)
        if train is None:
            raise CustomerError(
                "There is nothing to train on: give a file, dicts or a data frame as 'train'."
            )
        if refit:
            options.check_refit(validation)
        hyperparameters = options.hyperparameters
        estimate_memory(options.sized).check()
        start = JobStart(begun, time.time() - begun)
        pairs = read_pairs(train if y is None else with_labels(train, y), hyperparameters, "train")
        others = [
            None if data is None else read_pairs(data, hyperparameters, channel)
            for channel, data in (("validation", validation), ("test", test))
        ]
        vectors = None
        if any(e.pretrained_embedding_file or e.vocab_file for e in hyperparameters.encoders):
            from object2vec.pretrained.auxiliary_channel import read_auxiliary

            vectors = read_auxiliary(auxiliary, hyperparameters)
        known = [pairs, *(data for data in others if data is not None)]
        estimate_memory(options.sized, known).check()
        result = options.train(pairs, *others, auxiliary=vectors, start=start, refit=refit)
        self._keep(result.predictor, result.metrics())
        return self

    def predict(self, pairs: Records) -> np.ndarray:
        """Score pairs.

        Parameters
        ----------
        pairs : iterable of mappings or (in0, in1) tuples, or pandas.DataFrame
            ``in0`` and ``in1`` are lists of token ids; a label is ignored.

        Returns
        -------
        numpy.ndarray
            float32: probabilities ``(n, num_classes)``, or predicted numbers ``(n,)`` for
            mean_squared_error.
        """
        predictor = self._fitted()
        in0, in1 = (
            self._token_lists(values, side) for side, values in enumerate(unlabelled_pairs(pairs))
        )
        return predictor.scores(in0, in1)

    def embed(
        self,
        in0: Optional[Iterable[Sequence[int]]] = None,
        in1: Optional[Iterable[Sequence[int]]] = None,
    ) -> np.ndarray:
        """Embed objects of one side.

        Parameters
        ----------
        in0, in1 : iterable of sequences of int
            Lists of token ids; exactly one of the two is given and chooses the encoder.

        Returns
        -------
        numpy.ndarray
            float32 ``(n, enc_dim)``.
        """
        predictor = self._fitted()
        if (in0 is None) == (in1 is None):
            raise CustomerError("embed takes exactly one of in0 and in1.")
        side = 0 if in0 is not None else 1
        values = in0 if in0 is not None else in1
        return predictor.embeddings(side, self._token_lists(values, side))

    def evaluate(self, pairs: Data) -> dict[str, float]:
        """Score labelled pairs against their labels.

        Parameters
        ----------
        pairs : path, iterable of mappings, or pandas.DataFrame
            As for `fit`.

        Returns
        -------
        dict of str to float
            ``cross_entropy``, ``accuracy`` and ``perplexity``, or ``mean_squared_error`` and
            ``mean_absolute_error``; means over the pairs.
        """
        predictor = self._fitted()
        data = read_pairs(pairs, predictor.hyperparameters, "evaluated")
        accumulator = MetricAccumulator(predictor.hyperparameters.is_regression)
        loss, score = predictor.loss_sums(data)
        accumulator.update(loss, score, len(data))
        return accumulator.values()

    def save(self, folder: PathLike) -> None:
        """Write the model directory, the same that a training job writes.

        Parameters
        ----------
        folder : path
            Made if it is missing; an older model in it is replaced.

        Raises
        ------
        CustomerError
            The folder cannot be written to, a parameter is not finite, or nothing is fitted yet.
        PlatformError
            There is no space left.
        """
        predictor = self._fitted()
        check_model_folder(folder)
        from object2vec.model.model_directory import save_model

        save_model(
            folder,
            predictor.network,
            metrics=self._metrics,
            vocabularies=predictor.vocabularies,
            complete=predictor.complete,
            inputs=predictor.inputs,
        )

    @classmethod
    def load(cls, folder: PathLike, device: Optional[str] = None) -> Object2Vec:
        """Load a model directory that `save` or a training job has written.

        Parameters
        ----------
        folder : path
            The directory, or a ``model.tar.gz`` of it as SageMaker makes them.
        device : str, optional
            Where the model answers, and a later `fit` computes, as for the class; for answers the
            CPU by default.

        Raises
        ------
        CustomerError
            There is no model, or a damaged one, or no such device.
        PlatformError
            An archive cannot be unpacked for lack of room.
        """
        from object2vec.inference.predictor import Predictor

        contexts = contexts_of(device)
        predictor = Predictor.load(folder, contexts[0] if contexts else None)
        predictor.warn_of_fallback()
        model = cls.__new__(cls)
        given = predictor.hyperparameters.to_dict()
        seed = given.pop("_seed", None)
        model._set({**given, "seed": seed, "device": device})
        model._keep(predictor, predictor.metrics)
        return model

    def _fitted(self) -> Predictor:
        if self._predictor is None:
            raise CustomerError("This Object2Vec is not fitted yet: call fit, or load a model.")
        return self._predictor

    def _token_lists(self, values: Any, side: int) -> TokenLists:
        encoder = self._fitted().hyperparameters.encoders[side]
        return token_lists(values, INPUTS[side], encoder.vocab_size, encoder.max_seq_len)


Object2Vec._defaults = {
    name: parameter.default for name, parameter in inspect.signature(Object2Vec).parameters.items()
}
