# SPDX-License-Identifier: Apache-2.0
"""Two devices train to the parameters of one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from small_jobs import arrays, batch_of, random_network, random_pairs, settings

from object2vec.backend.kvstore import choose_contexts, choose_kvstore, count_gpus
from object2vec.backend.mxnet_import import mx
from object2vec.data.arrays import PairDataset
from object2vec.errors import CustomerError
from object2vec.model.network import Object2VecNetwork
from object2vec.training.loop import train
from object2vec.training.operator_way import OperatorWay

ONE = [mx.cpu(0)]
TWO = [mx.cpu(0), mx.cpu(1)]
MIXED = {
    "enc0_network": "hcnn",
    "enc1_network": "pooled_embedding",
    "enc0_token_embedding_dim": 8,
    "enc0_layers": 2,
}


def trained(
    given: dict[str, Any], contexts: list[Any], pairs: PairDataset
) -> dict[str, np.ndarray]:
    hyperparameters = settings(epochs=2, learning_rate=0.01, mlp_activation="tanh", **given)
    result = train(hyperparameters, pairs, contexts=contexts)
    assert len(result.history) == 2
    network = result.predictor.network
    for parameter in network.params.values():
        copies = [copy.asnumpy() for copy in parameter.list_data()]
        assert len(copies) == len(contexts)
        np.testing.assert_array_equal(copies[0], copies[-1])
    return arrays(network)


def check(given: dict[str, Any], pairs: PairDataset) -> None:
    one, two = trained(given, ONE, pairs), trained(given, TWO, pairs)
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("tied", [False, True], ids=["own", "tied"])
@pytest.mark.parametrize("store", ["local", "device"])
@pytest.mark.parametrize("storage", ["dense", "row_sparse"])
def test_two_devices_equal_one(storage: str, store: str, tied: bool) -> None:
    """25 pairs in batches of 8: the last batch gives one device no pair."""
    rng = np.random.default_rng(1)  # as in test_each_optimizer
    given = {
        **MIXED,
        "tied_token_embedding_weight": tied,
        "token_embedding_storage_type": storage,
        "_kvstore": store,
        "mini_batch_size": 8,
        "optimizer": "sgd",
        "weight_decay": 0.001,
    }
    check(given, random_pairs(rng, 25))


@pytest.mark.parametrize(
    ("optimizer", "storage"),
    [
        ("adam", "dense"),
        ("adam", "row_sparse"),
        ("adamw", "dense"),
        ("adamw", "row_sparse"),
        ("adagrad", "dense"),
        ("adagrad", "row_sparse"),
        ("rmsprop", "dense"),
        ("adadelta", "dense"),
    ],
)
def test_each_optimizer(optimizer: str, storage: str) -> None:
    # Data that stay: in one draw of fifty, rounding decides whether a filter is alive, which
    # optimizers that divide by the gradient's size turn into whole steps.
    rng = np.random.default_rng(1)
    given = {
        **MIXED,
        "optimizer": optimizer,
        "token_embedding_storage_type": storage,
        "_kvstore": "local",
        "mini_batch_size": 8,
    }
    if optimizer == "adamw":
        given |= {"weight_decay": 0.5, "token_embedding_weight_decay": 1.0}
    check(given, random_pairs(rng, 21, shortest=1))


@pytest.mark.parametrize("tied", [False, True], ids=["own", "tied"])
@pytest.mark.parametrize("store", ["local", "device"])
def test_each_device_has_wrong_answers_of_its_own(store: str, tied: bool) -> None:
    """Two devices with four pairs each do what one does with a batch of four, twice, at sgd."""
    rng = np.random.default_rng(3)
    pairs = random_pairs(rng, 8, classes=None, shortest=1)
    hyperparameters = settings(
        enc0_network="hcnn",
        enc0_layers=2,
        scorer="cosine",
        output_layer="in_batch_softmax",
        learn_temperature=True,
        popularity_correction=1.0,
        tied_encoders=tied,
        optimizer="sgd",
        learning_rate=0.01,
        mini_batch_size=8,
        _kvstore=store,
    )
    network = random_network(hyperparameters, rng, scale=0.5)
    start, moved = arrays(network), []
    rows = np.arange(8)
    batch = batch_of(pairs, 0, hyperparameters)
    halves = [
        replace(
            batch,
            in0=batch.in0.take(half),
            in1=batch.in1.take(half),
            labels=batch.labels[half],
            objects=tuple(array[half] for array in batch.objects),
        )
        for half in (rows[:4], rows[4:])
    ]
    for contexts, batches in ((TWO, [batch]), (ONE, halves[:1]), (ONE, halves[1:])):
        own = Object2VecNetwork(hyperparameters)
        own.initialize(contexts)
        for name, parameter in own.params.items():
            parameter.set_data(mx.nd.array(start[name]))
        own.hybridize()
        way = OperatorWay(hyperparameters, own, contexts)
        for prepared in way.prepared(batches):
            sums = way.step(prepared)
        way.flush()
        assert len(sums) == len(contexts)
        moved.append({name: value - start[name] for name, value in arrays(own).items()})
    both, first, second = moved
    for name in start:
        # a step divides by its pairs: four of eight count half
        expected = (first[name] + second[name]) / 2
        assert np.abs(expected).max() > 1e-7, name
        np.testing.assert_allclose(both[name], expected, rtol=1e-3, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("storage", ["dense", "row_sparse"])
def test_gradients_that_are_clipped(storage: str) -> None:
    """By the length of what both devices have found together, not of each one's share."""
    rng = np.random.default_rng(1)
    given = {
        **MIXED,
        "optimizer": "sgd",
        "token_embedding_storage_type": storage,
        "mini_batch_size": 8,
        "clip_gradient": 0.05,
        "learning_rate_schedule": "cosine",
        "warmup_epochs": 0.5,
    }
    check(given, random_pairs(rng, 25))


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batches_of_any_size(batch_size: int, rng: np.random.Generator) -> None:
    """Fewer pairs in a batch than devices, odd batches, and one batch larger than the data."""
    given = {
        "enc0_network": "bilstm",
        "output_layer": "mean_squared_error",
        "optimizer": "sgd",
        "mini_batch_size": batch_size,
        "bucket_width": 3,
        "_kvstore": "auto_cpu",
    }
    check(given, random_pairs(rng, 7, classes=None))


@pytest.mark.parametrize(
    ("name", "on_cpu", "on_gpu"),
    [
        ("auto_gpu", "local", "device"),
        ("auto_cpu", "local", "local"),
        ("local", "local", "local"),
        ("device", "device", "device"),
    ],
)
def test_choice_of_the_kvstore(name: str, on_cpu: str, on_gpu: str) -> None:
    assert choose_kvstore(name, TWO) == on_cpu
    assert choose_kvstore(name, [mx.gpu(0), mx.gpu(1)]) == on_gpu


def test_choice_of_the_devices() -> None:
    present = count_gpus()
    every = [mx.gpu(number) for number in range(present)] or ONE
    assert choose_contexts("auto") == every
    assert choose_contexts(0) == ONE
    with pytest.raises(CustomerError, match=f"'_num_gpus' is {present + 1}"):
        choose_contexts(present + 1)
