# SPDX-License-Identifier: Apache-2.0
"""The settings of the recipe that fits, for callers that choose none."""

from __future__ import annotations

from object2vec.prepare.recipes import is_text, learns_numbers, recipe
from object2vec.raw_values.inputs import Inputs

__all__ = ["is_text", "learns_numbers", "training_settings"]


def training_settings(inputs: Inputs) -> dict[str, str]:
    """What `recipe` chooses; see there."""
    return recipe(inputs).settings
