"""Random access to a deflated stream: decompressor states are kept at access points along it, and copied to continue from there.

A deflated stream can only be decompressed from its start. On the first pass the state of the decompressor is copied at even
distances (about 48 KiB each); then any part costs at most the distance between two access points.
"""

from __future__ import annotations

import threading
import zlib
from bisect import bisect_right
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile
from bitesize.files.names import show
from bitesize.files.pread import Handle, read_into

# Distance between access points, in decompressed bytes, or more if there would be too many.
_APART = 1 << 20
_MOST = 256
# Bytes of a decompressor: its window of 32 KiB, tables, and input not consumed yet.
STATE_NBYTES = 64 << 10
# Decompressors of recent reads: a read that continues one of them starts there.
_LIVE = 16
_INPUT = 1 << 14  # bytes that are fed at a time
_REQUESTED = 1 << 20  # the same of objects, since each time is a request
_OUTPUT = 1 << 16  # bytes that are skipped at a time


class AccessPoint(NamedTuple):
    """A decompressor state at a position of a stream: bytes returned, and bytes consumed."""

    given: int
    consumed: int
    state: Any


class SeekableDeflate:
    """A deflated stream in a file with random access, from several threads at once.

    Parameters
    ----------
    path
        The file.
    offset, compressed
        Offset and size of the stream in the file.
    size
        Size of the decompressed stream; never exceeded.
    crc
        CRC-32 of the decompressed stream, checked once the whole stream has been read.
    """

    def __init__(self, path: bytes, offset: int, compressed: int, size: int, crc: int) -> None:
        self.path, self.offset, self.compressed, self.size, self.crc = path, offset, compressed, size, crc
        self.apart = max(_APART, -(-size // _MOST))
        self._begin()

    def _begin(self) -> None:
        self._lock, self._growing = threading.Lock(), threading.Lock()
        self._points = [AccessPoint(0, 0, zlib.decompressobj(-zlib.MAX_WBITS))]
        self._live: list[AccessPoint] = []
        self._seen = self._seen_crc = 0  # bytes decompressed so far, and their checksum

    def __getstate__(self) -> dict[str, Any]:
        kept = ("path", "offset", "compressed", "size", "crc", "apart")
        return {name: self.__dict__[name] for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    @property
    def nbytes(self) -> int:
        """Maximum bytes of the decompressor states, once the whole stream has been read."""
        return (self.size // self.apart + 1 + _LIVE) * STATE_NBYTES

    def read(self, fd: Handle, first: int, out: NDArray[np.uint8]) -> None:
        """Read the bytes from ``first`` into ``out``.

        Parameters
        ----------
        fd
            The open file.
        first
            Start, in bytes of the decompressed stream.
        out
            Shape (n,), C-contiguous.

        Raises
        ------
        BadFile
            If the stream is damaged, or ends too early.
        """
        if not len(out):
            return
        if first < self.apart and first + len(out) == self.size:  # the whole stream: one pass is enough
            stream = _Stream(self, fd, self._points[0]._replace(state=self._points[0].state.copy()))
            crc = stream.skip(first)
            stream.fill(memoryview(out))  # type: ignore[arg-type]
            self._check(zlib.crc32(memoryview(out), crc))  # type: ignore[arg-type]
            return
        self._see(fd, first)
        stream = _Stream(self, fd, self._before(first))
        stream.skip(first - stream.given)
        stream.fill(memoryview(out))  # type: ignore[arg-type]
        self._keep(stream.access_point())

    def _check(self, crc: int) -> None:
        if crc != self.crc:
            raise BadFile(f"{show(self.path)} is damaged: the checksum of the decompressed data differs")

    def _see(self, fd: Handle, first: int) -> None:
        """Decompress the stream up to the access point before ``first``, unless this was done before."""
        if first < self._seen:
            return
        with self._growing:
            last = self._points[-1]
            stream = _Stream(self, fd, last._replace(state=last.state.copy()))
            while first >= self._seen:
                self._seen_crc = stream.skip(min(self.apart, self.size - stream.given), self._seen_crc)
                if stream.given < self.size:
                    self._points.append(stream.access_point())
                else:
                    self._check(self._seen_crc)
                self._seen = stream.given

    def _before(self, first: int) -> AccessPoint:
        """Return the nearest decompressor state at or before ``first``."""
        with self._lock:
            near = max((live for live in self._live if live.given <= first), key=lambda live: live.given, default=None)
            known = self._points[bisect_right(self._points, first, key=lambda point: point.given) - 1]
            if near is not None and near.given >= known.given:
                self._live.remove(near)
                return near
        return known._replace(state=known.state.copy())

    def _keep(self, point: AccessPoint) -> None:
        with self._lock:
            self._live.append(point)
            del self._live[:-_LIVE]


class _Stream:
    """A decompressor that continues from an access point."""

    def __init__(self, of: SeekableDeflate, fd: Handle, point: AccessPoint) -> None:
        self._of, self._fd = of, fd
        self.given, self._consumed, self._state = point
        self._input = b""

    def access_point(self) -> AccessPoint:
        """Return the current access point; input read beyond it is read again."""
        return AccessPoint(self.given, self._consumed, self._state.copy())

    def skip(self, nbytes: int, crc: int = 0) -> int:
        """Decompress without storing; return the updated checksum."""
        scrap = memoryview(bytearray(min(nbytes, _OUTPUT)))
        while nbytes > 0:
            got = self.next(scrap[:nbytes])
            crc = zlib.crc32(scrap[:got], crc)
            nbytes -= got
        return crc

    def fill(self, into: memoryview) -> None:
        """Decompress into a buffer until it is full."""
        done = 0
        while done < len(into):
            done += self.next(into[done:])

    def next(self, into: memoryview) -> int:
        """Fill the start of ``into``, at least one byte; give how many."""
        of = self._of
        while True:
            if not self._input:
                fed = min(_INPUT if isinstance(self._fd, int) else _REQUESTED, of.compressed - self._consumed)
                if fed <= 0 and self._state.eof:
                    raise BadFile(f"{show(of.path)} is damaged: its stream ends after {self.given:,} of {of.size:,} bytes")
                data = bytearray(max(0, fed))
                read_into(self._fd, [data], of.offset + self._consumed, of.path)
                self._input = bytes(data)
            before = len(self._input)
            try:
                made = self._state.decompress(self._input, min(len(into), _OUTPUT))
            except zlib.error as error:
                raise BadFile(f"{show(of.path)} is damaged: {error}") from error
            self._input = self._state.unconsumed_tail
            self._consumed += before - len(self._input)
            if made:
                into[: len(made)] = made
                self.given += len(made)
                return len(made)
            if self._state.eof or not before:
                raise BadFile(f"{show(of.path)} is damaged: its stream ends after {self.given:,} of {of.size:,} bytes")
