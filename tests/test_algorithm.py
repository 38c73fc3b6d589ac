# SPDX-License-Identifier: Apache-2.0
"""Tests of algorithm.py: `hyperparams.json` is current, and CreateAlgorithm would take it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from service_rules import broken_rules, with_image

from object2vec.data.dataset import check_content_type
from object2vec.hyperparameters.table import HYPERPARAMETERS
from object2vec.sagemaker.algorithm import describe, render
from object2vec.training.metric_lines import METRIC_DEFINITIONS

pytestmark = pytest.mark.own_way

ROOT = Path(__file__).resolve().parent.parent
TRAINING = describe()["TrainingSpecification"]
INFERENCE = describe()["InferenceSpecification"]
SPECS = {spec["Name"]: spec for spec in TRAINING["SupportedHyperParameters"]}


def test_the_file_is_current() -> None:
    text = (ROOT / "hyperparams.json").read_text(encoding="utf-8")
    assert text == render(), "write it anew: object2vec describe > hyperparams.json"


def test_describing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from object2vec.sagemaker.algorithm import render; render(); "
        "print(sorted({'mxnet', 'numpy', 'gluonnlp'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"


def test_every_hyperparameter_is_described() -> None:
    assert list(SPECS) == [item.name for item in HYPERPARAMETERS]
    # what the original requires follows from tables: without these the job refuses its absence
    assert not any(spec["IsRequired"] for spec in SPECS.values())
    told = [
        name for name, spec in SPECS.items() if "Required but for tables" in spec["Description"]
    ]
    assert told == ["enc0_max_seq_len", "enc0_vocab_size"]
    tunable = {name for name, spec in SPECS.items() if spec["IsTunable"]}
    ours = {item.name for item in HYPERPARAMETERS if item.extension}
    assert tunable - ours == {
        "enc_dim", "mlp_layers", "mlp_dim", "mlp_activation", "dropout", "optimizer",
        "learning_rate", "weight_decay", "mini_batch_size", "epochs", "early_stopping_patience",
        "early_stopping_tolerance",
        *(f"enc{side}_{name}" for side in (0, 1)
          for name in ("layers", "cnn_filter_width", "token_embedding_dim")),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "num_classes",
            {
                "Type": "Integer",
                "Range": {
                    "IntegerParameterRangeSpecification": {"MinValue": "2", "MaxValue": "30"}
                },
                "DefaultValue": "2",
                "IsTunable": False,
            },
        ),
        (
            "learning_rate",
            {
                "Type": "Continuous",
                "Range": {
                    "ContinuousParameterRangeSpecification": {"MinValue": "1e-06", "MaxValue": "1"}
                },
                "DefaultValue": "0.0004",
                "IsTunable": True,
            },
        ),
        (
            "enc1_network",
            {
                "Type": "Categorical",
                "Range": {
                    "CategoricalParameterRangeSpecification": {
                        "Values": ["enc0", "hcnn", "bilstm", "pooled_embedding"]
                    }
                },
                "DefaultValue": "enc0",
            },
        ),
        ("enc0_layers", {"Type": "FreeText", "DefaultValue": "auto", "IsTunable": True}),
        (
            "comparator_list",
            {"Type": "FreeText", "DefaultValue": "hadamard, concat, abs_diff", "IsTunable": False},
        ),
        ("enc0_vocab_file", {"Type": "FreeText", "DefaultValue": ""}),
        ("tied_token_embedding_weight", {"Type": "Categorical", "DefaultValue": "False"}),
    ],
)
def test_one_of_each_kind(name: str, expected: dict[str, Any]) -> None:
    assert {key: SPECS[name].get(key) for key in expected} == expected
    assert ("Range" in SPECS[name]) == (expected["Type"] != "FreeText")


def test_what_the_service_has_no_field_for_stands_in_the_text() -> None:
    assert (
        "Recommended tuning range: 1e-06 to 1 (Logarithmic)."
        in (SPECS["learning_rate"]["Description"])
    )
    layers = SPECS["enc0_layers"]["Description"]
    assert "Allowed: auto or an integer, 1 to 4." in layers
    assert "Recommended tuning range: integer 1 to 4." in layers


def test_limits_of_the_service() -> None:
    """Lengths and counts that the service's model states."""
    printable = re.compile(r"[^\x00-\x1f]*")
    assert len(SPECS) <= 100
    for spec in SPECS.values():
        assert len(spec["Name"]) <= 256
        assert len(spec["Description"]) <= 1024
        assert printable.fullmatch(spec["Description"])
        assert isinstance(spec.get("DefaultValue", ""), str)
        assert len(spec.get("DefaultValue", "")) <= 2500
        for limits in spec.get("Range", {}).values():
            values = limits.get("Values") or [limits["MinValue"], limits["MaxValue"]]
            assert 1 <= len(values) <= 30
            assert all(isinstance(value, str) and len(value) <= 256 for value in values)
            if "Values" in limits and "DefaultValue" in spec:
                assert spec["DefaultValue"] in values
            elif "Values" not in limits:
                assert float(values[0]) < float(values[1])
    assert len(TRAINING["MetricDefinitions"]) <= 40
    for metric in TRAINING["MetricDefinitions"]:
        assert 1 <= len(metric["Name"]) <= 255
        assert 1 <= len(metric["Regex"]) <= 500
        assert re.compile(metric["Regex"]).groups == 1
    assert 1 <= len(TRAINING["TrainingChannels"]) <= 8
    for channel in TRAINING["TrainingChannels"]:
        assert re.fullmatch(r"[A-Za-z0-9.\-_]{1,64}", channel["Name"])
        assert len(channel["Description"]) <= 1024
        assert channel["SupportedInputModes"] == ["File"]
        assert set(channel["SupportedCompressionTypes"]) <= {"None", "Gzip"}
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", describe()["AlgorithmName"])
    assert len(describe()["AlgorithmDescription"]) <= 1024


