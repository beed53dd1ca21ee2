"""Order and Shard: the order of rows, and the part of each batch that a rank reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitesize.checks import is_whole
from bitesize.errors import BadSetting
from bitesize.order.coordinates import PassNumber, PassPosition
from bitesize.order.mix64 import keys, mix64
from bitesize.order.mixture import Mixed, Mixture
from bitesize.order.shuffled import Sequential, Shuffled
from bitesize.order.variant import Variant
from bitesize.order.weighted import Weighted, Weights
from bitesize.order.windowed import Windowed
from bitesize.order.windows import Windows, check_chunks

# Changes when the same settings give a different order, so that no run resumes with a different order.
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
        One number per row, shape (n,). Rows are sampled at random, with replacement, in proportion to their weights. An epoch
        has n samples. Takes 8 bytes per row.
    mixture
        Exact shares of several sources, from `bitesize.mix`.
    limit_rows
        Number of rows after which an epoch ends. When shuffling, each epoch has different rows.
    repeat
        Number of passes in an epoch, each in a different order.
    window
        Number of rows, about, that are held in memory to select from at random, while the next rows are read chunk by chunk in
        random order. For data whose neighboring rows are cheap to read together. None, the default, shuffles all rows at once.
    streams
        Number of parts of a batch that come from separate windows. With several ranks, use a multiple of their number, so that
        each chunk is read by one rank only.
    chunks
        Row numbers at which chunks start; a `Loader` gets them from its source.
    batch_size
        Rows in a batch, which the streams divide among them; a `Loader` uses its own batch size.
    groups
        Row numbers at which groups of chunks start, which are read one after another because neighbors share what they read: groups are
        shuffled, and the chunks of a group are not. A `Loader` gets them from its source. By default, each chunk is a group.

    Raises
    ------
    BadSetting
        If a setting is not valid, or settings exclude each other.

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
    groups: ArrayLike | None = field(default=None, compare=False, repr=False)
    _digest: str | None = field(default=None, init=False, repr=False)
    _variant: Variant = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("n", "seed", "repeat", "limit_rows", "window", "streams", "batch_size"):
            value = getattr(self, name)
            if value is not None and not is_whole(value):
                raise BadSetting(f"{name} must be an integer, not {value!r}")
            if value is not None:
                object.__setattr__(self, name, int(value))
        if not 1 <= self.n <= 1 << 63:
            raise BadSetting(f"an order needs between 1 and 2**63 rows, not {self.n}")
        if self.limit_rows is not None and self.limit_rows < 1:
            raise BadSetting(f"limit_rows must be at least 1, not {self.limit_rows}")
        if self.repeat < 1 or self.length > 1 << 63:
            raise BadSetting(f"repeat must be at least 1, with at most 2**63 rows an epoch, not {self.repeat}")
        if self.mixture is not None and sum(self.mixture.rows) != self.n:
            raise BadSetting(f"the mixture has {sum(self.mixture.rows)} rows, but the order has {self.n}")
        object.__setattr__(self, "_variant", self._make_variant())
        object.__setattr__(self, "_digest", self._variant.digest)

    def _make_variant(self) -> Variant:
        """Return the variant that the settings select, and check that they do not exclude each other."""
        weights = None
        if self.weights is not None:
            if not self.shuffle or self.mixture is not None:
                raise BadSetting(
                    f"weights sample rows at random, which excludes {'a mixture' if self.mixture else 'shuffle=False'}"
                )
            weights = Weights(self.weights, self.n)
        if self.window is not None:
            self._check_window()
            return self._make_windowed(self.window)
        if self.chunks is not None or self.batch_size is not None or self.streams != 8 or self.groups is not None:
            raise BadSetting("chunks, groups, batch_size and streams are settings of a window: pass window= as well")
        if weights is not None:
            return Weighted(weights, self.seed, self.pass_length)
        if self.mixture is not None:
            return Mixed(self.mixture, self.seed, self.shuffle, self.pass_length)
        return Shuffled(self.n, self.seed, self.pass_length) if self.shuffle else Sequential(self.n)

    def _make_windowed(self, window: int) -> Windowed:
        windows = None
        if self.chunks is not None:
            object.__setattr__(self, "chunks", check_chunks(self.chunks, self.n))
        if self.chunks is not None and self.batch_size is not None:
            windows = Windows(self.n, self.seed, self.chunks, window, self.streams, self.batch_size, self.groups)
        return Windowed(windows, self.n, window, self.streams, self.batch_size, self.pass_length)

    def _check_window(self) -> None:
        for name in ("window", "streams", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadSetting(f"{name} must be at least 1, not {value}")
        if not self.shuffle or self.mixture is not None or self.weights is not None:
            other = "a mixture" if self.mixture else "weights" if self.weights is not None else "shuffle=False"
            raise BadSetting(f"a window shuffles all rows in chunks, which excludes {other}")

    @property
    def windows(self) -> Windows | None:
        """Windows of the order; None without a window, or before chunks and batch size are set."""
        return self._variant.windows if isinstance(self._variant, Windowed) else None

    @property
    def length(self) -> int:
        """Number of rows in an epoch."""
        return self.pass_length * self.repeat

    @property
    def pass_length(self) -> int:
        """Number of rows in a pass. An epoch has ``repeat`` passes."""
        return self.n if self.limit_rows is None else min(self.n, self.limit_rows)

    def rows(self, epoch: int, start: int, stop: int) -> NDArray[np.int64]:
        """Return the row numbers at positions ``start`` to ``stop - 1`` of an epoch.

        Parameters
        ----------
        epoch
            Epoch, from 0.
        start, stop
            Positions, 0 <= start <= stop <= length.

        Returns
        -------
        ndarray of int64, shape (stop - start,)
            Row numbers, from 0 to n - 1.

        Raises
        ------
        BadSetting
            If positions are not within the epoch, or chunks or batch size of a window are not set.

        Examples
        --------
        >>> import bitesize as bs
        >>> bs.Order(10, shuffle=False).rows(0, 4, 7).tolist()
        [4, 5, 6]
        """
        if not 0 <= start <= stop <= self.length:
            raise BadSetting(f"positions {start} to {stop} are not within 0 to {self.length}")
        pieces: list[NDArray[np.int64]] = []
        while start < stop:
            number, begin = divmod(start, self.pass_length)
            end = min(begin + stop - start, self.pass_length)
            number += epoch * self.repeat
            pieces += self._variant.rows(PassNumber(number), PassPosition(begin), PassPosition(end))
            start += end - begin
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces) if pieces else np.empty(0, np.int64)

    def replacement(self, epoch: int, position: int, attempt: int) -> int:
        """Return another row for a position whose row is bad. It is sampled as the order samples, and is the same in every run.

        Parameters
        ----------
        epoch, position
            Epoch (from 0) and position of the bad row.
        attempt
            Number of replacements that were bad too, from 0.

        Returns
        -------
        int
            Row number.

        Examples
        --------
        >>> import bitesize as bs
        >>> 0 <= bs.Order(10, seed=1).replacement(0, 3, attempt=0) < 10
        True
        """
        key = keys((self.seed, epoch, 0x5EED), 1)[0]
        value = np.array([(position * 64 + attempt) & 0xFFFFFFFFFFFFFFFF], np.uint64) ^ np.uint64(key)
        number, within = divmod(position, self.pass_length)
        number += epoch * self.repeat
        return self._variant.replacement(PassNumber(number), PassPosition(within), int(mix64(value)[0]))

    @property
    def nbytes(self) -> int:
        """Bytes that mapping a block of positions takes: the block, temporary arrays, and the weights."""
        return self._variant.nbytes

    @property
    def detail(self) -> str:
        """Description of `nbytes`, for the plan."""
        return ", ".join(filter(None, [self._variant.detail, "row numbers"]))

    def settings(self) -> dict[str, Any]:
        """Return all settings that define the order, as a dict of JSON values.

        Returns
        -------
        dict
            Numbers, strings and lists.

        Examples
        --------
        >>> import bitesize as bs
        >>> bs.Order(100, seed=7).settings()
        {'version': 1, 'n': 100, 'seed': 7, 'shuffle': True, 'limit_rows': None, 'repeat': 1}
        """
        settings: dict[str, Any] = {"version": _VERSION, "n": self.n, "seed": self.seed, "shuffle": self.shuffle}
        return settings | self._variant.settings() | {"limit_rows": self.limit_rows, "repeat": self.repeat}


@dataclass(frozen=True)
class Shard:
    """One rank's share of every global batch.

    Parameters
    ----------
    rank
        Rank of this process, 0 to world_size - 1.
    world_size
        Number of processes that train together.

    Raises
    ------
    BadSetting
        If the rank is not within 0 to world_size - 1.

    Examples
    --------
    >>> import bitesize as bs
    >>> bs.Shard(1, 4)
    Shard(rank=1, world_size=4)
    """

    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if self.world_size < 1 or not 0 <= self.rank < self.world_size:
            raise BadSetting(f"rank must be between 0 and world_size - 1: got rank {self.rank} of {self.world_size}")

    def share(self, rows: int) -> tuple[int, int]:
        """Return the part [start, stop) of a global batch of ``rows`` rows that belongs to this rank.

        Parameters
        ----------
        rows
            Number of rows of the global batch.

        Returns
        -------
        (int, int)
            Start and stop.

        Examples
        --------
        >>> import bitesize as bs
        >>> [bs.Shard(rank, 4).share(10) for rank in range(4)]
        [(0, 2), (2, 5), (5, 7), (7, 10)]
        """
        return self.rank * rows // self.world_size, (self.rank + 1) * rows // self.world_size
