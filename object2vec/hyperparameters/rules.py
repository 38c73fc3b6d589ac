# SPDX-License-Identifier: Apache-2.0
"""The rules between several hyperparameters: what they change, ignore or refuse."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from object2vec.hyperparameters.given import GivenHyperparameters
from object2vec.hyperparameters.table import (
    AUTO,
    BY_NAME,
    OUTPUT_METRICS,
    QUALITY_METRIC_NAMES,
    STOPPING_METRICS,
    WITH_CLASSES,
)
from object2vec.hyperparameters.values import read_value, words

#: The hyperparameters that each encoder has for itself, without ``enc0_`` or ``enc1_``.
ENCODER_KEYS = tuple(name[len("enc0_") :] for name in BY_NAME if name.startswith("enc0_"))
LARGEST_ARRAY = (1 << 31) - 2  # elements of an array of MXNet; of a sparse one, positions for them
#: What scorers other than mlp, and output layers other than in_batch_softmax, do not heed.
OF_MLP = ("comparator_list", "mlp_layers", "mlp_dim", "mlp_activation")
OF_IN_BATCH_SOFTMAX = ("temperature", "learn_temperature", "popularity_correction")
ROW_SPARSE_OPTIMIZERS = ("adam", "adamw", "adagrad", "sgd")
_AUTO_LAYERS = {"hcnn": 4, "bilstm": 1}
# A cosine is at most 1, whatever is learnt, and a product is as large as the embeddings grow.
_TEMPERATURES = {"cosine": 0.05, "dot": 1.0}


class RuledHyperparameters(GivenHyperparameters):
    """The values on their way from strings to `Hyperparameters`; each rule is one method.

    Parameters
    ----------
    raw : Mapping
        Public name to value; see `object2vec.hyperparameters.checked.parse`.

    Attributes
    ----------
    rule_errors : list of str
        A sentence for each rule that is broken.
    """

    def __init__(self, raw: Mapping[str, Any]) -> None:
        super().__init__(raw)
        self.rule_errors: list[str] = []

    def apply(self) -> None:
        """Apply every rule, in the order in which they build on one another."""
        self._check_tuning_objective()
        self._check_stopping_metric()
        self._ignore_what_has_no_effect()
        self._check_scorer()
        self._check_ensemble()
        self._settle_in_batch_softmax()
        self._check_multi_label()
        self._check_class_weights()
        self._replace_enc1()
        self._resolve_encoders()
        self._check_storage_type()
        self._check_tied_encoders()
        self._check_tied()
        self._check_token_weighting()
        self._check_table_sizes()
        self._check_something_is_learnt()
        self._note_learning_rates()
        self._note_negative_sampling()
        self._check_hard_negatives()

    def sentences(self) -> list[str]:
        """All errors: names first, then values in the order of the declaration, then rules."""
        values = [self.value_errors[name] for name in BY_NAME if name in self.value_errors]
        return self.name_errors + values + self.rule_errors

    def _sound(self, *names: str) -> bool:
        """Whether a rule can be judged: all its values are there and were read without error."""
        return all(n not in self.value_errors and self.values[n] is not None for n in names)

    def _check_tuning_objective(self) -> None:
        name = self.values["_tuning_objective_metric"]
        if not name or not self._sound("_tuning_objective_metric", "output_layer"):
            return
        self.log(logging.INFO, f"The objective metric of the tuning job is {name}.")
        output_layer = self.values["output_layer"]
        metric = name.split(":", 1)[1]
        if name in QUALITY_METRIC_NAMES and metric not in OUTPUT_METRICS[output_layer]:
            self.log(
                logging.WARNING,
                f"The objective metric {name} is never reported with output_layer={output_layer}; "
                f"it reports {', '.join(OUTPUT_METRICS[output_layer])}.",
            )

    def _check_stopping_metric(self) -> None:
        if not self._sound("early_stopping_metric", "output_layer"):
            return
        metric, output_layer = self.values["early_stopping_metric"], self.values["output_layer"]
        if metric not in STOPPING_METRICS[output_layer]:
            self.rule_errors.append(
                f"'early_stopping_metric' can be {words(STOPPING_METRICS[output_layer])} with "
                f"output_layer '{output_layer}', but '{metric}' was given."
            )

    def _ignore_what_has_no_effect(self) -> None:
        """Put defaults in the place of what the output layer or the scorer does not heed."""
        output_layer, scorer = self.values["output_layer"], self.values["scorer"]
        if output_layer not in WITH_CLASSES:
            for name in ("num_classes", "class_weights"):
                self._ignore(name, f"output_layer is set to {output_layer}")
        if scorer != "mlp":
            for name in OF_MLP:
                self._ignore(name, f"scorer is set to {scorer}")
        if output_layer != "in_batch_softmax":
            for name in OF_IN_BATCH_SOFTMAX:
                self._ignore(name, f"output_layer is set to {output_layer}")

    def _ignore(self, name: str, reason: str) -> None:
        if name not in self.given:
            return
        item, was_wrong = BY_NAME[name], self.value_errors.pop(name, None)
        # an extension at rest, as some name all that there is, would be no news
        if not item.extension or was_wrong or self.values[name] != item.default:
            self.log(logging.INFO, f"{reason}. Ignoring the hyperparameter '{name}'.")
        self.values[name] = item.default

    def _check_scorer(self) -> None:
        if not self._sound("scorer", "output_layer"):
            return
        scorer, output_layer = self.values["scorer"], self.values["output_layer"]
        if output_layer == "in_batch_softmax" and scorer == "mlp":
            self.rule_errors.append(
                "'output_layer' can be 'in_batch_softmax' only with scorer 'dot' or 'cosine', but "
                "'scorer' is 'mlp'."
            )
        classes = self.values["num_classes"]
        is_similarity = scorer != "mlp" and output_layer == "softmax"
        if is_similarity and self._sound("num_classes") and classes > 2:
            self.rule_errors.append(
                f"'scorer' can be '{scorer}' with output_layer 'softmax' only for 2 classes, "
                f"but 'num_classes' is {classes}: 'mlp' has scores of more."
            )

    def _check_ensemble(self) -> None:
        size, scorer = self.values["ensemble_size"], self.values["scorer"]
        if not self._sound("ensemble_size", "scorer") or size == 1:
            return
        if scorer != "dot":
            self.rule_errors.append(
                "'ensemble_size' can be above 1 only with scorer 'dot', whose products add up, but "
                f"'scorer' is '{scorer}'."
            )
        enc_dim = self.values["enc_dim"]
        if self._sound("enc_dim") and enc_dim % size:
            self.rule_errors.append(
                f"'enc_dim' must be a multiple of 'ensemble_size', which is {size}, but {enc_dim} "
                "was given."
            )
        elif self._sound("enc_dim") and enc_dim < 2 * size:
            self.rule_errors.append(
                f"'enc_dim' must be 2 for each of the 'ensemble_size' models or more, {2 * size} "
                f"in all, but {enc_dim} was given."
            )

    def _settle_in_batch_softmax(self) -> None:
        if self.values["output_layer"] != "in_batch_softmax":
            return
        if self.values["temperature"] is None and self._sound("scorer"):
            self.values["temperature"] = _TEMPERATURES.get(self.values["scorer"])
        rate = self.values["negative_sampling_rate"]
        if self._sound("negative_sampling_rate") and rate:
            self.rule_errors.append(
                "'negative_sampling_rate' must be 0 with output_layer 'in_batch_softmax', which "
                f"takes the other pairs of a batch for negatives, but {rate} was given."
            )

    def _check_multi_label(self) -> None:
        if self.values["output_layer"] != "multi_label":
            return
        scorer, rate = self.values["scorer"], self.values["negative_sampling_rate"]
        if self._sound("scorer") and scorer != "mlp":
            self.rule_errors.append(
                "'scorer' can be 'mlp' alone with output_layer 'multi_label', which has a score "
                f"for each class, but '{scorer}' was given."
            )
        if self._sound("negative_sampling_rate") and rate:
            self.rule_errors.append(
                "'negative_sampling_rate' must be 0 with output_layer 'multi_label', whose labels "
                f"say of each class whether a pair has it, but {rate} was given."
            )

    def _check_class_weights(self) -> None:
        weights, classes = self.values["class_weights"], self.values["num_classes"]
        if not self._sound("class_weights", "num_classes") or isinstance(weights, str):
            return
        if len(weights) != classes:
            self.rule_errors.append(
                "'class_weights' must hold a number for each class, but it holds "
                f"{len(weights)} and 'num_classes' is {classes}."
            )

    def _replace_enc1(self) -> None:
        """Give encoder 1 the values of encoder 0 where it has to have them."""
        if self.values["enc1_network"] == "enc0" and self._sound("enc1_network"):
            for key in ENCODER_KEYS:
                own, other = f"enc1_{key}", f"enc0_{key}"
                given = own in self.given and key != "network" and self._sound(own, other)
                if given and self.values[own] != self.values[other]:
                    self.log(
                        logging.WARNING,
                        f"{own}={self.values[own]} is replaced by {other}={self.values[other]}, "
                        "because enc1_network is enc0; set enc1_network to hcnn, bilstm or "
                        "pooled_embedding for an encoder 1 with values of its own.",
                    )
                # A bad value of enc0 gets one sentence, no further rule.
                self.values[own] = None if other in self.value_errors else self.values[other]
        for key in ("max_seq_len", "vocab_size"):
            if f"enc1_{key}" not in self.given:
                self.values[f"enc1_{key}"] = self.values[f"enc0_{key}"]

    def _resolve_encoders(self) -> None:
        """Settle 'auto' layers and the token width of pooled_embedding."""
        for side in (0, 1):
            network = self.values[f"enc{side}_network"]
            layers, width = f"enc{side}_layers", f"enc{side}_token_embedding_dim"
            if network != "pooled_embedding":
                if self.values[layers] == AUTO:
                    self.values[layers] = _AUTO_LAYERS.get(network)
                continue
            self.values[layers] = 1
            if not self._sound("enc_dim"):
                continue
            enc_dim = self.values["enc_dim"]
            if width in self.value_errors and self._equals(width, enc_dim):
                self.value_errors.pop(width)
            elif self._sound(width) and self.values[width] != enc_dim:
                self.log(
                    logging.INFO,
                    "Inconsistent enc_dim and token_embedding_dim found for "
                    f"token-embedding-encoder: {enc_dim} vs {self.values[width]}. "
                    f"Setting token embedding dim to be {enc_dim}",
                )
            self.values[width] = enc_dim

    def _equals(self, width: str, enc_dim: int) -> bool:
        """Whether the given token width is enc_dim, whose range is wider than a width's own."""
        wide = replace(BY_NAME[width], maximum=BY_NAME["enc_dim"].maximum)
        try:
            return bool(read_value(wide, self.given[width]) == enc_dim)
        except ValueError:
            return False

    def _check_storage_type(self) -> None:
        if self.values["token_embedding_storage_type"] != "row_sparse":
            return
        if self._sound("optimizer"):
            optimizer = self.values["optimizer"]
            if optimizer not in ROW_SPARSE_OPTIMIZERS:
                self.rule_errors.append(
                    "'token_embedding_storage_type' can be 'row_sparse' only with optimizer "
                    f"{words(ROW_SPARSE_OPTIMIZERS)}, but 'optimizer' is '{optimizer}'."
                )
            elif optimizer == "adagrad":
                self._check_decay_of_sparse_adagrad()
        if self._sound("bucket_width") and self.values["bucket_width"] > 0:
            self.log(
                logging.WARNING,
                "token_embedding_storage_type is row_sparse, which switches bucketing off: "
                f"bucket_width={self.values['bucket_width']} becomes 0.",
            )
            self.values["bucket_width"] = 0

    def _check_tied_encoders(self) -> None:
        """One encoder for both sides needs one form, and takes one table with it."""
        if self.values["tied_encoders"] is not True:
            return
        self.values["tied_token_embedding_weight"] = True
        required = [("network", "network")]
        if self.values["enc0_network"] == self.values["enc1_network"] != "pooled_embedding":
            required.append(("layers", "number of layers"))
            if self.values["enc0_network"] == "hcnn":
                required.append(("cnn_filter_width", "filter width"))
        for key, what in required:
            names = (f"enc0_{key}", f"enc1_{key}")
            if self._sound(*names):
                self._check_equal("tied_encoders", names, what)

    def _check_equal(self, tied: str, names: tuple[str, str], what: str, note: str = "") -> None:
        first, second = (self.values[name] for name in names)
        if first != second:
            self.rule_errors.append(
                f"'{tied}' needs the same {what} on both sides, but "
                f"'{names[0]}' is {first!r} and '{names[1]}' is {second!r}{note}."
            )

    def _check_decay_of_sparse_adagrad(self) -> None:
        own = "token_embedding_weight_decay"
        name = own if own in self.given else "weight_decay"
        if self._sound(name) and self.values[name] > 0:
            self.rule_errors.append(
                f"'{name}' must be 0 with optimizer 'adagrad' and token_embedding_storage_type "
                f"'row_sparse', but {self.values[name]} was given: MXNet has no sparse adagrad "
                "update with weight decay; 'adam', 'sgd' or 'dense' can do it."
            )

    def _check_tied(self) -> None:
        """One shared table needs one size, one width and one meaning of its rows."""
        if self.values["tied_token_embedding_weight"] is not True:
            return
        tied = "tied_encoders" if self.values["tied_encoders"] else "tied_token_embedding_weight"
        required = [
            ("vocab_size", "vocabulary size"),
            ("token_embedding_dim", "token width"),
            ("pretrained_embedding_file", "pretrained file"),
            ("vocab_file", "vocabulary file"),
        ]
        sides = [self.values[f"enc{side}_pretrained_embedding_file"] for side in (0, 1)]
        if all(sides):
            required.append(("freeze_pretrained_embedding", "choice of freezing the table"))
        for key, what in required:
            names = (f"enc0_{key}", f"enc1_{key}")
            if not self._sound(*names):
                continue
            if key.endswith("_file") and not all(self.values[name] for name in names):
                continue  # one file serves both
            note = " (pooled_embedding takes enc_dim)" if key == "token_embedding_dim" else ""
            self._check_equal(tied, names, what, note)

    def _check_token_weighting(self) -> None:
        """Weights are of tokens whose vectors pooled_embedding alone reads."""
        weighting = self.values["token_weighting"]
        if weighting == "mean" or not self._sound("token_weighting", "enc0_network"):
            return
        networks = [self.values[f"enc{side}_network"] for side in (0, 1)]
        pooled = networks.count("pooled_embedding")
        if not pooled:
            self.rule_errors.append(
                f"'token_weighting' can be '{weighting}' only with the network pooled_embedding, "
                f"but 'enc0_network' is '{networks[0]}' and 'enc1_network' '{networks[1]}'."
            )
        elif pooled == 1 and self.values["tied_token_embedding_weight"] is True:
            self.rule_errors.append(
                f"'token_weighting' can be '{weighting}' with 'tied_token_embedding_weight' only "
                "where both networks are pooled_embedding, but 'enc0_network' is "
                f"'{networks[0]}' and 'enc1_network' '{networks[1]}'."
            )

    def _check_table_sizes(self) -> None:
        seen = set()
        for side in (0, 1):
            names = f"enc{side}_vocab_size", f"enc{side}_token_embedding_dim"
            if not self._sound(*names):
                continue
            rows, columns = sizes = tuple(self.values[name] for name in names)
            if rows * columns > LARGEST_ARRAY and sizes not in seen:
                given = [self._set_as(name, side) for name in names]
                self.rule_errors.append(
                    f"'{given[0]}' times '{given[1]}' must be at most {LARGEST_ARRAY}, the largest "
                    f"array of MXNet, but {rows} times {columns} is {rows * columns}."
                )
            seen.add(sizes)

    def _check_something_is_learnt(self) -> None:
        """Where all of a network is its token tables, one of them has to move."""
        names = ("output_layer", "learn_temperature", "enc0_network", "enc1_network")
        if not self._sound(*names) or self.values["output_layer"] != "in_batch_softmax":
            return
        pooled = all(self.values[f"enc{side}_network"] == "pooled_embedding" for side in (0, 1))
        frozen = [
            self.values[f"enc{side}_freeze_pretrained_embedding"]
            and self.values[f"enc{side}_pretrained_embedding_file"]
            for side in (0, 1)
        ]
        is_fixed = any(frozen) if self.values["tied_token_embedding_weight"] else all(frozen)
        if pooled and is_fixed and not self.values["learn_temperature"]:
            self.rule_errors.append(
                "With 'pooled_embedding' and output_layer 'in_batch_softmax' nothing but token "
                "vectors is learnt, and these are frozen: set 'enc0_freeze_pretrained_embedding' "
                "or 'enc1_freeze_pretrained_embedding' to False."
            )

    def _set_as(self, name: str, side: int) -> str:
        """The hyperparameter that a size comes from."""
        is_width = name.endswith("_dim")
        if is_width and self.values[f"enc{side}_network"] == "pooled_embedding":
            return "enc_dim"
        # only the size of a vocabulary is taken over from encoder 0
        return name if is_width or name in self.given else name.replace("enc1", "enc0")

    def _note_learning_rates(self) -> None:
        if self.values["optimizer"] == "adadelta":
            for name in ("learning_rate", "learning_rate_schedule", "warmup_epochs"):
                if name in self.given:
                    self.log(
                        logging.WARNING, f"optimizer adadelta ignores the hyperparameter '{name}'."
                    )
        elif self._sound("warmup_epochs", "epochs"):
            warmup, epochs = self.values["warmup_epochs"], self.values["epochs"]
            if warmup >= epochs:
                self.log(
                    logging.WARNING,
                    f"warmup_epochs={warmup} is not below epochs={epochs}: the learning rate rises "
                    "until training ends.",
                )

    def _note_negative_sampling(self) -> None:
        rate = self.values["negative_sampling_rate"]
        for name in ("negative_sampling_power", "hard_negative_share"):
            both_sound = self._sound(name, "negative_sampling_rate")
            if both_sound and self.values[name] != BY_NAME[name].default and not rate:
                self.log(
                    logging.WARNING,
                    f"'{name}' has no effect, because 'negative_sampling_rate' is 0.",
                )

    def _check_hard_negatives(self) -> None:
        names = "hard_negative_share", "negative_sampling_rate"
        draws_them = self._sound(*names) and all(self.values[name] for name in names)
        if draws_them and self.values["scorer"] == "mlp":
            self.rule_errors.append(
                "'hard_negative_share' can be above 0 only with scorer 'dot' or 'cosine', by which "
                "the nearest objects are found, but 'scorer' is 'mlp'."
            )
