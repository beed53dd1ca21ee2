"""Reading in the middle of a deflated stream: decompressors are kept at places along it, and copied to go on from there.

A deflated stream can only be decompressed from its begin. While it is, once, the state of the decompressor is copied at even
distances (about 48 KiB each); after that any part costs at most the distance between two such places.
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
from bitesize.files.pread import read_into, with_file

# Places are this far apart, in bytes of the result, or farther where there would be too many.
_APART = 1 << 20
_MOST = 256
# What a decompressor takes: its window of 32 KiB, tables, and what it has not consumed yet.
STATE_NBYTES = 64 << 10
# Readers that have just ended somewhere: who reads on goes on from there.
_LIVE = 16
_INPUT = 1 << 14  # bytes that are fed at a time
_OUTPUT = 1 << 16  # bytes that are thrown away at a time, on the way to what is wanted


class AccessPoint(NamedTuple):
    """A decompressor somewhere in a stream: how much it has given, and how much it has consumed."""

    given: int
    consumed: int
    state: Any


class SeekableDeflate:
    """A deflated stream in a file, of which any part can be read; from several threads at once.

    Parameters
    ----------
    path
        The file.
    offset, compressed
        Where in it the stream begins, and its bytes.
    size
        Bytes that it must decompress to: never more are made.
    crc
        Their CRC-32, which is checked when the whole stream has been seen.
    """

    def __init__(self, path: bytes, offset: int, compressed: int, size: int, crc: int) -> None:
        self.path, self.offset, self.compressed, self.size, self.crc = path, offset, compressed, size, crc
        self.apart = max(_APART, -(-size // _MOST))
        self._begin()

    def _begin(self) -> None:
        self._lock, self._growing = threading.Lock(), threading.Lock()
        self._places = [AccessPoint(0, 0, zlib.decompressobj(-zlib.MAX_WBITS))]
        self._live: list[AccessPoint] = []
        self._seen = self._seen_crc = 0  # bytes that somebody has been through, and their checksum

    def __getstate__(self) -> dict[str, Any]:
        kept = ("path", "offset", "compressed", "size", "crc", "apart")
        return {name: self.__dict__[name] for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    @property
    def nbytes(self) -> int:
        """Bytes that decompressors may take, once all of the stream has been seen."""
        return (self.size // self.apart + 1 + _LIVE) * STATE_NBYTES

    def read(self, fd: int, first: int, out: NDArray[np.uint8]) -> None:
        """Give the bytes from ``first`` on.

        Parameters
        ----------
        fd
            The open file.
        first
            Where to begin, in bytes of the decompressed stream.
        out
            Shape (n,), C-contiguous.

        Raises
        ------
        BadFile
            If the stream is damaged, or ends too early.
        """
        if not len(out):
            return
        if first < self.apart and first + len(out) == self.size:  # all of it: one pass does
            stream = _Stream(self, fd, self._places[0]._replace(state=self._places[0].state.copy()))
            crc = stream.skip(first)
            stream.fill(memoryview(out))  # type: ignore[arg-type]
            self._check(zlib.crc32(memoryview(out), crc))  # type: ignore[arg-type]
            return
        self._see(fd, first)
        stream = _Stream(self, fd, self._before(first))
        stream.skip(first - stream.given)
        stream.fill(memoryview(out))  # type: ignore[arg-type]
        self._keep(stream.place())

    def _check(self, crc: int) -> None:
        if crc != self.crc:
            raise BadFile(f"{show(self.path)} is damaged: what it decompresses to has another checksum")

    def _see(self, fd: int, first: int) -> None:
        """Go through the stream, up to the place before ``first``, if nobody has been there yet."""
        if first < self._seen:
            return
        with self._growing:
            last = self._places[-1]
            stream = _Stream(self, fd, last._replace(state=last.state.copy()))
            while first >= self._seen:
                self._seen_crc = stream.skip(min(self.apart, self.size - stream.given), self._seen_crc)
                if stream.given < self.size:
                    self._places.append(stream.place())
                else:
                    self._check(self._seen_crc)
                self._seen = stream.given

    def _before(self, first: int) -> AccessPoint:
        """Take the nearest decompressor that is not behind ``first``."""
        with self._lock:
            near = max((live for live in self._live if live.given <= first), key=lambda live: live.given, default=None)
            known = self._places[bisect_right(self._places, first, key=lambda place: place.given) - 1]
            if near is not None and near.given >= known.given:
                self._live.remove(near)
                return near
        return known._replace(state=known.state.copy())

    def _keep(self, place: AccessPoint) -> None:
        with self._lock:
            self._live.append(place)
            del self._live[:-_LIVE]


class _Stream:
    """A decompressor that goes on from a place."""

    def __init__(self, of: SeekableDeflate, fd: int, place: AccessPoint) -> None:
        self._of, self._fd = of, fd
        self.given, self._consumed, self._state = place
        self._input = b""

    def place(self) -> AccessPoint:
        """Tell where it is; what was read of the file beyond that is read again."""
        return AccessPoint(self.given, self._consumed, self._state.copy())

    def skip(self, nbytes: int, crc: int = 0) -> int:
        """Go on without keeping anything; give the checksum continued."""
        scrap = memoryview(bytearray(min(nbytes, _OUTPUT)))
        while nbytes > 0:
            got = self.next(scrap[:nbytes])
            crc = zlib.crc32(scrap[:got], crc)
            nbytes -= got
        return crc

    def fill(self, into: memoryview) -> None:
        """Go on and keep all of it."""
        done = 0
        while done < len(into):
            done += self.next(into[done:])

    def next(self, into: memoryview) -> int:
        """Fill the begin of ``into``, at least one byte; give how many."""
        of = self._of
        while True:
            if not self._input:
                fed = min(_INPUT, of.compressed - self._consumed)
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


def read_deflated(stream: SeekableDeflate, first: int, out: NDArray[np.uint8]) -> None:
    """Open the file and read a part of its stream; see `SeekableDeflate.read`."""
    with_file(stream.path, lambda fd: stream.read(fd, first, out))
