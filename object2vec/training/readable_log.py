# SPDX-License-Identifier: Apache-2.0
"""What training tells people who watch: a line when it begins, a line an epoch, why it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

from object2vec.data.arrays import PairDataset
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.logs import write_line
from object2vec.text import LONGEST_SENTENCE, bounded, counted

_LEFT_OUT = "perplexity"  # says the same as cross_entropy


class ReadableLog:
    """Tells of one training.

    Parameters
    ----------
    write : callable
        Takes a line; by default it is written to standard output.
    """

    def __init__(self, write: Callable[[str], Any] = write_line) -> None:
        self._write = write

    def say(self, line: str) -> None:
        """Tell one line; names in it may come from outside."""
        self._write(bounded(line, LONGEST_SENTENCE))

    def begins(
        self,
        settings: Hyperparameters,
        train: PairDataset,
        validation: Optional[PairDataset],
        *,
        devices: Sequence[Any],
        is_compiled: bool,
        seed: int,
        epochs: str,
    ) -> None:
        """Tell what is trained, on what and how.

        Parameters
        ----------
        settings : Hyperparameters
            Those of the network.
        train, validation : PairDataset
            The pairs.
        devices : sequence of mxnet.Context
            Where it computes.
        is_compiled : bool
            Whether the compiled part trains, or MXNet's operators.
        seed : int
            Given or drawn.
        epochs : str
            How many there will be, or will be at most.
        """
        others = "" if validation is None else f", validating on {_pairs(validation)}"
        encoders = " and ".join(encoder.network for encoder in settings.encoders)
        head = settings.output_layer
        if settings.is_similarity:
            head = f"{settings.scorer} and {head}"
        way = "the compiled part" if is_compiled else "MXNet's operators"
        self.say(
            f"training on {_pairs(train)}{others}; {encoders} of width "
            f"{settings.enc_dim:,}, {head}; {epochs}; "
            f"{', '.join(map(str, devices))}, by {way}; seed {seed}"
        )

    def epoch_ends(
        self,
        epoch: int,
        metrics: Mapping[str, Mapping[str, float]],
        rate: float,
        best: Optional[int],
    ) -> None:
        """Tell an epoch's metrics.

        Parameters
        ----------
        epoch : int
            From 0.
        metrics : mapping
            Of what they are, such as "validation", to the metrics.
        rate : float
            Pairs trained a second, negatives included.
        best : int, optional
            The best epoch so far, from 0; None where the last one is kept, whatever it is.
        """
        told = "; ".join(f"{name} {readable_metrics(values)}" for name, values in metrics.items())
        so_far = "; best so far" if best == epoch else f"; best: epoch {best}"
        self.say(f"epoch {epoch}: {told}; {rate:,.0f} pairs/s{'' if best is None else so_far}")


def readable_metrics(metrics: Mapping[str, float]) -> str:
    """Metrics for people, four digits each.

    Examples
    --------
    >>> readable_metrics({"perplexity": 1.3511, "cross_entropy": 0.3009, "accuracy": 0.9})
    'cross_entropy 0.3009, accuracy 0.9000'
    """
    return ", ".join(f"{name} {value:#.4g}" for name, value in metrics.items() if name != _LEFT_OUT)


def _pairs(data: PairDataset) -> str:
    cut = f" ({counted(data.truncated, 'list')} cut)" if data.truncated else ""
    return f"{counted(len(data), 'pair')}{cut}"
