# SPDX-License-Identifier: Apache-2.0
"""The rules between several hyperparameters: what they change, ignore or refuse."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from object2vec.hyperparameters.given import GivenHyperparameters
from object2vec.hyperparameters.table import AUTO, BY_NAME, OUTPUT_METRICS, QUALITY_METRIC_NAMES
from object2vec.hyperparameters.values import read_value, words

#: The hyperparameters that each encoder has for itself, without ``enc0_`` or ``enc1_``.
ENCODER_KEYS = tuple(name[len("enc0_") :] for name in BY_NAME if name.startswith("enc0_"))
LARGEST_ARRAY = (1 << 31) - 2  # elements of an array of MXNet; of a sparse one, positions for them
ROW_SPARSE_OPTIMIZERS = ("adam", "adagrad", "sgd")
_AUTO_LAYERS = {"hcnn": 4, "bilstm": 1}


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
        self._ignore_num_classes()
        self._replace_enc1()
        self._resolve_encoders()
        self._check_storage_type()
        self._check_tied()
        self._check_token_weighting()
        self._check_table_sizes()
        self._note_adadelta()
        self._note_negative_sampling_power()

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

    def _ignore_num_classes(self) -> None:
        if self.values["output_layer"] != "mean_squared_error" or "num_classes" not in self.given:
            return
        self.value_errors.pop("num_classes", None)
        self.values["num_classes"] = BY_NAME["num_classes"].default
        self.log(
            logging.INFO,
            "output_layer is set to mean_squared_error. Ignoring the hyperparameter 'num_classes'.",
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
            elif optimizer == "adagrad" and self.values["weight_decay"] > 0:
                self.rule_errors.append(
                    "'weight_decay' must be 0 with optimizer 'adagrad' and "
                    "token_embedding_storage_type 'row_sparse', but "
                    f"{self.values['weight_decay']} was given: MXNet has no sparse adagrad update "
                    "with weight decay; 'adam', 'sgd' or 'dense' can do it."
                )
        if self._sound("bucket_width") and self.values["bucket_width"] > 0:
            self.log(
                logging.WARNING,
                "token_embedding_storage_type is row_sparse, which switches bucketing off: "
                f"bucket_width={self.values['bucket_width']} becomes 0.",
            )
            self.values["bucket_width"] = 0

    def _check_tied(self) -> None:
        """One shared table needs one size, one width and one meaning of its rows."""
        if self.values["tied_token_embedding_weight"] is not True:
            return
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
            first, second = (self.values[name] for name in names)
            one_file_serves_both = key.endswith("_file") and not (first and second)
            if first != second and not one_file_serves_both:
                note = " (pooled_embedding takes enc_dim)" if key == "token_embedding_dim" else ""
                self.rule_errors.append(
                    f"'tied_token_embedding_weight' needs the same {what} on both sides, but "
                    f"'{names[0]}' is {first!r} and '{names[1]}' is {second!r}{note}."
                )

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

    def _set_as(self, name: str, side: int) -> str:
        """The hyperparameter that a size comes from."""
        is_width = name.endswith("_dim")
        if is_width and self.values[f"enc{side}_network"] == "pooled_embedding":
            return "enc_dim"
        # only the size of a vocabulary is taken over from encoder 0
        return name if is_width or name in self.given else name.replace("enc1", "enc0")

    def _note_adadelta(self) -> None:
        if self.values["optimizer"] == "adadelta" and "learning_rate" in self.given:
            self.log(
                logging.WARNING, "optimizer adadelta ignores the hyperparameter 'learning_rate'."
            )

    def _note_negative_sampling_power(self) -> None:
        names = "negative_sampling_power", "negative_sampling_rate"
        if self._sound(*names) and self.values[names[0]] != 1 and not self.values[names[1]]:
            self.log(
                logging.WARNING,
                "'negative_sampling_power' has no effect, because 'negative_sampling_rate' is 0.",
            )
