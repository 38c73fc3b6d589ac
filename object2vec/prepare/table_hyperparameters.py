# SPDX-License-Identifier: Apache-2.0
"""Hyperparameters that follow from a table, beside those that are given, and what fits them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Optional, Union

import numpy as np

from object2vec.data.arrays import PairDataset
from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import Hyperparameters, parse
from object2vec.hyperparameters.rules import OF_MLP
from object2vec.hyperparameters.table import BY_NAME, WITH_CLASSES
from object2vec.prepare.recipes import by_softmax, recipe
from object2vec.raw_values.inputs import SIDES, Inputs
from object2vec.raw_values.option_names import option, option_with
from object2vec.text import names, quoted

_SIZES = ("max_seq_len", "vocab_size")
# Who gives these wants comparators; widths without layers ask for nothing.
_OF_MLP_ALONE = ("comparator_list", "mlp_layers")


def of_recipe(
    inputs: Inputs, preset: str, pairs: Optional[int], given: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Hyperparameters of a table by a recipe, and what is told of it.

    Parameters
    ----------
    inputs, preset, pairs
        As for `recipes.recipe`.
    given : mapping
        Those of a user, which win.

    Returns
    -------
    dict and list of str
        The hyperparameters; sentences that begin with the recipe's name.

    Raises
    ------
    CustomerError
        There is no such preset, or it does not fit the columns or the labels.
    """
    chosen = recipe(inputs, preset, pairs)
    configuration = joined_settings(inputs, chosen.settings, given)
    told = [chosen.why]
    if "tied_encoders" in configuration and "tied_encoders" not in given:
        told.append(
            f"Recipe {chosen.name}: one encoder for both sides (tied_encoders=true), because "
            f"{configuration['enc0_network']} encodes both and they share a vocabulary."
        )
    return configuration, told


