# SPDX-License-Identifier: Apache-2.0
"""What an estimator tells of its training: the metrics of each epoch, the best epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from object2vec.errors import CustomerError

if TYPE_CHECKING:
    import pandas

    from object2vec.inference.predictor import Predictor


class History(list[dict[str, Any]]):
    """A list with a dict an epoch: ``epoch``, from 0, ``train_…`` and ``validation_…`` metrics.

    Examples
    --------
    >>> history = History([{"epoch": 0, "train_accuracy": 0.5}, {"epoch": 1, "train_accuracy": 1}])
    >>> history[-1]["train_accuracy"]
    1
    >>> history.to_pandas().loc[0, "train_accuracy"]
    0.5
    """

    def to_pandas(self) -> pandas.DataFrame:
        """A table with a row an epoch and a column a metric; the index is the epoch, from 0.

        Raises
        ------
        CustomerError
            pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise CustomerError(
                "The history as a table needs pandas: pip install pandas 'numpy<2'."
            ) from None
        if not self:
            return pandas.DataFrame(index=pandas.Index([], name="epoch"))
        return pandas.DataFrame(list(self)).set_index("epoch")


class Trained:
    """What holds a model, once there is one, and what its training reported of it.

    Attributes
    ----------
    history, refit_history : History
        See `Object2Vec`.
    """

    _predictor: Optional[Predictor]
    _metrics: dict[str, Any]

    @property
    def best_epoch(self) -> Optional[int]:
        """The epoch of `history`, from 0, whose model was kept; None before `fit`."""
        return self._metrics.get("best_epoch")

    @property
    def best_loss(self) -> Optional[float]:
        """Its validation loss, or its training loss without validation; None before `fit`."""
        return self._metrics.get("best_loss")

    def _keep(self, predictor: Optional[Predictor], metrics: dict[str, Any]) -> None:
        self._predictor, self._metrics = predictor, metrics
        self.history = History(metrics.get("history", []))
        self.refit_history = History(metrics.get("refit_history", []))
