# SPDX-License-Identifier: Apache-2.0
"""The encoders: they turn a list's token vectors into one vector, its embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from object2vec.backend.mxnet_import import mx
from object2vec.backend.mxnet_types import Context, NDArray, Parameter, Tensor
from object2vec.data.layouts import POSITIONS_STEP
from object2vec.hyperparameters.checked import EncoderHyperparameters

_FORGET_GATE = 1  # its position in MXNet's order of gates: in, forget, cell, out
# Their steps do not shrink with the gradients, as those of sgd do, so that they leave a start of
# small convolutions, whose gradients are tiny where four are on top of each other.
_STARTING_SMALL = ("adam", "adamw")


def dropout(F: Any, x: Tensor, rate: float) -> Tensor:
    """Drop elements in training and scale the rest by 1 / (1 - rate); do nothing otherwise.

    MXNet's own gives NaN at rate 1, where this gives zeros.
    """
    if rate == 0:
        return x
    if rate < 1:
        return F.Dropout(x, p=rate)
    # all ones in inference, zeros and twos in training
    probe = F.Dropout(F.ones_like(x), p=0.5)
    return x * (probe == 1)


def maximum(F: Any, x: Tensor, parts: int) -> Tensor:
    """The maximum over the first axis, whose length is a multiple of ``parts``, a power of two.

    F.max is slow, in the backward pass too. So the parts are compared elementwise first, and F.max
    takes the maximum of what is left: the more parts, the less.
    """
    pieces = list(F.split(x, num_outputs=parts, axis=0))
    while len(pieces) > 1:
        pieces = [F.maximum(*pair) for pair in zip(pieces[::2], pieces[1::2])]
    return F.max(pieces[0], axis=0)


def side_by_side(F: Any, parts: Sequence[Tensor], widths: Sequence[int]) -> Tensor:
    """Join arrays ``(n, width)`` to ``(n, sum of widths)``.

    The gradient of F.concat with dim=1 is computed by oneDNN, and MXNet 1.9.1 never frees what it
    makes for it: 1 KB an array in each step.
    """
    if len(parts) == 1:
        return parts[0]
    if len(set(widths)) == 1:
        return F.reshape(F.stack(*parts, axis=1), shape=(0, -1))
    # MXNet's own kernel, six times as slow
    return F.concat(*parts, dim=-1)


class Encoder(mx.gluon.HybridBlock):
    """Maps token vectors, shape ``(batch, length, width)``, to vectors ``(batch, enc_dim)``.

    ``lengths``, shape ``(batch,)``, says how many of a list's token vectors are real; the padding
    after them has no influence. An empty list becomes the zero vector.

    Parameters
    ----------
    prefix : str
        Start of the parameters' names.
    """

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix=prefix)

    def hybrid_forward(
        self, F: Any, vectors: Tensor, lengths: Tensor, **parameters: Tensor
    ) -> Tensor:
        """Encode; see the class."""
        raise NotImplementedError


class PooledEmbedding(Encoder):
    """The mean over the real token vectors, then dropout.

    The mean is linear in the token table, so it is computed where tokens are looked up: this block
    gets the means, ``(batch, enc_dim)``, and no lengths.
    """

    def __init__(self, prefix: str, rate: float) -> None:
        super().__init__(prefix)
        self._rate = rate

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """Encode; see the class."""
        return super().forward(vectors) if self._rate else vectors

    def hybrid_forward(self, F: Any, vectors: Tensor) -> Tensor:  # type: ignore[override]
        """Encode; see the class."""
        return dropout(F, vectors, self._rate)


class HierarchicalCNN(Encoder):
    """Convolutions over time on top of each other; the maxima over time of all layers.

    The ConvNet encoder of Conneau et al. 2017 (arXiv 1705.02364), with the padding masked after
    every layer so that an embedding does not depend on it.

    Parameters
    ----------
    prefix : str
        Start of the parameters' names: ``{prefix}{layer}_weight`` has the shape
        ``(filters, channels, filter_width)``, ``{prefix}{layer}_bias`` ``(filters,)``.
    enc_dim : int
        Width of the output. It is divided among the layers; where that leaves a remainder, the
        first layers get one more.
    layers : int
        Number of convolutions.
    filter_width : int
        Tokens under a filter; one of even width reaches one token further to the right.
    token_dim : int
        Width of a token vector.
    rate : float
        Dropout on what the next convolution sees.
    starts_small : bool
        Whether weights start uniform in ±1 / sqrt(channels * filter_width), about half of the range
        of Xavier's, with which they start else.
    """

    def __init__(
        self,
        prefix: str,
        enc_dim: int,
        layers: int,
        filter_width: int,
        token_dim: int,
        rate: float,
        *,
        starts_small: bool,
    ) -> None:
        super().__init__(prefix)
        self._rate = rate
        self._filter_width = filter_width
        self._filters = [enc_dim // layers + (k < enc_dim % layers) for k in range(layers)]
        self._layers: list[tuple[Parameter, Parameter]] = []
        channels = token_dim
        small = {"factor_type": "in", "magnitude": 1} if starts_small else {}
        for layer, filters in enumerate(self._filters):
            weight = self.params.get(
                f"{layer}_weight",
                shape=(filters, channels, filter_width),
                init=mx.init.Xavier(**small),
            )
            bias = self.params.get(f"{layer}_bias", shape=(filters,), init="zeros", wd_mult=0.0)
            setattr(self, f"weight{layer}", weight)
            setattr(self, f"bias{layer}", bias)
            self._layers.append((weight, bias))
            channels = filters

    def hybrid_forward(
        self,
        F: Any,
        vectors: Tensor,
        lengths: Tensor,
        windows: Optional[Tensor] = None,
        positions: Optional[Tensor] = None,
        **parameters: Tensor,
    ) -> Tensor:
        """Encode; see the class.

        ``windows`` and ``positions`` of `layouts.pack` ask for the packed form: ``vectors`` then
        is ``(rows, token_dim)``, and ``lengths`` the number of real rows, ``(1,)``.
        """
        if windows is None:
            return self._encode_padded(F, vectors, lengths, parameters)
        rows = self._convolve(F, vectors, lengths, windows, parameters)
        # (time, batch, enc_dim), then (batch, enc_dim)
        return maximum(F, F.take(rows, positions), POSITIONS_STEP)

    def layers(self, context: Context) -> list[tuple[NDArray, NDArray]]:
        """Weight and bias of each layer on a device."""
        return [(weight.data(context), bias.data(context)) for weight, bias in self._layers]

    def _convolve(
        self,
        F: Any,
        vectors: Tensor,
        count: Tensor,
        windows: Tensor,
        parameters: Mapping[str, Tensor],
    ) -> Tensor:
        """The outputs of all layers, side by side, ``(rows, enc_dim)``."""
        x = self._rows(F, vectors, count)
        rows = []
        for layer, filters in enumerate(self._filters):
            if layer:
                x = dropout(F, x, self._rate)
            # a convolution is one matrix product once each row holds the tokens under its filter:
            # (rows, filter_width * channels)
            x = F.reshape(F.take(x, windows), shape=(0, -1))
            # (filters, filter_width, channels), then (filters, filter_width * channels)
            weight = F.transpose(parameters[f"weight{layer}"], axes=(0, 2, 1))
            weight = F.reshape(weight, shape=(0, -1))
            # (rows, filters)
            x = F.FullyConnected(x, weight, parameters[f"bias{layer}"], num_hidden=filters)
            x = self._rows(F, F.Activation(x, act_type="relu"), count)
            rows.append(x)
        return side_by_side(F, rows, self._filters)

    @staticmethod
    def _rows(F: Any, x: Tensor, count: Tensor) -> Tensor:
        """Set the rows after the real ones to zero."""
        # (rows, 1, channels), as of one list, then (rows, channels)
        masked = F.SequenceMask(F.expand_dims(x, axis=1), count, use_sequence_length=True)
        return F.reshape(masked, shape=(-3, 0))

    def _encode_padded(
        self, F: Any, vectors: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor]
    ) -> Tensor:
        width = self._filter_width
        # (batch, length, token_dim), then (batch, token_dim, length)
        x = F.SequenceMask(vectors, lengths, use_sequence_length=True, axis=1)
        x = F.transpose(x, axes=(0, 2, 1))
        maxima = []
        for layer, filters in enumerate(self._filters):
            if layer:
                x = dropout(F, x, self._rate)
            # (batch, filters, length), one longer where the width is even
            x = F.Convolution(
                x,
                parameters[f"weight{layer}"],
                parameters[f"bias{layer}"],
                kernel=(width,),
                pad=(width // 2,),
                num_filter=filters,
            )
            if width % 2 == 0:
                x = F.slice_axis(x, axis=2, begin=1, end=None)
            x = self._masked(F, F.relu(x), lengths, filters)
            maxima.append(F.max(x, axis=2))  # (batch, filters)
        return side_by_side(F, maxima, self._filters)

    @staticmethod
    def _masked(F: Any, x: Tensor, lengths: Tensor, filters: int) -> Tensor:
        # (batch * filters, length)
        rows = F.reshape(x, shape=(-3, 0))
        rows = F.SequenceMask(
            rows, F.repeat(lengths, repeats=filters), use_sequence_length=True, axis=1
        )
        return F.reshape_like(rows, x)


class BiLSTM(Encoder):
    """A bidirectional LSTM, then the maximum over the real time steps.

    Each layer is two one-way LSTMs with the second on the reversed list: MXNet's bidirectional one
    ignores the lengths on the CPU (apache/mxnet#19323). Dropout stands between the layers.

    Parameters
    ----------
    prefix : str
        Start of the parameters' names, ``{layer}_{forward|backward}_{i2h|h2h}_{weight|bias}``, with
        the shapes ``(4 * hidden_size, inputs)``, ``(4 * hidden_size, hidden_size)`` and
        ``(4 * hidden_size,)``; gates in the order in, forget, cell, out.
    enc_dim : int
        Width of the output, half of it from each direction; where it is odd, the forward direction
        has one more.
    layers : int
        Number of layers.
    token_dim : int
        Width of a token vector.
    rate : float
        Dropout between layers.
    """

    def __init__(self, prefix: str, enc_dim: int, layers: int, token_dim: int, rate: float) -> None:
        super().__init__(prefix)
        self._rate = rate
        self._layers = layers
        self._hidden_sizes = {"forward": enc_dim - enc_dim // 2, "backward": enc_dim // 2}
        for layer in range(layers):
            inputs = enc_dim if layer else token_dim
            for direction, hidden_size in self._hidden_sizes.items():
                for part, columns in (("i2h", inputs), ("h2h", hidden_size)):
                    name = f"{layer}_{direction}_{part}"
                    weight = self.params.get(
                        f"{name}_weight", shape=(4 * hidden_size, columns), init=mx.init.Xavier()
                    )
                    bias = self.params.get(
                        f"{name}_bias",
                        shape=(4 * hidden_size,),
                        init=_ForgetGateOne() if part == "i2h" else "zeros",
                        wd_mult=0.0,
                    )
                    setattr(self, f"w_{name}", weight)
                    setattr(self, f"b_{name}", bias)

    def hybrid_forward(
        self,
        F: Any,
        vectors: Tensor,
        lengths: Tensor,
        **parameters: Tensor,
    ) -> Tensor:
        """Encode; see the class."""
        x = F.transpose(vectors, axes=(1, 0, 2))  # (length, batch, token_dim)
        forward, backward = self._run_both(F, x, lengths, 0, parameters)
        for layer in range(1, self._layers):
            x = self._join(F, forward, self._reverse(F, backward, lengths))
            x = dropout(F, x, self._rate)
            forward, backward = self._run_both(F, x, lengths, layer, parameters)
        # the backward outputs stay reversed, as their order does not matter to the maximum
        maxima = [self._maximum(F, x, lengths) for x in (forward, backward)]
        return side_by_side(F, maxima, list(self._hidden_sizes.values()))

    def layers(self, context: Context) -> list[list[NDArray]]:
        """The weights of each layer on a device, as `compiled.lstm` takes them."""
        return [
            [
                self._reg_params[f"{kind}_{layer}_{direction}_{part}"].data(context)
                for direction in self._hidden_sizes
                for kind in ("w", "b")
                for part in ("i2h", "h2h")
            ]
            for layer in range(self._layers)
        ]

    def _run_both(
        self,
        F: Any,
        x: Tensor,
        lengths: Tensor,
        layer: int,
        parameters: Mapping[str, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Outputs of both directions; those of the backward one are in reversed order."""
        forward = self._run(F, x, lengths, layer, "forward", parameters)
        x = self._reverse(F, x, lengths)
        return forward, self._run(F, x, lengths, layer, "backward", parameters)

    @staticmethod
    def _reverse(F: Any, x: Tensor, lengths: Tensor) -> Tensor:
        return F.SequenceReverse(x, lengths, use_sequence_length=True)

    def _join(self, F: Any, forward: Tensor, backward: Tensor) -> Tensor:
        # MXNet is slow to join arrays of three axes: (length * batch, enc_dim)
        both = [F.reshape(x, shape=(-3, 0)) for x in (forward, backward)]
        rows = side_by_side(F, both, list(self._hidden_sizes.values()))
        # (length, batch, enc_dim)
        return F.reshape_like(rows, forward, lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=2)

    @staticmethod
    def _maximum(F: Any, x: Tensor, lengths: Tensor) -> Tensor:
        # padding becomes -1, below all outputs of an LSTM, which lie in (-1, 1):
        # (length, batch, hidden_size), then (batch, hidden_size)
        x = F.SequenceMask(x, lengths, use_sequence_length=True, value=-1.0)
        x = F.max(x, axis=0)
        # the maximum of an empty list is set to zero:
        # (1, batch, hidden_size), then (batch, hidden_size)
        x = F.SequenceMask(F.expand_dims(x, axis=0), lengths, use_sequence_length=True)
        return F.reshape(x, shape=(-3, 0))

    def _run(
        self,
        F: Any,
        x: Tensor,
        lengths: Tensor,
        layer: int,
        direction: str,
        parameters: Mapping[str, Tensor],
    ) -> Tensor:
        hidden_size = self._hidden_sizes[direction]
        # MXNet is slow to join arrays of one axis: (rows, 4 * hidden_size), weights before biases
        packed = [
            F.reshape(parameters[f"{kind}_{layer}_{direction}_{part}"], shape=(-1, 4 * hidden_size))
            for kind in ("w", "b")
            for part in ("i2h", "h2h")
        ]
        weights = F.reshape(F.concat(*packed, dim=0), shape=(-1,))
        # zeros like the lengths, for zeros like x would add a gradient of zeros to that of x:
        # (1, batch, hidden_size)
        start = F.tile(F.reshape(F.zeros_like(lengths), shape=(1, -1, 1)), reps=(1, 1, hidden_size))
        # (length, batch, hidden_size)
        return F.RNN(x, weights, start, start, mode="lstm", state_size=hidden_size, num_layers=1)


class _ForgetGateOne(mx.init.Initializer):
    """Zeros, but ones for the forget gate (Jozefowicz et al. 2015)."""

    def _init_weight(self, name: str, array: NDArray) -> None:
        gates = array.shape[0] // 4
        array[:] = 0.0
        array[_FORGET_GATE * gates : (_FORGET_GATE + 1) * gates] = 1.0

    _init_bias = _init_weight


def build_encoder(
    prefix: str, encoder: EncoderHyperparameters, enc_dim: int, rate: float, optimizer: str
) -> Encoder:
    """Build the encoder that the hyperparameters name.

    Parameters
    ----------
    prefix : str
        Start of the parameters' names, ``source_`` for enc0 and ``target_`` for enc1.
    encoder : EncoderHyperparameters
        What encN_* say.
    enc_dim : int
        Width of the output.
    rate : float
        Dropout rate, 0 to 1.
    optimizer : str
        By which it is trained; what weights start from follows from it.
    """
    if encoder.network == "pooled_embedding":
        return PooledEmbedding(prefix, rate)
    if encoder.network == "hcnn":
        return HierarchicalCNN(
            prefix,
            enc_dim,
            encoder.layers,
            encoder.cnn_filter_width,
            encoder.token_embedding_dim,
            rate,
            starts_small=optimizer in _STARTING_SMALL,
        )
    return BiLSTM(prefix, enc_dim, encoder.layers, encoder.token_embedding_dim, rate)
