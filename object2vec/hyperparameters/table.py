# SPDX-License-Identifier: Apache-2.0
"""Every hyperparameter, declared once as data: type, range, default, tuning range and text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional

AUTO = "auto"
BALANCED = "balanced"
INT32_MAX = 2**31 - 1

NETWORKS = ("hcnn", "bilstm", "pooled_embedding")
TOKEN_WEIGHTINGS = ("mean", "learned", "tfidf")
COMPARATORS = ("hadamard", "concat", "abs_diff")
SCORERS = ("mlp", "dot", "cosine")
#: The metrics that each output layer reports to machines, the loss first.
OUTPUT_METRICS = {
    "softmax": ("cross_entropy", "accuracy"),
    "mean_squared_error": ("mean_squared_error",),
    "in_batch_softmax": ("cross_entropy", "accuracy"),
    "multi_label": ("cross_entropy", "micro_f1"),
}
#: All of them, each once.
QUALITY_METRICS = tuple(
    dict.fromkeys(metric for metrics in OUTPUT_METRICS.values() for metric in metrics)
)
#: What early stopping can judge validation by with each output layer: its loss, or a measure.
STOPPING_METRICS = {
    "softmax": (
        *("loss", "cross_entropy", "accuracy", "auc", "macro_f1"),
        *("hit_rate@10", "ndcg@10", "mrr"),
    ),
    "mean_squared_error": ("loss", "mean_squared_error", "mean_absolute_error"),
    "in_batch_softmax": (
        *("loss", "cross_entropy", "accuracy"),
        *("hit_rate@10", "ndcg@10", "mrr"),
    ),
    "multi_label": ("loss", "cross_entropy", "micro_f1", "macro_f1"),
}
#: The output layers whose labels are classes.
WITH_CLASSES = ("softmax", "multi_label")
SPLITS = ("train", "validation", "test")
#: Content types of their channels: of pairs of ids, and of tables.
PAIR_CONTENT_TYPES = ("application/jsonlines", "application/json-lines", "application/x-jsonlines")
TABLE_CONTENT_TYPES = ("text/csv", "application/x-parquet")
QUALITY_METRIC_NAMES = tuple(f"{split}:{metric}" for split in SPLITS for metric in QUALITY_METRICS)
METRIC_NAMES = (*QUALITY_METRIC_NAMES, "train:progress", "train:throughput")

#: Names that SageMaker or its Python SDK add by themselves; they are accepted and not used.
IGNORED_NAMES = ("feature_dim",)
IGNORED_PREFIX = "sagemaker_"

#: Names that say what the columns of a job's tables are; a network knows nothing of them.
TABLE_NAMES = ("_in0", "_in1", "_label", "_label_kind", "_weight", "_preset", "_tokenizer")
LABEL_KINDS = (AUTO, "number", "class", "tags")
#: The recipes for tables; see `prepare/recipes.py`.
PRESETS = ("ratings", "interactions", "text_pair", "text_tags", "text_labels", "documents")


@dataclass(frozen=True)
class TuningRange:
    """The range that a tuning job should search: two ends and a scale, or categories."""

    minimum: float = 0
    maximum: float = 0
    scale: str = "Auto"
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hyperparameter:
    """The declaration of one hyperparameter.

    Attributes
    ----------
    name : str
        Public name; hidden ones begin with an underscore.
    kind : str
        'integer', 'continuous', 'categorical', 'boolean', 'auto_integer' (the word auto or an
        integer), 'file_name', 'comparators', 'metric_name', 'columns', 'column' or
        'class_weights'.
    description : str
        One or two sentences.
    default : Any
        Typed default, or None where there is no fixed one.
    default_text : str
        What stands in for the default where it is None.
    minimum, maximum : float
        Both ends belong to the range.
    choices : tuple of str
        Allowed words of the categorical kinds.
    tunable : TuningRange or None
        Recommended range of a tuning job.
    required : bool
        The job fails without it.
    extension : bool
        Ours, not the original's: off by default, so that the defaults stay the original's.
    extension_choices : tuple of str
        Those of the choices that are ours.
    """

    name: str
    kind: str
    description: str
    default: Any = None
    default_text: str = ""
    minimum: float = 0
    maximum: float = 0
    choices: tuple[str, ...] = ()
    tunable: Optional[TuningRange] = None
    required: bool = False
    extension: bool = False
    extension_choices: tuple[str, ...] = ()

    def is_extended_by(self, value: Any) -> bool:
        """Whether the original has no such value: it is that of an extension, and no default."""
        return value in self.extension_choices or (self.extension and value != self.default)

    @property
    def hidden(self) -> bool:
        """Whether the name begins with an underscore."""
        return self.name.startswith("_")

    @property
    def marked_description(self) -> str:
        """The description, behind a mark where the original has no such hyperparameter."""
        return f"(extension) {self.description}" if self.extension else self.description

    @property
    def range_text(self) -> str:
        """The range as the original's messages write it, for example ``(2, 30)``."""
        return f"({number_text(self.minimum)}, {number_text(self.maximum)})"

    @property
    def allowed_text(self) -> str:
        """What may be given, in words for a table or a help text."""
        ends = f"{number_text(self.minimum)} to {number_text(self.maximum)}"
        if self.kind in ("integer", "auto_integer") and self.maximum == INT32_MAX:
            ends = f"{number_text(self.minimum)} or more"
        texts = {
            "integer": f"integer, {ends}",
            "continuous": f"number, {ends}",
            "categorical": ", ".join(map(self._marked_choice, self.choices)),
            "boolean": "True or False, in any case",
            "auto_integer": f"{AUTO} or an integer, {ends}",
            "file_name": "file name of letters, digits, '.', '_' and '-'",
            "comparators": f"ordered choice of {', '.join(COMPARATORS)}, separated by commas",
            "metric_name": "name of a metric",
            "columns": "names of columns, separated by commas",
            "column": "name of a column",
            "class_weights": f"{BALANCED}, or numbers, {ends}, separated by commas",
        }
        return texts[self.kind]

    def _marked_choice(self, choice: str) -> str:
        return f"{choice} (extension)" if choice in self.extension_choices else choice

    @property
    def default_words(self) -> str:
        """The default as a user would type it, or the words that explain its absence."""
        if self.required:
            return "required"
        if self.default is None:
            return self.default_text
        return value_text(self.default)

    @property
    def tuning_text(self) -> str:
        """The recommended tuning range in words; empty for what is not tuned."""
        if self.tunable is None:
            return ""
        if self.tunable.choices:
            return ", ".join(self.tunable.choices)
        ends = f"{number_text(self.tunable.minimum)} to {number_text(self.tunable.maximum)}"
        return ends if self.tunable.scale == "Auto" else f"{ends} ({self.tunable.scale})"


