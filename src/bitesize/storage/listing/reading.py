"""Reading the blocks of a list: each when it is needed, the last ones kept."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import weakref
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator

import xxhash

from bitesize.errors import BadFile
from bitesize.storage.listing.blocks import OBJECTS, Block
from bitesize.storage.listing.index import Index
from bitesize.storage.natural import key_bytes

KEPT = 4 << 20  # bytes of blocks in memory
_SMALL = 1 << 20  # a file of at most this many bytes is read whole


class Content:
    """Bytes that are read by offset, from several threads: those of a file that stays open also if it is removed, or in memory.

    Parameters
    ----------
    name
        Name for messages.
    content
        The bytes, or an open file.
    named_by
        File that names the list of these bytes the current one; empty if there is none.
    """

    def __init__(self, name: str, content: bytes | io.FileIO, named_by: str = "") -> None:
        self.name, self._content, self._named_by = name, content, named_by
        self.nbytes = len(content) if isinstance(content, bytes) else 0
        self._lock = threading.Lock()
        if not isinstance(content, bytes):
            weakref.finalize(self, content.close)

    @classmethod
    def open(cls, path: str, named_by: str) -> Content:
        """Return the bytes of a file; those of a small one are in memory."""
        file = open(path, "rb", buffering=0)  # noqa: SIM115 - open as long as the list
        if os.fstat(file.fileno()).st_size > _SMALL:
            return cls(path, file, named_by)
        with file:
            return cls(path, file.read(), named_by)

    def read_at(self, offset: int, size: int) -> bytes:
        """Return these bytes; fewer at the end."""
        if isinstance(self._content, bytes):
            return self._content[offset : offset + size]
        if hasattr(os, "pread"):
            content = os.pread(self._content.fileno(), size, offset)
            if len(content) == size:
                return content
        with self._lock:  # Windows has no pread; and a read may be interrupted
            self._content.seek(offset)
            pieces, left = [], size
            while left and (piece := self._content.read(left)):
                pieces.append(piece)
                left -= len(piece)
        return b"".join(pieces)

    def give_up(self) -> None:
        """Remove the file that names the list, because these bytes are damaged, so that it is made again."""
        if self._named_by:
            with contextlib.suppress(OSError):
                os.unlink(self._named_by)


class Blocks:
    """The blocks of a list, by number.

    Parameters
    ----------
    index
        Where they are.
    content
        The file of blocks.
    """

    def __init__(self, index: Index, content: Content) -> None:
        self.index, self._content = index, content
        self._kept: OrderedDict[int, Block] = OrderedDict()
        self._kept_bytes, self._lock = 0, threading.Lock()

    def __len__(self) -> int:
        return len(self.index.checks)

    @property
    def memory(self) -> int:
        """Most bytes in memory."""
        return self.index.memory + self._content.nbytes + min(KEPT, int(self.index.offsets[-1]))

    def block(self, number: int) -> Block:
        """Return a block.

        Raises
        ------
        BadFile
            If it is damaged.
        """
        with self._lock:
            found = self._kept.get(number)
            if found is not None:
                self._kept.move_to_end(number)
                return found
        start, end = int(self.index.offsets[number]), int(self.index.offsets[number + 1])
        raw = self._content.read_at(start, end - start)
        if xxhash.xxh3_64_intdigest(raw) != int(self.index.checks[number]):
            self._content.give_up()
            raise BadFile(f"{self._content.name} is damaged; it is made again when the data is opened again")
        block = Block(raw)
        with self._lock:
            if number not in self._kept:
                self._kept[number] = block
                self._kept_bytes += block.nbytes
            while self._kept_bytes > KEPT and len(self._kept) > 1:
                self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes
        return block

    def of(self, i: int) -> tuple[Block, int]:
        """Return the block of object ``i``, and its number in the block."""
        if not 0 <= i < self.index.objects:
            raise IndexError(f"object {i:,} of a list of {self.index.objects:,}")
        return self.block(i // OBJECTS), i % OBJECTS

    def position(self, order: bytes) -> int:
        """Return the number of objects whose sort key is smaller."""
        index = self.index
        part = bisect_right(range(len(index.key_ends)), order, key=index.key) - 1
        if part < 0:
            return 0
        number = part * index.step
        others = range(number + 1, min(len(self), number + index.step))  # blocks whose keys are not in memory
        number += bisect_right(others, order, key=lambda each: key_bytes(self.block(each).key(0)))
        block = self.block(number)
        inside = bisect_left(range(block.n), order, key=lambda each: key_bytes(block.key(each)))
        return number * OBJECTS + inside

    def keys(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the keys of objects ``start`` to ``stop``, after the prefix."""
        while start < stop:
            block, first = self.of(start)
            keys = block.keys()[first : first + stop - start]
            yield from keys
            start += len(keys)

    def sizes(self, start: int, stop: int) -> Iterator[int]:
        """Yield the sizes of objects ``start`` to ``stop``."""
        while start < stop:
            block, first = self.of(start)
            sizes = block.sizes()[first : first + stop - start]
            yield from sizes
            start += len(sizes)
