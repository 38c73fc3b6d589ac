# SPDX-License-Identifier: Apache-2.0
"""From a table of raw values to a fitted model in one call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

if TYPE_CHECKING:
    from object2vec.estimator.answers import PathLike, Table
    from object2vec.prepare.columns import Columns
    from object2vec.prepare.delimited import Layout
    from object2vec.prepare.splits import Split
    from object2vec.training.callbacks import Callback

    KeptBack = Union[None, float, Table]

_Self = TypeVar("_Self", bound="Tabular")


class Tabular:
    """What is made and fitted at once."""

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
        auxiliary: Optional[PathLike] = None,
        label_kind: str = "auto",
        weight: Optional[Union[str, int]] = None,
        split: Optional[Split] = None,
        preset: Optional[str] = "auto",
        layout: Optional[Layout] = None,
        callbacks: Iterable[Callback] = (),
        refit: bool = False,
        progress: Optional[bool] = None,
        **parameters: Any,
    ) -> _Self:
        """Train on a table of raw values: names, texts, tags and numbers.

        Parameters
        ----------
        source : path, list of paths, pandas.DataFrame, table of Arrow, or list of dicts
            CSV, TSV or another text with separators, JSON Lines or Parquet, the first ones gzipped
            or not; a file, several, or a folder.
        in0, in1 : str, int, dict, or a list of these
            The columns of each side, by name or position, or as a dict with ``name``, ``kind``
            (``id``, ``text``, ``tags``, ``number``) and more, see
            `object2vec.prepare.columns.ColumnChoice`. With ``tied_token_embedding_weight`` both
            sides share their vocabularies, column by column.
        label : str or int, optional
            The label's column. Without, all rows are positive pairs: with in_batch_softmax, as the
            recipe for interactions has it, those of a batch are each other's negatives. With
            softmax training draws negatives, and as many stand in validation and test. There each
            in0 is joined with the in1 of a random row of the same part, never to a pair that any
            part holds, always by the seed 0.
        validation, test : share, or like source, optional
            A share of the rows, such as 0.1, to be kept back, or other data. Validation decides
            when to stop and which epoch is best.
        auxiliary : path, optional
            Folder of pretrained vectors, such as GloVe's, whose words are those of the table.
        label_kind : str
            ``number``, ``class``, ``tags``: several classes in a cell, a list or a text such as
            ``Drama|Crime``, or ``auto``: tags where labels are lists, numbers where all labels are.
        weight : str or int, optional
            The column of numbers above 0 that say how much a row counts: one of weight 2 as two
            rows, in training and in what is reported. A row without one is left out.
        split : object2vec.prepare.splits.Split, optional
            How rows are kept back: at random by default, always the same ones.
        preset : str, optional
            The recipe: ``ratings``, ``interactions``, ``text_pair``, ``text_tags``,
            ``text_labels``, ``documents``, or ``auto``, the one that fits. None takes the defaults
            of all hyperparameters that do not follow from the data.
        layout : object2vec.prepare.delimited.Layout, optional
            How files with separators are written, such as without a header.
        callbacks : iterable of Callback
            As for `fit`.
        refit : bool
            As for `fit`.
        progress : bool, optional
            As for `fit`.
        **parameters
            As the class takes them. Hyperparameters among them win over those of the recipe, also
            where they equal a default.

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
        model = cls(**parameters)
        model.fit(  # type: ignore[attr-defined]
            source, validation, test, auxiliary, in0=in0, in1=in1, label=label,
            label_kind=label_kind, weight=weight, split=split, preset=preset, layout=layout,
            callbacks=callbacks, refit=refit, progress=progress,
        )  # fmt: skip
        return model
