# SPDX-License-Identifier: Apache-2.0
"""The bidirectional LSTM: outputs and gradients."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field

import numpy as np
import pytest
from sanitized_library import call, constants, exact, pointer, random_lists, unwritten

from object2vec.compiled.library import LstmDirection, LstmLayer
from object2vec.data.arrays import TokenLists
from object2vec.data.layouts import time_steps

UNITS, PANEL = constants["UNITS"], constants["PANEL"]
# Inputs and both hidden sizes: around UNITS and PANEL, no two alike.
SIZES = (
    *((1, 1, 1), (1, 2, 1), (2, 1, 15), (3, 15, 16), (15, 16, 17), (16, 17, 31), (17, 33, 32)),
    *((63, 3, 2), (64, 2, 3), (65, 1, 5), (5, 63, 65), (7, 64, 1), (2, 66, 48), (191, 4, 1)),
    *(
        (193, 1, 20),
        (1000, 2, 1),
        (5, 130, 2),
        (66, 1, 193),
    ),  # and products deeper than DEPTH_CHUNK
)
LENGTHS = {
    "none": [],
    "empty": [0, 0],
    "one": [1],
    "single": [1] * 3,
    "long": [40],
    "any": [0, 3, 1, 5, 0, 2, 5],
}


@dataclass
class Direction:
    """One direction: its weights, what is kept for the gradients, and the gradients."""

    inputs: int
    hidden_size: int
    rng: np.random.Generator
    weights: list[np.ndarray] = field(init=False)
    gradients: list[np.ndarray] = field(init=False)
    kept: list[np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        shapes = (
            (4 * self.hidden_size, self.inputs),
            (4 * self.hidden_size, self.hidden_size),
            (4 * self.hidden_size,),
        )
        scales = self.inputs**-0.5, self.hidden_size**-0.5, 0.3, 0.3
        self.weights = [
            exact(self.rng.normal(0, scale, shape))
            for scale, shape in zip(scales, (*shapes, shapes[-1]))
        ]
        self.gradients = [unwritten(*shape) for shape in shapes]

    def direction(self, lists: int, rows: int) -> LstmDirection:
        """The structure that the C functions take."""
        panels = -(-self.hidden_size // UNITS)
        self.kept = [
            unwritten(rows, panels * PANEL + UNITS),
            unwritten(rows, panels * UNITS),
            unwritten(rows, panels * UNITS),
            exact(np.full((lists, panels * UNITS), -1), np.int32),
        ]
        arrays = (*self.weights, *self.kept, *self.gradients)
        return LstmDirection(self.hidden_size, *(pointer(array).value for array in arrays))

    def forward(self, x: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """The outputs for rows (rows, inputs) in time steps."""
        i2h, h2h, bias, bias2 = (weight.astype(float) for weight in self.weights)
        self._steps, start, lists = [], 0, int(counts.max(initial=0))
        h, c = np.zeros((2, lists, self.hidden_size))
        for count in counts:
            rows = slice(start, start := start + count)
            before = h[:count], c[:count]
            gates = x[rows] @ i2h.T + before[0] @ h2h.T + bias + bias2
            i, f, new, o = np.split(gates, 4, axis=1)
            i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
            new = np.tanh(new)
            c = f * before[1] + i * new
            h = o * np.tanh(c)
            self._steps.append((rows, before, (i, f, new, o), c, h))
        return np.concatenate(
            [np.zeros((0, self.hidden_size)), *(step[-1] for step in self._steps)]
        )

    def backward(self, x: np.ndarray, d_outputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """The gradients of x, i2h, h2h and either bias."""
        i2h, h2h = self.weights[0].astype(float), self.weights[1].astype(float)
        dx, d_i2h, d_h2h = np.zeros(x.shape), np.zeros(i2h.shape), np.zeros(h2h.shape)
        d_bias = np.zeros(len(i2h))
        dh, dc = np.zeros((2, 0, self.hidden_size))
        for rows, (h_before, c_before), (i, f, new, o), c, _ in reversed(self._steps):
            # lists that end with this step get no gradient from a next one
            more = ((0, len(c) - len(dh)), (0, 0))
            dh = np.pad(dh, more) + d_outputs[rows]
            squashed = np.tanh(c)
            dc = np.pad(dc, more) + dh * o * (1 - squashed**2)
            d_gates = np.concatenate(
                [
                    dc * new * i * (1 - i),
                    dc * c_before * f * (1 - f),
                    dc * i * (1 - new**2),
                    dh * squashed * o * (1 - o),
                ],
                axis=1,
            )
            dx[rows] = d_gates @ i2h
            d_i2h += d_gates.T @ x[rows]
            d_h2h += d_gates.T @ h_before
            d_bias += d_gates.sum(0)
            dh, dc = d_gates @ h2h, dc * f
        return dx, d_i2h, d_h2h, d_bias


def run(
    rng: np.random.Generator, lists: TokenLists, size: tuple[int, int, int], maximum: bool
) -> None:
    """Forward and backward with random weights; `size` is the inputs and both hidden sizes."""
    inputs, *hidden_sizes = size
    steps = time_steps(lists)
    count, rows = len(lists), len(steps.tokens)
    order, counts, reversed_ = (
        exact(a, np.int64) for a in (steps.order, steps.counts, steps.reversed)
    )
    both = [Direction(inputs, hidden_size, rng) for hidden_size in hidden_sizes]
    x, output = (
        exact(rng.normal(size=(rows, inputs))),
        unwritten(count if maximum else rows, sum(hidden_sizes)),
    )
    layer = LstmLayer(
        count, rows, len(counts), inputs, maximum,
        *(pointer(array).value for array in (order, counts, reversed_, x)), None,
        pointer(output).value, None, tuple(way.direction(count, rows) for way in both),
    )  # fmt: skip
    call("lstm_forward", ctypes.byref(layer))

    positions = np.arange(rows), reversed_
    given = [x[position].astype(float) for position in positions]
    outputs = [
        way.forward(own, counts)[position] for way, own, position in zip(both, given, positions)
    ]
    all_rows = np.concatenate(outputs, axis=1)
    list_of_row = np.concatenate([np.arange(n) for n in counts] + [[]]).astype(int)
    argmax = np.zeros((count, sum(hidden_sizes)), int)
    expected = all_rows
    if maximum:
        expected = np.zeros(output.shape)
        for k in range(int(counts.max(initial=0))):
            own_rows = np.flatnonzero(list_of_row == k)
            argmax[k] = own_rows[all_rows[own_rows].argmax(0)]
            expected[order[k]] = all_rows[own_rows].max(0)
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)

    dx, d_output = unwritten(rows, inputs), exact(rng.normal(size=output.shape))
    layer.dx, layer.d_output = pointer(dx), pointer(d_output)
    call("lstm_backward", ctypes.byref(layer))
    d_rows = d_output.astype(float)
    if maximum:
        d_rows = np.zeros(all_rows.shape)
        for k in range(int(counts.max(initial=0))):
            d_rows[argmax[k], np.arange(sum(hidden_sizes))] = d_output[order[k]]
    d_x = np.zeros((rows, inputs))
    for way, own, position, part in zip(
        both, given, positions, np.split(d_rows, [hidden_sizes[0]], axis=1)
    ):
        own_dx, *gradients = way.backward(own, part[position])
        d_x += own_dx[position]
        for found, gradient in zip(way.gradients, gradients):
            scale = max(1, np.abs(gradient).max(initial=0))
            np.testing.assert_allclose(found / scale, gradient / scale, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dx, d_x, rtol=1e-3, atol=1e-4)


given_maximum = pytest.mark.parametrize("maximum", [False, True], ids=["rows", "maximum"])


@given_maximum
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.usefixtures("isa")
def test_sizes(size: tuple[int, int, int], maximum: bool, rng: np.random.Generator) -> None:
    for lengths in ([0, 3, 1, 5, 0, 2, 5], [1]):
        run(rng, random_lists(rng, lengths, 50), size, maximum)


@given_maximum
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.usefixtures("isa")
def test_lists(lengths: list[int], maximum: bool, rng: np.random.Generator) -> None:
    run(rng, random_lists(rng, lengths, 50), (5, 3, 18), maximum)


@given_maximum
@pytest.mark.usefixtures("isa")
def test_lists_around_a_chunk(maximum: bool, rng: np.random.Generator) -> None:
    # LSTM_CHUNK_ROWS is 48; a product takes TILE_ROWS, 6, at a time
    for count in (5, 6, 7, 47, 48, 49, 97):
        run(rng, random_lists(rng, rng.integers(0, 4, count), 50), (3, 2, 17), maximum)


@given_maximum
@pytest.mark.usefixtures("isa")
def test_rows_around_a_product(maximum: bool, rng: np.random.Generator) -> None:
    # DEPTH_CHUNK is 512
    for rows in (511, 512, 513, 1030):
        run(rng, random_lists(rng, [*[10] * (rows // 10), rows % 10], 50), (2, 3, 1), maximum)
