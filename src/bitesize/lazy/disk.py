"""Nodes for values in files, plain or compressed in an archive, read by position."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.files.deflate import SeekableDeflate
from bitesize.files.npy import Header
from bitesize.files.pread import Handle, read_into, with_file
from bitesize.files.state import FileState
from bitesize.lazy.nodes import Node, Stretch
from bitesize.lazy.select import SCRATCH, Select, gather
from bitesize.storage.blocks import BlockFile
from bitesize.storage.url import is_url


class OnDisk(Node):
    """Contiguous values in a file, in C order.

    Parameters
    ----------
    path
        The file.
    offset
        Offset of the first value in the file, in bytes.
    shape, dtype
        Shape and dtype of the values, in any byte order.
    written_to
        Whether a memmap may write to the file while it is used.
    """

    on_disk = True
    path: bytes

    def __init__(
        self, path: bytes, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], written_to: bool = False
    ) -> None:
        self.path, self._offset, self._stored = path, offset, dtype
        self._seen = None if written_to else FileState.of(path)
        self.shape, self.dtype = shape, dtype.newbyteorder("=")
        self.own_blocks = int(is_url(path))  # what is requested ahead

    def read(self, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Read by position; the file is open only during the read."""
        if not out.size:
            return

        def work(fd: Handle) -> None:
            """Read from the open file."""
            if self._seen is not None:
                self._seen.check(self.path, fd)
            if self.own_blocks and isinstance(fd, BlockFile):
                self._hold(fd, select, out)
            gather(self.shape, select, out, lambda first, flat: self._read_run(fd, first, flat))

        with_file(self.path, work)

    def _hold(self, file: BlockFile, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Request the first runs of values that will be read at the same time."""
        runs: list[tuple[int, int]] = []
        gather(self.shape, select, out, lambda first, flat: runs.append((first, flat.nbytes)))
        total = np.cumsum([nbytes for _, nbytes in runs])
        some = runs[: int(np.searchsorted(total, SCRATCH, side="right"))]
        if len(some) > 1:
            file.hold((self._offset + first * self.dtype.itemsize, nbytes) for first, nbytes in some)

    def _read_run(self, fd: Handle, first: int, flat: NDArray[Any]) -> None:
        read_into(fd, [memoryview(flat.view(np.uint8))], self._offset + first * self.dtype.itemsize, self.path)  # type: ignore[arg-type]
        if not self._stored.isnative:
            flat.byteswap(inplace=True)

    def check_unchanged(self) -> None:
        """Check the file."""
        if self._seen is not None:
            self._seen.check(self.path)

    @property
    def checks_files(self) -> bool:
        """Return whether the file is not written to while it is used."""
        return self._seen is not None

    def stretches(self) -> list[Stretch] | None:
        """Return all values as one stretch, if they are in native byte order."""
        plain = self._stored.isnative and bool(self.shape)
        return [Stretch(self.path, self._offset, self.shape[0])] if plain else None


class Compressed(Node):
    """A compressed member of an archive with random access: each read decompresses from the access point before it."""

    on_disk = True
    path: bytes

    def __init__(self, stream: SeekableDeflate, header: Header) -> None:
        self.path, self._stream, self._header, self._seen = stream.path, stream, header, FileState.of(stream.path)
        self.shape, self.dtype = header.shape, header.dtype.newbyteorder("=")
        self.own_run_nbytes, self.own_held_nbytes = stream.apart, stream.nbytes

    def read(self, select: tuple[Select, ...], out: NDArray[Any]) -> None:
        """Decompress the selected values, from the access point before them."""
        if not out.size:
            return

        def work(fd: Handle) -> None:
            """Read from the open file."""
            self._seen.check(self.path, fd)
            gather(self.shape, select, out, lambda first, flat: self._read_run(fd, first, flat))

        with_file(self.path, work)

    def _read_run(self, fd: Handle, first: int, flat: NDArray[Any]) -> None:
        self._stream.read(fd, self._header.offset + first * self.dtype.itemsize, flat.view(np.uint8))
        if not self._header.dtype.isnative:
            flat.byteswap(inplace=True)
