# SPDX-License-Identifier: Apache-2.0
"""The Python API: one object to fit, ask, evaluate, save and load."""

from __future__ import annotations

import inspect
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

from object2vec.errors import CustomerError
from object2vec.estimator_answers import Answering
from object2vec.estimator_data import TableRequest, training_data
from object2vec.estimator_parameters import Parameterized
from object2vec.files import check_model_folder
from object2vec.logs import watched
from object2vec.training.memory_estimate import estimate_memory
from object2vec.training.training_log import JobStart

if TYPE_CHECKING:
    from object2vec.estimator_answers import PathLike, Table
    from object2vec.inference.predictor import Predictor
    from object2vec.prepare.columns import Columns
    from object2vec.prepare.delimited import Layout
    from object2vec.prepare.splits import Split

    KeptBack = Union[None, float, Table]

_Self = TypeVar("_Self", bound="Object2Vec")


class Object2Vec(Parameterized, Answering):
    """Learns embeddings of pairs of objects, each a list of token ids, from a label of the pair.

    The hyperparameters of the training job are parameters here, under the same names, but for those
    that begin with ``_``: of them there is only ``_seed``, which is `seed` here. What the table in
    the README says of them holds.

    Parameters
    ----------
    enc0_max_seq_len, enc1_max_seq_len : int, optional
        Longest list in tokens, longer ones are cut; enc1: default enc0's. Of a table it follows
        from the data, and only ids need it.
    enc0_vocab_size, enc1_vocab_size : int, optional
        Ids run from 0 to vocab_size - 1; enc1: default enc0's. As above of a table.
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
        Makes a run on the CPU repeatable.

    Attributes
    ----------
    history : list of dict
        The metrics of each epoch, in order; empty before `fit`.

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
        enc0_max_seq_len: Optional[int] = None,
        enc0_vocab_size: Optional[int] = None,
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
    ) -> None:
        values = dict(locals())
        del values["self"]
        self._set(values)

    def _set(self, given: dict[str, Any], predictor: Optional[Predictor] = None) -> None:
        self._take(given)
        self._predictor = predictor
        self._metrics: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Every hyperparameter by its public name, resolved and typed, as `fit` takes it.

        Sizes that will follow from a table are missing until it was fitted.
        """
        values = self._hyperparameters.to_dict()
        unknown = {name.replace("enc0", side) for name in self._open for side in ("enc0", "enc1")}
        return {
            name: value
            for name, value in values.items()
            if name not in unknown or self._given.get(name) is not None
        }

    def __repr__(self) -> str:
        enc0, enc1 = self._hyperparameters.encoders
        state = "fitted" if self._predictor is not None else "not fitted"
        return (
            f"<Object2Vec {enc0.network} x {enc1.network}, enc_dim "
            f"{self._hyperparameters.enc_dim}, {self._hyperparameters.output_layer}, {state}>"
        )

    @classmethod
    def from_table(
        cls: type[_Self],
        source: Table,
        *,
        in0: Columns,
        in1: Columns,
        label: Optional[Union[str, int]] = None,
        validation: KeptBack = None,
        test: KeptBack = None,
        label_kind: str = "auto",
        split: Optional[Split] = None,
        preset: Optional[str] = "auto",
        layout: Optional[Layout] = None,
        progress: Optional[bool] = None,
        **hyperparameters: Any,
    ) -> _Self:
        """Train on a table of raw values: names, texts, tags and numbers.

        Parameters
        ----------
        source : path, list of paths, pandas.DataFrame, table of Arrow, or list of dicts
            CSV, TSV or another text with separators, JSON Lines or Parquet, the first ones gzipped
            or not; a file, several, or a folder.
        in0, in1, label, validation, test, label_kind, split, preset, layout, progress
            As of `fit`.
        **hyperparameters
            As the class takes them. They win over those of the recipe, also where they equal a
            default.

        Returns
        -------
        Object2Vec
            Fitted.

        Raises
        ------
        CustomerError
            One sentence about the first thing that is not right, with its file and line.

        Examples
        --------
        >>> from object2vec import Object2Vec
        >>> rows = [{"user": "Ann", "film": "Heat", "stars": 4},
        ...         {"user": "Bob", "film": "Big", "stars": 2}]
        >>> model = Object2Vec.from_table(rows, in0="user", in1="film", label="stars", epochs=1)
        >>> model.embed(in1=["Big", "Heat"]).shape[0]
        2
        """
        model = cls(**hyperparameters)
        request = TableRequest(in0, in1, label, label_kind, split, preset, layout)
        kept_back = {"validation": validation, "test": test}
        return model._fit(source, kept_back, request, progress, named=hyperparameters)

    def fit(
        self,
        train: Table,
        validation: KeptBack = None,
        test: KeptBack = None,
        auxiliary: Optional[PathLike] = None,
        *,
        in0: Optional[Columns] = None,
        in1: Optional[Columns] = None,
        label: Optional[Union[str, int]] = None,
        label_kind: str = "auto",
        split: Optional[Split] = None,
        preset: Optional[str] = "auto",
        layout: Optional[Layout] = None,
        progress: Optional[bool] = None,
    ) -> Object2Vec:
        """Train from scratch and keep the best epoch's model.

        A second call starts anew: it goes on from nothing that an earlier one has learnt. After an
        error the earlier model stays.

        With `in0` and `in1` the data are a table of raw values, and the sizes of the vocabularies,
        the longest lists, `output_layer` and `num_classes` follow from it. Hyperparameters that
        differ from their defaults win over those of the recipe.

        Parameters
        ----------
        train : path, iterable of mappings, or pandas.DataFrame
            Pairs with ``in0``, ``in1`` and ``label``; a path is a JSON Lines file or a folder of
            them. Or a table, see `from_table`.
        validation, test : like train, optional
            Validation decides when to stop and which epoch is best. Of a table also a share of its
            rows, such as 0.1, to be kept back.
        auxiliary : path, optional
            Folder of the pretrained vectors and vocabulary files.
        in0, in1 : str, int, dict, or a list of these, optional
            The columns of each side, by name or position, or as a dict with ``name``, ``kind``
            (``id``, ``text``, ``tags``, ``number``) and more, see
            `object2vec.prepare.columns.ColumnChoice`.
        label : str or int, optional
            The label's column. Without, all rows are positive pairs: training draws negatives, and
            as many stand in validation and test. There each in0 is joined with the in1 of a random
            row of the same part, never to a pair that any part holds, always by the seed 0.
        label_kind : str
            ``number``, ``class``, or ``auto``: numbers where all labels are.
        split : object2vec.prepare.splits.Split, optional
            How rows are kept back: at random by default, always the same ones.
        preset : str, optional
            The recipe; ``auto`` takes the one that fits. None takes the defaults of all
            hyperparameters that do not follow from the data.
        layout : object2vec.prepare.delimited.Layout, optional
            How files with separators are written, such as without a header.
        progress : bool, optional
            Show a progress bar on standard error; default: if that is a terminal.

        Returns
        -------
        Object2Vec
            Itself.

        Raises
        ------
        CustomerError
            The data do not fit the hyperparameters, or the loss is no longer finite.
        PlatformError
            The training cannot fit into the memory.
        """
        request = TableRequest(in0, in1, label, label_kind, split, preset, layout)
        kept_back = {"validation": validation, "test": test}
        return self._fit(train, kept_back, request, progress, auxiliary)

    def _fit(
        self: _Self,
        train: Any,
        kept_back: Mapping[str, Any],
        request: TableRequest,
        progress: Optional[bool],
        auxiliary: Optional[PathLike] = None,
        named: Collection[str] = (),
    ) -> _Self:
        begun = time.time()
        if train is None:
            raise CustomerError(
                "There is nothing to train on: give a file, dicts or a data frame as 'train'."
            )
        start = JobStart(begun, time.time() - begun)
        given = self._values(self._given, named)
        data = training_data(request, given, train, kept_back)
        hyperparameters, parts = data.hyperparameters, data.parts
        vectors = None
        if any(e.pretrained_embedding_file or e.vocab_file for e in hyperparameters.encoders):
            from object2vec.pretrained.auxiliary_channel import read_auxiliary

            vectors = read_auxiliary(auxiliary, hyperparameters)
        estimate_memory(hyperparameters, [part for part in parts if part is not None]).check()
        from object2vec.training.loop import train as run_training

        result = run_training(
            hyperparameters,
            *parts,
            auxiliary=vectors,
            inputs=data.inputs,
            progress=watched() if progress is None else progress,
            start=start,
        )
        self._hyperparameters, self._open = hyperparameters, ()
        self._predictor = result.predictor
        self._metrics = {
            "best_epoch": result.best_epoch,
            "best_loss": result.best_loss,
            "history": result.history,
        }
        self.history = result.history
        return self

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
    def load(cls, folder: PathLike) -> Object2Vec:
        """Load a model directory that `save` or a training job has written.

        Parameters
        ----------
        folder : path
            The directory, or a ``model.tar.gz`` of it as SageMaker makes them.

        Raises
        ------
        CustomerError
            There is no model, or a damaged one.
        PlatformError
            An archive cannot be unpacked for lack of room.
        """
        from object2vec.inference.predictor import Predictor

        predictor = Predictor.load(folder)
        predictor.warn_of_fallback()
        model = cls.__new__(cls)
        given = predictor.hyperparameters.to_dict()
        seed = given.pop("_seed", None)
        model._set({**given, "seed": seed}, predictor)
        model._metrics = predictor.metrics
        model.history = list(predictor.metrics.get("history", []))
        return model


Object2Vec._defaults = {
    name: parameter.default for name, parameter in inspect.signature(Object2Vec).parameters.items()
}
