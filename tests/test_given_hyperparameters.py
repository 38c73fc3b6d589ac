# SPDX-License-Identifier: Apache-2.0
"""Hyperparameters that come as JSON in strings, as the SageMaker SDK's frameworks send them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from object2vec import Object2Vec
from object2vec.cli import main
from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import parse
from object2vec.hyperparameters.given import GivenHyperparameters
from object2vec.hyperparameters.table import (
    BY_NAME,
    HYPERPARAMETERS,
    Hyperparameter,
    value_text,
)

REQUIRED = {"enc0_max_seq_len": 10, "enc0_vocab_size": 100, "enc1_network": "bilstm"}
# A value of each kind that is not the default.
VALUES: dict[str, Any] = {
    "integer": 5,
    "continuous": 0.05,
    "boolean": True,
    "auto_integer": 3,
    "file_name": "words-1.json",
    "comparators": ["concat", "hadamard"],
    "metric_name": "validation:accuracy",
    "columns": ["film, long", "genres"],
    "column": "rating",
    "class_weights": [0.5, 2],
}


#: What some of these values need beside them.
NEEDED = {
    "tied_encoders": {"enc1_network": "enc0"},
    "early_stopping_metric": {"output_layer": "multi_label"},
    "ensemble_size": {"scorer": "dot", "enc_dim": "100"},
    "token_weighting": {"enc0_network": "pooled_embedding"},
}


def value_of(item: Hyperparameter) -> Any:
    return item.choices[-1] if item.kind == "categorical" else VALUES[item.kind]


def error(**values: Any) -> str:
    with pytest.raises(CustomerError) as caught:
        parse({**REQUIRED, **values})
    return str(caught.value)


@pytest.mark.parametrize("item", HYPERPARAMETERS, ids=lambda item: item.name)
def test_every_hyperparameter_is_read_from_json(item: Hyperparameter) -> None:
    value = value_of(item)
    others = {**REQUIRED, **NEEDED.get(item.name, {})}
    expected = parse({**others, item.name: value})[0]
    once = json.dumps(value)  # as the SDK's frameworks send it: "0.05", "true", "\"adam\""
    text = value_text(value)
    read = GivenHyperparameters({item.name: value}).values[item.name]
    assert read is not None
    for raw in (once, f" {once}\n", json.dumps(text), np.str_(once), np.array(once)):
        values, lines = parse({**others, item.name: raw})
        assert values == expected, raw
        assert GivenHyperparameters({item.name: raw}).values[item.name] == read
        told = [line.text for line in lines if "JSON" in line.text]
        unquoted = str(raw).strip() == once and once[0] not in '"['
        assert told == ([] if unquoted else [f"Unpacked from JSON: {item.name}."])


def test_one_line_tells_of_all() -> None:
    sent = {name: json.dumps(value) for name, value in REQUIRED.items()}
    sent |= {"enc0_network": '"hcnn"', "learning_rate": '"0.001"', "optimizer": '"adam"'}
    sent |= {"comparator_list": '["hadamard", "concat"]', "tied_token_embedding_weight": '"true"'}
    sent |= {"sagemaker_program": '"train.py"', "sagemaker_region": '"eu-west-1"'}
    sent |= {"enc0_vocab_file": '""', "enc1_layers": '"auto"', "feature_dim": '"2"'}
    values, lines = parse(sent)
    assert values.comparator_list == ("hadamard", "concat")
    assert (values.enc0.vocab_file, values.learning_rate) == ("", 0.001)
    assert values.tied_token_embedding_weight is True
    assert [line.text for line in lines if "JSON" in line.text] == [
        "Unpacked from JSON: enc1_network, enc0_network, learning_rate, optimizer, "
        "comparator_list, tied_token_embedding_weight, enc0_vocab_file, enc1_layers."
    ]
    assert sum("Ignoring the hyperparameter" in line.text for line in lines) == 3


def test_a_list_may_be_one_that_python_wrote() -> None:
    # As the SDK's plain Estimator sends a list.
    for given_list in (["concat"], ["concat", "abs_diff"]):
        values, lines = parse({**REQUIRED, "comparator_list": str(given_list)})
        assert values.comparator_list == tuple(given_list)
        assert lines[-1].text == "Unpacked from JSON: comparator_list."


TEXTS = st.one_of(
    st.sampled_from(["null", '"', "[", '"3"', '["concat"]', '"hcnn"', '"\\"a\\""', '"null"', "''"]),
    st.text(alphabet="\"\\[],'3au t", max_size=12),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(0, 9), st.text(max_size=3)),
        lambda inner: st.lists(inner, max_size=2),
    ).map(json.dumps),
)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(sorted(BY_NAME)), TEXTS, max_size=4))
def test_any_text_is_read_or_refused_in_words(raw: dict[str, str]) -> None:
    try:
        values, _ = parse({**REQUIRED, **raw})
    except CustomerError as caught:
        assert str(caught).endswith(".") and str(caught).isprintable()
    else:
        assert parse(values.to_dict())[0] == values


def test_null_is_no_value_but_may_be_a_file() -> None:
    values, lines = parse({**REQUIRED, "epochs": "null", "comparator_list": "null"})
    assert values == parse(REQUIRED)[0]
    assert lines[-1].text == "Unpacked from JSON: epochs, comparator_list."
    assert "'enc0_vocab_size' which are required" in error(enc0_vocab_size="null")
    for raw in ("null", '"null"'):
        named = parse({**REQUIRED, "enc0_vocab_file": raw})[0]
        assert named.enc0.vocab_file == "null"
        assert parse(named.to_dict())[0] == named


@pytest.mark.parametrize(
    ("name", "raw", "sentence"),
    [
        ("enc0_network", '"\\"hcnn\\""', "should be written as JSON once at most, but"),
        ("epochs", '"\\"3\\""', """once at most, but '"\\\\"3\\\\""' was given."""),
        ("comparator_list", '"[\\"concat\\"]"', "should be written as JSON once at most, but"),
        ("enc0_vocab_file", '"\\"a\\""', "should be written as JSON once at most, but"),
        ("enc0_network", '"HCNN"', "but 'HCNN' was given (did you mean 'hcnn'?)."),
        ("enc0_network", '["hcnn"]', """but '["hcnn"]' was given"""),
        ("enc0_network", '"hcnn', "should be 'hcnn', 'bilstm' or 'pooled_embedding', but '\"hcnn'"),
        ("enc0_network", "'hcnn'", "should be 'hcnn', 'bilstm' or 'pooled_embedding', but "),
        ("epochs", '"101"', "'epochs' should be within range (1, 100), but '101' was given."),
        ("epochs", '""', "should be an integer within range (1, 100), but '' was given."),
        ("epochs", '"null"', "should be an integer within range (1, 100), but 'null' was given."),
        ("epochs", "[3]", "should be an integer within range (1, 100), but '[3]' was given."),
        ("comparator_list", "[]", "should name at least one of hadamard, concat, abs_diff"),
        ("comparator_list", "[1]", "should be a list of hadamard, concat, abs_diff, but [1] was"),
        ("comparator_list", '["concat", "cosine"]',
         "but ['concat', 'cosine'] was given, where 'cosine' is none of them."),
        ("comparator_list", '["hadamard", "concat"',
         """was given, where '["hadamard"' is none of them (did you mean 'hadamard'?)."""),
        ("comparator_list", "[" * 100_000, "should be a comma separated list of hadamard"),
        ("comparator_list", json.dumps(['"concat"']), """but ['"concat"'] was given"""),
        ("tied_token_embedding_weight", '"yes"', "should be True or False, but 'yes' was given."),
        ("_tuning_objective_metric", '"accuracy"', "should be one of train:cross_entropy"),
    ],
)  # fmt: skip
def test_what_json_holds_is_checked(name: str, raw: str, sentence: str) -> None:
    text = error(**{name: raw})
    assert text.startswith(f"'{name}' should ")
    assert sentence in text
    assert len(text) < 400 and text.endswith(".")


def test_numpy_arrays_are_lists() -> None:
    names = np.array(["concat", "abs_diff"])
    assert parse({**REQUIRED, "comparator_list": names})[0].comparator_list == tuple(names)
    model = Object2Vec(**REQUIRED, comparator_list=names, enc_dim=np.int64(8))
    assert model.hyperparameters["comparator_list"] == ["concat", "abs_diff"]
    with pytest.raises(CustomerError, match=r"'epochs' should be an integer .* but \[3\] was"):
        Object2Vec(**REQUIRED, epochs=np.array([3]))  # type: ignore[arg-type]


def test_every_way_in_takes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "input" / "data" / "train"
    data.mkdir(parents=True)
    (data / "f.jsonl").write_text('{"label": 1, "in0": [1], "in1": [2]}\n')
    sent = {"enc0_max_seq_len": '"3"', "enc0_vocab_size": "20", "enc0_network": '"bilstm"'}
    config = tmp_path / "input" / "config"
    config.mkdir()
    file = config / "hyperparameters.json"
    file.write_text(json.dumps(sent))
    options = [option for name, value in sent.items() for option in ("-p", f"{name}={value}")]
    ways = (
        ["--base", str(tmp_path)],
        ["--train", str(data), "--hyperparameters", str(file)],
        ["--train", str(data), *options],
    )
    for way in ways:
        assert main(["validate", *way]) == 0
        assert capsys.readouterr().out.startswith("in0: bilstm, 1 layer")
    model = Object2Vec(**sent)  # type: ignore[arg-type]
    assert model.hyperparameters["enc0_network"] == "bilstm"


def test_every_kind_has_a_value_here() -> None:
    assert {item.kind for item in BY_NAME.values()} <= {*VALUES, "categorical"}
