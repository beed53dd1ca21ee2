"""Count trained batches: the position of training in the data, and when the next checkpoint is due."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from bitesize.engine.loader import Loader, driver_of
from bitesize.errors import BadSetting

# At most this many minutes are lost. Saving is cheap: a copy of the model, and a write in the background.
_MINUTES = 5.0


class BatchCounter:
    """Number of trained batches. The loader is not asked, because it is ahead of training.

    Attributes
    ----------
    epoch : int
        Epoch of Keras.
    done : int
        Trained batches of this epoch.
    """

    def __init__(self) -> None:
        self.epoch = self.done = 0
        self._before = 0  # batches before this epoch
        self._start = (0, 0)  # epoch and position of the loader at which counting started

    @property
    def trained(self) -> int:
        """Number of trained batches since counting started."""
        return self._before + self.done

    def begin(self, loader: Loader) -> None:
        """Count from the first batch of the loader's epoch."""
        self._start = (loader.epoch, 0)
        self._before = self.epoch = self.done = 0

    def resume(self, state: Mapping[str, Any]) -> None:
        """Count from the position of a checkpoint."""
        self._start = (state["loader"]["epoch"], state["loader"]["position"])
        self.epoch, self.done = state["epoch"], state["batch"]
        self._before = -self.done  # the trained batches of this epoch are before the position at which counting starts

    def end_epoch(self, epoch: int) -> None:
        """Count the next epoch."""
        self._before += self.done
        self.epoch, self.done = epoch + 1, 0

    def position(self, loader: Loader, batch: int) -> tuple[int, int]:
        """Return the epoch and the position of the next batch, ``batch`` batches into an epoch of Keras."""
        epoch, position = driver_of(loader).batching.advance(self._start, self.trained)
        if batch and not position:  # all batches of an epoch are trained, and its end is still to come
            return epoch - 1, len(loader) * loader.batch_size
        return epoch, position


class SaveInterval:
    """Interval of checkpoints.

    Parameters
    ----------
    every_batches
        Number of trained batches.
    every_minutes
        Number of minutes. Default: 5, without ``every_batches``.

    Raises
    ------
    BadSetting
        If both intervals are given, or an interval is not above 0.
    """

    def __init__(self, every_batches: int | None, every_minutes: float | None) -> None:
        if every_batches is not None and every_minutes is not None:
            raise BadSetting("every_batches and every_minutes exclude each other")
        if every_batches is not None and (
            isinstance(every_batches, bool) or every_batches != int(every_batches) or every_batches < 1
        ):
            raise BadSetting(f"every_batches must be a whole number of at least 1, not {every_batches!r}")
        if every_minutes is not None and not 0 < every_minutes < float("inf"):
            raise BadSetting(f"every_minutes must be above 0, not {every_minutes!r}")
        self._batches = every_batches
        self._seconds = 60 * (every_minutes or _MINUTES)
        self.restart(0)

    @property
    def by_time(self) -> bool:
        """Return whether the interval is a time, which differs between ranks."""
        return self._batches is None

    def restart(self, trained: int) -> None:
        """Measure from now, after a number of trained batches."""
        self._trained, self._clock = trained, time.monotonic()

    def is_due(self, trained: int) -> bool:
        """Return whether the interval has passed, after a number of trained batches."""
        if self._batches is not None:
            return trained - self._trained >= self._batches
        return time.monotonic() - self._clock >= self._seconds
