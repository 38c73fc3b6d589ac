# SPDX-License-Identifier: Apache-2.0
"""Tests of the hyperparameters: what is accepted, what is refused, and the rules between them."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from object2vec.errors import CustomerError, failure_text
from object2vec.hyperparameters.checked import Hyperparameters, parse
from object2vec.hyperparameters.table import (
    BY_NAME,
    HYPERPARAMETERS,
    METRIC_NAMES,
    Hyperparameter,
    help_items,
    markdown_table,
)

pytestmark = pytest.mark.own_way

PUBLISHED = json.loads(
    (Path(__file__).parent / "data" / "published_hyperparameters.json").read_text()
)
REQUIRED = {"enc0_max_seq_len": "10", "enc0_vocab_size": "100"}


def parsed(**values: Any) -> Hyperparameters:
    return parse({**REQUIRED, **values})[0]


def log(**values: Any) -> list[str]:
    return [line.text for line in parse({**REQUIRED, **values})[1]]


def refused(raw: Mapping[str, Any]) -> str:
    with pytest.raises(CustomerError) as caught:
        parse(raw)
    text = failure_text(caught.value)
    assert "Traceback" not in text
    return str(caught.value)


def error(**values: Any) -> str:
    return refused({**REQUIRED, **values})


# --- what is accepted -----------------------------------------------------------------------


def test_defaults() -> None:
    values = parse(REQUIRED)[0]
    assert values.enc0 == values.enc1
    assert values.to_stored() == {
        **{
            f"enc{side}_{name}": value
            for side in (0, 1)
            for name, value in {
                "max_seq_len": 10,
                "vocab_size": 100,
                "network": "hcnn",
                "layers": 4,
                "cnn_filter_width": 3,
                "token_embedding_dim": 300,
                "pretrained_embedding_file": "",
                "freeze_pretrained_embedding": True,
                "vocab_file": "",
            }.items()
        },
        "enc_dim": 4096,
        "bucket_width": 0,
        "comparator_list": ["hadamard", "concat", "abs_diff"],
        "tied_token_embedding_weight": False,
        "token_embedding_storage_type": "dense",
        "negative_sampling_rate": 0,
        "mlp_layers": 2,
        "mlp_dim": 512,
        "mlp_activation": "linear",
        "dropout": 0.0,
        "output_layer": "softmax",
        "num_classes": 2,
        "optimizer": "adam",
        "learning_rate": 0.0004,
        "weight_decay": 0.0,
        "mini_batch_size": 32,
        "epochs": 30,
        "early_stopping_patience": 3,
        "early_stopping_tolerance": 0.01,
        "_kvstore": "auto_gpu",
        "_num_gpus": "auto",
        "_num_kv_servers": "auto",
        "_tuning_objective_metric": "",
    }
    # what the original lacks is off, and stored by no name that it does not know
    extensions = {item.name: item.default for item in HYPERPARAMETERS if item.extension}
    for name, value in extensions.items():
        assert values.to_dict().get(name) == value
    assert values.to_dict().keys() - extensions.keys() == values.to_stored().keys()
    assert not values.is_extended
    assert values.seed is None
    assert not values.is_regression
    assert values.encoders == (values.enc0, values.enc1)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_sets_as_strings_and_as_numbers(name: str) -> None:
    typed = PUBLISHED[name]
    values = parse(typed)[0]
    assert parse({key: str(value) for key, value in typed.items()})[0] == values
    again, lines = parse(json.loads(json.dumps(values.to_dict())))
    assert again == values
    assert all(line.level == logging.INFO for line in lines)


RANGES = [  # name, lowest, highest: original.md's table
    ("enc0_max_seq_len", 1, 5000),
    ("enc1_max_seq_len", 1, 5000),
    ("enc0_vocab_size", 2, 3000000),
    ("enc1_vocab_size", 2, 3000000),
    ("enc_dim", 4, 10000),
    ("enc0_cnn_filter_width", 1, 9),
    ("enc1_cnn_filter_width", 1, 9),
    ("enc0_token_embedding_dim", 2, 1000),
    ("enc1_token_embedding_dim", 2, 1000),
    ("enc0_layers", 1, 4),
    ("enc1_layers", 1, 4),
    ("bucket_width", 0, 100),
    ("mlp_layers", 0, 10),
    ("mlp_dim", 2, 10000),
    ("dropout", 0, 1),
    ("num_classes", 2, 30),
    ("learning_rate", 1e-6, 1),
    ("weight_decay", 0, 10000),
    ("token_embedding_weight_decay", 0, 10000),
    ("warmup_epochs", 0, 100),
    ("clip_gradient", 0, 10000),
    ("mini_batch_size", 1, 10000),
    ("epochs", 1, 100),
    ("early_stopping_patience", 1, 5),
    ("early_stopping_tolerance", 1e-6, 0.1),
    # extensions
    ("negative_sampling_power", 0, 1),
    ("hard_negative_share", 0, 1),
    ("token_dropout", 0, 0.99),
]


@pytest.mark.parametrize(("name", "lowest", "highest"), RANGES)
def test_ends_of_each_range(name: str, lowest: float, highest: float) -> None:
    step = 1e-7 if BY_NAME[name].kind == "continuous" else 1
    base = {**REQUIRED, "enc1_network": "hcnn"}
    for end in (lowest, highest):
        for given_value in (end, str(end)):
            assert parse({**base, name: given_value})[0].to_dict()[name] == end
    for outside in (lowest - step, highest + step):
        text = refused({**base, name: str(outside)})
        assert text.startswith(f"'{name}' should be ")
        assert f"within range ({lowest}, {highest}), but '{outside}' was given" in text


@pytest.mark.parametrize("value", [0, 7, 2**31 - 1])
@pytest.mark.parametrize("name", ["_seed", "_num_gpus", "negative_sampling_rate"])
def test_unbounded_integers(name: str, value: int) -> None:
    assert parsed(**{name: str(value)}).to_dict()[name] == value
    assert "within range (0, 2147483647)" in error(**{name: "-1"})


@pytest.mark.parametrize(
    ("name", "given_value", "expected"),
    [
        ("epochs", " 7 ", 7),
        ("epochs", "+7", 7),
        ("epochs", "007", 7),
        ("epochs", np.int64(7), 7),
        ("epochs", np.array(7), 7),
        ("learning_rate", "1e-3", 0.001),
        ("learning_rate", ".5", 0.5),
        ("learning_rate", " 0.001\n", 0.001),
        ("learning_rate", 1, 1.0),
        ("learning_rate", np.float64(0.25), 0.25),
        ("learning_rate", Fraction(1, 4), 0.25),
        ("enc0_layers", "auto", 4),
        ("enc0_layers", 2, 2),
        ("enc0_layers", np.str_("2"), 2),
        ("_num_gpus", "auto", "auto"),
        ("tied_token_embedding_weight", "TRUE", True),
        ("tied_token_embedding_weight", "false", False),
        ("tied_token_embedding_weight", " True ", True),
        ("tied_token_embedding_weight", np.bool_(True), True),
        ("mlp_activation", " relu ", "relu"),
        ("comparator_list", "abs_diff,hadamard", ["abs_diff", "hadamard"]),
        ("comparator_list", " concat , abs_diff ", ["concat", "abs_diff"]),
        ("comparator_list", ["concat"], ["concat"]),
        ("comparator_list", ("concat", "hadamard"), ["concat", "hadamard"]),
        ("enc0_vocab_file", "a.B-9_c.json", "a.B-9_c.json"),
        ("enc0_vocab_file", "", ""),
    ],
)
def test_spellings(name: str, given_value: Any, expected: Any) -> None:
    value = parsed(**{name: given_value}).to_dict()[name]
    assert value == expected
    assert type(value) is type(expected)


def test_none_counts_as_not_given() -> None:
    assert parsed(epochs=None, enc1_vocab_size=None) == parse(REQUIRED)[0]
    assert "'enc0_vocab_size' which are required" in error(enc0_vocab_size=None)


# --- what is refused ------------------------------------------------------------------------

TOO_LONG = "9" * 5000

BAD_VALUES = [
    ("num_classes", "31", "'num_classes' should be within range (2, 30), but '31' was given."),
    ("num_classes", 1, "'num_classes' should be within range (2, 30), but 1 was given."),
    ("epochs", "3.0", "'epochs' should be an integer within range (1, 100), but '3.0' was given."),
    ("epochs", 3.0, "'epochs' should be an integer within range (1, 100), but 3.0 was given."),
    ("epochs", "1_0", "'epochs' should be an integer within range (1, 100), but '1_0' was given."),
    ("epochs", "", "'epochs' should be an integer within range (1, 100), but '' was given."),
    ("epochs", "٣", "'epochs' should be an integer within range (1, 100), but '٣' was given."),
    ("epochs", True, "'epochs' should be an integer within range (1, 100), but True was given."),
    ("epochs", [3], "'epochs' should be an integer within range (1, 100), but [3] was given."),
    ("epochs", "auto", "should be an integer within range (1, 100), but 'auto' was given."),
    ("epochs", TOO_LONG, "'epochs' should be within range (1, 100), but '999"),
    ("learning_rate", "nan", "'learning_rate' should be a finite number within range (1e-06, 1)"),
    ("learning_rate", float("nan"), "should be a finite number within range (1e-06, 1)"),
    ("learning_rate", "inf", "should be a finite number"),
    ("learning_rate", "1e999", "should be a finite number"),
    ("learning_rate", 10**400, "should be a finite number"),
    ("weight_decay", float("inf"), "should be a finite number within range (0, 10000)"),
    ("learning_rate", "0,001", "should be a finite number"),
    ("learning_rate", "0x1p-3", "should be a finite number"),
    ("learning_rate", True, "should be a finite number within range (1e-06, 1), but True"),
    ("learning_rate", "0", "'learning_rate' should be within range (1e-06, 1), but '0' was given."),
    ("dropout", -0.1, "'dropout' should be within range (0, 1), but -0.1 was given."),
    (
        "enc0_network", "HCNN",
        "'enc0_network' should be 'hcnn', 'bilstm' or 'pooled_embedding', but 'HCNN' was given "
        "(did you mean 'hcnn'?).",
    ),
    ("enc0_network", "enc0", "should be 'hcnn', 'bilstm' or 'pooled_embedding', but 'enc0'"),
    ("enc1_network", "pooled", "but 'pooled' was given"),
    ("optimizer", "Adma", "but 'Adma' was given (did you mean 'adam'?)."),
    ("optimizer", 3, "'optimizer' should be a string, but 3 was given."),
    (
        "output_layer",
        "mse",
        "should be 'softmax', 'mean_squared_error', 'in_batch_softmax' or 'multi_label', but 'mse' "
        "was given.",
    ),
    ("_kvstore", "dist_sync", "should be 'auto_gpu', 'auto_cpu', 'local' or 'device'"),
    (
        "enc0_layers", "5",
        "'enc0_layers' should be 'auto' or within range (1, 4), but '5' was given.",
    ),
    (
        "enc0_layers", "Auto",
        "'enc0_layers' should be 'auto' or an integer within range (1, 4), but 'Auto' was given "
        "(did you mean 'auto'?).",
    ),
    ("_num_kv_servers", 0, "'_num_kv_servers' should be 'auto' or within range (1, 2147483647)"),
    ("tied_token_embedding_weight", "yes", "should be True or False, but 'yes' was given."),
    ("tied_token_embedding_weight", 1, "should be True or False, but 1 was given."),
    ("comparator_list", "", "should be a comma separated list of hadamard, concat, abs_diff"),
    ("comparator_list", [], "should name at least one of hadamard, concat, abs_diff"),
    ("comparator_list", "concat,,hadamard", "should be a comma separated list of hadamard"),
    ("comparator_list", "concat, concat", "each once, but 'concat, concat' was given."),
    ("comparator_list", "absdiff", "(did you mean 'abs_diff'?)."),
    ("comparator_list", 7, "should be a list of hadamard, concat, abs_diff, but 7 was given."),
    ("comparator_list", [1], "should be a list of hadamard, concat, abs_diff, but [1] was given."),
    ("enc0_vocab_file", "../a.json", "'enc0_vocab_file' should be the name of a file in the"),
    ("enc0_vocab_file", "..", "without a folder, but '..' was given."),
    ("enc0_pretrained_embedding_file", "a b.txt", "but 'a b.txt' was given."),
    ("enc0_pretrained_embedding_file", 5, "should be a string, but 5 was given."),
    (
        "_tuning_objective_metric", "validation:acuracy",
        "(did you mean 'validation:accuracy'?).",
    ),
    ("_tuning_objective_metric", "accuracy", "should be one of train:cross_entropy, "),
    ("_seed", "-3", "'_seed' should be within range (0, 2147483647), but '-3' was given."),
    ("_seed", "x", "'_seed' should be an integer within range (0, 2147483647)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "part"), BAD_VALUES)
def test_bad_value_is_one_sentence(name: str, value: Any, part: str) -> None:
    text = error(**{name: value})
    assert part in text
    assert text.startswith(f"'{name}' should ")
    assert text.endswith(".")
    assert len(text) < 450


@pytest.mark.parametrize("name", ["epochs", "enc0_layers", "learning_rate", "optimizer"])
def test_number_too_long_to_print(name: str) -> None:
    assert error(**{name: 10**5000}).endswith("but a number of about 5000 digits was given.")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("epoch", " (did you mean 'epochs'?)."),
        ("Epochs", " (did you mean 'epochs'?)."),
        ("enc2_layers", " (did you mean 'enc"),
        ("vocab_size", " (did you mean 'enc"),
        ("seed", " (did you mean '_seed'?)."),
        ("foo", " ('object2vec describe' lists all names)."),
        ("", " ('object2vec describe' lists all names)."),
    ],
)
def test_unknown_name(name: str, hint: str) -> None:
    text = error(**{name: "1"})
    assert text.startswith(f"'{name}' does not match any of the regexes: ")
    assert hint in text


def test_names_and_values_are_quoted_short_and_in_print() -> None:
    hostile = "a\nb\x1b[2J\u2028\u202e\ud800"
    for text in (
        error(**{hostile: 1}),
        error(**{"k" * 5000: 1}),
        error(epochs=hostile),
        error(optimizer="k" * 5000),
        error(enc0_vocab_file="k" * 5000),
        error(comparator_list=hostile),
        error(_tuning_objective_metric="k" * 5000),
    ):
        assert len(text) < 700 and text.isprintable()
    _, lines = parse({**REQUIRED, f"sagemaker_{'k' * 5000}": 1})
    assert len(lines[0].text) < 200


def test_values_of_deep_brackets() -> None:
    value: Any = []
    for _ in range(10_000):
        value = [value]
    for name in ("epochs", "comparator_list", "optimizer", "learning_rate", "enc0_layers"):
        assert "[[[[" in error(**{name: value})


def test_only_the_first_of_many_unknown_names_are_told() -> None:
    text = error(**{f"unknown_{n}": 1 for n in range(10_000)})
    assert "'unknown_19'" in text and "'unknown_20'" not in text
    assert text.endswith("9980 more names are unknown.") and len(text) < 4000


def test_missing_required() -> None:
    assert refused({"enc0_max_seq_len": "10"}) == (
        "No value(s) were specified for 'enc0_vocab_size' which are required hyperparameter(s)."
    )
    assert refused({}) == (
        "No value(s) were specified for 'enc0_max_seq_len', 'enc0_vocab_size' which are required "
        "hyperparameter(s)."
    )


def test_all_errors_at_once() -> None:
    text = refused(
        {
            "foo": "1",
            "enc0_vocab_size": "10",
            "num_classes": "31",
            "enc0_network": "HCNN",
            "learning_rate": "nan",
            "token_embedding_storage_type": "row_sparse",
            "optimizer": "rmsprop",
        }
    )
    parts = [
        "'foo' does not match any of the regexes: ",
        "No value(s) were specified for 'enc0_max_seq_len' which",
        "'enc0_network' should be 'hcnn'",
        "'num_classes' should be within range (2, 30)",
        "'learning_rate' should be a finite number",
        "'token_embedding_storage_type' can be 'row_sparse' only with",
    ]
    positions = [text.find(part) for part in parts]
    assert -1 not in positions
    assert positions == sorted(positions)


def test_a_table_beyond_mxnets_largest_array() -> None:
    sizes = {"enc0_vocab_size": 3_000_000, "enc0_token_embedding_dim": 716}
    text = refused({**REQUIRED, **sizes})
    assert text == (
        "'enc0_vocab_size' times 'enc0_token_embedding_dim' must be at most 2147483646, the "
        "largest array of MXNet, but 3000000 times 716 is 2148000000."
    )
    assert parse({**REQUIRED, **sizes, "enc0_token_embedding_dim": 715})
    pooled = {**sizes, "enc0_network": "pooled_embedding", "enc_dim": 800}
    assert "3000000 times 800" in refused({**REQUIRED, **pooled})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"enc0_network": "pooled_embedding"}, "'enc0_vocab_size' times 'enc_dim' must"),
        (
            {"enc1_network": "pooled_embedding", "enc0_token_embedding_dim": 10},
            "'enc0_vocab_size' times 'enc_dim' must",
        ),
        (
            {"enc1_network": "hcnn", "enc0_vocab_size": 9, "enc1_vocab_size": 3_000_000},
            "'enc1_vocab_size' times 'enc1_token_embedding_dim' must",
        ),
        (
            {"enc1_network": "hcnn", "enc0_token_embedding_dim": 9},
            "'enc0_vocab_size' times 'enc1_token_embedding_dim' must",
        ),
    ],
)
def test_a_table_too_large_is_told_with_the_sizes_that_can_be_set(
    given: dict[str, Any], words: str
) -> None:
    widths = {"enc0_token_embedding_dim": 800, "enc1_token_embedding_dim": 800, "enc_dim": 800}
    sizes = {"enc0_vocab_size": 3_000_000, **widths}
    assert refused({**REQUIRED, **sizes, **given}).startswith(words)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.lists(st.text(max_size=4), max_size=3), st.binary(max_size=3),
    st.sampled_from(["auto", "hcnn", "enc0", "pooled_embedding", "row_sparse", "3", "0.5", "True"]),
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(sorted(BY_NAME)), VALUES, max_size=12))
def test_anything_is_parsed_or_refused_in_words(raw: dict[str, Any]) -> None:
    try:
        values, _ = parse({**REQUIRED, **raw})
    except CustomerError as caught:
        assert str(caught).endswith(".")
    else:
        assert parse(values.to_dict())[0] == values
        assert None not in values.to_dict().values()


# --- the scorer, and what goes with it ---


def test_what_a_scorer_does_not_heed_is_ignored() -> None:
    given_values = {"mlp_layers": "77", "mlp_dim": "64", "comparator_list": "concat"}
    values, lines = parse({**REQUIRED, "scorer": "dot", **given_values})
    assert values == parsed(scorer="dot")
    assert {line.text for line in lines} == {
        f"scorer is set to dot. Ignoring the hyperparameter '{name}'." for name in given_values
    }
    values, lines = parse({**REQUIRED, "temperature": "2", "popularity_correction": "7"})
    assert values == parsed()
    assert [line.text for line in lines] == [
        f"output_layer is set to softmax. Ignoring the hyperparameter '{name}'."
        for name in ("temperature", "popularity_correction")
    ]


CONTRASTIVE = {"scorer": "cosine", "output_layer": "in_batch_softmax"}


@pytest.mark.parametrize(("scorer", "temperature"), [("cosine", 0.05), ("dot", 1.0)])
def test_the_temperature_is_settled(scorer: str, temperature: float) -> None:
    assert parsed(**{**CONTRASTIVE, "scorer": scorer}).temperature == temperature
    assert parsed(**CONTRASTIVE, temperature="0.2").temperature == 0.2
    assert parsed(scorer=scorer).temperature is None


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"output_layer": "in_batch_softmax"},
            "'output_layer' can be 'in_batch_softmax' only with scorer 'dot' or 'cosine', but "
            "'scorer' is 'mlp'.",
        ),
        (
            {**CONTRASTIVE, "negative_sampling_rate": "3"},
            "'negative_sampling_rate' must be 0 with output_layer 'in_batch_softmax', which takes "
            "the other pairs of a batch for negatives, but 3 was given.",
        ),
        (
            {"ensemble_size": "2"},
            "'ensemble_size' can be above 1 only with scorer 'dot', whose products add up, but "
            "'scorer' is 'mlp'.",
        ),
        (
            {"scorer": "dot", "ensemble_size": "3", "enc_dim": "16"},
            "'enc_dim' must be a multiple of 'ensemble_size', which is 3, but 16 was given.",
        ),
        (
            {"scorer": "dot", "ensemble_size": "8", "enc_dim": "8"},
            "'enc_dim' must be 2 for each of the 'ensemble_size' models or more, 16 in all, but 8 "
            "was given.",
        ),
        (
            {"scorer": "dot", "num_classes": "3"},
            "'scorer' can be 'dot' with output_layer 'softmax' only for 2 classes, but "
            "'num_classes' is 3: 'mlp' has scores of more.",
        ),
        (
            {
                **CONTRASTIVE,
                "enc0_network": "pooled_embedding",
                "enc0_pretrained_embedding_file": "words.txt",
            },
            "With 'pooled_embedding' and output_layer 'in_batch_softmax' nothing but token vectors "
            "is learnt, and these are frozen: set 'enc0_freeze_pretrained_embedding' or "
            "'enc1_freeze_pretrained_embedding' to False.",
        ),
    ],
    ids=["mlp", "negatives", "no dot", "odd width", "no width", "three classes", "all frozen"],
)
def test_what_does_not_go_together(given: dict[str, Any], sentence: str) -> None:
    assert error(**given) == sentence


def test_tied_encoders_take_one_table() -> None:
    values = parsed(tied_encoders=True, enc1_network="hcnn", enc1_max_seq_len=7)
    assert values.tied_token_embedding_weight
    assert values.enc1.max_seq_len == 7
    assert error(tied_encoders=True, enc1_network="bilstm") == (
        "'tied_encoders' needs the same network on both sides, but 'enc0_network' is 'hcnn' and "
        "'enc1_network' is 'bilstm'."
    )
    assert error(
        tied_encoders=True, enc1_network="hcnn", enc1_layers=2, enc1_cnn_filter_width=4,
        enc1_token_embedding_dim=8, enc1_vocab_size=9,
    ) == (
        "'tied_encoders' needs the same number of layers on both sides, but 'enc0_layers' is 4 and "
        "'enc1_layers' is 2. 'tied_encoders' needs the same filter width on both sides, but "
        "'enc0_cnn_filter_width' is 3 and 'enc1_cnn_filter_width' is 4. 'tied_encoders' needs the "
        "same vocabulary size on both sides, but 'enc0_vocab_size' is 100 and 'enc1_vocab_size' is "
        "9. 'tied_encoders' needs the same token width on both sides, but "
        "'enc0_token_embedding_dim' is 300 and 'enc1_token_embedding_dim' is 8 (pooled_embedding "
        "takes enc_dim)."
    )  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [CONTRASTIVE, {"scorer": "dot"}, {"tied_encoders": True}, {**CONTRASTIVE, "temperature": 3}],
    ids=["in batch", "dot", "tied", "temperature"],
)
def test_extensions_are_stored_where_they_are_used(given: dict[str, Any]) -> None:
    values = parsed(**given)
    assert values.is_extended
    assert given.items() <= values.to_stored().items()
    assert parse(values.to_stored())[0] == values
    off = {item.name for item in HYPERPARAMETERS if item.extension} - values.to_stored().keys()
    assert off


# --- rules ----------------------------------------------------------------------------------


def test_enc1_takes_all_of_enc0() -> None:
    given_values = {
        "enc0_network": "bilstm",
        "enc0_layers": "2",
        "enc1_vocab_size": "300",
        "enc1_max_seq_len": "10",
        "enc1_freeze_pretrained_embedding": "False",
        "enc1_vocab_file": "b.json",
    }
    values = parsed(**given_values)
    assert values.enc1 == values.enc0
    assert values.enc1.vocab_size == 100
    lines = log(**given_values)
    assert len(lines) == 3
    assert lines[0].startswith("enc1_vocab_size=300 is replaced by enc0_vocab_size=100, because ")
    assert lines[1].startswith("enc1_freeze_pretrained_embedding=False is replaced by ")
    assert lines[2].startswith("enc1_vocab_file=b.json is replaced by ")


def test_enc1_of_its_own() -> None:
    values = parsed(
        enc0_network="pooled_embedding",
        enc0_token_embedding_dim=20,
        enc0_layers=2,
        enc0_cnn_filter_width=5,
        enc1_network="hcnn",
    )
    assert (values.enc1.max_seq_len, values.enc1.vocab_size) == (10, 100)
    assert values.enc1.token_embedding_dim == 300
    assert (values.enc1.layers, values.enc1.cnn_filter_width) == (4, 3)
    assert values.enc0.layers == 1
    values = parsed(enc1_network="bilstm", enc1_vocab_size=7, enc1_max_seq_len=3)
    assert (values.enc1.layers, values.enc1.vocab_size, values.enc1.max_seq_len) == (1, 7, 3)


def test_pooled_width() -> None:
    line = (
        "Inconsistent enc_dim and token_embedding_dim found for token-embedding-encoder: 1024 vs "
        "300. Setting token embedding dim to be 1024"
    )
    pooled = {"enc0_network": "pooled_embedding", "enc_dim": "1024"}
    assert log(**pooled, enc0_token_embedding_dim="300") == [line]
    values = parsed(**pooled)
    assert values.enc0.token_embedding_dim == values.enc1.token_embedding_dim == 1024
    assert log(**pooled, enc0_token_embedding_dim="1024") == []
    assert parsed(**pooled, enc0_token_embedding_dim=1024) == values
    assert "within range (2, 1000), but '1023'" in error(**pooled, enc0_token_embedding_dim="1023")
    assert "within range (2, 1000)" in error(enc_dim=1024, enc0_token_embedding_dim=1024)


def test_regression_ignores_num_classes() -> None:
    line = "output_layer is set to mean_squared_error. Ignoring the hyperparameter 'num_classes'."
    for ignored in ("5", "1", "none"):
        values = parsed(output_layer="mean_squared_error", num_classes=ignored)
        assert values.is_regression
        assert log(output_layer="mean_squared_error", num_classes=ignored) == [line]
    assert log(output_layer="mean_squared_error") == []


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "adagrad", "sgd"])
def test_row_sparse(optimizer: str) -> None:
    sparse = {"token_embedding_storage_type": "row_sparse", "optimizer": optimizer}
    assert parsed(**sparse, bucket_width=10).bucket_width == 0
    assert log(**sparse, bucket_width=10) == [
        "token_embedding_storage_type is row_sparse, which switches bucketing off: "
        "bucket_width=10 becomes 0."
    ]
    assert log(**sparse) == []
    assert parsed(bucket_width=10).bucket_width == 10


@pytest.mark.parametrize("optimizer", ["adadelta", "rmsprop"])
def test_row_sparse_needs_a_sparse_optimizer(optimizer: str) -> None:
    text = error(token_embedding_storage_type="row_sparse", optimizer=optimizer)
    assert "only with optimizer 'adam', 'adamw', 'adagrad' or 'sgd'" in text
    assert f"'optimizer' is '{optimizer}'" in text
    assert parsed(optimizer=optimizer).optimizer == optimizer


def test_row_sparse_adagrad_has_no_weight_decay() -> None:
    sparse = {"token_embedding_storage_type": "row_sparse", "weight_decay": "0.1"}
    text = error(**sparse, optimizer="adagrad")
    assert text.startswith("'weight_decay' must be 0 with optimizer 'adagrad'")
    assert "0.1 was given: MXNet has no sparse adagrad update with weight decay" in text
    assert parsed(**sparse, optimizer="sgd").weight_decay == 0.1
    assert parsed(weight_decay=0.1, optimizer="adagrad").weight_decay == 0.1
    of_tables = {"token_embedding_weight_decay": "0.2", "optimizer": "adagrad"}
    text = error(token_embedding_storage_type="row_sparse", **of_tables)
    assert text.startswith("'token_embedding_weight_decay' must be 0 with optimizer 'adagrad'")
    assert "0.2 was given" in text
    # the other parameters may decay
    values = parsed(**sparse, optimizer="adagrad", token_embedding_weight_decay=0)
    assert (values.weight_decay, values.table_weight_decay) == (0.1, 0.0)


def test_a_weight_decay_of_the_tables_own() -> None:
    assert parsed(weight_decay=0.1).table_weight_decay == 0.1
    assert parsed(weight_decay=0.1).token_embedding_weight_decay is None
    own = parsed(weight_decay=0.1, token_embedding_weight_decay="0.3")
    assert (own.weight_decay, own.table_weight_decay) == (0.1, 0.3)
    assert parse(own.to_dict())[0] == own


def test_a_warm_up_that_does_not_end() -> None:
    line = "warmup_epochs=3.0 is not below epochs=3: the learning rate rises until training ends."
    assert log(warmup_epochs=3, epochs=3) == [line]
    assert log(warmup_epochs=2.9, epochs=3) == []
    ignored = {"learning_rate_schedule": "linear", "warmup_epochs": 3, "epochs": 3}
    assert log(optimizer="adadelta", **ignored) == [
        f"optimizer adadelta ignores the hyperparameter '{name}'."
        for name in ("learning_rate_schedule", "warmup_epochs")
    ]


def test_a_power_without_negatives_has_no_effect() -> None:
    line = "'negative_sampling_power' has no effect, because 'negative_sampling_rate' is 0."
    assert log(negative_sampling_power=0.75) == [line]
    assert log(negative_sampling_power=0.75, negative_sampling_rate=2) == []
    assert log(negative_sampling_power=1) == []


def test_hard_negatives_need_a_space_that_can_be_searched() -> None:
    line = "'hard_negative_share' has no effect, because 'negative_sampling_rate' is 0."
    assert log(hard_negative_share=0.5) == [line]
    drawn = {"hard_negative_share": 0.5, "negative_sampling_rate": 2}
    assert error(**drawn) == (
        "'hard_negative_share' can be above 0 only with scorer 'dot' or 'cosine', by which the "
        "nearest objects are found, but 'scorer' is 'mlp'."
    )
    assert not parsed(hard_negative_share=0, negative_sampling_rate=2).draws_hard_negatives
    for scorer in ("dot", "cosine"):
        assert parsed(**drawn, scorer=scorer).draws_hard_negatives
        assert not parsed(hard_negative_share=0.5, scorer=scorer).draws_hard_negatives


def test_token_weights_need_pooled_embedding() -> None:
    text = error(token_weighting="learned")
    assert text == (
        "'token_weighting' can be 'learned' only with the network pooled_embedding, but "
        "'enc0_network' is 'hcnn' and 'enc1_network' 'hcnn'."
    )
    both = {"enc0_network": "hcnn", "enc1_network": "pooled_embedding", "enc_dim": 8}
    values = parsed(**both, token_weighting="tfidf")
    weighted = [encoder.is_weighted(values.token_weighting) for encoder in values.encoders]
    assert weighted == [False, True]
    tied = {**both, "tied_token_embedding_weight": True, "enc0_token_embedding_dim": 8}
    assert parsed(**tied).tied_token_embedding_weight
    text = error(**tied, token_weighting="tfidf")
    assert "only where both networks are pooled_embedding" in text
    assert "'enc0_network' is 'hcnn' and 'enc1_network' 'pooled_embedding'" in text


def test_random_crop_is_replaced_as_all_of_enc1() -> None:
    values = parsed(enc0_random_crop="true", enc1_random_crop="False")
    assert [encoder.random_crop for encoder in values.encoders] == [True, True]
    assert values.enc0.kept_len > 10**6
    values = parsed(enc0_random_crop=True, enc1_network="hcnn", enc1_max_seq_len=7)
    assert [encoder.random_crop for encoder in values.encoders] == [True, False]
    assert values.enc1.kept_len == 7


def test_adadelta_ignores_the_learning_rate() -> None:
    line = "optimizer adadelta ignores the hyperparameter 'learning_rate'."
    assert log(optimizer="adadelta", learning_rate=0.1) == [line]
    assert log(optimizer="adadelta") == log(learning_rate=0.1) == []


@pytest.mark.parametrize(
    ("sides", "part"),
    [
        (
            {"enc1_vocab_size": 20},
            "needs the same vocabulary size on both sides, but 'enc0_vocab_size' is 100 and "
            "'enc1_vocab_size' is 20.",
        ),
        (
            {"enc1_token_embedding_dim": 20},
            "'enc0_token_embedding_dim' is 300 and 'enc1_token_embedding_dim' is 20",
        ),
        (
            {"enc0_network": "pooled_embedding", "enc_dim": 64},
            "is 64 and 'enc1_token_embedding_dim' is 300 (pooled_embedding takes enc_dim).",
        ),
        (
            {"enc0_pretrained_embedding_file": "a", "enc1_pretrained_embedding_file": "b"},
            "'enc0_pretrained_embedding_file' is 'a' and 'enc1_pretrained_embedding_file' is 'b'.",
        ),
        ({"enc0_vocab_file": "a", "enc1_vocab_file": "b"}, "the same vocabulary file on both"),
        (
            {
                "enc0_pretrained_embedding_file": "a",
                "enc1_pretrained_embedding_file": "a",
                "enc1_freeze_pretrained_embedding": False,
            },
            "'enc0_freeze_pretrained_embedding' is True and",
        ),
    ],
)
def test_tied_tables_that_differ(sides: dict[str, Any], part: str) -> None:
    own = {"enc1_network": "hcnn", **sides}
    assert part in error(tied_token_embedding_weight="true", **own)
    assert not parsed(**own).tied_token_embedding_weight


def test_tied_tables_that_fit() -> None:
    tied = {"tied_token_embedding_weight": True, "enc1_network": "bilstm"}
    assert parsed(**tied).tied_token_embedding_weight
    one_side = {"enc1_pretrained_embedding_file": "a", "enc1_vocab_file": "b"}
    values = parsed(**tied, **one_side, enc1_freeze_pretrained_embedding=False)
    assert (values.enc0.pretrained_embedding_file, values.enc1.vocab_file) == ("", "b")
    assert not values.enc0.frozen
    assert not values.enc1.frozen
    assert parsed(**tied, **one_side).enc1.frozen


def test_names_of_the_platform_are_ignored() -> None:
    given_values = {"feature_dim": "5", "sagemaker_program": "train.py", "sagemaker_region": "x"}
    assert parsed(**given_values) == parse(REQUIRED)[0]
    lines = log(**given_values)
    assert len(lines) == 3
    assert lines[0].startswith("Ignoring the hyperparameter 'feature_dim'")


@pytest.mark.parametrize("name", METRIC_NAMES)
def test_tuning_objective(name: str) -> None:
    assert parsed(_tuning_objective_metric=name).tuning_objective_metric == name
    lines = log(_tuning_objective_metric=name)
    assert lines[0] == f"The objective metric of the tuning job is {name}."
    never_reported = name.endswith(("mean_squared_error", "micro_f1"))
    assert (len(lines) == 2) == never_reported
    assert len(log(_tuning_objective_metric=name, output_layer="mean_squared_error")) == (
        2 if name.endswith(("cross_entropy", "accuracy", "micro_f1")) else 1
    )


@pytest.mark.parametrize("network", ["hcnn", "bilstm", "pooled_embedding"])
@pytest.mark.parametrize(("enc_dim", "layers"), [(4, 4), (5, 3), (10000, 1), (7, "auto")])
def test_any_width_and_depth(network: str, enc_dim: int, layers: Any) -> None:
    values = parsed(enc0_network=network, enc_dim=enc_dim, enc0_layers=layers)
    assert values.enc_dim == enc_dim
    assert values.enc0.network == values.enc1.network == network


# --- the declaration ------------------------------------------------------------------------


@pytest.mark.parametrize("item", HYPERPARAMETERS, ids=lambda item: item.name)
def test_declaration_is_sound(item: Hyperparameter) -> None:
    assert item.description.endswith(".")
    assert item.hidden == item.name.startswith("_")
    if item.default is not None:
        assert item.name in parsed(**{item.name: item.default}).to_dict()
    else:
        assert item.required or item.default_text
    if item.extension:
        assert not item.required
        assert item.marked_description.startswith("(extension) ")
    if item.tunable is not None and not item.tunable.choices:
        assert item.minimum <= item.tunable.minimum < item.tunable.maximum <= item.maximum
    if item.tunable is not None and item.tunable.choices:
        assert set(item.tunable.choices) <= set(item.choices)


def test_tables_show_every_name() -> None:
    rows = markdown_table().splitlines()
    assert [row.split("`")[1] for row in rows[2:]] == [item.name for item in HYPERPARAMETERS]
    assert {row.count("|") for row in rows} == {6}
    assert [name for name, _ in help_items()] == [item.name for item in HYPERPARAMETERS]
    texts = dict(help_items())
    assert texts["num_classes"].endswith("[integer, 2 to 30; default: 2]")
    assert texts["enc0_vocab_size"].endswith("[integer, 2 to 3000000; required]")
