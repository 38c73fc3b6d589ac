# SPDX-License-Identifier: Apache-2.0
"""Recipes: the hyperparameters for training on a table, by what its columns and labels are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Optional

from object2vec.errors import CustomerError
from object2vec.hyperparameters.table import AUTO, PRESETS, WITH_CLASSES
from object2vec.raw_values.encode_values import nearest
from object2vec.raw_values.inputs import SIDES, Inputs
from object2vec.raw_values.option_names import option
from object2vec.text import named, names, shown


@dataclass(frozen=True)
class Recipe:
    """Settings for a training.

    Attributes
    ----------
    name : str
        One of `PRESETS`.
    why : str
        One sentence: what was chosen, and why.
    settings : dict of str to str
        Hyperparameters by name, as ``object2vec train -p`` takes them. Sizes and networks of both
        encoders are always among them: by default encoder 1 takes those of encoder 0.
    """

    name: str
    why: str
    settings: dict[str, str]


# benchmarks/README.md has what was measured, and what was tried. row_sparse updates and decays the
# rows in use alone, which is faster. concat gives each object a share of its own, such as the mean
# of a person or a film, beside the products of hadamard, which would have to imitate it.
_BAGS = {
    "comparator_list": "hadamard,concat",
    "mlp_layers": "0",
    "token_embedding_storage_type": "row_sparse",
    "learning_rate": "0.003",
}
_SETTINGS: dict[str, dict[str, str]] = {
    # With what `_of_ratings` gives. The products grow out of almost nothing: a long plateau is no
    # reason to stop.
    "ratings": {
        "learning_rate": "0.003",
        "mini_batch_size": "256",
        "early_stopping_patience": "5",
        "early_stopping_tolerance": "0.001",
    },
    # Dot products, so that what is near is what goes together, and all of a batch for negatives.
    # row_sparse decays what a batch uses alone, so that what is seldom seen is not forgotten. The
    # loss of training falls slowly to its end: it is no reason to stop.
    "interactions": {
        "scorer": "dot",
        "output_layer": "in_batch_softmax",
        "popularity_correction": "1",
        "token_embedding_storage_type": "row_sparse",
        "enc_dim": "128",
        "optimizer": "adamw",
        "weight_decay": "0.5",
        "learning_rate": "0.01",
        "learning_rate_schedule": "linear",
        "mini_batch_size": "512",
        "epochs": "10",
        "early_stopping_patience": "5",
        "early_stopping_tolerance": "0.000001",
    },
    # Means of the words, in an eighth of hcnn's time: on SNLI's 25,302 pairs 0.649, hcnn 0.666. Two
    # epochs are then the best, and eight hardly less right; fewer pairs take more epochs.
    "text_pair": {
        "comparator_list": "hadamard,abs_diff",
        "mlp_layers": "0",
        "enc_dim": "300",
        "learning_rate": "0.003",
        "mini_batch_size": "64",
        "epochs": "8",
    },
    # The tags of many texts would be most negatives, and so seldom be found.
    "text_tags": {
        **_BAGS,
        "enc_dim": "128",
        "dropout": "0.5",
        "mini_batch_size": "512",
        "epochs": "6",
        "negative_sampling_power": "0.5",
    },
    # A linear model of the texts, of which each epoch sees another half; few words tell much, as
    # their weights learn.
    "text_labels": {
        "comparator_list": "concat",
        "mlp_layers": "0",
        "enc_dim": "300",
        "token_weighting": "learned",
        "token_dropout": "0.5",
        "learning_rate": "0.003",
        "learning_rate_schedule": "linear",
        "mini_batch_size": "64",
        "epochs": "10",
        "early_stopping_tolerance": "0.0001",
    },
    # Cosines, so that what is near is what goes together, and all of a batch for negatives.
    "documents": {
        "scorer": "cosine",
        "output_layer": "in_batch_softmax",
        "token_weighting": "tfidf",
        "token_dropout": "0.2",
        "token_embedding_storage_type": "row_sparse",
        "enc_dim": "300",
        "learning_rate": "0.002",
        "learning_rate_schedule": "linear",
        "mini_batch_size": "512",
        "epochs": "5",
        "early_stopping_tolerance": "0.001",
    },
}
# Of a text that is given once, as both sides: in0 gets another part in each epoch, about a sentence
# or two long, and in1 the rest. Learning by heart is not what ends it, so more epochs pay.
_OF_ONE_TEXT = {"enc0_random_crop": "true", "enc1_random_crop": "true", "epochs": "30"}
_LENGTH_OF_PART = 50  # tokens
# Where a batch is its pairs' negatives, a small table has smaller ones: in few steps nothing is
# learnt, and few negatives are enough to tell few objects apart.
_STEPS_OF_EPOCH, _LEAST_BATCH = 20, 32
# Of ratings by the dot product: what falls, and so ends where the rate would have it end. The
# comparators count where the dot product gives way to what a user asks for.
_FALLING = {
    "scorer": "dot",
    "comparator_list": _BAGS["comparator_list"],
    "mlp_layers": _BAGS["mlp_layers"],
    "learning_rate_schedule": "linear",
    "epochs": "10",
}
# In the place of in_batch_softmax, where softmax is what is asked for.
_BY_SOFTMAX: dict[str, dict[str, str]] = {
    "interactions": {
        **_BAGS,
        "enc_dim": "64",
        "weight_decay": "0.00005",
        "mini_batch_size": "1024",
        "epochs": "6",
    },
    "documents": {
        **_BAGS,
        "comparator_list": "hadamard,abs_diff",
        "enc_dim": "300",
        "mini_batch_size": "512",
        "epochs": "4",
    },
}
# Where there are no labels and the output layer is softmax.
_NEGATIVES = {"interactions": "3", "text_tags": "5", "documents": "5"}
# By how many sides have features: a width, and the weight decay for numbers, then for classes,
# whose losses are flatter. A row that is a vector by itself moves further than one of a mean.
_COUPLED = {0: (64, "0.0003", "0.00015"), 1: (128, "0.0002", "0.0001")}
# Of numbers by ids alone: so many models of that width side by side, each of which errs otherwise.
_MEMBERS = 8
# Of features on both sides, where all rows decay at each step: 0.3 for MovieLens' 1,682 films. Of
# n objects a batch uses one as often as n is small, and adam moves it by the root of that.
_DECAY_OF_FEATURES = 12.0
# More classes than two have no dot product: what they have decays by ids alone, and by features.
_DECAYS_OF_CLASSES = ("0.00015", "0.00005")
_NEEDS = {
    "ratings": "two sides that are no texts, and labels",
    "interactions": "two sides that are no texts, and no labels",
    "text_pair": "a text on each side, and labels that are no tags",
    "text_labels": "a text among the columns, and labels that are tags",
    "text_tags": "a text on one side alone, and no labels that are tags",
    "documents": "a text on each side, and no labels",
}
# How often the first column of a side stands in its lists where it is an id with others behind it.
_REPEATS = {"ratings": 6}


def recipe(inputs: Inputs, preset: str = AUTO, pairs: Optional[int] = None) -> Recipe:
    """Choose the hyperparameters for a table.

    Parameters
    ----------
    inputs : Inputs
        With the sides' maximum lengths.
    preset : str
        ``ratings``: numbers or classes of two objects, such as stars that users give to films.
        ``interactions``: pairs of objects without labels, such as what was bought by whom.
        ``text_pair``: numbers or classes of two texts.
        ``text_tags``: texts and what belongs to them, with or without labels.
        ``text_labels``: texts and their labels, several of which a text may have, or none.
        ``documents``: pairs of texts without labels, such as sentences and their articles; give
        both sides one vocabulary (tied), and let few of the texts be cut. Where both sides are one
        column, random parts of each text are paired with the rest of it.
        ``auto``: the only one of these that fits the columns and the labels.
    pairs : int, optional
        How many there are for training; many where that is not known.

    Raises
    ------
    CustomerError
        If there is no such preset, or it does not fit the columns or the labels.
    """
    fitting = check_fit(inputs, preset)
    found = _found(inputs)
    why = f"Recipe {fitting}, because {found}." if preset == AUTO else f"Recipe {fitting}: {found}."
    settings = _settings(inputs, _SETTINGS[fitting])
    if pairs is not None and settings["output_layer"] == "in_batch_softmax":
        of_step = 1 << max(pairs // _STEPS_OF_EPOCH, _LEAST_BATCH).bit_length() - 1
        settings["mini_batch_size"] = str(min(of_step, int(settings["mini_batch_size"])))
    return Recipe(fitting, why, settings)


def check_preset(preset: str) -> None:
    """Raise a CustomerError if there is no such preset."""
    known = (AUTO, *PRESETS)
    if preset not in known:
        raise CustomerError(
            f"{option('preset')} must be one of {names(known)}, found {shown(preset)}"
            f"{nearest(preset, known)}."
        )


def check_fit(inputs: Inputs, preset: str) -> str:
    """The recipe of the columns and labels; raises a CustomerError if the preset is another one."""
    check_preset(preset)
    fitting = _fitting(inputs)
    if preset not in (AUTO, fitting):
        raise CustomerError(
            f"The preset {preset} needs {_NEEDS[preset]}, but {_found(inputs)}: take {fitting}."
        )
    return fitting


def advised(inputs: Inputs, preset: str, given: Sequence[Sequence[bool]]) -> Inputs:
    """What a recipe asks of the columns: how often an id stands beside further columns.

    Parameters
    ----------
    inputs : Inputs
        As they were found.
    preset : str
        As for `recipe`.
    given : sequence of sequence of bool
        For each column of in0 and of in1, whether its repeat was given and so stays.

    Raises
    ------
    CustomerError
        As `recipe`.
    """
    name = check_fit(inputs, preset)
    times = _REPEATS.get(name, 1)
    sides = []
    for side, fixed in zip((inputs.in0, inputs.in1), given):
        beside = len(side.columns) > 1
        columns = (
            replace(column, repeat=times)
            if beside and column.kind == "id" and place == 0 and not fixed[place]
            else column
            for place, column in enumerate(side.columns)
        )
        sides.append(replace(side, columns=tuple(columns)))
    return replace(inputs, in0=sides[0], in1=sides[1])


def needed(inputs: Inputs) -> dict[str, str]:
    """Hyperparameters that follow from the data besides sizes, recipe or not.

    Numbers, classes or tags are learnt. Where there are no labels softmax tells the rows from
    negatives.
    """
    found = {"output_layer": "mean_squared_error" if learns_numbers(inputs) else "softmax"}
    if inputs.label.kind == "tags":
        found["output_layer"] = "multi_label"
    if inputs.tied:
        found["tied_token_embedding_weight"] = "true"
    if inputs.label.kind == "none":
        found["negative_sampling_rate"] = _NEGATIVES[_fitting(inputs)]
    return found


def is_text(inputs: Inputs, side: str) -> bool:
    """Whether the order of a side's tokens means something."""
    return [column.kind for column in inputs.side(side).columns] == ["text"]


