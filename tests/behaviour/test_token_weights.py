# SPDX-License-Identifier: Apache-2.0
"""Weights of tokens: what they multiply, how they learn, and that a model holds none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
import ways
from small_jobs import (
    VOCAB,
    arrays,
    batch_of,
    chosen,
    random_lists,
    random_network,
    random_pairs,
    settings,
    training_way,
)

from object2vec.backend.mxnet_import import mx
from object2vec.data.arrays import PairDataset, TokenLists
from object2vec.data.document_frequencies import inverse_document_frequencies
from object2vec.inference.predictor import Predictor
from object2vec.model import model_directory
from object2vec.model.network import Object2VecNetwork
from object2vec.training.loop import train

pytestmark = pytest.mark.own_way

FORMS: list[dict[str, Any]] = [
    {"enc0_network": "pooled_embedding"},
    {"enc0_network": "pooled_embedding", "tied_token_embedding_weight": True},
    {"enc0_network": "hcnn", "enc0_layers": 1, "enc1_network": "pooled_embedding"},
]
training = pytest.mark.parametrize("way", ways.TRAINING)
every_form = pytest.mark.parametrize("given", FORMS, ids=["two tables", "tied", "one side"])


def weighted_network(rng: np.random.Generator, **given: Any) -> Object2VecNetwork:
    """A network whose parameters and weights are drawn anew."""
    network = random_network(settings(token_weighting="learned", **given), rng, scale=0.5)
    for weights in network.token_weights.params.values():
        weights.set_data(mx.nd.array(rng.uniform(0.2, 2.0, weights.shape)))
    return network


def everything(network: Object2VecNetwork) -> dict[str, np.ndarray]:
    """All parameters, the weights too."""
    weights = network.token_weights.params.values()
    return {**arrays(network), **{one.name: one.data().asnumpy() for one in weights}}


def after(
    way: str, network: Object2VecNetwork, batches: list[PairDataset], *, flushes: bool = False
) -> dict[str, np.ndarray]:
    """All parameters of a copy after some steps, the tables as steps have them."""
    own = Object2VecNetwork(network.hyperparameters)
    own.initialize([ways.CPU])
    for name, parameter in network.params.items():
        own.params[name].set_data(parameter.data())
    for name, weights in network.token_weights.params.items():
        own.token_weights.params[name].set_data(weights.data())
    own.hybridize()
    steps = training_way(way, network.hyperparameters, own)
    for prepared in steps.prepared(map(batch_of, batches)):
        steps.step(prepared)
        if flushes:
            steps.flush()
            steps.flush()
    steps.flush()
    own.token_weights.unfold()
    return everything(own)


def folded(parameters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parameters that a model holds."""
    found = {}
    for name, values in parameters.items():
        weights = weights_of(name, parameters)
        if not name.endswith("_token_weight"):
            found[name] = values if weights is None else values * weights
    return found


def weights_of(name: str, parameters: dict[str, np.ndarray]) -> Optional[np.ndarray]:
    """The weights that belong to a parameter, if it is a table with some."""
    if not name.startswith("embed"):
        return None
    return parameters.get(name.replace("_weight", "_token_weight"))


