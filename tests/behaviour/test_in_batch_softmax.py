# SPDX-License-Identifier: Apache-2.0
"""In-batch softmax: what counts as wrong, what frequency takes off, how a model is judged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import ways
from numpy_model import NumpyModel
from small_jobs import arrays, batch_of, random_network, settings, training_way

from object2vec.backend.mxnet_import import mx
from object2vec.data import in_batch
from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.in_batch import PairObjects, candidates, count_candidates
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.inference.predictor import Predictor
from object2vec.training.loop import train

pytestmark = pytest.mark.own_way

STEP = 1e-5
SETTINGS: dict[str, dict[str, Any]] = {
    "cosine": {"scorer": "cosine", "temperature": 0.3},
    "dot, corrected": {"scorer": "dot", "popularity_correction": 0.7},
    "ensemble": {"scorer": "dot", "ensemble_size": 3, "popularity_correction": 0.7},
    "learnt, corrected": {
        "scorer": "cosine",
        "learn_temperature": True,
        "popularity_correction": 1.0,
    },
}
every_setting = pytest.mark.parametrize("given", SETTINGS.values(), ids=list(SETTINGS))
predicting = pytest.mark.parametrize("way", ways.PREDICTING)
training = pytest.mark.parametrize("way", ways.TRAINING)


def contrastive(**given: Any) -> Hyperparameters:
    return settings(
        enc0_network="pooled_embedding", output_layer="in_batch_softmax", enc_dim=6, **given
    )


def predictor_by(way: str, hyperparameters: Hyperparameters, rng: np.random.Generator) -> Predictor:
    network = random_network(hyperparameters, rng, scale=1.0)
    with ways.chosen(way):
        return Predictor(network)


def pairs_of(*lists: tuple[list[int], list[int]]) -> PairDataset:
    in0, in1 = (TokenLists.from_lists([pair[side] for pair in lists]) for side in (0, 1))
    return PairDataset(in0, in1, np.ones(len(lists), np.float32))


# Objects that come twice on either side, a pair that comes twice, and lists without tokens.
REPEATED = pairs_of(
    ([1], [2, 3]), ([1], [4]), ([5, 6], [4]), ([7], [2, 3]), ([1], [2, 3]), ([8], []), ([], [9, 9])
)


def log_shares(pairs: PairDataset) -> list[np.ndarray]:
    found = []
    for lists in (pairs.in0, pairs.in1):
        names = [tuple(ids) for ids in lists]
        found.append(np.log([names.count(name) / len(names) for name in names]))
    return found


@every_setting
@training
def test_the_loss_and_its_gradient_are_those_of_numpy(
    given: dict[str, Any], way: str, rng: np.random.Generator
) -> None:
    """By central differences of every element of every parameter, where objects come twice."""
    hyperparameters = contrastive(**given)
    network = random_network(hyperparameters, rng, scale=0.5)
    start = arrays(network)
    shares = log_shares(REPEATED)

    def losses(parameters: dict[str, np.ndarray]) -> tuple[float, float, float]:
        model = NumpyModel(hyperparameters.to_dict(), parameters)
        return model.in_batch_losses(list(REPEATED.in0), list(REPEATED.in1), shares)

    steps = training_way(way, hyperparameters, network)
    (shard,) = steps.prepare(batch_of(REPEATED, 0, hyperparameters)).shards
    with mx.autograd.record():
        vectors = steps.look_up(shard.inputs)
        embeddings = steps.encode(shard.inputs, vectors)
        for vector in embeddings:
            vector.attach_grad()
        objective, reported = network.loss(*embeddings, *shard.targets)
    objective.backward()
    count = len(REPEATED)
    expected = losses(start)
    np.testing.assert_allclose(objective.asscalar() / count, expected[0], rtol=1e-5)
    np.testing.assert_allclose(reported.asnumpy() / count, expected[1:], rtol=1e-5)

    gradients = [vector.grad.asnumpy() for vector in embeddings]
    for side, lists in enumerate((REPEATED.in0, REPEATED.in1)):
        name = f"embed_{side}_weight"
        # a table's gradient is that of the means of its rows
        found = np.zeros(start[name].shape)
        for gradient, ids in zip(gradients[side], lists):
            for token in ids:
                found[token] += gradient / len(ids)
        for row in sorted(set(lists.tokens.tolist())):
            for column in range(found.shape[1]):
                moved = []
                for sign in (1, -1):
                    table = start[name].astype(np.float64)
                    table[row, column] += sign * STEP
                    moved.append(losses({**start, name: table})[0])
                slope = count * (moved[0] - moved[1]) / (2 * STEP)
                assert found[row, column] == pytest.approx(slope, rel=1e-3, abs=2e-4)


def test_objects_that_are_the_same_are_no_wrong_answers(rng: np.random.Generator) -> None:
    """With one in0 for all, and with one in1 for all, nothing is wrong, and nothing is learnt."""
    for pairs in (
        pairs_of(([1], [2]), ([1], [3]), ([1], [4])),
        pairs_of(([2], [1]), ([3], [1]), ([4], [1])),
    ):
        hyperparameters = contrastive(scorer="cosine")
        network = random_network(hyperparameters, rng)
        steps = training_way("operators", hyperparameters, network)
        (sums,) = steps.step(steps.prepare(batch_of(pairs, 0, hyperparameters)))
        assert sums.asnumpy().tolist() == [0.0, 3.0]


def test_numbers_of_objects_hold_for_any_batch_of_a_large_set(rng: np.random.Generator) -> None:
    tokens = rng.integers(2000, size=(2, 5000)).astype(np.int32)
    sides = [TokenLists.of_each(row) for row in tokens]
    pairs = PairDataset(sides[0], sides[1], np.ones(5000, np.float32))
    objects = PairObjects(pairs, with_shares=True)
    rows = rng.permutation(5000)[:64]
    numbers, shares = objects.of(rows, rows)
    assert numbers.dtype == shares.dtype == np.float32
    assert numbers.max() < 64
    for side in (0, 1):
        own = tokens[side][rows]
        np.testing.assert_array_equal(
            numbers[:, side][:, None] == numbers[:, side], own[:, None] == own
        )
        expected = np.log(np.bincount(tokens[side], minlength=2000)[own] / 5000)
        np.testing.assert_allclose(shares[:, side], expected, rtol=1e-6)
    assert len(PairObjects(pairs, with_shares=False).of(rows, rows)) == 1


@predicting
def test_what_validation_says_does_not_depend_on_batches(
    way: str, rng: np.random.Generator
) -> None:
    """A network that hardly moves is judged alike, by the formula, whatever its batches were."""
    tokens = rng.integers(20, size=(2, 60)).astype(np.int32)
    sides = [TokenLists.of_each(row) for row in tokens]
    pairs = PairDataset(sides[0], sides[1], np.ones(60, np.float32))
    found = []
    for size in (2, 7, 60):
        hyperparameters = contrastive(
            scorer="cosine", mini_batch_size=size, learning_rate=1e-6, epochs=1, optimizer="sgd"
        )
        with ways.chosen(way):
            result = train(hyperparameters, pairs, pairs)
        model = NumpyModel(hyperparameters.to_dict(), arrays(result.predictor.network))
        expected = model.retrieval(list(pairs.in0), list(pairs.in1))
        (epoch,) = result.history
        found.append((epoch["validation_cross_entropy"], epoch["validation_accuracy"]))
        np.testing.assert_allclose(found[-1], expected, rtol=1e-5)
        trained = epoch["train_cross_entropy"]
    np.testing.assert_allclose(found[1:], found[:1] * 2, rtol=5e-3)
    # that of training is among fewer, or more
    assert abs(trained - found[0][0]) > 0.01


@predicting
def test_of_many_candidates_the_own_one_is_never_left_out(
    way: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr(in_batch, "MOST_CANDIDATES", 10)
    tokens = rng.integers(22, size=(2, 80)).astype(np.int32)
    sides = [TokenLists.of_each(row) for row in tokens]
    pairs = PairDataset(sides[0], sides[1], np.ones(80, np.float32))
    predictor = predictor_by(way, contrastive(scorer="dot", _seed=5), rng)
    tables = arrays(predictor.network)
    rows, own = candidates(pairs.in1, seed=5)
    drawn = tokens[1][rows]
    assert len(set(drawn.tolist())) == count_candidates(pairs.in1) == 10
    assert (own < 0).any()
    np.testing.assert_array_equal(drawn[own[own >= 0]], tokens[1][own >= 0])
    assert set(tokens[1][own < 0].tolist()).isdisjoint(drawn.tolist())
    vectors = [tables[f"embed_{side}_weight"][tokens[side]] for side in (0, 1)]
    expected = np.zeros(2)
    for row in range(80):
        own_product = vectors[0][row] @ vectors[1][row]
        others = [at for at in rows if tokens[1][at] != tokens[1][row]]
        products = vectors[1][others] @ vectors[0][row]
        expected += np.log1p(np.exp(products - own_product).sum()), own_product > products.max()
    np.testing.assert_allclose(predictor.loss_sums(pairs), expected, rtol=1e-4)


@predicting
def test_chunks_of_the_measure_add_up(
    way: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    tokens = rng.integers(22, size=(2, 80)).astype(np.int32)
    sides = [TokenLists.of_each(row) for row in tokens]
    pairs = PairDataset(sides[0], sides[1], np.ones(80, np.float32))
    predictor = predictor_by(way, contrastive(scorer="cosine"), rng)
    whole = predictor.loss_sums(pairs)
    monkeypatch.setattr("object2vec.inference.similarities._CHUNK", 100)
    counts: list[int] = []
    np.testing.assert_allclose(predictor.loss_sums(pairs, counts.append), whole, rtol=1e-6)
    assert sum(counts) == 80
    assert len(counts) > 10


@predicting
def test_scores_are_the_order_of_the_embeddings(way: str, rng: np.random.Generator) -> None:
    """Whatever the output layer: the nearest by dot product or cosine has the highest score."""
    asked = TokenLists.from_lists([[1, 2]] * 20)
    answers = TokenLists.from_lists([[token] for token in range(20)])
    for scorer in ("dot", "cosine"):
        for output_layer in ("softmax", "mean_squared_error", "in_batch_softmax"):
            hyperparameters = settings(
                enc0_network="pooled_embedding", scorer=scorer, output_layer=output_layer
            )
            predictor = predictor_by(way, hyperparameters, rng)
            vector = predictor.embeddings(0, asked)[0]
            vectors = predictor.embeddings(1, answers)
            if scorer == "cosine":
                vectors = vectors / np.linalg.norm(vectors, axis=1)[:, None]
            scores = predictor.scores(asked, answers)
            scores = scores[:, 1] if scores.ndim == 2 else scores
            assert np.argsort(scores).tolist() == np.argsort(vectors @ vector).tolist()
