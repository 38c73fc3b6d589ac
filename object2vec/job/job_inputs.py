# SPDX-License-Identifier: Apache-2.0
"""What a training job reads and checks, the cheapest first, before anything is trained."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from object2vec.backend import own_process
from object2vec.data.arrays import PairDataset
from object2vec.data.channel_files import channel_files
from object2vec.data.content_types import check_content_type
from object2vec.data.dataset import read_channel
from object2vec.data.negative_sampling import with_judged_negatives
from object2vec.errors import CustomerError
from object2vec.files import check_model_folder
from object2vec.hyperparameters.checked import Hyperparameters, parse
from object2vec.hyperparameters.table import HYPERPARAMETERS
from object2vec.job.job_tables import JobTables, job_tables
from object2vec.logs import LOGGER_NAME
from object2vec.model.manifest import refuse_original_model
from object2vec.prepare.progress_bar import table_progress
from object2vec.sagemaker.environment import Channel, Environment, meant_channel
from object2vec.text import counted, names
from object2vec.training.memory_estimate import Estimate, estimate_memory
from object2vec.training.stopping_metric import check_channels, check_pairs
from object2vec.training.training_log import JobStart
from object2vec.version import __version__

if TYPE_CHECKING:
    from object2vec.prepare.find_inputs import Progress
    from object2vec.prepare.table_choice import TableChoice
    from object2vec.pretrained.auxiliary_channel import Auxiliary
    from object2vec.raw_values.inputs import Inputs as RawInputs

DATA_CHANNELS = ("train", "validation", "test")
AUXILIARY_CHANNEL = "auxiliary"
_logger = logging.getLogger(LOGGER_NAME)


@dataclass(frozen=True)
class Job:
    """What a training job reads and where it writes.

    Parameters
    ----------
    configuration : mapping
        Hyperparameters by name, as strings or with real types.
    source : str
        Where they come from, for the log.
    channels : mapping of str to Channel
        ``train`` and, if given, ``validation``, ``test`` and ``auxiliary``.
    model_dir : Path, optional
        Where the model is written; None where nothing is trained.
    model_dir_option : str
        What named it, for errors; nothing for the folder of the contract.
    host, hosts
        This machine and all machines of the job.
    ignored_channels : tuple of Channel names
        Channels that mean nothing to this algorithm.
    input_dir : Path, optional
        Where the channels lie, to look into the ignored ones.
    tables : TableChoice, optional
        How the channels become pairs, where they hold tables.
    """

    configuration: Mapping[str, Any]
    source: str
    channels: Mapping[str, Channel]
    model_dir: Optional[Path] = None
    model_dir_option: str = ""
    host: str = "algo-1"
    hosts: tuple[str, ...] = ("algo-1",)
    ignored_channels: tuple[str, ...] = ()
    input_dir: Optional[Path] = None
    tables: Optional[TableChoice] = None


@dataclass(frozen=True)
class Inputs:
    """All that a job has read and checked: nothing of it needs a network yet.

    ``start`` says when it began, and how long its configuration took; ``memory`` is what the
    training needs; ``raw`` is what the ids stand for, where that is known; ``told`` is what was
    found in tables, in sentences; ``configuration`` is what the hyperparameters were made of.
    """

    hyperparameters: Hyperparameters
    datasets: Mapping[str, PairDataset]
    auxiliary: Optional[Auxiliary]
    start: JobStart
    memory: Estimate
    raw: Optional[RawInputs] = None
    told: tuple[str, ...] = ()
    configuration: Mapping[str, Any] = field(default_factory=dict)


def job_from_environment(environment: Environment) -> Job:
    """Read SageMaker's configuration files.

    Raises
    ------
    CustomerError
        A file is missing or broken.
    """
    return Job(
        configuration=environment.read_hyperparameters(),
        source=str(environment.hyperparameters_file),
        channels=environment.channels,
        model_dir=environment.model_dir,
        host=environment.host,
        hosts=environment.hosts,
        ignored_channels=environment.ignored_channels,
        input_dir=environment.data_dir,
    )


def read_inputs(job: Job, begun: Optional[float] = None, *, progress: bool = False) -> Inputs:
    """Read and check everything, the cheapest first; MXNet is not needed for it.

    Hyperparameters that follow from a table are known once the channel train is read.

    Parameters
    ----------
    job : Job
        What is read.
    begun : float, optional
        When the job began, in seconds since 1970; now by default.
    progress : bool, default False
        Show on standard error how far a table is read.

    Raises
    ------
    CustomerError
        The first thing that is not right, and for hyperparameters all of them.
    PlatformError
        The training cannot fit into the memory.
    """
    begun = begun or time.time()
    _log_given(job)
    tables = job_tables(job.configuration, job.channels, job.tables)
    if tables is not None and tables.inputs is None:
        tables.check_given()
    else:
        hyperparameters, configuration = _settle(job.configuration, tables)
    _check_machines(job)
    _check_channels(job, tables is not None)
    if job.model_dir is not None:
        check_model_folder(job.model_dir, job.model_dir_option)
    with table_progress(progress and tables is not None) as shown:
        if tables is not None and tables.inputs is None:
            _logger.info("Creating data iterator for %s", job.channels["train"].path)
            tables.find(shown)
            hyperparameters, configuration = _settle(job.configuration, tables)
        check_channels(hyperparameters, tuple(job.channels if tables is None else tables.splits))
        _check_tuning_objective(job, hyperparameters)
        # before hours are spent on data for which there is no room
        estimate_memory(hyperparameters).check()
        start = JobStart(begun, time.time() - begun)
        datasets = {
            name: _read_dataset(name, job, hyperparameters, tables, shown)
            for name in (DATA_CHANNELS if tables is None else tables.splits)
            if tables is not None or name in job.channels
        }
    if tables is not None and tables.holds_positives():
        datasets = with_judged_negatives(
            datasets,
            hyperparameters.negative_sampling_rate,
            hyperparameters.negative_sampling_power,
        )
    if "validation" in datasets:
        check_pairs(hyperparameters, datasets["validation"])
    # the auxiliary channel may need MXNet
    own_process.tune()
    auxiliary = _read_auxiliary(job, hyperparameters, None if tables is None else tables.inputs)
    memory = estimate_memory(hyperparameters, list(datasets.values()))
    memory.check()
    raw, told = (None, ()) if tables is None else (tables.inputs, tuple(tables.told))
    return Inputs(hyperparameters, datasets, auxiliary, start, memory, raw, told, configuration)


def summary(inputs: Inputs) -> str:
    """What was read, in a few lines for people."""
    lines = list(inputs.told)
    for side, encoder in enumerate(inputs.hyperparameters.encoders):
        pooled = encoder.network == "pooled_embedding"
        layers = "" if pooled else f", {counted(encoder.layers, 'layer')}"
        lines.append(
            f"in{side}: {encoder.network}{layers}, {encoder.vocab_size:,} tokens of width "
            f"{encoder.token_embedding_dim}, at most {encoder.max_seq_len:,} in a sequence"
        )
    for name, data in inputs.datasets.items():
        cut = f", {counted(data.truncated, 'sequence')} cut" if data.truncated else ""
        lines.append(
            f"{name}: {counted(len(data), 'pair')}, {len(data.in0.tokens):,} and "
            f"{counted(len(data.in1.tokens), 'token')}{cut}, "
            f"{_labels(inputs.hyperparameters, data)}"
        )
    return "\n".join([*lines, inputs.memory.line(), "Hyperparameters and data are sound."])


def _labels(hyperparameters: Hyperparameters, data: PairDataset) -> str:
    labels = data.labels
    if hyperparameters.is_contrastive:
        return "all of objects that belong together"
    if hyperparameters.is_regression:
        return f"labels {labels.min():g} to {labels.max():g}, mean {labels.mean():.4g}"
    if hyperparameters.is_multi_label:
        counts = np.count_nonzero(labels, axis=0)
        told = ", ".join(f"{label}: {count:,}" for label, count in enumerate(counts))
        return f"labels {told}; {np.count_nonzero(~labels.any(axis=1)):,} without any"
    counts = np.bincount(labels.astype(np.int64), minlength=hyperparameters.num_classes)
    return "labels " + ", ".join(f"{label}: {count:,}" for label, count in enumerate(counts))


def _log_given(job: Job) -> None:
    _logger.info("object2vec %s, Python %s", __version__, platform.python_version())
    defaults = {entry.name: entry.default for entry in HYPERPARAMETERS if not entry.required}
    _logger.info("Reading default configuration: %s", defaults)
    _logger.info("Merging with provided configuration from %s: %s", job.source, job.configuration)


def _settle(
    given: Mapping[str, Any], tables: Optional[JobTables]
) -> tuple[Hyperparameters, Mapping[str, Any]]:
    """Hyperparameters, and of what they were made."""
    configuration = given if tables is None else tables.configuration()
    hyperparameters, lines = parse(configuration)
    for line in lines:
        _logger.log(line.level, "%s", line.text)
    _logger.info("Final configuration: %s", hyperparameters.to_dict())
    if tables is not None:
        tables.settle(hyperparameters)
    return hyperparameters, configuration


def _check_machines(job: Job) -> None:
    if len(job.hosts) > 1:
        raise CustomerError(
            f"Object2Vec trains on one machine, but the job has {len(job.hosts)} "
            f"({', '.join(job.hosts)}): set the instance count to 1 and use a bigger instance type."
        )


def _check_channels(job: Job, takes_tables: bool) -> None:
    meant = {}
    for name in job.ignored_channels:
        if job.input_dir is not None:
            refuse_original_model(job.input_dir / name)
        channel = meant_channel(name)
        if channel is None or channel in job.channels:
            _logger.info("Ignoring the channel %r: Object2Vec does not use it.", name)
            continue
        meant[name] = channel
        _logger.warning(
            "Ignoring the channel %r: Object2Vec does not use it (did you mean %r?).", name, channel
        )
    for channel_given in job.channels.values():
        refuse_original_model(channel_given.path)
    if "train" not in job.channels:
        there = names((*job.channels, *job.ignored_channels)) or "none"
        likely = [name for name, channel in meant.items() if channel == "train"]
        one_of = "one of " if len(likely) > 1 else ""
        hint = f" (rename {one_of}{names(likely)} to train)" if likely else ""
        raise CustomerError(
            "The channel 'train' is missing, which holds the training pairs as JSON Lines; "
            f"channels of the job: {there}{hint}."
        )
    # All channels before the first is read: a wrong type of the last shall not cost an hour.
    for name in DATA_CHANNELS:
        if name in job.channels:
            check_content_type(job.channels[name].content_type, name, takes_tables=takes_tables)
            channel_files(job.channels[name].path, name)


def _check_tuning_objective(job: Job, hyperparameters: Hyperparameters) -> None:
    """Warn of a metric that no channel of the job gives; the tuning job fails without it."""
    name = hyperparameters.tuning_objective_metric
    channel = name.split(":")[0]
    if channel in DATA_CHANNELS and channel not in job.channels:
        _logger.warning(
            "The objective metric %s is never reported without the channel %r; channels of the "
            "job: %s.", name, channel, names(job.channels),
        )  # fmt: skip


def _read_dataset(
    name: str,
    job: Job,
    hyperparameters: Hyperparameters,
    tables: Optional[JobTables],
    progress: Progress,
) -> PairDataset:
    dataset = None
    if tables is None or not tables.has_read(name):
        _logger.info("Creating data iterator for %s", job.channels[name].path)
    if tables is not None:
        dataset = tables.read(name, hyperparameters, progress)
    if dataset is None:
        dataset = read_channel(job.channels[name].path, hyperparameters, channel=name)
    if dataset.truncated:
        _logger.info("One or more sequences have been truncated because they exceeded max_seq_len")
    _logger.info("Source words: %d", len(dataset.in0.tokens))
    _logger.info("Target words: %d", len(dataset.in1.tokens))
    if name != "train":
        # The training says it of its own channel, bucket by bucket.
        _logger.info("Total: %d samples", len(dataset))
    # Never another number: an unsound pair fails the job instead of being dropped.
    _logger.info("0 sentence pairs discarded")
    return dataset


def _read_auxiliary(
    job: Job, hyperparameters: Hyperparameters, raw: Optional[RawInputs]
) -> Optional[Auxiliary]:
    wanted = any(e.pretrained_embedding_file or e.vocab_file for e in hyperparameters.encoders)
    channel = job.channels.get(AUXILIARY_CHANNEL)
    if not wanted:
        if channel is not None and raw is None:
            _logger.info(
                "The channel 'auxiliary' is given, but no hyperparameter names a file in it."
            )
        return None
    from object2vec.pretrained.auxiliary_channel import read_auxiliary

    folder = None if channel is None else channel.path
    return read_auxiliary(folder, hyperparameters, None if raw is None else raw.words)
