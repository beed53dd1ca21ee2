"""Position of a loader: its epoch, the place of its consumer, and states from which another loader resumes."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from bitesize.engine.batching import Batching
from bitesize.errors import BadSetting
from bitesize.order.cursor import Cursor
from bitesize.sources.base import Source


class Position:
    """Base of `Loader` with its position. A place is an epoch and a position in the epoch."""

    source: Source
    steps: Batching

    def __init__(self) -> None:
        self._start = self._taken = (0, 0)  # place of the next loop; place of the consumer
        self._lock = threading.Lock()

    def _make_room(self, position: int) -> None:
        """Reserve memory for batches that start at a position."""

    @property
    def epoch(self) -> int:
        """Epoch of the next ``for`` loop, from 0."""
        return self._start[0]

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next ``for`` loop. If `load_state_dict` has set the same epoch, the loop still covers its rest only."""
        if isinstance(epoch, bool) or not isinstance(epoch, int | np.integer) or epoch < 0:
            raise BadSetting(f"epoch must be a whole number of at least 0, not {epoch!r}")
        if epoch != self.epoch or not self.resumes:
            self._start = self._taken = (int(epoch), 0)

    def begin(self) -> tuple[int, int]:
        """Return the place at which the next loop starts: first that of a loaded state, later the start of an epoch."""
        epoch, position = self._taken
        if self._start == (epoch, 0) and position and not self.steps.batches_from(position):
            self.set_epoch(epoch + 1)  # the previous loop took every batch, but did not request more
        place, self._start = self._start, (self.epoch, 0)
        return place

    @property
    def resumes(self) -> bool:
        """Return whether a state was loaded and no loop has started from it yet."""
        return self._start[1] > 0

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the loop after its last batch, from which another loader can resume.

        Prefetched batches do not count. The position is the same on all ranks, so the state of one rank serves all ranks.

        Returns
        -------
        dict
            A small dict of JSON values.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> settings = {"batch_size": 4, "memory": "16 MiB", "seed": 3}
        >>> with bs.Loader(bs.open(np.arange(12)), **settings) as loader:
        ...     for batch in loader:
        ...         state = loader.state_dict()  # saved with the model, for example
        ...         break
        ...     rest = [batch["x"].tolist() for batch in loader][1:]
        >>> with bs.Loader(bs.open(np.arange(12)), **settings) as other:
        ...     other.load_state_dict(state)
        ...     [batch["x"].tolist() for batch in other] == rest
        True
        """
        return self.cursor(self._taken).as_dict()

    def load_state_dict(self, state: Mapping[str, Any], *, allow_batch_size_change: bool = False) -> None:
        """Resume from the state of another loader of the same data. The next ``for`` loop starts with exactly the next batch.

        Parameters
        ----------
        state
            From `state_dict`. Threads, ranks, budget and transforms may differ.
        allow_batch_size_change
            Whether the batch size may differ too. The remaining rows keep their order, and are cut into other batches.

        Raises
        ------
        BadSetting
            If the data, the order or the batch size differ. The message names the difference.
        """
        cursor = Cursor.from_dict(state)
        found = cursor.differences(self.cursor((0, 0)))
        if not found and cursor.position > self.steps.order.length + cursor.batch_size:
            found.append(f"position {cursor.position} is beyond the {self.steps.order.length} rows of an epoch")
        if cursor.batch_size != self.steps.batch_size and not allow_batch_size_change:
            found.append(
                f"batch_size is {self.steps.batch_size} here, but {cursor.batch_size} in the state: use the same batch_size, or pass "
                "allow_batch_size_change=True"
            )
        if found:
            raise BadSetting(f"the state does not fit this loader: {'; '.join(found)}")
        with self._lock:
            self._make_room(cursor.position)
            self._start = self._taken = (cursor.epoch, min(cursor.position, self.steps.order.length))

    def cursor(self, place: tuple[int, int]) -> Cursor:
        """Return the cursor of a place, which is an epoch and a position."""
        return Cursor(*place, self.steps.batch_size, self.source.fingerprint(), self.steps.order.settings())

    def stand(self, place: tuple[int, int]) -> None:
        """Set the place of the consumer. The next loop starts at the start of its epoch."""
        self._start, self._taken = (place[0], 0), place

    def stood(self) -> Any:
        """Return the position, to restore it with `stand_as` after reading batches for inspection only."""
        return self._start, self._taken

    def stand_as(self, stood: Any) -> None:
        """Restore a position that `stood` returned."""
        self._start, self._taken = stood

    @property
    def stands(self) -> tuple[int, int]:
        """Place at which the next loop starts."""
        return self._start

    def took(self, epoch: int, position: int) -> None:
        """Record that the consumer has received the batch at a place."""
        self._taken = (epoch, min(position + self.steps.batch_size, self.steps.order.length))
