"""Order and Shard: which rows come when, and for whom."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitesize.errors import BadSetting
from bitesize.order.mix64 import keys, mix64
from bitesize.order.mixture import Mixture
from bitesize.order.permutation import permute, rounds
from bitesize.order.weighted import Weights
from bitesize.order.windows import Windows, check_chunks

# Positions that are mapped at once and kept: large enough that NumPy's cost per call vanishes (6 M rows/s here
# against 0.04 M in blocks of 64), small enough (512 KiB) to be no memory at all.
BLOCK = 65_536
# Changes whenever the same settings would give another order, so that no run is continued in it.
_VERSION = 1


@dataclass(frozen=True)
class Order:
    """The order of rows in every epoch: a pure function of (seed, epoch, position).

    Parameters
    ----------
    n
        Number of rows, 1 to 2**63.
    seed
        Any integer; the same seed gives the same orders on every machine.
    shuffle
        False for the natural order, 0 to n-1.
    weights
        A number for each row, shape (n,): rows are drawn at random, with replacement, as often as their weights say. Takes
        8 bytes a row. An epoch has n draws.
    mixture
        Exact shares of several sources; `bitesize.mix` makes it.
    limit_rows
        An epoch ends after so many rows. When shuffling, each epoch has others.
    repeat
        An epoch is so many passes, each in an order of its own.
    window
        For data of which neighboring rows are cheap together: rows are drawn at random from about so many that are held in
        memory, while the next are read chunk by chunk, in random order. None, the default, shuffles all rows at once.
    streams
        How many parts of a batch are drawn from windows of their own. With several ranks a multiple of their number: then each
        chunk is read by one rank.
    chunks
        Where chunks begin, as row numbers; a `Loader` asks its source.
    batch_size
        Rows that the streams share out; a `Loader` takes its own.

    Examples
    --------
    >>> Order(5, shuffle=False).rows(epoch=0, start=1, stop=4).tolist()
    [1, 2, 3]
    >>> sorted(Order(1000, seed=7).rows(epoch=3, start=0, stop=1000).tolist()) == list(range(1000))
    True
    >>> rows = Order(2, weights=[1, 9], repeat=500).rows(epoch=0, start=0, stop=1000)
    >>> bool(880 < rows.sum() < 920)
    True
    """

    n: int
    seed: int = 0
    shuffle: bool = True
    weights: ArrayLike | None = field(default=None, compare=False, repr=False)
    mixture: Mixture | None = None
    limit_rows: int | None = None
    repeat: int = 1
    window: int | None = None
    streams: int = 8
    chunks: ArrayLike | None = field(default=None, compare=False, repr=False)
    batch_size: int | None = None
    _weights: Weights | None = field(default=None, init=False, compare=False, repr=False)
    _windows: Windows | None = field(default=None, init=False, compare=False, repr=False)
    _digest: str | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("n", "seed", "repeat", "limit_rows", "window", "streams", "batch_size"):
            value = getattr(self, name)
            if isinstance(value, np.integer):
                object.__setattr__(self, name, int(value))
            elif value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise BadSetting(f"{name} must be an integer, not {value!r}")
        if not 1 <= self.n <= 1 << 63:
            raise BadSetting(f"an order needs between 1 and 2**63 rows, not {self.n}")
        if self.limit_rows is not None and self.limit_rows < 1:
            raise BadSetting(f"limit_rows must be at least 1, not {self.limit_rows}")
        if self.repeat < 1 or self.length > 1 << 63:
            raise BadSetting(f"repeat must be at least 1, with at most 2**63 rows an epoch, not {self.repeat}")
        if self.mixture is not None and sum(self.mixture.rows) != self.n:
            raise BadSetting(f"the mixture is of {sum(self.mixture.rows)} rows and the order of {self.n}")
        if self.weights is not None:
            if not self.shuffle or self.mixture is not None:
                raise BadSetting(
                    f"weights draw rows at random, and {'a mixture' if self.mixture else 'shuffle=False'} does not"
                )
            object.__setattr__(self, "_weights", Weights(self.weights, self.n))
            object.__setattr__(self, "_digest", self._weights.digest)  # type: ignore[union-attr]
        if self.window is not None:
            self._check_window()
            if self.chunks is not None:
                object.__setattr__(self, "chunks", check_chunks(self.chunks, self.n))
            if self.chunks is not None and self.batch_size is not None:
                windows = Windows(self.n, self.seed, self.chunks, self.window, self.streams, self.batch_size)
                object.__setattr__(self, "_windows", windows)
                object.__setattr__(self, "_digest", windows.digest)
        elif self.chunks is not None or self.batch_size is not None or self.streams != 8:
            raise BadSetting("chunks, batch_size and streams are settings of a window: give window=, too")

    def _check_window(self) -> None:
        for name in ("window", "streams", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadSetting(f"{name} must be at least 1, not {value}")
        if not self.shuffle or self.mixture is not None or self.weights is not None:
            other = "a mixture" if self.mixture else "weights" if self.weights is not None else "shuffle=False"
            raise BadSetting(f"a window shuffles all rows in chunks, and {other} does not go with that")

    @property
    def windows(self) -> Windows | None:
        """The windows of an order that has some, once it knows chunks and batch size."""
        return self._windows

    @property
    def length(self) -> int:
        """Rows of an epoch."""
        return self.pass_length * self.repeat

    @property
    def pass_length(self) -> int:
        """Rows of a pass, of which an epoch has ``repeat``."""
        return self.n if self.limit_rows is None else min(self.n, self.limit_rows)

    def rows(self, epoch: int, start: int, stop: int) -> NDArray[np.int64]:
        """Tell the rows at positions ``start`` to ``stop - 1`` of an epoch.

        Parameters
        ----------
        epoch
            Number of the epoch, from 0.
        start, stop
            Positions, 0 <= start <= stop <= length.

        Returns
        -------
        ndarray of int64, shape (stop - start,)
        """
        if not 0 <= start <= stop <= self.length:
            raise BadSetting(f"positions {start} to {stop} are not within 0 to {self.length}")
        pieces = []
        while start < stop:
            number, begin = divmod(start, self.pass_length)
            end = min(begin + stop - start, self.pass_length)
            pieces += self._of_pass(epoch * self.repeat + number, begin, end)
            start += end - begin
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces) if pieces else np.empty(0, np.int64)

    def _of_pass(self, number: int, start: int, stop: int) -> list[NDArray[np.int64]]:
        if not self.shuffle and self.mixture is None:
            return [np.arange(start, stop, dtype=np.int64)]
        if self.window is not None:
            if self._windows is None:
                raise BadSetting(
                    "an order with a window needs chunks= and batch_size=, which a Loader takes from its source"
                )
            return [self._windows.rows(number, start, stop)]
        if self._weights is not None:  # each draw is on its own: nothing is won by blocks, and no cache holds the weights
            return [self._weights.rows(self.seed, number, np.arange(start, stop, dtype=np.int64))]
        return [
            _block(self, number, block)[max(0, start - block * BLOCK) : stop - block * BLOCK]
            for block in range(start // BLOCK, -(-stop // BLOCK))
        ]

    def _map(self, number: int, start: int, stop: int) -> NDArray[np.int64]:
        """Work out the rows at some positions of a pass."""
        if self.mixture is not None:
            begin = number * self.pass_length
            return self.mixture.stream(self.seed, self.shuffle, begin + start, begin + stop)
        return permute(self.n, keys((self.seed, number), rounds(self.n)), np.arange(start, stop, dtype=np.int64))

    def replacement(self, epoch: int, position: int, attempt: int) -> int:
        """Choose another row for a position whose row is bad: drawn as the order draws, the same in every run."""
        key = keys((self.seed, epoch, 0x5EED), 1)[0]
        value = np.array([(position * 64 + attempt) & 0xFFFFFFFFFFFFFFFF], np.uint64) ^ np.uint64(key)
        chance = int(mix64(value)[0])
        if self._weights is not None:
            return int(self._weights.at(np.array([chance * 2.0**-64]))[0])
        start, stop = 0, self.n
        if self.mixture is not None or self._windows is not None:
            row = self.rows(epoch, position, position + 1)
            start, stop = self._windows.chunk(row) if self._windows is not None else self.mixture.part(int(row[0]))  # type: ignore[union-attr]
        return start + chance % (stop - start)

    @property
    def nbytes(self) -> int:
        """Bytes that mapping a block of positions takes: the block, what its making needs beside it, and the weights."""
        if not self.shuffle and self.mixture is None:
            return 0
        if self._windows is not None:
            return self._windows.nbytes
        held = self._weights.nbytes if self._weights is not None else self.mixture.nbytes if self.mixture is not None else 0
        return min(self.pass_length, BLOCK) * 8 * 8 + held

    @property
    def detail(self) -> str:
        """What those bytes are, in words."""
        kind = "one block of the shuffle" if self.shuffle else ""
        if self._weights is not None:
            kind = "weights of all rows"
        elif self._windows is not None:
            kind = "windows of the shuffle"
        return ", ".join(filter(None, [kind, "row numbers"]))

    def settings(self) -> dict[str, Any]:
        """Give everything that decides the order, as JSON can hold it."""
        settings: dict[str, Any] = {"version": _VERSION, "n": self.n, "seed": self.seed, "shuffle": self.shuffle}
        if self.window is not None:
            settings |= {"window": self.window, "lanes": self.streams, "batch_size": self.batch_size, "runs": self._digest}
        elif self._digest is not None:
            settings["weights"] = self._digest
        if self.mixture is not None:
            settings["mixture"] = [list(self.mixture.rows), list(self.mixture.quotas)]
        return settings | {"limit_rows": self.limit_rows, "repeat": self.repeat}


@functools.lru_cache(maxsize=4)
def _block(order: Order, number: int, block: int) -> NDArray[np.int64]:
    rows = order._map(number, block * BLOCK, min(order.pass_length, (block + 1) * BLOCK))
    rows.flags.writeable = False
    return rows


@dataclass(frozen=True)
class Shard:
    """One rank's share of every global batch.

    Parameters
    ----------
    rank
        This process, 0 to world_size - 1.
    world_size
        How many processes train together.
    """

    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if self.world_size < 1 or not 0 <= self.rank < self.world_size:
            raise BadSetting(f"rank must be within 0 to world_size - 1: got rank {self.rank} of {self.world_size}")

    def share(self, rows: int) -> tuple[int, int]:
        """Tell which part [start, stop) of a global batch of so many rows is this rank's."""
        return self.rank * rows // self.world_size, (self.rank + 1) * rows // self.world_size