@training
@every_form
def test_steps_see_what_a_model_holds(
    given: dict[str, Any], way: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    """Embeddings of a step are those of the product in the table, for all kinds of lists."""
    network = weighted_network(rng, **given)
    steps = training_way(way, network.hyperparameters, network)
    single = [random_lists(rng, 7, shortest=1, longest=1) for _ in range(2)]
    empty = TokenLists.from_lists([[]] * 7)
    many = random_lists(rng, 7), random_lists(rng, 7)
    batches = [many, (many[0], single[1]), tuple(single), (empty, empty), (empty, many[1])]
    for in0, in1 in batches:
        pairs = PairDataset(in0, in1, np.zeros(7, np.float32))
        (shard,) = steps.prepare(batch_of(pairs)).shards
        network.token_weights.unfold()
        with mx.autograd.record():
            found = steps.encode(shard.inputs, steps.look_up(shard.inputs))
        network.token_weights.fold()
        model_directory.save_model(tmp_path, network)
        with chosen(way):
            model = Predictor.load(tmp_path)
        for side, lists in enumerate((in0, in1)):
            expected = model.embeddings(side, lists)
            np.testing.assert_allclose(found[side].asnumpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("storage", ["dense", "row_sparse"])
@every_form
def test_a_step_follows_the_product_s_gradient(
    given: dict[str, Any], storage: str, rng: np.random.Generator
) -> None:
    """The gradient of v · w is g w of v, and the sum over columns of g v of w."""
    given = {**given, "optimizer": "sgd", "learning_rate": 0.1, "mlp_activation": "tanh"}
    given["token_embedding_storage_type"] = storage
    network = weighted_network(rng, **given)
    start = everything(network)
    pairs = random_pairs(rng, 9, longest=6, vocab=VOCAB - 5)
    plain = random_network(settings(**given), rng)
    product = folded(start)
    for name, values in product.items():
        plain.params[name].set_data(mx.nd.array(values))
    moved = after("operators", plain, [pairs])
    found = after("operators", network, [pairs])
    for name, values in start.items():
        weights = weights_of(name, start)
        if name.endswith("_token_weight"):
            table = name.replace("_token_weight", "_weight")
            expected = ((moved[table] - product[table]) * start[table]).sum(axis=1, keepdims=True)
        elif weights is not None:
            expected = (moved[name] - product[name]) * weights
        else:
            expected = moved[name] - values
        assert np.any(expected), name
        np.testing.assert_allclose(
            found[name] - values, expected, rtol=1e-3, atol=1e-6, err_msg=name
        )


@pytest.mark.parametrize("storage", ["dense", "row_sparse"])
@every_form
def test_steps_are_alike_by_both_ways(
    given: dict[str, Any], storage: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """With an epsilon for adam that makes small gradients small steps."""
    for module in ("compiled_way", "operator_way", "optimizers"):
        monkeypatch.setattr(f"object2vec.training.{module}.EPSILON", 0.01)
    network = weighted_network(
        rng, **given, token_embedding_storage_type=storage, learning_rate=0.1
    )
    batches = [random_pairs(rng, count, longest=4, shortest=1) for count in (4, 1, 6, 3)]
    compiled, operators = (after(way, network, batches) for way in ways.TRAINING)
    assert compiled.keys() == operators.keys()
    for name, start in everything(network).items():
        found, expected = compiled[name] - start, operators[name] - start
        size = np.abs(expected).max()
        assert size > 1e-6, name
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 * size + 3e-7, err_msg=name)


@training
@every_form
def test_folding_changes_no_step(given: dict[str, Any], way: str, rng: np.random.Generator) -> None:
    """What validation sees between steps is taken back, bit for bit."""
    network = weighted_network(rng, **given, token_embedding_storage_type="row_sparse")
    batches = [random_pairs(rng, 5) for _ in range(3)]
    expected = after(way, network, batches)
    found = after(way, network, batches, flushes=True)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@training
def test_weights_learn_where_a_table_is_frozen(way: str, rng: np.random.Generator) -> None:
    network = weighted_network(
        rng,
        enc0_network="pooled_embedding",
        enc0_pretrained_embedding_file="vectors.txt",
        learning_rate=0.1,
    )
    start = everything(network)
    found = after(way, network, [random_pairs(rng, 9)])
    for side in (0, 1):
        table, weights = f"embed_{side}_weight", f"embed_{side}_token_weight"
        np.testing.assert_array_equal(found[table], start[table])
        assert np.any(found[weights] != start[weights])


@training
@pytest.mark.parametrize("weighting", ["learned", "tfidf"])
def test_a_model_holds_products_and_no_weights(
    weighting: str, way: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    pairs, judged = random_pairs(rng, 60), random_pairs(rng, 40)
    given = settings(
        enc0_network="pooled_embedding", token_weighting=weighting, epochs=4, mini_batch_size=8,
        learning_rate=0.05, early_stopping_patience=5,
    )  # fmt: skip
    with chosen(way):
        result = train(given, pairs, judged, model_dir=tmp_path)
        losses = [record["validation_cross_entropy"] for record in result.history]
        assert result.best_loss == min(losses)
        loaded = Predictor.load(tmp_path)
        for predictor in (result.predictor, loaded):
            loss = predictor.loss_sums(judged)[0] / len(judged)
            assert loss == pytest.approx(result.best_loss, rel=1e-6)
    plain = settings(enc0_network="pooled_embedding")
    assert arrays(loaded.network).keys() == arrays(random_network(plain, rng)).keys()
    for name, values in arrays(loaded.network).items():
        np.testing.assert_array_equal(arrays(result.predictor.network)[name], values)


def test_two_devices_learn_as_one(rng: np.random.Generator) -> None:
    pairs = random_pairs(rng, 60)
    given = settings(
        enc0_network="pooled_embedding", token_weighting="tfidf", epochs=2, optimizer="sgd",
        tied_token_embedding_weight=True, learning_rate=0.1,
    )  # fmt: skip
    with chosen("operators"):
        one, two = (
            arrays(train(given, pairs, contexts=contexts).predictor.network)
            for contexts in ([mx.cpu(0)], [mx.cpu(0), mx.cpu(1)])
        )
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, rtol=1e-4, atol=1e-6, err_msg=name)


# --- inverse document frequencies ------------------------------------------------------------


@pytest.mark.slow
def test_frequencies_are_those_of_scikit_learn(rng: np.random.Generator) -> None:
    """Up to one factor, which makes the mean over all tokens 1."""
    text = pytest.importorskip("sklearn.feature_extraction.text")
    sides = random_lists(rng, 40_000, 12, 50), random_lists(rng, 300, 5, 50)
    counts = np.zeros((40_300, 53), np.int64)
    for row, ids in enumerate([*sides[0], *sides[1]]):
        np.add.at(counts[row], ids, 1)
    expected = text.TfidfTransformer(norm=None, smooth_idf=True).fit(counts).idf_
    expected /= expected @ counts.sum(axis=0) / counts.sum()
    found = inverse_document_frequencies(sides, 53)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:50], expected[:50], rtol=1e-6)
    # of no list: nothing would train their vectors
    assert found[50:].tolist() == [0, 0, 0]


def test_frequencies_of_nothing() -> None:
    empty = TokenLists.from_lists([[], []])
    assert np.isfinite(inverse_document_frequencies([empty], 3)).all()
    assert np.isfinite(inverse_document_frequencies([], 3)).all()


def test_tfidf_counts_both_sides_of_a_tied_table(rng: np.random.Generator) -> None:
    pairs = random_pairs(rng, 50)
    for given, sides in ((FORMS[0], [[0], [1]]), (FORMS[1], [[0, 1]])):
        network = Object2VecNetwork(settings(**given, token_weighting="tfidf"))
        network.initialize([ways.CPU])
        network.token_weights.start_from(pairs.in0, pairs.in1)
        found = [one.data().asnumpy()[:, 0] for one in network.token_weights.params.values()]
        assert len(found) == len(sides)
        for weights, own in zip(found, sides):
            lists = [(pairs.in0, pairs.in1)[side] for side in own]
            np.testing.assert_array_equal(weights, inverse_document_frequencies(lists, VOCAB))
