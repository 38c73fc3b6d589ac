# SPDX-License-Identifier: Apache-2.0
"""The LSTM of training gives what MXNet's own operators give, answers and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_jobs import VOCAB, chosen, random_lists, random_network, settings

from object2vec.backend.mxnet_import import mx
from object2vec.compiled.kernels import mean_of_rows
from object2vec.compiled.lstm import BidirectionalLayer
from object2vec.data.arrays import TokenLists
from object2vec.data.layouts import time_steps
from object2vec.inference.predictor import Predictor
from object2vec.model.encoder_inputs import embed
from object2vec.model.network import Object2VecNetwork
from object2vec.training.compiled_way import StepRows, prepare_input

pytestmark = [pytest.mark.own_way, pytest.mark.usefixtures("isa")]

CPU = mx.cpu(0)
# inputs and both hidden sizes: within a panel of 64 or a vector of 16, just that, and more
SHAPES = [(1, 1, 1), (5, 17, 16), (64, 64, 64), (70, 67, 66)]
LARGE = pytest.param((520, 150, 140), marks=pytest.mark.slow)
given_shape = pytest.mark.parametrize("shape", [*SHAPES, LARGE], ids=str)


def lists_with_long_one(rng: np.random.Generator) -> TokenLists:
    """More than a thread takes at a time, more tokens than a product, and empty lists."""
    lengths = np.concatenate([rng.integers(0, 19, 70), [0, 33, 1]])
    return TokenLists.from_lengths(rng.integers(0, VOCAB, lengths.sum()).astype(np.int32), lengths)


def random_weights(shape: tuple[int, int, int], rng: np.random.Generator, scale: float) -> Any:
    inputs, *hidden_sizes = shape
    sizes = [
        size
        for hidden_size in hidden_sizes
        for size in (
            (4 * hidden_size, inputs),
            (4 * hidden_size, hidden_size),
            (4 * hidden_size,),
            (4 * hidden_size,),
        )
    ]
    return [mx.nd.array(rng.normal(0, scale, size)) for size in sizes]


def with_gradients(arrays: list[Any]) -> list[Any]:
    for array in arrays:
        array.attach_grad()
    return arrays


def by_operators(lists: TokenLists, weights: list[Any], vectors: Any) -> Any:
    """Each list for itself through MXNet's LSTM; rows in the order of the lists."""
    rows = []
    for start, end in zip(lists.offsets[:-1], lists.offsets[1:]):
        if start == end:
            continue
        x = mx.nd.slice_axis(vectors, axis=0, begin=int(start), end=int(end))
        both = []
        for own, is_back in ((weights[:4], False), (weights[4:], True)):
            hidden_size = own[1].shape[1]
            packed = mx.nd.concat(*(mx.nd.reshape(array, (-1,)) for array in own), dim=0)
            zeros = mx.nd.zeros((1, 1, hidden_size))
            given = mx.nd.reverse(x, axis=0) if is_back else x
            given = mx.nd.expand_dims(given, axis=1)
            out = mx.nd.RNN(
                given, packed, zeros, zeros, mode="lstm", state_size=hidden_size, num_layers=1
            )
            out = mx.nd.reshape(out, (-1, hidden_size))
            both.append(mx.nd.reverse(out, axis=0) if is_back else out)
        rows.append(mx.nd.concat(*both, dim=1))
    return mx.nd.concat(*rows, dim=0)


def list_rows(lists: TokenLists) -> np.ndarray:
    """For each token in the order of the lists its row among the time steps."""
    numbered = TokenLists.from_lengths(
        np.arange(lists.tokens.size, dtype=np.int32), lists.lengths.astype(np.int64)
    )
    return np.argsort(time_steps(numbered).tokens)


