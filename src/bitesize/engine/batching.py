"""Steps: which rows make up each batch of each epoch; and what is done about rows that are bad."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting, BitesizeError, TooManyBadRows
from bitesize.order.order import Order, Shard

Last = Literal["short", "drop", "pad"]
# So many bad rows are logged one by one; from there on one in as many.
_LOGGED = 100
_rows_log = logging.getLogger("bitesize.rows")  # by itself, for who reads `loader.bad` and wants a short log


class BatchRows(NamedTuple):
    """One batch of one rank.

    ``position`` is where the global batch begins in the epoch's order, ``first`` where this rank's rows begin; ``rows`` are
    row numbers, -1 for padding, of which the first ``real`` are rows; ``weight`` makes a mean over ranks a mean over rows.
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
        Which row stands where.
    batch_size
        Rows of a global batch.
    last
        What becomes of the rows that do not fill a batch: a ``"short"`` batch, ``"drop"``, or ``"pad"`` with zeros that
        the mask tells.
    shard
        This rank's share.
    """

    order: Order
    batch_size: int
    last: Last
    shard: Shard

    def __post_init__(self) -> None:
        if self.last not in ("short", "drop", "pad"):
            raise BadSetting(f'last must be "short", "drop" or "pad", not {self.last!r}')
        if self.last == "short" and self.shard.world_size > 1:
            raise BadSetting('last="short" would give ranks batches of different sizes: use "drop" or "pad"')
        if self.batch_size < self.shard.world_size:
            raise BadSetting(
                f"batch_size={self.batch_size} is cut among {self.shard.world_size} ranks, and some would get no rows: set it to a "
                "multiple of their number"
            )
        if not len(self):
            raise BadSetting(
                f'{self.order.length} rows do not fill a batch of {self.batch_size}, and last="drop" leaves none: '
                f'lower batch_size to {self.order.length} or set last="short"'
            )

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        return self.batches_from(0)

    def batches_from(self, position: int) -> int:
        """Count the batches of an epoch from a position on."""
        left = max(0, self.order.length - position)
        return left // self.batch_size if self.last == "drop" else -(-left // self.batch_size)

    @property
    def rows_of_rank(self) -> int:
        """Rows of the largest batch that this rank gets."""
        start, stop = self.shard.share(min(self.batch_size, self.order.length) if self.last == "short" else self.batch_size)
        return stop - start

    def own(self, positions: NDArray[np.int64], origin: int = 0) -> NDArray[np.bool_]:
        """Tell which positions of an epoch this rank takes, in batches that are cut from ``origin`` on."""
        start, stop = self.shard.share(self.batch_size)
        place = (positions - origin) % self.batch_size
        taken = (positions >= origin) & (start <= place) & (place < stop)
        if self.last == "drop":
            taken &= positions < origin + self.batches_from(origin) * self.batch_size
        return taken

    @property
    def left_out(self) -> int:
        """Rows of an epoch's order that are in no batch of it: those that do not fill one, with ``last="drop"``."""
        return self.order.length % self.batch_size if self.last == "drop" else 0

    def left_out_line(self) -> str:
        """Return a sentence about rows that sit out each epoch, with the setting that decides otherwise; "" where none does."""
        if not self.left_out:
            return ""
        others = ", others each time" if self.order.shuffle else ""
        keep = 'last="short" keeps them' if self.shard.world_size == 1 else 'last="pad" keeps them, with a mask'
        return (
            f"{self.left_out} of {self.order.length:,} rows sit out each epoch{others}: they do not fill a batch of {self.batch_size}, and "
            f'last="drop" leaves them out ({keep})'
        )

    @property
    def even(self) -> bool:
        """Whether every rank has as many rows as the others in every batch, so that every weight is 1."""
        world = self.shard.world_size
        padded = self.last == "pad" and self.order.length % self.batch_size
        return world == 1 or not (self.batch_size % world or padded)

    def refuse_empty_shares(self, who: str) -> None:
        """Raise `BadSetting` if a rank would have nothing but padding of a batch; every rank finds the same."""
        rest, world = self.order.length % self.batch_size, self.shard.world_size
        if self.last == "pad" and 0 < rest <= Shard(world - 1, world).share(self.batch_size)[0]:
            raise BadSetting(
                f"{who} leaves padding out, and the last {rest} rows of an epoch are too few for {world} ranks: set another batch_size "
                f'than {self.batch_size}, or last="drop"'
            )

    def refuse_torn_pairs(self) -> None:
        """Raise `BadSetting` unless rows 2k and 2k + 1 of every batch are one rank's.

        Every rank finds the same, so none waits for another that was refused.
        """
        world = self.shard.world_size
        if any(Shard(rank, world).share(self.batch_size)[0] % 2 for rank in range(world)) or self.batch_size % 2:
            each = f" on each of {world} ranks" if world > 1 else ""
            raise BadSetting(
                f"MixUp and CutMix mix pairs of rows, and batch_size={self.batch_size} does not give an even number of rows{each}: "
                f"set it to a multiple of {2 * world}"
            )

    def after(self, epoch: int, position: int) -> tuple[int, int]:
        """Tell the place behind the batch at a place, over the epoch's end."""
        position += self.batch_size
        return (epoch, position) if self.batches_from(position) else (epoch + 1, 0)

    def place(self, epoch: int, position: int) -> tuple[int, int]:
        """Tell where the next batch is, of a place that may be at an epoch's end."""
        return (epoch, position) if self.batches_from(position) else (epoch + 1, 0)

    def advance(self, place: tuple[int, int], batches: int) -> tuple[int, int]:
        """Tell the place that is so many batches further on; what is left of the first epoch may be cut otherwise."""
        epoch, position = place
        left = self.batches_from(position)
        if batches < left:
            return epoch, position + batches * self.batch_size
        more, rest = divmod(batches - left, len(self))
        return epoch + 1 + more, rest * self.batch_size

    def step(self, epoch: int, position: int) -> BatchRows:
        """Tell the rows of this rank in the batch at a place."""
        there = min(self.batch_size, self.order.length - position)
        wide = self.batch_size if self.last == "pad" else there
        start, stop = self.shard.share(wide)
        real = max(0, min(stop, there) - start)
        rows = np.full(stop - start, -1, np.int64)
        if real:
            rows[:real] = self.order.rows(epoch, position + start, position + start + real)
        return BatchRows(epoch, position, position + start, rows, real, real * self.shard.world_size / there)


