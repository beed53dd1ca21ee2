"""Where a loader stands: its epoch, the place of its consumer, and states from which another goes on."""

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
    """The part of a `Loader` that knows where it stands; a place is an epoch and a position in it."""

    source: Source
    steps: Batching

    def __init__(self) -> None:
        self._start = self._taken = (0, 0)  # where the next loop begins; where the consumer stands
        self._lock = threading.Lock()

    def _make_room(self, position: int) -> None:
        """Set memory aside for batches that begin at a position."""

    @property
    def epoch(self) -> int:
        """The epoch that the next ``for`` loop is, from 0."""
        return self._start[0]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next ``for`` loop is; of that which `load_state_dict` has set, it stays the rest."""
        if isinstance(epoch, bool) or not isinstance(epoch, int | np.integer) or epoch < 0:
            raise BadSetting(f"epoch must be a whole number of at least 0, not {epoch!r}")
        if epoch != self.epoch or not self.resumes:
            self._start = self._taken = (int(epoch), 0)

    def begin(self) -> tuple[int, int]:
        """Take the epoch and position at which the next loop begins: once that of a state, from then on an epoch's first."""
        epoch, position = self._taken
        if self._start == (epoch, 0) and position and not self.steps.batches_from(position):
            self.set_epoch(epoch + 1)  # the loop before took every batch, and did not ask for more
        place, self._start = self._start, (self.epoch, 0)
        return place

    @property
    def resumes(self) -> bool:
        """Whether a state was loaded that no loop has begun with."""
        return self._start[1] > 0

    def state_dict(self) -> dict[str, Any]:
        """Tell where the loop stands, behind the last batch that it was given, so that another loader can go on there.

        Batches that were made ahead do not count. All ranks stand at the same place, so the state of one is that of all.

        Returns
        -------
        dict
            Small, and made of what JSON can hold.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> settings = {"batch_size": 4, "memory": "16 MiB", "seed": 3}
        >>> with bs.Loader(bs.open(np.arange(12)), **settings) as loader:
        ...     for batch in loader:
        ...         state = loader.state_dict()  # saved with the model, say
        ...         break
        ...     rest = [batch["x"].tolist() for batch in loader][1:]
        >>> with bs.Loader(bs.open(np.arange(12)), **settings) as other:
        ...     other.load_state_dict(state)
        ...     [batch["x"].tolist() for batch in other] == rest
        True
        """
        return self.cursor(self._taken).as_dict()

    def load_state_dict(self, state: Mapping[str, Any], *, allow_batch_size_change: bool = False) -> None:
        """Go on where another loader of the same data stood: the next ``for`` loop begins with exactly the next batch.

        Parameters
        ----------
        state
            From `state_dict`. Threads, ranks, budget and transforms may be others than they were.
        allow_batch_size_change
            Whether the batch size may be another one, too: the rows that are left come in the same order, cut otherwise.

        Raises
        ------
        BadSetting
            If the state is of other data, another order or another batch size; it says which.
        """
        cursor = Cursor.from_dict(state)
        found = cursor.differences(self.cursor((0, 0)))
        if not found and cursor.position > self.steps.order.length + cursor.batch_size:
            found.append(f"position {cursor.position} is beyond the {self.steps.order.length} rows of an epoch")
        if cursor.batch_size != self.steps.batch_size and not allow_batch_size_change:
            found.append(
                f"batch_size is {self.steps.batch_size} here, and {cursor.batch_size} in the state: set it, or pass "
                "allow_batch_size_change=True"
            )
        if found:
            raise BadSetting(f"the state does not fit this loader: {'; '.join(found)}")
        with self._lock:
            self._make_room(cursor.position)
            self._start = self._taken = (cursor.epoch, min(cursor.position, self.steps.order.length))

    def cursor(self, place: tuple[int, int]) -> Cursor:
        """Make the cursor of a place, which is an epoch and a position."""
        return Cursor(*place, self.steps.batch_size, self.source.fingerprint(), self.steps.order.settings())

    def stand(self, place: tuple[int, int]) -> None:
        """Note where the consumer stands; the next loop begins the epoch of it."""
        self._start, self._taken = (place[0], 0), place

    def stood(self) -> Any:
        """Note where it stands, to `stand_as` that again when batches were only looked at."""
        return self._start, self._taken

    def stand_as(self, stood: Any) -> None:
        """Stand where it stood."""
        self._start, self._taken = stood

    @property
    def stands(self) -> tuple[int, int]:
        """Where the next loop begins."""
        return self._start

    def took(self, epoch: int, position: int) -> None:
        """Note that the consumer has got the batch at a place."""
        self._taken = (epoch, min(position + self.steps.batch_size, self.steps.order.length))
