# SPDX-License-Identifier: Apache-2.0
"""A training of a study: how it ended, with what it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"


@dataclass(frozen=True)
class Trial:
    """One training of a study.

    Attributes
    ----------
    number : int
        From 0.
    state : str
        ``complete``; ``pruned``, ended because others were better at its epoch; or ``failed``.
    value : float or None
        The best epoch's measure of validation, of a pruned one the last epoch's.
    setting : dict
        The searched hyperparameters that differ from the start's; empty for the start itself.
    epochs : int
        How many were trained.
    best_epoch : int or None
        From 0.
    seconds : float or None
        How long it took.
    error : str
        Why it failed.
    """

    number: int
    state: str
    value: Optional[float]
    setting: dict[str, Any] = field(default_factory=dict)
    epochs: int = 0
    best_epoch: Optional[int] = None
    seconds: Optional[float] = None
    error: str = ""

    def line(self) -> str:
        """It in a line."""
        told = "the start" if not self.setting else setting_text(self.setting)
        value = "" if self.value is None else f" {self.value:.6g}"
        reason = f": {self.error}" if self.error else ""
        return f"trial {self.number} {self.state}{value}, {told}{reason}"


def setting_text(setting: Mapping[str, Any]) -> str:
    """Values in a line."""
    return ", ".join(f"{name}={number_text(value)}" for name, value in setting.items())


def number_text(value: Any) -> str:
    """A value with five significant digits; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.5g}"
    return (
        ",".join(map(str, value))
        if isinstance(value, Sequence) and not isinstance(value, str)
        else str(value)
    )