def _is_one_text(inputs: Inputs) -> bool:
    """Whether both sides are the same column, a text."""
    columns = [inputs.side(side).columns for side in SIDES]
    return columns[0][0].name == columns[1][0].name and all(is_text(inputs, s) for s in SIDES)


def learns_numbers(inputs: Inputs) -> bool:
    """Whether the labels are learned as numbers, not as classes.

    Numbers that are all 0 or 1 are classes.
    """
    classes = inputs.label.num_classes
    return inputs.label.kind == "number" and (classes is None or classes > 2)


def _fitting(inputs: Inputs) -> str:
    texts = sum(is_text(inputs, side) for side in SIDES)
    labelled = inputs.label.kind != "none"
    kinds = [column.kind for side in SIDES for column in inputs.side(side).columns]
    if "text" in kinds and inputs.label.kind == "tags":
        return "text_labels"
    if texts == len(SIDES):
        return "text_pair" if labelled else "documents"
    if texts:
        return "text_tags"
    return "ratings" if labelled else "interactions"


def _found(inputs: Inputs) -> str:
    sides = []
    for side in SIDES:
        kinds = dict.fromkeys(column.kind for column in inputs.side(side).columns)
        sides.append(f"{side} is {'a text' if is_text(inputs, side) else ' and '.join(kinds)}")
    if inputs.label.kind == "none":
        label = "there are no labels"
    else:
        kind = "numbers" if learns_numbers(inputs) else "classes"
        kind = "tags" if inputs.label.kind == "tags" else kind
        label = f"the label {named(inputs.label.name)} holds {kind}"
    return f"{sides[0]}, {sides[1]} and {label}"


