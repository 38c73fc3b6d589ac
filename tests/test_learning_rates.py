# SPDX-License-Identifier: Apache-2.0
"""The learning rate of each step by both ways, and steps by gradients that are shortened."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from small_jobs import arrays, batch_of, chosen, random_network, random_pairs, settings
from small_jobs import training_way as build

from object2vec.backend.mxnet_import import mx
from object2vec.training.learning_rates import learning_rate_of
from object2vec.training.loop import train
from object2vec.training.training_way import TrainingWay

pytestmark = pytest.mark.own_way

EPOCHS, PAIRS, BATCH = 4, 25, 10  # batches of 10, 10 and 5 pairs


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The rates of all steps that follow."""
    seen: list[float] = []
    apply = TrainingWay.apply

    def noted(self: Any, *given: Any) -> None:
        seen.append(self.learning_rate)
        apply(self, *given)

    monkeypatch.setattr(TrainingWay, "apply", noted)
    return seen


def expected_rates(schedule: str, warmup: float) -> list[float]:
    """By the batches, as a table has them: three steps an epoch, of 0.4, 0.4 and 0.2 epochs."""
    begins = [epoch + part for epoch in range(EPOCHS) for part in (0.0, 0.4, 0.8)]
    ends = [*begins[1:], float(EPOCHS)]
    falling = {
        "constant": lambda share: 1.0,
        "linear": lambda share: 1.0 - share,
        "cosine": lambda share: 0.5 + 0.5 * math.cos(math.pi * share),
    }[schedule]
    return [
        0.02 * min(1.0, end / warmup)
        if begin < warmup
        else 0.02 * falling((begin - warmup) / (EPOCHS - warmup))
        for begin, end in zip(begins, ends)
    ]


@pytest.mark.parametrize("warmup", [0.0, 0.5, 1.0, 2.2])
@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("way", ["compiled", "operators"])
def test_rates_of_a_training(
    way: str,
    schedule: str,
    warmup: float,
    rates: list[float],
    rng: np.random.Generator,
) -> None:
    given = settings(
        enc0_network="pooled_embedding",
        learning_rate=0.02,
        learning_rate_schedule=schedule,
        warmup_epochs=warmup,
        epochs=EPOCHS,
        mini_batch_size=BATCH,
        early_stopping_patience=5,
    )
    with chosen(way):
        train(given, random_pairs(rng, PAIRS))
    np.testing.assert_allclose(rates, expected_rates(schedule, warmup), rtol=1e-12)
    assert min(rates) > 0


def test_negatives_count_as_steps(rates: list[float], rng: np.random.Generator) -> None:
    """The rate falls by what an epoch holds with the negatives that were drawn for it."""
    given = settings(
        enc0_network="pooled_embedding",
        learning_rate=1,
        learning_rate_schedule="linear",
        epochs=2,
        mini_batch_size=10,
        negative_sampling_rate=1,
        optimizer="sgd",
    )
    pairs = random_pairs(rng, 20, longest=4, shortest=4)
    pairs.labels[:] = 1
    with chosen("operators"):
        train(given, pairs)
    np.testing.assert_allclose(rates, [1 - step / 8 for step in range(8)], rtol=1e-12)


def test_fewer_epochs_walk_the_first_part_of_the_way(rng: np.random.Generator) -> None:
    """As a second training does, which repeats the first one's epochs up to the best."""
    given = {"enc0_network": "pooled_embedding", "learning_rate": 0.02, "mini_batch_size": 10}
    falling = settings(**given, learning_rate_schedule="linear", epochs=6)
    pairs = random_pairs(rng, PAIRS)
    with chosen("compiled"):
        whole = train(falling, pairs, fixed_epochs=6).history
        part = train(falling, pairs, fixed_epochs=2).history
    assert part == whole[:2]


def test_what_lies_beyond_the_end() -> None:
    """A warm-up that is never over, and steps after the last epoch."""
    given = {"learning_rate": 0.5, "learning_rate_schedule": "linear", "epochs": 3}
    endless = settings(**given, warmup_epochs=10)
    assert learning_rate_of(endless, 2.0, 3.0) == pytest.approx(0.15)
    assert learning_rate_of(settings(**given, warmup_epochs=3), 3.0, 3.5) == 0.0
    assert learning_rate_of(settings(**given), 4.0, 4.1) == 0.0


# Gradients that are shortened


@pytest.mark.parametrize("storage", ["dense", "row_sparse"])
@pytest.mark.parametrize("share", [0.1, 0.9, 1.1], ids=["a tenth", "nine tenths", "not reached"])
def test_a_step_is_no_longer_than_clip_gradient(
    share: float, storage: str, rng: np.random.Generator
) -> None:
    """sgd's step is the gradient, so its length is known; its direction stays."""
    given = {
        "enc0_network": "hcnn",
        "enc0_layers": 1,
        "optimizer": "sgd",
        "learning_rate": 1.0,
        "token_embedding_storage_type": storage,
    }
    network = random_network(settings(**given), rng)
    start, batch = arrays(network), batch_of(random_pairs(rng, 7))

    def step(**more: Any) -> dict[str, np.ndarray]:
        for name, parameter in network.params.items():
            parameter.set_data(mx.nd.array(start[name]))
        way = build("operators", settings(**given, **more), network)
        way.step(way.prepare(batch))
        way.flush()
        way.release()
        return {name: value - start[name] for name, value in arrays(network).items()}

    def length(steps: dict[str, np.ndarray]) -> float:
        return math.sqrt(sum(float(np.sum(value.astype(float) ** 2)) for value in steps.values()))

    free = step()
    clipped = step(clip_gradient=share * length(free))
    assert length(clipped) == pytest.approx(min(1.0, share) * length(free), rel=1e-4)
    for name, value in free.items():
        expected = min(1.0, share) * value
        np.testing.assert_allclose(clipped[name], expected, rtol=1e-4, atol=1e-6, err_msg=name)