@pytest.mark.slow
@given_shape
def test_rows_and_gradients_are_those_of_the_operators(
    shape: tuple[int, int, int], rng: np.random.Generator
) -> None:
    lists = lists_with_long_one(rng)
    rows = list_rows(lists)
    start = random_weights(shape, rng, 1 / sum(shape) ** 0.5)
    # about 1: hundreds about 0 may add up to next to nothing, of which rounding is too large a part
    vectors = rng.normal(1, 1, (lists.tokens.size, shape[0]))
    slopes = rng.normal(1, 1, (lists.tokens.size, sum(shape[1:])))
    theirs = with_gradients([*(weight.copy() for weight in start), mx.nd.array(vectors)])
    with mx.autograd.record():
        expected = by_operators(lists, theirs[:-1], theirs[-1])
    expected.backward(mx.nd.array(slopes))
    by_step = np.argsort(rows)
    ours = with_gradients([*start, mx.nd.array(vectors[by_step])])
    with mx.autograd.record():
        found = BidirectionalLayer(time_steps(lists), is_maximum=False)(*ours)
    found.backward(mx.nd.array(slopes[by_step]))
    np.testing.assert_allclose(found.asnumpy()[rows], expected.asnumpy(), rtol=0, atol=3e-6)
    gradients = [array.grad.asnumpy() for array in ours]
    gradients[-1] = gradients[-1][rows]
    for position, (mine, other) in enumerate(zip(gradients, theirs)):
        wanted = other.grad.asnumpy()
        atol = 2e-5 * np.abs(wanted).max()
        np.testing.assert_allclose(mine, wanted, rtol=0, atol=atol, err_msg=str(position))


