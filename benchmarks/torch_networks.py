# SPDX-License-Identifier: Apache-2.0
"""Object2Vec's networks in PyTorch, for the peers of the benchmarks."""

from __future__ import annotations

from typing import Any, Optional

import torch
from torch import nn
from torch.nn import functional

from object2vec.hyperparameters.checked import EncoderHyperparameters, Hyperparameters

_ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh}


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
                    x = functional.dropout(x, settings.dropout, self.training)
        return self.output(x)


class Dropout(nn.Module):
    """The end of pooled_embedding: dropout on the means."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self._rate = rate

    def forward(self, means: torch.Tensor) -> torch.Tensor:
        return functional.dropout(means, self._rate, self.training) if self._rate else means


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


def encoder_of(settings: Hyperparameters, side: int, kind: str) -> nn.Module:
    """The encoder of in0 (0) or in1 (1).

    Parameters
    ----------
    settings : Hyperparameters
        The job.
    side : int
        0 or 1.
    kind : str
        ``conv1d`` or else Conv2d for hcnn, ``packed`` or else padded for bilstm.
    """
    encoder = settings.encoders[side]
    if encoder.network == "hcnn":
        return HierarchicalCNN(encoder, settings.enc_dim, flat=kind == "conv1d")
    if encoder.network == "bilstm":
        return BiLSTM(encoder, settings.enc_dim, packed=kind == "packed")
    return Dropout(settings.dropout)


@torch.no_grad()
def fill(network: Loss, tables: list[Any], weights: dict[str, torch.Tensor]) -> None:
    """Start from the parameters of Object2Vec.

    Parameters
    ----------
    network : Loss
        What to fill.
    tables : list of torch.Tensor
        The token tables to fill: one if tied, else two.
    weights : dict
        Object2Vec's parameters under their exported names.
    """
    for side, table in enumerate(tables):
        table.copy_(weights["embed_shared_weight" if len(tables) == 1 else f"embed_{side}_weight"])
    for layer, linear in enumerate(network.scorer.layers):
        _fill(linear, weights, f"mlp_fc{layer}")
    _fill(network.scorer.output, weights, "output_layer")
    for prefix, encoder in zip(("source_", "target_"), network.encoders):
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
