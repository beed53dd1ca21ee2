"""Batching: the rows of each batch of each epoch, and the policy for bad rows."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting, BitesizeError, TooManyBadRows
from bitesize.memory.request import MemoryRequest
from bitesize.order.order import Order, Shard

Last = Literal["short", "drop", "pad"]
# Bytes per row in addition to its fields: mask, row number and random numbers of pending batches (8 bytes for up to 16 numbers).
_ROW_OVERHEAD = 160
# Number of pending batches that have them.
_PENDING = 4
# The first _LOGGED bad rows are all logged; after them, one in _LOGGED.
_LOGGED = 100
_rows_log = logging.getLogger("bitesize.rows")  # separate, so that users who read `loader.bad` can silence it


class BatchRows(NamedTuple):
    """One batch of one rank.

    ``position`` is the start of the global batch in the order of the epoch, and ``first`` the start of this rank's rows. ``rows``
    are row numbers, -1 for padding; the first ``real`` of them are rows. ``weight`` makes a mean over ranks a mean over rows.
    """

    epoch: int
    position: int
    first: int
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
        place = (positions - origin) % self.batch_size
        taken = (positions >= origin) & (start <= place) & (place < stop)
        if self.last == "drop":
            taken &= positions < origin + self.batches_from(origin) * self.batch_size
        return taken

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

    def refuse_empty_shares(self, who: str) -> None:
        """Raise `BadSetting` if a batch of any rank would be padding only. The result is the same on every rank."""
        rest, world = self.order.length % self.batch_size, self.shard.world_size
        if self.last == "pad" and 0 < rest <= Shard(world - 1, world).share(self.batch_size)[0]:
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

    def after(self, epoch: int, position: int) -> tuple[int, int]:
        """Return the place after the batch at a place; at the end of an epoch, the start of the next epoch."""
        position += self.batch_size
        return (epoch, position) if self.batches_from(position) else (epoch + 1, 0)

    def place(self, epoch: int, position: int) -> tuple[int, int]:
        """Return the place of the next batch, for a place that may be the end of an epoch."""
        return (epoch, position) if self.batches_from(position) else (epoch + 1, 0)

    def advance(self, place: tuple[int, int], batches: int) -> tuple[int, int]:
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
        rows = np.full(stop - start, -1, np.int64)
        if real:
            rows[:real] = self.order.rows(epoch, position + start, position + start + real)
        return BatchRows(epoch, position, position + start, rows, real, real * self.shard.world_size / there)


def order_request(order: Order, rows: int) -> MemoryRequest:
    """Return the request of an order, and of the row numbers of pending batches of ``rows`` rows."""
    return MemoryRequest("order", order.nbytes + rows * _ROW_OVERHEAD * _PENDING, "loader", order.detail)


class SkippedRow(NamedTuple):
    """A row that was skipped because it could not be read."""

    row: int
    path: str
    reason: str


class BadRowPolicy:
    """Policy for bad rows.

    Parameters
    ----------
    on_error
        ``"raise"``, or ``"skip"``: another row replaces a bad row when shuffling; otherwise the bad row is masked.
    max_bad
        Largest share of an epoch's rows that may be bad. One bad row is always allowed.
    rows
        Number of rows in an epoch.
    """

    attempts = 16  # replacements to try before a place is masked

    def __init__(self, on_error: Literal["raise", "skip"], max_bad: float, rows: int) -> None:
        if on_error not in ("raise", "skip"):
            raise BadSetting(f'on_error must be "raise" or "skip", not {on_error!r}')
        if not 0 <= max_bad <= 1:
            raise BadSetting(f"max_bad must be a share from 0 to 1, not {max_bad}")
        self.skips = on_error == "skip"
        self._share = max_bad
        self._most = max(1, int(max_bad * rows))
        self._rows = rows
        self._lock = threading.Lock()
        self._of_epoch: dict[int, set[int]] = {}
        self.bad: dict[int, SkippedRow] = {}
        self.kinds: dict[int, type[Exception]] = {}  # type of the error of each bad row

    def report(self, epoch: int, row: int, path: str, error: Exception) -> None:
        """Record a bad row.

        Raises
        ------
        BitesizeError
            If bad rows are not skipped: the error, with the row number.
        TooManyBadRows
            If the epoch has more bad rows than allowed.
        """
        if not self.skips:
            kind = type(error) if isinstance(error, BitesizeError) else BitesizeError
            raise _of_row(kind(f"{error} (row {row}, epoch {epoch})"), row) from error
        with self._lock:
            for old in [known for known in self._of_epoch if known < epoch - 1]:
                del self._of_epoch[old]
            rows = self._of_epoch.setdefault(epoch, set())
            rows.add(row)
            fresh = row not in self.bad
            self.bad[row] = SkippedRow(row, path, str(error))
            self.kinds[row] = type(error)
            count, found = len(rows), len(self.bad)
        if fresh:
            self._log(row, epoch, path, error, found)
        if count > self._most:
            raise TooManyBadRows(
                f"{count} of {self._rows} rows are bad in epoch {epoch} so far, but max_bad={self._share:g} allows {self._most}; the "
                f"last: {error}"
            ) from error

    def _log(self, row: int, epoch: int, path: str, error: Exception, found: int) -> None:
        """Log a row that is bad for the first time; after 100 rows, log every 100th."""
        if found > _LOGGED and found % _LOGGED:
            return
        text = str(error)
        where = "" if path in text else f"{path}: "
        if found < _LOGGED:
            _rows_log.warning("skipped row %d (epoch %d): %s%s", row, epoch, where, text)
        else:
            _rows_log.warning(
                "skipped row %d (epoch %d): %s%s; %d bad rows so far: from now on, every %dth is logged, and loader.bad lists "
                "all", row, epoch, where, text, found, _LOGGED
            )  # fmt: skip


def _of_row(error: BitesizeError, row: int) -> BitesizeError:
    """Attach the row number to an error. A separate function, so that the raising frame, which refers to slots, holds no reference."""
    error.row = row
    return error
