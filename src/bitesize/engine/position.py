"""Position of a loader: where its next loop starts, which batch its consumer has, and states from which another loader resumes.

A place is an epoch and a position in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitesize.checks import is_whole
from bitesize.engine.batching import Batching, Place
from bitesize.errors import BadSetting
from bitesize.order.cursor import Cursor
from bitesize.sources.base import Source


class Position:
    """Position of a loader.

    Parameters
    ----------
    source
        Source of the rows.
    batching
        Batches of the rows.
    """

    def __init__(self, source: Source, batching: Batching) -> None:
        self._source, self._batching = source, batching
        self._next = self._taken = (0, 0)  # place of the next loop; place of the consumer

    @property
    def next_start(self) -> Place:
        """Place at which the next loop starts."""
        return self._next

    @property
    def epoch(self) -> int:
        """Epoch of the next loop, from 0."""
        return self._next[0]

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next loop; see `Loader.set_epoch`."""
        if not is_whole(epoch, least=0):
            raise BadSetting(f"epoch must be a whole number of at least 0, not {epoch!r}")
        if epoch != self.epoch or not self.resumes:
            self._next = self._taken = (int(epoch), 0)

    @property
    def resumes(self) -> bool:
        """Return whether a state was loaded and no loop has started from it yet."""
        return self._next[1] > 0

    def begin(self) -> Place:
        """Return the place at which a loop starts now: first that of a loaded state, later the start of an epoch."""
        epoch, position = self._taken
        if self._next == (epoch, 0) and position and not self._batching.batches_from(position):
            self.set_epoch(epoch + 1)  # the previous loop took every batch, but did not request more
        place, self._next = self._next, (self.epoch, 0)
        return place

    def start(self, place: Place) -> None:
        """Record that the consumer receives batches from a place on."""
        self._taken = place

    def advance(self, epoch: int, position: int) -> None:
        """Record that the consumer has received the batch at a place."""
        self._taken = (epoch, min(position + self._batching.batch_size, self._batching.order.length))

    def move_to(self, place: Place) -> None:
        """Set the place of the consumer. The next loop starts at the start of its epoch."""
        self._next, self._taken = (place[0], 0), place

    def save(self) -> tuple[Place, Place]:
        """Return the position, to restore it after reading batches for inspection only."""
        return self._next, self._taken

    def restore(self, saved: tuple[Place, Place]) -> None:
        """Restore a position that `save` returned."""
        self._next, self._taken = saved

    # --- states ------------------------------------------------------------------------------------------------------

    def cursor(self, place: Place) -> Cursor:
        """Return the cursor of a place."""
        return Cursor(*place, self._batching.batch_size, self._source.fingerprint(), self._batching.order.settings())

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the consumer; see `Loader.state_dict`."""
        return self.cursor(self._taken).as_dict()

    def check(self, state: Mapping[str, Any], *, allow_batch_size_change: bool) -> Cursor:
        """Return the cursor of a state; see `Loader.load_state_dict`.

        Raises
        ------
        BadSetting
            If the data, the order or the batch size differ.
        """
        cursor, batching = Cursor.from_dict(state), self._batching
        differences = cursor.differences(self.cursor((0, 0)))
        if not differences and cursor.position > batching.order.length + cursor.batch_size:
            differences.append(f"position {cursor.position} is beyond the {batching.order.length} rows of an epoch")
        if cursor.batch_size != batching.batch_size and not allow_batch_size_change:
            differences.append(
                f"batch_size is {batching.batch_size} here, but {cursor.batch_size} in the state: use the same batch_size, or pass "
                "allow_batch_size_change=True"
            )
        if differences:
            raise BadSetting(f"the state does not fit this loader: {'; '.join(differences)}")
        return cursor

    def resume(self, cursor: Cursor) -> None:
        """Start the next loop at the place of a cursor."""
        self._next = self._taken = (cursor.epoch, min(cursor.position, self._batching.order.length))
