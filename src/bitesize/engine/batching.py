"""Batching: the rows of each batch of each epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting
from bitesize.memory.request import MemoryRequest
from bitesize.order.order import Order, Shard

Last = Literal["short", "drop", "pad"]
# An epoch, and a position in the order of that epoch.
Place = tuple[int, int]
# Bytes per row in addition to its fields: mask, row number and random numbers of pending batches (8 bytes for up to 16 numbers).
_ROW_OVERHEAD = 160
# Number of pending batches that have them.
_PENDING = 4


class BatchRows(NamedTuple):
    """One batch of one rank.

    ``position`` is the start of the global batch in the order of the epoch, and ``first_position`` the start of this rank's rows. ``rows``
    are row numbers, -1 for padding; the first ``real`` of them are rows. ``weight`` makes a mean over ranks a mean over rows.
    """

    epoch: int
    position: int
    first_position: int
    rows: NDArray[np.int64]
    real: int
    weight: float


@dataclass(frozen=True)
class Batching:
    """Cuts an order into batches.

    Parameters
    ----------
    order
        Order of rows.
    batch_size
        Rows in a global batch.
    last
        Handling of rows that do not fill a batch: a ``"short"`` batch, ``"drop"``, or ``"pad"`` with zeros, which the mask marks.
    shard
        Rank of this process and number of ranks.
    """

    order: Order
    batch_size: int
    last: Last
    shard: Shard

    def __post_init__(self) -> None:
        if self.last not in ("short", "drop", "pad"):
            raise BadSetting(f'last must be "short", "drop" or "pad", not {self.last!r}')
        if self.last == "short" and self.shard.world_size > 1:
            raise BadSetting(
                'last="short" would create batches of different sizes on the ranks: use last="drop" or last="pad"'
            )
        if self.batch_size < self.shard.world_size:
            raise BadSetting(
                f"batch_size={self.batch_size} is divided among {self.shard.world_size} ranks, so some ranks would get no rows: use a "
                f"multiple of {self.shard.world_size}"
            )
        if not len(self):
            raise BadSetting(
                f'{self.order.length} rows do not fill a batch of {self.batch_size}, so last="drop" would leave no batch: '
                f'lower batch_size to {self.order.length} or use last="short"'
            )

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return self.batches_from(0)

    def batches_from(self, position: int) -> int:
        """Return the number of batches in an epoch from a position on."""
        left = max(0, self.order.length - position)
        return left // self.batch_size if self.last == "drop" else -(-left // self.batch_size)

    @property
    def rows_of_rank(self) -> int:
        """Rows in the largest batch of this rank."""
        start, stop = self.shard.share(min(self.batch_size, self.order.length) if self.last == "short" else self.batch_size)
        return stop - start

    def own(self, positions: NDArray[np.int64], origin: int = 0) -> NDArray[np.bool_]:
        """Return which positions of an epoch belong to this rank, in batches that start at ``origin``."""
        start, stop = self.shard.share(self.batch_size)
        offsets = (positions - origin) % self.batch_size
        own = (positions >= origin) & (start <= offsets) & (offsets < stop)
        if self.last == "drop":
            own &= positions < origin + self.batches_from(origin) * self.batch_size
        return own

    @property
    def left_out(self) -> int:
        """Number of rows of an epoch that are in no batch, because they do not fill one and ``last`` is ``"drop"``."""
        return self.order.length % self.batch_size if self.last == "drop" else 0

    def left_out_line(self) -> str:
        """Return a sentence about rows that are left out of each epoch, with the setting that keeps them; "" if there are none."""
        if not self.left_out:
            return ""
        others = " (different rows each time)" if self.order.shuffle else ""
        keep = 'last="short" keeps them' if self.shard.world_size == 1 else 'last="pad" keeps them, with a mask'
        return (
            f"{self.left_out} of {self.order.length:,} rows are unused in each epoch{others}: they do not fill a batch of "
            f'{self.batch_size}, and last="drop" leaves them out ({keep})'
        )

    @property
    def even(self) -> bool:
        """Return whether all ranks have the same number of rows in every batch, so that every weight is 1."""
        world = self.shard.world_size
        padded = self.last == "pad" and self.order.length % self.batch_size
        return world == 1 or not (self.batch_size % world or padded)

    @property
    def has_empty_shares(self) -> bool:
        """Return whether a batch of any rank is padding only. The result is the same on every rank."""
        rest, world = self.order.length % self.batch_size, self.shard.world_size
        return self.last == "pad" and 0 < rest <= Shard(world - 1, world).share(self.batch_size)[0]

    def refuse_empty_shares(self, who: str) -> None:
        """Raise `BadSetting` if a batch of any rank would be padding only."""
        rest, world = self.order.length % self.batch_size, self.shard.world_size
        if self.has_empty_shares:
            raise BadSetting(
                f"{who} leaves padding out, and the last {rest} rows of an epoch are too few for {world} ranks: use a batch_size "
                f'other than {self.batch_size}, or last="drop"'
            )

    def refuse_torn_pairs(self) -> None:
        """Raise `BadSetting` unless rows 2k and 2k + 1 of every batch belong to the same rank.

        The result is the same on every rank, so no rank waits for one that has failed.
        """
        world = self.shard.world_size
        if any(Shard(rank, world).share(self.batch_size)[0] % 2 for rank in range(world)) or self.batch_size % 2:
            each = f" on each of {world} ranks" if world > 1 else ""
            raise BadSetting(
                f"MixUp and CutMix mix pairs of rows, but batch_size={self.batch_size} is not an even number of rows{each}: "
                f"use a multiple of {2 * world}"
            )

    def after(self, epoch: int, position: int) -> Place:
        """Return the place after the batch at a place; at the end of an epoch, the start of the next epoch."""
        position += self.batch_size
        return (epoch, position) if self.batches_from(position) else (epoch + 1, 0)

    def place(self, epoch: int, position: int) -> Place:
        """Return the place of the next batch, for a place that may be the end of an epoch."""
        return (epoch, position) if self.batches_from(position) else (epoch + 1, 0)

    def advance(self, place: Place, batches: int) -> Place:
        """Return the place ``batches`` batches after a place. Batches of the first epoch may be cut at other positions."""
        epoch, position = place
        left = self.batches_from(position)
        if batches < left:
            return epoch, position + batches * self.batch_size
        more, rest = divmod(batches - left, len(self))
        return epoch + 1 + more, rest * self.batch_size

    def step(self, epoch: int, position: int) -> BatchRows:
        """Return the rows of this rank in the batch at a place."""
        there = min(self.batch_size, self.order.length - position)
        wide = self.batch_size if self.last == "pad" else there
        start, stop = self.shard.share(wide)
        real = max(0, min(stop, there) - start)
        rows = np.empty(stop - start, np.int64)
        if real:
            rows[:real] = self.order.rows(epoch, position + start, position + start + real)
        rows[real:] = -1
        return BatchRows(epoch, position, position + start, rows, real, real * self.shard.world_size / there)


def order_request(order: Order, rows: int) -> MemoryRequest:
    """Return the request of an order, and of the row numbers of pending batches of ``rows`` rows."""
    return MemoryRequest("order", order.nbytes + rows * _ROW_OVERHEAD * _PENDING, "loader", order.detail)
