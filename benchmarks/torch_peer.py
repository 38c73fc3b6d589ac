# SPDX-License-Identifier: Apache-2.0
"""The peer of the training benchmark: the same networks in PyTorch, as an expert writes them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import nn
from torch.nn import functional

from benchmarks.torch_networks import Loss, encoder_of, fill
from benchmarks.workloads import Turn
from object2vec.data.arrays import TokenLists
from object2vec.data.layouts import mean_weights, pad
from object2vec.data.prefetch import prefetch
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.training.deferred_adam import DeferredRows

# its own remark on every use of a sparse matrix
warnings.filterwarnings("ignore", message="Sparse CSR tensor support")

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
# Rows of a table of which few copies fit into memory: each turn starts its process anew.
_LARGE_TABLE = 1_000_000
_ROWS_ALONE = ("compact", "matrix", "deferred")  # the rows in use are taken out of the tables
_Loss = Callable[..., tuple[torch.Tensor, torch.Tensor]]


class MeanOfRows(torch.autograd.Function):
    """A sparse matrix of weights times the rows of a batch, both ways as one sparse product."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, weights: Any, turned: Any) -> torch.Tensor:
        ctx.turned = turned
        return weights @ rows

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, None, None]:
        return ctx.turned @ gradients[0], None, None


class Tables:
    """Token tables and how they are looked up and updated; one of several ways.

    ``dense``: the whole table has a gradient and is updated. ``sparse``: EmbeddingBag and
    SparseAdam. ``compact`` and ``matrix``: the rows in use are taken out, looked up in by
    embedding_bag or multiplied by a sparse matrix, and updated by Adam on these rows.
    ``deferred``: the numbers of ``dense`` in the way of ``compact``; a row first catches up with
    the updates that it has missed.
    """

    def __init__(self, settings: Hyperparameters, kind: str, compiled: bool) -> None:
        self._settings = settings
        self.kind = kind
        count = 1 if settings.tied_token_embedding_weight else 2
        self.tables = [
            nn.Parameter(
                torch.empty(encoder.vocab_size, encoder.token_embedding_dim).uniform_(-0.07, 0.07)
            )
            for encoder in settings.encoders[:count]
        ]
        self._pooled = settings.enc0.network == "pooled_embedding"
        self._is_single = all(encoder.max_seq_len == 1 for encoder in settings.encoders)
        self._bag = functional.embedding_bag
        self._used: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self._step = 0
        self._deferred: list[DeferredRows] = []
        if kind == "deferred":
            self._deferred = [DeferredRows(len(table), _BETA1, _BETA2) for table in self.tables]
        if kind in _ROWS_ALONE:
            for table in self.tables:
                table.requires_grad_(False)
            self._moments = [(torch.zeros_like(t), torch.zeros_like(t)) for t in self.tables]
            self._flags = [np.zeros(len(table), bool) for table in self.tables]
            self._places = [np.zeros(len(table), np.int32) for table in self.tables]
            self._update = torch.compile(_adam_rows, dynamic=True) if compiled else _adam_rows

    def prepare(
        self, lists: tuple[TokenLists, TokenLists], widths: tuple[int, int]
    ) -> list[tuple[Any, ...]]:
        """What does not need the weights, made in the thread that prepares batches."""
        if self.kind not in _ROWS_ALONE:
            return [self._indices(side, width) for side, width in zip(lists, widths)]
        self._step += 1
        prepared: list[tuple[Any, ...]] = []
        groups = [lists] if len(self.tables) == 1 else [(lists[0],), (lists[1],)]
        for number, group in enumerate(groups):
            tokens = np.concatenate([side.tokens for side in group])
            flags, places = self._flags[number], self._places[number]
            flags[tokens] = True
            unique = np.flatnonzero(flags)
            flags[unique] = False
            places[unique] = np.arange(len(unique), dtype=np.int32)
            missed: Any = None
            if self._deferred:
                missed = [torch.from_numpy(part) for part in self._deferred[number].missed(unique)]
                self._deferred[number].touch(unique, self._rate())
            for side in group:
                own = TokenLists(places[side.tokens], side.offsets)
                indices = self._indices(own, widths[len(prepared)], len(unique))
                prepared.append((torch.from_numpy(unique), missed, self._rate(), *indices))
        return prepared

    def _rate(self) -> float:
        rate = self._settings.learning_rate * (1 - _BETA2**self._step) ** 0.5
        return rate / (1 - _BETA1**self._step)

    def _indices(self, lists: TokenLists, width: int, rows: int = 0) -> tuple[Any, ...]:
        if not self._pooled:
            return torch.from_numpy(pad(lists, width)), torch.from_numpy(lists.lengths)
        if self.kind != "matrix":
            return torch.from_numpy(lists.tokens), torch.from_numpy(lists.offsets[:-1].copy())
        # scipy works in place on what it is given
        weights = sparse.csr_matrix(
            (mean_weights(lists), lists.tokens.copy(), lists.offsets), shape=(len(lists), rows)
        )
        weights.sum_duplicates()
        return _csr(weights), _csr(weights.T.tocsr())

    def look_up(self, prepared: list[tuple[Any, ...]]) -> list[tuple[torch.Tensor, ...]]:
        """For both encoders the means of token vectors, or the vectors and the lengths."""
        if self.kind not in _ROWS_ALONE:
            tables = (self.tables[0], self.tables[-1])
            return [self._encoder_inputs(*side) for side in zip(tables, prepared)]
        used = []
        for number, (unique, missed, rate, *_) in enumerate(prepared[: len(self.tables)]):
            table = self.tables[number]
            if missed is not None:
                _catch_up(table, *self._moments[number], *missed)
            used.append((unique, table[unique].requires_grad_(), torch.tensor(rate)))
        self._used = used
        return [
            self._encoder_inputs(rows, indices)
            for (_, rows, _), (_, _, _, *indices) in zip((used[0], used[-1]), prepared)
        ]

    def _encoder_inputs(self, rows: torch.Tensor, indices: Any) -> tuple[torch.Tensor, ...]:
        tokens, more = indices
        if not self._pooled:
            return functional.embedding(tokens, rows), more
        if self.kind == "matrix":
            return (MeanOfRows.apply(rows, tokens, more),)
        if self.kind in ("dense", "deferred") and self._is_single:
            return (functional.embedding(tokens, rows),)
        return (self._bag(tokens, rows, more, mode="mean", sparse=self.kind == "sparse"),)

    def update(self) -> None:
        """Adam on the rows in use; does nothing where an optimizer of PyTorch does it."""
        for number, (unique, rows, rate) in enumerate(self._used):
            first, second = self._moments[number]
            assert rows.grad is not None
            values = self._update(rows.detach(), rows.grad, first[unique], second[unique], rate)
            for target, value in zip((self.tables[number].data, first, second), values):
                target.index_copy_(0, unique, value)
        self._used = []