def test_the_service_would_take_it() -> None:
    assert broken_rules("CreateAlgorithm", describe()) != []
    described = with_image("repo/object2vec:1")
    assert broken_rules("CreateAlgorithm", described) == []
    # The check sees what a request may not hold.
    described["TrainingSpecification"]["SupportedTrainingInstanceTypes"] += ["ml.p9.large"]
    described["InferenceSpecification"]["SupportedRealtimeInferenceInstanceTypes"] += ["p3"]
    described["AlgorithmName"] = "-"
    assert len(broken_rules("CreateAlgorithm", described)) == 3


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_lines_that_create_an_algorithm(tmp_path: Path) -> None:
    text = (ROOT / "container" / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"^```sh\n(jq .*?)^```$", text, re.DOTALL | re.MULTILINE)
    shutil.copy(ROOT / "hyperparams.json", tmp_path)
    # Nothing is sent; what would be sent is in the file that the command names.
    yours = 'image=repo/object2vec:1 region=us-east-1\naws() { echo aws "$*"; }\n'
    done = subprocess.run(
        ["sh", "-ec", yours + lines], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("aws sagemaker create-algorithm --region us-east-1 ")
    sent = json.loads((tmp_path / done.stdout.split("file://")[1].strip()).read_text())
    assert sent == with_image("repo/object2vec:1")
    assert broken_rules("CreateAlgorithm", sent) == []


def test_channels() -> None:
    channels = {channel["Name"]: channel for channel in TRAINING["TrainingChannels"]}
    assert list(channels) == ["train", "validation", "test", "auxiliary"]
    assert [name for name, channel in channels.items() if channel["IsRequired"]] == ["train"]
    for name in ("train", "validation", "test"):
        types = channels[name]["SupportedContentTypes"]
        assert {"application/jsonlines", "text/csv", "application/x-parquet"} < {*types}
        for content_type in types:
            check_content_type(content_type, name, takes_tables=True)


def test_objectives_are_metrics_with_their_direction() -> None:
    objectives = {
        item["MetricName"]: item["Type"] for item in TRAINING["SupportedTuningJobObjectiveMetrics"]
    }
    assert objectives == {
        f"{split}:{metric}": direction
        for split in ("validation", "test")
        for metric, direction in (
            ("cross_entropy", "Minimize"),
            ("accuracy", "Maximize"),
            ("mean_squared_error", "Minimize"),
            ("micro_f1", "Maximize"),
        )
    }
    assert objectives.keys() <= {definition.name for definition in METRIC_DEFINITIONS}


def test_instances() -> None:
    for types in (
        TRAINING["SupportedTrainingInstanceTypes"],
        INFERENCE["SupportedTransformInstanceTypes"],
        INFERENCE["SupportedRealtimeInferenceInstanceTypes"],
    ):
        families = {name.split(".")[1] for name in types}
        # No family of ARM, and no card without MXNet's machine code: P2 (3.7), P5 (9.0).
        assert families == {"m4", "m5", "c4", "c5", "p3", "g4dn", "g5"}
        assert len(set(types)) == len(types)
    assert TRAINING["SupportsDistributedTraining"] is False
