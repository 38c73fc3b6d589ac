# SPDX-License-Identifier: Apache-2.0
"""What memory a training needs, part by part, and its refusal where there is not enough."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from object2vec.data.arrays import TOKENS_AT_ONCE, PairDataset
from object2vec.data.batching import bucket_widths
from object2vec.data.in_batch import MOST_CANDIDATES
from object2vec.data.negative_sampling import count_nearest, fingerprints
from object2vec.errors import PlatformError
from object2vec.hyperparameters.checked import EncoderHyperparameters, Hyperparameters
from object2vec.model.parameter_shapes import compared_width, parameter_shapes
from object2vec.resources import NVIDIA_DRIVER, available_memory, give_back_freed_memory
from object2vec.training.choose_way import is_compiled_expected
from object2vec.training.row_updates import moves_used_rows_alone

_ELEMENT = 4  # bytes of a float32
_PROGRAM = 300_000_000  # Python, NumPy and MXNet, and the scoring of a channel in parts
_OF_PAIR = 48  # bytes of a pair in an epoch: its rows, its place in the order, its label
_OF_OBJECTS = 24  # bytes of the numbers and shares of both objects of a pair
# Elements that a step of in-batch softmax holds for each two pairs of a batch: as a rule, at least.
_OF_LOGIT, _LEAST_OF_LOGIT = 9, 4
_OF_DRAWN = 16  # bytes of a negative whose rows are drawn
_OF_KNOWN = 24  # bytes of a pair whose objects `hard_negatives` has numbered
_OF_NEAREST = 4  # bytes of a hard negative that was found
_OF_SEARCH = 52_000_000  # bytes of a block of scores, and of what orders it
_OF_NUMBERED_TOKEN = 40  # bytes, while `negative_sampling.fingerprints` works

# Copies of a parameter that an optimizer keeps.
_MOMENTS = {"adam": 2, "adamw": 2, "adadelta": 2, "adagrad": 1, "rmsprop": 1, "sgd": 0}
# Arrays of a table's size that a step takes where it moves all rows: of the largest table at least,
# and of all tables as a rule, because MXNet's engine frees them late.
_OF_ALL_ROWS = {"adadelta": (2, 5.5), "adagrad": (2, 4.5), "rmsprop": (1, 1.0)}


@dataclass(frozen=True)
class Part:
    """Something that takes memory.

    Attributes
    ----------
    name : str
        For a sentence.
    bytes : int
        What it takes, estimated.
    least : int
        What is still to be had for it, whatever happens.
    advice : str
        What to lower, for a sentence.
    """

    name: str
    bytes: int
    least: int = 0
    advice: str = ""


@dataclass(frozen=True)
class Estimate:
    """The memory of a training.

    Attributes
    ----------
    stages : tuple of tuple of Part
        All that is there while the parameters are drawn, in a step, when an epoch is judged, and
        when the best one comes back.
    """

    stages: tuple[tuple[Part, ...], ...]

    @property
    def peak(self) -> tuple[Part, ...]:
        """The parts of the stage that takes most, the largest first."""
        stage = max(self.stages, key=lambda parts: sum(part.bytes for part in parts))
        return tuple(sorted(stage, key=lambda part: -part.bytes))

    @property
    def bytes(self) -> int:
        """All of `peak`."""
        return sum(part.bytes for part in self.peak)

    @property
    def least(self) -> int:
        """Bytes that the process has to get besides what it has, whatever happens."""
        return sum(part.least for part in self._surest())

    def line(self) -> str:
        """The peak in one line for people."""
        parts = [part for part in self.peak if part.bytes >= max(1e6, 0.01 * self.bytes)]
        told = ", ".join(f"{in_units(part.bytes)} {part.name}" for part in parts)
        return f"memory: about {in_units(self.bytes)} in training: {told}"

    def check(self) -> None:
        """Refuse a training that cannot fit.

        Raises
        ------
        PlatformError
            The machine, or the container, cannot give what is needed whatever happens; its swap
            counts. Where it does not tell what it has, nothing is refused.
        """
        there = available_memory()
        if there is not None and self.least > there.bytes:
            # what an earlier training of this process has freed
            give_back_freed_memory()
            there = available_memory()
        if there is None or self.least <= there.bytes:
            return
        largest = max(self._surest(), key=lambda part: part.least)
        raise PlatformError(
            f"The training needs {in_units(self.least)} of memory or more, "
            f"{in_units(largest.least)} of it for {largest.name}, but {there.owner} has "
            f"{in_units(there.bytes)} left: lower {largest.advice}, or use a machine with more "
            "memory."
        )

    def _surest(self) -> tuple[Part, ...]:
        return max(self.stages, key=lambda parts: sum(part.least for part in parts))


def in_units(count: float) -> str:
    """Bytes for people: "950 MB", "12.3 GB"."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def estimate_memory(
    hyperparameters: Hyperparameters, datasets: Sequence[PairDataset] = ()
) -> Estimate:
    """Estimate what a training needs.

    With GPUs it is what their host needs, where each table is drawn, saved and restored.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        All settings.
    datasets : sequence of PairDataset
        The train channel first. Before they are read, what depends on them is left out.
    """
    return _Job(hyperparameters, datasets).estimate()


