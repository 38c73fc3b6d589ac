# SPDX-License-Identifier: Apache-2.0
"""A weight for each token of pooled_embedding, learnt with its vector; known to training alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import NDArray, Parameter
from object2vec.data.arrays import TokenLists
from object2vec.data.document_frequencies import inverse_document_frequencies
from object2vec.hyperparameters.checked import Hyperparameters


class TokenWeights:
    """Weights of the tokens of the tables that pooled_embedding reads.

    While training takes steps, a token's vector is its weight times its row of the table. All
    others, from validation on, find the products themselves in the table: `fold` puts them there,
    and `unfold` brings the rows back. So the mean stays a plain one wherever a model answers, and
    what is stored holds no weights.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        They say where there are weights.
    tables : sequence of mxnet.gluon.Parameter
        The token tables of in0 and of in1.

    Attributes
    ----------
    params : mxnet.gluon.ParameterDict
        The weights, float32 ``(vocab_size, 1)`` for each table, without weight decay.
    """

    def __init__(self, hyperparameters: Hyperparameters, tables: Sequence[Parameter]) -> None:
        self.params = mx.gluon.ParameterDict()
        self._tables, self._weighting = tables, hyperparameters.token_weighting
        self._of_tables: dict[Parameter, Parameter] = {}
        self._rows: list[list[NDArray]] = []  # of each table and device, while it is folded
        for table, encoder in zip(tables, hyperparameters.encoders):
            if encoder.is_weighted(hyperparameters.token_weighting):
                self._of_tables[table] = self.params.get(
                    table.name.replace("_weight", "_token_weight"),
                    shape=(table.shape[0], 1),
                    init="ones",
                    grad_stype="row_sparse",
                    wd_mult=0.0,
                )

    def of(self, table: Parameter) -> Optional[Parameter]:
        """The weights of a table's rows, None where there are none."""
        return self._of_tables.get(table)

    def start_from(self, in0: TokenLists, in1: TokenLists) -> None:
        """Give the weights their first values, where these follow from the lists for training."""
        if self._weighting != "tfidf":
            return
        for table, weights in self._of_tables.items():
            read = [lists for own, lists in zip(self._tables, (in0, in1)) if own is table]
            start = inverse_document_frequencies(read, table.shape[0])
            weights.set_data(mx.nd.array(start[:, None]))

    def fold(self) -> None:
        """Multiply the rows of each table by their weights, if that is not done yet."""
        if self._rows:
            return
        for table, weights in self._of_tables.items():
            self._rows.append([rows.copy() for rows in table.list_data()])
            for rows, weight in zip(table.list_data(), weights.list_data()):
                mx.nd.broadcast_mul(rows, weight, out=rows)

    def unfold(self) -> None:
        """Take that back, exactly."""
        for table, kept in zip(self._of_tables, self._rows):
            for rows, own in zip(table.list_data(), kept):
                own.copyto(rows)
        self._rows = []

    def forget(self) -> None:
        """Free what `unfold` would need; the tables stay as they are."""
        self._rows = []
