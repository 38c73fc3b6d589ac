# SPDX-License-Identifier: Apache-2.0
"""What a model answers, by every encoder and every way: compiled, operators, exported symbol.

All ways follow the same formulas in float32 and differ in the order of their sums: each equals the
NumPy computation in float64, and so each other, within 1e-5 of the value and 1e-5 besides.
"""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ways
from grids import crossed
from numpy_model import NumpyModel
from small_jobs import VOCAB, arrays, random_lists, random_network, random_pairs, settings

from object2vec.backend.mxnet_import import mx
from object2vec.data.arrays import TokenLists
from object2vec.data.layouts import pad
from object2vec.inference.predictor import Predictor
from object2vec.model.model_directory import save_model
from object2vec.model.network import Object2VecNetwork

pytestmark = pytest.mark.own_way


def label(given: Any) -> str:
    if isinstance(given, str):
        return given
    return "-".join(
        "".join(value) if isinstance(value, tuple) else str(value) for value in given.values()
    )


# Odd and even filter widths and enc_dim, one layer and several.
ENCODERS = [
    {"enc0_network": "pooled_embedding", "enc_dim": 7},
    {"enc0_network": "hcnn", "enc0_layers": 1, "enc_dim": 8},
    {"enc0_network": "hcnn", "enc0_layers": 4, "enc0_cnn_filter_width": 4, "enc_dim": 11},
    {"enc0_network": "hcnn", "enc0_layers": 3, "enc0_cnn_filter_width": 9, "enc_dim": 8},
    {"enc0_network": "bilstm", "enc0_layers": 1, "enc_dim": 8},
    {"enc0_network": "bilstm", "enc0_layers": 3, "enc_dim": 7},
]
HCNN = (  # layers, enc_dim, filter width
    "1 4 1, 1 7 2, 1 8 3, 2 8 4, 2 9 5, 2 5 3, 3 7 3, 3 9 2, 4 8 3, 4 7 6, 4 11 9, 4 4 8"
)
SIZES = [
    *({"enc0_network": "pooled_embedding", "enc_dim": enc_dim} for enc_dim in (4, 7)),
    *(
        {"enc0_network": "hcnn"}
        | dict(zip(("enc0_layers", "enc_dim", "enc0_cnn_filter_width"), map(int, case.split())))
        for case in HCNN.split(",")
    ),
    *(
        {"enc0_network": "bilstm", "enc0_layers": layers, "enc_dim": enc_dim}
        for layers, enc_dim in [(1, 4), (1, 5), (2, 6), (2, 7), (3, 8), (4, 9)]
    ),
]
NETWORKS = ("hcnn", "bilstm", "pooled_embedding")
HEADS = [
    {"output_layer": "softmax", "num_classes": 2},
    {"output_layer": "softmax", "num_classes": 5},
    {"output_layer": "mean_squared_error"},
    {"output_layer": "multi_label", "num_classes": 4},
]
PAIRS = [
    {"enc0_network": first, "enc1_network": second, "tied_token_embedding_weight": tied, **head}
    for first in NETWORKS
    for second in ("enc0", *NETWORKS)
    for tied, head in ((False, HEADS[0]), (True, HEADS[2]))
]
# What is compared, how it is activated and what becomes of it are stages that do not know of each
# other: the usual tier has each order by each way, and each two of the rest together.
ORDERS = [
    {"enc0_network": "pooled_embedding", "comparator_list": ",".join(order)}
    for number in (1, 2, 3)
    for order in permutations(("hadamard", "concat", "abs_diff"), number)
]
COMPARATORS = [
    pytest.param({**order, **head}, way, marks=marks)
    for (order, head), marks in crossed(ORDERS, HEADS, together=1)
    for way in ways.ANSWERING
]
SIMILARITIES = [
    pytest.param({**encoder, **scorer, **head}, way, marks=marks)
    for (encoder, scorer, head, way), marks in crossed(
        (
            {"enc0_network": "pooled_embedding", "tied_token_embedding_weight": True},
            {"enc0_network": "hcnn", "enc0_layers": 2, "enc1_network": "pooled_embedding"},
            {"enc0_network": "hcnn", "enc0_layers": 2, "tied_encoders": True},
            {"enc0_network": "bilstm", "enc0_layers": 2, "enc1_network": "hcnn", "enc1_layers": 1},
            {"enc0_network": "bilstm", "enc0_layers": 1, "tied_encoders": True},
        ),
        (
            {"scorer": "dot"},
            {"scorer": "dot", "ensemble_size": 3, "enc_dim": 12},
            {"scorer": "cosine"},
        ),
        (
            HEADS[0],
            HEADS[2],
            {"output_layer": "in_batch_softmax"},
            {"output_layer": "in_batch_softmax", "temperature": 0.7, "learn_temperature": True},
        ),
        ways.ANSWERING,
        together=3,
    )
]
ACTIVATIONS = [
    pytest.param(
        {"enc0_network": "hcnn", "mlp_activation": activation, "mlp_layers": layers, **head},
        way,
        marks=marks,
    )
    for (activation, layers, head, way), marks in crossed(
        ("linear", "relu", "tanh"), (0, 1, 3), HEADS, ways.ANSWERING
    )
]
# Inference heeds none of it.
DROPPED = [
    {**given, "enc0_layers": 2, "mlp_activation": "relu", "tied_token_embedding_weight": True}
    for given in (
        {"enc0_network": "hcnn", "enc1_network": "bilstm", "dropout": 1.0},
        {"enc0_network": "pooled_embedding", "enc1_network": "enc0", "dropout": 0.5},
    )
]