class SkippedRow(NamedTuple):
    """A row that could not be delivered."""

    row: int
    path: str
    reason: str


class BadRowPolicy:
    """What is done about bad rows.

    Parameters
    ----------
    on_error
        ``"raise"``, or ``"skip"``: another row takes its place when shuffling, else it is masked.
    max_bad
        Share of an epoch's rows that may be bad; one always may.
    rows
        Rows of an epoch.
    """

    attempts = 16  # replacements that are tried before a place stays empty

    def __init__(self, on_error: Literal["raise", "skip"], max_bad: float, rows: int) -> None:
        if on_error not in ("raise", "skip"):
            raise BadSetting(f'on_error must be "raise" or "skip", not {on_error!r}')
        if not 0 <= max_bad <= 1:
            raise BadSetting(f"max_bad is a share within 0 to 1, not {max_bad}")
        self.skips = on_error == "skip"
        self._share = max_bad
        self._most = max(1, int(max_bad * rows))
        self._rows = rows
        self._lock = threading.Lock()
        self._of_epoch: dict[int, set[int]] = {}
        self.bad: dict[int, SkippedRow] = {}
        self.kinds: dict[int, type[Exception]] = {}  # what kind of error each was

    def report(self, epoch: int, row: int, path: str, error: Exception) -> None:
        """Note a bad row.

        Raises
        ------
        BitesizeError
            The error itself, naming the row, unless bad rows are skipped.
        TooManyBadRows
            If there are too many in this epoch.
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
                f"{count} of {self._rows} rows are bad in epoch {epoch} so far, and max_bad={self._share:g} allows {self._most}; the "
                f"last: {error}"
            ) from error

    def _log(self, row: int, epoch: int, path: str, error: Exception, found: int) -> None:
        """Log a row that is bad for the first time; of many, every hundredth."""
        if found > _LOGGED and found % _LOGGED:
            return
        text = str(error)
        where = "" if path in text else f"{path}: "
        if found < _LOGGED:
            _rows_log.warning("skipped row %d (epoch %d): %s%s", row, epoch, where, text)
        else:
            _rows_log.warning(
                "skipped row %d (epoch %d): %s%s; %d bad rows so far: every %dth of them is logged, and loader.bad lists "
                "all", row, epoch, where, text, found, _LOGGED
            )  # fmt: skip


def _of_row(error: BitesizeError, row: int) -> BitesizeError:
    """Tell which row an error is about; apart, because a name for it where it is raised would keep that frame, and slots with it."""
    error.row = row
    return error
