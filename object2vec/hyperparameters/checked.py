# SPDX-License-Identifier: Apache-2.0
"""Turns given hyperparameters into one frozen, typed `Hyperparameters`, or lists every error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional, Union

from object2vec.errors import CustomerError
from object2vec.hyperparameters.given import LogLine
from object2vec.hyperparameters.rules import ENCODER_KEYS, RuledHyperparameters
from object2vec.hyperparameters.table import BY_NAME, INT32_MAX, TABLE_NAMES, WITH_CLASSES


@dataclass(frozen=True)
class EncoderHyperparameters:
    """The values of one encoder, resolved.

    Attributes
    ----------
    network : str
        'hcnn', 'bilstm' or 'pooled_embedding'; never 'enc0'.
    layers : int
        Never 'auto'; 1 for pooled_embedding.
    token_embedding_dim : int
        Width of the token table; equal to enc_dim for pooled_embedding.
    freeze_pretrained_embedding : bool
        As given; see `frozen` for what it means together with the file.
    random_crop : bool
        Whether training takes random windows of longer lists.
    """

    network: str
    layers: int
    cnn_filter_width: int
    token_embedding_dim: int
    vocab_size: int
    max_seq_len: int
    pretrained_embedding_file: str
    freeze_pretrained_embedding: bool
    vocab_file: str
    random_crop: bool

    @property
    def kept_len(self) -> int:
        """Tokens of a list that are kept when it is read: all, where windows of it are taken."""
        return INT32_MAX if self.random_crop else self.max_seq_len

    def is_weighted(self, token_weighting: str) -> bool:
        """Whether training weighs the tokens of its lists."""
        return token_weighting != "mean" and self.network == "pooled_embedding"

    @property
    def frozen(self) -> bool:
        """Whether the token table stays fixed: only where a pretrained file is given."""
        return self.freeze_pretrained_embedding and bool(self.pretrained_embedding_file)


@dataclass(frozen=True)
class Hyperparameters:
    """All hyperparameters of a job, resolved and typed; made by `parse`.

    With a tied token table it is frozen when either encoder is: where both have a pretrained file
    their flags are equal.

    Attributes
    ----------
    class_weights : tuple of float, str or None
        One for each class, or 'balanced' until training knows its labels; None where all count
        alike.
    temperature : float or None
        Only of in_batch_softmax, where it is set.
    """

    enc0: EncoderHyperparameters
    enc1: EncoderHyperparameters
    enc_dim: int
    mlp_dim: int
    mlp_layers: int
    mlp_activation: str
    scorer: str
    output_layer: str
    num_classes: int
    class_weights: Union[str, tuple[float, ...], None]
    ensemble_size: int
    temperature: Optional[float]
    learn_temperature: bool
    popularity_correction: float
    optimizer: str
    learning_rate: float
    weight_decay: float
    token_embedding_weight_decay: Optional[float]
    learning_rate_schedule: str
    warmup_epochs: float
    clip_gradient: float
    dropout: float
    mini_batch_size: int
    epochs: int
    bucket_width: int
    comparator_list: tuple[str, ...]
    early_stopping_patience: int
    early_stopping_tolerance: float
    early_stopping_metric: str
    negative_sampling_rate: int
    negative_sampling_power: float
    hard_negative_share: float
    pair_weights: bool
    token_dropout: float
    token_weighting: str
    tied_token_embedding_weight: bool
    tied_encoders: bool
    token_embedding_storage_type: str
    kvstore: str
    num_gpus: Union[str, int]
    num_kv_servers: Union[str, int]
    tuning_objective_metric: str
    seed: Optional[int]

    @property
    def encoders(self) -> tuple[EncoderHyperparameters, EncoderHyperparameters]:
        """Both encoders, to be indexed by side."""
        return (self.enc0, self.enc1)

    @property
    def table_weight_decay(self) -> float:
        """Weight decay of the token tables: their own where it is given."""
        own = self.token_embedding_weight_decay
        return self.weight_decay if own is None else own

    @property
    def draws_hard_negatives(self) -> bool:
        """Whether negatives are drawn among what the model itself scores highest."""
        return bool(self.hard_negative_share and self.negative_sampling_rate)

    @property
    def is_regression(self) -> bool:
        """Whether the labels are real numbers."""
        return self.output_layer == "mean_squared_error"

    @property
    def is_contrastive(self) -> bool:
        """Whether each pair's partner is told from those of other pairs: in_batch_softmax."""
        return self.output_layer == "in_batch_softmax"

    @property
    def is_multi_label(self) -> bool:
        """Whether a pair may have several classes, or none."""
        return self.output_layer == "multi_label"

    @property
    def is_similarity(self) -> bool:
        """Whether a pair's score is the dot product or the cosine of its embeddings."""
        return self.scorer != "mlp"

    @property
    def classes(self) -> Optional[int]:
        """Number of classes that a pair may have, and has scores of; None for no classes.

        Without classes a label is a real number, and so is a pair's score.
        """
        return self.num_classes if self.output_layer in WITH_CLASSES else None

    @property
    def score_shape(self) -> tuple[int, ...]:
        """Shape of a pair's scores: ``(num_classes,)``, or ``()`` for one number."""
        return () if self.classes is None else (self.classes,)

    @property
    def is_extended(self) -> bool:
        """Whether something is used that the original, and a reader of its time, does not know."""
        return any(BY_NAME[name].is_extended_by(value) for name, value in self.to_dict().items())

    def to_dict(self) -> dict[str, Any]:
        """The values under their public names, as JSON knows them; `parse` gives them back.

        Returns
        -------
        dict
            For example ``{"enc0_max_seq_len": 50, …, "comparator_list": ["hadamard"]}``; without
            ``_seed`` where none is set.
        """
        result: dict[str, Any] = {}
        for name in (name for name in BY_NAME if name not in TABLE_NAMES):
            if name.startswith(("enc0_", "enc1_")):
                value = getattr(getattr(self, name[:4]), name[5:])
            else:
                value = getattr(self, name.lstrip("_"))
            if value is not None:
                result[name] = list(value) if isinstance(value, tuple) else value
        return result

    def to_stored(self) -> dict[str, Any]:
        """As `to_dict`, without extensions that are off, so that older readers know every name."""
        return {
            name: value
            for name, value in self.to_dict().items()
            if not BY_NAME[name].extension or BY_NAME[name].is_extended_by(value)
        }


