"""The peer of the training benchmark: the same networks in PyTorch, as an expert writes them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from scipy import sparse
from torch import nn
from torch.nn import functional

from benchmarks.workloads import Turn
from object2vec.arrays import TokenLists
from object2vec.batching import Batch, mean_weights, pad
from object2vec.hyperparameters import EncoderHyperparameters, Hyperparameters
from object2vec.prefetch import prefetch

# its own remark on every use of a sparse matrix
warnings.filterwarnings("ignore", message="Sparse CSR tensor support")

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
_ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh}
_Loss = Callable[..., tuple[torch.Tensor, torch.Tensor]]


class Scorer(nn.Module):
    """Comparator, MLP and output layer."""

    def __init__(self, settings: Hyperparameters) -> None:
        super().__init__()
        self._settings = settings
        widths = {"hadamard": 1, "concat": 2, "abs_diff": 1}
        columns = settings.enc_dim * sum(widths[name] for name in settings.comparator_list)
        layers = []
        for _ in range(settings.mlp_layers):
            layers.append(nn.Linear(columns, settings.mlp_dim))
            columns = settings.mlp_dim
        self.layers = nn.ModuleList(layers)
        self.output = nn.Linear(columns, 1 if settings.is_regression else settings.num_classes)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        settings = self._settings
        compared = []
        for name in settings.comparator_list:
            if name == "hadamard":
                compared.append(left * right)
            elif name == "concat":
                compared += [left, right]
            else:
                compared.append((left - right).abs())
        x = torch.cat(compared, dim=1) if len(compared) > 1 else compared[0]
        for layer in self.layers:
            x = layer(x)
            if settings.mlp_activation in _ACTIVATIONS:
                x = _ACTIVATIONS[settings.mlp_activation](x)
                if settings.dropout:
                    x = functional.dropout(x, settings.dropout)
        return self.output(x)


class Dropout(nn.Module):
    """The end of pooled_embedding: dropout on the means."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self._rate = rate

    def forward(self, means: torch.Tensor) -> torch.Tensor:
        return functional.dropout(means, self._rate) if self._rate else means


