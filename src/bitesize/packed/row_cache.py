"""Rows on disk that several threads read and add to: an index in memory, sealed shards, and shards that are being filled."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BitesizeError, DiskFull, PackedError, without_frames
from bitesize.order.keyed_random import uniform
from bitesize.packed.cache_folder import SHARD_SPARE, CacheFolder, Claim
from bitesize.packed.fields import ShardField
from bitesize.packed.info import FixedRows, ShardInfo, open_shard
from bitesize.packed.shard import ShardWriter

_log = logging.getLogger("bitesize")
# Fields that every shard of a cache has in addition: the number of each row in its data, and the version of its file.
ROW, VERSION = "cache row", "cache version"
_OWN = {ROW: ShardField("fixed", (), np.dtype("<i8")), VERSION: ShardField("fixed", (), np.dtype("<u8"))}
_SHARD_BYTES = 256 << 20
_SHARDS_OF_EACH = 4  # shards per writer of a small cache, so that all writers find room
_MOST_WRITERS = 16
# A thread that has written rests for this many times as long. In the first epoch, writing takes at most 4 % of its time: flushing and
# sealing take as much again, and an epoch that fills a cache should lose at most a tenth. Later epochs gain from the rows that are there,
# so writing may take a fifth. Usually it is less: a write only takes long if the disk is slower than the data come.
_REST, _REST_LATER = 24.0, 4.0
_BLOCK = 4096
# Seconds between two looks for shards that other processes have sealed. Ranks seal theirs together, after the next epoch has begun.
_LOOK = 1.0


@dataclass(frozen=True)
class SealedShard:
    """A sealed shard, with what is needed to read its rows.

    Attributes
    ----------
    info : ShardInfo
        The shard.
    paths : Mapping of str to bytes
        Data file of each field.
    fixed : Mapping of str to FixedRows
        Where rows of fixed shape lie.
    offsets, shapes : Mapping of str to ndarray
        For fields of varying size, where each row lies in its file, and its shape.
    numbers : Mapping of str to ndarray
        Values of fields of one small number per row, in memory.
    """

    info: ShardInfo
    paths: Mapping[str, bytes]
    fixed: Mapping[str, FixedRows]
    offsets: Mapping[str, NDArray[np.int64]]
    shapes: Mapping[str, NDArray[np.int32]]
    numbers: Mapping[str, NDArray[Any]]


class _Filling:
    """A shard that is being filled; a thread holds its lock while it appends."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.writer: ShardWriter | None = None
        self.claim: Claim | None = None
        # Bytes, because small images are appended one by one, and a list of their arrays takes many times as much memory.
        self.rows, self.versions = bytearray(), bytearray()
        self.rests_until = 0.0

    def taken(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Return the row numbers and versions of the shard, and forget them."""
        rows, versions = np.frombuffer(self.rows, np.int64), np.frombuffer(self.versions, np.uint64)
        self.rows, self.versions = bytearray(), bytearray()
        return rows, versions


class RowCache:
    """Rows of a source in a cache on disk. Threads find, read and add rows at the same time.

    Parameters
    ----------
    folder
        Where the rows are.
    fields
        Fields that are kept of each row.
    rows
        Number of rows of the whole source.
    need
        Estimated bytes of all rows on disk. If they do not fit the limit of the folder, a fixed part is kept, chosen by a hash of the row number.
    writers
        Number of threads that may add rows at the same time.
    always
        Whether threads always add rows: if reading a row again costs more than writing it.
    """

    def __init__(
        self, folder: CacheFolder, fields: Mapping[str, ShardField], rows: int, need: int = 0, writers: int = 2, *, always: bool = False
    ) -> None:  # fmt: skip
        self.fields, self.folder = dict(fields), folder
        self.share = chosen_share(folder.room(), need)
        self._shard_of = np.full(rows, -1, np.int32)
        self._place_of = np.zeros(rows, np.int32)
        self._version_of = np.zeros(rows, np.uint64)
        self._pending = np.zeros(rows, np.bool_)  # rows of shards that are being filled
        self._shards: list[SealedShard | None] = []
        self._known: set[Path] = set()
        self._lock = threading.Lock()  # of the index
        self._filling = [_Filling() for _ in range(min(writers, _MOST_WRITERS))]
        self._sealer: ThreadPoolExecutor | None = None
        self._process = os.getpid()
        self._always = always
        self._rest, self._rest_later = (0.0, 0.0) if always else (_REST, min(_REST, _REST_LATER))
        self._full = False  # whether there was no room for another shard since the epoch began
        self._looked = 0.0  # time of the last look
        if folder.reason:
            _log.warning("cache: %s: rows are only read from it", folder.reason)
        self.refresh()

    @staticmethod
    def index_nbytes(fields: Mapping[str, ShardField], rows: int) -> int:
        """Return the bytes of memory for ``rows`` rows of a source."""
        others = sum(field.row_nbytes for field in fields.values() if field.kind != "fixed" or _is_number(field))
        return rows * (4 + 4 + 8 + 1 + others)

    # --- reading -----------------------------------------------------------------------------------------------------

    def refresh(self, *, within_epoch: bool = False) -> None:
        """Find shards that other processes have sealed; within an epoch, once a second. A damaged shard is removed, with one warning."""
        if within_epoch and time.monotonic() - self._looked < _LOOK:
            return
        self._looked, self._full = time.monotonic(), self._full and within_epoch
        for path in self.folder.shards():
            if path not in self._known:
                self._known.add(path)
                try:
                    info = open_shard(path)
                    self._check(info)
                    self._add(info, _column(info, ROW, np.int64), _column(info, VERSION, np.uint64))
                except BitesizeError as error:
                    _log.warning("cache: %s; its rows are decoded again", error)
                    self.folder.discard(path)

    def _check(self, info: ShardInfo) -> None:
        if dict(info.fields) != self.fields | _OWN:
            raise PackedError(f"{info.folder} has the fields {', '.join(info.fields)}, not those of this cache")

    def _add(self, info: ShardInfo, rows: NDArray[np.int64], versions: NDArray[np.uint64]) -> None:
        """Add a sealed shard to the index."""
        kinds = {name: field.kind for name, field in self.fields.items()}
        sealed = SealedShard(
            info,
            {name: os.fsencode(info.path(name)) for name in kinds},
            {name: info.fixed(name) for name, kind in kinds.items() if kind == "fixed"},
            {name: info.offsets(name) for name, kind in kinds.items() if kind != "fixed"},
            {name: info.shapes(name) for name, kind in kinds.items() if kind == "pixels"},
            {name: _column(info, name, field.stored) for name, field in self.fields.items() if _is_number(field)},
        )
        with self._lock:
            inside = (rows >= 0) & (rows < len(self._shard_of))
            places = np.flatnonzero(inside).astype(np.int32)
            self._shards.append(sealed)
            self._version_of[rows[inside]] = versions[inside]
            self._place_of[rows[inside]] = places
            self._shard_of[rows[inside]] = len(self._shards) - 1  # last: `find` reads without the lock
            self._pending[rows[inside]] = False

    def find(self, rows: NDArray[np.int64], versions: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return which rows are in the cache, in the version that their files have now."""
        shards = self._shard_of[rows]
        found: NDArray[np.bool_] = (shards >= 0) & (self._version_of[rows] == versions) & (versions != 0)
        stale = rows[(shards >= 0) & ~found & (versions != 0)]
        if stale.size:  # their files have changed
            with self._lock:
                self._shard_of[stale] = -1
        return found

    def places(self, rows: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], SealedShard, NDArray[np.int64]]]:
        """Return for each shard of some rows that were found: their indexes in ``rows``, the shard, and their places in it.

        Raises
        ------
        KeyError
            If a row is no longer in the cache.
        """
        with self._lock:  # if another shard with a row is added meanwhile, shard and place must not be of two shards
            shards, places = self._shard_of[rows], self._place_of[rows].astype(np.int64)
        found = []
        for number in np.unique(shards).tolist():
            sealed = self._shards[number] if number >= 0 else None
            if sealed is None:
                raise KeyError(number)
            of = np.flatnonzero(shards == number)
            found.append((of, sealed, places[of]))
        return found

    def drop(self, info: ShardInfo, error: Exception) -> None:
        """Forget a shard that cannot be read."""
        with self._lock:
            number = next((i for i, each in enumerate(self._shards) if each is not None and each.info is info), None)
            if number is None:  # another thread was faster
                return
            self._shards[number] = None
            self._shard_of[self._shard_of == number] = -1
        _log.warning("cache: %s; its rows are decoded again", error)
        self.folder.discard(Path(info.folder))

    def held(self, rows: NDArray[np.int64]) -> int:
        """Return how many of some rows are in the cache, whatever the version of their files."""
        return int((self._shard_of[rows] >= 0).sum())

    # --- adding ------------------------------------------------------------------------------------------------------

    def wanted(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which rows should be added."""
        if self._full or self.folder.reason:
            return np.zeros(len(rows), np.bool_)
        wanted: NDArray[np.bool_] = (self._shard_of[rows] < 0) & ~self._pending[rows]
        if self.share < 1.0:
            wanted &= uniform(0, 0, rows, 0, 1)[:, 0] < self.share
        return wanted

    def add(self, rows: NDArray[np.int64], versions: NDArray[np.uint64], values: Mapping[str, Any]) -> None:
        """Add rows that are `wanted`. Unless rows are always added, nothing is if every shard that is being filled is in use, or the disk is slow."""
        nbytes = _nbytes(values) + len(rows) * 64
        now = time.monotonic()
        free = (each for each in self._filling if now >= each.rests_until and each.lock.acquire(blocking=False))
        filling = next(free, None)
        if filling is None:
            if not self._always:
                return
            filling = self._filling[int(rows[0]) % len(self._filling)]
            filling.lock.acquire()
        try:
            self._append(filling, rows, versions, values, nbytes)
        except (BitesizeError, OSError) as error:
            self._give_up(filling, error)
        finally:
            filling.lock.release()

    def _append(
        self, filling: _Filling, rows: NDArray[np.int64], versions: NDArray[np.uint64], values: Mapping[str, Any], nbytes: int
    ) -> None:  # fmt: skip
        begun = time.monotonic()
        if filling.writer is not None and filling.claim is not None and not self._fits(filling, nbytes):
            self._seal(filling)
        if filling.writer is None and not self._open(filling, nbytes):
            return
        assert filling.writer is not None
        with self._lock:  # two threads may have the same row: a row occurs twice in some orders
            fresh = ~self._pending[rows] & (self._shard_of[rows] < 0) & _first_of_each(rows)
            self._pending[rows[fresh]] = True
        if not fresh.any():
            return
        if not fresh.all():
            chosen = np.flatnonzero(fresh)
            rows, versions = rows[chosen], versions[chosen]
            values = {name: value[chosen] if isinstance(value, np.ndarray) else [value[i] for i in chosen.tolist()] for name, value in values.items()}  # fmt: skip
        filling.writer.append({**values, ROW: rows, VERSION: versions})
        filling.rows += rows.astype(np.int64, copy=False).tobytes()
        filling.versions += versions.astype(np.uint64, copy=False).tobytes()
        took = time.monotonic() - begun
        filling.rests_until = time.monotonic() + self._rest * took

    def _fits(self, filling: _Filling, nbytes: int) -> bool:
        assert filling.writer is not None
        assert filling.claim is not None
        slack = _BLOCK * (3 * len(self.fields) + 3)
        return filling.writer.nbytes + nbytes + slack <= filling.claim.nbytes

    def _open(self, filling: _Filling, nbytes: int) -> bool:
        """Claim bytes for a shard and open it. If there is no room, nothing is added until the next epoch."""
        share = self.folder.limit // (_SHARDS_OF_EACH * len(self._filling))
        most = max(min(_SHARD_BYTES, share), 2 * nbytes + SHARD_SPARE)
        filling.claim = self.folder.claim(most, nbytes + SHARD_SPARE)
        if filling.claim is None:
            self._full = True
            return False
        filling.writer = ShardWriter(filling.claim.shard, self.fields | _OWN)
        return True

    def _give_up(self, filling: _Filling, error: Exception) -> None:
        """Add nothing any more, with one warning. Sealed shards stay."""
        error = without_frames(error)
        with self._lock:
            first, self.folder.reason = not self.folder.reason, str(error)
        if first:
            kind = "no more rows are added" if isinstance(error, DiskFull) else "no rows are added any more"
            _log.warning("cache: %s: %s, and training goes on", error, kind)
        self._abandon(filling)

    def _abandon(self, filling: _Filling) -> None:
        writer, claim = filling.writer, filling.claim
        filling.writer = filling.claim = None
        rows, _ = filling.taken()
        if writer is not None:
            writer.abandon()
        if claim is not None:
            claim.release()
        self._pending[rows] = False

    # --- sealing -----------------------------------------------------------------------------------------------------

    def _seal(self, filling: _Filling, *, wait: bool = False) -> None:
        """Flush and seal a shard, in another thread unless ``wait``."""
        writer, claim = filling.writer, filling.claim
        if writer is None or claim is None or not filling.rows:
            self._abandon(filling)
            return
        rows, versions = filling.taken()
        filling.writer = filling.claim = None
        if wait:
            self._seal_now(writer, claim, rows, versions)
            return
        with self._lock:
            self._sealer = self._sealer or ThreadPoolExecutor(1, "bitesize-cache")
            sealer = self._sealer
        sealer.submit(self._seal_now, writer, claim, rows, versions)

    def _seal_now(
        self, writer: ShardWriter, claim: Claim, rows: NDArray[np.int64], versions: NDArray[np.uint64]
    ) -> None:  # fmt: skip
        try:
            self._known.add(claim.shard)  # before `refresh` can see it
            info = writer.seal()
            self._add(info, rows, versions)
        except (BitesizeError, OSError) as error:
            writer.abandon()
            with self._lock:
                first, self.folder.reason = not self.folder.reason, str(error)
                self._pending[rows] = False
            if first:
                _log.warning("cache: %s: no more rows are added, and training goes on", error)
        finally:
            claim.release()

    def end_epoch(self) -> None:
        """Seal the shards that are being filled, so that the next epoch reads their rows. Does not wait."""
        self._rest = self._rest_later
        for filling in self._filling:
            with filling.lock:
                self._seal(filling)

    def close(self) -> None:
        """Seal all shards, and wait until they are flushed. More than once is allowed; does nothing in a forked process."""
        if os.getpid() != self._process:  # the shards are those of the parent, which goes on writing them
            return
        for filling in self._filling:
            with filling.lock:
                self._seal(filling, wait=True)  # at the end of the interpreter, no thread accepts work
        with self._lock:
            sealer, self._sealer = self._sealer, None
        if sealer is not None:
            sealer.shutdown(wait=True)
        self.folder.close()


def _is_number(field: ShardField) -> bool:
    return field.kind == "fixed" and field.row_nbytes == 1


def _nbytes(values: Mapping[str, Any]) -> int:
    return sum(
        value.nbytes if isinstance(value, np.ndarray) else sum(memoryview(each).nbytes for each in value)
        for value in values.values()
    )


def _first_of_each(rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which entries are the first of their row number."""
    first = np.zeros(len(rows), np.bool_)
    first[np.unique(rows, return_index=True)[1]] = True
    return first


def _column(info: ShardInfo, name: str, dtype: Any) -> NDArray[Any]:
    """Read a whole field of one number per row."""
    from bitesize.files.pread import read_into, with_file

    rows = info.fixed(name)
    out = np.empty(info.rows, dtype)
    with_file(rows.path, lambda fd: read_into(fd, [out.view(np.uint8)], rows.offset, rows.path))
    return out


def chosen_share(room: int, need: int) -> float:
    """Return the share of rows that fit: a little less than the room, because shards are not filled to the last byte."""
    if room <= SHARD_SPARE:
        return 0.0
    return 1.0 if need <= room else max(0.0, 0.97 * room / max(1, need))