@torch.no_grad()
def _catch_up(
    table: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    rows: torch.Tensor,
    factors: torch.Tensor,
) -> None:
    """Apply the steps that some rows have missed; see ``object2vec.training.deferred_adam``."""
    if not len(rows):
        return
    rows = rows.long()
    total, shrinking, fading1, fading2 = factors
    m, v = first[rows], second[rows]
    moved = table[rows] - total * m / ((v * shrinking).sqrt_() + _EPSILON)
    for target, value in ((table, moved), (first, m.mul_(fading1)), (second, v.mul_(fading2))):
        target.index_copy_(0, rows, value)


def _adam_rows(
    rows: torch.Tensor,
    gradient: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    rate: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    first = first.mul_(_BETA1).add_(gradient, alpha=1 - _BETA1)
    second = second.mul_(_BETA2).addcmul_(gradient, gradient, value=1 - _BETA2)
    return rows - rate * first / (second.sqrt() + _EPSILON), first, second


def _csr(matrix: sparse.csr_matrix) -> torch.Tensor:
    return torch.sparse_csr_tensor(
        torch.from_numpy(matrix.indptr.astype(np.int32)),
        torch.from_numpy(matrix.indices.astype(np.int32)),
        torch.from_numpy(matrix.data),
        size=matrix.shape,
        check_invariants=False,
    )


def variants(settings: Hyperparameters, any_storage: bool = False) -> list[str]:
    """The ways to write this job that compete; all of them train the same network.

    ``torch packed``, an LSTM of packed lists, and ``conv1d`` work as well, but never won.

    Parameters
    ----------
    settings : Hyperparameters
        The job.
    any_storage : bool
        Whether dense updates of the tables may stand for row_sparse ones.
    """
    networks = {encoder.network for encoder in settings.encoders}
    if networks == {"hcnn"}:
        return ["torch conv2d", "torch conv2d, deferred"]
    if networks == {"bilstm"}:
        return ["torch padded", "torch padded, deferred"]
    dense = ["torch dense", "torch dense, compiled"]
    lazy = ["torch sparse", "torch compact", "torch compact, compiled"]
    if settings.enc0.vocab_size > _LARGE_TABLE:
        return ["torch sparse", "torch compact, compiled"]
    if max(encoder.max_seq_len for encoder in settings.encoders) > 1:
        lazy += ["torch matrix", "torch matrix, compiled"]
    if any_storage:
        return dense + lazy
    if settings.token_embedding_storage_type == "row_sparse":
        return lazy
    return [*dense, "torch deferred"]


class Contestant:
    """Trains one variant.

    Parameters
    ----------
    settings : Hyperparameters
        The job, with adam and without weight decay.
    turn : Turn
        The batches of a turn.
    variant : str
        One of `variants`.
    threads : int
        Of PyTorch, unless the variant says 1.
    """

    def __init__(self, settings: Hyperparameters, turn: Turn, variant: str, threads: int) -> None:
        torch.set_num_threads(1 if variant.endswith("1 thread") else threads)
        torch.set_flush_denormal(True)
        torch.manual_seed(1)
        kind, _, how = variant.removeprefix("torch ").partition(", ")
        self._turn, self._settings = turn, settings
        pooled = settings.enc0.network == "pooled_embedding"
        compiled = how == "compiled"
        storage = kind if pooled else "deferred" if "deferred" in how else "dense"
        self._tables = Tables(settings, storage, compiled)
        self._network = Loss(settings, [encoder_of(settings, side, kind) for side in (0, 1)])
        self._loss: _Loss = self._whole_loss if self._tables.kind == "dense" else self._network
        if compiled:
            self._loss = torch.compile(self._loss, dynamic=True if not pooled else None)
        self._optimizers = self._make_optimizers()

    def _make_optimizers(self) -> list[Any]:
        rate, dense = self._settings.learning_rate, list(self._network.parameters())
        made: list[Any] = []
        if self._tables.kind == "dense":
            dense += self._tables.tables
        elif self._tables.kind == "sparse":
            made.append(torch.optim.SparseAdam(self._tables.tables, lr=rate))
        return [torch.optim.Adam(dense, lr=rate, fused=True), *made]

    def _whole_loss(self, prepared: list[tuple[Any, ...]], labels: torch.Tensor) -> Any:
        return self._network(self._tables.look_up(prepared), labels)

    def _prepared(self) -> Iterator[tuple[list[tuple[Any, ...]], torch.Tensor]]:
        for batch in self._turn.epoch():
            yield self._tables.prepare(batch.sides, batch.widths), torch.from_numpy(batch.labels)

    def _step(self, inputs: list[tuple[Any, ...]], labels: torch.Tensor) -> torch.Tensor:
        if self._tables.kind != "dense":
            inputs = self._tables.look_up(inputs)
        objective, reported = self._loss(inputs, labels)
        for optimizer in self._optimizers:
            optimizer.zero_grad()
        objective.backward()
        for optimizer in self._optimizers:
            optimizer.step()
        self._tables.update()
        return reported

    def train_turn(self) -> int:
        """Train on all batches of a turn; returns the number of pairs."""
        count = 0
        with closing(prefetch(self._prepared())) as batches:
            for inputs, labels in batches:
                self._step(inputs, labels)
                count += len(labels)
        return count

    def losses(self) -> list[float]:
        """Train on all batches of a turn; returns each one's mean loss before its update."""
        return [float(self._step(inputs, labels)) for inputs, labels in self._prepared()]

    def load_weights(self, path: Path) -> None:
        """Start from the parameters that Object2Vec wrote, under its names."""
        with np.load(path, allow_pickle=False) as file:
            weights = {name: torch.from_numpy(file[name]) for name in file.files}
        fill(self._network, self._tables.tables, weights)