@given_shape
def test_maximum_over_each_list(shape: tuple[int, int, int], rng: np.random.Generator) -> None:
    """Its gradient is that of the rows, given where the maxima are."""
    lists = lists_with_long_one(rng)
    steps, rows = time_steps(lists), list_rows(lists)
    arrays = with_gradients(
        [
            *random_weights(shape, rng, 1 / sum(shape) ** 0.5),
            mx.nd.array(rng.normal(size=(lists.tokens.size, shape[0]))),
        ]
    )
    with mx.autograd.record():
        all_rows = BidirectionalLayer(steps, is_maximum=False)(*arrays)
    values = all_rows.asnumpy()
    slopes = rng.normal(size=(len(lists), values.shape[1])).astype(np.float32)
    maxima = np.zeros_like(slopes)
    slopes_of_rows = np.zeros_like(values)
    for number, (start, end) in enumerate(zip(lists.offsets[:-1], lists.offsets[1:])):
        if start < end:
            own = rows[start:end]
            maxima[number] = values[own].max(axis=0)
            highest = own[values[own].argmax(axis=0)]
            slopes_of_rows[highest, np.arange(len(highest))] = slopes[number]
    all_rows.backward(mx.nd.array(slopes_of_rows))
    expected = [array.grad.asnumpy() for array in arrays]
    with mx.autograd.record():
        answer = BidirectionalLayer(steps, is_maximum=True)(*arrays)
    answer.backward(mx.nd.array(slopes))
    np.testing.assert_array_equal(answer.asnumpy(), maxima)
    for array, wanted in zip(arrays, expected):
        np.testing.assert_allclose(array.grad.asnumpy(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [5.0, 200.0])
def test_saturated_gates(scale: float, rng: np.random.Generator) -> None:
    """Also where exp would overflow."""
    lists = random_lists(rng, 40, longest=6, shortest=1)
    weights = random_weights((5, 40, 33), rng, scale)
    vectors = rng.normal(size=(lists.tokens.size, 5))
    rows = list_rows(lists)
    arrays = with_gradients([*weights, mx.nd.array(vectors[np.argsort(rows)])])
    with mx.autograd.record():
        found = BidirectionalLayer(time_steps(lists), is_maximum=False)(*arrays)
    found.backward()
    expected = by_operators(lists, weights, mx.nd.array(vectors)).asnumpy()
    assert np.abs(expected).max() > 0.99
    # a large sum may lose the digits that matter where it comes out small
    difference = np.abs(found.asnumpy()[rows] - expected)
    assert np.quantile(difference, 0.99) < 1e-4
    for array in arrays:
        assert np.isfinite(array.grad.asnumpy()).all()


def test_nan_stays_nan(rng: np.random.Generator) -> None:
    arrays = [*random_weights((5, 17, 16), rng, 0.1), mx.nd.array(rng.normal(size=(3, 5)))]
    steps = time_steps(TokenLists.from_lists([[1, 2], [3]]))
    assert np.isfinite(BidirectionalLayer(steps, is_maximum=True)(*arrays).asnumpy()).all()
    arrays[0][3] = np.nan
    assert np.isnan(BidirectionalLayer(steps, is_maximum=True)(*arrays).asnumpy()).any()


def network_of(rng: np.random.Generator, scale: float = 0.3, **job: Any) -> Object2VecNetwork:
    return random_network(settings(enc0_network="bilstm", **job), rng, scale=scale)


def encoded(
    network: Object2VecNetwork, lists: TokenLists, slopes: np.ndarray
) -> dict[str, np.ndarray]:
    """The embeddings and the gradients of their sum, weighted with the slopes."""
    inputs = prepare_input(network.hyperparameters, 0, lists, CPU)
    assert isinstance(inputs, StepRows)
    with mx.autograd.record():
        vectors = mean_of_rows(network.table(0).data(), inputs.lookup)
        if network.by_table([vectors])[0]:
            vectors.attach_grad()
        answer = inputs.encode(network.encoders[0], vectors)
    answer.backward(mx.nd.array(slopes))
    found = {"answer": answer.asnumpy()}
    if vectors.grad is not None:
        found["vectors"] = vectors.grad.asnumpy()
    for name, parameter in network.params.items():
        if name.startswith("source_"):
            found[name] = parameter.grad().asnumpy()
    return found


@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("enc_dim", [7, 130])
def test_embeddings_are_those_of_the_operators_and_of_inference(
    layers: int, enc_dim: int, rng: np.random.Generator
) -> None:
    # a layer of larger weights would make the rounding of the one below larger
    network = network_of(rng, 1 / enc_dim**0.5, enc_dim=enc_dim, enc0_layers=layers)
    lists = random_lists(rng, 60, longest=12)
    found = encoded(network, lists, np.ones((60, enc_dim)))["answer"]
    by_operators = embed(network, 0, lists, CPU).asnumpy()
    np.testing.assert_allclose(found, by_operators, rtol=0, atol=5e-6)
    with chosen("compiled"):
        inferred = Predictor(network).embeddings(0, lists)
    np.testing.assert_allclose(inferred, found, rtol=0, atol=1e-6)


def test_a_list_knows_nothing_of_the_others(rng: np.random.Generator) -> None:
    network = network_of(rng, 0.1, enc_dim=133, enc0_layers=3)
    lists = random_lists(rng, 60, longest=20)
    together = encoded(network, lists, np.ones((60, 133)))["answer"]
    for row in (0, 1, 17, 59):
        alone = encoded(network, lists.take(np.array([row])), np.ones((1, 133)))["answer"]
        np.testing.assert_allclose(alone[0], together[row], rtol=0, atol=1e-6)


def test_dropout_between_layers(rng: np.random.Generator) -> None:
    """At rate 1 a second layer sees zeros in training, but the tokens in inference."""
    # many units, so that not all have their maximum at the first step, which nothing comes before
    network = network_of(rng, 0.5, enc0_layers=2, enc_dim=64, dropout=1.0)
    lists = TokenLists.from_lists([[1, 2, 3], [4, 5, 6], [7, 8]])
    found = encoded(network, lists, np.ones((3, 64)))
    np.testing.assert_array_equal(found["answer"][0], found["answer"][1])
    assert not np.any(found["vectors"])
    assert np.any(found["source_1_forward_h2h_weight"])
    with chosen("compiled"):
        apart = Predictor(network).embeddings(0, lists)
    assert np.all(apart[0] != apart[1])
