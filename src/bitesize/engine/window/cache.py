"""Cache of chunks of rows, which keeps a chunk while its rows are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.batching import Batching, BatchRows
from bitesize.engine.window.buffers import BufferPool, Frame
from bitesize.engine.window.schedule import Due, PrefetchSchedule
from bitesize.engine.window.source import CachedSource
from bitesize.errors import BadRows, BitesizeError, FileChanged, LoaderClosed, without_frames
from bitesize.files.pread import compiled
from bitesize.memory.mapping import aligned
from bitesize.sources.base import Source
from bitesize.sources.rows import Into, Located, portion, raise_bad
from bitesize.spec import Field


class CachedChunk:
    """A chunk in memory, or being read."""

    __slots__ = ("addresses", "beside", "error", "failed", "fields", "files", "frame", "left", "number", "start", "there")

    def __init__(self, number: int, start: int, uses: int) -> None:
        self.number, self.start, self.left = number, start, uses
        self.there = False  # whether reading has ended, with or without success
        self.frame: Frame | None = None
        self.fields: dict[str, NDArray[Any]] = {}
        self.addresses: dict[str, int] = {}  # by field, the address that row 0 of the source would have
        self.files: dict[str, dict[int, memoryview]] = {}
        self.failed: Mapping[int, Exception] = {}
        self.beside: frozenset[int] = frozenset()  # rows that did not fit the memory, and are read when they are requested
        self.error: BaseException | None = None


class ChunkCache:
    """The chunks that one sequence of batches has in memory.

    A thread calls `enter` when it gets rows of the chunks, and `leave` when it has finished. Chunks that are no longer needed are then
    dropped.

    Parameters
    ----------
    source
        Source of the chunks.
    steps, place
        Batches, and the place of the first batch.
    frames
        Memory for the chunks.
    """

    def __init__(self, source: CachedSource, steps: Batching, place: tuple[int, int], frames: BufferPool) -> None:
        self._source, self._frames, self._lock = source, frames, frames.lock
        self._schedule = PrefetchSchedule(steps, *place)
        self._starts = source.runs_held.starts
        self._runs: dict[int, CachedChunk] = {}
        self._fixed = {name: what for name, what in source.spec.items() if isinstance(what, Field)}
        self._main = source.primary
        self._users = 0
        self._closed = False

    # --- loading ------------------------------------------------------------------------------------------------------

    def due(self, step: BatchRows) -> list[CachedChunk]:
        """Return the chunks to read with `load` before the next batch, in this order."""
        return self._expect(self._schedule.due(step))

    def _expect(self, due: Sequence[Due]) -> list[CachedChunk]:
        new = []
        with self._lock:
            for number, uses in due:
                chunk = self._runs.get(number)
                if chunk is not None:
                    chunk.left += uses
                elif not self._closed:
                    chunk = self._runs[number] = CachedChunk(number, int(self._starts[number]), uses)
                    new.append(chunk)
        return new

    def enter(self, load: CachedChunk | None = None) -> None:
        """Register a thread that will use cached rows, or load a chunk. Call in the order of use."""
        with self._lock:
            self._users += 1
            self._frames.enter(load)

    def load(self, chunk: CachedChunk) -> None:
        """Read a chunk into memory, then call `leave`."""
        try:
            with self._lock:
                chunk.frame = self._frames.room(self._source.chunk_nbytes(chunk.number), chunk, lambda: self._closed)
            if chunk.frame is not None:
                self._read_run(chunk, chunk.frame)
        except BaseException as error:  # noqa: BLE001 - raised where the rows are requested
            chunk.error = without_frames(error)
        finally:
            with self._lock:
                chunk.there = True
            self.leave()

    def _read_run(self, chunk: CachedChunk, frame: Frame) -> None:
        rows = np.arange(chunk.start, self._starts[chunk.number + 1], dtype=np.int64)
        into: dict[str, Any] = {}
        at = 0
        for name, field in self._fixed.items():
            nbytes = len(rows) * field.nbytes
            chunk.fields[name] = into[name] = frame[at : at + nbytes].view(field.dtype).reshape(len(rows), *field.shape)
            chunk.addresses[name] = frame.ctypes.data + at - chunk.start * field.nbytes
            at += aligned(nbytes)
        rest = _RestOfMemory(frame[at:], self._source, chunk.start)
        for name in self._source.spec:
            if name not in self._fixed:
                into[name] = _Files(rest)
                chunk.files[name] = into[name].files
        try:
            self._source.base.read(rows, into)
        except BadRows as error:
            chunk.beside = frozenset(i for i, cause in error.causes.items() if isinstance(cause, _NoRoom))
            chunk.failed = {i: without_frames(cause) for i, cause in error.causes.items() if i not in chunk.beside}

    # --- reading -----------------------------------------------------------------------------------------------------

    def leave(self, rows: NDArray[np.int64] | None = None) -> None:
        """Unregister a thread, and count its ``rows`` as used. Drop chunks without further expected rows."""
        with self._lock:
            self._users -= 1
            if rows is not None and not self._closed:
                for number, uses in zip(*np.unique(self._numbers(rows), return_counts=True), strict=True):
                    chunk = self._runs[int(number)]
                    chunk.left -= int(uses)
                    if chunk.left <= 0:
                        self._drop(chunk)
            if self._closed and not self._users:
                self._drop_all()
            self._frames.leave()

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Copy rows of chunks that are in memory, and read all other rows; see `Source.read`."""
        _, inverse, chunks = self._wait_for(rows)
        failed: dict[int, Exception] = {}
        if (
            None in chunks
            or any(chunk.beside for chunk in chunks if chunk)
            or self._fixed.keys() != self._source.spec.keys()
            or compiled() is None
        ):
            for i, k in enumerate(inverse.tolist()):
                self._copy_one(rows, i, chunks[k], into, failed)
        else:
            for name, field in self._fixed.items():
                if name in into:
                    out = into[name].reshape(len(rows), -1).view(np.uint8)
                    compiled().copy_rows(_addresses(chunks, name)[inverse] + rows * field.nbytes, out)
        if any(chunk is not None and chunk.failed for chunk in chunks):
            for i, k in enumerate(inverse.tolist()):
                chunk = chunks[k]
                cause = chunk.failed.get(int(rows[i]) - chunk.start) if chunk is not None else None
                if cause is not None:
                    failed[i] = cause
        raise_bad(failed)

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return the addresses of rows in memory; None if a row is not in memory, or could not be read."""
        numbers, inverse, chunks = self._wait_for(rows)
        if self._main not in self._fixed or any(chunk is None or chunk.failed or chunk.beside for chunk in chunks):
            return None
        return Located(
            [], numbers, _addresses(chunks, self._main)[inverse] + rows * self._fixed[self._main].nbytes, in_memory=True
        )

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Copy all fields except the primary one, for rows that were located."""
        self.read(rows, into)

    def _copy_one(
        self, rows: NDArray[np.int64], i: int, chunk: CachedChunk | None, into: Into, failed: dict[int, Exception]
    ) -> None:  # fmt: skip
        """Copy one row of a call, or read it if it is not in memory."""
        if chunk is None or int(rows[i]) - chunk.start in chunk.beside:
            try:
                self._source.base.read(rows[i : i + 1], portion(into, i, 1))
            except BadRows as error:
                failed[i] = error.causes[0]
            return
        at = int(rows[i]) - chunk.start
        if at in chunk.failed:
            return
        for name, array in chunk.fields.items():
            if name in into:
                into[name][i] = array[at]
        try:
            for name, files in chunk.files.items():
                into[name].put(i, files[at].nbytes)[:] = files[at]
        except BitesizeError as error:
            failed[i] = error

    def _wait_for(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], list[CachedChunk | None]]:
        """Wait until the chunks of rows are read; return the numbers of the chunks, the index of each row's chunk, and the chunks.

        A chunk that is not in memory is None.
        """
        numbers, inverse = np.unique(self._numbers(rows), return_inverse=True)
        with self._lock:
            chunks = [self._runs.get(number) for number in numbers.tolist()]
            for chunk in chunks:
                while chunk is not None and not chunk.there and not self._closed:
                    self._frames.wait()
            if self._closed:
                raise LoaderClosed("these rows are no longer needed: their iterator has ended")
        for chunk in chunks:
            if chunk is not None and chunk.error is not None:
                raise chunk.error
        return numbers, inverse, [chunk if chunk is not None and chunk.frame is not None else None for chunk in chunks]

    def _numbers(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        numbers: NDArray[np.int64] = np.searchsorted(self._starts, rows, side="right") - 1
        return numbers

    # --- closing -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Drop all chunks as soon as no thread uses them."""
        with self._lock:
            self._closed = True
            if not self._users:
                self._drop_all()
            self._frames.progress()

    def _drop_all(self) -> None:
        for chunk in list(self._runs.values()):
            self._drop(chunk)

    def _drop(self, chunk: CachedChunk) -> None:
        del self._runs[chunk.number]
        chunk.fields, chunk.files = {}, {}
        frame, chunk.frame = chunk.frame, None
        if frame is not None:
            self._frames.give(frame)


def _addresses(chunks: Sequence[CachedChunk | None], name: str) -> NDArray[np.int64]:
    return np.array([chunk.addresses[name] for chunk in chunks if chunk is not None], np.int64)


class _NoRoom(FileChanged):
    """The rows of a chunk take more bytes than their source has reported."""


class _RestOfMemory:
    """The rest of a frame, allocated piece by piece."""

    def __init__(self, memory: Frame, source: Source, row: int) -> None:
        self._view = memoryview(memory)  # type: ignore[arg-type]
        self._at = 0
        self._source, self._row = source, row

    def take(self, i: int, nbytes: int) -> memoryview:
        """Return the next ``nbytes`` bytes, for row ``i`` of the chunk."""
        if nbytes > len(self._view) - self._at:
            raise _NoRoom(
                f"{self._source.describe(self._row + i)} has {nbytes:,} bytes, but all rows of its chunk were expected to have "
                f"{len(self._view):,}: the file has changed"
            )
        view = self._view[self._at : self._at + nbytes]
        self._at += nbytes
        return view


class _Files:
    """Receives the encoded rows of one field of a chunk."""

    def __init__(self, rest: _RestOfMemory) -> None:
        self._rest = rest
        self.files: dict[int, memoryview] = {}

    def put(self, i: int, nbytes: int) -> memoryview:
        """Return the buffer of a row."""
        view = self.files[i] = self._rest.take(i, nbytes)
        return view