def number_text(number: float) -> str:
    """A number as short as it can be written exactly: ``30``, ``0.1``, ``1e-06``."""
    return str(int(number)) if float(number).is_integer() else repr(float(number))


def value_text(value: Any) -> str:
    """A typed value as the string that SageMaker would send."""
    if isinstance(value, (list, tuple)):
        return ", ".join(_in_list(value_text(item)) for item in value)
    if isinstance(value, float):
        return number_text(value)
    return str(value)


def _in_list(text: str) -> str:
    """A name between commas, in quotes where it holds one."""
    if "," in text or text.startswith(('"', " ")):
        text = text.replace('"', '""')
        return f'"{text}"'
    return text


def _encoder(side: int) -> tuple[Hyperparameter, ...]:
    """The hyperparameters of one encoder."""
    first = side == 0
    prefix, source = f"enc{side}_", f"in{side}"
    return (
        Hyperparameter(
            f"{prefix}max_seq_len", "integer",
            f"Longest {source} sequence in tokens; what is longer is cut.",
            default_text="enc0's", minimum=1, maximum=5000, required=first,
        ),
        Hyperparameter(
            f"{prefix}vocab_size", "integer",
            f"Number of different tokens of {source}; ids run from 0 to vocab_size - 1.",
            default_text="enc0's", minimum=2, maximum=3000000, required=first,
        ),
        Hyperparameter(
            f"{prefix}network", "categorical",
            f"Network that encodes {source}." if first else
            "Network that encodes in1; with enc0 every enc1 value is replaced by enc0's, "
            "the weights stay separate.",
            default="hcnn" if first else "enc0",
            choices=NETWORKS if first else ("enc0", *NETWORKS),
        ),
        Hyperparameter(
            f"{prefix}layers", "auto_integer",
            f"Layers of encoder {side}; auto is 4 for hcnn and 1 for bilstm, and "
            "pooled_embedding has none.",
            default=AUTO, minimum=1, maximum=4, tunable=TuningRange(1, 4),
        ),
        Hyperparameter(
            f"{prefix}cnn_filter_width", "integer",
            f"Filter width of encoder {side} in tokens, for hcnn.",
            default=3, minimum=1, maximum=9, tunable=TuningRange(1, 5),
        ),
        Hyperparameter(
            f"{prefix}token_embedding_dim", "integer",
            f"Width of encoder {side}'s token vectors; pooled_embedding takes enc_dim instead.",
            default=300, minimum=2, maximum=1000, tunable=TuningRange(5, 300),
        ),
        Hyperparameter(
            f"{prefix}pretrained_embedding_file", "file_name",
            f"File of the auxiliary channel with pretrained token vectors for encoder {side}.",
            default="",
        ),
        Hyperparameter(
            f"{prefix}freeze_pretrained_embedding", "boolean",
            f"Whether encoder {side}'s pretrained vectors stay fixed; without a pretrained file "
            "it does nothing.",
            default=True,
        ),
        Hyperparameter(
            f"{prefix}vocab_file", "file_name",
            f"File of the auxiliary channel that maps the words of encoder {side}'s pretrained "
            "vectors to token ids.",
            default="",
        ),
        Hyperparameter(
            f"{prefix}random_crop", "boolean",
            f"Whether training takes a random part of {prefix}max_seq_len tokens of each longer "
            f"{source} sequence, another in each epoch, instead of its first tokens. With it on "
            "both sides and the same sequence on both, in1 gets none of the tokens of in0's part, "
            "which is then of any length from an eighth of that to all of it; validation and test "
            "have such parts, too, always the same.",
            default=False, extension=True,
        ),
    )  # fmt: skip