def by_softmax(inputs: Inputs) -> dict[str, str]:
    """The settings by softmax of a recipe whose own are by in_batch_softmax."""
    return _settings(inputs, _BY_SOFTMAX[_fitting(inputs)])


def possible_settings() -> Iterator[dict[str, str]]:
    """What recipes set besides sizes, whatever the table is."""
    network = dict.fromkeys(("enc0_network", "enc1_network"), "pooled_embedding")
    of_ratings = {**_SETTINGS["ratings"], **_FALLING, "enc_dim": "64"}
    for own in (*_SETTINGS.values(), of_ratings, *_BY_SOFTMAX.values()):
        for output_layer in ("softmax", "mean_squared_error", "multi_label"):
            yield {"output_layer": output_layer, **network, **own}


def _settings(inputs: Inputs, own: dict[str, str]) -> dict[str, str]:
    settings = dict.fromkeys(("enc0_network", "enc1_network"), "pooled_embedding")
    settings.update((key, str(size)) for key, size in inputs.sizes().items())
    settings.update({**needed(inputs), **own})
    if _fitting(inputs) == "ratings":
        settings.update(_of_ratings(inputs))
    if _fitting(inputs) == "text_pair" and inputs.tied:
        # of networks that read words in order, which a user may give; else nothing is left of it
        settings["tied_encoders"] = "true"
    if settings["output_layer"] == "in_batch_softmax" and _is_one_text(inputs):
        part = min(_LENGTH_OF_PART, inputs.in0.max_length)
        settings.update(_OF_ONE_TEXT, enc0_max_seq_len=str(part))
    if settings["output_layer"] not in WITH_CLASSES:
        settings.pop("num_classes", None)
    if settings["output_layer"] != "softmax":
        settings.pop("negative_sampling_rate", None)
    if "negative_sampling_rate" not in settings:
        settings.pop("negative_sampling_power", None)
    return settings


def _of_ratings(inputs: Inputs) -> dict[str, str]:
    """What hangs on whether there are ids alone, numbers or classes, and how many objects."""
    with_features = sum(inputs.side(side).max_length > 1 for side in SIDES)
    is_number = learns_numbers(inputs)
    if not is_number and (inputs.sizes()["num_classes"] > 2 or inputs.label.kind == "tags"):
        decay = _DECAYS_OF_CLASSES[with_features > 0]
        return {**_BAGS, "enc_dim": "64", "epochs": "20", "weight_decay": decay}
    if with_features in _COUPLED:
        width, *decays = _COUPLED[with_features]
        settings = {
            **_FALLING,
            "token_embedding_storage_type": "row_sparse",
            "enc_dim": str(width),
            "weight_decay": decays[not is_number],
        }
        if is_number and not with_features:
            settings.update(enc_dim=str(_MEMBERS * width), ensemble_size=str(_MEMBERS))
        return settings
    objects = max(inputs.vocab_size(side) for side in SIDES)
    return {
        **_FALLING,
        "optimizer": "adamw",
        "enc_dim": "128",
        "weight_decay": f"{_DECAY_OF_FEATURES / max(objects, 100) ** 0.5:.2g}",
    }