def compiled_and_one_other_way(given: list[dict[str, Any]]) -> Any:
    """Every case by the compiled part and, in the usual tier, by one of the other ways.

    Those are operators of MXNet's own, which no size leads into another code.
    """
    cases = [pytest.param(one, ways.COMPILED) for one in given]
    others = [way for way in ways.EVERY if way != ways.COMPILED]
    for values, marks in crossed(given, others, together=1):
        cases.append(pytest.param(*values, marks=marks))
    return pytest.mark.parametrize(("given", "way"), cases, ids=label)


answering = pytest.mark.parametrize("way", ways.ANSWERING)
predicting = pytest.mark.parametrize("way", ways.PREDICTING)
every_encoder = pytest.mark.parametrize("given", ENCODERS, ids=label)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def numpy_model(network: Object2VecNetwork) -> NumpyModel:
    return NumpyModel(network.hyperparameters.to_dict(), arrays(network))


def widths(given: dict[str, Any]) -> dict[str, Any]:
    """Token widths that suit a pooled encoder and a tied table, unequal where they may be."""
    if given.get("tied_token_embedding_weight"):
        return {"enc0_token_embedding_dim": 8, "enc1_token_embedding_dim": 8}
    if given.get("enc1_network", "enc0") in ("enc0", "pooled_embedding"):
        return {}
    return {"enc1_token_embedding_dim": 7, "enc1_vocab_size": 25, "enc1_max_seq_len": 10}


def check_embeddings(
    way: str, given: dict[str, Any], rng: np.random.Generator, folder: Path
) -> None:
    network = random_network(settings(**given), rng)
    expected_by = numpy_model(network)
    model = ways.by(way, network, folder)
    lists = random_lists(rng, 12)
    expected = [expected_by.embeddings(side, list(lists)) for side in (0, 1)]
    assert np.abs(expected[0] - expected[1]).max() > 1e-3  # weights are separate
    for _ in range(2):  # a second call of a hybridized block takes another way
        for side in (0, 1):
            close(model.embeddings(side, lists), expected[side])
    for side in (0, 1):
        for row in range(3):
            alone = lists.take(np.array([row]))
            close(model.embeddings(side, alone), expected[side][row : row + 1])


