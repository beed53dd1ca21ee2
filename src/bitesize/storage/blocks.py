"""Objects whose small parts are read in blocks, because a request for a few bytes takes as long as one for many."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from bitesize.errors import BadFile, BitesizeError, RequestFailed
from bitesize.storage.remote_file import RemoteFile
from bitesize.storage.requests import LARGEST, Piece, read_all

# Bytes of a block, and blocks of a file that are kept.
BLOCK, KEPT = 64 << 10, 16
# Most bytes of a file in blocks in memory.
BLOCKS_NBYTES = BLOCK * KEPT
# Bytes of whole objects, or of parts of one, that are held together.
HELD_NBYTES = 8 << 20

_files: ContextVar[dict[str, BlockFile] | None] = ContextVar("_files", default=None)


class BlockFile(RemoteFile):
    """An object of which parts are held in memory: those asked for with `hold`, and the last few blocks that were read.

    Any number of threads may read it.

    Parameters
    ----------
    address
        The object.
    """

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.failed: Exception | None = None  # the last error, which libraries that read this file may hide
        self.refused: RequestFailed | None = None  # of `hold`, after all tries: no part is asked for again
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, memoryview] = OrderedDict()  # by their first byte; the last one read is at the end
        self._starts: list[int] = []
        self._held: list[memoryview] = []

    def hold(self, spans: Iterable[tuple[int, int]]) -> None:
        """Read parts, given by their first byte and their number of bytes, at the same time, and hold them until `release`.

        Raises
        ------
        BitesizeError
            If one of them cannot be read.
        """
        for error in hold_parts([self], [spans]).values():
            raise error

    def add(self, pieces: Iterable[Piece]) -> None:
        """Hold more parts, which are read by the caller."""
        held = [*zip(self._starts, self._held, strict=True), *((piece.offset, piece.into) for piece in pieces)]
        held.sort(key=lambda each: each[0])
        self._starts, self._held = [start for start, _ in held], [data for _, data in held]

    def release(self) -> None:
        """Drop what `hold` has read."""
        self._starts, self._held = [], []

    def read_at(self, offset: int, into: Sequence[memoryview]) -> None:
        """Fill consecutive buffers with the bytes from an offset on."""
        try:
            self._read_at(offset, into)
        except Exception as error:
            self.failed = error
            raise

    def _read_at(self, offset: int, into: Sequence[memoryview]) -> None:
        nbytes = sum(buffer.nbytes for buffer in into)
        if offset + nbytes > self.size:
            raise BadFile(f"{self.address} ends after {self.size:,} bytes; {offset + nbytes:,} are needed")
        i = bisect_right(self._starts, offset) - 1
        if i >= 0 and offset + nbytes <= self._starts[i] + self._held[i].nbytes:
            _scatter(self._held[i], offset - self._starts[i], into)
        elif self.refused is not None:
            raise self.refused
        elif nbytes > LARGEST:
            self._read_large(offset, into)
        elif nbytes > BLOCK:
            super().read_at(offset, into)
        elif nbytes:
            start, block = self._block(offset, nbytes)
            _scatter(block, offset - start, into)

    def _read_large(self, offset: int, into: Sequence[memoryview]) -> None:
        """Read many bytes with several requests at the same time."""
        file, pieces = RemoteFile(self.address), []
        for buffer in into:
            pieces.append(Piece(file, offset, buffer))
            offset += buffer.nbytes
        for error in read_all(pieces).values():
            raise error

    def _block(self, offset: int, nbytes: int) -> tuple[int, memoryview]:
        """Return the first byte and the bytes of a block around some bytes."""
        with self._lock:
            for start in reversed(self._blocks):
                if start <= offset and offset + nbytes <= start + self._blocks[start].nbytes:
                    self._blocks.move_to_end(start)
                    return start, self._blocks[start]
        start = max(0, min(offset, self.size - BLOCK))
        block = memoryview(bytearray(min(BLOCK, self.size - start)))
        super().read_at(start, [block])
        with self._lock:
            self._blocks[start] = block
            while len(self._blocks) > KEPT:
                self._blocks.popitem(last=False)
        return start, block


@contextmanager
def holding(files: Iterable[BlockFile]) -> Iterator[None]:
    """Make `opened` return these files in this thread, instead of opening them again."""
    known = _files.get()
    token = _files.set({**(known or {}), **{file.address: file for file in files}})
    try:
        yield
    finally:
        _files.reset(token)


@contextmanager
def holding_whole(addresses: Sequence[str], most: int = HELD_NBYTES, *, at_end: bool = False) -> Iterator[None]:
    """Read the beginnings or the ends of objects at the same time, and let `opened` return them in this thread.

    Objects that cannot be read are left out: reading them raises their error.

    Parameters
    ----------
    addresses
        The objects.
    most
        Bytes of each object.
    at_end
        Whether these are the last bytes.
    """
    files = []
    for address in dict.fromkeys(addresses):
        with suppress(BitesizeError):
            files.append(BlockFile(address))
    failed = hold_parts(files, [[(max(0, file.size - most) if at_end else 0, most)] for file in files])
    with holding(file for i, file in enumerate(files) if i not in failed or file.refused is not None):
        yield


def hold_parts(files: Sequence[BlockFile], spans: Sequence[Iterable[tuple[int, int]]]) -> dict[int, Exception]:
    """Read parts of several objects at the same time, each given by first byte and number of bytes; the files hold them.

    Returns
    -------
    dict
        The error of each object that could not be read, by its index; it holds no parts then.
    """
    pieces: list[Piece] = []
    of: list[int] = []
    for i, (file, parts) in enumerate(zip(files, spans, strict=True)):
        plain = RemoteFile(file.address)
        held = [Piece(plain, start, memoryview(bytearray(stop - start))) for start, stop in _joined(parts, file.size)]
        file.add(held)
        pieces += held
        of += [i] * len(held)
    failed = {of[k]: error for k, error in read_all(pieces).items()}
    for i, error in failed.items():
        files[i].release()
        if isinstance(error, RequestFailed):
            files[i].refused = error
    return failed


def held_files() -> dict[str, BlockFile]:
    """Return the files of `holding` by address."""
    return dict(_files.get() or {})


def opened(address: str) -> BlockFile:
    """Return an object, open for reading: the one of `holding`, if there is one.

    Raises
    ------
    NotFound
        If there is none.
    """
    known = _files.get()
    file = None if known is None else known.get(address)
    return BlockFile(address) if file is None else file


def _joined(spans: Iterable[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """Return sorted spans, of which no two touch, as pairs of start and stop."""
    joined: list[tuple[int, int]] = []
    for start, nbytes in sorted(spans):
        start, stop = max(0, start), min(start + nbytes, size)
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(stop, joined[-1][1])
        elif start < stop:
            joined.append((start, stop))
    return joined


def _scatter(data: memoryview, at: int, into: Sequence[memoryview]) -> None:
    for buffer in into:
        buffer[:] = data[at : at + buffer.nbytes]
        at += buffer.nbytes