class _Job:
    def __init__(self, hyperparameters: Hyperparameters, datasets: Sequence[PairDataset]) -> None:
        self._settings = hyperparameters
        self._datasets = datasets
        sizes = {
            name: _ELEMENT * math.prod(shape)
            for name, shape in parameter_shapes(hyperparameters).items()
        }
        self._largest = max(sizes.values())
        # the parameters up to one that is drawn, and what it is copied from
        stages = zip(itertools.accumulate(sizes.values()), sizes.values())
        self._standing, self._drawn = max(stages, key=sum)
        tables = [size for name, size in sizes.items() if name.startswith("embed_")]
        self._each_table = tables
        self._tables = sum(tables)
        self._others = sum(sizes.values()) - self._tables
        encoders = hyperparameters.encoders
        frozen = [encoder.frozen for encoder in encoders]
        if hyperparameters.tied_token_embedding_weight:
            frozen = [any(frozen)]
        self._trained = [size for size, fixed in zip(tables, frozen) if not fixed]
        self._is_compiled = is_compiled_expected(hyperparameters)
        wide = max(encoders, key=lambda encoder: encoder.vocab_size * encoder.token_embedding_dim)
        side = encoders.index(wide)
        width = f"enc{side}_token_embedding_dim"
        if wide.network == "pooled_embedding":
            width = "enc_dim"
        self._table_advice = f"'enc{side}_vocab_size' or '{width}'"

    def estimate(self) -> Estimate:
        common = [Part("the program", _PROGRAM), *self._data(), *self._pretrained()]
        if _runs_on_gpus(self._settings):
            copy = Part(
                "the parameters on their way to and from the GPUs",
                self._tables + self._others,
                self._largest,
                self._table_advice,
            )
            return Estimate(((*common, copy),))
        common += [
            Part("token tables", self._tables, self._tables, self._table_advice),
            Part(
                "parameters and gradients outside the token tables",
                2 * self._others,
                2 * self._others,
                "'enc_dim', 'mlp_dim' or 'mlp_layers'",
            ),
        ]
        copies = 3 if self._pretrained() else 1
        drawing = [replace(part, least=0) for part in common]
        drawing += [
            Part("token tables", 0, self._standing, self._table_advice),
            Part(
                "a parameter that is drawn",
                copies * self._largest,
                self._drawn,
                self._table_advice,
            ),
        ]
        again = self._tables + self._others if self._settings.epochs > 1 else 0
        restoring = Part("the best epoch's parameters", again)
        standing = (*common, *self._moments())
        return Estimate(
            (
                tuple(drawing),
                (*standing, *self._all_rows(), *self._batch(), *self._candidates()),
                (*standing, *self._unweighted()),
                (*common, restoring),
            )
        )

    def _unweighted(self) -> list[Part]:
        """What `TokenWeights.fold` keeps, so that training can go on after an epoch."""
        settings = self._settings
        weighted = [encoder.is_weighted(settings.token_weighting) for encoder in settings.encoders]
        # a tied table is there once
        size = sum(size for size, is_weighted in zip(self._each_table, weighted) if is_weighted)
        if not size:
            return []
        name = "the token tables without the tokens' weights"
        return [Part(name, size, size, self._table_advice)]

    def _moments(self) -> list[Part]:
        optimizer = self._settings.optimizer
        copies = _MOMENTS[optimizer]
        tables, others = copies * sum(self._trained), copies * self._others
        advice = f"{self._table_advice}, or take the optimizer sgd, which keeps none of it"
        return [
            Part(f"{optimizer}'s moments of the token tables", tables, tables, advice),
            Part(
                f"{optimizer}'s moments of the parameters outside the token tables",
                others,
                others,
                "'enc_dim' or 'mlp_dim'",
            ),
        ]

    def _all_rows(self) -> list[Part]:
        settings = self._settings
        if settings.optimizer not in _OF_ALL_ROWS or moves_used_rows_alone(settings):
            return []
        least, most = _OF_ALL_ROWS[settings.optimizer]
        largest = max(self._trained, default=0)
        advice = f"{self._table_advice}, or take the optimizer adam"
        return [
            Part(
                f"{settings.optimizer}'s step through all rows of the tables",
                round(most * sum(self._trained)),
                least * largest,
                advice,
            )
        ]

    def _pretrained(self) -> list[Part]:
        settings = self._settings
        # what both sides share is there once
        sources = {
            # without a vocabulary file the words are those of a table, each side's its own
            (
                one.pretrained_embedding_file,
                one.vocab_file or side,
                one.vocab_size,
                one.token_embedding_dim,
            )
            for side, one in enumerate(settings.encoders)
            if one.pretrained_embedding_file
        }
        size = sum(_ELEMENT * rows * width for *_, rows, width in sources)
        return [Part("pretrained vectors", size)] if sources else []

    def _data(self) -> list[Part]:
        if not self._datasets:
            return []
        size = sum(
            lists.tokens.nbytes + lists.offsets.nbytes
            for pairs in self._datasets
            for lists in (pairs.in0, pairs.in1)
        )
        train = self._datasets[0]
        rate = self._settings.negative_sampling_rate
        size += _OF_PAIR * len(train)
        if self._settings.is_multi_label:
            size += sum(pairs.labels.nbytes for pairs in self._datasets)
        if self._settings.is_contrastive:
            size += _OF_OBJECTS * len(train)
        parts = [Part("data", size)]
        if rate:
            negatives = rate * int(np.count_nonzero(train.labels))
            tokens = max(len(train.in0.tokens), len(train.in1.tokens))
            at_once = min(tokens, TOKENS_AT_ONCE)
            parts.append(
                Part(
                    "the negatives of an epoch",
                    _OF_PAIR * negatives + _OF_NUMBERED_TOKEN * at_once,
                    _OF_DRAWN * negatives,
                    "'negative_sampling_rate'",
                )
            )
        if self._settings.draws_hard_negatives:
            parts.append(self._hard_negatives())
        return parts

    def _hard_negatives(self) -> Part:
        """What finds them: who belongs together, embeddings, a block of scores, what was found."""
        train = self._datasets[0]
        asking, searched = (len(np.unique(fingerprints(lists))) for lists in (train.in0, train.in1))
        of_pairs = _OF_KNOWN * len(train)
        # of the cosine a second time, as vectors of the length 1
        copies = 1 + (self._settings.scorer == "cosine")
        embeddings = copies * _ELEMENT * self._settings.enc_dim * min(searched, MOST_CANDIDATES)
        nearest = _OF_NEAREST * count_nearest(searched) * asking
        return Part(
            "the search of hard negatives",
            of_pairs + nearest + embeddings + _OF_SEARCH,
            of_pairs + nearest,
            "'hard_negative_share' to 0",
        )

    def _batch(self) -> list[Part]:
        if not self._datasets or not len(self._datasets[0]):
            return []
        settings, train = self._settings, self._datasets[0]
        compared = compared_width(settings)
        of_pair = 4 * settings.enc_dim + 3 * compared
        if not settings.is_similarity:
            of_pair += 4 * settings.mlp_layers * settings.mlp_dim
        if settings.is_contrastive:
            # of each member of an ensemble, and of their mean
            logits = 1 if settings.ensemble_size == 1 else settings.ensemble_size + 1
            of_pair += logits * _OF_LOGIT * min(settings.mini_batch_size, len(train))
        of_tokens = [self._elements_of_token(encoder) for encoder in settings.encoders]
        largest = max(
            pairs * of_pair + sum(map(operator.mul, tokens, of_tokens))
            for pairs, *tokens in self._large_batches()
        )
        least = 0
        if not settings.bucket_width:  # in a bucket there may be few pairs
            pairs = min(settings.mini_batch_size, len(train))
            batches = -(-len(train) // pairs)
            least = pairs * (2 * settings.enc_dim + 2 * compared)
            if settings.is_contrastive:
                least = pairs * (2 * settings.enc_dim + _LEAST_OF_LOGIT * pairs)
            for encoder, each in zip(settings.encoders, self._lengths()):
                # at least one batch has the mean number of tokens or more, if none is left out
                tokens = 0 if settings.token_dropout else int(each.sum()) // batches
                least += tokens * self._least_of_token(encoder)
        return [
            Part(
                "a batch's vectors and gradients",
                _ELEMENT * round(largest),
                _ELEMENT * least,
                "'mini_batch_size' or 'enc_dim'",
            )
        ]

    def _candidates(self) -> list[Part]:
        """What validation holds of in_batch_softmax: the embeddings among which it looks."""
        if not self._settings.is_contrastive or len(self._datasets) < 2:
            return []
        most = min(MOST_CANDIDATES, max(map(len, self._datasets[1:])))
        size = 2 * _ELEMENT * most * self._settings.enc_dim
        return [Part("the embeddings of validation", size)]

    def _large_batches(self) -> list[tuple[float, float, float]]:
        """Pairs of batches that may be the largest, and their tokens, padding included."""
        settings, lengths = self._settings, self._lengths()
        size, width = settings.mini_batch_size, settings.bucket_width
        if not width:
            pairs = min(size, len(lengths[0]))
            tokens = []
            for encoder, each in zip(settings.encoders, lengths):
                tokens.append(pairs * each.mean() + 3 * math.sqrt(pairs) * each.std())
                if self._pads(encoder):
                    tokens[-1] = pairs * each.max()
            return [(pairs, *tokens)]
        buckets, counts = np.unique(bucket_widths(*lengths, width), axis=0, return_counts=True)
        counts = np.minimum(size, counts * (1 + settings.negative_sampling_rate))
        # lists fill a bucket up to the middle of its last step
        shorter = [0 if self._pads(encoder) else width / 2 for encoder in settings.encoders]
        return [
            (count, *(count * (bucket - shorter)))
            for count, bucket in zip(counts.tolist(), buckets)
        ]

    def _lengths(self) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of each list that training takes, of in0 and of in1."""
        train = self._datasets[0]
        enc0, enc1 = self._settings.encoders
        return (
            np.minimum(train.in0.lengths, enc0.max_seq_len),
            np.minimum(train.in1.lengths, enc1.max_seq_len),
        )

    def _pads(self, encoder: EncoderHyperparameters) -> bool:
        return encoder.network == "bilstm" and not self._is_compiled

    def _elements_of_token(self, encoder: EncoderHyperparameters) -> int:
        """Elements that a step holds for a token, gradients included."""
        enc_dim, width = self._settings.enc_dim, encoder.token_embedding_dim
        if encoder.network == "bilstm":
            return 4 * width + (24 if self._pads(encoder) else 9) * encoder.layers * enc_dim
        if encoder.network == "hcnn":
            return 4 * width + 2 * self._least_of_token(encoder) + 6 * enc_dim
        if encoder.is_weighted(self._settings.token_weighting):
            return 5 * width  # the rows, their products with the weights, the gradients of both
        return 0 if self._is_compiled else 2 * width  # the rows' gradients

    def _least_of_token(self, encoder: EncoderHyperparameters) -> int:
        """Those of them that no circumstance spares: what lies under the filters."""
        if encoder.network != "hcnn":
            return 0
        below = encoder.token_embedding_dim
        # each layer has its part of enc_dim, and the last one's is no other layer's input
        return encoder.cnn_filter_width * (
            below + self._settings.enc_dim * (encoder.layers - 1) // encoder.layers
        )


def _runs_on_gpus(hyperparameters: Hyperparameters) -> bool:
    """Whether it may: known for sure only once MXNet is imported."""
    wanted = hyperparameters.num_gpus
    return NVIDIA_DRIVER.exists() if wanted == "auto" else wanted != 0