@compiled_and_one_other_way(SIZES)
def test_embeddings_are_those_of_numpy(
    given: dict[str, Any], way: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    check_embeddings(way, given, rng, tmp_path)


@pytest.mark.usefixtures("isa")
@every_encoder
def test_embeddings_are_those_of_numpy_on_every_kind_of_cpu(
    given: dict[str, Any], rng: np.random.Generator, tmp_path: Path
) -> None:
    check_embeddings(ways.COMPILED, given, rng, tmp_path)


def check_pairs(way: str, given: dict[str, Any], rng: np.random.Generator, folder: Path) -> None:
    hyperparameters = settings(**given, **widths(given))
    network = random_network(hyperparameters, rng)
    expected = numpy_model(network)
    many = hyperparameters.is_multi_label
    pairs = random_pairs(rng, 14, classes=hyperparameters.classes, many_labels=many)
    model = ways.by(way, network, folder)
    close(model.scores(pairs.in0, pairs.in1), expected.scores(list(pairs.in0), list(pairs.in1)))
    if isinstance(model, Predictor):
        _, *reported = expected.losses(list(pairs.in0), list(pairs.in1), pairs.labels)
        np.testing.assert_allclose(
            model.loss_sums(pairs) / len(pairs), reported, rtol=1e-5, atol=1e-5
        )


@compiled_and_one_other_way([*PAIRS, *DROPPED])
def test_scores_and_losses_are_those_of_numpy(
    given: dict[str, Any], way: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    check_pairs(way, given, rng, tmp_path)


@pytest.mark.parametrize(("given", "way"), [*COMPARATORS, *ACTIVATIONS, *SIMILARITIES], ids=label)
def test_every_head_is_that_of_numpy(
    given: dict[str, Any], way: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    check_pairs(way, given, rng, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("output", ["softmax", "mean_squared_error"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "two tables"])
@pytest.mark.parametrize("other", NETWORKS)
@pytest.mark.parametrize("encoder", NETWORKS)
def test_wider_networks_answer_alike_by_every_way(
    encoder: str, other: str, tied: bool, output: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    """Beyond a vector of the CPU and a tile, and within rtol 1e-5, atol 2e-5 of each other."""
    network = random_network(
        settings(
            enc0_network=encoder,
            enc1_network=other,
            tied_token_embedding_weight=tied,
            output_layer=output,
            enc_dim=37,
            enc0_token_embedding_dim=37,
            enc1_token_embedding_dim=37,
            mlp_dim=50,
        ),
        rng,
    )
    pairs = random_pairs(rng, 50, classes=None if output == "mean_squared_error" else 2)
    compiled, *others = (ways.by(way, network, tmp_path) for way in ways.ANSWERING)
    assert isinstance(compiled, Predictor)
    for other_model in others:
        for side, lists in enumerate((pairs.in0, pairs.in1)):
            close(compiled.embeddings(side, lists), other_model.embeddings(side, lists))
        found = compiled.scores(pairs.in0, pairs.in1)
        expected = other_model.scores(pairs.in0, pairs.in1)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-5)
        if isinstance(other_model, Predictor):
            np.testing.assert_allclose(
                compiled.loss_sums(pairs), other_model.loss_sums(pairs), rtol=1e-5, atol=1e-5
            )


@answering
@every_encoder
def test_alone_and_in_any_batch(
    given: dict[str, Any], way: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    model = ways.by(way, random_network(settings(**given), rng, scale=0.5), tmp_path)
    # enough for pooled_embedding to take its sparse form, which few lists do not
    lists = random_lists(rng, 100, longest=12)
    together = model.embeddings(0, lists)
    assert together.shape == (100, given["enc_dim"])
    assert np.unique(together.round(4), axis=0).shape[0] > 10
    for rows in ([0], [1], [5], [3, 1], [2, 0, 7], np.argsort(lists.lengths)[:6]):
        close(model.embeddings(0, lists.take(np.array(rows))), together[rows])
    others = random_lists(rng, 100, longest=12)
    scores = model.scores(lists, others)
    order = rng.permutation(100)
    close(model.embeddings(0, lists.take(order)), together[order])
    close(model.scores(lists.take(order), others.take(order)), scores[order])


@answering
def test_pooled_embedding_heeds_no_order_and_the_others_do(
    way: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    lists = TokenLists.from_lists([rng.permutation(VOCAB)[:9].tolist() for _ in range(20)])
    turned = TokenLists.from_lists([ids[::-1].tolist() for ids in lists])
    for number, network in enumerate(NETWORKS):
        given = settings(enc0_network=network, enc_dim=16, enc0_token_embedding_dim=16)
        model = ways.by(way, random_network(given, rng, scale=0.5), tmp_path / str(number))
        found, expected = (model.embeddings(0, given) for given in (turned, lists))
        if network == "pooled_embedding":
            close(found, expected)
        else:
            assert np.abs(found - expected).max() > 1e-3


@answering
@every_encoder
def test_empty_lists(
    given: dict[str, Any], way: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    """Zero vectors, alone, among themselves and beside others, and finite scores."""
    # many filters, so that not all of them are dead for some list
    network = random_network(settings(**{**given, "enc_dim": 64}), rng, scale=0.5)
    model = ways.by(way, network, tmp_path)
    for lists in ([[]], [[], []], [[], [3, 1, 2]], [[0], []]):
        embeddings = model.embeddings(0, TokenLists.from_lists(lists))
        assert np.isfinite(embeddings).all()
        for ids, embedding in zip(lists, embeddings):
            assert np.any(embedding) == bool(ids)
        empty = TokenLists.from_lists([[]] * len(lists))
        assert np.isfinite(model.scores(TokenLists.from_lists(lists), empty)).all()


@predicting
@every_encoder
def test_no_list_at_all(
    given: dict[str, Any], way: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    model = ways.by(way, random_network(settings(**given), rng), tmp_path)
    nothing = TokenLists.from_lists([])
    assert model.embeddings(0, nothing).shape == (0, given["enc_dim"])
    assert model.scores(nothing, nothing).shape == (0, 2)


@predicting
def test_lists_beyond_max_seq_len_are_cut(
    way: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    """To the encoder's own length or a request's; one that is as long stays whole."""
    for number, (first, second) in enumerate(zip(NETWORKS, ("bilstm", "pooled_embedding", "hcnn"))):
        given = settings(
            enc0_network=first, enc0_max_seq_len=4, enc1_network=second, enc1_max_seq_len=3
        )
        network = random_network(given, rng)
        expected = numpy_model(network)
        model = ways.by(way, network, tmp_path / str(number))
        assert isinstance(model, Predictor)
        lists = [random_lists(rng, 8), random_lists(rng, 8)]
        cut = [[ids[:limit] for ids in side] for side, limit in zip(lists, (4, 3))]
        assert {4, 3} & {len(ids) for ids in cut[0] + cut[1]}
        close(model.scores(*lists), expected.scores(*cut))
        close(model.embeddings(1, lists[1]), expected.embeddings(1, cut[1]))
        shorter = [[ids[:2] for ids in lists[0]], [ids[:5] for ids in lists[1]]]
        close(model.scores(*lists, max_seq_lens=(2, 5)), expected.scores(*shorter))
        close(model.embeddings(0, lists[0], 2), expected.embeddings(0, shorter[0]))


@answering
@every_encoder
def test_id_zero_is_an_ordinary_token(
    given: dict[str, Any], way: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    """Two rows of the table change places, and so do their ids: nothing else may change."""
    # many filters, so that not all that tell two lists apart are dead
    network = random_network(settings(**{**given, "enc_dim": 64}), rng, scale=0.5)
    lists = TokenLists.from_lists([[0], [0, 0], [4, 0, 0], [0, 4, 7], [7, 0, 4, 0], [2, 3]])
    before = ways.by(way, network, tmp_path).embeddings(0, lists)
    assert np.abs(before[4] - before[3]).max() > 1e-4
    table = network.params["embed_0_weight"]
    swapped = np.arange(VOCAB)
    swapped[[0, 5]] = 5, 0
    table.set_data(mx.nd.array(table.data().asnumpy()[swapped]))
    renamed = TokenLists(swapped[lists.tokens].astype(np.int32), lists.offsets)
    close(ways.by(way, network, tmp_path).embeddings(0, renamed), before)


@pytest.mark.parametrize("way", [ways.SYMBOL, ways.PLAIN + ways.SYMBOL])
@every_encoder
def test_padding_has_no_influence(
    given: dict[str, Any], way: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    """Of any width, and whatever ids stand in it; the other ways pad for themselves."""
    network = random_network(settings(**given, enc1_network="bilstm"), rng, scale=0.5)
    model = ways.by(way, network, tmp_path)
    assert isinstance(model, ways.ExportedModel)
    lists, others = random_lists(rng, 8, longest=5), random_lists(rng, 8, longest=5)
    embeddings, scores = model.embeddings(0, lists), model.scores(lists, others)
    for wider in (0, 1, 11, 35):

        def noisy(given: TokenLists, wider: int = wider) -> np.ndarray:
            padded = pad(given, 5 + wider)
            is_padding = np.arange(padded.shape[1]) >= given.lengths[:, None]
            return np.where(is_padding, rng.integers(VOCAB, size=padded.shape), padded)

        close(model.embeddings(0, lists, noisy), embeddings)
        close(model.scores(lists, others, noisy), scores)


@predicting
def test_a_request_in_many_chunks_is_answered_in_its_order(
    way: str, rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, encoder in enumerate(NETWORKS):
        network = random_network(settings(enc0_network=encoder), rng)
        model = ways.by(way, network, tmp_path / str(number))
        lists, others = random_lists(rng, 30), random_lists(rng, 30)
        embeddings, scores = model.embeddings(1, lists), model.scores(lists, others)
        with monkeypatch.context() as patched:
            patched.setattr(Predictor, "_elements", lambda self, side: (1 << 20, 1))
            close(model.embeddings(1, lists), embeddings)
            close(model.scores(lists, others), scores)


@pytest.mark.parametrize(
    ("given", "way"),
    [
        pytest.param(*values, marks=marks)
        for values, marks in crossed([*PAIRS, *DROPPED], ways.ANSWERING, together=1)
    ],
    ids=label,
)
def test_a_stored_model_answers_as_the_one_in_memory(
    given: dict[str, Any], way: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    network = random_network(settings(**given, **widths(given)), rng)
    digest = save_model(tmp_path / "model", network)
    lists, others = random_lists(rng, 9), random_lists(rng, 9)
    before = ways.by(way, network, tmp_path / "other")
    model = ways.loaded(way, tmp_path / "model")
    for side in (0, 1):
        np.testing.assert_array_equal(model.embeddings(side, lists), before.embeddings(side, lists))
    np.testing.assert_array_equal(model.scores(lists, others), before.scores(lists, others))
    if isinstance(model, Predictor):  # and stores the same once more
        assert save_model(tmp_path / "again", model.network) == digest


@pytest.mark.usefixtures("isa")
@predicting
def test_parameters_are_read_as_they_are_at_the_time(
    way: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    """Also after MXNet's operators have brought them into an order of their own."""
    network = random_network(settings(enc_dim=64, mlp_dim=128, mlp_layers=2), rng, scale=0.1)
    lists = random_lists(rng, 200), random_lists(rng, 200)
    model, operators = (ways.by(each, network, tmp_path) for each in (way, ways.OPERATORS))
    answers = []
    for _ in range(2):
        operators.scores(*lists)
        answers.append(model.scores(*lists))
        expected = numpy_model(network).scores(*(list(side) for side in lists))
        np.testing.assert_allclose(answers[-1], expected, rtol=1e-5, atol=2e-6)
        for parameter in network.params.values():
            parameter.set_data(parameter.data() * 1.5)
    assert np.abs(answers[1] - answers[0]).max() > 1e-3