def joined_settings(
    inputs: Inputs, settings: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Hyperparameters of a table: what is given wins over settings, and sizes fill the gaps.

    A recipe by in_batch_softmax becomes one by softmax where that is what is given, or the scorer
    mlp or negatives are. Encoders that a recipe ties stay so where they are sequence networks of
    one form.

    Parameters
    ----------
    inputs : Inputs
        What was found in the table.
    settings : mapping
        Those of a recipe.
    given : mapping
        Those of a user.
    """
    if settings.get("output_layer") == "in_batch_softmax" and _asks_for_softmax(given):
        settings = by_softmax(inputs)
    follow = {**{name: str(size) for name, size in inputs.sizes().items()}, **settings}
    if "scorer" not in given and _needs_mlp({**follow, **given}, given):
        follow.pop("scorer", None)
    follow = of_members(follow, given)
    both = {**follow, **given}
    for key in _SIZES:
        own, other = pair = [f"enc{number}_{key}" for number in range(len(SIDES))]
        if inputs.tied and (own in given) != (other in given):
            follow[own] = follow[other] = given.get(own, given.get(other))
        elif both.get("enc1_network", "enc0") == "enc0":
            # encoder 1 then has the sizes of encoder 0
            follow[own] = follow[other] = max((follow[name] for name in pair), key=int)
    if both.get("output_layer", "softmax") not in WITH_CLASSES:
        follow.pop("num_classes", None)
    # a recipe's settings for what is not asked for
    draws_none = both.get("output_layer") in ("in_batch_softmax", "multi_label")
    unheeded = ["negative_sampling_rate"] * draws_none
    if unheeded or not _draws_negatives(both):
        unheeded.append("negative_sampling_power")
    if both.get("scorer", "mlp") != "mlp":
        unheeded += OF_MLP
    if not _can_weigh_tokens(both):
        unheeded.append("token_weighting")
    if "tied_encoders" in follow and not _can_share_an_encoder({**follow, **given}):
        unheeded.append("tied_encoders")
    for name in unheeded:
        follow.pop(name, None)
    return {**follow, **given}


def of_members(follow: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's settings, as wide as the models side by side take together.

    Where a width is given there is one model, unless their number is given too.

    Parameters
    ----------
    follow : mapping
        Those of the recipe, with the width of its own number of models.
    given : mapping
        Those of a user.
    """
    found = dict(follow)
    members = int(found.get("ensemble_size", 1))
    wanted = str(given.get("ensemble_size", members)).strip()
    if "enc_dim" in given or {**follow, **given}.get("scorer", "mlp") != "dot":
        found.pop("ensemble_size", None)
        wanted = "1"
    # what is no such number is refused where values are checked
    is_sound = wanted.isdecimal() and 1 <= int(wanted) <= BY_NAME["ensemble_size"].maximum
    if "enc_dim" in found and is_sound:
        found["enc_dim"] = str(int(found["enc_dim"]) // members * int(wanted))
    return found


def _needs_mlp(both: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether a user asks for what the dot product and the cosine have not."""
    has_classes = both.get("output_layer", "softmax") == "softmax"
    return any(name in given for name in _OF_MLP_ALONE) or (
        has_classes and str(both.get("num_classes", 2)) != "2"
    )


def _can_weigh_tokens(both: Mapping[str, Any]) -> bool:
    """Whether means are taken of each token table's rows, and so weights of tokens are heeded."""
    first, second = (str(both.get(f"enc{side}_network", "hcnn")).strip() for side in (0, 1))
    pooled = [name == "pooled_embedding" for name in (first, first if second == "enc0" else second)]
    tied = str(both.get("tied_token_embedding_weight", False)).strip().lower() == "true"
    return all(pooled) or (any(pooled) and not tied)


def _can_share_an_encoder(both: Mapping[str, Any]) -> bool:
    """Whether tied_encoders goes with all else, and ties more than a token table."""
    try:
        first, second = parse(both)[0].encoders
    except CustomerError:
        # what else is wrong is told where the hyperparameters are read
        return False
    return first.network == second.network != "pooled_embedding"


def _asks_for_softmax(given: Mapping[str, Any]) -> bool:
    """Whether what is given has an effect with softmax alone, not with in_batch_softmax."""
    output_layer = given.get("output_layer", "in_batch_softmax")
    asks_for_mlp = given.get("scorer") == "mlp" or any(name in given for name in _OF_MLP_ALONE)
    return output_layer != "in_batch_softmax" or asks_for_mlp or _draws_negatives(given)


def _draws_negatives(settings: Mapping[str, Any]) -> bool:
    return str(settings.get("negative_sampling_rate", 0)).strip() != "0"


def fitted_inputs(inputs: Inputs, hyperparameters: Hyperparameters, title: str) -> Inputs:
    """Inputs whose lists are as long as a network takes them, which is large enough for them.

    Parameters
    ----------
    inputs : Inputs
        What was found in the table.
    hyperparameters : Hyperparameters
        Of the network.
    title : str
        Of the table, for errors.

    Raises
    ------
    CustomerError
        A size is too small, or the labels are not of the kind that the output layer learns.
    """
    for side, encoder in zip(SIDES, hyperparameters.encoders):
        size = inputs.vocab_size(side)
        if size > encoder.vocab_size:
            raise CustomerError(
                f"enc{side[-1]}_vocab_size is {encoder.vocab_size:,}, but {side} has {size:,} ids "
                f"in {title}: leave it out, or give {size:,} or more."
            )
    _check_label(inputs, hyperparameters, title)
    in0, in1 = (
        replace(inputs.side(side), max_length=encoder.max_seq_len)
        for side, encoder in zip(SIDES, hyperparameters.encoders)
    )
    return replace(inputs, in0=in0, in1=in1)


def _check_label(inputs: Inputs, hyperparameters: Hyperparameters, title: str) -> None:
    label, classes = inputs.label, inputs.sizes().get("num_classes")
    output_layer = f"output_layer={hyperparameters.output_layer}"
    if label.kind == "tags" and not hyperparameters.is_multi_label:
        raise CustomerError(
            f"{output_layer} takes no tags for labels, but the label {quoted(label.name)} of "
            f"{title} holds tags: take output_layer=multi_label."
        )
    if label.kind == "none" and hyperparameters.is_multi_label:
        raise CustomerError(
            f"{output_layer} takes tags for labels, but {title} has no labels: name the label's "
            "column."
        )
    if label.kind != "tags" and hyperparameters.is_multi_label:
        held = {"class": "names of classes", "number": "numbers"}[label.kind]
        raise CustomerError(
            f"{output_layer} takes tags for labels, but the label {quoted(label.name)} of {title} "
            f"holds {held}: give {option_with('label_kind', quoted('tags'))} if they are such."
        )
    if hyperparameters.classes is None:
        if label.kind == "class":
            learns = "learns numbers"
            if hyperparameters.is_contrastive:
                learns = "takes every row for a pair that belongs together"
            raise CustomerError(
                f"{output_layer} {learns}, but the label "
                f"{quoted(label.name)} of {title} holds names ({names(label.classes)}): take "
                "output_layer=softmax."
            )
        return
    if classes is None:
        raise CustomerError(
            f"output_layer=softmax learns classes, but the label {quoted(label.name)} of {title} "
            "holds numbers that are none: take output_layer=mean_squared_error, or class for the "
            "kind of label."
        )
    if classes > hyperparameters.num_classes:
        raise CustomerError(
            f"num_classes is {hyperparameters.num_classes}, but the label {quoted(label.name)} of "
            f"{title} needs {classes}: leave it out, or give {classes} or more."
        )


def check_weight(hyperparameters: Hyperparameters, column: Optional[Union[str, int]]) -> None:
    """Refuse weights of pairs where these come from a table and no column of it says them.

    Raises
    ------
    CustomerError
        ``pair_weights`` is true all the same.
    """
    if hyperparameters.pair_weights and column is None:
        raise CustomerError(
            "'pair_weights' is of pairs of ids, which say under the key weight how much they "
            f"count; of a table, {option('weight')} names the column that says so."
        )


def cut_pairs(pairs: PairDataset, hyperparameters: Hyperparameters) -> PairDataset:
    """Pairs with lists as long as training takes them, and labels of as many classes."""
    encoders = hyperparameters.encoders
    if hyperparameters.is_multi_label and pairs.labels.shape[1] < hyperparameters.num_classes:
        more = hyperparameters.num_classes - pairs.labels.shape[1]
        pairs = replace(pairs, labels=np.pad(pairs.labels, ((0, 0), (0, more))))
    sides = [pairs.in0, pairs.in1]
    longer = sum(
        int(np.count_nonzero(lists.lengths > encoder.max_seq_len))
        for lists, encoder in zip(sides, encoders)
    )
    if not longer:
        return pairs
    in0, in1 = (lists.truncate(encoder.kept_len) for lists, encoder in zip(sides, encoders))
    return PairDataset(in0, in1, pairs.labels, pairs.truncated + longer, pairs.weights)