_GENERAL = (
    Hyperparameter(
        "enc_dim", "integer", "Width of the embedding that each encoder makes.",
        default=4096, minimum=4, maximum=10000, tunable=TuningRange(4, 4096),
    ),
    Hyperparameter(
        "scorer", "categorical",
        "What a pair's score is made of: mlp is comparators and a network behind them; dot and "
        "cosine are the product of the two embeddings and the cosine between them, so that the "
        "nearest embeddings are those with the highest scores, and comparator_list, mlp_layers, "
        "mlp_dim and mlp_activation are ignored.",
        default="mlp", choices=SCORERS, extension=True,
    ),
    Hyperparameter(
        "comparator_list", "comparators",
        "How the two embeddings are compared, in this order: hadamard is their product, concat "
        "joins them, abs_diff is their absolute difference.",
        default=COMPARATORS, choices=COMPARATORS,
    ),
    Hyperparameter(
        "mlp_layers", "integer", "Layers of the network behind the comparators.",
        default=2, minimum=0, maximum=10, tunable=TuningRange(1, 4),
    ),
    Hyperparameter(
        "mlp_dim", "integer", "Width of these layers.",
        default=512, minimum=2, maximum=10000, tunable=TuningRange(16, 1024),
    ),
    Hyperparameter(
        "mlp_activation", "categorical",
        "Activation of these layers; linear has neither activation nor dropout.",
        default="linear", choices=("tanh", "relu", "linear"),
        tunable=TuningRange(choices=("tanh", "relu", "linear")),
    ),
    Hyperparameter(
        "output_layer", "categorical",
        "softmax learns classes, mean_squared_error learns a number, in_batch_softmax learns to "
        "find each in1 by its in0 among all of a batch, and the other way round: all pairs belong "
        "together, and scorer is dot or cosine; multi_label learns which classes a pair has, of "
        "which its label is a list: each class has a sigmoid, and the loss is the mean of the "
        "classes' binary cross-entropies.",
        default="softmax", choices=tuple(OUTPUT_METRICS),
        extension_choices=("in_batch_softmax", "multi_label"),
    ),
    Hyperparameter(
        "num_classes", "integer",
        "Number of classes of softmax and multi_label; ignored for the other output layers.",
        default=2, minimum=2, maximum=30,
    ),
    Hyperparameter(
        "class_weights", "class_weights",
        "How much a label of each class counts in the loss of softmax and multi_label: a number "
        "above 0 for each class, in their order, or balanced: the rarer a class is among the "
        "training labels, the more, so that all classes count alike, and with multi_label having "
        "a class as much as not having it.",
        default_text="none: all alike", minimum=1e-6, maximum=1e6, extension=True,
    ),
    Hyperparameter(
        "temperature", "continuous",
        "What in_batch_softmax divides the scores by: the lower, the more the hardest pairs of a "
        "batch count.",
        default_text="0.05 for cosine, 1 for dot", minimum=0.001, maximum=100,
        tunable=TuningRange(0.01, 1, "Logarithmic"), extension=True,
    ),
    Hyperparameter(
        "learn_temperature", "boolean",
        "Whether in_batch_softmax learns the temperature, from the given one on.",
        default=False, extension=True,
    ),
    Hyperparameter(
        "popularity_correction", "continuous",
        "So many times the logarithm of an object's share of the training pairs is subtracted from "
        "its scores in in_batch_softmax, where frequent objects are wrong answers more often; 0 is "
        "no correction, 1 the full one.",
        default=0.0, minimum=0, maximum=1, tunable=TuningRange(0, 1), extension=True,
    ),
    Hyperparameter(
        "ensemble_size", "integer",
        "How many models are trained side by side, each with as many of the enc_dim numbers of an "
        "embedding; a pair's score is the mean of theirs. Needs scorer dot.",
        default=1, minimum=1, maximum=64, extension=True,
    ),
    Hyperparameter(
        "dropout", "continuous",
        "Probability with which a unit is dropped in training, in the encoders and the MLP.",
        default=0.0, minimum=0, maximum=1, tunable=TuningRange(0, 1),
    ),
    Hyperparameter(
        "tied_token_embedding_weight", "boolean",
        "Whether both encoders share one token table; they then need the same vocab_size, token "
        "width and pretrained file.",
        default=False,
    ),
    Hyperparameter(
        "tied_encoders", "boolean",
        "Whether both sides are encoded by one encoder with one token table; they then need the "
        "same enc0_ and enc1_ values, but for max_seq_len.",
        default=False, extension=True,
    ),
    Hyperparameter(
        "token_embedding_storage_type", "categorical",
        "row_sparse updates only the token vectors that a batch uses: faster for large "
        "vocabularies; needs adam, adamw, adagrad or sgd and switches bucketing off.",
        default="dense", choices=("dense", "row_sparse"),
    ),
    Hyperparameter(
        "optimizer", "categorical",
        "Optimizer; adadelta ignores learning_rate. adamw is adam whose weight_decay is decoupled: "
        "each step takes learning_rate times weight_decay of a weight away, however large its "
        "gradients are.",
        default="adam", choices=("adadelta", "adagrad", "adam", "sgd", "rmsprop", "adamw"),
        extension_choices=("adamw",),
        tunable=TuningRange(choices=("adadelta", "adagrad", "adam", "sgd", "rmsprop", "adamw")),
    ),
    Hyperparameter(
        "learning_rate", "continuous", "Step size of the optimizer.",
        default=0.0004, minimum=1e-6, maximum=1, tunable=TuningRange(1e-6, 1, "Logarithmic"),
    ),
    Hyperparameter(
        "weight_decay", "continuous",
        "L2 penalty of the optimizer; large values drive every prediction to the mean.",
        default=0.0, minimum=0, maximum=10000, tunable=TuningRange(0, 1),
    ),
    Hyperparameter(
        "token_embedding_weight_decay", "continuous",
        "weight_decay of the token tables, where it is to be another one.",
        default_text="weight_decay's", minimum=0, maximum=10000, extension=True,
    ),
    Hyperparameter(
        "learning_rate_schedule", "categorical",
        "How learning_rate changes from step to step: not at all, or it falls to 0 at the end of "
        "the last of all epochs, along a straight line or half a cosine.",
        default="constant", choices=("constant", "linear", "cosine"), extension=True,
        tunable=TuningRange(choices=("constant", "linear", "cosine")),
    ),
    Hyperparameter(
        "warmup_epochs", "continuous",
        "Epochs, or a part of one, in which the learning rate first rises from 0.",
        default=0.0, minimum=0, maximum=100, tunable=TuningRange(0, 3), extension=True,
    ),
    Hyperparameter(
        "clip_gradient", "continuous",
        "Largest L2 norm of a step's gradients, all together; longer ones are shortened to it. 0 "
        "is no limit.",
        default=0.0, minimum=0, maximum=10000, tunable=TuningRange(0, 10), extension=True,
    ),
    Hyperparameter(
        "mini_batch_size", "integer", "Pairs in a batch, over all devices together.",
        default=32, minimum=1, maximum=10000, tunable=TuningRange(1, 8192),
    ),
    Hyperparameter(
        "epochs", "integer", "Most passes over the training data.",
        default=30, minimum=1, maximum=100, tunable=TuningRange(4, 20),
    ),
    Hyperparameter(
        "early_stopping_patience", "integer",
        "Training stops after more than this many epochs without enough improvement.",
        default=3, minimum=1, maximum=5, tunable=TuningRange(1, 5),
    ),
    Hyperparameter(
        "early_stopping_tolerance", "continuous",
        "How much lower the loss must be to count as an improvement.",
        default=0.01, minimum=1e-6, maximum=0.1, tunable=TuningRange(0.001, 0.1),
    ),
    Hyperparameter(
        "early_stopping_metric", "categorical",
        "What tells the best epoch, and when to stop: the loss, or a measure of the validation "
        "channel, which is then needed and whose units early_stopping_tolerance has. hit_rate@10, "
        "ndcg@10 and mrr rank, for each in0 of a pair of another label than 0, all in1 of train "
        "and validation but those of its own training pairs of such labels; of more than 1,000 in0 "
        "or 10,000 in1 so many are drawn by the seed.",
        default="loss", extension=True,
        choices=tuple(dict.fromkeys(name for own in STOPPING_METRICS.values() for name in own)),
    ),
    Hyperparameter(
        "bucket_width", "integer",
        "Pairs of similar length are put into one batch, in buckets of this width in tokens; 0 "
        "is no bucketing.",
        default=0, minimum=0, maximum=100,
    ),
    Hyperparameter(
        "negative_sampling_rate", "integer",
        "Random pairs of label 0 that each epoch adds for a pair of another label.",
        default=0, minimum=0, maximum=INT32_MAX,
    ),
    Hyperparameter(
        "negative_sampling_power", "continuous",
        "How often an object of in1 is drawn for these random pairs: in proportion to this power "
        "of how often it occurs; 1 is as often as it occurs, 0 as often as any other.",
        default=1.0, minimum=0, maximum=1, tunable=TuningRange(0, 1), extension=True,
    ),
    Hyperparameter(
        "hard_negative_share", "continuous",
        "Which part of these random pairs is drawn, from the second epoch on, from the 50 of in1 "
        "(of fewer than 200 a quarter) that the model as it is scores highest for in0, without "
        "those of its own pairs of another label than 0; needs scorer dot or cosine. Of more than "
        "10,000 in1 so many are searched, others in each epoch. Without a validation channel all "
        "epochs are trained and the last one is kept.",
        default=0.0, minimum=0, maximum=1, tunable=TuningRange(0, 1), extension=True,
    ),
    Hyperparameter(
        "pair_weights", "boolean",
        "Whether pairs of ids count by a number above 0 under their key weight, 1 where there is "
        "none: a pair of weight 2 counts as two pairs, in training and in what is reported.",
        default=False, extension=True,
    ),
    Hyperparameter(
        "token_dropout", "continuous",
        "Probability with which training leaves out each token of a sequence of several, anew in "
        "each epoch; one token stays at least.",
        default=0.0, minimum=0, maximum=0.99, tunable=TuningRange(0, 0.8), extension=True,
    ),
    Hyperparameter(
        "token_weighting", "categorical",
        "What pooled_embedding takes the mean of: token vectors (mean), or these times a weight of "
        "each token that is learnt too, frozen vectors or not, and starts from 1 (learned) or from "
        "its inverse document frequency in the training data (tfidf).",
        default="mean", choices=TOKEN_WEIGHTINGS, tunable=TuningRange(choices=TOKEN_WEIGHTINGS),
        extension=True,
    ),
    Hyperparameter(
        "_kvstore", "categorical", "Where gradients are summed and weights are updated.",
        default="auto_gpu", choices=("auto_gpu", "auto_cpu", "local", "device"),
    ),
    Hyperparameter(
        "_num_gpus", "auto_integer", "GPUs to use; auto takes all there are.",
        default=AUTO, minimum=0, maximum=INT32_MAX,
    ),
    Hyperparameter(
        "_num_kv_servers", "auto_integer",
        "Accepted, without effect: a job runs on one machine.",
        default=AUTO, minimum=1, maximum=INT32_MAX,
    ),
    Hyperparameter(
        "_tuning_objective_metric", "metric_name",
        "Metric of the tuning job that started this one; it is checked and logged and changes "
        "nothing.",
        default="", choices=METRIC_NAMES,
    ),
    Hyperparameter(
        "_seed", "integer",
        "Seed of all random numbers; with the same seed and number of threads a CPU run repeats "
        "exactly.",
        default_text="drawn and logged", minimum=0, maximum=INT32_MAX,
    ),
    Hyperparameter(
        "_in0", "columns",
        "Columns of in0, where the channels hold tables of raw values (CSV, TSV, JSON Lines, "
        "Parquet) instead of ids; sizes and further settings then follow from the data.",
        default_text="none: ids",
    ),
    Hyperparameter("_in1", "columns", "Columns of in1.", default_text="none: ids"),
    Hyperparameter(
        "_label", "column", "Column of the label; without it each row is a positive pair.",
        default_text="none",
    ),
    Hyperparameter(
        "_label_kind", "categorical",
        "Whether labels are numbers, names of classes, or tags, several names in a cell or none; "
        "auto takes lists for tags, and numbers where all are.",
        default_text=AUTO, choices=LABEL_KINDS,
    ),
    Hyperparameter(
        "_weight", "column",
        "Column of numbers above 0 that say how much a row counts; pair_weights follows.",
        default_text="none",
    ),
    Hyperparameter(
        "_preset", "categorical",
        "Recipe whose settings a job on a table takes, or one with an inputs.json in its auxiliary "
        "channel, but for those that are given; auto is the one that fits columns and labels.",
        default_text=f"{AUTO} on a table", choices=(AUTO, *PRESETS),
    ),
    Hyperparameter(
        "_tokenizer", "file_name",
        "File of the auxiliary channel, a tokenizer.json of Hugging Face, that splits the columns "
        "of text; its ids are their vocabulary.",
        default_text="none: words",
    ),
)  # fmt: skip

HYPERPARAMETERS: tuple[Hyperparameter, ...] = (*_encoder(0), *_encoder(1), *_GENERAL)
BY_NAME = {hyperparameter.name: hyperparameter for hyperparameter in HYPERPARAMETERS}


def markdown_table() -> str:
    """All hyperparameters as a Markdown table, a line each, for docs/hyperparameters.md."""
    rows = ["| name | type, range | default | tuning | what it does |", "|---|---|---|---|---|"]
    for item in HYPERPARAMETERS:
        default = item.default_words or '""'
        description = f"(hidden) {item.description}" if item.hidden else item.marked_description
        cells = (f"`{item.name}`", item.allowed_text, default, item.tuning_text, description)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def help_items() -> Iterator[tuple[str, str]]:
    """Name and help text of each hyperparameter, in the order of the declaration."""
    for item in HYPERPARAMETERS:
        default = item.default_words or "empty"
        note = default if item.required else f"default: {default}"
        yield item.name, f"{item.marked_description} [{item.allowed_text}; {note}]"
