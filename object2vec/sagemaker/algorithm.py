# SPDX-License-Identifier: Apache-2.0
"""Describes the algorithm in the shape of SageMaker's CreateAlgorithm, for `hyperparams.json`."""

from __future__ import annotations

import json
from typing import Any

from object2vec.hyperparameters.table import (
    HYPERPARAMETERS,
    PAIR_CONTENT_TYPES,
    TABLE_CONTENT_TYPES,
    Hyperparameter,
    number_text,
    value_text,
)
from object2vec.training.metric_lines import METRIC_DEFINITIONS

ALGORITHM_NAME = "object2vec"
ALGORITHM_DESCRIPTION = (
    "Learns low-dimensional dense embeddings of pairs of objects from their relation."
)

_API_TYPES = {
    "integer": "Integer",
    "continuous": "Continuous",
    "categorical": "Categorical",
    "boolean": "Categorical",
}
# A category is compared letter by letter, so the usual spellings are all listed.
_BOOLEAN_SPELLINGS = ("True", "False", "true", "false", "TRUE", "FALSE")

# The original's families without P2: MXNet 1.9.1 has no machine code for its card, the K80. All are
# x86-64, as the image is.
_SIZES = {
    "m4": ("xlarge", "2xlarge", "4xlarge", "10xlarge", "16xlarge"),
    "m5": ("large", "xlarge", "2xlarge", "4xlarge", "12xlarge", "24xlarge"),
    "c4": ("xlarge", "2xlarge", "4xlarge", "8xlarge"),
    "c5": ("xlarge", "2xlarge", "4xlarge", "9xlarge", "18xlarge"),
    "p3": ("2xlarge", "8xlarge", "16xlarge"),
    "g4dn": ("xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge"),
    "g5": (
        "xlarge",
        "2xlarge",
        "4xlarge",
        "8xlarge",
        "12xlarge",
        "16xlarge",
        "24xlarge",
        "48xlarge",
    ),
}
INSTANCE_TYPES = tuple(f"ml.{family}.{size}" for family, sizes in _SIZES.items() for size in sizes)
# Endpoints alone also run on these two.
REALTIME_INSTANCE_TYPES = (*INSTANCE_TYPES, "ml.c4.large", "ml.c5.large")

AUXILIARY_CONTENT_TYPES = ("text/plain", "application/json", "application/octet-stream")
INFERENCE_CONTENT_TYPES = ("application/json", "application/jsonlines")

_PAIRS = (
    'JSON Lines, one pair a line: {"label": 0, "in0": [6, 17], "in1": [16, 21]}; or a table (CSV, '
    "TSV, JSON Lines, Parquet), whose columns _in0, _in1 and _label name."
)
_DATA_CONTENT_TYPES = (*PAIR_CONTENT_TYPES, *TABLE_CONTENT_TYPES)
_OF_TABLES = (
    "Required but for tables, whose columns _in0 and _in1 name, and beside the inputs.json of an "
    "auxiliary channel: there it follows from the data."
)
_CHANNELS = (
    ("train", f"Pairs to learn from. {_PAIRS}", True, _DATA_CONTENT_TYPES),
    ("validation", f"Pairs that decide on early stopping. {_PAIRS}", False, _DATA_CONTENT_TYPES),
    ("test", f"Pairs that the best model is scored on. {_PAIRS}", False, _DATA_CONTENT_TYPES),
    (
        "auxiliary",
        "Pretrained token vectors and vocabulary files, named by hyperparameters; the inputs.json "
        "that object2vec prepare writes, which says what the ids stand for.",
        False,
        AUXILIARY_CONTENT_TYPES,
    ),
)


def describe() -> dict[str, Any]:
    """The arguments of CreateAlgorithm, but for the images, whose addresses are the user's.

    Returns
    -------
    dict
        AlgorithmName, AlgorithmDescription, TrainingSpecification, InferenceSpecification.
    """
    training: dict[str, Any] = {
        "SupportedHyperParameters": [_hyperparameter(item) for item in HYPERPARAMETERS],
        "SupportedTrainingInstanceTypes": list(INSTANCE_TYPES),
        "SupportsDistributedTraining": False,
        "MetricDefinitions": metric_definitions(),
        "TrainingChannels": [
            {
                "Name": name,
                "Description": description,
                "IsRequired": required,
                "SupportedContentTypes": list(content_types),
                "SupportedCompressionTypes": ["None", "Gzip"],
                "SupportedInputModes": ["File"],
            }
            for name, description, required, content_types in _CHANNELS
        ],
        "SupportedTuningJobObjectiveMetrics": [
            {"Type": metric.direction, "MetricName": metric.name}
            for metric in METRIC_DEFINITIONS
            if metric.objective
        ],
    }
    inference: dict[str, Any] = {
        "SupportedTransformInstanceTypes": list(INSTANCE_TYPES),
        "SupportedRealtimeInferenceInstanceTypes": list(REALTIME_INSTANCE_TYPES),
        "SupportedContentTypes": list(INFERENCE_CONTENT_TYPES),
        "SupportedResponseMIMETypes": list(INFERENCE_CONTENT_TYPES),
    }
    return {
        "AlgorithmName": ALGORITHM_NAME,
        "AlgorithmDescription": ALGORITHM_DESCRIPTION,
        "TrainingSpecification": training,
        "InferenceSpecification": inference,
    }


def metric_definitions() -> list[dict[str, str]]:
    """All metrics of the log as a job with an image of one's own names them: Name and Regex."""
    return [{"Name": metric.name, "Regex": metric.regex} for metric in METRIC_DEFINITIONS]


def render() -> str:
    """`describe` as the text of `hyperparams.json`."""
    return json_text(describe())


def json_text(value: Any) -> str:
    """JSON as the command `object2vec describe` prints it."""
    return json.dumps(value, indent=2) + "\n"


def _hyperparameter(item: Hyperparameter) -> dict[str, Any]:
    """One HyperParameterSpecification."""
    result: dict[str, Any] = {
        "Name": item.name,
        "Description": _description(item),
        "Type": _API_TYPES.get(item.kind, "FreeText"),
        "IsTunable": item.tunable is not None,
        # What the original requires follows from tables, so that the job itself must look.
        "IsRequired": False,
    }
    ends = {"MinValue": number_text(item.minimum), "MaxValue": number_text(item.maximum)}
    if item.kind == "integer":
        result["Range"] = {"IntegerParameterRangeSpecification": ends}
    elif item.kind == "continuous":
        result["Range"] = {"ContinuousParameterRangeSpecification": ends}
    elif item.kind in ("categorical", "boolean"):
        words = item.choices or _BOOLEAN_SPELLINGS
        result["Range"] = {"CategoricalParameterRangeSpecification": {"Values": list(words)}}
    # SageMaker itself names the objective to each job; the SDK's AlgorithmEstimator sends all
    # defaults, and shall not send an empty one beside it.
    if item.default is not None and item.kind != "metric_name":
        result["DefaultValue"] = value_text(item.default)
    return result


def _description(item: Hyperparameter) -> str:
    """The text, with what the API has no field for: free text rules and the tuning range."""
    parts = [item.marked_description]
    if item.kind not in _API_TYPES:
        parts.append(f"Allowed: {item.allowed_text}.")
    if item.required:
        parts.append(_OF_TABLES)
    if item.tunable is not None:
        kind = "integer " if item.kind == "auto_integer" else ""
        parts.append(f"Recommended tuning range: {kind}{item.tuning_text}.")
    return " ".join(parts)
