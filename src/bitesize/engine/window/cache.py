"""Cache of chunks of rows, which keeps a chunk while its rows are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.batching import Batching, BatchRows
from bitesize.engine.window.buffers import Buffer, BufferPool
from bitesize.engine.window.schedule import ChunkLoad, PrefetchSchedule
from bitesize.engine.window.source import CachedSource
from bitesize.errors import BadRows, BitesizeError, LoaderClosed, without_frames
from bitesize.files.pread import compiled
from bitesize.memory.mapping import aligned
from bitesize.order.coordinates import ChunkNumber, EpochPosition, SourceRow
from bitesize.sources.protocol import Into, Located, raise_bad
from bitesize.sources.sinks import Arena, ArenaFull, EncodedSink, portion
from bitesize.spec import Field


class CachedChunk:
    """A chunk in memory, or being read."""

    __slots__ = (
        "addresses",
        "buffer",
        "ended",
        "error",
        "failed",
        "fields",
        "files",
        "needed_rows",
        "number",
        "start",
        "unbuffered",
    )

    def __init__(self, number: ChunkNumber, start: SourceRow, uses: int) -> None:
        self.number, self.start, self.needed_rows = number, start, uses
        self.ended = False  # whether reading has ended, with or without success
        self.buffer: Buffer | None = None
        self.fields: dict[str, NDArray[Any]] = {}
        self.addresses: dict[str, int] = {}  # by field, the address that row 0 of the source would have
        self.files: dict[str, dict[int, memoryview]] = {}
        self.failed: Mapping[int, Exception] = {}
        self.unbuffered: frozenset[int] = (
            frozenset()
        )  # rows that did not fit the memory, and are read when they are requested
        self.error: BaseException | None = None


class ChunkCache:
    """The chunks that one sequence of batches has in memory.

    A thread calls `enter` when it gets rows of the chunks, and `leave` when it has finished. Chunks that are no longer needed are then
    dropped.

    Parameters
    ----------
    source
        Source of the chunks.
    batching, place
        Batches, and the place of the first batch.
    buffers
        Memory for the chunks.
    """

    def __init__(self, source: CachedSource, batching: Batching, place: tuple[int, int], buffers: BufferPool) -> None:
        epoch, position = place
        self._source, self._buffers, self._lock = source, buffers, buffers.lock
        self._schedule = PrefetchSchedule(batching, epoch, EpochPosition(position))
        self._starts = source.chunk_starts.starts
        self._chunks: dict[ChunkNumber, CachedChunk] = {}
        self._fixed = {name: field for name, field in source.spec.items() if isinstance(field, Field)}
        self._primary = source.primary
        self._users = 0
        self._closed = False

    # --- loading ------------------------------------------------------------------------------------------------------

    def due(self, step: BatchRows) -> list[CachedChunk]:
        """Return the chunks to read with `load` before the next batch, in this order."""
        return self._register(self._schedule.due(step))

    def _register(self, due: Sequence[ChunkLoad]) -> list[CachedChunk]:
        new = []
        with self._lock:
            for number, uses in due:
                chunk = self._chunks.get(number)
                if chunk is not None:
                    chunk.needed_rows += uses
                elif not self._closed:
                    chunk = self._chunks[number] = CachedChunk(number, SourceRow(int(self._starts[number])), uses)
                    new.append(chunk)
        return new

    def enter(self, load: CachedChunk | None = None) -> None:
        """Register a thread that will use cached rows, or load a chunk. Call in the order of use."""
        with self._lock:
            self._users += 1
            self._buffers.enter(load)

    def load(self, chunk: CachedChunk) -> None:
        """Read a chunk into memory, then call `leave`."""
        try:
            with self._lock:
                chunk.buffer = self._buffers.allocate(self._source.chunk_nbytes(chunk.number), chunk, lambda: self._closed)
            if chunk.buffer is not None:
                self._read_chunk(chunk, chunk.buffer)
        except BaseException as error:  # noqa: BLE001 - raised where the rows are requested
            chunk.error = without_frames(error)
        finally:
            with self._lock:
                chunk.ended = True
            self.leave()

    def _read_chunk(self, chunk: CachedChunk, buffer: Buffer) -> None:
        rows = np.arange(chunk.start, self._starts[chunk.number + 1], dtype=np.int64)
        into: dict[str, Any] = {}
        at = 0
        for name, field in self._fixed.items():
            nbytes = len(rows) * field.nbytes
            chunk.fields[name] = into[name] = buffer[at : at + nbytes].view(field.dtype).reshape(len(rows), *field.shape)
            chunk.addresses[name] = buffer.ctypes.data + at - chunk.start * field.nbytes
            at += aligned(nbytes)
        rest = Arena(buffer[at:])
        for name in self._source.spec:
            if name not in self._fixed:
                into[name] = EncodedSink(rest.take)
                chunk.files[name] = into[name].files
        try:
            self._source.base.read(rows, into)
        except BadRows as error:
            chunk.unbuffered = frozenset(i for i, cause in error.causes.items() if isinstance(cause, ArenaFull))
            chunk.failed = {i: without_frames(cause) for i, cause in error.causes.items() if i not in chunk.unbuffered}

    # --- reading -----------------------------------------------------------------------------------------------------

    def leave(self, rows: NDArray[np.int64] | None = None) -> None:
        """Unregister a thread, and count its ``rows`` as used. Drop chunks without further expected rows."""
        with self._lock:
            self._users -= 1
            if rows is not None and not self._closed:
                numbers, counts = np.unique(self._numbers(rows), return_counts=True)
                for number, uses in zip(numbers.tolist(), counts.tolist(), strict=True):
                    chunk = self._chunks[number]
                    chunk.needed_rows -= uses
                    if chunk.needed_rows <= 0:
                        self._remove(chunk)
            if self._closed and not self._users:
                self._remove_all()
            self._buffers.leave()

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Copy rows of chunks that are in memory, and read all other rows; see `Source.read`."""
        _, inverse, chunks = self._wait_for(rows)
        failed: dict[int, Exception] = {}
        if (
            None in chunks
            or any(chunk.unbuffered for chunk in chunks if chunk)
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
        if self._primary not in self._fixed or any(chunk is None or chunk.failed or chunk.unbuffered for chunk in chunks):
            return None
        return Located(
            [],
            numbers,
            _addresses(chunks, self._primary)[inverse] + rows * self._fixed[self._primary].nbytes,
            in_memory=True,
        )

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Copy all fields except the primary one, for rows that were located."""
        self.read(rows, into)

    def _copy_one(
        self, rows: NDArray[np.int64], i: int, chunk: CachedChunk | None, into: Into, failed: dict[int, Exception]
    ) -> None:  # fmt: skip
        """Copy one row of a call, or read it if it is not in memory."""
        if chunk is None or int(rows[i]) - chunk.start in chunk.unbuffered:
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
                if name in into:
                    into[name].put(i, files[at].nbytes)[:] = files[at]
        except BitesizeError as error:
            failed[i] = error

    def _wait_for(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], list[CachedChunk | None]]:
        """Wait until the chunks of rows are read; return the numbers of the chunks, the index of each row's chunk, and the chunks.

        A chunk that is not in memory is None.
        """
        numbers, inverse = np.unique(self._numbers(rows), return_inverse=True)
        with self._lock:
            chunks = [self._chunks.get(number) for number in numbers.tolist()]
            for chunk in chunks:
                while chunk is not None and not chunk.ended and not self._closed:
                    self._buffers.wait()
            if self._closed:
                raise LoaderClosed("these rows are no longer needed: their iterator has ended")
        for chunk in chunks:
            if chunk is not None and chunk.error is not None:
                raise chunk.error
        return numbers, inverse, [chunk if chunk is not None and chunk.buffer is not None else None for chunk in chunks]

    def _numbers(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        numbers: NDArray[np.int64] = np.searchsorted(self._starts, rows, side="right") - 1
        return numbers

    # --- closing -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Drop all chunks as soon as no thread uses them."""
        with self._lock:
            self._closed = True
            if not self._users:
                self._remove_all()
            self._buffers.progress()

    def _remove_all(self) -> None:
        for chunk in list(self._chunks.values()):
            self._remove(chunk)

    def _remove(self, chunk: CachedChunk) -> None:
        del self._chunks[chunk.number]
        chunk.fields, chunk.files = {}, {}
        buffer, chunk.buffer = chunk.buffer, None
        if buffer is not None:
            self._buffers.put_back(buffer)


def _addresses(chunks: Sequence[CachedChunk | None], name: str) -> NDArray[np.int64]:
    return np.array([chunk.addresses[name] for chunk in chunks if chunk is not None], np.int64)
