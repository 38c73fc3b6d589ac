# SPDX-License-Identifier: Apache-2.0
"""Recipes: which one is chosen, what it says, what is refused, and that its settings are sound."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from object2vec import Object2Vec
from object2vec.cli import main
from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import parse
from object2vec.prepare.recipes import PRESETS, recipe
from object2vec.prepare.table_choice import TableChoice
from object2vec.prepare.table_hyperparameters import joined_settings, of_recipe
from object2vec.prepare.table_pairs import encode_table, table_pairs
from object2vec.prepare.write_channels import write_channels
from object2vec.raw_values.inputs import Inputs
from object2vec.training.loop import train

TABLE = pd.DataFrame(
    {
        "user": [f"u{row % 5}" for row in range(40)],
        "film": [f"f{row % 7}" for row in range(40)],
        "genres": ["Drama|War", "Crime"] * 20,
        "plot": ["a cat sat on the mat", "two dogs ran far away home"] * 20,
        "question": ["who sat on the mat then", "where did two dogs run to"] * 20,
        "stars": [row % 5 + 1 for row in range(40)],
        "liked": ["no", "yes"] * 20,
        "seen": [0, 1] * 20,
        "topics": [["cats"], ["dogs", "home"], [], ["cats", "mats"]] * 10,
    }
)
PLOT_AND_USER = ["plot", "user"]
# The sides, the label, the recipe, and what its reason says of them.
CASES: dict[str, tuple[Any, Any, Any, str, str]] = {
    "stars": ("user", ["film", "genres"], "stars", "ratings",
              "in0 is id, in1 is id and tags and the label stars holds numbers"),
    "likes": ("user", "film", "liked", "ratings", "the label liked holds classes"),
    "zeros and ones": ("user", "film", "seen", "ratings", "the label seen holds classes"),
    "events": ("user", "film", None, "interactions", "there are no labels"),
    "a text among others": (PLOT_AND_USER, "film", None, "interactions", "in0 is text and id"),
    "scored texts": ("plot", "question", "stars", "text_pair", "in0 is a text, in1 is a text"),
    "judged texts": ("plot", "question", "liked", "text_pair", "the label liked holds classes"),
    "tags of texts": ("plot", {"name": "genres", "explode": True}, None, "text_tags",
                      "in0 is a text, in1 is tags and there are no labels"),
    "texts for people": ("user", "plot", "liked", "text_tags", "in1 is a text"),
    "topics of a text": ("plot", "user", "topics", "text_labels", "the label topics holds tags"),
    "topics of texts": ("plot", "question", "topics", "text_labels", "in1 is a text and the label"),
    "topics of more than a text": (
        PLOT_AND_USER, "film", "topics", "text_labels", "in0 is text and id, in1 is id and"),
    "topics of ids": ("user", "film", "topics", "ratings", "in1 is id and the label topics holds"),
    "texts": ("question", "plot", None, "documents", "there are no labels"),
}  # fmt: skip


def found(case: str, **options: Any) -> Inputs:
    in0, in1, label, _, _ = CASES[case]
    return table_pairs(TABLE, TableChoice(in0=in0, in1=in1, label=label, **options)).inputs


@pytest.mark.parametrize("case", CASES)
def test_auto_says_what_it_chooses_and_why(case: str) -> None:
    _, _, _, name, words = CASES[case]
    chosen = recipe(found(case))
    assert chosen.name == name
    assert chosen.why.startswith(f"Recipe {name}, because in0 is ")
    assert words in chosen.why
    assert chosen.why.count(".") == 1 and "\n" not in chosen.why


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_what_auto_would_choose_or_is_refused(case: str, preset: str) -> None:
    inputs, name = found(case), CASES[case][3]
    if preset == name:
        assert recipe(inputs, preset).settings == recipe(inputs).settings
        assert recipe(inputs, preset).why.startswith(f"Recipe {name}: in0 is ")
        return
    with pytest.raises(CustomerError) as raised:
        recipe(inputs, preset)
    text = str(raised.value)
    assert text.startswith(f"The preset {preset} needs ")
    assert text.endswith(f": take {name}.") and CASES[case][4] in text


@pytest.mark.parametrize("case", CASES)
def test_settings_are_sound_and_fit_the_inputs(case: str) -> None:
    inputs = found(case)
    settings = recipe(inputs).settings
    assert {type(value) for value in settings.values()} == {str}
    parsed, lines = parse(settings)
    assert all(line.level == logging.INFO for line in lines), lines
    inputs.check_fit(parsed, "inputs.json")
    for encoder, side in zip(parsed.encoders, (inputs.in0, inputs.in1)):
        assert encoder.max_seq_len == side.max_length
    assert parsed.is_regression == (inputs.label.name == "stars")
    assert parsed.is_multi_label == (inputs.label.name == "topics")
    takes_the_batch = parsed.output_layer == "in_batch_softmax"
    assert takes_the_batch == (CASES[case][3] in ("interactions", "documents"))
    has_labels = inputs.label.kind != "none"
    assert bool(parsed.negative_sampling_rate) == (not has_labels and not takes_the_batch)


@pytest.mark.parametrize(
    "given",
    [
        {"output_layer": "softmax"},
        {"negative_sampling_rate": "2"},
        {"scorer": "mlp", "mlp_layers": "1"},
        {"output_layer": "softmax", "scorer": "dot"},
    ],
    ids=["softmax", "negatives", "mlp", "dot"],
)
def test_interactions_are_told_from_negatives_where_that_is_asked_for(given: Any) -> None:
    inputs = found("events")
    parsed, lines = parse(joined_settings(inputs, recipe(inputs).settings, given))
    assert (parsed.output_layer, parsed.num_classes) == ("softmax", 2)
    assert parsed.negative_sampling_rate == int(given.get("negative_sampling_rate", 3))
    assert parsed.scorer == given.get("scorer", "mlp")
    assert parsed.mini_batch_size == 1024
    assert not [line for line in lines if "Ignoring" in line.text]


def test_interactions_take_what_is_given_besides() -> None:
    inputs = found("events")
    given = {"scorer": "cosine", "temperature": "2", "negative_sampling_rate": "0"}
    parsed, _ = parse(joined_settings(inputs, recipe(inputs).settings, given))
    assert (parsed.output_layer, parsed.scorer) == ("in_batch_softmax", "cosine")
    assert (parsed.temperature, parsed.popularity_correction) == (2, 1)


def test_ratings_repeat_an_id_that_has_features() -> None:
    columns = {"in0": "user", "in1": ["film", "genres", "seen"], "label": "stars"}
    made = table_pairs(TABLE, TableChoice(**columns))
    assert [column.repeat for column in made.inputs.in0.columns] == [1]
    assert [column.repeat for column in made.inputs.in1.columns] == [6, 1, 1]
    assert recipe(made.inputs).settings["enc1_max_seq_len"] == "9"
    first = made.pairs["train"].in1[0].tolist()
    assert len(first) == 9 and len({*first[:6]}) == 1

    def repeats(film: Any, **changed: Any) -> list[int]:
        inputs = table_pairs(
            TABLE, TableChoice(**{**columns, "in1": [film, "genres"], **changed})
        ).inputs
        return [column.repeat for column in inputs.in1.columns]

    assert repeats({"name": "film", "repeat": 1}) == [1, 1]
    assert repeats({"name": "film", "repeat": 5}) == [5, 1]
    assert repeats("plot") == [1, 1]
    assert repeats("film", label=None) == [1, 1]
    assert repeats("film", in0="plot") == [1, 1]


def test_ratings_are_learned_by_what_a_side_is_and_what_is_learned() -> None:
    films = ["film", "genres"]

    def settings(
        in1: Any, label: str, table: pd.DataFrame = TABLE, in0: Any = "user", **more: Any
    ) -> tuple[Any, ...]:
        choice = TableChoice(in0=in0, in1=in1, label=label, **more)
        found = parse(recipe(table_pairs(table, choice).inputs).settings)[0]
        storage = found.token_embedding_storage_type
        return found.scorer, found.optimizer, storage, found.weight_decay

    assert settings("film", "stars") == ("dot", "adam", "row_sparse", 0.0003)
    assert settings(films, "stars") == ("dot", "adam", "row_sparse", 0.0002)
    for label in ("liked", "seen"):
        assert settings("film", label) == ("dot", "adam", "row_sparse", 0.00015)
        assert settings(films, label) == ("dot", "adam", "row_sparse", 0.0001)
    # features on both sides: of few objects as of a hundred
    user = ["user", "question"]
    for label in ("stars", "liked"):
        assert settings(films, label, in0=user) == ("dot", "adamw", "dense", 1.2)
    many = pd.DataFrame({"user": 7 * ["u"], "film": range(7), "genres": "War", "stars": range(7)})
    many = pd.concat([many.assign(film=many["film"] + 7 * row) for row in range(550)])
    both = ("dot", "adamw", "dense", 0.19)
    assert settings(films, "stars", many.assign(question="who"), in0=user) == both
    classes = {"label_kind": "class"}
    assert settings("film", "stars", **classes) == ("mlp", "adam", "row_sparse", 0.00015)
    assert settings(films, "stars", **classes)[3] == 0.00005


@pytest.mark.parametrize(
    ("given", "scorer", "members", "width"),
    [
        ({}, "dot", 8, 512),
        ({"ensemble_size": "3"}, "dot", 3, 192),
        ({"ensemble_size": 1}, "dot", 1, 64),
        ({"enc_dim": "20"}, "dot", 1, 20),
        ({"enc_dim": "20", "ensemble_size": "5"}, "dot", 5, 20),
        ({"scorer": "cosine"}, "cosine", 1, 64),
        ({"mlp_layers": "1"}, "mlp", 1, 64),
    ],
    ids=["recipe", "three", "one", "width", "both", "cosine", "mlp"],
)
def test_ratings_of_ids_are_the_means_of_several_models(
    given: dict[str, Any], scorer: str, members: int, width: int
) -> None:
    inputs = table_pairs(TABLE, TableChoice(in0="user", in1="film", label="stars")).inputs
    parsed, lines = parse(joined_settings(inputs, recipe(inputs).settings, given))
    assert (parsed.scorer, parsed.ensemble_size, parsed.enc_dim) == (scorer, members, width)
    assert not [line for line in lines if "Ignoring" in line.text]


@pytest.mark.parametrize("size", ["0", "x", "-2", "65", "400"])
def test_a_wrong_number_of_models_is_refused_as_it_was_given(size: str) -> None:
    inputs = table_pairs(TABLE, TableChoice(in0="user", in1="film", label="stars")).inputs
    with pytest.raises(CustomerError, match=f"^'ensemble_size' should be .* but '?{size}'? was"):
        parse(joined_settings(inputs, recipe(inputs).settings, {"ensemble_size": size}))


@pytest.mark.parametrize("case", CASES)
def test_what_a_recipe_sets_may_be_asked_for_before_there_is_a_table(case: str) -> None:
    for name, value in recipe(found(case)).settings.items():
        if not name.endswith(("max_seq_len", "vocab_size", "tied_token_embedding_weight")):
            assert str(Object2Vec(**{name: value}).get_params()[name]) == value


def test_a_text_that_is_both_sides_is_parted() -> None:
    made = table_pairs(TABLE, TableChoice(in0="plot", in1="plot", tied=True))
    parsed, _ = parse(recipe(made.inputs).settings)
    assert [encoder.random_crop for encoder in parsed.encoders] == [True, True]
    assert [encoder.max_seq_len for encoder in parsed.encoders] == [6, 6]
    long = TABLE.assign(plot=TABLE["plot"] + " and so on" * 20)
    made = table_pairs(long, TableChoice(in0="plot", in1="plot", tied=True))
    parsed, _ = parse(recipe(made.inputs).settings)
    assert [encoder.max_seq_len for encoder in parsed.encoders] == [50, 66]
    # two texts, and where the batch is not what tells them apart
    for inputs, given in ((found("texts"), {}), (made.inputs, {"output_layer": "softmax"})):
        parsed, _ = parse(joined_settings(inputs, recipe(inputs).settings, given))
        assert not any(encoder.random_crop for encoder in parsed.encoders)
        assert parsed.encoders[1].max_seq_len == inputs.in1.max_length


def test_a_small_table_has_small_batches_where_these_are_the_negatives() -> None:
    def size(case: str, *pairs: int) -> int:
        return int(recipe(found(case), "auto", *pairs).settings["mini_batch_size"])

    for case in ("events", "texts"):
        assert [size(case, pairs) for pairs in (1, 640, 1279, 1280, 10_239)] == [
            32, 32, 32, 64, 256,
        ]  # fmt: skip
        assert size(case, 10_240) == size(case, 10**7) == size(case) == 512
    assert size("stars", 40) == size("stars") == 256
    # where a table is read, its rows are known
    model = Object2Vec.from_table(TABLE, in0="question", in1="plot", epochs=1, enc_dim=8)
    assert model.hyperparameters["mini_batch_size"] == 32


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_ratings_with_features_are_learned(data_dir: Path) -> None:
    people = pd.read_csv(
        data_dir / "ml-100k/u.user", sep="|", names=["user", "age", "gender", "job", "zip"]
    )
    base, test = (
        pd.read_csv(
            data_dir / f"ml-100k/{name}", sep="\t", names=["user", "film", "stars", "time"]
        ).merge(people, on="user")
        for name in ("ua.base", "ua.test")
    )
    made = table_pairs(
        base, TableChoice(in0=["user", "age", "gender", "job"], in1="film", label="stars")
    )
    settings = parse({**recipe(made.inputs).settings, "_seed": "1"})[0]
    predictor = train(settings, made.pairs["train"]).predictor
    pairs, _ = encode_table(made.inputs, test)
    error = np.mean((predictor.scores(pairs.in0, pairs.in1) - pairs.labels) ** 2)
    # with adamw, as where both sides have features, it was 0.874
    assert error < 0.87


def test_tied_sides_share_a_token_table() -> None:
    settings = recipe(found("judged texts", tied=True)).settings
    assert parse(settings)[0].tied_token_embedding_weight
    assert not parse(recipe(found("judged texts")).settings)[0].tied_token_embedding_weight


SEQUENCES = {"enc0_network": "hcnn", "enc1_network": "hcnn"}


@pytest.mark.parametrize(
    ("given", "is_one"),
    [
        (SEQUENCES, True),
        (dict.fromkeys(SEQUENCES, "bilstm"), True),
        ({"enc0_network": "bilstm", "enc1_network": "enc0"}, True),
        ({**SEQUENCES, "enc0_layers": "2", "enc1_layers": 2}, True),
        ({**SEQUENCES, "enc0_layers": 4}, True),
        ({**SEQUENCES, "enc1_max_seq_len": "3"}, True),
        ({**SEQUENCES, "enc1_vocab_size": "99"}, True),
        ({**SEQUENCES, "enc0_random_crop": "true"}, True),
        ({**SEQUENCES, "enc1_pretrained_embedding_file": "glove.txt"}, True),
        ({**SEQUENCES, "scorer": "cosine"}, True),
        ({**SEQUENCES, "token_embedding_storage_type": "row_sparse"}, True),
        ({}, False),
        ({"enc0_network": "hcnn"}, False),
        ({"enc0_network": "hcnn", "enc1_network": "bilstm"}, False),
        ({**SEQUENCES, "enc0_layers": 2}, False),
        ({**SEQUENCES, "enc1_cnn_filter_width": 5}, False),
        ({**SEQUENCES, "tied_encoders": "false"}, False),
        ({**SEQUENCES, "tied_encoders": False}, False),
    ],
    ids=[
        *("hcnn", "bilstm", "enc0's", "layers", "layers as auto has them", "lengths", "vocabulary"),
        *("crop", "pretrained", "cosine", "row_sparse"),
        *("means", "one hcnn", "two networks", "two depths", "two widths", "refused", "typed"),
    ],
)
def test_two_texts_of_one_vocabulary_share_an_encoder_of_sequences(
    given: dict[str, Any], is_one: bool
) -> None:
    inputs = found("judged texts", tied=True)
    configuration, told = of_recipe(inputs, "auto", 40, given)
    parsed, lines = parse(configuration)
    assert parsed.tied_encoders == is_one
    assert all(line.level == logging.INFO for line in lines), lines
    why, *more = told
    assert why == recipe(inputs).why
    network = "bilstm" if "bilstm" in given.values() else "hcnn"
    assert more == is_one * [
        f"Recipe text_pair: one encoder for both sides (tied_encoders=true), because {network} "
        "encodes both and they share a vocabulary."
    ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"enc0_token_embedding_dim": 20},
            "'tied_token_embedding_weight' needs the same token width on both sides, but",
        ),
        (
            {f"enc{side}_pretrained_embedding_file": f"{side}.txt" for side in (0, 1)},
            "'tied_token_embedding_weight' needs the same pretrained file on both sides, but",
        ),
        ({"enc0_layers": "many"}, "'enc0_layers' should be"),
    ],
    ids=["width", "files", "no number"],
)
def test_what_is_refused_is_told_in_words_of_what_was_given(
    given: dict[str, Any], words: str
) -> None:
    inputs = found("judged texts", tied=True)
    configuration, told = of_recipe(inputs, "auto", 40, {**SEQUENCES, **given})
    with pytest.raises(CustomerError, match=f"^{words}"):
        parse(configuration)
    assert len(told) == 1


@pytest.mark.parametrize("case", ["judged texts", "texts", "likes", "topics of texts"])
def test_encoders_are_tied_for_two_labelled_texts_of_one_vocabulary_alone(case: str) -> None:
    for tied in (False, case != "judged texts"):
        configuration, _ = of_recipe(found(case, tied=tied), "auto", 40, SEQUENCES)
        assert not parse(configuration)[0].tied_encoders


@pytest.mark.parametrize(
    ("given", "weighting"),
    [
        ({}, "tfidf"),
        (SEQUENCES, "mean"),
        ({"enc0_network": "bilstm", "enc1_network": "enc0"}, "mean"),
        ({"enc1_network": "hcnn"}, "mean"),
        ({"enc1_network": "hcnn", "tied_token_embedding_weight": "false"}, "tfidf"),
    ],
    ids=["means", "hcnn", "enc0's", "one of a table", "one of two tables"],
)
def test_who_gives_networks_of_sequences_is_not_refused_weights_of_tokens(
    given: dict[str, Any], weighting: str
) -> None:
    inputs = found("texts", tied=True)
    parsed, _ = parse(joined_settings(inputs, recipe(inputs).settings, given))
    assert parsed.token_weighting == weighting


def test_a_table_of_two_texts_is_learned_by_one_encoder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns: dict[str, Any] = {"in0": "plot", "in1": "question", "label": "liked"}
    given = {"tied_token_embedding_weight": True, **SEQUENCES}
    small: dict[str, Any] = {"enc_dim": 8, "epochs": 1, "seed": 1}
    model = Object2Vec.from_table(TABLE, **columns, **given, **small, verbose=1)
    words = "Recipe text_pair: one encoder for both sides (tied_encoders=true), because hcnn "
    assert capsys.readouterr().out.count(words) == 1
    assert model.hyperparameters["tied_encoders"] is True
    text = TABLE["plot"].tolist()[:2]
    assert np.array_equal(model.embed(in0=text), model.embed(in1=text))
    plain = Object2Vec.from_table(TABLE, **columns, **given, **small, preset=None, verbose=0)
    assert plain.hyperparameters["tied_encoders"] is False

    table = tmp_path / "texts.csv"
    TABLE[[*columns.values()]].to_csv(table, index=False)
    options = [f"--{name}={value}" for name, value in columns.items()]
    options += [f"-p{name}={value}" for name, value in given.items()]
    assert main(["validate", f"--train={table}", *options]) == 0
    assert capsys.readouterr().out.count(words) == 1


def classes_or_number(label: np.ndarray) -> Any:
    return float(label) if label.ndim == 0 else np.flatnonzero(label).tolist()


@pytest.mark.parametrize("case", CASES)
def test_settings_train(case: str) -> None:
    in0, in1, label, _, _ = CASES[case]
    made = table_pairs(TABLE, TableChoice(in0=in0, in1=in1, label=label))
    # widths that a test can wait for
    small = {"enc_dim": "8", "mlp_dim": "4", "epochs": "1", "seed": 1}
    settings: dict[str, Any] = {**recipe(made.inputs).settings, **small}
    pairs = made.pairs["train"]
    records = [
        {"in0": a.tolist(), "in1": b.tolist(), "label": classes_or_number(label)}
        for a, b, label in zip(
            (pairs.in0[row] for row in range(len(pairs))),
            (pairs.in1[row] for row in range(len(pairs))),
            pairs.labels,
        )
    ]
    model = Object2Vec(**settings).fit(records)
    assert len(model.history) == 1
    assert model.embed(in0=[records[0]["in0"]]).shape == (1, 8)


@pytest.mark.parametrize(
    ("preset", "near"),
    [("rating", " (the nearest is 'ratings')"), ("TEXT_PAIR", " (the nearest is 'text_pair')"),
     ("", ""), ("films and so on", "")],
    ids=["letter", "case", "empty", "far"],
)  # fmt: skip
def test_an_unknown_preset_is_one_sentence(preset: str, near: str) -> None:
    wanted = (
        "preset must be one of auto, ratings, interactions, text_pair, text_tags, text_labels, "
        f'documents, found "{preset}"{near}.'
    )
    with pytest.raises(CustomerError) as raised:
        recipe(found("stars"), preset)
    assert str(raised.value) == wanted
    # before the table is read
    with pytest.raises(CustomerError) as raised:
        table_pairs("no table", TableChoice(in0="a", in1="b", preset=preset))
    assert str(raised.value) == wanted


def test_a_preset_that_does_not_fit_writes_nothing(tmp_path: Any) -> None:
    with pytest.raises(CustomerError, match="The preset text_pair needs"):
        write_channels(
            tmp_path / "channels",
            TABLE,
            TableChoice(in0="user", in1="film", label="stars", preset="text_pair"),
        )
    assert not list(tmp_path.iterdir())
    with pytest.raises(CustomerError, match="there are no labels: take interactions"):
        table_pairs(TABLE, TableChoice(in0="user", in1="film", preset="ratings"))


def test_what_draws_negatives_goes_with_them() -> None:
    """Who wants no negatives is not told of a power that he did not give."""
    inputs = found("tags of texts")
    settings = recipe(inputs).settings
    assert settings["negative_sampling_power"] == "0.5"
    given = {"negative_sampling_rate": 0}
    assert "negative_sampling_power" not in joined_settings(inputs, settings, given)
    own = {**given, "negative_sampling_power": 0.25}
    assert joined_settings(inputs, settings, own)["negative_sampling_power"] == 0.25
