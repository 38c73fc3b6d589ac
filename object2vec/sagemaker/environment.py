# SPDX-License-Identifier: Apache-2.0
"""The folders and JSON files of a job below one base folder, as SageMaker lays them out."""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Optional

from object2vec.errors import CustomerError, PlatformError
from object2vec.files import PathLike, atomic_write
from object2vec.json_objects import parse_json
from object2vec.logs import LOGGER_NAME
from object2vec.text import LONGEST_SENTENCE, bounded, named, shown

DEFAULT_BASE = "/opt/ml"
CHANNELS = ("train", "validation", "test", "auxiliary")
_INPUT_MODES = ("file", "fastfile")
_DEFAULT_HOST = "algo-1"
_LARGEST_FILE = 1 << 24
_LONGEST_HOST = 253
# Other common names, such as "training", which the SageMaker SDK gives a channel without a name.
_OTHER_NAMES = {
    "train": re.compile(r"train|trn"),
    "validation": re.compile(r"val(id|$|[^a-z])|eval|dev($|[^a-z])"),
    "test": re.compile(r"test|tst"),
    "auxiliary": re.compile(r"aux"),
}
_LEAST_LIKENESS = 0.8
# As SageMaker allows them; a name becomes that of a folder.
_CHANNEL_NAME = re.compile(r"(?!\.+$)[A-Za-z0-9._-]{1,64}")

_logger = logging.getLogger(LOGGER_NAME)


@dataclass(frozen=True)
class Channel:
    """Where the data of a channel lie, and what the job says they are.

    Parameters
    ----------
    path : pathlib.Path
        A folder; it need not exist.
    content_type : str or None
        None if the job says nothing.
    """

    path: Path
    content_type: Optional[str] = None


