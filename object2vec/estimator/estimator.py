# SPDX-License-Identifier: Apache-2.0
"""The Python API: one object to fit, ask, evaluate, save and load."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

from object2vec.backend.device_names import Device, contexts_of
from object2vec.errors import CustomerError
from object2vec.estimator.answers import Answering
from object2vec.estimator.exporting import Exporting
from object2vec.estimator.from_table import Tabular
from object2vec.estimator.history import Trained
from object2vec.estimator.nearest import Finding
from object2vec.estimator.options import FitOptions, RandomState
from object2vec.estimator.parameters import Parameterized, noting_given
from object2vec.estimator.pipeline import PipelineStep, are_labels
from object2vec.estimator.reporting import Reporting
from object2vec.estimator.training_data import TableRequest, TrainingData, id_data, table_data
from object2vec.files import check_model_folder
from object2vec.training.memory_estimate import estimate_memory
from object2vec.training.training_log import JobStart

if TYPE_CHECKING:
    from object2vec.estimator.answers import PathLike, Table
    from object2vec.estimator.from_table import KeptBack
    from object2vec.prepare.columns import Columns
    from object2vec.prepare.delimited import Layout
    from object2vec.prepare.splits import Split
    from object2vec.training.callbacks import Callback


class Object2Vec(
    PipelineStep, Trained, Tabular, Answering, Exporting, Finding, Reporting, Parameterized
):
    """Learns embeddings of pairs of objects, each a list of token ids, from a label of the pair.

    The hyperparameters of the training job are parameters here, under the same names, but for those
    that begin with ``_``: of them there is only ``_seed``, which is `seed` here. What they do, with
    range and default, stands in docs/hyperparameters.md.

    Parameters
    ----------
    enc0_max_seq_len, enc1_max_seq_len : int, optional
        Longest list in tokens, longer ones are cut; enc1: default enc0's. Of a table it follows
        from the data, and only ids need it.
    enc0_vocab_size, enc1_vocab_size : int, optional
        Ids run from 0 to vocab_size - 1; enc1: default enc0's. As above of a table.
    enc0_network : str
        ``hcnn``, ``bilstm`` or ``pooled_embedding``.
    enc1_network : str
        The same, or ``enc0``, which replaces every enc1 value by enc0's.
    enc0_layers, enc1_layers : int or "auto"
    enc0_cnn_filter_width, enc1_cnn_filter_width : int
    enc0_token_embedding_dim, enc1_token_embedding_dim : int
    enc0_pretrained_embedding_file, enc1_pretrained_embedding_file : str
        File in the folder that `fit` takes as `auxiliary`.
    enc0_freeze_pretrained_embedding, enc1_freeze_pretrained_embedding : bool
    enc0_vocab_file, enc1_vocab_file : str
        File in the folder that `fit` takes as `auxiliary`.
    enc0_random_crop, enc1_random_crop : bool
        Whether training takes a random part of a longer list instead of its first tokens.
    enc_dim : int
        Width of an embedding.
    scorer : str
        ``mlp`` for comparators and the network behind them, ``dot`` or ``cosine`` for the product
        of the two embeddings or the cosine between them.
    comparator_list : str or sequence of str
        Some of ``hadamard``, ``concat``, ``abs_diff``, in their order.
    mlp_layers : int
    mlp_dim : int
    mlp_activation : str
        ``tanh``, ``relu`` or ``linear``.
    output_layer : str
        ``softmax`` for classes, ``mean_squared_error`` for numbers, ``in_batch_softmax`` for pairs
        without labels, ``multi_label`` for several classes a pair, or none: its label is a list.
    num_classes : int
    class_weights : "balanced" or sequence of float, optional
        How much a label of each class counts in the loss.
    temperature : float, optional
        Of ``in_batch_softmax``; 0.05 for cosine and 1 for dot by default.
    learn_temperature : bool
    popularity_correction : float
    ensemble_size : int
        How many models share the numbers of an embedding; their mean scores, by ``dot``.
    dropout : float
    tied_token_embedding_weight : bool
    tied_encoders : bool
    token_embedding_storage_type : str
        ``dense`` or ``row_sparse``.
    optimizer : str
        ``adadelta``, ``adagrad``, ``adam``, ``sgd``, ``rmsprop`` or ``adamw``.
    learning_rate : float
    weight_decay : float
    token_embedding_weight_decay : float, optional
        Of the token tables; default weight_decay's.
    learning_rate_schedule : str
        ``constant``, ``linear`` or ``cosine``.
    warmup_epochs, clip_gradient : float
    mini_batch_size : int
    epochs : int
    early_stopping_patience : int
    early_stopping_tolerance : float
    early_stopping_metric : str
        What tells the best epoch, and when to stop: ``loss``, or a measure of validation pairs:
        ``cross_entropy``, ``accuracy``, ``auc``, ``macro_f1``, ``hit_rate@10``, ``ndcg@10`` and
        ``mrr`` of classes, ``cross_entropy``, ``micro_f1`` and ``macro_f1`` of multi_label,
        ``mean_squared_error`` and ``mean_absolute_error`` of numbers.
    bucket_width : int
    negative_sampling_rate : int
    negative_sampling_power : float
        Power of how often an object of in1 occurs, in proportion to which it is drawn.
    hard_negative_share : float
        Share of the negatives that are drawn among what the model scores highest; see
        docs/hyperparameters.md.
    pair_weights : bool
        Whether pairs of ids count by what stands under their key ``weight``.
    token_dropout : float
        Probability with which training leaves out a token.
    token_weighting : str
        ``mean``, ``learned`` or ``tfidf``.
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
    best_epoch : int or None
        Whose model was kept, from 0.
    best_loss : float or None
        Its loss, of validation where there was any; the lowest of all epochs' unless
        `early_stopping_metric` is another measure.

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

    @noting_given
    def __init__(
        self,
        *,
        enc0_max_seq_len: Optional[int] = None,
        enc0_vocab_size: Optional[int] = None,
        enc0_network: str = "hcnn",
        enc0_layers: Union[int, str] = "auto",
        enc0_cnn_filter_width: int = 3,
        enc0_token_embedding_dim: int = 300,
        enc0_pretrained_embedding_file: str = "",
        enc0_freeze_pretrained_embedding: bool = True,
        enc0_vocab_file: str = "",
        enc0_random_crop: bool = False,
        enc1_max_seq_len: Optional[int] = None,
        enc1_vocab_size: Optional[int] = None,
        enc1_network: str = "enc0",
        enc1_layers: Union[int, str] = "auto",
        enc1_cnn_filter_width: int = 3,
        enc1_token_embedding_dim: int = 300,
        enc1_pretrained_embedding_file: str = "",
        enc1_freeze_pretrained_embedding: bool = True,
        enc1_vocab_file: str = "",
        enc1_random_crop: bool = False,
        enc_dim: int = 4096,
        scorer: str = "mlp",
        comparator_list: Union[str, Sequence[str]] = ("hadamard", "concat", "abs_diff"),
        mlp_layers: int = 2,
        mlp_dim: int = 512,
        mlp_activation: str = "linear",
        output_layer: str = "softmax",
        num_classes: int = 2,
        class_weights: Union[str, Sequence[float], None] = None,
        temperature: Optional[float] = None,
        learn_temperature: bool = False,
        popularity_correction: float = 0.0,
        ensemble_size: int = 1,
        dropout: float = 0.0,
        tied_token_embedding_weight: bool = False,
        tied_encoders: bool = False,
        token_embedding_storage_type: str = "dense",
        optimizer: str = "adam",
        learning_rate: float = 0.0004,
        weight_decay: float = 0.0,
        token_embedding_weight_decay: Optional[float] = None,
        learning_rate_schedule: str = "constant",
        warmup_epochs: float = 0.0,
        clip_gradient: float = 0.0,
        mini_batch_size: int = 32,
        epochs: int = 30,
        early_stopping_patience: int = 3,
        early_stopping_tolerance: float = 0.01,
        early_stopping_metric: str = "loss",
        bucket_width: int = 0,
        negative_sampling_rate: int = 0,
        negative_sampling_power: float = 1.0,
        hard_negative_share: float = 0.0,
        pair_weights: bool = False,
        token_dropout: float = 0.0,
        token_weighting: str = "mean",
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
        """Every hyperparameter by its public name, resolved and typed, as `fit` takes it.

        Sizes that will follow from a table are missing until it was fitted.
        """
        if self._found is not None:
            return self._found.to_dict()
        values = self._hyperparameters.to_dict()
        unknown = {
            name.replace("enc0", side) for name in self._unsettled for side in ("enc0", "enc1")
        }
        return {
            name: value
            for name, value in values.items()
            if name not in unknown or not self._is_default(name, self._given.get(name))
        }

    def fit(
        self,
        train: Table,
        validation: KeptBack = None,
        test: KeptBack = None,
        auxiliary: Optional[PathLike] = None,
        *,
        y: Any = None,
        in0: Optional[Columns] = None,
        in1: Optional[Columns] = None,
        label: Optional[Union[str, int]] = None,
        label_kind: str = "auto",
        weight: Optional[Union[str, int]] = None,
        split: Optional[Split] = None,
        preset: Optional[str] = "auto",
        layout: Optional[Layout] = None,
        callbacks: Iterable[Callback] = (),
        refit: bool = False,
        verbose: Optional[int] = None,
        progress: Optional[bool] = None,
    ) -> Object2Vec:
        """Train from scratch and keep the best epoch's model.

        A second call starts anew: it goes on from nothing that an earlier one has learnt. After an
        error the earlier model stays.

        With `in0` and `in1` the data are a table of raw values, and the sizes of the vocabularies,
        the longest lists, `output_layer` and `num_classes` follow from it. Hyperparameters that
        were given, to the class or to `set_params`, win over those of the recipe, also where they
        equal a default.

        Parameters
        ----------
        train : path, iterable of mappings, or pandas.DataFrame
            Pairs with ``in0``, ``in1`` and ``label``; a path is a JSON Lines file or a folder of
            them. Or a table, see `from_table`.
        validation, test : like train, optional
            Validation decides when to stop and which epoch is best. Of a table also a share of its
            rows, such as 0.1, to be kept back.
        auxiliary : path, optional
            Folder of the pretrained vectors and vocabulary files. Of a table the vectors are found
            by its words, so that it needs no vocabulary file.
        y : sequence, optional
            The labels of `train`, where its pairs (also ``(in0, in1)`` tuples) or rows hold none,
            or `label` does not name them. As scikit-learn does, it may also be given as the second
            argument.
        in0, in1, label, weight, split, layout : as for from_table
            What a table's columns are, how its rows are kept back, how its file is written.
        label_kind : str
            As for `from_table`.
        preset : str or None
            As for `from_table`.
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
        table = TableRequest(in0, in1, label, label_kind, weight, split, preset, layout)
        if y is None and are_labels(validation, train):
            y, validation = validation, None
        options = FitOptions(self._given, self._hyperparameters, callbacks, verbose, progress)
        if refit:
            by_split = getattr(split, "validation", None) or None
            options.check_refit(by_split if validation is None else validation)
        start = JobStart(begun, time.time() - begun)
        kept_back = {"validation": validation, "test": test}
        data = self._read(table, train, y, kept_back, auxiliary, options)
        result = options.train(
            *data.parts, auxiliary=data.auxiliary, start=start, inputs=data.inputs, refit=refit,
            validation_positives=data.validation_positives,
        )  # fmt: skip
        self._found = None if data.inputs is None else options.hyperparameters
        self._keep(result.predictor, result.metrics())
        return self

    def _read(
        self,
        table: TableRequest,
        train: Any,
        y: Any,
        kept_back: dict[str, Any],
        auxiliary: Optional[PathLike],
        options: FitOptions,
    ) -> TrainingData:
        """Read all that a training takes, and see that it fits into the memory."""
        if train is None:
            raise CustomerError(
                "There is nothing to train on: give a file, dicts or a data frame as 'train'."
            )
        given = self._values(self._given, self._named)
        if table.is_asked():
            data = table_data(table, train, y, kept_back, given, options)
        else:
            data = id_data(train, y, kept_back, self._lines, self._open, options)
            data = data._replace(configuration=self._values(self._given))
        hyperparameters = options.hyperparameters
        if any(e.pretrained_embedding_file or e.vocab_file for e in hyperparameters.encoders):
            from object2vec.pretrained.auxiliary_channel import read_auxiliary

            words = None if data.inputs is None else data.inputs.words
            data = data._replace(auxiliary=read_auxiliary(auxiliary, hyperparameters, words))
        estimate_memory(options.sized, [part for part in data.parts if part is not None]).check()
        return data

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
            indexes=predictor.indexes,
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


Object2Vec._defaults = {
    name: parameter.default for name, parameter in inspect.signature(Object2Vec).parameters.items()
}
