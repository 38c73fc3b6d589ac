# SPDX-License-Identifier: Apache-2.0
"""tuning_job.py: every job that a described search may start is accepted and reports its goal."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from service_rules import broken_rules

from object2vec.cli import main
from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import parse
from object2vec.hyperparameters.table import BY_NAME
from object2vec.hyperparameters.values import column_names
from object2vec.sagemaker.algorithm import metric_definitions
from object2vec.sagemaker.tuning_job import describe

TOP = Path(__file__).resolve().parents[1]
SIZES = {"enc0_max_seq_len": "5", "enc0_vocab_size": "40"}
# What the user's account knows.
YOURS: dict[str, Any] = {
    "InputDataConfig": [
        {
            "ChannelName": "train",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/train"}},
        }
    ],
    "OutputDataConfig": {"S3OutputPath": "s3://b/output"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    "RoleArn": "arn:aws:iam::111111111111:role/sagemaker",
}


def ranges_of(given: dict[str, Any], search: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """All ranges by name."""
    job, _ = describe({**SIZES, **given}, search)
    kinds = job["HyperParameterTuningJobConfig"]["ParameterRanges"].values()
    return {item["Name"]: item for kind in kinds for item in kind}


def drawn(ranges: dict[str, dict[str, Any]], rng: np.random.Generator) -> dict[str, str]:
    """A value of each range, as the service would send it; often one of its ends."""
    values = {}
    for name, found in ranges.items():
        if "Values" in found:
            values[name] = str(rng.choice(found["Values"]))
            continue
        low, high = (float(found[end]) for end in ("MinValue", "MaxValue"))
        number = rng.choice([low, high, rng.uniform(low, high)])
        is_whole = BY_NAME[name].kind != "continuous"
        values[name] = str(round(number)) if is_whole else repr(float(number))
    return values


def test_the_service_would_take_it() -> None:
    job, notes = describe(SIZES)
    assert notes == []
    definition = job["TrainingJobDefinition"]
    definition.update(YOURS)
    definition["AlgorithmSpecification"]["TrainingImage"] = "repo/object2vec:1"
    assert broken_rules("CreateHyperParameterTuningJob", job) == [
        'Missing required parameter in input: "HyperParameterTuningJobName"'
    ]
    job["HyperParameterTuningJobName"] = "object2vec"
    assert broken_rules("CreateHyperParameterTuningJob", job) == []
    # The limit holds for all kinds together.
    assert 1 <= len(ranges_of({"enc1_network": "hcnn"})) <= 30


TUNABLE = {item.name for item in BY_NAME.values() if item.tunable is not None}

#: Beside defaults, for they belong to other choices: extensions of in-batch softmax, of negatives,
#: of pooled_embedding.
WITHOUT_EFFECT = {
    "temperature", "popularity_correction", "negative_sampling_power", "hard_negative_share",
    "token_weighting",
}  # fmt: skip


def test_the_ranges_are_those_of_the_table() -> None:
    found = ranges_of({"enc1_network": "hcnn"})
    assert set(found) == TUNABLE - WITHOUT_EFFECT
    assert found["learning_rate"] == {
        "Name": "learning_rate",
        "MinValue": "1e-06",
        "MaxValue": "1",
        "ScalingType": "Logarithmic",
    }
    assert found["enc1_layers"] == {
        "Name": "enc1_layers",
        "MinValue": "1",
        "MaxValue": "4",
        "ScalingType": "Auto",
    }
    assert found["mlp_activation"]["Values"] == ["tanh", "relu", "linear"]


def test_what_is_given_is_the_same_in_all_jobs() -> None:
    given = {
        **SIZES,
        "epochs": 5,
        "learning_rate": " 1e-3 ",
        "comparator_list": ["concat", "hadamard"],
        "tied_token_embedding_weight": True,
        "enc1_network": '"enc0"',
        "mlp_activation": "null",
        "mlp_dim": None,
        "feature_dim": "7",
        "_tuning_objective_metric": "validation:accuracy",
    }
    job, notes = describe(given)
    assert notes == []
    assert job["TrainingJobDefinition"]["StaticHyperParameters"] == {
        **SIZES,
        "epochs": "5",
        "learning_rate": "1e-3",
        "comparator_list": "concat, hadamard",
        "tied_token_embedding_weight": "True",
        "enc1_network": "enc0",
    }
    assert {"mlp_activation", "mlp_dim"} <= set(ranges_of(given))
    assert not {"epochs", "learning_rate", "enc1_layers"} & set(ranges_of(given))


@pytest.mark.parametrize(
    ("given", "left_out"),
    [
        ({}, {"enc1_layers", "enc1_cnn_filter_width", "enc1_token_embedding_dim"}),
        ({"enc1_network": "bilstm"}, {"enc1_cnn_filter_width"}),
        (
            {"enc0_network": "pooled_embedding", "enc1_network": "hcnn"},
            {"enc0_layers", "enc0_cnn_filter_width", "enc0_token_embedding_dim"},
        ),
        (
            {"enc1_network": "hcnn", "enc1_pretrained_embedding_file": "v.txt"},
            {"enc1_token_embedding_dim"},
        ),
        (
            {
                "enc0_network": "pooled_embedding",
                "enc1_network": "bilstm",
                "enc0_pretrained_embedding_file": "v.txt",
            },
            {
                "enc_dim",
                "enc0_layers",
                "enc0_cnn_filter_width",
                "enc0_token_embedding_dim",
                "enc1_cnn_filter_width",
            },
        ),
        (
            {"enc1_network": "hcnn", "tied_token_embedding_weight": "true"},
            {"enc0_token_embedding_dim", "enc1_token_embedding_dim"},
        ),
        (
            {"enc1_network": "hcnn", "tied_encoders": "true"},
            {
                f"enc{side}_{name}"
                for side in (0, 1)
                for name in ("layers", "cnn_filter_width", "token_embedding_dim")
            },
        ),
        (
            {"tied_encoders": "true"},
            {"enc1_layers", "enc1_cnn_filter_width", "enc1_token_embedding_dim"},
        ),
        ({"enc1_network": "hcnn", "mlp_layers": "0"}, {"mlp_layers", "mlp_dim", "mlp_activation"}),
        (
            {"enc1_network": "hcnn", "optimizer": "adadelta"},
            {"optimizer", "learning_rate", "learning_rate_schedule", "warmup_epochs"},
        ),
        (
            {"enc1_network": "hcnn", "scorer": "dot", "output_layer": "in_batch_softmax"},
            {"mlp_layers", "mlp_dim", "mlp_activation"},
        ),
        ({"enc1_network": "hcnn", "negative_sampling_rate": "2"}, set()),
        (
            {"enc1_network": "hcnn", "negative_sampling_rate": "2", "scorer": "cosine"},
            {"mlp_layers", "mlp_dim", "mlp_activation"},
        ),
    ],
)
def test_what_has_no_effect_or_would_be_refused_is_not_searched(
    given: dict[str, str], left_out: set[str]
) -> None:
    found = ranges_of(given)
    assert TUNABLE - WITHOUT_EFFECT - set(found) == left_out
    with_effect = set()
    if given.get("output_layer") == "in_batch_softmax":
        with_effect |= {"temperature", "popularity_correction"}
    if given.get("negative_sampling_rate"):
        with_effect.add("negative_sampling_power")
        if given.get("scorer", "mlp") != "mlp":
            with_effect.add("hard_negative_share")
    if "pooled_embedding" in given.values():
        with_effect.add("token_weighting")
    assert WITHOUT_EFFECT & set(found) == with_effect


@pytest.mark.parametrize(
    ("given", "optimizers"),
    [
        ({}, ["adam", "adamw", "sgd"]),
        ({"weight_decay": "0"}, ["adam", "adamw", "adagrad", "sgd"]),
        ({"weight_decay": "0.1"}, ["adam", "adamw", "sgd"]),
    ],
)
def test_row_sparse_tables_have_fewer_optimizers(
    given: dict[str, str], optimizers: list[str]
) -> None:
    found = ranges_of({"token_embedding_storage_type": "row_sparse", **given})
    assert found["optimizer"]["Values"] == optimizers


def test_no_table_becomes_larger_than_an_array() -> None:
    found = ranges_of({"enc0_network": "pooled_embedding", "enc0_vocab_size": "3000000"})
    assert found["enc_dim"]["MaxValue"] == "715"
    assert ranges_of({"enc0_vocab_size": "3000000"})["enc_dim"]["MaxValue"] == "4096"
    # What is given, or is the default of all jobs, is not made smaller.
    given = {"enc0_network": "pooled_embedding", "enc0_vocab_size": "3000000"}
    for more in ({"enc_dim": "4096"}, {"enc0_pretrained_embedding_file": "v.txt"}):
        with pytest.raises(CustomerError, match="3000000 times 4096"):
            ranges_of({**given, **more})


@pytest.mark.slow
def test_every_job_of_every_search_is_accepted(rng: np.random.Generator) -> None:
    networks = ("hcnn", "bilstm", "pooled_embedding")
    refused = []
    shapes = product(
        networks,
        ("enc0", *networks),
        ({}, {"tied_token_embedding_weight": "True"}, {"tied_encoders": "True"}),
        ("dense", "row_sparse"),
        ({}, {"enc0_pretrained_embedding_file": "v.txt"}),
        ({}, {"optimizer": "adagrad"}, {"weight_decay": "0"}, {"enc_dim": "300"}),
    )
    searches = 0
    for enc0, enc1, tied, storage, file, more in shapes:
        given = {
            **SIZES,
            "enc0_network": enc0,
            "enc1_network": enc1,
            **tied,
            "token_embedding_storage_type": storage,
            "enc0_vocab_size": "3000000",
            **file,
            **more,
        }
        try:
            job, _ = describe(given)
        except CustomerError as error:
            refused.append(str(error))
            continue
        searches += 1
        static = job["TrainingJobDefinition"]["StaticHyperParameters"]
        for _ in range(5):
            values = {**static, **drawn(ranges_of(given), rng)}
            _, logged = parse(values)
            warnings = [line.text for line in logged if line.level >= logging.WARNING]
            # The search may come to adadelta, which the table recommends to try.
            assert [text for text in warnings if "adadelta" not in text] == []
    assert searches > 250
    # Of what is given: pooled_embedding is as wide as enc_dim, the other side's tokens are not;
    # and its table does not have room for the default enc_dim.
    expected = "same token width", "largest array", "'tied_encoders' needs the same network"
    assert all(any(words in text for words in expected) for text in refused)


@pytest.mark.parametrize(
    ("given", "objective"),
    [
        ({}, ("Minimize", "validation:cross_entropy")),
        ({"output_layer": "mean_squared_error"}, ("Minimize", "validation:mean_squared_error")),
        (
            {"_tuning_objective_metric": "validation:accuracy"},
            ("Maximize", "validation:accuracy"),
        ),
        ({"_tuning_objective_metric": "test:cross_entropy"}, ("Minimize", "test:cross_entropy")),
    ],
)
def test_the_objective(given: dict[str, str], objective: tuple[str, str]) -> None:
    job, _ = describe({**SIZES, **given})
    found = job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    assert (found["Type"], found["MetricName"]) == objective


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"_tuning_objective_metric": "validation:mean_squared_error"},
            "with output_layer=softmax a tuning job can follow 'validation:cross_entropy', "
            "'validation:accuracy', 'test:cross_entropy' or 'test:accuracy'.",
        ),
        ({"_tuning_objective_metric": "train:throughput"}, "a tuning job can follow"),
        ({"_tuning_objective_metric": "validation:acuracy"}, "did you mean 'validation:accuracy'?"),
        ({"epochs": "0", "enc_dims": "8"}, "did you mean 'enc_dim'?"),
        (
            {
                item.name: item.default
                for item in BY_NAME.values()
                if item.tunable and item.name != "enc0_layers"
            }
            | {"enc0_layers": "4"},
            "as in --search learning_rate.",
        ),
    ],
)
def test_mistakes(given: dict[str, Any], words: str) -> None:
    with pytest.raises(CustomerError, match=re.escape(words)):
        describe({**SIZES, **given})


def test_only_what_is_named_is_searched() -> None:
    # A whole set, as published jobs have it: nothing is left that is not given.
    given = {**SIZES, **{name: BY_NAME[name].default for name in TUNABLE}}
    del given["temperature"]  # it has no default of its own
    search = ["learning_rate", "enc0_layers"]
    assert set(ranges_of(given, search)) == set(search)
    static = describe(given, search)[0]["TrainingJobDefinition"]["StaticHyperParameters"]
    assert set(static) == set(given) - set(search)
    # What is neither named nor given keeps its default, so that weights do not decay.
    found = ranges_of({"token_embedding_storage_type": "row_sparse"}, ["optimizer"])
    assert found == {
        "optimizer": {"Name": "optimizer", "Values": ["adam", "adamw", "adagrad", "sgd"]}
    }


@pytest.mark.parametrize(
    ("given", "search", "words"),
    [
        ({}, ["enc_dims"], "'enc_dims' has no range for a tuning job (did you mean"),
        ({}, ["enc0_network"], "those that have are enc0_layers, "),
        ({}, ["enc_dim", "\x1b" * 1000], "has no range"),
        ({}, ["mlp_dim", "enc1_layers"], "a search of enc1_layers would have no effect"),
        (
            {"enc0_pretrained_embedding_file": "v.txt"},
            ["enc0_token_embedding_dim"],
            "a search of enc0_token_embedding_dim would have no effect or be refused.",
        ),
        (
            {},
            ["hard_negative_share"],
            "or be refused: 'hard_negative_share' has no effect, because 'negative_sampling_rate' "
            "is 0.",
        ),
        (
            {"negative_sampling_rate": "2"},
            ["hard_negative_share"],
            "or be refused: 'hard_negative_share' can be above 0 only with scorer 'dot' or ",
        ),
        (
            {"optimizer": "adadelta"},
            ["learning_rate", "learning_rate_schedule"],
            "of learning_rate, learning_rate_schedule would have no effect or be refused: optimizer"
            " adadelta ignores the hyperparameter 'learning_rate'. optimizer adadelta",
        ),
    ],
    ids=[
        *("unknown", "no-range", "control", "some-in-vain", "without-a-reason"),
        *("no-effect", "refused", "two-reasons"),
    ],
)
def test_what_cannot_be_searched(given: dict[str, str], search: list[str], words: str) -> None:
    with pytest.raises(CustomerError, match=re.escape(words)) as caught:
        ranges_of(given, search)
    assert len(str(caught.value)) < 600 and str(caught.value).isprintable()


def test_the_command_needs_nothing_but_python() -> None:
    # As the example runs it, beside SageMaker's SDK: -S leaves all installed packages out.
    done = subprocess.run(
        [sys.executable, "-S", "-m", "object2vec", "describe", "--tuning-job"]
        + [f"-p{name}={value}" for name, value in SIZES.items()],
        cwd=TOP,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == describe(SIZES)[0]


def test_the_command_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "--tuning-job", "-p", "enc0_vocab_size=9"]) == 0
    printed = capsys.readouterr()
    job = json.loads(printed.out)
    assert job["TrainingJobDefinition"]["StaticHyperParameters"] == {"enc0_vocab_size": "9"}
    assert printed.err == "StaticHyperParameters lacks enc0_max_seq_len, which each job needs.\n"


def test_sizes_follow_from_a_table() -> None:
    columns = {"_in0": "user", "_in1": '["film, long", "genres"]', "_label": "rating"}
    job, notes = describe({**columns, "output_layer": "mean_squared_error"}, ["enc_dim"])
    assert notes == []
    static = job["TrainingJobDefinition"]["StaticHyperParameters"]
    assert static["_in1"] == '"film, long", genres'
    assert column_names(static["_in1"]) == ["film, long", "genres"]


def test_the_command_reads_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "hyperparameters.json"
    file.write_text(json.dumps({**SIZES, "epochs": 7, "mlp_layers": "3"}))
    options = ["--hyperparameters", str(file), "-p", "mlp_layers=2", "--search", "dropout"]
    assert main(["describe", "--tuning-job", *options]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    job = json.loads(printed.out)
    static = job["TrainingJobDefinition"]["StaticHyperParameters"]
    assert static == {**SIZES, "epochs": "7", "mlp_layers": "2"}
    ranges = job["HyperParameterTuningJobConfig"]["ParameterRanges"]
    assert [item["Name"] for item in ranges["ContinuousParameterRanges"]] == ["dropout"]
    assert ranges["IntegerParameterRanges"] == ranges["CategoricalParameterRanges"] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--search", "epochs"], "--search can only be used together with --tuning-job"),
        (["-p", "epochs=5"], "-p can only be used together with --tuning-job"),
        (
            ["--metric-definitions", "-p", "epochs=5", "--hyperparameters", "x"],
            "--hyperparameters and -p can only be used together with --tuning-job",
        ),
        (["--metric-definitions", "--tuning-job"], "not allowed with argument"),
        (["--tuning-job", "-p", "epochs"], "must have the form NAME=VALUE"),
        (["--tuning-job", "--hyperparameters", "/nowhere"], "/nowhere"),
        (["--tuning-job", "-p", "epochs=\x1b"], "'epochs' should be an integer"),
    ],
)
def test_wrong_options(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", *options]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    (sentence,) = printed.err.splitlines()
    assert sentence.startswith("Customer Error: ") and words in sentence and "\x1b" not in sentence


@pytest.mark.slow
@pytest.mark.both_ways
@pytest.mark.parametrize("output_layer", ["softmax", "mean_squared_error"])
def test_a_job_of_the_search_reports_its_objective(
    tmp_path: Path,
    rng: np.random.Generator,
    capsys: pytest.CaptureFixture[str],
    output_layer: str,
) -> None:
    given = {"enc_dim": "8", "mlp_dim": "4", "epochs": "2", "output_layer": output_layer}
    fixed = [f"-p{name}={value}" for name, value in {**SIZES, **given}.items()]
    assert main(["describe", "--tuning-job", *fixed]) == 0
    job = json.loads(capsys.readouterr().out)
    config, definition = job["HyperParameterTuningJobConfig"], job["TrainingJobDefinition"]
    objective = config["HyperParameterTuningJobObjective"]["MetricName"]
    for channel in ("train", "validation"):
        file = tmp_path / "input" / "data" / channel / "pairs.jsonl"
        file.parent.mkdir(parents=True)
        lines = (
            {"label": int(rng.integers(2)), "in0": [int(rng.integers(40))], "in1": [int(word)]}
            for word in rng.integers(40, size=60)
        )
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    configuration = tmp_path / "input" / "config" / "hyperparameters.json"
    configuration.parent.mkdir()
    values = {
        **definition["StaticHyperParameters"],
        **drawn(ranges_of({**SIZES, **given}), rng),
        "learning_rate": "0.001",
        "weight_decay": "0",
        "_tuning_objective_metric": objective,
    }
    configuration.write_text(json.dumps(values))
    assert main(["train", "--base", str(tmp_path)]) == 0
    log = capsys.readouterr().out
    assert f"The objective metric of the tuning job is {objective}." in log
    metrics = definition["AlgorithmSpecification"]["MetricDefinitions"]
    assert metrics == metric_definitions()
    found = {item["Name"]: re.findall(item["Regex"], log) for item in metrics}
    assert [float(value) for value in found[objective]]
    assert len(found[objective]) == len(found[objective.replace("validation", "train")]) <= 2
    assert len(found["train:throughput"]) >= 1
