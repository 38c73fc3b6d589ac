# SPDX-License-Identifier: Apache-2.0
"""Object2Vec's own side of the training benchmark: its real training loop on given batches."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from benchmarks.workloads import Turn
from object2vec.backend.mxnet_import import mx
from object2vec.hyperparameters.checked import Hyperparameters
from object2vec.pretrained.auxiliary_channel import Auxiliary
from object2vec.training.loop import _Training
from object2vec.training.training_log import TrainingLog


class Contestant:
    """Trains with `object2vec.training.loop`.

    Parameters
    ----------
    settings : Hyperparameters
        The job.
    turn : Turn
        The batches of a turn.
    """

    def __init__(self, settings: Hyperparameters, turn: Turn) -> None:
        self._turn = turn
        nothing = Auxiliary((None, None), (None, None))
        log = TrainingLog(settings, "algo-1")
        self._run = _Training(
            settings, nothing, [mx.cpu()], Path("unused"), log, False, (), None, None, is_kept=False
        )
        # for as long as this contestant lives
        self._tuned = contextlib.ExitStack()
        self._tuned.enter_context(self._run.tuned_engine())

    def train_turn(self) -> int:
        """Train on all batches of a turn; returns the number of pairs."""
        trained = self._run._train_epoch(0, self._turn, lambda: False)  # type: ignore[arg-type]
        mx.nd.waitall()
        assert trained is not None
        return trained.count

    def losses(self) -> list[float]:
        """Train on all batches of a turn; returns each one's mean loss before its update."""
        losses = []
        way = self._run._way
        for batch in way.prepared(self._turn.epoch()):
            sums = way.step(batch)
            losses.append(float(sums[0].asnumpy()[0]) / batch.count)
        return losses

    def save_weights(self, path: Path) -> None:
        """Write all parameters under their exported names, for a peer to start from."""
        parameters = self._run._network.params
        np.savez(path, **{name: value.data().asnumpy() for name, value in parameters.items()})
