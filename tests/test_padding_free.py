# SPDX-License-Identifier: Apache-2.0
"""An object's embedding is the same alone and in any batch, and id 0 is an ordinary token."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_jobs import VOCAB, random_lists, random_network, settings

from object2vec.backend.mxnet_import import mx
from object2vec.data.arrays import TokenLists
from object2vec.data.batching import pad
from object2vec.inference.predictor import Predictor
from object2vec.model.encoder_inputs import embed
from object2vec.model.symbols import encoder_symbol
from object2vec.resources import give_back_freed_memory

CPU = mx.cpu(0)
ENCODERS = [
    {"enc0_network": "pooled_embedding"},
    {"enc0_network": "hcnn", "enc0_layers": 1},
    {"enc0_network": "hcnn", "enc0_layers": 4, "enc0_cnn_filter_width": 4},
    {"enc0_network": "hcnn", "enc0_layers": 3, "enc0_cnn_filter_width": 9},
    {"enc0_network": "bilstm", "enc0_layers": 1},
    {"enc0_network": "bilstm", "enc0_layers": 3},
]
given_encoder = pytest.mark.parametrize(
    "given", ENCODERS, ids=lambda given: "-".join(map(str, given.values()))
)


def predictor(given: dict[str, Any], rng: np.random.Generator) -> Predictor:
    network = random_network(settings(**given), rng, scale=0.5)
    network.hybridize()
    return Predictor(network)


@given_encoder
def test_alone_and_in_any_batch(given: dict[str, Any], rng: np.random.Generator) -> None:
    model = predictor(given, rng)
    # enough for pooled_embedding to take its sparse form, which few lists do not
    lists = random_lists(rng, 100, longest=12)
    together = model.embeddings(0, lists)
    assert np.unique(together.round(4), axis=0).shape[0] > 10
    for rows in ([0], [1], [5], [3, 1], [2, 0, 7], np.argsort(lists.lengths)[:6]):
        apart = model.embeddings(0, lists.take(np.array(rows)))
        np.testing.assert_allclose(apart, together[rows], rtol=1e-5, atol=1e-5)
    turned = model.embeddings(0, lists.take(np.arange(100)[::-1]))
    np.testing.assert_allclose(turned[::-1], together, rtol=1e-5, atol=1e-5)


@given_encoder
def test_padding_of_any_width(given: dict[str, Any], rng: np.random.Generator) -> None:
    network = predictor(given, rng).network
    lists = random_lists(rng, 8, longest=5)
    answers = []
    for width in (5, 6, 16, 40):
        answers.append(embed(network, 0, lists, CPU, width).asnumpy())
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], rtol=1e-5, atol=1e-5)


@given_encoder
def test_empty_lists(given: dict[str, Any], rng: np.random.Generator) -> None:
    """Zero vectors, alone, among themselves and beside others, and finite scores."""
    # many filters, so that not all of them are dead for some list
    model = predictor({"enc_dim": 64, **given}, rng)
    for lists in ([[]], [[], []], [[], [3, 1, 2]], [[0], []]):
        embeddings = model.embeddings(0, TokenLists.from_lists(lists))
        assert np.isfinite(embeddings).all()
        for ids, embedding in zip(lists, embeddings):
            assert np.any(embedding) == bool(ids)
        empty = TokenLists.from_lists([[]] * len(lists))
        assert np.isfinite(model.scores(TokenLists.from_lists(lists), empty)).all()


@given_encoder
def test_id_zero_is_an_ordinary_token(given: dict[str, Any], rng: np.random.Generator) -> None:
    """Two rows of the table change places, and so do their ids: nothing else may change."""
    # many filters, so that not all that tell two lists apart are dead
    network = random_network(settings(**{"enc_dim": 64, **given}), rng, scale=0.5)
    model = Predictor(network)
    lists = TokenLists.from_lists([[0], [0, 0], [4, 0, 0], [0, 4, 7], [7, 0, 4, 0], [2, 3]])
    before = model.embeddings(0, lists)
    assert np.abs(before[4] - before[3]).max() > 1e-4
    table = network.params["embed_0_weight"]
    swapped = np.arange(VOCAB)
    swapped[[0, 5]] = 5, 0
    table.set_data(mx.nd.array(table.data().asnumpy()[swapped]))
    renamed = TokenLists(swapped[lists.tokens].astype(np.int32), lists.offsets)
    np.testing.assert_allclose(model.embeddings(0, renamed), before, rtol=1e-5, atol=1e-6)


def test_no_list_at_all(rng: np.random.Generator) -> None:
    model = predictor({"enc0_network": "hcnn"}, rng)
    nothing = TokenLists.from_lists([])
    assert model.embeddings(0, nothing).shape == (0, 8)
    assert model.scores(nothing, nothing).shape == (0, 2)


def test_many_runs_give_the_order_of_the_request(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that is computed in several runs answers row by row all the same."""
    model = predictor({"enc0_network": "bilstm"}, rng)
    lists, others = random_lists(rng, 30), random_lists(rng, 30)
    embeddings, scores = model.embeddings(1, lists), model.scores(lists, others)
    monkeypatch.setattr(Predictor, "_cells", lambda self, side: (1 << 20, 1))
    np.testing.assert_allclose(model.embeddings(1, lists), embeddings, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.scores(lists, others), scores, rtol=1e-5, atol=1e-5)


@given_encoder
def test_exported_form_equals_the_one_that_is_trained(
    given: dict[str, Any], rng: np.random.Generator
) -> None:
    """The exported graph takes padded lists; training and inference take a faster form."""
    network = predictor(given, rng).network
    lists = random_lists(rng, 12, longest=11)
    expected = embed(network, 0, lists, CPU, 11).asnumpy()
    symbol = encoder_symbol(network, 0)
    inputs = {"source": mx.nd.array(pad(lists, 13)), "source_length": mx.nd.array(lists.lengths)}
    known = network.params
    exported = symbol.bind(
        CPU,
        {
            name: inputs[name] if name in inputs else known[name].data()
            for name in symbol.list_arguments()
        },
    )
    found = exported.forward()[0].asnumpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(Predictor(network).embeddings(0, lists), found, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["hcnn", "bilstm"])
def test_no_memory_for_each_shape(encoder: str, rng: np.random.Generator) -> None:
    """Memory settles although every batch has its own shape."""
    network = random_network(
        settings(enc0_network=encoder, enc_dim=64, enc0_token_embedding_dim=48), rng
    )
    network.hybridize()
    sizes = []
    for _ in range(4):
        for _ in range(500):
            lists = random_lists(rng, int(rng.integers(1, 64)), longest=int(rng.integers(1, 40)))
            width = int(lists.lengths.max(initial=1))
            with mx.autograd.record():
                vectors = embed(network, 0, lists, CPU, width)
            vectors.backward()
        mx.nd.waitall()
        give_back_freed_memory()
        resident = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        sizes.append(int(resident) * resource.getpagesize() / 1e6)
    assert sizes[-1] - sizes[1] < 50, sizes
