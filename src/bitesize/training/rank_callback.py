"""The Keras callback that makes metrics those of all ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitesize.training.ranks import Ranks


class RankCallback:
    """Callback of Keras, the first in the list: later ones see the metrics of all ranks.

    Parameters
    ----------
    ranks
        The processes that train together.
    val_batches
        Batches of a validation whose rows the ranks share; 0 if there is none, or each rank validates on all rows.
    """

    def __init__(self, ranks: Ranks, val_batches: int) -> None:
        self._ranks, self._val_batches = ranks, val_batches
        self.model: Any = None
        self.params: Mapping[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("on_"):
            return _do_nothing
        raise AttributeError(name)

    def set_model(self, model: Any) -> None:
        """Set the model."""
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Set the number of steps."""
        self.params = params

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Sum the metrics after the last batch of an epoch; Keras then computes the figures of the epoch from the sums."""
        if logs and self._ranks.diverged:
            logs["loss"] = float("nan")  # on all ranks, so that all of them end
        if batch + 1 >= (self.params.get("steps") or batch + 2):
            self._ranks.sum_metrics(self.model)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Sum the metrics after the last batch of a validation."""
        if self._val_batches and batch + 1 >= self._val_batches:
            self._ranks.sum_metrics(self.model)


def _do_nothing(*arguments: Any, **named: Any) -> None:
    """Do nothing, as the hooks of Keras's callback."""
