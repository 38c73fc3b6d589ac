# SPDX-License-Identifier: Apache-2.0
"""Describes a tuning job in the shape of SageMaker's CreateHyperParameterTuningJob."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Optional

from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import Hyperparameters, parse
from object2vec.hyperparameters.given import GivenHyperparameters, LogLine
from object2vec.hyperparameters.rules import (
    LARGEST_ARRAY,
    OF_IN_BATCH_SOFTMAX,
    OF_MLP,
    ROW_SPARSE_OPTIMIZERS,
)
from object2vec.hyperparameters.table import (
    BY_NAME,
    HYPERPARAMETERS,
    OUTPUT_METRICS,
    Hyperparameter,
    TuningRange,
    number_text,
    value_text,
)
from object2vec.hyperparameters.values import nearest, words
from object2vec.sagemaker.algorithm import metric_definitions
from object2vec.text import quoted
from object2vec.training.metric_lines import METRIC_DEFINITIONS

#: What the job may cost; plain numbers to begin with.
RESOURCE_LIMITS = {"MaxNumberOfTrainingJobs": 20, "MaxParallelTrainingJobs": 2}
#: SageMaker's own default: a day.
STOPPING_CONDITION = {"MaxRuntimeInSeconds": 86400}

_OBJECTIVE = "_tuning_objective_metric"  # SageMaker gives it to each job by itself
_KINDS = {"integer": "Integer", "auto_integer": "Integer", "continuous": "Continuous"}
#: What of an encoder can be searched, by its network; hcnn has all of it.
_COUNTING: dict[str, tuple[str, ...]] = {
    "hcnn": ("layers", "cnn_filter_width", "token_embedding_dim"),
    "bilstm": ("layers", "token_embedding_dim"),
    "pooled_embedding": (),
}


def describe(
    given: Mapping[str, Any], search: Sequence[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """The arguments of CreateHyperParameterTuningJob that follow from the hyperparameters.

    Parameters
    ----------
    given : Mapping
        Hyperparameters that all jobs share, as `checked.parse` takes them.
        ``_tuning_objective_metric`` names the objective; without it that is the validation loss.
    search : sequence of str
        Names of what is searched, given or not; empty: all that has a range and is not given.

    Returns
    -------
    dict
        HyperParameterTuningJobConfig and TrainingJobDefinition, without what only the user's
        account knows: the names of job and image, the role, the places of data and model, the
        instances.
    list of str
        What the user should know of the hyperparameters, a sentence each.

    Raises
    ------
    CustomerError
        Holds one sentence for each error in the hyperparameters; or a tuning job cannot follow
        the objective, or cannot search what it should, or has nothing to search.
    """
    _check_tunable(search)
    raw = {name: value for name, value in given.items() if name not in search}
    known = GivenHyperparameters(raw)
    missing = [item for item in HYPERPARAMETERS if item.required and item.name not in known.given]
    # The smallest values are in nobody's way.
    filled = {item.name: int(item.minimum) for item in missing}
    resolved, logged = _resolve({**raw, **filled}, known, search)
    notes = [line.text for line in logged if line.level >= logging.WARNING]
    # sizes follow from tables
    if missing and "_in0" not in known.given:
        names = " and ".join(item.name for item in missing)
        notes.append(f"StaticHyperParameters lacks {names}, which each job needs.")
    static = {
        name: value_text(value).strip() for name, value in known.given.items() if name != _OBJECTIVE
    }
    config = {
        "Strategy": "Bayesian",
        "HyperParameterTuningJobObjective": _objective(resolved),
        "ResourceLimits": dict(RESOURCE_LIMITS),
        "ParameterRanges": _parameter_ranges(searched_ranges(known, resolved, search)),
    }
    definition = {
        "StaticHyperParameters": static,
        "AlgorithmSpecification": {
            "TrainingInputMode": "File",
            "MetricDefinitions": metric_definitions(),
        },
        "StoppingCondition": dict(STOPPING_CONDITION),
    }
    return {"HyperParameterTuningJobConfig": config, "TrainingJobDefinition": definition}, notes


def _check_tunable(search: Sequence[str]) -> None:
    tunable = [item.name for item in HYPERPARAMETERS if item.tunable is not None]
    for name in search:
        if name not in tunable:
            hint = "" if name in BY_NAME else nearest(name, tunable)
            hint = hint or f"; those that have are {', '.join(tunable)}"
            raise CustomerError(f"{quoted(name)} has no range for a tuning job{hint}.")


def _resolve(
    raw: Mapping[str, Any], known: GivenHyperparameters, search: Sequence[str]
) -> tuple[Hyperparameters, list[LogLine]]:
    try:
        return parse(raw)
    except CustomerError as error:
        # The default may be too wide for the tables, where the search takes what is not.
        if "enc_dim" not in known.given:
            with contextlib.suppress(CustomerError):
                resolved, logged = parse({**raw, "enc_dim": int(BY_NAME["enc_dim"].minimum)})
                if "enc_dim" in searched_ranges(known, resolved, search):
                    return resolved, logged
        raise error


def _objective(resolved: Hyperparameters) -> dict[str, str]:
    metrics = OUTPUT_METRICS[resolved.output_layer]
    directions = {
        metric.name: metric.direction
        for metric in METRIC_DEFINITIONS
        if metric.objective and metric.name.split(":")[1] in metrics
    }
    name = resolved.tuning_objective_metric or f"validation:{metrics[0]}"
    if name not in directions:
        raise CustomerError(
            f"'{_OBJECTIVE}' is '{name}', but with output_layer={resolved.output_layer} a tuning "
            f"job can follow {words(directions)}."
        )
    return {"Type": directions[name], "MetricName": name}


def searched_ranges(
    known: GivenHyperparameters,
    resolved: Hyperparameters,
    search: Sequence[str] = (),
    fixed: Optional[Collection[str]] = None,
) -> dict[str, TuningRange]:
    """The ranges of all that is to be searched, by name.

    Parameters
    ----------
    known : GivenHyperparameters
        What trainings share, with what a recipe gives.
    resolved : Hyperparameters
        Made of it.
    search : sequence of str
        Names of what is searched; empty: all that has a range and is not fixed.
    fixed : collection of str, optional
        Names of what is not searched; all that is known by default.

    Raises
    ------
    CustomerError
        Something that should be searched has no effect, or there is nothing to search.
    """
    fixed = set(known.given) if fixed is None else fixed
    left_out = without_effect(known, resolved)
    in_vain = [name for name in search if name in left_out]
    if in_vain:
        raise vain_search(known, in_vain)
    ranges = {
        item.name: item.tunable
        for item in HYPERPARAMETERS
        if item.tunable is not None
        and item.name not in left_out
        and item.name not in fixed
        and (not search or item.name in search)
    }
    if "enc_dim" in ranges:
        ranges["enc_dim"] = TuningRange(
            ranges["enc_dim"].minimum, min(ranges["enc_dim"].maximum, _widest(resolved))
        )
    if "optimizer" in ranges and resolved.token_embedding_storage_type == "row_sparse":
        # A sparse adagrad has no weight decay.
        decays = resolved.table_weight_decay > 0 or (
            "weight_decay" in ranges and "token_embedding_weight_decay" not in known.given
        )
        ranges["optimizer"] = TuningRange(
            choices=tuple(
                name
                for name in ROW_SPARSE_OPTIMIZERS
                if name in ranges["optimizer"].choices and not (decays and name == "adagrad")
            )
        )
    if not ranges:
        raise CustomerError(
            "Every hyperparameter that a tuning job could search is given: name those that it "
            "should search, as in --search learning_rate."
        )
    return ranges


def vain_search(known: GivenHyperparameters, in_vain: Sequence[str]) -> CustomerError:
    """What is said of names that would be searched in vain, with what the rules say of each.

    Parameters
    ----------
    known : GivenHyperparameters
        What trainings share, with what a recipe gives; a training of it is accepted.
    in_vain : sequence of str
        Some of what `without_effect` tells.
    """
    reasons = dict.fromkeys(reason for name in in_vain for reason in _reasons(known, name))
    return CustomerError(
        f"Beside the other hyperparameters a search of {', '.join(in_vain)} would have no effect "
        f"or be refused{': ' + ' '.join(reasons) if reasons else '.'}"
    )


def _reasons(known: GivenHyperparameters, name: str) -> list[str]:
    """What the rules say of another value than is known; nothing where they have no sentence."""
    item = BY_NAME[name]
    ends: tuple[Any, ...] = ()
    if item.tunable is not None:
        ends = item.tunable.choices or (item.tunable.maximum, item.tunable.minimum)
    required = {one.name: int(one.minimum) for one in HYPERPARAMETERS if one.required}
    for end in ends:
        if end == known.values[name]:
            continue
        value = int(end) if item.kind in ("integer", "auto_integer") else end
        try:
            _, logged = parse({**required, **known.given, name: value})
        except CustomerError as error:
            return [str(error)]
        told = [line.text for line in logged if f"'{name}'" in line.text]
        if told:
            return told
    return []


def without_effect(known: GivenHyperparameters, resolved: Hyperparameters) -> set[str]:
    """Names whose values would change nothing beside the given ones, or be refused."""
    return _idle(known, resolved) | _tied_to_others(known, resolved)


def _idle(known: GivenHyperparameters, resolved: Hyperparameters) -> set[str]:
    """Names whose values change nothing beside the given ones."""
    names = set()
    for side, encoder in enumerate(resolved.encoders):
        counting = _COUNTING[encoder.network]
        if side == 1 and known.values["enc1_network"] == "enc0":
            counting = ()
        names |= {f"enc{side}_{name}" for name in _COUNTING["hcnn"] if name not in counting}
    if resolved.mlp_layers == 0:
        names |= {"mlp_dim", "mlp_activation"}
    if resolved.is_similarity:
        names |= set(OF_MLP)
    if not resolved.is_contrastive:
        names |= set(OF_IN_BATCH_SOFTMAX)
    if resolved.optimizer == "adadelta" and "optimizer" in known.given:
        names |= {"learning_rate", "learning_rate_schedule", "warmup_epochs"}
    if not resolved.negative_sampling_rate:
        names.add("negative_sampling_power")
    if not resolved.negative_sampling_rate or not resolved.is_similarity:
        names.add("hard_negative_share")
    return names


def _tied_to_others(known: GivenHyperparameters, resolved: Hyperparameters) -> set[str]:
    """Names whose other values would be refused beside the given ones."""
    names = set()
    tied = resolved.tied_token_embedding_weight
    any_file = any(encoder.pretrained_embedding_file for encoder in resolved.encoders)
    pooled = [encoder.network == "pooled_embedding" for encoder in resolved.encoders]
    if not any(pooled) or (tied and not all(pooled)):
        names.add("token_weighting")
    # Both encoders' values move together where they are one hyperparameter.
    is_one = known.values["enc1_network"] == "enc0"
    equal_anyway = all(pooled) or is_one
    for side, encoder in enumerate(resolved.encoders):
        from_file = encoder.pretrained_embedding_file or (tied and any_file)
        if from_file or (tied and not equal_anyway):
            names.add("enc_dim" if pooled[side] else f"enc{side}_token_embedding_dim")
        if resolved.tied_encoders and not is_one:
            names |= {f"enc{side}_{name}" for name in ("network", *_COUNTING["hcnn"])}
    if resolved.ensemble_size > 1:
        names.add("enc_dim")
    is_sparse = resolved.token_embedding_storage_type == "row_sparse"
    has_own = "token_embedding_weight_decay" in known.given
    if is_sparse and resolved.optimizer == "adagrad" and not has_own:
        names.add("weight_decay")
    return names


def _widest(resolved: Hyperparameters) -> float:
    """The largest enc_dim with which no token table is larger than an array may be."""
    rows = [e.vocab_size for e in resolved.encoders if e.network == "pooled_embedding"]
    return LARGEST_ARRAY // max(rows, default=1)


def _parameter_ranges(ranges: Mapping[str, TuningRange]) -> dict[str, list[dict[str, Any]]]:
    """ParameterRanges: all names under one of three kinds."""
    result: dict[str, list[dict[str, Any]]] = {
        f"{kind}ParameterRanges": [] for kind in ("Integer", "Continuous", "Categorical")
    }
    for name, found in ranges.items():
        result[f"{_kind(BY_NAME[name])}ParameterRanges"].append({"Name": name, **_ends(found)})
    return result


def _kind(item: Hyperparameter) -> str:
    return _KINDS.get(item.kind, "Categorical")


def _ends(found: TuningRange) -> dict[str, Any]:
    if found.choices:
        return {"Values": list(found.choices)}
    return {
        "MinValue": number_text(found.minimum),
        "MaxValue": number_text(found.maximum),
        "ScalingType": found.scale,
    }