class Environment:
    """The places of a job; nothing is read before it is asked for, and nothing created.

    Parameters
    ----------
    base : path-like
        Folder that holds ``input``, ``model`` and ``output``.
    """

    def __init__(self, base: PathLike = DEFAULT_BASE) -> None:
        self.base = Path(base)
        config = self.base / "input" / "config"
        self.hyperparameters_file = config / "hyperparameters.json"
        self.input_data_config_file = config / "inputdataconfig.json"
        self.resource_config_file = config / "resourceconfig.json"
        self.data_dir = self.base / "input" / "data"
        self.model_dir = self.base / "model"
        self.output_dir = self.base / "output"
        self.failure_file = self.output_dir / "failure"

    def read_hyperparameters(self) -> dict[str, Any]:
        """The hyperparameters as the job gives them, most often as strings.

        Raises
        ------
        CustomerError
            The file is missing, cannot be read, or is no JSON object.
        """
        path = self.hyperparameters_file
        if not os.path.isfile(path):
            raise CustomerError(
                f"There is no file {named(path)}; it must hold a JSON object such as "
                '{"enc0_max_seq_len": "50", "enc0_vocab_size": "45000"}'
            )
        return read_json_object(path, CustomerError)

    @property
    def channels(self) -> dict[str, Channel]:
        """The known channels of the job by name, in the order of CHANNELS.

        Raises
        ------
        CustomerError
            A channel is not in File mode.
        PlatformError
            inputdataconfig.json cannot be read.
        """
        return {name: self._all_channels[name] for name in CHANNELS if name in self._all_channels}

    @property
    def ignored_channels(self) -> tuple[str, ...]:
        """Names of channels that this algorithm does not know, sorted."""
        return tuple(sorted(set(self._all_channels) - set(CHANNELS)))

    @cached_property
    def _all_channels(self) -> dict[str, Channel]:
        # Unlike pathlib's, these take a name that is too long for one of no file.
        if not os.path.exists(self.input_data_config_file):
            if not os.path.isdir(self.data_dir):
                return {}
            folders = (path for path in self.data_dir.iterdir() if path.is_dir())
            return {path.name: Channel(path) for path in folders if path.name[0] != "."}
        channels = {}
        for name, settings in read_json_object(self.input_data_config_file, PlatformError).items():
            if not _CHANNEL_NAME.fullmatch(name):
                raise PlatformError(
                    f"{named(self.input_data_config_file)} names the channel {shown(name)}; such "
                    "names are made of letters, digits, '.', '_' and '-'"
                )
            if not isinstance(settings, Mapping):
                raise PlatformError(
                    f"{named(self.input_data_config_file)} must give the channel {named(name)} as "
                    "a JSON object"
                )
            if name in CHANNELS:
                _check_input_mode(name, settings)
            content_type = settings.get("ContentType")
            channels[name] = Channel(
                self.data_dir / name, str(content_type) if content_type else None
            )
        return channels

    @property
    def host(self) -> str:
        """Name of this machine in the job.

        Raises
        ------
        PlatformError
            resourceconfig.json cannot be read.
        """
        return self._resources[0]

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of all machines of the job, sorted."""
        return self._resources[1]

    @cached_property
    def _resources(self) -> tuple[str, tuple[str, ...]]:
        path = self.resource_config_file
        config = read_json_object(path, PlatformError) if os.path.exists(path) else {}
        host = config.get("current_host") or _DEFAULT_HOST
        hosts = config.get("hosts") or [host]
        sound = isinstance(hosts, list) and all(map(_is_host, hosts)) and host in hosts
        if not sound:
            raise PlatformError(
                f'{named(path)} must hold "hosts", a list of names, and "current_host", one of them'
            )
        return host, tuple(sorted(hosts))

    def clear_failure(self) -> None:
        """Remove what an earlier job in the same folder has left, as a new one begins."""
        with contextlib.suppress(OSError):
            self.failure_file.unlink()

    def write_failure(self, text: str) -> None:
        """Leave the reason of a failure where the service looks for it.

        An earlier reason is kept, as it is closer to the cause. A disk that cannot be written to
        costs the file only, never the error that is being reported.
        """
        try:
            if self.failure_file.exists() and self.failure_file.stat().st_size:
                return
            self.output_dir.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.failure_file) as stream:
                stream.write(bounded(text, LONGEST_SENTENCE).encode())
        except OSError as error:
            _logger.error("Cannot write %s: %s", self.failure_file, error.strerror or error)


def meant_channel(name: str) -> Optional[str]:
    """The channel that was meant by a name that is none, as "train" by "training"; None if none."""
    lower = name.lower()
    for channel, other_names in _OTHER_NAMES.items():
        if other_names.match(lower):
            return channel
    near = difflib.get_close_matches(lower, CHANNELS, n=1, cutoff=_LEAST_LIKENESS)
    return near[0] if near else None


def _is_host(name: object) -> bool:
    """Whether it is a name; that of this host stands in many lines of the log."""
    return isinstance(name, str) and 0 < len(name) <= _LONGEST_HOST and name.isprintable()


def _check_input_mode(name: str, settings: Mapping[str, Any]) -> None:
    for key in ("TrainingInputMode", "InputMode"):
        mode = settings.get(key)
        if mode and str(mode).lower() not in _INPUT_MODES:
            raise CustomerError(
                f"The {name} channel has {key}={named(mode)}, but this algorithm works in File "
                "mode only: use File or FastFile"
            )


def read_json_object(
    path: Path, error_class: type[CustomerError] | type[PlatformError] = CustomerError
) -> dict[str, Any]:
    """Read a file that holds one JSON object, no key of it twice.

    Raises
    ------
    CustomerError or PlatformError
        Whichever is asked for: the file cannot be read or holds something else.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(_LARGEST_FILE + 1)
        if len(data) > _LARGEST_FILE:
            raise ValueError(f"is larger than {_LARGEST_FILE >> 20} MiB")
        value = parse_json(data)
        if not isinstance(value, dict):
            raise ValueError(f"must hold one JSON object, found {type(value).__name__}")
    except ValueError as error:
        raise error_class(f"{named(path)} {error}") from None
    except OSError as error:
        raise error_class(f"Cannot read {named(path)}: {error.strerror or error}") from None
    return value