class HierarchicalCNN(nn.Module):
    """Convolutions on top of each other with the padding masked; ``flat`` takes Conv1d."""

    def __init__(self, encoder: EncoderHyperparameters, enc_dim: int, flat: bool) -> None:
        super().__init__()
        self._flat = flat
        width, channels, layers = encoder.cnn_filter_width, encoder.token_embedding_dim, []
        for layer in range(encoder.layers):
            filters = enc_dim // encoder.layers + (layer < enc_dim % encoder.layers)
            if flat:
                layers.append(nn.Conv1d(channels, filters, width, padding=width // 2))
            else:
                two = nn.Conv2d(channels, filters, (1, width), padding=(0, width // 2))
                layers.append(two.to(memory_format=torch.channels_last))
            channels = filters
        self.layers = nn.ModuleList(layers)

    def forward(self, vectors: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        inside = torch.arange(vectors.shape[1]) < lengths[:, None]
        mask = inside[:, None].to(vectors.dtype)  # (batch, 1, length)
        x = vectors.transpose(1, 2)
        if not self._flat:
            x, mask = x.unsqueeze(2), mask.unsqueeze(2)
        x = x * mask
        maxima = []
        for layer in self.layers:
            x = torch.relu(layer(x)) * mask
            maxima.append(x.amax(dim=-1))
        joined = torch.cat(maxima, dim=1)
        return joined if self._flat else joined.squeeze(2)


class BiLSTM(nn.Module):
    """A bidirectional LSTM of exact lengths: packed, or two one-way LSTMs on reversed lists."""

    def __init__(self, encoder: EncoderHyperparameters, enc_dim: int, packed: bool) -> None:
        super().__init__()
        if enc_dim % 2 or encoder.layers > 1:
            raise ValueError("the peer's LSTM has one layer and halves of one size")
        half, inputs = enc_dim // 2, encoder.token_embedding_dim
        self._packed = packed
        if packed:
            both = nn.LSTM(inputs, half, batch_first=True, bidirectional=True)
            self.lstms = nn.ModuleList([both])
        else:
            self.lstms = nn.ModuleList(nn.LSTM(inputs, half, batch_first=True) for _ in range(2))

    def forward(self, vectors: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        if self._packed:
            rows = nn.utils.rnn.pack_padded_sequence(
                vectors, lengths, batch_first=True, enforce_sorted=False
            )
            out, _ = nn.utils.rnn.pad_packed_sequence(
                self.lstms[0](rows)[0], batch_first=True, padding_value=-1.0
            )
            return out.amax(dim=1)
        position = torch.arange(vectors.shape[1])
        inside = position < lengths[:, None]
        turned = torch.where(inside, lengths[:, None] - 1 - position, position)[:, :, None]
        there = self.lstms[0](vectors)[0]
        back = self.lstms[1](vectors.gather(1, turned.expand_as(vectors)))[0]
        joined = torch.cat([there, back], dim=2)
        return joined.masked_fill(~inside[:, :, None], -1.0).amax(dim=1)


class Loss(nn.Module):
    """Two encoders' inputs and the labels to the loss to descend and the one to report."""

    def __init__(self, settings: Hyperparameters, encoders: list[nn.Module]) -> None:
        super().__init__()
        self._is_regression = settings.is_regression
        self.encoders = nn.ModuleList(encoders)
        self.scorer = Scorer(settings)

    def forward(
        self, inputs: list[tuple[torch.Tensor, ...]], labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        left, right = (encoder(*parts) for encoder, parts in zip(self.encoders, inputs))
        output = self.scorer(left, right)
        if self._is_regression:
            squares = (output.squeeze(1) - labels).square().mean()
            return 0.5 * squares, squares.detach()
        entropy = functional.cross_entropy(output, labels.long())
        return entropy, entropy.detach()


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
        self._bag = functional.embedding_bag
        self._used: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._step = 0
        if kind in ("compact", "matrix"):
            for table in self.tables:
                table.requires_grad_(False)
            self._moments = [(torch.zeros_like(t), torch.zeros_like(t)) for t in self.tables]
            self._flags = [np.zeros(len(table), bool) for table in self.tables]
            self._places = [np.zeros(len(table), np.int32) for table in self.tables]
            self._update = torch.compile(_adam_rows, dynamic=True) if compiled else _adam_rows

    def prepare(self, lists: tuple[TokenLists, TokenLists]) -> list[tuple[Any, ...]]:
        """What does not need the weights, made in the thread that prepares batches."""
        if self.kind not in ("compact", "matrix"):
            return [
                (torch.from_numpy(side.tokens), torch.from_numpy(side.offsets[:-1].copy()))
                for side in lists
            ]
        prepared: list[tuple[Any, ...]] = []
        groups = [lists] if len(self.tables) == 1 else [(lists[0],), (lists[1],)]
        for number, group in enumerate(groups):
            tokens = np.concatenate([side.tokens for side in group])
            flags, places = self._flags[number], self._places[number]
            flags[tokens] = True
            unique = np.flatnonzero(flags)
            flags[unique] = False
            places[unique] = np.arange(len(unique), dtype=np.int32)
            for side in group:
                own = TokenLists(places[side.tokens], side.offsets)
                prepared.append((torch.from_numpy(unique), *self._compacted(own, len(unique))))
        return prepared

    def _compacted(self, own: TokenLists, rows: int) -> tuple[Any, ...]:
        if self.kind == "compact":
            return torch.from_numpy(own.tokens), torch.from_numpy(own.offsets[:-1].copy())
        weights = mean_weights(own, rows)
        return _csr(weights), _csr(weights.T.tocsr())

    def look_up(self, prepared: list[tuple[Any, ...]]) -> list[torch.Tensor]:
        """The means of both inputs' token vectors."""
        tables = (self.tables[0], self.tables[-1])
        if self.kind == "dense" and all(e.max_seq_len == 1 for e in self._settings.encoders):
            return [
                functional.embedding(tokens, table) for table, (tokens, _) in zip(tables, prepared)
            ]
        if self.kind in ("dense", "sparse"):
            return [
                self._bag(tokens, table, offsets, mode="mean", sparse=self.kind == "sparse")
                for table, (tokens, offsets) in zip(tables, prepared)
            ]
        self._used = [
            (unique, table[unique].requires_grad_())
            for table, (unique, *_) in zip(self.tables, prepared)
        ]
        rows = (self._used[0][1], self._used[-1][1])
        if self.kind == "compact":
            return [
                self._bag(tokens, taken, offsets, mode="mean")
                for taken, (_, tokens, offsets) in zip(rows, prepared)
            ]
        return [
            MeanOfRows.apply(taken, weights, turned)
            for taken, (_, weights, turned) in zip(rows, prepared)
        ]

    def update(self) -> None:
        """Adam on the rows in use; does nothing where an optimizer of PyTorch does it."""
        self._step += 1
        rate = self._settings.learning_rate
        rate *= (1 - _BETA2**self._step) ** 0.5 / (1 - _BETA1**self._step)
        size = torch.tensor(rate)  # a tensor, so that compiled code serves every step
        for number, (unique, rows) in enumerate(self._used):
            first, second = self._moments[number]
            assert rows.grad is not None
            values = self._update(rows.detach(), rows.grad, first[unique], second[unique], size)
            for target, value in zip((self.tables[number].data, first, second), values):
                target.index_copy_(0, unique, value)
        self._used = []


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

    Parameters
    ----------
    settings : Hyperparameters
        The job.
    any_storage : bool
        Whether dense updates of the tables may stand for row_sparse ones.
    """
    networks = {encoder.network for encoder in settings.encoders}
    if networks == {"hcnn"}:
        return ["torch conv1d", "torch conv2d", "torch conv1d, compiled"]
    if networks == {"bilstm"}:
        return ["torch packed", "torch padded", "torch packed, 1 thread", "torch padded, 1 thread"]
    dense = ["torch dense", "torch dense, compiled"]
    lazy = ["torch sparse", "torch compact", "torch compact, compiled"]
    if max(encoder.max_seq_len for encoder in settings.encoders) > 1:
        lazy += ["torch matrix", "torch matrix, compiled"]
    if any_storage:
        return dense + lazy
    return lazy if settings.token_embedding_storage_type == "row_sparse" else dense


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
        self._pooled = settings.enc0.network == "pooled_embedding"
        compiled = how == "compiled"
        self._tables = Tables(settings, kind if self._pooled else "dense", compiled)
        self._network = Loss(settings, [self._encoder(side, kind) for side in (0, 1)])
        self._loss: _Loss = self._whole_loss if self._tables.kind == "dense" else self._network
        if compiled:
            self._loss = torch.compile(self._loss, dynamic=True if not self._pooled else None)
        self._optimizers = self._make_optimizers()

    def _encoder(self, side: int, kind: str) -> nn.Module:
        settings = self._settings
        encoder = settings.encoders[side]
        if encoder.network == "hcnn":
            return HierarchicalCNN(encoder, settings.enc_dim, flat=kind == "conv1d")
        if encoder.network == "bilstm":
            return BiLSTM(encoder, settings.enc_dim, packed=kind == "packed")
        return Dropout(settings.dropout)

    def _make_optimizers(self) -> list[Any]:
        rate, dense = self._settings.learning_rate, list(self._network.parameters())
        made: list[Any] = []
        if self._tables.kind == "dense":
            dense += self._tables.tables
        elif self._tables.kind == "sparse":
            made.append(torch.optim.SparseAdam(self._tables.tables, lr=rate))
        return [torch.optim.Adam(dense, lr=rate, fused=True), *made]

    def _whole_loss(self, prepared: list[tuple[Any, ...]], labels: torch.Tensor) -> Any:
        if self._pooled:
            return self._network([(x,) for x in self._tables.look_up(prepared)], labels)
        tables = (self._tables.tables[0], self._tables.tables[-1])
        inputs = [
            (functional.embedding(tokens, table), lengths)
            for table, (tokens, lengths) in zip(tables, prepared)
        ]
        return self._network(inputs, labels)

    def _prepared(self) -> Iterator[tuple[list[tuple[Any, ...]], torch.Tensor]]:
        for batch in self._turn.epoch():
            yield self._inputs(batch), torch.from_numpy(batch.labels)

    def _inputs(self, batch: Batch) -> list[tuple[Any, ...]]:
        if self._pooled:
            return self._tables.prepare(batch.sides)
        return [
            (torch.from_numpy(pad(lists, width)), torch.from_numpy(lists.lengths))
            for lists, width in zip(batch.sides, batch.widths)
        ]

    def _step(self, inputs: list[tuple[Any, ...]], labels: torch.Tensor) -> torch.Tensor:
        if self._tables.kind != "dense":
            inputs = [(means,) for means in self._tables.look_up(inputs)]
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

    @torch.no_grad()
    def load_weights(self, path: Path) -> None:
        """Start from the parameters that Object2Vec wrote, under its names."""
        with np.load(path, allow_pickle=False) as file:
            weights = {name: torch.from_numpy(file[name]) for name in file.files}
        tied = len(self._tables.tables) == 1
        for side, table in enumerate(self._tables.tables):
            table.copy_(weights["embed_shared_weight" if tied else f"embed_{side}_weight"])
        for layer, linear in enumerate(self._network.scorer.layers):
            _fill(linear, weights, f"mlp_fc{layer}")
        _fill(self._network.scorer.output, weights, "output_layer")
        for prefix, encoder in zip(("source_", "target_"), self._network.encoders):
            if isinstance(encoder, HierarchicalCNN):
                for layer, convolution in enumerate(encoder.layers):
                    _fill(convolution, weights, f"{prefix}{layer}")
            elif isinstance(encoder, BiLSTM):
                _fill_lstm(encoder, weights, prefix)


def _fill(layer: Any, weights: dict[str, torch.Tensor], name: str) -> None:
    layer.weight.copy_(weights[f"{name}_weight"].reshape(layer.weight.shape))
    layer.bias.copy_(weights[f"{name}_bias"])


def _fill_lstm(encoder: BiLSTM, weights: dict[str, torch.Tensor], prefix: str) -> None:
    """Copy an LSTM's weights; MXNet and PyTorch have the gates in the same order."""
    for direction, name in enumerate(("forward", "backward")):
        own: Optional[nn.Module] = encoder.lstms[min(direction, len(encoder.lstms) - 1)]
        end = "_reverse" if direction and len(encoder.lstms) == 1 else ""
        for theirs, ours in (("ih", "i2h"), ("hh", "h2h")):
            for kind in ("weight", "bias"):
                value = weights[f"{prefix}0_{name}_{ours}_{kind}"]
                getattr(own, f"{kind}_{theirs}_l0{end}").copy_(value)
