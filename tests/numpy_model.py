# SPDX-License-Identifier: Apache-2.0
"""The network once more, in NumPy and float64, from the exported parameters alone.

It follows the published description, takes one list at a time, and therefore knows no padding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


class NumpyModel:
    """Embeddings, scores and losses from parameters by name.

    Parameters
    ----------
    hyperparameters : Mapping
        Public name to value, as the model directory holds them.
    parameters : Mapping
        Exported name to array.
    """

    def __init__(
        self, hyperparameters: Mapping[str, Any], parameters: Mapping[str, np.ndarray]
    ) -> None:
        self.settings = hyperparameters
        self.parameters = {name: np.asarray(p, np.float64) for name, p in parameters.items()}
        self._own = slice(None)  # a member's part of an embedding
        # What was encoded once; a loss asks for the same lists several times.
        self._encoded: dict[tuple[int, tuple[int, ...]], np.ndarray] = {}

    def embeddings(self, side: int, lists: Sequence[Sequence[int]]) -> np.ndarray:
        """Embed lists, ``(n, enc_dim)``."""
        return np.stack([self._embedding(side, tuple(ids))[self._own] for ids in lists])

    def _embedding(self, side: int, ids: tuple[int, ...]) -> np.ndarray:
        if (side, ids) not in self._encoded:
            self._encoded[side, ids] = self._encode(side, ids)
        return self._encoded[side, ids]

    def _encode(self, side: int, ids: tuple[int, ...]) -> np.ndarray:
        shared = self.settings["tied_token_embedding_weight"]
        table = self.parameters["embed_shared_weight" if shared else f"embed_{side}_weight"]
        encode = {
            "pooled_embedding": self._pooled,
            "hcnn": self._hcnn,
            "bilstm": self._bilstm,
        }[self.settings[f"enc{side}_network"]]
        return encode(side, table[np.asarray(ids, int)])

    def _pooled(self, side: int, vectors: np.ndarray) -> np.ndarray:
        return vectors.sum(axis=0) / max(len(vectors), 1)

    def _hcnn(self, side: int, vectors: np.ndarray) -> np.ndarray:
        width = self.settings[f"enc{side}_cnn_filter_width"]
        left = (width - 1) // 2
        x, maxima = vectors, []
        for layer in range(self.settings[f"enc{side}_layers"]):
            weight = self._of(side, f"{layer}_weight")  # (filters, channels, width)
            bias = self._of(side, f"{layer}_bias")
            answer = np.tile(bias, (len(x), 1))
            for time in range(len(x)):
                for place in range(width):
                    source = time - left + place
                    if 0 <= source < len(x):
                        answer[time] += weight[:, :, place] @ x[source]
            x = np.maximum(answer, 0)
            maxima.append(x.max(axis=0) if len(x) else np.zeros(len(bias)))
        return np.concatenate(maxima)

    def _bilstm(self, side: int, vectors: np.ndarray) -> np.ndarray:
        x = vectors
        for layer in range(self.settings[f"enc{side}_layers"]):
            forward = self._lstm(side, layer, "forward", x)
            backward = self._lstm(side, layer, "backward", x[::-1])[::-1]
            x = np.concatenate([forward, backward], axis=1)
        return x.max(axis=0) if len(x) else np.zeros(x.shape[1])

    def _lstm(self, side: int, layer: int, direction: str, x: np.ndarray) -> np.ndarray:
        def of(part: str) -> np.ndarray:
            return self._of(side, f"{layer}_{direction}_{part}")

        recurrent = of("h2h_weight")  # (4 half, half)
        half = recurrent.shape[1]
        hidden, cell = np.zeros(half), np.zeros(half)
        answer = np.zeros((len(x), half))
        from_input = x @ of("i2h_weight").T + of("i2h_bias") + of("h2h_bias")
        for time, given in enumerate(from_input):
            enter, forget, new, out = (given + recurrent @ hidden).reshape(4, half)
            cell = _sigmoid(forget) * cell + _sigmoid(enter) * np.tanh(new)
            hidden = _sigmoid(out) * np.tanh(cell)
            answer[time] = hidden
        return answer

    def _of(self, side: int, name: str) -> np.ndarray:
        prefix = "shared_" if self.settings.get("tied_encoders") else ("source_", "target_")[side]
        return self.parameters[prefix + name]

    def outputs(self, vector0: np.ndarray, vector1: np.ndarray) -> np.ndarray:
        """The output layer's numbers for embeddings, ``(n, num_classes)`` or ``(n, 1)``."""
        if self.settings.get("scorer", "mlp") != "mlp":
            return self._similarity_outputs(self.similarity(vector0, vector1))
        parts = {
            "hadamard": [vector0 * vector1],
            "concat": [vector0, vector1],
            "abs_diff": [np.abs(vector0 - vector1)],
        }
        compared = [part for name in self.settings["comparator_list"] for part in parts[name]]
        x = np.concatenate(compared, axis=1)
        activate = {
            "linear": lambda value: value,
            "relu": lambda value: np.maximum(value, 0),
            "tanh": np.tanh,
        }[self.settings["mlp_activation"]]
        for layer in range(self.settings["mlp_layers"]):
            x = activate(self._dense(f"mlp_fc{layer}", x))
        return self._dense("output_layer", x)

    def similarity(self, vector0: np.ndarray, vector1: np.ndarray) -> np.ndarray:
        """Dot products or cosines over the last axis."""
        if self.settings["scorer"] == "cosine":
            vector0, vector1 = (
                vector / np.sqrt(np.sum(vector**2, axis=-1, keepdims=True) + 1e-12)
                for vector in (vector0, vector1)
            )
        return np.sum(vector0 * vector1, axis=-1)

    def _similarity_outputs(self, similarity: np.ndarray) -> np.ndarray:
        if self._is_contrastive:
            return similarity[:, None]
        scale = np.exp(self.parameters.get("output_layer_log_scale", np.zeros(1))) / self._members
        output = (similarity * scale + self.parameters["output_layer_bias"])[:, None]
        return output if self._is_regression else np.concatenate([0 * output, output], axis=1)

    def logits(self, in0: Sequence[Sequence[int]], in1: Sequence[Sequence[int]]) -> np.ndarray:
        """Similarities of all in0 with all in1, over the temperature."""
        vectors = self.embeddings(0, in0)[:, None], self.embeddings(1, in1)[None]
        log_scale = self.parameters.get("output_layer_log_scale")
        scale = 1 / self.settings["temperature"] if log_scale is None else np.exp(log_scale)
        return self.similarity(*vectors) * scale / self._members

    def _of_members(self) -> list[NumpyModel]:
        """The members of an ensemble, each a model of its own."""
        width = self.settings["enc_dim"] // self._members
        members = []
        for start in range(0, self.settings["enc_dim"], width):
            member = NumpyModel({**self.settings, "ensemble_size": 1}, self.parameters)
            member._own, member._encoded = slice(start, start + width), self._encoded
            members.append(member)
        return members

    def in_batch_losses(
        self,
        in0: Sequence[Sequence[int]],
        in1: Sequence[Sequence[int]],
        log_shares: Sequence[np.ndarray] = (),
    ) -> tuple[float, float, float]:
        """Trained loss of a batch, its mean in both directions, and the share found first."""
        sides = [[tuple(ids) for ids in lists] for lists in (in0, in1)]
        places = range(len(in0))
        entropies, hits = np.zeros(len(in0)), 0
        for direction, logits in enumerate((self.logits(in0, in1), self.logits(in0, in1).T)):
            for row in places:
                answers = [
                    column
                    for column in places
                    if column == row or all(side[column] != side[row] for side in sides)
                ]
                found = logits[row].copy()
                if len(log_shares):
                    found -= self.settings["popularity_correction"] * log_shares[1 - direction]
                total = np.log(np.sum(np.exp(found[answers] - found[row])))
                entropies[row] += total / 2
                hits += direction == 0 and max(answers, key=lambda at: found[at]) == row
        reported = float(np.mean(entropies)), hits / len(in0)
        if self._members == 1:
            return (reported[0], *reported)
        members = [each.in_batch_losses(in0, in1, log_shares)[0] for each in self._of_members()]
        return (sum(members), *reported)

    def retrieval(
        self, in0: Sequence[Sequence[int]], in1: Sequence[Sequence[int]]
    ) -> tuple[float, float]:
        """Mean cross-entropy of each in1 among all that differ, and the share of those found."""
        every = list(dict.fromkeys(tuple(ids) for ids in in1))
        own = np.array([every.index(tuple(ids)) for ids in in1])
        logits = self.logits(in0, every)
        entropies = -_log_softmax(logits)[np.arange(len(own)), own]
        # one that is as good as another is not found
        before = np.sum(logits >= logits[np.arange(len(own)), own][:, None], axis=1)
        return float(np.mean(entropies)), float(np.mean(before == 1))

    def _dense(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.parameters[f"{name}_weight"].T + self.parameters[f"{name}_bias"]

    def scores(self, in0: Sequence[Sequence[int]], in1: Sequence[Sequence[int]]) -> np.ndarray:
        """Probabilities ``(n, num_classes)``, or numbers ``(n,)``."""
        outputs = self.outputs(self.embeddings(0, in0), self.embeddings(1, in1))
        one_number = self._is_regression or self._is_contrastive
        if self.settings["output_layer"] == "multi_label":
            return _sigmoid(outputs)
        return outputs[:, 0] if one_number else np.exp(_log_softmax(outputs))

    def losses(
        self, in0: Sequence[Sequence[int]], in1: Sequence[Sequence[int]], labels: np.ndarray
    ) -> tuple[float, ...]:
        """Mean trained loss, mean reported loss, and accuracy or mean absolute error.

        What is reported of in_batch_softmax is that of validation, the other that of one batch. Of
        multi_label the last two are, a pair, twice the classes that are predicted right, and the
        classes that are predicted or labels.
        """
        if self._is_contrastive:
            return (self.in_batch_losses(in0, in1)[0], *self.retrieval(in0, in1))
        if self._members > 1:
            members = [each.losses(in0, in1, labels)[0] for each in self._of_members()]
            return (sum(members), *self._judged(in0, in1, labels)[1:])
        return self._judged(in0, in1, labels)

    def _judged(
        self, in0: Sequence[Sequence[int]], in1: Sequence[Sequence[int]], labels: np.ndarray
    ) -> tuple[float, ...]:
        outputs = self.outputs(self.embeddings(0, in0), self.embeddings(1, in1))
        if self._is_regression:
            difference = outputs[:, 0] - labels
            squared = float(np.mean(difference**2))
            return squared / 2, squared, float(np.mean(np.abs(difference)))
        factors = np.array(self.settings.get("class_weights", [1.0] * outputs.shape[1]))
        if self.settings["output_layer"] == "multi_label":
            has, chances = labels > 0, _sigmoid(outputs)
            entropies = -np.where(has, factors * np.log(chances), np.log(1 - chances))
            entropy, predicted = float(entropies.mean()), chances > 0.5
            either = predicted.sum() + has.sum()
            return entropy, entropy, 2 * (predicted & has).sum() / len(has), either / len(has)
        classes = labels.astype(int)
        entropies = -_log_softmax(outputs)[np.arange(len(classes)), classes]
        entropy = float(np.mean(factors[classes] * entropies))
        return entropy, entropy, float(np.mean(outputs.argmax(axis=1) == classes))

    @property
    def _members(self) -> int:
        return int(self.settings.get("ensemble_size", 1))

    @property
    def _is_contrastive(self) -> bool:
        return bool(self.settings["output_layer"] == "in_batch_softmax")

    @property
    def _is_regression(self) -> bool:
        return bool(self.settings["output_layer"] == "mean_squared_error")


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))
