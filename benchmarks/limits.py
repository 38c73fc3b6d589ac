# SPDX-License-Identifier: Apache-2.0
"""What this machine can do at most: matrix products and memory, and a workload's need of both.

``python -m benchmarks limits``. The limit of a workload is a roofline without overlap: its floating
point operations at the speed of a large matrix product, and then the parameters, gradients and
moments that one step has to move at the speed of a large copy. Only real tokens count; the traffic
of activations does not. No program reaches it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from object2vec.backend.mxnet_import import mx
from object2vec.data.arrays import TokenLists
from object2vec.data.batching import Batch
from object2vec.hyperparameters.checked import EncoderHyperparameters, Hyperparameters

_SIDE = 2048  # of the matrices
_COPIED = 1 << 28  # bytes that a copy reads
# Adam reads and writes a weight and two moments; its gradient is written and read once.
_STATE_BYTES, _GRADIENT_BYTES = 6 * 4, 2 * 4
_WIDTHS = {"hadamard": 1, "concat": 2, "abs_diff": 1}


@dataclass(frozen=True)
class Machine:
    """Measured limits.

    Attributes
    ----------
    flops : float
        Floating point operations a second of a float32 matrix product.
    bandwidth : float
        Bytes a second, read and written together, of a copy.
    """

    flops: float
    bandwidth: float


def measure_machine(threads: int, seconds: float = 2.0) -> Machine:
    """Measure matrix products (of oneDNN and of NumPy, the better one) and a copy.

    Parameters
    ----------
    threads : int
        Threads of the copy; the products take those of their libraries.
    seconds : float
        How long all of it may take.
    """
    ones = np.ones((_SIDE, _SIDE), np.float32)
    array, bias = mx.nd.array(ones), mx.nd.zeros(_SIDE)

    def in_mxnet() -> None:
        mx.nd.FullyConnected(array, array, bias, num_hidden=_SIDE).wait_to_read()

    best = min(_fastest(in_mxnet, seconds / 3), _fastest(lambda: ones @ ones, seconds / 3))
    source = np.ones(_COPIED // 4, np.float32)
    target = np.zeros_like(source)
    parts = list(zip(np.array_split(source, threads), np.array_split(target, threads)))
    with ThreadPoolExecutor(threads) as pool:

        def copy() -> None:
            list(pool.map(lambda part: np.copyto(part[1], part[0]), parts))

        copied = _fastest(copy, seconds / 3)
    return Machine(2 * _SIDE**3 / best, 2 * _COPIED / copied)


def _fastest(work: Callable[[], object], seconds: float) -> float:
    work()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return best


def dense_numbers(settings: Hyperparameters) -> int:
    """Weights of the encoders and of the MLP, without token tables and biases."""
    numbers = _scorer_numbers(settings)
    for encoder in settings.encoders:
        if encoder.network == "hcnn":
            numbers += encoder.cnn_filter_width * _layer_products(encoder, settings.enc_dim)
        elif encoder.network == "bilstm":
            numbers += _lstm_numbers(encoder, settings.enc_dim)
    return numbers


def batch_flops(settings: Hyperparameters, batch: Batch) -> float:
    """Floating point operations of forward and backward on one batch."""
    flops = 6.0 * len(batch) * _scorer_numbers(settings)
    for encoder, lists in zip(settings.encoders, batch.sides):
        tokens = len(lists.tokens)
        if encoder.network == "hcnn":
            per_token = encoder.cnn_filter_width * _layer_products(encoder, settings.enc_dim)
        elif encoder.network == "bilstm":
            per_token = _lstm_numbers(encoder, settings.enc_dim)
        else:
            per_token = 0
        flops += 6.0 * tokens * per_token
    return flops


def batch_bytes(settings: Hyperparameters, batch: Batch) -> float:
    """Bytes of parameters, gradients and moments that one step on a batch has to move."""
    total = dense_numbers(settings) * (_STATE_BYTES + _GRADIENT_BYTES)
    sides: list[tuple[TokenLists, ...]] = [(batch.in0,), (batch.in1,)]
    if settings.tied_token_embedding_weight:
        sides = [batch.sides]
    for encoder, lists in zip(settings.encoders, sides):
        touched = len(np.unique(np.concatenate([side.tokens for side in lists])))
        # dense adam too can leave a row alone until a batch uses it
        total += encoder.token_embedding_dim * touched * (_STATE_BYTES + _GRADIENT_BYTES)
    return float(total)


def limit(settings: Hyperparameters, batches: Iterable[Batch], machine: Machine) -> float:
    """Samples a second that the machine could train at most."""
    count, seconds = 0, 0.0
    for batch in batches:
        count += len(batch)
        seconds += batch_flops(settings, batch) / machine.flops
        seconds += batch_bytes(settings, batch) / machine.bandwidth
    return count / seconds


def _scorer_numbers(settings: Hyperparameters) -> int:
    columns = settings.enc_dim * sum(_WIDTHS[name] for name in settings.comparator_list)
    numbers = 0
    for _ in range(settings.mlp_layers):
        numbers += columns * settings.mlp_dim
        columns = settings.mlp_dim
    return numbers + columns * (1 if settings.is_regression else settings.num_classes)


def _layer_products(encoder: EncoderHyperparameters, enc_dim: int) -> int:
    products, channels = 0, encoder.token_embedding_dim
    for layer in range(encoder.layers):
        filters = enc_dim // encoder.layers + (layer < enc_dim % encoder.layers)
        products += channels * filters
        channels = filters
    return products


def _lstm_numbers(encoder: EncoderHyperparameters, enc_dim: int) -> int:
    numbers, inputs = 0, encoder.token_embedding_dim
    for _ in range(encoder.layers):
        for half in (enc_dim - enc_dim // 2, enc_dim // 2):
            numbers += 4 * half * (inputs + half)
        inputs = enc_dim
    return numbers


def main(arguments: list[str]) -> int:
    """Print the machine's limits as a JSON line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks limits", description=__doc__)
    parser.add_argument("--threads", type=int, default=2, help="threads of the copy")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long to measure")
    options = parser.parse_args(arguments)
    machine = measure_machine(options.threads, options.seconds)
    values = {"gflops": machine.flops / 1e9, "gigabytes_per_s": machine.bandwidth / 1e9}
    print(json.dumps({name: round(value, 1) for name, value in values.items()}))
    return 0