def parse(raw: Mapping[str, Any]) -> tuple[Hyperparameters, list[LogLine]]:
    """Check and resolve hyperparameters.

    Parameters
    ----------
    raw : Mapping
        Public name to value: a string as SageMaker sends it, also one that holds JSON, or the real
        type (int, float, bool, a list for comparator_list, NumPy's). None counts as not given.

    Returns
    -------
    Hyperparameters
        Every value resolved: no 'auto' layers, no network 'enc0'.
    list of LogLine
        What the rules between hyperparameters changed or ignored, to be logged by the caller.

    Raises
    ------
    CustomerError
        Holds one sentence for each error found.
    """
    job = RuledHyperparameters(raw)
    job.apply()
    sentences = job.sentences()
    if sentences:
        raise CustomerError(" ".join(sentences))
    return _result(job.values), list(job.logged)


def _result(values: Mapping[str, Any]) -> Hyperparameters:
    encoders = [
        EncoderHyperparameters(**{key: values[f"enc{side}_{key}"] for key in ENCODER_KEYS})
        for side in (0, 1)
    ]
    rest = {
        name.lstrip("_"): value
        for name, value in values.items()
        if not name.startswith(("enc0_", "enc1_")) and name not in TABLE_NAMES
    }
    return Hyperparameters(encoders[0], encoders[1], **rest)
