# SPDX-License-Identifier: Apache-2.0
"""The peer of the inference benchmark: scores and embeddings by the same networks in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.torch_networks import Loss, encoder_of, fill
from object2vec.data.arrays import TokenLists
from object2vec.data.layouts import pad, widest
from object2vec.hyperparameters.checked import Hyperparameters

_RUN = 128  # lists that are padded to one length


class Embedder(nn.Module):
    """One input's ids, with the lists' starts or lengths, to their vectors."""

    def __init__(self, table: nn.Parameter, encoder: nn.Module, is_pooled: bool) -> None:
        super().__init__()
        self.table, self.encoder, self._is_pooled = table, encoder, is_pooled

    def forward(self, tokens: torch.Tensor, more: torch.Tensor) -> torch.Tensor:
        if self._is_pooled:
            return functional.embedding_bag(tokens, self.table, more, mode="mean")
        vectors: torch.Tensor = self.encoder(functional.embedding(tokens, self.table), more)
        return vectors


class PairScorer(nn.Module):
    """Two inputs to the probabilities of the classes."""

    def __init__(self, embedders: list[Embedder], scorer: nn.Module) -> None:
        super().__init__()
        self.left, self.right = embedders
        self.scorer = scorer

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        raw = self.scorer(self.left(*inputs[:2]), self.right(*inputs[2:]))
        return torch.softmax(raw, dim=1)


def variants(settings: Hyperparameters) -> list[str]:
    """The ways to write it that compete."""
    end = "" if settings.enc0.network == "pooled_embedding" else ", sorted"
    return [f"torch {kind}{end}" for kind in ("eager", "traced", "compiled")]


class Predictor:
    """Answers as ``object2vec.inference.predictor.Predictor`` does.

    Parameters
    ----------
    settings : Hyperparameters
        The model, without dropout.
    weights : pathlib.Path
        Its parameters under the exported names.
    variant : str
        One of `variants`; ``sorted`` pads runs of lists of similar length to one length each.
    threads : int
        Of PyTorch.
    """

    def __init__(
        self, settings: Hyperparameters, weights: Path, variant: str, threads: int
    ) -> None:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        self._how, _, more = variant.removeprefix("torch ").partition(", ")
        self._run = _RUN if more == "sorted" else 0
        self._pooled = settings.enc0.network == "pooled_embedding"
        network = Loss(settings, [encoder_of(settings, side, "conv2d") for side in (0, 1)])
        tables = [
            nn.Parameter(torch.empty(encoder.vocab_size, encoder.token_embedding_dim))
            for encoder in settings.encoders[: 1 if settings.tied_token_embedding_weight else 2]
        ]
        with np.load(weights, allow_pickle=False) as file:
            fill(network, tables, {name: torch.from_numpy(file[name]) for name in file.files})
        embedders = [
            Embedder(table, encoder, self._pooled)
            for table, encoder in zip((tables[0], tables[-1]), network.encoders)
        ]
        example = self._inputs(TokenLists.from_lists([[1, 2, 3], [1, 2]]))
        self._embed = [self._made_fast(embedder, example) for embedder in embedders]
        self._score = self._made_fast(PairScorer(embedders, network.scorer), example * 2)

    def _made_fast(
        self, module: nn.Module, example: tuple[torch.Tensor, ...]
    ) -> Callable[..., Any]:
        module = module.eval()
        if self._how == "compiled":
            return torch.compile(module, dynamic=True)
        if self._how == "traced":
            with torch.no_grad():
                traced = torch.jit.trace(module, example, check_trace=False)
                return torch.jit.freeze(traced)
        return module

    def _inputs(self, lists: TokenLists) -> tuple[torch.Tensor, ...]:
        if self._pooled:
            return torch.from_numpy(lists.tokens), torch.from_numpy(lists.offsets[:-1].copy())
        return torch.from_numpy(pad(lists, widest(lists))), torch.from_numpy(lists.lengths)

    def _runs(self, lengths: np.ndarray) -> list[np.ndarray]:
        return np.array_split(np.argsort(lengths), max(1, round(len(lengths) / self._run)))

    @torch.inference_mode()
    def embeddings(self, side: int, lists: TokenLists) -> np.ndarray:
        """Embed objects; shape ``(n, enc_dim)``."""
        if not self._run:
            return np.asarray(self._embed[side](*self._inputs(lists)))
        runs = self._runs(lists.lengths)
        parts = [self._embed[side](*self._inputs(lists.take(rows))) for rows in runs]
        return _in_order(parts, runs)

    @torch.inference_mode()
    def scores(self, in0: TokenLists, in1: TokenLists) -> np.ndarray:
        """Score pairs; shape ``(n, num_classes)``."""
        if not self._run:
            return np.asarray(self._score(*self._inputs(in0), *self._inputs(in1)))
        runs = self._runs(in0.lengths + in1.lengths)
        parts = [
            self._score(*self._inputs(in0.take(rows)), *self._inputs(in1.take(rows)))
            for rows in runs
        ]
        return _in_order(parts, runs)


def _in_order(parts: list[torch.Tensor], runs: list[np.ndarray]) -> np.ndarray:
    answer = np.empty((sum(map(len, runs)), parts[0].shape[1]), np.float32)
    for rows, part in zip(runs, parts):
        answer[rows] = part
    return answer
