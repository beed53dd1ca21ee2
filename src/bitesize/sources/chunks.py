"""Arrays in a grid of compressed chunks, which are read and decompressed here, several at a time, with bounded memory."""

from __future__ import annotations

import math
import threading
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BitesizeError
from bitesize.files.pread import open_object
from bitesize.memory.mapping import allocate
from bitesize.sources.column import Column, Stretch
from bitesize.storage.blocks import HELD_NBYTES, hold_parts, holding

# Number of cached decompressed chunks of a column, for reads of less than a whole chunk: one for each of two threads.
_KEPT = 2
# Maximum overhead of a stored chunk over its decompressed size: zlib and Blosc add less.
_STORED_MORE, _STORED_PART = 1 << 16, 16
_FED, _MADE = 1 << 15, 1 << 17  # bytes that are decompressed at a time, and the maximum output

Coordinates = tuple[int, ...]


class Chunked(Column):
    """An array in chunks, whose bytes can be read one chunk at a time.

    Parameters
    ----------
    shape, dtype
        Shape and dtype of the array, as stored.
    chunks
        Shape of a chunk.

    Attributes
    ----------
    is_remote : bool
        Whether chunks are read from objects.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], chunks: tuple[int, ...]) -> None:
        self.shape, self.dtype, self._chunks = shape, dtype, chunks
        self._chunk_nbytes = math.prod(chunks) * dtype.itemsize
        # Whether a chunk is rows unchanged in memory, and nothing of others.
        self._as_rows = chunks[1:] == shape[1:] and dtype.isnative
        self.is_remote = False
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Coordinates, NDArray[Any]] = {}
        self._own = threading.local()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_kept", "_own")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    @property
    def _between(self) -> int:
        """Number of intermediate chunks that a thread needs for decompression."""
        return 1

    @abstractmethod
    def _load(self, at: Coordinates, most: int, out: NDArray[np.uint8]) -> bool:
        """Read a chunk of at most ``most`` stored bytes into ``out``; return False if it is not stored."""

    @abstractmethod
    def _fill_value(self) -> Any:
        """Return the value of chunks that are not stored."""

    def _buffer(self, name: str, nbytes: int, most: int) -> NDArray[np.uint8]:
        """Return a buffer of this thread, which is reused: allocating would cost as much as decompressing.

        It is allocated at full size at once: malloc would keep smaller buffers.
        """
        buffer: NDArray[np.uint8] | None = getattr(self._own, name, None)
        if buffer is None:
            buffer = allocate(most)
            setattr(self._own, name, buffer)
        return buffer[:nbytes]

    def read(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """Read neighboring rows, chunk by chunk."""
        rows = self._chunks[0]
        beside = [range(-(-n // c)) for n, c in zip(self.shape[1:], self._chunks[1:], strict=True)]
        as_rows = self._as_rows and out.dtype == self.dtype and out.flags.c_contiguous
        for at in product(range(start // rows, -(-stop // rows)), *beside):
            first, last = max(start, at[0] * rows), min(stop, (at[0] + 1) * rows, self.shape[0])
            in_out = [slice(first - start, last - start)]
            in_chunk = [slice(first - at[0] * rows, last - at[0] * rows)]
            for i, n, c in zip(at[1:], self.shape[1:], self._chunks[1:], strict=True):
                in_out.append(slice(i * c, min((i + 1) * c, n)))
                in_chunk.append(slice(0, min(c, n - i * c)))
            if as_rows and last - first == rows:  # directly into the result
                destination = out[in_out[0]]
                if not self._load(at, self._most, destination.reshape(-1).view(np.uint8)):
                    destination[...] = self._fill_value()
                continue
            if last - first < min(rows, self.shape[0] - at[0] * rows) or self._as_rows:
                with self._lock:  # also while it is copied: chunks in use would add to the cached ones
                    out[tuple(in_out)] = self._keep(at)[tuple(in_chunk)]
            else:
                out[tuple(in_out)] = self._chunk(at, self._buffer("chunk", self._chunk_nbytes, self._chunk_nbytes))[
                    tuple(in_chunk)
                ]

    def _spans(self, chunks: Sequence[Coordinates]) -> dict[bytes, list[tuple[int, int]]]:
        """Return where chunks are stored in objects: first bytes and numbers of bytes in each."""
        return {}

    def ahead(self, stretches: Sequence[Stretch]) -> Iterator[Sequence[Stretch]]:
        """Yield the same rows in parts, whose chunks are in memory if they come from objects, read at the same time."""
        part: list[Stretch] = []
        chunks: dict[Coordinates, None] = {}
        most = max(1, HELD_NBYTES // self._most)
        for i, start, stop in stretches:
            for first in range(start // self._chunks[0] * self._chunks[0], stop, self._chunks[0]):
                here = max(start, first), min(stop, first + self._chunks[0])
                own = [at for at in self._chunks_of(*here) if at not in self._kept]
                if part and len(chunks.keys() | own) > most:
                    with self._holding(list(chunks)):
                        yield part
                    part, chunks = [], {}
                part.append((i + here[0] - start, *here))
                chunks |= dict.fromkeys(own)
        with self._holding(list(chunks)):
            yield part

    @contextmanager
    def _holding(self, chunks: Sequence[Coordinates]) -> Iterator[None]:
        """Read the stored bytes of chunks at the same time. What fails is read once more where it is needed, and raises its error there."""
        files, spans = [], []
        for path, each in self._spans(chunks).items():
            with suppress(BitesizeError):
                files.append(open_object(path))
                spans.append(each)
        hold_parts(files, spans)
        with holding(files):
            yield

    def _chunks_of(self, start: int, stop: int) -> list[Coordinates]:
        """Return the chunks of neighboring rows."""
        beside = [range(-(-n // c)) for n, c in zip(self.shape[1:], self._chunks[1:], strict=True)]
        return list(product(range(start // self._chunks[0], -(-stop // self._chunks[0])), *beside))

    def _keep(self, at: Coordinates) -> NDArray[Any]:
        """Return a chunk from the cache, after loading it if needed."""
        if at not in self._kept:
            while len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[at] = self._chunk(at, allocate(self._chunk_nbytes)[: self._chunk_nbytes])
        return self._kept[at]

    def _chunk(self, at: Coordinates, data: NDArray[np.uint8]) -> NDArray[Any]:
        """Load a chunk into a buffer and return it."""
        if not self._load(at, self._most, data):
            return np.broadcast_to(np.array(self._fill_value(), self.dtype), self._chunks)
        return data.view(self.dtype).reshape(self._chunks)

    @property
    def _most(self) -> int:
        return most_stored(self._chunk_nbytes)

    def close(self) -> None:
        """Free the cached chunks."""
        with self._lock:
            self._kept.clear()

    def chunk(self, at: Coordinates) -> NDArray[Any]:
        """Return a chunk, by its number along each axis; it has the same shape at the end of the array."""
        return self._chunk(at, np.empty(self._chunk_nbytes, np.uint8))

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """Shape of a chunk."""
        return self._chunks

    @property
    def chunk_rows(self) -> int | None:
        """Number of rows of a chunk."""
        return self._chunks[0]

    def scratch(self, rows: int) -> int:
        """Return the bytes of a thread: a chunk as stored, between two filters, and before its rows are copied."""
        held = max(
            HELD_NBYTES, self._most * math.prod(-(-n // c) for n, c in zip(self.shape[1:], self._chunks[1:], strict=True))
        )
        return (held if self.is_remote else 0) + self._most + ((not self._as_rows) + self._between) * self._chunk_nbytes

    @property
    def nbytes(self) -> int:
        """Bytes of the cached chunks."""
        return _KEPT * self._chunk_nbytes


def most_stored(nbytes: int) -> int:
    """Return the maximum stored size of a chunk of ``nbytes``: incompressible data becomes slightly larger."""
    return nbytes + nbytes // _STORED_PART + _STORED_MORE


def inflate(data: NDArray[np.uint8], out: NDArray[np.uint8], wbits: int) -> None:
    """Decompress a stream of zlib or gzip (``wbits`` as in `zlib`) that must fill ``out`` exactly.

    Raises
    ------
    BadFile
        If the stream is damaged, or its size differs; decompression stops there.
    """
    stream = zlib.decompressobj(wbits)
    source, into = memoryview(data), memoryview(out)  # type: ignore[arg-type]
    fed = done = 0
    more = False
    made = b""
    try:
        while not stream.eof and not more and (fed < len(source) or len(made) == _MADE):
            piece: bytes | memoryview = stream.unconsumed_tail
            if not piece:
                piece, fed = source[fed : fed + _FED], fed + _FED
            made = stream.decompress(piece, _MADE)
            more = len(made) > len(into) - done
            if not more:
                into[done : done + len(made)] = made
                done += len(made)
    except zlib.error as error:
        raise BadFile(f"a chunk is damaged: {error}") from error
    if more or done < len(into) or not stream.eof:
        raise BadFile(f"a chunk decompresses to {'more' if more else 'fewer'} than the {len(into):,} bytes expected")


def unshuffle(data: NDArray[np.uint8], itemsize: int, out: NDArray[np.uint8]) -> None:
    """Reorder bytes that were stored as the first bytes of all values, then the second bytes, and so on."""
    whole = len(data) // itemsize * itemsize
    out[:whole].reshape(-1, itemsize)[...] = data[:whole].reshape(itemsize, -1).T
    out[whole:] = data[whole:]
