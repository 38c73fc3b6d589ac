# SPDX-License-Identifier: Apache-2.0
"""All targets by name, in the order of their runs."""

from __future__ import annotations

from .hyperparameters import HyperparameterTarget
from .inputs_files import InputsFileTarget
from .json_lines import JsonLinesTarget
from .model_archives import ModelArchiveTarget
from .model_directories import ModelDirectoryTarget
from .over_http import HttpTarget
from .service import ServiceTarget
from .target import Target
from .vector_files import VectorFileTarget

TARGETS: dict[str, type[Target]] = {
    target.name: target
    for target in (
        HyperparameterTarget,
        JsonLinesTarget,
        InputsFileTarget,
        VectorFileTarget,
        ServiceTarget,
        ModelDirectoryTarget,
        ModelArchiveTarget,
        HttpTarget,
    )
}
